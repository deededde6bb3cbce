"""Poses in camera axes as a BVH file: bone directions become joint angles of a rigid rig.

Symbols: T frames, J joints (J15 or J17), p (T, J, 3) mm. File: cm, y up, a person's left at +x and
its front at +z in the rest pose; file = (x, −y, −z) of the camera, a half turn about x, so that
left stays left. The camera is taken to be level.

Names are MotionBuilder's, which Blender, Mixamo and `mocap` know. Every bone has a node of its own
that turns it: where several bones leave one joint (hips, collars, trunk), nodes with OFFSET 0 stand
between. A node's rotation is the shortest turn, from its parent's axes, that points its bone the
right way; a twist about a bone does not show in joints and stays 0. The Hips carry the body's axes
(left, up, forward).

A rig's bones are rigid: each is as long as its median over the frames. Poses of constant bones come
back as they were, others to within what their bones vary. A bone without both ends stays at rest.
"""

import math
from typing import NamedTuple

import numpy as np

from posejax.geometry import kinematics
from posejax.geometry.skeleton import Skeleton

_CM = 0.1  # cm a mm
_TO_FILE = np.array([1.0, -1.0, -1.0])
_CHANNELS = 'Zrotation Xrotation Yrotation'
_SHORT = 1e-6
_LEFT, _UP, _DOWN, _FRONT = (1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, -1.0, 0.0), (0.0, 0.0, 1.0)


class _Node(NamedTuple):
  """A node of the rig.

  Attributes:
    name: in the file.
    parent: name of the node above, '' for the Hips.
    joint: where the node stands.
    end: the joint that its bone points to; '' for one that turns nothing.
    rest: unit direction of that bone where no angle is set.
  """

  name: str
  parent: str
  joint: str
  end: str = ''
  rest: tuple[float, float, float] = _UP


def _rig(skeleton: Skeleton) -> tuple[_Node, ...]:
  """Nodes of J15 or J17, each after its parent."""
  nodes = [_Node('Hips', '', 'pelvis')]
  for name, s in (('Right', 'r'), ('Left', 'l')):
    out = tuple(-x for x in _LEFT) if s == 'r' else _LEFT
    foot = f'{s}_foot' if f'{s}_foot' in skeleton.joints else ''
    nodes += [
      _Node(f'{name}Pelvis', 'Hips', 'pelvis', f'{s}_hip', out),
      _Node(f'{name}UpLeg', f'{name}Pelvis', f'{s}_hip', f'{s}_knee', _DOWN),
      _Node(f'{name}Leg', f'{name}UpLeg', f'{s}_knee', f'{s}_ankle', _DOWN),
      _Node(f'{name}Foot', f'{name}Leg', f'{s}_ankle', foot, _FRONT),
    ]
  nodes += [
    _Node('Spine', 'Hips', 'pelvis', 'neck'), _Node('Neck', 'Spine', 'neck'),
    _Node('Head', 'Neck', 'neck', 'head_top'),
  ]
  for name, s in (('Right', 'r'), ('Left', 'l')):
    out = tuple(-x for x in _LEFT) if s == 'r' else _LEFT
    nodes += [
      _Node(f'{name}Shoulder', 'Neck', 'neck', f'{s}_shoulder', out),
      _Node(f'{name}Arm', f'{name}Shoulder', f'{s}_shoulder', f'{s}_elbow', out),
      _Node(f'{name}ForeArm', f'{name}Arm', f'{s}_elbow', f'{s}_wrist', out),
      _Node(f'{name}Hand', f'{name}ForeArm', f'{s}_wrist'),
    ]
  return tuple(nodes)


def text(joints: np.ndarray, fps: float, skeleton: Skeleton, valid: np.ndarray) -> str:
  """One person's motion as the text of a BVH file.

  Args:
    joints: (T, J, 3) mm, camera axes; T ≥ 1.
    fps: frames a second, > 0.
    skeleton: J15 or J17.
    valid: (T, J) bool: joints that are there.

  Raises:
    ValueError: another shape or rate.
  """
  joints = np.asarray(joints, np.float64) * _TO_FILE * _CM
  if joints.ndim != 3 or joints.shape[1:] != (skeleton.num_joints, 3) or not len(joints):
    raise ValueError(f'text: joints must be (T, {skeleton.num_joints}, 3), got {joints.shape}')
  if not (math.isfinite(fps) and fps > 0):
    raise ValueError(f'text: fps must be > 0, got {fps}')
  there = np.asarray(valid, bool) & np.isfinite(joints).all(-1)
  nodes = _rig(skeleton)
  lengths = _lengths(joints, there, skeleton)
  columns = [np.where(there[:, :1], joints[:, skeleton.index('pelvis')], 0.0)]
  columns += _angles(nodes, np.where(there[..., None], joints, 0.0), there, skeleton)
  table = '\n'.join(' '.join(f'{x:.5f}' for x in row) for row in np.concatenate(columns, 1))
  return (
    f'HIERARCHY\n{_hierarchy(nodes, lengths, skeleton)}MOTION\nFrames: {len(joints)}\n'
    f'Frame Time: {1 / fps:.8f}\n{table}\n'
  )


