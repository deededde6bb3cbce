"""What a body is made of, as data: ellipsoids and tapered segments in frames around the joints.

Frames have axes (forward, left, up); a row's numbers are mm of a standard adult (trunk 490.5 mm) in
its frame. Rows named `r_...` stand for both sides: the left one is the mirror image.

  trunk     at the pelvis, up the spine, left along the hips
  chest     at the neck, up the spine, left along the shoulders
  head      at the neck, up to the head's top, left along the shoulders; 236 mm to the top
  shoulder, elbow, hip, knee, ankle   at the joint, axes of the trunk
  hand      at the wrist, up along the fingers, left (the left hand's) towards the thumb
  foot      at the ankle, forward along the sole, up from it

All proportions are ours [R], set by eye on rendered people.
"""

import enum
from typing import NamedTuple

Triple = tuple[float, float, float]


class Slot(enum.IntEnum):
  """Surfaces of a person; each has one material."""

  SKIN = 0
  HAIR = 1
  TOP = 2
  BOTTOM = 3
  SHOE = 4
  INNER = 5
  ACCENT = 6


class Part(enum.IntEnum):
  """Which details are painted on a solid."""

  PLAIN = 0
  TRUNK = 1
  HEAD = 2


class Gain(enum.IntEnum):
  """Factors on a row's size that differ between persons; 0 takes the solid away."""

  ONE = 0
  GIRTH = 1
  BUST = 2
  BELLY = 3
  SHOULDERS = 4
  HAIR_CAP = 5
  HAIR_BACK = 6
  BUN = 7
  BRIM = 8
  BACKPACK = 9
  SKIRT = 10
  SLEEVE_UPPER = 11
  SLEEVE_LOWER = 12
  LEG_UPPER = 13
  LEG_LOWER = 14
  HIPS = 15
  ELBOW = 16
  KNEE = 17
  BALL = 18
  HIP_BALL = 19


class Ellipsoid(NamedTuple):
  """An ellipsoid: offset and half axes (mm) in a frame; `low`, `high` cut its third half axis."""

  name: str
  frame: str
  offset: Triple
  half: Triple
  slot: Slot
  gain: Gain = Gain.GIRTH
  part: Part = Part.PLAIN
  low: float = -1.0
  high: float = 1.0
  lean: float = 0.0


class Segment(NamedTuple):
  """A tapered segment from one frame's point to another's; radii mm, `flat` thickness / width."""

  name: str
  start: tuple[str, Triple]
  end: tuple[str, Triple]
  radii: Triple
  slot: Slot
  gain: Gain = Gain.GIRTH
  part: Part = Part.PLAIN
  flat: float = 1.0


# Casters of shadows first: what follows CASTERS is small or lies in the others' shadow. Casters are
# 16 and all whole solids 31 with both sides, cut ones 23: `casting` takes them in eights.
WHOLE = (
  Ellipsoid('pelvis', 'trunk', (-4, 0, -12), (98, 164, 108), Slot.BOTTOM, Gain.HIPS, Part.TRUNK),
  Ellipsoid('yoke', 'chest', (-10, 0, -28), (64, 152, 58), Slot.TOP, Gain.SHOULDERS, Part.TRUNK),
  Ellipsoid('skull', 'head', (4, 0, 151), (97, 76, 87), Slot.SKIN, Gain.ONE, Part.HEAD),
  Ellipsoid('backpack', 'chest', (-150, 0, -200), (78, 130, 190), Slot.ACCENT, Gain.BACKPACK),
  Ellipsoid('r_shoulder', 'r_shoulder', (0, 6, -12), (51, 50, 54), Slot.TOP, Gain.BALL),
  Ellipsoid('r_elbow', 'r_elbow', (0, 0, 0), (39, 39, 39), Slot.SKIN, Gain.ELBOW),
  Ellipsoid('r_hand', 'r_hand', (0, 0, 82), (20, 41, 92), Slot.SKIN, Gain.ONE),
  Ellipsoid('r_hip', 'r_hip', (0, 14, -14), (80, 78, 86), Slot.BOTTOM, Gain.HIP_BALL),
  Ellipsoid('r_knee', 'r_knee', (0, 0, 0), (55, 53, 57), Slot.SKIN, Gain.KNEE),
  Ellipsoid('r_instep', 'r_foot', (30, 0, -40), (72, 40, 52), Slot.SHOE, Gain.ONE),
  # Below: no shadow of their own.
  Ellipsoid('belly', 'trunk', (34, 0, 110), (86, 118, 130), Slot.TOP, Gain.BELLY, Part.TRUNK),
  Ellipsoid('hair_back', 'head', (-52, 0, 70), (62, 84, 128), Slot.HAIR, Gain.HAIR_BACK),
  Ellipsoid('brim', 'head', (88, 0, 190), (72, 66, 9), Slot.ACCENT, Gain.BRIM),
  Ellipsoid('bun', 'head', (-96, 0, 196), (46, 46, 46), Slot.HAIR, Gain.BUN),
  Ellipsoid('jaw', 'head', (30, 0, 102), (60, 53, 59), Slot.SKIN, Gain.ONE, Part.HEAD),
  Ellipsoid('nose', 'head', (99, 0, 130), (20, 13, 23), Slot.SKIN, Gain.ONE),
  Ellipsoid(
    'trapezius', 'chest', (-20, 0, 8), (50, 124, 58), Slot.TOP, Gain.SHOULDERS, Part.TRUNK,
  ),
  Ellipsoid('r_ear', 'head', (-4, -77, 138), (20, 10, 30), Slot.SKIN, Gain.ONE),
  Ellipsoid(
    'r_buttock', 'trunk', (-46, -68, -42), (86, 84, 88), Slot.BOTTOM, Gain.HIPS, Part.TRUNK,
  ),
  Ellipsoid('r_bust', 'chest', (56, -56, -168), (58, 72, 76), Slot.TOP, Gain.BUST, Part.TRUNK),
  Ellipsoid('r_thumb', 'r_hand', (8, -44, 62), (15, 15, 42), Slot.SKIN, Gain.ONE),
)
CASTERS = 'r_instep'

