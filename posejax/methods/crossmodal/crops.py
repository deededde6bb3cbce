"""The second stage's crops: each person by itself, at one size, in the middle [P: single-person
crops; the rest R].

A crop is a T_s without flip or turn: the fixed camera stays, and what H′ says of a crop of zoom z
is φ, c and d / z. So the depth is z times what H′ says; pose and root are the picture's. Under T_K
that is exact: k' = r' + f / (d / z) · p_r.

Symbols: B images, P persons, J = 15 joints, S the image's side; px, mm.
"""

from typing import Any

import jax
import jax.numpy as jnp

from posejax.methods.crossmodal import lift
from posejax.models.crossmodal import Representation
from posejax.synth import augment

GREY = 127.5  # of what lies outside the picture
# Zooms beyond it show nothing more, or nobody.
_ZOOMS = (0.25, 8.0)


def around(
  joints: jax.Array, depth: jax.Array, side: int, share: float, depths: lift.DepthRange
) -> augment.Transform:
  """The T_s of one person's crop.

  Args:
    joints: (J, 2) px; all of them, seen or not.
    depth: () mm.
    side: of the picture and of the crop, px.
    share: of the crop's side that the box around the joints fills.
    depths: what H′ can say: the zoom leaves d / z inside.

  Returns:
    Transform that brings the middle of the box to the middle.
  """
  # A pose that reaches behind the camera is projected far out.
  joints = jnp.clip(joints, -side, 2 * side)
  low, high = joints.min(0), joints.max(0)
  zoom = share * side / jnp.maximum((high - low).max(), 1)
  zoom = jnp.clip(zoom, depth / depths.farthest, depth / depths.nearest)
  zoom = jnp.clip(zoom, *_ZOOMS)
  return augment.Transform(
    flip=jnp.zeros((), bool), angle=jnp.zeros(()), zoom=zoom,
    shift=zoom * ((side - 1) / 2 - (low + high) / 2),
  )


def jittered(
  crop: augment.Transform, draws: jax.Array, side: int, jitter: float
) -> augment.Transform:
  """A crop as an imperfect box would give it.

  Args:
    crop: of one person.
    draws: (3,) in [−1, 1].
    side: px.
    jitter: largest change of the zoom, relative, and of the place, as a share of the side.
  """
  # z (x − b) about the box's middle b: another zoom must leave b in the middle.
  factor = jnp.exp(jitter * draws[0])
  return crop._replace(
    zoom=factor * crop.zoom, shift=factor * crop.shift + jitter * side * draws[1:]
  )


def move(points: jax.Array, crop: augment.Transform, side: int) -> jax.Array:
  """Points (..., 2) px of a picture → px of the crop."""
  flat = augment.transform_points(points.reshape(-1, 2), crop, (side, side))
  return flat.reshape(points.shape)


def cut(image: jax.Array, crop: augment.Transform) -> jax.Array:
  """A picture (S, S, 3) in 0..255 → its crop, the same shape, bilinear."""
  return augment.transform_image(image, crop, fill=GREY)


def unzoomed(
  found: Representation, zoom: jax.Array, depths: lift.DepthRange
) -> Representation:
  """What H′ says of crops, as of the pictures: depth (...) is multiplied by zoom (...)."""
  return found._replace(depth=depths.scaled(zoom * depths.depth(found.depth)))


def people(
  model: Any, params: Any, images: jax.Array, roots: jax.Array, first: lift.Lifted
) -> lift.Lifted:
  """The second stage at inference: everybody's crop, all at once.

  Args:
    model: `infer.Model`.
    params: {'E', 'H2', 'Psi'}.
    images: (B, S, S, 3) in 0..255.
    roots: (B, P, 2) px.
    first: what the first stage found.

  Returns:
    Poses of H′ at the same roots; where the first stage found nobody, anything finite.
  """
  side = images.shape[1]
  crop = jax.vmap(jax.vmap(
    lambda joints, depth: around(joints, depth, side, model.crop_share, model.crop_depths)
  ))(first.image, first.depth)
  pictures = jax.vmap(lambda image, crops: jax.vmap(lambda one: cut(image, one))(crops))(
    images.astype(jnp.float32), crop
  )
  moved = jax.vmap(jax.vmap(lambda root, one: move(root, one, side)))(roots, crop)
  b, p = roots.shape[:2]
  v, _ = model.encode(params, pictures.reshape(b * p, *images.shape[1:]))
  found = model.read_crops(params['H2'], v, moved.reshape(b * p, 2))
  found = jax.tree.map(lambda x: x.reshape(b, p, *x.shape[1:]), found)
  return model.place(params, unzoomed(found, crop.zoom, model.depths), roots)
