"""Random cameras around one scene: still, or on a smooth path.

Symbols: T frames, C cameras, u uniform random numbers in [0, 1). World frame z up, floor at z = 0,
mm; a camera is X_cam = R X_world + t (geometry/camera.py). Camera c stands at azimuth a_0 + 360°
c / C (+ jitter), elevation e and distance D seen from its target:

  eye = target + D (cos e cos a, cos e sin a, sin e)

Paths add to that: orbit a(t) = a + ω t; dolly D(t) swings as a sine inside its range, so that its
speed is smooth and bounded; handheld adds three sines per axis to eye and target. The ranges are
ours [R]: the papers use fixed rigs.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import camera as camera_lib
from posejax.synth.scene_config import SceneConfig, between

# A hand's sway: slow drift, breathing, tremor. Frequencies (Hz) and amplitudes of RMS 1 together.
_SWAY_HZ = np.array([0.35, 0.9, 2.1])
_SWAY_AMPLITUDE = np.sqrt(2.0) * np.array([0.85, 0.45, 0.2739])

_STILL_DRAWS = 10
_PATH_DRAWS = 4
_SWAY_DRAWS = 6 * len(_SWAY_HZ)


def num_camera_draws(config: SceneConfig) -> int:
  """Random numbers that one camera takes."""
  return (
    _STILL_DRAWS
    + _PATH_DRAWS * bool(config.camera_motion)
    + _SWAY_DRAWS * ('handheld' in config.camera_motion)
  )


def sample_cameras(draws: jax.Array, times: jax.Array, config: SceneConfig) -> camera_lib.Camera:
  """Cameras of one scene, for every frame.

  Args:
    draws: (C, `num_camera_draws(config)`) uniform in [0, 1).
    times: (T,) s.
    config: what to draw from.

  Returns:
    Camera with leading axes (T, C).

  Raises:
    ValueError: wrong shapes.
  """
  wanted = (config.num_cameras, num_camera_draws(config))
  if draws.shape != wanted or times.ndim != 1:
    raise ValueError(
      f'sample_cameras: expected draws {wanted} and times (T,), got {draws.shape} and '
      f'{times.shape}; vmap over batches'
    )
  intrinsics = jax.vmap(lambda u: _intrinsics(u, config))(draws[:, :3])
  # Still cameras are made once: the look-at frame of every frame would be the same.
  moments = times if config.camera_motion else times[:1]
  eyes, targets = _path(draws[:, 3:], moments, config)
  rolls = jnp.deg2rad(between(draws[:, 3], config.roll_deg))
  rolls = jnp.broadcast_to(rolls, eyes.shape[:2])
  look_at = jax.vmap(jax.vmap(lambda eye, target, roll: camera_lib.look_at(eye, target, roll=roll)))
  rotations, translations = look_at(eyes, targets, rolls)
  frames = times.shape[0]
  spread = lambda array: jnp.broadcast_to(array, (frames, *array.shape[1:]))  # noqa: E731
  return camera_lib.Camera(
    jax.tree.map(lambda array: spread(array[None]), intrinsics),
    spread(rotations),
    spread(translations),
  )


def _intrinsics(draws: jax.Array, config: SceneConfig) -> camera_lib.Intrinsics:
  fixed = camera_lib.fixed_intrinsics(config.width, config.height)
  shift = config.center_jitter * config.longer_side * (2 * draws[1:3] - 1)
  return camera_lib.Intrinsics(
    fixed.focal * between(draws[0], config.focal), fixed.center + shift
  )


def _path(
  draws: jax.Array, times: jax.Array, config: SceneConfig
) -> tuple[jax.Array, jax.Array]:
  """(T, C, 3) eyes and targets, mm; `draws` without the intrinsics' three."""
  # draws: 0 roll, 1 azimuth, 2 elevation, 3 distance, 4 target height, 5-6 target x, y,
  # 7 orbit speed, 8 orbit sense, 9 dolly speed, 10 dolly sense, then the sway's phases.
  count = config.num_cameras
  ring = np.arange(count) * (2 * math.pi / count)
  jitter = math.radians(config.azimuth_jitter_deg) * (2 * draws[:, 1] - 1)
  first = jnp.deg2rad(between(draws[0, 1], config.azimuth_deg))
  # Camera 0 takes its number as its azimuth, which is random already; the others as a jitter.
  azimuth = first + ring.astype(draws.dtype) + jnp.where(np.arange(count) == 0, 0, jitter)
  azimuth = jnp.broadcast_to(azimuth, (times.shape[0], count))
  if 'orbit' in config.camera_motion:
    speed = jnp.deg2rad(between(draws[:, 7], config.orbit_deg_per_s))
    azimuth = azimuth + times[:, None] * speed * _sign(draws[:, 8])
  elevation = jnp.deg2rad(between(draws[:, 2], config.elevation_deg))
  distance = _distance(draws, times, config)
  side = config.target_jitter_mm * (2 * draws[:, 5:7] - 1)
  height = between(draws[:, 4:5], config.target_height_mm)
  target = jnp.broadcast_to(jnp.concatenate([side, height], -1), (*azimuth.shape, 3))
  ray = jnp.stack([
    jnp.cos(elevation) * jnp.cos(azimuth),
    jnp.cos(elevation) * jnp.sin(azimuth),
    jnp.broadcast_to(jnp.sin(elevation), azimuth.shape),
  ], axis=-1)
  eye = target + distance[..., None] * ray
  if 'handheld' in config.camera_motion:
    sway = _sway(draws[:, 11:], times)
    eye = eye + config.handheld_mm * sway[..., :3]
    aim = distance[..., None] * math.tan(math.radians(config.handheld_deg))
    target = target + aim * sway[..., 3:]
  return eye, target


def _distance(draws: jax.Array, times: jax.Array, config: SceneConfig) -> jax.Array:
  """(T, C) camera to target, mm: uniform in its range at t = 0, then a sine within it."""
  low, high = config.distance_mm
  reach = (high - low) / 2
  if 'dolly' not in config.camera_motion or not reach:
    distance = between(draws[:, 3], config.distance_mm)
    return jnp.broadcast_to(distance, (times.shape[0], distance.shape[0]))
  pace = between(draws[:, 9], config.dolly_mm_per_s) / reach * _sign(draws[:, 10])
  phase = jnp.arcsin(2 * draws[:, 3] - 1)
  return (low + high) / 2 + reach * jnp.sin(phase + pace * times[:, None])


def _sign(draws: jax.Array) -> jax.Array:
  return jnp.where(draws < 0.5, -1, 1).astype(draws.dtype)


def _sway(draws: jax.Array, times: jax.Array) -> jax.Array:
  """(T, C, 6) smooth noise of RMS 1 on each axis."""
  phases = 2 * math.pi * draws.reshape(draws.shape[0], 6, len(_SWAY_HZ))
  angles = times[:, None, None, None] * (2 * math.pi * _SWAY_HZ).astype(draws.dtype)
  return jnp.sum(jnp.sin(angles + phases) * _SWAY_AMPLITUDE.astype(draws.dtype), -1)
