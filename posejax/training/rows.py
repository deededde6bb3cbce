"""Stages of rows (`methods.base.RowMaker`), made part by part: with a bar, and kept when killed.

Layout: `<stage>/parts/<first>-<last>/product/`, written whole as every product is (`products`); the
folder goes when the stage is finished.
"""

import pathlib
import shutil

import ml_collections
import numpy as np

from posejax.methods.base import Product, RowMaker
from posejax.training import products
from posejax.training.writers import Progress

KEPT_ROWS = 1000  # that a kill may cost, about


def make(
  name: str, maker: RowMaker, config: ml_collections.ConfigDict, inputs: dict[str, Product],
  folder: pathlib.Path, kept_rows: int | None = None,
) -> Product:
  """All rows of a stage: finished parts are read, the others made and kept.

  Args:
    name: of the stage, shown to users.
    maker: of its rows.
    config: of the method.
    inputs: products of the stages that it reads.
    folder: of the stage.
    kept_rows: rows of a part, about; `KEPT_ROWS` where None.

  Raises:
    CheckpointError: a part is damaged.
  """
  total = maker.count(config, inputs)
  size = max((kept_rows or KEPT_ROWS) // maker.size, 1) * maker.size
  parts = {
    folder / 'parts' / f'{first}-{min(first + size, total)}': (first, min(first + size, total))
    for first in range(0, total, size)
  }
  found = {place: products.load(place) for place in parts}
  missing = [place for place, part in found.items() if part is None]
  done = sum(last - first for place, (first, last) in parts.items() if found[place])
  progress = Progress(name, total, done, unit='row')
  try:
    rows = maker.begin(config, inputs) if missing else None
    for place in missing:
      first, last = parts[place]
      made = []
      for start in range(first, last, maker.size):
        end = min(start + maker.size, last)
        made.append(rows(start, end))
        progress.advance(end - start)
      products.save(place, Product(arrays=_joined(made)))
      found[place] = products.load(place)
  finally:
    progress.close()
  return Product(arrays=_joined([part.arrays for part in found.values()]))


def forget(folder: pathlib.Path) -> None:
  """Removes the parts of a stage that is finished."""
  shutil.rmtree(folder / 'parts', ignore_errors=True)


def _joined(parts: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
  return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
