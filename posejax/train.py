"""Trains a method: `python -m posejax.train --config=configs/unsup.py --workdir=runs/unsup`.

Stages that are finished are read, a stage that was cut off goes on where it was. When all are done,
the test set is evaluated: `<workdir>/metrics.json`, and the report `<workdir>/index.html`.
`python -m posejax.evaluate` makes both again, also on the validation set.
"""

import pathlib
import shlex
import sys

from absl import app, flags
from ml_collections import config_flags

from posejax.data.captured_poses import CapturedPosesError
from posejax.methods.crossmodal import METHOD
from posejax.training import config as config_lib
from posejax.training import machine, stages, trainer
from posejax.training.checkpoints import CheckpointError
from posejax.viz import report

_FOR_USERS = (
  config_lib.ConfigError, stages.WorkdirError, CheckpointError, trainer.NonFiniteError,
  CapturedPosesError,
)


def run(
  config, workdir: pathlib.Path, cache: pathlib.Path | None, command: str, until: str = '',
) -> int:
  """Trains, evaluates and reports; the exit code. With `until` it stops behind that stage."""
  split = METHOD.splits[-1]
  names = [plan.name for plan in METHOD.stages]
  if until and until not in names:
    print(f'posejax.train: --until={until}: no such stage; there are {", ".join(names)}',
          file=sys.stderr)
    return 2
  try:
    config_lib.validate(config, METHOD.rules)
    products = stages.run(METHOD, config, workdir, cache, until or None)
    if until:
      return 0
    evaluation = report.publish(METHOD, config, products, workdir, cache, split, command)
  except trainer.Stopped as stop:
    print(f'posejax.train: {stop}', file=sys.stderr)
    return 130
  except _FOR_USERS as error:
    print(f'posejax.train: {error}', file=sys.stderr)
    return 2
  report.show(evaluation)
  for name in report.file_names(METHOD, split):
    print(workdir / name)
  return 0


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  config_flags.DEFINE_config_file('config', None, 'file.py or file.py:preset')
  flags.DEFINE_string('workdir', None, 'folder of the run; the same one goes on')
  flags.DEFINE_string('cache', '', 'folder for stages, to share them between runs')
  flags.DEFINE_string('until', '', 'last stage to run; all, and the evaluation, where empty')


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')
  workdir = pathlib.Path(flags.FLAGS.workdir)
  machine.prepare(workdir)
  cache = pathlib.Path(flags.FLAGS.cache) if flags.FLAGS.cache else None
  command = shlex.join(['python', '-m', 'posejax.train', *sys.argv[1:]])
  sys.exit(run(flags.FLAGS.config, workdir, cache, command, flags.FLAGS.until))


if __name__ == '__main__':
  define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
