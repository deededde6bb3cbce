"""Losses of lifting against sums by hand; gradients where a norm is 0."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.losses import lifting, terms

A = jnp.array([[[0.0, 0, 0], [3, 0, 0]], [[0, 0, 0], [0, 1, 0]]])
B = jnp.array([[[0.0, 0, 0], [3, 4, 0]], [[0, 0, 0], [0, 1, 0]]])


def test_pose_distance_is_one_norm_a_pose():
  # ‖(0, 4, 0)‖ = 4 and 0 over 2 poses; both joints off by 3 and 4 would be 5, not 7.
  assert float(terms.mean(lifting.pose_distance(A, B))) == 2
  both = A.at[0, 0, 0].add(3.0).at[0, 1, 1].add(4.0)
  assert float(lifting.pose_distance(both, A).sum) == 5


def test_plane_distance_sums_2j_values():
  p = jnp.zeros((2, 3, 2)).at[0, 1].set(jnp.array([1.0, -2.0]))
  term = lifting.plane_distance(p, jnp.zeros_like(p))
  assert (float(term.sum), float(term.weight)) == (3, 2)


def test_pair_deformation_takes_pairs_once():
  x = jax.random.normal(jax.random.key(0), (5, 4, 3))
  y = jax.random.normal(jax.random.key(1), (5, 4, 3))
  change = np.asarray(x - y)
  expected = sum(np.linalg.norm(change[i] - change[i + 1]) for i in (0, 2))
  term = lifting.pair_deformation(x, y)
  assert float(term.sum) == pytest.approx(expected, rel=1e-5) and float(term.weight) == 2
  # A change that both poses of a pair share is none.
  assert float(lifting.pair_deformation(x, x + 1.0).sum) == pytest.approx(0, abs=1e-5)


def test_bone_ratio_is_free_of_scale():
  limbs = ((0, 1), (1, 2))
  pose = jnp.array([[[0.0, 0, 0], [1, 0, 0], [1, 3, 0]]])
  # Lengths 1 and 3, mean 2: ratios 0.5 and 1.5.
  np.testing.assert_allclose(lifting.relative_bones(pose, limbs), [[0.5, 1.5]])
  ratios = jnp.array([1.0, 1.0])
  for scale in (1.0, 7.0):
    term = lifting.bone_ratio(scale * pose, ratios, limbs)
    assert float(term.sum) == pytest.approx(0.5)


def test_elevation_agreement():
  term = lifting.elevation_agreement(jnp.array([0.1, 0.3]), jnp.array([-0.1, -0.1]))
  assert float(terms.mean(term)) == pytest.approx(0.02)


@pytest.mark.parametrize('function', [
  lambda x: lifting.pose_distance(x, x).sum,
  lambda x: lifting.pair_deformation(x, x).sum,
  lambda x: lifting.bone_ratio(0 * x, jnp.ones(1), ((0, 1),)).sum,
])
def test_gradients_are_finite_at_zero(function):
  assert np.isfinite(jax.grad(function)(A)).all()


def test_shapes_must_agree():
  with pytest.raises(ValueError, match='pose_distance: predictions and targets'):
    lifting.pose_distance(A, B[:1])
