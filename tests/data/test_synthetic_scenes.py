"""The TFDS builder: what is read back is what the device draws, without TensorFlow or network."""

import dataclasses
import pathlib
import socket
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

from posejax.data.synthetic_scenes import (
  Split,
  SyntheticScenes,
  scenes_config,
  views_from_example,
)
from posejax.synth import renderer
from posejax.synth.domains import DOMAIN_A, DOMAIN_B
from posejax.synth.motion_families import Family
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scene_views import Clip, device_samples

# The same as in tests/synth/test_scene_views.py, so that one compilation serves both.
SCENE = SceneConfig(placement='room', max_people=2, num_cameras=2, width=32, height=24)
MOVING = SceneConfig(
  placement='room', max_people=2, num_cameras=2, width=24, height=16, pose_source='motion',
  camera_motion=('orbit',), families=(Family.WALK,),
)
SPLITS = (Split('train', 10, seed=3), Split('validation', 1, seed=4))


@pytest.fixture(scope='module')
def offline():
  """No socket reaches anything."""
  def refuse(*_):
    raise AssertionError('the builder tried to reach the network')

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(socket.socket, 'connect', refuse)
    patch.setattr(socket, 'getaddrinfo', refuse)
    yield


@pytest.fixture(scope='module')
def builder(tmp_path_factory, offline):
  config = scenes_config('tiny', SCENE, DOMAIN_A, SPLITS)
  builder = SyntheticScenes(data_dir=tmp_path_factory.mktemp('tfds'), config=config)
  builder.download_and_prepare()
  return builder


def assert_equal(example, expected):
  views = views_from_example(example)
  assert jax.tree.structure(views) == jax.tree.structure(expected)
  for got, want in zip(jax.tree.leaves(views), jax.tree.leaves(expected), strict=True):
    assert got.dtype == want.dtype
    np.testing.assert_array_equal(got, want)


def test_what_is_read_is_what_the_device_draws(builder):
  drawn = jax.device_get(device_samples(3, np.arange(10), SCENE, DOMAIN_A))
  source = builder.as_data_source('train')
  assert len(source) == 10
  for number in range(10):
    example = source[number]
    assert (example['index'], example['seed']) == (number, 3)
    assert_equal(example, jax.tree.map(lambda array, n=number: array[n], drawn))
  validation = builder.as_data_source('validation')
  drawn = jax.device_get(device_samples(4, [0], SCENE, DOMAIN_A))
  assert len(validation) == 1
  assert_equal(validation[0], jax.tree.map(lambda array: array[0], drawn))


def test_without_tensorflow(builder):
  assert builder.as_data_source('train')[0]['image'][0].shape == (24, 32, 3)
  assert 'tensorflow' not in sys.modules


def test_files_stand_alone(builder):
  files = sorted(path.name for path in pathlib.Path(builder.data_dir).iterdir())
  assert [name.split('.')[-1].split('-')[0] for name in files] == [
    'json', 'json', 'array_record', 'array_record']
  # The folder can be read without this project's code, and says how its scenes were drawn.
  other = tfds.builder_from_directory(builder.data_dir)
  assert other.as_data_source('train')[2]['index'] == 2
  assert '"placement": "room"' in other.info.config_description


def test_a_second_builder_finds_the_data(builder):
  again = SyntheticScenes(
    data_dir=pathlib.Path(builder.data_dir).parents[2],
    config=scenes_config('tiny', SCENE, DOMAIN_A, SPLITS),
  )
  before = [path.stat().st_mtime_ns for path in pathlib.Path(builder.data_dir).iterdir()]
  again.download_and_prepare()
  assert again.data_dir == builder.data_dir
  assert before == [path.stat().st_mtime_ns for path in pathlib.Path(builder.data_dir).iterdir()]
  assert len(again.as_data_source('train')) == 10


def flat_picture(joints_world, valid, camera, looks, size):
  """A stand-in for the renderer, which would take long to compile once more."""
  del looks
  value = jnp.floor(jnp.sum(joints_world[0, :, 0]) / 100 + 100 * camera.rotation[0, 0]) % 256
  image = jnp.full((*size, 3), value).astype(jnp.uint8)
  return renderer.Rendering(
    image, jnp.zeros(size, jnp.int32), jnp.ones(size), jnp.ones(valid.shape)
  )


def test_moving_scenes(tmp_path, offline, monkeypatch):
  monkeypatch.setattr(renderer, 'render_scene', flat_picture)
  clip = Clip(3, 10.0)
  config = scenes_config('clips', MOVING, DOMAIN_A, (Split('train', 1, seed=5),), clip)
  builder = SyntheticScenes(data_dir=tmp_path, config=config)
  builder.download_and_prepare()
  example = builder.as_data_source('train')[0]
  assert len(example['image']) == 6 and example['joints_world'].shape == (3, 2, 17, 3)
  drawn = jax.device_get(device_samples(5, [0], MOVING, DOMAIN_A, clip))
  assert_equal(example, jax.tree.map(lambda array: array[0], drawn))


def test_whatever_changes_the_scenes_changes_the_name():
  def name(label='a', scene=MOVING, domain=DOMAIN_A, splits=SPLITS, clip=None):
    return scenes_config(label, scene, domain, splits, clip).name

  names = [
    name(), name(label='b'), name(scene=dataclasses.replace(MOVING, width=40)),
    name(domain=DOMAIN_B), name(splits=SPLITS[:1]), name(clip=Clip(2)), name(clip=Clip(2, 25.0)),
    name(splits=(Split('train', 10, seed=30), SPLITS[1])),
  ]
  assert len(set(names)) == len(names)
  assert name() == name(scene=dataclasses.replace(MOVING))


def test_configs_that_cannot_be():
  with pytest.raises(ValueError, match='one seed each'):
    scenes_config('a', SCENE, DOMAIN_A, (Split('train', 1, seed=1), Split('test', 1, seed=1)))
  with pytest.raises(ValueError, match='one name each'):
    scenes_config('a', SCENE, DOMAIN_A, (Split('train', 1, seed=1), Split('train', 1, seed=2)))
  with pytest.raises(ValueError, match='one name each'):
    scenes_config('a', SCENE, DOMAIN_A, ())
  with pytest.raises(ValueError, match='label'):
    scenes_config('../a', SCENE, DOMAIN_A, SPLITS)
  with pytest.raises(ValueError, match="pose_source = 'motion'"):
    scenes_config('a', SCENE, DOMAIN_A, SPLITS, Clip(2))
  for bad in (('Train', 1, 1), ('train', 0, 1), ('train', 1, -1), ('train', 2**31, 1)):
    with pytest.raises(ValueError, match='Split'):
      Split(*bad)
  with pytest.raises(ValueError, match='scenes_config'):
    SyntheticScenes(config='tiny')
  with pytest.raises(ValueError, match='scenes_config'):
    SyntheticScenes()
