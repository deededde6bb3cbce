"""npz, COCO and BVH of a result, read by other readers than ours."""

import dataclasses
import io
import json

import numpy as np
import pytest

from posejax.data import mocap
from posejax.geometry.skeleton import COCO17, J15
from posejax.inference import scene as scene_lib
from posejax.inference import schema, writers
from posejax.inference.scene import Stamp
from tests.inference import scenes


def people():
  valid = np.ones(15, bool)
  valid[J15.index('l_wrist')] = False
  return scenes.scene([
    [scenes.row(0, (0, 0, 3000), identity=7), scenes.row(0, (900, 0, 4000), identity=2)],
    [scenes.row(1, (30, 0, 3000), identity=7, valid=valid, score=0.25)._replace(uncertainty=31.5)],
    [scenes.row(2, (60, 0, 3000), identity=7)._replace(bridged=True)],
  ])


def test_npz_holds_what_the_json_does():
  scene = people()
  buffer = io.BytesIO()
  writers.save_npz(buffer, scene)
  first = buffer.getvalue()
  with np.load(io.BytesIO(first), allow_pickle=False) as file:
    found = dict(file)
  content = json.loads(schema.dumps(scene))
  flat = [(t, p) for t, frame in enumerate(content['frames']) for p in frame['people']]
  assert found['frame'].tolist() == [t for t, _ in flat] == [0, 0, 1, 2]
  assert found['frame_time'].tolist() == pytest.approx([0, 1 / 30, 2 / 30])
  for name in ('id', 'score', 'depth', 'bridged', 'joint_valid', 'joints_2d', 'joints_relative',
               'joints_camera'):
    np.testing.assert_allclose(found[name], [p[name] for _, p in flat], atol=6e-4, err_msg=name)
  said = [p.get('uncertainty', np.nan) for _, p in flat]
  np.testing.assert_array_equal(found['uncertainty'], said)
  assert said[2] == 31.5 and np.isnan(said).sum() == 3
  assert found['joints'].tolist() == list(J15.joints) and found['size'].tolist() == [640, 480]
  header = json.loads(str(found['header']))
  assert header == {name: value for name, value in content.items() if name != 'frames'}
  assert header['intrinsics']['source'] == 'assumed'
  again = io.BytesIO()
  writers.save_npz(again, scene)
  assert again.getvalue() == first  # to the bit, whenever it is written


def test_npz_is_read_back(tmp_path):
  scene = dataclasses.replace(people(), stamp=Stamp(7, 1.5))
  with (tmp_path / 'a.npz').open('wb') as file:
    writers.save_npz(file, scene)
  again = writers.load_npz(tmp_path / 'a.npz')
  assert schema.dumps(again) == schema.dumps(scene) and again.stamp == (7, 1.5)
  assert [row.uncertainty for row in scene_lib.rows(again)] == pytest.approx(
    [np.nan, np.nan, 31.5, np.nan], nan_ok=True
  )
  assert writers.coco_results([again]) == writers.coco_results([scene])


def damaged(name, value):
  found = writers.arrays(people())
  return found | {name: value} if value is not None else {
    key: array for key, array in found.items() if key != name
  }


@pytest.mark.parametrize(('name', 'value', 'words'), [
  ('joints_2d', np.zeros((4, 14, 2)), r'joints_2d is float64\(4, 14, 2\)'),
  ('id', np.zeros(4), 'id is float64'), ('id', None, 'id.npy'),
  ('frame', np.array([0, 2, 1, 2], np.int32), 'frames do not fit together'),
  ('frame', np.array([0, 0, 1, 9], np.int32), 'frames do not fit together'),
  ('frame', np.int32(3), 'unsized'), ('frame_time', np.zeros(4), 'frames do not fit together'),
  ('header', np.array('{"schema": 1}'), 'schema: expected'),
  ('header', np.array('[' * 10**5), 'nested too deep'),
  ('score', np.array([object()] * 4), 'Object arrays cannot be loaded'),
])
def test_a_damaged_npz(tmp_path, name, value, words):
  path = tmp_path / 'a.npz'
  np.savez(path, **damaged(name, value))
  with pytest.raises(schema.SchemaError, match=words) as told:
    writers.load_npz(path)
  assert str(told.value).startswith(f'{path}: no result') and '\n' not in str(told.value)


