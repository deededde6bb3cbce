"""The main job on real photographs, from nothing to results: only where $POSEJAX_DATA is.

A published teacher with its real weights, real photographs, captured motion; toy students and a few
steps, so nothing is learnt: what is tested is that the commands fit together.
"""

import json
import runpy

import numpy as np
import pytest
from PIL import Image

from posejax import command, infer, train
from posejax.geometry.skeleton import J15
from posejax.inference import scene as scene_lib
from posejax.inference import schema

SIDE = 96


def needed(path):
  if not path.exists():
    pytest.skip(f'no {path}')
  return path


@pytest.fixture(scope='module')
def photographs(posejax_data, tmp_path_factory):
  """Crops of the redistributable photographs, each a clip of its own."""
  folder = tmp_path_factory.mktemp('photographs')
  for number, path in enumerate(sorted(needed(
    posejax_data / 'photos' / 'redistributable'
  ).glob('*.jpg'))):
    with Image.open(path) as photograph:
      for part in range(4):
        left = part * photograph.width // 8
        box = (left, 0, left + photograph.width // 2, photograph.height)
        photograph.convert('RGB').crop(box).resize((320, 320)).save(
          folder / f'{"abcd"[part]}{number}_0.jpg'
        )
  return folder


@pytest.fixture(scope='module')
def given(posejax_data, photographs, tmp_path_factory):
  get_config = runpy.run_path('configs/unsup.py')['get_config']
  config, toy = get_config('real').unlock(), get_config('smoke')
  config.world.image_size = SIDE
  config.teacher.weights = str(needed(posejax_data / 'teacher_dm14' / 'weights_f32.npz'))
  config.images.update({'dir': str(photographs), 'shares': (0.25, 0.25), 'crops': False})
  config.mocap.dir = str(needed(posejax_data / 'mocap_bandai'))
  config.prior.update({
    name: toy.prior[name] for name in (
      'part', 'chain', 'half', 'body', 'disc_part', 'disc_body', 'batch', 'steps', 'warmup',
    )
  })
  config.align.update({'batch_images': 2, 'batch_scenes': 2, 'steps': (0, 2, 0), 'warmup': 1})
  config.align.root_threshold = 0.01  # roots that are not learnt either
  config.align.g.hidden = toy.align.g.hidden
  config.align.h.update({name: toy.align.h[name] for name in ('down', 'bottom', 'up', 'window')})
  workdir = tmp_path_factory.mktemp('run') / 'real'
  config.images.cache = str(workdir.parent / 'seen')
  return command.Run(config.lock(), workdir, None, 'python -m posejax.train')


def test_from_photographs_to_people(given, photographs, tmp_path):
  assert train.run(given) == 0
  metrics = json.loads((given.workdir / 'metrics.json').read_text())
  assert metrics['metrics'] and (given.workdir / 'index.html').stat().st_size > 10_000
  assert not any('3dpck' in name for name in metrics['metrics'])  # nobody knows the truth

  out = tmp_path / 'out'
  assert infer.run(infer.Options(given.workdir, photographs, out, pictures=False)) == 0
  scenes = [schema.load(path) for path in sorted(out.glob('*.jpg.json'))]
  assert len(scenes) == len(list(photographs.iterdir()))
  assert sum(len(scene_lib.rows(scene)) for scene in scenes) > 0
  for scene in scenes:
    assert scene.skeleton.joints == J15.joints and (scene.width, scene.height) == (320, 320)
    for row in scene_lib.rows(scene):
      assert np.isfinite(row.joints_camera[row.joint_valid]).all()
