"""The prior over 2D poses: stage `flow`, and LInKs' flows of parts, stage `parts`.

  NLL(p), and with `flow.resample` NLL(p) + NLL(p̃), p̃ near p by the flow's own z (LInKs). Part
  flows learn from real poses and from those that the frozen whole flow makes of them.

Inputs are normalised 2D poses without the root, divided by one standard deviation of the training
set where `flow.standardise` [R], and with `flow.pca` its first so many principal components, 26 in
ElePose [C]. The median of the held-out NLL is what to look at: the mean is ruined by outliers.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.methods.base import (
  Context,
  Loss,
  LossValues,
  Networks,
  Phase,
  Product,
  Selection,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.lifting import people, schedule
from posejax.models import flow as flow_lib
from posejax.models import lifter as lifter_lib

JOINTS = people.SKELETON.num_joints
_SEEN = 2048  # held-out poses of a validation
# What is folded into an example's key. `people.rays_of` splits that key, and a split's i-th key is
# the fold of i: small numbers would repeat its draws.
_NOISE, _SAMPLED = 16, 17


def plan() -> StagePlan:
  """The stage of the whole flow."""
  return StagePlan('flow', fields=('flow', 'c', *people.VIEW_FIELDS), reads=('poses',), build=build)


def parts_plan() -> StagePlan:
  """The stage of the parts' flows; `parts.steps` = 0 leaves it out."""
  return StagePlan(
    'parts', fields=('parts', 'flow', 'c', 'lifter.kind', *people.VIEW_FIELDS),
    reads=('poses', 'flow'), build=build_parts,
  )


def shape(config: ml_collections.ConfigDict, dims: int | None = None) -> flow_lib.FlowConfig:
  """The flow of so many dimensions, of the whole pose's where None."""
  dims = dims or config.flow.pca or 2 * (JOINTS - 1)
  return flow_lib.FlowConfig(dims, config.flow.blocks, config.flow.width)


def part_shapes(config: ml_collections.ConfigDict) -> dict[str, tuple[int, ...]]:
  """Joints of each part's flow; {} for a single lifter, or where `parts.steps` is 0."""
  if config.lifter.kind == 'single' or not config.parts.steps:
    return {}
  return lifter_lib.parts(lifter_lib.LifterConfig(people.SKELETON, config.lifter.kind))


def part_flow(config: ml_collections.ConfigDict, rows: tuple[int, ...]) -> flow_lib.FlowConfig:
  """The flow of a part; a part without the root (the torso) has all its joints' dimensions."""
  return shape(config, 2 * (len(rows) - (0 in rows)))


def inputs(
  frozen: Any, poses: jax.Array, rows: tuple[int, ...] | None = None
) -> jax.Array:
  """(B, n) flow inputs of normalised poses (B, J, 2), whole or of chosen joints."""
  x = flow_lib.without_root(poses, rows) / frozen['spread']
  if rows is None and 'components' in frozen:
    x = (x - frozen['middle']) @ frozen['components']
  return x


def scores(config: ml_collections.ConfigDict, params: Any, frozen: Any, poses: jax.Array):
  """(B,) NLL of normalised poses by the whole flow."""
  flow = flow_lib.Flow(shape(config))
  return flow_lib.nll(*flow.apply({'params': params}, inputs(frozen, poses)))


def arrays(config: ml_collections.ConfigDict, products: dict[str, Product]) -> dict[str, Any]:
  """What the steps read: the training poses, s̄, and how flow inputs are made of poses."""
  poses = products['poses'].arrays
  frozen = {name: np.asarray(poses[name]) for name in ('train', 'unit', 'ratios')}
  frozen['spread'] = np.float32(1)
  if not config.flow.standardise and not config.flow.pca:
    return frozen
  keys = jax.random.split(jax.random.key(config.seed), _SEEN)
  drawn = np.asarray(jax.jit(lambda f, k: flow_lib.without_root(people.draw(config, f, k)))(
    frozen, keys
  ))
  if config.flow.standardise:
    frozen['spread'] = drawn.std()
  if config.flow.pca:
    drawn = drawn / frozen['spread']
    frozen['middle'] = drawn.mean(0)
    basis = np.linalg.svd(drawn - frozen['middle'], full_matrices=False)[2]
    frozen['components'] = basis[: config.flow.pca].T
  return frozen


