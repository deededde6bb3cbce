"""Small people in large photographs: views of parts beside the view of the whole [R].

A network knows people from a certain apparent size on. Level n of a photograph, n = 1, 2, 4, 8, is
squares of 1/n of its longer side, at most half a square from one to the next, so that whoever is at
most half a square large is whole in one of them. Level 1 is the whole photograph. A level whose
squares the network would see enlarged more than `MOST_ZOOM` times is left out: there is no more to
see in them.

Who is kept of the people of all views (`merge`): those `LARGE` enough for their level, coarse
levels first; then the smaller ones, fine levels first, as they are. Of a level, whoever lies
farthest inside a view goes first. Left out are people whom a part's edge cuts, and people of other
views who are one who was kept: the same joints at about the same places, or a smaller pose all of
whose joints lie along the limbs of the kept one, as half of a person does that is seen alone.
People of one view are never compared: the network has told them apart.

Symbols: L levels, B views of a level, P people of a view, S px a view's side.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from posejax.data import letterbox
from posejax.data.letterbox import View
from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import People

LEVELS = (1, 2, 4, 8)
MOST_ZOOM = 2.0
# Of a view's side. Whoever is smaller is at most half a square of the next level: whole in one.
LARGE = 0.25
# Of a person's size: how far apart the joints of one person may be found, and how far from the
# limbs of a person those of a part of it.
_SAME, _ALONG = 0.2, 0.1


def views(width: int, height: int, side: int, most: int) -> list[list[View]]:
  """The views of each level up to `most`; level 1 is `letterbox.whole`.

  Args:
    width: of the photograph, px.
    height: likewise.
    side: S.
    most: the finest level, one of `LEVELS`.
  """
  levels = [[letterbox.whole(width, height, side)]]
  for level in LEVELS[1:]:
    extent = max(width, height) / level
    if level > most or extent * MOST_ZOOM < side:
      break
    levels.append([
      View(np.array([x, y]), np.float64(side / extent))
      for y in _starts(height, extent) for x in _starts(width, extent)
    ])
  return levels


def notes(most: int) -> tuple[str, ...]:
  """What a result says of it."""
  return (f'parts of the picture, up to 1/{most} of its longer side, were looked at',) * (most > 1)


def _starts(total: int, extent: float) -> np.ndarray:
  """Where squares begin along an axis, evenly and at most half a square apart."""
  if total <= extent:
    return np.array([(total - extent) / 2])
  count = int(np.ceil(2 * (total - extent) / extent)) + 1
  return np.linspace(0, total - extent, count)


class _Found(NamedTuple):
  """Somebody in a view: level, view, slot; joints (J, 2) px of the photograph, valid (J,); size px;
  px of the view from its edge, and whether they are large enough for their level."""

  at: tuple[int, int, int]
  joints: np.ndarray
  valid: np.ndarray
  size: float
  inside: float
  large: bool


def merge(
  levels: Sequence[People], seen: Sequence[Sequence[View]], side: int, skeleton: Skeleton
) -> People:
  """The people of one photograph, each once (module docstring).

  Args:
    levels: for each level fields (B, P, ...), px and mm of the whole photograph, NumPy, finite.
    seen: for each level its B views.
    side: S.
    skeleton: of the joints.

  Returns:
    People (N, ...), all slots valid, ids from 0.
  """
  found = [
    _found((number, int(b), int(p)), people, mine[b], side)
    for number, (people, mine) in enumerate(zip(levels, seen, strict=True))
    for b, p in np.argwhere(np.asarray(people.valid) & np.asarray(people.joint_valid).any(-1))
  ]
  found = [one for one in found if one.at[0] == 0 or one.inside >= 0]
  # The whole photograph's own by their scores: there an edge says nothing.
  found.sort(key=lambda one: (
    not one.large, one.at[0] if one.large else -one.at[0],
    -one.inside if one.at[0] else -float(levels[0].score[one.at[1:]]),
  ))
  kept: list[_Found] = []
  for one in found:
    if not any(_is(one, other, skeleton) for other in kept if other.at[:2] != one.at[:2]):
      kept.append(one)
  fields = [
    np.stack([np.asarray(getattr(levels[n], name))[b, p] for n, b, p in (one.at for one in kept)])
    if kept else np.asarray(getattr(levels[0], name))[0, :0]
    for name in People._fields
  ]
  return People(*fields)._replace(identity=np.arange(len(kept), dtype=np.int32))


def _found(at: tuple[int, int, int], people: People, view: View, side: int) -> _Found:
  joints, valid = np.asarray(people.joints_2d[at[1:]]), np.asarray(people.joint_valid[at[1:]], bool)
  shown = letterbox.to_view(joints[valid], view)
  inside = float(min(shown.min() + 0.5, side - 0.5 - shown.max()))
  size = float(np.ptp(joints[valid], axis=0).max())
  return _Found(at, joints, valid, size, inside, size * view.scale >= LARGE * side)


def _is(one: _Found, other: _Found, skeleton: Skeleton) -> bool:
  """Whether somebody is another one of another view, or a part of it."""
  both = one.valid & other.valid
  apart = np.linalg.norm(one.joints - other.joints, axis=-1)[both]
  if both.any() and apart.mean() <= _SAME * max(one.size, other.size):
    return True
  limbs = [limb for limb in skeleton.limbs if other.valid[list(limb)].all()]
  if one.size >= other.size or not limbs:
    return False
  starts, ends = (other.joints[[limb[k] for limb in limbs]] for k in (0, 1))
  along = ends - starts
  rest = one.joints[one.valid][:, None] - starts
  share = (rest * along).sum(-1) / np.maximum((along**2).sum(-1), 1e-9)
  nearest = np.linalg.norm(rest - np.clip(share, 0, 1)[..., None] * along, axis=-1).min(1)
  return bool(nearest.mean() <= _ALONG * other.size)
