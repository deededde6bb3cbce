"""Square views of photographs at a network's side, and the way back.

Symbols: W x H px of the photograph, S px of the network's square, e the view's left top edge and s
its scale. Pixels are (x, y) with centres at whole numbers, so an edge coordinate is x + 1/2:

  x_view = (x + 1/2 - e) s - 1/2        x = (x_view + 1/2) / s + e - 1/2

A view is a square of the photograph, as small or as large as one likes, and may reach beyond it:
`whole` holds all of it with its middle in the middle ("letterboxed"), `people_crops` gives views
around people. One scale for both axes and fractional edges: nothing is rounded to whole pixels, so
the map is exact and a principal point in the middle stays there.

Pixels are made on the host with Pillow, a triangle filter as wide as the pixels of the coarser grid
(antialiased), as if the photograph lay on a plane of `PAD`.
"""

import math
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from posejax.geometry import camera
from posejax.geometry.camera import Intrinsics

# The grey that the networks' normalisation maps to zero.
PAD = 128
# Pillow first shrinks by whole factors to so many times the wanted size: a fifth of the time on
# large photographs, and the places of points stay.
_REDUCING_GAP = 3.0
Array = np.ndarray | jax.Array


class View(NamedTuple):
  """A square of a photograph as a network sees it; a tree of arrays, stackable.

  Attributes:
    corner: (2,) e, the left top edge, edge coordinates of the photograph (x + 1/2), px.
    scale: () s, px of the view for each px of the photograph.
  """

  corner: Array
  scale: Array


def whole(width: int, height: int, side: int) -> View:
  """The view of a whole photograph: the longer side fills S, the middle stays in the middle.

  Args:
    width: W.
    height: H.
    side: S.

  Returns:
    View, float64.

  Raises:
    ValueError: a side is not positive.
  """
  if min(width, height, side) < 1:
    raise ValueError(f'whole: sides must be > 0 px, got {width}, {height}, {side}')
  extent = max(width, height)
  corner = (np.array([width, height], np.float64) - extent) / 2
  return View(corner, np.float64(side / extent))


def to_view(points: Array, view: View) -> Array:
  """Points of the photograph → points of the view.

  Args:
    points: (..., 2) px; NumPy or jax.
    view: one view.

  Returns:
    (..., 2) px of the view.
  """
  return (points + 0.5 - view.corner) * view.scale - 0.5


def to_photograph(points: Array, view: View) -> Array:
  """Points of the view → points of the photograph; the inverse of `to_view`.

  Args:
    points: (..., 2) px of the view; NumPy or jax.
    view: one view.

  Returns:
    (..., 2) px.
  """
  return (points + 0.5) / view.scale + view.corner - 0.5


def view_intrinsics(intrinsics: Intrinsics, view: View) -> Intrinsics:
  """Intrinsics of the photograph → of the view.

  Args:
    intrinsics: px of the photograph.
    view: one view.

  Returns:
    Intrinsics in px of the view.
  """
  return camera.scale_intrinsics(camera.crop_intrinsics(intrinsics, view.corner), view.scale)


def photograph_intrinsics(intrinsics: Intrinsics, view: View) -> Intrinsics:
  """Intrinsics of the view → of the photograph; the inverse of `view_intrinsics`.

  Args:
    intrinsics: px of the view.
    view: one view.

  Returns:
    Intrinsics in px of the photograph.
  """
  return camera.crop_intrinsics(camera.scale_intrinsics(intrinsics, 1 / view.scale), -view.corner)


def cut(pixels: np.ndarray, view: View, side: int) -> np.ndarray:
  """The pixels of a view.

  Args:
    pixels: (H, W, 3) uint8 photograph.
    view: one view, NumPy.
    side: S.

  Returns:
    (S, S, 3) uint8; `PAD` beyond the photograph.

  Raises:
    ValueError: wrong shape or type, a side below 1, a view that is not finite or has no scale.
  """
  if pixels.ndim != 3 or pixels.shape[2] != 3 or pixels.dtype != np.uint8 or not pixels.size:
    raise ValueError(f'cut: pixels must be (H, W, 3) uint8, got {pixels.dtype}{pixels.shape}')
  scale, corner = float(view.scale), [float(x) for x in view.corner]
  if side < 1 or not (scale > 0 and all(map(math.isfinite, [scale, *corner]))):
    raise ValueError(f'cut: no such view: {view}, side {side}')
  result = np.full((side, side, 3), PAD, np.uint8)
  (x, left, right, from_x, to_x), (y, top, bottom, from_y, to_y) = (
    _span(length, edge, scale, side) for length, edge in zip(pixels.shape[1::-1], corner,
                                                            strict=True)
  )
  if x.start >= x.stop or y.start >= y.stop:
    return result
  source = _padded(pixels, left, right, top, bottom)
  image = Image.fromarray(source).resize(
    (x.stop - x.start, y.stop - y.start), Image.Resampling.BILINEAR,
    box=(from_x - left, from_y - top, to_x - left, to_y - top), reducing_gap=_REDUCING_GAP,
  )
  result[y, x] = np.asarray(image)
  return result


def _span(
  length: int, edge: float, scale: float, side: int
) -> tuple[slice, int, int, float, float]:
  """Of one axis: the view's pixels that the photograph reaches, and what they are made from.

  Returns:
    (pixels of the view, first and last + 1 pixel that the filter reads, edges of those pixels);
    the last four in edge coordinates of the photograph.
  """
  # The triangle reaches one pixel of the coarser grid to each side.
  reach = max(1 / scale, 1)
  first = max(0, math.floor((-edge - reach) * scale))
  last = min(side, math.ceil((length - edge + reach) * scale))
  start, stop = edge + first / scale, edge + last / scale
  margin = 2 * reach + 1  # twice, for what the first shrinking reads
  return (
    slice(first, last), math.floor(start - margin), math.ceil(stop + margin), start, stop
  )


def _padded(pixels: np.ndarray, left: int, right: int, top: int, bottom: int) -> np.ndarray:
  """The photograph from (left, top) to (right, bottom), `PAD` beyond it."""
  height, width = pixels.shape[:2]
  inner = pixels[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
  margins = (max(-top, 0), max(bottom - height, 0)), (max(-left, 0), max(right - width, 0))
  if not any(map(any, margins)):
    return np.ascontiguousarray(inner)
  return np.pad(inner, (*margins, (0, 0)), constant_values=PAD)
