"""2D poses that a user gave, drawn where there is no picture: the ground that results are drawn on.

Symbols: P people, J joints of a picture of W x H px.
"""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from posejax.geometry.skeleton import Skeleton
from posejax.viz.pose_views import Small

GROUND, GIVEN, WORDS = (44, 47, 52), (150, 154, 160), (205, 208, 212)
LEGEND = 'grey: 2D poses as given, alone where left out; colours: what was found, projected'


class Given(Protocol):
  """The 2D poses of a picture: joints (P, J, 2) px, seen (P, J) bool."""

  joints: np.ndarray
  seen: np.ndarray


def backdrops(
  size: tuple[int, int], frames: Sequence[Given], skeleton: Skeleton, longest: int, most: int
) -> dict[int, Small]:
  """Position → `backdrop` of at most so many frames, evenly over all."""
  chosen = np.linspace(0, len(frames) - 1, min(most, len(frames))).astype(int)
  return {
    int(at): backdrop(size, frames[at].joints, frames[at].seen, skeleton, longest) for at in chosen
  }


def backdrop(
  size: tuple[int, int], joints: np.ndarray, seen: np.ndarray, skeleton: Skeleton, longest: int
) -> Small:
  """A dark picture with the given joints and limbs in grey, broad enough to show beneath others.

  Args:
    size: (W, H) px.
    joints: (P, J, 2) px.
    seen: (P, J) bool.
    skeleton: of the joints.
    longest: px of the longer side; a smaller picture is not enlarged.
  """
  scale = min(1.0, longest / max(size))
  small = max(1, round(size[0] * scale)), max(1, round(size[1] * scale))
  picture, scales = Image.new('RGB', small, GROUND), np.array(small) / size
  draw = ImageDraw.Draw(picture)
  points = (joints + 0.5) * scales - 0.5
  # Pillow's lines overflow far outside: what is that far out is not drawn.
  shown = seen & (np.abs(points) < 10 * max(small)).all(-1)
  width = 3 * max(2, round(max(small) / 250))
  for person, marks in zip(points, shown, strict=True):
    for a, b in skeleton.limbs:
      if marks[a] and marks[b]:
        draw.line([tuple(person[a]), tuple(person[b])], fill=GIVEN, width=width)
    for x, y in person[marks]:
      radius = 0.7 * width
      draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=GIVEN)
  font = ImageFont.load_default(max(9, max(small) // 60))
  if font.getlength(LEGEND) + 12 <= small[0]:
    draw.text((6, small[1] - 6), LEGEND, fill=WORDS, font=font, anchor='ls')
  return Small(np.array(picture), scales)
