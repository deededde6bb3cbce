"""The rotation nearest to a 3x3 matrix (orthogonal Procrustes), fast in batches, safe to derive.

Symbols: M = U S V^T the given matrix, R = U diag(1, 1, d) V^T with d = +-1 the result, P = R^T M =
V diag(p) V^T symmetric with p = (s_1, s_2, d s_3), [w] the cross-product matrix of w.

Forward: one-sided Jacobi (Hestenes), a fixed number of sweeps in elementwise operations. LAPACK's
SVD under `vmap` is a loop over the batch.
Backward: from R^T M symmetric, dR = R [w] with (tr(P) I - P) w = x and [x] = R^T dM - dM^T R. Its
eigenvalues are the sums p_i + p_j: nothing happens at equal singular values, where the derivatives
of U and V are infinite. A sum vanishes only where R itself is not unique (collinear points; a
mirror image with s_2 = s_3); there the free axis is given no motion.

Sources: Hestenes 1958 (Jacobi); Kabsch 1978, Umeyama 1991 (d); the derivative is our own, checked
against numerical ones in the tests.
"""

import functools

import jax
import jax.numpy as jnp

from posejax.geometry.arguments import as_float
from posejax.geometry.vectors import Vector, add, cross, dot, reject, scale, select, subtract

Columns = tuple[Vector, Vector, Vector]

# Sums p_i + p_j below this many roundings of s_1 are rounding errors of zero.
RANK_TOLERANCE_ULPS = 32


def nearest_rotation(matrix: jax.Array, allow_reflection: bool = False) -> jax.Array:
  """Rotation R that maximises tr(R^T M), that is, minimises |R - M|.

  Where it is not unique the result is one of the best: for rank 1 the one that turns least, for
  M = 0 the identity; its derivative leaves the free axes alone. Derivatives of all orders exist
  where R is unique.

  Args:
    matrix: M (3, 3), any unit.
    allow_reflection: also admit det R = -1, where that is better by more than rounding.

  Returns:
    (3, 3), det +1, or -1 if a reflection is allowed and better. NaN where M holds NaN or inf.

  Raises:
    ValueError: wrong shape.
  """
  matrix = as_float('nearest_rotation', 'matrix', matrix, (3, 3))
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(matrix)))
  # R does not depend on the scale; squares of the entries must neither overflow nor underflow.
  return _polar(matrix / jnp.where(largest == 0, 1, largest), allow_reflection)[0]


