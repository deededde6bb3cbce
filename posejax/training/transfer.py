"""Finished networks in small files, to carry them from one machine to the next.

A GPU that is lent for minutes runs one stage a visit (`configs/unsup.py:gpu`): what moves between
visits is parameters alone, in bfloat16, in files of at most 15 MB. Pictures are drawn again there,
and the moments of the optimizers start anew with each stage.

Layout of a parcel: `<stage>-<key>.<n>.npz`, arrays under their paths in the stage's networks, as
the 16 bits of a bfloat16. The stage's name and key make the folder that the trainer looks for.
Nothing is ever unpickled; what is read is checked before it is written anywhere.
"""

import pathlib
import re
import zipfile

import ml_dtypes
import numpy as np
from flax import traverse_util

from posejax.methods.base import Product
from posejax.training import products

MOST_BYTES = 15_000_000
_ROOM = 4096  # for the headers of an archive
_NAME = re.compile(r'([a-z][a-z0-9_]*-[0-9a-f]{12})\.\d+\.npz')


class TransferError(RuntimeError):
  """A parcel cannot be made or read. One line: which file, why, what to do."""


def pack(cache: pathlib.Path, target: pathlib.Path, most_bytes: int = MOST_BYTES) -> list[str]:
  """Writes the networks of all finished stages of a cache.

  Args:
    cache: folder of stages, such as `<workdir>/stages`.
    target: folder of the parcel; made if absent.
    most_bytes: of one file.

  Returns:
    Names of the files.

  Raises:
    TransferError: there is nothing to pack, a file is there already, or an array is too large.
  """
  target.mkdir(parents=True, exist_ok=True)
  written = []
  for folder in sorted(path.parent for path in cache.glob(f'*/{products.FOLDER}')):
    product = products.load(folder)
    networks = {'params': product.params, 'batch_stats': product.batch_stats}
    flat = traverse_util.flatten_dict(networks, sep='/')
    for number, part in enumerate(_parts(flat, most_bytes)):
      path = target / f'{folder.name}.{number}.npz'
      if path.exists():
        raise TransferError(f'{path}: is there already; choose an empty folder')
      np.savez(path, **part)
      written.append(path.name)
  if not written:
    raise TransferError(f'{cache}: no finished stage with networks in it; nothing was packed')
  return written


def unpack(parcel: pathlib.Path, cache: pathlib.Path) -> list[str]:
  """Makes finished stages of a parcel; one that the cache has already stays as it is.

  Args:
    parcel: folder that `pack` wrote.
    cache: folder of stages.

  Returns:
    Names of the stages' folders.

  Raises:
    TransferError: a file is none of ours, is damaged, or holds numbers that are not finite.
  """
  stages: dict[str, dict[str, np.ndarray]] = {}
  for path in sorted(parcel.glob('*.npz')):
    match = _NAME.fullmatch(path.name)
    if not match:
      raise TransferError(f'{path}: not the name of a parcel (stage-key.number.npz); move it away')
    stages.setdefault(match[1], {}).update(_read(path))
  if not stages:
    raise TransferError(f'{parcel}: no parcel in it; make one with `posejax.transfer pack`')
  for name, flat in stages.items():
    networks = traverse_util.unflatten_dict(flat, sep='/')
    folder = cache / name
    folder.mkdir(parents=True, exist_ok=True)
    products.save(folder, Product(networks.get('params', {}), networks.get('batch_stats', {})))
  return list(stages)


def _parts(flat: dict[str, np.ndarray], most_bytes: int):
  """The arrays as bfloat16 bits, cut into groups that fit a file."""
  part, size = {}, 0
  for path, array in flat.items():
    bits = np.asarray(array).astype(ml_dtypes.bfloat16).view(np.uint16)
    need = bits.nbytes + len(path) + _ROOM
    if need > most_bytes:
      raise TransferError(f'{path}: {need} bytes, more than a file may have ({most_bytes})')
    if part and size + need > most_bytes:
      yield part
      part, size = {}, 0
    part[path] = bits
    size += need
  if part:
    yield part


def _read(path: pathlib.Path) -> dict[str, np.ndarray]:
  if path.stat().st_size > 2 * MOST_BYTES:
    raise TransferError(f'{path}: larger than a parcel is; move it away')
  try:
    with np.load(path, allow_pickle=False) as file:
      arrays = dict(file)
  except (OSError, ValueError, zipfile.BadZipFile, EOFError) as error:
    raise TransferError(f'{path}: cannot be read ({str(error)[:80]}); carry it again') from error
  values = {}
  for name, bits in arrays.items():
    if bits.dtype != np.uint16 or not name.startswith(('params/', 'batch_stats/')):
      raise TransferError(f'{path}: {name} is no array of a network; carry it again')
    values[name] = bits.view(ml_dtypes.bfloat16).astype(np.float32)
    if not np.isfinite(values[name]).all():
      raise TransferError(f'{path}: {name} has numbers that are not finite; train the stage again')
  return values
