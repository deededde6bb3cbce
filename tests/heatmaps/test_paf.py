import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from jax.test_util import check_grads

from posejax.geometry import skeleton as skeleton_lib
from posejax.heatmaps import Peaks, render_limb_gaussians, render_pafs, score_limbs
from tests.heatmaps import people

render = jax.jit(render_pafs, static_argnums=(2, 3), static_argnames=('stride', 'width'))
limb_maps = jax.jit(
  render_limb_gaussians, static_argnums=(1, 2),
  static_argnames=('stride', 'along', 'across', 'min_along'),
)
score = jax.jit(
  score_limbs, static_argnums=2,
  static_argnames=('stride', 'samples', 'threshold', 'min_fraction'),
)


def reference(joints, visible, limbs, size, stride, width):
  """Cell by cell from the definition: distance to the line, box, average."""
  maps = np.zeros((*size, 2 * len(limbs)))
  for i, (a, b) in enumerate(limbs):
    for row in range(size[0]):
      for column in range(size[1]):
        cell = np.array([column, row])
        vectors = []
        for p in range(joints.shape[0]):
          start, end = ((joints[p, j] - (stride - 1) / 2) / stride for j in (a, b))
          if not (visible[p, a] and visible[p, b]) or np.allclose(start, end):
            continue
          unit = (end - start) / np.linalg.norm(end - start)
          offset = cell - start
          distance = np.linalg.norm(offset - np.dot(offset, unit) * unit)
          low, high = np.minimum(start, end) - width, np.maximum(start, end) + width
          if distance <= width and np.all(cell >= low) and np.all(cell <= high):
            vectors.append(unit)
        if vectors:
          maps[row, column, 2 * i : 2 * i + 2] = np.mean(vectors, axis=0)
  return maps


@pytest.mark.parametrize(
  'skeleton',
  [skeleton_lib.J15, skeleton_lib.OPENPOSE_MPI15, skeleton_lib.OPENPOSE_COCO18],
  ids=lambda skeleton: skeleton.name,
)
@pytest.mark.parametrize(('size', 'stride', 'width'), [((9, 12), 8.0, 1.0), ((6, 5), 16.0, 0.7)])
def test_against_the_definition(x64, skeleton, size, stride, width):
  rng = np.random.default_rng(0)
  joints = people.crowd(rng, skeleton, 4, 90)
  visible = rng.uniform(size=joints.shape[:2]) > 0.1
  ours = render(joints, visible, skeleton.limbs, size, stride=stride, width=width)
  wanted = reference(joints, visible, skeleton.limbs, size, stride, width)
  assert ours.dtype == jnp.float64 and np.any(wanted)
  np.testing.assert_allclose(ours, wanted, atol=1e-12)


def test_by_hand():
  # Stride 1: pixels are cells. From (2, 3) to (6, 3), width 1: rows 2 to 4, columns 1 to 7.
  joints = np.array([[[2, 3], [6, 3]]], np.float32)
  maps = render(joints, None, ((0, 1), (1, 0)), (8, 9), stride=1.0)
  assert maps.dtype == jnp.float32
  wanted = np.zeros((8, 9, 4))
  wanted[2:5, 1:8, 0], wanted[2:5, 1:8, 2] = 1, -1
  np.testing.assert_array_equal(maps, wanted)


def test_half_precision_becomes_single():
  joints = jnp.array([[[2, 3], [6, 3]], [[jnp.inf, 3], [6, 3]]], jnp.float16)
  maps = render(joints, None, ((0, 1), (1, 0)), (8, 9), stride=1.0)
  assert maps.dtype == jnp.float32 and np.all(np.isfinite(maps)) and maps[3, 4, 0] == 1


def test_overlap_is_averaged():
  # A limb to the right and one downwards cross at (4, 4).
  joints = np.array([[[1, 4], [7, 4]], [[4, 1], [4, 7]]], np.float32)
  maps = render(joints, None, ((0, 1),), (9, 9), stride=1.0)
  np.testing.assert_allclose(maps[4, 4], [0.5, 0.5])
  np.testing.assert_allclose(maps[4, 1], [1, 0])
  np.testing.assert_allclose(maps[7, 4], [0, 1])


