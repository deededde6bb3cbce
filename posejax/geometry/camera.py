"""Cameras: weak and full perspective, lens distortion, back-projection, and their frames.

Symbols (papers' notation, kinematics.md): p_r root-relative pose (mm, camera axes), p_g
camera-centred pose (mm), r pelvis in the image (px), d depth of the pelvis (mm), f focal length
(px), c principal point (px).
Axis letters: J joint, N point. Everything is written for one pose or one camera: vmap over batches.

Frames: camera x right, y down, z forward; world right-handed, z up. X_cam = R X_world + t.
Pixels are (x, y) with centres at integer coordinates: pixel 0 spans -0.5..0.5 and the middle of a
W x H image is ((W - 1) / 2, (H - 1) / 2).

Behind the camera: a depth below `min_depth` is replaced by it, so a point at or behind the camera
plane gets the finite pixel of the point beside it on the plane z = min_depth, and no gradient with
respect to its depth. That is not a place where it could be seen: mask with `in_front`.

Sources: crossmodal.md "Fixed transformations" (T_K, T_G: Kundu et al. 2020 [P]; f = image side and
centre = middle [P]). Lens models are in `distortion`.
"""

import math
import numbers
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import vectors
from posejax.geometry.arguments import as_float
from posejax.geometry.distortion import (
  Chi3dDistortion,
  Distortion,
  LensDistortion,
  OpenCvDistortion,
  distort,
  undistort,
)

__all__ = [
  'MIN_DEPTH_MM', 'WORLD_UP', 'Camera', 'Chi3dDistortion', 'Distortion', 'Intrinsics',
  'LensDistortion', 'OpenCvDistortion', 'back_project', 'camera_to_world', 'compose_global',
  'crop_intrinsics', 'distort', 'fixed_intrinsics', 'in_front', 'look_at', 'project',
  'project_weak', 'scale_intrinsics', 'translation_from_center', 'undistort', 'world_to_camera',
]

# Nothing is photographed from nearer than a centimetre; the bound also keeps f / z and its gradient
# far from overflow in float32.
MIN_DEPTH_MM = 10.0
# Below it, float32 leaves fewer than three digits of the direction across the line of sight.
_PARALLEL_SINE = 1e-4
WORLD_UP = np.array([0.0, 0.0, 1.0])


class Intrinsics(NamedTuple):
  """Pinhole intrinsics: focal (2,) px > 0 along x and y, center (2,) px principal point."""

  focal: jax.Array
  center: jax.Array


class Camera(NamedTuple):
  """One camera: intrinsics, rotation (3, 3) and translation (3,) mm with X_cam = R X_world + t."""

  intrinsics: Intrinsics
  rotation: jax.Array
  translation: jax.Array


def fixed_intrinsics(width: int, height: int | None = None) -> Intrinsics:
  """Intrinsics assumed where none are known: f = longer image side, centre = image middle [P].

  Args:
    width: image width, px.
    height: image height, px; a square image when left out.

  Returns:
    Intrinsics in the default float type.

  Raises:
    ValueError: a side is not positive.
  """
  height = width if height is None else height
  if not (width > 0 and height > 0):
    raise ValueError(f'fixed_intrinsics: width and height must be > 0 px, got {width}, {height}')
  side = max(width, height)
  return Intrinsics(
    focal=jnp.array([side, side], float),
    center=jnp.array([(width - 1) / 2, (height - 1) / 2], float),
  )


def in_front(points: jax.Array, min_depth: float = MIN_DEPTH_MM) -> jax.Array:
  """Tells which points `project` projects truly.

  Args:
    points: (N, 3) mm, camera frame.
    min_depth: mm, finite and > 0.

  Returns:
    (N,) bool: depth at least `min_depth`.

  Raises:
    ValueError: wrong shapes or `min_depth`.
  """
  _check_min_depth('in_front', min_depth)
  points = as_float('in_front', 'points', points, ('N', 3))
  return points[:, 2] >= min_depth


def project(
  points: jax.Array,
  intrinsics: Intrinsics,
  distortion: LensDistortion | None = None,
  min_depth: float = MIN_DEPTH_MM,
) -> jax.Array:
  """Full perspective projection: f * distort(x / z, y / z) + c.

  Args:
    points: (N, 3) mm, camera frame.
    intrinsics: px.
    distortion: lens model with its coefficients; an ideal pinhole when left out.
    min_depth: mm, finite and > 0; smaller depths are replaced by it (module docstring).

  Returns:
    (N, 2) px; finite for all finite points below about 1e30 mm.

  Raises:
    ValueError: wrong shapes or `min_depth`.
  """
  _check_min_depth('project', min_depth)
  points = as_float('project', 'points', points, ('N', 3))
  focal, center = _intrinsics_arrays('project', intrinsics)
  normalized = points[:, :2] / _guard_depth(points[:, 2:], min_depth)
  if distortion is not None:
    normalized = distort(normalized, distortion)
  return normalized * focal + center


