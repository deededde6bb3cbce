"""Inference that looks at the mirror image too, with one slot a cell (`infer.mirror`).

The pelvis maps of both are averaged, H reads each image at the same roots (and H′, where there is
one, everybody's crops of each), and everybody's two poses become one: bones of mean direction, the
depths' geometric mean. It takes twice the time. Not in the paper [R].

Fields of both lead with 2 B: the B images as they are, then their mirror images, people in the same
slots.
"""

from typing import Any

import jax
import jax.numpy as jnp

from posejax.geometry import kinematics
from posejax.methods.crossmodal import lift
from posejax.methods.crossmodal import roots as roots_lib

SKELETON = lift.SKELETON


def both(images: jax.Array) -> jax.Array:
  """Images (B, S, S, 3) and, behind them, their mirror images: (2 B, S, S, 3)."""
  return jnp.concatenate([images, images[:, :, ::-1]])


def detect(
  model: Any, params: Any, images: jax.Array
) -> tuple[lift.Lifted, roots_lib.Roots]:
  """The people of images and of their mirror images, P of each at most.

  Args:
    model: `infer.Model`.
    params: {'E', 'F', 'H', 'Psi'}.
    images: (2 B, S, S, 3) in 0..255, as `both` gives.

  Returns:
    Their poses and roots, each (2 B, P, ...).
  """
  count, side = images.shape[0] // 2, images.shape[1]
  v, skip = model.encode(params, images)
  features = model.features(params['H'], v)
  maps, stride = model.root_maps(params, features, v, skip)
  seen = (maps[:count] + maps[count:, :, ::-1]) / 2
  found = roots_lib.peaks(seen, stride, model.root_threshold, model.max_people)
  there = jnp.where(found.valid[..., None], _mirrored_px(found.positions, side), 0)
  roots = jax.tree.map(lambda x: jnp.concatenate([x, x]), found)._replace(
    positions=jnp.concatenate([found.positions, there])
  )
  reading = model.read(params['H'], features, roots.positions, roots.valid)
  return model.place(params, reading.found, roots.positions), roots


def merged(
  model: Any, lifted: lift.Lifted, roots: roots_lib.Roots
) -> tuple[lift.Lifted, roots_lib.Roots]:
  """Poses and roots of both (2 B, P, ...) → of the images (B, P, ...).

  `canonical` stays that of the images as they are.
  """
  count = len(roots.valid) // 2
  own, other = (jax.tree.map(lambda x, part=part: x[part], lifted)
                for part in (slice(count), slice(count, None)))
  order = jnp.array(SKELETON.flip_permutation)
  there = other.relative[:, :, order] * jnp.array([-1.0, 1.0, 1.0])
  between = jax.vmap(jax.vmap(lambda *poses: kinematics.mean_pose(jnp.stack(poses), SKELETON)))
  roots = jax.tree.map(lambda x: x[:count], roots)
  return model.placed(
    own.canonical, between(own.relative, there), roots.positions, jnp.sqrt(own.depth * other.depth)
  ), roots


def _mirrored_px(points: jax.Array, side: int) -> jax.Array:
  return jnp.stack([side - 1 - points[..., 0], points[..., 1]], -1)
