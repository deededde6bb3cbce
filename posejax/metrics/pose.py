"""Errors of matched 3D poses. The name of a metric says what it aligns.

  mpjpe_root  both poses relative to their own root
  n_mpjpe     then the prediction scaled to the target
  pa_mpjpe    scale, rotation (no reflection) and translation fitted
  pck, auc    shares of joint errors below thresholds

The literature's "Protocol 1" and "Protocol 2" mean different things in different papers
(spec/protocols.md), so these words stand nowhere here.

Symbols: N poses, J joints. NumPy in, NumPy out, mm; masks say which joints count.
"""

import functools

import jax
import numpy as np

from posejax.geometry import alignment

PCK_THRESHOLD_MM = 150.0
# "0:5:150" of MPI-INF-3DHP's evaluation: 31 thresholds, 0 among them.
AUC_THRESHOLDS_MM = np.arange(0.0, 151.0, 5.0)


def root_errors(predictions: np.ndarray, targets: np.ndarray, root: int = 0) -> np.ndarray:
  """Distance of each joint after the roots are laid on each other.

  Args:
    predictions: (N, J, 3) mm.
    targets: (N, J, 3) mm.
    root: index of the root joint.

  Returns:
    (N, J) mm.

  Raises:
    ValueError: the shapes differ or are not (N, J, 3).
  """
  predictions, targets = _poses('root_errors', predictions, targets)
  difference = (predictions - predictions[:, root, None]) - (targets - targets[:, root, None])
  return np.linalg.norm(difference, axis=-1)


def scaled_errors(
  predictions: np.ndarray, targets: np.ndarray, mask: np.ndarray, root: int = 0
) -> np.ndarray:
  """As `root_errors`, after each prediction was scaled to its target by least squares."""
  predictions, targets = _poses('scaled_errors', predictions, targets)
  predictions = predictions - predictions[:, root, None]
  targets = targets - targets[:, root, None]
  scaled = _in_double(alignment.align_scale, predictions, targets, mask)
  return np.linalg.norm(scaled - targets, axis=-1)


def procrustes_errors(
  predictions: np.ndarray, targets: np.ndarray, mask: np.ndarray
) -> np.ndarray:
  """Distance of each joint after the best similarity without reflection.

  Args:
    predictions: (N, J, 3) mm.
    targets: (N, J, 3) mm.
    mask: (N, J) bool: joints that the fit may use.

  Returns:
    (N, J) mm.

  Raises:
    ValueError: the shapes differ or are not (N, J, 3).
  """
  predictions, targets = _poses('procrustes_errors', predictions, targets)
  aligned = _in_double(alignment.align_procrustes, predictions, targets, mask)
  return np.linalg.norm(aligned - targets, axis=-1)


def masked_mean(values: np.ndarray, mask: np.ndarray) -> float:
  """The mean of what counts; nan where nothing does, since no data is not an error of 0."""
  mask = np.broadcast_to(np.asarray(mask, bool), np.shape(values))
  return float(np.asarray(values)[mask].mean()) if mask.any() else float('nan')


def pck(errors: np.ndarray, mask: np.ndarray, threshold: float = PCK_THRESHOLD_MM) -> float:
  """Percentage of joint errors below a threshold.

  Args:
    errors: (N, J) mm; inf for what was not found.
    mask: (N, J) bool: what counts.
    threshold: mm; an error equal to it is wrong.
  """
  return 100 * masked_mean(np.asarray(errors) < threshold, mask)


def auc(errors: np.ndarray, mask: np.ndarray) -> float:
  """Mean of `pck` over 0, 5, ... 150 mm, in percent."""
  return float(np.mean([pck(errors, mask, threshold) for threshold in AUC_THRESHOLDS_MM]))


def per_joint_pck(
  errors: np.ndarray, mask: np.ndarray, names: tuple[str, ...]
) -> dict[str, float]:
  """`pck` of each joint, left and right together: `{'elbow': ..., 'knee': ...}`."""
  groups: dict[str, list[int]] = {}
  for joint, name in enumerate(names):
    groups.setdefault(name.removeprefix('r_').removeprefix('l_'), []).append(joint)
  return {name: pck(errors[:, ids], mask[:, ids]) for name, ids in groups.items()}


def _poses(
  function: str, predictions: np.ndarray, targets: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
  predictions, targets = np.asarray(predictions, np.float64), np.asarray(targets, np.float64)
  if predictions.ndim != 3 or predictions.shape[-1] != 3 or predictions.shape != targets.shape:
    raise ValueError(
      f'{function}: expected two arrays (N, J, 3), got {predictions.shape} and {targets.shape}'
    )
  return predictions, targets


@functools.partial(jax.jit, static_argnums=0)
def _batched(function, predictions, targets, weights):
  return jax.vmap(function)(predictions, targets, weights)


def _in_double(function, predictions, targets, mask) -> np.ndarray:
  """Runs an alignment over N poses in 64 bits: an evaluation has time for it."""
  if not len(predictions):
    return predictions
  with jax.enable_x64(True):
    return np.asarray(_batched(function, predictions, targets, np.asarray(mask, np.float64)))
