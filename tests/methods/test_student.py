"""H finds the roots itself, with one slot a cell or several: switches, steps, inference."""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from posejax.benchmarks import crossmodal as random_run
from posejax.benchmarks import students
from posejax.methods.base import Product
from posejax.methods.crossmodal import METHOD, align, infer, refine, roots
from posejax.models.crossmodal import PoseNet
from posejax.training import config as config_lib
from posejax.training import train_state, trainer
from posejax.training.parallel import Devices

get_config = runpy.run_path('configs/unsup.py')['get_config']
STRIDE_8 = (((8, 3),), ((8, 3),))


def changed(up=None, steps=0, **switches):
  config = get_config('smoke').unlock()
  # Less to compile: the optimizer's and Φ's own tests are elsewhere.
  config.align.update({'optimizer': 'adam', 'code': (0.0, 0.0), **switches})
  config.align.h.up = up or config.align.h.up
  config.refine.steps = steps
  return config


def shapes_of(config):
  model = infer.Model(config)
  net = PoseNet(model.h)
  v = jnp.zeros((1, 8, 8, 2 * config.teacher.branch))
  params = jax.eval_shape(net.init, jax.random.key(0), v)['params']
  return {
    jax.tree_util.keystr(path): leaf.shape
    for path, leaf in jax.tree_util.tree_leaves_with_path(params)
  }


def test_each_switch_adds_its_layers_alone():
  plain, map_alone, two = (
    shapes_of(changed(**switches))
    for switches in ({}, {'root_source': 'student'}, {'root_source': 'student', 'slots': 2})
  )
  features = 8
  root = {"['root']['kernel']": (features, 1), "['root']['bias']": (1,)}
  assert map_alone == plain | root
  # Two poses, two logits, two positions (x, y); the trunk is the same.
  kinds = {'pose': 2 * 39, 'root': 2, 'offset': 4}
  grown = {f"['{name}']['bias']": (width,) for name, width in kinds.items()}
  grown |= {f"['{name}']['kernel']": (features, width) for name, width in kinds.items()}
  assert two == plain | root | grown


def test_each_switch_adds_its_losses_alone():
  plain, student = (align._phases(changed(**s)) for s in ({}, {'root_source': 'student'}))
  for ours, theirs in zip(student, plain, strict=True):
    assert ours[:3] == theirs[:3]
    added = {'roots', 'roots_scenes'} if 'scenes' in ours.sources else {'roots'}
    assert set(ours.losses) == set(theirs.losses) | added
  assert align._phases(changed(root_source='student', slots=2)) == student
  assert align._losses(changed())['roots_scenes'].networks == ('H',)
  alone = align._phases(changed(root_source='student', recon=False))
  assert all(phase.sources == ('images',) for phase in alone)
  assert all('roots_scenes' not in phase.losses for phase in alone)


@pytest.mark.parametrize(
  ('switches', 'field'),
  [
    ({'slots': 2}, 'align.root_source'),
    ({'slots': 5, 'root_source': 'student'}, 'align.slots'),
    ({'root_source': 'nobody'}, 'align.root_source'),
  ],
)
def test_switches_that_do_not_go_together_are_one_line(switches, field):
  with pytest.raises(config_lib.ConfigError, match=rf'config\.{field}') as error:
    config_lib.validate(changed(**switches), METHOD.rules)
  assert '\n' not in str(error.value)
  config_lib.validate(changed(slots=2, root_source='student'), METHOD.rules)


def stage_of(config, build=align.build):
  """A stage over random pictures, with random networks instead of initialised ones."""
  params = students.random_networks(config)
  products = random_run.random_products(config, params)
  products['align'] = Product({name: params[name] for name in ('G', 'H')})
  # Half of the teacher's people are padding, which may hold anything but a root.
  observed = products['observed'].arrays
  observed['rooted'] = np.arange(config.world.max_people) % 2 == np.zeros((16, 1))
  observed['roots'] = np.where(observed['rooted'][..., None], observed['roots'], 0)
  observed['seen'] = observed['seen'] & observed['rooted'][..., None]
  observed['joints'] = np.where(observed['seen'][..., None], observed['joints'], np.nan)
  stage = build(config, products)
  names = {name for loss in stage.losses.values() for name in loss.networks}
  mine = {name: params['H' if name == 'H2' else name] for name in names}
  return dataclasses.replace(stage, init=lambda key: (mine, {})), params


