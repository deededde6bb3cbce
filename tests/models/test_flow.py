"""The flow against its Jacobian, its own inverse, and a density that is known."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from posejax.models import flow as flow_lib

CONFIG = flow_lib.FlowConfig(dims=5, blocks=3, width=16)
FLOW = flow_lib.Flow(CONFIG)


@pytest.fixture(scope='module')
def params():
  """Initial weights, moved so that scale and shift are no longer one and nothing."""
  tree = FLOW.init(jax.random.key(0), jnp.zeros((1, 5)))['params']
  leaves, structure = jax.tree.flatten(tree)
  keys = jax.random.split(jax.random.key(1), len(leaves))
  moved = [x + 0.5 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
  return jax.tree.unflatten(structure, moved)


def test_inverse_is_the_inverse(params):
  x = 2 * jax.random.normal(jax.random.key(2), (64, 5))
  z, _ = FLOW.apply({'params': params}, x)
  again = FLOW.apply({'params': params}, z, method='inverse')
  assert float(jnp.abs(z - x).max()) > 0.1
  np.testing.assert_allclose(again, x, atol=1e-4)


def test_logdet_is_the_jacobians(params):
  x = jax.random.normal(jax.random.key(3), (4, 5))
  _, logdet = FLOW.apply({'params': params}, x)
  jacobian = jax.vmap(jax.jacfwd(lambda row: FLOW.apply({'params': params}, row[None])[0][0]))(x)
  np.testing.assert_allclose(logdet, np.linalg.slogdet(np.asarray(jacobian))[1], atol=1e-4)


def test_starts_at_the_published_values():
  tree = FLOW.init(jax.random.key(0), jnp.zeros((1, 5)))['params']
  # g = 0.1 softplus(γ; 0.5) = 1 and b = 0: with subnets of 0 the flow only turns.
  zero = jax.tree.map(jnp.zeros_like, tree)
  plain = {name: {**zero[name], 'gamma': tree[name]['gamma']} for name in tree}
  x = jax.random.normal(jax.random.key(4), (8, 5))
  z, logdet = FLOW.apply({'params': plain}, x)
  turns = flow_lib.rotations(CONFIG)
  np.testing.assert_allclose(z, x @ (turns[0] @ turns[1] @ turns[2]), atol=1e-5)
  np.testing.assert_allclose(logdet, 0, atol=1e-5)


def test_rotations_are_proper_and_fixed():
  for turn in flow_lib.rotations(CONFIG):
    np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-6)
    assert np.linalg.det(turn) == pytest.approx(1, abs=1e-5)
  assert flow_lib.rotations(CONFIG) is flow_lib.rotations(CONFIG)
  other = flow_lib.rotations(flow_lib.FlowConfig(dims=5, blocks=3, width=16, seed=1))
  assert np.abs(other[0] - flow_lib.rotations(CONFIG)[0]).max() > 0.1


def test_learns_the_likelihood_of_a_known_mixture():
  """Two Gaussians in the plane; the entropy by sampling the density that is known."""
  means, sd = jnp.array([[-1.5, 0.0], [1.5, 0.5]]), jnp.array([0.3, 0.6])
  config = flow_lib.FlowConfig(dims=2, blocks=6, width=32)
  flow = flow_lib.Flow(config)

  def draw(key, count):
    pick, noise = jax.random.split(key)
    which = jax.random.randint(pick, (count,), 0, 2)
    return means[which] + sd[which][:, None] * jax.random.normal(noise, (count, 2))

  def loss(params, x):
    return flow_lib.nll(*flow.apply({'params': params}, x)).mean()

  optimizer = optax.adam(optax.cosine_decay_schedule(5e-3, 2000))

  @jax.jit
  def train(params):
    def step(carry, key):
      params, state = carry
      gradient = jax.grad(loss)(params, draw(key, 128))
      change, state = optimizer.update(gradient, state)
      return (optax.apply_updates(params, change), state), None

    keys = jax.random.split(jax.random.key(6), 2000)
    return jax.lax.scan(step, (params, optimizer.init(params)), keys)[0][0]

  params = train(flow.init(jax.random.key(5), jnp.zeros((1, 2)))['params'])
  x = draw(jax.random.key(7), 20_000)
  squares = ((x[:, None] - means) ** 2).sum(-1)
  density = (0.5 * jnp.exp(-squares / (2 * sd**2)) / (2 * jnp.pi * sd**2)).sum(1)
  true = float(-jnp.log(density).mean())
  found = float(loss(params, x)) + float(jnp.log(2 * jnp.pi))
  assert true - 0.02 < found < true + 0.06


def test_resampling_stays_near_and_has_no_gradient(params):
  x = jax.random.normal(jax.random.key(8), (16, 5))
  noise = jax.random.normal(jax.random.key(9), x.shape)
  same = flow_lib.resample(CONFIG, params, x, noise, spread=0.0)
  near = flow_lib.resample(CONFIG, params, x, noise)
  np.testing.assert_allclose(same, x, atol=1e-4)
  assert 1e-3 < float(jnp.abs(near - x).mean()) < 1
  gradient = jax.grad(lambda y: flow_lib.resample(CONFIG, params, y, noise).sum())(x)
  np.testing.assert_array_equal(gradient, 0)


def test_the_root_leaves_and_comes_back():
  poses = jnp.arange(24.0).reshape(2, 6, 2).at[:, 0].set(0)
  flat = flow_lib.without_root(poses)
  assert flat.shape == (2, 10)
  np.testing.assert_array_equal(flow_lib.with_root(flat), poses)
  np.testing.assert_array_equal(
    flow_lib.without_root(poses, (0, 2, 5)), poses[:, [2, 5]].reshape(2, -1)
  )


def test_wrong_shapes_are_named(params):
  with pytest.raises(ValueError, match=r'expected \(B, 5\), got \(3, 4\)'):
    FLOW.apply({'params': params}, jnp.zeros((3, 4)))
  with pytest.raises(ValueError, match='at least 2, 1, 1'):
    flow_lib.FlowConfig(dims=1)
