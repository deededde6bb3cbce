"""What is written as BVH is read back, by the reader of motion capture, where it was."""

import numpy as np
import pytest

from posejax.data import bvh, bvh_writer, mocap
from posejax.geometry import kinematics
from posejax.geometry.skeleton import J15, J17


def random_poses(skeleton, frames, seed=0):
  """(T, J, 3) mm: bones of the standard lengths in any direction; pelvis and neck are middles."""
  rng = np.random.default_rng(seed)
  lengths = kinematics.bone_lengths(skeleton)
  poses = np.zeros((frames, skeleton.num_joints, 3))
  poses[:, 0] = rng.normal(size=(frames, 3)) * 500 + (0, 0, 3000)
  for joint, parent in enumerate(skeleton.parents):
    if parent >= 0:
      direction = rng.normal(size=(frames, 3))
      if skeleton.joints[joint] in ('l_hip', 'l_shoulder'):
        direction = poses[:, parent] - poses[:, skeleton.index('r' + skeleton.joints[joint][1:])]
      direction /= np.linalg.norm(direction, axis=-1, keepdims=True)
      poses[:, joint] = poses[:, parent] + lengths[joint] * direction
  return poses


def read_back(text, tmp_path, skeleton):
  path = tmp_path / 'person.bvh'
  path.write_text(text)
  clip = mocap.load_bvh(path, skeleton=skeleton)
  # z up: x, z, −y of the camera.
  return clip, np.stack([clip.joints[..., 0], -clip.joints[..., 2], clip.joints[..., 1]], -1)


@pytest.mark.parametrize('skeleton', [J15, J17], ids=lambda s: s.name)
def test_random_poses_come_back(tmp_path, skeleton):
  poses = random_poses(skeleton, 40)
  text = bvh_writer.text(poses, 25.0, skeleton, np.ones(poses.shape[:2], bool))
  clip, got = read_back(text, tmp_path, skeleton)
  assert clip.fps == 25 and clip.mm_per_unit == 10 and not clip.extrapolated
  assert np.abs(got - poses).max() < 0.01  # mm; 1 is what is asked for


def test_the_rest_pose_has_no_angles():
  """Facing the camera upright: left at +x of the picture, arms out, legs down."""
  lengths = kinematics.bone_lengths(J15)
  pose = np.zeros((1, 15, 3))
  for joint, parent in enumerate(J15.parents):
    name = J15.joints[joint]
    side = {'r_': -1, 'l_': 1}.get(name[:2], 0)
    direction = (side, 0, 0) if side and name[2:] not in ('knee', 'ankle') else (
      (0, 1, 0) if side else (0, -1, 0))  # y is down
    if parent >= 0:
      pose[:, joint] = pose[:, parent] + lengths[joint] * np.array(direction)
  # Facing the camera, the left hand is at the right of the picture: +x. The front is at −z.
  parsed = bvh.parse_bvh(bvh_writer.text(pose, 1.0, J15, np.ones((1, 15), bool)).encode())
  np.testing.assert_allclose(parsed.motion, 0, atol=1e-4)
  offsets = dict(zip(parsed.names, parsed.offsets, strict=True))
  np.testing.assert_allclose(offsets['LeftForeArm'], (27.89, 0, 0), atol=1e-3)  # cm
  np.testing.assert_allclose(offsets['RightLeg'], (0, -44.29, 0), atol=1e-3)


def test_bones_straight_back_have_an_angle_too(tmp_path):
  """A forearm folded onto the upper arm and a thigh straight up: the shortest turn is any."""
  poses = random_poses(J15, 1)
  r_elbow, r_wrist = J15.index('r_elbow'), J15.index('r_wrist')
  upper = poses[:, r_elbow] - poses[:, J15.index('r_shoulder')]
  poses[:, r_wrist] = poses[:, r_elbow] - upper / np.linalg.norm(upper) * 251.7
  _, got = read_back(bvh_writer.text(poses, 30, J15, np.ones((1, 15), bool)), tmp_path, J15)
  assert np.abs(got - poses).max() < 0.01


def test_missing_joints_stay_at_rest(tmp_path):
  poses = random_poses(J15, 3)
  valid = np.ones((3, 15), bool)
  valid[:, J15.index('r_wrist')] = valid[1, J15.index('l_ankle')] = False
  poses[~valid] = np.nan
  _, got = read_back(bvh_writer.text(poses, 30, J15, valid), tmp_path, J15)
  assert np.abs(got - poses)[valid].max() < 0.01
  forearm = got[:, J15.index('r_wrist')] - got[:, J15.index('r_elbow')]
  upper = got[:, J15.index('r_elbow')] - got[:, J15.index('r_shoulder')]
  cosine = (forearm * upper).sum(-1) / np.linalg.norm(forearm, axis=-1) / np.linalg.norm(
    upper, axis=-1)
  np.testing.assert_allclose(cosine, 1, atol=1e-6)  # straight on
  np.testing.assert_allclose(np.linalg.norm(forearm, axis=-1), 251.7, atol=0.01)


def test_a_slow_turn_has_no_steps():
  """Twice round: angles go on past 180°, as an editor interpolates them."""
  pose = random_poses(J15, 1)[0]
  angles = np.linspace(0, 4 * np.pi, 200)
  turn = np.stack([np.array([
    [np.cos(a), 0, np.sin(a)], [0, 1, 0], [-np.sin(a), 0, np.cos(a)]]) for a in angles])
  upright = pose - pose[0]
  poses = np.einsum('tij,kj->tki', turn, upright)
  motion = bvh.parse_bvh(
    bvh_writer.text(poses, 30, J15, np.ones((200, 15), bool)).encode()).motion
  assert np.abs(np.diff(motion[:, 3:], axis=0)).max() < 90


@pytest.mark.parametrize(('shape', 'fps'), [((2, 14, 3), 30), ((0, 15, 3), 30), ((2, 15, 3), 0)])
def test_wrong_arguments(shape, fps):
  with pytest.raises(ValueError, match='text: '):
    bvh_writer.text(np.zeros(shape), fps, J15, np.ones(shape[:2], bool))
