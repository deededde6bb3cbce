"""The lattice that image-plane maps live on, and which joints can be drawn on it.

Symbols: H, W map cells; s stride in px; P persons, J joints. Pixel centres stand at integers, so
that cell g of a map with stride s is centred at (s − 1)/2 + s·g px: 3.5 + 8g for OpenPose's maps
[P, spec/openpose.md]. Points are (x, y), maps are [row y, column x], channels last.
Everything is in the input's float type; half precision is taken to float32.
"""

import math
import numbers
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments

Limbs = Sequence[tuple[int, int]]

# Joints farther out than this many cells are not drawn: no map shows them, and the squares of
# their coordinates would overflow. `OUTSIDE` stands where a cell is not in a limb's box, and
# must outweigh any distance that such joints can give.
FAR_CELLS = 1e5
OUTSIDE = 1e6

# Heat-maps and fields live in [−1, 1], a raw network's near it; what is larger is no confidence.
LARGEST = 1e6


def to_cells(points: jax.Array, stride: float) -> jax.Array:
  """Pixel coordinates → map coordinates, in cells: (…, 2) → (…, 2)."""
  return (points - (stride - 1) / 2) / stride


def to_pixels(cells: jax.Array, stride: float) -> jax.Array:
  """Map coordinates in cells → pixel coordinates: (…, 2) → (…, 2)."""
  return cells * stride + (stride - 1) / 2


def check_positive(function: str, **values: float) -> None:
  """Raises a ValueError unless each value is a finite positive Python or NumPy number."""
  for name, value in values.items():
    if not (math.isfinite(value) and value > 0):
      raise ValueError(f'{function}: {name} must be finite and > 0, got {value}')


def check_count(function: str, **values: int) -> None:
  """Raises a ValueError unless each value is a whole number ≥ 1."""
  for name, value in values.items():
    if not _is_count(value):
      raise ValueError(f'{function}: {name} must be a whole number ≥ 1, got {value}')


def check_size(function: str, size: tuple[int, int]) -> tuple[int, int]:
  """Returns (H, W) of a map, or raises a ValueError."""
  if np.shape(size) != (2,) or not all(map(_is_count, size)):
    raise ValueError(f'{function}: size must be (H, W) with H, W ≥ 1, got {size}')
  return int(size[0]), int(size[1])


def _is_count(value: object) -> bool:
  # `is_integer` is false for inf and NaN, which `int` would refuse with errors of its own.
  whole = isinstance(value, numbers.Integral) or (
    isinstance(value, numbers.Real) and float(value).is_integer()
  )
  return whole and value >= 1


def check_limbs(function: str, limbs: Limbs, num_joints: int) -> np.ndarray:
  """Returns limbs as an (L, 2) array of joint indices, or raises a ValueError."""
  if len(limbs) == 0:
    return np.zeros((0, 2), np.int32)
  table = np.asarray(limbs, dtype=np.int32)
  if table.shape != (len(limbs), 2) or table.min() < 0 or table.max() >= num_joints:
    raise ValueError(
      f'{function}: limbs must be pairs of joints in 0..{num_joints - 1}, got {list(limbs)}'
    )
  return table


def check_maps(function: str, name: str, maps: jax.Array) -> jax.Array:
  """Returns one (H, W, C) stack of maps as floats with a value in every cell.

  A cell that is not finite, or beyond ±`LARGEST`, tells nothing: it becomes 0, "no evidence", so
  that it can neither win nor spread, nor overflow where scores are summed.

  Raises:
    ValueError: the shape is not (H, W, C) with H, W ≥ 1, or the values are not real numbers.
  """
  maps = _single(arguments.as_float(function, name, maps, ('H', 'W', 'C')))
  check_size(function, maps.shape[:2])
  return jnp.where(jnp.abs(maps) <= LARGEST, maps, 0)


def _single(array: jax.Array) -> jax.Array:
  """At least float32: `OUTSIDE` and the squares of distances do not fit half precision."""
  return array.astype(jnp.promote_types(array.dtype, jnp.float32))


def drawable(
  function: str, joints: jax.Array, visible: jax.Array | None, stride: float
) -> tuple[jax.Array, jax.Array]:
  """Joints in cells, and which of them are drawn.

  Args:
    function: the caller's name, for messages.
    joints: (P, J, 2) px.
    visible: (P, J), drawn where > 0 (bool, COCO's flags 0, 1, 2, or confidences); all where None.
    stride: px of a cell.

  Returns:
    (P, J, 2) cells and (P, J) bool. A joint that is not finite, or farther than `FAR_CELLS` from
    the first cell, is not drawn; its coordinates are 0, so that no NaN reaches a map or a gradient.

  Raises:
    ValueError: a shape or type does not fit.
  """
  check_positive(function, stride=stride)
  joints = _single(arguments.as_float(function, 'joints', joints, ('P', 'J', 2)))
  visible = jnp.ones(joints.shape[:2], bool) if visible is None else jnp.asarray(visible)
  if visible.shape != joints.shape[:2]:
    raise ValueError(
      f'{function}: visible must have shape {joints.shape[:2]}, as joints {joints.shape}, '
      f'got {visible.shape}; vmap over batches'
    )
  # Compared in px: (x − offset)/stride of a huge x could overflow in the forward pass already.
  near = jnp.all(jnp.abs(joints) <= FAR_CELLS * stride, axis=-1)
  drawn = (visible > 0) & near
  # Masked before the division: the gradient of 0 · inf would be NaN.
  return to_cells(jnp.where(drawn[..., None], joints, 0), stride), drawn


def select(points: jax.Array, indices: np.ndarray) -> jax.Array:
  """Picks joints, (…, J, D) → (…, n, D), by a product with a matrix of zeros and ones.

  On XLA's CPU back-end a product is where fusion stops: what follows reads finished numbers. A
  gather would be merged into the loops over cells or samples, with all that `points` came from,
  and be done there again and again. `points` must be finite.
  """
  matrix = np.zeros((len(indices), points.shape[-2]))
  matrix[np.arange(len(indices)), indices] = 1
  return _exact_product(jnp.asarray(matrix, points.dtype), points)


def take(values: jax.Array, index: jax.Array) -> jax.Array:
  """values[index] along the one axis; `index` is within bounds, so that nothing checks it."""
  return values.at[index].get(mode='promise_in_bounds', wrap_negative_indices=False)


def spread(values: jax.Array, times: int = 1) -> jax.Array:
  """Repeats each entry of the last axis, by a product: see `select` for why. `values` is finite."""
  matrix = np.repeat(np.eye(values.shape[-1]), times, axis=1)
  return _exact_product(values, jnp.asarray(matrix, values.dtype))


def _exact_product(a: jax.Array, b: jax.Array) -> jax.Array:
  # HIGHEST: a GPU or TPU would else round both sides to 10 bits or fewer.
  return jnp.matmul(a, b, precision='highest')
