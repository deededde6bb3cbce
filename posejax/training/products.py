"""What a finished stage leaves in its folder, for later stages and for users.

Layout of a product: `networks.npz` (every array of params and batch_stats under its path, such as
`params/G/conv1/kernel`), one `<name>.npy` per array of a cache, `manifest.json` with the SHA-256
of all of them. Written into a temporary folder and renamed: a product is whole or is not there.
Nothing is ever unpickled.
"""

import json
import os
import pathlib
import shutil
import zipfile

import numpy as np
from flax import traverse_util

from posejax.methods.base import Product
from posejax.training.checkpoints import CheckpointError, file_digests, write_atomically

FOLDER = 'product'


def save(folder: pathlib.Path, product: Product) -> None:
  """Writes a stage's product; one that is there stays."""
  target = folder / FOLDER
  if target.exists():
    return
  temporary = folder / (FOLDER + '.tmp')
  shutil.rmtree(temporary, ignore_errors=True)
  temporary.mkdir(parents=True)
  networks = {'params': product.params, 'batch_stats': product.batch_stats}
  flat = traverse_util.flatten_dict(networks, sep='/')
  np.savez(temporary / 'networks.npz', **{path: np.asarray(x) for path, x in flat.items()})
  for name, array in product.arrays.items():
    np.save(temporary / f'{name}.npy', np.asarray(array), allow_pickle=False)
  write_atomically(temporary / 'manifest.json', json.dumps(file_digests(temporary)))
  os.replace(temporary, target)


def load(folder: pathlib.Path) -> Product | None:
  """Reads a stage's product; None if there is none.

  Arrays of a cache are memory-mapped.

  Raises:
    CheckpointError: a file of it is damaged.
  """
  source = folder / FOLDER
  if not source.is_dir():
    return None
  try:
    wanted = json.loads((source / 'manifest.json').read_text())
    got = file_digests(source)
    wrong = sorted(name for name, digest in wanted.items() if got.get(name) != digest)
    if wrong:
      raise CheckpointError(
        f'{source / wrong[0]}: not as it was written; delete {source} and run again'
      )
    with np.load(source / 'networks.npz', allow_pickle=False) as file:
      networks = traverse_util.unflatten_dict(dict(file), sep='/')
    arrays = {
      path.stem: np.load(path, mmap_mode='r', allow_pickle=False)
      for path in sorted(source.glob('*.npy'))
    }
  except (OSError, ValueError, AttributeError, zipfile.BadZipFile) as error:
    raise CheckpointError(
      f'{source}: cannot be read ({str(error).splitlines()[0][:120]}); delete it and run again'
    ) from error
  return Product(networks.get('params', {}), networks.get('batch_stats', {}), arrays)
