"""T_s: flips, crops and in-plane rotations of images, and the same of what is in them.

  x' = z R(α) F (x − m) + m + s

m the image's middle, F a flip of x or not, α the turn (right to down, since y points down), z the
zoom, s a shift. Under T_s the fixed camera stays as it is: a person of depth d appears at depth
d / z, and scaling the focal length as well would count the zoom twice (spec/crossmodal.md, L_ss).

Symbols: N points, J joints, H W px; pixel centres at integers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry.arguments import as_float
from posejax.geometry.skeleton import Skeleton


class Transform(NamedTuple):
  """One T_s.

  Attributes:
    flip: () bool.
    angle: () rad.
    zoom: () > 0.
    shift: (2,) px.
  """

  flip: jax.Array
  angle: jax.Array
  zoom: jax.Array
  shift: jax.Array


def sample_transform(
  key: jax.Array, size: tuple[int, int], *, turn_deg: float, zoom: tuple[float, float],
  shift: float, flip: float = 0.5,
) -> Transform:
  """Draws a T_s.

  Args:
    key: random key.
    size: (H, W) px.
    turn_deg: largest turn, either way.
    zoom: range, drawn uniformly in the logarithm.
    shift: largest shift, as a share of the sides.
    flip: probability of a flip.
  """
  coin, angle, scale, x, y = jax.random.uniform(key, (5,))
  low, high = np.log(zoom[0]), np.log(zoom[1])
  return Transform(
    flip=coin < flip,
    angle=np.deg2rad(turn_deg) * (2 * angle - 1),
    zoom=jnp.exp(low + scale * (high - low)),
    shift=shift * jnp.stack([(2 * x - 1) * size[1], (2 * y - 1) * size[0]]),
  )


def transform_points(
  points: jax.Array, transform: Transform, size: tuple[int, int]
) -> jax.Array:
  """Where T_s takes points of the image.

  Args:
    points: (N, 2) px.
    transform: T_s.
    size: (H, W) px of the image.

  Returns:
    (N, 2) px.

  Raises:
    ValueError: wrong shape.
  """
  points = as_float('transform_points', 'points', points, ('N', 2))
  middle = _middle(size, points.dtype)
  x, y = (points - middle).T
  x = jnp.where(transform.flip, -x, x)
  cosine, sine = jnp.cos(transform.angle), jnp.sin(transform.angle)
  turned = jnp.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1)
  return transform.zoom * turned + middle + transform.shift


def transform_image(image: jax.Array, transform: Transform, fill: float = 0.5) -> jax.Array:
  """T_s of an image, bilinear.

  Args:
    image: (H, W, C) float.
    transform: T_s.
    fill: value outside the image.

  Returns:
    (H, W, C).

  Raises:
    ValueError: wrong shape.
  """
  image = as_float('transform_image', 'image', image, ('H', 'W', 'C'))
  height, width = image.shape[:2]
  middle = _middle((height, width), image.dtype)
  # Backwards: for each pixel of the result, the point of the image that it shows.
  x = (jnp.arange(width, dtype=image.dtype) - middle[0] - transform.shift[0]) / transform.zoom
  y = (jnp.arange(height, dtype=image.dtype) - middle[1] - transform.shift[1]) / transform.zoom
  cosine, sine = jnp.cos(transform.angle), jnp.sin(transform.angle)
  source_x = cosine * x[None, :] + sine * y[:, None]
  source_y = -sine * x[None, :] + cosine * y[:, None]
  source_x = jnp.where(transform.flip, -source_x, source_x) + middle[0]
  return _bilinear(image, source_x, source_y + middle[1], fill)


def _bilinear(image: jax.Array, x: jax.Array, y: jax.Array, fill: float) -> jax.Array:
  """Values of an image (H, W, C) at points x, y (h, w) px; `fill` beyond the outermost centres."""
  height, width, channels = image.shape
  # A frame of the fill colour, so that the border fades into it and no index needs a test.
  framed = jnp.pad(image, ((1, 1), (1, 1), (0, 0)), constant_values=fill)
  flat = framed.reshape(-1, channels)
  x, y = jnp.clip(x, -1, width) + 1, jnp.clip(y, -1, height) + 1
  left = jnp.clip(jnp.floor(x), 0, width)
  top = jnp.clip(jnp.floor(y), 0, height)
  share_x, share_y = (x - left)[..., None], (y - top)[..., None]
  corner = (top * (width + 2) + left).astype(jnp.int32)
  upper = flat[corner] * (1 - share_x) + flat[corner + 1] * share_x
  lower = flat[corner + width + 2] * (1 - share_x) + flat[corner + width + 3] * share_x
  return upper * (1 - share_y) + lower * share_y


def swap_sides(values: jax.Array, flip: jax.Array, skeleton: Skeleton) -> jax.Array:
  """What a flip does to the joints' names: right becomes left.

  Args:
    values: (J, ...) one row a joint.
    flip: () bool.
    skeleton: of the joints.
  """
  return jnp.where(flip, values[np.array(skeleton.flip_permutation)], values)


def jitter_colors(
  key: jax.Array, image: jax.Array, brightness: float, contrast: float, tint: float
) -> jax.Array:
  """Random brightness, contrast and tint of an image.

  Args:
    key: random key.
    image: (H, W, 3) in [0, 1].
    brightness: largest change of the mean.
    contrast: largest relative change of the contrast.
    tint: largest relative change of a channel.

  Returns:
    (H, W, 3) in [0, 1].
  """
  image = as_float('jitter_colors', 'image', image, ('H', 'W', 3))
  draws = 2 * jax.random.uniform(key, (5,), image.dtype) - 1
  mean = image.mean()
  image = (image - mean) * (1 + contrast * draws[0]) + mean + brightness * draws[1]
  return jnp.clip(image * (1 + tint * draws[2:]), 0, 1)


def _middle(size: tuple[int, int], dtype) -> jax.Array:
  return jnp.asarray([(size[1] - 1) / 2, (size[0] - 1) / 2], dtype)
