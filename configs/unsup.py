"""Unsupervised multi-person 3D pose by cross-modal alignment, in the embedded world.

  python -m posejax.train --config=configs/unsup.py --workdir=runs/unsup

Presets, as `--config=configs/unsup.py:long` or, several, `configs/unsup.py:long,full`:

  size
  (none)  160 px: 17 minutes from nothing on 2 idle CPU cores, 5.3 GiB; unsupervised 3DPCK_rel of
          people found 41.5 ± 0.8, mean pose 35.0 ± 0.2 (two seeds)
  long    the same world at 192 px, larger networks, more pictures and steps: 2 h 40 min on one
          core beside other work; with `mocap` 54.0 (52.6 to 55.2), mean pose 45.0 (one seed)
  ablate  128 px, shorter phases over shared earlier stages: 6 to 16 minutes a rung on one busy core
  gpu     224 px, the paper's widths in bfloat16, each stage ≤ 9 minutes on one H200-class GPU;
          not run yet, its steps are estimates
  paper   the paper's shapes, batches and schedule (600,000 steps); its data readers are to come
  smoke   seconds of training on toy sizes; shows that all stages run, learns nothing

  real    the main job on photographs, with a published teacher and captured motion:
          --config.teacher.weights=FILE --config.images.dir=FOLDER --config.mocap.dir=FOLDER
          (teacher.kind says which network the file holds; dm14 unless told otherwise)

  supervision
  semi    a tenth of the pictures with 2D and 3D labels
  weak    all pictures with 2D labels
  full    all pictures with 2D and 3D labels
  maps    G and H on rendered maps alone, without pictures: ≤ 2 persons, limits narrowed to 0.7;
          `python -m posejax.diagnose` says how well they read
  mocap   Ψ and D_syn of captured motion (`mocap.dir`: a BVH folder; motion families without one)
"""

import ml_collections


def get_config(preset: str = '') -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict({
    'method': 'crossmodal', 'seed': 0, 'log_every': 100, 'save_every': 1000, 'precision': 'float32',
    'world': {
      'image_size': 160, 'max_people': 3, 'nearest_mm': 1900, 'farthest_mm': 3400,
      'elevation_deg': (0.0, 15.0), 'gap': 0.45, 'body_scale': (1.0, 1.0), 'bone_variation': 0.0,
      'images_a': 4000, 'images_b': 6000, 'validation': 300, 'test': 600,
    },
    'teacher': {
      'kind': 'synthetic', 'weights': '', 'stages': 2, 'threshold': 0.1,
      'min_parts': 3,
      'front': ((16,), (16, 16), (32, 32), (64, 64)), 'cpm': (64, 48), 'stage1': (48,),
      'branch': 64, 'stage': (48, 48), 'stage_kernel': 5, 'stage_last': 48,
      'background': False, 'strided': True, 'leak': 0.1,
      'batch': 8, 'steps': 2300, 'warmup': 100, 'learning_rate': 4e-3, 'optimizer': 'muon',
      'clip': 1.0,
      'turn_deg': 15.0, 'zoom': (0.8, 1.25), 'shift': 0.1,
      'brightness': 0.15, 'contrast': 0.3, 'tint': 0.15,
    },
    'prior': {
      'part': 64, 'chain': 64, 'half': 128, 'body': 256, 'decoder_layers': 1,
      'disc_part': 64, 'disc_body': 128, 'batch': 128, 'steps': 4500,
      'warmup': 200, 'learning_rate': 2e-3, 'discriminator_rate': 1e-3, 'clip': 5.0,
      'pose_weight': 50.0, 'local_weight': 150.0, 'phi_weight': 5.0, 'adversary_weight': 3.0,
      'limit_weight': 150.0, 'limit_margin': 0.97, 'discriminator': 'pose',
      'source': 'artificial',
    },
    'images': {
      'dir': '', 'labelled': '', 'cache': 'runs/teacher_cache', 'clips': 'number',
      'shares': (0.1, 0.1), 'every': 10, 'crops': True,
      'crop': {
        'too_small': 0.35, 'filled': 0.6, 'smallest': 0.4, 'most_zoom': 2.0, 'most': 8,
        'least_joints': 4,
      },
    },
    # `part` of a clip's name between underscores, from 0, is its action: whole ones are held out.
    'mocap': {'dir': '', 'share': 0.5, 'part': 1},
    # Looks of the teacher at the pictures that it teaches of.
    'observed': {'latents': True, 'zooms': (1.0,), 'mirror': False},
    # Pictures (`world`) and D_syn have bodies of one size unless told otherwise [P].
    'scenes': {
      'max_people': 3, 'limit_factor': 1.0, 'lean_deg': 30.0, 'body_scale': (1.0, 1.0),
      'bone_variation': 0.0,
    },
    'align': {
      'seed': 0,
      'g': {'hidden': ((48, 5), (64, 3)), 'last_kernel': 3},
      'h': {
        'down': (((64, 1), (64, 3)), ((96, 4), (96, 3)), ((128, 4),)),
        'bottom': ((128, 1),),
        'up': (((96, 3),), ((64, 3),)),
        'window': {'size': 15, 'cells': (96, 96), 'points': 64, 'dense': (256, 256)},
      },
      'batch_images': 8, 'batch_scenes': 8, 'steps': (190, 2160, 500), 'warmup': 50,
      'drop_at': 0, 'optimizer': 'muon', 'code': (0.5, 0.3), 'points': (15.0, 2.0),
      'clip': 1.0,
      'learning_rate': {
        'distl': 2e-3, 'label_3d': 2e-3, 'recon': 3e-3, 'adapt': 2e-3, 'ss': 6e-4,
        'roots': 1e-3,
      },
      'distl': True, 'recon': True, 'adapt': True, 'ss': True,
      'label_2d': False, 'label_3d': False, 'label_share': 1.0,
      'projection': 'full', 'read': 'bilinear', 'root_threshold': 0.2,
      'root_source': 'teacher', 'slots': 1,
      'turn_deg': 20.0, 'zoom': (0.8, 1.25), 'shift': 0.1,
    },
    # Twice the time, better poses; nothing is trained by it.
    'infer': {'mirror': False},
    # H′ on single-person crops; 0 steps leave it out.
    'refine': {
      'steps': 0, 'batch_images': 16, 'batch_scenes': 16, 'warmup': 50, 'learning_rate': 3e-4,
      'share': 0.6, 'jitter': 0.1,
    },
  })
  for name in filter(None, preset.split(',')):
    if name not in _PRESETS:
      raise ValueError(
        f'configs/unsup.py: unknown preset {name!r}; known: {", ".join(_PRESETS)}'
      )
    _PRESETS[name](config)
  return config.lock()


