"""Scenes: several persons in a room, seen by one or more cameras, with exact ground truth.

Symbols: T frames, C cameras, P persons, J = 17 joints (J17). World frame right-handed, z up, floor
at z = 0, mm; camera frame x right, y down, z forward, mm; image px.

  joints_world = body_rotation p_c + root;  X_cam = R X_world + t;  px = full perspective
  c: p_r = X_cam - X_cam[pelvis] = T_R(p_c, c)  (kinematics.rotate_to_camera)

Placing rules (placement.py) in this order: inside the room; pelvis within the image's margin and
the depth range, enough joints in the image, in enough cameras; apart from the persons before. A
clip's rules hold over all its frames: persons keep their distance at each instant, although their
paths may cross. A person without a free place among K tries is left out: compare `valid` to
`requested` for the rate.

Sources: D_syn of spec/crossmodal.md ("Data"; Kundu et al., ECCV 2020); the rest is ours [R].
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import camera as camera_lib
from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.synth import cameras as cameras_lib
from posejax.synth import people, placement, poses
from posejax.synth.scene_config import SceneConfig

_J17 = skeleton_lib.J17
_ROOT = _J17.index('pelvis')


class Scene(NamedTuple):
  """One scene; in a sequence every field but the three of `STILL_FIELDS` has a leading T.

  Where `valid` is False the numbers are finite and mean nothing.

  Attributes:
    requested: (P,) bool, slots that were asked for.
    valid: (P,) bool, slots that found a place.
    bone_lengths: (P, J) mm.
    local: (P, J, 3) local pose p_l.
    canonical: (P, J, 3) canonical pose p_c, mm.
    body_rotation: (P, 3, 3) world from canonical.
    joints_world: (P, J, 3) mm.
    cameras: Camera, leading axis C.
    joints_camera: (C, P, J, 3) mm; the root's row gives p_g = p_r + root.
    joints_image: (C, P, J, 2) px, full perspective.
    root_depth: (C, P) mm, d.
    root_px: (C, P, 2) px, r.
    sincos: (C, P, 6) the view's c.
    in_frame: (C, P, J) bool, valid and inside the image.
    visible: (C, P) bool, valid and this camera's rules are kept.
  """

  requested: jax.Array
  valid: jax.Array
  bone_lengths: jax.Array
  local: jax.Array
  canonical: jax.Array
  body_rotation: jax.Array
  joints_world: jax.Array
  cameras: camera_lib.Camera
  joints_camera: jax.Array
  joints_image: jax.Array
  root_depth: jax.Array
  root_px: jax.Array
  sincos: jax.Array
  in_frame: jax.Array
  visible: jax.Array


STILL_FIELDS = ('requested', 'valid', 'bone_lengths')


class _Draws(NamedTuple):
  """One block of uniform numbers, cut up: random bits cost more than what is made of them."""

  count: jax.Array  # ()
  people: jax.Array  # (P, n)
  places: jax.Array  # (P, K, 3)
  cameras: jax.Array  # (C, n)


def sample_scene(key: jax.Array, config: SceneConfig, local: jax.Array | None = None) -> Scene:
  """Draws one scene.

  Args:
    key: one random key; everything comes from it.
    config: what to draw from; static under `jax.jit`.
    local: (P, J, 3) local poses (robust frames) to place instead of drawn ones, as from motion
      capture; one that is not finite is left out.

  Returns:
    Scene, in the default float type.

  Raises:
    ValueError: `key` is no single key, or `local` has another shape.

  Source: D_syn of spec/crossmodal.md; with 'room' and 'motion' ours [R].
  """
  _check_key('sample_scene', key)
  pose_key, draw_key = jax.random.split(key)
  draws = _draw(draw_key, config)
  if local is not None:
    expected = (config.max_people, _J17.num_joints, 3)
    if jnp.shape(local) != expected:
      raise ValueError(
        f'sample_scene: local must have shape {expected}, got {jnp.shape(local)}; '
        'vmap over batches'
      )
    bodies = people.posed(jnp.asarray(local), draws.people, config)
  elif config.pose_source == 'artificial':
    sampled = poses.sample_local_poses(pose_key, config.max_people, limits=config.limits)
    bodies = people.posed(sampled, draws.people, config)
  else:
    # One instant: the rate is only the grid on which the motion's way over the floor is summed.
    bodies = people.moving(pose_key, draws.people, config, 1, 1.0)
  clip = _assemble(draws, bodies, jnp.zeros(1, draws.count.dtype), config)
  return scene_at(clip, 0)


def sample_scene_sequence(
  key: jax.Array, config: SceneConfig, num_frames: int, fps: float = 30.0
) -> Scene:
  """Draws one scene in which people move, seen by cameras that may move too.

  Args:
    key: one random key.
    config: what to draw from, with pose_source = 'motion'; static under `jax.jit`.
    num_frames: T; static.
    fps: frames per second; static.

  Returns:
    Scene with a leading T on every field but `STILL_FIELDS`; `scene_at` gives one frame.

  Raises:
    ValueError: poses that cannot move, no frames, or a rate that is not positive.
  """
  _check_key('sample_scene_sequence', key)
  if config.pose_source != 'motion':
    raise ValueError(
      "sample_scene_sequence: expected SceneConfig.pose_source = 'motion', got "
      f'{config.pose_source!r}: artificial poses do not move'
    )
  if not (num_frames >= 1 and 0 < fps < float('inf')):
    raise ValueError(
      f'sample_scene_sequence: expected num_frames >= 1 and fps > 0, got {num_frames} and {fps}'
    )
  pose_key, draw_key = jax.random.split(key)
  draws = _draw(draw_key, config)
  bodies = people.moving(pose_key, draws.people, config, num_frames, fps)
  times = jnp.arange(num_frames, dtype=draws.count.dtype) / fps
  return _assemble(draws, bodies, times, config)


def scene_at(sequence: Scene, frame: int | jax.Array) -> Scene:
  """One frame of a sequence, as `sample_scene` would give it.

  Args:
    sequence: from `sample_scene_sequence`.
    frame: index in 0..T-1.
  """
  return Scene(**{
    name: value if name in STILL_FIELDS else jax.tree.map(lambda array: array[frame], value)
    for name, value in sequence._asdict().items()
  })


def _check_key(function: str, key: jax.Array):
  shape = jnp.shape(key)
  expected = () if jnp.issubdtype(key.dtype, jax.dtypes.prng_key) else (2,)
  if shape != expected:
    raise ValueError(f'{function}: key must be one key, got shape {shape}; vmap over batches')


def _draw(key: jax.Array, config: SceneConfig) -> _Draws:
  persons, cameras = config.max_people, config.num_cameras
  shapes = _Draws(
    (),
    (persons, people.num_person_draws(config)),
    (persons, config.candidates, 3),
    (cameras, cameras_lib.num_camera_draws(config)),
  )
  sizes = [math.prod(shape) for shape in shapes]
  block = jax.random.uniform(key, (sum(sizes),))
  parts = jnp.split(block, np.cumsum(sizes)[:-1])
  return _Draws(*(part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)))


def _assemble(
  draws: _Draws, bodies: people.People, times: jax.Array, config: SceneConfig
) -> Scene:
  """Places the bodies and views them; all fields with a leading T but `STILL_FIELDS`."""
  cameras = cameras_lib.sample_cameras(draws.cameras, times, config)
  asked = config.min_people + jnp.floor(
    draws.count * (config.max_people - config.min_people + 1)
  )
  requested = jnp.arange(config.max_people) < asked

  form = placement.turn(bodies.canonical, bodies.rotation[:, :, None]) + bodies.path[:, :, None]
  first = jax.tree.map(lambda array: array[0, 0], cameras)
  candidates, fits = placement.candidate_places(
    draws.places, bodies.heights, bodies.path, first, config
  )
  # (T, C, 1, 1, 3, 3): the cameras' rotations against persons and their joints or places.
  turning = cameras.rotation[:, :, None, None]
  moving = cameras.translation[:, :, None, None]
  form_seen = placement.turn(form[:, None], turning)
  places_seen = placement.turn(candidates, turning) + moving
  allowed = placement.seen(form_seen, places_seen, cameras.intrinsics, config)
  allowed &= (requested & fits & bodies.usable)[:, None]
  placed = placement.place(
    candidates, allowed, bodies.path,
    _pelvis_pixels(form_seen, places_seen, cameras, config),
    _body_points(form, config),
    config,
  )

  joints_camera = form_seen + placement.turn(placed.places[:, None], turning) + moving
  project = jax.vmap(jax.vmap(camera_lib.project))
  flat = joints_camera.reshape(*joints_camera.shape[:2], -1, 3)
  joints_image = project(flat, cameras.intrinsics).reshape(*joints_camera.shape[:-1], 2)
  view_rotation = placement.product(turning[:, :, 0], bodies.rotation[:, None])
  sincos = jax.vmap(jax.vmap(jax.vmap(kinematics.sincos_from_pose_rotation)))
  intrinsics = jax.tree.map(lambda array: array[:, :, None], cameras.intrinsics)
  in_frame = placement.joints_inside(joints_camera, intrinsics, config)
  shown = placement.root_inside(joints_camera[..., _ROOT, :], intrinsics, config)
  shown &= jnp.sum(in_frame, -1) >= config.min_joint_share * _J17.num_joints
  return Scene(
    requested=requested,
    valid=placed.valid,
    bone_lengths=bodies.bone_lengths,
    local=bodies.local,
    canonical=bodies.canonical,
    body_rotation=bodies.rotation,
    joints_world=form + placed.places[:, None],
    cameras=cameras,
    joints_camera=joints_camera,
    joints_image=joints_image,
    root_depth=joints_camera[..., _ROOT, 2],
    root_px=joints_image[..., _ROOT, :],
    sincos=sincos(view_rotation),
    in_frame=in_frame & placed.valid[:, None],
    visible=shown & placed.valid,
  )


def _pelvis_pixels(
  form: jax.Array, places: jax.Array, cameras: camera_lib.Camera, config: SceneConfig
) -> jax.Array | None:
  """(T C, P, K, 2) px of the pelvis at each place, or None where no rule asks."""
  if config.min_pelvis_distance_px == 0:
    return None
  points = form[..., _ROOT : _ROOT + 1, :] + places
  pixels = jax.vmap(jax.vmap(camera_lib.project))(
    points.reshape(*points.shape[:2], -1, 3), cameras.intrinsics
  )
  return pixels.reshape(-1, *points.shape[2:4], 2)


def _body_points(form: jax.Array, config: SceneConfig) -> jax.Array | None:
  """(T, P, N, 3) joints and limb middles, or None where no rule asks."""
  if config.body_gap_mm == 0:
    return None
  start, end = np.array(_J17.limbs).T
  return jnp.concatenate([form, (form[..., start, :] + form[..., end, :]) / 2], -2)
