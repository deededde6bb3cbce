"""NumPy's side of the geometry benchmark: one pose after the other, and a whole batch at once.

The loops are written as people write them: matrices, joint after joint, straight from the equations
of spec/kinematics.md (whose symbols they keep). They share no code with `posejax.geometry`, and the
tests take them as an oracle. The vectorised ones do the same with (B, 3) arrays. Axis letters: B
batch, J joint, N point. Positions in mm, pixels in px, angles in rad.
"""

import numpy as np

from posejax.geometry.skeleton import Skeleton

_Z0 = np.array([0.0, -1.0, 1.0]) / np.sqrt(2)
_Y0 = np.array([0.0, 1.0, 1.0]) / np.sqrt(2)
_ROOT_FRAME = ('neck', 'head_top', 'hip', 'shoulder')
_BASE = ('pelvis', 'neck', 'r_hip', 'l_hip')


def _unit(v):
  return v / np.linalg.norm(v)


def _axes(pelvis, neck, r_hip, l_hip):
  """n̂, Z_c, h."""
  normal = _unit(np.cross(l_hip - r_hip, neck - r_hip))
  return normal, _unit(neck - pelvis), _unit(r_hip - l_hip)


def _frame(name, z_j, axes, elbow_frame, mode):
  """Rows X_j, Y_j, Z_j of one joint."""
  normal, z_c, h = axes
  sign = -1 if name.startswith('l_') else 1
  part = name.split('_', 1)[1] if name[:2] in ('r_', 'l_') else name
  c, fallback = -normal, z_c
  if part in _ROOT_FRAME:
    z_j = z_c
  elif mode == 'robust' and part in ('ankle', 'foot'):
    c, fallback = np.cross(z_j, h), -normal
  if mode == 'robust' and part == 'wrist':
    u = elbow_frame @ z_j
    y = elbow_frame.T @ (_Y0 - (u @ _Y0) / (1 + _Z0 @ u) * (_Z0 + u))
  else:
    y = c - (c @ z_j) * z_j
    if np.linalg.norm(y) < 1e-3:
      y = fallback - (fallback @ z_j) * z_j
    y = _unit(y)
  return np.stack([sign * np.cross(y, z_j), y, z_j])


def _order(skeleton):
  """Joints with neck and hips first, the rest with parents before children; no root."""
  base = [skeleton.index(name) for name in _BASE[1:]]
  return base + [j for j, parent in enumerate(skeleton.parents) if parent >= 0 and j not in base]


def forward_kinematics_loop(local, lengths, skeleton: Skeleton, mode='robust'):
  """FK of one pose: local (J, 3), lengths (J,) mm to canonical (J, 3) mm."""
  pose = np.zeros_like(local)
  frames = {}
  axes = np.array([1.0, 0, 0]), np.array([0, 0, 1.0]), np.array([0, -1.0, 0])
  order = _order(skeleton)
  for i, j in enumerate(order):
    parent = skeleton.parents[j]
    if i == 3:
      axes = _axes(*(pose[skeleton.index(name)] for name in _BASE))
    grandparent = skeleton.parents[parent]
    z = _unit(pose[parent] - pose[grandparent]) if grandparent >= 0 else None
    frames[j] = _frame(skeleton.joints[j], z, axes, frames.get(parent), mode)
    pose[j] = pose[parent] + lengths[j] * frames[j].T @ _unit(local[j])
  return pose


def local_from_canonical_loop(pose, skeleton: Skeleton, mode='robust'):
  """T_L of one pose: (J, 3) mm to local (J, 3)."""
  local = np.zeros_like(pose)
  frames = {}
  axes = _axes(*(pose[skeleton.index(name)] for name in _BASE))
  for j in _order(skeleton):
    parent = skeleton.parents[j]
    grandparent = skeleton.parents[parent]
    z = _unit(pose[parent] - pose[grandparent]) if grandparent >= 0 else None
    frames[j] = _frame(skeleton.joints[j], z, axes, frames.get(parent), mode)
    local[j] = frames[j] @ _unit(pose[j] - pose[parent])
  return local


def _units(v):
  return v / np.linalg.norm(v, axis=-1, keepdims=True)


def _dots(a, b):
  return np.sum(a * b, axis=-1, keepdims=True)


def _axes_batch(pose, skeleton):
  pelvis, neck, r_hip, l_hip = (pose[:, skeleton.index(name)] for name in _BASE)
  normal = _units(np.cross(l_hip - r_hip, neck - r_hip))
  return normal, _units(neck - pelvis), _units(r_hip - l_hip)


def _frame_batch(name, z_j, axes, elbow_frame):
  """(B, 3, 3) robust frames of one joint."""
  normal, z_c, h = axes
  sign = -1 if name.startswith('l_') else 1
  part = name.split('_', 1)[1] if name[:2] in ('r_', 'l_') else name
  c, fallback = -normal, z_c
  if part in _ROOT_FRAME:
    z_j = z_c
  elif part in ('ankle', 'foot'):
    c, fallback = np.cross(z_j, h), -normal
  if part == 'wrist':
    u = np.einsum('brc,bc->br', elbow_frame, z_j)
    z0, y0 = _Z0.astype(u.dtype), _Y0.astype(u.dtype)
    y = y0 - _dots(u, y0) / (1 + _dots(u, z0)) * (z0 + u)
    y = np.einsum('brc,br->bc', elbow_frame, y)
  else:
    y = c - _dots(c, z_j) * z_j
    degenerate = np.linalg.norm(y, axis=-1, keepdims=True) < 1e-3
    y = _units(np.where(degenerate, fallback - _dots(fallback, z_j) * z_j, y))
  return np.stack([sign * np.cross(y, z_j), y, z_j], axis=1)


