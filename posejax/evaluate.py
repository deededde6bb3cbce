"""Evaluates a finished run: `python -m posejax.evaluate --config=... --workdir=runs/unsup`.

Writes `metrics.json` and the report `index.html` into the workdir for the test set, and
`metrics_validation.json` and `index_validation.html` with `--split=validation`; with
`--config.infer.mirror=True` their names end in `_mirror`. Trains nothing.
"""

import shlex
import sys

from absl import flags

from posejax import command
from posejax.methods.base import Method
from posejax.training import config as config_lib
from posejax.training import finished, stages
from posejax.viz import report

PROGRAM = 'posejax.evaluate'


def run(given: command.Run, split: str, training: str, method: Method | None = None) -> int:
  """Evaluates; the exit code.

  Args:
    given: the run.
    split: one of the method's.
    training: the command that trains it.
    method: that was trained; the config's where None.
  """

  def act() -> int:
    chosen = method or command.method_of(given.config)
    command.check_split(chosen, split)
    config_lib.validate(given.config, chosen.rules)
    products = finished_products(chosen, given, split, training)
    report.show(report.publish(
      chosen, given.config, products, given.workdir, given.cache, split, training
    ))
    for name in report.file_names(chosen, given.config, split):
      print(given.workdir / name)
    return 0

  return command.attempt(PROGRAM, act)


def finished_products(method: Method, given: command.Run, split: str, training: str):
  """As `finished.load`; what is not finished is an error that names the command to make it."""
  try:
    return finished.load(method, given.config, given.workdir, given.cache, split)
  except finished.UnfinishedError as error:
    raise stages.WorkdirError(f'{error}; run {training}') from error


def training_command(arguments: list[str]) -> str:
  """The training that an evaluation's arguments belong to."""
  kept, skip = [], False
  for argument in arguments:
    if not skip and not argument.startswith(('--split=', '-split=')):
      skip = argument in ('--split', '-split')
      if not skip:
        kept.append(argument)
    else:
      skip = False
  return shlex.join(['python', '-m', 'posejax.train', *kept])


def define_flags() -> None:
  command.define_run('folder of the finished run')
  flags.DEFINE_string('split', 'test', 'which set to evaluate on')


def main(arguments: list[str]) -> None:
  given = command.given_run(PROGRAM, arguments, begun=True)
  sys.exit(run(given, flags.FLAGS.split, training_command(sys.argv[1:])))


if __name__ == '__main__':
  define_flags()
  command.start(main)
