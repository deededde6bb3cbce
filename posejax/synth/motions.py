"""Smooth motions of one person, inside the joint limits, feet on the floor.

Symbols: T frames, J joints of J17. World frame: right-handed, z up, floor at z = 0, mm; the person
starts at x = y = 0 and faces +x, turned by the motion's own yaw. World pose:
p_w = root_position + root_rotation · p_c, with the canonical pose p_c (X forward, Y left, Z up).

A motion is a set of joint-angle curves (`motion_curves`) with a personal style (`motion_style`)
through forward kinematics, so bones keep their length; the floor decides height and way
(`motion_ground`). What a family does is data (`motion_families`), looked up by number: a batch of
different families is one fused computation.

Frame t of a motion depends on the key and on t / fps alone: a longer motion begins with the
shorter one. Source: our design [R], issue "Foundations" §4.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments, kinematics
from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib
from posejax.synth import motion_curves, motion_ground, motion_style
from posejax.synth.motion_families import ALL_FAMILIES, Family


class Motion(NamedTuple):
  """One person's motion on J17.

  Attributes:
    local: (T, J, 3) unit vectors in the joints' robust frames, root row 0.
    canonical: (T, J, 3) mm, pelvis at the origin.
    root_position: (T, 3) mm, the pelvis in the world.
    root_rotation: (T, 3, 3) world from canonical axes.
    family: () int, a `Family`.
    phase: (T,) cycles of the legs' motion.
  """

  local: jax.Array
  canonical: jax.Array
  root_position: jax.Array
  root_rotation: jax.Array
  family: jax.Array
  phase: jax.Array


def sample_motion(
  key: jax.Array,
  num_frames: int,
  fps: float = 30.0,
  family: Family | int | jax.Array | None = None,
  families: tuple[Family, ...] = ALL_FAMILIES,
  limits: limits_lib.JointLimits = limits_lib.PAPER,
  bone_lengths: jax.Array | None = None,
  variation: float = 1.0,
) -> Motion:
  """Draws one motion; vmap over keys (and families) for a batch.

  Args:
    key: one random key; everything follows from it.
    num_frames: T ≥ 1, static.
    fps: frames/s, static.
    family: what to do, a `Family` or a traced () int; None draws one of `families`.
    families: what may be drawn, and where a mixture takes its legs and arms from, static.
    limits: the joints' limits, static.
    bone_lengths: (17,) mm, `kinematics.bone_lengths()` by default.
    variation: scale of the personal style, static; 0 gives the plain recipe, exactly periodic.

  Returns:
    The motion.

  Raises:
    ValueError: num_frames < 1, fps not positive, no families, an unknown family, a negative
      variation, or a mixture without another family to take legs and arms from.
  """
  families = tuple(families)
  _check(num_frames, fps, family, families, variation)
  family, bone_lengths = _arrays(family, bone_lengths)

  dtype = jnp.result_type(float)
  style = motion_style.sample_style(key, family, families, variation)
  # A still has no way to go, and needs no frames about it.
  reach = math.ceil(motion_ground.WINDOW_REACH_S * fps) + 1 if num_frames > 1 else 0
  time_s = jnp.asarray(np.arange(-reach, num_frames + reach) / fps, dtype)
  angles = motion_curves.angles_at(style, time_s, limits)
  local = motion_curves.local_pose(angles)
  lengths = bone_lengths.astype(dtype)
  canonical = jax.vmap(kinematics.forward_kinematics, in_axes=(0, None))(local, lengths)

  rate = jnp.where(style.mirrored, -style.yaw_rate, style.yaw_rate)
  rotation = root_rotation(angles.yaw + rate * time_s, angles.pitch, angles.lean)
  points = motion_ground.contact_points(canonical)
  points = jnp.einsum('tab,tcb->tca', rotation, points)
  ground = motion_ground.stand(points, angles.hop)
  way = jnp.zeros((1, 2), dtype)
  if num_frames > 1:
    way = motion_ground.way(points, ground.grip, reach, 1 / fps)
  kept = slice(reach, reach + num_frames)
  return Motion(
    local=local[kept],
    canonical=canonical[kept],
    root_position=jnp.concatenate([way, ground.height[kept, None]], axis=-1),
    root_rotation=rotation[kept],
    family=style.family,
    phase=style.phase[0] + style.frequency[0] * time_s[kept],
  )


def root_rotation(yaw: jax.Array, pitch: jax.Array, lean: jax.Array) -> jax.Array:
  """World from canonical axes: R = R_z(yaw) R_y(pitch) R_x(lean).

  Args:
    yaw: (T,) degrees, to the left.
    pitch: (T,) degrees, forward.
    lean: (T,) degrees, to the right.

  Returns:
    (T, 3, 3).
  """
  (sy, cy), (sp, cp), (sl, cl) = (
    (jnp.sin(angle), jnp.cos(angle)) for angle in map(jnp.deg2rad, (yaw, pitch, lean))
  )
  rows = (
    (cy * cp, cy * sp * sl - sy * cl, cy * sp * cl + sy * sl),
    (sy * cp, sy * sp * sl + cy * cl, sy * sp * cl - cy * sl),
    (-sp, cp * sl, cp * cl),
  )
  return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def joints_world(motion: Motion) -> jax.Array:
  """The joints in the world.

  Args:
    motion: one motion.

  Returns:
    (T, J, 3) mm, z up, floor at z = 0.

  Raises:
    ValueError: a batch of motions.
  """
  num = skeleton_lib.J17.num_joints
  if motion.canonical.ndim != 3 or motion.canonical.shape[1:] != (num, 3):
    raise ValueError(
      f'joints_world: motion.canonical must have shape (T, {num}, 3), got '
      f'{motion.canonical.shape}; vmap over batches'
    )
  turned = jnp.einsum('tab,tjb->tja', motion.root_rotation, motion.canonical)
  return motion.root_position[:, None] + turned


def _arrays(
  family: Family | int | jax.Array | None, bone_lengths: jax.Array | None
) -> tuple[jax.Array | None, jax.Array]:
  """The family's number, None where it is to be drawn, and (17,) mm."""
  if family is not None:
    family = jnp.clip(jnp.asarray(family, jnp.int32), 0, len(Family) - 1)
    if family.ndim:
      raise ValueError(
        f'sample_motion: family must have shape (), got {family.shape}; vmap over it'
      )
  if bone_lengths is None:
    bone_lengths = kinematics.bone_lengths()
  num = skeleton_lib.J17.num_joints
  return family, arguments.as_float('sample_motion', 'bone_lengths', bone_lengths, (num,))


def _check(
  num_frames: int, fps: float, family: Family | int | jax.Array | None,
  families: tuple[Family, ...], variation: float,
) -> None:
  if not isinstance(num_frames, (int, np.integer)) or num_frames < 1:
    raise ValueError(f'sample_motion: num_frames is {num_frames}, expected an int ≥ 1')
  if not (math.isfinite(fps) and fps > 0):
    raise ValueError(f'sample_motion: fps is {fps}, expected a positive number')
  if not (math.isfinite(variation) and variation >= 0):
    raise ValueError(f'sample_motion: variation is {variation}, expected a number ≥ 0')
  unknown = [name for name in families if name not in ALL_FAMILIES]
  if not families or unknown:
    raise ValueError(f'sample_motion: families is {families}, expected some of {ALL_FAMILIES}')
  if isinstance(family, (int, np.integer)) and family not in ALL_FAMILIES:
    raise ValueError(f'sample_motion: family is {family}, expected one of {ALL_FAMILIES}')
  mixes = Family.MIXTURE in families if family is None else family is Family.MIXTURE
  if mixes and not motion_style.lends(families):
    raise ValueError(
      f'sample_motion: none of {families} can give legs and arms to a mixture'
    )
