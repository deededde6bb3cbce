"""Measures of the pose prior: `python -m posejax.measure_prior --config=... --workdir=runs/prior`.

Trains the prior's stage if it is not there, no other one, and writes `prior.json` into the workdir:
reconstruction, plausibility, coverage, smoothness (`methods/crossmodal/prior_measures.py`).
Switches are options, as --config.prior.discriminator=none, each with a workdir of its own.
"""

import json
import pathlib
import sys
import time

from absl import app, flags
from ml_collections import config_flags

from posejax.data.captured_poses import CapturedPosesError
from posejax.methods.base import Method
from posejax.methods.crossmodal import METHOD, prior, prior_measures
from posejax.training import config as config_lib
from posejax.training import machine, stages, trainer
from posejax.training.checkpoints import CheckpointError, write_atomically

_FOR_USERS = (
  config_lib.ConfigError, stages.WorkdirError, CheckpointError, trainer.NonFiniteError,
  CapturedPosesError,
)


def run(
  config, workdir: pathlib.Path, cache: pathlib.Path | None, mocap: str, count: int = 1000
) -> int:
  """Trains the prior where needed and measures it; the exit code.

  Args:
    config: of the method.
    workdir: of the run.
    cache: where its stages live; `<workdir>/stages` where None.
    mocap: a BVH folder whose poses are to be covered; '': none.
    count: poses of each group.
  """
  alone = Method(METHOD.name, (METHOD.plan(prior.NAME),), METHOD.rules)
  start = time.monotonic()
  try:
    config_lib.validate(config, METHOD.rules)
    product = stages.run(alone, config, workdir, cache)[prior.NAME]
    trained = time.monotonic() - start
    measures = prior_measures.report(
      config, prior.aae_config(config), product.params, mocap, count
    )
  except trainer.Stopped as stop:
    print(f'posejax.measure_prior: {stop}', file=sys.stderr)
    return 130
  except _FOR_USERS as error:
    print(f'posejax.measure_prior: {error}', file=sys.stderr)
    return 2
  write_atomically(workdir / 'prior.json', json.dumps(measures, indent=1) + '\n')
  for name, value in measures.items():
    print(f'{name:36s} {value:10.2f}')
  print(f'trained or read in {trained:.0f} s')
  return 0


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  config_flags.DEFINE_config_file('config', None, 'file.py or file.py:preset')
  flags.DEFINE_string('workdir', None, 'folder of the run; the same one goes on')
  flags.DEFINE_string('cache', '', 'folder of its stages, if they are shared')
  flags.DEFINE_string('mocap', '', 'a folder of BVH files to measure the coverage of')


def main(arguments: list[str]) -> None:
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')
  workdir = pathlib.Path(flags.FLAGS.workdir)
  machine.prepare(workdir)
  cache = pathlib.Path(flags.FLAGS.cache) if flags.FLAGS.cache else None
  sys.exit(run(flags.FLAGS.config, workdir, cache, flags.FLAGS.mocap))


if __name__ == '__main__':
  define_flags()
  flags.mark_flags_as_required(['config', 'workdir'])
  app.run(main)
