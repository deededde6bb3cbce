"""Users' 2D poses: joints by name, gaps, three formats, and files that are none."""

import json
import random

import numpy as np
import pytest

from posejax.data import poses_2d
from posejax.data.poses_2d import Poses2dError
from posejax.geometry.skeleton import COCO17, J17
from tests.data import fuzz_poses

RNG = np.random.default_rng(0)
PERSON = RNG.uniform(10, 500, (17, 2)).round(2)


def flat(points, score=None):
  score = np.full(len(points), 2.0) if score is None else score
  return np.concatenate([points, np.asarray(score)[:, None]], 1).ravel().tolist()


def at(joints, name):
  return joints[:, J17.index(name)]


def write(path, content):
  path.write_text(json.dumps(content))
  return path


def test_coco_annotations(tmp_path):
  score = np.full(17, 2.0)
  score[COCO17.index('l_hip')] = 0  # not labelled: no pelvis
  path = write(tmp_path / 'a.json', {
    'images': [{'id': 3, 'file_name': 'x.jpg', 'width': 640, 'height': 480}, {'id': 4}],
    'annotations': [
      {'image_id': 3, 'keypoints': flat(PERSON)},
      {'image_id': 3, 'keypoints': flat(PERSON + 5, score)},
      {'image_id': 3, 'keypoints': [0] * 51},
    ],
  })
  first, second = poses_2d.read(path).frames
  assert (first.name, first.size, second.name, second.size) == ('x.jpg', (640, 480), '4', None)
  assert first.joints.shape == (2, 17, 2) and second.joints.shape == (0, 17, 2)
  hips = PERSON[[COCO17.index('r_hip'), COCO17.index('l_hip')]]
  np.testing.assert_allclose(at(first.joints, 'pelvis')[0], hips.mean(0))
  np.testing.assert_allclose(at(first.joints, 'r_knee')[0], PERSON[COCO17.index('r_knee')])
  assert at(first.seen, 'pelvis').tolist() == [True, False]
  # COCO has neither.
  assert not at(first.seen, 'head_top').any() and not at(first.seen, 'l_foot').any()


def test_coco_results(tmp_path):
  path = write(tmp_path / 'a.json', [
    {'image_id': 'b', 'keypoints': flat(PERSON), 'score': 0.25},
  ])
  (frame,) = poses_2d.read(path).frames
  assert frame.name == 'b' and frame.score.tolist() == [0.25] and frame.size is None


def test_openpose_folder(tmp_path):
  body = RNG.uniform(10, 500, (25, 2))
  score = np.full(25, 0.5)
  score[8] = 0  # MidHip was not found; the hips were
  write(tmp_path / 'b_keypoints.json', {'people': []})
  write(tmp_path / 'a_keypoints.json', {'people': [{'pose_keypoints_2d': flat(body, score)}]})
  first, second = poses_2d.read(tmp_path).frames
  assert first.name == 'a_keypoints' and len(second.joints) == 0
  np.testing.assert_allclose(at(first.joints, 'pelvis')[0], body[[9, 12]].mean(0))
  np.testing.assert_allclose(at(first.joints, 'l_foot')[0], body[19])  # LBigToe
  np.testing.assert_allclose(at(first.joints, 'r_foot')[0], body[22])
  assert first.score[0] == pytest.approx(0.5)


def test_npz_with_intrinsics(tmp_path):
  joints = RNG.uniform(0, 100, (2, 3, 17, 2))
  joints[0, 1] = np.nan
  path = tmp_path / 'a.npz'
  np.savez(
    path, joints=joints, names=np.array(J17.joints), size=[640, 480], focal=[500.0, 510.0],
    center=[320.0, 240.0],
  )
  found = poses_2d.read(path)
  assert [len(frame.joints) for frame in found.frames] == [2, 3]
  np.testing.assert_array_equal(found.focal, [500, 510])
  assert found.frames[0].size == (640, 480)
  knee = J17.index('r_knee')
  np.testing.assert_allclose(found.frames[1].joints[:, knee], joints[1, :, knee])


def test_given_pelvis_stands_where_the_hips_are_not_seen():
  names = ('pelvis', 'r_hip', 'l_hip')
  points = np.array([[[1.0, 2], [5, 5], [7, 7]]])
  for score, expected in (([1, 1, 1], (6, 6)), ([1, 1, 0], (1, 2))):
    joints, seen = poses_2d.to_j17(points, np.array([score]), names)
    np.testing.assert_array_equal(joints[0, 0], expected)
    assert seen[0, 0]


@pytest.mark.parametrize(
  ('content', 'message'),
  [
    ('{', r'no JSON'),
    ('7', 'no COCO keypoints'),
    ('[{"image_id": 1, "keypoints": [1, 2]}]', r'\[0\]\.keypoints: expected 51 numbers'),
    ('[{"keypoints": []}]', "expected an object with 'image_id'"),
    ('[{"image_id": 1, "keypoints": [' + ', '.join(['"a"'] * 51) + ']}]', 'one is none'),
    ('[' * 100_000, 'no JSON'),
  ],
)
def test_damaged_json(tmp_path, content, message):
  path = tmp_path / 'a.json'
  path.write_text(content)
  with pytest.raises(Poses2dError, match=message) as caught:
    poses_2d.read(path)
  assert '\n' not in str(caught.value) and 'a.json' in str(caught.value)


@pytest.mark.parametrize(
  ('arrays', 'message'),
  [
    ({'names': np.array(['a'])}, "no array 'joints'"),
    ({'joints': np.zeros((1, 1, 2, 2)), 'names': np.array(['a'])}, r'\(F, P, 1, 2\)'),
    ({'joints': np.array([None]), 'names': np.array(['a'])}, 'no npz of plain arrays'),
    ({'joints': np.zeros((1, 1, 1, 2)), 'names': np.array(['a']), 'focal': np.zeros(3)},
     'focal must be two numbers'),
  ],
)
def test_damaged_npz(tmp_path, arrays, message):
  np.savez(tmp_path / 'a.npz', **arrays)
  with pytest.raises(Poses2dError, match=message):
    poses_2d.read(tmp_path / 'a.npz')


def test_folders_that_cannot_be_used(tmp_path):
  with pytest.raises(Poses2dError, match=r'holds no \.json file'):
    poses_2d.read(tmp_path)
  with pytest.raises(Poses2dError, match=r'none\.json: cannot be read'):
    poses_2d.read(tmp_path / 'none.json')
  write(tmp_path / 'a.json', {'people': [{'pose_keypoints_2d': [1, 2, 3]}]})
  with pytest.raises(Poses2dError, match='expected 75 or 54 numbers'):
    poses_2d.read(tmp_path)


@pytest.mark.parametrize('name', list(fuzz_poses.sound()))
def test_mutated_files_are_read_or_refused_in_a_line(tmp_path, name):
  data = fuzz_poses.sound()[name]
  assert fuzz_poses.attempt(tmp_path, name, data) == 'read'
  found = [
    fuzz_poses.attempt(tmp_path, name, fuzz_poses.mutate(data, random.Random(seed)))
    for seed in range(12)
  ]
  assert 'refused' in found
