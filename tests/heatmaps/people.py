"""People to draw and to find again, for any joint set: standing figures by joint name."""

import numpy as np

from posejax.geometry.skeleton import Skeleton

# px about the pelvis, y down, facing the viewer: a person about 130 px tall.
_STANDING = {
  'pelvis': (0, 0), 'neck': (0, -46), 'head_top': (0, -72), 'chest': (0, -23),
  'nose': (0, -58), 'r_eye': (-4, -62), 'l_eye': (4, -62), 'r_ear': (-9, -60), 'l_ear': (9, -60),
  'r_shoulder': (-16, -45), 'r_elbow': (-24, -20), 'r_wrist': (-28, 4),
  'l_shoulder': (16, -45), 'l_elbow': (24, -20), 'l_wrist': (28, 4),
  'r_hip': (-10, 1), 'r_knee': (-12, 32), 'r_ankle': (-12, 60),
  'l_hip': (10, 1), 'l_knee': (12, 32), 'l_ankle': (12, 60),
}


def standing(skeleton: Skeleton, centre: tuple[float, float], scale: float = 1.0) -> np.ndarray:
  """(J, 2) px."""
  return np.array(centre) + scale * np.array([_STANDING[name] for name in skeleton.joints], float)


def crowd(
  rng: np.random.Generator, skeleton: Skeleton, count: int, side: int, jitter: float = 4.0
) -> np.ndarray:
  """(count, J, 2) px: people anywhere in a square image, over each other as it falls."""
  return np.stack([
    standing(skeleton, rng.uniform(0.1 * side, 0.9 * side, 2), rng.uniform(0.5, 1.1))
    + rng.normal(scale=jitter, size=(skeleton.num_joints, 2))
    for _ in range(count)
  ]) if count else np.zeros((0, skeleton.num_joints, 2))
