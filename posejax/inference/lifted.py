"""From a user's 2D poses to people in space: what `posejax.infer --poses2d` does.

COCO's pictures are photographs, each a result of its own name; OpenPose's and npz's frames are a
video (one frame alone is a photograph). What a file does not say of picture size and intrinsics the
user states, or the focal length is assumed; every result says which.

Symbols: F frames, P people, J joints.
"""

import os
import pathlib
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from posejax.data.poses_2d import Frame2d, Poses2d, Poses2dError
from posejax.inference import inputs, lenses, schema
from posejax.inference.options import FPS, Options, UsageError
from posejax.inference.scene import Frame, Kind, Lens, Stamp
from posejax.methods.base import People

Lift = Callable[[np.ndarray, np.ndarray, bool], tuple[np.ndarray, np.ndarray, np.ndarray]]

NOTES = (
  'from 2D poses alone: millimetres assume bodies of the mean size of the training\'s, and joints '
  'that were not given are filled in',
  'the camera is taken to have no roll',
)
MAX_SLOTS = 500_000  # frames times the people of the fullest: arrays of at most 0.4 GB
_RESERVED = ('infer', 'summary', 'coco_keypoints', 'coco_images')


class Given(NamedTuple):
  """What one result is made of.

  Attributes:
    name: of the result.
    kind: a photograph or a video.
    size: (W, H) px.
    fps: frames a second of `frames`; None for a photograph.
    lens: its camera.
    frames: one for a photograph.
    every: frames of the file from one of these to the next.
  """

  name: str
  kind: Kind
  size: tuple[int, int]
  fps: float | None
  lens: Lens
  frames: tuple[Frame2d, ...]
  every: int = 1


def sort(path: pathlib.Path, poses: Poses2d, options: Options) -> tuple[list[Given], list[str]]:
  """What the results of a file are made of, and a line for each picture that gives none.

  Args:
    path: of the file or folder.
    poses: what it holds.
    options: of the command.

  Raises:
    Poses2dError: nobody is in it, its numbers make no camera, no picture has a size, or it is a
      video too long.
    UsageError: an option of videos, and the file holds photographs.
  """
  if not any(len(frame.joints) for frame in poses.frames):
    raise Poses2dError(f'{path}: nobody is in it')
  for name, value in (('focal', poses.focal), ('center', poses.center)):
    if value is not None and not (
      np.isfinite(value).all() and (np.abs(value) <= 1e6).all()
      and (name != 'focal' or (value > 0).all())
    ):
      raise Poses2dError(f'{path}: {name} is {value.tolist()}, which is no camera\'s; mend it')
  if _of_pictures(path) or len(poses.frames) == 1:
    return _photographs(path, poses, options)
  poses = poses._replace(frames=poses.frames[:: options.every])
  size = _size(poses.frames[0], options)
  if size is None:
    raise Poses2dError(f'{path}: says no picture size; give --size=WIDTHxHEIGHT')
  people = sum(len(frame.joints) for frame in poses.frames)
  schema.check_size(path.name, people, len(poses.frames), poses.frames[0].joints.shape[1])
  if len(poses.frames) * max(len(frame.joints) for frame in poses.frames) > MAX_SLOTS:
    raise Poses2dError(f'{path}: too many people over too many frames; give a larger --every')
  lens = lenses.of_poses(size, poses.focal, poses.center, options)
  return [Given(
    _safe(path.name), 'video', size, (options.fps or FPS) / options.every, lens, poses.frames,
    options.every,
  )], []


def _of_pictures(path: pathlib.Path) -> bool:
  """Whether its frames are pictures with names of their own: COCO's, as `poses_2d.read` has it."""
  return not os.path.isdir(path) and path.suffix.lower() != '.npz'


