"""Scene cameras: where they stand, what they look at, and how smoothly they move."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.synth import cameras
from posejax.synth.scene_config import SceneConfig

STILL = SceneConfig(
  placement='room', num_cameras=3, width=160, height=120, focal=(0.8, 1.4), center_jitter=0.05,
  azimuth_deg=(-180.0, 180.0), azimuth_jitter_deg=25.0, elevation_deg=(-5.0, 40.0),
  roll_deg=(-10.0, 10.0), distance_mm=(3000.0, 7000.0), target_height_mm=(700.0, 1200.0),
  target_jitter_mm=300.0,
)
DT = 1 / 30
TIMES = np.arange(60) * DT


def sample(config, num, times=TIMES[:1], seed=0):
  shape = (num, config.num_cameras, cameras.num_camera_draws(config))
  draws = np.random.default_rng(seed).random(shape).astype(np.float32)
  sampler = jax.jit(
    jax.vmap(lambda d: cameras.sample_cameras(d, jnp.asarray(times, d.dtype), config))
  )
  return jax.tree.map(lambda array: np.asarray(array, np.float64), sampler(draws))


def eyes(camera):
  """X_cam = R X + t vanishes at the eye: X = -R^T t."""
  return -np.einsum('...ji,...j->...i', camera.rotation, camera.translation)


def angle_deg(a, b):
  cosine = (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)
  return np.degrees(np.arccos(np.clip(cosine, -1, 1)))


def test_ranges_are_kept_and_reached():
  camera = sample(STILL, 2000)
  eye = eyes(camera)[:, 0]
  axis = camera.rotation[:, 0, :, 2]
  # The line of sight runs down from the eye by the elevation.
  elevation = np.degrees(np.arcsin(-axis[..., 2]))
  low, high = STILL.elevation_deg
  assert low - 1e-3 <= elevation.min() < low + 1
  assert high - 1 < elevation.max() <= high + 1e-3
  focal = camera.intrinsics.focal[:, 0] / 160
  np.testing.assert_allclose(focal[..., 0], focal[..., 1])
  assert 0.8 <= focal.min() < 0.81
  assert 1.39 < focal.max() <= 1.4 + 1e-6
  shift = camera.intrinsics.center[:, 0] - [79.5, 59.5]
  assert 7.9 < np.abs(shift).max() <= 8 + 1e-4  # 0.05 · 160
  # Roll: the camera's x axis against the horizon.
  roll = np.degrees(np.arcsin(-camera.rotation[:, 0, :, 0, 2] / np.cos(np.radians(elevation))))
  assert 9.5 < np.abs(roll).max() <= 10 + 1e-3
  assert (eye[..., 2] > 0).all()


def test_camera_looks_at_its_target_from_the_asked_distance():
  config = dataclasses.replace(
    STILL, target_jitter_mm=0.0, target_height_mm=(900.0, 900.0), roll_deg=(0.0, 0.0),
    azimuth_jitter_deg=0.0,
  )
  camera = sample(config, 500)
  target = np.array([0, 0, 900.0])
  seen = np.einsum('btcij,j->btci', camera.rotation, target) + camera.translation
  distance = seen[..., 2]
  np.testing.assert_allclose(seen[..., :2], 0, atol=5e-3)
  assert 3000 - 1e-2 <= distance.min() < 3050
  assert 6950 < distance.max() <= 7000 + 1e-2
  # Without jitter three cameras stand 120° apart; no roll: x axes are level, image down is down.
  azimuth = np.degrees(np.arctan2(*np.moveaxis(eyes(camera)[:, 0, :, 1::-1], -1, 0)))
  np.testing.assert_allclose((azimuth[:, 1] - azimuth[:, 0]) % 360, 120, atol=1e-2)
  np.testing.assert_allclose((azimuth[:, 2] - azimuth[:, 1]) % 360, 120, atol=1e-2)
  assert np.histogram(azimuth[:, 0], 6, (-180, 180))[0].min() > 50
  np.testing.assert_allclose(camera.rotation[..., 0, 2], 0, atol=1e-6)
  assert (camera.rotation[..., 1, 2] < 0).all()


def test_fixed_camera_is_the_papers():
  camera = sample(SceneConfig(), 3)
  # f = image side, centre = middle of 224 pixels whose centres are 0..223.
  np.testing.assert_array_equal(camera.intrinsics.focal, np.full((3, 1, 1, 2), 224.0))
  np.testing.assert_array_equal(camera.intrinsics.center, np.full((3, 1, 1, 2), 111.5))


def test_still_cameras_stand_still_in_clips():
  camera = sample(STILL, 4, TIMES)
  assert camera.rotation.shape == (4, 60, 3, 3, 3)
  assert camera.intrinsics.focal.shape == (4, 60, 3, 2)
  for array in jax.tree.leaves(camera):
    np.testing.assert_array_equal(array, np.broadcast_to(array[:, :1], array.shape))
  first = sample(STILL, 4)
  np.testing.assert_array_equal(first.rotation, camera.rotation[:, :1])


@pytest.mark.parametrize('motion', [('orbit',), ('dolly',), ('handheld',), ('orbit', 'handheld')])
def test_paths_are_smooth_and_keep_their_speed(motion):
  config = dataclasses.replace(
    STILL, camera_motion=motion, orbit_deg_per_s=(10.0, 20.0), dolly_mm_per_s=(200.0, 400.0),
    handheld_mm=20.0, handheld_deg=0.6, roll_deg=(0.0, 0.0),
  )
  camera = sample(config, 64, TIMES)
  eye = eyes(camera)
  np.testing.assert_allclose(
    np.einsum('btcij,btckj->btcik', camera.rotation, camera.rotation),
    np.broadcast_to(np.eye(3), camera.rotation.shape), atol=1e-5,
  )
  velocity = np.diff(eye, axis=1) / DT
  speed = np.linalg.norm(velocity, axis=-1)
  turning = angle_deg(camera.rotation[:, 1:, :, 2], camera.rotation[:, :-1, :, 2]) / DT
  # Sways: sum of 2π f a √2 · share, three axes: below 20 mm · 8.9 · √3 ≈ 310 mm/s.
  sway = 20 * 2 * np.pi * np.sqrt(2) * np.sqrt(3) * (
    0.35 * 0.85 + 0.9 * 0.45 + 2.1 * 0.2739
  ) * ('handheld' in motion)
  allowed = {'orbit': np.radians(20) * 7000, 'dolly': 400, 'handheld': 0}
  assert speed.max() <= sum(allowed[name] for name in motion) + sway + 1
  assert speed.max() > 50
  # Smooth: no frame's velocity differs from the next one's by more than a small share.
  jerk = np.linalg.norm(np.diff(velocity, axis=1), axis=-1)
  assert jerk.max() < 0.35 * speed.max()
  assert turning.max() < 60
  distance = np.linalg.norm(eye, axis=-1)
  assert distance.min() > 2000
  if motion == ('orbit',):
    # On a level circle about the target, of constant height, both senses among 64.
    assert np.ptp(eye[..., 2], axis=1).max() < 1
    heading = np.degrees(np.arctan2(camera.rotation[..., 2, 1], camera.rotation[..., 2, 0]))
    rate = (np.diff(heading, axis=1) + 180) % 360 - 180
    rate = rate / DT
    assert 9.9 < np.abs(rate).min() < np.abs(rate).max() < 20.1
    assert (rate > 0).any()
    assert (rate < 0).any()


def test_a_hand_sways_by_its_rms():
  config = dataclasses.replace(
    SceneConfig(), camera_motion=('handheld',), handheld_mm=20.0, handheld_deg=0.6,
    distance_mm=(5000.0, 5000.0), azimuth_deg=(0.0, 0.0),
  )
  camera = sample(config, 8, np.arange(0, 200, 0.21))
  eye = eyes(camera)[:, :, 0]
  # The camera looks along -x from (5000, 0, 900): each axis of the eye sways by 20 mm.
  np.testing.assert_allclose(eye.mean((0, 1)), [5000, 0, 900], atol=2)
  np.testing.assert_allclose(eye.std((0, 1)), 20, rtol=0.03)
  # The aim: where the axis meets the plane x = 0, seen from 5000 mm; the eye's own sway moves the
  # line's start, not the target, so the target alone gives 5000 · tan 0.6° = 52.4 mm.
  axis = camera.rotation[:, :, 0, 2]
  hit = eye + axis * (-eye[..., :1] / axis[..., :1])
  np.testing.assert_allclose(hit[..., 1:].std((0, 1)), 52.4, rtol=0.03)


def test_wrong_shapes_are_refused():
  draws = jnp.zeros((3, cameras.num_camera_draws(STILL)))
  with pytest.raises(ValueError, match=r'sample_cameras: expected draws \(3, 10\).*vmap'):
    cameras.sample_cameras(draws[None], jnp.zeros(1), STILL)
  with pytest.raises(ValueError, match=r'times \(T,\)'):
    cameras.sample_cameras(draws, jnp.zeros(()), STILL)