CUT = (
  # The cap's plane leans back, so that the face stays free: see `lean` (degrees about left).
  Ellipsoid(
    'hair_cap', 'head', (-6, 0, 154), (103, 84, 95), Slot.HAIR, Gain.HAIR_CAP, low=-0.02, lean=-52
  ),
  Ellipsoid(
    'r_shoe', 'r_foot', (54, 0, -62), (124, 49, 60), Slot.SHOE, Gain.ONE, low=-0.47
  ),
)

SEGMENTS = (
  Segment(
    'trunk_low', ('trunk', (0, 0, -40)), ('trunk', (0, 0, 235)), (166, 150, 142), Slot.TOP,
    Gain.GIRTH, Part.TRUNK, 0.68,
  ),
  Segment(
    'trunk_up', ('trunk', (0, 0, 215)), ('chest', (-6, 0, -18)), (142, 166, 118), Slot.TOP,
    Gain.SHOULDERS, Part.TRUNK, 0.66,
  ),
  Segment(
    'neck', ('chest', (-12, 0, -20)), ('head', (0, 0, 96)), (62, 55, 54), Slot.SKIN, Gain.ONE,
  ),
  Segment(
    'skirt', ('trunk', (0, 0, 75)), ('skirt', (0, 0, 0)), (166, 200, 205), Slot.BOTTOM, Gain.SKIRT,
    flat=0.80,
  ),
  Segment(
    'r_upper_arm', ('r_shoulder', (0, 0, 0)), ('r_elbow', (0, 0, 0)), (46, 48, 38), Slot.SKIN,
  ),
  Segment('r_forearm', ('r_elbow', (0, 0, 0)), ('r_hand', (0, 0, 0)), (39, 42, 26), Slot.SKIN),
  Segment('r_thigh', ('r_hip', (0, 12, 0)), ('r_knee', (0, 0, 0)), (76, 78, 53), Slot.SKIN),
  Segment('r_shank', ('r_knee', (0, 0, 0)), ('r_ankle', (0, 0, 0)), (52, 56, 36), Slot.SKIN),
  Segment(
    'r_sleeve_upper', ('r_shoulder', (0, 0, 0)), ('r_elbow', (0, 0, 0)), (48, 54, 46), Slot.TOP,
    Gain.SLEEVE_UPPER,
  ),
  Segment(
    'r_sleeve_lower', ('r_elbow', (0, 0, 0)), ('r_hand', (0, 0, 0)), (47, 48, 36), Slot.TOP,
    Gain.SLEEVE_LOWER,
  ),
  Segment(
    'r_leg_upper', ('r_hip', (0, 12, 0)), ('r_knee', (0, 0, 0)), (78, 86, 65), Slot.BOTTOM,
    Gain.LEG_UPPER,
  ),
  Segment(
    'r_leg_lower', ('r_knee', (0, 0, 0)), ('r_ankle', (0, 0, 0)), (66, 66, 52), Slot.BOTTOM,
    Gain.LEG_LOWER,
  ),
)
