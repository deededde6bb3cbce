"""Images of any size: who is found stands where a known person stood, by the true camera."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.data import letterbox
from posejax.geometry.camera import Intrinsics, fixed_intrinsics
from posejax.inference import checkpoint, predictor
from posejax.inference.checkpoint import CheckpointFolderError
from posejax.inference.predictor import Predictor
from posejax.methods.base import People
from posejax.training.checkpoints import CheckpointError
from tests.inference import scenes, toy_run

METHODS = {'toy': toy_run.METHOD}


@pytest.fixture(scope='module')
def run(tmp_path_factory):
  return checkpoint.load(toy_run.finish(tmp_path_factory.mktemp('run')), METHODS)


def in_view(place, view, side, focal, center):
  """What a network that makes no error says of a person at `place`: it looks as large and stands
  at the same point of the view, and the network believes in its own camera, whose axis goes through
  the middle of the view: about it the person stands turned."""
  point = (np.array(place[:2]) / place[2] * focal + center + 0.5 - view.corner) * view.scale - 0.5
  depth = place[2] * side / (focal * view.scale)
  root = np.append((point - (side - 1) / 2) / side * depth, depth)
  middle = (letterbox.to_photograph(np.full(2, (side - 1) / 2), view) - center) / focal
  # About y until the ray has no x, then about x until it has no y.
  aside = np.arctan(middle[0])
  down = np.arctan2(middle[1], np.hypot(1, middle[0]))
  turn = Rotation.from_rotvec([down, 0, 0]) * Rotation.from_rotvec([0, -aside, 0])
  seen = scenes.standing() @ turn.as_matrix().T
  camera = seen + root
  return People(
    np.zeros((1, 1), np.int32), np.ones((1, 1)),
    (camera[:, :2] / camera[:, 2:] * side + (side - 1) / 2)[None, None],
    seen[None, None], camera[None, None], np.array([[depth]]),
    np.ones((1, 1, 15), bool), np.ones((1, 1), bool),
  )


@pytest.mark.parametrize(('focal', 'center'), [
  (640.0, (319.5, 239.5)), (1900.0, (319.5, 239.5)), (500.0, (250.0, 300.0)),
])
@pytest.mark.parametrize('place', [(0, 0, 4000.0), (900, -300, 3500.0)])
def test_a_known_person_comes_back(focal, center, place):
  """640 x 480, a view of 128: scale 0.2, corner (0, −80)."""
  view = letterbox.whole(640, 480, 128)
  center = np.array(center)
  got = predictor.true_camera(
    in_view(place, view, 128, focal, center), 0, 128, [view],
    [Intrinsics(np.array([focal, focal]), center)],
  )
  np.testing.assert_allclose(got.depth[0, 0], place[2], rtol=1e-5)
  np.testing.assert_allclose(got.joints_camera[0, 0], scenes.standing() + place, atol=0.1)
  image = np.array(place[:2]) / place[2] * focal + center
  np.testing.assert_allclose(got.joints_2d[0, 0, 0], image, atol=1e-3)
  if focal == 640 and tuple(center) == (319.5, 239.5):  # the fixed camera: all joints, exactly
    joints = scenes.standing() + place
    np.testing.assert_allclose(
      got.joints_2d[0, 0], joints[:, :2] / joints[:, 2:] * focal + center, atol=1e-2)


def test_a_person_in_a_corner():
  """A part 31 degrees off the axis. What the true camera sees of the person is what the part's
  shows, up to the perspective of a part that small; with the pose not turned it is not."""
  view = letterbox.View(np.array([1200.0, 800.0]), np.float64(128 / 400))
  center, place = np.array([799.5, 599.5]), np.array([3000.0, 2000.0, 8000.0])
  found = in_view(place, view, 128, 1600.0, center)
  got = predictor.true_camera(
    found, 0, 128, [view], [Intrinsics(np.full(2, 1600.0), center)]
  )
  np.testing.assert_allclose(got.joints_camera[0, 0], scenes.standing() + place, atol=0.1)

  def apart(pose):
    joints = pose + place
    image = joints[:, :2] / joints[:, 2:] * 1600 + center
    return np.linalg.norm(image - got.joints_2d[0, 0], axis=-1).mean() / np.ptp(image[:, 1])

  assert apart(scenes.standing()) < 0.03 < 0.045 < apart(found.joints_relative[0, 0])


def test_who_is_not_finite_is_nobody(run):
  square = predictor.Square(
    np.zeros((64, 64, 3), np.uint8), letterbox.whole(64, 64, 64), fixed_intrinsics(64)
  )
  maker = predictor.Predictor(run)
  whole = maker._infer

  def infer(images):
    people = whole(images)
    people.joints_relative[0, 0, 3] = np.nan
    return people._replace(valid=np.ones_like(people.valid), joint_valid=np.ones_like(
      people.joint_valid
    ))
  maker._infer = infer
  assert maker.of_levels([[[square]]]).valid.tolist() == [[False, True]]


def test_nothing_is_not_computed(run):
  toy_run.CALLS.clear()
  people = Predictor(run, batch=4)(np.zeros((0, 200, 300, 3), np.uint8))
  assert not toy_run.CALLS and people.joints_camera.shape == (0, 0, 15, 3)
  assert people.valid.dtype == bool


def test_any_size_and_number(run):
  predict = Predictor(run, batch=4)
  toy_run.CALLS.clear()
  image = toy_run.photograph(300, 200, 220, 60)
  for count in (0, 1, 3, 4, 9):
    people = predict(np.stack([image] * count) if count else np.zeros((0, 200, 300, 3), np.uint8))
    slots = 2 if count else 0
    assert people.joints_2d.shape == (count, slots, 15, 2)
    assert people.valid.shape == (count, slots)
    assert (people.valid == ([True, False] if count else [])).all()
    assert (np.abs(people.joints_2d[:, :1, 0] - (219.5, 59.5)) < 2.5).all()
  assert set(toy_run.CALLS) == {1, 4}  # of a shape each
  # f = 300 px, so the fixed camera is the true one: 3 m, (219.5 − 149.5) / 300 · 3000 = 700 mm.
  place = predict(image[None]).joints_camera[0, 0, 0]
  np.testing.assert_allclose(place, (700, -400, 3000), atol=25)
  far = predict(image[None], Intrinsics(np.array([600.0, 600.0]), np.array([149.5, 99.5])))
  np.testing.assert_allclose(far.joints_camera[0, 0, 0], (700, -400, 6000), atol=25)


@pytest.mark.parametrize('images', [
  np.zeros((2, 8, 8, 3)), np.zeros((8, 8, 3), np.uint8), np.zeros((1, 8, 0, 3), np.uint8),
])
def test_other_arrays_are_refused(run, images):
  with pytest.raises(ValueError, match=r'images must be \(B, H, W, 3\) uint8'):
    Predictor(run)(images)


def test_pictures_of_the_training_are_never_read(run):
  """`toy_run.finish` damaged them."""
  with pytest.raises(CheckpointError):
    run.products['pictures']
  assert run.products['fit'].arrays['x'].shape == (2,) and len(run.products) == 3


def test_what_is_no_run(tmp_path):
  def refused(words):
    with pytest.raises(CheckpointFolderError, match=words) as error:
      checkpoint.load(tmp_path, METHODS).products['fit']
    assert '\n' not in str(error.value)

  refused(r'no run is here \(no config.json\)')
  path = tmp_path / 'config.json'
  for text, words in (
    ('{', 'not readable'), ('[]', 'not the config of a run'), ('[' * 10**5, 'not readable'),
    ('{"method": 3}', 'not the config of a run'), ('{"method": "other"}', 'is none of toy'),
    ('{"method": "toy", "seed": 0}', r'another version of posejax \(config.count: missing'),
    ('{"method": "toy", "seed": 0, "seed.x": 1}', 'seed.x is below a field'),
    ('{"method": "toy", "seed": 0, "count": 1}', 'stage fit is not finished'),
  ):
    path.write_text(text)
    refused(words)


def test_configs_are_what_they_were():
  flat = {'a.b': [[1, 2], [3]], 'a.c': 'x', 'd': 1.5}
  config = checkpoint.nested(flat)
  assert config.a.b == ((1, 2), (3,)) and config.a.c == 'x' and config.d == 1.5
