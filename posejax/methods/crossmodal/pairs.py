"""Who counts, and which prediction each annotated person got: the ground of all metrics.

Who counts: annotated people whose pelvis is in the picture and of whom nothing hides more than 70 %
(`MIN_VISIBLE`) [R]. Matching in 2D by MuPoTS-3D's rule over 13 joints (all of J15 but pelvis and
head top), its pixel thresholds scaled from frames 2,048 px wide to the network's; 14 joints (all
but the pelvis) are scored. Source: spec/protocols.md.

Symbols: S pictures, P slots of annotated and predicted people, N people that count, J = 15 joints.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from posejax.methods.base import People
from posejax.methods.crossmodal import lift
from posejax.metrics import matching

SKELETON = lift.SKELETON
MIN_VISIBLE = 0.3
SCORED = SKELETON.not_root
_MATCHED_JOINTS = np.array([
  joint for joint, name in enumerate(SKELETON.joints) if name not in ('pelvis', 'head_top')
])


def counted(truth: Mapping[str, np.ndarray]) -> np.ndarray:
  """(S, P) bool: annotated people that count.

  Args:
    truth: truth_* arrays of `world.renderer`.
  """
  return (
    truth['truth_valid'] & truth['truth_in_frame'][:, :, 0]
    & (truth['truth_visible'] >= MIN_VISIBLE)
  )


class Matches(NamedTuple):
  """The N people that count, by picture: where each stands in the truth, and who was matched.

  Attributes:
    scene: (N,) picture.
    person: (N,) slot of the truth.
    slot: (N,) slot of the predictions; 0 for a person without match.
    matched: (N,) bool.
  """

  scene: np.ndarray
  person: np.ndarray
  slot: np.ndarray
  matched: np.ndarray


def match(
  joints: np.ndarray, usable: np.ndarray, valid: np.ndarray, truth: Mapping[str, np.ndarray],
  side: int,
) -> Matches:
  """Matches predicted 2D poses to annotated people, picture by picture.

  Args:
    joints: (S, P, J, 2) px.
    usable: (S, P, J) bool: joints that were found.
    valid: (S, P) bool: slots that hold a person.
    truth: truth_* arrays of `world.renderer`.
    side: of the pictures, px.
  """
  threshold = matching.MUPOTS_MATCH_PX * side / matching.NATIVE_WIDTH_PX
  rows = []
  for scene, here in enumerate(counted(truth)):
    persons, slots = np.flatnonzero(here), np.flatnonzero(valid[scene])
    found = matching.match_mupots(
      truth['truth_joints'][scene, persons][:, _MATCHED_JOINTS],
      joints[scene, slots][:, _MATCHED_JOINTS], usable[scene, slots][:, _MATCHED_JOINTS], threshold,
    )
    rows += [
      (scene, person, slots[index] if index >= 0 else 0, index >= 0)
      for person, index in zip(persons, found, strict=True)
    ]
  columns = np.array(rows, int).reshape(-1, 4).T
  return Matches(*columns[:3], columns[3].astype(bool))


class Pairs(NamedTuple):
  """The N people that count with the prediction that each got.

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


def pair(people: People, truth: Mapping[str, np.ndarray], side: int) -> Pairs:
  """Predicted and annotated people, matched.

  Args:
    people: predictions, leading axis of pictures.
    truth: truth_* arrays of `world.renderer`.
    side: of the pictures, px.
  """
  found = match(people.joints_2d, people.joint_valid, people.valid, truth, side)
  ours, theirs = (found.scene, found.slot), (found.scene, found.person)
  return Pairs(
    found.scene, people.joints_camera[ours], people.joints_2d[ours],
    truth['truth_camera'][theirs], truth['truth_joints'][theirs], found.matched,
  )
