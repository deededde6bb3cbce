"""Where the prior's single poses come from, and D_syn's: `prior.source`.

  artificial  uniform over the joint limits [P]
  motion      captured poses: of the BVH files of `mocap.dir`, or, where that is '', single frames
              of the motion families that stand in for them [R]; never of the test set's families
  mixed       `mocap.share` of captured poses among artificial ones

Poses are local ones of J17 in robust frames, (n, 17, 3); J15 is their beginning.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from posejax.data import captured_poses
from posejax.geometry import limits
from posejax.geometry.skeleton import J17
from posejax.synth import motions
from posejax.synth.motion_families import TRAIN_FAMILIES
from posejax.synth.poses import sample_local_poses

SOURCES = ('artificial', 'motion', 'mixed')
Sampler = Callable[[jax.Array, int], jax.Array]

MOST_CAPTURED = 50_000  # poses kept of a BVH folder


def arrays(config: ml_collections.ConfigDict) -> dict[str, Any]:
  """What `sampler` reads, for `Stage.frozen`: {} but for poses of BVH files.

  Returns:
    {} or {'captured': (N, 17, 3), 'held_out': (N', 17, 3)}.

  Raises:
    captured_poses.CapturedPosesError: the folder cannot be used.
  """
  if config.prior.source == 'artificial' or not config.mocap.dir:
    return {}
  read = captured_poses.read_folder(config.mocap.dir, MOST_CAPTURED, config.mocap.part)
  return {'captured': read.train, 'held_out': read.held_out}


def sampler(
  config: ml_collections.ConfigDict, frozen: Mapping[str, Any],
  table: limits.JointLimits = limits.PAPER, held_out: bool = False,
) -> Sampler:
  """The poses of the config's source.

  Args:
    config: of the method.
    frozen: holds what `arrays` gave.
    table: limits of the artificial poses.
    held_out: take captured poses from those that no training reads.

  Returns:
    (key, n) → (n, 17, 3), a function of the key alone.
  """
  settings = config.prior

  def artificial(key: jax.Array, count: int) -> jax.Array:
    return sample_local_poses(key, count, limits=table, skeleton=J17)

  def captured(key: jax.Array, count: int) -> jax.Array:
    if not config.mocap.dir:
      return moving(key, count)
    poses = jnp.asarray(frozen['held_out' if held_out else 'captured'])
    return poses[jax.random.randint(key, (count,), 0, len(poses))]

  def mixed(key: jax.Array, count: int) -> jax.Array:
    pick, *keys = jax.random.split(key, 3)
    chosen = jax.random.uniform(pick, (count, 1, 1)) < config.mocap.share
    return jnp.where(chosen, captured(keys[0], count), artificial(keys[1], count))

  return {'artificial': artificial, 'motion': captured, 'mixed': mixed}[settings.source]


def moving(key: jax.Array, count: int) -> jax.Array:
  """(n, 17, 3): one frame each of `count` motions of the families that training may draw."""

  def one(key: jax.Array) -> jax.Array:
    return motions.sample_motion(key, 1, families=TRAIN_FAMILIES).local[0]

  return jax.vmap(one)(jax.random.split(key, count))