def one_step(stage, phase, source, count=1):
  """(state before, state after, scalars) of a step, or several, beyond the warm-up."""
  devices, key = Devices(jax.local_devices()[:1]), jax.random.key(1)
  before = train_state.create(stage, key)._replace(step=jnp.int32(3))
  step = devices.compile(train_state.make_step(stage, stage.phases[phase], source, key))
  indices = devices.example_indices(stage.sources[source].size)
  after, frozen = devices.replicate(before), devices.replicate(stage.frozen)
  for _ in range(count):
    after, logs = jax.block_until_ready(step(after, frozen, {}, indices))
  assert after.bad_step == train_state.GOOD
  return before, after, {name: float(value) for name, value in logs.items()}


def moved(before, after):
  """Names of the layers of which every number is finite and some number changed."""
  names = set()
  for path, old in jax.tree_util.tree_leaves_with_path(before.params):
    new = after.params
    for key in path:
      new = new[key.key]
    assert np.isfinite(new).all()
    if not np.array_equal(old, new):
      names.add((path[0].key, path[1].key))
  return names


@pytest.fixture(scope='module')
def slots_run():
  """Stride 8, two slots: one step of pictures."""
  config = changed(up=STRIDE_8, root_source='student', slots=2, batch_images=4)
  stage, params = stage_of(config)
  return config, params, one_step(stage, 1, 'images')


def test_step_with_slots_at_stride_8(slots_run):
  config, _, (before, after, logs) = slots_run
  assert infer.Model(config).stride == 8
  for name in jax.tree.leaves(jax.tree.map(np.array_equal, before.params['G'], after.params['G'])):
    assert name
  assert moved(before, after) >= {('H', name) for name in ('trunk', 'pose', 'root', 'offset')}
  assert np.isfinite(list(logs.values())).all()
  assert logs['loss/roots'] > 0 and logs['loss/distl'] > 0
  # 8×8 cells, 2 slots, 4 pictures; 14 joints with (x, y) of one person a picture.
  assert logs['weight/roots'] == 512 and logs['weight/distl'] == 4 * 28
  assert 0 <= logs['people_without_slot/images'] <= 1


def test_steps_of_the_last_phase():
  stage, _ = stage_of(changed())
  assert stage.phases[2].losses == ('ss', 'recon_h')
  before, after, logs = one_step(stage, 2, 'images', count=2)
  assert int(after.step) == int(before.step) + 2
  assert {name for name in logs if name.startswith('loss/')} == {'loss/ss'}
  assert logs['loss/ss'] > 0 and logs['weight/ss'] > 0
  # H alone learns; G stays as it is, bit for bit.
  assert {network for network, _ in moved(before, after)} == {'H'}


def test_step_of_scenes_at_stride_16():
  stage, _ = stage_of(changed(root_source='student', adapt=False))
  before, after, logs = one_step(stage, 1, 'scenes')
  # 4×4 cells of 2 scenes.
  assert logs['weight/roots_scenes'] == 32 and logs['loss/roots_scenes'] > 0
  names = moved(before, after)
  assert {name for network, name in names if network == 'H'} >= {'trunk', 'pose', 'root'}
  assert any(network == 'G' for network, _ in names)
  assert 'people_without_slot/scenes' not in logs


@pytest.mark.parametrize(
  ('source', 'loss'), [('images', 'distl'), ('scenes', 'recon')],
)
def test_steps_of_crops(source, loss):
  stage, params = stage_of(changed(steps=4), refine.build)
  before, after, logs = one_step(stage, 0, source, count=2)
  assert set(after.params) == {'H2'} and set(stage.losses) == {'distl', 'recon'}
  assert moved(before, after) >= {('H2', 'trunk'), ('H2', 'pose')}
  assert logs[f'loss/{loss}'] > 0 and logs[f'weight/{loss}'] > 0
  assert logs.get('weight/distl', 2 * 28) == 2 * 28
  # The networks that it starts from are constants of the stage, not of its state.
  assert stage.frozen['H'] is params['H'] and stage.frozen['G'] is params['G']


