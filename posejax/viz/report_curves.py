"""Curves of the stages: every scalar of a stage's `metrics.jsonl` in a small panel of its own."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, NullFormatter

from posejax.viz import report_pictures

# Scalars about the machine and the optimizers: the record has them, the report leaves them out.
_LEFT_OUT = ('gradient_norm/', 'learning_rate/', 'weight/', 'examples_per_second', 'peak_memory')
_TRAINING, _VALIDATION = '#30508c', '#1b7f4d'
_COLUMNS = 5
_plain = FuncFormatter(lambda value, position: f'{value:g}')


class Phase(NamedTuple):
  """A stretch of a stage: steps first < s ≤ last."""

  name: str
  first: int
  last: int


def series(rows: Sequence[dict[str, float]]) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """Scalar → (steps, values) of the lines of a `metrics.jsonl`, losses first, validation last."""
  points: dict[str, list[tuple[float, float]]] = {}
  for row in rows:
    for name, value in row.items():
      finite = isinstance(value, int | float) and math.isfinite(value)
      if name != 'step' and not name.startswith(_LEFT_OUT) and finite:
        points.setdefault(name, []).append((row['step'], value))

  def rank(name: str) -> int:
    return 0 if name.startswith('loss/') else 2 if name.startswith('validation/') else 1

  return {
    name: tuple(np.array(points[name], float).T)
    for name in sorted(points, key=lambda name: (rank(name), name))
  }


def curves_picture(
  rows: Sequence[dict[str, float]], phases: Sequence[Phase], best: int | None = None
) -> bytes | None:
  """A panel for each scalar; phases are shaded in turns, the chosen step is a thin line.

  Args:
    rows: lines of `metrics.jsonl`.
    phases: in order.
    best: step of the checkpoint that was chosen by validation.

  Returns:
    PNG, or None where nothing was logged.
  """
  curves = series(rows)
  if not curves:
    return None
  lines = math.ceil(len(curves) / _COLUMNS)
  figure = matplotlib.figure.Figure((12.4, 2.15 * lines), dpi=100)
  axes = figure.subplots(lines, _COLUMNS, squeeze=False).ravel()
  for ax in axes[len(curves):]:
    ax.set_axis_off()
  for ax, (name, (steps, values)) in zip(axes, curves.items(), strict=False):
    _panel(ax, name, steps, values, phases, best)
  figure.tight_layout(pad=0.5, w_pad=0.8, h_pad=0.9)
  return report_pictures.png(figure)


def _panel(
  ax: Axes, name: str, steps: np.ndarray, values: np.ndarray, phases: Sequence[Phase],
  best: int | None,
) -> None:
  validation = name.startswith('validation/')
  color = _VALIDATION if validation else _TRAINING
  ax.plot(steps, values, color=color, linewidth=1.3, marker='o' if len(steps) < 40 else None,
          markersize=2.5)
  if not validation and values.min() > 0 and values.max() > 3 * values.min():
    ax.set_yscale('log')
    ax.yaxis.set_major_formatter(_plain)
    # Between powers of ten alone the axis would have one label, or none.
    narrow = values.max() < 10 * values.min()
    ax.yaxis.set_minor_formatter(_plain if narrow else NullFormatter())
  end = phases[-1].last if phases else steps.max()
  ax.set_xlim(0, end)
  for i, phase in enumerate(phases):
    if i % 2:
      ax.axvspan(phase.first, phase.last, color='0.94', zorder=0, linewidth=0)
    if len(phases) > 1:
      thin = phase.last - phase.first < 0.2 * end
      ax.text((phase.first + phase.last) / 2, 0.98, phase.name, fontsize=6.5, color='0.45',
              ha='center', va='top', rotation=90 if thin else 0,
              transform=ax.get_xaxis_transform())
  if best is not None and validation:
    ax.axvline(best, color='0.5', linewidth=0.9, linestyle=':')
  ax.set_title(name.replace('validation/', 'validation: ').replace('loss/', 'loss: '),
               fontsize=8, color=color, loc='left')
  ax.tick_params(which='both', labelsize=6.5)
  ax.ticklabel_format(axis='x', style='plain')
  for side in ('top', 'right'):
    ax.spines[side].set_visible(False)
