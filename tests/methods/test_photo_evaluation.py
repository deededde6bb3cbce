"""The evaluation of a run on photographs as a whole: a perfect student, a teacher that is off."""

import runpy

import numpy as np
import pytest

from posejax.geometry.skeleton import J15
from posejax.methods.base import People, PoseSet, Product, SceneSums
from posejax.methods.crossmodal import photo_evaluation, photo_measures
from posejax.methods.crossmodal.photo_evaluation import LABELLED, STUDENT, TAUGHT, WHOLE

SIDE = 64


def bodies(count, seed):
  """(N, 1, 15, 2) px: upright people with a torso of 25 px."""
  rng = np.random.default_rng(seed)
  pose = rng.uniform(20, 44, (count, 1, 15, 2))
  for name, place in {
    'r_shoulder': (24, 20), 'l_shoulder': (39, 20), 'r_hip': (24, 40), 'l_hip': (39, 40),
  }.items():
    pose[:, :, J15.index(name)] = place
  return pose


def people_of(joints):
  shape = joints.shape[:2]
  space = np.zeros((*joints.shape[:3], 3))
  return People(
    np.zeros(shape, int), np.ones(shape), joints, space, space, np.zeros(shape),
    np.ones(joints.shape[:3], bool), np.ones(shape, bool),
  )


@pytest.fixture
def evaluated(monkeypatch):
  """`evaluate_run` with (True) or without labels; the wrist of the teacher is 9 px off on them."""
  clips, labelled = bodies(3, 0), bodies(2, 1)
  poses = {3: clips, 2: labelled}  # by how many pictures are asked about

  def observe(frozen, images, max_people, *rest, **unused):
    joints = poses[len(images)].copy()
    if len(images) == 2 and frozen != 'whole':
      joints[:, :, J15.index('r_wrist')] += 9
    there = np.ones(joints.shape[:3], bool)
    return {'joints': joints, 'seen': there, 'visible': there, 'rooted': there[..., 0],
            'dropped': np.arange(len(images))}

  module = photo_evaluation
  for where, name, value in (
    (module.infer, 'predictor', lambda *_: lambda images: people_of(poses[len(images)])),
    (module.infer, 'Model', lambda config: None),
    (module.infer, 'networks', lambda products: None),
    (module.batches, 'in_batches', lambda f, rows, size, label='': f(rows)),
    (module.teacher, 'frozen', lambda *_: 'taught'),
    (module, '_with_all_stages', lambda config: 'whole'),
    (module.observed, 'observe', observe),
    (photo_measures, 'equivariance', lambda *_, **strength: 1.5),
    (photo_measures, 'limits_share', lambda people: 80.0),
    (module.cases, 'decoded_sets', lambda *_: ((PoseSet('φ', '', np.zeros((1, 15, 3))),), {})),
  ):
    monkeypatch.setattr(where, name, value)

  def run(labels):
    known = np.ones((2, 1, 15), bool)
    monkeypatch.setattr(module, 'labels', lambda config, split: module._Set(
      np.zeros((2, SIDE, SIDE, 3), np.uint8), photo_measures.Targets(labelled, known),
    ) if labels else None)
    config = runpy.run_path('configs/unsup.py')['get_config']('real')
    products = {'test': Product(arrays={
      'images': np.zeros((3, SIDE, SIDE, 3), np.uint8), 'clip': np.array(['a', 'b', 'a']),
    })}
    return module.evaluate_run(config, products)

  return run


def test_with_labels_the_student_stands_beside_both_teachers(evaluated):
  done = evaluated(labels=True)
  value = {name: metric.value for name, metric in done.metrics.items()}
  assert done.headline == LABELLED.format(STUDENT)
  assert done.baselines == (LABELLED.format(TAUGHT), LABELLED.format(WHOLE))
  assert value[LABELLED.format(STUDENT)] == value[LABELLED.format(WHOLE)] == 100
  # 9 px each way are more than 0.2 torso of 25 px: one of twelve limb joints.
  assert value[LABELLED.format(TAUGHT)] == pytest.approx(100 * 11 / 12)
  assert value[done.lead] == pytest.approx(100 / 12)
  assert value['student_people_found'] == value['teacher_people_found'] == 3
  # 0 + 1 + 2 people of the clips had no root: half of the 6 whom the teacher saw.
  assert value['teacher_people_without_root'] == 3
  assert value['teacher_people_without_root_percent'] == pytest.approx(50)
  assert [len(case.image) for case in done.cases] == [SIDE] * 5  # photographs first, then clips
  np.testing.assert_array_equal(done.cases[0].truth_2d, bodies(2, 1)[0])
  shown = {name for table in done.tables[:2] for row in table.cells for name in row}
  assert shown <= set(value) and 'teacher_people_without_root' in shown


def test_without_labels_agreement_is_the_headline(evaluated):
  done = evaluated(labels=False)
  assert done.headline == photo_evaluation.AGREEMENT and done.baselines == ()
  assert done.metrics[done.headline].value == 100
  assert np.isnan(done.metrics[done.lead].value) and len(done.cases) == 3


def test_frames_of_a_clip_count_once():
  sums = photo_evaluation._by_clip(
    SceneSums(np.array([3, 5, 4]), np.array([12, 12, 24])), np.array(['b', 'a', 'b'])
  )
  assert sums.sums.tolist() == [5, 7] and sums.weights.tolist() == [12, 36]

