"""Metrics against hand calculations and plain NumPy."""

import hypothesis
import hypothesis.strategies as st
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.metrics import baselines, matching, pose, statistics

RNG = np.random.default_rng(0)
TARGETS = RNG.normal(size=(5, 15, 3)) * 300
ALL = np.ones((5, 15), bool)


def test_root_errors_by_hand():
  # Root (0,0,0) -> (10,0,0); the other joint (0,0,100) -> (10,30,140): off by (0,30,40), 50 mm.
  target = np.array([[[0, 0, 0], [0, 0, 100]]])
  prediction = np.array([[[10, 0, 0], [10, 30, 140]]])
  np.testing.assert_allclose(pose.root_errors(prediction, target), [[0, 50]])
  with pytest.raises(ValueError, match=r'root_errors: expected two arrays \(N, J, 3\), got'):
    pose.root_errors(prediction[0], target[0])


def test_alignments_remove_what_they_name():
  centered = TARGETS - TARGETS[:, :1]
  np.testing.assert_allclose(pose.scaled_errors(0.4 * centered, TARGETS, ALL), 0, atol=1e-9)
  turned = TARGETS @ Rotation.from_euler('xyz', [0.5, -1, 2]).as_matrix().T * 1.7 + 80
  np.testing.assert_allclose(pose.procrustes_errors(turned, TARGETS, ALL), 0, atol=1e-9)
  assert pose.procrustes_errors(turned * (-1, 1, 1), TARGETS, ALL).mean() > 50
  # A masked joint has no say in the fit.
  spoiled, mask = turned.copy(), ALL.copy()
  spoiled[:, 4], mask[:, 4] = 1e6, False
  errors = pose.procrustes_errors(spoiled, TARGETS, mask)
  np.testing.assert_allclose(np.delete(errors, 4, 1), 0, atol=1e-8)


def test_pck_and_auc_by_hand():
  errors = np.array([[0.0, 149.9, 150.0, np.inf]])
  mask = np.ones_like(errors, bool)
  assert pose.pck(errors, mask) == 50  # 150 is not below 150
  # 31 thresholds 0, 5 .. 150: the error 0 is below 30 of them, 149.9 below the last alone.
  np.testing.assert_allclose(pose.auc(errors, mask), 100 * (30 + 1) / 31 / 4)
  assert np.isnan(pose.pck(errors, ~mask))
  names = ('pelvis', 'r_knee', 'l_knee', 'neck')
  assert pose.per_joint_pck(errors, mask, names) == {'pelvis': 100, 'knee': 50, 'neck': 0}


def test_mupots_matching_by_hand():
  joints = np.zeros((2, 3, 2))
  joints[1] += 30
  # Prediction 0 has 2 joints near both; prediction 1 has 3 near the second. Annotated person 0
  # comes first and takes the most: prediction 1 (3 joints within 40 px); person 1 keeps 0.
  predicted = np.zeros((2, 3, 2))
  predicted[0, 2] = 500
  predicted[1] += 20
  usable = np.ones((2, 3), bool)
  np.testing.assert_array_equal(matching.match_mupots(joints, predicted, usable, 40), [1, 0])
  usable[1] = False
  np.testing.assert_array_equal(matching.match_mupots(joints, predicted, usable, 40), [0, -1])
  np.testing.assert_array_equal(matching.match_mupots(joints, predicted[:0], usable[:0], 40), -1)
  # Strictly below: 40 px off in x alone is no match.
  off = joints[:1] + (40, 0)
  assert matching.match_mupots(joints[:1], off, usable[:1] | True, 40)[0] == -1


@hypothesis.given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6))
def test_detection_counts(annotated, predicted, seed):
  rng = np.random.default_rng(seed)
  truth, guess = rng.uniform(0, 30, (annotated, 2)), rng.uniform(0, 30, (predicted, 2))
  found, missed, false = matching.detect(truth, guess, 8.0)
  assert found + missed == annotated and found + false == predicted
  near = np.linalg.norm(truth[:, None] - guess[None], axis=-1) <= 8
  # Brute force over augmenting paths: the largest matching of the near pairs.
  assert found == _largest_matching(near)


def _largest_matching(near):
  owner = {}

  def place(g, seen):
    for p in np.flatnonzero(near[g]):
      if p not in seen:
        seen.add(p)
        if p not in owner or place(owner[p], seen):
          owner[p] = g
          return True
    return False

  return sum(place(g, set()) for g in range(len(near)))


def test_rescale_bones_by_hand():
  # A chain along x with bones 2 and 1 against a target's 4 and 3 (in y): directions stay.
  prediction = np.array([[0, 0, 0], [2, 0, 0], [2, 1, 0]], float)
  target = np.array([[9, 9, 9], [9, 13, 9], [9, 16, 9]], float)
  got = matching.rescale_bones(prediction, target, (-1, 0, 1))
  np.testing.assert_allclose(got, [[0, 0, 0], [4, 0, 0], [4, 3, 0]])
  prediction[2] = prediction[1]
  assert np.isfinite(matching.rescale_bones(prediction, target, (-1, 0, 1))).all()


def test_box_iou_by_hand():
  square = np.array([[0, 0], [2, 2]], float)
  assert matching.box_iou(square, square + (1, 0)) == pytest.approx(2 / 6)
  assert matching.box_iou(square, square + 5) == 0
  assert matching.box_iou(square[:1], square[:1]) == 0


def test_bootstrap_covers_and_pairs():
  rng = np.random.default_rng(1)
  weights = rng.integers(1, 5, 300).astype(float)
  sums = weights * rng.normal(0.6, 0.2, 300)
  estimate = statistics.bootstrap(sums, weights)
  assert estimate.mean == pytest.approx(sums.sum() / weights.sum())
  # The normal approximation of the ratio's standard error, by hand.
  error = np.sqrt(((sums - estimate.mean * weights) ** 2).sum()) / weights.sum()
  assert (estimate.high - estimate.low) / 2 == pytest.approx(1.96 * error, rel=0.1)
  # What two systems share cancels in the pair.
  paired = statistics.paired_bootstrap(sums + 0.01 * weights, sums, weights)
  assert paired.low == pytest.approx(0.01) and paired.high == pytest.approx(0.01)
  assert np.isnan(statistics.bootstrap(np.zeros(3), np.zeros(3)).mean)
  with pytest.raises(ValueError, match='expected two arrays'):
    statistics.bootstrap(np.zeros(3), np.zeros(2))
  assert statistics.mean_sd(np.array([1.0, 3.0])) == (2.0, pytest.approx(np.sqrt(2)))


def test_baselines_rise_with_what_they_know():
  mean = TARGETS[0] - TARGETS[0, 0]
  rotations = Rotation.from_rotvec(np.linspace(0, 5, 40)[:, None] * (0, 0, 1)).as_matrix()
  upright = np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]) @ rotations
  noisy = np.einsum('nij,kj->nki', upright, mean) + RNG.normal(size=(40, 15, 3)) * 40
  values = baselines.mean_pose_pck(mean, noisy, upright, np.ones((40, 15), bool))
  assert values['one_yaw'] < values['person_yaw'] <= values['rotation'] + 8
  assert values['rotation'] > 80
