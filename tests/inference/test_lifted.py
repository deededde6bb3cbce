"""2D poses sorted into results: names, lenses, sizes; who is lifted, by a method of one line."""

import pathlib

import numpy as np
import pytest

from posejax.data.poses_2d import Frame2d, Poses2d, Poses2dError
from posejax.inference import lenses, lifted, schema
from posejax.inference.options import Options

RNG = np.random.default_rng(0)


def options(**changed):
  return Options(pathlib.Path('run'), None, pathlib.Path('out'), **changed)


def frame(name='x.jpg', people=1, size=(640, 480)):
  joints = RNG.uniform(100, 400, (people, 17, 2))
  return Frame2d(name, joints, np.ones((people, 17), bool), np.full(people, 0.5), size)


def two_metres(rays, seen, still):
  """Everybody 2 m away; who has no pelvis is left out."""
  z = np.full((*rays.shape[:3], 1), 2000.0)
  return np.concatenate([rays * z, z], -1), seen[..., 0], np.where(seen[..., 0], 30.0, np.nan)


def test_names_stay_below_the_folder_and_apart():
  names = (
    '../../x', 'a/./b', '/x', 'infer', '', '..', 'x\0y', '\ud800', 'C:\\x', 'y' * 300, 'X' * 300,
    'infer', 'summary', '/x',
  )
  poses = Poses2d(tuple(frame(name) for name in names))
  given, skipped = lifted.sort(pathlib.Path('a.json'), poses, options())
  found = [one.name for one in given]
  assert not skipped and len(set(found)) == len(names)
  assert found[:4] == ['x', 'a/b', 'x~2', 'infer~'] and found[8] == 'C:/x'
  assert found[-1] == 'x~3'
  for name in found:
    parts = pathlib.PurePosixPath(name).parts
    assert parts and '..' not in parts and not name.startswith('/') and name.isprintable()
    assert len(name.encode()) < 200 and name not in ('infer', 'summary')


def test_the_lens_that_is_stated_comes_first():
  own = np.array([700.0, 710.0])

  def lens(focal=None, center=None, **stated):
    return lenses.of_poses((640, 480), focal, center, options(**stated))

  assert lens(own, focal_px=900.0).focal.tolist() == [900, 900]
  assert lens(own).focal.tolist() == [700, 710] and lens(own).source == 'flag'
  assert lens(own, fov_deg=90.0).focal[0] == pytest.approx(320)  # tan 45° = 1
  assert lens().source == 'assumed' and lens().focal.tolist() == pytest.approx([640, 640])
  assert lens().center.tolist() == [319.5, 239.5]
  assert lens(own, np.array([1.0, 2.0])).center.tolist() == [1, 2]


def test_who_is_lifted_and_who_is_left_out():
  first, second = frame(people=3), frame(people=1)
  first.seen[1, 0] = False
  poses = Poses2d((first, second), np.array([500.0, 500.0]), np.array([320.0, 240.0]))
  (given,), _ = lifted.sort(pathlib.Path('a.npz'), poses, options(fps=25.0))
  frames, missing = lifted.lifted(given, two_metres, False)
  np.testing.assert_array_equal(frames[0].uncertainty, [30, np.nan, 30, np.nan])
  assert missing == 1 and [int(one.people.valid.sum()) for one in frames] == [2, 1]
  assert frames[1].time == pytest.approx(0.04) and frames[1].index == 1
  people = frames[0].people
  kept = np.flatnonzero(people.valid)
  assert people.identity[kept].tolist() == [1, 2] and people.score[kept].tolist() == [0.5, 0.5]
  np.testing.assert_allclose(people.joints_2d[kept], first.joints[[0, 2]], atol=1e-3)
  # x = (u - c) z / f
  np.testing.assert_allclose(
    people.joints_camera[0, 3, 0], (first.joints[0, 3, 0] - 320) * 2000 / 500, rtol=1e-5
  )
  assert (people.joints_relative[kept, 0] == 0).all() and people.depth[kept].tolist() == [2000] * 2


def test_one_frame_is_a_photograph_under_its_files_name():
  (given,), _ = lifted.sort(pathlib.Path('d/a.npz'), Poses2d((frame('0'),)), options())
  assert (given.kind, given.name, given.fps) == ('photo', 'a.npz', None)


def test_videos_that_no_result_or_memory_holds(monkeypatch):
  poses = Poses2d((frame(people=60), *[frame(people=0)] * 9))
  monkeypatch.setattr(lifted, 'MAX_SLOTS', 599)
  with pytest.raises(Poses2dError, match='give a larger --every'):
    lifted.sort(pathlib.Path('a.npz'), poses, options())
  assert lifted.sort(pathlib.Path('a.npz'), poses, options(every=2))
  monkeypatch.setattr(schema, 'MAX_LISTS', 2000 + 59 * 56)
  with pytest.raises(schema.SchemaError, match='60 people over 10 frames'):
    lifted.sort(pathlib.Path('a.npz'), poses, options())


def test_nobody():
  with pytest.raises(Poses2dError, match='nobody is in it'):
    lifted.sort(pathlib.Path('a.npz'), Poses2d((frame(people=0),)), options())
