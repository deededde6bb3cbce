"""Maps of limbs: part affinity fields (PAFs), their line integrals, and KSP's limb Gaussians.

Symbols: P persons, J joints, L limbs (pairs of joints a → b), H, W map cells, K peaks of a joint;
u = (b − a)/‖b − a‖; g = (x, y) a cell's centre. Lengths are in cells unless px is said. A PAF is
(H, W, 2L) with limb i's (x, y) in channels (2i, 2i + 1).

OpenPose's targets [P, spec/openpose.md]: u where the cell is at most `width` = 1 cell from the
limb's line and inside the box around a and b grown by `width`; 0 elsewhere; where limbs of several
persons overlap, their average (the published code in effect keeps the last writer's).

Speed on XLA's CPU back-end. The signed distance to a line is affine in the cell, u_y(x − a_x) −
u_x(y − a_y): a row of W numbers plus a column of H numbers; the box adds a large number to those
outside of it. What is left per person, limb and cell is an addition, a comparison and two
multiply-adds, in one fused loop over persons, so that no (P, L, H, W) array exists. Two things
decide the rate (28², 4 persons, J15, batch 64; 16 ms at first):
- XLA fuses the rows' and columns' arithmetic into that loop and then does it H (or W) times over.
  A product with a constant matrix is where its fusion stops: `grid.spread` makes the doubled
  channels by one, and thereby has the loop read finished numbers (16 → 2.8 ms).
- the loop's last axis must be read with stride 1 in every operand, or LLVM leaves it scalar:
  the unit vectors too go through `grid.spread` in channel order (2.8 → 1.0 ms; writing that many
  zeros takes 0.4 ms).
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments
from posejax.heatmaps import grid
from posejax.heatmaps.keypoints import Peaks

# Shorter limbs (in cells) have no direction: not drawn, not scored.
_MIN_LENGTH = 1e-4


def render_pafs(
  joints: jax.Array,
  visible: jax.Array | None,
  limbs: grid.Limbs,
  size: tuple[int, int],
  *,
  stride: float = 8.0,
  width: float = 1.0,
) -> jax.Array:
  """Part affinity fields of several persons, averaged where they overlap.

  Differentiable in the joints through the unit vectors; the mask is hard, and has no gradient.

  Args:
    joints: (P, J, 2) px; P may be 0.
    visible: (P, J), all where None. A limb is drawn where both its ends are visible (> 0) and
      finite, and at least 1e-4 cells apart.
    limbs: L pairs (a, b) of joints; the field points from a to b.
    size: (H, W) cells.
    stride: px of a cell.
    width: greatest distance of a cell's centre from the line, and from the box of a and b, cells.

  Returns:
    (H, W, 2L), each vector of length ≤ 1.

  Raises:
    ValueError: a shape or number does not fit.

  Source: Cao et al. 2017, Eq. 8–9, with the box of the published code.
  """
  size = grid.check_size('render_pafs', size)
  grid.check_positive('render_pafs', width=width)
  cells, drawn = grid.drawable('render_pafs', joints, visible, stride)
  table = grid.check_limbs('render_pafs', limbs, cells.shape[1])
  a, b = grid.select(cells, table[:, 0]), grid.select(cells, table[:, 1])
  channels = grid.spread(_direction(b - a)[0].reshape(cells.shape[0], 2 * len(table)))
  unit = channels.reshape(a.shape)
  drawn = drawn[:, table[:, 0]] & drawn[:, table[:, 1]] & jnp.any(unit != 0, axis=-1)

  low, high = jnp.minimum(a, b) - width, jnp.maximum(a, b) + width
  x, y = (jnp.arange(n, dtype=cells.dtype)[:, None] for n in size[::-1])
  column = jnp.where(
    _between(x, low[..., 0], high[..., 0]) & drawn[:, None],
    unit[:, None, :, 1] * (x - a[:, None, :, 0]), grid.OUTSIDE,
  )
  row = jnp.where(
    _between(y, low[..., 1], high[..., 1]),
    unit[:, None, :, 0] * (a[:, None, :, 1] - y), grid.OUTSIDE,
  )
  column, row = grid.spread(column, 2), grid.spread(row, 2)

  total = count = jnp.zeros((*size, 2 * len(table)), cells.dtype)
  for p in range(cells.shape[0]):
    inside = jnp.where(jnp.abs(column[p] + row[p, :, None]) <= width, 1.0, 0.0).astype(total.dtype)
    total, count = total + inside * channels[p], count + inside
  return total / jnp.maximum(count, 1)


def _direction(vectors: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Unit vectors and lengths of (…, 2) vectors; both 0 below `_MIN_LENGTH`."""
  squared = jnp.sum(vectors**2, axis=-1)
  long = squared > _MIN_LENGTH**2
  # Guarded before the root: its gradient at 0 is infinite.
  length = jnp.sqrt(jnp.where(long, squared, 1))
  unit = jnp.where(long[..., None], vectors / length[..., None], 0)
  return unit, jnp.where(long, length, 0)


