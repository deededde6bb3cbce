"""Runs a ladder of ablations over seeds and writes its table.

  python -m posejax.ablate --config=configs/unsup.py:ablate --workdir=runs/ablate --seeds=0,1
  python -m posejax.ablate ... --sweep=world.gap=0.5,1.0,1.5     the domain gap, for a few rungs

Rungs and seeds share the stages that their configs agree in. `results.json` has an entry per rung
and seed, `table.md` is written after each one; killed and started again, the same command goes on.
A sweep has files of its own, `sweep-<field>.json`, `.md` and `.png`.
"""

import pathlib
import runpy
import shlex
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
from absl import app, flags
from ml_collections import config_flags

from posejax.benchmarks import harness
from posejax.data.captured_poses import CapturedPosesError
from posejax.methods.base import Evaluation, Method
from posejax.methods.crossmodal import METHOD
from posejax.training import config as config_lib
from posejax.training import ladder as ladder_lib
from posejax.training import machine, stages, trainer
from posejax.training.checkpoints import CheckpointError, write_atomically
from posejax.viz import ladder as view

_FOR_USERS = (
  config_lib.ConfigError, stages.WorkdirError, CheckpointError, CapturedPosesError,
)


class Options(NamedTuple):
  """What the command line asks for.

  Attributes:
    workdir: of the ladder.
    cache: where stages live; `<workdir>/stages` where None.
    ladder: file of the rungs.
    seeds: as written.
    rungs: names; () is all, or the ladder's choice for a sweep.
    split: which set.
    sweep: `field=value,...` or ''.
    table: whether to write the table alone.
    command: kept beside the results.
  """

  workdir: pathlib.Path
  cache: pathlib.Path | None = None
  ladder: pathlib.Path = pathlib.Path('configs/ablation.py')
  seeds: Sequence[str] = ('0',)
  rungs: Sequence[str] = ()
  split: str = 'test'
  sweep: str = ''
  table: bool = False
  command: str = ''


def run(config, options: Options, method: Method = METHOD, run_job=None) -> int:
  """Runs what has no entry yet and writes the table; the exit code.

  Args:
    config: the base config.
    options: of the command line.
    method: what is trained.
    run_job: (job, its config) → (Evaluation, whether it was begun before); tests give their own.
  """
  try:
    ladder = load_ladder(options.ladder)
    field, values = parse_sweep(options.sweep, config)
    rungs = ladder.chosen(options.rungs or (ladder.sweep_rungs if field else ()))
    jobs = ladder_lib.jobs(rungs, parse_seeds(options.seeds), field, values)
    configs = {job.label: job.config(ladder, config, method.rules) for job in jobs}
    if options.split not in method.splits:
      raise config_lib.ConfigError(
        f'--split={options.split}: no such set; there are {", ".join(method.splits)}'
      )
    with stages.locked(options.workdir):
      name = f'sweep-{field}.json' if field else 'results.json'
      results = ladder_lib.Results(options.workdir / name, config, options.split)
      if options.table:
        if not results.entries:
          raise stages.WorkdirError(f'{results.path}: has no entries yet; run without --table')
        write_table(ladder, results, field)
        return 0
      one = run_job or (lambda job, config: train(method, job, config, options))
      failed = ladder_lib.climb(
        ladder, jobs, results, lambda job: one(job, configs[job.label]),
        ladder_lib.Origin(machine_line(), options.command),
        lambda line: print(f'posejax.ablate: {line}', file=sys.stderr, flush=True),
        lambda: write_table(ladder, results, field),
      )
      write_table(ladder, results, field)
  except trainer.Stopped as stop:
    print(f'posejax.ablate: {stop}', file=sys.stderr)
    return 130
  except _FOR_USERS as error:
    print(f'posejax.ablate: {error}', file=sys.stderr)
    return 2
  for line in failed:
    print(f'posejax.ablate: no entry of {line}', file=sys.stderr)
  return 2 if failed else 0