def project_weak(
  pose: jax.Array,
  root_px: jax.Array,
  depth: jax.Array,
  focal: jax.Array,
  min_depth: float = MIN_DEPTH_MM,
) -> jax.Array:
  """T_K, weak perspective of one person: k = r + (f / d) p_r[:, :2] [P].

  Good near the axis only: at 224 px and 2.5 m the mean difference to `project` of the composed pose
  is about 3 px for a centred person and 8 px at 0.4 of the side from the centre (crossmodal.md).

  Args:
    pose: (J, 3) mm, root-relative, camera axes.
    root_px: (2,) px, the root in the image.
    depth: () mm, the root's depth; below `min_depth` it is replaced by it.
    focal: () or (2,) px.
    min_depth: mm, finite and > 0.

  Returns:
    (J, 2) px.

  Raises:
    ValueError: wrong shapes or `min_depth`.
  """
  _check_min_depth('project_weak', min_depth)
  pose = as_float('project_weak', 'pose', pose, ('J', 3))
  root_px = as_float('project_weak', 'root_px', root_px, (2,))
  depth = as_float('project_weak', 'depth', depth, ())
  focal = as_float('project_weak', 'focal', focal, (2,) if jnp.ndim(focal) else ())
  return root_px + (focal / _guard_depth(depth, min_depth)) * pose[:, :2]


def compose_global(
  pose: jax.Array, root_px: jax.Array, depth: jax.Array, intrinsics: Intrinsics
) -> jax.Array:
  """T_G: p_g = p_r + ((r_x - c_x) d / f_x, (r_y - c_y) d / f_y, d) [P].

  Args:
    pose: (J, 3) mm, root-relative, camera axes.
    root_px: (2,) px, the root in the image.
    depth: () mm, the root's depth.
    intrinsics: px.

  Returns:
    (J, 3) mm, camera frame.

  Raises:
    ValueError: wrong shapes.
  """
  pose = as_float('compose_global', 'pose', pose, ('J', 3))
  root_px = as_float('compose_global', 'root_px', root_px, (2,))
  depth = as_float('compose_global', 'depth', depth, ())
  focal, center = _intrinsics_arrays('compose_global', intrinsics)
  root = jnp.concatenate([(root_px - center) / focal * depth, depth[None]])
  return pose + root


def back_project(
  pixels: jax.Array,
  depths: jax.Array,
  intrinsics: Intrinsics,
  distortion: LensDistortion | None = None,
) -> jax.Array:
  """Inverse of `project` at known depths.

  Args:
    pixels: (N, 2) px.
    depths: (N,) mm along the optical axis (z, not the distance from the camera).
    intrinsics: px.
    distortion: lens model; see `undistort` for its range.

  Returns:
    (N, 3) mm, camera frame.

  Raises:
    ValueError: wrong shapes.
  """
  pixels = as_float('back_project', 'pixels', pixels, ('N', 2))
  depths = as_float('back_project', 'depths', depths, (pixels.shape[0],))
  focal, center = _intrinsics_arrays('back_project', intrinsics)
  normalized = (pixels - center) / focal
  if distortion is not None:
    normalized = undistort(normalized, distortion)
  return jnp.concatenate([normalized * depths[:, None], depths[:, None]], axis=1)


def world_to_camera(points: jax.Array, camera: Camera) -> jax.Array:
  """X_cam = R X_world + t.

  Args:
    points: (N, 3) mm, world frame.
    camera: rotation (3, 3) and translation (3,) are used.

  Returns:
    (N, 3) mm, camera frame.

  Raises:
    ValueError: wrong shapes.
  """
  points = as_float('world_to_camera', 'points', points, ('N', 3))
  rotation, translation = _pose_arrays('world_to_camera', camera)
  return vectors.rotate(points, rotation) + translation


def camera_to_world(points: jax.Array, camera: Camera) -> jax.Array:
  """X_world = R^T (X_cam - t), the inverse of `world_to_camera`.

  Args:
    points: (N, 3) mm, camera frame.
    camera: rotation (3, 3) and translation (3,) are used.

  Returns:
    (N, 3) mm, world frame.

  Raises:
    ValueError: wrong shapes.
  """
  points = as_float('camera_to_world', 'points', points, ('N', 3))
  rotation, translation = _pose_arrays('camera_to_world', camera)
  return vectors.rotate(points - translation, rotation.T)


def translation_from_center(rotation: jax.Array, center: jax.Array) -> jax.Array:
  """t = -R C, for data that gives X_cam = R (X_world - C), as CHI3D does.

  Args:
    rotation: (3, 3), camera from world.
    center: (3,) mm, the camera's position in the world.

  Returns:
    (3,) mm.

  Raises:
    ValueError: wrong shapes.
  """
  rotation = as_float('translation_from_center', 'rotation', rotation, (3, 3))
  center = as_float('translation_from_center', 'center', center, (3,))
  return -vectors.rotate(center[None], rotation)[0]


