"""Single poses of a folder of motion capture, read once and kept as one array.

Symbols: N poses, J joints. Neighbouring frames of a clip are nearly one pose, so a cap takes frames
evenly from all clips. For measures about a tenth of the frames is held out, as whole actions: clips
of one action are much alike, and frames of one clip more so. Which, follows from a hash of their
names. Where there is one action alone, the last tenth of each clip is held out.
"""

import hashlib
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

from posejax.data import mocap
from posejax.data.bvh import BvhError
from posejax.geometry.skeleton import J15, J17

_HELD_OUT = 10  # one frame of so many
# Rows of feet that the rig may lack: straight to the front, at the neutral angle of
# spec/kinematics.md (θ = 270°, γ = 59°).
_FOOT = (0.0, -np.sin(np.deg2rad(59.0)), np.cos(np.deg2rad(59.0)))


class CapturedPosesError(ValueError):
  """A folder of motion capture cannot be used. One line: which file, why, what to do."""


class CapturedPoses(NamedTuple):
  """Local poses of J17, robust frames, float32.

  Attributes:
    train: (N, 17, 3).
    held_out: (N', 17, 3), of other actions.
  """

  train: np.ndarray
  held_out: np.ndarray


def read_folder(folder: str | os.PathLike, most: int, part: int = 1) -> CapturedPoses:
  """Reads the poses of every BVH file under a folder.

  Feet are set to the neutral angle: the methods that read single poses have none (J15).

  Args:
    folder: searched with its subfolders.
    most: largest number of poses, evenly from all clips; ≥ 2.
    part: as of `action_of`.

  Returns:
    The poses; N + N' ≤ most.

  Raises:
    CapturedPosesError: no such folder, no BVH file in it, one that cannot be read, too few frames.
  """
  root = pathlib.Path(folder)
  actions: dict[str, list[np.ndarray]] = {}
  for clip in read_clips(root, lambda path: mocap.load_bvh(path, skeleton=J15)):
    poses = _finite(mocap.local_poses(clip))
    actions.setdefault(action_of(clip.name, part), []).append(poses)
  return _split(actions, most, root)


def read_clips(
  folder: str | os.PathLike, load: Callable[[pathlib.Path], mocap.Clip] = mocap.load_bvh
) -> Iterator[mocap.Clip]:
  """Every clip of a folder; what is wrong with it is an error for users.

  Raises:
    CapturedPosesError: no such folder, no BVH file in it, or one that cannot be read.
  """
  root = pathlib.Path(folder)
  if not os.path.isdir(root):  # pathlib's own raises for names that are too long
    raise CapturedPosesError(f'{root}: no such folder of BVH files; give one that is there')
  try:
    yield from mocap.iterate_bvh(root, load=load)
  except FileNotFoundError:
    raise CapturedPosesError(f'{root}: holds no .bvh file; give a folder of BVH files') from None
  except BvhError as error:
    raise CapturedPosesError(f'{error}; mend it, or take it out of {root}') from None
  except OSError as error:
    raise CapturedPosesError(
      f'{error.filename}: cannot be read ({error.strerror}); mend it, or take it out of {root}'
    ) from None


def action_of(name: str, part: int) -> str:
  """The action in a clip's name: its part between underscores, or all where it has fewer parts."""
  parts = name.split('_')
  return parts[part] if part < len(parts) else name


def thinned(poses: np.ndarray, most: int) -> np.ndarray:
  """At most so many of (N, ...) poses, evenly."""
  if len(poses) <= most:
    return poses
  return poses[np.linspace(0, len(poses) - 1, most).round().astype(int)]


def _split(
  actions: dict[str, list[np.ndarray]], most: int, root: pathlib.Path
) -> CapturedPoses:
  total = sum(len(clip) for clips in actions.values() for clip in clips)
  train: list[np.ndarray] = []
  held_out: list[np.ndarray] = []
  if len(actions) == 1:
    for clip in next(iter(actions.values())):
      end = len(clip) - len(clip) // _HELD_OUT
      train.append(clip[:end])
      held_out.append(clip[end:])
  else:
    order = sorted(actions, key=lambda name: hashlib.sha256(os.fsencode(name)).digest())
    held = 0
    for name in order:
      # At least one is held out, and at least one is left.
      wanted = not held or held < total / _HELD_OUT
      target = held_out if wanted and name != order[-1] else train
      held += sum(map(len, actions[name])) if target is held_out else 0
      target.extend(actions[name])
  counts = [sum(map(len, clips)) for clips in (train, held_out)]
  if 0 in counts:
    raise CapturedPosesError(
      f'{root}: {total} frames are too few; clips of two actions are needed, or one of {_HELD_OUT}'
    )
  share = max(most // _HELD_OUT, 1)
  return CapturedPoses(
    thinned(np.concatenate(train), most - share), thinned(np.concatenate(held_out), share)
  )


def _finite(local: np.ndarray) -> np.ndarray:
  """(T, 17, 3) of the finite poses of (T, 15, 3)."""
  local = local[np.isfinite(local).all((1, 2))].astype(np.float32)
  feet = np.tile(np.asarray(_FOOT, np.float32), (len(local), J17.num_joints - J15.num_joints, 1))
  return np.concatenate([local, feet], axis=1)
