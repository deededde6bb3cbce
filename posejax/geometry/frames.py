"""The body's axes and each joint's local frame, by the same rules for T_L and FK.

Symbols: X_c, Y_c, Z_c (forward, left, up) the canonical axes; n̂ = X_c; h the unit vector from the
left to the right hip; B_j rows X_j, Y_j, Z_j of joint j's frame; s_j +1 for right and centre
joints, −1 for left ones, whose frames are mirror images; c what fixes the twist about Z_j.

  Z_j = unit(grandparent → parent), Z_c for children of pelvis and neck
  Y_j = unit(c − (c·Z_j) Z_j),  X_j = s_j (Y_j × Z_j)
  paper mode [P]:  c = −n̂
  robust mode [R]: as paper, but ankles and feet c = Z_j × h, and wrists carry the elbow's frame
    along the upper arm without twist

Where ‖c − (c·Z_j) Z_j‖ < 1e-3 the frame falls back to c = Z_c (ankles and feet in robust mode: −n̂).
Source: spec/kinematics.md, "Canonical frame", "Local frame".

Completions [R], so that every finite pose has frames, also where the spec is silent:
- X_c is made orthogonal to Z_c, and h to X_c. Both already are if the pelvis is the middle of the
  hips; otherwise the round trip stays exact and the fall-backs can't be parallel to Z_j.
- A trunk without direction points along z; hips in line with it, or in one place, give an X_c
  that is the coordinate axis x (z for a trunk along x) made orthogonal to Z_c. Such a pose has no
  front: T_L depends on the frame it is given in, but FK(T_L(p)) is still p up to a rotation.
- A bone without length continues its parent's.
- The wrist's transport has a second fall-back, −n̂ where Z_c is parallel to Z_j.
"""

import functools
import math
from typing import Literal, NamedTuple, get_args

import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry import vectors
from posejax.geometry.vectors import Vector

Mode = Literal['paper', 'robust']
Frame = tuple[Vector, Vector, Vector]

BASE = ('pelvis', 'neck', 'r_hip', 'l_hip')  # the joints that fix the body's axes

# ‖c_perp‖² below this (‖c_perp‖ < 1e-3) is degenerate [R].
_DEGENERATE = 1e-6

# The wrist's transport starts at an arm that points front-lateral: z0, and its y0 [R].
_Z0 = (0.0, -math.sqrt(0.5), math.sqrt(0.5))
_Y0 = (0.0, math.sqrt(0.5), math.sqrt(0.5))


class Group(NamedTuple):
  """Bones whose frames are built together, in one vector operation for all.

  One operation per bone would be three times the program, and minutes of compilation for a
  gradient.
  """

  kind: str  # 'base', 'root', 'limb', 'wrist', 'ankle' or 'foot'
  joints: tuple[int, ...]
  parents: tuple[int, ...]
  signs: tuple[int, ...]  # s_j


class BodyAxes(NamedTuple):
  """Canonical axes X_c, Y_c, Z_c and h, in the axes of the pose they are taken from."""

  forward: Vector
  left: Vector
  up: Vector
  hips: Vector


def check_mode(function: str, mode: str) -> None:
  if mode not in get_args(Mode):
    raise ValueError(f'{function}: frame is {mode!r}, expected one of {get_args(Mode)}')


# The tree in the order in which FK goes through it.
_GROUPS = (
  ('base', ('neck', 'r_hip', 'l_hip')),
  ('root', ('head_top', 'r_shoulder', 'l_shoulder')),
  ('limb', ('r_elbow', 'l_elbow', 'r_knee', 'l_knee')),
  ('wrist', ('r_wrist', 'l_wrist')),
  ('ankle', ('r_ankle', 'l_ankle')),
  ('foot', ('r_foot', 'l_foot')),
)


@functools.cache
def groups(skeleton: skeleton_lib.Skeleton) -> tuple[Group, ...]:
  """The bones of a skeleton, each after its parent's.

  Raises:
    ValueError: the skeleton lacks a joint of J15, or has other joints or parents than J17.
  """
  j17 = skeleton_lib.J17
  parent_of = {name: j17.joints[p] for name, p in zip(j17.joints, j17.parents, strict=True)}
  parent_of['pelvis'] = None
  missing = [name for name in skeleton_lib.J15.joints if name not in skeleton.joints]
  other = [
    name for name, p in zip(skeleton.joints, skeleton.parents, strict=True)
    if parent_of.get(name, name) != (skeleton.joints[p] if p >= 0 else None)
  ]
  if missing or other:
    raise ValueError(
      f'{skeleton.name} has no local frames: it lacks {missing} of J15, and {other} are not in the '
      'tree of J17; convert to J15 or J17 first'
    )
  found = []
  for kind, names in _GROUPS:
    joints = tuple(skeleton.index(name) for name in names if name in skeleton.joints)
    if joints:
      signs = tuple(-1 if skeleton.joints[j][:2] == 'l_' else 1 for j in joints)
      found.append(Group(kind, joints, tuple(skeleton.parents[j] for j in joints), signs))
  return tuple(found)


