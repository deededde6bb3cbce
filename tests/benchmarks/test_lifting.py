"""The lifting topic: it runs, and what it compares does the same work."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import lifting, torch_lifting
from posejax.geometry.skeleton import J17
from posejax.models import lifter as lifter_lib


def test_every_row_is_measured():
  rows = list(lifting.rows(quick=True))
  assert [row.name.split(',')[0] for row in rows] == [
    'lifter', 'flow', 'flow', 'scenes', 'scenes', 'training step',
  ]
  assert all(row.rate > 0 and row.target for row in rows[:-1])
  assert [row.reached for row in rows[1:3]] == [True, True]
  # Without PyTorch the last one has nothing to reach.
  assert rows[-1].rate > 0 and bool(rows[-1].target) == torch_lifting.available()
  assert 'draw of poses is left out' in rows[-1].note


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


@pytest.mark.skipif(not torch_lifting.available(), reason='PyTorch is the extra `bench`')
def test_pytorch_trains_as_we_do():
  """Loss and gradient of steps from the same weights; each starts where Adam left the last."""
  config = lifting.training_config(8, 8)
  config.flow.blocks = 2
  # A rate that moves the weights, a clip that always cuts, and an L2 that shows beside it.
  config.lifter.update({'warmup': 0, 'learning_rate': 0.01, 'clip': 0.1, 'l2': 0.1})
  stage, batch = lifting.training_stage(config), lifting.training_batch(8)
  ours = lifting.Training(stage)
  theirs = lifting.torch_training(config, stage, ours.state.params['lifter_0'])
  losses = []
  for _ in range(3):
    logs = ours(batch)
    loss, norm = theirs(**batch)
    assert norm > config.lifter.clip
    np.testing.assert_allclose(loss, logs['loss/lifters'], rtol=1e-4)
    np.testing.assert_allclose(norm, logs['gradient_norm/lifters'], rtol=1e-3)
    losses.append(loss)
  assert abs(losses[2] - losses[0]) > 1e-2 * losses[0]
  with pytest.raises(ValueError, match='no sampled poses'):
    config.lifter.resample = True
    lifting.torch_training(config, stage, ours.state.params['lifter_0'])
