"""The cross-modal wiring: configs, M by its parts, roots, phases, and the evaluation's protocol."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import camera, kinematics
from posejax.geometry.skeleton import J15
from posejax.heatmaps import People2D
from posejax.methods.base import People
from posejax.methods.crossmodal import (
  METHOD,
  PHOTOS,
  align,
  draws,
  evaluate,
  lift,
  observed,
  world,
)
from posejax.models import aae
from posejax.models.crossmodal import Representation
from posejax.synth.motion_families import TEST_FAMILIES
from posejax.training import config as config_lib
from posejax.training import stages

get_config = runpy.run_path('configs/unsup.py')['get_config']


def changed(**switches):
  config = get_config('smoke').unlock()
  config.align.update(switches)
  return config


@pytest.mark.parametrize('preset', ['', 'smoke'])
def test_configs_keep_their_rules(preset):
  config = get_config(preset)
  config_lib.validate(config, METHOD.rules)
  keys = stages.stage_keys(METHOD, config)
  assert list(keys) == [
    'images_a', 'teacher', 'prior', 'images_b', 'observed', 'validation', 'align', 'refine',
    'test',
  ]


def test_an_unknown_preset_names_what_there_is():
  with pytest.raises(ValueError, match=r"unknown preset 'huge'; known: long, "):
    get_config('huge')


def test_a_change_of_the_student_keeps_the_teacher():
  ours, theirs = (stages.stage_keys(METHOD, c) for c in (changed(), changed(ss=False)))
  assert {name for name in ours if ours[name] != theirs[name]} == {'align', 'refine'}


@pytest.mark.parametrize(
  'changes',
  [{'world.nearest_mm': 1500}, {'world.farthest_mm': 9000}, {'save_every': 7}],
)
@pytest.mark.parametrize('method', [METHOD, PHOTOS], ids=lambda method: method.name)
def test_what_decides_the_student_is_in_its_key(changes, method, tmp_path):
  # Of photographs no earlier stage knows the depths.
  config = changed()
  (tmp_path / 'photo').write_bytes(b'1')
  config.images.dir = str(tmp_path)
  before = stages.stage_keys(method, config)
  config.update_from_flattened_dict(changes)
  after = stages.stage_keys(method, config)
  assert before['align'] != after['align'] and before['refine'] != after['refine']


@pytest.mark.parametrize(
  ('switches', 'expected'),
  [
    ({}, {'distil': ('distl',), 'align': ('distl', 'recon', 'adapt'), 'refine': ('ss', 'recon_h')}),
    ({'adapt': False, 'ss': False}, {
      'distil': ('distl',), 'align': ('distl', 'recon'), 'refine': ('distl', 'recon_h'),
    }),
    ({'recon': False, 'adapt': False, 'ss': False}, dict.fromkeys(
      ('distil', 'align', 'refine'), ('distl',)
    )),
    ({'label_2d': True, 'label_3d': True, 'steps': (0, 4, 2)}, {
      'align': ('label_2d', 'label_3d', 'recon', 'adapt'),
      'refine': ('label_2d', 'label_3d', 'ss', 'recon_h'),
    }),
    ({'distl': False, 'adapt': False, 'ss': False, 'steps': (3, 4, 2)}, {
      'align': ('recon',), 'refine': ('recon_h',),  # nothing to do in the first phase
    }),
    # A tenth of the pictures has labels, the others their teacher.
    ({'label_2d': True, 'label_share': 0.1}, {
      'distil': ('label_2d', 'distl'), 'align': ('label_2d', 'distl', 'recon', 'adapt'),
      'refine': ('label_2d', 'ss', 'recon_h'),
    }),
  ],
)
def test_every_rung_is_a_switch(switches, expected):
  phases = align._phases(changed(**switches))
  assert {phase.name: phase.losses for phase in phases} == expected
  for phase in phases:
    assert ('images' in phase.sources) == (phase.losses[0] not in ('recon', 'recon_h'))
    assert ('scenes' in phase.sources) == any(
      loss.startswith(('recon', 'adapt')) for loss in phase.losses
    )


def test_depth_range_is_log_affine():
  depths = lift.DepthRange(2000.0, 8000.0)
  # The middle of the logarithm of 2 m and 8 m is 4 m.
  np.testing.assert_allclose(depths.depth(jnp.array([-1.0, 0.0, 1.0])), [2000, 4000, 8000], 1e-5)
  np.testing.assert_allclose(depths.scaled(jnp.array([2000.0, 4000.0])), [-1, 0], atol=1e-6)


def test_lift_is_its_parts():
  config = aae.AAEConfig(J15, part=8, chain=8, half=8, body=16)
  psi = aae.PoseDecoder(config).init(jax.random.key(0), jnp.zeros((1, 32)))['params']
  found = Representation(
    phi=jax.random.uniform(jax.random.key(1), (1, 2, 32), minval=-1.0),
    c=jnp.array([[[0.0, 1, 0, 1, 0, 1], [0.6, 0.8, 0, 1, 0, 1]]]), depth=jnp.array([[0.0, 0.5]]),
  )
  roots = jnp.array([[[30.0, 40.0], [70.0, 50.0]]])
  fixed, depths = camera.fixed_intrinsics(128), lift.DepthRange(2000.0, 8000.0)
  lifted = jax.jit(lambda r: lift.lift(config, psi, found, r, fixed, depths, 'full'))(roots)
  weak = jax.jit(lambda r: lift.lift(config, psi, found, r, fixed, depths, 'weak'))(roots)
  # Roots are where they were said to be, in both projections.
  np.testing.assert_allclose(lifted.image[0, :, 0], roots[0], atol=1e-3)
  np.testing.assert_allclose(weak.image[0, :, 0], roots[0], atol=1e-3)
  np.testing.assert_allclose(lifted.camera[..., 0, 2], lifted.depth, rtol=1e-6)
  # By hand: X = x · d / f + p_r, then x = f X / Z + c.
  z = np.asarray(lifted.camera[0, 1, :, 2])
  x = 128 * np.asarray(lifted.camera[0, 1, :, 0]) / z + 63.5
  np.testing.assert_allclose(lifted.image[0, 1, :, 0], x, atol=1e-3)
  np.testing.assert_allclose(
    lifted.camera - lifted.camera[:, :, :1], lifted.relative, atol=1e-2
  )
  lengths = np.linalg.norm(
    np.asarray(lifted.relative)[..., 1:, :]
    - np.asarray(lifted.relative)[..., np.array(J15.parents[1:]), :], axis=-1
  )
  expected = np.broadcast_to(kinematics.bone_lengths(J15)[1:], lengths.shape)
  np.testing.assert_allclose(lengths, expected, rtol=1e-4)


def test_roots_are_pelvises_or_middles_of_hips():
  joints = np.zeros((3, 15, 2), np.float32)
  joints[:, J15.index('pelvis')] = (50, 50)
  joints[:, J15.index('r_hip')], joints[:, J15.index('l_hip')] = (40, 60), (50, 62)
  visible = np.ones((3, 15), bool)
  visible[1:, J15.index('pelvis')] = False
  visible[2, J15.index('l_hip')] = False
  people = People2D(joints, np.ones((3, 15)), visible, np.ones(3), np.ones(3, bool))
  roots, rooted = observed.roots_of(people)
  np.testing.assert_array_equal(rooted, [True, True, False])
  np.testing.assert_allclose(roots, [[50, 50], [45, 61], [0, 0]])


@pytest.fixture(scope='module')
def pictures():
  """Truth of 6 pictures with 2 persons, one of whom hardly shows, and perfect predictions."""
  rng = np.random.default_rng(0)
  poses = rng.normal(size=(6, 2, 15, 3)) * 200 + (0, 0, 4000)
  poses[:, :, 0] = ((-600, 0, 4000), (600, 0, 4000))
  image = poses[..., :2] / poses[..., 2:] * 128 + 63.5
  visible = np.ones((6, 2))
  visible[0, 1] = 0.1
  truth = {
    'images': np.zeros((6, 1)), 'truth_camera': poses, 'truth_joints': image,
    'truth_valid': np.ones((6, 2), bool), 'truth_in_frame': np.ones((6, 2, 15), bool),
    'truth_visible': visible, 'truth_pelvis_visible': np.ones((6, 2), bool),
  }
  people = People(
    np.tile(np.arange(2), (6, 1)), np.ones((6, 2)), image, poses - poses[:, :, :1], poses,
    poses[:, :, 0, 2], np.ones((6, 2, 15), bool), np.ones((6, 2), bool),
  )
  return truth, people


def test_perfect_predictions_are_perfect(pictures):
  truth, people = pictures
  assert evaluate.counted(truth).sum() == 11
  report = evaluate.summary(people, truth, 128)
  assert report['3dpck_rel_matched'] == report['3dpck_abs_150mm_all'] == 100
  assert report['mpjpe_root_matched_mm'] == 0 and report['depth_error_matched_mm'] == 0
  assert report['detection_recall_percent'] == report['detection_precision_percent'] == 100
  # 30 of 31 thresholds are above an error of 0: 0 is not below 0.
  assert report['auc_rel_matched'] == pytest.approx(100 * 30 / 31)
  sums = evaluate.scene_sums(people, truth, 128)['3dpck_rel_matched']
  interval = evaluate.interval('3dpck_rel_matched', sums)
  assert tuple(interval) == (100, 100, 100)


def test_unmatched_people_count_in_all_alone(pictures):
  truth, people = pictures
  valid = people.valid.copy()
  valid[1:3] = False  # 4 of the 11 people are missed
  report = evaluate.summary(people._replace(valid=valid), truth, 128)
  assert report['3dpck_rel_matched'] == 100
  assert report['3dpck_rel_all'] == pytest.approx(100 * 7 / 11)
  assert report['detection_recall_percent'] == pytest.approx(100 * 7 / 11)


def test_depth_counts_in_the_absolute_metrics_alone(pictures):
  truth, people = pictures
  shifted = people.joints_camera + (0, 0, 200)
  report = evaluate.summary(people._replace(joints_camera=shifted), truth, 128)
  assert report['3dpck_rel_all'] == 100
  assert report['3dpck_abs_250mm_all'] == 100 and report['3dpck_abs_150mm_all'] == 0
  assert report['depth_error_matched_mm'] == pytest.approx(200)


def test_sets_never_share_a_seed():
  streams = [chosen.stream for chosen in world._SETS.values()]
  assert len(set(streams)) == len(streams) and max(streams) < 8


def test_bodies_of_other_sizes_are_an_option():
  # People of 0.9 of the standard size, each bone 10 % longer or shorter: 0.81 to 0.99 of its own.
  config = get_config('smoke').unlock()
  config.scenes.update({'body_scale': (0.9, 0.9), 'bone_variation': 0.1})
  config.world.update({'body_scale': (1.1, 1.1)})
  draw = jax.jit(jax.vmap(draws.scenes(config, {'poses': {}})))
  scene = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(0), 32)))
  people = scene['camera'][scene['valid']]
  children = np.arange(1, 15)
  bones = np.linalg.norm(people[:, children] - people[:, np.array(J15.parents)[1:]], axis=-1)
  shares = bones / kinematics.bone_lengths(J15)[1:]
  assert 0.805 < shares.min() < 0.84 and 0.96 < shares.max() < 0.995
  assert world.image_scenes(config, TEST_FAMILIES).body_scale == (1.1, 1.1)
  # The default: all share one body [P].
  assert not world.syn_scenes(get_config('')).bodies_vary


def test_codes_of_labels_give_the_poses_back():
  # FK of the local rows with each person's own bones, turned by c, is the pose that was labelled.
  rng = np.random.default_rng(0)
  config = get_config('smoke').unlock()
  config.scenes.update({'body_scale': (0.8, 1.2), 'bone_variation': 0.1})
  draw = jax.jit(jax.vmap(draws.scenes(config, {'poses': {}})))
  scene = jax.tree.map(np.asarray, draw(jax.random.split(jax.random.key(1), 4)))
  camera = scene['camera'] + rng.normal(size=(4, 3, 1, 3)) * 1000
  codes = draws.codes(camera)

  @jax.jit
  def pose(local, c, bones):
    return kinematics.rotate_to_camera(kinematics.forward_kinematics(local, bones, J15), c)

  for image, person in np.argwhere(scene['valid']):
    one = camera[image, person]
    bones = np.zeros(15, np.float32)
    bones[1:] = np.linalg.norm(one[1:] - one[np.array(J15.parents)[1:]], axis=-1)
    again = pose(codes['local'][image, person], codes['c'][image, person], bones)
    np.testing.assert_allclose(again, one - one[0], atol=0.3)
    # And they are what the scene was drawn with.
    np.testing.assert_allclose(codes['c'][image, person], scene['c'][image, person], atol=2e-3)
