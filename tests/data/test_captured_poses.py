"""Poses of a BVH folder: held-out ends, the cap, and folders that cannot be used."""

import numpy as np
import pytest

from posejax.data import captured_poses, mocap
from posejax.data.captured_poses import CapturedPosesError
from posejax.geometry import limits
from posejax.geometry.skeleton import J15, J17
from tests.data.test_mocap import HEAD_END, bvh_text, person


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Two clips: 20 frames with a bent arm, then 10 of the T-pose in a subfolder."""
  root = tmp_path_factory.mktemp('captured')
  bent = bvh_text(person([HEAD_END]), frames=20, angles={'LeftForeArm': (30, 0, 0)})
  (root / 'a_walk.bvh').write_text(bent)
  (root / 'more').mkdir()
  (root / 'more' / 'b_walk.BVH').write_text(bvh_text(person([HEAD_END]), frames=10))
  return root


def test_whole_actions_are_held_out(tmp_path):
  text = {bend: bvh_text(person([HEAD_END]), frames=10, angles={'LeftForeArm': (bend, 0, 0)})
          for bend in (0, 30, 60)}
  for index, bend in enumerate(text):
    for style in ('calm', 'angry'):
      (tmp_path / f'set_move{index}_{style}.bvh').write_text(text[bend])
  poses = captured_poses.read_folder(tmp_path, 1000)
  # A tenth of 60 frames is wanted: one action, both styles of it.
  assert len(poses.train) == 40 and len(poses.held_out) == 20
  assert not any((np.abs(poses.train - pose).max((1, 2)) < 1e-3).any() for pose in poses.held_out)
  again = captured_poses.read_folder(tmp_path, 1000)
  np.testing.assert_array_equal(again.held_out, poses.held_out)


def test_the_end_of_each_clip_is_held_out_of_one_action(folder):
  poses = captured_poses.read_folder(folder, 1000)
  # 18 + 9 frames to train on, 2 + 1 held out.
  assert poses.train.shape == (27, 17, 3) and poses.held_out.shape == (3, 17, 3)
  assert poses.train.dtype == np.float32
  first, last = (mocap.local_poses(mocap.load_bvh(folder / name, skeleton=J15))[0]
                 for name in ('a_walk.bvh', 'more/b_walk.BVH'))
  assert np.abs(first - last).max() > 0.4  # sin 30°
  np.testing.assert_allclose(poses.train[[0, 17], :15], [first, first], atol=1e-6)
  np.testing.assert_allclose(poses.train[[18, 26], :15], [last, last], atol=1e-6)
  np.testing.assert_allclose(poses.held_out[:, :15], [first, first, last], atol=1e-6)


def test_feet_are_neutral(folder):
  pose = captured_poses.read_folder(folder, 1000).train[0]
  theta, gamma = limits.spherical_from_local(pose[J17.index('r_foot')])
  np.testing.assert_allclose(np.rad2deg([theta, gamma]), [270, 59], atol=1e-3)
  np.testing.assert_array_equal(pose[J17.index('l_foot')], pose[J17.index('r_foot')])


def test_a_cap_takes_from_all_clips(folder):
  poses = captured_poses.read_folder(folder, 10)
  assert poses.train.shape[0] == 9 and poses.held_out.shape[0] == 1
  whole = captured_poses.read_folder(folder, 1000).train
  np.testing.assert_array_equal(poses.train[[0, -1]], whole[[0, -1]])


@pytest.mark.parametrize(
  ('files', 'message'),
  [
    (None, 'no such folder of BVH files'),
    ({}, 'holds no .bvh file'),
    ({'walk.bvh': 'HIERARCHY\nnonsense\n'}, r'walk\.bvh:2: .*; mend it, or take it out of'),
    ({'walk.bvh': bvh_text(person([HEAD_END]), frames=5)}, '5 frames are too few'),
  ],
  ids=['no folder', 'empty', 'damaged', 'short'],
)
def test_folders_that_cannot_be_used(tmp_path, files, message):
  root = tmp_path / 'captured'
  if files is not None:
    root.mkdir()
    for name, text in files.items():
      (root / name).write_text(text)
  with pytest.raises(CapturedPosesError, match=message) as caught:
    captured_poses.read_folder(root, 100)
  assert '\n' not in str(caught.value) and str(root) in str(caught.value)
