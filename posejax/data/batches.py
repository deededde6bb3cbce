"""Arrays through a compiled function in batches of one shape, so that it compiles once."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np


def in_batches(function: Callable[[np.ndarray], Any], rows: np.ndarray, size: int) -> Any:
  """Applies a function to N rows, `size` at a time; the last batch is padded with zeros.

  Args:
    function: (size, ...) → tree of arrays with leading axis `size`.
    rows: (N, ...), N ≥ 1; may be a memory map.
    size: of a batch.

  Returns:
    The function's tree, leading axis N, NumPy arrays.

  Raises:
    ValueError: there are no rows.
  """
  if not len(rows):
    raise ValueError('in_batches: no rows')
  parts = []
  for start in range(0, len(rows), size):
    batch = np.asarray(rows[start : start + size])
    count = len(batch)
    if count < size:
      batch = np.pad(batch, ((0, size - count), *((0, 0),) * (batch.ndim - 1)))
    result = function(batch)
    parts.append([np.asarray(leaf)[:count] for leaf in jax.tree.leaves(result)])
  structure = jax.tree.structure(result)
  return jax.tree.unflatten(structure, [np.concatenate(x) for x in zip(*parts, strict=True)])
