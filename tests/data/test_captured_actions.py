"""Poses split by action: names, sets that share none, folders that cannot be used."""

import numpy as np
import pytest

from posejax.data import captured_actions
from posejax.data.captured_poses import CapturedPosesError
from posejax.geometry.skeleton import J17
from tests.data.test_mocap import HEAD_END, bvh_text, person

ANGLES = {'walk': 0, 'wave': 30, 'kick': 60}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  """Five frames of each of three actions; walking in two styles."""
  root = tmp_path_factory.mktemp('actions')
  for name in ('set_walk_calm_1', 'set_walk_old_1', 'set_wave_calm_1', 'set_kick_calm_1'):
    angle = {'LeftForeArm': (ANGLES[name.split('_')[1]], 0, 0)}
    text = bvh_text(person([HEAD_END]), frames=5, angles=angle)
    (root / f'{name}.bvh').write_text(text)
  return root


def split(folder, validation=('wave',), test=('kick',), most=100):
  return captured_actions.read_split(folder, 1, validation, test, most)


def test_an_action_is_in_one_set(folder):
  sets = split(folder)
  assert [len(poses) for poses in sets] == [10, 5, 5]
  wrist = J17.index('l_wrist')
  places = [poses[:, wrist] for poses in sets]
  for poses in places:
    np.testing.assert_allclose(poses, poses[:1].repeat(len(poses), 0), atol=1e-2)
  assert np.abs(places[0][0] - places[1][0]).max() > 20
  assert np.abs(places[1][0] - places[2][0]).max() > 20


def test_people_stand_on_the_floor_above_the_origin(folder):
  for poses in split(folder):
    assert poses.dtype == np.float32 and poses.shape[1:] == (17, 3)
    np.testing.assert_allclose(poses[:, 0, :2], 0, atol=1e-3)
    assert poses[..., 2].min() == pytest.approx(0, abs=1e-2)
    assert 500 < poses[0, 0, 2] < 1500  # a pelvis's height, z up


def test_frames_that_are_not_finite_are_left_out():
  joints = np.ones((3, 17, 3))
  joints[1, 4, 2] = np.nan
  joints[2, :, 2] = 7
  poses = captured_actions.standing(joints)
  assert len(poses) == 2
  np.testing.assert_array_equal(poses[:, :, 2], [[0] * 17, [6] * 17])  # one floor for the clip


def test_a_cap_takes_from_all_clips(folder):
  assert len(split(folder, most=4).train) == 4


def test_actions_of_names():
  assert captured_actions.action_of('dataset-1_bow_active_001', 1) == 'bow'
  assert captured_actions.action_of('walking', 1) == 'walking'


@pytest.mark.parametrize(
  ('lists', 'message'),
  [
    ((('wave',), ('wave',)), "action 'wave' is held out for validation and for the test"),
    ((('wave',), ('dive',)), r"no clip of the held-out action 'dive'; there are kick, walk, wave"),
    ((('wave', 'walk'), ('kick',)), 'no action is left for train'),
    (((), ('kick',)), 'no action is left for validation'),
  ],
)
def test_lists_that_do_not_fit(folder, lists, message):
  with pytest.raises(CapturedPosesError, match=message) as caught:
    split(folder, *lists)
  assert '\n' not in str(caught.value)


def test_folders_that_cannot_be_used(tmp_path):
  with pytest.raises(CapturedPosesError, match='no such folder'):
    split(tmp_path / 'none')
  with pytest.raises(CapturedPosesError, match=r'holds no \.bvh file'):
    split(tmp_path)
  (tmp_path / 'a.bvh').write_text('HIERARCHY\nnonsense\n')
  with pytest.raises(CapturedPosesError, match=r'a\.bvh:2: .*; mend it, or take it out of'):
    split(tmp_path)
