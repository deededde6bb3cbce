"""Inference with the mirror image: symmetric by construction, and between two single looks."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import students
from posejax.geometry.skeleton import J15
from posejax.methods.crossmodal import METHOD, infer
from posejax.training import config as config_lib

SIDE, ORDER = 64, list(J15.flip_permutation)


@pytest.fixture(scope='module')
def seen():
  """A random network's people of two pictures and of their mirror images, model and parameters."""
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.align.root_threshold = 0.01
  model = infer.Model(config)
  params = students.random_networks(config)
  images = np.random.default_rng(0).integers(0, 256, (2, SIDE, SIDE, 3), np.uint8)
  predict = jax.jit(lambda images: infer.predict(model, params, images, mirror=True))
  return model, params, images, predict(images), predict(images[:, :, ::-1])


def test_the_mirror_image_gives_mirrored_people(seen):
  _, _, _, people, mirrored = seen
  assert np.array_equal(people.valid, mirrored.valid) and people.valid.any()
  np.testing.assert_allclose(people.score, mirrored.score, atol=1e-5)
  np.testing.assert_allclose(people.depth, mirrored.depth, rtol=1e-5)
  for name, axis in (('joints_relative', (-1, 1, 1)), ('joints_camera', (-1, 1, 1))):
    turned = np.asarray(getattr(mirrored, name))[:, :, ORDER] * axis
    np.testing.assert_allclose(
      getattr(people, name)[people.valid], turned[people.valid], atol=0.05  # mm of metres
    )
  turned = np.asarray(mirrored.joints_2d)[:, :, ORDER] * (-1, 1) + (SIDE - 1, 0)
  np.testing.assert_allclose(people.joints_2d[people.valid], turned[people.valid], atol=2e-3)


def test_people_stand_between_two_single_looks(seen):
  model, params, images, people, _ = seen
  valid = np.asarray(people.valid)
  roots = np.where(valid[..., None], people.joints_2d[:, :, 0], 0).astype(np.float32)

  def look(images, roots):
    features = model.features(params['H'], model.encode(params, images)[0])
    reading = model.read(params['H'], features, roots, valid)
    return model.place(params, reading.found, jnp.asarray(roots))

  own = look(images, roots)
  there = np.stack([SIDE - 1 - roots[..., 0], roots[..., 1]], -1)
  other = look(images[:, :, ::-1], np.where(valid[..., None], there, 0))
  np.testing.assert_allclose(
    people.depth[valid] ** 2, (own.depth * other.depth)[valid], rtol=1e-4
  )
  poses = [np.asarray(own.relative), np.asarray(other.relative)[:, :, ORDER] * (-1, 1, 1)]
  for joint, parent in enumerate(J15.parents):
    if parent < 0:
      continue
    first, second, ours = (
      (pose[:, :, joint] - pose[:, :, parent])[valid] for pose in (*poses, people.joints_relative)
    )
    length = np.linalg.norm(first, axis=-1)
    np.testing.assert_allclose(np.linalg.norm(ours, axis=-1), length, rtol=1e-3)
    # As far from the one as from the other, and never farther than they are apart.
    np.testing.assert_allclose((ours * first).sum(-1), (ours * second).sum(-1), atol=20)
    assert ((ours * first).sum(-1) >= (first * second).sum(-1) - 20).all()


def test_the_second_stage_looks_at_both(seen):
  model, params, images, first, _ = seen
  second = params | {'H2': jax.tree.map(lambda x: 1.1 * x, params['H'])}
  predict = jax.jit(lambda images: infer.predict(model, second, images, mirror=True))
  people, mirrored = (predict(x) for x in (images[:1], images[:1, :, ::-1]))
  valid = np.asarray(people.valid)
  assert np.array_equal(valid, mirrored.valid) and valid.any()
  # H′ of one image alone would not be symmetric.
  turned = np.asarray(mirrored.joints_relative)[:, :, ORDER] * (-1, 1, 1)
  np.testing.assert_allclose(people.joints_relative[valid], turned[valid], atol=0.5)
  assert np.abs(people.joints_relative - first.joints_relative[:1])[valid].max() > 5


def test_slots_know_no_mirror():
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.infer.mirror = True
  config_lib.validate(config, METHOD.rules)
  config.align.root_source, config.align.slots = 'student', 2
  with pytest.raises(config_lib.ConfigError, match=r'infer\.mirror.*align\.slots'):
    config_lib.validate(config, METHOD.rules)
