"""The nearest rotation against LAPACK's SVD; its derivatives against numerical ones."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.geometry import alignment, polar
from tests.geometry import numerics

nearest = jax.jit(polar.nearest_rotation, static_argnums=1)
nearest_batch = jax.jit(jax.vmap(polar.nearest_rotation))
jacobian_forward = jax.jit(jax.jacfwd(polar.nearest_rotation), static_argnums=1)
jacobian_reverse = jax.jit(jax.jacrev(polar.nearest_rotation), static_argnums=1)

LEFT, RIGHT = Rotation.random(2, random_state=3).as_matrix()

# (s_1, s_2, d s_3): M = LEFT diag RIGHT^T. Unique without reflections where s_2 + d s_3 > 0.
UNIQUE = (
  (3, 2, 1), (1, 1, 1), (2, 2, 1), (2, 1, 1), (2, 2, 0), (2, 1, 0), (3, 2, -1), (2, 2, -1),
  (1, 1e-2, 0), (1, 1e-3, 1e-3), (1, 1e-2, -0.5e-2), (1, 1, -0.99), (1e-9, 1e-9, 1e-9),
  (1e9, 1e9, 1e8),
)
UNIQUE_WITH_REFLECTION = ((3, 2, 1), (1, 1, 1), (3, 2, -1), (2, 2, -1), (2, 1, -1), (1, 1, -1))
NOT_UNIQUE = ((1, 0, 0), (0, 0, 0), (2, 1, -1), (1, 1, -1), (1, 1e-17, 0), (1, 1e-12, -1e-12))


def matrix_of(values):
  return LEFT @ np.diag(np.array(values, float)) @ RIGHT.T


def by_lapack(matrices):
  u, s, vt = np.linalg.svd(matrices)
  hand = np.sign(np.linalg.det(u @ vt))
  signs = np.stack([np.ones_like(hand), np.ones_like(hand), hand], axis=-1)
  return (u * signs[..., None, :]) @ vt, s[..., 1] + hand * s[..., 2], s[..., 0]


@pytest.mark.parametrize(('dtype', 'limit'), [(np.float64, 1e-13), (np.float32, 3e-6)])
def test_against_lapack(x64, dtype, limit):
  rng = np.random.default_rng(0)
  left, right = Rotation.random(4000, random_state=1).as_matrix().reshape(2, 2000, 3, 3)
  graded = left * 10.0 ** rng.uniform(-3, 0, (2000, 1, 3)) @ right
  close = left * (1 + 1e-7 * rng.normal(size=(2000, 1, 3))) @ right
  matrices = np.concatenate([rng.normal(size=(2000, 3, 3)), graded, close])
  expected, gap, largest = by_lapack(matrices)
  got = np.asarray(nearest_batch(matrices.astype(dtype)))
  assert got.dtype == dtype
  # A rounding of M moves R by (rounding of s_1) / (s_2 + d s_3): the problem's own condition.
  error = np.abs(got - expected).max(axis=(1, 2)) * gap / largest
  assert error.max() < limit
  np.testing.assert_allclose(got @ got.transpose(0, 2, 1), np.tile(np.eye(3), (6000, 1, 1)),
                             atol=limit)
  np.testing.assert_allclose(np.linalg.det(got.astype(float)), 1, atol=limit)


@pytest.mark.parametrize('values', UNIQUE)
def test_derivatives_where_unique(x64, values):
  check_derivatives(values, allow_reflection=False)


@pytest.mark.parametrize('values', UNIQUE_WITH_REFLECTION)
def test_derivatives_with_reflection(x64, values):
  check_derivatives(values, allow_reflection=True)
  got = nearest(matrix_of(values), True)
  np.testing.assert_allclose(got, matrix_of(np.sign(values)), atol=1e-12)


def check_derivatives(values, allow_reflection):
  matrix = matrix_of(values)
  smallest = values[1] + (abs(values[2]) if allow_reflection else values[2])
  forward = jacobian_forward(matrix, allow_reflection)
  reverse = jacobian_reverse(matrix, allow_reflection)
  size = np.abs(forward).max()
  np.testing.assert_allclose(forward, reverse, atol=1e-12 * size)
  numerical = numerics.numerical_jacobian(
    lambda m: nearest(m, allow_reflection), matrix, 1e-4 * smallest
  )
  np.testing.assert_allclose(forward, numerical, atol=1e-6 * size)


@pytest.mark.parametrize('allow_reflection', [False, True])
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('values', NOT_UNIQUE)
def test_defined_where_not_unique(x64, values, dtype, allow_reflection):
  matrix = matrix_of(values).astype(dtype)
  got = np.asarray(nearest(matrix, allow_reflection), float)
  np.testing.assert_allclose(got @ got.T, np.eye(3), atol=1e-6)
  best = np.abs(values).sum() if allow_reflection else np.sum(values)
  assert np.sum(got * matrix) == pytest.approx(best, abs=1e-6)
  forward = jacobian_forward(matrix, allow_reflection)
  reverse = jacobian_reverse(matrix, allow_reflection)
  assert np.all(np.isfinite(forward))
  size = np.abs(forward).max() + 1
  np.testing.assert_allclose(forward, reverse, atol=1e-5 * size)


def test_free_axes_do_not_move(x64):
  # Rank 1, M = u v^T: dR = R [w], and the best w has no part along v.
  u, v = LEFT[:, 0], RIGHT[:, 0]
  rotation = nearest(np.outer(u, v), False)
  jacobian = np.asarray(jacobian_forward(np.outer(u, v), False))
  spins = np.einsum('ji,jkab->ikab', rotation, jacobian)
  about_v = v[0] * spins[2, 1] + v[1] * spins[0, 2] + v[2] * spins[1, 0]
  np.testing.assert_allclose(about_v, 0, atol=1e-14)
  np.testing.assert_allclose(jacobian_forward(np.zeros((3, 3)), False), 0)


def test_opposite_of_rank_one(x64):
  v = RIGHT[:, 0]
  got = np.asarray(nearest(-np.outer(v, v), False))
  np.testing.assert_allclose(got @ v, -v, atol=1e-14)
  assert np.trace(got) == pytest.approx(-1)


@pytest.mark.parametrize('values', [(3, 2, 1), (1, 1, 1), (2, 2, 0), (2, 2, -1)])
def test_second_derivatives(x64, values):
  matrix = matrix_of(values)
  second = second_derivative(matrix)
  numerical = numerics.numerical_jacobian(lambda m: jacobian_reverse(m, False), matrix, 1e-5)
  np.testing.assert_allclose(second, numerical, atol=1e-7 * np.abs(second).max())


second_derivative = jax.jit(jax.jacfwd(jax.jacrev(polar.nearest_rotation)))


def test_bad_matrices():
  with pytest.raises(ValueError, match=r'nearest_rotation: matrix must have shape \(3, 3\)'):
    polar.nearest_rotation(np.zeros((2, 3, 3)))
  for bad in (np.nan, np.inf):
    assert np.all(np.isnan(nearest(np.full((3, 3), bad, np.float32), False)))


# Through the whole alignment.

WEIGHTS = np.array([1.0, 2, 0.5, 1, 1, 3])
OCTAHEDRON = 200 * np.concatenate([np.eye(3), -np.eye(3)])  # covariance with itself ~ I
POSES = {
  'generic': np.random.default_rng(5).normal(0, 300, (6, 3)),
  'equal singular values': OCTAHEDRON,
  'coplanar': OCTAHEDRON * [1.0, 1.0, 0.0],
  'close to collinear': OCTAHEDRON * [1.0, 0.03, 0.02],
}


def aligned(source, target, weights):
  return alignment.align_procrustes(source, target, weights)


@functools.partial(jax.jit, static_argnums=0)
def jacobians(mode, *arguments):
  return mode(aligned, argnums=(0, 1, 2))(*arguments)


aligned_jit = jax.jit(aligned)


@pytest.mark.parametrize('pose', POSES)
def test_alignment_derivatives(x64, pose):
  source = POSES[pose]
  target = 1.3 * source @ LEFT.T + np.random.default_rng(6).normal(0, 2, (6, 3)) + [50, 60, 4000]
  arguments = source, target, np.ones(6) if pose == 'equal singular values' else WEIGHTS
  forward, reverse = jacobians(jax.jacfwd, *arguments), jacobians(jax.jacrev, *arguments)
  for which in range(3):
    size = np.abs(forward[which]).max()
    np.testing.assert_allclose(forward[which], reverse[which], atol=1e-11 * size)

    def moved(x, which=which):
      return aligned_jit(*arguments[:which], x, *arguments[which + 1:])

    numerical = numerics.numerical_jacobian(moved, arguments[which], 1e-3 if which < 2 else 1e-5)
    np.testing.assert_allclose(forward[which], numerical, atol=1e-6 * size)


def test_collinear_source_derivatives(x64):
  """Aligned points of a straight limb do not depend on the free roll: their Jacobian exists."""
  source = np.array([-2.0, -1, 0, 1, 2, 4])[:, None] * 100 * LEFT[0] + [5, 6, 700]
  target = POSES['generic']
  forward, reverse = (
    jacobians(mode, source, target, WEIGHTS)[1] for mode in (jax.jacfwd, jax.jacrev)
  )
  np.testing.assert_allclose(forward, reverse, atol=1e-11)
  numerical = numerics.numerical_jacobian(
    lambda x: aligned_jit(source, x, WEIGHTS), target, 1e-3
  )
  np.testing.assert_allclose(forward, numerical, atol=1e-7)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize(
  'spoil',
  [
    lambda x: x * np.array([1.0, 0.0, 0.0]),  # collinear
    lambda x: x * 0 + 5000.3,  # coincident
    lambda x: x[[0, 0, 0, 1, 1, 1]],  # two points
    lambda x: np.concatenate([np.eye(3), -np.eye(3)]),  # equal singular values
  ],
  ids=['collinear', 'coincident', 'two points', 'octahedron'],
)
def test_degenerate_gradients_are_finite_and_small(x64, spoil, dtype):
  pose = POSES['generic']
  for source, target in ((spoil(pose), pose), (pose, spoil(pose)), (spoil(pose), spoil(pose))):
    arguments = source.astype(dtype), target.astype(dtype), WEIGHTS.astype(dtype)
    for jacobian in jacobians(jax.jacrev, *arguments):
      assert np.all(np.isfinite(jacobian))
      assert np.abs(jacobian).max() < 1e4, 'rounding errors of a zero were taken for a direction'
  none = jacobians(jax.jacrev, pose.astype(dtype), pose.astype(dtype), np.zeros(6, dtype))
  np.testing.assert_array_equal(none[2], 0)
  assert all(np.all(np.isfinite(leaf)) for leaf in none)
  assert jnp.result_type(*none) == dtype