def test_an_npz_that_is_no_archive_or_a_bomb(tmp_path, monkeypatch):
  path = tmp_path / 'a.npz'
  with path.open('wb') as file:
    writers.save_npz(file, people())
  whole = path.read_bytes()
  for data in (b'', b'x' * 99, whole[:-30], whole[:200] + bytes(20) + whole[220:]):
    path.write_bytes(data)
    with pytest.raises(schema.SchemaError, match='no result that can be read'):
      writers.load_npz(path)
  path.write_bytes(whole)
  monkeypatch.setattr(writers, 'MAX_NPZ_BYTES', 1000)
  with pytest.raises(schema.SchemaError, match='larger than 1000 bytes'):
    writers.load_npz(path)


def test_npz_of_nobody():
  buffer = io.BytesIO()
  writers.save_npz(buffer, scenes.scene([[], []]))
  with np.load(io.BytesIO(buffer.getvalue()), allow_pickle=False) as file:
    assert file['joints_2d'].shape == (0, 15, 2) and file['frame_index'].tolist() == [0, 1]


def test_coco_results():
  """J15 gives shoulders to ankles; nose, eyes and ears are 0, 0, 0."""
  scene = people()
  results, images = writers.coco_results([scene, scene])
  assert [image['id'] for image in images] == [1, 2, 3, 4, 5, 6]
  assert images[1] == {'id': 2, 'file_name': 'a b/<x>.mp4', 'frame': 1, 'width': 640, 'height': 480}
  assert [result['image_id'] for result in results] == [1, 1, 2, 4, 4, 5]  # not the bridged one
  points = np.array(results[0]['keypoints']).reshape(17, 3)
  assert points[:5].tolist() == [[0, 0, 0]] * 5 and (points[5:, 2] == 2).all()
  row = scene_lib.rows(scene)[0]
  for name in ('r_shoulder', 'l_ankle'):
    np.testing.assert_allclose(
      points[COCO17.index(name), :2], row.joints_2d[J15.index(name)], atol=1e-3)
  assert results[2]['keypoints'][3 * COCO17.index('l_wrist'):][:3] == [0, 0, 0]
  assert results[2]['score'] == 0.25 and results[2]['category_id'] == 1
  json.dumps(results, allow_nan=False)


def test_bvh_of_each_person(tmp_path):
  """Person 7 moves 30 mm a frame to +x; a frame without it repeats the one before."""
  frames = [[scenes.row(t, (30 * t, 0, 3000), identity=7)] if t != 2 else [] for t in range(5)]
  frames[3].append(scenes.row(3, (900, 0, 4000), identity=2))
  texts = writers.bvh_texts(scenes.scene(frames, fps=25.0))
  assert sorted(texts) == [2, 7]
  path = tmp_path / '7.bvh'
  path.write_text(texts[7])
  clip = mocap.load_bvh(path, skeleton=J15)
  assert clip.fps == 25 and len(clip.joints) == 5
  np.testing.assert_allclose(clip.joints[:, 0, 0], [0, 30, 30, 90, 120], atol=0.01)
  np.testing.assert_allclose(clip.joints[:, 0, 1], 3000, atol=0.01)  # depth is the world's y
  relative = clip.joints[4] - clip.joints[4, :1]
  got = np.stack([relative[:, 0], -relative[:, 2], relative[:, 1]], -1)
  np.testing.assert_allclose(got, scenes.standing(), atol=0.01)


def test_bvh_of_other_joints_is_refused():
  scene = scenes.scene([[]], skeleton=COCO17)
  with pytest.raises(ValueError, match='COCO-17: BVH is written of J15 and J17 alone'):
    writers.bvh_texts(scene)
