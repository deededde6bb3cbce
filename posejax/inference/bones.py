"""Poses as a root and bones, so that filters and interpolation keep a body's proportions.

Symbols: N poses, J joints, mm. A bone is a joint minus its parent; the root's row is its position.
"""

import numpy as np

from posejax.geometry.skeleton import Skeleton


def split(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """(N, J, 3) joints → bones; the root's row stays its position."""
  parents = np.array([p if p >= 0 else j for j, p in enumerate(skeleton.parents)])
  bones = joints - joints[:, parents]
  at_root = np.array(skeleton.parents) < 0
  bones[:, at_root] = joints[:, at_root]
  return bones


def join(bones: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """The inverse of `split`."""
  joints = np.array(bones)
  done = {j for j, parent in enumerate(skeleton.parents) if parent < 0}
  while len(done) < skeleton.num_joints:
    for joint, parent in enumerate(skeleton.parents):
      if joint not in done and parent in done:
        joints[:, joint] += joints[:, parent]
        done.add(joint)
  return joints


def with_lengths(bones: np.ndarray, lengths: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """Bones of the same directions and other lengths (N, J); the root, and bones of 0, stay."""
  size = np.linalg.norm(bones, axis=-1)
  factor = np.where(size > 1e-6, lengths / np.maximum(size, 1e-6), 1.0)
  factor[:, np.array(skeleton.parents) < 0] = 1.0
  return bones * factor[..., None]


def between(first: np.ndarray, last: np.ndarray, count: int, skeleton: Skeleton) -> np.ndarray:
  """Poses evenly between two: (J, 3) each → (count, J, 3), bones of interpolated lengths."""
  share = (np.arange(1, count + 1) / (count + 1))[:, None, None]
  ends = split(np.stack([first, last]), skeleton)
  bones = (1 - share) * ends[0] + share * ends[1]
  size = np.linalg.norm(ends, axis=-1)
  lengths = (1 - share[..., 0]) * size[0] + share[..., 0] * size[1]
  return join(with_lengths(bones, lengths, skeleton), skeleton)
