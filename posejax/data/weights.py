"""Files of network weights from elsewhere: one error, and arrays of an `.npz` read without trust.

Such a file is a zip of `.npy` members. NumPy's own reader would evaluate their headers as Python
literals and allocate what these ask for; here a header is matched against the one form that
`numpy.savez` writes for a float32 array, its shape against the one that is wanted, and no more than
that many bytes are taken from the member, whatever it could be inflated to. Nothing is unpickled.
"""

import contextlib
import math
import os
import pathlib
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

MAX_FILE_BYTES = 512 * 2**20
# A member of `zipfile`'s directory takes half a kilobyte of memory for its 46 bytes.
MAX_DIRECTORY_BYTES = 2**20
_MAGIC = b'\x93NUMPY\x01\x00'
_HEADER = re.compile(
  rb"\{'descr': '<f4', 'fortran_order': (False|True), 'shape': \(((?:\d{1,9}, ?)*\d{0,9})\), \} *\n"
)
_BROKEN = (
  zipfile.BadZipFile, zlib.error, struct.error, EOFError, NotImplementedError, RuntimeError,
  ValueError, OverflowError, OSError,
)


class WeightsError(ValueError):
  """A file of weights cannot be used. One line: file, place in it, what is wrong, what to do.

  Attributes:
    source: the file's name.
    place: where in the file, '' for the whole of it.
    reason: what is wrong, and what to do.
  """

  def __init__(self, source: str | os.PathLike, place: str, reason: str):
    self.source, self.place, self.reason = os.fspath(source), place, reason
    # `ascii`, as names come from the file: no line ends, no control characters on a terminal.
    super().__init__(': '.join(filter(None, (self.source, place, reason))))


def file_size(path: str | os.PathLike) -> int:
  """Bytes of a regular file within the cap; asked before any of it is read.

  Raises:
    WeightsError: no regular file, or a larger one.
  """
  try:
    status = pathlib.Path(path).stat()
  except (OSError, ValueError) as error:
    reason = getattr(error, 'strerror', None) or error
    raise WeightsError(path, '', f'cannot be read ({reason}); give a file that is there') from None
  if not pathlib.Path(path).is_file():
    raise WeightsError(path, '', 'is no file; give the file of the weights itself')
  if status.st_size > MAX_FILE_BYTES:
    raise WeightsError(
      path, '', f'{status.st_size} bytes, and more than {MAX_FILE_BYTES} are not read; this is '
      'another network, or damaged: give another file'
    )
  return status.st_size


