"""Trains a method: `python -m posejax.train --config=configs/unsup.py --workdir=runs/unsup`.

Stages that are finished are read, a stage that was cut off goes on where it was. When all are done,
the test set is evaluated: `<workdir>/metrics.json`, and the report `<workdir>/index.html`.
`python -m posejax.evaluate` makes both again, also on the validation set.
"""

import logging
import pathlib
import shlex
import sys

import jax
from absl import app, flags
from ml_collections import config_flags

from posejax.data.captured_poses import CapturedPosesError
from posejax.methods.crossmodal import METHOD
from posejax.training import config as config_lib
from posejax.training import stages, trainer
from posejax.training.checkpoints import CheckpointError
from posejax.viz import report

_FOR_USERS = (
  config_lib.ConfigError, stages.WorkdirError, CheckpointError, trainer.NonFiniteError,
  CapturedPosesError,
)


def run(config, workdir: pathlib.Path, cache: pathlib.Path | None, command: str) -> int:
  """Trains, evaluates and reports; the exit code."""
  split = METHOD.splits[-1]
  try:
    config_lib.validate(config, METHOD.rules)
    products = stages.run(METHOD, config, workdir, cache)
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


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')
  # Orbax and jax report each save and compilation: the progress bars say what users need.
  logging.getLogger('absl').setLevel(logging.ERROR)
  workdir = pathlib.Path(flags.FLAGS.workdir)
  jax.config.update('jax_compilation_cache_dir', str(workdir.absolute() / 'compiled'))
  cache = pathlib.Path(flags.FLAGS.cache) if flags.FLAGS.cache else None
  command = shlex.join(['python', '-m', 'posejax.train', *sys.argv[1:]])
  sys.exit(run(flags.FLAGS.config, workdir, cache, command))


if __name__ == '__main__':
  define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
