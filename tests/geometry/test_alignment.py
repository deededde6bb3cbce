"""Alignment against SciPy, a search over all rotations, and its own definition."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize
from scipy.spatial.transform import Rotation

from posejax.geometry import alignment

OPTIONS = ('allow_reflection', 'with_scale')
procrustes = jax.jit(alignment.procrustes, static_argnames=OPTIONS)
align_procrustes = jax.jit(alignment.align_procrustes, static_argnames=OPTIONS)
align_scale = jax.jit(alignment.align_scale)
alignment_of = jax.jit(alignment.apply_similarity)
align_root = jax.jit(alignment.align_root, static_argnames='root')

NUM = 6  # one size for all tests: one compilation each
ONES = np.ones(NUM)
MIRROR = np.diag([1.0, -1.0, 1.0])


def random_pair(seed, num=NUM):
  rng = np.random.default_rng(seed)
  return rng.normal(0, 300, (num, 3)), rng.normal(0, 300, (num, 3)), rng.uniform(0.1, 2, num)


def residual(source, target, weights, similarity):
  moved = similarity.scale * source @ np.asarray(similarity.rotation).T + similarity.translation
  return float(np.sum(weights[:, None] * (np.asarray(moved) - target) ** 2))


def reference(source, target, weights, allow_reflection=False, with_scale=True):
  """Umeyama 1991 in NumPy, by LAPACK's SVD."""
  w = weights / weights.sum()
  source_mean, target_mean = w @ source, w @ target
  x, y = source - source_mean, target - target_mean
  u, s, vt = np.linalg.svd((y * w[:, None]).T @ x)
  signs = np.array([1, 1, 1.0 if allow_reflection else np.sign(np.linalg.det(u @ vt))])
  turned = (u * signs) @ vt
  scale = (s * signs).sum() / (w @ (x * x).sum(axis=1)) if with_scale else 1.0
  return alignment.Similarity(scale, turned, target_mean - scale * turned @ source_mean)


# What it finds.


@hypothesis.given(
  hnp.arrays(float, 3, elements=st.floats(-3.1, 3.1)),
  st.floats(1e-3, 1e3),
  hnp.arrays(float, 3, elements=st.floats(-1e4, 1e4)),
  st.integers(0, 10_000),
  st.booleans(),
)
def test_recovers_a_similarity(rotvec, scale, shift, seed, mirrored):
  source, _, weights = random_pair(seed)
  turned = Rotation.from_rotvec(rotvec).as_matrix() @ (MIRROR if mirrored else np.eye(3))
  target = scale * source @ turned.T + shift
  with jax.enable_x64(True):
    found = procrustes(source, target, weights, allow_reflection=mirrored)
    aligned = alignment_of(source, found)
  np.testing.assert_allclose(found.rotation, turned, atol=1e-9)
  np.testing.assert_allclose(found.scale, scale, rtol=1e-9)
  span = 1000 * scale + np.abs(shift).max()
  np.testing.assert_allclose(found.translation, shift, atol=1e-9 * span)
  np.testing.assert_allclose(aligned, target, atol=1e-10 * span)
  single = align_procrustes(
    *(a.astype(np.float32) for a in (source, target, weights)), allow_reflection=mirrored
  )
  assert single.dtype == jnp.float32
  np.testing.assert_allclose(single, target, atol=1e-5 * span)


@pytest.mark.parametrize('seed', range(5))
def test_rotation_is_scipys(x64, seed):
  source, target, weights = random_pair(seed)
  x = source - np.average(source, axis=0, weights=weights)
  y = target - np.average(target, axis=0, weights=weights)
  expected, _ = Rotation.align_vectors(y, x, weights=weights)
  for with_scale in (True, False):
    found = procrustes(source, target, weights, with_scale=with_scale)
    np.testing.assert_allclose(found.rotation, expected.as_matrix(), atol=1e-12)
  assert found.scale == 1


