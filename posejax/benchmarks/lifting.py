"""Rates of the lifting method: lifter, flow, compositions, training (issue 5, "Speed").

  matrix products   the lifter's products alone, one after the other: what it cannot be faster than
  scenes            two people in, one scene out, without the lifter
  training          a whole step of one lifter, but for the draw of its 2D poses

With random weights and poses: no rate here depends on what a network says.
"""

import dataclasses
import functools
import pathlib
import runpy
from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

import posejax
from posejax.benchmarks import harness, torch_lifting
from posejax.methods.base import Product, Stage
from posejax.methods.lifting import compose, lift, people, prior, schedule, step
from posejax.models import flow as flow_lib
from posejax.models import lifter as lifter_lib
from posejax.synth import pose_views
from posejax.training import train_state
from posejax.training.parallel import Devices

_CONFIGS = pathlib.Path(posejax.__file__).parents[1] / 'configs' / 'lifting.py'
_JOINTS = people.SKELETON.num_joints
_UNIT = 0.13


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  seconds, batch = (0.02, 8) if quick else (2.0, 1024)
  for width in (8,) if quick else (256, 1024):
    yield lifter_row(width, batch, seconds)
    yield from flow_rows(width, batch, seconds)
  for row in ('published', 'both'):
    yield scene_row(row, 16 if quick else 8192, seconds)
  # The CPU recipe, and the published width and batch.
  for width, batch in ((8, 8),) if quick else ((256, 64), (1024, 256)):
    yield training_row(training_config(width, batch), seconds)


def _config() -> ml_collections.ConfigDict:
  return runpy.run_path(str(_CONFIGS))['get_config']('')


def _poses(batch: int) -> jax.Array:
  poses = 0.05 * np.random.default_rng(0).normal(size=(batch, _JOINTS, 2))
  poses[:, 0] = 0
  return jnp.asarray(poses, jnp.float32)


def _compiled(function, *args):
  program = jax.jit(function).lower(*args).compile()
  jax.block_until_ready(program(*args))
  return lambda: program(*args)


def lifter_row(width: int, batch: int, seconds: float) -> harness.Row:
  """The lifter beside its matrix products, and beside PyTorch's."""
  config = lifter_lib.LifterConfig(people.SKELETON, width=width, input_scale=20.0)
  module, poses = lifter_lib.Lifter(config), _poses(batch)
  params = module.init(jax.random.key(0), poses[:1])['params']
  sides = {
    'ours': _compiled(lambda p, x: module.apply({'params': p}, x), params, poses),
    'matrix': _compiled(functools.partial(products, config), params, poses),
  }
  if torch_lifting.available():
    twin, given = torch_lifting.lifter(params, config.input_scale), np.array(poses)
    ours = module.apply({'params': params}, poses)
    harness.require_equal(
      (ours.depth[:, 0, 1:], ours.theta), (twin(given)[0][:, 1:], twin(given)[1]), atol=1e-4
    )
    sides['torch'] = lambda: twin(given)
  times = harness.measure(sides, seconds=seconds)
  ratio = times['ours'] / times['matrix']
  return harness.Row(
    f'lifter, width {width}, batch {batch}', 'poses', batch / times['ours'],
    torch=batch / times['torch'] if 'torch' in times else None,
    target='≤ 1.15× its matrix products, ≥ PyTorch',
    reached=ratio <= 1.15 and times['ours'] <= times.get('torch', np.inf),
    note=f'{ratio:.2f}× the time of its matrix products alone; PyTorch ' + (
      torch_lifting.version() if 'torch' in times else 'is not installed (extra `bench`)'
    ),
  )


def products(config: lifter_lib.LifterConfig, params: Any, poses: jax.Array) -> list[jax.Array]:
  """The lifter's matrix products, in its order, and nothing else."""
  tree = params['networks_whole']

  def block(x: jax.Array, name: str) -> jax.Array:
    for dense in ('TorchDense_0', 'TorchDense_1'):
      x = x @ tree[name][dense]['kernel']
    return x

  x = block(poses.reshape(len(poses), -1) @ tree['TorchDense_0']['kernel'], 'Block_0')
  found = []
  for head, out in enumerate(('depth_out', 'elevation_out')):
    y = x
    for i in range(config.blocks):
      y = block(y, f'Block_{1 + head * config.blocks + i}')
    found.append(y @ tree[out]['kernel'])
  return found


def flow_rows(width: int, batch: int, seconds: float) -> Iterator[harness.Row]:
  """The flow both ways, and how well they agree."""
  config = flow_lib.FlowConfig(2 * (_JOINTS - 1), width=width)
  flow = flow_lib.Flow(config)
  x = jnp.asarray(np.random.default_rng(1).normal(size=(batch, config.dims)), jnp.float32)
  params = flow.init(jax.random.key(0), x[:1])['params']
  z, _ = flow.apply({'params': params}, x)
  back = functools.partial(flow.apply, method='inverse')
  sides = {
    'forward': _compiled(lambda p, y: flow.apply({'params': p}, y), params, x),
    'inverse': _compiled(lambda p, y: back({'params': p}, y), params, z),
  }
  error = float(jnp.abs(back({'params': params}, z) - x).max())
  times = harness.measure(sides, seconds=seconds)
  for name, time in times.items():
    yield harness.Row(
      f'flow, {name}, width {width}, batch {batch}', 'poses', batch / time,
      target='inverse of forward within 1e-4', reached=error < 1e-4,
      note=f'largest difference {error:.1e}',
    )


