"""Layers that several models share, in the form that XLA runs well on a CPU.

Axis letters: B batch, H W map cells, C channels, N = H·W; maps are channels last, (B, H, W, C).

Parameters are float32. `dtype` is the type that a layer computes in (bfloat16 on accelerators);
None takes the wider of input and parameters, so float32 parameters give float32 of a bfloat16 map.

Why not flax's own layers everywhere (forward and backward, 2 cores, batch 8, jaxlib 0.10):
  max pooling 2×2, 56×56×64     reduce_window 47.7 ms, maxima of slices 0.9 ms
  deconvolution 4×4, 7×7×128    dilated convolution 132 ms, four phase convolutions 7.4 ms,
                                resize + 3×3 16 ms, one convolution with 4 C outputs 397 ms
  1×1 convolution, 128 → 512    convolution 56 ms, one product of flattened maps 22 ms
  channel-wise dense, 7×7×128   batched product 0.6 ms, einsum 1.0 ms, broadcast and sum 26 ms
Dense k×k convolutions, stride 1 or 2, run at the rate of a matrix product (60 to 110 GFLOP/s) both
ways: neither space-to-depth nor im2col helped, not even on the three channels of an image.
"""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.linen import dtypes
from jax.nn import initializers
from jax.typing import DTypeLike

from posejax.geometry import vectors

_DIMENSIONS = ('NHWC', 'HWIO', 'NHWC')


def he_init(leak: float = 0.0, gain: float = 1.0) -> initializers.Initializer:
  """Normal weights that keep the variance of a (leaky) ReLU's input (He et al. 2015, Eq. 15).

  PyTorch's default has a sixth of this variance: eleven layers without normalisation, such as
  OpenPose's, would shrink their input by 6^-5.5 and not train from scratch.

  Args:
    leak: the activation's slope below 0; 1 for a layer without activation.
    gain: factor on the weights; small for a last layer that is to start near 0.
  """
  return initializers.variance_scaling(2 * gain**2 / (1 + leak**2), 'fan_in', 'truncated_normal')


