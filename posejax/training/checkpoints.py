"""Checkpoints that are right or are refused.

Orbax writes each step into a folder of its own, atomically; it restores flipped bits without a
word. So a manifest with the SHA-256 of every file is written after the step, itself atomically, and
a restore takes the newest step whose manifest matches, saying which ones it passed over and why. A
step without manifest was cut off while it was being written: there is an older one, or none.

Layout of a folder: `<step>/...` (Orbax), `manifests/<step>.json`, `damaged/<step>-<n>/`.
"""

import hashlib
import json
import logging
import math
import os
import pathlib
from typing import Any

import jax
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers

from posejax.methods.base import Selection

Tree = Any
logger = logging.getLogger(__name__)


class CheckpointError(RuntimeError):
  """A checkpoint is missing, damaged, or of another training. One line, for users."""


class Checkpoints:
  """The checkpoints of one stage: the newest two and the best one.

  Args:
    folder: made if absent.
    selection: which metric says what is best; None keeps the newest alone.
  """

  def __init__(self, folder: pathlib.Path, selection: Selection | None = None):
    self.folder = folder.absolute()
    self._manifests = self.folder / 'manifests'
    self._manifests.mkdir(parents=True, exist_ok=True)
    self._selection = selection
    policies = [checkpoint_managers.LatestN(2)]
    if selection:
      policies.append(checkpoint_managers.BestN(
        get_metric_fn=self._rank, n=1, keep_checkpoints_without_metrics=False
      ))
    self._manager = ocp.CheckpointManager(
      self.folder,
      options=ocp.CheckpointManagerOptions(
        preservation_policy=checkpoint_managers.AnyPreservationPolicy(policies),
        # A save that returned is on disk, manifest included: what a kill after it can't undo.
        enable_async_checkpointing=False,
        cleanup_tmp_directories=True,
        # Ranks the steps on disk after a restart too.
        best_fn=self._rank if selection else None,
      ),
      # The policy reads metrics from disk after a restart only if it knows their handler.
      item_handlers=ocp.StandardCheckpointHandler(),
    )

  def _rank(self, metrics: dict[str, float]) -> float:
    value = metrics[self._selection.metric]
    if math.isnan(value):  # nothing to measure, such as nobody found yet: worse than any value
      return -math.inf
    return value if self._selection.larger else -value

  def save(self, step: int, tree: Tree, metrics: dict[str, float] | None = None) -> None:
    """Writes a step; returns when it and its manifest are on disk. A step saved before stays.

    Args:
      step: steps done.
      tree: arrays.
      metrics: of the validation at this step; it must hold the selection's.
    """
    if step in self._manager.all_steps():
      return
    self._manager.save(step, args=ocp.args.StandardSave(tree), metrics=metrics, force=True)
    self._manager.wait_until_finished()
    if jax.process_index() == 0:
      manifest = {'files': file_digests(self.folder / str(step)), 'metrics': metrics}
      write_atomically(self._manifests / f'{step}.json', json.dumps(manifest))
      kept = {str(kept) for kept in self._manager.all_steps()}
      for path in self._manifests.glob('*.json'):
        if path.stem not in kept:
          path.unlink()

  def steps(self) -> list[int]:
    """Steps whose files are as they were written, oldest first; others are set aside."""
    good = []
    for step in sorted(self._manager.all_steps()):
      problem = self._problem(step)
      if problem:
        logger.warning('%s: step %d is passed over: %s', self.folder, step, problem)
        self._set_aside(step)
      else:
        good.append(step)
    return good

  def restore(self, like: Tree, step: int | None = None) -> tuple[int, Tree] | None:
    """Reads the newest good step, or a given one.

    Args:
      like: a tree of arrays or shapes with the wanted structure, shapes and dtypes.
      step: which one; the newest where None.

    Returns:
      (step, tree of NumPy arrays), or None if there is no good step.

    Raises:
      CheckpointError: the step is not there, or its arrays are not as in `like`.
    """
    steps = self.steps()
    if step is None and not steps:
      return None
    step = steps[-1] if step is None else step
    if step not in steps:
      raise CheckpointError(f'{self.folder}: no undamaged step {step}; there are {steps}')
    shapes = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), like)
    try:
      tree = self._manager.restore(step, args=ocp.args.StandardRestore(
        jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), shapes)
      ))
    except (ValueError, KeyError, TypeError) as error:
      raise CheckpointError(
        f'{self.folder}: step {step} holds other arrays than this config needs '
        f'({str(error).splitlines()[0][:200]}); use the config it was trained with'
      ) from error
    for got, wanted in zip(jax.tree.leaves(tree), jax.tree.leaves(shapes), strict=True):
      if got.shape != wanted.shape or got.dtype != wanted.dtype:
        raise CheckpointError(
          f'{self.folder}: step {step} has {got.dtype}{got.shape} where this config needs '
          f'{wanted.dtype}{wanted.shape}; use the config it was trained with'
        )
    return step, tree

  def best(self) -> int | None:
    """The good step with the best selection metric, or None.

    The last of equals, which is what Orbax keeps; the newest without a selection.
    """
    steps = self.steps()
    if not self._selection:
      return steps[-1] if steps else None
    ranks = {step: self._metrics(step) for step in steps}
    ranked = [step for step in steps if ranks[step]]

    return max(ranked, key=lambda step: (self._rank(ranks[step]), step), default=None)

  def close(self) -> None:
    """Lets go of the folder."""
    self._manager.close()

  def _metrics(self, step: int) -> dict[str, float] | None:
    return json.loads((self._manifests / f'{step}.json').read_text())['metrics']

  def _problem(self, step: int) -> str:
    """Why a step can't be trusted, in words; '' if it can."""
    path = self._manifests / f'{step}.json'
    try:
      wanted = json.loads(path.read_text())['files']
    except FileNotFoundError:
      return 'it was not written to the end'
    except (ValueError, KeyError, TypeError):
      return f'its manifest {path} is damaged'
    got = file_digests(self.folder / str(step))
    wrong = sorted(name for name in wanted.keys() | got.keys() if wanted.get(name) != got.get(name))
    return f'{wrong[0]} is not as it was written' if wrong else ''

  def _set_aside(self, step: int) -> None:
    """Moves a step away, so that the same step can be written again and nothing is lost."""
    folder = self.folder / 'damaged'
    folder.mkdir(exist_ok=True)
    count = sum(1 for _ in folder.iterdir())
    os.replace(self.folder / str(step), folder / f'{step}-{count}')
    (self._manifests / f'{step}.json').unlink(missing_ok=True)
    self._manager.reload()


def file_digests(folder: pathlib.Path) -> dict[str, str]:
  """SHA-256 of every file below a folder, by relative path."""
  digests = {}
  for path in sorted(folder.rglob('*')):
    if path.is_file():
      with path.open('rb') as file:
        digests[str(path.relative_to(folder))] = hashlib.file_digest(file, 'sha256').hexdigest()
  return digests


def write_atomically(path: pathlib.Path, text: str) -> None:
  """Writes a file that is either the old one or the whole new one, whenever the process dies."""
  temporary = path.with_name(path.name + '.tmp')
  with temporary.open('w') as file:
    file.write(text)
    file.flush()
    os.fsync(file.fileno())
  os.replace(temporary, path)
