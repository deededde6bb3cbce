"""Scene metrics against hand calculations."""

import numpy as np
import pytest

from posejax.metrics import scenes

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(2, 3, 6, 3)) * 300 + RNG.normal(size=(2, 3, 1, 3)) * 1000
VALID = np.array([[True, True, True], [True, True, False]])


def rotation(seed):
  q, _ = np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))
  return q * np.sign(np.linalg.det(q))


def test_a_similarity_of_the_whole_scene_is_no_error():
  moved = 0.01 * TRUTH @ rotation(1).T + 5
  aligned = scenes.align(moved, TRUTH, VALID)
  found = scenes.summary(scenes.errors(aligned, TRUTH, VALID))
  for name, value in found.items():
    assert value == pytest.approx(0, abs=1e-6), name


def test_a_mirrored_scene_is_wrong_unless_reflections_are_allowed():
  mirrored = TRUTH * (1, 1, -1)
  strict = scenes.errors(scenes.align(mirrored, TRUTH, VALID), TRUTH, VALID)
  lenient = scenes.errors(
    scenes.align(mirrored, TRUTH, VALID, reflection=True), TRUTH, VALID
  )
  assert strict.joint.min() > 50
  np.testing.assert_allclose(lenient.joint, 0, atol=1e-6)


def test_people_who_do_not_count_have_no_influence():
  other = TRUTH.copy()
  other[1, 2] = np.nan
  moved = np.where(VALID[..., None, None], TRUTH, 99)
  first = scenes.align(moved, np.nan_to_num(other), VALID)
  found = scenes.errors(first, np.nan_to_num(other), VALID)
  np.testing.assert_allclose(found.joint, 0, atol=1e-6)
  assert found.pairs.sum() == 3 + 1 and found.size[1, 2] == 0


def test_errors_by_hand():
  """Two people of 2 joints: given as aligned already."""
  truth = np.zeros((1, 2, 2, 3))
  truth[0, 0, 1] = (0, 100, 0)
  truth[0, 1] = ((1000, 0, 0), (1000, 200, 0))
  aligned = truth.copy()
  aligned[0, 0, 1] = (0, 110, 0)  # size 110 of 100
  aligned[0, 1] += (30, 0, 40)  # all of person 1, pelvis too
  valid = np.ones((1, 2), bool)
  found = scenes.errors(aligned, truth, valid)
  # Joints: 0, 10, 50, 50 over 4.
  assert found.joint[0] == pytest.approx(27.5)
  np.testing.assert_allclose(found.size, [[10, 0]], atol=1e-9)
  np.testing.assert_allclose(found.size_share, [[10, 0]], atol=1e-9)
  # Displacement (1030, 0, 40) against (1000, 0, 0).
  assert found.displacement[0, 0, 1] == pytest.approx(50)
  assert found.gap[0, 0, 1] == pytest.approx(np.hypot(1030, 40) - 1000)
  summary = scenes.summary(found)
  assert summary['se_mm'] == pytest.approx(5) and summary['se_percent'] == pytest.approx(5)
  # |δ| is (0, 0, 0) and (30, 0, 40): mean (15, 0, 20), of norm 25.
  assert summary['te_mm'] == pytest.approx(25)
  assert summary['rde_mm'] == pytest.approx(50)


def test_te_takes_the_absolute_value_first():
  truth = np.zeros((2, 1, 2, 3))
  aligned = truth.copy()
  aligned[0, 0, 0], aligned[1, 0, 0] = (3, 0, 4), (-3, 0, -4)
  summary = scenes.summary(scenes.errors(aligned, truth, np.ones((2, 1), bool)))
  assert summary['te_mm'] == pytest.approx(5)
  assert np.isnan(summary['rde_mm'])  # nobody to be displaced from


def test_wrong_arguments_are_named():
  with pytest.raises(ValueError, match=r'expected two arrays \(S, P, J, 3\)'):
    scenes.align(TRUTH[0], TRUTH[0], VALID[0])
  with pytest.raises(ValueError, match='somebody in each scene'):
    scenes.align(TRUTH, TRUTH, np.zeros((2, 3), bool))
