"""Local, canonical and camera-oriented poses: T_L and FK, canonicalisation and T_R.

Symbols: J joint. p_l (J, 3) local pose: unit vectors in parent-relative frames, root row 0; p_c
(J, 3) canonical pose, mm, pelvis at the origin, X forward, Y left, Z up; p_r (J, 3) root-relative
pose in camera axes, mm. B_j: rows X_j, Y_j, Z_j of joint j's local frame (`frames`).

  T_L: p_l(j) = B_j · unit(p(j) − p(parent j))
  FK:  p_c(j) = p_c(parent j) + len_j · B_jᵀ · unit(p_l(j)), neck and hips first
  T_R: p_r = R(c) p_c

Source: spec/kinematics.md, after Kundu et al. 2020 (cross-modal, ECCV) and Kundu et al. 2020 (KSP,
AAAI), whose printed recursion lacks B_jᵀ [R].

Which rows FK reads: **all of them**, also the hips' and the left shoulder's. `constrain_local`
makes a network's raw output a valid set (neck straight up, hips in the YZ plane, l_hip and
l_shoulder opposite to the right ones), and then FK infers exactly those joints; poses of T_L, whose
shoulders are seldom symmetric to the last digit, keep what they had. FK(T_L(p)) = canonicalize(p)
for every pose, T_L(FK(p_l)) = p_l for every valid set; only where a frame is degenerate to 1e-3
within rounding can the two take different branches (`frames`).

On CPU, XLA takes minutes to compile `jax.vmap(jax.jacfwd(...))` of these functions. For Jacobians
of a batch repeat the poses and vmap `jax.jvp` or `jax.vjp` over one flat batch.

A row without direction (network output 0, bone of length 0) counts as (0, 0, 1): straight on along
the parent's bone. A NaN joint makes NaN of the rows that depend on it, and of no other.
"""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments, frames, rotation, vectors
from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.frames import Mode

# Length of the bone that ends in a joint of this name, either side, mm: the standard skeleton of
# the H3.6M motion-prediction code [C].
STANDARD_BONE_LENGTHS_MM = {
  'neck': 490.5, 'head_top': 236.1, 'shoulder': 151.0, 'elbow': 278.9, 'wrist': 251.7,
  'hip': 132.9, 'knee': 442.9, 'ankle': 454.2, 'foot': 162.8,
}

# The same bones over the trunk's length, from another code base [C]: an ablation.
TRUNK_RATIOS = {
  'neck': 1.0, 'head_top': 0.421, 'shoulder': 0.288, 'elbow': 0.589, 'wrist': 0.505,
  'hip': 0.221, 'knee': 0.884, 'ankle': 0.758, 'foot': 0.421,
}


def bone_lengths(
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
  table: Mapping[str, float] = STANDARD_BONE_LENGTHS_MM,
) -> np.ndarray:
  """The length of each joint's bone from its parent, as FK takes it.

  Args:
    skeleton: J15, J17 or another set with their tree.
    table: joint name without its side → length; `TRUNK_RATIOS` gives units of the trunk.

  Returns:
    (J,) in the table's unit (mm), 0 for the root.

  Raises:
    ValueError: the skeleton has another tree.
  """
  lengths = np.zeros(skeleton.num_joints)
  for bone in frames.tree(skeleton):
    lengths[bone.joint] = table[bone.role]
  return lengths


def measure_bone_lengths(
  pose: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """The lengths of a pose's bones; gradient 0 at a bone of length 0.

  Args:
    pose: (J, 3) any frame and unit.
    skeleton: names and parents of the J joints; any tree.

  Returns:
    (J,) in the pose's unit, 0 for the root.

  Raises:
    ValueError: the pose's shape is another one.
  """
  pose = arguments.as_float('measure_bone_lengths', 'pose', pose, (skeleton.num_joints, 3))
  start = np.array([parent if parent >= 0 else j for j, parent in enumerate(skeleton.parents)])
  bones = pose - pose[start]
  squared = jnp.sum(bones * bones, axis=-1)
  # sqrt has an infinite slope at 0, which the chain rule would turn into NaN.
  zero = squared == 0
  return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, squared)))


