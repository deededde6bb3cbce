import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from posejax.heatmaps import background_map, find_peaks, render_heatmaps

render = jax.jit(
  render_heatmaps, static_argnums=2, static_argnames=('stride', 'sigma', 'combine')
)
peaks_of = jax.jit(find_peaks, static_argnames=('stride', 'threshold', 'max_peaks', 'refine'))


def reference(joints, visible, size, stride, sigma, combine):
  """Cell by cell from the definition, with no use of separability."""
  maps = np.zeros((*size, joints.shape[1]))
  for row in range(size[0]):
    for column in range(size[1]):
      centre = np.array([(stride - 1) / 2 + stride * column, (stride - 1) / 2 + stride * row])
      for j in range(joints.shape[1]):
        values = [
          np.exp(-np.sum((centre - joints[p, j]) ** 2) / (2 * sigma**2))
          for p in range(joints.shape[0]) if visible[p, j]
        ]
        total = min(sum(values), 1) if combine == 'sum' else max(values, default=0)
        maps[row, column, j] = total
  return maps


@pytest.mark.parametrize('combine', ['sum', 'max'])
@pytest.mark.parametrize(('size', 'stride', 'sigma'), [((6, 9), 8.0, 7.0), ((7, 4), 16.0, 16.0)])
def test_against_the_definition(x64, combine, size, stride, sigma):
  rng = np.random.default_rng(0)
  joints = rng.uniform(-20, 90, (3, 4, 2))
  visible = rng.uniform(size=(3, 4)) > 0.3
  ours = render(joints, visible, size, stride=stride, sigma=sigma, combine=combine)
  wanted = reference(joints, visible, size, stride, sigma, combine)
  assert ours.dtype == jnp.float64
  np.testing.assert_allclose(ours, wanted, atol=1e-14)


def test_by_hand():
  # Cell (column 2, row 1) is centred at (3.5 + 16, 3.5 + 8) px. One cell on: exp(−½(8/7)²) = .5205.
  maps = render(np.array([[[19.5, 11.5]]], np.float32), None, (4, 5))
  assert maps.dtype == jnp.float32
  np.testing.assert_allclose(maps[1, 2, 0], 1)
  np.testing.assert_allclose(maps[1, 3, 0], 0.5204, atol=1e-4)
  np.testing.assert_allclose(maps[2, 2, 0], 0.5204, atol=1e-4)
  np.testing.assert_allclose(maps[2, 3, 0], 0.5204**2, atol=1e-4)


@pytest.mark.parametrize('dtype', [jnp.float16, jnp.bfloat16, np.int32])
def test_other_types_become_single(dtype):
  joints = jnp.array([[[12, 8], [20, 16]]], dtype)
  maps = render(joints, None, (4, 4))
  assert maps.dtype == jnp.float32
  np.testing.assert_array_equal(maps, render(joints.astype(jnp.float32), None, (4, 4)))
  assert find_peaks(maps.astype(jnp.float16)).positions.dtype == jnp.float32


def test_two_at_one_place_clip_at_one():
  joints = np.full((2, 1, 2), 11.5, np.float32)
  assert render(joints, None, (3, 3))[1, 1, 0] == 1
  # One cell off the centre: 2 · .5204 > 1 is clipped too; diagonally 2 · .5204² = .5417 is not.
  np.testing.assert_allclose(render(joints, None, (3, 3))[0, 1, 0], 1)
  np.testing.assert_allclose(render(joints, None, (3, 3))[0, 0, 0], 0.5417, atol=1e-4)
  largest = render(joints, None, (3, 3), combine='max')
  np.testing.assert_allclose(largest[0, 1, 0], 0.5204, atol=1e-4)