class Conv(nn.Module):
  """k×k convolution with Caffe's padding, (k − 1) // 2 zeros on each side; a cross-correlation.

  With stride 2 take k = 4: its outputs lie in the middle of 2×2 input cells, where the coarser
  grid's cells are, and a mirrored input gives the mirrored output. With k = 3 they lie on every
  other input cell.

  Attributes:
    features: channels of the output.
    kernel: k.
    stride: 1 or 2.
    kernel_init: of the (k, k, in, out) weights; the bias starts at 0.
    dtype: see the module.
  """

  features: int
  kernel: int
  stride: int = 1
  kernel_init: initializers.Initializer = he_init()
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    k = self.kernel
    shape = (k, k, x.shape[-1], self.features)
    weights = self.param('kernel', self.kernel_init, shape, jnp.float32)
    bias = self.param('bias', initializers.zeros, (self.features,), jnp.float32)
    x, weights, bias = dtypes.promote_dtype(x, weights, bias, dtype=self.dtype)
    if k == 1 and self.stride == 1:
      # Flat, or the weights' gradient is a contraction over three axes, twice as slow.
      return (x.reshape(-1, x.shape[-1]) @ weights[0, 0] + bias).reshape(*x.shape[:-1], -1)
    return _convolve(x, weights, self.stride, [((k - 1) // 2,) * 2] * 2) + bias


class Deconv(nn.Module):
  """4×4 transposed convolution with stride 2: PyTorch's ConvTranspose2d(·, ·, 4, 2, 1).

  Output row 2m takes the taps 1 and 3 on the input rows m and m − 1, row 2m + 1 the taps 0 and 2
  on m + 1 and m: four 2×2 convolutions, whose outputs are interleaved.

  Attributes:
    features: channels of the output.
    leak: slope of the activation that follows, for the initial weights.
    dtype: see the module.
  """

  features: int
  leak: float = 0.0
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    # An output sees 4 of the 16 taps: a quarter of the fan that the shape tells.
    init = he_init(self.leak, gain=2.0)
    weights = self.param('kernel', init, (4, 4, x.shape[-1], self.features), jnp.float32)
    bias = self.param('bias', initializers.zeros, (self.features,), jnp.float32)
    x, weights, bias = dtypes.promote_dtype(x, weights, bias, dtype=self.dtype)
    b, h, w, _ = x.shape
    # weights[i] is tap 3 − i: stored as the correlation that the phases are, taps mirrored.
    rows = [
      jnp.stack(
        [_convolve(x, weights[i::2, j::2], 1, [(1 - i, i), (1 - j, j)]) for j in (0, 1)], axis=3
      )
      for i in (0, 1)
    ]
    return jnp.stack(rows, axis=2).reshape(b, 2 * h, 2 * w, self.features) + bias


class ChannelDense(nn.Module):
  """Channel-wise fully connected layer: each channel has its own H·W → H·W matrix and bias.

  It carries what one corner of a map shows to every other cell (Pathak et al. 2016); the map's size
  is part of the parameters. Channels do not mix: follow it by a 1×1 convolution.

  Attributes:
    leak: slope of the activation that follows, for the initial weights.
    dtype: see the module.
  """

  leak: float = 0.0
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    b, h, w, c = x.shape
    n = h * w
    init = initializers.variance_scaling(
      2 / (1 + self.leak**2), 'fan_in', 'truncated_normal', batch_axis=0
    )
    weights = self.param('kernel', init, (c, n, n), jnp.float32)
    bias = self.param('bias', initializers.zeros, (c, n), jnp.float32)
    x, weights, bias = dtypes.promote_dtype(x, weights, bias, dtype=self.dtype)
    mixed = x.reshape(b, n, c).transpose(2, 0, 1) @ weights + bias[:, None]
    return mixed.transpose(1, 2, 0).reshape(b, h, w, c)


def max_pool(x: jax.Array) -> jax.Array:
  """2×2 maximum with stride 2; equal maxima share the gradient.

  Args:
    x: (B, H, W, C), H and W even.

  Returns:
    (B, H/2, W/2, C).
  """
  top = jnp.maximum(x[:, ::2, ::2], x[:, ::2, 1::2])
  return jnp.maximum(top, jnp.maximum(x[:, 1::2, ::2], x[:, 1::2, 1::2]))


def unit_last(x: jax.Array, fallback: tuple[float, ...]) -> jax.Array:
  """Vectors along the last axis at length one; `fallback`, with gradient 0, where one has none.

  Args:
    x: (..., D).
    fallback: D numbers, length one.

  Returns:
    (..., D).
  """
  rows = jax.vmap(lambda row: vectors.unit_array(row, fallback))(x.reshape(-1, x.shape[-1]))
  return rows.reshape(x.shape)


def parameter_count(module: nn.Module, *shapes: tuple[int, ...], method: str | None = None) -> int:
  """Number of parameters that a module has for float32 inputs of these shapes; allocates nothing.

  Args:
    module: an unbound module.
    *shapes: one per argument, with the batch axis.
    method: what is called on the module, `__call__` by default: a method that reads a part of the
      layers tells how many parameters that part has.
  """
  inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
  key = jax.ShapeDtypeStruct((2,), jnp.uint32)
  variables = jax.eval_shape(lambda k, *x: module.init(k, *x, method=method), key, *inputs)
  return sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(variables['params']))


def _convolve(
  x: jax.Array, weights: jax.Array, stride: int, padding: list[tuple[int, int]]
) -> jax.Array:
  return jax.lax.conv_general_dilated(
    x, weights, (stride, stride), padding, dimension_numbers=_DIMENSIONS
  )


def check_images(images: jax.Array) -> None:
  """Raises ValueError unless images are (B, H, W, 3), H and W multiples of 8: an E's input."""
  if images.ndim != 4 or images.shape[-1] != 3 or images.shape[1] % 8 or images.shape[2] % 8:
    raise ValueError(
      'Encoder: images must have shape (B, H, W, 3) with H and W multiples of 8, got '
      f'{images.shape}'
    )
