"""Lifted people in one scene: compositions against exact scenes, and a user's own 2D poses."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.methods.lifting import compose, infer, people
from posejax.metrics import scenes as scene_metrics
from posejax.synth import pose_views
from tests.methods.lifters import BODY, RNG, UNIT, J, changed, lifter_params


@pytest.fixture(scope='module')
def scene():
  """Exact scenes of the standing bodies."""
  cameras = pose_views.CameraRange((0.05, 0.3), (4000.0, 6000.0))
  keys = jax.random.split(jax.random.key(5), 12)

  def one(key):
    picked = jax.random.randint(key, (3,), 0, len(BODY))
    return pose_views.sample_group(key, jnp.asarray(BODY)[picked], cameras, 'apart')

  return jax.tree.map(np.asarray, jax.jit(jax.vmap(one))(keys))


@pytest.fixture(scope='module')
def composer():
  config = changed(width=4)
  return compose.Composer(config, {'lifter': lifter_params(config), 'infill': None}, UNIT)


def errors_of(found, views):
  return scene_metrics.summary(compose.errors(found, views))


def test_the_oracle_about_the_camera_is_exact(scene, composer):
  given = compose.oracle(composer.config, scene, UNIT)
  found = composer.composed('ground', given)
  # Lower feet stand 0 or 20 mm above the floor: the deeper one of each person at 0.
  assert errors_of(found, scene)['pa_mpjpe_mm'] < 1


def test_the_published_composition_misses_by_its_floor(scene, composer):
  floor = errors_of(compose.floor(scene), scene)
  found = errors_of(
    composer.composed('published', compose.oracle(composer.config, scene, UNIT)), scene
  )
  assert floor['pa_mpjpe_mm'] > 100 and found['pa_mpjpe_mm'] > 100
  assert floor['se_percent'] < found['se_percent']


def test_all_rows_are_made_and_joint_is_not_the_same_as_plain(scene, composer):
  found = composer.everything(scene, jax.random.key(6))
  assert set(compose.ROWS) | set(compose.ORACLES) | {'floor', 'noisy_both'} <= set(found)
  for name, poses in found.items():
    assert poses.shape == scene.levelled.shape and np.isfinite(poses).all(), name
  assert np.abs(found['joint'] - found['plain']).max() > 1e-3


def test_pictures_of_a_camera_that_stands_still_share_its_pitch(composer):
  config = composer.config.copy_and_resolve_references().unlock()
  config.scenes.count = 10
  views = people.still_views(config, {'test': BODY}, 'test')
  # Two cameras of eight pictures are the least for ten; people move between the pictures.
  assert views.levelled.shape == (16, 2, J, 3)
  assert [len(set(row)) for row in np.reshape(views.pitch, (2, 8))] == [1, 1]
  assert views.pitch[0] != views.pitch[8] and len(set(views.levelled[:, 0, 0, 0])) == 16
  found = composer.still(views, 8)
  # One pitch for a camera: its pictures differ from before, and both rows are whole.
  assert np.isfinite(found['still']).all() and np.abs(found['still'] - found['both']).max() > 1e-4
  given = compose.oracle(config, views, UNIT)
  noisy = given._replace(theta=given.theta + 0.05 * RNG.normal(size=given.theta.shape))
  steady = compose.steady(noisy, 8)
  # 16 angles of a camera are averaged: errors fall to about a quarter.
  error, before = (np.abs(x - given.theta).mean() for x in (steady, noisy.theta))
  assert error < 0.5 * before


def test_a_users_poses_stay_on_their_rays_at_the_assumed_size(scene):
  config = changed(width=4)
  config.infill.steps = 0
  body = float(people.total_bones(jnp.asarray(BODY)).mean())
  networks = lifter_params(config)

  def runner(body):
    return infer.lifter(config, {
      'choice': people.Product(params={'lifter': networks}), 'infill': people.Product(),
      'poses': people.Product(arrays={'unit': UNIT, 'trunk': 0.9 * UNIT, 'body': body}),
    })

  run = runner(body)
  rays = np.array(scene.rays)
  seen = np.ones(rays.shape[:3], bool)
  seen[0, 1, 5:] = False  # 5 joints are too few
  seen[1, 0, 0] = False  # nothing to hang a person on
  joints, valid, unsure = run(rays, seen, True)
  assert valid.sum() == valid.size - 2 and not valid[0, 1] and not valid[1, 0]
  np.testing.assert_array_equal(joints[~valid], 0)
  ratio = joints[..., :2][valid] / joints[..., 2:][valid]
  np.testing.assert_allclose(ratio, rays[valid], atol=1e-4)
  sizes = np.asarray(people.total_bones(jnp.asarray(joints)))
  for row, there in zip(sizes, valid, strict=True):
    assert row[there].mean() == pytest.approx(body, rel=1e-3)
  # Twice as large in the picture: half as far, and the same people.
  nearer, _, _ = run(2 * rays, seen, True)
  assert nearer[valid][:, 0, 2].mean() < 0.7 * joints[valid][:, 0, 2].mean()
  # The uncertainty is a length of the bodies that are assumed.
  np.testing.assert_array_equal(np.isfinite(unsure), valid)
  _, _, of_giants = runner(2 * body)(rays, seen, True)
  np.testing.assert_allclose(of_giants[valid], 2 * unsure[valid], rtol=1e-5)
  assert (unsure[valid] > 0).all()
