"""Lifting from a copy of CHI3D: its poses as the sets, its pairs before their own cameras."""

import runpy
import shutil

import jax.numpy as jnp
import numpy as np
import pytest

from posejax.data import chi3d_split
from posejax.data.captured_poses import CapturedPosesError
from posejax.methods.lifting import METHOD, compose, people, wording
from posejax.metrics import scenes as scene_metrics
from posejax.synth import pose_views
from posejax.training import config as config_lib
from posejax.training import stages
from tests.data import chi3d_files as made

get_config = runpy.run_path('configs/lifting.py')['get_config']


def config_of(folder, **data):
  config = get_config('smoke').unlock()
  config.data.update({'chi3d': str(folder), 'train': 20, 'test': 5, **data})
  config.scenes.update({'single': 4, 'count': 4})
  return config


@pytest.fixture(scope='module')
def copy(tmp_path_factory):
  """Level cameras: without roll the compositions' assumption holds."""
  return made.write(tmp_path_factory.mktemp('copy'), roll=0.0)


@pytest.fixture(scope='module')
def poses(copy):
  return people.make_poses(config_of(copy), {})


@pytest.fixture(scope='module')
def views(copy, poses):
  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(people, 'groups', lambda: (('close', 2),))  # the others would only be compiled
    return people.set_plan('test').make(config_of(copy), {'poses': poses}).arrays


def test_one_folder_alone(copy):
  config_lib.validate(config_of(copy), METHOD.rules)
  config = config_of('ours', mocap='theirs')
  with pytest.raises(
    config_lib.ConfigError,
    match=r"^config\.data\.chi3d = 'ours': stands beside config\.data\.mocap = 'theirs': give one",
  ):
    config_lib.validate(config, METHOD.rules)


def test_the_folder_and_the_share_decide_all_stages(copy):
  first = stages.stage_keys(METHOD, config_of(copy))
  for data in ({'chi3d': ''}, {'chi3d_validation': 0.3}):
    other = stages.stage_keys(METHOD, config_of(copy, **data))
    assert not set(first.values()) & set(other.values())
  # What a figure is made with, and what it is made of, decide no training.
  louder = config_of(copy).copy_and_resolve_references().unlock()
  louder.scenes.noise = 7.0
  assert stages.stage_keys(METHOD, louder) == first


def test_a_mended_copy_is_another(copy, tmp_path):
  mended = tmp_path / 'mended'
  shutil.copytree(copy, mended)
  keys = stages.stage_keys(METHOD, config_of(mended))
  file = next(path for path in sorted(mended.rglob('*.json')))
  file.write_text(file.read_text() + ' ')
  assert not set(keys.values()) & set(stages.stage_keys(METHOD, config_of(mended)).values())


def test_the_sets_are_its_people(poses):
  arrays = poses.arrays
  assert len(arrays['train']) == 20 and len(arrays['test']) == 5
  for name in ('train', 'validation', 'test'):
    assert arrays[name].shape[1:] == (17, 3) and np.isfinite(arrays[name]).all()
  assert arrays['test_pairs_joints'].shape == (5, 2, 17, 3)
  assert arrays['test_pairs_rotation'].shape == (5, 4, 3, 3)
  # The second person is 5 % larger; pelvis to head top is 0.75 m or so, seen from 4 to 7 m.
  heights = arrays['train'][:, people.HEAD, 2]
  assert set(np.round(heights / 1750, 3)) == {1.0, np.float32(1.05)}
  assert 750 / 8000 < arrays['unit'] < 790 / 3000


