"""Joint sets of the data sets and networks, and the mapping between any two of them by name.

Symbols: J joints, L limbs, D coordinates of a joint (2 in an image, 3 in space). A `Skeleton` holds
names and topology alone: bone lengths are in `kinematics`, joint limits in `limits`.

Names. `head_top` is the top of the skull, `head` its middle (MuPoTS, MPI-INF-3DHP), `nose` and
the like are surface points. `pelvis` is the middle of the hips, `neck` the middle of the
shoulders: a set that lacks one of these two has it derived by `convert`. Two joints with different
names are never taken for each other: H3.6M's `nose` is no `head_top`.

Sources: spec/kinematics.md ("Trees"), spec/openpose.md (OpenPose's parts and limbs),
spec/lifting.md (H3.6M-17 order, CHI3D-25), spec/protocols.md (MuPoTS).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments

Pair = tuple[int, int]


@dataclasses.dataclass(frozen=True)
class Skeleton:
  """Names and topology of a joint set. Hashable, so it can be a static argument under `jax.jit`.

  Attributes:
    name: what users and error messages call it.
    joints: J distinct joint names.
    parents: index of each joint's parent, -1 for a root. OpenPose's and COCO's sets are rooted at
      the neck or the nose.
    limbs: L pairs (from, to). A tree's limbs are (parent, child) in the order of the children;
      OpenPose's are the network's affinity fields, in channel order, and need not be a tree.
    flip_pairs: pairs (right, left) that a mirror swaps.
  """

  name: str
  joints: tuple[str, ...]
  parents: tuple[int, ...]
  limbs: tuple[Pair, ...]
  flip_pairs: tuple[Pair, ...]

  @property
  def num_joints(self) -> int:
    return len(self.joints)

  @property
  def num_limbs(self) -> int:
    return len(self.limbs)

  @property
  def not_root(self) -> np.ndarray:
    """(J,) bool: joints with a parent, at the ends of bones."""
    return np.array(self.parents) >= 0

  @property
  def flip_permutation(self) -> tuple[int, ...]:
    """For each joint, the joint that takes its place in a mirror; an involution."""
    order = list(range(self.num_joints))
    for right, left in self.flip_pairs:
      order[right], order[left] = left, right
    return tuple(order)

  def index(self, joint: str) -> int:
    """Index of a joint name; a ValueError names the skeleton and what it has."""
    try:
      return self.joints.index(joint)
    except ValueError:
      raise ValueError(
        f'{self.name} has no joint {joint!r}; it has {", ".join(self.joints)}'
      ) from None


def skeleton(
  name: str, tree: tuple[tuple[str, str], ...], limbs: tuple[Pair, ...] | None = None
) -> Skeleton:
  """Builds a skeleton from (joint, parent name) rows; the root's parent is ''.

  Flip pairs follow from the names: `r_x` and `l_x`.

  Raises:
    ValueError: a name stands twice, a parent is unknown, or a side lacks its other one.
  """
  joints = tuple(joint for joint, _ in tree)
  if len(set(joints)) != len(joints):
    raise ValueError(f'{name}: a joint name stands twice in {joints}')
  unknown = [parent for _, parent in tree if parent and parent not in joints]
  lonely = [
    joint for joint in joints
    if joint[:2] in ('r_', 'l_') and {'r_': 'l_', 'l_': 'r_'}[joint[:2]] + joint[2:] not in joints
  ]
  if unknown or lonely:
    raise ValueError(f'{name}: unknown parents {unknown}, joints without the other side {lonely}')
  parents = tuple(joints.index(parent) if parent else -1 for _, parent in tree)
  if limbs is None:
    limbs = tuple((parent, child) for child, parent in enumerate(parents) if parent >= 0)
  flip_pairs = tuple(
    (i, joints.index('l_' + joint[2:])) for i, joint in enumerate(joints) if joint[:2] == 'r_'
  )
  return Skeleton(name, joints, parents, limbs, flip_pairs)


_J15_TREE = (
  ('pelvis', ''), ('neck', 'pelvis'), ('head_top', 'neck'),
  ('r_shoulder', 'neck'), ('r_elbow', 'r_shoulder'), ('r_wrist', 'r_elbow'),
  ('l_shoulder', 'neck'), ('l_elbow', 'l_shoulder'), ('l_wrist', 'l_elbow'),
  ('r_hip', 'pelvis'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
  ('l_hip', 'pelvis'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'),
)

# The cross-modal method's set: 14 limbs, so 15 heat-maps + 28 PAF channels = 43 maps.
J15 = skeleton('J15', _J15_TREE)

# KSP's set, and the synthetic world's: J15 in the same order, then the feet (toe tips).
J17 = skeleton('J17', _J15_TREE + (('r_foot', 'r_ankle'), ('l_foot', 'l_ankle')))

# Chest (part 14) is the middle of the trunk, not the pelvis, which this set derives from its hips.
OPENPOSE_MPI15 = skeleton(
  'OpenPose MPI-15',
  (
    ('head_top', 'neck'), ('neck', ''),
    ('r_shoulder', 'neck'), ('r_elbow', 'r_shoulder'), ('r_wrist', 'r_elbow'),
    ('l_shoulder', 'neck'), ('l_elbow', 'l_shoulder'), ('l_wrist', 'l_elbow'),
    ('r_hip', 'chest'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
    ('l_hip', 'chest'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'), ('chest', 'neck'),
  ),
  limbs=(
    (0, 1), (1, 2), (2, 3), (3, 4), (1, 5), (5, 6), (6, 7), (1, 14), (14, 8), (8, 9), (9, 10),
    (14, 11), (11, 12), (12, 13),
  ),
)

OPENPOSE_COCO18 = skeleton(
  'OpenPose COCO-18',
  (
    ('nose', 'neck'), ('neck', ''),
    ('r_shoulder', 'neck'), ('r_elbow', 'r_shoulder'), ('r_wrist', 'r_elbow'),
    ('l_shoulder', 'neck'), ('l_elbow', 'l_shoulder'), ('l_wrist', 'l_elbow'),
    ('r_hip', 'neck'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
    ('l_hip', 'neck'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'),
    ('r_eye', 'nose'), ('l_eye', 'nose'), ('r_ear', 'r_eye'), ('l_ear', 'l_eye'),
  ),
  limbs=(
    (1, 8), (8, 9), (9, 10), (1, 11), (11, 12), (12, 13), (1, 2), (2, 3), (3, 4), (2, 16), (1, 5),
    (5, 6), (6, 7), (5, 17), (1, 0), (0, 14), (0, 15), (14, 16), (15, 17),
  ),
)

COCO17 = skeleton(
  'COCO-17',
  (
    ('nose', ''), ('l_eye', 'nose'), ('r_eye', 'nose'), ('l_ear', 'l_eye'), ('r_ear', 'r_eye'),
    ('l_shoulder', 'nose'), ('r_shoulder', 'nose'), ('l_elbow', 'l_shoulder'),
    ('r_elbow', 'r_shoulder'), ('l_wrist', 'l_elbow'), ('r_wrist', 'r_elbow'),
    ('l_hip', 'l_shoulder'), ('r_hip', 'r_shoulder'), ('l_knee', 'l_hip'), ('r_knee', 'r_hip'),
    ('l_ankle', 'l_knee'), ('r_ankle', 'r_knee'),
  ),
  # The data set's own "skeleton" field, in its order, from 0.
  limbs=(
    (15, 13), (13, 11), (16, 14), (14, 12), (11, 12), (5, 11), (6, 12), (5, 6), (5, 7), (6, 8),
    (7, 9), (8, 10), (1, 2), (0, 1), (0, 2), (1, 3), (2, 4), (3, 5), (4, 6),
  ),
)

H36M17 = skeleton(
  'H3.6M-17',
  (
    ('pelvis', ''), ('r_hip', 'pelvis'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
    ('l_hip', 'pelvis'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'),
    ('spine', 'pelvis'), ('neck', 'spine'), ('nose', 'neck'), ('head_top', 'nose'),
    ('l_shoulder', 'neck'), ('l_elbow', 'l_shoulder'), ('l_wrist', 'l_elbow'),
    ('r_shoulder', 'neck'), ('r_elbow', 'r_shoulder'), ('r_wrist', 'r_elbow'),
  ),
)

# The raw 32 joints, with the data set's coincident and end joints named by what they repeat.
# Thorax (13) is this project's neck, joint 14 its nose, 15 its head top; toes are J17's feet.
H36M32 = skeleton(
  'H3.6M-32',
  (
    ('pelvis', ''), ('r_hip', 'pelvis'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
    ('r_foot', 'r_ankle'), ('r_toe_site', 'r_foot'),
    ('l_hip', 'pelvis'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'), ('l_foot', 'l_ankle'),
    ('l_toe_site', 'l_foot'),
    ('spine_base', 'pelvis'), ('spine', 'spine_base'), ('neck', 'spine'), ('nose', 'neck'),
    ('head_top', 'nose'),
    ('l_collar', 'neck'), ('l_shoulder', 'l_collar'), ('l_elbow', 'l_shoulder'),
    ('l_wrist', 'l_elbow'), ('l_wrist_site', 'l_wrist'), ('l_thumb', 'l_wrist'),
    ('l_hand', 'l_wrist'), ('l_hand_site', 'l_hand'),
    ('r_collar', 'neck'), ('r_shoulder', 'r_collar'), ('r_elbow', 'r_shoulder'),
    ('r_wrist', 'r_elbow'), ('r_wrist_site', 'r_wrist'), ('r_thumb', 'r_wrist'),
    ('r_hand', 'r_wrist'), ('r_hand_site', 'r_hand'),
  ),
)

MPI_INF_3DHP28 = skeleton(
  'MPI-INF-3DHP-28',
  (
    ('spine3', 'spine4'), ('spine4', 'spine2'), ('spine2', 'spine'), ('spine', 'pelvis'),
    ('pelvis', ''), ('neck', 'spine3'), ('head', 'neck'), ('head_top', 'head'),
    ('l_clavicle', 'spine4'), ('l_shoulder', 'l_clavicle'), ('l_elbow', 'l_shoulder'),
    ('l_wrist', 'l_elbow'), ('l_hand', 'l_wrist'),
    ('r_clavicle', 'spine4'), ('r_shoulder', 'r_clavicle'), ('r_elbow', 'r_shoulder'),
    ('r_wrist', 'r_elbow'), ('r_hand', 'r_wrist'),
    ('l_hip', 'pelvis'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'), ('l_foot', 'l_ankle'),
    ('l_toe', 'l_foot'),
    ('r_hip', 'pelvis'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'), ('r_foot', 'r_ankle'),
    ('r_toe', 'r_foot'),
  ),
)

MUPOTS17 = skeleton(
  'MuPoTS-17',
  (
    ('head_top', 'head'), ('neck', 'spine'),
    ('r_shoulder', 'neck'), ('r_elbow', 'r_shoulder'), ('r_wrist', 'r_elbow'),
    ('l_shoulder', 'neck'), ('l_elbow', 'l_shoulder'), ('l_wrist', 'l_elbow'),
    ('r_hip', 'pelvis'), ('r_knee', 'r_hip'), ('r_ankle', 'r_knee'),
    ('l_hip', 'pelvis'), ('l_knee', 'l_hip'), ('l_ankle', 'l_knee'),
    ('pelvis', ''), ('spine', 'pelvis'), ('head', 'neck'),
  ),
)

# SMPL's `neck` is the base of the neck, its `head` the joint under the skull; it has no head top.
SMPL24 = skeleton(
  'SMPL-24',
  (
    ('pelvis', ''), ('l_hip', 'pelvis'), ('r_hip', 'pelvis'), ('spine1', 'pelvis'),
    ('l_knee', 'l_hip'), ('r_knee', 'r_hip'), ('spine2', 'spine1'), ('l_ankle', 'l_knee'),
    ('r_ankle', 'r_knee'), ('spine3', 'spine2'), ('l_foot', 'l_ankle'), ('r_foot', 'r_ankle'),
    ('neck', 'spine3'), ('l_collar', 'spine3'), ('r_collar', 'spine3'), ('head', 'neck'),
    ('l_shoulder', 'l_collar'), ('r_shoulder', 'r_collar'), ('l_elbow', 'l_shoulder'),
    ('r_elbow', 'r_shoulder'), ('l_wrist', 'l_elbow'), ('r_wrist', 'r_elbow'),
    ('l_hand', 'l_wrist'), ('r_hand', 'r_wrist'),
  ),
)


def _chi3d_tree(first: str, second: str) -> tuple[tuple[str, str], ...]:
  """CHI3D's order: legs 1-3 (feet 17, 18) on side `first`, arms 11-13 on side `second`."""
  a, b = first, second
  return (
    ('pelvis', ''), (f'{a}_hip', 'pelvis'), (f'{a}_knee', f'{a}_hip'), (f'{a}_ankle', f'{a}_knee'),
    (f'{b}_hip', 'pelvis'), (f'{b}_knee', f'{b}_hip'), (f'{b}_ankle', f'{b}_knee'),
    ('spine', 'pelvis'), ('neck', 'spine'), ('nose', 'neck'), ('head_top', 'nose'),
    (f'{b}_shoulder', 'neck'), (f'{b}_elbow', f'{b}_shoulder'), (f'{b}_wrist', f'{b}_elbow'),
    (f'{a}_shoulder', 'neck'), (f'{a}_elbow', f'{a}_shoulder'), (f'{a}_wrist', f'{a}_elbow'),
    (f'{a}_foot', f'{a}_ankle'), (f'{a}_heel', f'{a}_ankle'), (f'{b}_foot', f'{b}_ankle'),
    (f'{b}_heel', f'{b}_ankle'), (f'{b}_hand', f'{b}_wrist'), (f'{b}_thumb', f'{b}_wrist'),
    (f'{a}_hand', f'{a}_wrist'), (f'{a}_thumb', f'{a}_wrist'),
  )


