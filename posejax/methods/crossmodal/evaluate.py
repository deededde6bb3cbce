"""From predicted people and ground truth to metrics whose names hold their protocol.

`matched` leaves people out whom nobody was matched to, `all` counts their joints as wrong; who
counts and who is matched is in `pairs`, the 2D table in `plane`. Source: spec/protocols.md.
"""

from collections.abc import Mapping

import jax
import numpy as np

from posejax.geometry import kinematics
from posejax.methods.base import People, SceneSums
from posejax.methods.crossmodal import plane
from posejax.methods.crossmodal.pairs import SCORED, SKELETON, Pairs, counted, pair
from posejax.metrics import baselines, matching, pose, statistics

CELL_PX = 8.0
VALIDATION = (
  '3dpck_rel_matched', '3dpck_rel_all', 'mpjpe_root_matched_mm', 'depth_error_matched_mm',
  'student_2d_mpjpe_matched_px',
)
BASELINE = 'baseline_mean_pose_{}_3dpck_rel'
# Who the student is to beat, on the very people that it was matched to.
RIVAL = 'baseline_mean_pose_person_yaw_3dpck_rel_matched'
LEAD = '3dpck_rel_matched_above_person_yaw'


def summary(people: People, truth: Mapping[str, np.ndarray], side: int) -> dict[str, float]:
  """All metrics of the student on one set of pictures.

  Args:
    people: predictions, leading axis of pictures.
    truth: truth_* arrays of `world.renderer`.
    side: of the pictures, px.

  Returns:
    Metric → value: percent, mm or px as the name says.
  """
  pairs = pair(people, truth, side)
  matched = pairs.matched
  scored = np.broadcast_to(SCORED, (len(matched), len(SCORED)))
  kept = scored & matched[:, None]
  relative = _relative_errors(pairs)
  absolute = np.linalg.norm(pairs.predicted - pairs.target, axis=-1)
  absolute = np.where(matched[:, None], absolute, np.inf)
  fitted = pose.procrustes_errors(pairs.predicted, pairs.target, scored | True)
  scaled = pose.scaled_errors(pairs.predicted, pairs.target, scored | True)
  depth = np.abs(pairs.predicted[:, 0, 2] - pairs.target[:, 0, 2])
  report = {
    '3dpck_rel_matched': pose.pck(relative, kept), '3dpck_rel_all': pose.pck(relative, scored),
    'auc_rel_matched': pose.auc(relative, kept), 'auc_rel_all': pose.auc(relative, scored),
    '3dpck_abs_250mm_matched': pose.pck(absolute, kept, 250.0),
    '3dpck_abs_250mm_all': pose.pck(absolute, scored, 250.0),
    '3dpck_abs_150mm_matched': pose.pck(absolute, kept),
    '3dpck_abs_150mm_all': pose.pck(absolute, scored),
    'mpjpe_root_matched_mm': pose.masked_mean(relative, kept),
    'n_mpjpe_matched_mm': pose.masked_mean(scaled, kept),
    'pa_mpjpe_matched_mm': pose.masked_mean(fitted, kept),
    'depth_error_matched_mm': pose.masked_mean(depth, matched),
    'people_counted': float(len(matched)), 'people_matched': float(matched.sum()),
  }
  for mode, mask in (('matched', kept), ('all', scored)):
    report |= {
      f'3dpck_rel_{mode}_{name}': value
      for name, value in pose.per_joint_pck(relative, mask, SKELETON.joints).items()
      if name != 'pelvis'
    }
  seen = student_rows(people, truth, side)
  report |= plane.own_metrics('student', seen, side)
  report['student_2d_mpjpe_matched_px'] = plane.mean_error(seen)
  return report | detection(people, truth)


def student_rows(people: People, truth: Mapping[str, np.ndarray], side: int) -> plane.Rows:
  """The student's 2D poses of the people that count."""
  return plane.rows(people.joints_2d, people.joint_valid, people.valid, truth, side)


def teacher_rows(
  observed: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], side: int
) -> plane.Rows:
  """The teacher's grouped 2D poses of the people that count.

  Args:
    observed: arrays of `observed.observe`.
    truth: truth_* arrays of the same pictures.
    side: of the pictures, px.
  """
  return plane.rows(observed['joints'], observed['seen'], observed['rooted'], truth, side)


