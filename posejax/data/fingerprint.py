"""A digest of a file's or folder's content, for the cache keys of what is made from it."""

import hashlib
import os
import pathlib

_CHUNK = 1 << 20


class MissingError(ValueError):
  """A file or folder that a config names cannot be read. One line: which, why."""


def content(path: str | os.PathLike) -> str:
  """SHA-256 of a file, or of all names and contents of a folder; '' of an empty path.

  Hidden files and links to folders are passed over.

  Raises:
    MissingError: it is not there, or a file of it cannot be read.
  """
  if not os.fspath(path):
    return ''
  root, digest = pathlib.Path(path), hashlib.sha256()
  try:
    if not root.is_dir():
      _add(digest, root)
      return digest.hexdigest()
    for folder, folders, names in os.walk(root):
      folders[:] = sorted(name for name in folders if not name.startswith('.'))
      for name in sorted(name for name in names if not name.startswith('.')):
        file = pathlib.Path(folder, name)
        # Lengths before contents: no two trees give the same bytes.
        label = os.fsencode(file.relative_to(root))
        digest.update(f'{len(label)} {file.stat().st_size} '.encode() + label)
        _add(digest, file)
  except OSError as error:
    raise MissingError(f'{error.filename or root}: cannot be read ({error.strerror})') from None
  return digest.hexdigest()


def _add(digest, file: pathlib.Path) -> None:
  with file.open('rb') as opened:
    while chunk := opened.read(_CHUNK):
      digest.update(chunk)