@pytest.mark.parametrize('combine', ['sum', 'max'])
@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf, 1e30, 3e38])
def test_joints_that_cannot_be_drawn(combine, bad):
  joints = np.full((2, 2, 2), 12.0, np.float32)
  joints[0, 0, 1] = bad

  def total(joints):
    return jnp.sum(render(joints, None, (4, 4), combine=combine) ** 2)

  maps = render(joints, None, (4, 4), combine=combine)
  masked = render(
    np.full((2, 2, 2), 12.0, np.float32), np.array([[0, 1], [1, 1]]), (4, 4), combine=combine
  )
  np.testing.assert_array_equal(maps, masked)
  gradient = jax.grad(total)(joints)
  assert np.all(np.isfinite(gradient))
  np.testing.assert_array_equal(gradient[0, 0], 0)


def test_far_but_finite_joints_have_finite_gradients():
  joints = np.array([[[7e5, 0.0], [-3.0, 500.0]]], np.float32)
  value, gradient = jax.value_and_grad(lambda j: jnp.sum(render(j, None, (4, 4))))(joints)
  assert value == 0
  np.testing.assert_array_equal(gradient, 0)


@pytest.mark.parametrize('combine', ['sum', 'max'])
def test_derivatives(x64, combine):
  # Apart enough that no sum reaches 1, where the clip's derivative jumps.
  joints = np.array([[[10.0, 9.0], [20.0, 4.0]], [[30.0, 23.0], [3.0, 25.0]]])
  draw = lambda joints: render(joints, None, (4, 5), combine=combine)  # noqa: E731
  check_grads(draw, (joints,), order=1, modes=('fwd', 'rev'), atol=1e-6, rtol=1e-6)


def test_no_gradient_where_the_sum_is_clipped(x64):
  joints = np.array([[[10.0, 11.0]], [[13.0, 12.0]], [[11.0, 12.0]]])
  cell = lambda joints: render(joints, None, (3, 3))[1, 1, 0]  # noqa: E731
  assert cell(joints) == 1
  np.testing.assert_array_equal(jax.grad(cell)(joints), 0)


def test_nobody_and_no_joints():
  assert not np.any(render(np.zeros((0, 3, 2), np.float32), None, (4, 5)))
  assert not np.any(render(np.zeros((0, 3, 2), np.float32), None, (4, 5), combine='max'))
  assert render(np.zeros((2, 0, 2), np.float32), None, (4, 5)).shape == (4, 5, 0)


def test_visibility_flags():
  joints = np.full((1, 4, 2), 4.0, np.float32)
  maps = render(joints, np.array([[0.0, 2.0, np.nan, 0.3]], np.float32), (2, 2))
  assert np.max(maps[..., 0]) == np.max(maps[..., 2]) == 0
  np.testing.assert_array_equal(maps[..., 1], maps[..., 3])


def test_background():
  maps = jnp.array([[[0.25, 0.5]], [[0.0, 0.0]]])
  np.testing.assert_array_equal(background_map(maps), [[[0.5]], [[1.0]]])
  np.testing.assert_array_equal(background_map(jnp.zeros((2, 1, 0))), np.ones((2, 1, 1)))


