import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from posejax.data import mocap
from posejax.geometry import limits
from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.limits import NARROW, PAPER, JointLimit
from posejax.geometry.skeleton import J15, J17
from tests.geometry import poses
from tests.geometry.numerics import numerical_jacobian

inside = jax.jit(jax.vmap(limits.inside_limits))
excess = jax.jit(jax.vmap(limits.limit_excess))


def local(joint: str, theta: float, gamma: float) -> np.ndarray:
  """A pose of straight limbs (γ = 0), but for one joint at angles in degrees."""
  rows = np.tile([0.0, 0, 1], (17, 1))
  t, g = np.deg2rad([theta, gamma])
  rows[J17.index(joint)] = np.sin(g) * np.cos(t), np.sin(g) * np.sin(t), np.cos(g)
  return rows


def excess_deg(joint: str, theta: float, gamma: float, table=PAPER) -> float:
  rows = local(joint, theta, gamma)
  found = excess(rows[None])[0] if table is PAPER else limits.limit_excess(rows, table)
  return float(np.rad2deg(found)[J17.index(joint)])


class TestTable:

  def test_rows_of_the_spec(self):
    table = np.rad2deg(limits.limit_table(PAPER))
    assert table.shape == (17, 6)
    expected = {
      'neck': (0, 0, 0, 0), 'r_hip': (180, 180, 60, 120), 'l_hip': (180, 180, 60, 120),
      'r_shoulder': (120, 240, 60, 120), 'head_top': (0, 360, 0, 45), 'l_elbow': (110, 370, 0, 125),
      'r_wrist': (200, 365, 0, 145), 'l_knee': (150, 300, 45, 115), 'r_ankle': (50, 130, 0, 140),
      'l_foot': (235, 325, 10, 90),
    }
    for name, row in expected.items():
      np.testing.assert_allclose(table[J17.index(name), :4], row, atol=1e-9)
    np.testing.assert_allclose(table[J17.index('r_elbow'), 4:], (210, 100))
    np.testing.assert_array_equal(limits.limit_table(PAPER, J15), limits.limit_table(PAPER)[:15])

  def test_narrow_changes_hip_and_shoulder_alone(self):
    assert NARROW.of('l_hip').gamma == (82, 98) and NARROW.of('l_shoulder').theta == (150, 210)
    same = dataclasses.replace(NARROW, hip=PAPER.hip, shoulder=PAPER.shoulder)
    assert same == PAPER and hash(same) == hash(PAPER)

  def test_scaled(self):
    half = limits.scaled(PAPER, 0.5)
    assert half.knee == JointLimit((187.5, 262.5), (62.5, 97.5))
    assert half.elbow == JointLimit((175, 305), (31.25, 93.75), (210, 100))
    assert limits.scaled(PAPER, 1.0) == PAPER
    wide = limits.scaled(PAPER, 10.0)
    assert wide.knee.theta == (45, 405) and wide.knee.gamma == (0, 170)
    assert wide.neck == PAPER.neck

  @pytest.mark.parametrize('factor', [-1, np.nan, np.inf])
  def test_scaled_refuses(self, factor):
    with pytest.raises(ValueError, match='scaled: factor'):
      limits.scaled(PAPER, factor)

  @pytest.mark.parametrize('theta,gamma', [
    ((10, 0), (0, 1)), ((0, 361), (0, 1)), ((0, 1), (-1, 1)), ((0, 1), (0, 181)),
    ((0, np.nan), (0, 1)), ((0, 1), (2, 1)),
  ])
  def test_impossible_ranges(self, theta, gamma):
    with pytest.raises(ValueError, match='JointLimit: want'):
      JointLimit(theta, gamma)

  def test_joints_without_limits(self):
    with pytest.raises(ValueError, match="no limit for 'l_eye'"):
      limits.limit_table(PAPER, skeleton_lib.COCO17)


