"""Finished networks in small files, to carry them from one machine to the next.

A GPU that is lent for minutes runs one stage a visit (`configs/unsup.py:gpu`): what moves between
visits is parameters alone, in bfloat16, in files of at most 15 MB, 60 MB together. Pictures are
drawn again there, and the moments of the optimizers start anew with each stage. Networks that serve
their own training alone (`StagePlan.scaffold`) stay behind.

Layout of a parcel: `<stage>-<key>.<n>.npz`, arrays under their paths in the stage's networks, as
the 16 bits of a bfloat16; `manifest.json` with the number of files and the SHA-256 of each, written
last. The stage's name and key make the folder that the trainer looks for. Nothing is ever
unpickled; all of a parcel is checked before any of it is written anywhere.
"""

import json
import pathlib
import re
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import jax
import ml_collections
import ml_dtypes
import numpy as np
from flax import traverse_util

from posejax.methods.base import Method, Product, StagePlan
from posejax.training import finished, products
from posejax.training.checkpoints import file_digests, write_atomically

MOST_BYTES = 15_000_000
MOST_TOGETHER = 60_000_000
MANIFEST = 'manifest.json'
_ROOM = 1024  # for the headers of an array in an archive, which hold its path twice
_NAME = re.compile(r'([a-z][a-z0-9_]*-[0-9a-f]{12})\.\d+\.npz')


class TransferError(RuntimeError):
  """A parcel cannot be made or read. One line: which file, why, what to do."""


def pack(
  method: Method, config: ml_collections.ConfigDict, workdir: pathlib.Path,
  target: pathlib.Path, cache: pathlib.Path | None = None,
  most_bytes: int = MOST_BYTES, most_together: int = MOST_TOGETHER,
) -> list[str]:
  """Writes the networks of the finished stages of a config.

  Args:
    method: whose stages.
    config: checked by `config.validate` before.
    workdir: of the run.
    target: folder of the parcel; made if absent.
    cache: where stages live; `<workdir>/stages` where None.
    most_bytes: of one file.
    most_together: of all files.

  Returns:
    Names of the files.

  Raises:
    TransferError: there is nothing to pack, the target is not empty, an array is too large, or
      all of them together are; then nothing is written.
    CheckpointError: a product is damaged.
    WorkdirError: a file that the config names cannot be read.
  """
  places = finished.folders(method, config, workdir, cache)
  chosen = {}
  for plan in method.stages:
    product = products.load(places[plan.name])
    flat = networks(plan, config, product.params, product.batch_stats) if product else {}
    if flat:
      chosen[places[plan.name].name] = flat
  if not chosen:
    raise TransferError(
      f'{cache or workdir}: no finished stage of this config has networks; nothing was packed'
    )
  together = sum(map(size_of, chosen.values()))
  if together > most_together:
    sizes = ', '.join(f'{name} {size_of(flat)}' for name, flat in chosen.items())
    raise TransferError(
      f'{together} bytes of networks, more than a parcel may have ({most_together}): {sizes}; '
      'make networks narrower'
    )
  if target.is_dir() and any(target.iterdir()):
    raise TransferError(f'{target}: something is there already; choose an empty folder')
  parts = {
    f'{name}.{number}.npz': part
    for name, flat in chosen.items() for number, part in enumerate(_parts(flat, most_bytes))
  }
  target.mkdir(parents=True, exist_ok=True)
  for name, part in parts.items():
    np.savez(target / name, **{path: _bits(array) for path, array in part.items()})
  digests = file_digests(target)
  write_atomically(
    target / MANIFEST, json.dumps({'count': len(digests), 'files': digests}, indent=1) + '\n'
  )
  return list(parts)


def networks(
  plan: StagePlan, config: ml_collections.ConfigDict, params: Mapping, batch_stats: Mapping
) -> dict[str, Any]:
  """Path → array of a stage's networks that move, by this config."""
  left = plan.scaffold(config)
  kept = {
    kind: {name: tree for name, tree in trees.items() if name not in left}
    for kind, trees in (('params', params), ('batch_stats', batch_stats))
  }
  return traverse_util.flatten_dict(kept, sep='/')