@pytest.mark.parametrize('bad', [np.nan, np.inf, 1e30, 'same place', 'hidden'])
def test_limbs_that_cannot_be_drawn(bad):
  joints = np.array([[[10, 10], [40, 12]], [[10, 30], [40, 25]]], np.float32)
  alone = render(joints[1:], None, ((0, 1),), (6, 6))
  visible = np.ones((2, 2), bool)
  if bad == 'same place':
    joints[0, 1] = joints[0, 0]
  elif bad == 'hidden':
    visible[0, 1] = False
  else:
    joints[0, 1, 0] = bad
  maps, pull = jax.vjp(lambda j: render(j, visible, ((0, 1),), (6, 6)), joints)
  np.testing.assert_allclose(maps, alone, atol=1e-6)
  gradient = pull(jnp.ones_like(maps))[0]
  assert np.all(np.isfinite(gradient))
  np.testing.assert_array_equal(gradient[0], 0)


def test_derivatives_go_through_the_unit_vectors(x64):
  # Cells keep off the mask's edge by more than the numerical step.
  joints = np.array([[[10.3, 9.1], [30.2, 24.7]], [[30.9, 4.6], [5.2, 29.8]]])
  draw = lambda joints: render(joints, None, ((0, 1),), (5, 5))  # noqa: E731
  assert np.any(jax.jacobian(draw)(joints))
  check_grads(draw, (joints,), order=1, modes=('fwd', 'rev'), atol=1e-6, rtol=1e-6)


def test_nobody_no_limbs_and_vmap():
  assert not np.any(render(np.zeros((0, 2, 2), np.float32), None, ((0, 1),), (4, 5)))
  assert render(np.zeros((1, 2, 2), np.float32), None, (), (4, 5)).shape == (4, 5, 0)
  rng = np.random.default_rng(1)
  joints = rng.uniform(0, 30, (3, 2, 2, 2)).astype(np.float32)
  batch = jax.vmap(lambda j: render_pafs(j, None, ((0, 1),), (4, 4)))(joints)
  for maps, one in zip(batch, joints, strict=True):
    np.testing.assert_allclose(maps, render(one, None, ((0, 1),), (4, 4)), atol=1e-6)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'joints': np.zeros((3, 2))}, r'joints must have shape \(P, J, 2\)'),
    ({'visible': np.ones((2, 4))}, r'visible must have shape \(2, 3\)'),
    ({'limbs': ((0, 3),)}, r'limbs must be pairs of joints in 0\.\.2'),
    ({'limbs': ((0, -1),)}, 'limbs must be pairs'),
    ({'limbs': ((0, 1, 2),)}, 'limbs must be pairs'),
    ({'size': (4,)}, r'size must be \(H, W\)'),
    ({'width': 0.0}, 'width must be finite'),
    ({'stride': float('inf')}, 'stride must be finite'),
  ],
)
def test_clear_errors(changes, message):
  arguments = {'joints': np.zeros((2, 3, 2)), 'visible': None, 'limbs': ((0, 1),), 'size': (4, 4)}
  with pytest.raises(ValueError, match=message):
    render_pafs(**(arguments | changes))


@given(
  hnp.arrays(np.float32, (2, 3, 2), elements=st.floats(width=32)),
  hnp.arrays(np.float32, (2, 3), elements=st.floats(width=32)),
)
def test_any_joints_give_finite_maps(joints, visible):
  limbs = ((0, 1), (1, 2))
  maps, pull = jax.vjp(lambda j: render(j, visible, limbs, (4, 4)), joints)
  lengths = np.linalg.norm(np.asarray(maps).reshape(4, 4, 2, 2), axis=-1)
  assert np.all(lengths <= 1 + 1e-6)
  assert np.all(np.isfinite(pull(jnp.ones_like(maps))[0]))


def limb_reference(joints, limbs, size, stride, along, across, min_along):
  """The paper's form: the lattice turned by the limb's angle about its middle."""
  maps = np.zeros((*size, len(limbs)))
  y, x = np.mgrid[: size[0], : size[1]]
  cells = (joints - (stride - 1) / 2) / stride
  for i, (a, b) in enumerate(limbs):
    middle, d = (cells[a] + cells[b]) / 2, cells[b] - cells[a]
    angle = np.arctan2(d[1], d[0])
    t = np.cos(angle) * (x - middle[0]) + np.sin(angle) * (y - middle[1])
    n = -np.sin(angle) * (x - middle[0]) + np.cos(angle) * (y - middle[1])
    sigma = max(along * np.hypot(*d), min_along)
    maps[..., i] = np.exp(-0.5 * (t / sigma) ** 2 - 0.5 * (n / across) ** 2)
  return maps


