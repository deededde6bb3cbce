"""What the teacher sees in the unlabelled pictures: its grouped 2D poses, once and for all.

The teacher may look several times (`looks`): `observed.zooms`, `observed.mirror`. With
`observed.latents` also v = E(I): E is frozen, so a picture that is shown unchanged need be
encoded once. Half precision: v is that of 256 colours.

k̂_q: NMS and bipartite grouping on F∘E(I) [P]. A person's root is the teacher's pelvis, or the
middle of the hips where it missed that; one without either has no root, is left out and counted
[R].
"""

import functools
from collections.abc import Callable, Mapping

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.heatmaps import People2D
from posejax.methods.base import Product, RowMaker, StagePlan
from posejax.methods.crossmodal import lift
from posejax.methods.crossmodal import looks as looks_lib
from posejax.methods.crossmodal import teacher as teacher_lib

SKELETON = lift.SKELETON
NAME = 'observed'
_BATCH = 32


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    NAME, fields=('world.max_people', 'observed'), reads=('images_b', 'teacher'),
    make=RowMaker(
      lambda config, products: len(products['images_b'].arrays['images']), _BATCH, begin
    ),
  )


def begin(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """(first, last) → the teacher's people of these pictures of `images_b`, as `observe` gives."""
  teacher = teacher_lib.frozen(config, products)
  images = products['images_b'].arrays['images']
  return lambda first, last: observe(
    teacher, images[first:last], config.world.max_people, config.observed.latents,
    looks=looks_lib.of_config(config),
  )


def observe(
  teacher: teacher_lib.Teacher, images: np.ndarray, max_people: int, latents: bool = False,
  batch: int = _BATCH, label: str = '', looks: looks_lib.Looks = looks_lib.ONCE,
) -> dict[str, np.ndarray]:
  """Grouped 2D poses and roots.

  Args:
    teacher: the frozen network.
    images: (N, S, S, 3) uint8.
    max_people: P.
    latents: whether v is given too.
    batch: images at once; fewer are padded to as many.
    label: before a progress bar; '' shows none.
    looks: over which the maps are averaged; v is of the picture as it is.

  Returns:
    joints (N, P, 15, 2) px, scores (N, P, 15), visible (N, P, 15) bool; seen, the same of persons
    with a root alone; roots (N, P, 2) px, score (N, P), rooted (N, P) bool: persons with a root;
    dropped (N,) persons without; with `latents` latents (N, h, w, C) float16.
  """
  return batches.in_batches(
    lambda part: _observe(teacher.layout, max_people, latents, looks, teacher.params, part),
    images, batch, label,
  )


@functools.partial(jax.jit, static_argnums=(0, 1, 2, 3))
def _observe(
  layout: teacher_lib.Layout, max_people: int, latents: bool, looks: looks_lib.Looks, params,
  images: jax.Array,
) -> dict[str, jax.Array]:
  teacher = teacher_lib.Teacher(layout, params)
  people = teacher.people(*looks_lib.maps(teacher, images, looks), max_people)
  roots, rooted = roots_of(people)
  kept = {'latents': teacher.encode(images)[0].astype(jnp.float16)} if latents else {}
  return kept | {
    'joints': people.joints, 'scores': people.scores, 'visible': people.visible,
    'seen': people.visible & rooted[..., None],
    'score': people.score, 'roots': roots, 'rooted': rooted,
    'dropped': (people.valid & ~rooted).sum(-1),
  }


def rootless(seen: Mapping[str, np.ndarray]) -> dict[str, float]:
  """How many people the teacher saw without a root, whom `seen` and `rooted` leave out.

  Args:
    seen: arrays of `observe`.

  Returns:
    Their number, and their percentage of all people whom it saw; nan of nobody.
  """
  dropped, kept = float(seen['dropped'].sum()), float(seen['rooted'].sum())
  share = 100 * dropped / (dropped + kept) if dropped + kept else float('nan')
  return {'teacher_people_without_root': dropped, 'teacher_people_without_root_percent': share}


def roots_of(people: People2D) -> tuple[jax.Array, jax.Array]:
  """(..., P, 2) px pelvis or mid-hip, and which persons have one; others read the origin."""
  at = {name: SKELETON.index(name) for name in ('pelvis', 'r_hip', 'l_hip')}
  pelvis = people.visible[..., at['pelvis']]
  hips = people.visible[..., at['r_hip']] & people.visible[..., at['l_hip']]
  middle = (people.joints[..., at['r_hip'], :] + people.joints[..., at['l_hip'], :]) / 2
  roots = jnp.where(pelvis[..., None], people.joints[..., at['pelvis'], :], middle)
  rooted = people.valid & (pelvis | hips)
  return jnp.where(rooted[..., None], roots, 0.0), rooted
