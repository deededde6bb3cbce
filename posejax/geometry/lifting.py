"""Lifted poses: rays times depth, turns of the elevation and the azimuth, and the way back to 2D.

Symbols: J joints, c distance of the root from the camera (in pelvis–head lengths, as all 3D here),
p (J, 2) normalised 2D pose, d̂ (J,) depth offsets, X (J, 3) root-relative pose. Camera axes: x
right, y down, z forward. Any number of leading axes.

  lift:      X = (p ẑ, ẑ) − (0, 0, c),  ẑ = d̂ + c, in training max(1, ·)   [S, Eq. 1]
  reproject: p = X_xy / (X_z + c)
  Rx(θ) levels a pose: y is then the plumb line; with the line of sight α below the horizon θ = −α

Source: spec/lifting.md, "Conventions", "Lifter", "Lifter training step".
"""

import jax
import jax.numpy as jnp

# The published clamp ẑ ≥ 1 of a pose at c = 10, also the guard of every division by a depth.
NEAREST = 1.0


def lift(poses: jax.Array, depth: jax.Array, c: float, clamp: bool = True) -> jax.Array:
  """Root-relative 3D of 2D poses and depth offsets.

  Args:
    poses: (..., J, 2) normalised, root at the origin.
    depth: (..., J) offsets, 0 at the root.
    c: distance of the root.
    clamp: keep every joint at least `NEAREST` from the camera; training does, evaluation does not.

  Returns:
    (..., J, 3).

  Raises:
    ValueError: the shapes do not fit.
  """
  if poses.shape[-1] != 2 or poses.shape[:-1] != depth.shape:
    raise ValueError(f'lift: expected (..., J, 2) and (..., J), got {poses.shape}, {depth.shape}')
  z = depth + c
  z = jnp.maximum(z, NEAREST) if clamp else z
  return jnp.concatenate([poses * z[..., None], (z - c)[..., None]], -1)


def reproject(pose: jax.Array, c: float) -> jax.Array:
  """(..., J, 3) root-relative → (..., J, 2) as a camera at distance c sees it."""
  return pose[..., :2] / jnp.maximum(pose[..., 2:] + c, NEAREST)


def turn_x(angle: jax.Array) -> jax.Array:
  """Rx: (...) rad → (..., 3, 3); y → y cos − z sin, z → y sin + z cos."""
  s, c = jnp.sin(angle), jnp.cos(angle)
  zero, one = jnp.zeros_like(s), jnp.ones_like(s)
  return _matrix(((one, zero, zero), (zero, c, -s), (zero, s, c)))


def turn_y(angle: jax.Array) -> jax.Array:
  """Ry: (...) rad → (..., 3, 3); x → x cos + z sin, z → −x sin + z cos."""
  s, c = jnp.sin(angle), jnp.cos(angle)
  zero, one = jnp.zeros_like(s), jnp.ones_like(s)
  return _matrix(((c, zero, s), (zero, one, zero), (-s, zero, c)))


def turn(rotation: jax.Array, points: jax.Array) -> jax.Array:
  """R x of each point: (..., 3, 3) and (..., J, 3) → (..., J, 3)."""
  # Written out: of an einsum XLA makes a loop of tiny matrix products on CPUs, five times as slow.
  x, y, z = jnp.unstack(points, axis=-1)
  rows = [[rotation[..., i, j, None] for j in range(3)] for i in range(3)]
  return jnp.stack([a * x + b * y + c * z for a, b, c in rows], -1)


def turn_back(rotation: jax.Array, points: jax.Array) -> jax.Array:
  """Rᵀ x of each point: (..., 3, 3) and (..., J, 3) → (..., J, 3)."""
  return turn(jnp.swapaxes(rotation, -1, -2), points)


def ray_frame(ray: jax.Array) -> jax.Array:
  """The turn that brings a ray onto the optical axis, first about y, then about x.

  Unlike the shortest turn it adds no roll for a camera that stands level.

  Args:
    ray: (..., 2) tangents x / z, y / z.

  Returns:
    (..., 3, 3) R with R (x, y, 1) ∝ (0, 0, 1).
  """
  aside = jnp.arctan(ray[..., 0])
  down = jnp.arctan2(ray[..., 1], jnp.sqrt(1 + ray[..., 0] ** 2))
  return turn_x(down) @ turn_y(-aside)


def rectify(rays: jax.Array, root: jax.Array) -> jax.Array:
  """2D poses as a camera that looks at the root sees them: nothing is lost off the axis.

  Args:
    rays: (..., J, 2) tangents.
    root: (..., 2) tangents of the root.

  Returns:
    (..., J, 2) tangents, the root at the origin.
  """
  ones = jnp.ones_like(rays[..., :1])
  turned = turn(ray_frame(root), jnp.concatenate([rays, ones], -1))
  return turned[..., :2] / jnp.maximum(turned[..., 2:], 1e-3)


def _matrix(rows) -> jax.Array:
  return jnp.stack([jnp.stack(row, -1) for row in rows], -2)
