"""Heat-maps of joints: drawn from joint positions, and read back as peaks.

Symbols: P persons, J joints, H, W map cells, K peaks of a joint; σ the Gaussian's deviation in px;
g = (x, y) a cell's centre. Maps are (H, W, J), channels last; positions are px of the image.

OpenPose's targets [P, spec/openpose.md]: exp(−½‖g − p‖²/σ²) with σ = 7 px at stride 8; several
people by their sum, clipped at 1; background = 1 − max. KSP's heat-maps are the same with one
person [P, spec/ksp.md].

Speed. The Gaussian is separable: exp(−½dx²/σ²) for W columns and exp(−½dy²/σ²) for H rows, and one
outer product, summed over persons: H + W exponentials instead of H·W, and no (P, J, H, W) array.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from posejax.heatmaps import grid

# A Gaussian is exactly 0 in both float types this many deviations out; stopping the distance there
# keeps the square of a far joint's distance, and its gradient, finite.
_ZERO_AT = 40.0


class Peaks(NamedTuple):
  """Candidates of each joint, best first. K = max_peaks slots; free slots are 0 and not valid.

  Attributes:
    positions: (J, K, 2) px.
    scores: (J, K) the map's value in the peak's cell.
    valid: (J, K) bool.
  """

  positions: jax.Array
  scores: jax.Array
  valid: jax.Array


def render_heatmaps(
  joints: jax.Array,
  visible: jax.Array | None,
  size: tuple[int, int],
  *,
  stride: float = 8.0,
  sigma: float = 7.0,
  combine: Literal['sum', 'max'] = 'sum',
) -> jax.Array:
  """Gaussian heat-maps of several persons' joints.

  Differentiable in the joints. Where the sum is clipped its gradient is 0 (half of it where the
  sum is exactly 1, which for a lone joint is its peak, of gradient 0); where two persons are equal
  under `max` each has half.

  Args:
    joints: (P, J, 2) px; P may be 0. A joint outside the image draws the tail that reaches in.
    visible: (P, J), drawn where > 0 (bool, or flags 0, 1, 2), all where None. A joint that is not
      finite counts as not visible.
    size: (H, W) cells.
    stride: px of a cell.
    sigma: deviation of the Gaussian, px.
    combine: several persons by their sum clipped at 1, or by their maximum.

  Returns:
    (H, W, J) in [0, 1].

  Raises:
    ValueError: a shape, number or word does not fit.

  Source: Cao et al. 2017, Eq. 6–7 (the maximum), and the code that trained the published networks
  (the clipped sum).
  """
  height, width = grid.check_size('render_heatmaps', size)
  grid.check_positive('render_heatmaps', sigma=sigma)
  if combine not in ('sum', 'max'):
    raise ValueError(f"render_heatmaps: combine must be 'sum' or 'max', got {combine!r}")
  cells, drawn = grid.drawable('render_heatmaps', joints, visible, stride)
  columns = _gaussians(cells[..., 0], width, sigma / stride)
  rows = _gaussians(cells[..., 1], height, sigma / stride) * drawn[:, None]
  if combine == 'sum':
    # HIGHEST: a GPU or TPU would else round the factors to 10 bits or fewer.
    total = jnp.einsum('phj,pwj->hwj', rows, columns, precision='highest')
    return jnp.minimum(total, 1)
  maps = jnp.zeros((height, width, cells.shape[1]), cells.dtype)
  for row, column in zip(grid.spread(rows), grid.spread(columns), strict=True):
    maps = jnp.maximum(maps, row[:, None] * column[None])
  return maps


def _gaussians(centres: jax.Array, length: int, sigma: float) -> jax.Array:
  """exp(−½(g − c)²/σ²) along one axis, all in cells: (P, J) → (P, length, J)."""
  g = jnp.arange(length, dtype=centres.dtype)[:, None]
  z = jnp.clip((g - centres[:, None]) / sigma, -_ZERO_AT, _ZERO_AT)
  return jnp.exp(-0.5 * z**2)


def background_map(heatmaps: jax.Array) -> jax.Array:
  """1 − the largest joint's value: the channel that OpenPose's networks put last.

  Args:
    heatmaps: (H, W, J); J may be 0 (all background).

  Returns:
    (H, W, 1).

  Raises:
    ValueError: any other shape.
  """
  heatmaps = grid.check_maps('background_map', 'heatmaps', heatmaps)
  return 1 - jnp.max(heatmaps, axis=-1, keepdims=True, initial=0)


def find_peaks(
  heatmaps: jax.Array,
  *,
  stride: float = 8.0,
  threshold: float = 0.1,
  max_peaks: int = 16,
  refine: bool = True,
) -> Peaks:
  """The best local maxima of each joint's map.

  A peak is larger than `threshold` and than the four of its eight neighbours that come before it
  in reading order, and not smaller than the other four: of a row of equal cells the first is the
  peak. (A plateau whose outline turns back can keep a peak at each of its corners that face up.)
  Equal peaks are ordered as they are read.

  `refine` moves a peak to the vertex of the parabola through the logarithms of the three cells
  around it, along each axis: exact for a Gaussian. At the border the three nearest cells are taken,
  which is exact there too. A peak never leaves its cell.

  Args:
    heatmaps: (H, W, J). A value that is not finite (or beyond ±1e6) counts as 0.
    stride: px of a cell.
    threshold: least value of a peak, ≥ 0.
    max_peaks: K, slots per joint.
    refine: sub-cell positions; else cell centres.

  Returns:
    Peaks, best first.

  Raises:
    ValueError: a shape or number does not fit.
  """
  maps = grid.check_maps('find_peaks', 'heatmaps', heatmaps)
  grid.check_positive('find_peaks', stride=stride)
  grid.check_count('find_peaks', max_peaks=max_peaks)
  if not threshold >= 0:
    raise ValueError(f'find_peaks: threshold must be ≥ 0, got {threshold}')
  height, width, num_joints = maps.shape
  # Rows of one joint lie together from here on: top_k works along the last axis.
  maps = jnp.transpose(maps, (2, 0, 1))
  candidates = jnp.where(_is_peak(maps, threshold), maps, -jnp.inf)
  slots = min(max_peaks, height * width)
  scores, index = jax.lax.top_k(candidates.reshape(num_joints, -1), slots)
  valid = scores > 0
  y, x = index // width, index % width
  if refine:
    flat = maps.reshape(-1)
    cell = index + height * width * jnp.arange(num_joints)[:, None]
    dx, dy = _vertex(flat, cell, x, 1, width), _vertex(flat, cell, y, width, height)
    x, y = x + dx, y + dy
  positions = grid.to_pixels(jnp.stack([x, y], axis=-1).astype(maps.dtype), stride)
  peaks = Peaks(jnp.where(valid[..., None], positions, 0), jnp.where(valid, scores, 0), valid)
  spare = max_peaks - slots
  return jax.tree.map(lambda a: jnp.pad(a, [(0, 0), (0, spare)] + [(0, 0)] * (a.ndim - 2)), peaks)


def _is_peak(maps: jax.Array, threshold: float) -> jax.Array:
  """Non-maximum suppression in 3 × 3 cells: (J, H, W) → bool."""
  height, width = maps.shape[1:]
  padded = jnp.pad(maps, ((0, 0), (1, 1), (1, 1)), constant_values=-jnp.inf)
  peak = maps > threshold
  for step in range(9):
    neighbour = padded[:, step // 3 : step // 3 + height, step % 3 : step % 3 + width]
    if step != 4:
      peak &= (maps > neighbour) if step < 4 else (maps >= neighbour)
  return peak


def _vertex(maps: jax.Array, index: jax.Array, at: jax.Array, step: int, length: int) -> jax.Array:
  """Distance in cells from a peak to the top of the parabola along one axis.

  Args:
    maps: (J·H·W,).
    index: (J, K) cells of the peaks, within `maps`.
    at: (J, K) their coordinates along the axis.
    step: from a cell to the next one along the axis.
    length: cells along the axis.

  Returns:
    (J, K) in [−½, ½]; 0 where the three cells have no top, or the axis has no three cells.
  """
  if length < 3:
    return jnp.zeros(index.shape, maps.dtype)
  tiny = jnp.finfo(maps.dtype).tiny
  shift = jnp.clip(at, 1, length - 2) - at
  middle = index + shift * step
  before, centre, after = (
    # A cell may be 0 or, from a network, below: then the top lies as far away from it as it can.
    jnp.log(jnp.maximum(grid.take(maps, middle + offset), tiny))
    for offset in (-step, 0, step)
  )
  bend = 2 * centre - before - after
  curved = bend > 0
  top = shift + 0.5 * (after - before) / jnp.where(curved, bend, 1)
  return jnp.where(curved, jnp.clip(top, -0.5, 0.5), 0)
