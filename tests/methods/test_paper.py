"""`:paper`: the paper's shapes, parameter counts, batches and schedule, and its steps.

Steps are traced, which checks every shape and dtype at batch 8; running one takes gigabytes and
tens of seconds on a CPU. One step of L_recon, which reaches G, H and Ψ, runs for real at batch 1.
"""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import crossmodal as random_run
from posejax.benchmarks import students
from posejax.methods.crossmodal import METHOD, align, infer, prior, teacher
from posejax.models import aae, crossmodal, layers, openpose
from posejax.training import config as config_lib
from posejax.training import parallel, train_state, transfer

V, SKIP = (1, 28, 28, 1024), (1, 28, 28, 128)


@pytest.fixture(scope='module')
def config():
  return runpy.run_path('configs/unsup.py')['get_config']('paper')


@pytest.fixture(scope='module')
def stage(config):
  """The stage with arrays for all that it reads, and parameters of zeros, which cost nothing."""
  config = config.copy_and_resolve_references().unlock()
  shapes = networks(config)
  params = jax.tree.map(lambda leaf: np.zeros(leaf.shape, leaf.dtype), shapes)
  products = random_run.random_products(config, params)
  stage = align.build(config, products)
  return dataclasses.replace(stage, init=lambda key: ({n: params[n] for n in ('G', 'H')}, {}))


def networks(config):
  """Shapes of the parameters of every network."""
  model, tree = infer.Model(config), prior.aae_config(config)
  made = {
    'E': (openpose.Encoder(model.teacher.widths), ((1, 224, 224, 3),)),
    'F': (openpose.Decoder(model.teacher.widths), (V, SKIP)),
    'G': (crossmodal.MapEncoder(align.g_config(config)), ((1, 28, 28, 43),)),
    'H': (crossmodal.PoseNet(model.h), (V,)),
    'Phi': (aae.PoseEncoder(tree), ((1, 15, 3),)), 'Psi': (aae.PoseDecoder(tree), ((1, 32),)),
  }
  return {
    name: jax.eval_shape(module.init, jax.random.key(0), *map(jnp.zeros, inputs))['params']
    for name, (module, inputs) in made.items()
  }


def count(tree):
  return sum(leaf.size for leaf in jax.tree.leaves(tree))


def test_it_keeps_the_rules_and_is_the_published_tables(config):
  config_lib.validate(config, METHOD.rules)
  model = infer.Model(config)
  assert align.g_config(config) == crossmodal.G_PAPER
  assert model.h == crossmodal.H_PAPER
  assert model.stride == 16
  tree = prior.aae_config(config)
  assert (tree.part, tree.chain, tree.half, tree.body, tree.decoder_layers) == (32, 64, 128, 512, 2)
  assert (tree.disc_part, tree.disc_body) == (200, 1024)
  assert (model.projection, model.read_mode) == ('weak', 'nearest')


def test_parameter_counts(config):
  found = networks(config)
  counts = {name: count(tree) for name, tree in found.items()}
  assert counts['E'] == 8_358_080 and counts['F'] == 8_642_648
  widths = infer.Model(config).teacher.widths
  heat_branch = layers.parameter_count(openpose.Decoder(widths), V, SKIP, method='heat')
  assert counts['E'] + heat_branch + counts['H'] + counts['Psi'] == 17_058_899


def test_a_parcel_of_the_gpu_preset_fits():
  config = runpy.run_path('configs/unsup.py')['get_config']('gpu')
  shapes = networks(config)
  shapes |= jax.eval_shape(prior._Wiring(config).init, jax.random.key(0))[0]
  made = {'teacher': ('E', 'F'), 'prior': ('Phi', 'Psi', 'Disc'), 'align': ('G', 'H')}
  flat = {
    stage: transfer.networks(METHOD.plan(stage), config, {n: shapes[n] for n in names}, {})
    for stage, names in made.items()
  }
  moved = {path.split('/')[1] for paths in flat.values() for path in paths}
  # What later stages and inference read; G only for a second stage, which the preset lacks.
  assert moved == {'E', 'F', 'Phi', 'Psi', 'H'} and not config.refine.steps
  assert sum(map(transfer.size_of, flat.values())) <= transfer.MOST_TOGETHER
  for paths in flat.values():
    assert max(transfer.size_of({p: x}) for p, x in paths.items()) <= transfer.MOST_BYTES