def test_limb_gaussians_against_the_angle_form(x64):
  skeleton = skeleton_lib.J17
  joints = np.random.default_rng(2).uniform(-30, 250, (17, 2))
  ours = limb_maps(joints, skeleton.limbs, (14, 14))
  assert ours.dtype == jnp.float64 and ours.shape == (14, 14, 16)
  wanted = limb_reference(joints, skeleton.limbs, (14, 14), 16.0, 0.25, 0.6, 0.5)
  # ε = 1e-6 cells² in the length is the whole difference.
  np.testing.assert_allclose(ours, wanted, atol=1e-5)
  other = limb_maps(joints, ((0, 1),), (9, 5), stride=4.0, along=0.4, across=1.5, min_along=1.0)
  wanted = limb_reference(joints, ((0, 1),), (9, 5), 4.0, 0.4, 1.5, 1.0)
  np.testing.assert_allclose(other, wanted, atol=1e-5)


def test_a_limb_seen_end_on_is_round():
  # Both ends at the centre of cell (2, 1); across = .6: one cell off is exp(−½/.36) = .2494.
  joints = np.full((2, 2), [7.5 + 32, 7.5 + 16], np.float32)
  maps = limb_maps(joints, ((0, 1),), (4, 5))[..., 0]
  np.testing.assert_allclose(maps[1, 2], 1, atol=1e-6)
  np.testing.assert_allclose([maps[1, 1], maps[0, 2], maps[2, 2]], 0.2494, atol=1e-4)


def test_limb_gaussians_derivatives(x64):
  limbs = ((0, 1), (1, 2), (0, 2))
  draw = lambda joints: limb_maps(joints, limbs, (4, 4))  # noqa: E731
  joints = np.array([[11.0, 12.0], [43.0, 39.0], [8.0, 50.0]])
  check_grads(draw, (joints,), order=1, modes=('fwd', 'rev'), atol=1e-6, rtol=1e-6)
  # Where the ends meet too: a smooth function, whatever the direction.
  together = np.array([[20.0, 20.0], [20.0, 20.0], [20.0, 20.0]])
  assert np.all(np.isfinite(jax.jacobian(draw)(together)))


@pytest.mark.parametrize('bad', [np.nan, np.inf, 1e30, 'hidden'])
def test_limb_gaussians_that_cannot_be_drawn(bad):
  joints = np.array([[11, 12], [43, 39], [8, 50]], np.float32)
  visible = None
  if bad == 'hidden':
    visible = np.array([1, 1, 0])
  else:
    joints[2, 0] = bad
  maps, pull = jax.vjp(
    lambda j: limb_maps(j, ((0, 1), (1, 2)), (4, 4), visible=visible), joints
  )
  assert np.max(maps[..., 0]) > 0.5
  np.testing.assert_array_equal(maps[..., 1], 0)
  assert np.all(np.isfinite(pull(jnp.ones_like(maps))[0]))
  with pytest.raises(ValueError, match=r'joints must have shape \(J, 2\)'):
    render_limb_gaussians(joints[None], ((0, 1),), (4, 4))
  with pytest.raises(ValueError, match='across must be finite'):
    render_limb_gaussians(joints, ((0, 1),), (4, 4), across=0.0)


def score_reference(pafs, positions, valid, limbs, stride, samples, threshold, hits):
  height, width = pafs.shape[:2]
  slots = positions.shape[1]
  scores = np.zeros((len(limbs), slots, slots))
  for i, (a, b) in enumerate(limbs):
    for m in range(slots):
      for n in range(slots):
        start, end = positions[a, m], positions[b, n]
        length = np.linalg.norm(end - start)  # px
        if not (valid[a, m] and valid[b, n]) or length == 0:
          continue
        products = []
        for t in np.linspace(0, 1, samples):
          cell = (start + t * (end - start) - (stride - 1) / 2) / stride
          column, row = (int(v) for v in np.clip(np.floor(cell + 0.5), 0, [width - 1, height - 1]))
          products.append(pafs[row, column, 2 * i : 2 * i + 2] @ (end - start) / length)
        total = np.mean(products) + min(stride * height / 2 / length - 1, 0)
        if np.sum(np.array(products) > threshold) >= hits and total > 0:
          scores[i, m, n] = total
  return scores