def test_pairs_are_seen_as_by_hand(poses, views):
  """(X − T) Rᵀ, tangents of it, and the angles of the pelvises' rays, in NumPy."""
  assert people.measured(views)[0] == 'close_2' and people.measured(views)[-1] == people.REAL
  found = people.read_views(views, people.REAL)
  frames = np.linspace(0, 4, 4).round().astype(int)
  for row, frame in enumerate(frames):
    R, T = made.rotation(row, 0.0)  # cameras in turns
    joints = poses.arrays['test_pairs_joints'][frame].astype(np.float64)
    seen = (joints - 1000 * T) @ R.T
    np.testing.assert_allclose(found.rays[row], seen[..., :2] / seen[..., 2:], atol=1e-5)
    away = np.linalg.norm(seen[:, 0], axis=-1)
    np.testing.assert_allclose(found.distance[row], away, rtol=1e-5)
    # Below the horizon by what the pelvis is lower than the camera; θ is minus that.
    below = np.arcsin((1000 * T[2] - joints[:, 0, 2]) / away)
    np.testing.assert_allclose(found.theta[row], -below, atol=1e-5)
    along = (seen * seen[:, :1] / away[:, None, None]).sum(-1)
    np.testing.assert_allclose(found.depth[row], along - along[:, :1], atol=0.05)
    np.testing.assert_allclose(found.pitch[row], -np.arcsin(R[2, 2]), atol=1e-6)
    np.testing.assert_allclose(found.levelled[row, ..., 1], 1000 * T[2] - joints[..., 2], atol=0.05)
    gaps = found.levelled[row][0] - found.levelled[row][1]
    np.testing.assert_allclose(
      np.linalg.norm(gaps, axis=-1), np.linalg.norm(joints[0] - joints[1], axis=-1), atol=0.05
    )
  np.testing.assert_allclose(found.rectified[:, :, 0], 0, atol=1e-6)


def test_a_camera_that_looks_north_is_the_one_of_drawn_scenes(poses):
  """The same people by the two ways to Views."""
  joints, pitch, away, height = poses.arrays['test_pairs_joints'][:1], 0.2, 5000.0, 900.0
  s, c = np.sin(pitch), np.cos(pitch)
  R = np.array([[1, 0, 0], [0, -s, -c], [0, c, -s]])  # rows: right, down, ahead
  place = np.array([0, -away * c, height + away * s])
  frames = chi3d_split.Pairs(joints, R[None, None], -(R @ place)[None, None])
  found = people.real_views(frames, 1)
  wanted = pose_views.see(jnp.asarray(joints[0]), jnp.asarray(pitch), jnp.asarray(away), height)
  for name, ours, theirs in zip(wanted._fields, found, wanted, strict=True):
    np.testing.assert_allclose(ours[0], theirs, rtol=1e-4, atol=1e-2, err_msg=name)


def test_with_true_depths_real_pairs_are_composed_without_error(copy, poses, views):
  unit, found = float(poses.arrays['unit']), people.read_views(views, people.REAL)
  composer = compose.Composer(config_of(copy), {}, unit)
  given = compose.oracle(composer.config, found, unit)
  errors = scene_metrics.summary(compose.errors(composer.composed('ground', given), found))
  assert errors['pa_mpjpe_mm'] < 1
  floor = scene_metrics.summary(compose.errors(compose.floor(found), found))
  assert floor['pa_mpjpe_mm'] > 30
  assert wording.described(f'{people.REAL}_ground_pa_mpjpe_mm', 1.0).meaning.endswith(
    '2 people of CHI3D before its own cameras'
  )


def test_people_behind_every_camera_are_an_error(poses):
  frames = chi3d_split.Pairs(*(
    poses.arrays[f'test_pairs_{field}'] for field in chi3d_split.Pairs._fields
  ))
  behind = frames._replace(translation=frames.translation - np.float32([0, 0, 20_000]))
  with pytest.raises(CapturedPosesError, match='no camera of CHI3D has both people before it'):
    people.real_views(behind, 4)
  # One of four cameras: its views are left out.
  shift = np.zeros_like(frames.translation)
  shift[:, 1, 2] = -20_000
  some = people.real_views(frames._replace(translation=frames.translation + shift), 4)
  assert len(some.theta) == 3


def test_without_pairs_nothing_is_real(copy, poses, monkeypatch):
  monkeypatch.setattr(people, 'groups', lambda: ())
  alone = people.Product(arrays={
    name: rows for name, rows in poses.arrays.items() if 'pairs' not in name
  })
  arrays = people.set_plan('test').make(config_of(copy), {'poses': alone}).arrays
  assert 'single_rays' in arrays and people.REAL not in people.measured(arrays)
  assert not [name for name in arrays if name.startswith(people.REAL)]


def test_a_folder_that_is_none_is_one_line(tmp_path):
  with pytest.raises(CapturedPosesError, match='no such folder; put it there as chi3d/train/'):
    people.make_poses(config_of(tmp_path / 'none'), {})
