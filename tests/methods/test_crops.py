"""Crops of the second stage: where they look, what depth becomes, and what H′ replaces."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import students
from posejax.geometry import camera
from posejax.methods.crossmodal import crops, infer, lift
from posejax.models.crossmodal import Representation

SIDE = 128
DEPTHS = lift.DepthRange(1000.0, 8000.0)


def person(extent, middle=(40.0, 70.0)):
  """(15, 2) px joints whose box is `extent` px high and half as wide."""
  rng = np.random.default_rng(0)
  joints = rng.uniform(-0.5, 0.5, (15, 2))
  joints[:2] = (-0.5, -0.5), (0.5, 0.5)
  return jnp.asarray(joints * (extent / 2, extent) + middle, jnp.float32)


def test_a_crop_brings_the_box_to_the_middle():
  joints = person(32.0)
  crop = crops.around(joints, jnp.float32(4000.0), SIDE, 0.5, DEPTHS)
  # Half of 128 px over 32 px.
  assert crop.zoom == pytest.approx(2.0)
  moved = np.asarray(crops.move(joints, crop, SIDE))
  np.testing.assert_allclose(moved.max(0) - moved.min(0), [32, 64], atol=1e-3)
  np.testing.assert_allclose((moved.max(0) + moved.min(0)) / 2, [63.5, 63.5], atol=1e-3)


@pytest.mark.parametrize(
  ('extent', 'depth', 'zoom'),
  [
    (8.0, 4000.0, 4.0),  # 8 by its box: H′ could not say 500 mm
    (100.0, 7000.0, 0.875),  # 0.64 by its box: nor 10.9 m
    (0.0, 7000.0, 7.0),  # all joints in one point
  ],
)
def test_zoom_leaves_the_depth_sayable(extent, depth, zoom):
  crop = crops.around(person(extent), jnp.float32(depth), SIDE, 0.5, DEPTHS)
  assert crop.zoom == pytest.approx(zoom)
  assert DEPTHS.nearest <= depth / crop.zoom <= DEPTHS.farthest


def test_a_pose_behind_the_camera_is_cropped_somewhere():
  wild = person(30.0).at[3].set(jnp.array([-1e9, 1e9]))
  crop = crops.around(wild, jnp.float32(4000.0), SIDE, 0.5, DEPTHS)
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(crop))


def test_under_weak_perspective_a_crop_is_depth_by_zoom():
  # The rule of `crops`: the camera stays, d becomes d / z.
  pose = jnp.asarray(np.random.default_rng(1).normal(size=(15, 3)) * 300, jnp.float32)
  root, depth, focal = jnp.array([40.0, 80.0]), jnp.float32(4000.0), SIDE
  crop = crops.around(person(32.0), depth, SIDE, 0.5, DEPTHS)
  image = camera.project_weak(pose, root, depth, focal)
  again = camera.project_weak(pose, crops.move(root[None], crop, SIDE)[0], depth / crop.zoom, focal)
  np.testing.assert_allclose(crops.move(image, crop, SIDE), again, atol=1e-3)


def test_what_a_crop_says_is_taken_back():
  says = DEPTHS.scaled(jnp.array([2000.0, 3000.0]))
  found = crops.unzoomed(
    Representation(jnp.ones((2, 32)), jnp.ones((2, 6)), says), jnp.array([2.0, 0.5]), DEPTHS
  )
  np.testing.assert_allclose(DEPTHS.depth(found.depth), [4000, 1500], rtol=1e-5)
  assert (found.phi == 1).all() and (found.c == 1).all()


def test_a_crop_shows_what_moves():
  # One white pixel at (40, 70), the middle of the box, is in the middle of the crop.
  image = np.zeros((SIDE, SIDE, 3), np.float32)
  image[70, 40] = 255
  crop = crops.around(person(32.0), jnp.float32(4000.0), SIDE, 0.5, DEPTHS)
  shown = np.asarray(crops.cut(jnp.asarray(image), crop))[..., 0]
  rows, columns = np.indices(shown.shape)
  inside = shown * (np.abs(rows - 63.5) < 8) * (np.abs(columns - 63.5) < 8)
  assert (inside * rows).sum() / inside.sum() == pytest.approx(63.5, abs=0.01)
  assert (inside * columns).sum() / inside.sum() == pytest.approx(63.5, abs=0.01)
  # Zoom 2: four times the area.
  assert inside.sum() == pytest.approx(4 * 255, rel=0.01)
  # (40, 70) px with zoom 2: x = 127 is 71.75 px of the picture, y = 0 is 38.25 px.
  assert shown[0, 127] == 0


@pytest.mark.parametrize('draws', [(1.0, 0, 0), (0, 1.0, -1.0), (-0.3, 0.5, 0.2)])
def test_shaken_crops(draws):
  joints = person(32.0)
  crop = crops.around(joints, jnp.float32(4000.0), SIDE, 0.5, DEPTHS)
  shaken = crops.jittered(crop, jnp.array(draws), SIDE, 0.1)
  assert shaken.zoom == pytest.approx(2 * np.exp(0.1 * draws[0]))
  moved = np.asarray(crops.move(joints, shaken, SIDE))
  middle = (moved.max(0) + moved.min(0)) / 2
  np.testing.assert_allclose(middle, 63.5 + 12.8 * np.array(draws[1:]), atol=1e-3)


def test_the_second_stage_replaces_poses_and_depths_alone():
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.align.root_threshold = 0.01
  model, params = infer.Model(config), students.random_networks(config)
  images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
  used = {name: params[name] for name in ('E', 'F', 'H', 'Psi')}
  # F sees something everywhere, so that there are people.
  used['F'] = jax.tree.map(lambda x: x + 0.05, used['F'])

  @jax.jit
  def both(used, second, images):
    one = infer.predict(model, used, images)
    return one, infer.predict(model, {**used, 'H2': second}, images)

  other = jax.tree.map(lambda x: 0.7 * x, params['H'])
  first, second = both(used, other, images)
  assert first.valid.any()
  for name in ('identity', 'score', 'joint_valid', 'valid'):
    np.testing.assert_array_equal(getattr(first, name), getattr(second, name))
  here = np.asarray(first.valid)
  np.testing.assert_allclose(
    second.joints_2d[here][:, 0], first.joints_2d[here][:, 0], atol=1e-2
  )
  assert np.abs(second.joints_relative - first.joints_relative)[here].max() > 1
  assert (np.asarray(first.depth) != second.depth)[here].all()
  assert all(np.isfinite(field).all() for field in second)
