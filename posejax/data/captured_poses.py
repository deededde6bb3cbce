"""Single poses of a folder of motion capture, read once and kept as one array.

Symbols: N poses, J joints. Neighbouring frames of a clip are nearly one pose, so a cap takes frames
evenly from all clips; the last tenth of each clip is held out, for measures.
"""

import os
import pathlib
from typing import NamedTuple

import numpy as np

from posejax.data import mocap
from posejax.data.bvh import BvhError
from posejax.geometry.skeleton import J15, J17

_HELD_OUT = 10  # one frame of so many, at a clip's end
# Rows of feet that the rig may lack: straight to the front, at the neutral angle of
# spec/kinematics.md (θ = 270°, γ = 59°).
_FOOT = (0.0, -np.sin(np.deg2rad(59.0)), np.cos(np.deg2rad(59.0)))


class CapturedPosesError(ValueError):
  """A folder of motion capture cannot be used. One line: which file, why, what to do."""


class CapturedPoses(NamedTuple):
  """Local poses of J17, robust frames, float32.

  Attributes:
    train: (N, 17, 3).
    held_out: (N', 17, 3), frames from the ends of the clips.
  """

  train: np.ndarray
  held_out: np.ndarray


def read_folder(folder: str | os.PathLike, most: int) -> CapturedPoses:
  """Reads the poses of every BVH file under a folder.

  Feet are set to the neutral angle: the methods that read single poses have none (J15).

  Args:
    folder: searched with its subfolders.
    most: largest number of poses, evenly from all clips; ≥ 2.

  Returns:
    The poses; N + N' ≤ most.

  Raises:
    CapturedPosesError: no such folder, no BVH file in it, one that cannot be read, too few frames.
  """
  root = pathlib.Path(folder)
  if not root.is_dir():
    raise CapturedPosesError(f'{root}: no such folder of BVH files; give one that is there')
  clips = []
  try:
    for clip in mocap.iterate_bvh(root, load=lambda path: mocap.load_bvh(path, skeleton=J15)):
      clips.append(_finite(mocap.local_poses(clip)))
  except FileNotFoundError:
    raise CapturedPosesError(f'{root}: holds no .bvh file; give a folder of BVH files') from None
  except BvhError as error:
    raise CapturedPosesError(f'{error}; mend it, or take it out of {root}') from None
  except OSError as error:
    raise CapturedPosesError(
      f'{error.filename}: cannot be read ({error.strerror}); mend it, or take it out of {root}'
    ) from None
  return _split(clips, most, root)


def _split(clips: list[np.ndarray], most: int, root: pathlib.Path) -> CapturedPoses:
  ends = [len(clip) - len(clip) // _HELD_OUT for clip in clips]
  train = np.concatenate([clip[:end] for clip, end in zip(clips, ends, strict=True)])
  held_out = np.concatenate([clip[end:] for clip, end in zip(clips, ends, strict=True)])
  if not len(train) or not len(held_out):
    raise CapturedPosesError(
      f'{root}: {len(train) + len(held_out)} frames are too few; a clip of {_HELD_OUT} is needed'
    )
  share = most // _HELD_OUT
  return CapturedPoses(_thinned(train, most - max(share, 1)), _thinned(held_out, max(share, 1)))


def _finite(local: np.ndarray) -> np.ndarray:
  """(T, 17, 3) of the finite poses of (T, 15, 3)."""
  local = local[np.isfinite(local).all((1, 2))].astype(np.float32)
  feet = np.tile(np.asarray(_FOOT, np.float32), (len(local), J17.num_joints - J15.num_joints, 1))
  return np.concatenate([local, feet], axis=1)


def _thinned(poses: np.ndarray, most: int) -> np.ndarray:
  if len(poses) <= most:
    return poses
  return poses[np.linspace(0, len(poses) - 1, most).round().astype(int)]
