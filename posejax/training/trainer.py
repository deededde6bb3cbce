"""The loop: runs one stage from its last good checkpoint to its end.

Where a run goes on, in order of precedence:
  1. the newest checkpoint of the stage whose files are as they were written;
  2. an older one, if the newest is damaged or was cut off (a warning says so);
  3. step 0, from the stage's random key.
All random draws and the place in the data are functions of the step, so a resumed run equals an
uninterrupted one bit for bit on the same machine.
"""

import dataclasses
import pathlib
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from posejax.methods.base import Phase, Product, Stage, alternate
from posejax.training import train_state
from posejax.training.checkpoints import Checkpoints
from posejax.training.parallel import Devices, ShareError
from posejax.training.signals import StopRequest
from posejax.training.train_state import TrainState
from posejax.training.writers import Progress, ScalarWriter, Throughput

Tree = Any


# Steps fold their number into a stage's key, from 0.
_INIT = 2**32 - 1

class NonFiniteError(RuntimeError):
  """A loss or gradient was not finite. One line: which loss, which step, which batch."""


class Stopped(RuntimeError):  # noqa: N818
  """Ctrl-C or SIGTERM: the state is saved, the same command goes on."""


@dataclasses.dataclass(frozen=True)
class Schedule:
  """How often a stage is looked at.

  Attributes:
    log_every: steps between lines of scalars.
    save_every: steps between checkpoints (and validations, where there are some).
  """

  log_every: int
  save_every: int


def run_stage(
  name: str, stage: Stage, folder: pathlib.Path, seeds: Sequence[int], schedule: Schedule,
  devices: Devices | None = None,
) -> Product:
  """Trains a stage to its end and gives its product: the best step's networks, or the last one's.

  Args:
    name: shown to users.
    stage: what to train.
    folder: of the stage; made if absent. Checkpoints and logs stand in it.
    seeds: one or more; with the stage's name they decide every random draw.
    schedule: how often to log and save.
    devices: what to train on; all local ones where None.

  Returns:
    Networks and running statistics as NumPy arrays, and the stage's own arrays.

  Raises:
    Stopped: after Ctrl-C or SIGTERM, with the state saved.
    NonFiniteError: the last checkpoint is good; steps since then are lost.
  """
  devices = devices or Devices()
  # Folded with the name's bytes: stages must not share draws, whatever order they run in.
  key = jax.random.key(seeds[0])
  for number in (*seeds[1:], *name.encode()):
    key = jax.random.fold_in(key, number)
  folder.mkdir(parents=True, exist_ok=True)
  checkpoints = Checkpoints(folder / 'checkpoints', stage.selection)
  try:
    run = _Run(name, stage, folder, key, schedule, devices, checkpoints)
    run.to_end()
    return _product(stage, run.state, checkpoints)
  finally:
    checkpoints.close()


def _product(stage: Stage, state: TrainState, checkpoints: Checkpoints) -> Product:
  best = checkpoints.best() if stage.selection else None
  if best is not None:
    _, state = checkpoints.restore(state, best)
  state = jax.tree.map(np.asarray, state)
  return Product(state.params, state.batch_stats, stage.arrays)


