"""Photographs read without trusting them: bytes → RGB pixels and the camera's intrinsics.

Symbols: W x H px of a photograph as it is looked at, after its EXIF orientation. Pixels are (x, y)
with centres at whole numbers (`geometry.camera`).

Formats are those of `FORMATS` alone, by content and not by name; Pillow's other readers are never
tried. Sizes are read from the header and capped before anything is decoded. Whatever else is wrong
is an `ImageError`, one line with the file, the reason and what to do.

What becomes of pixels that are no RGB: grey is repeated, palettes are looked up, CMYK is converted
as Pillow does it without colour profiles, 16 bits keep their upper 8, what is transparent lies over
white, of an animation the first frame is taken (`Photograph.notes` says so).

Intrinsics: a flag's field of view, or EXIF's 35-mm equivalent focal length f35, which is defined
over the diagonal of the 36 x 24 mm frame (CIPA DC-008): f = f35 sqrt(W² + H²) / 43.27 mm; else
assumed, f = the longer side as in `geometry.camera.fixed_intrinsics` [P]. The principal point is
the middle.
"""

import hashlib
import io
import math
import numbers
import os
import pathlib
import stat
import warnings
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image

from posejax.geometry.camera import Intrinsics

Source = Literal['flag', 'exif', 'assumed']
FORMATS = ('JPEG', 'PNG', 'WEBP', 'BMP', 'GIF')
SUFFIXES = ('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.gif')
# A WebP with alpha, which must be turned, needs most: 23 bytes a pixel beside its file. So this
# stays below 1 GB.
MAX_PIXELS = 37_000_000
MAX_SIDE = 32_767
MAX_FILE_BYTES = 128 * 2**20
# Along the longer side: f = that side.
ASSUMED_FIELD_OF_VIEW = 2 * math.degrees(math.atan(0.5))

_FRAME_DIAGONAL_MM = math.hypot(36, 24)
# From fisheye to telescope; EXIF writes 0 for "unknown".
_FOCAL_35_MM = (4.0, 4000.0)
# A picture whose sides are no longer in the ratio that EXIF tells was cropped after it was taken.
_SAME_RATIO = 0.02
_ORIENTATION, _EXIF, _FOCAL_35, _EXIF_WIDTH, _EXIF_HEIGHT = 0x112, 0x8769, 0xA405, 0xA002, 0xA003
# Orientation → what makes the picture upright (EXIF 2.32, 4.6.4.A).
_TURNS = {
  2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180,
  4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270,
  7: Image.Transpose.TRANSVERSE, 8: Image.Transpose.ROTATE_90,
}
_SENTENCE = 120  # characters of a library's own message


class ImageError(ValueError):
  """A file that gives no picture. One line: "walk.jpg: what is wrong; what to do".

  Attributes:
    source: the file's name.
    reason: what is wrong.
    advice: what to do.
  """

  def __init__(self, source: str | os.PathLike, reason: str, advice: str):
    super().__init__(source, reason, advice)
    self.source, self.reason, self.advice = printable(os.fspath(source)), reason, advice

  def __str__(self) -> str:
    return f'{self.source}: {self.reason}; {self.advice}'


class Photograph(NamedTuple):
  """One picture.

  Attributes:
    pixels: (H, W, 3) uint8, sRGB, upright.
    intrinsics: of this picture, px, float64.
    intrinsics_from: 'flag', 'exif', or 'assumed'.
    digest: SHA-256 of the file, hexadecimal.
    notes: what a user should know, such as 'the first of several frames'.
  """

  pixels: np.ndarray
  intrinsics: Intrinsics
  intrinsics_from: Source
  digest: str
  notes: tuple[str, ...] = ()


class Skipped(NamedTuple):
  """A file that was passed over.

  Attributes:
    path: the file.
    message: one line with the file, the reason and what to do.
  """

  path: pathlib.Path
  message: str


def read_image(path: str | os.PathLike, field_of_view: float | None = None) -> Photograph:
  """Reads one photograph.

  Args:
    path: a regular file.
    field_of_view: degrees along the longer side, in place of what EXIF says.

  Returns:
    The photograph.

  Raises:
    ImageError: no such file, not to be read, too large, no picture, or a damaged one.
    ValueError: field_of_view is not in (0, 180).
  """
  return decode_image(read_bytes(path), os.fspath(path), field_of_view)


