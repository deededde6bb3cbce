"""Facts of a run for its report: stages with their times and curves, machine, config."""

import math
import os
import pathlib
import platform
from collections.abc import Mapping
from typing import NamedTuple

import jax
import jaxlib
import ml_collections

import posejax
from posejax.methods.base import Method, Product, Selection, Stage, StagePlan
from posejax.training import finished, writers
from posejax.viz.report_curves import Phase


class StageRecord(NamedTuple):
  """What a stage's folder tells.

  Attributes:
    name: of the stage.
    folder: where it is.
    seconds: from its start, or its last resumption, to its product, by the files' times; nan if
      the times make no sense (copied files).
    rows: lines of its `metrics.jsonl`; empty for a stage that trains nothing.
    phases: in order.
    best: step of the checkpoint that validation chose; None without a choice.
    chosen_by: name of the metric that chose it.
  """

  name: str
  folder: pathlib.Path
  seconds: float
  rows: tuple[dict[str, float], ...]
  phases: tuple[Phase, ...]
  best: int | None
  chosen_by: str


class Run(NamedTuple):
  """A run in words and numbers.

  Attributes:
    method: its name.
    command: that repeats it.
    workdir: its folder.
    config: dotted field → value.
    seeds: dotted seed field → value.
    machine: what evaluated it, one line.
    versions: of the packages, one line.
    stages: in order.
    evaluation_seconds: what the evaluation took, without the report's pictures.
  """

  method: str
  command: str
  workdir: pathlib.Path
  config: Mapping[str, object]
  seeds: Mapping[str, object]
  machine: str
  versions: str
  stages: tuple[StageRecord, ...]
  evaluation_seconds: float


def gather(
  method: Method, config: ml_collections.ConfigDict, products: Mapping[str, Product],
  workdir: pathlib.Path, cache: pathlib.Path | None, command: str, evaluation_seconds: float,
) -> Run:
  """Reads the folders of a finished run."""
  described = finished.described_config(config)
  folders = finished.folders(method, config, workdir, cache)
  seeds = sorted({name for plan in method.stages for name in plan.seeds})
  return Run(
    method=method.name, command=command, workdir=workdir, config=described,
    seeds={name: described[name] for name in seeds}, machine=machine(), versions=(
      f'posejax {posejax.__version__}, jax {jax.__version__}, jaxlib {jaxlib.__version__}, '
      f'Python {platform.python_version()}'
    ),
    stages=tuple(
      _record(plan, config, products, folders[plan.name]) for plan in method.stages
      if plan.name in products
    ),
    evaluation_seconds=evaluation_seconds,
  )


def machine() -> str:
  """The devices that jax sees, processor and cores, in one line."""
  devices = jax.devices()
  kinds = ', '.join(sorted({device.device_kind for device in devices}))
  cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
  return f'{len(devices)} × {kinds} ({devices[0].platform}); {_processor()}, {cores} cores'


def _processor() -> str:
  try:
    lines = pathlib.Path('/proc/cpuinfo').read_text().splitlines()
  except OSError:
    lines = []
  names = (line.partition(':')[2].strip() for line in lines if line.startswith('model name'))
  return next(names, platform.processor() or platform.machine())


def _record(
  plan: StagePlan, config: ml_collections.ConfigDict, products: Mapping[str, Product],
  folder: pathlib.Path,
) -> StageRecord:
  rows = tuple(writers.read_scalars(folder / 'metrics.jsonl'))
  stage = _built(plan, config, products)
  selection = stage.selection if stage else None
  return StageRecord(
    plan.name, folder, _seconds(folder), rows, _phases(stage) if stage else (),
    _best(rows, selection), selection.metric if selection else '',
  )


def _built(
  plan: StagePlan, config: ml_collections.ConfigDict, products: Mapping[str, Product]
) -> Stage | None:
  """The stage as its training saw it; None of one that trains nothing or can't be built here."""
  if not plan.build:
    return None
  try:
    built = plan.build(config, {name: products[name] for name in plan.reads})
    return built if isinstance(built, Stage) else None
  except (OSError, ValueError, RuntimeError):
    # What only a training reads, such as captured poses, need not be here any more: the report
    # goes without the names of the phases.
    return None


def _phases(stage: Stage) -> tuple[Phase, ...]:
  phases, first = [], 0
  for phase in stage.phases:
    phases.append(Phase(phase.name, first, first + phase.steps))
    first += phase.steps
  return tuple(phases)


def _best(rows: tuple[dict[str, float], ...], selection: Selection | None) -> int | None:
  """The step that validation chose, the last one of equals, as `training.checkpoints` does."""
  if not selection:
    return None
  sign = 1 if selection.larger else -1
  scored = [
    (sign * row[name], row['step']) for row in rows
    for name in (f'validation/{selection.metric}',) if math.isfinite(row.get(name, math.nan))
  ]
  return max(scored, default=(None, None))[1]


def _seconds(folder: pathlib.Path) -> float:
  """key.json is written when a stage starts or goes on, the product's manifest at its end."""
  try:
    start = (folder / 'key.json').stat().st_mtime
    end = (folder / 'product' / 'manifest.json').stat().st_mtime
  except OSError:
    return math.nan
  return end - start if end >= start else math.nan