def forward_kinematics(
  local: jax.Array,
  bone_lengths: jax.Array,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
  frame: Mode = 'robust',
) -> jax.Array:
  """FK: the canonical pose of a local one.

  Args:
    local: (J, 3) local pose; rows need not have length one; row 0 (root) is not read. Give a
      network's output to `constrain_local` first.
    bone_lengths: (J,) mm, entry j from the parent to j; the root's is not read.
    skeleton: J15, J17 or another set with their tree.
    frame: 'robust' [R] or the papers' literal 'paper' [P] frames; the one that T_L used.

  Returns:
    (J, 3) canonical pose, mm, pelvis at the origin, in the dtype of `local`.

  Raises:
    ValueError: a shape, tree or mode is none of these.
  """
  num = skeleton.num_joints
  local = arguments.as_float('forward_kinematics', 'local', local, (num, 3))
  lengths = arguments.as_float('forward_kinematics', 'bone_lengths', bone_lengths, (num,))
  lengths = lengths.astype(local.dtype)
  frames.check_mode('forward_kinematics', frame)
  bones = frames.tree(skeleton)

  given, size = vectors.rows(local), jnp.unstack(lengths)
  zero = jnp.zeros((), local.dtype)
  position = {skeleton.index('pelvis'): (zero, zero, zero)}
  chain, body = frames.Chain(), None
  for bone in bones:
    row = vectors.unit(given[bone.joint])
    if bone.role in ('neck', 'hip'):
      left, back, up = row
      towards = (-back, bone.sign * left, up)
    else:
      if body is None:
        body = frames.body_axes(*(position[skeleton.index(name)] for name in frames.BASE))
      axes = frames.local_frame(bone, body, chain, frame)
      towards = vectors.combine(row, axes)
      if bone.joint in skeleton.parents:
        # Of length one but for rounding; `vectors.normalize` says what the division is good for.
        towards = vectors.normalize(towards)
      chain.frame[bone.joint] = axes
    chain.row[bone.joint], chain.direction[bone.joint] = row, towards
    offset = vectors.scale(towards, size[bone.joint])
    position[bone.joint] = vectors.add(position[bone.parent], offset)
  return vectors.to_array([position[joint] for joint in range(num)])


def local_from_canonical(
  canonical: jax.Array,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
  frame: Mode = 'robust',
) -> jax.Array:
  """T_L: the local pose of a pose in any right-handed frame.

  n̂, Z_c and h are taken from the pose itself, so rotating or moving it changes nothing.

  Args:
    canonical: (J, 3) mm, canonical or any other right-handed frame (camera, world). Pelvis =
      mid-hip and neck = mid-shoulder are not needed for the round trip, but without them the local
      pose is no valid set (`skeleton.enforce_midpoints`).
    skeleton: J15, J17 or another set with their tree.
    frame: 'robust' [R] or the papers' literal 'paper' [P] frames.

  Returns:
    (J, 3) unit vectors, row 0 (root) zero.

  Raises:
    ValueError: a shape, tree or mode is none of these.
  """
  num = skeleton.num_joints
  pose = arguments.as_float('local_from_canonical', 'canonical', canonical, (num, 3))
  frames.check_mode('local_from_canonical', frame)
  bones = frames.tree(skeleton)
  given = vectors.rows(pose)
  body = frames.body_axes(*(given[skeleton.index(name)] for name in frames.BASE))
  zero = jnp.zeros((), pose.dtype)
  chain = frames.Chain(row={skeleton.index('pelvis'): (zero, zero, zero)})
  for bone in bones:
    axes = frames.local_frame(bone, body, chain, frame)
    towards = vectors.unit(vectors.subtract(given[bone.joint], given[bone.parent]), axes[2])
    chain.row[bone.joint] = tuple(vectors.dot(axis, towards) for axis in axes)
    chain.direction[bone.joint], chain.frame[bone.joint] = towards, axes
  return vectors.to_array([chain.row[joint] for joint in range(num)])


