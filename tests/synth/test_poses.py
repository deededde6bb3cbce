"""Artificial poses against the printed table, a rejection sampler and brute-force distances."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from posejax.geometry import kinematics
from posejax.geometry import limits as limits_lib
from posejax.geometry.skeleton import J15, J17
from posejax.synth import poses

NUM = 20_000
sample = jax.jit(poses.sample_local_poses, static_argnums=(1, 2, 3))
measure = jax.jit(jax.vmap(poses.plausibility))

# spec/kinematics.md, retyped: θ and γ in degrees.
TABLE = {
  'shoulder': (120, 240, 60, 120), 'head_top': (0, 360, 0, 45), 'elbow': (110, 370, 0, 125),
  'wrist': (200, 365, 0, 145), 'knee': (150, 300, 45, 115), 'ankle': (50, 130, 0, 140),
  'foot': (235, 325, 10, 90),
}
DRAWN = ['r_shoulder', 'head_top'] + [
  side + name for side in ('r_', 'l_') for name in ('elbow', 'wrist', 'knee', 'ankle', 'foot')
]


@functools.cache
def drawn() -> np.ndarray:
  return np.asarray(sample(jax.random.key(7), NUM), np.float64)


def angles(joint: str) -> tuple[np.ndarray, np.ndarray]:
  """θ unwrapped into the joint's range, and γ, degrees, by NumPy alone."""
  x, y, z = drawn()[:, J17.index(joint)].T
  low, high, _, _ = TABLE[joint.removeprefix('r_').removeprefix('l_')]
  middle = (low + high) / 2
  theta = np.degrees(np.arctan2(y, x))
  return middle + (theta - middle + 180) % 360 - 180, np.degrees(np.arctan2(np.hypot(x, y), z))


@pytest.mark.parametrize('joint', DRAWN)
def test_joint_fills_its_range_and_stays_inside(joint):
  low, high, gamma_low, gamma_high = TABLE[joint.removeprefix('r_').removeprefix('l_')]
  theta, gamma = angles(joint)
  # θ means nothing at γ = 0, and little in float32 near it.
  theta = theta[gamma > 1]
  assert theta.min() >= low - 0.05 and theta.max() <= high + 0.05
  assert gamma.min() >= gamma_low - 0.05 and gamma.max() <= gamma_high + 0.05
  assert theta.min() < low + 0.5 and theta.max() > high - 0.5
  assert gamma.min() < gamma_low + 0.5 and gamma.max() > gamma_high - 0.5


def test_right_hip_swings_in_the_frontal_plane():
  x, y, z = drawn()[:, J17.index('r_hip')].T
  gamma = np.degrees(np.arctan2(-x, z))
  assert (y == 0).all()
  assert stats.kstest((gamma - 60) / 60, 'uniform').pvalue > 1e-3
  assert gamma.min() < 60.1 and gamma.max() > 119.9


@pytest.mark.parametrize('joint', DRAWN)
def test_uniform_over_the_allowed_region(joint):
  low, high, gamma_low, gamma_high = TABLE[joint.removeprefix('r_').removeprefix('l_')]
  theta, gamma = angles(joint)
  rows, columns = 26, 25
  edges = np.linspace(low, high, rows + 1), np.linspace(gamma_low, gamma_high, columns + 1)
  keep = gamma > gamma_low + (gamma_high - gamma_low) / columns  # θ is lost where γ ≈ 0
  counts, _, _ = np.histogram2d(theta[keep], gamma[keep], edges)
  # 10° × 5° cells of the elbow's box lie whole inside or outside the forbidden corner.
  allowed = np.ones((rows, columns), bool)
  if joint.endswith('elbow'):
    allowed[:10, 20:] = False
    assert edges[0][10] == pytest.approx(210) and edges[1][20] == pytest.approx(100)
  allowed[:, 0] = False
  assert counts[~allowed].sum() <= 3  # rounding at the edges
  assert stats.chisquare(counts[allowed]).pvalue > 1e-3


