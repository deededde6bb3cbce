"""Poses of CHI3D for lifting: standing people one by one, and pairs before their own cameras.

Symbols: N poses or frames, J joints of J17, C = 4 cameras. Training takes s02 and s03 [S] without
some whole kinds of action of s03, which are for validation; the test is s04 [S]. Training sees the
people of s03 in other actions, those of s04 never.
"""

import hashlib
import os
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from posejax.data import chi3d_files
from posejax.data.captured_actions import ActionSplit, standing
from posejax.data.captured_poses import thinned
from posejax.data.chi3d_files import SUBJECTS, Chi3dError, Clip

_VALIDATION = 's03'


class Pairs(NamedTuple):
  """Frames of both people with the cameras that saw them, X_cam = R X + t.

  Attributes:
    joints: (N, 2, J, 3) mm float32, world, z up.
    rotation: (N, C, 3, 3).
    translation: (N, C, 3) mm.
  """

  joints: np.ndarray
  rotation: np.ndarray
  translation: np.ndarray


class Chi3dSplit(NamedTuple):
  """poses: of three sets; pairs: of 'validation' and 'test'."""

  poses: ActionSplit
  pairs: dict[str, Pairs]


def read_split(folder: str | os.PathLike, share: float, most: int) -> Chi3dSplit:
  """Reads a copy of CHI3D and splits it by people and by kind of action.

  Args:
    folder: as of `chi3d_files.open_archive`.
    share: of s03's clips, whole kinds of action, that are for validation.
    most: largest number of poses or frames of a set, evenly from its clips.

  Raises:
    Chi3dError: the copy cannot be used, or s03 has one kind of action alone.
  """
  archive = chi3d_files.open_archive(folder)
  try:
    held = held_out_kinds(chi3d_files.actions(archive.root, _VALIDATION), share)
  except ValueError as error:
    raise Chi3dError(f'{archive.root}: {_VALIDATION} {error}') from None
  sets: dict[str, list[Clip]] = {'train': [], 'validation': [], 'test': []}
  for name, subjects in SUBJECTS.items():
    for subject in subjects:
      for clip in chi3d_files.clips(archive, subject):
        out = subject == _VALIDATION and kind_of(clip.action) in held
        sets['validation' if out else name].append(clip)
  return Chi3dSplit(
    ActionSplit(*(thinned(np.concatenate([_alone(c) for c in sets[name]]), most) for name in sets)),
    {name: _pairs(sets[name], most) for name in ('validation', 'test')},
  )


def kind_of(action: str) -> str:
  """The kind of an action: its name without the number at its end, 'Grab' of 'Grab 12'."""
  return action.rstrip('0123456789').rstrip(' _-') or action


def held_out_kinds(names: Sequence[str], share: float) -> frozenset[str]:
  """Kinds of action to hold out: by a hash of their names, until they are this share of the clips.

  Args:
    names: of the actions.
    share: of them; at least one kind is held out, and at least one is left.

  Raises:
    ValueError: there is one kind alone.
  """
  count = dict.fromkeys(map(kind_of, names), 0)
  if len(count) < 2:
    raise ValueError('holds one kind of action alone; two are needed, one of them to hold out')
  for name in names:
    count[kind_of(name)] += 1
  order = sorted(count, key=lambda kind: hashlib.sha256(os.fsencode(kind)).digest())
  held: list[str] = []
  for kind in order[:-1]:
    if held and sum(count[name] for name in held) >= share * len(names):
      break
    held.append(kind)
  return frozenset(held)


def _alone(clip: Clip) -> np.ndarray:
  """(2 T, J, 3) people one by one over the floor of their clip."""
  return standing(clip.joints.reshape(-1, *clip.joints.shape[2:]))


def _pairs(clips: list[Clip], most: int) -> Pairs:
  """Frames of clips, each with its clip's cameras."""
  # Numbers first, so that cameras are not copied for frames that are not taken.
  numbers = np.concatenate([
    np.stack([np.full(len(clip.joints), i), np.arange(len(clip.joints))], -1)
    for i, clip in enumerate(clips)
  ])
  chosen = thinned(numbers, most)
  rotations, translations = (
    np.stack([[getattr(camera.camera, field) for camera in clip.cameras] for clip in clips])
    for field in ('rotation', 'translation')
  )
  return Pairs(
    np.stack([clips[i].joints[t] for i, t in chosen]),
    rotations[chosen[:, 0]].astype(np.float32), translations[chosen[:, 0]].astype(np.float32),
  )
