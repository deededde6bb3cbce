"""What a run of inference is asked for: the options, checked, and which of them decide results."""

import dataclasses
import os
import pathlib
import re
from typing import Any

from posejax.inference import tiles
from posejax.inference.smoothing import OneEuro

FPS = 30.0  # of a video's 2D poses, where nothing is said


class UsageError(ValueError):
  """Options that do not go together. One line."""


@dataclasses.dataclass(frozen=True)
class Options:
  """What the command line asks for.

  Attributes:
    checkpoint: workdir of a training.
    input: photograph, video, or folder; None where 2D poses are given.
    output: folder of the results.
    cache: of the training's stages; None: in its workdir.
    batch: views of a call.
    fov_deg: field of view along the longer side; None: EXIF's or the file's own, or assumed.
    focal_px: focal length of all inputs; None as before.
    every: of a video every n-th frame.
    smooth: One-Euro filters on videos; None leaves them out.
    pictures: whether pictures and pages are made.
    bvh: whether BVH is written.
    rerun: whether rerun recordings are.
    refine: True asks for the second stage, False leaves it out, None takes it where there is one.
    poses2d: file or folder of 2D poses; None where images are given.
    size: 'WIDTHxHEIGHT' px of the pictures that 2D poses are of; '': as the file says.
    fps: frames a second of a video's 2D poses; None: `FPS`.
    still: one camera that does not move took all frames of the 2D poses.
    tiles: the finest level of parts that are looked at beside a whole picture.
    mirror: whether every view's mirror image is looked at too; None: as the run's config says.
  """

  checkpoint: pathlib.Path
  input: pathlib.Path | None
  output: pathlib.Path
  cache: pathlib.Path | None = None
  batch: int = 8
  fov_deg: float | None = None
  focal_px: float | None = None
  every: int = 1
  smooth: OneEuro | None = None
  pictures: bool = True
  bvh: bool = False
  rerun: bool = False
  refine: bool | None = None
  poses2d: pathlib.Path | None = None
  size: str = ''
  fps: float | None = None
  still: bool = False
  tiles: int = 1
  mirror: bool | None = None

  def check(self) -> None:
    """Raises UsageError where a value, or two together, make no sense."""
    if (self.input is None) == (self.poses2d is None):
      raise UsageError(
        'give either --input (photographs and videos) or --poses2d (2D poses, to be lifted)'
      )
    if not 1 <= self.batch <= 1024 or not 1 <= self.every <= 10_000:
      raise UsageError('--batch must be 1 to 1024, --every 1 to 10000')
    if self.fov_deg is not None and not 1 <= self.fov_deg <= 170:
      raise UsageError(f'--fov_deg={self.fov_deg:g}: it must be from 1 to 170 degrees')
    if self.focal_px is not None and not 1 <= self.focal_px <= 1e6:
      raise UsageError(f'--focal_px={self.focal_px:g}: it must be from 1 to 1e6 px')
    if self.fov_deg is not None and self.focal_px is not None:
      raise UsageError('--fov_deg and --focal_px say the same: give one of them')
    if self.smooth and not (
      1e-3 <= self.smooth.cutoff <= 1e3 and 0 <= self.smooth.beta <= 1e3
    ):
      raise UsageError('--smooth_cutoff must be 0.001 to 1000 Hz, --smooth_beta 0 to 1000')
    if self.poses2d is None:
      for name in ('size', 'fps', 'still'):
        if getattr(self, name):
          raise UsageError(f'--{name} is for --poses2d: pictures and videos say it themselves')
    else:
      for name, given in (
        ('refine', self.refine is not None), ('tiles', self.tiles != 1),
        ('mirror', self.mirror is not None),
      ):
        if given:
          raise UsageError(f'--{name} is for --input: 2D poses are lifted as they are')
    if self.tiles not in tiles.LEVELS:
      raise UsageError(f'--tiles={self.tiles}: it must be 1, 2, 4 or 8')
    if self.fps is not None and not 0.01 <= self.fps <= 10_000:
      raise UsageError(f'--fps={self.fps:g}: it must be from 0.01 to 10000')
    self.picture_size()

  def picture_size(self) -> tuple[int, int] | None:
    """(width, height) px that `size` says, or None.

    Raises:
      UsageError: it says something else.
    """
    if not self.size:
      return None
    found = re.fullmatch(r'([1-9]\d{0,5})x([1-9]\d{0,5})', self.size, re.ASCII)
    if not found:
      raise UsageError(f'--size={self.size}: expected WIDTHxHEIGHT in px, such as 1920x1080')
    return int(found[1]), int(found[2])

  def record(self) -> dict[str, Any]:
    """What decides the results, as plain data: another run may go on with the same alone."""
    decides = dataclasses.asdict(self)
    # The run's own record says whether it looks at mirror images.
    for name in (
      'output', 'cache', 'batch', 'checkpoint', 'poses2d', 'size', 'fps', 'still', 'mirror',
    ):
      del decides[name]
    if self.tiles == 1:  # so that results from before there was that option go on
      del decides['tiles']
    if self.poses2d is None:
      return {**decides, 'input': os.path.realpath(self.input)}
    return {
      **decides, 'poses2d': os.path.realpath(self.poses2d), 'size': self.picture_size(),
      'fps': self.fps or FPS, 'still': self.still,
    }
