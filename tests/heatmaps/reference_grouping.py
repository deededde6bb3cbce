"""A plain NumPy grouping, one person table after OpenPose's: the oracle of `test_grouping`.

It keeps partial persons as dicts joint → peak number, and opens, extends and merges them limb by
limb. It knows nothing of trees or components.
"""

import dataclasses

import numpy as np


@dataclasses.dataclass
class Part:
  position: np.ndarray  # px
  score: float


@dataclasses.dataclass
class Person:
  parts: dict[int, int]
  evidence: float

  def mean(self) -> float:
    return self.evidence / len(self.parts)


def peaks_of(heatmap: np.ndarray, stride: float, threshold: float, most: int) -> list[Part]:
  """Local maxima in 3 × 3 cells, best first, each at the top of its log-parabola."""
  height, width = heatmap.shape
  found = []
  for y, x in np.argwhere(heatmap > threshold).tolist():
    value = heatmap[y, x]
    others = [
      (heatmap[v, u], (v, u) < (y, x))
      for v in range(max(y - 1, 0), min(y + 2, height))
      for u in range(max(x - 1, 0), min(x + 2, width)) if (v, u) != (y, x)
    ]
    if all(value > other if before else value >= other for other, before in others):
      cell = np.array([x + top(heatmap[y], x), y + top(heatmap[:, x], y)])
      found.append(Part(cell * stride + (stride - 1) / 2, value))
  found.sort(key=lambda part: -part.score)
  return found[:most]


def top(line: np.ndarray, at: int) -> float:
  middle = min(max(at, 1), len(line) - 2)
  logs = np.log(np.maximum(line[middle - 1 : middle + 2], np.finfo(line.dtype).tiny))
  second, first = np.polyfit([-1, 0, 1], logs, 2)[:2]
  return np.clip(middle - at - first / (2 * second), -0.5, 0.5) if second < -1e-12 else 0.0


def limb_score(field: np.ndarray, start: np.ndarray, end: np.ndarray, stride: float) -> float:
  height, width = field.shape[:2]
  length = np.linalg.norm(end - start)
  if length < 1e-4 * stride:
    return 0.0
  points = start + np.linspace(0, 1, 10)[:, None] * (end - start)
  cells = np.floor((points - (stride - 1) / 2) / stride + 0.5).astype(int)
  x, y = np.clip(cells[:, 0], 0, width - 1), np.clip(cells[:, 1], 0, height - 1)
  products = field[y, x] @ ((end - start) / length)
  score = np.mean(products) + min(height * stride / 2 / length - 1, 0)
  return score if np.sum(products > 0.05) >= 8 and score > 0 else 0.0


def greedy(scores: np.ndarray) -> list[tuple[float, int, int]]:
  """Pairs (score, row, column), best first, of equal ones the first in reading order."""
  pairs = [(s, m, n) for (m, n), s in np.ndenumerate(scores) if s > 0]
  pairs.sort(key=lambda pair: -pair[0])
  taken = []
  for s, m, n in pairs:
    if all(m != row and n != column for _, row, column in taken):
      taken.append((s, m, n))
  return taken


def holders(people: list[Person], joint: int, peak: int) -> list[Person]:
  return [person for person in people if person.parts.get(joint) == peak]


def assemble(
  peaks: list[list[Part]], pairs: list[list[tuple[float, int, int]]],
  limbs: tuple[tuple[int, int], ...], redundant: tuple[int, ...],
) -> list[Person]:
  people: list[Person] = []
  for limb in sorted(range(len(limbs)), key=lambda limb: limb in redundant):
    a, b = limbs[limb]
    for score, m, n in pairs[limb]:
      ends = []
      for joint, peak in ((a, m), (b, n)):
        held = holders(people, joint, peak)
        assert len(held) <= 1
        if not held:
          held = [Person({joint: peak}, peaks[joint][peak].score)]
          people.append(held[0])
        ends.append(held[0])
      one, two = ends
      if one is two or set(one.parts) & set(two.parts):
        assert limb in redundant, 'a tree of limbs knows no conflict'
        continue
      people.remove(two)
      one.parts |= two.parts
      one.evidence += two.evidence + score
  return people


def group(
  heatmaps: np.ndarray, pafs: np.ndarray, limbs: tuple[tuple[int, int], ...],
  redundant: tuple[int, ...] = (), stride: float = 8.0, max_peaks: int = 16,
  max_people: int = 16,
) -> list[tuple[np.ndarray, np.ndarray, float]]:
  """(joints (J, 2) px, part scores (J,) with 0 for a missing one, score), most evidence first."""
  num_joints = heatmaps.shape[2]
  peaks = [peaks_of(heatmaps[..., j], stride, 0.1, max_peaks) for j in range(num_joints)]
  pairs = []
  for i, (a, b) in enumerate(limbs):
    scores = np.array([
      [limb_score(pafs[..., 2 * i : 2 * i + 2], p.position, q.position, stride) for q in peaks[b]]
      for p in peaks[a]
    ])
    pairs.append(greedy(scores))
  people = [
    person for person in assemble(peaks, pairs, limbs, redundant)
    if len(person.parts) >= 3 and person.mean() >= 0.4
  ]
  people.sort(key=lambda person: -person.evidence)
  result = []
  for person in people[:max_people]:
    joints, scores = np.zeros((num_joints, 2)), np.zeros(num_joints)
    for joint, peak in person.parts.items():
      joints[joint], scores[joint] = peaks[joint][peak].position, peaks[joint][peak].score
    result.append((joints, scores, person.mean()))
  return result
