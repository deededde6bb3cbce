"""An ablation ladder: rungs × seeds of one config, each trained and evaluated once.

A rung is a set of config fields; a seed is one field more (`Ladder.seed_field`), chosen so that
what comes before the student is the same for all seeds. Stages are shared through their cache
(`stages`): nothing here says which rung may share what.

`results.json` holds an entry per rung and seed and is written, whole, after each of them: a run
that was killed goes on behind the last entry, in the middle of whose successor `stages` picks up.
"""

import dataclasses
import json
import math
import pathlib
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np

import posejax
from posejax.methods.base import Evaluation, Rule, SceneSums
from posejax.training import config as config_lib
from posejax.training.checkpoints import write_atomically
from posejax.training.stages import WorkdirError
from posejax.training.trainer import NonFiniteError

SCHEMA = 1  # of the results file; raise it when an old file can no longer be read


class Rung(NamedTuple):
  """One system of the ladder.

  Attributes:
    name: in files and options.
    title: in the table.
    fields: dotted config field → value; every rung names all fields that any rung changes.
    against: name of the rung that its step is measured from; '' for the first.
    published: metric → the paper's figure.
  """

  name: str
  title: str
  fields: Mapping[str, Any]
  against: str = ''
  published: Mapping[str, float] = {}


class Column(NamedTuple):
  """A metric of the table."""

  metric: str
  title: str
  digits: int = 1


class Panel(NamedTuple):
  """One plot of a sweep: a metric of every rung, and others that no rung changes beside it.

  Attributes:
    title: of its axis, with the unit.
    metric: drawn once per rung.
    beside: legend → metric, drawn once, such as the teacher's or a baseline's.
  """

  title: str
  metric: str
  beside: Mapping[str, str] = {}


class Comparison(NamedTuple):
  """A second table of the same entries: rungs beside one whom no rung trains, as the teacher.

  Attributes:
    title: above it.
    who: the row of that one.
    columns: metrics of the rungs; `Rung.published` may hold the paper's figures of them.
    metrics: those of `who`, one per column, on what it shares with the rung of an entry.
    published: metric of a column → the paper's figure of `who`.
    note: below it.
  """

  title: str
  who: str
  columns: tuple[Column, ...]
  metrics: tuple[str, ...]
  published: Mapping[str, float] = {}
  note: str = ''


class Grid(NamedTuple):
  """Metrics of one rung laid out as a table of their own.

  Attributes:
    title: above its rows.
    rung: name.
    columns: titles.
    rows: title and metrics, '' for an empty cell, of each row.
    digits: of all.
  """

  title: str
  rung: str
  columns: tuple[str, ...]
  rows: tuple[tuple[str, tuple[str, ...]], ...]
  digits: int = 1


@dataclasses.dataclass(frozen=True)
class Ladder:
  """What `posejax.ablate` runs and shows.

  Attributes:
    seed_field: config field that tells the seeds apart.
    rungs: in the table's order.
    columns: metrics of the table; those that rungs publish stand beside the paper's figures.
    steps_of: metric of `Evaluation.scene_sums` whose steps get intervals.
    baselines: rows below the rungs, each with a metric for the column of `steps_of`.
    sweep_rungs: names of the rungs that a sweep runs if none is chosen.
    panels: plots of a sweep.
    comparison: the second table, if there is one.
    step_scale: what a ratio of `steps_of`'s sums is multiplied by to be that metric: 100 for a
      share in %, 1 for mm.
    note: below the table.
    grids: further tables.
  """

  seed_field: str
  rungs: tuple[Rung, ...]
  columns: tuple[Column, ...]
  steps_of: str
  baselines: tuple[Column, ...] = ()
  sweep_rungs: tuple[str, ...] = ()
  panels: tuple[Panel, ...] = ()
  comparison: Comparison | None = None
  step_scale: float = 100.0
  note: str = ''
  grids: tuple[Grid, ...] = ()

  def __post_init__(self):
    before = set()
    for rung in self.rungs:
      if rung.name in before or rung.against not in before | {''}:
        raise ValueError(
          f'rung {rung.name!r} stands twice, or before {rung.against!r}, which it is measured from'
        )
      if set(rung.fields) != set(self.rungs[0].fields):
        raise ValueError(f'rung {rung.name!r} must name the same fields as the first one')
      before.add(rung.name)

  def chosen(self, names: Sequence[str]) -> tuple[Rung, ...]:
    """Rungs by name, in the ladder's order; all where there are no names.

    Raises:
      ConfigError: a name is no rung's.
    """
    known = [rung.name for rung in self.rungs]
    unknown = sorted(set(names) - set(known))
    if unknown:
      raise config_lib.ConfigError(f'no rung {unknown[0]!r}; there are {", ".join(known)}')
    return tuple(rung for rung in self.rungs if not names or rung.name in names)


