"""Pose losses: hand-made cases, masks that hide NaN, numerical derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from posejax.losses import pose, terms


def test_l1_by_hand():
  # Two persons, two joints, px. Differences: (3, −4), (0, 1) | (10, 10), (2, 2). Joint (1, 0) is
  # unseen: 3 + 4 + 0 + 1 + 2 + 2 = 12 over 6 coordinates, mean 2 px.
  targets = jnp.array([[[10.0, 20.0], [30.0, 40.0]], [[50.0, 60.0], [70.0, 80.0]]])
  moved = targets + jnp.array([[[3.0, -4.0], [0.0, 1.0]], [[10.0, 10.0], [2.0, 2.0]]])
  seen = jnp.array([[True, True], [False, True]])
  term = pose.masked_l1(moved, targets, seen)
  assert term == (12, 6) and terms.mean(term) == 2
  # Scores as weights, ½ for the second person: 3 + 4 + 0 + 1 + ½·(20 + 4) = 20 over 4 + ½·4 = 6.
  assert pose.masked_l1(moved, targets, jnp.array([1.0, 0.5])) == (20, 6)
  assert pose.masked_l1(moved, targets) == (32, 8)


def test_numerical_derivatives(x64):
  rng = np.random.default_rng(0)
  # At least 0.1 from equality, where L1 has a kink.
  targets = rng.normal(size=(2, 3, 4, 3))
  offset = rng.uniform(0.1, 1, (2, 3, 4, 3)) * rng.choice([-1, 1], (2, 3, 4, 3))
  mask = rng.uniform(size=(2, 3)) * (rng.uniform(size=(2, 3)) < 0.7)
  check_grads(
    jax.jit(lambda p, t: terms.mean(pose.masked_l1(p, t, mask))), (targets + offset, targets),
    order=1, modes=('fwd', 'rev'), eps=1e-6,
  )


@pytest.mark.parametrize('mask', [(True, False), (False, False)], ids=['one', 'none'])
def test_masked_padding_may_be_nan(mask):
  predictions = jnp.array([[[1.0, 2.0]], [[jnp.nan, jnp.inf]]])
  targets = jnp.array([[[0.0, 0.0]], [[jnp.nan, 0.0]]])
  mask = jnp.array(mask)
  slope = jax.grad(lambda p, t: terms.mean(pose.masked_l1(p, t, mask)), (0, 1))
  gradients = slope(predictions, targets)
  for gradient in gradients:
    assert np.isfinite(gradient).all() and (gradient[1] == 0).all()
    assert bool(np.any(gradient[0])) == bool(mask[0])
  if not mask.any():
    assert pose.masked_l1(predictions, targets, mask) == (0, 0)


def test_equality_has_gradient_zero():
  x = jnp.ones((2, 3))
  gradient = jax.grad(lambda p: pose.masked_l1(p, x).sum)(x)
  np.testing.assert_array_equal(gradient, np.zeros((2, 3)))


def test_bfloat16_is_compared_in_float32():
  # 1 in bfloat16 against 1.001 in float32: a difference that bfloat16 cannot hold.
  term = pose.masked_l1(jnp.ones((1, 1), jnp.bfloat16), jnp.full((1, 1), 1.001, jnp.float32))
  assert term.sum.dtype == jnp.float32
  np.testing.assert_allclose(term.sum, 1e-3, rtol=1e-3)


def test_other_shapes_are_refused():
  with pytest.raises(ValueError, match='one shape'):
    pose.masked_l1(jnp.ones((2, 3)), jnp.ones((1, 3)))
  with pytest.raises(ValueError, match='mask'):
    pose.masked_l1(jnp.ones((2, 3)), jnp.ones((2, 3)), jnp.ones(3))
