"""Measures of the pose prior: `python -m posejax.measure_prior --config=... --workdir=runs/prior`.

Trains the prior's stage if it is not there, no other one, and writes `prior.json` into the workdir:
reconstruction, plausibility, coverage, smoothness (`methods/crossmodal/prior_measures.py`).
Switches are options, as --config.prior.discriminator=none, each with a workdir of its own.
"""

import json
import sys
import time

from absl import flags

from posejax import command
from posejax.methods.base import Method
from posejax.methods.crossmodal import METHOD, prior, prior_measures
from posejax.training import config as config_lib
from posejax.training import stages
from posejax.training.checkpoints import write_atomically

PROGRAM = 'posejax.measure_prior'


def run(given: command.Run, mocap: str, count: int = 1000) -> int:
  """Trains the prior where needed and measures it; the exit code.

  Args:
    given: the run.
    mocap: a BVH folder whose poses are to be covered; '': none.
    count: poses of each group.
  """
  alone = Method(METHOD.name, (METHOD.plan(prior.NAME),), METHOD.rules)

  def act() -> int:
    start = time.monotonic()
    config_lib.validate(given.config, METHOD.rules)
    product = stages.run(alone, given.config, given.workdir, given.cache)[prior.NAME]
    trained = time.monotonic() - start
    measures = prior_measures.report(
      given.config, prior.aae_config(given.config), product.params, mocap, count
    )
    write_atomically(given.workdir / 'prior.json', json.dumps(measures, indent=1) + '\n')
    for name, value in measures.items():
      print(f'{name:36s} {value:10.2f}')
    print(f'trained or read in {trained:.0f} s')
    return 0

  return command.attempt(PROGRAM, act)


def define_flags() -> None:
  command.define_run()
  flags.DEFINE_string('mocap', '', 'a folder of BVH files to measure the coverage of')


def main(arguments: list[str]) -> None:
  sys.exit(run(command.given_run(PROGRAM, arguments), flags.FLAGS.mocap))


if __name__ == '__main__':
  define_flags()
  command.start(main)
