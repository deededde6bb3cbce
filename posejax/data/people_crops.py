"""Which views of a photograph show people who are too small in the whole of it.

Symbols: P persons, J joints (of any set), K views, S px of the network's square. A person's extent
is the longer side of the box around its seen joints.

A view is a square of the photograph (`letterbox.View`) around one small person, or around several
near ones. Plain NumPy on the host: the number of views is the photograph's.
"""

import dataclasses
from typing import NamedTuple

import numpy as np

from posejax.data import letterbox
from posejax.data.letterbox import View


@dataclasses.dataclass(frozen=True)
class CropConfig:
  """When and how people are shown larger [R].

  Attributes:
    too_small: a person whose extent is below this share of S wants a view of its own.
    filled: share of a view's side that the largest of its people fills, before others join.
    smallest: a person joins a view only if all its people keep this share of S.
    most_zoom: px of the view for each px of the photograph: beyond it, nothing new is seen.
    most: largest number of views of one photograph; those of the most people go first.
    least_joints: people with fewer seen joints have no extent to speak of, and want no view.
  """

  too_small: float
  filled: float
  smallest: float
  most_zoom: float
  most: int
  least_joints: int

  def __post_init__(self):
    ordered = 0 < self.too_small <= self.smallest <= self.filled <= 1
    if not ordered or not self.most_zoom > 0 or self.most < 1 or self.least_joints < 2:
      raise ValueError(
        'CropConfig: needs 0 < too_small ≤ smallest ≤ filled ≤ 1, most_zoom > 0, most ≥ 1, '
        f'least_joints ≥ 2, got {self}'
      )


class Crop(NamedTuple):
  """One view and whom it was made for.

  Attributes:
    view: square of the photograph.
    people: indices among P of those who were too small, sorted.
  """

  view: View
  people: tuple[int, ...]


def people_crops(
  joints: np.ndarray, seen: np.ndarray, view: View, side: int, config: CropConfig
) -> list[Crop]:
  """Views around the people who are too small.

  Args:
    joints: (P, J, 2) px of the view in which the people were found.
    seen: (P, J) bool; only these joints are read.
    view: that view, of the photograph.
    side: S, of that view and of the new ones.
    config: see there.

  Returns:
    The views: most people first, then larger, then in order of the persons.

  Raises:
    ValueError: other shapes.
  """
  joints, seen = np.asarray(joints, np.float64), np.asarray(seen, bool)
  if joints.ndim != 3 or joints.shape[2] != 2 or seen.shape != joints.shape[:2]:
    raise ValueError(
      f'people_crops: joints must be (P, J, 2) and seen (P, J), got {joints.shape}, {seen.shape}'
    )
  seen = seen & np.isfinite(joints).all(-1)
  boxes = {}
  for person in np.flatnonzero(seen.sum(1) >= config.least_joints).tolist():
    points = letterbox.to_photograph(joints[person, seen[person]], view)
    box = np.stack([points.min(0), points.max(0)])
    extent = float((box[1] - box[0]).max())
    if 0 < extent * view.scale < config.too_small * side:
      boxes[person] = box
  groups = _grouped(boxes, side, config)
  # Python's sort keeps the order of equals, which is that of the persons.
  groups.sort(key=lambda group: (-len(group.people), -_square(group, side, config)[1]))
  return [_crop(group, side, config) for group in groups[: config.most]]


class _Group(NamedTuple):
  """People of one view: members, the box (2, 2) around all, the extents of the ends (px)."""

  people: tuple[int, ...]
  box: np.ndarray
  smallest: float
  largest: float


def _grouped(boxes: dict[int, np.ndarray], side: int, config: CropConfig) -> list[_Group]:
  """Joins people whose views overlap, nearest first, as long as nobody gets too small."""
  groups = []
  for person, box in boxes.items():
    extent = float((box[1] - box[0]).max())
    groups.append(_Group((person,), box, extent, extent))
  while True:
    squares = [_square(group, side, config) for group in groups]
    best, pair = np.inf, None
    for i, (middle, extent) in enumerate(squares):
      for j in range(i + 1, len(groups)):
        distance = float(np.abs(middle - squares[j][0]).max())
        if distance >= min(best, (extent + squares[j][1]) / 2):
          continue
        joined = _joined(groups[i], groups[j])
        needed = _square(joined, side, config)[1]
        # Where the larger view need not grow, nobody gets smaller than without the other.
        if joined.smallest >= config.smallest * needed or needed <= max(extent, squares[j][1]):
          best, pair = distance, (i, j, joined)
    if pair is None:
      return groups
    groups[pair[0]] = pair[2]
    del groups[pair[1]]


def _joined(first: _Group, second: _Group) -> _Group:
  box = np.stack([
    np.minimum(first.box[0], second.box[0]), np.maximum(first.box[1], second.box[1])
  ])
  return _Group(
    tuple(sorted(first.people + second.people)), box, min(first.smallest, second.smallest),
    max(first.largest, second.largest),
  )


def _square(group: _Group, side: int, config: CropConfig) -> tuple[np.ndarray, float]:
  """Middle (2,) and side (px of the photograph) of a group's view."""
  reach = float((group.box[1] - group.box[0]).max())
  # Alone, a person fills `filled`; together they need no more margin than one of them has.
  margin = group.largest * (1 / config.filled - 1)
  return group.box.mean(0), max(reach + margin, side / config.most_zoom)


def _crop(group: _Group, side: int, config: CropConfig) -> Crop:
  middle, extent = _square(group, side, config)
  return Crop(View(middle + 0.5 - extent / 2, np.float64(side / extent)), group.people)
