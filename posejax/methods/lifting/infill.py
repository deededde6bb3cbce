"""Gaps and noise in 2D poses: stage `infill`, a network from what is seen to the whole pose.

LInKs fills in occluded joints with networks of their own [C]; this is one for all sets of joints
[R], trained on projected poses with noise and joints left out, in a share of them
(`infill.without_ends`) the head top and both feet, which COCO's key points lack. `infill.steps` = 0
leaves it out: joints that are missing then stay at the root.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.losses import terms
from posejax.methods.base import (
  Context,
  Loss,
  LossValues,
  Networks,
  Phase,
  Product,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.lifting import people, schedule
from posejax.models.lifter import Infill

JOINTS = people.SKELETON.num_joints
# What COCO's key points lack of every person.
_ENDS = np.array([name in ('head_top', 'r_foot', 'l_foot') for name in people.SKELETON.joints])
# A person is about this many pelvis–head lengths tall.
_TALL = 2.4


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    'infill', fields=('infill', 'c', 'lifter.input_scale', *people.VIEW_FIELDS),
    reads=('poses',), build=build,
  )


def network(config: ml_collections.ConfigDict) -> Infill:
  """The network."""
  return Infill(JOINTS, config.infill.width, input_scale=config.lifter.input_scale)


def complete(
  config: ml_collections.ConfigDict, params: Any, poses: jax.Array, seen: jax.Array
) -> jax.Array:
  """Whole normalised poses (B, J, 2) of what is seen; as they are where nothing was trained."""
  if params is None:
    return jnp.where(seen[..., None], poses, 0)
  return network(config).apply({'params': params}, poses, seen)


def spoil(
  key: jax.Array, pose: jax.Array, noise: jax.Array, missing: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Noise on every joint (and so on what is subtracted as the root), and joints left out.

  Args:
    key: random key.
    pose: (J, 2).
    noise: () standard deviation, in the pose's unit.
    missing: () share of joints left out; the root never is.

  Returns:
    (J, 2) about the noisy root, and (J,) bool seen.
  """
  noise_key, key = jax.random.split(key)
  moved = pose + noise * jax.random.normal(noise_key, pose.shape)
  seen = (jax.random.uniform(key, pose.shape[:1]) >= missing).at[0].set(True)
  return moved - moved[:1], seen


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training on poses projected, spoilt in the step."""
  settings, net = config.infill, network(config)
  poses = products['poses'].arrays

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    example = jnp.zeros((1, JOINTS, 2))
    return {'infill': net.init(key, example, jnp.ones((1, JOINTS), bool))['params']}, {}

  def device(frozen: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    whole = people.draw(config, frozen, keys)

    def one(key: jax.Array, pose: jax.Array):
      spoil_key, key = jax.random.split(jax.random.fold_in(key, 3))
      u = jax.random.uniform(key, (3,))
      noise = settings.noise * _TALL / config.c * u[0]
      moved, seen = spoil(spoil_key, pose, noise, settings.missing * u[1])
      return moved, seen & ~(jnp.asarray(_ENDS) & (u[2] < settings.without_ends))

    given, seen = jax.vmap(one)(keys, whole)
    return {'whole': whole, 'given': given, 'seen': seen}

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    found = net.apply({'params': context.params['infill']}, batch['given'], batch['seen'])
    scale = config.lifter.input_scale
    return LossValues({'infill': tuple(terms.weigh(
      'infill', terms.absolute(scale * (found - batch['whole'])), None
    ))})

  return Stage(
    init=init, sources={'poses': Source(settings.batch, losses, device)},
    losses={
      'infill': Loss('poses', ('infill',), schedule.optimizer(settings), schedule.rate(settings))
    },
    phases=(Phase('infill', settings.steps, ('poses',), ('infill',)),),
    frozen={name: np.asarray(poses[name]) for name in ('train', 'unit')},
  )
