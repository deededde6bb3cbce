"""From light to pixels: tint, vignette, blur, display curve, noise, eight bits.

Symbols: H, W pixels. Linear RGB in, uint8 out. The display curve is a square root (gamma 2), which
is close to sRGB and costs no power function; colours are squared on their way in.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from posejax.synth.appearance import Sensor
from posejax.synth.planes import Planes, hold
from posejax.synth.textures import byte, mix_bits

_BLUR_SIDE = 128
# Larger than the widest blur of the domains, in px of a 128 px image.
_MAX_SIGMA = 1.2


def fingerprint(*arrays: jax.Array) -> jax.Array:
  """() uint32 that depends on every number: other views and other frames get other noise."""
  total = jnp.uint32(0)
  for array in arrays:
    flat = array.astype(jnp.float32).reshape(-1)
    bits = jax.lax.bitcast_convert_type(flat, jnp.uint32)
    order = jnp.arange(flat.shape[0], dtype=jnp.uint32)
    # Sums of integers wrap around and do not depend on the order of summation.
    total = mix_bits(total + jnp.sum(mix_bits(bits ^ mix_bits(order + 1)), dtype=jnp.uint32))
  return total


def _blur(image: Planes, sigma: jax.Array) -> Planes:
  """Gaussian blur of (H, W) planes, separable; edges are repeated."""
  height, width = image[0].shape
  radius = max(1, math.ceil(2 * _MAX_SIGMA * math.sqrt(max(height, width) / _BLUR_SIDE)))
  offsets = np.arange(-radius, radius + 1)
  weights = jnp.exp(-0.5 * (offsets.astype(sigma.dtype) / jnp.maximum(sigma, 1e-3)) ** 2)
  weights = weights / jnp.sum(weights)
  for axis, length in ((0, height), (1, width)):
    padding = [(radius, radius) if i == axis else (0, 0) for i in range(2)]
    padded = hold([jnp.pad(plane, padding, mode='edge') for plane in image])
    image = [
      sum(
        weights[i] * jax.lax.slice_in_dim(plane, i, i + length, axis=axis)
        for i in range(2 * radius + 1)
      ) for plane in padded
    ]
  return image


def expose(image: Planes, sensor: Sensor, mark: jax.Array) -> jax.Array:
  """The sensor's picture.

  Args:
    image: three (H, W) linear channels.
    sensor: its properties.
    mark: () uint32, see `fingerprint`.

  Returns:
    (H, W, 3) uint8.
  """
  height, width = image[0].shape
  dtype = image[0].dtype
  sensor = jax.tree.map(
    lambda x: x.astype(dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x, sensor
  )
  longer = max(height, width)
  y = (np.arange(height) - (height - 1) / 2) / (longer / 2)
  x = (np.arange(width) - (width - 1) / 2) / (longer / 2)
  corner = jnp.asarray(y[:, None] ** 2 + x[None] ** 2, dtype) / 2
  corner = 1 - sensor.vignette * corner
  image = [plane * sensor.gain[i] * corner for i, plane in enumerate(image)]
  # Highlights bend instead of clipping at once.
  image = [plane / (1 + 0.18 * plane) for plane in image]
  image = _blur(image, sensor.blur * math.sqrt(longer / _BLUR_SIDE))
  index = jnp.arange(height * width, dtype=jnp.uint32).reshape(height, width)
  seed = mix_bits(sensor.seed + mark)
  shown = []
  for channel, plane in enumerate(image):
    bits = mix_bits(index ^ mix_bits(seed + jnp.uint32(channel)))
    # The sum of four bytes, centred: variance 4 / 12, near enough to a Gaussian.
    gauss = (sum(byte(bits, i, dtype) for i in range(4)) - 2) * math.sqrt(3.0)
    bright = jnp.sqrt(jnp.clip(plane, 1e-8, 1)) + sensor.noise * gauss
    shown.append(hold(jnp.round(jnp.clip(bright, 0, 1) * 255)))
  return jnp.stack(shown, axis=-1).astype(jnp.uint8)
