"""3-vectors with their components kept apart, and guarded unit vectors.

A `Vector` is a 3-vector with its components kept apart, (x, y, z). Under `jax.vmap` each component
is then one array over the batch: on CPU, XLA makes one vectorised loop of a whole kinematic tree
written so, where products of (3, 3) arrays become thousands of tiny loops.
"""

import jax
import jax.numpy as jnp

Vector = tuple[jax.Array, jax.Array, jax.Array]

# A vector whose largest component is smaller has no direction. As a length in mm it is far below
# any bone, for unitless vectors far below any network output that means something, and its square
# is far above the smallest float32.
MIN_LENGTH = 1e-6


def split(array: jax.Array) -> list[Vector]:
  """The rows of an (N, 3) array, components ().

  By `lax.split`, whose derivative is one concatenation: that of N indexings is N padded arrays.
  """
  parts = [part.reshape(()) for part in jax.lax.split(array.reshape(-1), [1] * array.size)]
  return list(zip(parts[::3], parts[1::3], parts[2::3], strict=True))


def gather(table: dict[int, Vector], keys: tuple[int, ...]) -> Vector:
  """The vectors of n keys, components () each, as one with components (n,)."""
  return tuple(jnp.stack([table[key][k] for key in keys]) for k in range(3))


def scatter(a: Vector, keys: tuple[int, ...]) -> dict[int, Vector]:
  """Inverse of `gather`."""
  parts = [[p.reshape(()) for p in jax.lax.split(part, [1] * len(keys))] for part in a]
  return {key: (parts[0][i], parts[1][i], parts[2][i]) for i, key in enumerate(keys)}


def dot(a: Vector, b: Vector) -> jax.Array:
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def cross(a: Vector, b: Vector) -> Vector:
  return (
    a[1] * b[2] - a[2] * b[1],
    a[2] * b[0] - a[0] * b[2],
    a[0] * b[1] - a[1] * b[0],
  )


def add(a: Vector, b: Vector) -> Vector:
  return a[0] + b[0], a[1] + b[1], a[2] + b[2]


def subtract(a: Vector, b: Vector) -> Vector:
  return a[0] - b[0], a[1] - b[1], a[2] - b[2]


def scale(a: Vector, factor: jax.Array) -> Vector:
  return a[0] * factor, a[1] * factor, a[2] * factor


def select(condition: jax.Array, a: Vector, b: Vector) -> Vector:
  return tuple(jnp.where(condition, p, q) for p, q in zip(a, b, strict=True))


def reject(a: Vector, axis: Vector) -> Vector:
  """The part of a at right angles to a unit axis."""
  return subtract(a, scale(axis, dot(a, axis)))


def combine(weights: Vector, rows: tuple[Vector, Vector, Vector]) -> Vector:
  """Bᵀ w: the sum of the rows of B, weighted."""
  return tuple(dot(weights, (rows[0][k], rows[1][k], rows[2][k])) for k in range(3))


def unit(a: Vector, fallback: tuple) -> Vector:
  """a / |a|, or the fallback where a has no direction (with gradient 0 towards a).

  Divides by the largest component first, so that squares neither over- nor underflow. The fallback
  (which must have a direction) stands in before the root: a `where` after it would still have a
  NaN gradient. NaN and infinite components give NaN.
  """
  longest = jax.lax.stop_gradient(
    jnp.maximum(jnp.maximum(jnp.abs(a[0]), jnp.abs(a[1])), jnp.abs(a[2]))
  )
  short = longest < MIN_LENGTH
  safe = select(short, fallback, scale(a, 1 / jnp.where(short, 1, longest)))
  return scale(safe, jax.lax.rsqrt(dot(safe, safe)))


def unit_array(a: jax.Array, fallback: tuple[float, ...]) -> jax.Array:
  """`unit` for a whole array of shape (N,)."""
  longest = jax.lax.stop_gradient(jnp.max(jnp.abs(a)))
  short = longest < MIN_LENGTH
  safe = jnp.where(short, jnp.asarray(fallback, a.dtype), a / jnp.where(short, 1, longest))
  return safe * jax.lax.rsqrt(jnp.sum(safe * safe))
