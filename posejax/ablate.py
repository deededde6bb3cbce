"""Runs a ladder of ablations over seeds and writes its table.

  python -m posejax.ablate --config=configs/unsup.py:ablate --workdir=runs/ablate --seeds=0,1
  python -m posejax.ablate ... --sweep=world.gap=0.25,0.45,0.65     the domain gap, for a few rungs

Rungs and seeds share the stages that their configs agree in. `results.json` has an entry per rung
and seed, `table.md` is written after each one; killed and started again, the same command goes on.
A sweep has files of its own, `sweep-<field>.json`, `.md` and `.png`.
"""

import pathlib
import runpy
import sys
from collections.abc import Sequence
from typing import NamedTuple

import jax
from absl import flags

from posejax import command
from posejax.benchmarks import harness
from posejax.methods.base import Evaluation, Method
from posejax.training import config as config_lib
from posejax.training import ladder as ladder_lib
from posejax.training import stages
from posejax.training.checkpoints import write_atomically
from posejax.viz import ladder as view

PROGRAM = 'posejax.ablate'


class Options(NamedTuple):
  """What the command line asks for, beside the run whose workdir is the ladder's.

  Attributes:
    ladder: file of the rungs.
    seeds: as written.
    rungs: names; () is all, or the ladder's choice for a sweep.
    split: which set.
    sweep: `field=value,...` or ''.
    table: whether to write the table alone.
  """

  ladder: pathlib.Path = pathlib.Path('configs/ablation.py')
  seeds: Sequence[str] = ('0',)
  rungs: Sequence[str] = ()
  split: str = 'test'
  sweep: str = ''
  table: bool = False


def run(
  given: command.Run, options: Options, method: Method | None = None, run_job=None
) -> int:
  """Runs what has no entry yet and writes the table; the exit code.

  Args:
    given: the base config, and the ladder's workdir.
    options: of the command line.
    method: what is trained; the config's where None.
    run_job: (job, its config) → (Evaluation, whether it was begun before); tests give their own.
  """
  return command.attempt(PROGRAM, lambda: _run(given, options, method, run_job))


def _run(given: command.Run, options: Options, method: Method | None, run_job) -> int:
  method = method or command.method_of(given.config)
  ladder = load_ladder(options.ladder)
  field, values = parse_sweep(options.sweep, given.config)
  rungs = ladder.chosen(options.rungs or (ladder.sweep_rungs if field else ()))
  jobs = ladder_lib.jobs(rungs, parse_seeds(options.seeds), field, values)
  configs = {job.label: job.config(ladder, given.config, method.rules) for job in jobs}
  command.check_split(method, options.split)
  with stages.locked(given.workdir):
    name = f'sweep-{field}.json' if field else 'results.json'
    # A table trains nothing: it shows results of other versions of the config too.
    config = None if options.table else given.config
    results = ladder_lib.Results(given.workdir / name, config, options.split)
    if options.table:
      if not results.entries:
        raise stages.WorkdirError(f'{results.path}: has no entries yet; run without --table')
      write_table(ladder, results, field)
      return 0
    train_one = run_job or (
      lambda job, config: train(method, job, config, given, options.split)
    )
    keys = {label: stages.stage_keys(method, one) for label, one in configs.items()}
    for job in results.jobs(ladder, field):  # also those that are not asked for now: one table
      now = stages.stage_keys(method, job.config(ladder, given.config, method.rules))
      results.find(job, ladder, now)
    failed = ladder_lib.climb(
      ladder, jobs, keys, results, lambda job: train_one(job, configs[job.label]),
      ladder_lib.Origin(machine_line(), given.command),
      lambda line: print(f'{PROGRAM}: {line}', file=sys.stderr, flush=True),
      lambda: write_table(ladder, results, field),
    )
    write_table(ladder, results, field)
  for line in failed:
    print(f'{PROGRAM}: no entry of {line}', file=sys.stderr)
  return 2 if failed else 0


def train(
  method: Method, job: ladder_lib.Job, config, given: command.Run, split: str
) -> tuple[Evaluation, bool]:
  """Trains and evaluates a job in a folder of its own; whether that folder was there before."""
  folder = given.workdir / 'runs' / job.label
  resumed = folder.exists()
  products = stages.run(method, config, folder, given.cache or given.workdir / 'stages')
  evaluation = method.evaluate(config, products, split)
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
  command.define_run('folder of the ladder; the same one goes on')
  flags.DEFINE_string('ladder', 'configs/ablation.py', 'file whose get_ladder() has the rungs')
  flags.DEFINE_list('seeds', '0', 'whole numbers, such as 0,1,2')
  flags.DEFINE_list('rungs', '', 'names of rungs; all where empty')
  flags.DEFINE_string('split', 'test', 'which set is evaluated')
  flags.DEFINE_string('sweep', '', 'field=value,value,...: the rungs at each value')
  flags.DEFINE_bool('table', False, 'only write the table again, of results of whatever config')


def main(arguments: list[str]) -> None:
  asked = flags.FLAGS
  sys.exit(run(command.given_run(PROGRAM, arguments), Options(
    pathlib.Path(asked.ladder), asked.seeds, asked.rungs, asked.split, asked.sweep, asked.table,
  )))


if __name__ == '__main__':
  define_flags()
  command.start(main)
