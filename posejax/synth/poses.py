"""Artificial poses: each joint's angles uniform over its allowed region [P].

Symbols: N poses, J joints; θ azimuth and γ polar angle of a row of a local pose. The table is in
`geometry.limits`. θ and γ are drawn independently and uniformly [P]; a joint whose region lacks a
corner (the elbow) is drawn again until it is inside [R], which is the uniform law over what is
left: two rectangles, chosen here by their areas, so that one draw does.

Inferred, not drawn: neck straight up, l_hip = −r_hip, l_shoulder = 2·neck − r_shoulder [P].

Source: spec/kinematics.md, "Spherical angles and the limit table".
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib


class _Regions(NamedTuple):
  """Two rectangles for each joint, (J,) rad; the second has share 0 where there is no corner."""

  share: np.ndarray  # of the first rectangle in the area
  theta_low: np.ndarray  # (2, J)
  theta_width: np.ndarray  # (2, J)
  gamma_low: np.ndarray  # (2, J)
  gamma_width: np.ndarray  # (2, J)


@functools.cache
def _regions(limits: limits_lib.JointLimits, skeleton: skeleton_lib.Skeleton) -> _Regions:
  """The allowed regions of all joints but the root, whose row is nobody's."""
  rows = []
  for joint, parent in zip(skeleton.joints, skeleton.parents, strict=True):
    if parent < 0:
      rows.append((1.0, (0, 0), (0, 0), (0, 0), (0, 0)))
      continue
    limit = limits.of(joint)
    (t0, t1), (g0, g1) = limit.theta, limit.gamma
    theta, gamma = limit.forbidden or (t0, g1)
    theta, gamma = min(max(theta, t0), t1), min(max(gamma, g0), g1)
    # Below the corner's γ all θ are allowed, above it those beyond the corner's θ.
    first, second = (t1 - t0) * (gamma - g0), (t1 - theta) * (g1 - gamma)
    share = first / (first + second) if first + second else 1.0
    rows.append((share, (t0, theta), (t1 - t0, t1 - theta), (g0, gamma), (gamma - g0, g1 - gamma)))
  share, *angles = (np.array(column, float) for column in zip(*rows, strict=True))
  return _Regions(share, *(np.deg2rad(column.T) for column in angles))


def sample_local_poses(
  key: jax.Array,
  num: int,
  limits: limits_lib.JointLimits = limits_lib.PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
) -> jax.Array:
  """Draws artificial poses.

  Args:
    key: random key.
    num: N, static.
    limits: the joint limits; static under `jax.jit`.
    skeleton: J17, J15 or another set with their names.

  Returns:
    (N, J, 3) local poses in robust frames, rows of length one, row 0 (root) zero; in the default
    float type. They are a valid set: `kinematics.constrain_local` leaves them as they are.

  Raises:
    ValueError: num is negative, or the skeleton has a joint without limits.
  """
  if num < 0:
    raise ValueError(f'sample_local_poses: num must be 0 or more, got {num}')
  regions = _regions(limits, skeleton)
  # Joints before poses: each row below is one long vector operation.
  pick, along = jax.random.uniform(key, (2, skeleton.num_joints, num))
  share = regions.share[:, None].astype(pick.dtype)
  second = pick >= share
  # What is left of the number that picked the rectangle is uniform again.
  rest = jnp.where(second, (pick - share) / _nonzero(1 - share), pick / _nonzero(share))

  def chosen(pair: np.ndarray) -> jax.Array:
    low, high = pair.astype(pick.dtype)[:, :, None]
    return jnp.where(second, high, low)

  theta = chosen(regions.theta_low) + along * chosen(regions.theta_width)
  gamma = chosen(regions.gamma_low) + rest * chosen(regions.gamma_width)
  return jnp.transpose(_rows(theta, gamma, skeleton), (2, 0, 1))


def _nonzero(x: np.ndarray) -> np.ndarray:
  return np.where(x == 0, np.ones_like(x), x)


def _rows(theta: jax.Array, gamma: jax.Array, skeleton: skeleton_lib.Skeleton) -> jax.Array:
  """(J, 3, N) rows of angles (J, N), with the inferred joints put in."""
  sine = jnp.sin(gamma)
  rows = list(jnp.stack([sine * jnp.cos(theta), sine * jnp.sin(theta), jnp.cos(gamma)], axis=1))
  at = {name: joint for joint, name in enumerate(skeleton.joints)}
  zero, one = jnp.zeros_like(theta[0]), jnp.ones_like(theta[0])
  rows[at['pelvis']] = jnp.stack([zero, zero, zero])
  rows[at['neck']] = jnp.stack([zero, zero, one])
  x, _, z = rows[at['r_hip']]
  rows[at['r_hip']] = jnp.stack([x, zero, z])  # sin π is not 0 in floating point
  for part in ('hip', 'shoulder'):
    x, y, z = rows[at[f'r_{part}']]
    # The opposite direction in canonical axes, in a frame that is a mirror image.
    rows[at[f'l_{part}']] = jnp.stack([x, -y, -z])
  return jnp.stack(rows)


def trunk_crossings(canonical: jax.Array, radius: float = 90.0) -> jax.Array:
  """Which limb ends lie inside the trunk, taken as a capsule from pelvis to neck.

  The limit table knows single joints alone; this says how often their combination is no pose of a
  body. Measured, not enforced: the papers draw every joint apart [P].

  Args:
    canonical: (J, 3) mm, J17 or J15.
    radius: of the capsule, mm.

  Returns:
    (4,) bool: right elbow, right wrist, left elbow, left wrist.

  Raises:
    ValueError: another shape.
  """
  skeleton = {17: skeleton_lib.J17, 15: skeleton_lib.J15}.get(canonical.shape[0])
  if skeleton is None or canonical.shape[1:] != (3,):
    raise ValueError(
      f'trunk_crossings: expected one J17 or J15 pose, got {canonical.shape}; vmap over batches'
    )
  names = ('r_elbow', 'r_wrist', 'l_elbow', 'l_wrist')
  ends = canonical[np.array([skeleton.index(name) for name in names])]
  low, high = canonical[skeleton.index('pelvis')], canonical[skeleton.index('neck')]
  axis = high - low
  along = jnp.clip((ends - low) @ axis / jnp.maximum(axis @ axis, 1e-6), 0, 1)
  nearest = low + along[:, None] * axis
  return ((ends - nearest) ** 2).sum(-1) < radius**2
