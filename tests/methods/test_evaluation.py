"""Evaluation of the cross-modal method: hand-made people with known errors give known figures."""

import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import kinematics
from posejax.geometry.skeleton import J15
from posejax.methods.base import People, Product
from posejax.methods.crossmodal import (
  METHOD,
  cases,
  evaluate,
  evaluation,
  observed,
  pairs,
  plane,
  prior,
  wording,
)
from posejax.methods.crossmodal import looks as looks_lib
from posejax.models import aae
from posejax.synth import sample_local_poses

SIDE = 128


def truth_of(scenes, people, seed=0):
  """Pictures with people of random poses far apart, all to be counted."""
  rng = np.random.default_rng(seed)
  poses = rng.normal(size=(scenes, people, 15, 3)) * 200 + (0, 0, 4000)
  poses[:, :, 0] = np.linspace(-1000, 1000, people)[:, None] * (1, 0, 0) + (0, 0, 4000)
  poses[:, :, 1:] += poses[:, :, :1] * (1, 0, 0)
  return {
    'images': np.zeros((scenes, SIDE, SIDE, 3), np.uint8), 'truth_camera': poses,
    'truth_joints': poses[..., :2] / poses[..., 2:] * SIDE + (SIDE - 1) / 2,
    'truth_valid': np.ones((scenes, people), bool),
    'truth_in_frame': np.ones((scenes, people, 15), bool),
    'truth_visible': np.ones((scenes, people)),
    'truth_pelvis_visible': np.ones((scenes, people), bool),
  }


def people_of(truth):
  """Predictions without any error."""
  camera, valid = truth['truth_camera'], truth['truth_valid']
  slots = np.tile(np.arange(valid.shape[1]), (len(valid), 1))
  return People(
    slots, np.ones(valid.shape), truth['truth_joints'], camera - camera[:, :, :1], camera,
    camera[:, :, 0, 2], np.ones(camera.shape[:3], bool), valid,
  )


def seen_of(truth):
  """A teacher without any error."""
  return {
    'joints': truth['truth_joints'].copy(), 'rooted': truth['truth_valid'].copy(),
    'seen': np.ones(truth['truth_in_frame'].shape, bool),
    'dropped': np.zeros(len(truth['truth_valid']), int),
  }


def one_person():
  """One person in one picture whose true torso is 20 px long in 2D."""
  truth = truth_of(1, 1)
  joints = np.tile(np.arange(15.0)[:, None] * 5 + 20, (1, 1, 1, 2))
  shoulder, hip = plane.TORSO
  joints[0, 0, shoulder], joints[0, 0, hip] = (50, 50), (62, 66)  # 12, 16: 20 px
  truth['truth_joints'] = joints
  return truth


def test_torso_share_by_hand():
  truth = one_person()
  seen = seen_of(truth)
  # 0.2 of 20 px is 4 px: of 14 scored joints one is off by 3.9 px, one by 4.1, one is not found.
  seen['joints'][0, 0, 1] += (3.9, 0)
  seen['joints'][0, 0, 2] += (0, 4.1)
  seen['seen'][0, 0, 5] = False
  seen['joints'][0, 0, 0] += 50  # the pelvis does not count
  rows = evaluate.teacher_rows(seen, truth, SIDE)
  report = plane.own_metrics('teacher', rows, SIDE)
  assert report['teacher_2d_pck_02torso_matched'] == pytest.approx(100 * 12 / 14)
  assert report['teacher_2d_pck_02torso_all'] == pytest.approx(100 * 12 / 14)
  assert report['teacher_2d_joints_found_percent'] == pytest.approx(100 * 13 / 14)
  # 25 px of 2,048 are 1.5625 px of 128: 11 of 14.
  assert report['teacher_2d_pck_25px_scaled_matched'] == pytest.approx(100 * 11 / 14)
  assert plane.mean_error(rows) == pytest.approx((3.9 + 4.1) / 13)
  # What lies outside the picture is in no share of the torso.
  truth['truth_in_frame'][0, 0, [2, 5]] = False
  rows = evaluate.teacher_rows(seen, truth, SIDE)
  report = plane.own_metrics('teacher', rows, SIDE)
  assert report['teacher_2d_pck_02torso_all'] == pytest.approx(100)


def test_a_missed_person_is_wrong_in_all_alone():
  truth = truth_of(2, 2)
  seen = seen_of(truth)
  seen['rooted'][1, 1] = False
  report = plane.own_metrics('teacher', evaluate.teacher_rows(seen, truth, SIDE), SIDE)
  assert report['teacher_2d_pck_02torso_matched'] == 100
  assert report['teacher_2d_pck_02torso_all'] == 75
  assert report['teacher_2d_iou_matched_percent'] == pytest.approx(100)