def test_schedule(config):
  phases = align._phases(config)
  assert [(phase.name, phase.steps) for phase in phases] == [
    ('distil', 15_000), ('align', 435_000), ('refine', 150_000),
  ]
  assert phases[1].losses == ('distl', 'recon', 'adapt')
  assert phases[2].losses == ('ss', 'recon_h')
  for name, loss in align._losses(config).items():
    rates = [float(loss.learning_rate(jnp.int32(step))) for step in (0, 99_999, 100_000, 599_999)]
    np.testing.assert_allclose(rates, [1e-4, 1e-4, 1e-5, 1e-5], rtol=1e-6, err_msg=name)
  assert not config.refine.steps


def test_shapes(config, stage):
  model, state = infer.Model(config), networks(config)
  images = jax.ShapeDtypeStruct((8, 224, 224, 3), jnp.uint8)
  v, skip = jax.eval_shape(model.encode, state, images)
  assert (v.shape, skip.shape) == ((8, 28, 28, 1024), (8, 28, 28, 128))
  maps = jax.eval_shape(
    lambda params, v, skip: teacher.Teacher(model.teacher, params).maps(v, skip), state, v, skip
  )
  assert maps.shape == (8, 28, 28, 44)  # 15 + background + 28
  s = jax.eval_shape(
    lambda h, v: crossmodal.PoseNet(model.h).apply({'params': h}, v), state['H'], v
  )
  fields = [x.shape for x in (s.phi, s.c, s.depth)]
  assert fields == [(8, 14, 14, 1, 32), (8, 14, 14, 1, 6), (8, 14, 14, 1)]  # 39
  scenes = jax.eval_shape(
    stage.sources['scenes'].device, stage.frozen, {}, jax.random.split(jax.random.key(0), 8)
  )
  assert scenes['heat'].shape == (8, 28, 28, 15) and scenes['paf'].shape == (8, 28, 28, 28)
  people = jax.eval_shape(lambda p, i: infer.predict(model, p, i), state, images)
  assert people.joints_camera.shape == (8, 4, 15, 3)


def traced(stage, phase, source):
  """Shapes before and after a step, and its scalars."""
  before = jax.eval_shape(lambda: train_state.create(stage, jax.random.key(0)))
  step = train_state.make_step(stage, phase, source, jax.random.key(0))
  size = stage.sources[source].size
  one = parallel.AXIS
  after, logs = jax.eval_shape(
    lambda state, frozen: jax.vmap(
      lambda indices: step(state, frozen, {}, indices), axis_name=one, out_axes=None
    )(jnp.arange(size)[None]),
    before, stage.frozen,
  )
  return before, after, logs


def test_every_step_keeps_its_state(config, stage):
  assert {source.size for source in stage.sources.values()} == {8}
  # Phases with the same losses of a source are one program.
  programs = {
    (source, train_state.active_losses(stage, phase, source)): phase
    for phase in stage.phases for source in phase.sources
  }
  assert set(programs) == {
    ('images', ('distl',)), ('images', ('ss',)), ('scenes', ('recon', 'adapt')),
    ('scenes', ('recon_h',)),
  }
  for (source, active), phase in programs.items():
    before, after, logs = traced(stage, phase, source)
    same = jax.tree.map(lambda a, b: (a.shape, a.dtype) == (b.shape, b.dtype), before, after)
    assert all(jax.tree.leaves(same))
    assert {name for name in logs if name.startswith('loss/')} == {f'loss/{n}' for n in active}


def test_a_step_of_scenes(config):
  config = config.copy_and_resolve_references().unlock()
  config.align.update({'batch_scenes': 1, 'adapt': False})
  params = students.random_networks(config)
  stage = align.build(config, random_run.random_products(config, params))
  stage = dataclasses.replace(stage, init=lambda key: ({n: params[n] for n in ('G', 'H')}, {}))
  devices, key = parallel.Devices(jax.local_devices()[:1]), jax.random.key(0)
  step = devices.compile(train_state.make_step(stage, stage.phases[1], 'scenes', key))
  after, logs = step(
    devices.replicate(train_state.create(stage, key)), devices.replicate(stage.frozen), {},
    devices.example_indices(1),
  )
  assert after.bad_step == train_state.GOOD and logs['weight/recon'] >= 42
  # Adam's first update is the learning rate wherever there is a gradient.
  for name in ('G', 'H'):
    change = [np.abs(a - b).max() for a, b in zip(
      jax.tree.leaves(after.params[name]), jax.tree.leaves(params[name]), strict=True
    )]
    assert max(change) == pytest.approx(1e-4, rel=0.05)
