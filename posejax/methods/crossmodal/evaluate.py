"""From predicted people and ground truth to metrics whose names hold their protocol.

Who counts: annotated people whose pelvis is in the picture and of whom nothing hides more than 70 %
(`MIN_VISIBLE`) [R]. Matching in 2D by MuPoTS-3D's rule over 13 joints (all of J15 but pelvis and
head top), its pixel thresholds scaled from frames 2,048 px wide to the network's; 14 joints (all
but the pelvis) are scored. `matched` leaves unmatched people out, `all` counts their joints as
wrong. Source: spec/protocols.md.
"""

from collections.abc import Mapping
from typing import NamedTuple

import jax
import numpy as np

from posejax.geometry import kinematics
from posejax.methods.base import People
from posejax.methods.crossmodal import lift
from posejax.metrics import baselines, matching, pose, statistics

SKELETON = lift.SKELETON
MIN_VISIBLE = 0.3
CELL_PX = 8.0
_MATCHED_JOINTS = np.array([
  joint for joint, name in enumerate(SKELETON.joints) if name not in ('pelvis', 'head_top')
])
_SCORED = np.array([parent >= 0 for parent in SKELETON.parents])
VALIDATION = (
  '3dpck_rel_matched', '3dpck_rel_all', 'mpjpe_root_matched_mm', 'depth_error_matched_mm',
  'student_2d_mpjpe_matched_px',
)


class Pairs(NamedTuple):
  """Annotated people of all pictures, one row each, with the prediction that each got.

  Attributes:
    scene: (N,) picture of each.
    predicted: (N, J, 3) mm, camera-centred; of a person without match anything.
    predicted_2d: (N, J, 2) px.
    target: (N, J, 3) mm, camera-centred.
    target_2d: (N, J, 2) px.
    matched: (N,) bool.
  """

  scene: np.ndarray
  predicted: np.ndarray
  predicted_2d: np.ndarray
  target: np.ndarray
  target_2d: np.ndarray
  matched: np.ndarray


def counted(truth: Mapping[str, np.ndarray]) -> np.ndarray:
  """(N, P) bool: annotated people that count."""
  return (
    truth['truth_valid'] & truth['truth_in_frame'][:, :, 0]
    & (truth['truth_visible'] >= MIN_VISIBLE)
  )


def pair(people: People, truth: Mapping[str, np.ndarray], side: int) -> Pairs:
  """Matches predictions to annotated people, picture by picture."""
  threshold = matching.MUPOTS_MATCH_PX * side / matching.NATIVE_WIDTH_PX
  rows = []
  for scene, here in enumerate(counted(truth)):
    persons = np.flatnonzero(here)
    slots = np.flatnonzero(people.valid[scene])
    matches = matching.match_mupots(
      truth['truth_joints'][scene, persons][:, _MATCHED_JOINTS],
      people.joints_2d[scene, slots][:, _MATCHED_JOINTS],
      people.joint_valid[scene, slots][:, _MATCHED_JOINTS], threshold,
    )
    for person, match in zip(persons, matches, strict=True):
      slot = slots[match] if match >= 0 else 0
      rows.append((
        scene, people.joints_camera[scene, slot], people.joints_2d[scene, slot],
        truth['truth_camera'][scene, person], truth['truth_joints'][scene, person], match >= 0,
      ))
  if not rows:
    joints = SKELETON.num_joints
    return Pairs(
      np.zeros(0, int), *(np.zeros((0, joints, d)) for d in (3, 2, 3, 2)), np.zeros(0, bool)
    )
  return Pairs(*(np.array(column) for column in zip(*rows, strict=True)))


def summary(people: People, truth: Mapping[str, np.ndarray], side: int) -> dict[str, float]:
  """All metrics of one set of pictures.

  Args:
    people: predictions, leading axis of pictures.
    truth: truth_* arrays of `world.render_set`.
    side: of the pictures, px.

  Returns:
    Metric → value: percent, mm or px as the name says.
  """
  pairs = pair(people, truth, side)
  matched = pairs.matched
  scored = np.broadcast_to(_SCORED, (len(matched), len(_SCORED)))
  kept = scored & matched[:, None]
  relative = np.where(matched[:, None], pose.root_errors(pairs.predicted, pairs.target), np.inf)
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
  }
  report |= {
    f'3dpck_rel_matched_{name}': value
    for name, value in pose.per_joint_pck(relative, kept, SKELETON.joints).items()
    if name != 'pelvis'
  }
  report |= plane_metrics('student', pairs, side)
  return report | detection(people, truth)


