"""The methods' own steps: losses and gradients of one device are those of two.

A batch is drawn once and cut, people are unevenly spread over it, and every optimizer is one that
keeps the gradient it was given. What Adam makes of equal gradients is equal: there is one of it.
That each device draws its own examples of the batch is in tests/training.
"""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from posejax.benchmarks import crossmodal as random_run
from posejax.benchmarks import lifting as random_lifting
from posejax.benchmarks import students
from posejax.methods.base import Phase
from posejax.methods.crossmodal import align
from posejax.training import parallel, train_state
from posejax.training.parallel import Devices

get_config = runpy.run_path('configs/unsup.py')['get_config']
KEY = jax.random.key(1)
PICTURES = ('distl', 'label_2d', 'label_3d', 'ss')


def crossmodal():
  """The stage of alignment: all losses of pictures, of which half have labels, and of scenes."""
  config = get_config('smoke').unlock()
  config.align.update({
    'batch_images': 4, 'label_2d': True, 'label_3d': True, 'label_share': 0.5,
  })
  params = students.random_networks(config)
  products = random_run.random_products(config, params)
  # The teacher misses a third of the people, and a third of the joints of the others.
  rng, observed = np.random.default_rng(0), products['observed'].arrays
  observed['rooted'] = rng.random(observed['rooted'].shape) < 2 / 3
  observed['roots'] = np.where(observed['rooted'][..., None], observed['roots'], 0)
  observed['seen'] = observed['rooted'][..., None] & (rng.random(observed['seen'].shape) < 2 / 3)
  stage = align.build(config, products)
  phase = Phase('all', 1, ('images', 'scenes'), (*PICTURES, 'recon', 'adapt'))
  start = {name: params[name] for name in ('G', 'H')}
  return dataclasses.replace(stage, init=lambda key: (start, {}), phases=(phase,))


def lifting():
  """The lifter's stage and batch; θ's mean and spread are over all devices inside the loss."""
  config = random_lifting.training_config(8, 8)
  config.flow.blocks = 1  # less to compile
  return random_lifting.training_stage(config), random_lifting.training_batch(8)


def given(stage, source):
  """The stage with a batch of this source that the host has, and this batch."""
  chosen = stage.sources[source]
  keys = parallel.example_keys(KEY, jnp.int32(3), jnp.arange(chosen.size))
  batch = jax.jit(lambda frozen, keys: chosen.device(frozen, {}, keys))(stage.frozen, keys)
  ready = dataclasses.replace(chosen, device=lambda frozen, host, keys: host)
  return dataclasses.replace(stage, sources={**stage.sources, source: ready}), batch


def a_step(stage, host, source, count):
  """(state before, state after, scalars) of a step on so many devices; gradients as its states."""
  stage = dataclasses.replace(stage, losses={
    name: dataclasses.replace(loss, optimizer=optax.trace(0.0))
    for name, loss in stage.losses.items()
  })
  devices, size = Devices(jax.local_devices()[:count]), stage.sources[source].size
  before = train_state.create(stage, KEY)._replace(step=jnp.int32(3))  # beyond the warm-up
  step = devices.compile(train_state.make_step(stage, stage.phases[0], source, KEY))
  after, logs = jax.block_until_ready(step(
    devices.replicate(before), devices.replicate(stage.frozen), devices.split(host, size),
    devices.example_indices(size),
  ))
  assert after.bad_step == train_state.GOOD
  return before, jax.tree.map(np.asarray, after), {k: float(v) for k, v in logs.items()}


def assert_same(one, two, losses):
  """Scalars and gradients; returns the scalars."""
  (_, after_one, logs), (_, after_two, logs_two) = one, two
  assert logs.keys() == logs_two.keys()
  for name, value in logs.items():
    np.testing.assert_allclose(logs_two[name], value, rtol=1e-5, atol=1e-7, err_msg=name)
  for name in losses:
    gradients, others = (after.opt_states[name] for after in (after_one, after_two))
    assert any(np.any(leaf) for leaf in jax.tree.leaves(gradients)), name
    # As one vector: sums in another order move single numbers near 0 by more.
    whole, apart = (
      np.sqrt(sum(np.sum(np.square(x, dtype=np.float64)) for x in jax.tree.leaves(tree)))
      for tree in (gradients, jax.tree.map(np.subtract, others, gradients))
    )
    assert apart <= 1e-5 * whole, name
    # And each layer's. Some are 0 but for rounding, such as that of a bias before a softmax. 1.3e-5
    # was measured behind the sharp softmax of the windows, less elsewhere.
    rounding = 1e-6 * max(np.linalg.norm(leaf) for leaf in jax.tree.leaves(gradients))
    for (path, a), b in zip(
      jax.tree.leaves_with_path(gradients), jax.tree.leaves(others), strict=True
    ):
      where = f'{name}{jax.tree_util.keystr(path)}'
      assert np.linalg.norm(b - a) <= 3e-5 * np.linalg.norm(a) + rounding, where
  return logs


@pytest.fixture(scope='module')
def alignment():
  return crossmodal()


def test_pictures(alignment):
  stage, batch = given(alignment, 'images')
  one, two = (a_step(stage, batch, 'images', count) for count in (1, 2))
  logs = assert_same(one, two, PICTURES)
  assert all(logs[f'weight/{name}'] > 0 for name in PICTURES)
  # An odd number of people: no two devices can have equal shares, so that a mean of the devices'
  # means would be another number.
  assert logs['weight/distl'] / 2 % 2 == 1
  before, after, _ = two
  jax.tree.map(np.testing.assert_array_equal, before.params['G'], after.params['G'])
  assert set(after.params) == {'G', 'H'}


def test_scenes(alignment):
  stage, batch = given(alignment, 'scenes')
  one, two = (a_step(stage, batch, 'scenes', count) for count in (1, 2))
  logs = assert_same(one, two, ('recon', 'adapt'))
  assert logs['weight/recon'] / 42 % 2 == 1
  gradients = two[1].opt_states
  # L_recon trains both, L_adapt G alone; F, Ψ and Φ are constants of the stage.
  assert set(gradients['recon'].trace) == {'G', 'H'} and set(gradients['adapt'].trace) == {'G'}
  assert {'E', 'F', 'Psi', 'Phi'} <= set(alignment.frozen)


def test_lifter():
  stage, batch = lifting()
  one, two = (a_step(stage, batch, 'poses', count) for count in (1, 2))
  logs = assert_same(one, two, ('lifters',))
  assert logs['lifter_0/theta_sd_deg'] > 0
