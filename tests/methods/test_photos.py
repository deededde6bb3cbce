"""The main job on photographs: views, parts, figures without 3D truth."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from posejax.data import letterbox
from posejax.data.images import ImageError
from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.methods.base import People, Product
from posejax.methods.crossmodal import (
  METHOD,
  PHOTOS,
  draws,
  infer,
  photo_evaluation,
  photo_measures,
  photos,
  prior,
  teacher,
)
from posejax.synth import poses
from posejax.training import config as config_lib
from posejax.training import stages

get_config = runpy.run_path('configs/unsup.py')['get_config']
J15 = skeleton_lib.J15
SIDE = 64


@pytest.fixture
def config(tmp_path):
  config = get_config('real').unlock()
  config.world.image_size, config.world.max_people = SIDE, 2
  folder = tmp_path / 'photos'
  folder.mkdir()
  rng = np.random.default_rng(0)
  for clip in 'abcdef':
    for number in range(2):
      pixels = rng.integers(0, 256, (60, 120, 3), np.uint8)
      Image.fromarray(pixels).save(folder / f'{clip}_{number:03d}.png')
  (folder / 'bad_000.jpg').write_bytes(b'no picture')
  config.images.dir, config.images.cache = str(folder), str(tmp_path / 'cache')
  config.images.shares = (0.2, 0.2)
  (tmp_path / 'weights.npz').write_bytes(b'any')
  config.teacher.weights = str(tmp_path / 'weights.npz')
  return config


@pytest.fixture
def small_person(monkeypatch):
  """A teacher that sees one small person in the right half of every view; counts its pictures."""
  looked = []

  def observe(frozen, images, max_people, latents=False, batch=8):
    looked.append(len(images))
    joints = np.zeros((len(images), max_people, 15, 2))
    joints[:, 0] = (48, 32) + np.random.default_rng(1).uniform(-3, 3, (15, 2))
    seen = np.zeros(joints.shape[:3], bool)
    seen[:, 0] = True
    return {'joints': joints, 'seen': seen}

  monkeypatch.setattr(photos.observed, 'observe', observe)
  monkeypatch.setattr(photos.teacher, 'frozen', lambda config, products: teacher.Teacher(
    teacher.layout(config), {'E': {'x': np.ones(1)}}
  ))
  return looked


def test_parts_hold_whole_clips_and_views_of_small_people(config, small_person, capsys):
  parts = {name: photos.make(name, config, {}).arrays for name in photos.PARTS}
  clips = {name: set(arrays['clip']) for name, arrays in parts.items()}
  assert set.union(*clips.values()) == set('abcdef') | (
    {'bad'} & set.union(*clips.values())
  )
  assert sum(map(len, clips.values())) == len(set.union(*clips.values()))
  for arrays in parts.values():
    # Two files a clip; each a whole view and one around the person, who is 6 of 64 px high.
    assert len(arrays['images']) == 4 * len(set(arrays['clip']))
    assert arrays['images'].shape[1:] == (SIDE, SIDE, 3) and arrays['images'].dtype == np.uint8
    whole, near = arrays['scale'][::2], arrays['scale'][1::2]
    # Assumed: the focal length is the longer side, 120 px; of the view it is larger by the scale.
    np.testing.assert_allclose(arrays['focal'][:, 0], 120 * arrays['scale'])
    np.testing.assert_allclose(whole, SIDE / 120)
    assert (near > 1.5 * whole).all()
    # The view holds the person, who stood at (48, 32) of the whole one.
    place = letterbox.to_photograph(
      np.array([48.0, 32.0]), letterbox.View(arrays['corner'][0], arrays['scale'][0])
    )
    inside = letterbox.to_view(place, letterbox.View(arrays['corner'][1], arrays['scale'][1]))
    assert (np.abs(inside - 31.5) < 12).all()
  assert capsys.readouterr().err.count('bad_000.jpg') == 1  # in the one part that its clip is in


def test_what_the_teacher_found_is_kept(config, small_person):
  first = photos.make('images_b', config, {}).arrays
  count = sum(small_person)
  again = photos.make('images_b', config, {}).arrays
  assert sum(small_person) == count > 0
  for name in first:
    np.testing.assert_array_equal(first[name], again[name])
  config.images.crops = False
  assert len(photos.make('images_b', config, {}).arrays['images']) == len(first['images']) // 2


def test_folders_that_cannot_be_used(config, small_person, tmp_path):
  config.images.dir = str(tmp_path / 'none')
  with pytest.raises(ImageError, match=r'none: no such folder'):
    photos.make('images_b', config, {})
  with pytest.raises(stages.WorkdirError, match=r'config.images.dir: .*none: cannot be read'):
    stages.stage_keys(PHOTOS, config)


def test_rules_and_keys(config, tmp_path):
  config_lib.validate(config, PHOTOS.rules)
  keys = stages.stage_keys(PHOTOS, config)
  assert list(keys) == [
    'teacher', 'prior', 'images_b', 'observed', 'validation', 'align', 'refine', 'test'
  ]
  # The same content elsewhere is the same; other content is not.
  (tmp_path / 'copy.npz').write_bytes(b'any')
  config.teacher.weights = str(tmp_path / 'copy.npz')
  assert stages.stage_keys(PHOTOS, config) == keys
  (tmp_path / 'copy.npz').write_bytes(b'other')
  assert stages.stage_keys(PHOTOS, config)['teacher'] != keys['teacher']
  for field, value in (
    ('images.dir', ''), ('teacher.kind', 'synthetic'), ('align.label_2d', True),
    ('images.crop.too_small', 0.9),
  ):
    changed = config.copy_and_resolve_references()
    changed.update_from_flattened_dict({field: value})
    with pytest.raises(config_lib.ConfigError, match=field):
      config_lib.validate(changed, PHOTOS.rules)
  with pytest.raises(config_lib.ConfigError, match=r'config\.method'):
    config_lib.validate(config, METHOD.rules)


def test_pictures_without_truth_have_no_labels(config):
  images = np.zeros((3, SIDE, SIDE, 3), np.uint8)
  seen = {'joints': np.zeros((3, 2, 15, 2)), 'rooted': np.ones((3, 2), bool)}
  products = {
    'images_b': Product(arrays={'images': images}), 'observed': Product(arrays=seen),
    'teacher': Product({'E': {}, 'F': {}}), 'prior': Product({'Psi': {}, 'Phi': {}}),
  }
  config.prior.source = 'artificial'
  truth = draws.arrays(config, products)['truth']
  assert truth['camera'].shape == (3, 2, 15, 3) and not truth['seen'].any()
  assert not truth['rooted'].any()


def body(x, y):
  """A pose (15, 2) with a torso of 50 px: right shoulder (−15, −20), left hip (15, 20)."""
  pose = np.tile([float(x), float(y)], (15, 1))
  for name, place in {
    'r_shoulder': (-15, -20), 'l_shoulder': (15, -20), 'r_hip': (-15, 20), 'l_hip': (15, 20),
  }.items():
    pose[J15.index(name)] += place
  return pose


def predictions(given):
  """One picture: (1, P, 15, 2), all joints given."""
  joints = np.stack(given)[None]
  return joints, np.ones(joints.shape[:3], bool), np.ones(joints.shape[:2], bool)


def test_the_nearest_trunk_is_taken_and_joints_counted():
  known = np.ones((1, 2, 15), bool)
  targets = photo_measures.Targets(np.stack([body(60, 60), body(300, 60)])[None], known)
  shifted = body(60, 69)  # 9 px of 50: within 0.2 torso
  shifted[J15.index('r_wrist')] += 40
  shifted[J15.index('head_top')] += 40  # no limb joint: not counted
  joints, given, valid = predictions([body(60, 120), shifted])
  given[0, 1, J15.index('l_ankle')] = False
  compared = photo_measures.compare(joints, given, valid, targets)
  # The second person's nearest is 240 px away: more than a torso.
  np.testing.assert_array_equal(compared.slot, [1, -1])
  sums = photo_measures.right_joints(compared, 1)
  assert (sums.sums[0], sums.weights[0]) == (10, 24)
  # A fragment that lies exactly (one hip of the trunk) never stands before the whole person.
  fragment = given.copy()
  fragment[0, 0] = np.isin(np.arange(15), [J15.index(f'l_{x}') for x in ('hip', 'knee', 'ankle')])
  placed = joints.copy()
  placed[0, 0] = body(60, 60)
  compared = photo_measures.compare(placed, fragment, valid, targets)
  np.testing.assert_array_equal(compared.slot, [1, -1])
  nobody = photo_measures.compare(joints, given, np.zeros_like(valid), targets)
  assert photo_measures.right_joints(nobody, 1).sums[0] == 0
  known[0, 1, J15.index('l_hip')] = False  # no torso to measure by
  assert len(photo_measures.compare(joints, given, valid, targets).slot) == 1


def people_at(images, given):
  count = len(images)
  joints = jnp.broadcast_to(jnp.asarray(given, jnp.float32), (count, *np.shape(given)))
  shape = joints.shape[:2]
  none = jnp.zeros((*joints.shape[:3], 3))
  return People(
    jnp.zeros(shape, int), jnp.ones(shape), joints, none, none, jnp.zeros(shape),
    jnp.ones(joints.shape[:3], bool), jnp.ones(shape, bool),
  )


@pytest.mark.parametrize('zoom', [1.0, 1.2])
def test_equivariance_by_hand(monkeypatch, zoom):
  # Always the same symmetric person in the middle of 128 px, whatever the picture: under a zoom by
  # 1.2 about the middle a joint at distance r should have moved by 0.2 r.
  middle = body(63.5, 63.5)
  monkeypatch.setattr(infer, 'predict', lambda model, params, images: people_at(images, [middle]))
  error = photo_measures.equivariance(
    None, None, np.zeros((3, 128, 128, 3), np.uint8), turn_deg=0.0, zoom=(zoom, zoom), shift=0.0
  )
  # Four joints of 15 at 25 px, the others in the middle: 100 · 4/15 · 0.2 · 25 / 128 = 1.04.
  by_hand = 100 * 4 / 15 * (zoom - 1) * 25 / 128
  assert error == pytest.approx(by_hand, abs=1e-3)


def test_limbs_of_artificial_poses_are_inside_the_limits():
  local = poses.sample_local_poses(jax.random.key(0), 2, skeleton=J15)
  relative = np.stack([
    kinematics.rotate_to_camera(pose, jnp.array([0.0, 1.0, 0.0, 1.0, 0.0, 1.0]))
    for pose in prior.canonical(local)
  ])[None]
  people = people_at(np.zeros(1), np.zeros((2, 15, 2)))._replace(joints_relative=relative)
  assert photo_measures.limits_share(people) == 100
  # A knee that bends forward: its lower leg is the one of 14 limbs of two people that is wrong.
  hip, knee, ankle = (J15.index(f'r_{name}') for name in ('hip', 'knee', 'ankle'))
  forward = relative[0, 0, knee] + np.array([0, 0, -400.0])  # towards the camera, whom he faces
  upright = relative.copy()
  upright[0, 0, knee] = relative[0, 0, hip] + np.array([0, 420.0, 0])
  upright[0, 0, ankle] = upright[0, 0, knee] + (forward - relative[0, 0, knee])
  assert photo_measures.limits_share(people._replace(joints_relative=upright)) < 100
  nobody = people._replace(valid=np.zeros((1, 2), bool))
  assert np.isnan(photo_measures.limits_share(nobody))


def test_labels_are_where_they_were_in_the_photograph(config, tmp_path, monkeypatch):
  folder = tmp_path / 'labelled'
  folder.mkdir()
  Image.new('RGB', (120, 60)).save(folder / 'im00002.png')
  joints = np.random.default_rng(2).uniform(5, 55, (14, 2))
  entry = photo_evaluation.lspet.Labelled(folder / 'im00002.png', joints, np.ones(14, bool))
  monkeypatch.setattr(photo_evaluation.lspet, 'read_labels', lambda folder, part: (entry,))
  assert photo_evaluation.labels(config, 'test') is None
  config.images.labelled = str(folder)
  found = photo_evaluation.labels(config, 'test')
  knee = photo_evaluation.lspet.JOINTS.index('l_knee')
  # 120 × 60 on 64: scale 64/120, 30 px above; pixel centres at whole numbers.
  x, y = (joints[knee] + 0.5 + (0, 30)) * 64 / 120 - 0.5
  np.testing.assert_allclose(found.targets.joints[0, 0, J15.index('l_knee')], (x, y))
  assert not found.targets.known[0, 0, J15.index('pelvis')]
  assert found.targets.counted.all()

