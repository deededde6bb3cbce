"""Numerators and denominators: means, masks, and sums over devices."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.losses import terms


def test_mean():
  # 6 / 4 = 1.5, and nothing to divide by is 0, not NaN, with gradient 0.
  assert terms.mean(terms.Term(jnp.float32(6), jnp.float32(4))) == 1.5
  empty = terms.Term(jnp.float32(0), jnp.float32(0))
  value, gradient = jax.value_and_grad(lambda s: terms.mean(empty._replace(sum=s)))(jnp.float32(0))
  assert value == 0 and gradient == 0


def test_weigh_by_hand():
  values = jnp.array([[1.0, 2.0], [3.0, 4.0], [jnp.nan, jnp.inf]])
  # ½·(1 + 2) + 2·(3 + 4) = 15.5; weights ½·2 + 2·2 = 5: elements count, not rows.
  assert terms.weigh('f', values, jnp.array([0.5, 2.0, 0.0])) == (15.5, 5)
  assert terms.weigh('f', values[:2], None) == (10, 4)
  assert terms.weigh('f', values, jnp.array([[True, False], [False, True], [False] * 2])) == (5, 2)


def test_parts_add_up_to_the_whole():
  # What two devices return, added, is what one returns for all; their means' mean is not.
  rng = np.random.default_rng(0)
  values, mask = rng.normal(size=(8, 3)).astype(np.float32), rng.random(8) < 0.4
  whole = terms.weigh('f', jnp.asarray(values), mask)
  halves = [terms.weigh('f', jnp.asarray(values[i::2]), mask[i::2]) for i in (0, 1)]
  np.testing.assert_allclose(jax.tree.map(jnp.add, *halves), whole, rtol=1e-6)
  assert abs(np.mean([terms.mean(half) for half in halves]) - terms.mean(whole)) > 1e-2


def test_narrow_values_are_summed_wide():
  # 4096 ones: bfloat16 would stop at 256.
  assert terms.weigh('f', jnp.ones(4096, jnp.bfloat16), None).sum == 4096


def test_gradient_under_a_mask():
  def loss(x):
    return terms.mean(terms.weigh('f', x, jnp.array([True, False, True])))

  gradient = jax.grad(loss)(jnp.array([[1.0, 2.0], [jnp.nan, jnp.inf], [3.0, 4.0]]))
  np.testing.assert_array_equal(gradient, [[0.25] * 2, [0] * 2, [0.25] * 2])


def test_other_masks_are_refused():
  with pytest.raises(ValueError, match=r'name: mask .* \(2, 3\), got \(3,\)'):
    terms.weigh('name', jnp.ones((2, 3)), jnp.ones(3))
