"""Carries finished networks between machines, in small files (see training/transfer.py).

  python -m posejax.transfer pack --workdir=runs/gpu --parcel=parcel
  python -m posejax.transfer unpack --parcel=parcel --workdir=runs/gpu
"""

import pathlib
import sys

from absl import app, flags

from posejax.training import transfer

_WORKDIR = flags.DEFINE_string('workdir', None, 'folder of the run')
_PARCEL = flags.DEFINE_string('parcel', None, 'folder of the small files')
_CACHE = flags.DEFINE_string('cache', '', 'folder of stages; <workdir>/stages where empty')


def main(arguments: list[str]) -> None:
  if len(arguments) != 2 or arguments[1] not in ('pack', 'unpack'):
    raise app.UsageError('say pack or unpack')
  parcel = pathlib.Path(_PARCEL.value)
  cache = pathlib.Path(_CACHE.value) if _CACHE.value else pathlib.Path(_WORKDIR.value) / 'stages'
  try:
    if arguments[1] == 'pack':
      names = transfer.pack(cache, parcel)
    else:
      names = transfer.unpack(parcel, cache)
  except transfer.TransferError as error:
    print(f'posejax.transfer: {error}', file=sys.stderr)
    sys.exit(2)
  print('\n'.join(names))


if __name__ == '__main__':
  flags.mark_flags_as_required(['workdir', 'parcel'])
  app.run(main)