def test_both_are_measured_on_the_same_people_and_joints():
  truth = truth_of(2, 2)
  seen, people = seen_of(truth), people_of(truth)
  seen['rooted'][0, 0] = False  # the student alone has this one, and all joints of it wrong
  joints = truth['truth_joints'].copy()
  joints[0, 0, 2:] += 30
  # Of the others the student is 2 px off in a joint that the teacher does not give, and in another.
  seen['seen'][1, :, 7] = False
  joints[1, :, [7, 8]] += (2, 0)
  student = evaluate.student_rows(people._replace(joints_2d=joints), truth, SIDE)
  teacher = evaluate.teacher_rows(seen, truth, SIDE)
  report = plane.shared_metrics({'teacher': teacher, 'student': student}, SIDE)
  assert report['2d_people_found_by_both'] == 3
  assert report['teacher_2d_mpjpe_both_px'] == 0
  # 3 people with 14 joints, two of which lack a joint: 40; two joints are 2 px off.
  assert report['student_2d_mpjpe_both_px'] == pytest.approx(2 * 2 / 40)
  assert report['student_2d_pck_25px_scaled_both'] == pytest.approx(100 * 38 / 40)
  assert report['teacher_2d_pck_25px_scaled_both'] == 100


def test_the_drop_between_domains():
  truth = one_person()
  here, there = seen_of(truth), seen_of(truth)
  there['joints'][0, 0, 1:8] += (6, 8)  # 10 px of 128: 7 of 14 joints wrong
  rows = {'a': evaluate.teacher_rows(here, truth, SIDE),
          'b': evaluate.teacher_rows(there, truth, SIDE)}
  report = plane.domain_metrics(rows, SIDE)
  assert report['teacher_drop_a_to_b_2d_pck_02torso_all'] == pytest.approx(50)
  assert report['teacher_a_2d_error_found_percent_of_side'] == 0
  assert report['teacher_b_2d_error_found_percent_of_side'] == pytest.approx(100 * 5 / 128)
  assert report['teacher_b_people_found_percent'] == 100


def test_sums_of_scenes_give_the_metrics():
  truth = truth_of(3, 2)
  people = people_of(truth)
  camera, valid = truth['truth_camera'].copy(), truth['truth_valid'].copy()
  camera[0, 0, 1:4] += (0, 0, 151)  # three joints just outside
  camera[1, 1, 5] += (149, 0, 0)  # one just inside
  valid[2, 0] = False
  people = people._replace(joints_camera=camera, valid=valid)
  sums = evaluate.scene_sums(people, truth, SIDE)
  np.testing.assert_array_equal(sums['3dpck_rel_matched'].sums, [25, 28, 14])
  np.testing.assert_array_equal(sums['3dpck_rel_matched'].weights, [28, 28, 14])
  np.testing.assert_array_equal(sums['3dpck_rel_all'].weights, [28, 28, 28])
  np.testing.assert_allclose(sums['mpjpe_root_matched_mm'].sums, [453, 149, 0], atol=1e-6)
  report = evaluate.summary(people, truth, SIDE)
  for name, value in sums.items():
    estimate = evaluate.interval(name, value)
    assert estimate.mean == pytest.approx(report[name])
    assert estimate.low <= estimate.mean <= estimate.high
  assert report['people_counted'] == 6 and report['people_matched'] == 5


def test_nobody_found_is_nan_and_no_error():
  truth = truth_of(2, 1)
  people = people_of(truth)._replace(valid=np.zeros((2, 1), bool))
  report = evaluate.summary(people, truth, SIDE)
  assert np.isnan(report['3dpck_rel_matched']) and report['3dpck_rel_all'] == 0
  assert np.isnan(report['detection_precision_percent']) and report['detection_recall_percent'] == 0
  assert np.isnan(evaluate.interval('x', evaluate.scene_sums(people, truth, SIDE)[
    '3dpck_rel_matched']).mean)
  nobody = truth | {'truth_valid': np.zeros((2, 1), bool)}
  assert np.isnan(evaluate.summary(people, nobody, SIDE)['3dpck_rel_all'])
  assert all(np.isnan(v) for v in evaluate.baselines_of(nobody, np.zeros((15, 3))).values())


def test_the_rival_is_the_baseline_of_the_same_people():
  truth = truth_of(3, 2)
  mean_pose = np.random.default_rng(1).normal(size=(15, 3)) * 200
  mean_pose[0] = 0
  people = people_of(truth)
  sums = evaluate.rival_sums(people, truth, SIDE, mean_pose)
  whole = evaluate.baselines_of(truth, mean_pose)[evaluate.BASELINE.format('person_yaw')]
  assert evaluate.interval('x', sums).mean == pytest.approx(whole, abs=1e-3)
  valid = truth['truth_valid'].copy()
  valid[1] = False
  fewer = evaluate.rival_sums(people._replace(valid=valid), truth, SIDE, mean_pose)
  np.testing.assert_array_equal(fewer.weights, [28, 0, 28])
  assert fewer.sums[1] == 0 and fewer.sums[0] == sums.sums[0]