def look_at(
  eye: jax.Array,
  target: jax.Array,
  up: jax.Array = WORLD_UP,
  roll: float | jax.Array = 0.0,
) -> tuple[jax.Array, jax.Array]:
  """Pose of a camera at `eye` that sees `target` on its axis, with `up` upward in the image.

  Where `up` is parallel to the line of sight, the world axis most perpendicular to that line (the
  first of equals) stands in for it; where eye = target, the camera looks along world x.

  Args:
    eye: (3,) mm, world frame.
    target: (3,) mm, world frame.
    up: (3,) direction, world frame.
    roll: () rad about the optical axis; positive turns the camera's x axis toward its y axis, so
      that the picture's content turns counter-clockwise.

  Returns:
    rotation (3, 3) and translation (3,) mm of `Camera`.

  Raises:
    ValueError: wrong shapes.
  """
  eye = as_float('look_at', 'eye', eye, (3,))
  target = as_float('look_at', 'target', target, (3,))
  dtype = jnp.result_type(eye, target)
  up = as_float('look_at', 'up', up, (3,)).astype(dtype)
  roll = as_float('look_at', 'roll', roll, ()).astype(dtype)

  forward = vectors.unit_array(target - eye, (1.0, 0.0, 0.0))
  up = vectors.unit_array(up, (0.0, 0.0, 1.0))
  spare = jnp.eye(3, dtype=dtype)[jnp.argmin(jnp.abs(forward))]
  sideways = jnp.cross(forward, up)
  parallel = jnp.sum(sideways * sideways) < _PARALLEL_SINE**2
  right = vectors.unit_array(
    jnp.where(parallel, jnp.cross(forward, spare), sideways), (1.0, 0.0, 0.0)
  )
  down = jnp.cross(forward, right)
  cosine, sine = jnp.cos(roll), jnp.sin(roll)
  rotation = jnp.stack([cosine * right + sine * down, cosine * down - sine * right, forward])
  return rotation, -vectors.rotate(eye[None], rotation)[0]


def scale_intrinsics(intrinsics: Intrinsics, scale: jax.Array) -> Intrinsics:
  """Intrinsics of the resized image: f' = s f, c' = s (c + 1/2) - 1/2.

  The halves come from pixel centres at integers: a resize maps the image's edge -1/2 to itself.

  Args:
    intrinsics: px of the original image.
    scale: () or (2,), new size / old size (along x, along y).

  Returns:
    Intrinsics in px of the resized image.

  Raises:
    ValueError: wrong shapes.
  """
  focal, center = _intrinsics_arrays('scale_intrinsics', intrinsics)
  scale = as_float('scale_intrinsics', 'scale', scale, (2,) if jnp.ndim(scale) else ())
  return Intrinsics(focal=focal * scale, center=(center + 0.5) * scale - 0.5)


def crop_intrinsics(intrinsics: Intrinsics, corner: jax.Array) -> Intrinsics:
  """Intrinsics of a cropped (or, with a negative corner, padded) image: c' = c - corner.

  Args:
    intrinsics: px of the original image.
    corner: (2,) px (x, y): the original coordinates of the crop's pixel (0, 0).

  Returns:
    Intrinsics in px of the crop.

  Raises:
    ValueError: wrong shapes.
  """
  focal, center = _intrinsics_arrays('crop_intrinsics', intrinsics)
  corner = as_float('crop_intrinsics', 'corner', corner, (2,))
  return Intrinsics(focal=focal, center=center - corner)


def _intrinsics_arrays(function: str, intrinsics: Intrinsics) -> tuple[jax.Array, jax.Array]:
  return (
    as_float(function, 'intrinsics.focal', intrinsics.focal, (2,)),
    as_float(function, 'intrinsics.center', intrinsics.center, (2,)),
  )


def _pose_arrays(function: str, camera: Camera) -> tuple[jax.Array, jax.Array]:
  return (
    as_float(function, 'camera.rotation', camera.rotation, (3, 3)),
    as_float(function, 'camera.translation', camera.translation, (3,)),
  )


def _check_min_depth(function: str, min_depth: float) -> None:
  # Numbers only: what is traced has no value yet.
  if isinstance(min_depth, numbers.Real) and not (math.isfinite(min_depth) and min_depth > 0):
    raise ValueError(f'{function}: min_depth must be finite and > 0 mm, got {min_depth}')


def _guard_depth(depth: jax.Array, min_depth: float) -> jax.Array:
  # Before the division: x / 0 would give inf, and NaN in its gradient even behind a `where`.
  return jnp.where(depth < min_depth, min_depth, depth)
