"""Closed-form casts against rays cut with the same solids one by one, in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.synth import casting
from posejax.synth import solids as solids_lib
from tests.synth.stand import as_float64, first_hit, span

QUICK = {'xla_backend_optimization_level': 0}
COUNT = 9


def random_solids(seed: int) -> tuple[np.ndarray, ...]:
  """Arguments of COUNT ellipsoids and COUNT segments in front of a camera at the origin."""
  rng = np.random.default_rng(seed)
  around = lambda: rng.normal(size=(COUNT, 3)) * [500, 500, 400] + [0, 0, 2500]  # noqa: E731
  axes = np.linalg.qr(rng.normal(size=(COUNT, 3, 3)))[0]
  start = around()
  return (
    around(), axes, rng.uniform(30, 300, (COUNT, 3)),
    start, start + rng.normal(size=(COUNT, 3)) * 400, rng.normal(size=(COUNT, 3)),
    rng.uniform(30, 150, (COUNT, 3)), rng.uniform(0.6, 1, COUNT),
    np.sort(rng.uniform(0, 1, (COUNT, 2)), axis=-1),
  )


def build(center, axes, half, start, end, side, radii, flat, clip):
  whole = solids_lib.ellipsoids(center, axes, half)
  cut, _ = solids_lib.segments(start, end, side, radii, flat, clip)
  return solids_lib.concatenate(whole, cut)


def view(solids, x, y):
  rows = casting.view_coefficients(solids)
  return casting.cast(rows[:COUNT], rows[COUNT:], x, y)


def heights(solids, basis, u, v):
  turned = solids_lib.transform(solids, basis, jnp.zeros(3, basis.dtype))
  rows = casting.light_coefficients(turned)
  start = jnp.full_like(u, -1e6)
  return casting.cast_heights(rows[:COUNT], rows[COUNT:], u, v, start)


BUILD = jax.jit(build)
VIEW = jax.jit(view, compiler_options=QUICK)
HEIGHTS = jax.jit(heights, compiler_options=QUICK)
GRID = np.meshgrid(np.linspace(-0.45, 0.45, 23), np.linspace(-0.4, 0.4, 19))


@pytest.mark.parametrize('seed', [0, 1])
def test_view_matches_rays_cut_one_by_one(seed):
  arguments = [np.asarray(x, np.float32) for x in random_solids(seed)]
  solids = BUILD(*arguments)
  w, index = VIEW(solids, *(np.asarray(g, np.float32) for g in GRID))
  exact = as_float64(solids)
  wrong = 0
  for (row, column), found in np.ndenumerate(np.asarray(index)):
    direction = np.array([GRID[0][row, column], GRID[1][row, column], 1.0])
    t, which = first_hit(exact, np.zeros(3), direction)
    if which != found:
      wrong += 1
    elif which >= 0:
      # Low bits of w hold the index: 18 solids take five of them, so 2^-19 of the depth.
      assert 1 / w[row, column] == pytest.approx(t, rel=1e-4)
    else:
      assert w[row, column] == 0
  # Rays that graze a silhouette may fall to either side in float32.
  assert wrong <= 2


@pytest.mark.usefixtures('x64')
def test_view_is_exact_in_float64():
  solids = BUILD(*random_solids(2))
  w, index = VIEW(solids, *GRID)
  assert w.dtype == jnp.float64
  exact = as_float64(solids)
  for (row, column), found in np.ndenumerate(np.asarray(index)):
    direction = np.array([GRID[0][row, column], GRID[1][row, column], 1.0])
    t, which = first_hit(exact, np.zeros(3), direction)
    assert which == found
    if which >= 0:
      assert 1 / w[row, column] == pytest.approx(t, rel=1e-9)


@pytest.mark.usefixtures('x64')
def test_heights_match_rays_from_above():
  solids = BUILD(*random_solids(3))
  rng = np.random.default_rng(0)
  basis = np.linalg.qr(rng.normal(size=(3, 3)))[0]
  middle = basis @ [0, 0, 2500.0]
  u, v = (middle[i] + 700 * GRID[i] for i in range(2))
  best = np.asarray(HEIGHTS(solids, basis, u, v))
  exact = as_float64(solids)
  hits = 0
  for (row, column), height in np.ndenumerate(best):
    origin = u[row, column] * basis[0] + v[row, column] * basis[1]
    ends = [
      span(exact.center[k], exact.matrix[k], exact.low[k], exact.high[k], origin, basis[2])
      for k in np.flatnonzero(exact.enabled)
    ]
    wanted = max((last for first, last in ends if first <= last), default=-1e6)
    hits += wanted > -1e6
    assert height == pytest.approx(wanted, abs=1e-6)
  assert hits > 40


@pytest.mark.usefixtures('x64')
def test_camera_inside_of_the_uncut_ellipsoid():
  # A limb that points at the camera: its uncut ellipsoid reaches behind the camera, the limb itself
  # begins 700 mm in front of it. Rays near its axis enter through the flat end.
  limb, _ = solids_lib.segments(
    np.array([[0, 0, 700.0]]), np.array([[20.0, 0, 1100]]), np.array([[1.0, 0, 0]]),
    np.array([[80.0, 66, 50]]), np.ones(1), np.array([[0.0, 1]]),
  )
  assert np.linalg.norm(limb.matrix[0] @ limb.center[0]) < 1
  padded = jax.tree.map(lambda x: jnp.concatenate([x] * (2 * COUNT)), limb)
  far = padded._replace(enabled=jnp.arange(2 * COUNT) == COUNT)
  w, index = VIEW(far, np.array([[0.0, 0.02]]), np.array([[0.0, 0.01]]))
  assert (np.asarray(index) == COUNT).all()
  exact = as_float64(far)
  for column, direction in enumerate(([0, 0, 1.0], [0.02, 0.01, 1])):
    t, _ = first_hit(exact, np.zeros(3), np.array(direction))
    assert 1 / w[0, column] == pytest.approx(t, rel=1e-9)


@pytest.mark.usefixtures('x64')
def test_what_is_behind_or_disabled_or_around_the_camera_is_not_seen():
  center = np.array([[0, 0, -2000.0], [0, 0, 2000], [0, 0, 60], [0, 0, 30]])
  axes = np.broadcast_to(np.eye(3), (4, 3, 3))
  solids = solids_lib.ellipsoids(center, axes, np.array([[300.0] * 3] * 3 + [[10.0] * 3]))
  solids = solids._replace(enabled=np.array([True, False, True, True]))
  padded = jax.tree.map(lambda x: jnp.concatenate([x, x, x, x, x])[:2 * COUNT], solids)
  w, index = VIEW(padded, *GRID)
  assert (np.asarray(index) == -1).all()
  assert (np.asarray(w) == 0).all()


def test_segment_has_its_radii():
  # Width at start, middle and end along `side`: q = A (X - c) has length 1 on the surface.
  radii = np.array([[60.0, 70, 40]])
  start, end = np.array([[0.0, 0, 0]]), np.array([[0.0, 0, 400]])
  solids, axes = solids_lib.segments(
    jnp.asarray(start), jnp.asarray(end), jnp.asarray([[0.0, 1, 0]]), jnp.asarray(radii),
    jnp.asarray([0.5]), jnp.asarray([[0.0, 1]]),
  )
  exact = as_float64(solids)
  for share, radius in zip((0, 0.5, 1), radii[0], strict=True):
    for direction, scale in (([0, 1.0, 0], 1), ([1.0, 0, 0], 0.5)):
      point = share * end[0] + radius * scale * np.array(direction)
      q = exact.matrix[0] @ (point - exact.center[0])
      assert np.linalg.norm(q) == pytest.approx(1, abs=1e-4)
    at = exact.matrix[0, 2] @ (share * end[0] - exact.center[0])
    assert exact.low[0] - 1e-5 <= at <= exact.high[0] + 1e-5
  np.testing.assert_allclose(axes[0], np.eye(3), atol=1e-6)


@pytest.mark.parametrize(
  ('up', 'left'),
  [
    ((0, 0, 0), (0, 0, 0)), ((0, 0, 1), (0, 0, 3)), ((1, 0, 0), (0, 0, 0)),
    ((0, 2, 0), (0, 1e-9, 0)), ((1e-20, 0, 0), (0, 1, 0)), ((3, 4, 0), (0, 0, 5)),
  ],
)
def test_frame_is_a_rotation_whatever_it_is_given(up, left):
  axes = np.asarray(solids_lib.frame(jnp.asarray(up, float), jnp.asarray(left, float)), float)
  np.testing.assert_allclose(axes @ axes.T, np.eye(3), atol=1e-5)
  assert np.linalg.det(axes) == pytest.approx(1, abs=1e-5)


def test_numbers_survive_in_the_last_bits():
  low = jnp.uint32(31)
  value = jnp.asarray([2.5e-4, 1e-3], jnp.float32)
  marked = casting.mark(value, jnp.asarray([7, 31], jnp.uint32), low)
  np.testing.assert_array_equal(casting.read_mark(marked, low), [7, 31])
  np.testing.assert_allclose(marked, value, rtol=2**-18)
