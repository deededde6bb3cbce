"""Small people in large photographs: views of parts beside the view of the whole [R].

A network knows people from a certain apparent size on. Level n of a photograph, n = 1, 2, 4, 8, is
squares of 1/n of its longer side, half a square from one to the next, so that whoever is at most
half a square large is whole in one of them. Level 1 is the whole photograph.

Who is kept of the people of all views (`merge`): coarse levels first, of a level the highest
scores first. In a part somebody cut off at its edge is none, and neither is anybody whose middle
lies within a person kept of a coarser level: seen alone, half of a person looks like a smaller one.
Who is too small for a level waits for the finer ones, and is taken as is where these have it not.

Symbols: L levels, B views of a level, P people of a view, S px a view's side.
"""

from collections.abc import Sequence

import numpy as np

from posejax.data import letterbox
from posejax.data.letterbox import View
from posejax.methods.base import People

LEVELS = (1, 2, 4, 8)
LARGE = 0.3  # of a view's side: as large a person need be for its level
_SAME = 0.25  # of the larger one's size: how far apart the joints of one person may be found


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
    if level > most:
      break
    extent = max(width, height) / level
    levels.append([
      View(np.array([x, y]), np.float64(side / extent))
      for y in _starts(height, extent) for x in _starts(width, extent)
    ])
  return levels


def _starts(total: int, extent: float) -> np.ndarray:
  """Where squares begin along an axis, evenly and at most half a square apart."""
  if total <= extent:
    return np.array([(total - extent) / 2])
  count = int(np.ceil(2 * (total - extent) / extent)) + 1
  return np.linspace(0, total - extent, count)


def merge(levels: Sequence[People], seen: Sequence[Sequence[View]], side: int) -> People:
  """The people of one photograph, each once (module docstring).

  Args:
    levels: for each level fields (B, P, ...), px and mm of the whole photograph, NumPy.
    seen: for each level its B views.
    side: S.

  Returns:
    People (N, ...), all slots valid, ids from 1.
  """
  order, waiting = [], []
  for number, (people, mine) in enumerate(zip(levels, seen, strict=True)):
    found = [(number, b, p) for b, p in np.argwhere(np.asarray(people.valid))]
    found.sort(key=lambda at, people=people: -float(people.score[at[1:]]))
    for at in found:
      _, b, p = at
      joints = people.joints_2d[b, p][people.joint_valid[b, p]]
      if not len(joints) or not np.isfinite(joints).all():
        continue
      inside = letterbox.to_view(joints, mine[b])
      if number and ((inside < -0.5) | (inside > side - 0.5)).any():
        continue
      large = np.ptp(inside, axis=0).max() >= LARGE * side
      (order if large else waiting).append(at)
  waiting.sort(key=lambda at: -at[0])  # the finest level first; stable, so scores still fall
  kept: list[tuple[int, int, int]] = []
  for at in (*order, *waiting):
    if not any(_hidden(levels, at, other) for other in kept):
      kept.append(at)
  fields = [
    np.stack([np.asarray(getattr(levels[n], name))[b, p] for n, b, p in kept])
    if kept else np.asarray(getattr(levels[0], name))[0, :0]
    for name in People._fields
  ]
  return People(*fields)._replace(identity=np.arange(1, len(kept) + 1, dtype=np.int32))


def _hidden(levels: Sequence[People], at, other) -> bool:
  """Whether a person is another one who was kept, or a part of it."""
  mine, theirs = (
    (levels[n].joints_2d[b, p], np.asarray(levels[n].joint_valid[b, p], bool))
    for n, b, p in (at, other)
  )
  both = mine[1] & theirs[1]
  size = max(np.ptp(joints[valid], axis=0).max() for joints, valid in (mine, theirs))
  if both.any() and np.linalg.norm(mine[0] - theirs[0], axis=-1)[both].mean() < _SAME * size:
    return True
  if at[0] <= other[0]:
    return False
  low, high = theirs[0][theirs[1]].min(0), theirs[0][theirs[1]].max(0)
  middle = mine[0][mine[1]].mean(0)
  return bool(((middle >= low) & (middle <= high)).all())