def read_images(
  paths: Iterable[str | os.PathLike], field_of_view: float | None = None
) -> Iterator[tuple[pathlib.Path, Photograph] | Skipped]:
  """Reads photographs one by one; what cannot be read comes as `Skipped`, in its place.

  Args:
    paths: the files.
    field_of_view: see `read_image`.

  Yields:
    (path, photograph), or what was skipped and why.
  """
  for path in map(pathlib.Path, paths):
    try:
      yield path, read_image(path, field_of_view)
    except ImageError as error:
      yield Skipped(path, str(error))


def read_bytes(path: str | os.PathLike) -> bytes:
  """The bytes of a photograph's file.

  Args:
    path: a regular file of at most `MAX_FILE_BYTES`.

  Raises:
    ImageError: no such file, not to be read, no regular file, empty or too large.
  """
  try:
    # Asked before it is opened: to open a pipe waits until somebody writes into it.
    if not stat.S_ISREG(os.stat(path).st_mode):
      what = 'a folder' if os.path.isdir(path) else 'no regular file'
      raise ImageError(path, f'{what}, not a photograph', 'give a file')
    with open(path, 'rb') as file:
      data = file.read(MAX_FILE_BYTES + 1)
  except (OSError, ValueError) as error:  # ValueError: a NUL in the name
    if isinstance(error, ImageError):
      raise
    reason = getattr(error, 'strerror', None) or str(error)
    raise ImageError(path, f'cannot be read ({reason})', 'check the path and its rights') from None
  if not data:
    raise ImageError(path, 'is empty (0 bytes)', 'take it out, or copy it again')
  if len(data) > MAX_FILE_BYTES:
    raise ImageError(path, f'is larger than {MAX_FILE_BYTES // 2**20} MiB', 'shrink it first')
  return data


def decode_image(data: bytes, source: str, field_of_view: float | None = None) -> Photograph:
  """Decodes the bytes of a photograph.

  Args:
    data: the whole file.
    source: the file's name, for messages.
    field_of_view: see `read_image`.

  Returns:
    The photograph.

  Raises:
    ImageError: no picture of `FORMATS`, too many pixels, or damaged.
    ValueError: field_of_view is not in (0, 180).
  """
  check_field_of_view(field_of_view)
  _check_webp_size(data, source)
  with warnings.catch_warnings():
    # Pillow warns of odd EXIF and of large pictures: ours is the cap, and the message one line.
    warnings.simplefilter('ignore')
    try:
      image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.UnidentifiedImageError:
      raise ImageError(
        source, f'no picture of a known format ({", ".join(FORMATS)})', 'convert it or take it out'
      ) from None
    except Image.DecompressionBombError:
      raise _too_large(source, f'has more than {MAX_PIXELS} pixels') from None
    # Bytes from anywhere: Pillow's readers raise whatever the bad byte led to (struct.error,
    # SyntaxError, KeyError, ...), and each of them means the same to a user.
    except Exception as error:
      raise _damaged(source, error) from None
    with image:
      _check_size(image.size, source)
      try:
        return _photograph(image, hashlib.sha256(data).hexdigest(), field_of_view)
      except Exception as error:  # as above
        raise _damaged(source, error) from None


def check_field_of_view(field_of_view: float | None) -> None:
  """Raises ValueError unless it is None or in (0, 180) degrees."""
  if field_of_view is not None and not 0 < field_of_view < 180:
    raise ValueError(f'field_of_view must be in (0, 180) degrees, got {field_of_view}')


def intrinsics_of(
  size: tuple[int, int], field_of_view: float | None = None, focal_35: float | None = None
) -> tuple[Intrinsics, Source]:
  """Intrinsics of a picture from what is known, in this order; see the module.

  Args:
    size: (W, H) px.
    field_of_view: degrees along the longer side, in (0, 180).
    focal_35: mm, 35-mm equivalent.

  Returns:
    (Intrinsics in px, float64, and where they are from).
  """
  source = 'flag' if field_of_view is not None else 'exif' if focal_35 else 'assumed'
  if source == 'exif':
    focal = focal_35 / _FRAME_DIAGONAL_MM * math.hypot(*size)
  else:
    angle = ASSUMED_FIELD_OF_VIEW if field_of_view is None else field_of_view
    focal = max(size) / (2 * math.tan(math.radians(angle) / 2))
  center = (np.asarray(size, np.float64) - 1) / 2
  return Intrinsics(focal=np.full(2, focal), center=center), source


def printable(text: str) -> str:
  """A file's name in one line that can be written anywhere."""
  return ''.join(letter if letter.isprintable() else '?' for letter in text)