class TestSpherical:

  def test_by_hand(self):
    # θ from x towards y, γ from z.
    theta, gamma = limits.spherical_from_local(
      jnp.array([[1.0, 0, 0], [0, 2, 0], [-1, 0, 1], [0, -1, -1], [0, 0, 1], [0, 0, -3], [0, 0, 0]])
    )
    np.testing.assert_allclose(np.rad2deg(theta), [0, 90, 180, 270, 0, 0, 0], atol=1e-4)
    np.testing.assert_allclose(np.rad2deg(gamma), [90, 90, 45, 135, 0, 180, 0], atol=1e-4)

  def test_inverse(self, x64):
    theta, gamma = np.random.default_rng(0).uniform(0, [[2 * np.pi], [np.pi]], (2, 1000))
    rows = limits.local_from_spherical(theta, gamma)
    np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, atol=1e-14)
    found = limits.spherical_from_local(rows)
    np.testing.assert_allclose(found[0], theta, atol=1e-11)
    np.testing.assert_allclose(found[1], gamma, atol=1e-11)
    one = limits.spherical_from_local(rows[7])
    assert one[0].shape == () and float(one[1]) == pytest.approx(gamma[7])

  @given(st.tuples(*[st.floats(-(2.0**99), 2.0**99, width=32)] * 3))
  def test_finite_and_in_range(self, row):
    theta, gamma = limits.spherical_from_local(np.array([row], np.float32))
    assert 0 <= theta[0] < 2 * np.pi and 0 <= gamma[0] <= np.float32(np.pi)

  @pytest.mark.parametrize('row', [(0, 0, 1), (0, 0, -1), (0, 0, 0), (1e-30, 0, 1), (-1, 0, 0)])
  def test_gradients_are_finite(self, row):
    jacobians = jax.jacrev(limits.spherical_from_local)(jnp.array(row, jnp.float32))
    assert all(np.all(np.isfinite(jacobian)) for jacobian in jacobians)


