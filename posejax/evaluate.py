"""Evaluates a finished run: `python -m posejax.evaluate --config=... --workdir=runs/unsup`.

Writes `metrics.json` and the report `index.html` into the workdir for the test set, and
`metrics_validation.json` and `index_validation.html` with `--split=validation`. Trains nothing.
"""

import pathlib
import shlex
import sys

from absl import app, flags
from ml_collections import config_flags

from posejax.methods.base import Method
from posejax.methods.crossmodal import METHOD
from posejax.training import config as config_lib
from posejax.training import finished, machine, stages
from posejax.training.checkpoints import CheckpointError
from posejax.viz import report

_FOR_USERS = (config_lib.ConfigError, stages.WorkdirError, CheckpointError)


def run(
  config, workdir: pathlib.Path, cache: pathlib.Path | None, split: str, training: str,
  method: Method = METHOD,
) -> int:
  """Evaluates; the exit code.

  Args:
    config: of the run.
    workdir: of the run.
    cache: where its stages live; `<workdir>/stages` where None.
    split: one of the method's.
    training: the command that trains it.
    method: that was trained.
  """
  try:
    if split not in method.splits:
      raise config_lib.ConfigError(
        f'--split={split}: no such set; there are {", ".join(method.splits)}'
      )
    config_lib.validate(config, method.rules)
    try:
      products = finished.load(method, config, workdir, cache, split)
    except finished.UnfinishedError as error:
      raise stages.WorkdirError(f'{error}; run {training}') from error
    evaluation = report.publish(method, config, products, workdir, cache, split, training)
  except _FOR_USERS as error:
    print(f'posejax.evaluate: {error}', file=sys.stderr)
    return 2
  report.show(evaluation)
  for name in report.file_names(method, split):
    print(workdir / name)
  return 0


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
  """Options of the command line: here, so that one process may import every entry point."""
  config_flags.DEFINE_config_file('config', None, 'file.py or file.py:preset')
  flags.DEFINE_string('workdir', None, 'folder of the finished run')
  flags.DEFINE_string('cache', '', 'folder of its stages, if they were shared')
  flags.DEFINE_string('split', 'test', 'which set to evaluate on')


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')
  workdir = pathlib.Path(flags.FLAGS.workdir)
  machine.prepare(workdir if workdir.is_dir() else None)  # nothing is made where there is no run
  cache = pathlib.Path(flags.FLAGS.cache) if flags.FLAGS.cache else None
  training = training_command(sys.argv[1:])
  sys.exit(run(flags.FLAGS.config, workdir, cache, flags.FLAGS.split, training))


if __name__ == '__main__':
  define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