@pytest.mark.parametrize('allow_reflection', [False, True])
@pytest.mark.parametrize('with_scale', [False, True])
def test_no_rotation_on_a_grid_is_better(x64, allow_reflection, with_scale):
  """A grid over all of O(3) and a local search from its best points find nothing better."""
  turns = Rotation.random(3000, random_state=0).as_matrix()
  for seed in range(3):
    source, target, weights = random_pair(seed)
    if seed == 2:  # a mirrored target: the case that det R = +1 makes hard
      target = source @ MIRROR + 5 * target / 300
    x = source - np.average(source, axis=0, weights=weights)
    y = target - np.average(target, axis=0, weights=weights)

    def cost(turned, x=x, y=y, weights=weights):
      moved = x @ turned.T
      scale = (weights @ (moved * y).sum(1)) / (weights @ (x * x).sum(1)) if with_scale else 1.0
      return weights @ ((scale * moved - y) ** 2).sum(axis=1)

    best = np.inf
    for hand in (np.eye(3), MIRROR) if allow_reflection else (np.eye(3),):
      # The scale may not turn negative: that would be a point reflection in disguise.
      costs = [cost(t @ hand) if np.sum((x @ (t @ hand).T) * y * weights[:, None]) > 0 else np.inf
               for t in turns]
      for start in np.argsort(costs)[:3]:
        base = turns[start] @ hand
        result = scipy.optimize.minimize(
          lambda v, base=base: cost(Rotation.from_rotvec(v).as_matrix() @ base), np.zeros(3),
          method='BFGS', options={'gtol': 1e-6},
        )
        best = min(best, result.fun)
    found = procrustes(
      source, target, weights, allow_reflection=allow_reflection, with_scale=with_scale
    )
    assert residual(source, target, weights, found) == pytest.approx(best, rel=1e-8)


@pytest.mark.parametrize('allow_reflection', [False, True])
def test_handedness(x64, allow_reflection):
  source = random_pair(0)[0]
  target = source @ MIRROR
  found = procrustes(source, target, ONES, allow_reflection=allow_reflection)
  determinant = np.linalg.det(found.rotation)
  gap = np.abs(align_procrustes(source, target, ONES, allow_reflection=allow_reflection) - target)
  if allow_reflection:
    assert determinant == pytest.approx(-1) and gap.max() < 1e-10
  else:
    assert determinant == pytest.approx(1) and gap.max() > 50
  # Nothing to gain from a mirror for points of one plane: the proper rotation is taken.
  flat = source * np.array([1.0, 1.0, 0.0])
  found = procrustes(flat, flat, ONES, allow_reflection=allow_reflection)
  np.testing.assert_allclose(found.rotation, np.eye(3), atol=1e-12)


def test_by_hand(x64):
  # A square of side 2 in the xy plane, turned by 90 deg about z, three times as large, moved.
  source = np.array([[1, 1, 0], [-1, 1, 0], [-1, -1, 0], [1, -1, 0], [0, 0, 1], [0, 0, -1]], float)
  quarter = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]], float)
  target = 3 * source @ quarter.T + [10, 20, 30]
  found = procrustes(source, target, ONES)
  np.testing.assert_allclose(found.scale, 3, rtol=1e-14)
  np.testing.assert_allclose(found.rotation, quarter, atol=1e-14)
  np.testing.assert_allclose(found.translation, [10, 20, 30], rtol=1e-13)
  moved = alignment.apply_similarity(np.array([[1.0, 0, 2]]), found)  # 3 * (0, 1, 2) + shift
  np.testing.assert_allclose(moved, [[10, 23, 36]], rtol=1e-13)
  rigid = procrustes(source, target, ONES, with_scale=False)
  np.testing.assert_allclose(rigid.rotation, quarter, atol=1e-14)
  assert rigid.scale == 1


