"""Several people in 3D from their 2D poses alone.

  python -m posejax.train --config=configs/lifting.py --workdir=runs/lifting
  python -m posejax.train --config=configs/lifting.py --config.data.mocap=FOLDER_OF_BVH \
    --workdir=runs/lifting_mocap

Without a folder the 2D poses are those of the embedded motion families; held out are families.
With one they are of real motion capture; held out are the actions `data.held_out`, found in part
`data.name_part` of the files' names (the defaults fit Bandai-Namco-Research-Motiondataset, set 1).
With `--config.data.chi3d=FOLDER`, a copy of CHI3D as `chi3d/train/...`, training takes s02 and s03,
validation whole kinds of action of s03, the test s04, also as the four real cameras saw its pairs.

Presets, as `--config=configs/lifting.py:paper`, several by commas:

  (none)  width 256, batch 64: 12 minutes on 2 idle CPU cores; on real motion capture PA-MPJPE
          52 mm (flat poses 86), see the README
  long    four times the batch over 16,000 steps: 26 minutes a seed on one CPU core; PA-MPJPE 48 mm
  paper   the published widths, batch and schedule: for a GPU or the background; not run yet
  links   LInKs' lifters for the left and the right half, with sampling from the flow
  smoke   seconds of training on toy sizes; shows that all stages run, learns nothing
"""

import ml_collections


def get_config(preset: str = '') -> ml_collections.ConfigDict:
  config = ml_collections.ConfigDict({
    'method': 'lifting', 'seed': 0, 'log_every': 250, 'save_every': 1000, 'c': 10.0,
    'data': {
      'mocap': '', 'name_part': 1,
      'held_out': ('bye', 'byebye', 'run', 'walk-left', 'slash', 'dance-short'),
      'held_out_validation': ('guide', 'punch'),
      # A copy of CHI3D in place of `mocap`; for validation this share of s03's clips, whole kinds.
      'chi3d': '', 'chi3d_validation': 0.15,
      'artificial': 0.0, 'train': 40_000, 'validation': 4000, 'test': 8000,
      # One skeleton scale in the files: bodies and bones are varied by us.
      'bone_spread': 0.03, 'size_spread': 0.07,
      'elevation_deg': (-5.0, 20.0), 'distance_mm': (4000.0, 7000.0), 'reach_mm': 1000.0,
      'rectify': True, 'image_px': 900, 'focal_px': 965,
    },
    'flow': {
      'blocks': 8, 'width': 256, 'standardise': True, 'pca': 0, 'resample': False, 'spread': 0.2,
      'batch': 64, 'steps': 5000, 'learning_rate': 1e-3, 'decay': 'cosine', 'epoch': 1000,
      'warmup': 100, 'l2': 1e-5, 'clip': 5.0,
    },
    # LInKs' flows of the lifter's parts; 0 steps leave them out.
    'parts': {'batch': 64, 'steps': 0},
    'infill': {
      'width': 256, 'noise': 0.0125, 'missing': 0.3, 'without_ends': 0.25, 'batch': 256,
      'steps': 16_000,
      'learning_rate': 1e-3, 'decay': 'cosine', 'epoch': 1000, 'warmup': 100, 'l2': 0.0,
      'clip': 5.0,
    },
    'lifter': {
      'seed': 0, 'kind': 'single', 'width': 256, 'blocks': 2, 'input_scale': 20.0, 'count': 2,
      'mirror_start': True, 'use_cue': True, 'std_floor': 0.12, 'resample': False,
      'batch': 64, 'steps': 20_000, 'learning_rate': 1e-3, 'decay': 'cosine', 'epoch': 1000,
      'warmup': 100, 'l2': 1e-5, 'clip': 5.0,
      'weights': {
        'nll': 1.0, 'relift_3d': 1.0, 'relift_2d': 1.0, 'deform': 1.0, 'bone': 50.0,
        'elevation': 5.0, 'parts': 0.0,
      },
    },
    'choice': {'by': 'consistency'},
    'scenes': {'single': 2000, 'count': 300, 'noise': 5.0, 'missing': 0.1},
  })
  for name in filter(None, preset.split(',')):
    if name not in _PRESETS:
      raise ValueError(
        f'configs/lifting.py: unknown preset {name!r}; known: {", ".join(_PRESETS)}'
      )
    _PRESETS[name](config)
  return config.lock()


def _long(config: ml_collections.ConfigDict) -> None:
  config.lifter.update({'batch': 256, 'steps': 16_000})


def _paper(config: ml_collections.ConfigDict) -> None:
  # Ours are drawn anew in each step: an epoch is as many batches as there are poses.
  epoch = config.data.train // 256
  published = {
    'width': 1024, 'batch': 256, 'learning_rate': 2e-4, 'decay': 'epochs', 'epoch': epoch,
    'warmup': 0, 'l2': 1e-5, 'clip': 0.0,
  }
  config.flow.update({**published, 'steps': 100 * epoch, 'standardise': False, 'resample': True})
  config.lifter.update({
    **published, 'steps': 40 * epoch, 'kind': 'left_right', 'blocks': 3, 'input_scale': 1.0,
    'count': 1, 'mirror_start': False, 'use_cue': False, 'std_floor': 0.0, 'resample': True,
  })
  config.lifter.weights.elevation = 0.0
  config.infill.steps = 0
  config.data.rectify = False


def _links(config: ml_collections.ConfigDict) -> None:
  config.flow.resample = True
  config.lifter.update({'kind': 'left_right', 'blocks': 3, 'resample': True})


def _smoke(config: ml_collections.ConfigDict) -> None:
  config.log_every, config.save_every = 2, 4
  config.data.update({'train': 64, 'validation': 32, 'test': 32})
  config.flow.update({'blocks': 2, 'width': 8, 'batch': 8, 'steps': 4, 'warmup': 1})
  config.infill.update({'width': 8, 'batch': 8, 'steps': 4, 'warmup': 1})
  config.lifter.update({'width': 8, 'blocks': 1, 'batch': 8, 'steps': 4, 'warmup': 1})
  config.scenes.update({'single': 16, 'count': 8})


_PRESETS = {'long': _long, 'paper': _paper, 'links': _links, 'smoke': _smoke}