def size_of(flat: Mapping[str, Any]) -> int:
  """Bytes in a parcel, a little more than less, of arrays or their shapes under their paths."""
  return sum(_need(path, array) for path, array in flat.items())


def unpack(
  method: Method, config: ml_collections.ConfigDict, workdir: pathlib.Path, parcel: pathlib.Path,
  cache: pathlib.Path | None = None,
) -> list[str]:
  """Makes finished stages of a parcel; one that the cache has already stays as it is.

  Args:
    method: of the run that goes on here.
    config: its config.
    workdir: its folder.
    parcel: folder that `pack` wrote.
    cache: folder of stages; `<workdir>/stages` where None.

  Returns:
    Names of the stages' folders.

  Raises:
    TransferError: a file is missing, none of ours, is damaged, of another config than this one's,
      or holds numbers that are not finite; then nothing is saved.
    WorkdirError: a file that the config names cannot be read.
  """
  wanted = {
    folder.name: folder
    for folder in finished.folders(method, config, workdir, cache).values()
  }
  stages: dict[str, dict[str, np.ndarray]] = {}
  for path in _whole(parcel):
    match = _NAME.fullmatch(path.name)
    if not match:
      raise TransferError(f'{path}: not the name of a parcel (stage-key.number.npz); move it away')
    if match[1] not in wanted:
      raise TransferError(
        f'{path}: of no stage of this config, which has {", ".join(sorted(wanted))}; give the '
        'config and the version of posejax that it was packed with'
      )
    stages.setdefault(match[1], {}).update(_read(path))
  found = {}
  for name, flat in stages.items():
    trees = traverse_util.unflatten_dict(flat, sep='/')
    found[name] = Product(trees.get('params', {}), trees.get('batch_stats', {}))
  for name, product in found.items():
    wanted[name].mkdir(parents=True, exist_ok=True)
    products.save(wanted[name], product)
  return list(found)


def _whole(parcel: pathlib.Path) -> list[pathlib.Path]:
  """The files of a parcel that is as it was packed, sorted."""
  path = parcel / MANIFEST
  try:
    manifest = json.loads(path.read_text())
    wanted, count = dict(manifest['files']), manifest['count']
  except FileNotFoundError:
    raise TransferError(
      f'{path}: not there; carry the whole folder that `posejax.transfer pack` wrote'
    ) from None
  except (ValueError, KeyError, TypeError) as error:
    raise TransferError(f'{path}: damaged ({str(error)[:80]}); carry it again') from None
  got = {name: digest for name, digest in file_digests(parcel).items() if name != MANIFEST}
  if count != len(wanted) or not wanted:
    raise TransferError(f'{path}: damaged (it lists {len(wanted)} files); carry it again')
  for name in sorted(wanted.keys() | got.keys()):
    if name not in got:
      raise TransferError(
        f'{parcel / name}: missing, {len(wanted.keys() & got.keys())} of {count} files are here; '
        'carry it too'
      )
    if name not in wanted:
      raise TransferError(f'{parcel / name}: not of this parcel; move it away')
    if got[name] != wanted[name]:
      raise TransferError(f'{parcel / name}: not as it was packed; carry it again')
  return [parcel / name for name in sorted(wanted)]


def _bits(array: np.ndarray) -> np.ndarray:
  """The 16 bits of bfloat16 values."""
  return np.asarray(array).astype(ml_dtypes.bfloat16).view(np.uint16)


def _need(path: str, array: np.ndarray | jax.ShapeDtypeStruct) -> int:
  return 2 * int(np.prod(array.shape)) + 2 * len(path) + _ROOM


def _parts(
  flat: Mapping[str, np.ndarray], most_bytes: int
) -> Iterator[dict[str, np.ndarray]]:
  """The arrays in groups that fit a file."""
  part, size = {}, 0
  for path, array in flat.items():
    need = _need(path, array)
    if need > most_bytes:
      raise TransferError(f'{path}: {need} bytes, more than a file may have ({most_bytes})')
    if part and size + need > most_bytes:
      yield part
      part, size = {}, 0
    part[path] = array
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
