"""A finished run as one file:

  python -m posejax.export --checkpoint=runs/unsup --output=pose.jaxexport

Writes a `jax.export` artefact for CPU, CUDA and TPU and any batch, networks included, and beside it
`<output>.json`: inputs, outputs, joint names, the assumed camera. The artefact is read back and
compared with the run before it is written; what is there already is never overwritten. Exit code
0, 2 with one line, or 130 after Ctrl-C.

It runs without posejax:

  import jax.export, numpy as np
  pose = jax.export.deserialize(open('pose.jaxexport', 'rb').read())
  people = pose.call(np.zeros((5, 128, 128, 3), np.uint8))     # the side stands in the .json
  people['joints_camera'][0][people['valid'][0]]               # (people, 15, 3) mm
"""

import json
import os
import pathlib
import sys

from absl import flags

from posejax import command
from posejax.inference import checkpoint as checkpoint_lib
from posejax.inference import exporting, files
from posejax.training import machine

PROGRAM = 'posejax.export'
METHODS = command.METHODS
_FOR_USERS = (exporting.ExportError, files.OutputError, checkpoint_lib.CheckpointFolderError)


def run(
  checkpoint: pathlib.Path, output: pathlib.Path, cache: pathlib.Path | None = None,
  platforms: tuple[str, ...] = exporting.PLATFORMS,
) -> int:
  """Exports; the exit code.

  Args:
    checkpoint: workdir of the training.
    output: the artefact's file.
    cache: where the training's stages live; in the workdir where None.
    platforms: to lower for.
  """
  record = output.with_name(output.name + '.json')

  def act() -> int:
    if not platforms or set(platforms) - set(exporting.PLATFORMS):
      raise exporting.ExportError(f'--platforms: choose of {",".join(exporting.PLATFORMS)}')
    for path in (output, record):
      if os.path.lexists(path):
        raise files.OutputError(f'{path}: is there already; choose another --output')
    opened = checkpoint_lib.load(checkpoint, METHODS, cache)
    exported = exporting.artefact(opened, platforms)
    data = bytes(exported.serialize())
    parity = exporting.check(opened, data)
    text = json.dumps(exporting.record(opened, exported, parity), indent=1, allow_nan=False)
    files.write(output, lambda file: file.write(data))
    files.write_text(record, text + '\n')
    print(
      f'{output}: {len(data) / 2**20:.1f} MiB for {", ".join(platforms)}; differs from the run by '
      f'at most {parity:.2g} mm or px'
    )
    print(record)
    return 0

  return command.attempt(PROGRAM, act, _FOR_USERS, 'stopped; nothing was written')


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  flags.DEFINE_string('checkpoint', None, 'workdir of a finished training')
  flags.DEFINE_string('output', None, 'file to write')
  flags.DEFINE_string('cache', '', 'folder of the training\'s stages, if they were shared')
  flags.DEFINE_list('platforms', list(exporting.PLATFORMS), 'what to lower for')


def main(arguments: list[str]) -> None:
  command.refuse_words(arguments)
  given = flags.FLAGS
  machine.prepare(None)
  cache = pathlib.Path(given.cache) if given.cache else None
  sys.exit(run(
    pathlib.Path(given.checkpoint), pathlib.Path(given.output), cache, tuple(given.platforms)
  ))


if __name__ == '__main__':
  define_flags()
  command.start(main, ('checkpoint', 'output'))
