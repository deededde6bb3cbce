"""What was found in one photograph or video, as values: every output is written from these alone.

Symbols: P people, J joints. Camera: x right, y down, z forward, mm, camera-centred; image points
(x, y) in px of the file as it is seen (EXIF orientation applied), pixel centres at whole numbers.
"""

import dataclasses
import math
from typing import Literal, NamedTuple

import numpy as np

from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import People

Source = Literal['flag', 'exif', 'assumed']
SOURCES: tuple[Source, ...] = ('flag', 'exif', 'assumed')
Kind = Literal['photo', 'video']
KINDS: tuple[Kind, ...] = ('photo', 'video')


class Lens(NamedTuple):
  """The camera that a file was taken with.

  Attributes:
    focal: (2,) px along x and y, > 0.
    center: (2,) px, the principal point.
    source: where they come from: a flag, the file's EXIF, or an assumed field of view.
    note: the same in words, with the numbers that were assumed.
  """

  focal: np.ndarray
  center: np.ndarray
  source: Source
  note: str


class Stamp(NamedTuple):
  """Tells a file from another one in its place.

  Attributes:
    size: bytes.
    modified: s since 1970, to the microsecond.
  """

  size: int
  modified: float


class Frame(NamedTuple):
  """One picture.

  Attributes:
    index: of the frame in its video; 0 for a photograph.
    time: s from the video's start; 0 for a photograph.
    people: unbatched, NumPy; slots that hold nobody are left out of what is written.
    bridged: (P,) bool: people who were not seen in this frame, but before and after it.
    uncertainty: (P,) mm, of the methods that say one: it ranks people, it is no error; else None.
  """

  index: int
  time: float
  people: People
  bridged: np.ndarray
  uncertainty: np.ndarray | None = None


@dataclasses.dataclass(frozen=True)
class Scene:
  """One file's result.

  Attributes:
    file: its name, relative to the input folder.
    kind: what it is.
    width: px.
    height: px.
    fps: frames a second; None for a photograph.
    skeleton: of all joints; its root is where `depth` is measured and `joints_relative` is 0.
    lens: its camera.
    frames: in order of time.
    made_by: program and version.
    checkpoint: the run that the networks are from.
    notes: what else a reader must know, such as how a video was smoothed.
    stamp: of the file; None where it was not kept.
  """

  file: str
  kind: Kind
  width: int
  height: int
  fps: float | None
  skeleton: Skeleton
  lens: Lens
  frames: tuple[Frame, ...]
  made_by: str = ''
  checkpoint: str = ''
  notes: tuple[str, ...] = ()
  stamp: Stamp | None = None


class Row(NamedTuple):
  """One person of one frame.

  Attributes:
    frame: position in `Scene.frames`.
    identity: of the person, stable over a video.
    score: in [0, 1].
    joints_2d: (J, 2) px.
    joints_relative: (J, 3) mm, root at the origin, camera axes.
    joints_camera: (J, 3) mm.
    depth: mm, of the root.
    joint_valid: (J,) bool.
    bridged, uncertainty: as in `Frame`; nan where there is none.
  """

  frame: int
  identity: int
  score: float
  joints_2d: np.ndarray
  joints_relative: np.ndarray
  joints_camera: np.ndarray
  depth: float
  joint_valid: np.ndarray
  bridged: bool
  uncertainty: float = math.nan


def rows(scene: Scene) -> list[Row]:
  """Everybody of every frame, in order."""
  found = []
  for number, frame in enumerate(scene.frames):
    people = frame.people
    for slot in np.flatnonzero(people.valid):
      found.append(Row(
        number, int(people.identity[slot]), float(people.score[slot]),
        np.asarray(people.joints_2d[slot]), np.asarray(people.joints_relative[slot]),
        np.asarray(people.joints_camera[slot]), float(people.depth[slot]),
        np.asarray(people.joint_valid[slot], bool), bool(frame.bridged[slot]),
        math.nan if frame.uncertainty is None else float(frame.uncertainty[slot]),
      ))
  return found


def root(skeleton: Skeleton) -> int:
  """Index of the joint that the others hang on."""
  return skeleton.parents.index(-1)


def frame_of(found: list[Row], num_joints: int, index: int = 0, time: float = 0.0) -> Frame:
  """One frame, all slots valid; the inverse of `rows`."""
  def stack(name: str, *shape: int, dtype=np.float64) -> np.ndarray:
    values = [getattr(row, name) for row in found]
    return np.asarray(values, dtype).reshape(len(found), *shape)

  people = People(
    identity=stack('identity', dtype=np.int32), score=stack('score'),
    joints_2d=stack('joints_2d', num_joints, 2),
    joints_relative=stack('joints_relative', num_joints, 3),
    joints_camera=stack('joints_camera', num_joints, 3), depth=stack('depth'),
    joint_valid=stack('joint_valid', num_joints, dtype=bool), valid=np.ones(len(found), bool),
  )
  uncertainty = stack('uncertainty')
  known = np.isfinite(uncertainty).any()
  return Frame(
    index, time, people, stack('bridged', dtype=bool), uncertainty if known else None
  )
