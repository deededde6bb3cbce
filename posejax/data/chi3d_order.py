"""Which joint of CHI3D's 25 is which, derived from the poses: sources disagree on the sides.

Symbols: N poses, 25 joints in the order of spec/lifting.md ("CHI3D on disk"): 1–3 and 4–6 the legs,
11–13 and 14–16 the arms, 17 and 18 on the foot of 3, 19 and 20 on that of 6.
"""

import numpy as np

from posejax.geometry.skeleton import CHI3D25, Skeleton, skeleton

_SURE = 0.75  # share of votes
_DECIDED = 0.3  # cosine from which a pose votes
_FEET = ((3, (17, 18)), (6, (19, 20)))  # ankle, the two joints on it
_LEGS = (1, 2, 3, 4, 5, 6, 17, 18, 19, 20)
_ARMS = (11, 12, 13, 14, 15, 16, 21, 22, 23, 24)
_QUESTIONS = (
  'which leg is the right one', 'which arm is on which leg\'s side', 'which way is up'
)


def votes(joints: np.ndarray) -> np.ndarray:
  """What poses say of the order of their joints; adds up over files.

  The toes point to the front, and front × up is right. Hips and shoulders of one side lie on one
  side. Poses in which neither shows do not vote.

  Args:
    joints: (N, 25, 3) any unit, world.

  Returns:
    (4, 2) poses for and against: 1–3 is the right leg; 14–16 is the arm on its side; z is up; and,
    not poses but their summed distances from the ankles, the first and the second joint of a foot.
  """
  x = np.asarray(joints, np.float64)
  hips, shoulders = x[:, 1] - x[:, 4], x[:, 14] - x[:, 11]
  ankles = (x[:, 3] + x[:, 6]) / 2
  front = sum(x[:, list(toes)].mean(1) - x[:, ankle] for ankle, toes in _FEET)
  right = np.stack([front[:, 1], -front[:, 0]], -1)
  cosines = (
    _cosine(hips[:, :2], right), _cosine(hips, shoulders),
    _cosine(x[:, 10] - ankles, np.broadcast_to((0.0, 0.0, 1.0), ankles.shape)),
  )
  rows = [[(c > _DECIDED).sum(), (c < -_DECIDED).sum()] for c in cosines]
  far = [
    sum(np.linalg.norm(x[:, toes[i]] - x[:, ankle], axis=-1).sum() for ankle, toes in _FEET)
    for i in range(2)
  ]
  return np.array([*rows, far], np.float64)


def arrangement(total: np.ndarray) -> Skeleton:
  """CHI3D's 25 joints, named as votes say.

  Of the two joints on an ankle the farther one is the tip of the toes, `foot`.

  Args:
    total: (4, 2) sum of `votes`.

  Raises:
    ValueError: no clear majority, or z is not up.
  """
  legs, arms, up = (
    _majority(row, words) for row, words in zip(total[:3], _QUESTIONS, strict=True)
  )
  if not up:
    raise ValueError('heads are below feet along z')
  names = list(CHI3D25.joints)
  for chain, swapped in ((_LEGS, not legs), (_ARMS, legs != arms)):
    for joint in chain if swapped else ():
      names[joint] = {'r': 'l', 'l': 'r'}[names[joint][0]] + names[joint][1:]
  if total[3, 1] > total[3, 0]:
    for _, (first, second) in _FEET:
      names[first], names[second] = names[second], names[first]
  tree = tuple(
    (name, names[parent] if parent >= 0 else '')
    for name, parent in zip(names, CHI3D25.parents, strict=True)
  )
  return skeleton(CHI3D25.name, tree)


def _majority(row: np.ndarray, question: str) -> bool:
  share = row[0] / max(row.sum(), 1)
  if not row.sum() or 1 - _SURE < share < _SURE:
    raise ValueError(f'the poses do not tell {question} ({row[0]:g} say one, {row[1]:g} the other)')
  return bool(share > 0.5)


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
  scale = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
  return (a * b).sum(-1) / np.maximum(scale, 1e-12)
