"""Arrays through a compiled function in batches of one shape, so that it compiles once."""

import sys
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
import tqdm


def in_batches(function: Callable[[Any], Any], rows: Any, size: int, label: str = '') -> Any:
  """Applies a function to N rows, `size` at a time; the last batch is padded with zeros.

  Args:
    function: (size, ...) → tree of arrays with leading axis `size`.
    rows: (N, ...), N ≥ 1, or a tree of such arrays; may be memory maps.
    size: of a batch.
    label: before a progress bar; '' shows none.

  Returns:
    The function's tree, leading axis N, NumPy arrays.

  Raises:
    ValueError: there are no rows, or arrays of a tree have different numbers.
  """
  counts = {len(leaf) for leaf in jax.tree.leaves(rows)}
  if len(counts) != 1 or 0 in counts:
    raise ValueError(f'in_batches: rows of {sorted(counts)}; one number ≥ 1 is needed')
  (total,) = counts

  def padded(leaf, start: int) -> np.ndarray:
    part = np.asarray(leaf[start : start + size])
    return np.pad(part, ((0, size - len(part)), *((0, 0),) * (part.ndim - 1)))

  parts = []
  # A log file gets a line in 30 s.
  starts = tqdm.tqdm(
    range(0, total, size), desc=label, unit='batch', disable=not label, ascii=True,
    mininterval=0.2 if sys.stderr.isatty() else 30,
  )
  for start in starts:
    result = function(jax.tree.map(lambda leaf, start=start: padded(leaf, start), rows))
    count = min(size, total - start)
    parts.append([np.asarray(leaf)[:count] for leaf in jax.tree.leaves(result)])
  structure = jax.tree.structure(result)
  return jax.tree.unflatten(structure, [np.concatenate(x) for x in zip(*parts, strict=True)])
