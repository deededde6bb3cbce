"""`posejax.infer --poses2d`: the three formats through a small lifter, and what is refused.

The networks are those of `configs/lifting.py:smoke` with random weights: what is tested is not how
good the poses are. Joints that are given stay on their rays whatever the weights say.
"""

import json
import os
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from posejax import infer
from posejax.geometry.skeleton import COCO17, J17
from posejax.inference import scene as scene_lib
from posejax.inference import schema
from posejax.inference.smoothing import OneEuro
from posejax.methods import lifting
from posejax.methods.base import Method, Product, StagePlan
from posejax.methods.lifting import infill, step
from posejax.models import lifter as lifter_lib
from posejax.training import stages
from tests.inference import toy_run

# A person who stands, as a camera at 4 m sees it: px of a picture of 640 x 480.
STANDING = {
  'nose': (320, 90), 'l_eye': (324, 86), 'r_eye': (316, 86), 'l_ear': (330, 88), 'r_ear': (310, 88),
  'l_shoulder': (345, 130), 'r_shoulder': (295, 130), 'l_elbow': (360, 175), 'r_elbow': (280, 175),
  'l_wrist': (365, 220), 'r_wrist': (275, 220), 'l_hip': (335, 230), 'r_hip': (305, 230),
  'l_knee': (338, 300), 'r_knee': (302, 300), 'l_ankle': (340, 370), 'r_ankle': (300, 370),
}
PERSON = np.array([STANDING[name] for name in COCO17.joints], float)
# Places in COCO17.
BODY25 = [0, None, 6, 8, 10, 5, 7, 9, None, 12, 14, 16, 11, 13, 15] + [None] * 10


def make_networks(config, products):
  module = lifter_lib.Lifter(step.shape(config))
  params = module.init(jax.random.key(1), jnp.zeros((1, 17, 2)))['params']
  return Product(params={'lifter': params})


def make_infill(config, products):
  """What is seen as it is, what is missing at the root."""
  if not config.infill.steps:
    return Product()
  example = jnp.zeros((1, 17, 2)), jnp.ones((1, 17), bool)
  params = infill.network(config).init(jax.random.key(2), *example)['params']
  return Product(params={'infill': jax.tree.map(jnp.zeros_like, params)})


def method():
  """The networks that are not trained; compiled once for all runs of it."""
  shared = []

  def lift(config, products):
    if not shared:
      shared.append(lifting.METHOD.lift(config, products))
    return shared[0]

  return Method(
    'lifting',
    (
      StagePlan('poses', fields=('seed',), make=lambda *_: Product(arrays={
        'unit': np.float32(0.13), 'trunk': np.float32(0.09), 'body': np.float32(4500),
        'mean': np.zeros((17, 3), np.float32),
      })),
      StagePlan('infill', fields=('infill',), make=make_infill),
      StagePlan('choice', fields=('seed',), make=make_networks),
    ),
    lifting.METHOD.rules, skeleton=J17, lift=lift,
  )


METHOD = method()


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  config = runpy.run_path('configs/lifting.py')['get_config']('smoke').unlock()
  folder = tmp_path_factory.mktemp('run')
  stages.run(METHOD, config.lock(), folder)
  return folder


@pytest.fixture(autouse=True)
def methods(monkeypatch):
  monkeypatch.setattr(infer, 'METHODS', {'lifting': METHOD, 'toy': toy_run.METHOD})


def go(checkpoint, poses, out, **options):
  return infer.run(infer.Options(checkpoint, None, out, **{
    'pictures': False, 'poses2d': poses, **options
  }))


def lines(capsys):
  return [line for line in capsys.readouterr().err.splitlines() if line.startswith('posejax.')]


def flat(points, seen=None):
  score = np.full(len(points), 2.0) if seen is None else 2.0 * seen
  return np.concatenate([points, score[:, None]], 1).ravel().tolist()