@pytest.mark.parametrize(
  ('switches', 'losses'),
  [
    ({}, {'distl': 'images', 'recon': 'scenes'}),
    ({'recon': False}, {'distl': 'images'}),
    ({'label_2d': True, 'label_3d': True},
     {'label_2d': 'images', 'label_3d': 'images', 'recon': 'scenes'}),
  ],
)
def test_crops_follow_the_supervision(switches, losses):
  config = changed(steps=4, **switches)
  params = students.random_networks(config)
  products = random_run.random_products(config, params)
  products['align'] = Product({name: params[name] for name in ('G', 'H')})
  stage = refine.build(config, products)
  assert {name: loss.source for name, loss in stage.losses.items()} == losses
  assert {loss.networks for loss in stage.losses.values()} == {('H2',)}
  assert ('G' in stage.frozen) == ('recon' in losses)
  start, _ = stage.init(jax.random.key(0))
  jax.tree.map(np.testing.assert_array_equal, start['H2'], params['H'])


def test_no_steps_make_no_second_stage(tmp_path):
  stage = refine.build(changed(), {})
  product = trainer.run_stage('refine', stage, tmp_path, (0, 0), trainer.Schedule(1, 1))
  assert product == Product()
  assert not stage.phases and not stage.losses
  assert stage.init(jax.random.key(0)) == ({}, {})
  products = {name: Product({'E': 1, 'F': 2, 'Psi': 3, 'H': 4}) for name in (
    'teacher', 'prior', 'align',
  )}
  assert set(infer.networks(products)) == {'E', 'F', 'H', 'Psi'}
  products['refine'] = Product()
  assert set(infer.networks(products)) == {'E', 'F', 'H', 'Psi'}
  products['refine'] = Product({'H2': 5})
  assert infer.networks(products)['H2'] == 5


@pytest.mark.parametrize(('slots', 'found_here'), [(1, 1), (2, 2)])
def test_two_people_in_one_cell(slots, found_here):
  # Stride 16: both are in cell (2, 2), 31.5 to 47.5 px; the third is alone.
  points = jnp.array([[[35.0, 40.0], [44.0, 37.0], [100.0, 90.0]]])
  rooted = jnp.ones((1, 3), bool)
  config = changed(root_source='student', slots=slots)
  config.world.max_people = 4
  model, rng = infer.Model(config), np.random.default_rng(0)
  assert model.stride == 16
  v = rng.normal(size=(1, 16, 16, 2 * config.teacher.branch)).astype(np.float32)
  start, optimizer = PoseNet(model.h).init(jax.random.key(0), v)['params'], optax.adam(1e-2)

  def loss(h):
    features = model.features(h, v)
    reading = model.read(h, features, points, rooted)
    logits = model.root_logits(h, features)
    term = roots.loss(logits, reading.places, reading.found.offset, points, model.stride)
    return term.sum / term.weight

  @jax.jit
  def fit(h):
    def step(_, carry):
      h, state = carry
      updates, state = optimizer.update(jax.grad(loss)(h), state)
      return optax.apply_updates(h, updates), state
    return jax.lax.fori_loop(0, 150, step, (h, optimizer.init(h)))[0]

  fitted = fit(start)
  found, people = jax.jit(lambda h: model.detect({'H': h}, v, None))(fitted)
  at = np.asarray(people.positions[0])[np.asarray(people.valid[0])]
  inside = at[(np.abs(at - 39.5) <= 8).all(-1)]
  assert len(at) == found_here + 1 and len(inside) == found_here
  assert np.linalg.norm(at - points[0, 2], axis=-1).min() < 3
  if slots > 1:
    errors = np.linalg.norm(at[:, None] - points[0], axis=-1).min(0)
    assert errors.max() < 2  # px of cells of 16
    # Slots were read in their cell, poses around each root: as at roots that are known.
    again = jax.jit(
      lambda h: model.read(h, model.features(h, v), people.positions, people.valid).found
    )(fitted)
    assert model.read_mode == 'bilinear'
    np.testing.assert_allclose(found.phi[0, :3], again.phi[0, :3], atol=1e-4)
    assert np.abs(found.phi[0, 0] - found.phi[0, 1]).max() > 1e-3


def test_inference_with_slots(slots_run):
  config, params, (_, after, _) = slots_run
  config = config.copy_and_resolve_references()
  config.align.root_threshold = 0.01
  model = infer.Model(config)
  used = {name: params[name] for name in ('E', 'Psi')} | {'H': after.params['H']}  # no F
  images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
  people = jax.jit(lambda p, i: infer.predict(model, p, i))(used, images)
  assert people.valid.any()
  assert all(np.isfinite(field).all() for field in people)
  assert people.joints_2d.shape == (2, 2, 15, 2)
  scores = np.asarray(people.score)
  assert (np.diff(scores) <= 0).all() and (scores[np.asarray(people.valid)] > 0.01).all()
