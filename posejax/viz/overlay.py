"""2D poses, maps and masks drawn over images, with Pillow.

Colours: a person's right side is orange, the left side blue, the middle light, in every picture of
this project, so that a swap of sides is seen at once. Where people must be told apart (masks), each
has a colour of its own.

Symbols: P persons, J joints, H W px; an enlarged picture has `scale` times the sides.
"""

import numpy as np
from PIL import Image, ImageDraw

from posejax.geometry.skeleton import Skeleton

RIGHT, LEFT, MIDDLE = (244, 122, 32), (48, 140, 255), (235, 235, 235)

# Okabe and Ito's palette: told apart also by colour-blind readers.
PERSON_COLORS = (
  (230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167), (213, 94, 0),
  (0, 114, 178), (160, 160, 160),
)


def side_color(skeleton: Skeleton, limb: tuple[int, int]) -> tuple[int, int, int]:
  """The colour of a limb by the side that its joints' names tell."""
  sides = {skeleton.joints[joint][:2] for joint in limb}
  if 'r_' in sides:
    return RIGHT
  return LEFT if 'l_' in sides else MIDDLE


def enlarge(image: np.ndarray, scale: int) -> Image.Image:
  """An RGB image, each pixel a square of `scale` px.

  Args:
    image: (H, W, 3) uint8.
    scale: whole factor.
  """
  return Image.fromarray(np.asarray(image)).resize(
    (image.shape[1] * scale, image.shape[0] * scale), Image.Resampling.NEAREST
  )


def draw_people(
  picture: Image.Image, joints: np.ndarray, visible: np.ndarray, skeleton: Skeleton,
  scale: int = 1, width: int = 2,
) -> Image.Image:
  """Draws 2D poses on a picture, in place.

  Args:
    picture: enlarged by `scale`.
    joints: (P, J, 2) px of the image before it was enlarged, pixel centres at whole numbers.
    visible: (P, J) bool; a limb is drawn if both ends are visible and finite.
    skeleton: of the joints.
    scale: of the picture.
    width: of the lines, px of the picture.

  Returns:
    The picture.
  """
  draw = ImageDraw.Draw(picture)
  # A pixel's centre lies in the middle of its enlarged square.
  points = (np.asarray(joints, float) + 0.5) * scale
  seen = np.asarray(visible, bool) & np.isfinite(points).all(-1)
  for person, shown in zip(points, seen, strict=True):
    for a, b in skeleton.limbs:
      if shown[a] and shown[b]:
        ends = [tuple(person[a]), tuple(person[b])]
        draw.line(ends, fill=(0, 0, 0), width=width + 2)
        draw.line(ends, fill=side_color(skeleton, (a, b)), width=width)
    for x, y in person[shown]:
      radius = width / 2
      draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=(255, 255, 255))
  return picture


def tint_people(image: np.ndarray, mask: np.ndarray, strength: float = 0.55) -> np.ndarray:
  """Tints each person's pixels in a colour of their own.

  Args:
    image: (H, W, 3) uint8.
    mask: (H, W) person + 1, or 0 where there is nobody.
    strength: 0 shows the image, 1 the colour.

  Returns:
    (H, W, 3) uint8.
  """
  colors = np.array(PERSON_COLORS, float)[(np.asarray(mask) - 1) % len(PERSON_COLORS)]
  share = np.where(np.asarray(mask)[..., None] > 0, strength, 0.0)
  return np.rint(np.asarray(image) * (1 - share) + colors * share).astype(np.uint8)


def overlay_heatmap(image: np.ndarray, heatmap: np.ndarray, color=(255, 60, 60)) -> np.ndarray:
  """Lays one map of cells over an image, each cell as the square of pixels that it covers.

  Args:
    image: (H, W, 3) uint8.
    heatmap: (h, w) in [0, 1]; H and W are multiples of h and w.
    color: of the value 1.

  Returns:
    (H, W, 3) uint8.
  """
  image, heatmap = np.asarray(image), np.asarray(heatmap, float)
  rows, columns = image.shape[0] // heatmap.shape[0], image.shape[1] // heatmap.shape[1]
  share = np.clip(np.kron(heatmap, np.ones((rows, columns))), 0, 1)[..., None]
  gray = image.mean(-1, keepdims=True) * 0.7
  return np.rint(gray * (1 - share) + np.array(color, float) * share).astype(np.uint8)


def overlay_field(image: np.ndarray, field: np.ndarray) -> np.ndarray:
  """Lays a field of directions over an image: the hue is the direction, the strength the length.

  Args:
    image: (H, W, 3) uint8.
    field: (h, w, 2) (x, y) vectors of length ≤ 1; H and W are multiples of h and w.

  Returns:
    (H, W, 3) uint8.
  """
  field = np.asarray(field, float)
  length = np.clip(np.linalg.norm(field, axis=-1), 0, 1)
  hue = (np.arctan2(field[..., 1], field[..., 0]) / (2 * np.pi)) % 1
  hsv = np.stack([hue, np.full_like(hue, 0.85), np.ones_like(hue)], -1)
  color = np.asarray(
    Image.fromarray(np.rint(hsv * 255).astype(np.uint8), 'HSV').convert('RGB'), float
  )
  rows, columns = image.shape[0] // field.shape[0], image.shape[1] // field.shape[1]
  share = 0.8 * np.kron(length, np.ones((rows, columns)))[..., None]
  gray = np.asarray(image).mean(-1, keepdims=True) * 0.7
  return np.rint(gray * (1 - share) + np.kron(color, np.ones((rows, columns, 1))) * share).astype(
    np.uint8
  )