class TestExcess:

  @pytest.mark.parametrize('joint,theta,gamma,expected', [
    ('r_knee', 180, 90, 0), ('l_knee', 180, 90, 0),
    ('r_knee', 180, 120, 5),  # γ ≤ 115
    ('r_knee', 310, 90, 10),  # θ ≤ 300
    ('r_knee', 310, 120, 5 + 10 * np.sin(np.deg2rad(120))),
    ('r_wrist', 3, 90, 0), ('r_wrist', 363, 90, 0), ('r_wrist', -3, 90, 0),  # 200–365 wraps
    ('r_wrist', 8, 90, 3), ('r_wrist', 190, 90, 10),
    ('l_elbow', 5, 50, 0), ('l_elbow', 100, 30, 5),  # 10° before 110, times sin 30°
    ('r_elbow', 150, 99, 0), ('r_elbow', 215, 110, 0),
    ('r_elbow', 150, 110, 10),  # in the corner: 10° of γ to go
    ('r_elbow', 205, 120, 5 * np.sin(np.deg2rad(120))),  # nearer: 5° of θ
    ('head_top', 77, 45, 0), ('head_top', 77, 60, 15),
    ('r_hip', 180, 61, 0), ('r_hip', 175, 90, 5), ('neck', 0, 0, 0), ('neck', 40, 7, 7),
    ('r_ankle', 270, 0, 0),  # γ = 0: θ does not count
    ('l_foot', 280, 59, 0), ('l_foot', 280, 5, 5),
  ])
  def test_by_hand(self, x64, joint, theta, gamma, expected):
    head = theta if joint != 'neck' else 0
    # θ of a neck outside counts too: only its γ is looked at here.
    assert excess_deg(joint, head, gamma) == pytest.approx(expected, abs=1e-9)
    j = J17.index(joint)
    assert bool(inside(local(joint, head, gamma)[None])[0, j]) == (expected <= 0.5)

  def test_other_limits(self, x64):
    assert excess_deg('r_shoulder', 140, 90, NARROW) == pytest.approx(10)
    assert excess_deg('r_shoulder', 140, 90) == 0
    assert excess_deg('l_knee', 180, 90, limits.scaled(PAPER, 0.5)) == pytest.approx(7.5)

  def test_poses_of_the_table_are_inside(self):
    pose = poses.human(np.random.default_rng(1), 500).astype(np.float32)
    # `human` draws from the boxes: an elbow can be in its cut-off corner, no other joint is out.
    found = np.asarray(inside(pose))
    elbows = [J17.index('r_elbow'), J17.index('l_elbow')]
    assert np.all(np.delete(found, elbows, axis=1))
    assert 0.8 < found[:, elbows].mean() < 0.98

  def test_derivative(self, x64):
    rows = np.random.default_rng(2).normal(size=(17, 3))
    one = lambda x: limits.limit_excess(x)  # noqa: E731
    forward, reverse = jax.jit(jax.jacfwd(one))(rows), jax.jit(jax.jacrev(one))(rows)
    np.testing.assert_allclose(forward, reverse, atol=1e-12)
    assert np.any(np.abs(forward) > 0.1)
    numerical = numerical_jacobian(lambda x: excess(x[None])[0], rows, 1e-6)
    np.testing.assert_allclose(forward, numerical, atol=1e-6)

  @pytest.mark.parametrize('row', [(0, 0, 1), (0, 0, -1), (0, 0, 0), (1e-12, 0, 1), (-1, 0, 0)])
  def test_gradients_at_the_poles(self, row):
    rows = jnp.tile(jnp.array(row, jnp.float32), (17, 1))
    gradient = jax.grad(lambda x: jnp.sum(limits.limit_excess(x)))(rows)
    assert np.all(np.isfinite(gradient)) and np.max(np.abs(gradient)) < 10

  def test_descent_brings_a_pose_inside(self):
    rows = jnp.asarray(poses.arbitrary(np.random.default_rng(3), 1)[0], jnp.float32)
    step = jax.jit(lambda x: x - 0.02 * jax.grad(lambda x: jnp.sum(limits.limit_excess(x)))(x))
    start = float(jnp.sum(limits.limit_excess(rows)))
    for _ in range(300):
      rows = step(rows)
    assert start > 1.0
    assert float(jnp.sum(limits.limit_excess(rows))) < 0.1

  def test_nan_and_roots(self):
    rows = jnp.full((17, 3), jnp.nan).at[1].set(jnp.array([0.0, 0, 1]))
    found = limits.inside_limits(rows)
    assert found[0] and found[1] and not np.any(found[2:])
    np.testing.assert_array_equal(np.isnan(limits.limit_excess(rows)), ~np.asarray(found))
    assert not np.any(limits.inside_limits(rows.at[2:].set(jnp.inf))[2:])

  @given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=51, max_size=51))
  def test_any_pose_has_an_excess(self, values):
    rows = np.array(values, np.float32).reshape(1, 17, 3)
    found = np.asarray(excess(rows))
    assert np.all(np.isfinite(found)) and np.all(found >= 0) and np.all(found <= 2 * np.pi)

  @pytest.mark.parametrize('function', [limits.inside_limits, limits.limit_excess])
  @pytest.mark.parametrize('shape', [(15, 3), (17,), (2, 17, 3), ()])
  def test_wrong_shapes(self, function, shape):
    with pytest.raises(ValueError, match=r'local must have shape \(17, 3\), .*vmap over batches'):
      function(np.zeros(shape))

  def test_wrong_shapes_of_spherical(self):
    with pytest.raises(ValueError, match='spherical_from_local: local must have shape'):
      limits.spherical_from_local(np.zeros((2, 17, 3)))


def test_real_poses_inside(posejax_data):
  """The spec's table of real poses, and ours beside it (run with -s)."""
  spec = {'neck': 100, 'hip': 100, 'shoulder': 100, 'head_top': 98, 'elbow': 99, 'wrist': 99,
          'knee': 100, 'ankle': 99.8, 'foot': 98}
  clips = mocap.iterate_bvh(posejax_data / 'mocap_bandai')
  rows = np.concatenate([mocap.local_poses(clip)[::4] for clip in clips])
  rows = rows[: len(rows) // 500 * 500].reshape(-1, 500, 17, 3)
  shares = 100 * np.mean([inside(part) for part in rows], axis=(0, 1))
  for name, share in zip(J17.joints[1:], shares[1:], strict=True):
    expected = spec[name.removeprefix('r_').removeprefix('l_')]
    print(f'{name:12s} {share:6.1f} % inside, spec {expected} %')
    assert abs(share - expected) < 2, name