def test_elbow_is_what_redrawing_gives():
  rng = np.random.default_rng(0)
  theta, gamma = rng.uniform(110, 370, 2 * NUM), rng.uniform(0, 125, 2 * NUM)
  keep = ~((gamma > 100) & (theta < 210))
  ours = angles('l_elbow')
  assert stats.ks_2samp(ours[1], gamma[keep]).pvalue > 1e-3
  assert stats.ks_2samp(ours[0], theta[keep]).pvalue > 1e-3


def test_joints_and_angles_are_independent():
  columns = np.stack([angle for joint in DRAWN for angle in angles(joint)], axis=1)
  correlation = np.corrcoef(columns, rowvar=False) - np.eye(columns.shape[1])
  for joint in ('r_elbow', 'l_elbow'):  # the forbidden corner ties θ to γ
    i = 2 * DRAWN.index(joint)
    assert correlation[i, i + 1] > 0.1
    correlation[i, i + 1] = correlation[i + 1, i] = 0
  assert np.abs(correlation).max() < 5 / np.sqrt(NUM)


def test_a_valid_set_with_inferred_joints():
  local = drawn()
  constrained = jax.jit(jax.vmap(kinematics.constrain_local))(jnp.asarray(local[:200], jnp.float32))
  np.testing.assert_allclose(constrained, local[:200], atol=3e-7)
  np.testing.assert_array_equal(local[:, 0], 0)
  np.testing.assert_array_equal(local[:, 1], np.broadcast_to([0, 0, 1], (NUM, 3)))
  np.testing.assert_allclose(np.linalg.norm(local[:, 1:], axis=-1), 1, atol=3e-7)
  lengths = jnp.asarray(kinematics.bone_lengths(), jnp.float32)
  canonical = jax.jit(jax.vmap(kinematics.forward_kinematics, (0, None)))(
    jnp.asarray(local[:200], jnp.float32), lengths
  )
  at = {name: np.asarray(canonical[:, i]) for i, name in enumerate(J17.joints)}
  np.testing.assert_allclose(at['l_hip'], -at['r_hip'], atol=1e-3)
  np.testing.assert_allclose(at['l_shoulder'], 2 * at['neck'] - at['r_shoulder'], atol=1e-3)


@pytest.mark.parametrize('limits', [limits_lib.NARROW, limits_lib.scaled(limits_lib.PAPER, 0.7)])
def test_other_limits(limits):
  local = sample(jax.random.key(1), 2000, limits)
  test = jax.jit(jax.vmap(lambda p: limits_lib.inside_limits(p, limits, tolerance_deg=0.01)))
  ok = test(local)
  assert np.asarray(ok).all()


def test_j15_is_a_skeleton_too():
  local = sample(jax.random.key(1), 500, limits_lib.PAPER, J15)
  assert local.shape == (500, 15, 3)
  ok = jax.jit(jax.vmap(lambda pose: limits_lib.inside_limits(pose, skeleton=J15)))(local)
  assert np.asarray(ok).all()


def test_one_key_one_draw_and_longer_draws_begin_with_shorter_ones():
  long, short = sample(jax.random.key(3), 40), sample(jax.random.key(3), 13)
  np.testing.assert_array_equal(long, sample(jax.random.key(3), 40))
  np.testing.assert_array_equal(long[:13], short)
  assert np.abs(np.asarray(long - sample(jax.random.key(4), 40))).max() > 0.1


def test_a_key_for_each_pose():
  keys = jax.vmap(jax.random.fold_in, (None, 0))(jax.random.key(0), jnp.arange(6))
  local = jax.jit(jax.vmap(lambda key: poses.sample_local_poses(key, 1)[0]))(keys)
  assert local.shape == (6, 17, 3)
  for i in (0, 5):
    np.testing.assert_allclose(local[i], sample(keys[i], 1)[0], atol=3e-7)


