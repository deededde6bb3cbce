"""Appearance domains: which clothes, rooms, lights and sensors a synthetic world has.

A domain is a set of ranges and weights from which `appearance.sample_appearance` draws. What makes
a person (skin, body shapes, where a face is) is the same in every domain; what surrounds and
clothes it is not, so that a network trained in one is biased in another, as a teacher is that was
trained on other people's pictures:

  DOMAIN_A  an office by day: bright plain walls, wood and tiles, soft light from above, plain
            clothes in cool colours, a good camera
  DOMAIN_B  an evening in town: dark patterned walls and streets, low coloured light with hard
            shadows, patterned clothes in warm colours, jackets, hats, a noisy camera with a tint

`between(a, b, gap)` sets how far apart two worlds are: gap 0 is a, 1 is b, 2 as far again.

A pair is a range (low, high), drawn uniformly. Colours are (hue in turns, saturation, value).
Sources: spec/crossmodal.md asks for worlds that differ; every number here is ours [R].
"""

from typing import NamedTuple

import numpy as np

_HUE = (slice(None), 0)


class Domain(NamedTuple):
  """Ranges of one world.

  Colour ranges are (2, 3) HSV, weights (9,) over `textures.Pattern`, other ranges (2,),
  probabilities scalars.

  Attributes:
    top_hsv, bottom_hsv, shoe_hsv, accent_hsv: clothes.
    cloth_patterns: weights. cloth_scale: period, mm.
    sleeve, leg: where sleeves and trousers end (`bodies.BodyShape`).
    loose: width of the clothes.
    skirt, jacket, cap, backpack, block: probabilities of these; block is a two-coloured top.
    wall_hsv, floor_hsv: colours. wall_patterns, floor_patterns: weights.
    wall_scale, floor_scale: mm. background_contrast: of a pattern's second colour to the first.
    grain: strength of the fine noise. pictures: share of wall cells with one.
    sky: probability of open sky in the place of walls.
    furniture, occluders: probability of each box around the room, each object beside a person.
    elevation: of the light, degrees. key_hsv, key_power, ambient_hsv, ambient_power: light.
    exposure: factor. cast_hsv: tint of the sensor. noise: of the sensor, linear.
    blur: sigma, px of an image 128 px long. vignette: darkening in the corners.
  """

  top_hsv: np.ndarray
  bottom_hsv: np.ndarray
  shoe_hsv: np.ndarray
  accent_hsv: np.ndarray
  cloth_patterns: np.ndarray
  cloth_scale: np.ndarray
  sleeve: np.ndarray
  leg: np.ndarray
  loose: np.ndarray
  skirt: np.ndarray
  jacket: np.ndarray
  cap: np.ndarray
  backpack: np.ndarray
  block: np.ndarray
  wall_hsv: np.ndarray
  floor_hsv: np.ndarray
  wall_patterns: np.ndarray
  floor_patterns: np.ndarray
  wall_scale: np.ndarray
  floor_scale: np.ndarray
  background_contrast: np.ndarray
  grain: np.ndarray
  pictures: np.ndarray
  sky: np.ndarray
  furniture: np.ndarray
  occluders: np.ndarray
  elevation: np.ndarray
  key_hsv: np.ndarray
  key_power: np.ndarray
  ambient_hsv: np.ndarray
  ambient_power: np.ndarray
  exposure: np.ndarray
  cast_hsv: np.ndarray
  noise: np.ndarray
  blur: np.ndarray
  vignette: np.ndarray


# Field -> allowed values after extrapolation; HSV ranges and probabilities lie in [0, 1] already
# by their kind, hues apart, which wrap.
_BOUNDS = {
  'cloth_patterns': (0.0, np.inf),
  'wall_patterns': (0.0, np.inf),
  'floor_patterns': (0.0, np.inf),
  'cloth_scale': (25.0, 400.0),
  'wall_scale': (80.0, 4000.0),
  'floor_scale': (80.0, 4000.0),
  'sleeve': (-0.5, 2.0),
  'leg': (0.3, 2.0),
  'loose': (1.0, 1.35),
  'background_contrast': (0.0, 1.0),
  'grain': (0.0, 0.45),
  'elevation': (12.0, 85.0),
  'key_power': (0.3, 3.0),
  'ambient_power': (0.18, 1.0),
  'exposure': (0.5, 1.8),
  'noise': (0.0, 0.05),
  'blur': (0.3, 1.2),
  'vignette': (0.0, 0.7),
}


def _domain(**fields) -> Domain:
  return Domain(**{name: np.asarray(value, float) for name, value in fields.items()})


