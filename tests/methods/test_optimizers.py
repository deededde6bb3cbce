"""Optimizers against their definitions."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg

from posejax.methods import optimizers
from posejax.training.checkpoints import Checkpoints


@pytest.fixture(scope='module')
def updates():
  """Gradients of a convolution, a channel-wise layer, a wide layer, a bias; two steps of Muon."""
  rng = np.random.default_rng(0)
  shapes = {'conv': (3, 3, 4, 8), 'channels': (5, 6, 6), 'wide': (4, 16), 'bias': (8,)}
  gradients = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
  optimizer = optimizers.optimizer('muon')

  @jax.jit
  def twice(gradients):
    state = optimizer.init(gradients)
    _, state = optimizer.update(gradients, state, gradients)
    return optimizer.update(gradients, state, gradients)[0]

  return gradients, twice(gradients)


@pytest.mark.parametrize('name', ['conv', 'channels', 'wide'])
def test_muon_turns_matrices_nearly_orthogonal(updates, name):
  gradients, found = updates
  for g, u in zip(
    gradients[name] if name == 'channels' else [gradients[name]],
    found[name] if name == 'channels' else [found[name]], strict=True,
  ):
    g, u = (np.asarray(x, float).reshape(-1, x.shape[-1]) for x in (g, u))
    # The same gradient twice: momentum keeps its direction. The orthogonal polar factor (SciPy):
    polar = scipy.linalg.polar(g)[0]
    scale = 5 * max(1, u.shape[1] / u.shape[0]) ** 0.5
    values = np.linalg.svd(u / scale)[1]
    assert values.min() > 0.6 and values.max() < 1.3
    cosine = (u * polar).sum() / np.linalg.norm(u) / np.linalg.norm(polar)
    assert cosine > 0.97


def test_muon_leaves_vectors_to_adam(updates):
  gradients, found = updates
  # Adam's second update of a constant gradient is its sign.
  np.testing.assert_allclose(found['bias'], np.sign(gradients['bias']), atol=1e-3)


def test_muon_of_nothing_is_nothing():
  optimizer = optimizers.optimizer('muon', clip=1.0)
  zeros = {'w': jnp.zeros((6, 5)), 'b': jnp.zeros(5)}
  update, _ = optimizer.update(zeros, optimizer.init(zeros), zeros)
  assert all((np.asarray(leaf) == 0).all() for leaf in jax.tree.leaves(update))


def test_rates():
  rate = optimizers.piecewise_rate((1e-4, 1e-5), (100,))
  assert [float(rate(step)) for step in (0, 99, 100)] == pytest.approx([1e-4, 1e-4, 1e-5])
  with pytest.raises(ValueError, match='one value more'):
    optimizers.piecewise_rate((1.0,), (3,))
  cosine = optimizers.cosine_rate(1.0, 100, 10, 0.1)
  # Half of the warm-up; the peak; the middle of the cosine; the floor.
  assert [float(cosine(s)) for s in (5, 10, 55, 100)] == pytest.approx([0.5, 1, 0.55, 0.1])


def test_muons_state_comes_back_from_a_checkpoint(tmp_path):
  # A run that is stopped goes on from it: matrices have a momentum, vectors Adam's two means.
  rng = np.random.default_rng(0)
  params = {'kernel': rng.normal(size=(3, 3, 5, 8)), 'bias': rng.normal(size=8)}
  params = jax.tree.map(lambda x: jnp.asarray(x, jnp.float32), params)
  muon = optimizers.optimizer('muon', clip=1.0)
  first, state = muon.update(params, muon.init(params), params)
  checkpoints = Checkpoints(tmp_path)
  checkpoints.save(1, state)
  _, restored = checkpoints.restore(muon.init(params))
  checkpoints.close()
  ours, whole = (muon.update(params, s, params) for s in (restored, state))
  jax.tree.map(np.testing.assert_array_equal, ours, whole)
  assert np.any(np.asarray(whole[0]['kernel']) != np.asarray(first['kernel']))