class NpzReader:
  """The arrays of an open file; made by `open_npz`.

  Attributes:
    source: the file's name.
    names: names of the arrays, in the file's order.
  """

  def __init__(self, source: str, file: zipfile.ZipFile):
    self.source, self._file = source, file
    self.names = tuple(n.removesuffix('.npy') for n in file.namelist() if n.endswith('.npy'))

  def shape(self, name: str) -> tuple[int, ...]:
    """Shape of an array, of its header alone."""
    with self._member(name) as member:
      return self._header(name, member)[0]

  def read(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Reads one array.

    Args:
      name: one of `names`.
      shape: what it must have.

    Returns:
      A float32 array of that shape, all finite.

    Raises:
      WeightsError: missing, not of float32, another shape, cut short, damaged, not finite.
    """
    with self._member(name) as member:
      found, order = self._header(name, member)
      if found != tuple(shape):
        raise self._error(name, f'shape {found} in the place of {tuple(shape)}')
      size = 4 * math.prod(shape)
      # One byte more than there should be: zipfile compares checksums at a member's very end.
      data = member.read(size + 1)
    if len(data) != size:
      raise self._error(name, f'not the {size} bytes that its shape {found} takes')
    array = np.frombuffer(data, '<f4').reshape(shape, order=order).astype(np.float32, order='C')
    if not np.isfinite(array).all():
      raise self._error(name, 'holds numbers that are not finite')
    return array

  @contextlib.contextmanager
  def _member(self, name: str) -> Iterator[zipfile.ZipExtFile]:
    try:
      member = self._file.getinfo(name + '.npy')
    except KeyError:
      raise self._error(name, 'is missing') from None
    # The other methods inflate without a limit.
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
      raise self._error(name, f'compressed by method {member.compress_type}')
    try:
      with self._file.open(member) as file:
        yield file
    except WeightsError:
      raise
    except _BROKEN as error:
      raise self._error(name, f'damaged ({_first_line(error)})') from None

  def _header(
    self, name: str, member: zipfile.ZipExtFile
  ) -> tuple[tuple[int, ...], Literal['C', 'F']]:
    """Shape of an array, and the order in which its numbers are stored."""
    start = member.read(10)
    if len(start) < 10 or start[:8] != _MAGIC:
      raise self._error(name, 'does not begin as a .npy file of version 1.0')
    header = member.read(int.from_bytes(start[8:], 'little'))
    found = _HEADER.fullmatch(header)
    if not found:
      raise self._error(name, f'is no plain float32 array: {header[:80]!a}')
    shape = tuple(int(size) for size in found[2].split(b',') if size.strip())
    return shape, 'F' if found[1] == b'True' else 'C'

  def _error(self, name: str, reason: str) -> WeightsError:
    return WeightsError(self.source, ascii(name)[1:-1], f'{reason}; convert the weights again')


@contextlib.contextmanager
def open_npz(path: str | os.PathLike) -> Iterator[NpzReader]:
  """Opens an `.npz` of float32 arrays.

  Raises:
    WeightsError: no file, too large, no zip, a directory beyond what weights need, cannot be read.
  """
  source, size = os.fspath(path), file_size(path)
  with contextlib.ExitStack() as stack:
    try:
      file = stack.enter_context(open(path, 'rb'))
      _check_directory(source, file, size)
      archive = stack.enter_context(zipfile.ZipFile(file))
    except WeightsError:
      raise
    except OSError as error:
      raise WeightsError(source, '', f'cannot be read ({error.strerror or error})') from None
    except _BROKEN as error:
      raise WeightsError(
        source, '', f'no sound .npz ({_first_line(error)}); convert the weights again'
      ) from None
    yield NpzReader(source, archive)


def _check_directory(source: str, file, size: int) -> None:
  """Caps the zip's directory, which `zipfile` reads as a whole."""
  file.seek(max(size - 42, 0))
  end = file.read(42)
  record = end[-22:]
  if len(record) < 22 or record[:4] != b'PK\x05\x06' or end[:4] == b'PK\x06\x07':
    raise WeightsError(
      source, '', 'does not end as an .npz does, it may be cut short; convert the weights again'
    )
  length = int.from_bytes(record[12:16], 'little')
  if length > MAX_DIRECTORY_BYTES:
    raise WeightsError(
      source, '', f'its list of arrays takes {length} bytes; convert the weights again'
    )


def write_npz(path: str | os.PathLike, arrays: Mapping[str, np.ndarray]) -> None:
  """Writes float32 arrays to a new file, which is whole or is not there.

  Raises:
    WeightsError: a file of that name exists, or writing failed; nothing is left behind.
  """
  path = pathlib.Path(path)
  exists = WeightsError(path, '', 'is there already and is not overwritten; choose another name')
  if path.exists() or path.is_symlink():
    raise exists
  plain = {name: np.asarray(a, '<f4', order='C') for name, a in arrays.items()}
  temporary = path.with_name(f'.{path.name}.{os.getpid()}.tmp')
  try:
    with temporary.open('xb') as file:
      np.savez(file, **plain)
      file.flush()
      os.fsync(file.fileno())
    # A second name, not a renaming: it fails where another process was faster.
    os.link(temporary, path)
  except FileExistsError:
    raise exists from None
  except OSError as error:
    raise WeightsError(
      path, '', f'cannot be written ({error.strerror or error}); choose another folder'
    ) from None
  finally:
    temporary.unlink(missing_ok=True)


def _first_line(error: Exception) -> str:
  return ascii((str(error).splitlines() or [type(error).__name__])[0][:80])[1:-1]
