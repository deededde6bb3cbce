"""MobileNetV2-PoseEstimation "dm14" as an encoder E and a decoder F: a small 2D teacher.

Axis letters: B batch, H W image px, h w = H/8, W/8 map cells, C channels; maps are channels last.
PAF: part affinity fields, 2 channels (x, y) a limb; heat-maps: one a part, and the background last.

  E: images → v (B, h, w, 2·branch) = layer 4 of stage 1's branch L1 (PAF), then of L2 (heat);
     skip (B, h, w, fine + coarse): a block of stride 8, and one of stride 16 upsampled
  F: (v, skip) → (PAF, heat-maps) of stage 1 (its layer 5), stage 2, ... up to 6

The same cut as in `openpose`, so that either network is E and F of the main job. Source: the layer
list of PINTO0309/MobileNetV2-PoseEstimation (MIT; third_party/mobilenetv2_pose), whose weights are
trained with batch-norm, which is folded into them here. Parameters have its layer names without
the prefix and with `_` for `/`: expanded_conv_3_depthwise, MConv_Stage2_L1_5_pointwise.

TensorFlow's conventions, which the weights were trained with:
  padding SAME: all outputs ⌈n/stride⌉, the odd zero goes to the end, so that stride 2 on even sizes
    has no zero before the first cell;
  bilinear upsampling as it was before version 2: output i lies at input i·n/m, without half cells;
  a separable convolution has no activation between its depthwise and its pointwise layer.

Depthwise convolutions are k² shifted products on a CPU, where XLA's own are slow; see `depthwise`.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from flax.linen import dtypes
from jax.nn import initializers
from jax.typing import DTypeLike

from posejax.models import layers

STRIDE = 8  # px a map cell
MAX_STAGES = 6
BRANCHES = ('L1', 'L2')  # PAF, heat-maps


@dataclasses.dataclass(frozen=True)
class Block:
  """An inverted residual: 1×1 of `expand`× the channels, 3×3 depthwise, 1×1 to `width`.

  Its input is added where it has the output's shape. With `expand` 1 the first layer is left out.
  """

  width: int
  stride: int = 1
  expand: int = 6


@dataclasses.dataclass(frozen=True)
class MobilenetPoseConfig:
  """Widths of E and F. Hashable: an attribute of modules.

  Attributes:
    stem: width of the first 3×3 layer, of stride 2.
    blocks: of the trunk, in order.
    fine: number of the block whose output, of stride 8, is the skip's first part.
    width: of the layers of the stages' branches.
    branch: channels of one branch's stage-1 layer 4: v has twice as many.
    num_paf: PAF channels, two a limb.
    num_heat: heat-map channels, the background included.
    num_stages: stages of F, 1 to 6; the published network has 6.
  """

  stem: int
  blocks: tuple[Block, ...]
  fine: int
  width: int
  branch: int
  num_paf: int
  num_heat: int
  num_stages: int = 2

  def __post_init__(self):
    strides = 2 * np.cumprod([block.stride for block in self.blocks])
    if not 0 <= self.fine < len(strides) or strides[self.fine] != 8 or strides[-1] != 16:
      raise ValueError(
        'MobilenetPoseConfig: block `fine` must have stride 8 and the last one 16, got fine='
        f'{self.fine} of blocks with strides {strides.tolist()}'
      )
    if not 1 <= self.num_stages <= MAX_STAGES:
      raise ValueError(
        f'MobilenetPoseConfig: num_stages must be 1 to {MAX_STAGES}, got {self.num_stages}'
      )

  @property
  def leak(self) -> float:
    """Slope of the ReLU behind v below 0."""
    return 0.0

  @property
  def skip(self) -> int:
    """Channels of the skip."""
    return self.blocks[self.fine].width + self.blocks[-1].width


# "dm14": depth multiplier 1.4.
DM14 = MobilenetPoseConfig(
  stem=48,
  blocks=(
    Block(24, expand=1), Block(32, 2), Block(32), Block(48, 2), Block(48), Block(48),
    Block(88, 2), Block(88), Block(88), Block(88), Block(136), Block(136), Block(136),
  ),
  fine=5,
  width=128,
  branch=512,
  num_paf=38,
  num_heat=19,
)


def preprocess(images: jax.Array) -> jax.Array:
  """The network's input of RGB images: BGR, not scaled.

  Args:
    images: (..., H, W, 3) RGB, 0 to 255, integers or floats.

  Returns:
    (..., H, W, 3) floats, 0 to 255.
  """
  images = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32)
  return images[..., ::-1]


class Encoder(nn.Module):
  """E: image to the latent maps v, and the skip that F needs besides.

  Attributes:
    config: widths.
    dtype: type to compute in, see `layers`.
  """

  config: MobilenetPoseConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Encodes a batch of images.

    Args:
      images: (B, H, W, 3) as `preprocess` gives them; H and W multiples of 8.

    Returns:
      v (B, H/8, W/8, 2·branch), ≥ 0, behind a ReLU; skip (B, H/8, W/8, config.skip), any sign.

    Raises:
      ValueError: another shape.
    """
    layers.check_images(images)
    config = self.config
    x = relu6(SameConv(config.stem, 3, 2, dtype=self.dtype, name='Conv')(images))
    outputs = []
    for index, block in enumerate(config.blocks):
      x = self._block(x, block, f'expanded_conv_{index}' if index else 'expanded_conv')
      outputs.append(x)
    fine = outputs[config.fine]
    skip = jnp.concatenate([fine, upsample(x, fine.shape[1:3])], axis=-1)
    branches = []
    for branch in BRANCHES:
      x = skip
      for index, width in enumerate((config.width,) * 3 + (config.branch,), start=1):
        x = nn.relu(_separable(x, f'MConv_Stage1_{branch}_{index}', width, self.dtype))
      branches.append(x)
    return jnp.concatenate(branches, axis=-1), skip

  def _block(self, x: jax.Array, block: Block, name: str) -> jax.Array:
    shortcut = x
    if block.expand > 1:
      width = block.expand * x.shape[-1]
      x = relu6(layers.Conv(width, 1, dtype=self.dtype, name=f'{name}_expand')(x))
    x = relu6(Depthwise(3, block.stride, dtype=self.dtype, name=f'{name}_depthwise')(x))
    x = layers.Conv(
      block.width, 1, kernel_init=layers.he_init(1.0), dtype=self.dtype, name=f'{name}_project'
    )(x)
    return x + shortcut if x.shape == shortcut.shape else x


