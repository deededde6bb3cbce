"""One step: gradients of global means, one optimizer per loss, total freezing, the halt."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from posejax.methods.base import ONE_DEVICE, Context, Loss, Phase, Product
from posejax.training import parallel, train_state
from posejax.training.parallel import Devices
from tests.training import toy

KEY = jax.random.key(3)
TRUTH = {'truth': Product(arrays={'truth': np.array([1.0, -2.0, 0.5], np.float32)})}


def stage_of(**changes):
  return dataclasses.replace(toy.build(toy.config(), TRUTH), **changes)


def run_steps(stage, devices, count, phase=1, source='scenes'):
  """`count` steps of one phase and source from a new state."""
  state = devices.replicate(train_state.create(stage, KEY))
  frozen = devices.replicate(stage.frozen)
  size = stage.sources[source].size
  step = devices.compile(train_state.make_step(stage, stage.phases[phase], source, KEY))
  logs = []
  for i in range(count):
    host = stage.sources[source].host
    examples = devices.split(host(i), size) if host else {}
    state, scalars = step(state, frozen, examples, devices.example_indices(size))
    jax.block_until_ready(state)
    logs.append(jax.tree.map(np.asarray, scalars))
  return jax.tree.map(np.asarray, state), logs


@pytest.mark.parametrize('source', ['scenes', 'images'])
def test_one_device_equals_two(source):
  one, logs_one = run_steps(stage_of(), Devices(jax.local_devices()[:1]), 2, source=source)
  two, logs_two = run_steps(stage_of(), Devices(jax.local_devices()[:2]), 2, source=source)
  jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-7), one, two)
  for a, b in zip(logs_one, logs_two, strict=True):
    assert a.keys() == b.keys()
    for name in a:
      np.testing.assert_allclose(a[name], b[name], rtol=1e-5, err_msg=name)


def test_a_step_by_hand():
  # Loss a over the scenes of step 0, its masked mean's gradient by NumPy, and Adam's first step,
  # which is -rate · g / (|g| + eps) whatever g is.
  stage = stage_of()
  state, logs = run_steps(stage, Devices(jax.local_devices()[:1]), 1)
  keys = parallel.example_keys(KEY, jnp.int32(0), jnp.arange(8))
  batch = jax.tree.map(np.asarray, toy.draw(stage.frozen, {}, keys))
  start = np.asarray(train_state.create(stage, KEY).params['A']['w'])
  error = batch['x'] @ start - batch['y']
  mean = (error**2 * batch['mask']).sum() / batch['mask'].sum()
  gradient = (2 * error * batch['mask']) @ batch['x'] / batch['mask'].sum()
  np.testing.assert_allclose(logs[0]['loss/a'], mean, rtol=1e-5)
  np.testing.assert_allclose(logs[0]['gradient_norm/a'], np.linalg.norm(gradient), rtol=1e-5)
  np.testing.assert_allclose(state.params['A']['w'], start - 0.1 * np.sign(gradient), rtol=1e-5)


def test_what_a_phase_does_not_train_is_bitwise_equal():
  stage = stage_of()
  before = jax.tree.map(np.asarray, train_state.create(stage, KEY))
  after, _ = run_steps(stage, Devices(), 2, phase=0)
  np.testing.assert_array_equal(before.params['B']['w'], after.params['B']['w'])
  jax.tree.map(np.testing.assert_array_equal, before.opt_states['b'], after.opt_states['b'])
  assert not np.array_equal(before.params['A']['w'], after.params['A']['w'])
  assert int(after.opt_states['a'].count) == 2


def test_updates_of_one_batch_add_up_at_the_same_parameters():
  def values(context, batch):
    w = context.params['A']['w'].sum() + context.params['B']['w']
    one = jnp.ones(())
    return toy.LossValues({'a': (w, one), 'b': (3 * w, one)})

  plain = optax.identity()
  stage = stage_of(
    sources={'scenes': dataclasses.replace(stage_of().sources['scenes'], losses=values)},
    losses={
      'a': Loss('scenes', ('A',), plain, lambda step: 0.1),
      'b': Loss('scenes', ('A', 'B'), plain, lambda step: 1.0),
    },
    phases=(Phase('only', 1, ('scenes',), ('a', 'b')),),
  )
  before = train_state.create(stage, KEY)
  after, _ = run_steps(stage, Devices(), 1, phase=0)
  # dA = -(0.1 · 1 + 1.0 · 3), dB = -3.
  np.testing.assert_allclose(after.params['A']['w'], before.params['A']['w'] - 3.1, rtol=1e-5)
  np.testing.assert_allclose(after.params['B']['w'], before.params['B']['w'] - 3, rtol=1e-5)


def test_a_non_finite_loss_stops_the_state():
  def poisoned(context, batch):
    values = toy.losses(context, batch)
    total, weight = values.terms['b']
    bad = jnp.where(context.params['A']['w'].sum() == total, 0.0, jnp.nan)
    return dataclasses.replace(values, terms={**values.terms, 'b': (total + bad, weight)})

  base = stage_of()
  images = dataclasses.replace(base.sources['images'], losses=poisoned)
  stage = stage_of(sources={**base.sources, 'images': images})
  before = jax.tree.map(np.asarray, train_state.create(stage, KEY))
  after, _ = run_steps(stage, Devices(), 3, source='images')
  assert int(after.bad_step) == 0
  assert after.bad_losses.tolist() == [False, True]
  assert int(after.step) == 0
  jax.tree.map(np.testing.assert_array_equal, before.params, after.params)
  jax.tree.map(np.testing.assert_array_equal, before.opt_states, after.opt_states)


def test_an_empty_batch_changes_nothing_and_is_finite():
  base = stage_of()
  empty = dataclasses.replace(
    base.sources['scenes'],
    device=lambda *args: {**toy.draw(*args), 'mask': jnp.zeros(len(args[2]))},
  )
  after, logs = run_steps(stage_of(sources={**base.sources, 'scenes': empty}), Devices(), 1)
  assert logs[0]['loss/a'] == 0 and logs[0]['weight/a'] == 0 and int(after.bad_step) == -1


def test_stages_that_do_not_fit_are_refused():
  base = stage_of()
  with pytest.raises(ValueError, match=r"loss x reads source 'video', which the stage lacks"):
    stage_of(losses={**base.losses, 'x': Loss('video', ('A',), optax.identity(), lambda s: 1)})
  with pytest.raises(ValueError, match=r"phase p names loss 'z'"):
    stage_of(phases=(Phase('p', 1, ('scenes',), ('a', 'z')),))
  with pytest.raises(ValueError, match='which no loss reads'):
    stage_of(phases=(Phase('p', 1, ('scenes', 'images'), ('a',)),))
  idle = stage_of(phases=(Phase('p', 1, ('scenes',), ('a',)),))
  with pytest.raises(ValueError, match=r"no loss trains \['B'\]"):
    train_state.create(idle, KEY)
  loss = Loss('images', ('C',), optax.identity(), lambda step: 1)
  unknown = stage_of(losses={**base.losses, 'b': loss})
  with pytest.raises(ValueError, match=r"the stage does not make: \['C'\]"):
    train_state.create(unknown, KEY)


def test_losses_run_without_a_trainer():
  stage = stage_of()
  params, stats = stage.init(KEY)
  batch = toy.draw(stage.frozen, {}, jax.random.split(KEY, 8))
  values = toy.losses(Context(params, stats, stage.frozen, KEY, ONE_DEVICE), batch)
  assert set(values.terms) == {'a', 'b'}


def test_keys_depend_on_step_and_global_index_alone():
  keys = jax.random.key_data(parallel.example_keys(KEY, jnp.int32(5), jnp.arange(6)))
  part = jax.random.key_data(parallel.example_keys(KEY, jnp.int32(5), jnp.arange(3, 6)))
  np.testing.assert_array_equal(keys[3:], part)
  other = jax.random.key_data(parallel.example_keys(KEY, jnp.int32(6), jnp.arange(6)))
  step = jax.random.key_data(parallel.step_key(KEY, jnp.int32(5)))
  assert len({tuple(row) for row in np.concatenate([keys, other, step[None]])}) == 13


def test_batches_that_devices_cannot_share():
  with pytest.raises(ValueError, match='batch size 7 cannot be shared by 2 devices'):
    Devices(jax.local_devices()[:2]).share(7)
  rows = Devices(jax.local_devices()[:2]).split({'x': np.arange(8)}, 8)['x']
  np.testing.assert_array_equal(rows, [[0, 1, 2, 3], [4, 5, 6, 7]])