def _damaged(source: str, error: Exception) -> ImageError:
  words = printable(' '.join(str(error).split()))[:_SENTENCE] or type(error).__name__
  return ImageError(source, f'is damaged ({words})', 'take it out, or copy it again')


def _too_large(source: str, reason: str) -> ImageError:
  return ImageError(source, reason, 'shrink it first')


def _check_size(size: tuple[int, int], source: str) -> None:
  width, height = size
  if min(size) < 1:
    raise ImageError(source, f'has {width} x {height} px', 'take it out')
  if max(size) > MAX_SIDE:
    raise _too_large(source, f'{width} x {height} px: a side is longer than {MAX_SIDE} px')
  if width * height > MAX_PIXELS:
    raise _too_large(source, f'{width} x {height} px are more than {MAX_PIXELS} pixels')


def _check_webp_size(data: bytes, source: str) -> None:
  """Pillow's WebP reader makes room for the picture as soon as it opens it: asked before."""
  if data[:4] != b'RIFF' or data[8:12] != b'WEBP' or len(data) < 30:
    return
  kind = data[12:16]
  if kind == b'VP8X':  # width - 1 and height - 1, 24 bits each
    size = (int.from_bytes(data[24:27], 'little') + 1, int.from_bytes(data[27:30], 'little') + 1)
  elif kind == b'VP8L':  # after the signature 0x2f: 14 bits each
    bits = int.from_bytes(data[21:25], 'little')
    size = ((bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1)
  else:  # VP8: after the frame's tag and its start code, 14 bits each
    size = tuple(int.from_bytes(data[i : i + 2], 'little') & 0x3FFF for i in (26, 28))
  _check_size(size, source)


def _photograph(image: Image.Image, digest: str, field_of_view: float | None) -> Photograph:
  image.load()
  exif = _exif(image)
  upright = _rgb(image)
  turn = _TURNS.get(exif.get(_ORIENTATION))
  if turn is not None:
    upright = upright.transpose(turn)
  # Last, for it may read on. A JPEG's further pictures (MPO) are no animation.
  moves = image.format in ('GIF', 'PNG', 'WEBP') and _moves(image)
  notes = ('the first of several frames',) if moves else ()
  intrinsics, source = intrinsics_of(upright.size, field_of_view, _focal_35(exif, upright.size))
  return Photograph(np.array(upright), intrinsics, source, digest, notes)


def _moves(image: Image.Image) -> bool:
  try:
    return bool(getattr(image, 'is_animated', False))
  except Exception:  # a damaged second frame is none of ours
    return False


def _rgb(image: Image.Image) -> Image.Image:
  """Any mode → RGB, see the module."""
  if image.mode.startswith('I'):  # 16 bits: 'I;16' and its relatives; 'I' in older files
    upper = np.clip(np.asarray(image) >> 8, 0, 255)
    return Image.fromarray(upper.astype(np.uint8)).convert('RGB')
  if image.has_transparency_data:
    layer = image if image.mode == 'RGBA' else image.convert('RGBA')
    white = Image.new('RGB', image.size, (255, 255, 255))
    white.paste(layer, mask=layer.getchannel('A'))
    return white
  return image if image.mode == 'RGB' else image.convert('RGB')


def _exif(image: Image.Image) -> dict[int, object]:
  """The tags that matter; none where EXIF is damaged, which is no reason to lose the picture."""
  tags = {}
  try:
    exif = image.getexif()
    tags[_ORIENTATION] = exif.get(_ORIENTATION)
    inner = exif.get_ifd(_EXIF)
    tags |= {tag: inner.get(tag) for tag in (_FOCAL_35, _EXIF_WIDTH, _EXIF_HEIGHT)}
  except Exception:  # as in `decode_image`
    pass
  return {tag: value for tag, value in tags.items() if isinstance(value, numbers.Real)}


def _focal_35(exif: dict[int, object], size: tuple[int, int]) -> float | None:
  """mm, or None where it is not known or no longer true."""
  focal = float(exif.get(_FOCAL_35, 0))
  if not _FOCAL_35_MM[0] <= focal <= _FOCAL_35_MM[1]:
    return None
  taken = sorted((exif.get(_EXIF_WIDTH, 0), exif.get(_EXIF_HEIGHT, 0)))
  if taken[0] > 0:
    ratio = taken[1] / taken[0] * min(size) / max(size)
    if abs(math.log(ratio)) > _SAME_RATIO:
      return None
  return focal
