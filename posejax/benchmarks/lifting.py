"""Rates of the lifting method: lifter, flow, compositions (issue 5, "Speed").

  matrix products   the lifter's products alone, one after the other: what it cannot be faster than
  scenes            two people in, one scene out, without the lifter

With random weights and poses: no rate here depends on what a network says.
"""

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
from posejax.methods.lifting import compose, people
from posejax.models import flow as flow_lib
from posejax.models import lifter as lifter_lib

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
    twin, given = torch_lifting.lifter(params, config.input_scale), np.asarray(poses)
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

