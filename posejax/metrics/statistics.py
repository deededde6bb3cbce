"""How sure a figure is: mean ± sd over seeds, bootstrap intervals over scenes.

Scenes are drawn, not persons or joints: those of one image are not independent.
"""

from typing import NamedTuple

import numpy as np


class Estimate(NamedTuple):
  """A mean with the ends of its interval."""

  mean: float
  low: float
  high: float


def mean_sd(values: np.ndarray) -> tuple[float, float]:
  """Mean and sample standard deviation (ddof 1) of a few seeds; the latter nan for one."""
  values = np.asarray(values, float)
  return float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else float('nan')


def bootstrap(
  sums: np.ndarray, weights: np.ndarray, *, seed: int = 0, draws: int = 2000, level: float = 0.95
) -> Estimate:
  """Percentile interval of a ratio of sums over scenes.

  Args:
    sums: (S,) per scene, the sum of what is averaged (such as joints within 150 mm).
    weights: (S,) per scene, how many there are; a scene without people has 0.
    seed: of the draws.
    draws: number of resamples.
    level: share of the resamples inside the interval.

  Raises:
    ValueError: the shapes differ.

  Returns:
    The ratio of sums with its interval; nan where there is no weight.
  """
  sums, weights = np.asarray(sums, float), np.asarray(weights, float)
  if sums.shape != weights.shape or sums.ndim != 1:
    raise ValueError(f'bootstrap: expected two arrays (S,), got {sums.shape} and {weights.shape}')
  if weights.sum() == 0:
    return Estimate(*[float('nan')] * 3)
  totals = _resampled(np.stack([sums, weights], -1), seed, draws)
  totals = totals[totals[:, 1] > 0]
  return _interval(sums.sum() / weights.sum(), totals[:, 0] / totals[:, 1], level)


def paired_bootstrap(
  first: np.ndarray, second: np.ndarray, weights: np.ndarray, *, seed: int = 0,
  draws: int = 2000, level: float = 0.95,
) -> Estimate:
  """Interval of the difference first − second of two systems on the same scenes.

  Args:
    first: (S,) sums of one system.
    second: (S,) sums of the other one.
    weights: (S,) as in `bootstrap`, the same for both.
    seed: of the draws.
    draws: number of resamples.
    level: share of the resamples inside the interval.
  """
  difference = np.asarray(first, float) - np.asarray(second, float)
  return bootstrap(difference, weights, seed=seed, draws=draws, level=level)


def paired_ratios(
  first: tuple[np.ndarray, np.ndarray], second: tuple[np.ndarray, np.ndarray], *, seed: int = 0,
  draws: int = 2000, level: float = 0.95,
) -> Estimate:
  """Interval of the difference of two ratios of sums, of systems that count each its own.

  Two systems match different people of one scene, so their weights differ; scenes are paired.

  Args:
    first: (S,) sums and (S,) weights of one system.
    second: of the other one, on the same scenes.
    seed: of the draws.
    draws: number of resamples.
    level: share of the resamples inside the interval.

  Raises:
    ValueError: the shapes differ.

  Returns:
    first's ratio − second's ratio with its interval; nan where either has no weight.
  """
  columns = np.stack([np.asarray(part, float) for pair in (first, second) for part in pair], -1)
  if columns.ndim != 2:
    raise ValueError(f'paired_ratios: expected four arrays (S,), got {columns.shape[:-1]}')
  if not columns.sum(0)[1::2].all():
    return Estimate(*[float('nan')] * 3)
  totals = np.concatenate([columns.sum(0)[None], _resampled(columns, seed, draws)])
  totals = totals[(totals[:, 1::2] > 0).all(1)]
  differences = totals[:, 0] / totals[:, 1] - totals[:, 2] / totals[:, 3]
  return _interval(differences[0], differences[1:], level)


def _resampled(columns: np.ndarray, seed: int, draws: int) -> np.ndarray:
  """Column sums (draws, n) of as many scenes, drawn with replacement from columns (S, n)."""
  scenes = len(columns)
  # How often each scene is drawn is all that the sums need.
  counts = np.random.default_rng(seed).multinomial(
    scenes, np.full(scenes, 1 / scenes), size=draws
  )
  return counts @ columns


def _interval(value: float, resampled: np.ndarray, level: float) -> Estimate:
  low, high = np.quantile(resampled, [(1 - level) / 2, (1 + level) / 2])
  return Estimate(float(value), float(low), float(high))
