"""Who is who over a video: Hungarian assignment of 3D poses, short gaps bridged.

Each track keeps its last pose and a velocity, and is expected where that leads. The cost of a
person for a track is the mean distance of the joints that both have, camera-centred, with distances
along z taken at `depth_weight`: depth is what a single view knows least. Pairs farther apart than
the gate are none; the gate widens with the time since the person was seen. A person without a track
is a newcomer and gets the next id; ids start at 1 and are never used again. Where a track was not
seen for at most `longest_gap` seconds, the poses between are interpolated, marked as bridged, with
the lower of the two scores and the larger uncertainty.

Symbols: T frames, P people of a frame, J joints; mm, s.
"""

import dataclasses

import numpy as np
from scipy.optimize import linear_sum_assignment

from posejax.geometry.skeleton import Skeleton
from posejax.inference import bones
from posejax.inference.scene import Row, Scene, frame_of, rows

_FORBIDDEN = 1e9  # mm: above every gate


@dataclasses.dataclass(frozen=True)
class Settings:
  """How people are followed [R].

  Attributes:
    gate_mm: the farthest that a person may be from where it is expected.
    gate_mm_per_s: by how much that grows with the time since it was seen.
    depth_weight: of distances and velocities along z.
    longest_gap: s; a person who was away longer is a newcomer.
    velocity_share: of the newest step in a track's velocity.
    fastest_mm_per_s: a velocity above it is cut down to it.
  """

  gate_mm: float = 400.0
  gate_mm_per_s: float = 1500.0
  depth_weight: float = 0.4
  longest_gap: float = 0.5
  velocity_share: float = 0.6
  fastest_mm_per_s: float = 8000.0


@dataclasses.dataclass
class _Track:
  identity: int
  row: Row
  time: float
  velocity: np.ndarray

  def expected(self, time: float) -> np.ndarray:
    """(J, 3) mm: the last pose, moved on."""
    return self.row.joints_camera + self.velocity * (time - self.time)


def track(scene: Scene, settings: Settings | None = None) -> Scene:
  """Gives the people of a video their ids and bridges gaps.

  Args:
    scene: frames in order of time; the ids in them are not read.
    settings: how; the defaults where None.

  Returns:
    The scene with ids that are the same in all frames.
  """
  settings = settings or Settings()
  found: list[list[Row]] = [[] for _ in scene.frames]
  for row in rows(scene):
    found[row.frame].append(row)
  out: list[list[Row]] = [[] for _ in scene.frames]
  tracks: list[_Track] = []
  newest = 0
  for t, frame in enumerate(scene.frames):
    here = found[t]
    tracks = [known for known in tracks if frame.time - known.time <= _patience(scene, settings)]
    pairs = assign([known.expected(frame.time) for known in tracks], here, [
      settings.gate_mm + settings.gate_mm_per_s * (frame.time - known.time) for known in tracks
    ], settings.depth_weight)
    for index, row in enumerate(here):
      if index in pairs:
        known = tracks[pairs[index]]
        _bridge(known, row, out, scene.skeleton)
        _move_on(known, row, frame.time, settings)
      else:
        newest += 1
        known = _Track(newest, row, frame.time, np.zeros(3))
        tracks.append(known)
      out[t].append(row._replace(identity=known.identity))
  frames = []
  for frame, mine in zip(scene.frames, out, strict=True):
    ordered = sorted(mine, key=lambda row: row.identity)
    frames.append(frame_of(ordered, scene.skeleton.num_joints, frame.index, frame.time))
  return dataclasses.replace(scene, frames=tuple(frames))


def assign(
  expected: list[np.ndarray], people: list[Row], gates: list[float], depth_weight: float
) -> dict[int, int]:
  """The pairs of least total cost, none beyond its gate.

  Args:
    expected: (J, 3) mm for each track.
    people: of a frame.
    gates: mm for each track.
    depth_weight: of distances along z.

  Returns:
    Index of a person → index of its track.
  """
  if not expected or not people:
    return {}
  cost = np.full((len(expected), len(people)), _FORBIDDEN)
  weight = np.array([1.0, 1.0, depth_weight])
  for i, pose in enumerate(expected):
    for j, row in enumerate(people):
      both = row.joint_valid & np.isfinite(pose).all(-1) & np.isfinite(row.joints_camera).all(-1)
      if both.any():
        far = np.linalg.norm((pose - row.joints_camera)[both] * weight, axis=-1).mean()
        cost[i, j] = far if far <= gates[i] else _FORBIDDEN
  return {
    int(j): int(i) for i, j in zip(*linear_sum_assignment(cost), strict=True)
    if cost[i, j] < _FORBIDDEN
  }


def _patience(scene: Scene, settings: Settings) -> float:
  """s from when a person was seen to when it may come back: a gap and a step, rounded up a bit."""
  return settings.longest_gap + 1.5 / (scene.fps or 1.0)


def _move_on(known: _Track, row: Row, time: float, settings: Settings) -> None:
  step = max(time - known.time, 1e-6)
  moved = _middle(row) - _middle(known.row)
  share = settings.velocity_share
  # A jump along z is a wrong depth more often than a step: who follows it loses the person.
  moved = moved * (1, 1, settings.depth_weight)
  velocity = (1 - share) * known.velocity + share * np.nan_to_num(moved / step)
  speed = np.linalg.norm(velocity)
  known.velocity = velocity * min(1.0, settings.fastest_mm_per_s / max(speed, 1e-6))
  known.row, known.time = row, time


def _middle(row: Row) -> np.ndarray:
  good = row.joint_valid & np.isfinite(row.joints_camera).all(-1)
  return row.joints_camera[good].mean(0) if good.any() else np.full(3, np.nan)


def _bridge(known: _Track, row: Row, out: list[list[Row]], skeleton: Skeleton) -> None:
  """Adds a person to the frames between the one where it was last seen and this one."""
  before = known.row
  count = row.frame - before.frame - 1
  if count < 1:
    return
  camera = bones.between(before.joints_camera, row.joints_camera, count, skeleton)
  relative = bones.between(before.joints_relative, row.joints_relative, count, skeleton)
  for k in range(count):
    share = (k + 1) / (count + 1)
    out[before.frame + 1 + k].append(Row(
      before.frame + 1 + k, known.identity, min(before.score, row.score),
      (1 - share) * before.joints_2d + share * row.joints_2d, relative[k], camera[k],
      (1 - share) * before.depth + share * row.depth, before.joint_valid & row.joint_valid, True,
      max(before.uncertainty, row.uncertainty),
    ))
