"""Trains a method: `python -m posejax.train --config=configs/unsup.py --workdir=runs/unsup`.

Stages that are finished are read, a stage that was cut off goes on where it was. When all are done,
the test set is evaluated: `<workdir>/metrics.json`, and the report `<workdir>/index.html`.
`python -m posejax.evaluate` makes both again, also on the validation set.
"""

import sys

from absl import flags

from posejax import command
from posejax.training import config as config_lib
from posejax.training import stages
from posejax.viz import report

PROGRAM = 'posejax.train'


def run(given: command.Run, until: str = '') -> int:
  """Trains, evaluates and reports; the exit code. With `until` it stops behind that stage."""

  def act() -> int:
    method = command.method_of(given.config)
    names = [plan.name for plan in method.stages]
    if until and until not in names:
      raise config_lib.ConfigError(
        f'--until={until}: no such stage; there are {", ".join(names)}'
      )
    config_lib.validate(given.config, method.rules)
    products = stages.run(method, given.config, given.workdir, given.cache, until or None)
    if not until:
      split = method.splits[-1]
      report.show(report.publish(
        method, given.config, products, given.workdir, given.cache, split, given.command,
      ))
      for name in report.file_names(method, given.config, split):
        print(given.workdir / name)
    return 0

  return command.attempt(PROGRAM, act)


def define_flags() -> None:
  command.define_run()
  flags.DEFINE_string('until', '', 'last stage to run; all, and the evaluation, where empty')


def main(arguments: list[str]) -> None:
  sys.exit(run(command.given_run(PROGRAM, arguments), flags.FLAGS.until))


if __name__ == '__main__':
  define_flags()
  command.start(main)