def test_vmap_is_a_loop():
  rng = np.random.default_rng(1)
  joints = rng.uniform(0, 30, (3, 2, 2, 2)).astype(np.float32)
  visible = rng.uniform(size=(3, 2, 2)) > 0.5
  batch = jax.vmap(lambda j, v: render_heatmaps(j, v, (4, 4)))(joints, visible)
  for maps, j, v in zip(batch, joints, visible, strict=True):
    np.testing.assert_allclose(maps, render(j, v, (4, 4)), atol=1e-6)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'joints': np.zeros((2, 3))}, r'joints must have shape \(P, J, 2\), got \(2, 3\); vmap'),
    ({'joints': np.zeros((1, 2, 3, 2))}, 'vmap over batches'),
    ({'joints': np.zeros((2, 3, 3))}, r'got \(2, 3, 3\)'),
    ({'joints': np.zeros((2, 3, 2), complex)}, 'real'),
    ({'visible': np.ones(3)}, r'visible must have shape \(2, 3\)'),
    ({'size': (0, 4)}, r'size must be \(H, W\)'),
    ({'size': (4, 4, 3)}, r'size must be \(H, W\)'),
    ({'size': 4}, r'size must be \(H, W\)'),
    ({'size': None}, r'size must be \(H, W\)'),
    ({'size': (4, float('inf'))}, r'size must be \(H, W\)'),
    ({'size': (float('nan'), 4)}, r'size must be \(H, W\)'),
    ({'size': (4, '4')}, r'size must be \(H, W\)'),
    ({'sigma': 0.0}, 'sigma must be finite and > 0'),
    ({'sigma': float('nan')}, 'sigma must be finite and > 0'),
    ({'stride': -8.0}, 'stride must be finite and > 0'),
    ({'combine': 'mean'}, "combine must be 'sum' or 'max'"),
  ],
)
def test_clear_errors(changes, message):
  arguments = {'joints': np.zeros((2, 3, 2)), 'visible': None, 'size': (4, 4)} | changes
  with pytest.raises(ValueError, match=message):
    render_heatmaps(**arguments)


def test_a_lone_gaussian_gives_its_joint_back(x64):
  # 100 places anywhere in the image, up to its border and into the corners.
  joints = np.random.default_rng(2).uniform(-0.5, 31.5, (1, 100, 2))
  joints[0, :4] = [[-0.5, -0.5], [31.5, -0.5], [-0.5, 31.5], [31.5, 31.5]]
  peaks = peaks_of(render(joints, None, (4, 4)), max_peaks=2)
  np.testing.assert_array_equal(peaks.valid, [[True, False]] * 100)
  np.testing.assert_allclose(peaks.positions[:, 0], joints[0], atol=1e-9)
  coarse = peaks_of(render(joints, None, (4, 4)), max_peaks=2, refine=False)
  # Cells are centred at 3.5 + 8g; half a cell is 4 px.
  np.testing.assert_allclose((coarse.positions[:, 0] - 3.5) % 8, 0)
  assert np.max(np.abs(coarse.positions[:, 0] - joints[0])) <= 4 + 1e-9


def test_peaks_against_scipy():
  rng = np.random.default_rng(3)
  maps = rng.uniform(size=(12, 10, 5)).astype(np.float32)
  peaks = peaks_of(maps, threshold=0.4, max_peaks=30, refine=False, stride=1.0)
  for j in range(5):
    largest = scipy.ndimage.maximum_filter(maps[..., j], 3, mode='constant')
    y, x = np.nonzero((maps[..., j] == largest) & (maps[..., j] > 0.4))
    order = np.argsort(-maps[y, x, j])
    found = peaks.valid[j]
    assert found.sum() == len(x)
    np.testing.assert_array_equal(peaks.positions[j][found], np.stack([x, y], 1)[order])
    np.testing.assert_array_equal(peaks.scores[j][found], maps[y, x, j][order])


def test_ties_and_plateaus():
  maps = np.zeros((7, 9, 3), np.float32)
  maps[2, 2:6, 0] = 1  # a row: its first cell
  maps[1:3, 1:3, 1] = 1  # a block: its upper left cell
  maps[5, 7, 2] = maps[1, 7, 2] = maps[3, 1, 2] = 0.5  # equal peaks: in reading order
  peaks = peaks_of(maps, max_peaks=4, stride=1.0, refine=False)
  np.testing.assert_array_equal(peaks.valid.sum(1), [1, 1, 3])
  np.testing.assert_array_equal(peaks.positions[0, 0], [2, 2])
  np.testing.assert_array_equal(peaks.positions[1, 0], [1, 1])
  np.testing.assert_array_equal(peaks.positions[2, :3], [[7, 1], [1, 3], [7, 5]])
  flat = peaks_of(np.ones((3, 4, 1), np.float32), max_peaks=4, stride=1.0)
  np.testing.assert_array_equal(flat.valid, [[True, False, False, False]])
  np.testing.assert_array_equal(flat.positions[0, 0], [0, 0])