def held_out(config: ml_collections.ConfigDict, products: dict[str, Product]) -> jax.Array:
  """(N, J, 2) normalised 2D poses of the validation set's people."""
  poses = products['poses'].arrays
  frozen = {'train': np.asarray(poses['validation']), 'unit': np.asarray(poses['unit'])}
  keys = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), 7), _SEEN)
  return jax.jit(lambda f, k: people.draw(config, f, k))(frozen, keys)


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of the whole flow on poses projected in the step."""
  settings, flow = config.flow, flow_lib.Flow(shape(config))
  frozen, seen = arrays(config, products), held_out(config, products)

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    return {'flow': flow.init(key, jnp.zeros((1, flow.config.dims)))['params']}, {}

  def device(frozen: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    noise_keys = jax.vmap(lambda key: jax.random.fold_in(key, _NOISE))(keys)
    noise = jax.vmap(lambda key: jax.random.normal(key, (flow.config.dims,)))(noise_keys)
    return {'x': inputs(frozen, people.draw(config, frozen, keys)), 'noise': noise}

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    params, x = context.params['flow'], batch['x']
    count = jnp.asarray(len(x), jnp.float32)
    real = flow_lib.nll(*flow.apply({'params': params}, x))
    total = real.sum()
    if settings.resample:
      near = flow_lib.resample(
        flow.config, jax.lax.stop_gradient(params), x, batch['noise'], settings.spread
      )
      total = total + flow_lib.nll(*flow.apply({'params': params}, near)).sum()
    median = jnp.median(context.collectives.gather(real))
    return LossValues({'flow': (total, count)}, logged={'nll_median': (median, jnp.ones(()))})

  scored = jax.jit(lambda params: jnp.median(scores(config, params, frozen, seen)))
  rate = schedule.rate(settings)
  return Stage(
    init=init, sources={'poses': Source(settings.batch, losses, device)},
    losses={'flow': Loss('poses', ('flow',), schedule.optimizer(settings), rate)},
    phases=(Phase('flow', settings.steps, ('poses',), ('flow',)),), frozen=frozen,
    validate=lambda params, stats, _: {'nll_median': float(scored(params['flow']))},
    selection=Selection('nll_median', larger=False),
  )


def build_parts(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of the parts' flows, on real poses and on the whole flow's."""
  settings = config.parts
  rows = part_shapes(config)
  flows = {name: flow_lib.Flow(part_flow(config, chosen)) for name, chosen in rows.items()}
  frozen = {**arrays(config, products), 'flow': products['flow'].params['flow']}

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    return {
      name: flow.init(jax.random.fold_in(key, i), jnp.zeros((1, flow.config.dims)))['params']
      for i, (name, flow) in enumerate(flows.items())
    }, {}

  def device(frozen: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    poses = people.draw(config, frozen, keys)
    return {'poses': jnp.concatenate([poses, sampled(config, frozen, poses, keys)])}

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    count = jnp.asarray(len(batch['poses']), jnp.float32)
    return LossValues({
      name: (flow_lib.nll(*flow.apply(
        {'params': context.params[name]}, inputs(context.frozen, batch['poses'], rows[name])
      )).sum(), count) for name, flow in flows.items()
    })

  names = tuple(flows)
  return Stage(
    init=init, sources={'poses': Source(settings.batch, losses, device)} if names else {},
    losses={
      name: Loss(
        'poses', (name,), schedule.optimizer(config.flow),
        schedule.rate(config.flow, settings.steps),
      ) for name in names
    },
    phases=(Phase('parts', settings.steps, ('poses',), names),) if names else (), frozen=frozen,
  )


def sampled(
  config: ml_collections.ConfigDict, frozen: Any, poses: jax.Array, keys: jax.Array
) -> jax.Array:
  """LInKs' sampling: (B, J, 2) normalised poses near given ones, without gradient."""
  whole = shape(config)
  noise = jax.vmap(
    lambda key: jax.random.normal(jax.random.fold_in(key, _SAMPLED), (whole.dims,))
  )(keys)
  x = inputs(frozen, poses)
  near = flow_lib.resample(whole, frozen['flow'], x, noise, config.flow.spread)
  if 'components' in frozen:
    # What the components leave out stays as it was.
    near = flow_lib.without_root(poses) / frozen['spread'] + (near - x) @ frozen['components'].T
  return flow_lib.with_root(near * frozen['spread'])