class Job(NamedTuple):
  """One entry to come: a rung with a seed, and in a sweep the value of the swept field."""

  rung: Rung
  seed: int
  field: str = ''
  value: float | None = None

  @property
  def label(self) -> str:
    """For folders and progress lines."""
    swept = f'-{self.field}-{self.value:g}' if self.field else ''
    return f'{self.rung.name}{swept}-seed{self.seed}'

  def fields(self, ladder: Ladder) -> dict[str, Any]:
    """All config fields that it sets."""
    swept = {self.field: self.value} if self.field else {}
    return {**self.rung.fields, **swept, ladder.seed_field: self.seed}

  def config(
    self, ladder: Ladder, base: ml_collections.ConfigDict, rules: Mapping[str, Rule]
  ) -> ml_collections.ConfigDict:
    """The base config with its fields.

    Raises:
      ConfigError: a field is not there, or may not have that value.
    """
    known = dict(config_lib.leaves(base))
    changed = base.copy_and_resolve_references().unlock()
    for name, value in self.fields(ladder).items():
      if name not in known:
        raise config_lib.ConfigError(f'rung {self.rung.name!r} sets {name}, no field of the config')
      changed.update_from_flattened_dict({name: value})
    config_lib.validate(changed, rules)
    return changed.lock()


class Origin(NamedTuple):
  """How an entry came to be, kept with it: the machine in words, and the command."""

  machine: str
  command: str


class Results:
  """The results file.

  Args:
    path: read if it is there, else made with the first entry.
    config: the base config; None takes the file as it is, of whatever config and split, to show it.
    split: which set is evaluated.

  Raises:
    WorkdirError: it is damaged, of another schema, another config or another split.
  """

  def __init__(self, path: pathlib.Path, config: ml_collections.ConfigDict | None, split: str):
    self.path = path
    # Through JSON, so that it equals what is read back: tuples are lists there.
    fields = dict(config_lib.leaves(config)) if config is not None else {}
    identity = json.loads(json.dumps({'split': split, **fields}))
    self._content = {
      'schema': SCHEMA, 'version': posejax.__version__, 'identity': identity, 'entries': [],
    }
    if not path.exists():
      return
    try:
      content = json.loads(path.read_text())
      theirs, schema = dict(content['identity']), content['schema']
    except (OSError, ValueError, TypeError, KeyError) as error:
      raise WorkdirError(
        f'{path}: not a readable results file ({type(error).__name__}); move it away'
      ) from error
    if schema != SCHEMA:
      raise WorkdirError(f'{path}: of schema {schema}, this is {SCHEMA}; choose another workdir')
    changed = config_lib.differences(identity, theirs)
    if changed and config is not None:
      raise WorkdirError(
        f'{path}: of another config: {", ".join(changed[:5])}; choose another workdir (with the '
        'same --cache it shares what stages it can)'
      )
    self._content = content

  @property
  def entries(self) -> list[dict[str, Any]]:
    """All entries, in the order in which they were made."""
    return self._content['entries']

  @property
  def split(self) -> str:
    return self._content['identity']['split']

  def jobs(self, ladder: Ladder, field: str) -> list['Job']:
    """The jobs of the entries whose rung the ladder has.

    Args:
      ladder: of the rungs.
      field: of the sweep, or ''.
    """
    rungs = {rung.name: rung for rung in ladder.rungs}
    return [
      Job(rungs[entry['rung']], entry['seed'], field, entry['value'])
      for entry in self.entries if entry['rung'] in rungs
    ]

  def find(
    self, job: Job, ladder: Ladder, keys: Mapping[str, str]
  ) -> dict[str, Any] | None:
    """The entry of a job, or None.

    Args:
      job: whose.
      ladder: of the job.
      keys: stage → key, as its training would now have them.

    Raises:
      WorkdirError: there is one, of other fields or stages than the job now has.
    """
    for entry in self.entries:
      if (entry['rung'], entry['seed'], entry['value']) == (job.rung.name, job.seed, job.value):
        ours = json.loads(json.dumps(job.fields(ladder)))
        changed = config_lib.differences(ours, entry['fields'])
        if changed:
          raise WorkdirError(
            f'{self.path}: its entry of {job.label} had other fields: {", ".join(changed[:5])}; '
            'choose another workdir'
          )
        made = entry.get('stages', {})
        other = [name for name, key in keys.items() if made.get(name) != key]
        if other:
          raise WorkdirError(
            f'{self.path}: stage {other[0]} of its entry of {job.label} '
            + ('was made by other code, or of other contents of the files that the config names'
               if made else 'is not recorded')
            + '; choose another workdir (with the same --cache it shares what stages it can)'
          )
        return entry
    return None

  def add(
    self, job: Job, ladder: Ladder, keys: Mapping[str, str], evaluation: Evaluation,
    seconds: float, resumed: bool, origin: Origin,
  ) -> None:
    """Adds an entry and writes the file."""
    self.entries.append({
      'rung': job.rung.name, 'seed': job.seed, 'value': job.value,
      'fields': json.loads(json.dumps(job.fields(ladder))), 'stages': dict(keys),
      'metrics': {
        # JSON has no nan: what could not be measured is null.
        name: float(metric.value) if math.isfinite(metric.value) else None
        for name, metric in evaluation.metrics.items()
      },
      'scene_sums': {
        name: [np.asarray(part, float).tolist() for part in pair]
        for name, pair in evaluation.scene_sums.items()
      },
      'seconds': seconds, 'resumed': resumed, **origin._asdict(),
    })
    write_atomically(self.path, json.dumps(self._content) + '\n')


