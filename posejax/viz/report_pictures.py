"""Pictures of an evaluation: cases with their poses in 2D and 3D, and sets of decoded poses.

Colours as in `overlay`: a person's right side orange, the left blue; the truth is grey. Camera
frame: x right, y down, z forward, mm; canonical frame: x forward, y left, z up, mm; axes in m.

Symbols: G people that count, J joints.
"""

import io

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends import backend_agg
from matplotlib.collections import LineCollection
from matplotlib.patheffects import withStroke

from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import Case, PoseSet
from posejax.viz import overlay

TRUTH, MISSED = '0.62', '#b00020'
_INK = '0.25'
_APART, _REACH, _CLOSE = 1.8, 1.25, 1.05  # m, from person to person, from a pelvis to the edges
_DPI, _WIDTH = 120, 12.6  # in


def png(figure: matplotlib.figure.Figure) -> bytes:
  """A figure as a PNG file."""
  buffer = io.BytesIO()
  backend_agg.FigureCanvasAgg(figure).print_png(buffer)
  return buffer.getvalue()


def case_picture(case: Case, skeleton: Skeleton) -> bytes:
  """A case in one row: image, teacher, student, 3D from the front, from the side, from above.

  Args:
    case: which.
    skeleton: of all joints.

  Returns:
    PNG.
  """
  count = max(len(case.match), 1)
  pose_width = min(0.35 + 0.65 * count, 2.6)
  widths = (1, 1, 1, pose_width, pose_width, 1)
  # One width for all rows; the more people, the lower they are.
  height = min(_WIDTH / sum(widths), 2.1) + 0.42
  figure = matplotlib.figure.Figure((_WIDTH, height), dpi=_DPI)
  axes = figure.subplots(1, 6, width_ratios=widths)
  figure.subplots_adjust(0.004, 0.19 / height, 0.994, 1 - 0.23 / height, 0.06)
  titles = ('image', 'teacher, 2D', 'student, 2D', 'student, 3D: front', '3D: from the side',
            'from above')
  for ax, title in zip(axes, titles, strict=True):
    ax.set_title(title, fontsize=9, color=_INK, pad=4)
    ax.set(xticks=[], yticks=[])
    for spine in ax.spines.values():
      spine.set_color('0.85')
  for ax in axes[:3]:
    ax.imshow(case.image, interpolation='nearest')
  for g, joints in enumerate(case.truth_2d):
    axes[0].text(
      *np.clip(joints[0], 4, case.image.shape[0] - 4), str(g + 1), color='white', fontsize=8,
      ha='center', va='center', path_effects=[withStroke(linewidth=2, foreground='black')],
    )
  for joints, seen in zip(case.teacher, case.teacher_seen, strict=True):
    _draw_on_image(axes[1], joints, seen, skeleton)
  people = case.people
  for slot in np.flatnonzero(people.valid):
    _draw_on_image(axes[2], people.joints_2d[slot], people.joint_valid[slot], skeleton)
  _draw_poses(axes[3], case, skeleton, (0, 1), (1, -1))
  _draw_poses(axes[4], case, skeleton, (2, 1), (1, -1))
  _draw_from_above(axes[5], case)
  return png(figure)


def pose_set_picture(chosen: PoseSet, skeleton: Skeleton) -> bytes:
  """The poses of a set, each from the front (above) and from its right side (below); PNG."""
  count = len(chosen.poses)
  figure = matplotlib.figure.Figure((1.25 * count, 3.0), dpi=_DPI)
  axes = figure.subplots(2, count, squeeze=False)
  figure.subplots_adjust(0.01, 0.01, 0.99, 0.99, 0.02, 0.02)
  for column, pose in zip(axes.T, np.asarray(chosen.poses) / 1000, strict=True):
    centred = pose - pose[:1]
    # From the front a person's left (y) is on the right; from its right side it faces right.
    for ax, plane in zip(column, (centred[:, [1, 2]], centred[:, [0, 2]]), strict=True):
      _draw_limbs(ax, plane, skeleton)
      ax.set(xlim=(-_CLOSE, _CLOSE), ylim=(-_CLOSE, _CLOSE), aspect='equal')
      ax.set_axis_off()
  return png(figure)