def _photographs(
  path: pathlib.Path, poses: Poses2d, options: Options
) -> tuple[list[Given], list[str]]:
  for name, given in (
    ('fps', options.fps), ('still', options.still), ('every', options.every > 1),
  ):
    if given:
      raise UsageError(f'--{name} is for videos; {path} holds photographs')
  found, skipped = [], []
  taken: dict[str, int] = {}  # name → how many pictures are called so
  for frame in poses.frames:
    size = _size(frame, options)
    if size is None:
      skipped.append(f'{path}: {frame.name}: no picture size is known; give --size=WIDTHxHEIGHT')
      continue
    own = name = _safe(frame.name if _of_pictures(path) else path.name)
    while name in taken:
      taken[own] += 1
      name = f'{own}~{taken[own]}'
    taken[name] = 1
    lens = lenses.of_poses(size, poses.focal, poses.center, options)
    found.append(Given(name, 'photo', size, None, lens, (frame,)))
  if not found:
    raise Poses2dError(skipped[0])
  return found, skipped


def _size(frame: Frame2d, options: Options) -> tuple[int, int] | None:
  return options.picture_size() or frame.size


def _safe(name: str) -> str:
  """A picture's name, from a file that nobody vouches for, as one below the output folder."""
  text = name.encode(errors='replace').decode().replace('\\', '/')
  given = '/'.join(part for part in text.split('/') if part.strip('. '))  # none leads upwards
  return inputs.shortened(f'{given}~' if given in ('', *_RESERVED) else given)


def stamp(path: pathlib.Path) -> Stamp:
  """What tells whether the poses are still those that a result was made of.

  A folder's is the sum of its files' sizes and the latest change.

  Raises:
    ImageError: there is nothing, or it is not to be seen.
    Poses2dError: a folder that cannot be listed.
  """
  if not os.path.isdir(path):  # pathlib's raises where the path cannot be looked at
    return inputs.stamp(path)
  try:
    files = [inputs.stamp(one) for one in path.iterdir() if one.suffix.lower() == '.json']
  except OSError as error:
    raise Poses2dError(f'{path}: cannot be read ({error.strerror or error})') from error
  return Stamp(sum(one.size for one in files), max((one.modified for one in files), default=0.0))


def lifted(given: Given, lift: Lift, still: bool) -> tuple[tuple[Frame, ...], int]:
  """The people of each frame in 3D, and how many, counted in each frame, could not be lifted.

  Args:
    given: 2D poses.
    lift: of the method.
    still: one camera that does not move took all frames.
  """
  frames, lens = given.frames, given.lens
  most = max(len(frame.joints) for frame in frames)
  most = 1 << (max(most, 1) - 1).bit_length()  # few shapes, each of which is compiled
  rays = np.zeros((len(frames), most, *frames[0].joints.shape[1:]), np.float32)
  seen = np.zeros(rays.shape[:3], bool)
  score = np.zeros(rays.shape[:2])
  for i, frame in enumerate(frames):
    count = len(frame.joints)
    rays[i, :count] = (frame.joints - lens.center) / lens.focal
    seen[i, :count], score[i, :count] = frame.seen, frame.score
  camera, valid, uncertainty = lift(rays, seen, still)
  camera = np.asarray(camera, np.float64)
  depth = np.where(valid[..., None], camera[..., 2], 1.0)
  image = camera[..., :2] / np.maximum(depth, 1.0)[..., None] * lens.focal + lens.center
  result = []
  for i in range(len(frames)):
    people = People(
      np.cumsum(valid[i], dtype=np.int32), score[i], image[i], camera[i] - camera[i, :, :1],
      camera[i], camera[i, :, 0, 2], np.broadcast_to(valid[i][:, None], seen[i].shape), valid[i],
    )
    time = i / given.fps if given.fps else 0.0
    result.append(Frame(i * given.every, time, people, np.zeros(most, bool), uncertainty[i]))
  return tuple(result), sum(len(frame.joints) for frame in frames) - int(valid.sum())


def left_out(count: int) -> str:
  """That people could not be lifted, in words."""
  return (
    f'{count} of the 2D poses (counted in each frame) left out: too few joints, or neither the '
    'pelvis nor both hips, are seen'
  )
