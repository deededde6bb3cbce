"""3-vectors with their components kept apart, and guarded unit vectors.

A `Vector` is a 3-vector with its components kept apart, (x, y, z), each (). A kinematic tree
written so is elementwise throughout, and under `jax.vmap` every operation is one vectorised loop
over the batch, where products of (3, 3) arrays become thousands of tiny loops on CPU.
"""

import jax
import jax.numpy as jnp

Vector = tuple[jax.Array, jax.Array, jax.Array]

# A shorter vector has no direction. As a length in mm it is far below any bone, for unitless
# vectors far below any network output that means something, and its square is far above the
# smallest float32.
MIN_LENGTH = 1e-6


def rows(array: jax.Array) -> list[Vector]:
  """The rows of an (N, 3) array.

  By `unstack`, whose derivative is one `stack`: that of N indexings is a sum of N padded arrays.
  """
  return [tuple(jnp.unstack(row)) for row in jnp.unstack(array)]


def to_array(vectors: list[Vector]) -> jax.Array:
  """Inverse of `rows`."""
  return jnp.stack([jnp.stack(vector) for vector in vectors])


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


def select(condition: jax.Array, a: Vector | tuple[float, float, float], b: Vector) -> Vector:
  return tuple(jnp.where(condition, p, q) for p, q in zip(a, b, strict=True))


def reject(a: Vector, axis: Vector) -> Vector:
  """The part of a at right angles to a unit axis."""
  return subtract(a, scale(axis, dot(a, axis)))


def combine(weights: Vector, rows: tuple[Vector, Vector, Vector]) -> Vector:
  """Bᵀ w: the sum of the rows of B, weighted."""
  return tuple(dot(weights, (rows[0][k], rows[1][k], rows[2][k])) for k in range(3))


@jax.custom_jvp
def normalize(a: Vector) -> Vector:
  """a / |a| for a vector that has a direction; see `unit`.

  Divided, not multiplied by the inverse, and with its derivative in closed form: XLA keeps the
  results of divisions and recomputes whatever is cheaper in every place that reads it. In a chain
  of frames that recomputation grows without bounds (a gradient of FK took 100 × as long).
  """
  length = jnp.sqrt(dot(a, a))
  return a[0] / length, a[1] / length, a[2] / length


@normalize.defjvp
def _normalize_jvp(primals: tuple[Vector], tangents: tuple[Vector]) -> tuple[Vector, Vector]:
  (a,), (da,) = primals, tangents
  direction = normalize(a)
  length = jnp.sqrt(dot(a, a))
  turned = reject(da, direction)
  return direction, tuple(part / length for part in turned)


def unit(a: Vector, fallback: Vector | tuple[float, float, float] = (0.0, 0.0, 1.0)) -> Vector:
  """a / |a|, or the fallback where a has no direction (with gradient 0 towards a).

  Lengths up to the largest float do, though their squares overflow. NaN and infinite components
  give NaN.

  Args:
    a: components.
    fallback: a vector that has a direction.

  Returns:
    Unit vector.
  """
  return _unit(a, tuple(jnp.asarray(part, a[0].dtype) for part in fallback))


@jax.custom_jvp
def _unit(a: Vector, fallback: Vector) -> Vector:
  size, short = _size(a)
  return normalize(select(short, fallback, scale(a, 1 / size)))


@_unit.defjvp
def _unit_jvp(primals: tuple[Vector, Vector], tangents: tuple[Vector, Vector]):
  """As `normalize`'s; where a is short, only the fallback counts."""
  (a, fallback), (da, dfallback) = primals, tangents
  size, short = _size(a)
  bounded = select(short, fallback, scale(a, 1 / size))
  direction = _unit(a, fallback)
  turned = reject(select(short, dfallback, scale(da, 1 / size)), direction)
  length = jnp.sqrt(dot(bounded, bounded))
  return direction, tuple(part / length for part in turned)


def _size(a: Vector) -> tuple[jax.Array, jax.Array]:
  """What to divide a by, so that its square does not overflow, and whether it has no direction."""
  largest = jnp.maximum(jnp.maximum(jnp.abs(a[0]), jnp.abs(a[1])), jnp.abs(a[2]))
  return jnp.maximum(largest, 1), largest < MIN_LENGTH


def unit_array(a: jax.Array, fallback: tuple[float, ...]) -> jax.Array:
  """`unit` for a whole array of shape (N,)."""
  longest = jax.lax.stop_gradient(jnp.max(jnp.abs(a)))
  short = longest < MIN_LENGTH
  safe = jnp.where(short, jnp.asarray(fallback, a.dtype), a / jnp.where(short, 1, longest))
  return safe * jax.lax.rsqrt(jnp.sum(safe * safe))


def rotate(points: jax.Array, rotation: jax.Array) -> jax.Array:
  """R v for each row v: points (N, 3), rotation (3, 3) -> (N, 3)."""
  # Not `@`: its default precision on GPU and TPU keeps only 10 or 8 bits of the mantissa, and
  # on CPU the sum of columns is 20 times faster under `vmap`.
  return (
    points[:, 0:1] * rotation[:, 0]
    + points[:, 1:2] * rotation[:, 1]
    + points[:, 2:3] * rotation[:, 2]
  )