def _draw_on_image(ax: Axes, joints: np.ndarray, seen: np.ndarray, skeleton: Skeleton) -> None:
  """2D limbs whose ends are both there, outlined so that they show on any ground."""
  limbs = [limb for limb in skeleton.limbs if seen[limb[0]] and seen[limb[1]]]
  limits = ax.get_xlim(), ax.get_ylim()
  ax.add_collection(LineCollection(
    [joints[list(limb)] for limb in limbs], linewidths=1.6,
    colors=[_rgb(overlay.side_color(skeleton, limb)) for limb in limbs],
    path_effects=[withStroke(linewidth=2.8, foreground='black')],
  ))
  ax.set(xlim=limits[0], ylim=limits[1])


def _draw_poses(ax: Axes, case: Case, skeleton: Skeleton, axes: tuple, signs: tuple) -> None:
  """People side by side, pelvis on pelvis: the truth in grey, what was inferred over it."""
  columns, factors = list(axes), np.array(signs) / 1000
  for g, slot in enumerate(case.match):
    offset = np.array([g * _APART, 0.0])
    target = None if case.truth_camera is None else case.truth_camera[g] - case.truth_camera[g, :1]
    if target is not None:
      _draw_limbs(ax, target[:, columns] * factors + offset, skeleton, color=TRUTH, width=3.2)
    label, color = f'{g + 1}', _INK
    if slot >= 0:
      found = np.asarray(case.people.joints_camera[slot])
      found = found - found[:1]
      _draw_limbs(ax, found[:, columns] * factors + offset, skeleton)
      if target is not None:
        error = np.linalg.norm(found - target, axis=-1)[1:].mean()
        label = f'{g + 1}: {error:.0f} mm'
    else:
      label, color = f'{g + 1}: missed', MISSED
    ax.text(g * _APART, -_REACH - 0.08, label, ha='center', va='top', fontsize=8, color=color)
  last = max(len(case.match) - 1, 0) * _APART
  ax.set(xlim=(-_APART / 1.8, last + _APART / 1.8), ylim=(-_REACH, _REACH), aspect='equal')


def _draw_from_above(ax: Axes, case: Case) -> None:
  """Where the pelvises are, camera below; a thin line joins what was inferred to the truth."""
  found = np.asarray(case.people.joints_camera)[:, 0][:, [0, 2]] / 1000
  known = case.truth_camera is not None
  truth = case.truth_camera[:, 0][:, [0, 2]] / 1000 if known else found[case.match]
  for g, (place, slot) in enumerate(zip(truth, case.match, strict=True)):
    if known:
      ax.plot(*place, 'o', color='white', markeredgecolor=TRUTH, markersize=9, markeredgewidth=1.6)
    elif slot < 0:
      continue
    if slot >= 0:
      ax.plot(*np.stack([place, found[slot]]).T, color=_INK, linewidth=1)
      ax.plot(*found[slot], 'o', color=_INK, markersize=4)
    ax.annotate(str(g + 1), place, (7, 4), textcoords='offset points', fontsize=8, color=_INK)
  others = [slot for slot in np.flatnonzero(case.people.valid) if slot not in case.match]
  ax.plot(*found[others].T, 'x', color=MISSED, markersize=5)
  ax.plot(0, 0, '^', color=_INK, markersize=7)
  people = found[np.asarray(case.people.valid, bool)]
  places = np.concatenate([truth if known else found[:0], people, np.zeros((1, 2))])
  depth = max(np.ceil(places[:, 1].max() + 0.3), 3.0)
  ax.set(xlim=(-depth / 2, depth / 2), ylim=(-0.3, depth), aspect='equal')
  for metres in range(1, int(depth) + 1):
    ax.axhline(metres, color='0.9', linewidth=0.7, zorder=0)
    if metres < depth:
      ax.text(-depth / 2 * 0.97, metres, f'{metres} m', fontsize=6.5, color='0.5', va='center')


def _draw_limbs(
  ax: Axes, points: np.ndarray, skeleton: Skeleton, color: str | None = None, width: float = 1.9
) -> None:
  """Limbs of one pose (J, 2) in m."""
  ax.add_collection(LineCollection(
    [points[list(limb)] for limb in skeleton.limbs], linewidths=width, capstyle='round',
    colors=color or [_on_paper(overlay.side_color(skeleton, limb)) for limb in skeleton.limbs],
  ))


def _on_paper(color: tuple[int, int, int]) -> tuple[float, ...]:
  """Light lines vanish on paper."""
  return (0.25, 0.25, 0.25) if min(color) > 200 else _rgb(color)


def _rgb(color: tuple[int, int, int]) -> tuple[float, ...]:
  return tuple(channel / 255 for channel in color)