def coco(path, sizes=True):
  """Two pictures: of two people one lacks a hip; then one who lacks a wrist and a knee."""
  lacking = np.ones((2, 17), bool)
  lacking[0, COCO17.index('l_hip')] = False
  lacking[1, [COCO17.index('r_wrist'), COCO17.index('l_knee')]] = False
  size = {'width': 640, 'height': 480} if sizes else {}
  path.write_text(json.dumps({
    'images': [
      {'id': 1, 'file_name': 'street/x.jpg', **size}, {'id': 2, 'file_name': '../y.jpg', **size},
    ],
    'annotations': [
      {'image_id': 1, 'keypoints': flat(PERSON)},
      {'image_id': 1, 'keypoints': flat(PERSON + 90, lacking[0])},
      {'image_id': 2, 'keypoints': flat(PERSON, lacking[1])},
    ],
  }))
  return path


def openpose(folder, frames=4):
  folder.mkdir()
  for t in range(frames):
    points = [PERSON[at] + 3 * t if at is not None else (0, 0) for at in BODY25]
    seen = np.array([at is not None for at in BODY25])
    people = [{'pose_keypoints_2d': flat(np.array(points), seen)}]
    (folder / f'walk_{t:04}_keypoints.json').write_text(json.dumps({'people': people}))
  return folder


def npz(path, frames=8, **more):
  """Two people beside each other, who shake."""
  rng = np.random.default_rng(0)
  both = np.stack([PERSON - (120, 0), PERSON + (120, 0)])
  joints = both + rng.normal(size=(frames, *both.shape)) * 0.7
  joints[2:3, 1, COCO17.index('l_wrist')] = np.nan
  given = {'size': [640, 480], 'focal': [600.0, 600.0], 'center': [320.0, 240.0], **more}
  np.savez(path, joints=joints, names=np.array(COCO17.joints), **given)
  return path


def damaged(path):
  """Compressed, with bytes that do not unpack."""
  np.savez_compressed(path, joints=np.zeros((1, 1, 17, 2)), names=np.array(COCO17.joints))
  data = bytearray(path.read_bytes())
  start = data.index(b'joints.npy') + 30
  data[start : start + 4] = b'\xff' * 4
  path.write_bytes(data)
  return path


def test_a_video_of_which_one_frame_is_taken_stays_one(tmp_path, checkpoint):
  given = npz(tmp_path / 'a.npz')
  assert go(checkpoint, given, tmp_path / 'out', every=100, fps=25.0) == 0
  scene = schema.load(tmp_path / 'out' / 'a.npz.json')
  assert (scene.kind, scene.fps, len(scene.frames)) == ('video', 0.25, 1)


def test_a_run_without_infill_lifts_whole_poses_alone(tmp_path, monkeypatch, capsys):
  plain = method()
  monkeypatch.setattr(infer, 'METHODS', {'lifting': plain})
  config = runpy.run_path('configs/lifting.py')['get_config']('smoke').unlock()
  config.infill.steps = 0
  stages.run(plain, config.lock(), tmp_path / 'run')
  joints = np.random.default_rng(0).uniform(100, 400, (2, 2, 17, 2))
  joints[1, 1, 5] = np.nan
  np.savez(
    tmp_path / 'a.npz', joints=joints, names=np.array(J17.joints), size=np.array([640, 480])
  )
  assert go(tmp_path / 'run', tmp_path / 'a.npz', tmp_path / 'out') == 0
  scene = schema.load(tmp_path / 'out' / 'a.npz.json')
  assert [int(frame.people.valid.sum()) for frame in scene.frames] == [2, 1]
  assert '1 of the 2D poses' in ' '.join(lines(capsys))