# Of presets whose published figures were measured so. Twice as high, as the default has them, H
# learns more in 1,600 steps and as much in 2,850 (README, "Choices of the default").
_HALF = {
  'distl': 1e-3, 'label_3d': 1e-3, 'recon': 1.5e-3, 'adapt': 1e-3, 'ss': 3e-4, 'roots': 5e-4,
}


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
    'part': 8, 'chain': 8, 'half': 8, 'body': 16, 'disc_part': 8, 'disc_body': 8,
    'batch': 8, 'steps': 4, 'warmup': 1,
  })
  config.observed.update({'zooms': (1.0, 1.25), 'mirror': True})
  config.align.update({'batch_images': 2, 'batch_scenes': 2, 'steps': (2, 4, 4), 'warmup': 1})
  config.refine.update({'batch_images': 2, 'batch_scenes': 2, 'warmup': 1})
  config.align.g.hidden = ((8, 3),)
  config.align.h.update({
    'down': (((8, 3),), ((8, 4),), ((8, 4),)), 'bottom': ((8, 1),), 'up': (((8, 3),),),
  })
  config.align.h.window.update({'size': 3, 'cells': (8,), 'points': 16, 'dense': (8,)})


def _long(config: ml_collections.ConfigDict) -> None:
  config.world.update({
    'image_size': 192, 'images_a': 8000, 'images_b': 8000, 'validation': 500, 'test': 1000,
  })
  config.teacher.update({
    'front': ((16,), (32, 32), (64, 64), (128, 128)), 'cpm': (128, 64), 'stage1': (64, 64),
    'branch': 96, 'stage': (64, 64, 64), 'stage_last': 64, 'steps': 6500, 'learning_rate': 3e-3,
  })
  config.observed.update({'zooms': (1.0, 1.25), 'mirror': True})
  config.align.update({'steps': (500, 6500, 1400)})
  config.align.learning_rate.update(_HALF)
  config.align.h.window.size = 19
  config.align.g.hidden = ((64, 5), (64, 5), (96, 3))


def _ablate(config: ml_collections.ConfigDict) -> None:
  config.world.image_size = 128
  config.teacher.steps = 3600
  config.align.update({'batch_images': 16, 'batch_scenes': 16, 'steps': (200, 1400, 400)})
  config.align.learning_rate.update(_HALF)
  config.align.h.window.size = 13


