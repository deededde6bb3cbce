"""A training step of the lifter: what is computed from a batch of 2D poses, and its losses.

  spec/lifting.md, "Lifter training step"        here
  1 lift, X root-centred                         lifting.lift
  2 R = Rx(x_ang) Ry(y_ang) Rx(θ)                `turned`; x_ang = −mean θ + sd θ · N(0, 1)
  3 Y = R X, q = xy / z                          lifting.reproject
  4 NLL, L_3D, L_2D, L_def, L_bone               `terms_of`, posejax/losses/lifting.py

Compositions (LInKs' left and right) are rows of one batch: all losses are on each. Sampled poses
(LInKs) are a second half of the batch: L_def's pairs stay within a half.

Symbols: b poses of a device, K compositions, J joints; lengths in pelvis–head lengths.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from posejax.geometry import lifting
from posejax.losses import lifting as losses
from posejax.losses.terms import mean
from posejax.methods.base import Collectives
from posejax.methods.lifting import people, prior
from posejax.models import flow as flow_lib
from posejax.models import lifter as lifter_lib

TERMS = ('nll', 'relift_3d', 'relift_2d', 'deform', 'bone', 'elevation', 'parts')


def shape(config: ml_collections.ConfigDict) -> lifter_lib.LifterConfig:
  """The lifter."""
  settings = config.lifter
  return lifter_lib.LifterConfig(
    people.SKELETON, settings.kind, settings.width, settings.blocks, settings.input_scale
  )


class Batch(NamedTuple):
  """A batch of a device: poses (b, J, 2) normalised, azimuth (b,) rad, normal (b,) ~ N(0, 1)."""

  poses: jax.Array
  azimuth: jax.Array
  normal: jax.Array


class Turned(NamedTuple):
  """A lifted batch and its view from the new camera, rows K b, composition by composition.

  Attributes:
    poses: (K b, J, 2) what was lifted.
    lifted: X (K b, J, 3).
    seen: q (K b, J, 2).
    moved: Y (K b, J, 3).
    again: Y′ (K b, J, 3).
    back: X′ (K b, J, 3).
    theta: (b,) rad.
    theta_again: (K b,) rad, of q.
    x_angle: (K b,) rad.
  """

  poses: jax.Array
  lifted: jax.Array
  seen: jax.Array
  moved: jax.Array
  again: jax.Array
  back: jax.Array
  theta: jax.Array
  theta_again: jax.Array
  x_angle: jax.Array


def statistics(
  theta: jax.Array, floor: float, collectives: Collectives
) -> tuple[jax.Array, jax.Array]:
  """Mean and standard deviation (ddof 1) of θ over the global batch, with gradients.

  Args:
    theta: (b,) rad, of this device.
    floor: rad, least standard deviation.
    collectives: over devices.
  """
  ones = jnp.ones_like(theta)
  count = collectives.sum(ones.sum())
  middle = collectives.sum(theta.sum()) / count
  variance = collectives.sum(((theta - middle) ** 2).sum()) / jnp.maximum(count - 1, 1)
  # √ has an infinite slope at 0: the floor is below it.
  least = jnp.maximum(floor, 1e-4) ** 2
  return middle, jnp.sqrt(jnp.maximum(variance, least))


def turned(
  config: ml_collections.ConfigDict, params: Any, batch: Batch, collectives: Collectives
) -> Turned:
  """Steps 1 to 3, and the re-lift."""
  lifter, c = lifter_lib.Lifter(shape(config)), config.c
  depth, theta = lifter.apply({'params': params}, batch.poses)
  compositions = depth.shape[1]

  def repeat(x: jax.Array) -> jax.Array:
    return jnp.tile(x, (compositions,) + (1,) * (x.ndim - 1))

  poses = repeat(batch.poses)
  X = lifting.lift(poses, jnp.concatenate(jnp.unstack(depth, axis=1)), c)
  middle, spread = statistics(theta, config.lifter.std_floor, collectives)
  x_angle = repeat(-middle + spread * batch.normal)
  R = lifting.turn_x(x_angle) @ lifting.turn_y(repeat(batch.azimuth)) @ lifting.turn_x(
    repeat(theta)
  )
  Y = lifting.turn(R, X)
  q = lifting.reproject(Y, c)
  depth_again, theta_again = lifter.apply({'params': params}, q)
  own = jnp.repeat(jnp.arange(compositions), len(batch.poses))
  chosen = jnp.take_along_axis(depth_again, own[:, None, None], 1)[:, 0]
  again = lifting.lift(q, chosen, c)
  return Turned(
    poses, X, q, Y, again, lifting.turn_back(R, again), theta, theta_again, x_angle
  )


def terms_of(
  config: ml_collections.ConfigDict, found: Turned, frozen: Any
) -> dict[str, jax.Array]:
  """Each loss as a mean over this device's poses, weights left out; see `TERMS`."""
  halves = 2 if config.lifter.resample else 1
  flow = flow_lib.Flow(prior.shape(config))
  nll = flow_lib.nll(*flow.apply({'params': frozen['flow']}, prior.inputs(frozen, found.seen)))
  groups = len(found.poses) // (len(found.theta) // halves)
  pairs = [
    mean(losses.pair_deformation(x, y)) for x, y in zip(
      jnp.split(found.lifted, groups), jnp.split(found.back, groups), strict=True
    )
  ]
  values = {
    'nll': nll.mean(),
    'relift_3d': mean(losses.pose_distance(found.again, found.moved)),
    'relift_2d': mean(losses.plane_distance(lifting.reproject(found.back, config.c), found.poses)),
    'deform': sum(pairs) / groups,
    'bone': mean(losses.bone_ratio(found.lifted, frozen['ratios'], people.SKELETON.limbs)),
    'elevation': mean(losses.elevation_agreement(found.theta_again, found.x_angle)),
  }
  for name, rows in prior.part_shapes(config).items():
    part = flow_lib.Flow(prior.part_flow(config, rows))
    z = part.apply({'params': frozen['parts'][name]}, prior.inputs(frozen, found.seen, rows))
    values['parts'] = values.get('parts', 0) + flow_lib.nll(*z).mean()
  return values


def total(config: ml_collections.ConfigDict, values: dict[str, jax.Array]) -> jax.Array:
  """The weighted sum; a weight of 0 switches a loss off."""
  weights = config.lifter.weights
  return sum(weights[name] * value for name, value in values.items() if weights[name])