def test_the_best_peaks_stay():
  maps = np.zeros((1, 9, 1), np.float32)
  maps[0, ::2, 0] = [0.2, 0.9, 0.05, 0.4, 0.3]
  peaks = peaks_of(maps, max_peaks=2, stride=1.0)
  np.testing.assert_allclose(peaks.scores, [[0.9, 0.4]])
  np.testing.assert_array_equal(peaks.positions[0, :, 1], 0)
  every = peaks_of(maps, max_peaks=20, stride=1.0)
  np.testing.assert_allclose(every.scores[0], [0.9, 0.4, 0.3, 0.2] + 16 * [0], rtol=1e-6)
  assert every.valid.shape == (1, 20)


@pytest.mark.parametrize('size', [(1, 1), (2, 1), (1, 3), (2, 2)])
def test_tiny_maps(size):
  peaks = peaks_of(np.full((*size, 1), 0.5, np.float32), stride=4.0)
  np.testing.assert_array_equal(peaks.positions[0, 0], [1.5, 1.5])
  assert peaks.valid.sum() == 1


@pytest.mark.parametrize(
  ('maps', 'changes', 'message'),
  [
    (np.zeros((4, 4)), {}, r'heatmaps must have shape \(H, W, C\), got \(4, 4\); vmap'),
    (np.zeros((2, 4, 4, 3)), {}, 'vmap over batches'),
    (np.zeros((0, 4, 3)), {}, 'H, W ≥ 1'),
    (np.zeros((4, 4, 3), complex), {}, 'real'),
    (np.zeros((4, 4, 3)), {'threshold': -0.1}, 'threshold must be ≥ 0'),
    (np.zeros((4, 4, 3)), {'threshold': float('nan')}, 'threshold must be ≥ 0'),
    (np.zeros((4, 4, 3)), {'max_peaks': 0}, 'max_peaks must be a whole number ≥ 1'),
    (np.zeros((4, 4, 3)), {'max_peaks': float('inf')}, 'max_peaks must be a whole number ≥ 1'),
    (np.zeros((4, 4, 3)), {'max_peaks': np.float32('nan')}, 'max_peaks must be a whole number ≥ 1'),
    (np.zeros((4, 4, 3)), {'max_peaks': None}, 'max_peaks must be a whole number ≥ 1'),
    (np.zeros((4, 4, 3)), {'stride': 0.0}, 'stride must be finite'),
  ],
)
def test_clear_errors_of_peaks(maps, changes, message):
  with pytest.raises(ValueError, match=message):
    find_peaks(maps, **changes)


@given(
  hnp.arrays(
    np.float32, (5, 4, 2),
    elements=st.floats(width=32) | st.sampled_from([0, 0.5, 1]),
  )
)
def test_any_map_gives_finite_peaks(maps):
  peaks = peaks_of(maps, max_peaks=6)
  assert np.all(np.isfinite(peaks.positions)) and np.all(np.isfinite(peaks.scores))
  assert np.all(np.asarray(peaks.scores)[np.asarray(peaks.valid)] > 0.1)
  # Every peak stays inside the image, half a pixel around the outermost cells' pixels.
  inside = (peaks.positions >= -0.5) & (peaks.positions <= np.array([31.5, 39.5]))
  assert np.all(inside | ~peaks.valid[..., None])
  assert np.all(np.diff(peaks.scores, axis=1) <= 0)


@given(
  hnp.arrays(np.float32, (2, 3, 2), elements=st.floats(width=32)),
  hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32)),
)
def test_any_joints_give_finite_maps(joints, visible):
  maps, pull = jax.vjp(lambda j: render(j, visible, (4, 4)), joints)
  assert np.all((maps >= 0) & (maps <= 1))
  assert np.all(np.isfinite(pull(jnp.ones_like(maps))[0]))
