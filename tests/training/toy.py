"""A method small enough to compute by hand: two linear networks, two losses, two kinds of batches.

`python tests/training/toy.py WORKDIR [STEPS]` trains it: the tests kill this process.
"""

import pathlib
import sys

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from posejax.methods.base import (
  Interval,
  Loss,
  LossValues,
  Method,
  Phase,
  Product,
  Selection,
  Source,
  Stage,
  StagePlan,
)
from posejax.training import stages
from posejax.training.parallel import Devices

REPORT_STEPS = __name__ == '__main__'  # how the tests know when to kill this process


def config(steps: int = 12, seed: int = 0, save_every: int = 4) -> ml_collections.ConfigDict:
  return ml_collections.ConfigDict({
    'seed': seed, 'log_every': 2, 'save_every': save_every, 'steps': steps,
    'rate': {'a': 0.1, 'b': 0.01}, 'batch': 8,
  })


RULES = {
  'seed': Interval(0, 2**31 - 1, whole=True), 'log_every': Interval(1, 1e6, whole=True),
  'save_every': Interval(1, 1e6, whole=True), 'steps': Interval(1, 1e9, whole=True),
  'rate.a': Interval(0, 1), 'rate.b': Interval(0, 1), 'batch': Interval(1, 4096, whole=True),
}


def losses(context, batch):
  a, b = context.params['A']['w'], context.params['B']['w']
  error_a = (batch['x'] @ a - batch['y']) ** 2
  error_b = jnp.abs(batch['x'] @ a + b - batch['y'])
  mask = batch['mask']
  return LossValues(
    terms={'a': ((error_a * mask).sum(), mask.sum()), 'b': ((error_b * mask).sum(), mask.sum())},
    logged={'mean_x': (batch['x'].sum(), jnp.asarray(batch['x'].size, jnp.float32))},
  )


def draw(frozen, host, keys):
  x = jax.vmap(lambda key: jax.random.normal(key, (3,)))(keys)
  mask = jax.vmap(lambda key: jax.random.uniform(jax.random.fold_in(key, 1)) > 0.3)(keys)
  scale = host.get('scale', jnp.ones(len(keys))) if host else jnp.ones(len(keys))
  return {'x': x * scale[:, None], 'y': x @ frozen['truth'], 'mask': mask.astype(jnp.float32)}


def build(cfg, products) -> Stage:
  def host(step):
    if REPORT_STEPS:
      print('step', step, flush=True)
    return {'scale': (1 + 0.01 * step + 0.1 * np.arange(cfg.batch)).astype(np.float32)}

  return Stage(
    init=lambda key: (
      {'A': {'w': jax.random.normal(key, (3,))}, 'B': {'w': jnp.zeros(())}}, {}
    ),
    sources={
      'scenes': Source(cfg.batch, losses, draw),
      'images': Source(cfg.batch, losses, draw, host),
    },
    losses={
      'a': Loss('scenes', ('A',), optax.scale_by_adam(), lambda step: cfg.rate.a),
      'b': Loss('images', ('A', 'B'), optax.scale_by_adam(), lambda step: cfg.rate.b / (1 + step)),
    },
    phases=(
      Phase('first', cfg.steps // 2, ('scenes',), ('a',)),
      Phase('second', cfg.steps - cfg.steps // 2, ('scenes', 'images'), ('a', 'b')),
    ),
    frozen={'truth': jnp.asarray(products['truth'].arrays['truth'])},
    validate=lambda params, stats, frozen: {
      'distance': float(jnp.abs(params['A']['w'] - frozen['truth']).max())
    },
    selection=Selection('distance', larger=False),
  )


def make_truth(cfg, products):
  return Product(arrays={'truth': np.array([1.0, -2.0, 0.5], np.float32)})


METHOD = Method(
  'toy',
  stages=(
    StagePlan('truth', fields=('seed',), make=make_truth),
    StagePlan('fit', fields=('steps', 'rate', 'batch'), reads=('truth',), build=build),
  ),
  rules=RULES,
)


if __name__ == '__main__':
  stages.run(
    METHOD, config(int(sys.argv[2])), pathlib.Path(sys.argv[1]),
    devices=Devices(jax.local_devices()[:1]),
  )
  print('finished')