def test_float32_far_from_the_camera():
  """8 m away, a float32 coordinate has a rounding of 5e-4 mm; alignment adds little to it."""
  source, target, weights = random_pair(1)
  shift = np.array([2000.0, -500.0, 8000.0])
  exact = reference(source, target, weights)
  expected = exact.scale * source @ exact.rotation.T + exact.translation + shift
  got = align_procrustes(
    *(a.astype(np.float32) for a in (source + shift, target + shift, weights))
  )
  np.testing.assert_allclose(got, expected, atol=5e-3)


@pytest.mark.parametrize('unit', [1e-12, 1e12])
def test_units_do_not_matter(unit):
  source, target, weights = (a.astype(np.float32) for a in random_pair(2))
  plain = procrustes(source, target, weights)
  scaled = procrustes(source * np.float32(unit), target, weights * np.float32(unit))
  np.testing.assert_allclose(scaled.rotation, plain.rotation, atol=1e-6)
  np.testing.assert_allclose(scaled.scale * unit, plain.scale, rtol=1e-5)


# Weights.


def test_integer_weights_repeat_points(x64):
  source, target, _ = random_pair(3)
  counts = np.array([1, 2, 3, 1, 0, 4])
  repeated = [np.repeat(a, counts, axis=0) for a in (source, target)]
  expected = reference(*repeated, np.ones(counts.sum()))
  found = procrustes(source, target, counts)
  for got, want in zip(found, expected, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize('bad', [np.nan, np.inf, 1e300])
def test_points_without_weight_are_absent(x64, bad):
  source, target, weights = random_pair(4)
  weights[[1, 4]] = 0
  kept = weights > 0
  expected = reference(source[kept], target[kept], weights[kept])
  spoiled_source, spoiled_target = source.copy(), target.copy()
  spoiled_source[1, 2], spoiled_target[[1, 4], 0] = bad, bad

  found = procrustes(spoiled_source, spoiled_target, weights)
  for got, want in zip(found, expected, strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-10, atol=1e-10)
  aligned = np.asarray(align_procrustes(spoiled_source, spoiled_target, weights))
  everywhere = expected.scale * source @ expected.rotation.T + expected.translation
  np.testing.assert_allclose(aligned[[0, 2, 3, 4, 5]], everywhere[[0, 2, 3, 4, 5]], atol=1e-9)
  assert np.all(np.isnan(aligned[1])) or bad == 1e300

  scaled = np.asarray(align_scale(spoiled_source, spoiled_target, weights))
  np.testing.assert_allclose(scaled[kept], align_scale(source, target, weights)[kept], rtol=1e-12)


@pytest.mark.parametrize('align', [alignment.align_procrustes, alignment.align_scale])
def test_no_gradient_through_absent_points(x64, align):
  source, target, weights = random_pair(5)
  weights[2] = 0
  source[2, 1] = target[2, 0] = np.nan

  def loss(source, target, weights):
    gap = (align(source, target, weights) - jnp.where(weights[:, None] > 0, target, 0)) ** 2
    return jnp.sum(jnp.where(weights[:, None] > 0, gap, 0))

  for gradient in jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(source, target, weights):
    assert np.all(np.isfinite(gradient))
    np.testing.assert_array_equal(gradient[2], 0)


def test_visibility_may_be_bool_and_negative_weights_count_as_zero(x64):
  source, target, _ = random_pair(6)
  visible = np.array([True, True, False, True, True, True])
  for weights in (visible.astype(float), np.where(visible, 1.0, -3.0)):
    for got, want in zip(
      procrustes(source, target, weights), procrustes(source, target, visible), strict=True
    ):
      np.testing.assert_array_equal(got, want)


@pytest.mark.parametrize('place', ['source', 'target', 'weights'])
def test_nan_that_counts_shows(place):
  arguments = dict(zip(('source', 'target', 'weights'), random_pair(7), strict=True))
  arguments[place][(0, 0)[: arguments[place].ndim]] = np.nan
  assert all(np.all(np.isnan(leaf)) for leaf in procrustes(**arguments))
  assert np.all(np.isnan(align_procrustes(**arguments)))
  assert np.all(np.isnan(align_scale(**arguments)))


# Degenerate point sets: the table of the module's docstring.


def check_identity(similarity, scale=1.0):
  np.testing.assert_array_equal(similarity.rotation, np.eye(3))
  assert similarity.scale == scale


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_degenerate_sets(x64, dtype):
  source, target, weights = (a.astype(dtype) for a in random_pair(8))
  spot = np.broadcast_to(np.array([123.4, -77.7, 5000.3], dtype), (NUM, 3))
  one = np.zeros(NUM, dtype)
  one[3] = 2

  nothing = procrustes(source, target, np.zeros(NUM, dtype))
  check_identity(nothing)
  np.testing.assert_array_equal(nothing.translation, 0)
  single = procrustes(source, target, one)
  check_identity(single)
  np.testing.assert_allclose(single.translation, target[3] - source[3], rtol=1e-6)
  check_identity(procrustes(spot, target, weights))
  check_identity(procrustes(source, spot, weights), scale=0)
  check_identity(procrustes(spot, spot, weights))
  check_identity(procrustes(source, spot, weights, with_scale=False))
  np.testing.assert_allclose(align_procrustes(source, spot, weights), spot, rtol=1e-6)


def test_collinear_sets_turn_least(x64):
  along = np.array([-2.0, -1, 0, 1, 2, 4])[:, None] * 100
  axis = np.array([1.0, 2.0, 2.0]) / 3
  # x onto axis: about cross(x, axis) ~ (0, -2, 2), by arccos(1/3).
  expected = Rotation.from_rotvec(np.arccos(1 / 3) * np.array([0, -1, 1]) / np.sqrt(2))
  found = procrustes(along * [1.0, 0, 0], along * axis * 2, ONES)
  np.testing.assert_allclose(found.rotation, expected.as_matrix(), atol=1e-12)
  assert found.scale == pytest.approx(2)
  opposite = procrustes(along * axis, -along * axis, ONES)
  np.testing.assert_allclose(opposite.rotation @ axis, -axis, atol=1e-12)
  assert np.linalg.det(opposite.rotation) == pytest.approx(1)
  assert np.trace(opposite.rotation) == pytest.approx(-1), 'a half turn'


@hypothesis.given(
  hnp.arrays(np.float32, (NUM, 3), elements=st.integers(-2, 2).map(float)),
  hnp.arrays(np.float32, (NUM, 3), elements=st.integers(-2, 2).map(float)),
  hnp.arrays(np.float32, NUM, elements=st.integers(0, 1).map(float)),
  st.sampled_from([1.0, 2.0**-30, 2.0**30]),
  st.booleans(),
)
@hypothesis.settings(max_examples=30)
def test_any_finite_points(source, target, weights, unit, allow_reflection):
  """Small integers hit every degenerate case: coincident, collinear, coplanar, symmetric."""
  source, target = source * np.float32(unit), target * np.float32(unit)
  found = procrustes(source, target, weights, allow_reflection=allow_reflection)
  assert all(np.all(np.isfinite(leaf)) for leaf in found)
  turned = np.asarray(found.rotation, float)
  np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=3e-6)
  assert allow_reflection or np.linalg.det(turned) > 0
  if np.ptp(source[weights > 0], axis=0).any() if weights.any() else False:
    exact = reference(*(a.astype(float) for a in (source, target, weights)), allow_reflection)
    bound = residual(source.astype(float), target, weights, exact) if np.all(
      np.isfinite(exact.rotation)) and np.linalg.det(exact.rotation) != 0 else np.inf
    spread = np.sum(weights[:, None] * target.astype(float) ** 2)
    assert residual(source.astype(float), target, weights, found) <= bound + 1e-5 * spread
  for gradient in fuzz_gradient(source, target, weights, allow_reflection):
    assert np.all(np.isfinite(gradient))


