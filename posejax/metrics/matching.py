"""Which predicted person is which annotated one: MuPoTS-3D's 2D rule, and detection by pelvises.

Symbols: G annotated persons, P predicted ones, J joints. Pixels are those of the image that
both are in; thresholds that belong to native frames are scaled by the caller, who names the scaling
in the metric (spec/protocols.md).
"""

from typing import NamedTuple

import numpy as np
import scipy.optimize

# MuPoTS-3D's script, on native frames about 2,000 px wide.
MUPOTS_MATCH_PX = 40.0
MUPOTS_PCK_PX = 25.0
NATIVE_WIDTH_PX = 2048.0


def match_mupots(
  annotated: np.ndarray, predicted: np.ndarray, usable: np.ndarray, threshold: float
) -> np.ndarray:
  """MuPoTS-3D's greedy matching in 2D.

  A pair's score is the number of joints with |dx| and |dy| below the threshold; annotated persons
  choose in their order among those still free, the highest score above 0, the first of equals.

  Args:
    annotated: (G, J, 2) px; all annotated joints count as visible.
    predicted: (P, J, 2) px.
    usable: (P, J) bool: predicted joints that were found at all.
    threshold: px.

  Returns:
    (G,) index of the predicted person, or -1.

  Raises:
    ValueError: the joints differ in number.
  """
  annotated, predicted = np.asarray(annotated, float), np.asarray(predicted, float)
  if annotated.ndim != 3 or predicted.ndim != 3 or annotated.shape[1:] != predicted.shape[1:]:
    raise ValueError(
      f'match_mupots: expected (G, J, 2) and (P, J, 2), got {annotated.shape} and '
      f'{predicted.shape}'
    )
  near = (np.abs(annotated[:, None] - predicted[None]) < threshold).all(-1)
  scores = (near & np.asarray(usable, bool)[None]).sum(-1)
  matches = np.full(len(annotated), -1)
  for g in range(len(annotated)):
    free = [p for p in range(len(predicted)) if p not in matches[:g]]
    best = max(free, key=lambda p: scores[g, p], default=-1)
    if best >= 0 and scores[g, best] > 0:
      matches[g] = best
  return matches


class Detection(NamedTuple):
  """Counts of one image: found, missed annotated persons, and predictions of nobody."""

  found: int
  missed: int
  false: int


def detect(annotated: np.ndarray, predicted: np.ndarray, distance: float) -> Detection:
  """Counts predicted pelvises near annotated ones, each used once (most pairs, then nearest).

  Args:
    annotated: (G, 2) px.
    predicted: (P, 2) px.
    distance: px; one map cell for this project's detection recall.
  """
  annotated = np.asarray(annotated, float).reshape(-1, 2)
  predicted = np.asarray(predicted, float).reshape(-1, 2)
  distances = np.linalg.norm(annotated[:, None] - predicted[None], axis=-1)
  near = distances <= distance
  # A pair in reach is worth more than any sum of distances: first as many pairs as possible.
  cost = np.where(near, distances / (distance * (near.size + 1)) - 1, 0.0)
  rows, columns = scipy.optimize.linear_sum_assignment(cost)
  found = int(near[rows, columns].sum())
  return Detection(found, len(annotated) - found, len(predicted) - found)


def rescale_bones(
  prediction: np.ndarray, target: np.ndarray, parents: tuple[int, ...]
) -> np.ndarray:
  """Gives a predicted pose the target's bone lengths, as MuPoTS-3D's script does.

  Each child is put at its already mapped parent + the **original** predicted direction × the
  target's length; the root keeps its place. A predicted bone of length 0 stays 0.

  Args:
    prediction: (J, 3) mm.
    target: (J, 3) mm.
    parents: of the J joints, -1 at the root.

  Returns:
    (J, 3) mm.
  """
  prediction, target = np.asarray(prediction, float), np.asarray(target, float)
  mapped = prediction.copy()
  for joint in _from_root(parents):
    parent = parents[joint]
    if parent < 0:
      continue
    bone = prediction[joint] - prediction[parent]
    length = np.linalg.norm(bone)
    wanted = np.linalg.norm(target[joint] - target[parent])
    mapped[joint] = mapped[parent] + bone * (wanted / length if length > 0 else 0.0)
  return mapped


def _from_root(parents: tuple[int, ...]) -> list[int]:
  """Joints in an order in which parents come first."""
  order = [joint for joint, parent in enumerate(parents) if parent < 0]
  for joint in order:
    order.extend(child for child, parent in enumerate(parents) if parent == joint)
  return order


def box_iou(first: np.ndarray, second: np.ndarray) -> float:
  """Intersection over union of the boxes around two sets of points (N, 2); 0 for empty boxes."""
  low = np.stack([np.min(first, 0), np.min(second, 0)])
  high = np.stack([np.max(first, 0), np.max(second, 0)])
  both = np.prod(np.clip(high.min(0) - low.max(0), 0, None))
  union = np.prod(high - low, axis=1).sum() - both
  return float(both / union) if union > 0 else 0.0