class Decoder(nn.Module):
  """F: latent maps to the 2D maps of every stage.

  Attributes:
    config: widths.
    dtype: type to compute in; the maps themselves are never narrower than the parameters, since
      peaks are read from them.
  """

  config: MobilenetPoseConfig
  dtype: DTypeLike | None = None

  def __call__(self, v: jax.Array, skip: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """The maps of all stages; the last are the best.

    Args:
      v: (B, h, w, 2·branch).
      skip: (B, h, w, config.skip).

    Returns:
      (PAF (B, h, w, num_paf), heat-maps (B, h, w, num_heat)) a stage.

    Raises:
      ValueError: other channels.
    """
    return self._stages(v, skip, last=BRANCHES)

  def heat(self, v: jax.Array, skip: jax.Array) -> jax.Array:
    """The last stage's heat-maps (B, h, w, num_heat) alone: without its PAF branch."""
    return self._stages(v, skip, last=BRANCHES[1:])[-1][-1]

  @nn.compact
  def _stages(
    self, v: jax.Array, skip: jax.Array, last: tuple[str, ...]
  ) -> list[tuple[jax.Array, ...]]:
    config = self.config
    if v.shape[-1] != 2 * config.branch or skip.shape[-1] != config.skip:
      raise ValueError(
        f'Decoder: v and skip must have {2 * config.branch} and {config.skip} channels, got '
        f'{v.shape} and {skip.shape}'
      )
    outputs = dict(zip(BRANCHES, (config.num_paf, config.num_heat), strict=True))
    halves = {'L1': v[..., : config.branch], 'L2': v[..., config.branch :]}
    first = last if config.num_stages == 1 else BRANCHES
    stages = [tuple(self._last(halves[b], f'MConv_Stage1_{b}', outputs[b]) for b in first)]
    for stage in range(2, config.num_stages + 1):
      x = jnp.concatenate([m.astype(skip.dtype) for m in stages[-1]] + [skip], axis=-1)
      wanted = last if stage == config.num_stages else BRANCHES
      stages.append(tuple(self._branch(x, f'MConv_Stage{stage}_{b}', outputs[b]) for b in wanted))
    return stages

  def _branch(self, x: jax.Array, name: str, features: int) -> jax.Array:
    for index in (1, 2, 3, 4):
      x = nn.relu(_separable(x, f'{name}_{index}', self.config.width, self.dtype))
    return self._last(x, name, features)

  def _last(self, x: jax.Array, name: str, features: int) -> jax.Array:
    # No dtype: in the parameters' precision.
    return _separable(x, f'{name}_5', features, None)


def _separable(x: jax.Array, name: str, width: int, dtype: DTypeLike | None) -> jax.Array:
  """A separable convolution of a stage: 3×3 in the layers 1 to 3, 1×1 in 4 and 5."""
  kernel = 3 if int(name[-1]) <= 3 else 1
  x = Depthwise(kernel, leak=1.0, dtype=dtype, name=f'{name}_depthwise')(x)
  return layers.Conv(width, 1, dtype=dtype, name=f'{name}_pointwise')(x)


class SameConv(nn.Module):
  """k×k convolution with TensorFlow's SAME padding.

  Attributes:
    features: channels of the output.
    kernel: k.
    stride: of both axes.
    dtype: see `layers`.
  """

  features: int
  kernel: int
  stride: int = 1
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k = self.kernel
    shape = (k, k, x.shape[-1], self.features)
    weights = self.param('kernel', layers.he_init(), shape, jnp.float32)
    bias = self.param('bias', initializers.zeros, (self.features,), jnp.float32)
    x, weights, bias = dtypes.promote_dtype(x, weights, bias, dtype=self.dtype)
    return bias + jax.lax.conv_general_dilated(
      x, weights, (self.stride,) * 2, same_padding(x.shape, k, self.stride),
      dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
    )


class Depthwise(nn.Module):
  """k×k convolution of each channel by itself, with TensorFlow's SAME padding.

  Attributes:
    kernel: k.
    stride: of both axes.
    leak: slope below 0 of the activation that follows, for the initial weights.
    dtype: see `layers`.
  """

  kernel: int
  stride: int = 1
  leak: float = 0.0
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k, c = self.kernel, x.shape[-1]
    weights = self.param('kernel', layers.he_init(self.leak), (k, k, 1, c), jnp.float32)
    bias = self.param('bias', initializers.zeros, (c,), jnp.float32)
    x, weights, bias = dtypes.promote_dtype(x, weights, bias, dtype=self.dtype)
    return depthwise(x, weights, self.stride) + bias


def depthwise(x: jax.Array, weights: jax.Array, stride: int = 1) -> jax.Array:
  """Depthwise convolution as k² products of shifted maps, with TensorFlow's SAME padding.

  XLA's own, a convolution with C groups, is slow on a CPU (processor time, jaxlib 0.10): 28²×512
  takes 11.4 ms against 0.7 ms, 112²×144 at stride 2 13.3 ms against 1.7 ms. The sum is one loop
  there; neither splitting the maps by phase first nor keeping XLA from merging it with its
  neighbours made it faster. On an accelerator it is one elementwise kernel, bound by memory as any
  depthwise convolution is: the same code there, by that argument and not by a measurement.

  Args:
    x: (B, H, W, C).
    weights: (k, k, 1, C).
    stride: of both axes.

  Returns:
    (B, ⌈H/stride⌉, ⌈W/stride⌉, C).
  """
  k = weights.shape[0]
  padding = same_padding(x.shape, k, stride)
  height, width = (-(-n // stride) for n in x.shape[1:3])
  x = jnp.pad(x, [(0, 0), *padding, (0, 0)])

  def shifted(i: int, j: int) -> jax.Array:
    ends = i + stride * (height - 1) + 1, j + stride * (width - 1) + 1
    return x[:, i : ends[0] : stride, j : ends[1] : stride]

  return sum(shifted(i, j) * weights[i, j, 0] for i in range(k) for j in range(k))


def same_padding(
  shape: tuple[int, ...], kernel: int, stride: int
) -> list[tuple[int, int]]:
  """TensorFlow's SAME zeros (before, after) on H and W of maps (B, H, W, C)."""
  totals = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in shape[1:3]]
  return [(total // 2, total - total // 2) for total in totals]


def upsample(x: jax.Array, size: tuple[int, int]) -> jax.Array:
  """Bilinear enlargement as TensorFlow 1 does it: align_corners false, no half-pixel centres.

  Args:
    x: (B, H, W, C).
    size: cells of the result, at least H and W.

  Returns:
    (B, *size, C).
  """
  for axis, cells in zip((1, 2), size, strict=True):
    n = x.shape[axis]
    at = np.arange(cells) * n / cells
    low = at.astype(int)
    high = np.minimum(low + 1, n - 1)
    shape = [1] * x.ndim
    shape[axis] = cells
    part = jnp.asarray((at - low).reshape(shape), x.dtype)
    x = jnp.take(x, low, axis) * (1 - part) + jnp.take(x, high, axis) * part
  return x


def relu6(x: jax.Array) -> jax.Array:
  """Clips to 0..6."""
  return jnp.clip(x, 0, 6)