@functools.partial(jax.jit, static_argnums=3)
def fuzz_gradient(source, target, weights, allow_reflection):
  def loss(*arrays):
    found = alignment.procrustes(*arrays, allow_reflection=allow_reflection)
    aligned = alignment.align_procrustes(*arrays, allow_reflection=allow_reflection)
    return jnp.sum(found.rotation) + found.scale + jnp.sum(jnp.sin(aligned))

  return jax.grad(loss, argnums=(0, 1, 2))(source, target, weights)


# Scale and root.


def test_align_scale_is_least_squares(x64):
  source, target, weights = random_pair(9)
  root = np.sqrt(weights)[:, None]
  expected = np.linalg.lstsq((root * source).reshape(-1, 1), (root * target).ravel(), rcond=None)
  got = align_scale(source, target, weights)
  np.testing.assert_allclose(got, expected[0][0] * source, rtol=1e-12)
  # (1, 2, 2) and (3, 0, 3): s = (3 + 6) / 9 = 1.
  points = np.array([[1.0, 2, 2]]), np.array([[3.0, 0, 3]])
  np.testing.assert_allclose(alignment.align_scale(*points), points[0], rtol=1e-15)


@pytest.mark.parametrize('weights', [ONES, np.zeros(NUM)])
def test_align_scale_without_a_scale(weights):
  source, target, _ = random_pair(10)
  source = source * (weights.sum() == 0)  # no length, or no weight
  np.testing.assert_array_equal(align_scale(source, target, weights), source.astype(np.float32))
  gradient = jax.jit(jax.grad(lambda *a: jnp.sum(alignment.align_scale(*a)), argnums=(0, 1)))
  assert all(np.all(np.isfinite(g)) for g in gradient(source, target, weights))


