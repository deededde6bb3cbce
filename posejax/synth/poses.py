"""Artificial poses: the joint-limit table sampled on the device, and how plausible poses are.

Symbols: N poses, J joints, D drawn joints; θ azimuth, γ polar angle of a local vector, rad. Local
poses are unit vectors in the joints' robust frames, root row 0 (`kinematics`); positions are mm.

θ and γ are drawn independently and uniformly over each joint's range [P]; an elbow in its forbidden
corner is redrawn [R]. Redrawing until it fits means: uniform over what is left of the box. That
is drawn exactly and without a loop by the inverse of γ's marginal distribution, which is piecewise
linear, and then θ over the width that γ leaves. Inferred joints: l_hip = −r_hip, l_shoulder =
2·neck − r_shoulder, in mirrored frames (x, −y, −z); the neck is fixed [P].

Source: spec/kinematics.md, "Spherical angles and the limit table". The body's thickness in
`self_intersects` is our reading [R].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments, kinematics
from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib

# What follows from the right side's row, with these signs.
_INFERRED = {'l_hip': 'r_hip', 'l_shoulder': 'r_shoulder'}
_OPPOSITE = (1.0, -1.0, -1.0)

# Radii of the body's parts, mm, slimmer than flesh, so that touching is allowed [R].
_PARTS = (
  ('pelvis', 'neck', 95.0), ('neck', 'head_top', 70.0),
  ('r_shoulder', 'r_elbow', 35.0), ('r_elbow', 'r_wrist', 28.0),
  ('l_shoulder', 'l_elbow', 35.0), ('l_elbow', 'l_wrist', 28.0),
  ('r_hip', 'r_knee', 55.0), ('r_knee', 'r_ankle', 38.0),
  ('l_hip', 'l_knee', 55.0), ('l_knee', 'l_ankle', 38.0),
)
# Parts that meet at a joint or sit side by side on the trunk always overlap there.
_NEIGHBOURS = {
  (0, 1), (0, 2), (0, 4), (0, 6), (0, 8), (1, 2), (1, 4), (2, 3), (4, 5), (6, 7), (8, 9), (6, 8),
}


class Plausibility(NamedTuple):
  inside_limits: jax.Array  # (J,) bool
  self_intersecting: jax.Array  # () bool


def sample_local_poses(
  key: jax.Array,
  num: int,
  limits: limits_lib.JointLimits = limits_lib.PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
) -> jax.Array:
  """Draws poses uniformly over the joint limits.

  Pose i depends on the key and on i alone: a longer draw begins with the shorter one. For a key
  per pose, vmap over keys with num = 1.

  Args:
    key: one random key.
    num: N ≥ 0, static.
    limits: the joints' limits, static.
    skeleton: J15, J17 or another set with their tree, static.

  Returns:
    (N, J, 3) local poses, a valid set each (`kinematics.constrain_local` changes nothing).

  Raises:
    ValueError: num < 0, a joint without limits, or limits that leave a joint nothing.
  """
  if not isinstance(num, (int, np.integer)) or num < 0:
    raise ValueError(f'sample_local_poses: num is {num}, expected an int ≥ 0')
  dtype = jnp.result_type(float)
  table = limits_lib.limit_table(limits, skeleton)
  drawn = [
    j for j, name in enumerate(skeleton.joints)
    if name not in _INFERRED and name not in ('pelvis', 'neck')
  ]
  # The pose's number is the leading axis, and so the slow one of the generator's counter.
  uniform = jax.random.uniform(key, (num, len(drawn), 2), dtype)
  theta, gamma = _inside(uniform, table[drawn], [skeleton.joints[j] for j in drawn])
  rows = limits_lib.local_from_spherical(theta, gamma)

  source, sign = np.zeros(skeleton.num_joints, int), np.zeros((skeleton.num_joints, 3))
  for j, name in enumerate(skeleton.joints):
    joint = skeleton.index(_INFERRED.get(name, name))
    if joint in drawn:
      source[j], sign[j] = drawn.index(joint), _OPPOSITE if name in _INFERRED else 1.0
    if name in ('r_hip', 'l_hip'):
      sign[j, 1] = 0.0  # sin 180° is not 0 in floating point
  fixed = np.zeros((skeleton.num_joints, 3))
  fixed[skeleton.index('neck'), 2] = 1.0
  return rows[:, source] * jnp.asarray(sign, dtype) + jnp.asarray(fixed, dtype)


def _inside(
  uniform: jax.Array, table: np.ndarray, names: list[str]
) -> tuple[jax.Array, jax.Array]:
  """θ, γ (N, D) uniform over boxes without their corners, of uniform numbers (N, D, 2)."""
  low, high, gamma_low, gamma_high, corner_theta, corner_gamma = table.T
  corner_theta = np.clip(corner_theta, low, high)
  corner_gamma = np.clip(corner_gamma, gamma_low, gamma_high)
  # A range of width 0 is one value, and weighs as any other.
  wide = np.where(high > low, high - low, 1.0)
  narrow = np.where(high > low, high - corner_theta, 1.0)
  tall, rest = corner_gamma - gamma_low, gamma_high - corner_gamma
  empty = (tall == 0) & (narrow == 0)
  if empty.any():
    raise ValueError(
      f'sample_local_poses: the forbidden corner leaves nothing of {names[int(empty.argmax())]}'
    )
  as_array = lambda value: jnp.asarray(value, uniform.dtype)  # noqa: E731
  area = uniform[..., 0] * as_array(wide * tall + narrow * rest)
  beyond = area - as_array(wide * tall)
  above = (beyond > 0) & as_array(narrow > 0).astype(bool)
  gamma = jnp.where(
    above,
    as_array(corner_gamma) + beyond / as_array(np.where(narrow > 0, narrow, 1.0)),
    as_array(gamma_low) + area / as_array(wide),
  )
  start = jnp.where(above, as_array(corner_theta), as_array(low))
  return start + uniform[..., 1] * (as_array(high) - start), gamma


def self_intersects(
  canonical: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """Whether limbs run through the trunk, the head or each other.

  Args:
    canonical: (J, 3) mm, any frame; a body of about the standard size.
    skeleton: J15, J17 or another set of their names.

  Returns:
    () bool: two capsules around bones that do not meet overlap.

  Raises:
    ValueError: another shape.
  """
  pose = arguments.as_float('self_intersects', 'canonical', canonical, (skeleton.num_joints, 3))
  pairs = [
    (a, b) for b in range(len(_PARTS)) for a in range(b) if (a, b) not in _NEIGHBOURS
  ]
  first, second = np.array(pairs).T
  start = pose[np.array([skeleton.index(part[0]) for part in _PARTS])]
  end = pose[np.array([skeleton.index(part[1]) for part in _PARTS])]
  radius = np.array([part[2] for part in _PARTS])
  squared = _segment_distance_squared(start[first], end[first], start[second], end[second])
  return jnp.any(squared < jnp.asarray((radius[first] + radius[second]) ** 2, pose.dtype))


def _segment_distance_squared(
  a: jax.Array, a_end: jax.Array, b: jax.Array, b_end: jax.Array
) -> jax.Array:
  """(K,) squared distances of K pairs of segments, (K, 3) each (Ericson, RTCD, 5.1.9)."""
  u, v, w = a_end - a, b_end - b, a - b
  uu, uv, vv = (jnp.sum(x * y, axis=-1) for x, y in ((u, u), (u, v), (v, v)))
  uw, vw = jnp.sum(u * w, axis=-1), jnp.sum(v * w, axis=-1)
  # A bone of length 0 is a point; parallel bones have a determinant of 0: any s will do.
  uu, vv = jnp.where(uu == 0, 1, uu), jnp.where(vv == 0, 1, vv)
  determinant = uu * vv - uv * uv
  parallel = determinant <= 1e-6 * uu * vv
  s = jnp.where(parallel, 0, (uv * vw - vv * uw) / jnp.where(parallel, 1, determinant))
  s = jnp.clip(s, 0, 1)
  t = jnp.clip((uv * s + vw) / vv, 0, 1)
  s = jnp.clip((uv * t - uw) / uu, 0, 1)
  gap = w + s[:, None] * u - t[:, None] * v
  return jnp.sum(gap * gap, axis=-1)


def plausibility(
  local: jax.Array,
  limits: limits_lib.JointLimits = limits_lib.PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
  bone_lengths: jax.Array | None = None,
) -> Plausibility:
  """Measures of one pose: joints inside their limits, and whether the body runs through itself.

  Args:
    local: (J, 3) local pose.
    limits: the joints' limits.
    skeleton: J15, J17 or another set with their tree.
    bone_lengths: (J,) mm, `kinematics.bone_lengths(skeleton)` by default.

  Returns:
    The measures; their means over poses are what is reported.

  Raises:
    ValueError: other shapes.
  """
  if bone_lengths is None:
    bone_lengths = kinematics.bone_lengths(skeleton)
  canonical = kinematics.forward_kinematics(local, bone_lengths, skeleton)
  return Plausibility(
    limits_lib.inside_limits(local, limits, skeleton), self_intersects(canonical, skeleton)
  )