# Sources disagree on the side of 1-3; this is the H3.6M-like reading [R]. A reader of the data set
# derives the side from the data (spec/lifting.md) and mirrors the names where it must. Which of the
# two joints on an ankle (or wrist) is which is our reading too [R].
CHI3D25 = skeleton('CHI3D-25', _chi3d_tree('r', 'l'))

# Joints that a set without them gives as the middle of two that it has [P: the pelvis is the
# midpoint of the hips, the neck the midpoint of the shoulders].
DERIVED = {'pelvis': ('r_hip', 'l_hip'), 'neck': ('r_shoulder', 'l_shoulder')}


def _sources(joint: str, source: Skeleton) -> Pair | None:
  """The two joints of `source` whose middle is `joint` (twice the same if it has it), or None."""
  if joint in source.joints:
    return (source.index(joint), source.index(joint))
  pair = DERIVED.get(joint, ())
  if pair and all(name in source.joints for name in pair):
    return (source.index(pair[0]), source.index(pair[1]))
  return None


@functools.cache
def available(source: Skeleton, target: Skeleton) -> tuple[bool, ...]:
  """Which joints of `target` can be had from `source`, by name or derived."""
  return tuple(_sources(joint, source) is not None for joint in target.joints)


def convert(joints: jax.Array, source: Skeleton, target: Skeleton) -> jax.Array:
  """Maps one pose to another joint set by joint name.

  A joint that both sets have is copied; a pelvis or neck that `source` lacks is the middle of its
  hips or shoulders (`DERIVED`).

  Args:
    joints: (J_source, D), any unit and frame.
    source: the set that `joints` is in.
    target: the wanted set.

  Returns:
    (J_target, D), in the unit and frame of `joints`.

  Raises:
    ValueError: wrong shape, or a joint of `target` that `source` can't give (`available` tells).
  """
  joints = arguments.as_float('convert', 'joints', joints, (source.num_joints, 'D'))
  pairs = [_sources(joint, source) for joint in target.joints]
  missing = [joint for joint, pair in zip(target.joints, pairs, strict=True) if pair is None]
  if missing:
    raise ValueError(
      f'convert: {source.name} cannot give {", ".join(missing)} of {target.name}; '
      'convert to a set without them, or mask them by skeleton.available'
    )
  first, second = np.array(pairs).T
  # Halved before the sum, which could overflow; copies stay as they are, to the last bit.
  middles = joints[first] / 2 + joints[second] / 2
  return jnp.where((first == second)[:, None], joints[first], middles)


def enforce_midpoints(joints: jax.Array, skeleton: Skeleton) -> jax.Array:
  """Sets the pelvis to the middle of the hips and the neck to the middle of the shoulders.

  Captured data seldom fulfil this; the kinematics of this project assume it (spec/kinematics.md).

  Args:
    joints: (J, D), any unit and frame.
    skeleton: the set of `joints`; it has a pelvis, a neck, hips and shoulders.

  Returns:
    (J, D) with the two joints replaced.

  Raises:
    ValueError: wrong shape, or the set lacks one of these joints.
  """
  shape = (skeleton.num_joints, 'D')
  joints = arguments.as_float('enforce_midpoints', 'joints', joints, shape)
  rows = list(joints)
  for joint, (right, left) in DERIVED.items():
    rows[skeleton.index(joint)] = (
      joints[skeleton.index(right)] + joints[skeleton.index(left)]
    ) / 2
  return jnp.stack(rows)
