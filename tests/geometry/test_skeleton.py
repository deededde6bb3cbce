"""Joint sets and conversion by name, against index lists of the data sets' own tools."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.skeleton import (
  CHI3D25,
  COCO17,
  H36M17,
  H36M32,
  J15,
  J17,
  MPI_INF_3DHP28,
  MUPOTS17,
  OPENPOSE_COCO18,
  OPENPOSE_MPI15,
  SMPL24,
  available,
  convert,
  enforce_midpoints,
)

ALL = (
  J15, J17, OPENPOSE_COCO18, OPENPOSE_MPI15, H36M17, H36M32, MPI_INF_3DHP28, MUPOTS17, COCO17,
  SMPL24, CHI3D25,
)


def numbered(skeleton, dims=3):
  """A pose in which every coordinate tells the joint it belongs to."""
  return np.arange(skeleton.num_joints, dtype=np.float32)[:, None] * np.ones(dims, np.float32)


@pytest.mark.parametrize('skeleton', ALL, ids=lambda s: s.name)
def test_topology(skeleton):
  count = {
    'J15': 15, 'J17': 17, 'OpenPose COCO-18': 18, 'OpenPose MPI-15': 15, 'H3.6M-17': 17,
    'H3.6M-32': 32, 'MPI-INF-3DHP-28': 28, 'MuPoTS-17': 17, 'COCO-17': 17, 'SMPL-24': 24,
    'CHI3D-25': 25,
  }[skeleton.name]
  assert skeleton.num_joints == len(skeleton.parents) == count
  assert skeleton.parents.count(-1) == 1
  np.testing.assert_array_equal(np.flatnonzero(~skeleton.not_root), [skeleton.parents.index(-1)])
  for joint in range(count):  # every joint hangs on the root, without a circle
    steps = 0
    while joint >= 0:
      joint, steps = skeleton.parents[joint], steps + 1
      assert steps <= count
  flip = skeleton.flip_permutation
  assert [flip[i] for i in flip] == list(range(count))
  for joint, other in zip(skeleton.joints, (skeleton.joints[i] for i in flip), strict=True):
    assert other == {'r_': 'l_', 'l_': 'r_'}.get(joint[:2], joint[:2]) + joint[2:]
  # A mirror maps the tree onto itself.
  for joint, parent in enumerate(skeleton.parents):
    mirrored = skeleton.parents[flip[joint]]
    assert mirrored == (flip[parent] if parent >= 0 else -1) or skeleton is COCO17
  assert all(0 <= a < count and 0 <= b < count and a != b for a, b in skeleton.limbs)


def test_sizes_of_the_papers():
  assert J15.num_joints + 2 * J15.num_limbs == 43  # the cross-modal paper's channels
  assert J17.num_limbs == 16  # KSP's affinity maps
  assert J17.joints[:15] == J15.joints
  assert 2 * OPENPOSE_COCO18.num_limbs == 38 and 2 * OPENPOSE_MPI15.num_limbs == 28


@pytest.mark.parametrize(
  ('source', 'target', 'indices'),
  [
    # spec/kinematics.md: H3.6M-32 sources for J17 (foot 4, 9 are the toes).
    (H36M32, J17, [0, 13, 15, 25, 26, 27, 17, 18, 19, 1, 2, 3, 6, 7, 8, 4, 9]),
    # The data set's own 28 -> 17 list, which is MuPoTS' order.
    (MPI_INF_3DHP28, MUPOTS17, [7, 5, 14, 15, 16, 9, 10, 11, 23, 24, 25, 18, 19, 20, 4, 3, 6]),
    (MUPOTS17, J15, [14, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
    (J17, J15, list(range(15))),
    # The well-known 32 -> 17 list of H3.6M code, in its order with the left leg second.
    (H36M32, H36M17, [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]),
    # OpenPose MPI: parts 0 and 1, arms, the pelvis between 8 and 11, then the legs.
    (OPENPOSE_MPI15, J15, [9.5, 1, 0, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13]),
  ],
  ids=lambda value: getattr(value, 'name', ''),
)
def test_convert_by_name(source, target, indices):
  converted = convert(numbered(source), source, target)
  np.testing.assert_array_equal(converted, np.array(indices)[:, None] * np.ones(3))


def test_derived_joints_are_midpoints():
  points = np.random.default_rng(0).normal(size=(17, 2)).astype(np.float32)
  wanted = skeleton_lib.skeleton(
    'trunk', (('pelvis', ''), ('neck', 'pelvis'), ('l_knee', 'pelvis'), ('r_knee', 'pelvis'))
  )
  got = convert(points, COCO17, wanted)
  np.testing.assert_allclose(got[0], (points[11] + points[12]) / 2, rtol=1e-6)
  np.testing.assert_allclose(got[1], (points[5] + points[6]) / 2, rtol=1e-6)
  np.testing.assert_array_equal(got[2:], points[[13, 14]])


def test_missing_joints_are_named():
  with pytest.raises(ValueError, match=r'COCO-17 cannot give head_top of J15'):
    convert(np.zeros((17, 2)), COCO17, J15)
  assert [J15.joints[i] for i, has in enumerate(available(COCO17, J15)) if not has] == ['head_top']
  assert all(available(H36M32, J17))
  with pytest.raises(ValueError, match=r"J15 has no joint 'tail'; it has pelvis, neck"):
    J15.index('tail')


def test_enforce_midpoints():
  pose = np.random.default_rng(1).normal(size=(15, 3)).astype(np.float32)
  got = np.asarray(enforce_midpoints(pose, J15))
  np.testing.assert_allclose(got[0], (pose[9] + pose[12]) / 2, atol=1e-7)
  np.testing.assert_allclose(got[1], (pose[3] + pose[6]) / 2, atol=1e-7)
  np.testing.assert_array_equal(got[2:], pose[2:])


@hypothesis.given(
  hnp.arrays(np.float32, (17, 3), elements=st.floats(width=32, allow_nan=True, allow_infinity=True))
)
def test_convert_passes_values_on(pose):
  # What is copied is copied bit for bit, and a bad joint spoils no other one.
  np.testing.assert_array_equal(convert(pose, J17, J15), pose[:15])


@pytest.mark.parametrize('shape', [(15,), (2, 15, 3), (14, 3), ()])
def test_wrong_shapes(shape):
  with pytest.raises(ValueError, match=r'convert: joints must have shape \(15, D\), got'):
    convert(np.zeros(shape), J15, J17)


def test_bad_values_and_bad_skeletons():
  with pytest.raises(ValueError, match='joints must be real, got complex64'):
    convert(np.zeros((15, 3), np.complex64), J15, J15)
  assert convert(np.zeros((15, 3), int), J15, J15).dtype == np.float32
  with pytest.raises(ValueError, match='stands twice'):
    skeleton_lib.skeleton('bad', (('a', ''), ('a', 'a')))
  with pytest.raises(ValueError, match=r"unknown parents \['b'\]"):
    skeleton_lib.skeleton('bad', (('a', 'b'),))


def test_under_jit_vmap_and_grad():
  poses = np.random.default_rng(2).normal(size=(4, 32, 3)).astype(np.float32)
  batched = jax.jit(jax.vmap(lambda pose: convert(pose, H36M32, J17)))(poses)
  np.testing.assert_array_equal(batched[3], convert(poses[3], H36M32, J17))
  gradient = jax.grad(lambda pose: convert(pose, OPENPOSE_MPI15, J15)[0].sum())(poses[0, :15])
  np.testing.assert_array_equal(gradient[:, 0] * 2, np.eye(15)[8] + np.eye(15)[11])
