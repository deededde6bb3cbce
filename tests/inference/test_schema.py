"""The JSON: what was written is read back; anything else in a file is one line with its place."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest

from posejax.inference import scene as scene_lib
from posejax.inference import schema
from posejax.inference.scene import Stamp
from posejax.inference.schema import SchemaError
from tests.inference import scenes


def two_frames():
  valid = np.ones(15, bool)
  valid[[2, 5]] = False
  broken = scenes.standing()
  broken[5] = np.nan
  return scenes.scene([
    [scenes.row(0, (0.12345, 0, 3000), identity=7), scenes.row(0, (900, 0, 4000), identity=2)],
    [scenes.row(1, (0, 0, 3000), broken, identity=7, valid=valid)._replace(
      bridged=True, uncertainty=40.5,
    )],
    [],
  ])


def test_round_trip():
  scene = two_frames()
  again = schema.parse(schema.dumps(scene).encode())
  for field in dataclasses.fields(scene):
    if field.name not in ('lens', 'frames'):
      assert getattr(again, field.name) == getattr(scene, field.name)
  assert again.lens[2:] == scene.lens[2:]
  np.testing.assert_array_equal(again.lens.focal, scene.lens.focal)
  assert [(f.index, f.time) for f in again.frames] == [
    (f.index, pytest.approx(f.time, abs=1e-6)) for f in scene.frames
  ]
  assert len(scene_lib.rows(again)) == 3
  for got, wanted in zip(scene_lib.rows(again), scene_lib.rows(scene), strict=True):
    for name, value in wanted._asdict().items():
      np.testing.assert_allclose(getattr(got, name), value, atol=6e-4, err_msg=name)
  # What is written again is the same, to the letter.
  assert schema.dumps(again) == schema.dumps(scene)


def test_what_programs_read():
  content = json.loads(schema.dumps(two_frames()))
  assert content['schema'] == 'posejax.people' and content['version'] == 1
  assert content['skeleton']['root'] == 'pelvis' and len(content['skeleton']['joints']) == 15
  assert [9, 12] in content['skeleton']['flip_pairs']  # the hips
  assert content['intrinsics'] == {
    'focal': [800, 800], 'center': [319.5, 239.5], 'source': 'assumed', 'note': 'half the width',
  }
  assert content['units']['depth'] == 'mm' and 'z forward' in content['frame']
  person = content['frames'][0]['people'][0]
  assert person['id'] == 7 and person['joints_camera'][0] == [0.123, 0, 3000]
  assert person['joints_relative'][0] == [0, 0, 0] and person['depth'] == 3000
  missing = content['frames'][1]['people'][0]
  assert missing['joints_2d'][5] == [None, None] and missing['bridged'] is True
  assert missing['joint_valid'].count(False) == 2
  assert missing['uncertainty'] == 40.5 and 'uncertainty' not in person


def test_nothing_but_json_is_written():
  scene = two_frames()
  bad = dataclasses.replace(scene, fps=math.inf)
  people = bad.frames[0].people
  frame = bad.frames[0]._replace(
    time=math.nan, people=people._replace(
      score=np.full_like(people.score, np.nan), depth=np.full_like(people.depth, np.inf)
    )
  )
  text = schema.dumps(dataclasses.replace(bad, frames=(frame,)))
  assert 'NaN' not in text and 'Infinity' not in text
  person = json.loads(text)['frames'][0]['people'][0]
  assert person['score'] is None and person['depth'] is None


def test_plain_numbers():
  # 0.1 in 32 bits is 0.100000001490116; 2.0005 lies below its middle in binary.
  single = np.array([[0.1, np.nan], [-np.inf, 2.0005]], np.float32)
  assert schema.plain(single) == [[0.1, None], [None, 2.0]]
  assert schema.plain(single[0, 0], 9) == 0.100000001
  assert schema.plain((1, [np.float64(2.34567), np.array(3)], np.zeros((0, 2)))) == [
    1, [2.346, 3], []
  ]
  found = schema.plain(np.array(7))
  assert found == 7 and type(found) is float
  assert all(type(x) is float for x in schema.plain(np.arange(3)))


CONTENT = json.loads(schema.dumps(two_frames()))


def changed(path, value):
  content = copy.deepcopy(CONTENT)
  target = content
  for name in path[:-1]:
    target = target[name]
  if value is None:
    del target[path[-1]]
  else:
    target[path[-1]] = value
  return json.dumps(content).encode()


PERSON = ('frames', 0, 'people', 0)


@pytest.mark.parametrize(('path', 'value', 'words'), [
  (('schema',), 'other', "schema: expected posejax.people, got 'other'"),
  (('version',), 2, 'version 2: this program reads version 1'),
  (('version',), True, 'version: expected a whole number'),
  (('intrinsics',), None, "the file: expected a field 'intrinsics'"),
  (('intrinsics', 'focal'), [0, 800], r'intrinsics.focal: expected numbers of shape \(2,\)'),
  (('intrinsics', 'source'), 'guess', 'intrinsics.source: expected flag or exif or assumed'),
  (('source', 'width'), 0, 'source.width: expected a whole number from 1'),
  (('source', 'width'), 1e400, 'Infinity is no JSON number'),
  (('skeleton', 'joints', 3), 'pelvis', 'different joint names'),
  (('skeleton', 'parents', 3), 99, r'skeleton.parents\[3\]: expected a whole number from -1 to 14'),
  (('skeleton', 'parents', 1), 3, 'a tree without circles'),
  (('skeleton', 'parents', 3), -1, '15 parents, one of them -1'),
  (('skeleton', 'limbs', 0), [0], r'skeleton.limbs\[0\]: expected a pair of joints'),
  (('skeleton', 'root'), 'neck', 'skeleton.root: expected pelvis'),
  ((*PERSON, 'joints_2d'), [[1, 2]], r'frames\[0\].people\[0\].joints_2d: expected numbers of'),
  ((*PERSON, 'joints_2d', 3), [1, '2'], 'got a list of 15'),
  ((*PERSON, 'joints_2d', 3), [1, True], 'expected numbers'),
  ((*PERSON, 'joints_camera', 3), [1, 2, 1e300], 'joints_camera: expected numbers'),
  ((*PERSON, 'joints_camera', 3), [float('nan')] * 3, 'NaN is no JSON number'),
  ((*PERSON, 'score'), 1.5, 'score: expected a number from 0 to 1'),
  ((*PERSON, 'id'), 1.0, 'id: expected a whole number'),
  ((*PERSON, 'bridged'), 0, 'bridged: expected true or false'),
  ((*PERSON, 'joint_valid'), [True], 'joint_valid: expected 15 values'),
  (('frames',), {}, 'frames: expected a list'),
  (('frames', 0), [], r'frames\[0\]: expected an object'),
  (('notes',), ['x' * 20_000], r'notes\[0\]: expected a text'),
])
def test_wrong_values_are_named(path, value, words):
  with pytest.raises(SchemaError, match=words) as error:
    schema.parse(changed(path, value), 'a.json')
  assert str(error.value).startswith('a.json: ') and '\n' not in str(error.value)


def test_null_is_for_joints_that_are_not_there():
  path = (*PERSON, 'joints_2d', 3)
  with pytest.raises(SchemaError, match='joints_2d: null where joint_valid is true'):
    schema.parse(changed(path, [1.0, 'X']).replace(b'"X"', b'null'))


def test_new_fields_are_passed_over():
  schema.parse(changed(('more',), {'a': 1}))


@pytest.mark.parametrize(('data', 'words'), [
  (b'', 'no JSON'), (b'[', 'no JSON'), (b'\xff{}', 'byte 0 is not UTF-8'),
  (b'[' * 100_000 + b']' * 100_000, 'nested too deep'), (b'[1, 2]', 'expected an object'),
  (b'{"a": ' + b'9' * 5000 + b'}', 'no JSON'), (b'null', 'expected an object'),
])
def test_other_files(data, words):
  with pytest.raises(SchemaError, match=words) as error:
    schema.parse(data, 'b.json')
  assert '\n' not in str(error.value)


def test_sizes_are_capped_before_parsing(monkeypatch):
  """One list a two bytes takes thirty times the file's size."""
  monkeypatch.setattr(schema, 'MAX_LISTS', 10)
  with pytest.raises(SchemaError, match='more than 10 lists'):
    schema.parse(b'[' + b'[],' * 10 + b'[]]')
  monkeypatch.setattr(schema, 'MAX_FILE_BYTES', 5)
  with pytest.raises(SchemaError, match='larger than 5 bytes'):
    schema.parse(b'[1,2,3]')


