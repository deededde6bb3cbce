"""The 2D table: teacher and student on the same people and joints, and the teacher's two domains.

  matched   people that the one in question found; a joint that it did not give is wrong
  all       people that count; who was not found has all joints wrong
  both      people that teacher and student both found, over the joints that both give
  25px_scaled   within 25 px of a frame 2,048 px wide, scaled to the picture (spec/protocols.md)
  02torso   within 0.2 of the true 2D distance from right shoulder to left hip; joints that lie
            outside the picture do not count here [R]: no network could see them

Symbols: N people that count, J = 15 joints of which 14 (all but the pelvis) are scored.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from posejax.methods.crossmodal import pairs
from posejax.metrics import matching, pose

SKELETON = pairs.SKELETON
TORSO = (SKELETON.index('r_shoulder'), SKELETON.index('l_hip'))
_TORSO_SHARE = 0.2


class Rows(NamedTuple):
  """2D poses of the people that count.

  Attributes:
    joints: (N, J, 2) px.
    found: (N, J) bool: joints that were given; none of a person without match.
    matched: (N,) bool.
    target: (N, J, 2) px.
    in_frame: (N, J) bool: true joints inside the picture.
  """

  joints: np.ndarray
  found: np.ndarray
  matched: np.ndarray
  target: np.ndarray
  in_frame: np.ndarray


def rows(
  joints: np.ndarray, usable: np.ndarray, valid: np.ndarray, truth: Mapping[str, np.ndarray],
  side: int,
) -> Rows:
  """As `pairs.match`; every caller gets the same people in the same order."""
  found = pairs.match(joints, usable, valid, truth, side)
  ours, theirs = (found.scene, found.slot), (found.scene, found.person)
  return Rows(
    np.asarray(joints[ours], float), usable[ours] & found.matched[:, None], found.matched,
    np.asarray(truth['truth_joints'][theirs], float), truth['truth_in_frame'][theirs],
  )


def own_metrics(who: str, poses: Rows, side: int) -> dict[str, float]:
  """What one network reaches on the people that it found itself, and on all."""
  errors = errors_of(poses)
  matched = np.broadcast_to(poses.matched[:, None], errors.shape) & pairs.SCORED
  inside = poses.in_frame & pairs.SCORED
  torso = torso_right(poses, errors)
  return {
    f'{who}_2d_iou_matched_percent': _iou(poses, poses.found),
    f'{who}_2d_pck_25px_scaled_matched': pose.pck(errors, matched, _threshold(side)),
    f'{who}_2d_pck_02torso_matched': 100 * pose.masked_mean(torso, matched & inside),
    f'{who}_2d_pck_02torso_all': 100 * pose.masked_mean(torso, inside),
    f'{who}_2d_joints_found_percent': 100 * pose.masked_mean(poses.found, matched),
  }


def mean_error(poses: Rows) -> float:
  """px over the joints that were found, of the people that were found."""
  return pose.masked_mean(errors_of(poses), poses.found & pairs.SCORED)


def shared_metrics(named: Mapping[str, Rows], side: int) -> dict[str, float]:
  """The same people and joints for everybody: what all of them found.

  Args:
    named: who → Rows of one set of pictures.
    side: of the pictures, px.
  """
  shared = np.logical_and.reduce([poses.found for poses in named.values()])
  report = {'2d_people_found_by_both': float(shared.any(1).sum())}
  for who, poses in named.items():
    errors, scored = errors_of(poses), shared & pairs.SCORED
    report |= {
      f'{who}_2d_iou_both_percent': _iou(poses, shared),
      f'{who}_2d_mpjpe_both_px': pose.masked_mean(errors, scored),
      f'{who}_2d_pck_25px_scaled_both': pose.pck(errors, scored, _threshold(side)),
      f'{who}_2d_pck_02torso_both': 100 * pose.masked_mean(
        torso_right(poses, errors), scored & poses.in_frame
      ),
    }
  return report


def domain_metrics(named: Mapping[str, Rows], side: int) -> dict[str, float]:
  """The teacher on pictures of its own domain A and of B, and how much it loses on the way.

  Args:
    named: {'a': Rows, 'b': Rows} of the teacher.
    side: of the pictures, px.
  """
  report = {}
  for domain, poses in named.items():
    own = own_metrics('teacher', poses, side)
    report |= {
      f'teacher_{domain}_2d_pck_02torso_all': own['teacher_2d_pck_02torso_all'],
      f'teacher_{domain}_2d_pck_02torso_matched': own['teacher_2d_pck_02torso_matched'],
      f'teacher_{domain}_2d_error_found_percent_of_side': 100 * mean_error(poses) / side,
      f'teacher_{domain}_people_found_percent': 100 * pose.masked_mean(
        poses.matched, np.ones_like(poses.matched)
      ),
    }
  for mode in ('all', 'matched'):
    a, b = (report[f'teacher_{domain}_2d_pck_02torso_{mode}'] for domain in ('a', 'b'))
    report[f'teacher_drop_a_to_b_2d_pck_02torso_{mode}'] = a - b
  return report


def errors_of(poses: Rows) -> np.ndarray:
  """(N, J) px; inf for what was not found."""
  return np.where(poses.found, np.linalg.norm(poses.joints - poses.target, axis=-1), np.inf)


def torso_right(poses: Rows, errors: np.ndarray) -> np.ndarray:
  """(N, J) bool: errors within the share of each person's torso."""
  return errors < _TORSO_SHARE * torsos(poses.target)[:, None]


def torsos(target: np.ndarray) -> np.ndarray:
  """(N,) px from right shoulder to left hip of poses (N, J, 2)."""
  shoulder, hip = (target[:, joint] for joint in TORSO)
  return np.linalg.norm(shoulder - hip, axis=-1)


def _threshold(side: int) -> float:
  return matching.MUPOTS_PCK_PX * side / matching.NATIVE_WIDTH_PX


def _iou(poses: Rows, joints: np.ndarray) -> float:
  """Mean over people of the IoU of the boxes around some joints (N, J), in percent."""
  boxes = [
    matching.box_iou(found[kept], target[kept])
    for found, target, kept in zip(poses.joints, poses.target, joints, strict=True) if kept.any()
  ]
  return 100 * float(np.mean(boxes)) if boxes else float('nan')