def _between(g: jax.Array, low: jax.Array, high: jax.Array) -> jax.Array:
  """Which cells (n, 1) lie in the limbs' intervals (P, L): (P, n, L)."""
  return (g >= low[:, None]) & (g <= high[:, None])


def render_limb_gaussians(
  joints: jax.Array,
  limbs: grid.Limbs,
  size: tuple[int, int],
  *,
  visible: jax.Array | None = None,
  stride: float = 16.0,
  along: float = 0.25,
  across: float = 0.6,
  min_along: float = 0.5,
) -> jax.Array:
  """KSP's affinity maps: one Gaussian per limb, laid along it.

  exp(−½(t/σ_x)² − ½(n/σ_y)²), t and n a cell's coordinates along and across the limb from its
  middle, by dot products with u = d/√(‖d‖² + ε) (no angle, so no jump at ±π); σ_x = α·length, at
  least `min_along`. As u shortens with the limb, n² is taken as ‖g − middle‖² − t²: a limb seen end
  on becomes a round Gaussian, where (d·n)² would make its whole map 1. Smooth in the joints, also
  where they coincide.

  Args:
    joints: (J, 2) px, of one person.
    limbs: L pairs of joints.
    size: (H, W) cells.
    visible: (J,), drawn where both ends are > 0 and finite; all where None.
    stride: px of a cell (224 px to 14 cells: 16).
    along: α, σ_x per length of the limb.
    across: σ_y in cells.
    min_along: least σ_x in cells.

  Returns:
    (H, W, L) in [0, 1]; 0 for a limb that is not drawn.

  Raises:
    ValueError: a shape or number does not fit.

  Source: Kundu et al. 2020, Sec. 3.1c; constants [R, spec/ksp.md].
  """
  height, width = grid.check_size('render_limb_gaussians', size)
  grid.check_positive('render_limb_gaussians', along=along, across=across, min_along=min_along)
  joints = arguments.as_float('render_limb_gaussians', 'joints', joints, ('J', 2))
  visible = None if visible is None else jnp.asarray(visible)[None]
  cells, drawn = grid.drawable('render_limb_gaussians', joints[None], visible, stride)
  table = grid.check_limbs('render_limb_gaussians', limbs, joints.shape[0])
  a, b = cells[0, table[:, 0]], cells[0, table[:, 1]]
  epsilon = 1e-6
  squared = jnp.sum((b - a) ** 2, axis=-1)
  length = jnp.sqrt(squared + epsilon)
  u = (b - a) / length[:, None]
  x = jnp.arange(width, dtype=cells.dtype)[None, :, None] - (a[:, 0] + b[:, 0]) / 2
  y = jnp.arange(height, dtype=cells.dtype)[:, None, None] - (a[:, 1] + b[:, 1]) / 2
  t = x * u[:, 0] + y * u[:, 1]
  # ‖g − middle‖² − t² without its cancellation: n² + (1 − ‖u‖²)‖g − middle‖².
  n2 = (y * u[:, 0] - x * u[:, 1]) ** 2 + epsilon / (squared + epsilon) * (x**2 + y**2)
  sigma = jnp.maximum(along * length, min_along)
  maps = jnp.exp(-0.5 * (t / sigma) ** 2 - 0.5 / across**2 * n2)
  return jnp.where(drawn[0, table[:, 0]] & drawn[0, table[:, 1]], maps, 0)


