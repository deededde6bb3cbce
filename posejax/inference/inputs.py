"""What a run of inference is given: photographs and videos of a path, and what their results are
called.

A result is named by its input's path below the folder, ending included, as a text that any file and
JSON can hold. Names that are none, or too long for the endings that results add, are shortened and
end in a digest of the whole path, so that no two inputs meet.
"""

import hashlib
import os
import pathlib
from typing import NamedTuple

from posejax.data import images, photo_folders, videos
from posejax.data.images import ImageError
from posejax.inference.scene import Stamp

# Of the 255 bytes that systems take: the rest is for a digest, endings and temporary names.
MAX_NAME_BYTES = 180


class Inputs(NamedTuple):
  """Files to be read.

  Attributes:
    root: folder that names start from.
    photographs: in order.
    videos: in order.
    skipped: a line for each that the listing left out.
  """

  root: pathlib.Path
  photographs: tuple[pathlib.Path, ...]
  videos: tuple[pathlib.Path, ...]
  skipped: tuple[str, ...]


def find(path: pathlib.Path, output: pathlib.Path) -> Inputs:
  """The inputs of a photograph, a video, or a folder; equal files are inputs of their own.

  Args:
    path: the input.
    output: folder of the results; what lies in it is no input.

  Raises:
    ImageError: a folder that cannot be listed, or without photographs and videos.
  """
  if os.path.isdir(path):
    listing = photo_folders.list_folder(path, keep_copies=True, without=output)
    return Inputs(
      path, listing.photographs, listing.videos, tuple(one.message for one in listing.skipped)
    )
  if path.suffix.lower() in videos.SUFFIXES:
    return Inputs(path.parent, (), (path,), ())
  return Inputs(path.parent, (path,), (), ())


def name(path: pathlib.Path, root: pathlib.Path) -> str:
  """The name of an input's result (module docstring)."""
  return shortened(path.relative_to(root).as_posix())


def shortened(given: str) -> str:
  """A path below a folder as the name of a result."""
  folder, _, last = images.printable(given).rpartition('/')
  short = last.encode()[:MAX_NAME_BYTES].decode(errors='ignore')
  if f'{folder}/{short}'.lstrip('/') == given:
    return given
  digest = hashlib.sha256(given.encode('utf-8', 'surrogateescape')).hexdigest()
  return f'{folder}/{short}~{digest[:12]}'.lstrip('/')


def stamp(path: pathlib.Path) -> Stamp:
  """What tells whether a file is still the one that a result was made of.

  Raises:
    ImageError: there is no such file, or it is not to be seen.
  """
  try:
    found = os.stat(path)
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or str(error)
    raise ImageError(path, f'cannot be read ({reason})', 'check the path and its rights') from None
  return Stamp(found.st_size, round(found.st_mtime, 6))