@pytest.mark.parametrize(
  ('samples', 'threshold', 'fraction', 'hits'), [(10, 0.05, 0.8, 8), (7, 0.2, 0.5, 4)]
)
def test_scores_against_the_definition(x64, samples, threshold, fraction, hits):
  rng = np.random.default_rng(4)
  skeleton = skeleton_lib.OPENPOSE_MPI15
  joints = people.crowd(rng, skeleton, 3, 160)
  pafs = np.array(render(joints, None, skeleton.limbs, (20, 20)))
  pafs += rng.normal(scale=0.1, size=pafs.shape)
  positions = np.swapaxes(joints, 0, 1)
  valid = rng.uniform(size=positions.shape[:2]) > 0.1
  peaks = Peaks(positions, np.ones(valid.shape), valid)
  ours = score(
    pafs, peaks, skeleton.limbs, samples=samples, threshold=threshold, min_fraction=fraction
  )
  wanted = score_reference(pafs, positions, valid, skeleton.limbs, 8.0, samples, threshold, hits)
  assert np.sum(wanted > 0) >= 20
  np.testing.assert_allclose(ours, wanted, atol=1e-9)


def test_score_by_hand():
  # A field (1, 0) in all cells of 8 × 30; stride 1, so that px are cells. H/2 = 4.
  pafs = np.zeros((8, 30, 2), np.float32)
  pafs[..., 0] = 1
  ends = np.array([[[0, 0], [0, 0]], [[3, 0], [5, 0]]], np.float32)
  ends[1, :, 1] = [4, 0]
  peaks = Peaks(ends, np.ones((2, 2)), np.array([[True, False], [True, True]]))
  scores = score(pafs, peaks, ((0, 1),), stride=1.0)
  # To (3, 4): 3/5 of the way is along x, prior 4/5 − 1 = −.2: .4. To (5, 0): 1 − .2.
  np.testing.assert_allclose(scores, [[[0.4, 0.8], [0, 0]]], atol=1e-6)


def test_a_broken_field_does_not_count():
  pafs = np.zeros((3, 10, 2), np.float32)
  pafs[:, :8, 0] = 1
  peaks = Peaks(np.array([[[0, 1]], [[9, 1]]], np.float32), np.ones((2, 1)), np.ones((2, 1), bool))
  # Prior: 1.5/9 − 1. Eight of ten samples agree: .8 − .833 < 0 does not count on a low image.
  assert score(pafs, peaks, ((0, 1),), stride=1.0)[0, 0, 0] == 0
  tall = np.zeros((20, 10, 2), np.float32)
  tall[:, :8, 0] = 1
  np.testing.assert_allclose(score(tall, peaks, ((0, 1),), stride=1.0)[0, 0, 0], 0.8, atol=1e-6)
  tall[:, 7, 0] = 0  # seven of ten
  assert score(tall, peaks, ((0, 1),), stride=1.0)[0, 0, 0] == 0
  tall[:, :, 0] = np.nan
  assert score(tall, peaks, ((0, 1),), stride=1.0)[0, 0, 0] == 0


def test_clear_errors_of_scores():
  peaks = Peaks(np.zeros((2, 3, 2)), np.zeros((2, 3)), np.zeros((2, 3), bool))
  with pytest.raises(ValueError, match='2 limbs need 4 PAFs, got 2'):
    score_limbs(np.zeros((4, 4, 2)), peaks, ((0, 1), (1, 0)))
  with pytest.raises(ValueError, match=r'pafs must have shape \(H, W, C\)'):
    score_limbs(np.zeros((4, 4)), peaks, ((0, 1),))
  with pytest.raises(ValueError, match=r'peaks.positions must have shape \(J, K, 2\)'):
    score_limbs(np.zeros((4, 4, 2)), peaks._replace(positions=np.zeros((3, 2))), ((0, 1),))
  with pytest.raises(ValueError, match='samples must be a whole number'):
    score_limbs(np.zeros((4, 4, 2)), peaks, ((0, 1),), samples=0)
  assert score_limbs(np.zeros((4, 4, 0)), peaks, ()).shape == (0, 3, 3)