def plane_metrics(who: str, pairs: Pairs, side: int) -> dict[str, float]:
  """The 2D table for matched people: box IoU, mean error, PCK at MuPoTS's 25 px, scaled."""
  matched = pairs.matched
  errors = np.linalg.norm(pairs.predicted_2d - pairs.target_2d, axis=-1)[matched][:, _SCORED]
  boxes = [
    matching.box_iou(a, b)
    for a, b in zip(pairs.predicted_2d[matched], pairs.target_2d[matched], strict=True)
  ]
  everything = np.ones_like(errors, bool)
  threshold = matching.MUPOTS_PCK_PX * side / matching.NATIVE_WIDTH_PX
  return {
    f'{who}_2d_iou_matched_percent': 100 * float(np.mean(boxes)) if boxes else float('nan'),
    f'{who}_2d_mpjpe_matched_px': pose.masked_mean(errors, everything),
    f'{who}_2d_pck_25px_scaled_matched': pose.pck(errors, everything, threshold),
  }


def teacher_metrics(
  observed: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], side: int
) -> dict[str, float]:
  """The 2D table's row of the teacher: its grouped poses over the joints that it found.

  Args:
    observed: arrays of `observed.observe`.
    truth: truth_* arrays of the same pictures.
    side: of the pictures, px.
  """
  threshold = matching.MUPOTS_MATCH_PX * side / matching.NATIVE_WIDTH_PX
  errors, found, boxes = [], [], []
  for scene, here in enumerate(counted(truth)):
    slots = np.flatnonzero(observed['rooted'][scene])
    annotated = truth['truth_joints'][scene, here]
    matches = matching.match_mupots(
      annotated[:, _MATCHED_JOINTS], observed['joints'][scene, slots][:, _MATCHED_JOINTS],
      observed['seen'][scene, slots][:, _MATCHED_JOINTS], threshold,
    )
    for person, match in zip(annotated, matches, strict=True):
      if match >= 0:
        joints, seen = (observed[name][scene, slots[match]] for name in ('joints', 'seen'))
        errors.append(np.linalg.norm(joints - person, axis=-1)[_SCORED])
        found.append(seen[_SCORED])
        boxes.append(matching.box_iou(joints[seen], person[seen]))
  if not errors:
    return {f'teacher_2d_{name}': float('nan') for name in ('iou', 'mpjpe', 'pck')}
  errors, found = np.array(errors), np.array(found)
  threshold = matching.MUPOTS_PCK_PX * side / matching.NATIVE_WIDTH_PX
  return {
    'teacher_2d_iou_matched_percent': 100 * float(np.mean(boxes)),
    'teacher_2d_mpjpe_found_px': pose.masked_mean(errors, found),
    # A joint that it did not find is wrong.
    'teacher_2d_pck_25px_scaled_matched': pose.pck(
      np.where(found, errors, np.inf), np.ones_like(found), threshold
    ),
    'teacher_2d_joints_found_percent': 100 * float(found.mean()),
  }


def detection(people: People, truth: Mapping[str, np.ndarray]) -> dict[str, float]:
  """Recall over people that count, precision over all predictions, within one map cell."""
  here, anyone = counted(truth), truth['truth_valid']
  found = missed = right = false = 0
  for scene in range(len(here)):
    roots = truth['truth_joints'][scene, :, 0]
    predicted = people.joints_2d[scene, people.valid[scene], 0]
    recall = matching.detect(roots[here[scene]], predicted, CELL_PX)
    # A prediction of somebody who hardly shows is no false one.
    precision = matching.detect(roots[anyone[scene]], predicted, CELL_PX)
    found, missed = found + recall.found, missed + recall.missed
    right, false = right + precision.found, false + precision.false
  return {
    'detection_recall_percent': 100 * found / max(found + missed, 1),
    'detection_precision_percent': 100 * right / max(right + false, 1),
  }


def pck_interval(people: People, truth: Mapping[str, np.ndarray], side: int) -> statistics.Estimate:
  """3DPCK_rel of matched people with its bootstrap interval over pictures."""
  pairs = pair(people, truth, side)
  right = (pose.root_errors(pairs.predicted, pairs.target) < pose.PCK_THRESHOLD_MM)[:, _SCORED]
  sums, weights = (
    np.bincount(pairs.scene, values * pairs.matched, minlength=len(truth['images']))
    for values in (right.sum(1), np.full(len(right), _SCORED.sum()))
  )
  return statistics.bootstrap(100 * sums, weights)


def baselines_of(
  truth: Mapping[str, np.ndarray], mean_canonical: np.ndarray
) -> dict[str, float]:
  """3DPCK_rel of the three mean-pose baselines on the people that count."""
  targets = truth['truth_camera'][counted(truth)]
  relative = targets - targets[:, :1]
  rotations = np.asarray(_rotations(relative.astype(np.float32)))
  mask = np.broadcast_to(_SCORED, relative.shape[:2])
  values = baselines.mean_pose_pck(mean_canonical, relative, rotations, mask)
  return {f'baseline_mean_pose_{name}_3dpck_rel': value for name, value in values.items()}


@jax.jit
def _rotations(poses: jax.Array) -> jax.Array:
  return jax.vmap(lambda pose: kinematics.canonicalize(pose, SKELETON)[1])(poses)
