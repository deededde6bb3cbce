"""Map losses: hand-made cases, masked channels and cells, numerical derivatives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from posejax.losses import maps, terms


def test_l1_and_l2_by_hand():
  # One image, one row of two cells, three channels; differences (1, −2, 3) and (0, 4, 5). Channel 2
  # has no target: L1 1 + 2 + 0 + 4 = 7, L2 1 + 4 + 0 + 16 = 21, over 4 elements.
  predictions = jnp.array([[[[1.0, -2.0, 3.0], [0.0, 4.0, 5.0]]]])
  targets = jnp.zeros((1, 1, 2, 3))
  channels = jnp.array([True, True, False])
  assert maps.map_l1(predictions, targets, channels) == (7, 4)
  assert maps.map_l2(predictions, targets, channels) == (21, 4)
  # The second cell is unlabelled: 1 + 2 = 3 and 1 + 4 = 5 over 2.
  cells = jnp.array([[[True, False]]])
  assert maps.map_l1(predictions, targets, channels, cells) == (3, 2)
  assert maps.map_l2(predictions, targets, channels, cells) == (5, 2)
  assert maps.map_l1(predictions, targets) == (15, 6)
  # Weights multiply: ½·(1·1 + 2·2) + 0 = 2.5 over ½·3.
  weights = jnp.array([1.0, 2.0, 0.0]), jnp.array([[[0.5, 0.0]]])
  assert maps.map_l1(predictions, targets, *weights) == (2.5, 1.5)


def test_cross_entropy_by_hand():
  # x = 0: log 2 whatever t; x = log 3, so sigmoid ¾: −log ¾ for t = 1, −log ¼ for t = 0, and for
  # t = ½ their mean.
  logits = jnp.array([0.0, 0.0, jnp.log(3.0), jnp.log(3.0), jnp.log(3.0)])
  targets = jnp.array([0.0, 1.0, 1.0, 0.0, 0.5])
  expected = [np.log(2)] * 2 + [-np.log(0.75), -np.log(0.25)]
  expected.append(np.mean(expected[2:]))
  for x, t, value in zip(logits, targets, expected, strict=True):
    np.testing.assert_allclose(maps.sigmoid_cross_entropy(x, t).sum, value, rtol=1e-6)
  term = maps.sigmoid_cross_entropy(logits, targets, jnp.array([1, 0, 1, 0, 0]))
  np.testing.assert_allclose(term, (np.log(2) - np.log(0.75), 2), rtol=1e-6)
  # Far out it is linear, not infinite.
  np.testing.assert_allclose(
    maps.sigmoid_cross_entropy(jnp.array([1e4, -1e4]), jnp.array([0.0, 0.0])).sum, 1e4
  )


def test_numerical_derivatives(x64):
  rng = np.random.default_rng(0)
  targets = rng.uniform(size=(2, 3, 4, 5))
  predictions = targets + rng.uniform(0.1, 1, targets.shape) * rng.choice([-1, 1], targets.shape)
  channels, cells = rng.random(5) < 0.6, rng.uniform(size=(2, 3, 4))
  cases = [
    lambda p, t: maps.map_l1(p, t, channels, cells),
    lambda p, t: maps.map_l2(p, t, channels, cells),
    lambda p, t: maps.sigmoid_cross_entropy(p, t, cells),
  ]
  for case in cases:
    check_grads(
      jax.jit(lambda p, t, case=case: terms.mean(case(p, t))), (predictions, targets),
      order=1, modes=('fwd', 'rev'), eps=1e-6,
    )


@pytest.mark.parametrize('loss', [maps.map_l1, maps.map_l2])
def test_masked_channels_may_be_nan(loss):
  predictions = jnp.ones((1, 2, 2, 3)).at[..., 1].set(jnp.nan)
  channels = jnp.array([1.0, 0.0, 1.0])
  targets = jnp.zeros((1, 2, 2, 3))
  gradient = jax.grad(lambda p: terms.mean(loss(p, targets, channels)))(predictions)
  assert (gradient[..., 1] == 0).all() and (gradient[..., 0] > 0).all()
  assert np.isfinite(gradient).all()
  assert loss(predictions, predictions, jnp.zeros(3)) == (0, 0)


def test_masked_logits_may_be_nan():
  logits = jnp.array([1.0, jnp.nan])
  mask = jnp.array([True, False])
  gradient = jax.grad(
    lambda x: maps.sigmoid_cross_entropy(x, jnp.array([0.0, jnp.nan]), mask).sum
  )(logits)
  # σ(1) − 0 and 0.
  np.testing.assert_allclose(gradient, [1 / (1 + np.exp(-1)), 0], rtol=1e-6)
  assert maps.sigmoid_cross_entropy(logits, logits, jnp.zeros(2)) == (0, 0)


@pytest.mark.parametrize('loss', [maps.map_l1, maps.map_l2])
def test_bfloat16_is_compared_in_float32(loss):
  term = loss(jnp.ones((1, 1, 1, 1), jnp.bfloat16), jnp.full((1, 1, 1, 1), 1.001))
  assert term.sum.dtype == jnp.float32 and term.sum > 0


@pytest.mark.parametrize('loss', [maps.map_l1, maps.map_l2])
def test_other_shapes_are_refused(loss):
  x = jnp.ones((1, 2, 3, 4))
  with pytest.raises(ValueError, match='one shape'):
    loss(x, x[..., :1])
  with pytest.raises(ValueError, match=r'\(B, h, w, C\)'):
    loss(x[0], x[0])
  with pytest.raises(ValueError, match='channels'):
    loss(x, x, jnp.ones(3))
  with pytest.raises(ValueError, match='cells'):
    loss(x, x, None, jnp.ones((2, 3)))