def body_axes(pelvis: Vector, neck: Vector, r_hip: Vector, l_hip: Vector) -> BodyAxes:
  """Z_c = unit(neck − pelvis), X_c ∥ (l_hip − r_hip) × (neck − r_hip), Y_c = Z_c × X_c, and h."""
  z_axis = (0.0, 0.0, 1.0)
  up = vectors.unit(vectors.subtract(neck, pelvis), z_axis)
  hips = vectors.subtract(r_hip, l_hip)
  # Of unit vectors, so that the product of two lengths neither over- nor underflows.
  normal = vectors.cross(
    vectors.unit(vectors.subtract(neck, r_hip), z_axis), vectors.unit(hips, z_axis)
  )
  e_x, e_z = (tuple(jnp.full_like(up[0], v) for v in e) for e in ((1, 0, 0), (0, 0, 1)))
  any_forward = vectors.reject(vectors.select(jnp.abs(up[0]) > 0.9, e_z, e_x), up)
  forward = vectors.unit(vectors.reject(normal, up), any_forward)
  left = vectors.cross(up, forward)
  right = vectors.scale(left, -1)
  return BodyAxes(forward, left, up, vectors.unit(vectors.reject(hips, forward), right))


def local_frames(
  group: Group,
  body: BodyAxes,
  direction: dict[int, Vector],
  rows: dict[int, Vector],
  built: dict[int, Frame],
  mode: Mode,
) -> Frame:
  """B_j of a group's joints.

  Args:
    group: n joints.
    body: the body's axes.
    direction: unit vector of each earlier bone, in the axes of `body`.
    rows: unit local row of each earlier bone.
    built: B of each earlier joint that is no child of the pelvis.
    mode: which frames.

  Returns:
    Rows X_j, Y_j, Z_j, components (n,), in the axes of `body`.
  """
  signs = np.array(group.signs, body.up[0].dtype)
  back = vectors.scale(body.forward, -1)
  if group.kind in ('base', 'root'):
    ones = np.ones_like(signs)
    return (
      vectors.scale(body.left, signs), vectors.scale(back, ones), vectors.scale(body.up, ones)
    )
  z = vectors.gather(direction, group.parents)
  if mode == 'robust' and group.kind == 'wrist':
    elbow = tuple(
      vectors.gather({j: built[j][k] for j in group.parents}, group.parents) for k in range(3)
    )
    y = _transported(vectors.gather(rows, group.parents), elbow, z, body)
  elif mode == 'robust' and group.kind in ('ankle', 'foot'):
    y = _orthogonal(vectors.cross(z, body.hips), back, z)
  else:
    y = _orthogonal(back, body.up, z)
  return vectors.scale(vectors.cross(y, z), signs), y, z


def _orthogonal(c: Vector, fallback: Vector, z: Vector) -> Vector:
  """unit(c − (c·z) z), with the fallback in c's place where that is degenerate."""
  first, second = vectors.reject(c, z), vectors.reject(fallback, z)
  # Chosen before the root: at first = 0 its gradient would be NaN also where it is not taken.
  chosen = vectors.select(vectors.dot(first, first) < _DEGENERATE, second, first)
  return vectors.scale(chosen, 1 / jnp.sqrt(vectors.dot(chosen, chosen)))


def _transported(u: Vector, elbow: Frame, z: Vector, body: BodyAxes) -> Vector:
  """Y of the wrist: y0 carried along the great circle from z0 to u = B_elbow · z.

  The spec's y0 − (u·y0)/(1 + z0·u) (z0 + u) is the reflection of y0 in the plane at right angles
  to w = z0 + u, since ‖w‖² = 2 (1 + z0·u); ‖w‖² keeps its digits where 1 + z0·u cancels.
  """
  w = tuple(a + b for a, b in zip(u, _Z0, strict=True))
  squared = vectors.dot(w, w)
  singular = squared < _DEGENERATE
  factor = 2 * vectors.dot(w, _Y0) / jnp.where(singular, 1, squared)
  carried = tuple(y - factor * a for y, a in zip(_Y0, w, strict=True))
  back = vectors.scale(body.forward, -1)
  instead = _orthogonal(body.up, back, z)
  return vectors.select(singular, instead, vectors.combine(carried, elbow))
