"""Errors of several people as one rigid body, after one similarity for the whole scene.

  pa_mpjpe   mean over all joints of all people; reflections not allowed, or allowed
  se         |ν_A − ν_G| of each person, ν the Frobenius norm of its pelvis-centred joints
  te         ‖mean over scenes and people of |δ|‖, δ the error vector of a pelvis
  rde        ‖(A_j − A_i) − (G_j − G_i)‖ of pelvises, over the pairs of a scene; also of lengths

A is the prediction after its Procrustes alignment to the ground truth G. Symbols: S scenes, P
people, J joints, joint 0 the pelvis. NumPy in, NumPy out, mm. Source: spec/lifting.md, "Metrics,
per scene"; the seed's §3.1.
"""

import functools
from typing import NamedTuple

import jax
import numpy as np

from posejax.geometry import alignment


class SceneErrors(NamedTuple):
  """Errors of each scene.

  Attributes:
    joint: (S,) mm, mean over all joints of all people: PA-MPJPE.
    size: (S, P) mm, SE of each person; 0 where not valid.
    size_share: (S, P) %, of the true size.
    shift: (S, P, 3) mm, error vector of each pelvis; 0 where not valid.
    displacement: (S, P, P) mm, RDE of each pair i < j; 0 elsewhere.
    gap: (S, P, P) mm, the same of the lengths of the displacements.
    pairs: (S, P, P) bool, pairs that count.
    valid: (S, P) bool, people who count.
  """

  joint: np.ndarray
  size: np.ndarray
  size_share: np.ndarray
  shift: np.ndarray
  displacement: np.ndarray
  gap: np.ndarray
  pairs: np.ndarray
  valid: np.ndarray


def align(
  predictions: np.ndarray, targets: np.ndarray, valid: np.ndarray, reflection: bool = False
) -> np.ndarray:
  """Each scene after the best similarity of all joints of its people to the truth.

  Args:
    predictions: (S, P, J, 3), any unit.
    targets: (S, P, J, 3) mm.
    valid: (S, P) bool: people who count, at least one a scene.
    reflection: admit det R = −1.

  Returns:
    (S, P, J, 3) mm.

  Raises:
    ValueError: the shapes do not fit, or a scene has nobody.
  """
  predictions, targets = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
  valid = np.asarray(valid, bool)
  if predictions.ndim != 4 or predictions.shape != targets.shape or predictions.shape[-1] != 3:
    raise ValueError(
      f'scenes.align: expected two arrays (S, P, J, 3), got {predictions.shape} and '
      f'{targets.shape}'
    )
  if valid.shape != predictions.shape[:2] or not valid.any(1).all():
    raise ValueError(
      f'scenes.align: valid must be {predictions.shape[:2]} with somebody in each scene, got '
      f'{valid.shape}'
    )
  scenes, people, joints, _ = predictions.shape
  weights = np.repeat(valid, joints, axis=1).astype(np.float64)
  flat = (scenes, people * joints, 3)
  with jax.enable_x64(True):
    aligned = _aligned(reflection, predictions.reshape(flat), targets.reshape(flat), weights)
    return np.asarray(aligned).reshape(predictions.shape)


def errors(aligned: np.ndarray, targets: np.ndarray, valid: np.ndarray) -> SceneErrors:
  """What is left after `align`.

  Args:
    aligned: (S, P, J, 3) mm.
    targets: (S, P, J, 3) mm.
    valid: (S, P) bool.
  """
  valid = np.asarray(valid, bool)
  counted = valid[..., None]
  distance = np.linalg.norm(aligned - targets, axis=-1)
  joint = (distance * counted).sum((1, 2)) / (counted.sum((1, 2)) * distance.shape[2])
  ours, true = (_size(poses) for poses in (aligned, targets))
  size = np.where(valid, np.abs(ours - true), 0)
  shift = np.where(counted, aligned[:, :, 0] - targets[:, :, 0], 0)
  between_ours, between_true = (_between(poses[:, :, 0]) for poses in (aligned, targets))
  upper = np.triu(np.ones(valid.shape[1:] * 2, bool), 1)
  pairs = valid[:, :, None] & valid[:, None] & upper
  displacement = np.linalg.norm(between_ours - between_true, axis=-1)
  gap = np.abs(np.linalg.norm(between_ours, axis=-1) - np.linalg.norm(between_true, axis=-1))
  return SceneErrors(
    joint, size, np.where(valid, 100 * size / np.where(true > 0, true, 1), 0), shift,
    np.where(pairs, displacement, 0), np.where(pairs, gap, 0), pairs, valid,
  )


def summary(found: SceneErrors) -> dict[str, float]:
  """The figures of a set of scenes: a mean of scenes, of people, or of pairs.

  Returns:
    pa_mpjpe_mm, median_mm (of the scenes' PA-MPJPE), se_mm, se_percent, te_mm, rde_mm, rde_gap_mm;
    nan where there is no pair.
  """
  people, pairs = found.valid.sum(), found.pairs.sum()
  per_pair = (lambda x: float(x.sum() / pairs)) if pairs else (lambda x: float('nan'))
  mean_shift = np.abs(found.shift).sum((0, 1)) / people
  return {
    'pa_mpjpe_mm': float(found.joint.mean()),
    'median_mm': float(np.median(found.joint)),
    'se_mm': float(found.size.sum() / people),
    'se_percent': float(found.size_share.sum() / people),
    'te_mm': float(np.linalg.norm(mean_shift)),
    'rde_mm': per_pair(found.displacement),
    'rde_gap_mm': per_pair(found.gap),
  }


def _size(poses: np.ndarray) -> np.ndarray:
  """(S, P) Frobenius norm of the pelvis-centred joints."""
  return np.linalg.norm(poses - poses[:, :, :1], axis=(2, 3))


def _between(pelvises: np.ndarray) -> np.ndarray:
  """(S, P, P, 3): pelvis j − pelvis i at [i, j]."""
  return pelvises[:, None] - pelvises[:, :, None]


@functools.partial(jax.jit, static_argnums=0)
def _aligned(reflection, predictions, targets, weights):
  return jax.vmap(
    lambda x, y, w: alignment.align_procrustes(x, y, w, allow_reflection=reflection)
  )(predictions, targets, weights)
