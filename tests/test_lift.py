"""`posejax.lift` with a method of one line: files, lenses, what is left out, errors."""

import json

import numpy as np
import pytest

from posejax import lift
from posejax.data.poses_2d import Poses2d, Poses2dError
from posejax.geometry.skeleton import COCO17, J17
from posejax.inference import lifted, schema
from posejax.methods.base import Choice, Interval, Method

PERSON = np.random.default_rng(0).uniform(100, 400, (17, 2))


def toy(config, products):
  """Everybody 2 m away; who has no pelvis is left out."""

  def run(rays, seen, still):
    z = np.full((*rays.shape[:3], 1), 2000.0)
    return np.concatenate([rays * z, z], -1), seen[..., 0]

  return run


METHOD = Method(
  'toy', (), {'method': Choice(('toy',)), 'seed': Interval(0, 9, whole=True)}, skeleton=J17,
  lift=toy,
)


@pytest.fixture
def run(tmp_path, monkeypatch):
  """(poses, options) → exit code; results in tmp_path/out."""
  monkeypatch.setattr(lift.command, 'METHODS', {'toy': METHOD})
  (tmp_path / 'run').mkdir()
  (tmp_path / 'run' / 'config.json').write_text(json.dumps({'method': 'toy', 'seed': 0}))

  def act(poses, **changed):
    given = {
      'size': '', 'focal_px': None, 'fov_deg': None, 'fps': 30.0, 'still': False, **changed
    }
    return lift.run(tmp_path / 'run', poses, tmp_path / 'out', given)

  return act


def flat(points):
  return np.concatenate([points, np.full((len(points), 1), 2.0)], 1).ravel().tolist()


def test_coco_pictures_are_photographs(tmp_path, run):
  without = np.array(flat(PERSON)).reshape(17, 3)
  without[COCO17.index('l_hip')] = 0
  poses = tmp_path / 'a.json'
  poses.write_text(json.dumps({
    'images': [
      {'id': 1, 'file_name': 'x.jpg', 'width': 640, 'height': 480},
      {'id': 2, 'file_name': 'y.jpg', 'width': 500, 'height': 800},
    ],
    'annotations': [
      {'image_id': 1, 'keypoints': flat(PERSON)},
      {'image_id': 1, 'keypoints': without.ravel().tolist()},
      {'image_id': 2, 'keypoints': flat(PERSON)},
    ],
  }))
  assert run(poses) == 0
  first, second = (schema.load(tmp_path / 'out' / f'a.json_{name}.json')
                   for name in ('x.jpg', 'y.jpg'))
  assert (first.kind, first.width, second.height) == ('photo', 640, 800)
  assert first.lens.source == 'assumed' and first.lens.focal.tolist() == [640, 640]
  people = first.frames[0].people
  assert people.valid.sum() == 1
  # A joint that was seen stays where it was.
  knee = J17.index('r_knee')
  np.testing.assert_allclose(
    people.joints_2d[0, knee], PERSON[COCO17.index('r_knee')], atol=1e-2
  )
  assert people.depth[0] == pytest.approx(2000)


def test_npz_is_a_video_with_its_own_intrinsics(tmp_path, run):
  poses = tmp_path / 'a.npz'
  np.savez(
    poses, joints=np.tile(PERSON, (3, 1, 1, 1)), names=np.array(J17.joints), size=[640, 480],
    focal=[500.0, 500.0], center=[320.0, 240.0],
  )
  assert run(poses, fps=25.0) == 0
  scene = schema.load(tmp_path / 'out' / 'a.npz.json')
  assert scene.kind == 'video' and scene.fps == 25 and len(scene.frames) == 3
  assert scene.lens.focal.tolist() == [500, 500] and scene.frames[2].time == pytest.approx(0.08)
  assert any('mean size' in note for note in scene.notes)


@pytest.mark.parametrize(
  ('changed', 'message'),
  [
    ({}, 'says no picture size; give --size=WIDTHxHEIGHT'),
    ({'size': 'big'}, 'expected WIDTHxHEIGHT'),
    ({'size': '9x9', 'focal_px': 5.0, 'fov_deg': 50.0}, 'say the same'),
    ({'size': '9x9', 'fps': 0.0}, '--fps=0'),
    ({'size': '9x9', 'fov_deg': 180.0}, 'from 1 to 170 degrees'),
  ],
)
def test_what_cannot_be_is_told_in_a_line(tmp_path, run, capsys, changed, message):
  folder = tmp_path / 'poses'
  folder.mkdir()
  person = {'pose_keypoints_2d': flat(np.zeros((25, 2)) + 50)}
  (folder / 'a.json').write_text(json.dumps({'people': [person]}))
  assert run(folder, **changed) == 2
  told = capsys.readouterr().err
  assert message in told and told.count('\n') == 1


def test_the_lens_that_is_stated_comes_first():
  own = Poses2d((), np.array([700.0, 700.0]), None)
  stated = lifted.Stated(focal_px=900.0)
  assert lifted.lens_of((640, 480), own, stated).focal[0] == 900
  assert lifted.lens_of((640, 480), own, lifted.Stated()).focal[0] == 700
  by_angle = lifted.lens_of((640, 480), own, lifted.Stated(fov_deg=90.0))
  assert by_angle.focal[0] == pytest.approx(320)  # tan 45° = 1
  with pytest.raises(Poses2dError, match='one of them'):
    lift.stated('', 5.0, 5.0, 30.0, False)
