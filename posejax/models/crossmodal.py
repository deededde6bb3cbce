"""The two trained networks of the cross-modal method: G (2D maps → v) and H (v → 3D of every root).

Axis letters: B batch, P persons, h w cells of v (stride 8), h' w' cells of H's output (stride 16 or
8), C F channels, K poses a cell. s = (φ, c, d): embedding (32), (sin, cos) of three Euler angles
(6), scaled log depth (1).

Source: Kundu et al. 2020, Sec. 3 and supplement Sec. 2; spec/crossmodal.md. The paper gives G's
five 7×7 layers, and of H: convolutions down to 7×7×128, a channel-wise fully connected layer
there, a deconvolution back to 14×14, skip connections, LeakyReLU, a last tanh [P]. All widths are
ours [R].

H with `H_PAPER`, 224 px, 15 + 28 maps (v 28×28×1024); every layer but the last with LeakyReLU:

  name          layer                        output         parameters
  down0_0       1×1                          28×28×128         131,200
  down0_1       3×3                          28×28×128         147,584
  down1_0       4×4, stride 2                14×14×128         262,272
  down1_1       7×7, kept as skip            14×14×128         802,944
  down2_0       4×4, stride 2, kept as skip    7×7×128         262,272
  channels      channel-wise dense             7×7×128         313,600
  bottom_0      1×1 of (channels, skip)        7×7×128          32,896
  up1           deconvolution 4×4            14×14×128         262,272
  up1_0         7×7 of (up1, skip)           14×14×128       1,605,760
  up1_1         1×1 = features               14×14×512          66,048
  pose          1×1, tanh                     14×14×39          20,007
  H                                                          3,906,855

E (8,358,080), F's heat branch with the PAF branch's conv5_5 (MPI: 4,331,836), H and Ψ (J15:
462,128) are 17,058,899 parameters: the paper's 17.1 M as spec/crossmodal.md reads it [R].
"""

import dataclasses
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import DTypeLike

from posejax.models import layers, windows

Layers = tuple[tuple[int, int], ...]  # (width, kernel size) of convolutions, in order

ROTATION = 6  # length of c
_FACING = (0.0, 1.0)  # the pair that stands for no direction: angle 0, as in `rotation`
_NO_ROOT = -3.0  # root logit at the start: one cell in twenty, where most hold nobody


@dataclasses.dataclass(frozen=True)
class GConfig:
  """Widths of G. Hashable: an attribute of modules.

  Attributes:
    hidden: layers before the last; four 7×7 ones [P].
    last_kernel: kernel size of the last layer, 7 [P].
    latent: channels of ṽ, the teacher's 2·branch.
    skip: channels of the teacher's skip.
    leak: slope of LeakyReLU below 0.
    latent_leak: the same of the ReLU behind ṽ: the teacher's.
  """

  hidden: Layers
  last_kernel: int
  latent: int
  skip: int
  leak: float = 0.2
  latent_leak: float = 0.0


@dataclasses.dataclass(frozen=True)
class HConfig:
  """Layers of H. Hashable: an attribute of modules.

  Attributes:
    down: layers of each grid, v's first; from the second grid on the first layer has stride 2 and
      an even kernel size (`layers.Conv` says why). The channel-wise layer works on the last grid.
    bottom: layers behind the channel-wise layer, on it and the skip around it.
    up: layers of each finer grid on the way back, behind a deconvolution and its skip. The last
      grid reached is the output's: with three grids down and one up it has stride 16.
    embedding: length of φ.
    window: how the features around a root are read; None reads its cell alone [P].
    slots: K, poses a cell.
    roots: whether there are root logits (`root_source` student, K > 1).
    offsets: whether there is a root position inside the cell (K > 1).
    leak: slope of LeakyReLU below 0.
  """

  down: tuple[Layers, ...]
  bottom: Layers
  up: tuple[Layers, ...]
  window: windows.WindowConfig | None = None
  embedding: int = 32
  slots: int = 1
  roots: bool = False
  offsets: bool = False
  leak: float = 0.2

  def __post_init__(self):
    if not self.down or not all((*self.down, self.bottom, *self.up)):
      raise ValueError('HConfig: every grid of down, bottom and up needs a layer')
    if len(self.up) >= len(self.down) or self.slots < 1:
      raise ValueError(
        f'HConfig: up must have fewer grids than down ({len(self.down)}) and slots be ≥ 1, got '
        f'{len(self.up)} and {self.slots}'
      )
    halving = [widths[0][1] for widths in self.down[1:]]
    others = [*self.down[0], *self.bottom] + [x for w in self.down[1:] for x in w[1:]]
    others += [x for widths in self.up for x in widths]
    if any(kernel % 2 for kernel in halving) or any(kernel % 2 == 0 for _, kernel in others):
      raise ValueError(
        'HConfig: kernels must be odd, and even for the first layer of each coarser grid, got '
        f'down {self.down}, bottom {self.bottom}, up {self.up}'
      )

  @property
  def coarsest(self) -> int:
    """Cells of v, a side, that one cell of the channel-wise layer's grid spans."""
    return 2 ** (len(self.down) - 1)

  @property
  def cells(self) -> int:
    """Cells of v, a side, that one output cell spans: 2 is stride 16."""
    return self.coarsest // 2 ** len(self.up)

  @property
  def reach(self) -> int:
    """Output cells, a side, that one root reads."""
    return self.window.size if self.window else 1


