"""Inference that looks at the mirror image too, with one slot a cell (`infer.mirror`).

The pelvis maps of both are averaged, H reads each image at the same roots, and everybody's two
poses become one: bones of mean direction, the depths' geometric mean. It takes twice the time. Not
in the paper [R].
"""

from typing import Any

import jax
import jax.numpy as jnp

from posejax.geometry import kinematics
from posejax.methods.crossmodal import lift
from posejax.methods.crossmodal import roots as roots_lib

SKELETON = lift.SKELETON


def detect(
  model: Any, params: Any, images: jax.Array
) -> tuple[lift.Lifted, roots_lib.Roots]:
  """The people of images, P of each at most.

  Args:
    model: `infer.Model`.
    params: {'E', 'F', 'H', 'Psi'}.
    images: (B, S, S, 3) in 0..255.

  Returns:
    Their poses (`canonical` is that of the images as they are), and their roots.
  """
  count, side = images.shape[:2]
  v, skip = model.encode(params, jnp.concatenate([images, images[:, :, ::-1]]))
  features = model.features(params['H'], v)
  maps, stride = model.root_maps(params, features, v, skip)
  seen = (maps[:count] + maps[count:, :, ::-1]) / 2
  found = roots_lib.peaks(seen, stride, model.root_threshold, model.max_people)
  there = jnp.where(found.valid[..., None], _mirrored_px(found.positions, side), 0)
  roots = jnp.concatenate([found.positions, there])
  reading = model.read(params['H'], features, roots, jnp.tile(found.valid, (2, 1)))
  lifted = model.place(params, reading.found, roots)
  own = jax.tree.map(lambda x: x[:count], lifted)
  other = jax.tree.map(lambda x: x[count:], lifted)
  order = jnp.array(SKELETON.flip_permutation)
  mirrored = other.relative[:, :, order] * jnp.array([-1.0, 1.0, 1.0])
  between = jax.vmap(jax.vmap(lambda *poses: kinematics.mean_pose(jnp.stack(poses), SKELETON)))
  depth = jnp.sqrt(own.depth * other.depth)
  return model.placed(own.canonical, between(own.relative, mirrored), found.positions, depth), found


def _mirrored_px(points: jax.Array, side: int) -> jax.Array:
  return jnp.stack([side - 1 - points[..., 0], points[..., 1]], -1)
