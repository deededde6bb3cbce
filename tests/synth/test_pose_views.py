"""2D poses of people on a floor: geometry by hand, layouts, bone lengths."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import kinematics, lifting
from posejax.geometry.skeleton import J17
from posejax.synth import pose_views as lib

POSE = np.asarray(kinematics.forward_kinematics(
  jnp.zeros((17, 3)).at[:, 2].set(1.0), kinematics.bone_lengths(J17)
))
POSE = POSE + np.random.default_rng(0).normal(size=POSE.shape) * 60
POSE = (POSE - (POSE[0, 0], POSE[0, 1], POSE[:, 2].min())).astype(np.float32)
CAMERAS = lib.CameraRange((-0.1, 0.35), (4000.0, 7000.0))


def test_see_by_hand():
  # Camera 3-4-5: 4 m in front, 3 m above the target at 900: pelvis on the target is on the axis.
  people = jnp.zeros((1, 2, 3)).at[0, :, 2].set(jnp.array([900.0, 0.0]))
  views = lib.see(people, jnp.arctan2(3.0, 4.0), jnp.asarray(5000.0), 900.0)
  np.testing.assert_allclose(views.levelled[0], [[0, 3000, 4000], [0, 3900, 4000]], rtol=1e-5)
  np.testing.assert_allclose(views.rays[0, 0], 0, atol=1e-6)
  np.testing.assert_allclose(views.distance, 5000, rtol=1e-6)
  np.testing.assert_allclose(views.theta, -np.arctan2(3, 4), rtol=1e-5)
  # The floor point: 900 down is 900 · 0.6 = 540 farther along the axis, 720 across it.
  np.testing.assert_allclose(views.depth[0], [0, 540], atol=0.01)
  np.testing.assert_allclose(views.rays[0, 1], [0, 720 / 5540], atol=1e-6)


@functools.cache
def groups(layout, count):
  keys = jax.random.split(jax.random.key(2), 64)
  poses = jnp.tile(jnp.asarray(POSE), (count, 1, 1))
  draw = jax.jit(jax.vmap(lambda key: lib.sample_group(key, poses, CAMERAS, layout)))
  return jax.tree.map(np.asarray, draw(keys))


@pytest.mark.parametrize(('layout', 'count'), [('apart', 2), ('close', 2), ('side', 3)])
def test_layouts_keep_their_distances(layout, count):
  views = groups(layout, count)
  pelvis = views.levelled[:, :, 0]
  gap = np.linalg.norm(pelvis[:, 1] - pelvis[:, 0], axis=-1)
  low, high = lib.LAYOUTS[layout]
  assert gap.min() >= low - 1 and gap.max() <= high + 1 and np.ptp(gap) > 0.6 * (high - low)
  depth = np.abs(pelvis[:, 1, 2] - pelvis[:, 0, 2])
  assert depth.max() < 1 if layout == 'side' else depth.max() > 0.5 * low


def test_exact_depth_and_rectified_rays_are_the_person():
  views = groups('apart', 2)
  z = views.distance[..., None] + views.depth
  pose = np.concatenate([views.rectified * z[..., None], z[..., None]], -1)
  pose = pose - pose[:, :, :1]
  true = views.levelled - views.levelled[:, :, :1]
  for ours, theirs in zip(pose.reshape(-1, 17, 3), true.reshape(-1, 17, 3), strict=True):
    np.testing.assert_allclose(  # the same distances between all joints
      np.linalg.norm(ours[:, None] - ours, axis=-1),
      np.linalg.norm(theirs[:, None] - theirs, axis=-1), atol=0.5,
    )
  # Rx(θ) brings a plumb line upright, but for the roll of a ray that is off to the side.
  levelled = np.asarray(lifting.turn(lifting.turn_x(jnp.asarray(views.theta)), jnp.asarray(pose)))
  np.testing.assert_allclose(levelled[..., 1], true[..., 1], atol=120)


def test_a_person_alone_has_the_range_of_the_cameras():
  keys = jax.random.split(jax.random.key(3), 256)
  draw = jax.jit(jax.vmap(lambda key: lib.sample_person(key, jnp.asarray(POSE), CAMERAS)))
  views = jax.tree.map(np.asarray, draw(keys))
  assert views.rectified.shape == (256, 1, 17, 2)
  np.testing.assert_allclose(views.rectified[:, :, 0], 0, atol=1e-6)
  assert views.distance.min() > 2900 and views.distance.max() < 8100
  # Seen from higher cameras: θ is minus the elevation, give or take where the person stands.
  assert np.corrcoef(views.theta[:, 0], views.pitch)[0, 1] < -0.9


def test_bones_vary_left_as_right_and_stand():
  vary = jax.jit(lambda key: lib.vary_bones(key, jnp.asarray(POSE), J17, 0.05, 0.07))
  lengths = []
  parents = np.array(J17.parents[1:])

  def bones(pose):
    return np.linalg.norm(pose[1:] - pose[parents], axis=-1)

  for seed in range(8):
    pose = np.asarray(vary(jax.random.key(seed)))
    assert pose[:, 2].min() == pytest.approx(0, abs=1e-2)
    ratio = np.concatenate([[1], bones(pose) / bones(POSE)])
    for right, left in J17.flip_pairs:
      assert ratio[right] == pytest.approx(ratio[left], rel=1e-4)
    lengths.append(ratio[1:])
  assert 0.02 < np.std(np.log(lengths)) < 0.12
  same = lib.vary_bones(jax.random.key(0), jnp.asarray(POSE), J17, 0.0, 0.0)
  np.testing.assert_allclose(same, POSE, atol=1e-2)