def scene_sums(entries: Sequence[Mapping[str, Any]], metric: str) -> SceneSums:
  """Sums and weights of each scene, added up over the entries (seeds) of one rung."""
  pairs = np.array([entry['scene_sums'][metric] for entry in entries])
  return SceneSums(*pairs.sum(0))


def jobs(
  rungs: Sequence[Rung], seeds: Sequence[int], field: str = '',
  values: Sequence[float] | None = None,
) -> list[Job]:
  """All jobs, seed by seed: the whole ladder is there once before a second seed begins."""
  return [
    Job(rung, seed, field, value)
    for seed in seeds for value in (values or [None]) for rung in rungs
  ]


def climb(
  ladder: Ladder, wanted: Sequence[Job], keys: Mapping[str, Mapping[str, str]], results: Results,
  run: Callable[[Job], tuple[Evaluation, bool]], origin: Origin,
  tell: Callable[[str], None], after: Callable[[], None],
) -> list[str]:
  """Runs the jobs that have no entry yet.

  Args:
    ladder: of the jobs.
    wanted: in order.
    keys: label of a job → the keys of its stages.
    results: read and added to.
    run: trains and evaluates a job → (evaluation, whether an earlier run had begun it).
    origin: kept with each entry.
    tell: takes progress lines.
    after: called after every entry.

  Returns:
    A line for each job whose training stopped at a loss that was not finite; the others went on.

  Raises:
    WorkdirError: an entry is of other fields or stages than its job.
    What `run` raises, but for NonFiniteError; the entries before stand.
  """
  open_jobs = [job for job in wanted if results.find(job, ladder, keys[job.label]) is None]
  done, spent, failed = len(wanted) - len(open_jobs), [], []
  for index, job in enumerate(open_jobs):
    tell(f'{done + index + 1} of {len(wanted)}: {job.label}{_outlook(spent, len(open_jobs))}')
    begin = time.perf_counter()
    try:
      evaluation, resumed = run(job)
    except NonFiniteError as error:
      failed.append(f'{job.label}: {error}')
      tell(failed[-1])
      continue
    spent.append(time.perf_counter() - begin)
    results.add(job, ladder, keys[job.label], evaluation, spent[-1], resumed, origin)
    after()
  return failed


def _outlook(spent: Sequence[float], total: int) -> str:
  """Time left, from the entries of this run; the first, which makes what all share, if alone."""
  if not spent:
    return ''
  each = float(np.mean(spent[1:] or spent))
  return f'; {len(spent)} took {sum(spent) / 60:.1f} min, about ' \
         f'{each * (total - len(spent)) / 60:.0f} min left'
