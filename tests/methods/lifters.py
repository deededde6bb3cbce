"""A small lifter over standing stick figures, for the tests of lifting."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np

from posejax.methods.lifting import lift, people, prior, step
from posejax.models import lifter as lifter_lib

get_config = runpy.run_path('configs/lifting.py')['get_config']
B, J = 6, people.SKELETON.num_joints
UNIT = 0.13
RNG = np.random.default_rng(0)
# Standing stick figures, good enough for everything that is tested here.
BODY = RNG.normal(size=(20, J, 3)) * 60
BODY += np.linspace(0, 1700, J)[None, :, None] * (0, 0, 1)
BODY[:, 0] = (0, 0, 900)
BODY[:, people.FEET] = ((80, 0, 0), (-80, 0, 20))
BODY = BODY.astype(np.float32)


def changed(preset='smoke', **switches):
  config = get_config(preset).unlock()
  for name, value in switches.items():
    config.lifter[name] = value
  return config


def frozen_of(config):
  flow = prior.flow_lib.Flow(prior.shape(config))
  params = flow.init(jax.random.key(3), jnp.zeros((1, flow.config.dims)))['params']
  return {
    'train': BODY, 'unit': np.float32(UNIT), 'spread': np.float32(0.05), 'flow': params,
    'ratios': np.ones(people.SKELETON.num_limbs, np.float32), 'parts': {},
  }


def lifter_params(config, seed=1):
  module = lifter_lib.Lifter(step.shape(config))
  return module.init(jax.random.key(seed), jnp.zeros((1, J, 2)))['params']


def a_batch(config, frozen, count=B):
  keys = jax.random.split(jax.random.key(2), count)
  return jax.jit(lambda f, k: lift.draw(config, f, k))(frozen, keys)