@functools.partial(jax.custom_jvp, nondiff_argnums=(1,))
def _polar(
  matrix: jax.Array, allow_reflection: bool
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """R (3, 3); V (3, 3); free (3,), 1 where rotation about that column of V is not determined."""
  tolerance = RANK_TOLERANCE_ULPS * jnp.finfo(matrix.dtype).eps
  (a1, a2, a3), (v1, v2, v3) = _jacobi(matrix)
  s1 = jnp.sqrt(dot(a1, a1))
  # M = 0: U = V, so R = I.
  u1 = select(s1 == 0, v1, _divide(a1, s1))
  a2 = reject(a2, u1)
  s2 = jnp.sqrt(dot(a2, a2))
  # Rank 1: the smallest rotation of v1 onto u1, applied to v2; a half turn about v2 if opposite.
  one_plus_cosine = 1 + dot(u1, v1)
  opposite = one_plus_cosine < tolerance
  ratio = dot(u1, v2) / jnp.where(opposite, 1, one_plus_cosine)
  turned = subtract(v2, scale(add(u1, v1), jnp.where(opposite, 0, ratio)))
  u2 = reject(select(s2 <= tolerance * s1, turned, _divide(a2, s2)), u1)
  u2 = _divide(u2, jnp.sqrt(dot(u2, u2)))
  u3 = cross(u1, u2)
  p3 = dot(u3, a3)
  sign = 1
  if allow_reflection:
    sign = jnp.where(p3 < -tolerance * s1, -1, 1)
    p3 = jnp.abs(p3)
  rotation = jnp.stack([
    jnp.stack([u1[i] * v1[j] + u2[i] * v2[j] + sign * u3[i] * v3[j] for j in range(3)])
    for i in range(3)
  ])
  free = jnp.stack([s2 + p3, s1 + p3, s1 + s2]) <= tolerance * s1
  basis = jnp.stack([jnp.stack([v1[i], v2[i], v3[i]]) for i in range(3)])
  return rotation, basis, free.astype(matrix.dtype)


@_polar.defjvp
def _polar_jvp(allow_reflection, primals, tangents):
  (matrix,), (change,) = primals, tangents
  rotation, basis, free = _polar(matrix, allow_reflection)
  basis, free = jax.lax.stop_gradient((basis, free))
  symmetric = _matmul(rotation.T, matrix)
  symmetric = (symmetric + symmetric.T) / 2
  system = jnp.trace(symmetric) * jnp.eye(3, dtype=matrix.dtype) - symmetric
  turn = _matmul(rotation.T, change)
  right = jnp.stack([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
  # Free axes: leave them out of the right-hand side, and make the system regular, before solving.
  projector = _matmul(basis * free, basis.T)
  axis = _solve(system + projector, right - jnp.sum(projector * right, axis=1))
  x, y, z = axis
  zero = jnp.zeros_like(x)
  spin = jnp.stack([
    jnp.stack([zero, -z, y]), jnp.stack([z, zero, -x]), jnp.stack([-y, x, zero])
  ])
  no_change = jnp.zeros_like(basis), jnp.zeros_like(free)
  return (rotation, basis, free), (_matmul(rotation, spin), *no_change)


def _jacobi(matrix: jax.Array) -> tuple[Columns, Columns]:
  """Columns of M V, mutually orthogonal, longest first, and of V, a rotation.

  XLA may compute a value once per consumer, with different roundings. A decision that such a value
  takes at a tie would then fall differently for different entries, and V would be no rotation. So
  each step decides by squares and products of the step before, which the loop has stored.
  """
  # Convergence is quadratic: on 1e6 matrices (random, graded over 12 decades, nearly equal singular
  # values) 3 sweeps left 2e-5, and 4 reached rounding in float64. One more for safety there.
  sweeps = 4 if matrix.dtype.itemsize <= 4 else 5
  one, zero = jnp.ones_like(matrix[0, 0]), jnp.zeros_like(matrix[0, 0])
  columns = tuple(
    tuple(matrix[i, j] for i in range(3)) + tuple(one if i == j else zero for i in range(3))
    for j in range(3)
  )

  def step(_, state):
    (p, q, r), (p_square, q_square, r_square), product = state
    p, q = _orthogonalize(p, q, q_square - p_square, 2 * product)
    # The next pairs: (q, r), (r, p), and again.
    return (q, r, p), (dot(q[:3], q[:3]), r_square, dot(p[:3], p[:3])), dot(q[:3], r[:3])

  squares = tuple(dot(c[:3], c[:3]) for c in columns)
  start = columns, squares, dot(columns[0][:3], columns[1][:3])
  columns, squares, _ = jax.lax.fori_loop(0, 3 * sweeps, step, start)
  columns, squares = list(columns), list(squares)
  for first, second in ((0, 1), (0, 2), (1, 2)):
    swap = squares[first] < squares[second]
    p, q = columns[first], columns[second]
    # (p, q) -> (q, -p): V stays a rotation.
    columns[first], columns[second] = select(swap, q, p), select(swap, tuple(-x for x in p), q)
    p, q = squares[first], squares[second]
    squares[first], squares[second] = jnp.where(swap, q, p), jnp.where(swap, p, q)
  return tuple(c[:3] for c in columns), tuple(c[3:] for c in columns)


def _orthogonalize(p: tuple, q: tuple, gap: jax.Array, product: jax.Array) -> tuple[tuple, tuple]:
  """Rotates two columns of [M V; V] until those of M V are orthogonal.

  Args:
    p: 6 entries of one column.
    q: 6 entries of the other.
    gap: |q|^2 - |p|^2 of the upper halves.
    product: 2 p.q of the upper halves.

  Returns:
    The two new columns.
  """
  bottom = jnp.abs(gap) + jnp.sqrt(gap * gap + product * product)
  # 0 / 0: two equal columns that are orthogonal already, or zero.
  tangent = jnp.where(gap < 0, -product, product) / jnp.where(bottom == 0, 1, bottom)
  cosine = jax.lax.rsqrt(1 + tangent * tangent)
  sine = cosine * tangent
  return (
    tuple(cosine * x - sine * y for x, y in zip(p, q, strict=True)),
    tuple(sine * x + cosine * y for x, y in zip(p, q, strict=True)),
  )


def _divide(a: Vector, length: jax.Array) -> Vector:
  safe = jnp.where(length == 0, 1, length)
  return a[0] / safe, a[1] / safe, a[2] / safe


def _matmul(a: jax.Array, b: jax.Array) -> jax.Array:
  # Not `@`: its default precision on GPU and TPU is low, and XLA's batched 3x3 dot on CPU is slow.
  return jnp.sum(a[:, :, None] * b[None, :, :], axis=1)


def _solve(matrix: jax.Array, right: jax.Array) -> jax.Array:
  """Solution of a regular 3x3 system by Cramer's rule."""
  r0, r1, r2 = matrix
  cofactors = jnp.stack([jnp.cross(r1, r2), jnp.cross(r2, r0), jnp.cross(r0, r1)], axis=1)
  return jnp.sum(cofactors * right, axis=1) / jnp.sum(r0 * cofactors[:, 0])
