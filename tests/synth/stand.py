"""Hand-made poses and cameras, and a NumPy ray caster in float64, for the renderer's tests.

The caster solves |A (o + t d - c)|^2 = 1 for t along one ray and cuts the interval with two planes:
no inverse depth, no polynomials in pixel coordinates, as in `posejax.synth.casting`.
"""

import numpy as np

from posejax.geometry.camera import Camera, Intrinsics

# J17 of someone who stands at the origin and faces along the world's x, arms a little apart.
STANDING = np.array([
  [0, 0, 960], [0, 0, 1450], [0, 0, 1686],
  [0, -151, 1450], [30, -190, 1175], [130, -200, 945],
  [0, 151, 1450], [30, 190, 1175], [130, 200, 945],
  [0, -133, 960], [30, -140, 520], [0, -140, 84],
  [0, 133, 960], [30, 140, 520], [0, 140, 84],
  [140, -150, 0], [140, 150, 0],
], float)


def turned(joints: np.ndarray, yaw: float, place=(0.0, 0.0, 0.0)) -> np.ndarray:
  """Joints turned about the world's z (rad) and moved (mm)."""
  c, s = np.cos(yaw), np.sin(yaw)
  return joints @ np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]]) + np.asarray(place)


def camera_at(eye, target, size, focal: float = 1.0) -> Camera:
  """Upright camera in NumPy float32; focal length in longer image sides, (H, W) = size."""
  eye, target = np.asarray(eye, float), np.asarray(target, float)
  forward = (target - eye) / np.linalg.norm(target - eye)
  right = np.cross(forward, [0, 0, 1.0])
  right /= np.linalg.norm(right)
  rotation = np.stack([right, np.cross(forward, right), forward])
  height, width = size
  intrinsics = Intrinsics(
    np.full(2, focal * max(size), np.float32),
    np.array([(width - 1) / 2, (height - 1) / 2], np.float32),
  )
  return Camera(intrinsics, rotation.astype(np.float32), (-rotation @ eye).astype(np.float32))


def span(center, matrix, low, high, origin, direction) -> tuple[float, float]:
  """Interval of t in which origin + t direction is inside of one solid; empty if from > to."""
  start, along = matrix @ (origin - center), matrix @ direction
  a, b, c = along @ along, along @ start, start @ start - 1
  square = b * b - a * c
  if square < 0:
    return np.inf, -np.inf
  first, last = (-b - np.sqrt(square)) / a, (-b + np.sqrt(square)) / a
  if along[2] == 0:
    return (first, last) if low <= start[2] <= high else (np.inf, -np.inf)
  ends = sorted([(low - start[2]) / along[2], (high - start[2]) / along[2]])
  return max(first, ends[0]), min(last, ends[1])


def first_hit(solids, origin, direction) -> tuple[float, int]:
  """Smallest t > 0 at which a ray enters one of the solids, and which; inf and -1 if none."""
  best, which = np.inf, -1
  for k in np.flatnonzero(np.asarray(solids.enabled)):
    first, last = span(
      solids.center[k], solids.matrix[k], solids.low[k], solids.high[k], origin, direction
    )
    if 0 < first <= last and first < best:
      best, which = first, k
  return best, which


def box_hit(center, half, yaw, origin, direction) -> float:
  """Smallest t > 0 at which a ray enters a box, by testing points of all six planes."""
  c, s = np.cos(yaw), np.sin(yaw)
  turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
  start, along = turn @ (origin - center), turn @ direction
  hits = []
  for axis in range(3):
    for side in (-1, 1):
      t = (side * half[axis] - start[axis]) / along[axis] if along[axis] else np.inf
      point = start + t * along if np.isfinite(t) else np.full(3, np.inf)
      inside = np.abs(point) <= half * (1 + 1e-9)
      inside[axis] = True
      if t > 0 and inside.all():
        hits.append(t)
  return min(hits, default=np.inf)


def as_float64(tree_tuple):
  """A named tuple of arrays with floating point arrays as NumPy float64."""
  return type(tree_tuple)(*(
    np.asarray(x, float) if np.issubdtype(np.asarray(x).dtype, np.floating) else np.asarray(x)
    for x in tree_tuple
  ))