def _wide(config: ml_collections.ConfigDict) -> None:
  """The paper's image size and widths; widths of H are ours (models/crossmodal.py)."""
  config.world.image_size = 224
  config.teacher.update({
    'front': ((64, 64), (128, 128), (256,) * 4, (512, 512)), 'cpm': (256, 128),
    'stage1': (128,) * 3, 'branch': 512, 'stage': (128,) * 5, 'stage_kernel': 7,
    'stage_last': 128, 'background': True, 'strided': False, 'leak': 0.0,
  })
  config.prior.update({
    'part': 32, 'chain': 64, 'half': 128, 'body': 512, 'decoder_layers': 2, 'disc_part': 200,
    'disc_body': 1024,
  })
  config.align.g.update({'hidden': ((128, 7),) * 4, 'last_kernel': 7})
  config.align.h.update({
    'down': (((128, 1), (128, 3)), ((128, 4), (128, 7)), ((128, 4),)), 'bottom': ((128, 1),),
    'up': (((128, 7), (512, 1)),),
  })
  config.align.h.window.size = 1


def _gpu(config: ml_collections.ConfigDict) -> None:
  _wide(config)
  config.precision = 'bfloat16'
  config.world.update({'images_a': 24_000, 'images_b': 24_000, 'validation': 1000, 'test': 1000})
  config.teacher.update({'batch': 64, 'steps': 8000, 'learning_rate': 1e-3})
  config.observed.latents = False
  config.align.update({'batch_images': 64, 'batch_scenes': 64, 'steps': (500, 6000, 2500)})
  config.align.learning_rate.update(_HALF)


def _paper(config: ml_collections.ConfigDict) -> None:
  _wide(config)
  # 1M single poses at batch 32, 100k scenes: ours are drawn anew, so steps alone count.
  config.world.update({'max_people': 4, 'nearest_mm': 1500, 'farthest_mm': 8000})
  config.scenes.max_people = 4
  config.prior.update({
    'part': 32, 'chain': 64, 'half': 128, 'body': 512, 'decoder_layers': 2, 'disc_part': 200,
    'disc_body': 1024, 'batch': 32, 'steps': 31_250, 'learning_rate': 1e-4,
    'discriminator_rate': 1e-4, 'local_weight': 0.0, 'limit_weight': 0.0, 'warmup': 0, 'clip': 0.0,
  })
  config.teacher.update({
    'optimizer': 'adam', 'learning_rate': 1e-4, 'steps': 100_000, 'warmup': 0, 'clip': 0.0,
  })
  config.observed.latents = False
  config.align.update({
    'batch_images': 8, 'batch_scenes': 8, 'steps': (15_000, 435_000, 150_000), 'warmup': 0,
    'clip': 0.0, 'drop_at': 100_000, 'optimizer': 'adam', 'code': (0.0, 0.0), 'points': (0.0, 0.0),
    'projection': 'weak', 'read': 'nearest',
  })
  config.align.learning_rate.update(
    {'distl': 1e-4, 'label_3d': 1e-4, 'recon': 1e-4, 'adapt': 1e-4, 'ss': 1e-4, 'roots': 1e-4}
  )
  config.refine.update({'batch_images': 8, 'batch_scenes': 8, 'warmup': 0, 'learning_rate': 1e-4})


def _semi(config: ml_collections.ConfigDict) -> None:
  config.align.update({'label_2d': True, 'label_3d': True, 'label_share': 0.1})


def _weak(config: ml_collections.ConfigDict) -> None:
  config.align.label_2d = True


def _full(config: ml_collections.ConfigDict) -> None:
  config.align.update({'label_2d': True, 'label_3d': True})


def _mocap(config: ml_collections.ConfigDict) -> None:
  config.prior.source = 'motion'


def _real(config: ml_collections.ConfigDict) -> None:
  config.method = 'crossmodal-photos'
  config.world.update({
    'image_size': 224, 'max_people': 6, 'nearest_mm': 1800, 'farthest_mm': 8000,
  })
  config.scenes.max_people = 4
  # Groups of three parts are lone limbs, where looked at.
  config.teacher.update({'kind': 'dm14', 'min_parts': 4})
  config.prior.source = 'mixed'
  config.align.update({
    'root_source': 'student', 'batch_images': 8, 'batch_scenes': 8, 'steps': (200, 1500, 300),
  })
  config.align.learning_rate.update(_HALF)
  config.align.g.last_kernel = 1
  config.align.h.window.size = 13
  config.observed.latents = False  # 1.6 MB a view


def _maps(config: ml_collections.ConfigDict) -> None:
  config.scenes.update({'max_people': 2, 'limit_factor': 0.7})
  config.align.update({
    'distl': False, 'adapt': False, 'ss': False, 'steps': (0, 2850, 0),
  })


_PRESETS = {
  'long': _long, 'ablate': _ablate, 'gpu': _gpu, 'paper': _paper, 'smoke': _smoke,
  'semi': _semi, 'weak': _weak, 'full': _full, 'mocap': _mocap, 'maps': _maps, 'real': _real,
}