def canonicalize(
  pose: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> tuple[jax.Array, jax.Array]:
  """The canonical pose of a pose, and the rotation that takes it back.

  Args:
    pose: (J, 3) mm, any right-handed frame (camera, world).
    skeleton: J15, J17 or another set with their tree.

  Returns:
    canonical (J, 3) mm and rotation (3, 3), its columns X_c, Y_c, Z_c in the pose's axes:
    pose − pelvis = canonical @ rotation.T. In camera axes the rotation is T_R's R.

  Raises:
    ValueError: a shape or tree is none of these.
  """
  pose = arguments.as_float('canonicalize', 'pose', pose, (skeleton.num_joints, 3))
  frames.tree(skeleton)
  body = frames.body_axes(*(tuple(pose[skeleton.index(name)]) for name in frames.BASE))
  axes = (body.forward, body.left, body.up)
  offset = vectors.subtract(tuple(pose.T), tuple(pose[skeleton.index('pelvis')]))
  canonical = jnp.stack([vectors.dot(offset, axis) for axis in axes], axis=-1)
  return canonical, jnp.stack([jnp.stack(axis) for axis in axes], axis=-1)


def rotate_to_camera(canonical: jax.Array, sincos: jax.Array) -> jax.Array:
  """T_R: p_r = R(c) p_c with R = A · E(c), A = `rotation.UPRIGHT_FACING_CAMERA`.

  Args:
    canonical: (J, 3) mm; any number of joints.
    sincos: (6,) c; each (sin, cos) pair is normalised.

  Returns:
    (J, 3) mm, root-relative, camera axes.

  Raises:
    ValueError: other shapes.
  """
  canonical = arguments.as_float('rotate_to_camera', 'canonical', canonical, ('J', 3))
  sincos = arguments.as_float('rotate_to_camera', 'sincos', sincos, (6,))
  euler = rotation.sincos_to_matrix(sincos)
  x, y, z = (vectors.dot(tuple(canonical.T), tuple(row)) for row in euler)
  # The rows of A · E are E's left, −up, −forward.
  return jnp.stack([y, -z, -x], axis=-1)


def sincos_from_pose_rotation(pose_rotation: jax.Array) -> jax.Array:
  """The c with which `rotate_to_camera` gives this rotation: E(c) = Aᵀ R.

  Args:
    pose_rotation: (3, 3) canonical to camera axes, as from `canonicalize` of a camera pose.

  Returns:
    (6,) sin and cos of yaw, side lean, forward lean.

  Raises:
    ValueError: another shape.
  """
  r = arguments.as_float('sincos_from_pose_rotation', 'pose_rotation', pose_rotation, (3, 3))
  return rotation.matrix_to_sincos(jnp.stack([-r[2], r[0], -r[1]]))


def constrain_local(
  raw: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """The valid local set that a network's raw output stands for.

  neck = (0, 0, 1); r_hip = unit(−|x|, 0, z); l_hip = −r_hip and l_shoulder = 2·neck − r_shoulder
  in canonical axes [P], which in their mirrored frames is (x, −y, −z); every row of length one.
  Rows without direction become (0, 0, 1), the right hip (−1, 0, 0).

  Args:
    raw: (J, 3); the rows of pelvis, neck, l_hip and l_shoulder and the hip's y are not read.
    skeleton: J15, J17 or another set with their tree.

  Returns:
    (J, 3) local pose, row 0 (root) zero.

  Raises:
    ValueError: a shape or tree is none of these.
  """
  raw = arguments.as_float('constrain_local', 'raw', raw, (skeleton.num_joints, 3))
  frames.tree(skeleton)
  rows = vectors.rows(raw)
  zero, one = jnp.zeros((), raw.dtype), jnp.ones((), raw.dtype)
  x, _, z = rows[skeleton.index('r_hip')]
  rows = [vectors.unit(row) for row in rows]
  rows[skeleton.index('neck')] = (zero, zero, one)
  rows[skeleton.index('r_hip')] = vectors.unit((-jnp.abs(x), zero, z), (-1.0, 0.0, 0.0))
  for part in ('hip', 'shoulder'):
    x, y, z = rows[skeleton.index(f'r_{part}')]
    rows[skeleton.index(f'l_{part}')] = (x, -y, -z)
  rows[skeleton.index('pelvis')] = (zero, zero, zero)
  return vectors.to_array(rows)


def mirror_canonical(
  canonical: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """The pose in a mirror: left and right joints swapped, y (to the left) negated.

  Args:
    canonical: (J, 3) canonical pose, mm.
    skeleton: names the sides; any tree.

  Returns:
    (J, 3) canonical pose, mm.

  Raises:
    ValueError: another shape.
  """
  num = skeleton.num_joints
  canonical = arguments.as_float('mirror_canonical', 'canonical', canonical, (num, 3))
  swapped = canonical[np.array(skeleton.flip_permutation)]
  return swapped * jnp.asarray([1.0, -1.0, 1.0], canonical.dtype)


def mirror_local(
  local: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """`mirror_canonical` for local poses: rows swapped, and x of the centre joints negated.

  Left frames are mirror images of right ones, so a swapped row stays as it is; neck and head have
  one frame, whose x (to the left) turns round.

  Args:
    local: (J, 3) local pose.
    skeleton: names the sides; any tree.

  Returns:
    (J, 3) local pose.

  Raises:
    ValueError: another shape.
  """
  local = arguments.as_float('mirror_local', 'local', local, (skeleton.num_joints, 3))
  order = np.array(skeleton.flip_permutation)
  signs = np.ones((skeleton.num_joints, 3))
  signs[order == np.arange(skeleton.num_joints), 0] = -1
  return local[order] * jnp.asarray(signs, local.dtype)


def mean_pose(
  poses: jax.Array, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> jax.Array:
  """One pose between several readings of the same: bones of mean direction and mean length.

  The mean of joints would have bones shorter than each reading's, the more so the less they agree.

  Args:
    poses: (N, J, 3) of one frame, mm, N ≥ 1.
    skeleton: any tree.

  Returns:
    (J, 3) mm. A bone whose directions cancel each other keeps the first reading's.

  Raises:
    ValueError: another shape.
  """
  poses = arguments.as_float('mean_pose', 'poses', poses, ('N', skeleton.num_joints, 3))
  parents = np.array(skeleton.parents)
  at_root = parents < 0
  bones = poses - jnp.where(at_root[:, None], 0.0, poses[:, parents])
  mean = bones.mean(0)
  length, size = _lengths(bones).mean(0), _lengths(mean)
  directed = size > 0
  fitted = mean * (length / jnp.where(directed, size, 1.0))[:, None]
  bone = jnp.where(at_root[:, None], mean, jnp.where(directed[:, None], fitted, bones[0]))
  return jnp.stack([
    sum(bone[joint] for joint in _up_to_root(joint, parents)) for joint in range(len(parents))
  ])


def _lengths(bones: jax.Array) -> jax.Array:
  """(..., 3) → (...); 0, and a derivative of 0, of what is too short to have a direction."""
  squares = (bones * bones).sum(-1)
  directed = squares > vectors.MIN_LENGTH**2
  return jnp.where(directed, jnp.sqrt(jnp.where(directed, squares, 1.0)), 0.0)


def _up_to_root(joint: int, parents: np.ndarray) -> list[int]:
  """The joint, its parent, and so on."""
  chain = [joint]
  while parents[chain[-1]] >= 0:
    chain.append(int(parents[chain[-1]]))
  return chain
