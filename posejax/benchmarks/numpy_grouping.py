"""Grouping of people in plain NumPy: the other side of `benchmarks/heatmaps.py`'s decoding rows.

Twice: as OpenPose's published Python code has it, one joint, limb and pair after the other, and
with peaks and line integrals vectorised over the batch (matching and assembly, which are
sequential, stay loops over the few pairs that count). Same rules and constants as
`posejax.heatmaps.group_people`, for limbs that form a tree. Symbols, units and layouts as there.
"""

import numpy as np

STRIDE, THRESHOLD, SAMPLES, PAF_THRESHOLD = 8.0, 0.1, 10, 0.05
MIN_HITS, MIN_PARTS, MIN_SCORE = 8, 3, 0.4

Limbs = tuple[tuple[int, int], ...]
Person = tuple[np.ndarray, np.ndarray, float]  # joints (J, 2) px, visible (J,), score
Pair = tuple[float, int, int]  # score, peak of a, peak of b


def decode_loop(heatmaps: np.ndarray, pafs: np.ndarray, limbs: Limbs) -> list[Person]:
  """One image, (H, W, J) and (H, W, 2L) → its persons, most evidence first."""
  peaks = [_peaks_of(heatmaps[:, :, j]) for j in range(heatmaps.shape[2])]
  connections = []
  for i, (a, b) in enumerate(limbs):
    field = pafs[:, :, 2 * i : 2 * i + 2]
    pairs = []
    for m, (start, _) in enumerate(peaks[a]):
      for n, (end, _) in enumerate(peaks[b]):
        score = _line_integral(field, start, end)
        if score > 0:
          pairs.append((score, m, n))
    connections.append(_greedy(pairs))
  return _persons(peaks, connections, limbs)


def _peaks_of(heatmap: np.ndarray) -> list[tuple[np.ndarray, float]]:
  """Peaks of one map as (position in cells, score), best first."""
  padded = np.pad(heatmap, 1, constant_values=-np.inf)
  found = []
  for y, x in np.argwhere(heatmap > THRESHOLD):
    around = padded[y : y + 3, x : x + 3].ravel()
    value = heatmap[y, x]
    if np.all(value > around[:4]) and np.all(value >= around[5:]):
      place = (x + _top(heatmap[y], x), y + _top(heatmap[:, x], y))
      found.append((np.array(place, np.float32), float(value)))
  return sorted(found, key=lambda peak: -peak[1])


def _top(line: np.ndarray, at: int) -> float:
  """Offset of the log-parabola's top from cell `at` of one row or column."""
  middle = min(max(at, 1), len(line) - 2)
  before, centre, after = np.log(np.maximum(line[middle - 1 : middle + 2], 1e-37))
  bend = 2 * centre - before - after
  if bend <= 0:
    return 0.0
  return min(max(middle - at + 0.5 * (after - before) / bend, -0.5), 0.5)


def _line_integral(field: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
  """Score of a limb between two points in cells; 0 where it does not count."""
  height, width = field.shape[:2]
  length = np.linalg.norm(end - start)
  if length < 1e-4:
    return 0.0
  unit = (end - start) / length
  points = start + np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None] * (end - start)
  x = np.clip(np.floor(points[:, 0] + 0.5).astype(int), 0, width - 1)
  y = np.clip(np.floor(points[:, 1] + 0.5).astype(int), 0, height - 1)
  products = field[y, x] @ unit
  score = products.mean() + min(height / 2 / length - 1, 0)
  return float(score) if np.sum(products > PAF_THRESHOLD) >= MIN_HITS and score > 0 else 0.0


def decode_vectorized(heatmaps: np.ndarray, pafs: np.ndarray, limbs: Limbs) -> list[list[Person]]:
  """A batch, (B, H, W, J) and (B, H, W, 2L) → the persons of each image."""
  batch, height, width = heatmaps.shape[:3]
  places, scores, valid = _peaks_vectorized(heatmaps)
  first, second = np.array(limbs).T
  a, b = places[:, first, :, None], places[:, second, None]
  length = np.linalg.norm(b - a, axis=-1)
  usable = valid[:, first, :, None] & valid[:, second, None] & (length >= 1e-4)
  # Only pairs of two peaks are integrated: the slots of the images with few peaks cost nothing.
  image, limb, m, n = np.nonzero(usable)
  a, b = places[image, first[limb], m], places[image, second[limb], n]
  length = length[usable]
  unit = (b - a) / length[:, None]
  points = a[:, None] + np.linspace(0, 1, SAMPLES, dtype=np.float32)[:, None] * (b - a)[:, None]
  cells = np.clip(np.floor(points + 0.5).astype(int), 0, (width - 1, height - 1))
  field = pafs.reshape(batch, height, width, -1, 2)
  products = np.einsum(
    'nsd,nd->ns', field[image[:, None], cells[..., 1], cells[..., 0], limb[:, None]], unit
  )
  score = products.mean(axis=1) + np.minimum(height / 2 / length - 1, 0)
  good = (np.sum(products > PAF_THRESHOLD, axis=1) >= MIN_HITS) & (score > 0)
  pairs = [[[] for _ in limbs] for _ in range(batch)]
  columns = (image[good], limb[good], score[good], m[good], n[good])
  for i, l, *pair in zip(*(column.tolist() for column in columns), strict=True):
    pairs[i][l].append(tuple(pair))
  people = []
  for i in range(batch):
    peaks = [
      [(place, float(s)) for place, s in zip(places[i, j][ok], scores[i, j][ok], strict=True)]
      for j, ok in enumerate(valid[i])
    ]
    people.append(_persons(peaks, [_greedy(candidates) for candidates in pairs[i]], limbs))
  return people


