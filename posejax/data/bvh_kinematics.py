"""Forward kinematics of a parsed BVH file.

Symbols: T frames, N nodes, C channels of a frame, as in `bvh`. Positions are in the file's own unit
and axes.

A node's transform in its parent is a translation, then its rotations in the order in which the
channels are listed: x_parent = t + R_first R_second R_third x_node (intrinsic, column vectors).
"""

from typing import Literal

import numpy as np

from posejax.data import bvh as bvh_lib

_AXES = {'X': 0, 'Y': 1, 'Z': 2}
# Frames for which the rotations of all nodes are held at once.
_CHUNK = 4096


def with_site(bvh: bvh_lib.Bvh, parent: int, offset: np.ndarray, name: str) -> bvh_lib.Bvh:
  """Adds an end site, for a point that moves with a node but that the rig does not list.

  Args:
    bvh: the parsed file.
    parent: index of the node that carries the point.
    offset: (3,) the point in the node's own frame, in the file's unit.
    name: a name that no node has.

  Returns:
    The file with one more node, the last.
  """
  return bvh._replace(
    names=(*bvh.names, name), parents=(*bvh.parents, parent),
    offsets=np.concatenate([bvh.offsets, np.reshape(offset, (1, 3))]),
    channels=(*bvh.channels, ()),
  )


def world_positions(
  bvh: bvh_lib.Bvh, position_channels: Literal['replace', 'add'] = 'replace'
) -> np.ndarray:
  """Forward kinematics of every frame.

  Args:
    bvh: the parsed file.
    position_channels: whether a node's position channels take the place of its OFFSET, axis by axis
      (as MotionBuilder and the Bandai set write them and Blender reads them), or are added to it.

  Returns:
    (T, N, 3) positions of every node in the file's unit and axes.
  """
  positions = np.empty((len(bvh.motion), len(bvh.names), 3))
  for start in range(0, len(bvh.motion), _CHUNK):
    chunk = slice(start, start + _CHUNK)
    _chunk_positions(bvh, bvh.motion[chunk], position_channels == 'add', positions[chunk])
  return positions


def _chunk_positions(
  bvh: bvh_lib.Bvh, motion: np.ndarray, add: bool, positions: np.ndarray
) -> None:
  """Writes (T, N, 3) world positions of some frames into `positions`."""
  inner = set(bvh.parents)
  rotations: dict[int, np.ndarray] = {-1: np.eye(3)}
  first = 0
  for node, (parent, channels) in enumerate(zip(bvh.parents, bvh.channels, strict=True)):
    values = motion[:, first : first + len(channels)]
    first += len(channels)
    translation = np.broadcast_to(bvh.offsets[node], (len(motion), 3)).copy()
    rotation = rotations[parent]
    for channel, value in zip(channels, values.T, strict=True):
      axis = _AXES[channel[0]]
      if channel.endswith('position'):
        translation[:, axis] = value + (bvh.offsets[node, axis] if add else 0.0)
      elif node in inner:
        rotation = rotation @ _axis_rotation(axis, np.deg2rad(value))
    positions[:, node] = (rotations[parent] @ translation[:, :, None])[..., 0]
    if parent >= 0:
      positions[:, node] += positions[:, parent]
    if node in inner:
      rotations[node] = rotation


def _axis_rotation(axis: int, angles: np.ndarray) -> np.ndarray:
  """(T, 3, 3) rotations by `angles` (T,), rad, about coordinate axis 0, 1 or 2; right-handed."""
  matrices = np.zeros((len(angles), 3, 3))
  a, b = (axis + 1) % 3, (axis + 2) % 3
  matrices[:, axis, axis] = 1.0
  matrices[:, a, a] = matrices[:, b, b] = np.cos(angles)
  matrices[:, b, a] = np.sin(angles)
  matrices[:, a, b] = -matrices[:, b, a]
  return matrices
