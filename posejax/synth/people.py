"""Persons before they are placed: bones, poses or motions, rotation, height over the floor.

Symbols: T frames, P persons, J = 17 joints (J17). World frame z up, floor at z = 0, mm. A person's
joints are joints_world = rotation p_c + path + place, with one place for a whole clip.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import kinematics, rotation
from posejax.geometry import skeleton as skeleton_lib
from posejax.synth import motion_ground, motions
from posejax.synth.placement import product, turn
from posejax.synth.scene_config import SceneConfig, between

_J17 = skeleton_lib.J17
_ROLES = [name.removeprefix('r_').removeprefix('l_') for name in _J17.joints]
# Left and right bones share a factor: otherwise the neck were not the middle of the shoulders.
_BONES = tuple(dict.fromkeys(_ROLES))
_ANGLES = 3


class People(NamedTuple):
  """Persons before they are placed.

  Attributes:
    bone_lengths: (P, J) mm.
    local: (T, P, J, 3).
    canonical: (T, P, J, 3) mm.
    rotation: (T, P, 3, 3) world from canonical.
    path: (T, P, 3) mm, the pelvis relative to the person's place; its bounding box has its middle
      at 0 (in a room at height 0 over the place).
    heights: (P,) mm, of the place over a room's floor.
    usable: (P,) bool, False for a given pose that is not finite (then it stands as zeros).
  """

  bone_lengths: jax.Array
  local: jax.Array
  canonical: jax.Array
  rotation: jax.Array
  path: jax.Array
  heights: jax.Array
  usable: jax.Array


def num_person_draws(config: SceneConfig) -> int:
  """Random numbers that one person takes, without pose and place."""
  return _ANGLES + (1 + len(_BONES)) * config.bodies_vary


def posed(local: jax.Array, draws: jax.Array, config: SceneConfig) -> People:
  """People who hold a pose, for one frame.

  Args:
    local: (P, J, 3) local poses, robust frames.
    draws: (P, `num_person_draws(config)`) uniform in [0, 1).
    config: what to draw from.
  """
  usable = jnp.all(jnp.isfinite(local), (1, 2))
  local = jnp.where(usable[:, None, None], local, 0)
  lengths = _bone_lengths(draws, config)
  canonical = jax.vmap(kinematics.forward_kinematics)(local, lengths)
  yaw, lean = _rotations(draws, config)
  turned = product(yaw, lean)
  heights = _standing_heights(canonical, turned, config)
  path = jnp.zeros((1, config.max_people, 3), draws.dtype)
  return People(lengths, local[None], canonical[None], turned[None], path, heights, usable)


def moving(
  key: jax.Array, draws: jax.Array, config: SceneConfig, num_frames: int, fps: float
) -> People:
  """People who move, each by a motion of their own.

  Args:
    key: random key of the motions.
    draws: (P, `num_person_draws(config)`) uniform in [0, 1).
    config: what to draw from.
    num_frames: T.
    fps: frames per second.
  """
  lengths = _bone_lengths(draws, config)
  motion = jax.vmap(
    lambda key, lengths: motions.sample_motion(
      key, num_frames, fps, families=config.families, limits=config.limits, bone_lengths=lengths
    )
  )(jax.random.split(key, config.max_people), lengths)
  local, canonical, way, own = (
    jnp.swapaxes(array, 0, 1)
    for array in (motion.local, motion.canonical, motion.root_position, motion.root_rotation)
  )
  yaw, _ = _rotations(draws, config)
  turned = product(yaw, own)
  path = turn(way, yaw)
  # In a room a motion's own height over the floor stays.
  centred = np.array([1, 1, config.placement == 'frustum'])
  path = path - centred * (jnp.min(path, 0) + jnp.max(path, 0)) / 2
  heights = jnp.zeros(config.max_people, path.dtype)
  usable = jnp.ones(config.max_people, bool)
  return People(lengths, local, canonical, turned, path, heights, usable)


def _bone_lengths(draws: jax.Array, config: SceneConfig) -> jax.Array:
  """(P, J) mm."""
  standard = jnp.asarray(kinematics.bone_lengths(), draws.dtype)
  if not config.bodies_vary:
    return jnp.broadcast_to(standard, (config.max_people, _J17.num_joints))
  scale = between(draws[:, _ANGLES : _ANGLES + 1], config.body_scale)
  factors = 1 + config.bone_variation * (2 * draws[:, _ANGLES + 1 :] - 1)
  return standard * scale * factors[:, np.array([_BONES.index(role) for role in _ROLES])]


def _rotations(draws: jax.Array, config: SceneConfig) -> tuple[jax.Array, jax.Array]:
  """(P, 3, 3) yaw, and (P, 3, 3) leans in the turned body's axes."""
  limits = (config.yaw_deg, config.side_lean_deg, config.forward_lean_deg)
  angles = [between(draws[:, i], limit) for i, limit in enumerate(limits)]
  angles = jnp.deg2rad(jnp.stack(angles, -1))
  matrix = jax.vmap(rotation.euler_to_matrix)
  return matrix(angles * np.array([1, 0, 0])), matrix(angles * np.array([0, 1, 1]))


def _standing_heights(
  canonical: jax.Array, turned: jax.Array, config: SceneConfig
) -> jax.Array:
  """(P,) mm, of the place over the floor so that the lowest flesh touches it."""
  if config.placement == 'frustum':
    return jnp.zeros(config.max_people, canonical.dtype)
  low = turn(motion_ground.contact_points(canonical), turned[:, None])[..., 2]
  return jnp.max(jnp.asarray(motion_ground.clearances(), low.dtype) - low, -1)
