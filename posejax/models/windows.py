"""How H reads its features around the roots: windows of cells, and points inside them.

Axis letters: B batch, P persons, h' w' cells of H's output, k cells of a window's side, F channels.
Not in the paper, which reads the cell of the root alone (`read_windows` with size 1) [R].
"""

import dataclasses
from typing import Literal

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike

from posejax.models import layers

_SHARPNESS = 4.0  # of the attention maps' softmax


@dataclasses.dataclass(frozen=True)
class WindowConfig:
  """How a root's window of features is read. Not in the paper [R].

  A person's joints are points: attention maps over the window, whose centres of mass are read as
  coordinates (a spatial softmax, Levine et al. 2016), tell them to a fraction of a cell, where one
  cell's features must encode them. It runs at roots alone, so it costs next to nothing.

  Attributes:
    size: k, cells a side, odd: a person's extent.
    cells: widths of the 1×1 layers on each cell of the window, which also see its place in it.
    points: attention maps; of each: the centre of mass (x, y) and the mean of a value.
    dense: widths of the layers that read the points.
  """

  size: int
  cells: tuple[int, ...]
  points: int
  dense: tuple[int, ...]

  def __post_init__(self):
    if self.size % 2 == 0 or self.size < 3 or not self.cells or not self.dense or self.points < 1:
      raise ValueError(f'WindowConfig: size must be odd and ≥ 3, the rest not empty, got {self}')


class Window(nn.Module):
  """Reads windows (..., k, k, F), as `WindowConfig` says.

  Gives (..., dense[-1]), what was read, and (..., points, 2), the points in cells from the window's
  middle: a loss may ask the first ones to lie on the joints.
  """

  config: WindowConfig
  leak: float
  dtype: DTypeLike | None

  @nn.compact
  def __call__(self, windows: jax.Array) -> tuple[jax.Array, jax.Array]:
    config, lead = self.config, windows.shape[:-3]
    steps = np.arange(config.size, dtype=np.float32) / (config.size // 2) - 1
    places = np.stack(np.meshgrid(steps, steps), -1).reshape(-1, 2)  # (x, y) in [−1, 1]
    x = windows.reshape(*lead, config.size**2, -1)
    x = jnp.concatenate([x, jnp.broadcast_to(places.astype(x.dtype), (*x.shape[:-1], 2))], -1)
    for index, width in enumerate(config.cells):
      x = self._dense(f'cells_{index}', width, x)
    plain = {'kernel_init': layers.he_init(1.0), 'dtype': self.dtype}
    logits = nn.Dense(config.points, name='logits', **plain)(x)
    values = nn.Dense(config.points, name='values', **plain)(x)
    # Sharp from the start: a flat map's centre of mass tells nothing.
    logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    shares = jax.nn.softmax(_SHARPNESS * logits, axis=-2)
    middles = jnp.einsum('...np,nd->...pd', shares, places)
    # Coordinates of a joint vary by a third of the window: brought to the values' size.
    x = jnp.concatenate([3 * middles.reshape(*lead, -1), (shares * values).sum(-2)], -1)
    for index, width in enumerate(config.dense):
      x = self._dense(f'dense_{index}', width, x)
    return x, middles * (config.size // 2)

  def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
    init = layers.he_init(self.leak)
    layer = nn.Dense(width, dtype=self.dtype, kernel_init=init, name=name)
    return nn.leaky_relu(layer(x), self.leak)


def every_window(features: jax.Array, size: int) -> jax.Array:
  """(B, h, w, F) → (B, h, w, size, size, F), 0 beyond the border."""
  _, h, w, _ = features.shape
  margin = size // 2
  padded = jnp.pad(features, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
  rows, columns = (np.arange(n)[:, None] + np.arange(size) for n in (h, w))
  return padded[:, rows][:, :, :, columns].transpose(0, 1, 3, 2, 4, 5)


def middles(
  roots: jax.Array, stride: int, size: tuple[int, int], mode: Literal['nearest', 'bilinear']
) -> jax.Array:
  """Where the windows of roots (..., 2) px have their middles, (x, y) in cells of a grid (h, w)."""
  cells = (roots - (stride - 1) / 2) / stride
  cells = jnp.round(cells) if mode == 'nearest' else cells
  return jnp.clip(cells, 0, np.array([size[1] - 1, size[0] - 1]))


def read_windows(
  features: jax.Array,
  roots: jax.Array,
  stride: int,
  size: int = 1,
  mode: Literal['nearest', 'bilinear'] = 'nearest',
) -> jax.Array:
  """Features around the cells of the roots [P: the nearest cell; bilinear as an option].

  Args:
    features: (B, h', w', F).
    roots: (B, P, 2) px, finite; a root outside the grid reads the border.
    stride: px a cell; cell g is centred at (stride − 1) / 2 + stride · g.
    size: cells a side, odd; 0 beyond the border.
    mode: around the nearest cell, or around the root itself, bilinear between cells.

  Returns:
    (B, P, size, size, F); differentiable in the features, and with 'bilinear' in the roots.

  Raises:
    ValueError: other shapes, or another mode.
  """
  if features.ndim != 4:
    raise ValueError(f'read_windows: features must have shape (B, h, w, F), got {features.shape}')
  b, h, w, _ = features.shape
  if roots.ndim != 3 or roots.shape[::2] != (b, 2):
    raise ValueError(f'read_windows: roots must have shape ({b}, P, 2), got {roots.shape}')
  if mode not in ('nearest', 'bilinear'):
    raise ValueError(f"read_windows: mode must be 'nearest' or 'bilinear', got {mode!r}")
  cells = middles(roots, stride, (h, w), mode)
  around = np.arange(size) - size // 2

  def shares(middle: jax.Array, count: int) -> jax.Array:
    """(B, P, size, count): what each of `count` cells gives to each place of the window."""
    places = middle[..., None] + around
    weights = jnp.maximum(0, 1 - jnp.abs(places[..., None] - np.arange(count)))
    return weights.astype(features.dtype)

  # Two small products and no gather, whose gradient (a scatter) is slow on CPUs.
  rows = jnp.einsum('bpih,bhwf->bpiwf', shares(cells[..., 1], h), features)
  return jnp.einsum('bpjw,bpiwf->bpijf', shares(cells[..., 0], w), rows)