G_PAPER = GConfig(hidden=((128, 7),) * 4, last_kernel=7, latent=1024, skip=128)
H_PAPER = HConfig(
  down=(((128, 1), (128, 3)), ((128, 4), (128, 7)), ((128, 4),)),
  bottom=((128, 1),),
  up=(((128, 7), (512, 1)),),
)


class Representation(NamedTuple):
  """The neural representation s, at all cells or at chosen ones (...).

  Attributes:
    phi: (..., K, 32) pose embedding, inside (−1, 1).
    c: (..., K, 6) (sin, cos) of yaw, side lean, forward lean; each pair of length one.
    depth: (..., K) in (−1, 1): log depth, scaled over the range of the method's config.
    root_logits: (..., K) of a root's presence, or None.
    offset: (..., K, 2) root (x, y) from its cell's centre in cells, inside (−0.5, 0.5), or None.
    points: (..., K, C, 2) where the window's attention lies, (x, y) in cells from its middle, the
      same for all slots; None without window.
  """

  phi: jax.Array
  c: jax.Array
  depth: jax.Array
  root_logits: jax.Array | None = None
  offset: jax.Array | None = None
  points: jax.Array | None = None


class MapEncoder(nn.Module):
  """G: 2D maps of a synthetic scene to the teacher's latent maps.

  Attributes:
    config: widths.
    dtype: type to compute in, see `layers`.
  """

  config: GConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, maps: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Encodes a batch of m_syn.

    Args:
      maps: (B, h, w, C) heat-maps and PAFs.

    Returns:
      ṽ (B, h, w, latent) and skip (B, h, w, skip). Both behind the teacher's own ReLU:
      H and F never see a ṽ that no image could give [R].

    Raises:
      ValueError: not four axes.
    """
    config = self.config
    _check('MapEncoder', 'maps', maps)
    x = maps
    init = layers.he_init(config.leak)
    for index, (width, kernel) in enumerate(config.hidden):
      conv = layers.Conv(width, kernel, kernel_init=init, dtype=self.dtype, name=f'conv_{index}')
      x = nn.leaky_relu(conv(x), config.leak)
    features = config.latent + config.skip
    x = layers.Conv(features, config.last_kernel, dtype=self.dtype, name='latent')(x)
    x = nn.leaky_relu(x, config.latent_leak)
    return x[..., : config.latent], x[..., config.latent :]


class PoseNet(nn.Module):
  """H: the teacher's latent maps to the neural representation; H′ is another instance.

  `features` is the trunk, `heads` and `roots` the last layers: `heads` of the windows around root
  cells alone equals `heads` everywhere read at the root cells, and costs next to nothing.

  Attributes:
    config: layers.
    dtype: type to compute in, see `layers`; the last layers are never narrower than the parameters.
  """

  config: HConfig
  dtype: DTypeLike | None = None

  def setup(self):
    config = self.config
    self.trunk = _Trunk(config, self.dtype)
    if config.window:
      self.window = windows.Window(config.window, config.leak, self.dtype)
    self.pose = nn.Dense(
      config.slots * (config.embedding + ROTATION + 1),
      kernel_init=layers.he_init(1.0, gain=0.1),
      bias_init=_pose_bias(config),
    )
    if config.roots:
      self.root = nn.Dense(
        config.slots, kernel_init=layers.he_init(1.0, gain=0.1),
        bias_init=nn.initializers.constant(_NO_ROOT),
      )
    if config.offsets:
      self.offset = nn.Dense(
        2 * config.slots, kernel_init=layers.he_init(1.0, gain=0.1), bias_init=_offset_bias(config)
      )

  def __call__(self, v: jax.Array) -> Representation:
    """The representation at all cells, root logits included where the config has them.

    Args:
      v: (B, h, w, C), h and w multiples of `config.coarsest`; their number is fixed by the
        parameters.

    Returns:
      Fields of shape (B, h', w', K, ...).

    Raises:
      ValueError: another shape.
    """
    features = self.features(v)
    found = self.heads(windows.every_window(features, self.config.reach))
    return found._replace(root_logits=self.roots(features)) if self.config.roots else found

  def features(self, v: jax.Array) -> jax.Array:
    """v (B, h, w, C) → (B, h', w', F), what the last layers read."""
    _check('PoseNet', 'v', v, self.config.coarsest)
    return self.trunk(v)

  def heads(self, around: jax.Array) -> Representation:
    """The pose fields (no root logits) of windows (..., k, k, F) of features; k: `reach`."""
    config = self.config
    cells, points = self.window(around) if config.window else (around[..., 0, 0, :], None)
    raw = self.pose(cells)
    lead = raw.shape[:-1] + (config.slots,)
    s = jnp.tanh(raw.reshape(*lead, -1))
    phi, c, depth = jnp.split(s, (config.embedding, config.embedding + ROTATION), axis=-1)
    c = layers.unit_last(c.reshape(*lead, 3, 2), _FACING).reshape(*lead, ROTATION)
    offset = None
    if config.offsets:
      offset = jnp.tanh(self.offset(cells)).reshape(*lead, 2) / 2
    if points is not None:
      points = jnp.broadcast_to(points[..., None, :, :], (*lead, *points.shape[-2:]))
    return Representation(phi, c, depth[..., 0], offset=offset, points=points)

  def roots(self, features: jax.Array) -> jax.Array:
    """Root logits (..., K) of features (..., F); only with `config.roots`."""
    return self.root(features)


class _Trunk(nn.Module):
  """H without its last layers."""

  config: HConfig
  dtype: DTypeLike | None

  @nn.compact
  def __call__(self, v: jax.Array) -> jax.Array:
    config = self.config
    x, skips = v, []
    for level, widths in enumerate(config.down):
      for index, (width, kernel) in enumerate(widths):
        stride = 2 if level and index == 0 else 1
        x = self._conv(x, f'down{level}_{index}', width, kernel, stride)
      skips.append(x)
    mixed = layers.ChannelDense(config.leak, self.dtype, name='channels')(x)
    x = jnp.concatenate([self._activate(mixed), x], axis=-1)
    for index, (width, kernel) in enumerate(config.bottom):
      x = self._conv(x, f'bottom_{index}', width, kernel)
    for level, widths in zip(range(len(config.down) - 2, -1, -1), config.up, strict=False):
      skip = skips[level]
      x = layers.Deconv(skip.shape[-1], config.leak, self.dtype, name=f'up{level}')(x)
      x = jnp.concatenate([self._activate(x), skip], axis=-1)
      for index, (width, kernel) in enumerate(widths):
        x = self._conv(x, f'up{level}_{index}', width, kernel)
    return x

  def _conv(self, x: jax.Array, name: str, width: int, kernel: int, stride: int = 1) -> jax.Array:
    init = layers.he_init(self.config.leak)
    conv = layers.Conv(width, kernel, stride, init, dtype=self.dtype, name=name)
    return self._activate(conv(x))

  def _activate(self, x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, self.config.leak)


def _pose_bias(config: HConfig) -> initializers.Initializer:
  """Bias with which training starts at φ = 0 and upright persons facing the camera.

  Pairs (sin, cos) near (0, 0) would start as noise with huge gradients.
  """
  one = np.zeros(config.embedding + ROTATION + 1, np.float32)
  one[config.embedding + 1 : config.embedding + ROTATION : 2] = 0.5
  return lambda key, shape, dtype: jnp.asarray(np.tile(one, config.slots), dtype).reshape(shape)


def _offset_bias(config: HConfig) -> initializers.Initializer:
  """Bias with which the K slots of a cell start apart, on a circle of a quarter cell.

  Slots that start together would leave all persons to whichever comes first.
  """
  angles = 2 * np.pi * np.arange(config.slots) / config.slots
  start = 0.25 * np.stack([np.cos(angles), np.sin(angles)], -1) * (config.slots > 1)
  raw = np.arctanh(2 * start).ravel()
  return lambda key, shape, dtype: jnp.asarray(raw, dtype).reshape(shape)


def _check(function: str, name: str, maps: jax.Array, multiple: int = 1) -> None:
  if maps.ndim != 4 or maps.shape[1] % multiple or maps.shape[2] % multiple:
    sides = f' with h and w multiples of {multiple}' if multiple > 1 else ''
    raise ValueError(f'{function}: {name} must have shape (B, h, w, C){sides}, got {maps.shape}')
