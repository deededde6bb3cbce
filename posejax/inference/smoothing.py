"""Less jitter in a video: One-Euro filters on bones and roots, and what they change.

The filter (Casiez, Roussel and Vogel, CHI 2012) is a first-order low-pass whose cut-off rises with
speed: x̂_t = α x_t + (1 − α) x̂_{t−1}, α = 1 / (1 + 1 / (2π f dt)), f = f_min + β |v|, v the velocity
filtered at f_v. Slow motion is smoothed much, fast motion follows. It looks back only, so it lags.

Bones (a joint minus its parent) and the root are filtered, each as a vector with one cut-off, and
bones then get the median of their lengths over the frames in a row: a filtered body is rigid, and
opposite bones (hips, shoulders) stay opposite. Image points move by what their joints' projections
move.

Symbols: T frames of one person in a row, J joints; mm, s.
"""

import dataclasses
import math
from typing import NamedTuple

import numpy as np

from posejax.inference import bones
from posejax.inference import scene as scene_lib
from posejax.inference.scene import Lens, Row, Scene

_NEAREST = 10.0  # mm: points nearer are projected as if they were there


@dataclasses.dataclass(frozen=True)
class OneEuro:
  """The filter's numbers [R].

  Attributes:
    cutoff: f_min, Hz.
    beta: Hz for each mm/s of speed.
    speed_cutoff: f_v, Hz.
  """

  cutoff: float = 1.5
  beta: float = 0.004
  speed_cutoff: float = 1.0

  def __call__(self, values: np.ndarray, dt: float | np.ndarray) -> np.ndarray:
    """Filters vectors over time.

    Args:
      values: (T, N, 3); one that is not finite stays and is passed over.
      dt: s between frames, one or (T - 1,), > 0.
    """
    values = np.asarray(values, np.float64)
    steps = np.broadcast_to(dt, (len(values) - 1,))
    out = values.copy()
    state, last, velocity = values[0].copy(), values[0].copy(), np.zeros_like(values[0])
    for t, dt in enumerate(steps, start=1):
      share = _share(self.speed_cutoff, dt)
      new = ~np.isfinite(state).all(-1, keepdims=True)
      good = np.isfinite(values[t]).all(-1, keepdims=True)
      step = np.where(new | ~good, 0.0, (values[t] - last) / dt)
      velocity = share * step + (1 - share) * velocity
      speed = np.linalg.norm(velocity, axis=-1, keepdims=True)
      alpha = np.where(new, 1.0, _share(self.cutoff + self.beta * speed, dt))
      held = np.where(new, 0.0, (1 - alpha) * state)
      state = np.where(good, alpha * values[t] + held, state)
      last = np.where(good, values[t], last)
      out[t] = np.where(good, state, values[t])
    return out


def _share(cutoff, dt: float):
  return 1 / (1 + 1 / (2 * math.pi * cutoff * dt))


class Acceleration(NamedTuple):
  """Mean length of a second difference over frames and joints; nan without three frames in a row.

  Attributes:
    relative_mm_per_s2: of joints from the root.
    camera_mm_per_s2: of joints from the camera.
    relative_mm_per_frame2: as papers give it: second differences, as if frames were 1 apart.
    camera_mm_per_frame2: likewise.
    triples: frames counted, over all people.
  """

  relative_mm_per_s2: float
  camera_mm_per_s2: float
  relative_mm_per_frame2: float
  camera_mm_per_frame2: float
  triples: int


def acceleration(scene: Scene) -> Acceleration:
  """How much a video's people jitter.

  Without ground truth the acceleration error is taken against motion without acceleration, so it is
  the acceleration itself: what is left of it after smoothing is motion and jitter together.
  """
  sums, count, triples = np.zeros((2, 2)), 0, 0
  for run in _runs(scene):
    times = _steps(run, scene)
    for t, joints in enumerate(zip(run, run[1:], run[2:], strict=False)):
      good = np.all([row.joint_valid for row in joints], axis=0)
      steps = []
      for name in ('joints_relative', 'joints_camera'):
        first, second, third = (getattr(row, name)[good] for row in joints)
        before, after = (second - first), (third - second)
        # With equal steps dt the first is the second over dt².
        change = (after / times[t + 1] - before / times[t]) / times[t : t + 2].mean()
        steps.append(np.linalg.norm([change, after - before], axis=-1))
      finite = np.isfinite(steps).all((0, 1))
      sums += np.array(steps)[..., finite].sum(-1)
      count += int(finite.sum())
      triples += 1
  (relative, of_frames), (camera, camera_of_frames) = (
    sums / count if count else np.full((2, 2), math.nan)
  )
  return Acceleration(relative, camera, of_frames, camera_of_frames, triples)


def smooth(scene: Scene, settings: OneEuro | None = None) -> Scene:
  """Filters every person of a tracked video; a gap starts a filter anew.

  Args:
    scene: with ids (`tracking.track`) and fps.
    settings: of the filters; the defaults where None.

  Returns:
    The scene with smoothed 3D, depth and 2D.
  """
  settings = settings or OneEuro()
  out: list[list[Row]] = [[] for _ in scene.frames]
  for run in _runs(scene):
    for row in _smooth_run(run, scene, settings):
      out[row.frame].append(row)
  frames = []
  for frame, mine in zip(scene.frames, out, strict=True):
    ordered = sorted(mine, key=lambda row: row.identity)
    frames.append(
      scene_lib.frame_of(ordered, scene.skeleton.num_joints, frame.index, frame.time)
    )
  return dataclasses.replace(scene, frames=tuple(frames))


def _smooth_run(run: list[Row], scene: Scene, settings: OneEuro) -> list[Row]:
  skeleton, dt = scene.skeleton, _steps(run, scene)
  camera = np.stack([row.joints_camera for row in run])
  parts = bones.split(camera, skeleton)
  sizes = np.linalg.norm(parts, axis=-1)
  usual = np.ma.median(np.ma.masked_invalid(sizes), axis=0).filled(np.nan)
  filtered = bones.with_lengths(settings(parts, dt), np.broadcast_to(usual, sizes.shape), skeleton)
  smoothed = bones.join(filtered, skeleton)
  # A joint that is not known makes nan of those that hang on it; they stay as they were.
  smoothed = np.where(np.isfinite(smoothed), smoothed, camera)
  root = scene_lib.root(skeleton)
  moved = _project(smoothed, scene.lens) - _project(camera, scene.lens)
  return [
    row._replace(
      joints_camera=joints, joints_relative=joints - joints[root],
      depth=float(joints[root, 2]), joints_2d=row.joints_2d + step,
    )
    for row, joints, step in zip(run, smoothed, moved, strict=True)
  ]


def _project(joints: np.ndarray, lens: Lens) -> np.ndarray:
  return joints[..., :2] / np.maximum(joints[..., 2:], _NEAREST) * lens.focal + lens.center


def _steps(run: list[Row], scene: Scene) -> np.ndarray:
  """(T - 1,) s between a person's frames; one of the frame rate where times do not rise."""
  steps = np.diff([scene.frames[row.frame].time for row in run])
  return np.where(steps > 1e-6, steps, 1 / (scene.fps or 1.0))


def _runs(scene: Scene) -> list[list[Row]]:
  """Each person's rows, cut where a frame lacks the person."""
  runs: dict[int, list[list[Row]]] = {}
  for row in scene_lib.rows(scene):
    mine = runs.setdefault(row.identity, [])
    if mine and mine[-1][-1].frame == row.frame - 1:
      mine[-1].append(row)
    else:
      mine.append([row])
  return [run for mine in runs.values() for run in mine]
