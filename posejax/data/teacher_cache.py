"""What a function gives for each file, kept on disk, so that a run that was killed goes on.

A row is a dict of arrays. It is kept under a key made of hashes of what determines it: the
function's weights, its settings, and the bytes of the file; names and dates do not matter, so a
file that is moved or renamed keeps its row.

Layout: `<folder>/<two digits>/<key>.row`: a line that tells the format, the SHA-256 of the rest as
a line, then the arrays as an uncompressed .npz without pickles. Rows are written beside their place
and renamed: a row is whole or is not there. One whose hash is wrong is made again. The hash finds
damage, not malice: keep the folder where only you can write.

Two runs may share a folder: both write the same rows.
"""

import collections
import hashlib
import io
import json
import os
import pathlib
import time
import zipfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

import numpy as np
import tqdm

from posejax.data import images
from posejax.data.images import ImageError, Skipped

Row = dict[str, np.ndarray]
T = TypeVar('T')

_FORMAT = b'posejax row 1\n'
_DIGEST_BYTES = 65  # hexadecimal and a line's end
_MAX_ROW_BYTES = 2**30
_STALE_SECONDS = 24 * 3600
# What reading a damaged npz raises, once the hash is right: a row of another version.
_UNREADABLE = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile)


class CacheError(RuntimeError):
  """The cache's folder cannot be used. One line: where, why, what to do."""


class Key(NamedTuple):
  """What rows depend on beside their files.

  Attributes:
    weights: hash of the function's arrays, see `hash_arrays`.
    settings: JSON values: everything else that changes a row, such as the side, and a version of
      the function, to be raised when its code gives other rows.
  """

  weights: str
  settings: Mapping[str, Any]


class Rows(NamedTuple):
  """Rows on disk, in order of the files.

  Attributes:
    paths: files that have a row.
    stored: where each one's row is.
    skipped: files that gave none, and why.
    computed: how many rows were made in this call; the others were there.
  """

  paths: tuple[pathlib.Path, ...]
  stored: tuple[pathlib.Path, ...]
  skipped: tuple[Skipped, ...]
  computed: int

  def read(self, index: int) -> Row:
    """The row of `paths[index]`.

    Raises:
      CacheError: it was damaged or deleted after it had been found good.
    """
    row = _read(self.stored[index])
    if row is None:
      raise CacheError(f'{self.stored[index]}: damaged since it was written; run again')
    return row


def hash_arrays(arrays: Mapping[str, np.ndarray]) -> str:
  """SHA-256 of named arrays, hexadecimal: names, types, shapes and values, in order of the names.

  Args:
    arrays: such as a network's parameters, flattened.
  """
  digest = hashlib.sha256()
  for name in sorted(arrays):
    array = np.ascontiguousarray(arrays[name])
    digest.update(json.dumps([name, array.dtype.str, array.shape]).encode())
    digest.update(array.tobytes())
  return digest.hexdigest()


def cached_rows(
  paths: Iterable[str | os.PathLike],
  key: Key,
  prepare: Callable[[bytes, str], T],
  compute: Callable[[Sequence[T]], Sequence[Row]],
  folder: str | os.PathLike,
  batch: int = 8,
  label: str = '',
) -> Rows:
  """Reads or makes the row of every file.

  Rows are on disk as soon as their batch is done: killed at any time, the next call goes on.

  Args:
    paths: files; one that cannot be read, or that `prepare` refuses, is skipped and listed.
    key: what rows depend on beside the files.
    prepare: (bytes of a file, its name) → what `compute` takes; may raise ImageError.
    compute: of `batch` files or fewer at the end; gives as many rows of arrays without objects.
    folder: of the cache; made if absent.
    batch: files in one call.
    label: before the progress bar; '' shows none.

  Returns:
    The rows' places.

  Raises:
    CacheError: the folder cannot be written, such as a full disk.
    ValueError: batch < 1, a key that is no JSON, or `compute` gives another number of rows.
  """
  if batch < 1:
    raise ValueError(f'cached_rows: batch must be ≥ 1, got {batch}')
  writer = _Writer(pathlib.Path(folder), compute)
  found: list[tuple[pathlib.Path, pathlib.Path] | Skipped] = []
  paths = list(map(pathlib.Path, paths))
  for path in tqdm.tqdm(paths, desc=label, unit='file', disable=not label):
    try:
      data = images.read_bytes(path)
      place = _place(writer.folder, key, data)
      if place not in writer.pending and _read(place) is None:
        writer.pending[place] = prepare(data, os.fspath(path))
      found.append((path, place))
    except ImageError as error:
      found.append(Skipped(path, str(error)))
    if len(writer.pending) == batch:
      writer.flush()
  writer.flush()
  kept = [entry for entry in found if not isinstance(entry, Skipped)]
  return Rows(
    tuple(path for path, _ in kept), tuple(place for _, place in kept),
    tuple(entry for entry in found if isinstance(entry, Skipped)), writer.computed,
  )


