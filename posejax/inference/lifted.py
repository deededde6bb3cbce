"""From a user's 2D poses to results: `posejax.infer --poses2d`.

Poses of frames of one size without names of their own pictures (OpenPose, npz) are a video; COCO's
are photographs, each a result. Of a file that says no size or focal length both are stated by the
user, or the focal length is assumed to be the longer side; every result says which.
"""

import dataclasses
import math
import os
import pathlib
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from posejax.data import poses_2d
from posejax.data.poses_2d import Frame2d, Poses2d, Poses2dError
from posejax.inference import checkpoint as checkpoint_lib
from posejax.inference import files, inputs, results, tracking
from posejax.inference.checkpoint import Run
from posejax.inference.scene import Frame, Lens, Scene
from posejax.inference.smoothing import OneEuro
from posejax.methods.base import Method, People


class Stated(NamedTuple):
  """What the user says of a file; None where nothing.

  Attributes:
    size: (width, height) px.
    focal_px: focal length.
    fov_deg: field of view along the longer side.
    fps: frames a second of a video.
    still: the camera does not move: its pitch is one for all frames.
  """

  size: tuple[int, int] | None = None
  focal_px: float | None = None
  fov_deg: float | None = None
  fps: float = 30.0
  still: bool = False


def scenes(
  path: pathlib.Path, poses: Poses2d, run: Run, stated: Stated, made_by: str
) -> list[Scene]:
  """The results of a file of 2D poses.

  Args:
    path: of the file or folder.
    poses: what it holds.
    run: of a method that lifts.
    stated: by the user.
    made_by: for the results.

  Returns:
    One scene for a video, one a picture for photographs.

  Raises:
    Poses2dError: a frame has no size and none was stated, or nobody is in any frame.
  """
  if not any(len(frame.joints) for frame in poses.frames):
    raise Poses2dError(f'{path}: nobody is in it')
  lift = run.method.lift(run.config, run.products)
  named = path.suffix.lower() == '.json'  # COCO's: pictures of their own
  groups = [[frame] for frame in poses.frames] if named else [list(poses.frames)]
  found = []
  for frames in groups:
    size = stated.size or frames[0].size
    if size is None:
      raise Poses2dError(f'{path}: {frames[0].name} says no picture size; give --size=WIDTHxHEIGHT')
    lens = lens_of(size, poses, stated)
    name = f'{path.name}/{frames[0].name}' if named else path.name
    found.append(Scene(
      name.replace('/', '_'), 'photo' if named or len(frames) == 1 else 'video', *size,
      None if named or len(frames) == 1 else stated.fps, run.method.skeleton, lens,
      lifted(frames, lens, lift, stated), made_by, run.name, (
        'from 2D poses alone: millimetres assume bodies of the training\'s mean size',
        'the camera is taken to have no roll',
      ),
    ))
  return found


def lens_of(size: tuple[int, int], poses: Poses2d, stated: Stated) -> Lens:
  """The camera: stated, the file's own, or assumed."""
  longer = max(size)
  center = np.array([(size[0] - 1) / 2, (size[1] - 1) / 2])
  if stated.focal_px is not None:
    return Lens(
      np.full(2, float(stated.focal_px)), center, 'flag', f'--focal_px={stated.focal_px:g}'
    )
  if stated.fov_deg is not None:
    focal = longer / 2 / math.tan(math.radians(stated.fov_deg) / 2)
    return Lens(np.full(2, focal), center, 'flag', f'--fov_deg={stated.fov_deg:g}')
  if poses.focal is not None:
    middle = center if poses.center is None else poses.center
    return Lens(poses.focal, middle, 'flag', 'intrinsics of the file of 2D poses')
  degrees = math.degrees(2 * math.atan(0.5))
  return Lens(
    np.full(2, float(longer)), center, 'assumed',
    f'assumed field of view: {degrees:.1f} degrees along the longer side; distances are right as '
    'far as it is',
  )


def lifted(frames: list[Frame2d], lens: Lens, lift, stated: Stated) -> tuple[Frame, ...]:
  """The people of each frame in 3D; who cannot be lifted is left out."""
  most = max(max(len(frame.joints) for frame in frames), 1)
  joints = frames[0].joints.shape[1]
  rays = np.zeros((len(frames), most, joints, 2))
  seen = np.zeros(rays.shape[:3], bool)
  score = np.zeros(rays.shape[:2])
  for i, frame in enumerate(frames):
    count = len(frame.joints)
    rays[i, :count] = (frame.joints - lens.center) / lens.focal
    seen[i, :count], score[i, :count] = frame.seen, frame.score
  camera, valid = lift(rays, seen, stated.still and len(frames) > 1)
  camera = np.asarray(camera, np.float64)
  depth = np.where(valid[..., None], camera[..., 2], 1.0)
  image = camera[..., :2] / np.maximum(depth, 1.0)[..., None] * lens.focal + lens.center
  result = []
  for i in range(len(frames)):
    people = People(
      np.cumsum(valid[i], dtype=np.int32), score[i], image[i], camera[i] - camera[i, :, :1],
      camera[i], camera[i, :, 0, 2], np.broadcast_to(valid[i][:, None], seen[i].shape), valid[i],
    )
    index = i if len(frames) > 1 else 0
    result.append(Frame(index, index / stated.fps, people, np.zeros(most, bool)))
  return tuple(result)


def run(
  checkpoint: pathlib.Path, path: pathlib.Path, output: pathlib.Path, stated: Stated,
  methods: Mapping[str, Method], made_by: str, cache: pathlib.Path | None = None,
  smooth: OneEuro | None = None, bvh: bool = False,
) -> None:
  """Reads 2D poses, lifts them, and writes the results.

  Args:
    checkpoint: workdir of a training that lifts.
    path: of the 2D poses.
    output: folder of the results.
    stated: by the user.
    methods: name → method.
    made_by: for the results.
    cache: of the training's stages.
    smooth: One-Euro filters on videos; None leaves them out.
    bvh: whether BVH is written.

  Raises:
    Poses2dError, CheckpointFolderError, CheckpointError, OutputError: one line.
  """
  opened = checkpoint_lib.load(checkpoint, methods, cache, poses_2d=True)
  record = {
    'poses2d': str(path.resolve()), **stated._asdict(), 'bvh': bvh, 'networks': dict(opened.keys),
    'smooth': None if smooth is None else [smooth.cutoff, smooth.beta],
  }
  with files.claimed(output, record):
    written = results.Results(output, bvh)
    stamp = inputs.stamp(path) if os.path.isfile(path) else None
    for scene in scenes(path, poses_2d.read(path), opened, stated, made_by):
      if written.finished(scene.file, stamp):
        continue
      scene, jitter = dataclasses.replace(scene, stamp=stamp), None
      if scene.kind == 'video':
        scene, jitter = results.tracked(scene, smooth, tracking.track)
      written.add(scene, {}, jitter)
    written.finish([])