def test_coco_pictures_are_photographs(checkpoint, tmp_path, capsys):
  poses, out = coco(tmp_path / 'a.json'), tmp_path / 'out'
  assert go(checkpoint, poses, out, pictures=True) == 0
  told = capsys.readouterr()
  assert '2 done, 0 kept' in told.out and '1 of the 2D poses (counted in each frame)' in told.err
  names = ('street/x.jpg', 'y.jpg')  # none leads out of the folder
  first, second = (schema.load(out / f'{name}.json') for name in names)
  assert (first.kind, first.width, first.height, first.fps) == ('photo', 640, 480, None)
  assert first.lens.source == 'assumed' and '53.1 degrees' in first.lens.note
  assert first.lens.focal.tolist() == [640, 640]
  assert any('left out' in note for note in first.notes)
  assert not any('left out' in note for note in second.notes)
  (one,), (other,) = scene_lib.rows(first), scene_lib.rows(second)
  for joint in ('r_shoulder', 'l_elbow', 'r_ankle'):
    for row in (one, other):
      at = row.joints_2d[J17.index(joint)]
      np.testing.assert_allclose(at, PERSON[COCO17.index(joint)], atol=0.05)
  # What was not given is filled in: somewhere.
  assert np.isfinite(other.joints_camera).all() and other.joint_valid.all()
  assert 500 < one.depth < 20_000 and one.uncertainty > 0
  assert '"unsure":null' not in (out / 'y.jpg.html').read_text()
  for name in names:
    for ending in ('npz', 'html', '3d.png', 'overlay.png'):
      assert (out / f'{name}.{ending}').stat().st_size > 100
  with Image.open(out / 'y.jpg.overlay.png') as overlay:
    assert overlay.size == (640, 480)
  images = json.loads((out / 'coco_images.json').read_text())
  assert [one['file_name'] for one in images] == list(names)
  (result, _) = json.loads((out / 'coco_keypoints.json').read_text())
  knee = COCO17.index('r_knee')
  assert result['keypoints'][3 * knee : 3 * knee + 2] == pytest.approx(PERSON[knee], abs=0.05)


def test_a_folder_of_openpose_is_a_video(checkpoint, tmp_path):
  poses, out = openpose(tmp_path / 'walk'), tmp_path / 'out'
  assert go(checkpoint, poses, out, size='640x480', fps=10.0, fov_deg=90.0, still=True) == 0
  scene = schema.load(out / 'walk.json')
  assert (scene.kind, scene.fps, scene.lens.source) == ('video', 10, 'flag')
  assert scene.lens.focal[0] == pytest.approx(320)  # tan 45° = 1
  assert [frame.time for frame in scene.frames] == pytest.approx([0, 0.1, 0.2, 0.3])
  rows = scene_lib.rows(scene)
  assert [row.identity for row in rows] == [1] * 4
  moved = np.diff([row.joints_2d[J17.index('l_knee')] for row in rows], axis=0)
  np.testing.assert_allclose(moved, 3, atol=0.1)


def test_npz_is_a_video_with_its_own_intrinsics(checkpoint, tmp_path):
  poses, out = npz(tmp_path / 'a.npz'), tmp_path / 'out'
  code = go(checkpoint, poses, out, pictures=True, bvh=True, smooth=OneEuro(), every=2)
  assert code == 0
  scene = schema.load(out / 'a.npz.json')
  assert scene.lens.focal.tolist() == [600, 600] and 'file of 2D poses' in scene.lens.note
  assert (scene.kind, scene.fps, len(scene.frames)) == ('video', 15, 4)
  assert [frame.index for frame in scene.frames] == [0, 2, 4, 6]
  assert scene.frames[3].time == pytest.approx(6 / 30)
  assert any('mean size' in note for note in scene.notes)
  assert any('One-Euro' in note for note in scene.notes)
  jitter = json.loads((out / 'a.npz.jitter.json').read_text())
  assert 0 < jitter['camera']['after'] < jitter['camera']['before']
  for ending in ('html', '3d.png', 'overlay.png', 'person1.bvh', 'person2.bvh'):
    assert (out / f'a.npz.{ending}').stat().st_size > 100


def test_the_same_command_goes_on(checkpoint, tmp_path, capsys):
  poses, out = coco(tmp_path / 'a.json'), tmp_path / 'out'
  assert go(checkpoint, poses, out) == 0
  (out / 'y.jpg.json').unlink()  # as if it had been cut off
  kept = (out / 'street/x.jpg.json').stat().st_mtime_ns
  capsys.readouterr()
  assert go(checkpoint, poses, out) == 0
  assert '1 done, 1 kept' in capsys.readouterr().out
  assert (out / 'street/x.jpg.json').stat().st_mtime_ns == kept
  assert go(checkpoint, poses, out, fov_deg=70.0) == 2
  assert 'holds results of another fov_deg' in lines(capsys)[0]
  os.utime(poses, (1e9, 1e9))
  assert go(checkpoint, poses, out) == 0
  told = capsys.readouterr()
  assert '2 done, 0 kept' in told.out
  assert told.err.count('was replaced since its results were made') == 1


