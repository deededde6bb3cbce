"""The uncertainty of a lifted person, against a lifter whose answers are known by hand."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.methods.lifting import people, step, uncertainty
from posejax.models import lifter as lifter_lib

J = people.SKELETON.num_joints
CONFIG = runpy.run_path('configs/lifting.py')['get_config']('smoke')
C = CONFIG.c


@pytest.fixture(scope='module')
def spread():
  return jax.jit(lambda params, poses: uncertainty.spread(CONFIG, params, poses))


@pytest.fixture(scope='module')
def flat():
  """A lifter that says depth 0 and θ = 0 of everything."""
  params = lifter_lib.Lifter(step.shape(CONFIG)).init(jax.random.key(0), jnp.zeros((1, J, 2)))
  return jax.tree.map(jnp.zeros_like, params['params'])


def test_flat_answers_against_numpy(spread, flat):
  # One joint stands x beside the plumb line. Turned by a it is at (X cos a, −X sin a), X = x c; a
  # flat answer keeps its ray: X′ = c X cos a / (c − X sin a) at depth 0. The turn back keeps
  # lengths: the distance is |(X′ − X cos a, X sin a)|, of one joint in J.
  x = 0.03
  poses = np.zeros((2, J, 2), np.float32)
  poses[0, 5, 0] = x
  poses[1, :, 1] = np.linspace(-0.05, 0.1, J)  # upright on the line: alike from all sides
  X, a = x * C, 2 * np.pi * np.arange(1, uncertainty.VIEWS + 1) / (uncertainty.VIEWS + 1)
  moved = C * X * np.cos(a) / (C - X * np.sin(a)) - X * np.cos(a)
  expected = np.sqrt(((moved**2 + (X * np.sin(a)) ** 2) / J).mean())
  np.testing.assert_allclose(spread(flat, poses), [expected, 0], rtol=1e-4, atol=1e-6)


def test_views_turn_about_the_line_that_theta_says_is_plumb(spread, flat):
  # The answers stay flat; an elevation of 0.3 rad makes other views of the same pose.
  bent = {**flat, 'networks_whole': {
    **flat['networks_whole'], 'elevation_out': {
      **flat['networks_whole']['elevation_out'], 'bias': jnp.array([0.3]),
    },
  }}
  poses = np.zeros((1, J, 2), np.float32)
  poses[0, 3] = 0.02, -0.01
  assert float(spread(bent, poses)[0]) != pytest.approx(float(spread(flat, poses)[0]), rel=1e-3)