# Patterns:          plain stripes checks plaid dots bricks planks blotches gradient
DOMAIN_A = _domain(
  top_hsv=((0.34, 0.05, 0.35), (0.80, 0.60, 0.98)),
  bottom_hsv=((0.54, 0.10, 0.12), (0.68, 0.60, 0.50)),
  shoe_hsv=((0.0, 0.0, 0.08), (0.1, 0.4, 0.9)),
  accent_hsv=((0.3, 0.4, 0.4), (0.9, 0.9, 0.95)),
  cloth_patterns=(0.86, 0.10, 0.0, 0.04, 0.0, 0.0, 0.0, 0.0, 0.0),
  cloth_scale=(60.0, 140.0),
  sleeve=(0.35, 2.0),
  leg=(0.7, 2.0),
  loose=(1.0, 1.15),
  skirt=0.12,
  jacket=0.15,
  cap=0.04,
  backpack=0.03,
  block=0.15,
  wall_hsv=((0.05, 0.0, 0.70), (0.60, 0.14, 0.97)),
  floor_hsv=((0.06, 0.15, 0.40), (0.11, 0.50, 0.80)),
  wall_patterns=(0.60, 0.05, 0.0, 0.0, 0.0, 0.10, 0.0, 0.0, 0.25),
  floor_patterns=(0.15, 0.0, 0.10, 0.0, 0.0, 0.25, 0.50, 0.0, 0.0),
  wall_scale=(300.0, 1500.0),
  floor_scale=(120.0, 500.0),
  background_contrast=(0.05, 0.25),
  grain=(0.02, 0.08),
  pictures=(0.05, 0.35),
  sky=0.06,
  furniture=0.4,
  occluders=0.10,
  elevation=(45.0, 75.0),
  key_hsv=((0.08, 0.0, 0.95), (0.16, 0.08, 1.0)),
  key_power=(0.6, 0.95),
  ambient_hsv=((0.5, 0.0, 0.95), (0.7, 0.08, 1.0)),
  ambient_power=(0.45, 0.65),
  exposure=(1.0, 1.3),
  cast_hsv=((0.0, 0.0, 1.0), (1.0, 0.03, 1.0)),
  noise=(0.002, 0.008),
  blur=(0.32, 0.45),
  vignette=(0.0, 0.1),
)

DOMAIN_B = _domain(
  top_hsv=((-0.14, 0.25, 0.20), (0.20, 0.90, 0.95)),
  bottom_hsv=((-0.05, 0.05, 0.10), (0.16, 0.55, 0.80)),
  shoe_hsv=((-0.1, 0.1, 0.1), (0.2, 0.9, 0.95)),
  accent_hsv=((0.0, 0.2, 0.2), (1.0, 0.9, 0.95)),
  cloth_patterns=(0.28, 0.20, 0.14, 0.14, 0.12, 0.0, 0.0, 0.12, 0.0),
  cloth_scale=(70.0, 190.0),
  sleeve=(-0.3, 2.0),
  leg=(0.35, 2.0),
  loose=(1.05, 1.25),
  skirt=0.30,
  jacket=0.40,
  cap=0.22,
  backpack=0.18,
  block=0.30,
  wall_hsv=((0.0, 0.15, 0.22), (1.0, 0.60, 0.62)),
  floor_hsv=((0.0, 0.05, 0.15), (0.40, 0.45, 0.48)),
  wall_patterns=(0.06, 0.16, 0.10, 0.08, 0.08, 0.34, 0.06, 0.12, 0.0),
  floor_patterns=(0.10, 0.06, 0.14, 0.06, 0.0, 0.24, 0.0, 0.40, 0.0),
  wall_scale=(200.0, 900.0),
  floor_scale=(150.0, 800.0),
  background_contrast=(0.25, 0.7),
  grain=(0.10, 0.25),
  pictures=(0.15, 0.65),
  sky=0.35,
  furniture=0.6,
  occluders=0.3,
  elevation=(20.0, 50.0),
  key_hsv=((0.04, 0.10, 0.95), (0.13, 0.45, 1.0)),
  key_power=(1.1, 1.9),
  ambient_hsv=((0.52, 0.15, 0.9), (0.75, 0.5, 1.0)),
  ambient_power=(0.22, 0.42),
  exposure=(0.9, 1.5),
  cast_hsv=((0.0, 0.03, 1.0), (1.0, 0.16, 1.0)),
  noise=(0.010, 0.028),
  blur=(0.42, 0.75),
  vignette=(0.15, 0.5),
)


def _bounded(name: str, value: np.ndarray) -> np.ndarray:
  """A field after extrapolation, back in its allowed range."""
  if name in _BOUNDS:
    return np.clip(value, *_BOUNDS[name])
  if name.endswith('_hsv'):
    clipped = np.clip(value, 0.0, 1.0)
    clipped[_HUE] = value[_HUE]
    return clipped
  return np.clip(value, 0.0, 1.0)


def between(a: Domain, b: Domain, gap: float) -> Domain:
  """The world `gap` of the way from a to b.

  Args:
    a, b: domains.
    gap: 0 for a, 1 for b, up to 2 beyond it, where values stay within what can be shown.

  Returns:
    Domain.

  Raises:
    ValueError: gap outside [0, 2].
  """
  if not 0 <= gap <= 2:
    raise ValueError(f'between: gap must lie in [0, 2], got {gap}')
  return Domain(*(
    _bounded(name, one + gap * (two - one)) for name, one, two in zip(a._fields, a, b, strict=True)
  ))
