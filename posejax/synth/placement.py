"""Where persons stand: candidate places, visibility, collisions, first fit.

Symbols: T frames, C cameras, P persons, K candidate places per person, J joints, N body points.
World frame z up, mm. A person's *form* is joints relative to their place: joints_world = form +
place, with one place (3,) for a whole clip.

Everything has a static shape: each person gets K random places at once, and takes the first that
keeps all rules given the persons before them (first fit). Someone without any such place is left
out (valid = False) rather than put where a rule breaks.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry import camera as camera_lib
from posejax.synth.scene_config import SceneConfig, between


class Placement(NamedTuple):
  """Result of `place`.

  Attributes:
    places: (P, 3) mm, world.
    valid: (P,) bool: a place was found.
  """

  places: jax.Array
  valid: jax.Array


def turn(vectors: jax.Array, rotation: jax.Array) -> jax.Array:
  """R v for vectors (..., 3) and matrices (..., 3, 3) that broadcast.

  Written out: XLA's CPU backend is slow on many small batched matrix products.
  """
  x, y, z = vectors[..., 0:1], vectors[..., 1:2], vectors[..., 2:3]
  return x * rotation[..., :, 0] + y * rotation[..., :, 1] + z * rotation[..., :, 2]


def product(first: jax.Array, second: jax.Array) -> jax.Array:
  """The matrix products first @ second of (..., 3, 3) that broadcast, by `turn`."""
  columns = turn(jnp.swapaxes(second, -1, -2), first[..., None, :, :])
  return jnp.swapaxes(columns, -1, -2)


def border_distances(
  points: jax.Array, intrinsics: camera_lib.Intrinsics, config: SceneConfig, margin: float = 0.0
) -> tuple[jax.Array, ...]:
  """Linear forms of a point that are all >= 0 where its projection is in the image.

  f x / z + c >= -1/2 + margin becomes f x + (c + 1/2 - margin) z >= 0, without a division, and
  splits into one part for the form and one for the place.

  Args:
    points: (..., 3) mm, camera axes.
    intrinsics: focal and center (..., 2) px that broadcast against the points.
    config: image size.
    margin: px kept from the border.

  Returns:
    Four (...) arrays: left, right, top, bottom; mm px.
  """
  distances = []
  z = points[..., 2]
  for axis, size in ((0, config.width), (1, config.height)):
    ray = intrinsics.focal[..., axis] * points[..., axis]
    near = intrinsics.center[..., axis] + (0.5 - margin)
    distances += [ray + near * z, (size - 2 * margin - near) * z - ray]
  return tuple(distances)


def joints_inside(
  joints: jax.Array, intrinsics: camera_lib.Intrinsics, config: SceneConfig
) -> jax.Array:
  """(..., J) bool: in front of the camera and inside the image (pixel edges -1/2, size - 1/2).

  Args:
    joints: (..., J, 3) mm, camera frame.
    intrinsics: focal and center (..., 2) px.
    config: image size.
  """
  spread = jax.tree.map(lambda array: array[..., None, :], intrinsics)
  inside = joints[..., 2] >= camera_lib.MIN_DEPTH_MM
  for distance in border_distances(joints, spread, config):
    inside &= distance >= 0
  return inside


def root_inside(
  roots: jax.Array, intrinsics: camera_lib.Intrinsics, config: SceneConfig
) -> jax.Array:
  """(...) bool: the pelvis keeps `depth_mm` and `pelvis_margin`.

  Args:
    roots: (..., 3) mm, camera frame.
    intrinsics: focal and center (..., 2) px.
    config: the rules.
  """
  depth = roots[..., 2]
  inside = (depth >= config.depth_mm[0]) & (depth <= config.depth_mm[1])
  margin = config.pelvis_margin * config.longer_side
  for distance in border_distances(roots, intrinsics, config, margin):
    inside &= distance >= 0
  return inside


def candidate_places(
  draws: jax.Array, heights: jax.Array, path: jax.Array, camera: camera_lib.Camera,
  config: SceneConfig,
) -> tuple[jax.Array, jax.Array]:
  """Random places, before any rule.

  In a room the whole path stays on the floor plan; in a frustum the middle of the path is uniform
  in depth and image position.

  Args:
    draws: (P, K, 3) uniform in [0, 1).
    heights: (P,) mm, of the places over a room's floor.
    path: (T, P, 3) mm, the pelvis relative to the place.
    camera: camera 0 at frame 0.
    config: the room or the frustum.

  Returns:
    (P, K, 3) places in mm, and (P,) bool: the path fits into the room.
  """
  if config.placement == 'frustum':
    margin = config.pelvis_margin * config.longer_side
    depth = between(draws[..., 2:], config.depth_mm)
    size = jnp.array([config.width, config.height], draws.dtype) - 2 * margin
    pixels = draws[..., :2] * size + (margin - 0.5)
    ray = (pixels - camera.intrinsics.center) / camera.intrinsics.focal
    points = jnp.concatenate([ray * depth, depth], -1) - camera.translation
    return turn(points, camera.rotation.T), jnp.ones(draws.shape[0], bool)
  half = jnp.array(config.room_mm, draws.dtype) / 2
  lowest = -half - jnp.min(path[..., :2], 0)
  space = half - jnp.max(path[..., :2], 0) - lowest
  flat = lowest[:, None] + space[:, None] * draws[..., :2]
  height = jnp.broadcast_to(heights[:, None, None], (*flat.shape[:2], 1))
  return jnp.concatenate([flat, height], -1), jnp.all(space >= 0, -1)


def seen(
  form: jax.Array, places: jax.Array, intrinsics: camera_lib.Intrinsics, config: SceneConfig
) -> jax.Array:
  """Which places keep the visibility rules.

  Args:
    form: (T, C, P, J, 3) mm, camera axes.
    places: (T, C, P, K, 3) mm, camera frame.
    intrinsics: focal and center (T, C, 2) px.
    config: the rules.

  Returns:
    (P, K) bool: kept in `required_views` cameras, in `min_frame_share` of the frames.
  """
  spread = jax.tree.map(lambda array: array[:, :, None, None], intrinsics)
  kept = root_inside(form[..., :1, :] + places, spread, config)
  if config.min_joint_share > 0:
    # Joints against places: (T, C, P, J, K), places last, where the CPU's vectors run.
    ahead = form[..., :, None, 2] + places[..., None, :, 2] >= camera_lib.MIN_DEPTH_MM
    of_form = border_distances(form, spread, config)
    of_place = border_distances(places, spread, config)
    for joint, place in zip(of_form, of_place, strict=True):
      ahead &= joint[..., :, None] + place[..., None, :] >= 0
    count = jnp.sum(ahead, -2, dtype=jnp.int32)
    kept &= count >= config.min_joint_share * form.shape[-2]
  views = jnp.sum(kept, 1, dtype=jnp.int32) >= config.required_views
  frames = jnp.sum(views, 0, dtype=jnp.int32)
  return frames >= config.min_frame_share * form.shape[0]


def place(
  candidates: jax.Array,
  allowed: jax.Array,
  path: jax.Array,
  pixels: jax.Array | None,
  points: jax.Array | None,
  config: SceneConfig,
) -> Placement:
  """First fit: each person takes the first place that is allowed and free.

  The distance rules hold at every frame of a clip, between persons at the same instant.

  Args:
    candidates: (P, K, 3) mm, world.
    allowed: (P, K) bool: asked for, visible, in the room.
    path: (T, P, 3) mm, the pelvis relative to the place.
    pixels: (V, P, K, 2) px of the pelvis in each view V of each frame, or None for no such rule.
    points: (T, P, N, 3) mm, body points relative to the place, or None for no such rule.
    config: the rules.

  Returns:
    Placement; someone left out is given their first candidate, so that all numbers are finite.
  """
  taken, valid, seen_at = [], [], []
  order = jnp.arange(candidates.shape[1])
  for p in range(candidates.shape[0]):
    free = allowed[p]
    if p:
      apart = _pelvises_apart(candidates[p], path[:, p], jnp.stack(taken), path[:, :p], config)
      if pixels is not None:
        apart &= _pixels_apart(pixels[:, p], jnp.stack(seen_at, 1), config)
      if points is not None:
        apart &= _bodies_apart(candidates[p], points[:, p], jnp.stack(taken), points[:, :p], config)
      free &= jnp.all(apart | ~jnp.stack(valid)[:, None], 0)
    first = jnp.min(jnp.where(free, order, len(order)))
    chosen = order == jnp.where(first == len(order), 0, first)
    taken.append(jnp.sum(jnp.where(chosen[:, None], candidates[p], 0), 0))
    valid.append(first < len(order))
    if pixels is not None:
      seen_at.append(jnp.sum(jnp.where(chosen[:, None], pixels[:, p], 0), 1))
  return Placement(jnp.stack(taken), jnp.stack(valid))


def _pelvises_apart(
  candidates: jax.Array, path: jax.Array, taken: jax.Array, paths: jax.Array, config: SceneConfig
) -> jax.Array:
  """(Q, K): far enough from Q placed persons: discs on a room's floor, balls in a frustum."""
  axes = 2 if config.placement == 'room' else 3
  apart = (candidates - taken[:, None])[..., :axes]
  step = (path[:, None] - paths)[..., :axes]
  square = jnp.sum((apart + step[:, :, None]) ** 2, -1)
  return jnp.all(square >= config.min_pelvis_distance_mm**2, 0)


def _pixels_apart(pixels: jax.Array, taken: jax.Array, config: SceneConfig) -> jax.Array:
  """(Q, K): pixels (V, K, 2) far enough from those of Q placed persons (V, Q, 2)."""
  square = jnp.sum((pixels[:, None] - taken[:, :, None]) ** 2, -1)
  return jnp.all(square >= config.min_pelvis_distance_px**2, 0)


def _bodies_apart(
  candidates: jax.Array, body: jax.Array, taken: jax.Array, bodies: jax.Array, config: SceneConfig
) -> jax.Array:
  """(Q, K): no body point within `body_gap_mm` of one of Q placed persons, in any frame."""
  apart = candidates - taken[:, None]
  square = 0.0
  for axis in range(3):
    # (T, Q, N, N') for the bodies, + (Q, 1, 1, K): the place comes last for the vector units.
    gap = body[:, None, :, None, axis] - bodies[:, :, None, :, axis]
    square += (gap[..., None] + apart[:, None, None, :, axis]) ** 2
  return jnp.min(square, (0, 2, 3)) >= config.body_gap_mm**2