def scene_row(row: str, batch: int, seconds: float) -> harness.Row:
  """A composition of two people."""
  config = _config()
  poses = _poses(2 * batch).reshape(batch, 2, _JOINTS, 2)
  rng = np.random.default_rng(2)
  given = compose.Given(
    poses, poses * config.c * _UNIT, jnp.asarray(rng.normal(size=(batch, 2, 2)) * 0.1, jnp.float32),
    jnp.asarray(rng.normal(size=(batch, 2, _JOINTS)) * 0.3, jnp.float32),
    jnp.asarray(rng.normal(size=(batch, 2)) * 0.1 - 0.1, jnp.float32),
  )
  run = _compiled(
    jax.vmap(lambda one: compose.compose(config, _UNIT, row, one)), given
  )
  time = harness.measure({'ours': run}, seconds=seconds)['ours']
  return harness.Row(
    f'scenes, {row}, batch {batch}', 'scenes', batch / time, target='≥ 500,000 scenes/s',
    reached=batch / time >= 500_000,
  )


def training_config(width: int, batch: int) -> ml_collections.ConfigDict:
  """The default config with one lifter, and flow and lifter of another width."""
  config = _config().unlock()
  config.flow.update({'width': width, 'standardise': False})  # nothing drawn, nothing to measure
  config.lifter.update({'count': 1, 'width': width, 'batch': batch})
  return config


def training_stage(config: ml_collections.ConfigDict) -> Stage:
  """The stage `lifter` over random products; batches come from the host instead of a draw."""
  flow = flow_lib.Flow(prior.shape(config))
  params = flow.init(jax.random.key(1), jnp.zeros((1, flow.config.dims)))['params']
  nobody = np.zeros((1, 1, _JOINTS, 2), np.float32)  # validation is no part of a step
  stage = lift.build(config, {
    'poses': Product(arrays={
      'train': np.zeros((1, _JOINTS, 3), np.float32), 'unit': np.float32(_UNIT),
      'ratios': np.ones(people.SKELETON.num_limbs, np.float32),
    }),
    'flow': Product({'flow': params}), 'parts': Product(),
    'validation': Product(arrays={f'single_{x}': nobody for x in pose_views.Views._fields}),
  })
  given = dataclasses.replace(
    stage.sources['poses'], device=lambda frozen, host, keys: step.Batch(**host)
  )
  return dataclasses.replace(stage, sources={'poses': given})


def training_batch(batch: int) -> dict[str, np.ndarray]:
  """What a step draws: `step.Batch` by its fields."""
  rng = np.random.default_rng(3)
  return {
    'poses': np.array(_poses(batch)),
    'azimuth': rng.uniform(-np.pi, np.pi, batch).astype(np.float32),
    'normal': rng.normal(size=batch).astype(np.float32),
  }


class Training:
  """Ours: the trainer's compiled step on one device, and the state that it goes on from."""

  def __init__(self, stage: Stage):
    self._devices, key = Devices(jax.local_devices()[:1]), jax.random.key(0)
    self._size = stage.sources['poses'].size
    self._program = self._devices.compile(
      train_state.make_step(stage, stage.phases[0], 'poses', key)
    )
    self.state = self._devices.replicate(train_state.create(stage, key))
    self._frozen = self._devices.replicate(stage.frozen)

  def __call__(self, batch: dict[str, np.ndarray]) -> dict[str, jax.Array]:
    """One step; what it logs."""
    self.state, logs = self._program(
      self.state, self._frozen, self._devices.split(batch, self._size),
      self._devices.example_indices(self._size),
    )
    return jax.block_until_ready(logs)


def torch_training(
  config: ml_collections.ConfigDict, stage: Stage, params: Any
) -> torch_lifting.Training:
  """PyTorch's side, from the same weights."""
  rates = jax.vmap(schedule.rate(config.lifter))(jnp.arange(config.lifter.steps))
  return torch_lifting.Training(
    config, params, stage.frozen, prior.shape(config), np.asarray(rates)
  )


def training_row(config: ml_collections.ConfigDict, seconds: float) -> harness.Row:
  """A whole training step beside PyTorch's, once the losses of both agree."""
  stage, batch = training_stage(config), training_batch(config.lifter.batch)
  ours = Training(stage)
  sides = {'ours': lambda: ours(batch)}
  if torch_lifting.available():
    twin = torch_training(config, stage, ours.state.params['lifter_0'])
    harness.require_equal(
      [ours(batch)['loss/lifters'] for _ in range(2)], [twin(**batch)[0] for _ in range(2)],
      atol=0, rtol=1e-4,
    )
    sides['torch'] = lambda: twin(**batch)
  else:
    ours(batch)
  times, size = harness.measure(sides, seconds=seconds), config.lifter.batch
  there = 'torch' in times
  return harness.Row(
    f'training step, one lifter, width {config.lifter.width}, batch {size}', 'poses',
    size / times['ours'], torch=size / times['torch'] if there else None,
    target='≥ PyTorch' if there else '',
    reached=times['ours'] <= times['torch'] if there else None,
    note='lift, turn, reproject, flow of the same width, re-lift, losses, backward, clip, Adam '
    'with L2; the random draw of poses is left out of both; PyTorch ' + (
      f'{torch_lifting.version()}, eager, with fused Adam' if there
      else 'is not installed (extra `bench`)'
    ),
  )