def test_load_reads_no_more_than_the_cap(tmp_path, monkeypatch):
  path = tmp_path / 'a.json'
  path.write_text(schema.dumps(two_frames()))
  assert len(schema.load(path).frames) == 3
  monkeypatch.setattr(schema, 'MAX_FILE_BYTES', 100)
  with pytest.raises(SchemaError, match=r'a\.json: larger than 100 bytes'):
    schema.load(path)


def test_cut_files_are_refused():
  data = schema.dumps(two_frames()).encode()
  rng = np.random.default_rng(0)
  for end in rng.integers(0, len(data) - 3, 60):
    with pytest.raises(SchemaError):
      schema.parse(data[:end])


def test_flipped_bytes_never_crash():
  """Either another value that is allowed, or one line."""
  data = bytearray(schema.dumps(two_frames()).encode())
  rng = np.random.default_rng(1)
  refused = 0
  for position, value in zip(rng.integers(0, len(data), 300), rng.integers(0, 256, 300),
                             strict=True):
    mutated = bytearray(data)
    mutated[position] = value
    try:
      schema.parse(bytes(mutated))
    except SchemaError as error:
      refused += 1
      assert '\n' not in str(error)
  assert refused > 100


def test_whatever_is_written_is_read():
  """Lists and commas of a text are at most those that are counted before it is written."""
  scene = two_frames()
  people = sum(int(frame.people.valid.sum()) for frame in scene.frames)
  text, limits = schema.dumps(scene), (schema.MAX_LISTS, schema.MAX_VALUES)
  rest = schema._HEADER
  lists = text.count('[') + text.count('{')
  assert people * 50 + 2 * len(scene.frames) < lists < people * 50 + 2 * len(scene.frames) + rest
  assert text.count(',') < people * (9 * 15 + 9) + 3 * len(scene.frames) + rest
  assert limits == (3_000_000, 8_000_000)
  schema.check_size('a.mp4', 55_000, 20_000, 15)
  for people, frames in ((60_000, 20_000), (0, 1_500_000)):
    with pytest.raises(SchemaError, match=r'^a\.mp4: .* more than a result holds; cut the video'):
      schema.check_size('a.mp4', people, frames, 15)


def test_a_result_that_is_too_long_is_not_written(monkeypatch):
  text = schema.dumps(two_frames())
  monkeypatch.setattr(schema, 'MAX_FILE_BYTES', len(text) - 20)
  with pytest.raises(SchemaError, match='would be larger than'):
    schema.dumps(two_frames())


def test_the_stamp_of_a_file():
  scene = dataclasses.replace(two_frames(), stamp=Stamp(123, 1_700_000_000.123457))
  text = schema.dumps(scene)
  assert json.loads(text)['source']['bytes'] == 123
  assert schema.parse(text.encode()).stamp == scene.stamp
  assert schema.parse(schema.dumps(two_frames()).encode()).stamp is None  # of before there were any
  with pytest.raises(SchemaError, match=r'source\.bytes: expected a whole number'):
    schema.parse(text.replace('"bytes": 123', '"bytes": -1').encode())
