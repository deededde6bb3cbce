"""Standing poses of a folder of motion capture, split by what is done: an action is in one set.

Symbols: N poses, J joints of J17. Poses of one action, in whatever style, are much alike: clips or
frames of it on both sides would make a test set of nearly seen poses.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from posejax.data.captured_poses import CapturedPosesError, action_of, read_clips, thinned


class ActionSplit(NamedTuple):
  """Poses of three sets, (N, J, 3) mm float32: z up, floor at 0, pelvis above x = y = 0."""

  train: np.ndarray
  validation: np.ndarray
  test: np.ndarray


def read_split(
  folder: str | os.PathLike, part: int, validation: Sequence[str], test: Sequence[str],
  most: int,
) -> ActionSplit:
  """Reads every BVH file under a folder and splits by action.

  Args:
    folder: searched with its subfolders.
    part: which part of a file's name, from 0, is its action: 1 of `dataset-1_bow_active_001`.
    validation: actions held out for choices.
    test: actions held out for figures.
    most: largest number of poses of a set, evenly from its clips.

  Returns:
    The sets.

  Raises:
    CapturedPosesError: no such folder, no BVH file in it, one that cannot be read, an action that
      is in both lists or in no clip, or none left to learn from.
  """
  root = pathlib.Path(folder)
  both = sorted(set(validation) & set(test))
  if both:
    raise CapturedPosesError(f'action {both[0]!r} is held out for validation and for the test')
  sets: dict[str, list[np.ndarray]] = {'train': [], 'validation': [], 'test': []}
  actions = set()
  for clip in read_clips(root):
    action = action_of(clip.name, part)
    actions.add(action)
    chosen = 'validation' if action in validation else 'test' if action in test else 'train'
    sets[chosen].append(standing(clip.joints))
  unknown = sorted({*validation, *test} - actions)
  if unknown:
    raise CapturedPosesError(
      f'{root}: no clip of the held-out action {unknown[0]!r}; there are '
      f'{", ".join(sorted(actions)[:20])}'
    )
  empty = next((name for name, clips in sets.items() if not clips), None)
  if empty:
    raise CapturedPosesError(
      f'{root}: no action is left for {empty}; there are {", ".join(sorted(actions)[:20])}'
    )
  return ActionSplit(*(thinned(np.concatenate(sets[name]), most) for name in sets))


def standing(joints: np.ndarray) -> np.ndarray:
  """A clip's poses over a floor at its lowest point.

  Args:
    joints: (T, J, 3) mm, world, z up.

  Returns:
    (T', J, 3) mm float32, pelvis above the origin; frames that are not finite are left out.
  """
  joints = joints[np.isfinite(joints).all((1, 2))]
  floor = joints[..., 2].min() if len(joints) else 0.0
  shift = np.concatenate([joints[:, :1, :2], np.full((len(joints), 1, 1), floor)], -1)
  return (joints - shift).astype(np.float32)