def detection(people: People, truth: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Recall over people that count and show in their pelvis's map cell; precision over all
  predictions; both within one cell."""
  found, missed, right, false = _detections(people.joints_2d[:, :, 0], people.valid, truth)
  return {
    'detection_recall_percent': _percent(found, missed),
    'detection_precision_percent': _percent(right, false),
  }


def recall(roots: np.ndarray, valid: np.ndarray, truth: Mapping[str, np.ndarray]) -> float:
  """`detection`'s recall, %, of pelvises (N, P, 2) px where valid (N, P); NaN of nobody."""
  found, missed, _, _ = _detections(roots, valid, truth)
  return _percent(found, missed)


def _percent(these: int, others: int) -> float:
  return 100 * these / (these + others) if these + others else float('nan')


def _detections(
  roots: np.ndarray, valid: np.ndarray, truth: Mapping[str, np.ndarray]
) -> tuple[int, int, int, int]:
  """Found and missed people; right and false predictions."""
  here, anyone = counted(truth) & truth['truth_pelvis_visible'], truth['truth_valid']
  found = missed = right = false = 0
  for scene in range(len(here)):
    there = truth['truth_joints'][scene, :, 0]
    predicted = roots[scene, valid[scene]]
    of_counted = matching.detect(there[here[scene]], predicted, CELL_PX)
    # A prediction of somebody who hardly shows is no false one.
    of_anyone = matching.detect(there[anyone[scene]], predicted, CELL_PX)
    found, missed = found + of_counted.found, missed + of_counted.missed
    right, false = right + of_anyone.found, false + of_anyone.false
  return found, missed, right, false


def scene_sums(
  people: People, truth: Mapping[str, np.ndarray], side: int
) -> dict[str, SceneSums]:
  """What the main shares and means are made of, per picture; the pelvis never counts.

  Returns:
    3dpck_rel_matched, 3dpck_rel_all: joints within 150 mm, and joints that count;
    mpjpe_root_matched_mm: sum of errors, and joints.
  """
  pairs = pair(people, truth, side)
  errors = _relative_errors(pairs)[:, SCORED]
  right = (errors < pose.PCK_THRESHOLD_MM).sum(1)
  joints = np.full(len(right), SCORED.sum())
  matched = pairs.matched
  total = np.where(matched, np.where(matched[:, None], errors, 0).sum(1), 0)
  return {
    '3dpck_rel_matched': _by_scene(truth, pairs, right * matched, joints * matched),
    '3dpck_rel_all': _by_scene(truth, pairs, right, joints),
    'mpjpe_root_matched_mm': _by_scene(truth, pairs, total, joints * matched),
  }


def rival_sums(
  people: People, truth: Mapping[str, np.ndarray], side: int, mean_canonical: np.ndarray
) -> SceneSums:
  """Joints that the mean pose by the best yaw per person has right, of matched people."""
  pairs = pair(people, truth, side)
  relative = pairs.target - pairs.target[:, :1]
  mask = np.broadcast_to(SCORED, relative.shape[:2])
  right = baselines.right_by_yaw(mean_canonical, relative, mask).max(0)
  return _by_scene(truth, pairs, right * pairs.matched, SCORED.sum() * pairs.matched)


def interval(name: str, sums: SceneSums) -> statistics.Estimate:
  """A metric with its bootstrap interval over pictures."""
  factor = 1.0 if name.endswith('_mm') else 100.0
  return statistics.bootstrap(factor * sums.sums, sums.weights)


def baselines_of(
  truth: Mapping[str, np.ndarray], mean_canonical: np.ndarray
) -> dict[str, float]:
  """3DPCK_rel of the three mean-pose baselines on the people that count; nan without people."""
  values = mean_pose_values(truth['truth_camera'][counted(truth)], mean_canonical)
  return {BASELINE.format(name): value for name, value in values.items()}


def mean_pose_values(targets: np.ndarray, mean_canonical: np.ndarray) -> dict[str, float]:
  """The three baselines of camera-centred poses (N, 15, 3) mm, by their names; nan of none."""
  if not len(targets):
    return dict.fromkeys(('one_yaw', 'person_yaw', 'rotation'), float('nan'))
  relative = targets - targets[:, :1]
  rotations = np.asarray(_rotations(relative.astype(np.float32)))
  mask = np.broadcast_to(SCORED, relative.shape[:2])
  return baselines.mean_pose_pck(mean_canonical, relative, rotations, mask)


def _relative_errors(pairs: Pairs) -> np.ndarray:
  """(N, J) mm after the pelvises are laid on each other; inf for people without match."""
  errors = pose.root_errors(pairs.predicted, pairs.target)
  return np.where(pairs.matched[:, None], errors, np.inf)


def _by_scene(truth, pairs: Pairs, sums: np.ndarray, weights: np.ndarray) -> SceneSums:
  count = len(truth['truth_valid'])
  return SceneSums(*(np.bincount(pairs.scene, values, count) for values in (sums, weights)))


@jax.jit
def _rotations(poses: jax.Array) -> jax.Array:
  return jax.vmap(lambda pose: kinematics.canonicalize(pose, SKELETON)[1])(poses)