def test_float64(x64):
  local = poses.sample_local_poses(jax.random.key(0), 5)
  assert local.dtype == jnp.float64
  np.testing.assert_allclose(np.linalg.norm(local[:, 1:], axis=-1), 1, atol=1e-15)


@given(num=st.one_of(st.integers(max_value=-1), st.floats(), st.none()))
def test_a_bad_number_is_named(num):
  with pytest.raises(ValueError, match='sample_local_poses: num'):
    poses.sample_local_poses(jax.random.key(0), num)


def test_no_poses():
  assert poses.sample_local_poses(jax.random.key(0), 0).shape == (0, 17, 3)


def test_limits_that_leave_nothing_are_named():
  nothing = limits_lib.JointLimit((110, 200), (100, 125), forbidden=(210, 100))
  limits = limits_lib.JointLimits(**{
    **{name: getattr(limits_lib.PAPER, name) for name in limits_lib.PAPER.__dataclass_fields__},
    'elbow': nothing,
  })
  with pytest.raises(ValueError, match='leaves nothing of r_elbow'):
    poses.sample_local_poses(jax.random.key(0), 3, limits)


def test_segment_distances_by_brute_force():
  rng = np.random.default_rng(5)
  a, a_end, b, b_end = rng.normal(size=(4, 60, 3))
  a_end[:5], b_end[5:10] = a[:5], b[5:10]  # points
  b_end[10:15] = b[10:15] + 0.7 * (a_end - a)[10:15]  # parallel
  grid = np.linspace(0, 1, 401)
  p = a[:, None] + grid[:, None] * (a_end - a)[:, None]
  q = b[:, None] + grid[:, None] * (b_end - b)[:, None]
  expected = np.linalg.norm(p[:, :, None] - q[:, None], axis=-1).min((1, 2))
  squared = jax.jit(poses._segment_distance_squared)(*map(jnp.asarray, (a, a_end, b, b_end)))
  np.testing.assert_allclose(np.sqrt(squared), expected, atol=0.01)


def test_self_intersection_of_plain_cases():
  # Upright, arms along the body: front x, left y, up z; mm.
  body = {
    'pelvis': (0, 0, 0), 'neck': (0, 0, 490), 'head_top': (0, 0, 720),
    'r_shoulder': (0, -151, 490), 'r_elbow': (0, -220, 220), 'r_wrist': (60, -230, -20),
    'l_shoulder': (0, 151, 490), 'l_elbow': (0, 220, 220), 'l_wrist': (60, 230, -20),
    'r_hip': (0, -133, 0), 'r_knee': (0, -133, -440), 'r_ankle': (0, -133, -890),
    'l_hip': (0, 133, 0), 'l_knee': (0, 133, -440), 'l_ankle': (0, 133, -890),
  }

  def hits(**moved):
    return bool(poses.self_intersects(
      jnp.asarray([{**body, **moved}[name] for name in J15.joints], jnp.float32), J15
    ))

  assert not hits()
  assert hits(r_wrist=(0, 0, 200))  # the hand in the trunk
  assert not hits(r_wrist=(250, 0, 200))  # before it
  assert hits(l_wrist=(0, 0, 650), l_elbow=(0, 200, 700))  # in the head
  assert hits(r_ankle=(0, 133, -600))  # the shank through the other shank
  with pytest.raises(ValueError, match=r'self_intersects.*vmap over batches'):
    poses.self_intersects(jnp.zeros((2, 15, 3)), J15)


def test_plausibility_of_the_prior_is_what_we_report():
  shares = measure(jnp.asarray(drawn()[:4000], jnp.float32))
  assert np.asarray(shares.inside_limits).all()
  # Joints are drawn apart [P]: nearly a quarter of the bodies touch themselves (reported: 23 %).
  assert 0.18 < float(shares.self_intersecting.mean()) < 0.28