def score_limbs(
  pafs: jax.Array,
  peaks: Peaks,
  limbs: grid.Limbs,
  *,
  stride: float = 8.0,
  samples: int = 10,
  threshold: float = 0.05,
  min_fraction: float = 0.8,
) -> jax.Array:
  """How well the field between two peaks agrees with a limb between them, for every pair.

  The mean over `samples` points from a to b (ends included, nearest cell) of the field's product
  with u, plus the length prior min(H/2/length − 1, 0), H the image's height. A pair counts where at
  least `min_fraction` of the points' products exceed `threshold` and the score is > 0. Maps coarser
  than the limbs' details want to be enlarged first (`jax.image.resize`, and `stride` with them).

  Args:
    pafs: (H, W, 2L). A value that is not finite (or beyond ±1e6) counts as 0.
    peaks: candidates, (J, K).
    limbs: L pairs of joints.
    stride: px of a cell.
    samples: points of the line integral.
    threshold: least product of a point that counts as agreeing.
    min_fraction: least share of agreeing points.

  Returns:
    (L, K, K): limb, peak of a, peak of b; 0 for a pair that does not count.

  Raises:
    ValueError: a shape or number does not fit.

  Source: Cao et al. 2017, Eq. 10–11, with the published code's prior and rules.
  """
  pafs = grid.check_maps('score_limbs', 'pafs', pafs)
  grid.check_positive('score_limbs', stride=stride, min_fraction=min_fraction)
  grid.check_count('score_limbs', samples=samples)
  positions = arguments.as_float('score_limbs', 'peaks.positions', peaks.positions, ('J', 'K', 2))
  table = grid.check_limbs('score_limbs', limbs, positions.shape[0])
  height, _, channels = pafs.shape
  if channels != 2 * len(table):
    raise ValueError(f'score_limbs: {len(table)} limbs need {2 * len(table)} PAFs, got {channels}')
  cells = grid.to_cells(jnp.where(jnp.isfinite(positions), positions, 0), stride)
  num_joints, slots = cells.shape[:2]
  cells = cells.reshape(num_joints, slots * 2)
  a, b = (grid.select(cells, side).reshape(len(table), slots, 2) for side in table.T)
  a, b = a[:, :, None], b[:, None]
  unit, length = _direction(b - a)
  mean, hits = _line_integrals(pafs, a, b, unit, samples, threshold)
  score = mean + jnp.minimum(height / 2 / jnp.where(length > 0, length, 1) - 1, 0)
  valid = peaks.valid[table[:, 0], :, None] & peaks.valid[table[:, 1], None] & (length > 0)
  # The smallest whole number of points that is that share: 0.8 · 10 is 8, not 8.000000001.
  enough = hits >= math.ceil(min_fraction * samples - 1e-9)
  # Finished here: the sums of samples must not be done again by everyone who reads a score.
  return grid.spread(jnp.where(valid & enough & (score > 0), score, 0))


def _line_integrals(
  pafs: jax.Array, a: jax.Array, b: jax.Array, unit: jax.Array, samples: int, threshold: float
) -> tuple[jax.Array, jax.Array]:
  """Mean of the field's product with u over points from a to b, and how many exceed a threshold.

  Args:
    pafs: (H, W, 2L).
    a: (L, K, 1, 2) cells.
    b: (L, 1, K, 2) cells.
    unit: (L, K, K, 2).
    samples: points, ends included.
    threshold: see above.

  Returns:
    (L, K, K) twice.
  """
  height, width, channels = pafs.shape
  flat = pafs.reshape(-1)
  channel = 2 * np.arange(channels // 2, dtype=np.int32)[:, None, None]
  total = jnp.zeros(unit.shape[:-1], pafs.dtype)
  hits = jnp.zeros(unit.shape[:-1], jnp.int32)
  for step in range(samples):
    point = a + (b - a) * (step / max(samples - 1, 1))
    cell = jnp.floor(point + 0.5).astype(jnp.int32)
    x, y = jnp.clip(cell[..., 0], 0, width - 1), jnp.clip(cell[..., 1], 0, height - 1)
    index = (y * width + x) * channels + channel
    product = grid.take(flat, index) * unit[..., 0] + grid.take(flat, index + 1) * unit[..., 1]
    total, hits = total + product, hits + (product > threshold)
  return total / samples, hits