def test_align_root():
  source, target = np.arange(18.0).reshape(6, 3), np.full((6, 3), 7.0)
  # Joint 2 is (6, 7, 8): all move by (1, 0, -1).
  np.testing.assert_array_equal(align_root(source, target, root=2), source + [1, 0, -1])
  np.testing.assert_array_equal(align_root(source, target, root=-4), source + [1, 0, -1])
  with pytest.raises(ValueError, match='root 6 is outside the 6 points'):
    alignment.align_root(source, target, root=6)


# Failures, types, batches.


@pytest.mark.parametrize(
  'function', [alignment.procrustes, alignment.align_procrustes, alignment.align_scale]
)
def test_wrong_shapes_are_refused_by_name(function):
  points = np.zeros((4, 3))
  name = function.__name__
  with pytest.raises(ValueError, match=rf'{name}: source must have shape \(N, 3\), got.*vmap'):
    function(np.zeros((2, 4, 3)), np.zeros((2, 4, 3)))
  with pytest.raises(ValueError, match=rf'{name}: target must have shape \(4, 3\), got \(5, 3\)'):
    function(points, np.zeros((5, 3)))
  with pytest.raises(ValueError, match=rf'{name}: weights must have shape \(4,\), got \(4, 1\)'):
    function(points, points, np.ones((4, 1)))
  with pytest.raises(ValueError, match=f'{name}: source and target hold no points'):
    function(np.zeros((0, 3)), np.zeros((0, 3)))


def test_batches_and_types(x64):
  sources, targets = np.random.default_rng(11).normal(0, 1, (2, 3, NUM, 3))
  together = jax.jit(jax.vmap(alignment.procrustes))(sources, targets)
  for i in range(3):
    expected = reference(sources[i], targets[i], ONES)
    for got, want in zip(together, expected, strict=True):
      np.testing.assert_allclose(got[i], want, atol=1e-12)
  mixed = align_procrustes(sources[0].astype(np.float32), targets[0].astype(np.float32), ONES)
  assert mixed.dtype == jnp.float32, 'weights do not widen the points'
