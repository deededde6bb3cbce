"""A digest of a file's or folder's content, for the cache keys of what is made from it."""

import hashlib
import os
import pathlib
import stat

_CHUNK = 1 << 20


class MissingError(ValueError):
  """A file or folder that a config names cannot be read. One line: which, why."""


def content(path: str | os.PathLike) -> str:
  """SHA-256 of a file, or of all names and contents of a folder; '' of an empty path.

  Of a folder, hidden files, links to folders, and what is no regular file are passed over, and a
  file that cannot be read counts by its name: whoever reads the folder skips and lists it.

  Raises:
    MissingError: it is not there, or a file cannot be read, or is none.
  """
  if not os.fspath(path):
    return ''
  root, digest = pathlib.Path(path), hashlib.sha256()
  try:
    mode = os.stat(root).st_mode
    if stat.S_ISREG(mode):
      _add(digest, root)
      return digest.hexdigest()
    if not stat.S_ISDIR(mode):
      raise MissingError(f'{printable(root)}: neither a file nor a folder')
    for folder, folders, names in os.walk(root):
      folders[:] = sorted(name for name in folders if not name.startswith('.'))
      for name in sorted(name for name in names if not name.startswith('.')):
        _add_entry(digest, root, pathlib.Path(folder, name))
  except (OSError, ValueError) as error:
    if isinstance(error, MissingError):
      raise
    reason = getattr(error, 'strerror', None) or error
    raise MissingError(f'{printable(root)}: cannot be read ({reason})') from None
  return digest.hexdigest()


def printable(path: str | os.PathLike) -> str:
  """A name for a terminal: no line ends, no control characters."""
  return ''.join(
    letter if letter.isprintable() else ascii(letter)[1:-1] for letter in os.fspath(path)
  )


def _add_entry(digest, root: pathlib.Path, file: pathlib.Path) -> None:
  label = os.fsencode(file.relative_to(root))
  try:
    status = os.stat(file)
    if not stat.S_ISREG(status.st_mode):  # a pipe would never end
      return
    inner = hashlib.sha256()
    _add(inner, file)
    told = inner.digest()
  except OSError:
    told = b'unreadable'
  # Lengths before contents: no two trees give the same bytes.
  digest.update(f'{len(label)} {len(told)} '.encode() + label + told)


def _add(digest, file: pathlib.Path) -> None:
  with open(file, 'rb') as opened:
    while chunk := opened.read(_CHUNK):
      digest.update(chunk)
