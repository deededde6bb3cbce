"""Plain NumPy of what `posejax.synth` does: artificial poses, and which surface a ray meets first.

Poses take the uniform numbers as an argument, since no two libraries draw the same ones. Twice
each: as people write it, one item after the other, and over the whole batch at once.

Symbols: N poses, D joints that are drawn, J joints, K solids, R rays; θ, γ in rad.
"""

import math

import numpy as np

from posejax.geometry.limits import JointLimits
from posejax.geometry.skeleton import Skeleton

_FOLLOWS = {'l_hip': 'r_hip', 'l_shoulder': 'r_shoulder'}


def drawn_joints(skeleton: Skeleton) -> list[str]:
  """Names of the joints whose angles are drawn, in the skeleton's order."""
  return [name for name in skeleton.joints if name not in ('pelvis', 'neck', *_FOLLOWS)]


def _angles(u: float, v: float, limit) -> tuple[float, float]:
  """θ, γ in rad of two uniform numbers: below the cut corner first, then the strip beyond it."""
  (t0, t1), (g0, g1) = limit.theta, limit.gamma
  corner_theta, corner_gamma = limit.forbidden or (t0, g1)
  wide = (t1 - t0) or 1.0
  area = u * (wide * (corner_gamma - g0) + (t1 - corner_theta) * (g1 - corner_gamma))
  beyond = area - wide * (corner_gamma - g0)
  if beyond > 0:
    theta, gamma = corner_theta + v * (t1 - corner_theta), corner_gamma
    gamma += beyond / (t1 - corner_theta)
  else:
    theta, gamma = t0 + v * (t1 - t0), g0 + area / wide
  return math.radians(theta), math.radians(gamma)


def poses_loop(uniform: np.ndarray, limits: JointLimits, skeleton: Skeleton) -> np.ndarray:
  """(N, J, 3) local poses of uniform numbers (N, D, 2), a joint at a time."""
  poses = np.zeros((len(uniform), skeleton.num_joints, 3))
  names = drawn_joints(skeleton)
  for pose, numbers in zip(poses, uniform, strict=True):
    pose[skeleton.index('neck')] = (0, 0, 1)
    for name, (u, v) in zip(names, numbers, strict=True):
      theta, gamma = _angles(float(u), float(v), limits.of(name))
      row = np.array([
        math.sin(gamma) * math.cos(theta), math.sin(gamma) * math.sin(theta), math.cos(gamma),
      ])
      if name == 'r_hip':
        row[1] = 0
      pose[skeleton.index(name)] = row
    for left, right in _FOLLOWS.items():
      pose[skeleton.index(left)] = pose[skeleton.index(right)] * (1, -1, -1)
  return poses


def poses_vectorized(uniform: np.ndarray, limits: JointLimits, skeleton: Skeleton) -> np.ndarray:
  """`poses_loop` over all poses at once."""
  names = drawn_joints(skeleton)
  rows = []
  for name in names:
    limit = limits.of(name)
    corner = limit.forbidden or (limit.theta[0], limit.gamma[1])
    rows.append((*limit.theta, *limit.gamma, *corner))
  t0, t1, g0, g1, corner_theta, corner_gamma = np.array(rows, uniform.dtype).T
  wide = np.where(t1 > t0, t1 - t0, 1)
  narrow = t1 - corner_theta
  area = uniform[..., 0] * (wide * (corner_gamma - g0) + narrow * (g1 - corner_gamma))
  beyond = area - wide * (corner_gamma - g0)
  above = (beyond > 0) & (narrow > 0)
  gamma = np.where(above, corner_gamma + beyond / np.where(narrow > 0, narrow, 1), g0 + area / wide)
  start = np.where(above, corner_theta, t0)
  theta, gamma = np.deg2rad(start + uniform[..., 1] * (t1 - start)), np.deg2rad(gamma)
  sine = np.sin(gamma)
  drawn = np.stack([sine * np.cos(theta), sine * np.sin(theta), np.cos(gamma)], -1)
  poses = np.zeros((len(uniform), skeleton.num_joints, 3), uniform.dtype)
  poses[:, [skeleton.index(name) for name in names]] = drawn
  poses[:, skeleton.index('neck'), 2] = 1
  poses[:, skeleton.index('r_hip'), 1] = 0
  for left, right in _FOLLOWS.items():
    poses[:, skeleton.index(left)] = poses[:, skeleton.index(right)] * (1, -1, -1)
  return poses


def hits_loop(solids: tuple[np.ndarray, ...], rays: np.ndarray) -> np.ndarray:
  """(R,) inverse depth of the first solid that each ray from the origin meets, 0 for none.

  Args:
    solids: center (K, 3), matrix (K, 3, 3), low (K,), high (K,), enabled (K,) of `synth.solids`,
      in camera axes.
    rays: (R, 3) with z = 1.
  """
  nearest = np.zeros(len(rays))
  for r, ray in enumerate(rays):
    for center, matrix, low, high, enabled in zip(*solids, strict=True):
      start, step = -matrix @ center, matrix @ ray
      a, b, c = step @ step, start @ step, start @ start - 1
      if not enabled or b * b < a * c:
        continue
      root = math.sqrt(b * b - a * c)
      enter, leave = (-b - root) / a, (-b + root) / a
      if step[2] != 0:
        planes = sorted(((low - start[2]) / step[2], (high - start[2]) / step[2]))
        enter, leave = max(enter, planes[0]), min(leave, planes[1])
      elif not low <= start[2] <= high:
        continue
      if 0 < enter <= leave:
        nearest[r] = max(nearest[r], 1 / enter)
  return nearest


def hits_vectorized(solids: tuple[np.ndarray, ...], rays: np.ndarray) -> np.ndarray:
  """`hits_loop` with all rays at once, a solid after the other (K × R would leave the cache)."""
  nearest = np.zeros(len(rays), rays.dtype)
  with np.errstate(divide='ignore', invalid='ignore'):
    for center, matrix, low, high, enabled in zip(*solids, strict=True):
      if not enabled:
        continue
      start, step = -matrix @ center, rays @ matrix.T
      a, b, c = (step * step).sum(1), step @ start, start @ start - 1
      root = np.sqrt(b * b - a * c)  # nan: missed, which every comparison below leaves out
      planes = np.sort([(low - start[2]) / step[:, 2], (high - start[2]) / step[:, 2]], axis=0)
      enter = np.maximum((-b - root) / a, planes[0])
      leave = np.minimum((-b + root) / a, planes[1])
      hit = (enter > 0) & (enter <= leave)
      nearest = np.where(hit & (1 / enter > nearest), 1 / enter, nearest)
  return nearest