def forward_kinematics_vectorized(local, lengths, skeleton: Skeleton):
  """FK of a batch, robust frames: local (B, J, 3), lengths (J,) mm to (B, J, 3) mm."""
  pose, local = np.zeros_like(local), local.copy()
  moving = [j for j, parent in enumerate(skeleton.parents) if parent >= 0]
  local[:, moving] = _units(local[:, moving])
  frames, directions = {}, {}
  e_x, e_y, e_z = np.broadcast_to(np.eye(3, dtype=local.dtype)[:, None], (3, len(local), 3))
  axes = e_x, e_z, -e_y
  for i, j in enumerate(_order(skeleton)):
    if i == 3:
      axes = _axes_batch(pose, skeleton)
    parent = skeleton.parents[j]
    frames[j] = _frame_batch(
      skeleton.joints[j], directions.get(parent), axes, frames.get(parent)
    )
    directions[j] = np.einsum('brc,br->bc', frames[j], local[:, j])
    pose[:, j] = pose[:, parent] + lengths[j] * directions[j]
  return pose


def local_from_canonical_vectorized(pose, skeleton: Skeleton):
  """T_L of a batch, robust frames: (B, J, 3) mm to local (B, J, 3)."""
  local = np.zeros_like(pose)
  axes = _axes_batch(pose, skeleton)
  frames, directions = {}, {}
  for j in _order(skeleton):
    parent = skeleton.parents[j]
    directions[j] = _units(pose[:, j] - pose[:, parent])
    frames[j] = _frame_batch(
      skeleton.joints[j], directions.get(parent), axes, frames.get(parent)
    )
    local[:, j] = np.einsum('brc,bc->br', frames[j], directions[j])
  return local


def euler_to_matrix_loop(angles):
  """R_z(a) R_x(b) R_y(g) of one triple of angles (3,): (3, 3)."""
  (sa, sb, sg), (ca, cb, cg) = np.sin(angles), np.cos(angles)
  about_z = np.array([[ca, -sa, 0], [sa, ca, 0], [0, 0, 1]])
  about_x = np.array([[1, 0, 0], [0, cb, -sb], [0, sb, cb]])
  about_y = np.array([[cg, 0, sg], [0, 1, 0], [-sg, 0, cg]])
  return about_z @ about_x @ about_y


def euler_to_matrix_vectorized(angles):
  """The same of (B, 3) angles: (B, 3, 3)."""
  (sa, sb, sg), (ca, cb, cg) = np.sin(angles).T, np.cos(angles).T
  entries = [
    ca * cg - sa * sb * sg, -sa * cb, ca * sg + sa * sb * cg,
    sa * cg + ca * sb * sg, ca * cb, sa * sg - ca * sb * cg,
    -cb * sg, sb, cb * cg,
  ]
  return np.stack(entries, axis=-1).reshape(-1, 3, 3)


def procrustes_loop(source, target):
  """The source (J, 3) after its best similarity (no reflection) to the target: (J, 3)."""
  source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
  x, y = source - source_mean, target - target_mean
  u, s, vt = np.linalg.svd(y.T @ x)
  d = np.array([1, 1, np.sign(np.linalg.det(u @ vt))], s.dtype)
  rotation = (u * d) @ vt
  scale = (s * d).sum() / (x**2).sum()
  return scale * x @ rotation.T + target_mean


def procrustes_vectorized(source, target):
  """The same of (B, J, 3) pairs."""
  source_mean, target_mean = source.mean(axis=1, keepdims=True), target.mean(axis=1, keepdims=True)
  x, y = source - source_mean, target - target_mean
  u, s, vt = np.linalg.svd(y.transpose(0, 2, 1) @ x)
  d = np.ones_like(s)
  d[:, 2] = np.sign(np.linalg.det(u @ vt))
  rotation = (u * d[:, None]) @ vt
  scale = (s * d).sum(axis=1) / (x**2).sum(axis=(1, 2))
  return scale[:, None, None] * x @ rotation.transpose(0, 2, 1) + target_mean


def project_weak_loop(pose, root_px, depth, focal):
  """T_K of one person: (J, 3) mm, (2,) px, () mm, () px to (J, 2) px."""
  return root_px + focal / depth * pose[:, :2]


def project_weak_vectorized(pose, root_px, depth, focal):
  """The same of (B, J, 3), (B, 2), (B,), one focal length."""
  return root_px[:, None] + (focal / depth)[:, None, None] * pose[..., :2]


def project(points, focal, center, radial, tangential):
  """Perspective with OpenCV's lens model of (..., 3) mm points to (..., 2) px."""
  x, y = points[..., 0] / points[..., 2], points[..., 1] / points[..., 2]
  k1, k2, k3 = radial
  p1, p2 = tangential
  r2 = x * x + y * y
  g = 1 + r2 * (k1 + r2 * (k2 + r2 * k3))
  x_d = x * g + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)
  y_d = y * g + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y
  return np.stack([x_d, y_d], axis=-1) * focal + center