def test_detection_is_within_one_cell():
  truth = truth_of(1, 2)
  people = people_of(truth)
  joints = truth['truth_joints'].copy()
  joints[0, 0, 0] += (7.9, 0)
  joints[0, 1, 0] += (0, 8.1)
  report = evaluate.detection(people._replace(joints_2d=joints), truth)
  assert report == {'detection_recall_percent': 50, 'detection_precision_percent': 50}
  # Who has somebody before the pelvis is nobody to be found, and finding him is no mistake;
  truth['truth_pelvis_visible'][0, 1] = False
  report = evaluate.detection(people_of(truth), truth)
  assert report == {'detection_recall_percent': 100, 'detection_precision_percent': 100}
  truth['truth_pelvis_visible'][0, 1] = True
  # who hardly shows, likewise.
  truth['truth_visible'][0, 1] = 0.29
  report = evaluate.detection(people_of(truth), truth)
  assert report == {'detection_recall_percent': 100, 'detection_precision_percent': 100}


def test_cases_hold_who_was_matched_and_their_error():
  truth = truth_of(2, 2)
  people = people_of(truth)
  camera, valid = truth['truth_camera'].copy(), truth['truth_valid'].copy()
  camera[0, 1, 1:] += (30, 40, 0)  # all 14 scored joints by 50 mm
  valid[1] = False
  people = people._replace(joints_camera=camera, valid=valid)
  first, second = cases.cases_of(people, seen_of(truth), truth, SIDE)
  np.testing.assert_array_equal(first.match, [0, 1])
  assert first.error == pytest.approx(25)  # of 0 and 50
  np.testing.assert_array_equal(second.match, [-1, -1])
  assert np.isnan(second.error)
  np.testing.assert_array_equal(second.truth_camera, truth['truth_camera'][1])


@pytest.fixture(scope='module')
def whole():
  """`evaluate_run` with a perfect student and a teacher that a domain makes worse."""
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.world.image_size = SIDE
  sets = {name: truth_of(scenes, 2, seed) for seed, (name, scenes) in enumerate(
    [('images_a', 40), ('validation', 3), ('test', 4)]
  )}
  networks = prior.aae_config(config)
  psi = jax.jit(aae.PoseDecoder(networks).init)(
    jax.random.key(0), jnp.zeros((1, networks.embedding))
  )
  products = {name: Product(arrays=truth) for name, truth in sets.items()}
  products['prior'] = Product({'Psi': psi['params']}, arrays={prior.MEAN_POSE: np.zeros((15, 3))})
  products['observed'] = Product(arrays={
    'dropped': np.array([1, 0]), 'rooted': np.array([[True, False], [True, True]]),
  })
  asked = []

  def observe(config, products, truth, looks=looks_lib.ONCE):
    asked.append((len(truth['images']), len(looks.zooms)))
    seen = seen_of(truth)
    if looks != looks_lib.ONCE:  # several looks miss one joint of 14 in everybody
      seen['joints'][:, :, 1] += 60
    elif len(truth['images']) > 2:  # not the part of domain A: 2 of 40 are held back
      seen['joints'][:, :, 1:8] += 60
      seen['dropped'][0] = 2
    return seen

  with pytest.MonkeyPatch.context() as patch:
    patch.setattr(evaluation, '_observed', observe)
    patch.setattr(evaluation.batches, 'in_batches', lambda f, rows, *rest: f(rows))
    patch.setattr(
      evaluation.infer, 'predictor', lambda config, products: lambda images: people_of(
        next(truth for truth in sets.values() if truth['images'] is images)
      ),
    )
    result = {split: evaluation.evaluate_run(config, products, split) for split in METHOD.splits}
  return result, asked


def test_a_whole_evaluation_hangs_together(whole):
  result, _ = whole
  for split, done in result.items():
    assert done.split == split and done.metrics[done.headline].value == 100
    names = {name for table in done.tables for row in table.cells for name in row if name}
    assert names | {*done.baselines, done.headline, done.lead, *done.scene_sums} <= set(
      done.metrics
    )
    assert all(metric.meaning and metric.unit for metric in done.metrics.values())
    assert set(evaluate.VALIDATION) <= set(done.metrics)
    assert len(done.cases) == len(done.scene_sums['3dpck_rel_all'].sums)
    assert [len(chosen.poses) for chosen in done.pose_sets] == [8, 8]
    lead = done.metrics[done.lead]
    rival = done.metrics[evaluate.RIVAL].value
    assert lead.value == pytest.approx(100 - rival) and lead.low <= lead.value <= lead.high


