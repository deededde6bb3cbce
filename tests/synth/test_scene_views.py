"""Pictures with ground truth: equal to their parts, independent of how many are asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.synth import renderer, scene_views, scenes
from posejax.synth.domains import DOMAIN_A, DOMAIN_B
from posejax.synth.motion_families import Family
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scene_views import Clip, device_samples

# The same as in tests/data/test_synthetic_scenes.py, so that one compilation serves both.
CONFIG = SceneConfig(placement='room', max_people=2, num_cameras=2, width=32, height=24)
MOVING = SceneConfig(
  placement='room', max_people=2, num_cameras=2, width=24, height=16, pose_source='motion',
  camera_motion=('orbit',), families=(Family.WALK,),
)


def flat_picture(joints_world, valid, camera, looks, size):
  """A stand-in for the renderer whose pictures tell which joints and camera they were made of."""
  del looks
  value = jnp.floor(jnp.sum(joints_world[0, :, 0]) / 100 + 100 * camera.rotation[0, 0]) % 256
  image = jnp.full((*size, 3), value).astype(jnp.uint8)
  return renderer.Rendering(
    image, jnp.zeros(size, jnp.int32), jnp.ones(size), jnp.ones(valid.shape)
  )


@pytest.fixture(scope='module')
def samples():
  return jax.device_get(device_samples(3, np.arange(10), CONFIG, DOMAIN_A))


def equal(a, b):
  return all(map(np.array_equal, jax.tree.leaves(a), jax.tree.leaves(b)))


def test_shapes(samples):
  assert samples.image.shape == (10, 2, 24, 32, 3) and samples.image.dtype == np.uint8
  assert samples.person_mask.shape == (10, 2, 24, 32) and samples.person_mask.dtype == np.uint8
  assert samples.joints_world.shape == (10, 1, 2, 17, 3)
  assert samples.joints_camera.shape == (10, 2, 2, 17, 3)
  assert samples.joints_image.shape == (10, 2, 2, 17, 2)
  assert samples.camera.rotation.shape == (10, 2, 3, 3)


def test_samples_do_not_depend_on_their_company(samples):
  order = [9, 0, 3]
  some = jax.device_get(device_samples(3, order, CONFIG, DOMAIN_A))
  assert equal(some, jax.tree.map(lambda array: array[order], samples))
  assert not equal(device_samples(4, [0], CONFIG, DOMAIN_A).image, samples.image[:1])
  # Another domain changes the looks, not the scene.
  other = jax.device_get(device_samples(3, [0], CONFIG, DOMAIN_B))
  np.testing.assert_array_equal(other.joints_world, samples.joints_world[:1])
  assert np.mean(other.image != samples.image[:1]) > 0.5


def test_cameras_by_hand(samples):
  # X_cam = R X_world + t; px = f X/Z + c; camera c of a still is view c.
  camera, world = samples.camera, samples.joints_world.astype(np.float64)
  assert samples.valid.any()
  for n, v in np.ndindex(10, 2):
    seen = world[n, 0] @ camera.rotation[n, v].T + camera.translation[n, v]
    np.testing.assert_allclose(samples.joints_camera[n, v], seen, atol=0.1)
    pixels = seen[..., :2] / seen[..., 2:] * camera.intrinsics.focal[n, v]
    pixels += camera.intrinsics.center[n, v]
    valid = samples.valid[n]
    np.testing.assert_allclose(samples.joints_image[n, v][valid], pixels[valid], atol=0.01)


def test_masks_show_the_persons(samples):
  checked = 0
  for n, v in np.ndindex(10, 2):
    mask, valid = samples.person_mask[n, v], samples.valid[n]
    assert set(np.unique(mask)) <= {0, *(np.flatnonzero(valid) + 1).tolist()}
    for person in np.flatnonzero(samples.visible_share[n, v] == 1):
      # Nothing hides the person: the flesh about the middle of the trunk is its own.
      x, y = samples.joints_image[n, v, person, :2].mean(axis=0).round().astype(int)
      if 0 <= x < 32 and 0 <= y < 24:
        assert mask[y, x] == person + 1
        checked += 1
  assert checked >= 5


def test_the_scene_is_the_one_that_sample_scene_draws(samples):
  key = jax.random.fold_in(jax.random.key(3, impl='threefry2x32'), 5)
  scene_key, _ = jax.random.split(key)
  scene = jax.jit(scenes.sample_scene, static_argnums=1)(scene_key, CONFIG)
  np.testing.assert_allclose(samples.joints_world[5, 0], scene.joints_world, atol=0.1)
  np.testing.assert_array_equal(samples.valid[5], scene.valid)


def test_clips(monkeypatch):
  # The order of views and the shapes, not the pixels: without compiling the renderer again.
  monkeypatch.setattr(renderer, 'render_scene', flat_picture)
  clip = jax.device_get(device_samples(3, [1], MOVING, DOMAIN_A, Clip(3, 10.0)))
  assert clip.image.shape == (1, 6, 16, 24, 3) and clip.joints_world.shape == (1, 3, 2, 17, 3)
  # View t · C + c is camera c at frame t.
  for t, c in np.ndindex(3, 2):
    view = t * 2 + c
    seen = clip.joints_world[0, t] @ clip.camera.rotation[0, view].T
    seen = seen + clip.camera.translation[0, view]
    np.testing.assert_allclose(clip.joints_camera[0, view], seen, atol=0.2)
    camera = jax.tree.map(lambda array, v=view: array[0, v], clip.camera)
    expected = flat_picture(clip.joints_world[0, t], clip.valid[0], camera, None, (16, 24))
    np.testing.assert_array_equal(clip.image[0, view], expected.image)
  assert not np.allclose(clip.camera.rotation[0, 0], clip.camera.rotation[0, 2], atol=1e-4)
  with pytest.raises(ValueError, match=r"pose_source = 'motion'"):
    device_samples(3, [1], CONFIG, DOMAIN_A, Clip(3))


@pytest.mark.parametrize(('seed', 'indices'), [
  (0, []), (0, [[1]]), (0, [0.5]), (0, [-1]), (0, [2**31]), (-1, [0]), (2**32, [0]),
])
def test_arguments(seed, indices):
  with pytest.raises(ValueError, match='device_samples: '):
    device_samples(seed, indices, CONFIG, DOMAIN_A)


def test_key():
  with pytest.raises(ValueError, match='key'):
    scene_views.sample_scene_views(jax.random.split(jax.random.key(0)), CONFIG, DOMAIN_A)
