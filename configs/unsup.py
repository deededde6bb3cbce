"""Unsupervised multi-person 3D pose by cross-modal alignment, in the embedded world.

  python -m posejax.train --config=configs/unsup.py --workdir=runs/unsup

Presets, as `--config=configs/unsup.py:smoke`:
  (none)  128 px, 2 CPU cores; in development: its cost and figure are not measured yet
  smoke   seconds of training on toy sizes; shows that all stages run, learns nothing
"""

import ml_collections


def get_config(preset: str = '') -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict({
    'seed': 0, 'log_every': 100, 'save_every': 1000, 'precision': 'float32',
    'world': {
      'image_size': 128, 'max_people': 3, 'nearest_mm': 2200, 'farthest_mm': 5000,
      'elevation_deg': (0.0, 15.0), 'gap': 1.0,
      'images_a': 6000, 'images_b': 6000, 'validation': 400, 'test': 600,
    },
    'teacher': {
      'front': ((12,), (24, 24), (48, 48), (96, 96)), 'cpm': (96, 64), 'stage1': (64, 64),
      'branch': 64, 'stage': (64, 64, 64), 'stage_kernel': 5, 'stage_last': 64, 'background': False,
      'batch': 16, 'steps': 1500, 'warmup': 100, 'learning_rate': 2e-3,
      'turn_deg': 15.0, 'zoom': (0.8, 1.25), 'shift': 0.1,
      'brightness': 0.1, 'contrast': 0.2, 'tint': 0.05,
    },
    'prior': {
      'part': 32, 'chain': 64, 'half': 128, 'body': 512, 'batch': 256, 'steps': 3000,
      'warmup': 200, 'learning_rate': 1e-3, 'discriminator_rate': 1e-4, 'clip': 5.0,
      'pose_weight': 100.0, 'phi_weight': 5.0, 'adversary_weight': 1.0, 'limit_weight': 50.0,
      'limit_margin': 0.97,
    },
    'observed': {'latents': True},
    'scenes': {'limit_factor': 1.0, 'lean_deg': 30.0},
    'align': {
      'seed': 0,
      'g': {'hidden': ((64, 5), (64, 5), (96, 3)), 'last_kernel': 3},
      'h': {
        'down': (((64, 3), (64, 3)), ((96, 4), (96, 3)), ((128, 4),)),
        'bottom': ((128, 1),),
        'up': (((96, 5), (256, 1)),), 'window': (),
      },
      'batch_images': 16, 'batch_scenes': 16, 'steps': (300, 1500, 600), 'warmup': 100,
      'drop_at': 0,
      'clip': 1.0,
      'learning_rate': {
        'distl': 5e-4, 'label_3d': 5e-4, 'recon': 5e-4, 'adapt': 5e-4, 'ss': 2e-4,
      },
      'recon': True, 'adapt': True, 'ss': True,
      'label_2d': False, 'label_3d': False, 'label_share': 1.0,
      'projection': 'full', 'read': 'nearest', 'root_threshold': 0.2,
      'turn_deg': 20.0, 'zoom': (0.8, 1.25), 'shift': 0.1,
    },
  })
  if preset == 'smoke':
    _smoke(config)
  elif preset:
    raise ValueError(f'configs/unsup.py: unknown preset {preset!r}; known: smoke')
  return config.lock()


def _smoke(config: ml_collections.ConfigDict) -> None:
  config.log_every, config.save_every = 2, 4
  config.world.update({
    'image_size': 64, 'max_people': 2, 'images_a': 24, 'images_b': 16, 'validation': 8, 'test': 8,
  })
  config.teacher.update({
    'front': ((4,), (4,), (8,), (8,)), 'cpm': (8,), 'stage1': (8,), 'branch': 8, 'stage': (8,),
    'stage_kernel': 3, 'stage_last': 8, 'batch': 4, 'steps': 4, 'warmup': 1,
  })
  config.prior.update({
    'part': 8, 'chain': 8, 'half': 8, 'body': 16, 'batch': 8, 'steps': 4, 'warmup': 1,
  })
  config.align.update({'batch_images': 2, 'batch_scenes': 2, 'steps': (2, 4, 4), 'warmup': 1})
  config.align.g.hidden = ((8, 3),)
  config.align.h.update({
    'down': (((8, 3),), ((8, 4),), ((8, 4),)), 'bottom': ((8, 1),), 'up': (((8, 3),),),
    'window': ((8, 3),),
  })
