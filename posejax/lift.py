"""People in 3D from 2D poses alone, of a run of `configs/lifting.py`:

  python -m posejax.lift --checkpoint=runs/lifting --poses2d=FILE_OR_FOLDER --output=out/

Reads COCO keypoint JSON, a folder of OpenPose JSON, or npz (posejax/data/poses_2d.py); joints may
be missing. Writes what `posejax.infer` writes, in the same schema: JSON, npz, COCO lists, with
--bvh a BVH file a person. Who shows too few joints, or neither pelvis nor both hips, is left out.

Intrinsics: --focal_px or --fov_deg, else the npz's own, else assumed; results say which. OpenPose's
files do not say how large the picture was: give --size=1920x1080.
"""

import pathlib
import re
import sys

from absl import flags

import posejax
from posejax import command
from posejax.data.poses_2d import Poses2dError
from posejax.inference import lifted
from posejax.inference.checkpoint import CheckpointFolderError
from posejax.inference.files import OutputError
from posejax.inference.schema import SchemaError
from posejax.inference.smoothing import OneEuro
from posejax.training import machine

PROGRAM = 'posejax.lift'
_FOR_USERS = (Poses2dError, CheckpointFolderError, OutputError, SchemaError)


def stated(
  size: str, focal_px: float | None, fov_deg: float | None, fps: float, still: bool
) -> lifted.Stated:
  """What the options say of the file.

  Raises:
    Poses2dError: a value that makes no sense.
  """
  pair = None
  if size:
    found = re.fullmatch(r'([1-9]\d{0,5})x([1-9]\d{0,5})', size)
    if not found:
      raise Poses2dError(f'--size={size}: expected WIDTHxHEIGHT in px, such as 1920x1080')
    pair = int(found[1]), int(found[2])
  if focal_px is not None and not 1 <= focal_px <= 1e6:
    raise Poses2dError(f'--focal_px={focal_px:g}: it must be from 1 to 1e6 px')
  if fov_deg is not None and not 1 <= fov_deg <= 170:
    raise Poses2dError(f'--fov_deg={fov_deg:g}: it must be from 1 to 170 degrees')
  if focal_px is not None and fov_deg is not None:
    raise Poses2dError('--fov_deg and --focal_px say the same: give one of them')
  if not 0.01 <= fps <= 10_000:
    raise Poses2dError(f'--fps={fps:g}: it must be from 0.01 to 10000')
  return lifted.Stated(pair, focal_px, fov_deg, fps, still)


def run(
  checkpoint: pathlib.Path, poses: pathlib.Path, output: pathlib.Path,
  given: dict[str, object], cache: pathlib.Path | None = None, smooth: OneEuro | None = None,
  bvh: bool = False,
) -> int:
  """Does what the options ask for; the exit code."""

  def act() -> int:
    lifted.run(
      checkpoint, poses, output, stated(**given), command.METHODS,
      f'posejax {posejax.__version__}', cache, smooth, bvh,
    )
    print(output)
    return 0

  return command.attempt(PROGRAM, act, _FOR_USERS)


def define_flags() -> None:
  """Options: here, so that one process may import every entry point."""
  flags.DEFINE_string('checkpoint', None, 'workdir of a finished training of configs/lifting.py')
  flags.DEFINE_string('poses2d', None, 'COCO JSON, a folder of OpenPose JSON, or npz')
  flags.DEFINE_string('output', None, 'folder for the results; the same command again goes on')
  flags.DEFINE_string('cache', '', 'folder of the training\'s stages, if they were shared')
  flags.DEFINE_string('size', '', 'WIDTHxHEIGHT of the pictures, where the file does not say it')
  flags.DEFINE_float('fov_deg', None, 'field of view along the longer side, if you know it')
  flags.DEFINE_float('focal_px', None, 'focal length in px, if you know it')
  flags.DEFINE_float('fps', 30.0, 'frames a second of a video\'s poses')
  flags.DEFINE_bool('still', False, 'the camera does not move: one pitch for all frames')
  flags.DEFINE_bool('smooth', False, 'smooth videos (One-Euro), with a report')
  flags.DEFINE_bool('bvh', False, 'a BVH file for each person')


def main(arguments: list[str]) -> None:
  command.refuse_words(arguments)
  options = flags.FLAGS
  folder = pathlib.Path(options.checkpoint)
  machine.prepare(folder if folder.is_dir() else None)
  given = {name: options[name].value for name in ('size', 'focal_px', 'fov_deg', 'fps', 'still')}
  sys.exit(run(
    folder, pathlib.Path(options.poses2d), pathlib.Path(options.output), given,
    pathlib.Path(options.cache) if options.cache else None,
    OneEuro() if options.smooth else None, options.bvh,
  ))


if __name__ == '__main__':
  define_flags()
  command.start(main, ('checkpoint', 'poses2d', 'output'))
