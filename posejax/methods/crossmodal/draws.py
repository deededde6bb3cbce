"""The batches of alignment: pictures of D_I with their people, scenes of D_syn with their truth.

Everything is drawn on the device, in the step. `arrays` is what the draws read.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.geometry import kinematics
from posejax.methods.base import Product
from posejax.methods.crossmodal import lift, pose_sources, world
from posejax.synth.scenes import sample_scene

SKELETON = lift.SKELETON


def arrays(config: ml_collections.ConfigDict, products: dict[str, Product]) -> dict[str, Any]:
  """What the steps read: teacher, Φ, Ψ, pictures, what the teacher saw, and the labels."""
  observed, pictures = products['observed'].arrays, products['images_b'].arrays
  return {
    'E': products['teacher'].params['E'], 'F': products['teacher'].params['F'],
    'Psi': products['prior'].params['Psi'], 'Phi': products['prior'].params['Phi'],
    'poses': pose_sources.arrays(config),
    'images': pictures['images'],
    'observed': {
      key: observed[key] for key in ('joints', 'seen', 'roots', 'rooted', 'latents')
      if key in observed
    },
    'truth': _labels(config, pictures, observed['rooted'].shape),
  }


def _labels(
  config: ml_collections.ConfigDict, pictures: dict[str, np.ndarray], shape: tuple[int, int]
) -> dict[str, np.ndarray]:
  """2D and 3D labels of all pictures, (N, P, ...); photographs have none: nobody counts."""
  if 'truth_valid' not in pictures:
    joints = (*shape, SKELETON.num_joints)
    return {
      'joints': np.zeros((*joints, 2), np.float32), 'camera': np.zeros((*joints, 3), np.float32),
      'seen': np.zeros(joints, bool), 'rooted': np.zeros(shape, bool),
    }
  valid = pictures['truth_valid']
  return {
    'joints': pictures['truth_joints'].astype(np.float32),
    'camera': pictures['truth_camera'].astype(np.float32),
    'seen': pictures['truth_in_frame'] & valid[..., None],
    'rooted': valid & pictures['truth_in_frame'][:, :, 0],
  } | (codes(pictures['truth_camera']) if config.align.label_3d else {})


def codes(camera: np.ndarray) -> dict[str, np.ndarray]:
  """Of poses (N, P, 15, 3) mm: local (N, P, 15, 3), which Φ reads; c (N, P, 6), their rotations."""

  def one(pose: jax.Array) -> tuple[jax.Array, jax.Array]:
    canonical, turn = kinematics.canonicalize(pose, SKELETON)
    return (
      kinematics.local_from_canonical(canonical, SKELETON),
      kinematics.sincos_from_pose_rotation(turn),
    )

  local, c = jax.jit(jax.vmap(jax.vmap(one)))(jnp.asarray(camera, jnp.float32))
  return {'local': np.asarray(local), 'c': np.asarray(c)}


def picture(config: ml_collections.ConfigDict, frozen: Any, key: jax.Array) -> dict[str, Any]:
  """A picture: image (S, S, 3) in 0..255, observed, truth, labelled ()."""
  count = len(frozen['images'])
  index = jax.random.randint(key, (), 0, count)
  chosen = jax.tree.map(lambda x: x[index], (frozen['observed'], frozen['truth']))
  return {
    'image': frozen['images'][index].astype(jnp.float32),
    'observed': chosen[0], 'truth': chosen[1],
    # Labels for the first share of the pictures alone: the semi-supervised switch.
    'labelled': index < config.align.label_share * count,
  }


def scenes(
  config: ml_collections.ConfigDict, frozen: Any
) -> Callable[[jax.Array], dict[str, jax.Array]]:
  """D_syn: scenes of the prior's poses, made here and never seen again.

  Returns:
    key → one scene: joints (P, J, 2) px, drawn (P, J) bool inside the image, camera (P, J, 3) mm,
    valid (P,), roots (P, 2) px, local (P, J, 3) and c (P, 6) behind the poses.
  """
  joints, settings = SKELETON.num_joints, world.syn_scenes(config)
  captured = config.prior.source != 'artificial'
  poses = pose_sources.sampler(config, frozen['poses'], settings.limits)

  def one(key: jax.Array) -> dict[str, jax.Array]:
    pose_key, key = jax.random.split(key)
    # The scene draws artificial poses itself, among all else in one block of random bits.
    local = poses(pose_key, settings.max_people) if captured else None
    scene = sample_scene(key, settings, local)
    valid = scene.visible[0]
    return {
      'joints': scene.joints_image[0, :, :joints],
      'drawn': valid[:, None] & scene.in_frame[0, :, :joints],
      'camera': scene.joints_camera[0, :, :joints], 'valid': valid,
      'roots': jnp.where(valid[:, None], scene.root_px[0], 0.0),
      'local': scene.local[:, :joints], 'c': scene.sincos[0],
    }

  return one


def true_roots(truth: dict[str, jax.Array]) -> jax.Array:
  """(B, P, 2) px true roots; the origin where there is none."""
  return jnp.where(truth['rooted'][..., None], truth['joints'][:, :, 0], 0.0)
