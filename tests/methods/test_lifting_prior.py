"""What the flow reads: poses, or as in ElePose their principal components."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.methods.base import Product
from posejax.methods.lifting import METHOD, lift, people, prior
from posejax.training import config as config_lib

J, UNIT = people.SKELETON.num_joints, 0.13
RNG = np.random.default_rng(0)
BODY = (RNG.normal(size=(20, J, 3)) * 60 + np.linspace(0, 1700, J)[:, None] * (0, 0, 1)).astype(
  np.float32
)


@pytest.fixture(scope='module')
def config():
  config = runpy.run_path('configs/lifting.py')['get_config']('smoke').unlock()
  config.flow.pca = 5
  return config.lock()


@pytest.fixture(scope='module')
def products(config):
  poses = Product(arrays={
    'train': BODY, 'unit': np.float32(UNIT), 'ratios': np.ones(J - 1, np.float32),
  })
  flow = prior.flow_lib.Flow(prior.shape(config))
  params = flow.init(jax.random.key(3), jnp.zeros((1, 5)))['params']
  return {
    'poses': poses, 'flow': Product(params={'flow': params}), 'parts': Product(),
  }


def test_inputs_are_the_components_of_most_variance(config, products):
  config_lib.validate(config, METHOD.rules)
  frozen = prior.arrays(config, products)
  # The very poses that the components were found on.
  drawn = people.draw(config, frozen, jax.random.split(jax.random.key(config.seed), 2048))
  x = np.asarray(prior.inputs(frozen, drawn))
  flat = np.asarray(drawn[:, 1:]).reshape(len(drawn), -1) / frozen['spread']
  values = np.linalg.eigvalsh(np.cov(flat.T))[::-1]
  np.testing.assert_allclose(np.cov(x.T), np.diag(values[:5]), atol=1e-3 * values[0])
  np.testing.assert_allclose(x.mean(0), 0, atol=1e-4)


def test_sampling_moves_a_pose_along_the_components_alone(config, products):
  frozen = lift.frozen_of(config, products)
  keys = jax.random.split(jax.random.key(6), 8)
  poses = people.draw(config, frozen, keys)
  near = prior.sampled(config, frozen, poses, keys)
  moved = np.asarray(near - poses)[:, 1:].reshape(8, -1)
  inside = moved @ frozen['components'] @ frozen['components'].T
  assert np.abs(moved).max() > 1e-4
  np.testing.assert_allclose(moved, inside, atol=1e-6)
  np.testing.assert_array_equal(np.asarray(near)[:, 0], 0)


def test_a_flow_of_one_component_is_refused(config):
  one = config.copy_and_resolve_references().unlock()
  one.flow.pca = 1
  with pytest.raises(config_lib.ConfigError, match=r'flow\.pca'):
    config_lib.validate(one, METHOD.rules)
