"""The lifting topic: it runs, and what it compares does the same work."""

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import lifting
from posejax.geometry.skeleton import J17
from posejax.models import lifter as lifter_lib


def test_every_row_is_measured():
  rows = list(lifting.rows(quick=True))
  assert [row.name.split(',')[0] for row in rows] == ['lifter', 'flow', 'flow', 'scenes', 'scenes']
  assert all(row.rate > 0 and row.target for row in rows)
  assert [row.reached for row in rows[1:3]] == [True, True]


def test_the_products_are_the_lifters():
  """Every kernel is used, once for each pose: two operations for each of its weights."""
  config = lifter_lib.LifterConfig(J17, width=8, blocks=2)
  module, poses = lifter_lib.Lifter(config), jnp.ones((3, 17, 2))
  params = module.init(jax.random.key(0), poses)['params']
  flops = jax.jit(lambda p, x: lifting.products(config, p, x)).lower(params, poses).compile()
  kernels = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim == 2]
  wanted = sum(2 * 3 * leaf.size for leaf in kernels)
  assert flops.cost_analysis()['flops'] >= wanted
  found = lifting.products(config, params, poses)
  assert [x.shape for x in found] == [(3, 17), (3, 1)] and np.isfinite(found[0]).all()
