"""Carries finished networks between machines, in small files (see training/transfer.py).

  python -m posejax.transfer pack --config=configs/unsup.py:gpu --workdir=runs/gpu --parcel=parcel
  python -m posejax.transfer unpack --config=configs/unsup.py:gpu --workdir=runs/gpu --parcel=parcel

It packs the finished stages of the config, without networks that no later stage and no inference
reads, and refuses more than 60 MB together.
"""

import pathlib
import sys

from absl import app, flags

from posejax import command
from posejax.training import config as config_lib
from posejax.training import transfer

PROGRAM = 'posejax.transfer'


def run(given: command.Run, act: str, parcel: pathlib.Path) -> int:
  """Packs or unpacks; the exit code."""

  def carry() -> int:
    method = command.method_of(given.config)
    config_lib.validate(given.config, method.rules)
    try:
      if act == 'pack':
        names = transfer.pack(method, given.config, given.workdir, parcel, given.cache)
      else:
        names = transfer.unpack(method, given.config, given.workdir, parcel, given.cache)
    except OSError as error:
      raise transfer.TransferError(
        f'{error.filename or parcel}: {error.strerror or error}; free space, or choose another '
        'folder'
      ) from error
    print('\n'.join(names))
    return 0

  return command.attempt(PROGRAM, carry)


def main(arguments: list[str]) -> None:
  if len(arguments) != 2 or arguments[1] not in ('pack', 'unpack'):
    raise app.UsageError('say pack or unpack')
  given = command.given_run(PROGRAM, arguments[:1], begun=True)
  sys.exit(run(given, arguments[1], pathlib.Path(flags.FLAGS.parcel)))


def define_flags() -> None:
  command.define_run('folder of the run')
  flags.DEFINE_string('parcel', None, 'folder of the small files')


if __name__ == '__main__':
  define_flags()
  command.start(main, required=('config', 'workdir', 'parcel'))