class _Run:
  """One stage's loop and what it needs at hand."""

  def __init__(self, name, stage, folder, key, schedule, devices, checkpoints):
    self.name, self.stage, self.schedule, self.devices = name, stage, schedule, devices
    self.checkpoints, self.key = checkpoints, key
    self.total = sum(phase.steps for phase in stage.phases)
    for kind, source in stage.sources.items():
      try:
        devices.share(source.size)
      except ShareError as error:
        raise ShareError(f'{name}: {kind}: {error}') from None
    state = train_state.create(stage, jax.random.fold_in(key, _INIT))
    restored = checkpoints.restore(state)
    self.first = restored[0] if restored else 0
    self.state: TrainState = devices.replicate(restored[1] if restored else state)
    self.frozen = devices.replicate(stage.frozen)
    self.writer = ScalarWriter(folder, self.first) if devices.is_main else None
    self.steps = {}

  def to_end(self) -> None:
    if self.first == self.total:
      return  # a stage that is switched off, or was cut off behind its last step
    progress = Progress(self.name, self.total, self.first)
    throughput = Throughput()
    # Sources take turns, and a line every so many steps may always meet the same one.
    recent = {}
    try:
      with StopRequest() as stop:
        for step in range(self.first, self.total):
          phase = phase_at(self.stage, step)
          source = alternate(phase.sources, step)
          recent |= self._step(phase, source, step)
          throughput.add(self.stage.sources[source].size)
          done = step + 1
          at_end = done == self.total
          if done % self.schedule.log_every == 0 or at_end or stop.requested:
            self._log(done, recent, throughput)
            progress.advance(0, **_losses(recent))
            recent = {}
          progress.advance()
          if done % self.schedule.save_every == 0 or at_end or stop.requested:
            self._require_good(done)
            # Whether a stop is wished or not: which steps may be kept must not depend on it.
            self._save(done, validate=done % self.schedule.save_every == 0 or at_end)
          if stop.requested:
            raise Stopped(
              f'{stop.requested}: {self.name} is saved at step {done} of {self.total}; '
              'the same command goes on from there'
            )
    finally:
      progress.close()
      if self.writer:
        self.writer.close()

  def _step(self, phase: Phase, source_name: str, step: int) -> dict[str, jax.Array]:
    source = self.stage.sources[source_name]
    indices = self.devices.example_indices(source.size)
    # Phases with the same losses of a source share one compiled step.
    program = source_name, train_state.active_losses(self.stage, phase, source_name)
    if program not in self.steps:
      self.steps[program] = self.devices.compile(
        train_state.make_step(self.stage, phase, source_name, self.key)
      )
    host = self.devices.split(source.host(step), source.size) if source.host else {}
    self.state, logs = self.steps[program](self.state, self.frozen, host, indices)
    # Forced host devices on few cores deadlock when steps pile up (shared/design.md).
    jax.block_until_ready(logs)
    return logs

  def _log(self, done: int, logs: dict[str, jax.Array], throughput: Throughput) -> None:
    self._require_good(done)
    if self.writer:
      scalars = {key: float(value) for key, value in logs.items()}
      self.writer.write(done, {**scalars, **throughput.scalars()})

  def _require_good(self, done: int) -> None:
    """Raises NonFiniteError if a step went bad since the last look."""
    bad = int(self.state.bad_step)
    if bad == train_state.GOOD:
      return
    phase = phase_at(self.stage, bad)
    source = alternate(phase.sources, bad)
    flags = np.asarray(self.state.bad_losses)
    names = [name for name, flag in zip(self.stage.losses, flags, strict=True) if flag]
    raise NonFiniteError(
      f'{self.name}: loss {", ".join(names)} or its gradient was not finite at step {bad} '
      f'(phase {phase.name}, batch of {source!r}, examples 0 to '
      f'{self.stage.sources[source].size - 1} of that step); {self._kept()}. '
      'Lower the learning rate of this loss, or look at that batch'
    )

  def _kept(self) -> str:
    saved = self.checkpoints.steps()
    return f'the checkpoint of step {saved[-1]} is good' if saved else 'nothing was saved yet'

  def _save(self, done: int, validate: bool) -> None:
    metrics = None
    if validate and self.stage.validate:
      metrics = self.stage.validate(self.state.params, self.state.batch_stats, self.frozen)
      metrics = {key: float(value) for key, value in metrics.items()}
      if self.writer:
        self.writer.write(done, {f'validation/{key}': v for key, v in metrics.items()})
    self.checkpoints.save(done, self.state, metrics)


def phase_at(stage: Stage, step: int) -> Phase:
  """The phase that a stage's step belongs to; the last one after the end."""
  end = 0
  for phase in stage.phases:
    end += phase.steps
    if step < end:
      return phase
  return stage.phases[-1]


def _losses(logs: dict[str, jax.Array]) -> dict[str, float]:
  return {k.removeprefix('loss/'): float(v) for k, v in logs.items() if k.startswith('loss/')}