def _lengths(joints: np.ndarray, there: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """(J,) cm, the median of each joint's bone; the standard one where it was never there."""
  parents = np.maximum(skeleton.parents, 0)
  lengths = kinematics.bone_lengths(skeleton) * _CM
  bones = np.linalg.norm(joints - joints[:, parents], axis=-1)
  for joint, parent in enumerate(parents):
    known = bones[there[:, joint] & there[:, parent], joint]
    if known.size:
      lengths[joint] = np.median(known)
  return lengths


def _angles(
  nodes: tuple[_Node, ...], joints: np.ndarray, there: np.ndarray, skeleton: Skeleton
) -> list[np.ndarray]:
  """(T, 3) degrees for each node, in the order of the channels."""
  axes: dict[str, np.ndarray] = {}
  columns = []
  for node in nodes:
    if not node.parent:
      local = axes[node.name] = _body_axes(joints, skeleton)
    else:
      above = axes[node.parent]
      local = np.broadcast_to(np.eye(3), above.shape)
      if node.end:
        start, end = skeleton.index(node.joint), skeleton.index(node.end)
        bone = np.einsum('tji,tj->ti', above, joints[:, end] - joints[:, start])
        length = np.linalg.norm(bone, axis=-1, keepdims=True)
        known = (length > _SHORT) & (there[:, end] & there[:, start])[:, None]
        towards = np.where(known, bone / np.maximum(length, _SHORT), node.rest)
        local = _shortest_turn(np.array(node.rest), towards)
      axes[node.name] = above @ local
    # Without steps of a full turn, which an editor would interpolate.
    columns.append(np.unwrap(_euler_deg(local), axis=0, period=360.0))
  return columns


def _body_axes(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """(T, 3, 3), columns left, up, forward of the trunk, in the file's axes."""
  at = {name: joints[:, skeleton.index(name)] for name in ('pelvis', 'neck', 'r_hip', 'l_hip')}
  up = _unit(at['neck'] - at['pelvis'], np.array(_UP))
  across = at['l_hip'] - at['r_hip']
  spare = np.where(np.abs(up[:, :1]) < 0.9, _LEFT, _FRONT)
  left = _unit(_reject(across, up), _unit(_reject(spare, up), np.array(_LEFT)))
  return np.stack([left, up, np.cross(left, up)], axis=-1)


def _reject(v: np.ndarray, axis: np.ndarray) -> np.ndarray:
  return v - np.sum(v * axis, -1, keepdims=True) * axis


def _unit(v: np.ndarray, spare: np.ndarray) -> np.ndarray:
  length = np.linalg.norm(v, axis=-1, keepdims=True)
  return np.where(length > _SHORT, v / np.maximum(length, _SHORT), spare)


def _shortest_turn(start: np.ndarray, end: np.ndarray) -> np.ndarray:
  """(T, 3, 3) rotations that take the unit vector `start` (3,) to `end` (T, 3).

  Two reflections: in the plane at right angles to `start`, then to start + end. For the opposite
  direction, where no turn is the shortest, half a turn about an axis across.
  """
  middle = start + end
  squared = np.sum(middle * middle, -1)[:, None, None]
  across = np.cross(start, np.eye(3)[np.argmin(np.abs(start))])
  across /= np.linalg.norm(across)
  half = 2 * np.outer(across, across) - np.eye(3)
  first = np.eye(3) - 2 * np.outer(start, start)
  outer = middle[:, :, None] * middle[:, None, :]
  second = np.eye(3) - 2 * outer / np.maximum(squared, 1e-20)
  # start → −start → end: the second mirror's normal halves the angle between the two.
  return np.where(squared > 1e-16, second @ first, half)


def _euler_deg(rotation: np.ndarray) -> np.ndarray:
  """(T, 3) angles z, x, y of R = R_z R_x R_y; y is 0 where x is ±90°."""
  r = rotation
  cosine = np.hypot(r[:, 0, 1], r[:, 1, 1])
  locked = cosine < 1e-9
  x = np.arctan2(r[:, 2, 1], cosine)
  y = np.where(locked, 0.0, np.arctan2(-r[:, 2, 0], r[:, 2, 2]))
  z = np.where(
    locked, np.arctan2(r[:, 1, 0], r[:, 0, 0]), np.arctan2(-r[:, 0, 1], r[:, 1, 1])
  )
  return np.rad2deg(np.stack([z, x, y], axis=-1))


def _hierarchy(nodes: tuple[_Node, ...], lengths: np.ndarray, skeleton: Skeleton) -> str:
  by_name = {node.name: node for node in nodes}
  children = {node.name: [n for n in nodes if n.parent == node.name] for node in nodes}

  def bone(node: _Node) -> str:
    """OFFSET of what stands at the end of a node's bone."""
    length = lengths[skeleton.index(node.end)] if node.end else 0.0
    return 'OFFSET ' + ' '.join(f'{x * length:.5f}' for x in node.rest)

  def lines(node: _Node, depth: int) -> list[str]:
    indent = '  ' * depth
    above = by_name.get(node.parent)
    at_end = above is not None and above.end == node.joint
    offset = bone(above) if at_end else 'OFFSET 0.0 0.0 0.0'
    kind = 'JOINT' if above else 'ROOT'
    channels = f'CHANNELS 3 {_CHANNELS}' if above else (
      f'CHANNELS 6 Xposition Yposition Zposition {_CHANNELS}')
    found = [f'{kind} {node.name}', '{', f'  {offset}', f'  {channels}']
    found = [indent + line for line in found]
    for child in children[node.name]:
      found += lines(child, depth + 1)
    if not children[node.name]:
      found += [indent + line for line in ('  End Site', '  {', f'    {bone(node)}', '  }')]
    return [*found, indent + '}']

  return '\n'.join(lines(nodes[0], 0)) + '\n'