def train(
  method: Method, job: ladder_lib.Job, config, options: Options
) -> tuple[Evaluation, bool]:
  """Trains and evaluates a job in a folder of its own; whether that folder was there before."""
  folder = options.workdir / 'runs' / job.label
  resumed = folder.exists()
  products = stages.run(method, config, folder, options.cache or options.workdir / 'stages')
  evaluation = method.evaluate(config, products, options.split)
  # Each rung compiles steps of its own; what is compiled for the last one is of no more use.
  jax.clear_caches()
  return evaluation, resumed


def write_table(ladder: ladder_lib.Ladder, results: ladder_lib.Results, field: str) -> None:
  """Writes the table beside the results, and the picture of a sweep, and says where."""
  if not field:
    write_atomically(results.path.with_name('table.md'), view.table(ladder, results))
    return
  write_atomically(results.path.with_suffix('.md'), view.sweep_table(ladder, results, field))
  if results.entries:
    picture = view.sweep_picture(ladder, results, field)
    picture.save(results.path.with_suffix('.png'))


def load_ladder(path: pathlib.Path) -> ladder_lib.Ladder:
  """The ladder of a file.

  Raises:
    ConfigError: there is no such file, or no `get_ladder` in it.
  """
  if not path.is_file():
    raise config_lib.ConfigError(f'--ladder={path}: no such file')
  content = runpy.run_path(str(path))
  if 'get_ladder' not in content:
    raise config_lib.ConfigError(f'--ladder={path}: has no get_ladder()')
  return content['get_ladder']()


def parse_seeds(texts: Sequence[str]) -> list[int]:
  """Seeds, each once, in their order.

  Raises:
    ConfigError: one is no whole number ≥ 0.
  """
  wrong = [text for text in texts if not text.strip().isdecimal()]
  if wrong or not texts:
    raise config_lib.ConfigError(f'--seeds: {wrong[0] if wrong else ""!r} is no whole number')
  return list(dict.fromkeys(int(text) for text in texts))


def parse_sweep(text: str, config) -> tuple[str, list[float] | None]:
  """Field and values of `field=value,value,...`; ('', None) of ''.

  Raises:
    ConfigError: no such field, or one that holds no number, or a value that is none.
  """
  if not text:
    return '', None
  field, _, listed = text.partition('=')
  current = dict(config_lib.leaves(config)).get(field)
  if isinstance(current, bool) or not isinstance(current, int | float):
    raise config_lib.ConfigError(f'--sweep={text}: {field!r} is no number of the config')
  try:
    return field, [type(current)(value) for value in listed.split(',')]
  except ValueError:
    raise config_lib.ConfigError(
      f'--sweep={text}: write field=value,value,... with {type(current).__name__} values'
    ) from None


def machine_line() -> str:
  """What the ladder runs on, in words."""
  machine = harness.machine()
  return (
    f'{machine["devices"]} × {machine["device"]}, {machine["cores"]} cores of '
    f'{machine["processor"]}, jax {machine["jax"]}'
  )


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  config_flags.DEFINE_config_file('config', None, 'file.py or file.py:preset')
  flags.DEFINE_string('workdir', None, 'folder of the ladder; the same one goes on')
  flags.DEFINE_string('cache', '', 'folder for stages, to share them between runs')
  flags.DEFINE_string('ladder', 'configs/ablation.py', 'file whose get_ladder() has the rungs')
  flags.DEFINE_list('seeds', '0', 'whole numbers, such as 0,1,2')
  flags.DEFINE_list('rungs', '', 'names of rungs; all where empty')
  flags.DEFINE_string('split', 'test', 'which set is evaluated')
  flags.DEFINE_string('sweep', '', 'field=value,value,...: the rungs at each value')
  flags.DEFINE_bool('table', False, 'only write the table again')


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')
  given = flags.FLAGS
  workdir = pathlib.Path(given.workdir)
  machine.prepare(workdir)
  sys.exit(run(given.config, Options(
    workdir, pathlib.Path(given.cache) if given.cache else None, pathlib.Path(given.ladder),
    given.seeds, given.rungs, given.split, given.sweep, given.table,
    shlex.join(['python', '-m', 'posejax.ablate', *sys.argv[1:]]),
  )))


if __name__ == '__main__':
  define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