def _peaks_vectorized(heatmaps: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """Places (B, J, K, 2) in cells, scores and which are valid (B, J, K), best first."""
  batch, height, width, num_joints = heatmaps.shape
  padded = np.pad(heatmaps, ((0, 0), (1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
  peak = heatmaps > THRESHOLD
  for step in range(9):
    around = padded[:, step // 3 : step // 3 + height, step % 3 : step % 3 + width]
    if step != 4:
      peak &= (heatmaps > around) if step < 4 else (heatmaps >= around)
  image, y, x, joint = np.nonzero(peak)
  value = heatmaps[image, y, x, joint]
  offsets = []
  for at, length, column in ((x, width, True), (y, height, False)):
    middle = np.clip(at, 1, length - 2)
    before, centre, after = (
      np.log(np.maximum(
        heatmaps[image, y, middle + d, joint] if column else heatmaps[image, middle + d, x, joint],
        1e-37,
      ))
      for d in (-1, 0, 1)
    )
    bend = 2 * centre - before - after
    top = middle - at + 0.5 * (after - before) / np.where(bend > 0, bend, 1)
    offsets.append(np.where(bend > 0, np.clip(top, -0.5, 0.5), 0))
  order = np.lexsort((y * width + x, -value, joint, image))
  group = (image * num_joints + joint)[order]
  slot = np.arange(len(group)) - np.searchsorted(group, group)
  most = int(slot.max(initial=0)) + 1
  places = np.zeros((batch * num_joints, most, 2), np.float32)
  scores = np.zeros((batch * num_joints, most), np.float32)
  valid = np.zeros((batch * num_joints, most), bool)
  places[group, slot] = np.stack([x + offsets[0], y + offsets[1]], axis=1)[order]
  scores[group, slot], valid[group, slot] = value[order], True
  shape = (batch, num_joints, most)
  return places.reshape(*shape, 2), scores.reshape(shape), valid.reshape(shape)


def _greedy(pairs: list[Pair]) -> list[Pair]:
  """Best score first, each peak once."""
  taken, left, right = [], set(), set()
  for pair in sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2])):
    if pair[1] not in left and pair[2] not in right:
      taken.append(pair)
      left.add(pair[1])
      right.add(pair[2])
  return taken


def _persons(
  peaks: list[list[tuple[np.ndarray, float]]], connections: list[list[Pair]], limbs: Limbs
) -> list[Person]:
  """OpenPose's table of partial persons: opened, extended and merged limb by limb."""
  table: list[tuple[dict[int, int], list[float]]] = []
  for (a, b), pairs in zip(limbs, connections, strict=True):
    for score, m, n in pairs:
      found = [row for row in table if row[0].get(a) == m or row[0].get(b) == n]
      parts, evidence = found[0] if found else ({}, [])
      if not found:
        table.append((parts, evidence))
      for other in found[1:]:
        parts |= other[0]
        evidence += other[1]
        table = [row for row in table if row is not other]
      evidence.append(score)
      parts |= {a: m, b: n}
  people = []
  for parts, evidence in table:
    total = sum(evidence) + sum(peaks[j][k][1] for j, k in parts.items())
    if len(parts) >= MIN_PARTS and total / len(parts) >= MIN_SCORE:
      joints, visible = np.zeros((len(peaks), 2), np.float32), np.zeros(len(peaks), bool)
      for j, k in parts.items():
        joints[j] = peaks[j][k][0] * STRIDE + (STRIDE - 1) / 2
        visible[j] = True
      people.append((total, (joints, visible, total / len(parts))))
  return [person for _, person in sorted(people, key=lambda row: -row[0])]