def test_a_folder_that_grew_is_made_anew(checkpoint, tmp_path, capsys):
  poses, out = openpose(tmp_path / 'walk', 2), tmp_path / 'out'
  assert go(checkpoint, poses, out, size='640x480') == 0
  more = json.loads((poses / 'walk_0001_keypoints.json').read_text())
  (poses / 'walk_0002_keypoints.json').write_text(json.dumps(more))
  capsys.readouterr()
  assert go(checkpoint, poses, out, size='640x480') == 0
  assert '1 done, 0 kept' in capsys.readouterr().out
  assert len(schema.load(out / 'walk.json').frames) == 3


def test_a_picture_without_size_is_skipped(checkpoint, tmp_path, capsys):
  poses, out = coco(tmp_path / 'a.json'), tmp_path / 'out'
  content = json.loads(poses.read_text())
  del content['images'][1]['width']
  poses.write_text(json.dumps(content))
  assert go(checkpoint, poses, out) == 1
  assert any('y.jpg: no picture size is known; give --size' in line for line in lines(capsys))
  assert len(json.loads((out / 'summary.json').read_text())['skipped']) == 1


@pytest.mark.parametrize(('make', 'options', 'words'), [
  (openpose, {}, 'walk: says no picture size; give --size=WIDTHxHEIGHT'),
  (openpose, {'size': 'big'}, '--size=big: expected WIDTHxHEIGHT'),
  (openpose, {'size': '9x9', 'focal_px': 5.0, 'fov_deg': 50.0}, 'say the same'),
  (openpose, {'size': '9x9', 'fps': 0.0}, '--fps=0: it must be'),
  (openpose, {'size': '9x9', 'fov_deg': 180.0}, 'from 1 to 170 degrees'),
  (openpose, {'size': '9x9', 'refine': True}, '--refine is for --input'),
  (openpose, {'size': '9x9', 'refine': False}, '--refine is for --input'),
  (openpose, {'size': '9x9', 'mirror': True}, '--mirror is for --input'),
  (openpose, {'size': '9x9', 'tiles': 2}, '--tiles is for --input'),
  (coco, {'still': True}, '--still is for videos'),
  (coco, {'fps': 25.0}, '--fps is for videos'),
  (lambda path: coco(path, sizes=False), {}, 'no picture size is known; give --size'),
  (lambda path: npz(path.with_suffix('.npz'), focal=[0.0, 5.0]), {}, 'focal is [0.0, 5.0]'),
  (lambda path: npz(path.with_suffix('.npz'), size=[np.nan, 5.0]), {}, 'size is [nan, 5.0]'),
  (lambda path: npz(path.with_suffix('.npz'), frames=0), {}, 'nobody is in it'),
  (lambda path: damaged(path.with_suffix('.npz')), {}, 'no npz of plain arrays'),
  (lambda path: path, {}, 'walk: cannot be read'),
])
def test_what_cannot_be_is_one_line(checkpoint, tmp_path, capsys, make, options, words):
  assert go(checkpoint, make(tmp_path / 'walk'), tmp_path / 'out', **options) == 2
  (line,) = lines(capsys)
  assert words in line and not (tmp_path / 'out').exists()


@pytest.mark.parametrize(('options', 'words'), [
  ({}, 'give either --input'),
  ({'input': 'a.png', 'poses2d': 'a.npz'}, 'give either --input'),
  ({'input': 'a.png', 'size': '9x9'}, '--size is for --poses2d'),
  ({'input': 'a.png', 'fps': 30.0}, '--fps is for --poses2d'),
  ({'input': 'a.png', 'still': True}, '--still is for --poses2d'),
  ({'input': 'a.png'}, 'method lifting infers nothing from images; give --poses2d instead'),
])
def test_options_that_do_not_go_together(checkpoint, tmp_path, capsys, options, words):
  paths = {name: tmp_path / options[name] for name in ('input', 'poses2d') if name in options}
  given = {'input': None, **options, **paths}
  assert infer.run(infer.Options(checkpoint, output=tmp_path / 'out', **given)) == 2
  (line,) = lines(capsys)
  assert words in line and not (tmp_path / 'out').exists()


def test_a_run_that_sees_but_does_not_lift(tmp_path, capsys):
  run = toy_run.finish(tmp_path / 'run')
  assert go(run, npz(tmp_path / 'a.npz'), tmp_path / 'out') == 2
  assert 'method toy infers nothing from 2D poses; give --input instead' in lines(capsys)[0]