class _Writer:
  """Collects what is to be computed (place → prepared), and writes its rows."""

  def __init__(self, folder: pathlib.Path, compute: Callable[[Sequence[Any]], Sequence[Row]]):
    self.folder, self.computed = folder, 0
    self.pending: collections.OrderedDict[pathlib.Path, Any] = collections.OrderedDict()
    self._compute = compute
    try:
      folder.mkdir(parents=True, exist_ok=True)
      _remove_stale(folder)
    except OSError as error:
      raise _unwritable(folder, error) from None

  def flush(self) -> None:
    """Computes and writes what is pending."""
    if not self.pending:
      return
    rows = self._compute(list(self.pending.values()))
    if len(rows) != len(self.pending):
      raise ValueError(f'cached_rows: compute gave {len(rows)} rows for {len(self.pending)} files')
    for place, row in zip(self.pending, rows, strict=True):
      try:
        _write(place, row)
      except OSError as error:
        raise _unwritable(self.folder, error) from None
      self.computed += 1
    self.pending.clear()


def _place(folder: pathlib.Path, key: Key, data: bytes) -> pathlib.Path:
  parts = [key.weights, key.settings, hashlib.sha256(data).hexdigest()]
  try:
    described = json.dumps(parts, sort_keys=True, allow_nan=False)
  except (TypeError, ValueError) as error:
    raise ValueError(f'cached_rows: key.settings must be plain JSON values ({error})') from None
  name = hashlib.sha256(described.encode()).hexdigest()
  return folder / name[:2] / f'{name}.row'


def _write(place: pathlib.Path, row: Row) -> None:
  buffer = io.BytesIO()
  arrays = {name: np.asarray(array) for name, array in row.items()}
  objects = [name for name, array in arrays.items() if array.dtype.hasobject]
  if objects:
    raise ValueError(f'cached_rows: {objects[0]} holds objects; a row holds numbers')
  np.savez(buffer, **arrays)
  body = buffer.getvalue()
  place.parent.mkdir(exist_ok=True)
  # The process in the name: another run may be writing the same row. No fsync: what a power cut
  # tears is found by its hash.
  temporary = place.with_suffix(f'.{os.getpid()}.tmp')
  try:
    with open(temporary, 'wb') as file:
      file.write(_FORMAT + hashlib.sha256(body).hexdigest().encode() + b'\n' + body)
    os.replace(temporary, place)
  except BaseException:
    temporary.unlink(missing_ok=True)
    raise


def _read(place: pathlib.Path) -> Row | None:
  """The row, or None where there is none or a damaged one."""
  try:
    with open(place, 'rb') as file:
      data = file.read(_MAX_ROW_BYTES + 1)
    head = len(_FORMAT) + _DIGEST_BYTES
    body = memoryview(data)[head:]
    wanted = _FORMAT + hashlib.sha256(body).hexdigest().encode() + b'\n'
    if len(data) > _MAX_ROW_BYTES or data[:head] != wanted:
      return None
    with np.load(io.BytesIO(body), allow_pickle=False) as arrays:
      return dict(arrays)
  except _UNREADABLE:
    return None


def _remove_stale(folder: pathlib.Path) -> None:
  """Removes what killed runs left; what is young may be another run's."""
  for path in folder.glob('??/*.tmp'):
    try:
      if time.time() - path.stat().st_mtime > _STALE_SECONDS:
        path.unlink()
    except FileNotFoundError:
      continue  # another run was quicker


def _unwritable(folder: pathlib.Path, error: OSError) -> CacheError:
  return CacheError(
    f'{images.printable(str(folder))}: cannot be written ({error.strerror}); free space or give '
    'another folder'
  )
