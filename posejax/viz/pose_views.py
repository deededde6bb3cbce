"""What was found in one picture, drawn: over the picture, and in space from two sides.

Colours as in `overlay`: right side orange, left blue, middle light (dark on paper). Camera frame: x
right, y down, z forward, mm; figures are in m. Symbols: P people, J joints.
"""

from typing import NamedTuple

import matplotlib.figure
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from PIL import Image, ImageDraw, ImageFont

from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import People
from posejax.viz import overlay, report_pictures

LONGEST = 1280  # px of an overlay
_FARTHEST = 50.0  # m: what is beyond is not drawn
_THIN = 40  # times as tall as its lines are wide is a person in an overlay
_WIDE, _AXES = 9.6, (7.9, 4.0)  # inches: a figure, and the most that its axes take together
_LOWEST = 1.2  # inches: of its axes
_AROUND = 0.5  # m of paper around people, both sides together


class Small(NamedTuple):
  """A picture of at most `LONGEST` px, and its size over that of the picture it was made from.

  Attributes:
    pixels: (H, W, 3) uint8.
    scales: (2,) along x, along y.
  """

  pixels: np.ndarray
  scales: np.ndarray


def shrink(pixels: np.ndarray, longest: int = LONGEST) -> Small:
  """A picture (H, W, 3) whose longer side is at most `longest` px; a smaller one as it is."""
  height, width = pixels.shape[:2]
  scale = min(1.0, longest / max(height, width))
  size = max(1, round(width * scale)), max(1, round(height * scale))
  small = Image.fromarray(pixels).resize(size, Image.Resampling.BILINEAR, reducing_gap=3.0)
  return Small(np.array(small), np.array(size) / (width, height))


def overlay_picture(small: Small, people: People, skeleton: Skeleton) -> Image.Image:
  """A picture with its people's 2D poses and ids.

  Args:
    small: the picture.
    people: unbatched, px of the picture before it was shrunk.
    skeleton: of the joints.

  Returns:
    The picture.
  """
  picture, size, scales = Image.fromarray(small.pixels), small.pixels.shape[1::-1], small.scales
  points = (np.asarray(people.joints_2d, float) + 0.5) * scales - 0.5
  # Pillow's lines overflow far outside: what is that far out is not drawn.
  near = (np.abs(points) < 10 * max(size)).all(-1)
  shown = np.asarray(people.valid, bool)[:, None] & np.asarray(people.joint_valid, bool) & near
  line = max(2, round(max(size) / 250))
  for joints, mine in zip(points, shown, strict=True):
    known = joints[mine & np.isfinite(joints).all(-1)]
    tall = np.ptp(known, axis=0).max() if len(known) else 0
    width = int(np.clip(tall / _THIN, 1, line))
    overlay.draw_people(picture, joints[None], mine[None], skeleton, width=width)
  draw, font = ImageDraw.Draw(picture), ImageFont.load_default(max(12, max(size) // 45))
  for slot in np.flatnonzero(people.valid):
    mine = points[slot][shown[slot] & np.isfinite(points[slot]).all(-1)]
    if len(mine):
      x, y = np.clip(mine[mine[:, 1].argmin()], 0, np.array(size) - 1)
      draw.text(
        (float(x), max(float(y) - 4, font.size)), str(int(people.identity[slot])), font=font,
        fill='white', stroke_width=2, stroke_fill='black', anchor='ms',
      )
  return picture


def two_views(people: People, skeleton: Skeleton, title: str = '') -> bytes:
  """People in space, from the camera and from its right; axes in m, one scale.

  Args:
    people: unbatched, camera-centred.
    skeleton: of the joints.
    title: above.

  Returns:
    PNG.
  """
  seen = [
    (int(people.identity[slot]), np.asarray(people.joints_camera[slot], float) / 1000,
     np.asarray(people.joint_valid[slot], bool))
    for slot in np.flatnonzero(people.valid)
  ]
  seen = [
    (identity, joints, valid & (np.abs(np.nan_to_num(joints, nan=1e9)) < _FARTHEST).all(-1))
    for identity, joints, valid in seen
  ]
  figure = matplotlib.figure.Figure((_WIDE, 5.0), dpi=120)
  # A file's name may hold two dollar signs, which would be a formula.
  figure.suptitle(title or 'People in space', fontsize=10, parse_math=False)
  points = np.concatenate([joints[valid] for _, joints, valid in seen] or [np.zeros((0, 3))])
  if not len(points):
    figure.text(0.5, 0.5, 'nobody found', ha='center', color='0.4')
    return report_pictures.png(figure)
  middle = (points.min(0) + points.max(0)) / 2
  spans = np.maximum(np.ptp(points, axis=0) + _AROUND, (1.2, 2.2, 1.2))  # m, of x, y, z
  inches = min(_AXES[0] / (spans[0] + spans[2]), _AXES[1] / spans[1])  # of a metre
  spans[[0, 2]] *= _AXES[0] / (inches * (spans[0] + spans[2]))  # all the width
  spans[1] = max(spans[1], _LOWEST / inches)
  label = 0.2 / inches  # m, above the highest head
  figure.set_figheight(inches * (spans[1] + label) + 1.0)
  left, right = figure.subplots(1, 2, width_ratios=(spans[0], spans[2]))
  figure.subplots_adjust(0.07, 0.45 / figure.get_figheight(), 0.985,
                         1 - 0.55 / figure.get_figheight(), 0.14)
  # From the camera's right one looks along −x: far is to the left.
  for ax, axis, sign, name, unit in (
    (left, 0, 1, 'from the camera', 'to the right (m)'),
    (right, 2, -1, 'from the camera’s right', 'distance from the camera (m)'),
  ):
    for identity, joints, valid in seen:
      _draw(ax, np.stack([joints[:, axis], -joints[:, 1]], -1), valid, skeleton, str(identity))
    reach = sign * spans[axis] / 2
    ax.set(
      xlim=(middle[axis] - reach, middle[axis] + reach), aspect='equal',
      ylim=(-middle[1] - spans[1] / 2, -middle[1] + spans[1] / 2 + label),
    )
    ax.set_title(name, fontsize=9)
    ax.set_xlabel(unit, fontsize=8)
    ax.tick_params(labelsize=7)
    ax.grid(color='0.92', linewidth=0.7)
    ax.set_axisbelow(True)
  left.set_ylabel('up (m)', fontsize=8)
  sides = 'right side orange, left side blue'
  figure.text(0.985, 0.98, sides, ha='right', va='top', fontsize=8, color='0.4')
  return report_pictures.png(figure)


def _draw(
  ax: Axes, points: np.ndarray, valid: np.ndarray, skeleton: Skeleton, label: str
) -> None:
  limbs = [limb for limb in skeleton.limbs if valid[limb[0]] and valid[limb[1]]]
  ax.add_collection(LineCollection(
    [points[list(limb)] for limb in limbs], linewidths=2.0, capstyle='round',
    colors=[on_paper(overlay.side_color(skeleton, limb)) for limb in limbs],
  ))
  if valid.any():
    x, y = points[valid][points[valid][:, 1].argmax()]
    ax.annotate(label, (x, y), (0, 4), textcoords='offset points', ha='center', fontsize=8)


def on_paper(color: tuple[int, int, int]) -> tuple[float, float, float]:
  """A colour in [0, 1]; light lines, which vanish on paper, are dark."""
  return (0.25, 0.25, 0.25) if min(color) > 200 else tuple(channel / 255 for channel in color)
