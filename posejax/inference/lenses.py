"""The camera of an input and, in words, where it comes from: stated, read, or assumed."""

import math

import numpy as np

from posejax.data.images import ASSUMED_FIELD_OF_VIEW
from posejax.geometry.camera import Intrinsics
from posejax.inference.options import Options
from posejax.inference.scene import Lens, Source

_ASSUMED = 'assumed field of view: {angle}; depths are right as far as it is'


def of_picture(
  size: tuple[int, int], intrinsics: Intrinsics, source: Source, options: Options
) -> Lens:
  """The camera of a photograph or video.

  Args:
    size: (W, H) px.
    intrinsics: that its reader found.
    source: where it found them.
    options: a focal length in px comes first.
  """
  focal, center = np.asarray(intrinsics.focal, float), np.asarray(intrinsics.center, float)
  if options.focal_px is not None:
    return _of_flag(options.focal_px, center)
  angle = _angle(focal[0], size)
  note = {
    'flag': f'--fov_deg: {angle}', 'exif': f'EXIF, 35-mm equivalent focal length: {angle}',
    'assumed': _ASSUMED.format(angle=angle),
  }[source]
  return Lens(focal, center, source, note)


def of_poses(
  size: tuple[int, int], focal: np.ndarray | None, center: np.ndarray | None, options: Options
) -> Lens:
  """The camera that 2D poses were seen by.

  Args:
    size: (W, H) px of the picture.
    focal: (2,) px that the file says, or None.
    center: (2,) px likewise; the picture's middle where None.
    options: a focal length or field of view comes first.
  """
  middle = (np.asarray(size, float) - 1) / 2 if center is None else center
  if options.focal_px is not None:
    return _of_flag(options.focal_px, middle)
  if options.fov_deg is None and focal is not None:
    return Lens(focal, middle, 'flag', 'those of the file of 2D poses')
  degrees = ASSUMED_FIELD_OF_VIEW if options.fov_deg is None else options.fov_deg
  length = max(size) / 2 / math.tan(math.radians(degrees) / 2)
  angle = _angle(length, size)
  if options.fov_deg is None:
    return Lens(np.full(2, length), middle, 'assumed', _ASSUMED.format(angle=angle))
  return Lens(np.full(2, length), middle, 'flag', f'--fov_deg: {angle}')


def _of_flag(focal_px: float, center: np.ndarray) -> Lens:
  return Lens(np.full(2, float(focal_px)), center, 'flag', f'--focal_px={focal_px:g}')


def _angle(focal: float, size: tuple[int, int]) -> str:
  degrees = 2 * math.degrees(math.atan(max(size) / 2 / focal))
  return f'{degrees:.1f} degrees along the longer side'