def test_the_domains_are_compared_on_the_same_kinds_of_motion(whole):
  result, asked = whole
  # Of a split: its own pictures once and as they teach, the 2 of A that were held back, and
  # validation where it is not it.
  assert asked == [(3, 1), (3, 2), (2, 1), (4, 1), (4, 2), (2, 1), (3, 1)]
  drops = [
    done.metrics['teacher_drop_a_to_b_2d_pck_02torso_all'].value for done in result.values()
  ]
  assert drops == [pytest.approx(50), pytest.approx(50)]


def test_what_the_teacher_teaches_is_measured_beside_it(whole):
  for done in whole[0].values():
    # 7 of the teacher's 14 joints are wrong, and one of those that it teaches.
    assert done.metrics['teacher_2d_pck_02torso_all'].value == pytest.approx(50)
    assert done.metrics['lessons_2d_pck_02torso_all'].value == pytest.approx(100 * 13 / 14)
    plane = next(table for table in done.tables if table.title == '2D: student and teacher')
    assert plane.cells[2][4:] == ('lessons_2d_pck_02torso_all', 'lessons_2d_joints_found_percent')


def test_people_whom_the_teacher_drops_are_shown(whole):
  result, _ = whole
  done = result['test']  # 4 pictures with 2 people each that have a root, and 2 people without
  assert done.metrics['teacher_people_without_root'].value == 2
  assert done.metrics['teacher_people_without_root_percent'].value == pytest.approx(20)
  people = next(table for table in done.tables if table.title == 'People found')
  assert 'teacher_people_without_root' in people.cells[1]
  # In training one of 4.
  assert done.metrics['lessons_people_without_root'].value == 1
  assert done.metrics['lessons_people_without_root_percent'].value == pytest.approx(25)
  assert 'lessons_people_without_root_percent' in people.cells[2]
  nobody = {'dropped': np.zeros(2, int), 'rooted': np.zeros((2, 3), bool)}
  assert np.isnan(observed.rootless(nobody)['teacher_people_without_root_percent'])


def test_the_report_says_that_validation_knows_3d(whole):
  for done in whole[0].values():
    assert any('3D truth' in note and 'unsupervised' in note for note in done.notes)


def test_every_joint_has_words_and_unknown_names_have_none():
  metric = wording.described('3dpck_rel_all_head_top', 12.0)
  assert metric.unit == '%' and 'head top alone' in metric.meaning
  with pytest.raises(KeyError):
    wording.described('pck_of_something', 1.0)


def test_who_counts_and_the_order_of_rows():
  truth = truth_of(2, 2)
  truth['truth_in_frame'][0, 0, 0] = False
  found = pairs.match(
    truth['truth_joints'][:, ::-1], np.ones((2, 2, 15), bool), truth['truth_valid'], truth, SIDE
  )
  np.testing.assert_array_equal(found.scene, [0, 1, 1])
  np.testing.assert_array_equal(found.person, [1, 0, 1])
  np.testing.assert_array_equal(found.slot, [0, 1, 0])  # predictions stand the other way round
  assert found.matched.all()


def test_the_fixed_pose_is_what_training_saw(monkeypatch):
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke,mocap').unlock()
  config.mocap.dir = 'gone'  # since the training: what was kept of it counts
  kept = np.random.default_rng(0).normal(size=(15, 3))
  products = {'prior': Product(arrays={prior.MEAN_POSE: kept})}
  np.testing.assert_array_equal(evaluation.fixed_pose(config, products), kept)
  # Networks alone, as a parcel brings them: from the folder as it is now.
  monkeypatch.setattr(prior, 'mean_pose', lambda config: kept + 1)
  alone = {'prior': Product()}
  np.testing.assert_array_equal(evaluation.fixed_pose(config, alone), kept + 1)
  # With 3D labels, the labelled people. One of four pictures is labelled, one of its two people is
  # there: the mean is that person's canonical pose, whatever the others do.
  config.align.update({'label_3d': True, 'label_share': 0.25})
  pose = np.asarray(sample_canonical(jax.random.key(0)))
  turn = np.array([[0, -1, 0], [0, 0, -1], [1, 0, 0]])  # body axes to the camera's
  camera = np.random.default_rng(1).normal(size=(4, 2, 15, 3)) * 300
  camera[0, 1] = pose @ turn.T + [100, 200, 3000]
  valid = np.array([[False, True]] + [[True, True]] * 3)
  products['images_b'] = Product(arrays={'truth_camera': camera, 'truth_valid': valid})
  np.testing.assert_allclose(evaluation.fixed_pose(config, products), pose, atol=0.05)


def sample_canonical(key):
  lengths = jnp.asarray(kinematics.bone_lengths(J15))
  return kinematics.forward_kinematics(sample_local_poses(key, 1, skeleton=J15)[0], lengths, J15)
