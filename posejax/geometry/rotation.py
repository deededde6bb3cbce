"""Rotation matrices from Euler angles, from their sines and cosines, and about an axis.

Symbols: R a rotation matrix, p_out = R p_in on column vectors; a = yaw about z (up), b = side lean
about x (forward), g = forward lean about y (left), all in rad; c = (sin a, cos a, sin b, cos b,
sin g, cos g). Angles are **intrinsic z-x-y**: E = R_z(a) R_x(b) R_y(g), SciPy's 'ZXY'. The order is
ours [R]: kinematics.md asks that it be stated once. Its gimbal lock, b = ±90°, is a trunk that lies
sideways, the rarest of the three in pictures of people.

T_R (p_r = R p_c) uses R = A · E(c), A = `UPRIGHT_FACING_CAMERA`: `kinematics.rotate_to_camera`.
"""

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments, vectors

# Camera axes (x right, y down, z forward) of the canonical body axes (X forward, Y left, Z up) for
# a person who stands upright and faces the camera: forward = −z, left = +x, up = −y.
UPRIGHT_FACING_CAMERA = np.array([[0.0, 1.0, 0.0], [0.0, 0.0, -1.0], [-1.0, 0.0, 0.0]])

_ANGLE_ZERO = (0.0, 1.0)  # its sine and cosine


def euler_to_matrix(angles: jax.Array) -> jax.Array:
  """E = R_z(a) R_x(b) R_y(g), the intrinsic z-x-y rotation.

  Args:
    angles: (3,) yaw a, side lean b, forward lean g, rad.

  Returns:
    (3, 3) rotation matrix.

  Raises:
    ValueError: any other shape.
  """
  angles = arguments.as_float('euler_to_matrix', 'angles', angles, (3,))
  return _matrix_of(jnp.sin(angles), jnp.cos(angles))


def sincos_to_matrix(sincos: jax.Array) -> jax.Array:
  """The matrix of c, each (sin, cos) pair divided by its length first.

  A network's pairs are seldom of length one; a pair at (0, 0) counts as angle 0, with gradient 0.

  Args:
    sincos: (6,) sin a, cos a, sin b, cos b, sin g, cos g.

  Returns:
    (3, 3) rotation matrix.

  Raises:
    ValueError: any other shape.
  """
  pairs = arguments.as_float('sincos_to_matrix', 'sincos', sincos, (6,)).reshape(3, 2)
  pairs = jnp.stack([_unit(*pair) for pair in pairs])
  return _matrix_of(pairs[:, 0], pairs[:, 1])


def matrix_to_sincos(rotation: jax.Array) -> jax.Array:
  """The c of a rotation matrix: inverse of `sincos_to_matrix`, with cos b ≥ 0.

  At gimbal lock (cos b = 0) only a ± g is fixed; then g = 0, as in SciPy, with gradient 0 there.

  Args:
    rotation: (3, 3) rotation matrix.

  Returns:
    (6,) sin a, cos a, sin b, cos b, sin g, cos g; each pair of length one.

  Raises:
    ValueError: any other shape.
  """
  r = arguments.as_float('matrix_to_sincos', 'rotation', rotation, (3, 3))
  # (−R01, R11) and (−R20, R22) are cos b times the (sin, cos) of yaw and of forward lean.
  # Both are judged: were one alone too short, `_unit` would drop g and the yaw not make up for it.
  yaw_size = jnp.maximum(jnp.abs(r[0, 1]), jnp.abs(r[1, 1]))
  pitch_size = jnp.maximum(jnp.abs(r[2, 0]), jnp.abs(r[2, 2]))
  locked = jnp.minimum(yaw_size, pitch_size) < vectors.MIN_LENGTH
  yaw = _unit(jnp.where(locked, r[1, 0], -r[0, 1]), jnp.where(locked, r[0, 0], r[1, 1]))
  pitch = _unit(jnp.where(locked, 0, -r[2, 0]), jnp.where(locked, 1, r[2, 2]))
  cos_lean = yaw[1] * r[1, 1] - yaw[0] * r[0, 1]
  lean = _unit(r[2, 1], jnp.where(locked, 0, cos_lean))
  return jnp.concatenate([yaw, lean, pitch])


def matrix_to_euler(rotation: jax.Array) -> jax.Array:
  """Angles of a rotation matrix: inverse of `euler_to_matrix`, with |b| ≤ 90°.

  Args:
    rotation: (3, 3) rotation matrix.

  Returns:
    (3,) yaw a in (−π, π], side lean b in [−π/2, π/2], forward lean g in (−π, π], rad.

  Raises:
    ValueError: any other shape.
  """
  rotation = arguments.as_float('matrix_to_euler', 'rotation', rotation, (3, 3))
  pairs = matrix_to_sincos(rotation).reshape(3, 2)
  # Every pair has length one, so arctan2 never meets (0, 0), where its gradient is NaN.
  return jnp.arctan2(pairs[:, 0], pairs[:, 1])


def rotation_about_axis(axis: jax.Array, angle: jax.Array) -> jax.Array:
  """Rotation by an angle about an axis through the origin (Rodrigues' formula).

  Args:
    axis: (3,) direction of any length; a zero axis counts as z.
    angle: () rad, right-handed.

  Returns:
    (3, 3) rotation matrix.

  Raises:
    ValueError: any other shape.
  """
  axis = arguments.as_float('rotation_about_axis', 'axis', axis, (3,))
  angle = arguments.as_float('rotation_about_axis', 'angle', angle, ()).astype(axis.dtype)
  x, y, z = vectors.unit(tuple(axis))
  s, c = jnp.sin(angle), jnp.cos(angle)
  v = 1 - c
  return jnp.stack([
    jnp.stack([c + x * x * v, x * y * v - z * s, x * z * v + y * s]),
    jnp.stack([x * y * v + z * s, c + y * y * v, y * z * v - x * s]),
    jnp.stack([x * z * v - y * s, y * z * v + x * s, c + z * z * v]),
  ])


def _matrix_of(sines: jax.Array, cosines: jax.Array) -> jax.Array:
  """R_z(a) R_x(b) R_y(g) written out: tiny matrix products are slow on CPU under vmap."""
  sa, sb, sg = sines
  ca, cb, cg = cosines
  return jnp.stack([
    jnp.stack([ca * cg - sa * sb * sg, -sa * cb, ca * sg + sa * sb * cg]),
    jnp.stack([sa * cg + ca * sb * sg, ca * cb, sa * sg - ca * sb * cg]),
    jnp.stack([-cb * sg, sb, cb * cg]),
  ])


def _unit(sine: jax.Array, cosine: jax.Array) -> jax.Array:
  return vectors.unit_array(jnp.stack([sine, cosine]), _ANGLE_ZERO)
