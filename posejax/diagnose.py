"""Where 3D is lost: `python -m posejax.diagnose --config=... --workdir=runs/unsup`.

Trains what is not finished of a run and writes `diagnosis.json`: what H makes of images, of the
teacher's maps, of maps of the true 2D poses, all at true pelvises, of the pictures it was trained
on, of domain A, and of new synthetic scenes; who is found, and who true maps would let it find
(`methods/crossmodal/diagnosis.py`). The validation set is looked at, so that choices may follow.
"""

import json
import sys

from absl import flags

from posejax import command
from posejax.methods.base import Method
from posejax.methods.crossmodal import METHOD, align, diagnosis
from posejax.training import config as config_lib
from posejax.training import stages
from posejax.training.checkpoints import write_atomically

PROGRAM = 'posejax.diagnose'
SPLIT = 'validation'


def run(given: command.Run, scenes: int = 512) -> int:
  """Trains what is not finished, and measures; the exit code.

  Args:
    given: the run.
    scenes: number of synthetic scenes.
  """
  # As far as `align`: the test set is not made for this.
  names = [plan.name for plan in METHOD.stages]
  needed = METHOD.stages[: names.index(align.NAME) + 1]
  method = Method(METHOD.name, needed, METHOD.rules, free=METHOD.free)

  def act() -> int:
    config_lib.validate(given.config, METHOD.rules)
    products = stages.run(method, given.config, given.workdir, given.cache)
    figures = diagnosis.report(given.config, products, SPLIT, scenes)
    write_atomically(given.workdir / 'diagnosis.json', json.dumps(figures, indent=1) + '\n')
    for name, value in figures.items():
      print(f'{name:40s} {value:8.1f}')
    return 0

  return command.attempt(PROGRAM, act)


def define_flags() -> None:
  command.define_run()
  flags.DEFINE_integer('scenes', 512, 'number of synthetic scenes', lower_bound=1)


def main(arguments: list[str]) -> None:
  sys.exit(run(command.given_run(PROGRAM, arguments), flags.FLAGS.scenes))


if __name__ == '__main__':
  define_flags()
  command.start(main)
