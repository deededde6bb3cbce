"""Pictures of scenes reconstructed from 2D poses alone: what was given, and two views of 3D."""

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection

from posejax.geometry.skeleton import Skeleton
from posejax.metrics.figures import SceneSet
from posejax.viz import overlay
from posejax.viz.report_pictures import TRUTH, png

_DPI, _WIDTH, _HEIGHT = 120, 12.6, 1.9  # in; the height is a scene's
_INK = '0.25'
_MARGIN = 0.35  # m


def scene_set_picture(chosen: SceneSet, skeleton: Skeleton) -> bytes:
  """One row for each scene: 2D, then front and side of each method over the truth.

  Args:
    chosen: which scenes.
    skeleton: of the joints.

  Returns:
    PNG.
  """
  count, columns = len(chosen.truth), 1 + 2 * len(chosen.found)
  figure = matplotlib.figure.Figure((_WIDTH, _HEIGHT * count + 0.3), dpi=_DPI)
  axes = figure.subplots(count, columns, squeeze=False)
  height = _HEIGHT * count + 0.3
  figure.subplots_adjust(0.004, 0.02, 0.996, 1 - 0.27 / height, 0.04, 0.06)
  titles = ['2D poses', *(
    f'{label}: {view}' for label, _ in chosen.found for view in ('front', 'side')
  )]
  for ax, title in zip(axes[0], titles, strict=True):
    ax.set_title(title, fontsize=9, color=_INK, pad=4)
  for row, scene in zip(axes, range(count), strict=True):
    for ax in row:
      ax.set(xticks=[], yticks=[])
      for spine in ax.spines.values():
        spine.set_color('0.85')
    _draw(row[0], chosen.rays[scene] * (1, -1), skeleton)
    _fit(row[0], chosen.rays[scene] * (1, -1), 0.05)
    row[0].text(
      0.03, 0.03, f'{chosen.errors[scene]:.0f} mm', transform=row[0].transAxes, fontsize=8,
      color=_INK,
    )
    for (_, found), pair in zip(chosen.found, np.split(row[1:], len(chosen.found)), strict=True):
      for ax, plane in zip(pair, ((0, 1), (2, 1)), strict=True):
        truth, ours = (_plane(x[scene], plane) for x in (chosen.truth, found))
        _draw(ax, truth, skeleton, TRUTH, 3.2)
        _draw(ax, ours, skeleton)
        _fit(ax, np.concatenate([truth, ours]), _MARGIN)
  return png(figure)


def _plane(people: np.ndarray, axes: tuple[int, int]) -> np.ndarray:
  """(P, J, 2) m of one view, upwards."""
  return people[..., list(axes)] * (1, -1) / 1000


def _fit(ax: Axes, points: np.ndarray, margin: float) -> None:
  """Limits around points that keep one scale: the narrower side is widened to the axes' shape."""
  low, high = points.min((0, 1)) - margin, points.max((0, 1)) + margin
  box = ax.get_position().size * ax.figure.get_size_inches()
  half = (high - low) / 2
  half = np.maximum(half, half[::-1] * box / box[::-1])
  middle = (low + high) / 2
  ax.set(
    xlim=(middle[0] - half[0], middle[0] + half[0]),
    ylim=(middle[1] - half[1], middle[1] + half[1]),
  )


def _draw(
  ax: Axes, people: np.ndarray, skeleton: Skeleton, color: str | None = None, width: float = 1.7
) -> None:
  """Limbs of people (P, J, 2)."""
  limbs = [person[list(limb)] for person in people for limb in skeleton.limbs]
  ax.add_collection(LineCollection(
    limbs, linewidths=width, capstyle='round',
    colors=color or [_color(skeleton, limb) for _ in people for limb in skeleton.limbs],
  ))


def _color(skeleton: Skeleton, limb: tuple[int, int]) -> tuple[float, ...]:
  """Light lines vanish on paper."""
  color = overlay.side_color(skeleton, limb)
  return (0.25,) * 3 if min(color) > 200 else tuple(channel / 255 for channel in color)
