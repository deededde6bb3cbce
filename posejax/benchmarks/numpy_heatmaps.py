"""Heat-maps, PAFs and grouping in plain NumPy: the other side of `benchmarks/heatmaps.py`.

Each piece of work comes twice: as people write it, one person, joint, limb and pair after the
other, and vectorised over the whole batch as far as NumPy carries. Symbols, units and conventions
are those of `posejax.heatmaps`: B batch, P persons, J joints, L limbs, H, W map cells; joints in
px; channels (2i, 2i + 1) of the PAFs are (x, y) of limb i. All is float32, as there.
"""

import numpy as np

STRIDE, SIGMA, WIDTH = 8.0, 7.0, 1.0

Limbs = tuple[tuple[int, int], ...]


def render_loop(
  joints: np.ndarray, visible: np.ndarray, limbs: Limbs, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """One scene, (P, J, 2) px and (P, J) bool → heat-maps (H, W, J), PAFs (H, W, 2L)."""
  height, width = size
  x, y = np.meshgrid(np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32))
  cells = (joints - (STRIDE - 1) / 2) / STRIDE
  heatmaps = np.zeros((height, width, joints.shape[1]), np.float32)
  pafs = np.zeros((height, width, 2 * len(limbs)), np.float32)
  count = np.zeros((height, width, len(limbs)), np.float32)
  for person, seen in zip(cells, visible, strict=True):
    for j, (centre, drawn) in enumerate(zip(person, seen, strict=True)):
      if drawn:
        squared = (x - centre[0]) ** 2 + (y - centre[1]) ** 2
        heatmaps[:, :, j] += np.exp(-squared * (0.5 * (STRIDE / SIGMA) ** 2))
    for i, (a, b) in enumerate(limbs):
      if not (seen[a] and seen[b]):
        continue
      start, end = person[a], person[b]
      length = np.linalg.norm(end - start)
      if length < 1e-4:
        continue
      ux, uy = (end - start) / length
      inside = np.abs(uy * (x - start[0]) - ux * (y - start[1])) <= WIDTH
      inside &= (x >= min(start[0], end[0]) - WIDTH) & (x <= max(start[0], end[0]) + WIDTH)
      inside &= (y >= min(start[1], end[1]) - WIDTH) & (y <= max(start[1], end[1]) + WIDTH)
      pafs[inside, 2 * i] += ux
      pafs[inside, 2 * i + 1] += uy
      count[:, :, i] += inside
  np.minimum(heatmaps, 1, out=heatmaps)
  pafs /= np.repeat(np.maximum(count, 1), 2, axis=2)
  return heatmaps, pafs


def render_vectorized(
  joints: np.ndarray, visible: np.ndarray, limbs: Limbs, size: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
  """A batch, (B, P, J, 2) px and (B, P, J) bool → (B, H, W, J), (B, H, W, 2L)."""
  cells = ((joints - (STRIDE - 1) / 2) / STRIDE).astype(np.float32)
  return _heatmaps_vectorized(cells, visible, size), _pafs_vectorized(cells, visible, limbs, size)


def _heatmaps_vectorized(
  cells: np.ndarray, visible: np.ndarray, size: tuple[int, int]
) -> np.ndarray:
  """Separable as ours: rows times columns, summed over persons by one batched product."""
  scale = np.float32(0.5 * (STRIDE / SIGMA) ** 2)
  axes = []
  for axis, n in ((0, size[1]), (1, size[0])):
    centres = np.swapaxes(cells[..., axis], 1, 2)[..., None]
    axes.append(np.exp(-((np.arange(n, dtype=np.float32) - centres) ** 2) * scale))
  columns, rows = axes
  rows *= np.swapaxes(visible, 1, 2)[..., None]
  maps = np.matmul(np.swapaxes(rows, 2, 3), columns)
  np.minimum(maps, 1, out=maps)
  return np.ascontiguousarray(np.moveaxis(maps, 1, 3))


def _pafs_vectorized(
  cells: np.ndarray, visible: np.ndarray, limbs: Limbs, size: tuple[int, int]
) -> np.ndarray:
  """In blocks of 16 scenes: larger temporaries leave the caches (2 to 3 times slower)."""
  block = 16
  return np.concatenate([
    _pafs_block(cells[i : i + block], visible[i : i + block], limbs, size)
    for i in range(0, len(cells), block)
  ])


def _pafs_block(
  cells: np.ndarray, visible: np.ndarray, limbs: Limbs, size: tuple[int, int]
) -> np.ndarray:
  """The sums over persons, of (x, y, 1) inside each limb, as one batched matrix product."""
  height, width = size
  first, second = np.array(limbs).T
  cells = np.swapaxes(cells, 1, 2)
  a, b = cells[:, first], cells[:, second]
  visible = np.swapaxes(visible, 1, 2)
  squared = np.sum((b - a) ** 2, axis=-1)
  drawn = visible[:, first] & visible[:, second] & (squared > 1e-8)
  unit = np.where(drawn[..., None], (b - a) / np.sqrt(np.where(drawn, squared, 1))[..., None], 0)
  low, high = np.minimum(a, b) - WIDTH, np.maximum(a, b) + WIDTH
  far = np.float32(1e6)
  x, y = np.arange(width, dtype=np.float32), np.arange(height, dtype=np.float32)
  # The distance to a line is a column's number plus a row's; the box adds `far` outside of it.
  column = unit[..., 1:] * (x - a[..., :1])
  column[~((x >= low[..., :1]) & (x <= high[..., :1]) & drawn[..., None])] = far
  row = unit[..., :1] * (a[..., 1:] - y)
  row[~((y >= low[..., 1:]) & (y <= high[..., 1:]))] = far
  distance = column[..., None, :] + row[..., None]
  np.abs(distance, out=distance)
  inside = (distance <= WIDTH).astype(np.float32).reshape(*squared.shape, height * width)
  ones = np.concatenate([unit, np.ones_like(unit[..., :1])], axis=-1)
  total = np.matmul(np.swapaxes(ones, 2, 3), inside)
  total[:, :, :2] /= np.maximum(total[:, :, 2:], 1)
  return np.ascontiguousarray(np.transpose(total[:, :, :2], (0, 3, 1, 2))).reshape(
    len(cells), height, width, 2 * len(limbs)
  )
