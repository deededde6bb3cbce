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
- Where the wrist's transport is singular (‖z0 + u‖ < 1e-3, an upper arm that points back and
  medial), y0 itself takes c's place, in the elbow's frame.
"""

import dataclasses
import functools
import math
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry import vectors
from posejax.geometry.vectors import Vector

Mode = Literal['paper', 'robust']
Frame = tuple[Vector, Vector, Vector]

BASE = ('pelvis', 'neck', 'r_hip', 'l_hip')  # the joints that fix the body's axes

# ‖c_perp‖² below this (‖c_perp‖ < 1e-3) is degenerate [R].
_DEGENERATE = 1e-6


class Bone(NamedTuple):
  """A bone of a kinematic tree, from parent to joint."""

  joint: int
  parent: int
  role: str  # joint name without its side
  sign: int  # s_j


class BodyAxes(NamedTuple):
  """Canonical axes X_c, Y_c, Z_c and h, in the axes of the pose they are taken from."""

  forward: Vector
  left: Vector
  up: Vector
  hips: Vector


@dataclasses.dataclass(frozen=True)
class Chain:
  """What is known so far of each bone, by joint."""

  direction: dict[int, Vector] = dataclasses.field(default_factory=dict)  # unit, body's axes
  row: dict[int, Vector] = dataclasses.field(default_factory=dict)  # unit row of the local pose
  frame: dict[int, Frame] = dataclasses.field(default_factory=dict)  # B_j


def check_mode(function: str, mode: str) -> None:
  if mode not in get_args(Mode):
    raise ValueError(f'{function}: frame is {mode!r}, expected one of {get_args(Mode)}')


@functools.cache
def tree(skeleton: skeleton_lib.Skeleton) -> tuple[Bone, ...]:
  """The bones of a skeleton, each after its parent's, neck and hips first.

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
  ordered = [name for name in j17.joints if name in skeleton.joints and name != 'pelvis']
  bones = []
  for name in sorted(ordered, key=lambda name: name not in BASE):
    joint = skeleton.index(name)
    sign = -1 if name.startswith('l_') else 1
    bones.append(Bone(joint, skeleton.parents[joint], role(name), sign))
  return tuple(bones)


def role(joint: str) -> str:
  """A joint's name without its side."""
  return joint.removeprefix('r_').removeprefix('l_')


def body_axes(pelvis: Vector, neck: Vector, r_hip: Vector, l_hip: Vector) -> BodyAxes:
  """Z_c = unit(neck − pelvis), X_c ∥ (l_hip − r_hip) × (neck − r_hip), Y_c = Z_c × X_c, and h.

  Args:
    pelvis, neck, r_hip, l_hip: positions, in any right-handed frame.

  Returns:
    The axes, in that frame.
  """
  up = vectors.unit(vectors.subtract(neck, pelvis))
  hips = vectors.subtract(r_hip, l_hip)
  # Of unit vectors, so that the square of a product of lengths does not overflow.
  normal = vectors.cross(vectors.unit(vectors.subtract(neck, r_hip)), vectors.unit(hips))
  lying = jnp.abs(up[0]) > 0.9
  axis = jnp.where(lying, 0.0, 1.0), 0.0, jnp.where(lying, 1.0, 0.0)
  any_forward = vectors.unit(vectors.reject(axis, up))
  forward = vectors.unit(vectors.reject(normal, up), any_forward)
  left = vectors.cross(up, forward)
  right = vectors.scale(left, -1)
  return BodyAxes(forward, left, up, vectors.unit(vectors.reject(hips, forward), right))


def local_frame(bone: Bone, body: BodyAxes, chain: Chain, mode: Mode) -> Frame:
  """B_j of one joint.

  Args:
    bone: the joint.
    body: the body's axes.
    chain: the bones before it.
    mode: which frames.

  Returns:
    Rows X_j, Y_j, Z_j, in the axes of `body`.
  """
  back = vectors.scale(body.forward, -1)
  if bone.role in ('neck', 'hip', 'head_top', 'shoulder'):
    return vectors.scale(body.left, bone.sign), back, body.up
  z = chain.direction[bone.parent]
  if mode == 'robust' and bone.role == 'wrist':
    y = vectors.combine(_transported(chain.row[bone.parent]), chain.frame[bone.parent])
  elif mode == 'robust' and bone.role in ('ankle', 'foot'):
    y = _orthogonal(vectors.cross(z, body.hips), back, z)
  else:
    y = _orthogonal(back, body.up, z)
  return (vectors.cross(y, z) if bone.sign > 0 else vectors.cross(z, y)), y, z


def _orthogonal(c: Vector, fallback: Vector, z: Vector) -> Vector:
  """unit(c − (c·z) z), with the fallback in c's place where that is degenerate."""
  first, second = vectors.reject(c, z), vectors.reject(fallback, z)
  # Chosen before the root: at first = 0 its gradient would be NaN also where it is not taken.
  chosen = vectors.select(vectors.dot(first, first) < _DEGENERATE, second, first)
  return vectors.normalize(chosen)


def _transported(u: Vector) -> Vector:
  """Y of the wrist in the elbow's frame: y0 carried along the great circle from z0 to u.

  z0 = (0, −r, r), y0 = (0, r, r), r = 1/√2. The spec's y0 − (u·y0)/(1 + z0·u) (z0 + u) is y0
  reflected in the plane at right angles to w = z0 + u, since ‖w‖² = 2 (1 + z0·u) and w·y0 = u·y0;
  ‖w‖² keeps its digits where 1 + z0·u cancels. Where that is singular: unit(y0 − (u·y0) u).

  Args:
    u: direction of the upper arm in the elbow's frame, unit.

  Returns:
    Unit vectors at right angles to u.
  """
  r = math.sqrt(0.5)
  w = u[0], u[1] - r, u[2] + r
  squared = vectors.dot(w, w)
  along = r * (w[1] + w[2])
  singular = (squared < _DEGENERATE).astype(squared.dtype)
  # Both cases are y0 − factor · v, v = w or u, divided by a length that is 1 in the regular one.
  factor = along * (2 * (1 - singular) / (squared + singular) + singular)
  length = jax.lax.rsqrt(1 - jnp.square(along * singular))
  return (
    -length * factor * w[0],
    length * (r - factor * (w[1] + r * singular)),
    length * (r - factor * (w[2] - r * singular)),
  )
