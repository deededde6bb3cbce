"""What tells front from back: faces, collars, open jackets, buttons, prints, belts.

Painted onto a person's surfaces in coordinates (f, l, u) = (forward, left, up) in mm of a standard
adult: on the trunk from the pelvis, up to the neck at 490; on the head from the neck joint, with
the skull's middle at (4, 0, 151). Each detail covers a share of a pixel, so far ones fade.

Symbols: N surface points. Colours linear RGB as lists of three (N). Ours [R].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.synth.textures import step
from posejax.synth.wardrobe import Details

_NECK = 490.5
_EYE_SIDE, _EYE_UP = 30.0, 151.0


class Palette(NamedTuple):
  """Colours of the person at each point: lists of three (N)."""

  skin: list[jax.Array]
  hair: list[jax.Array]
  inner: list[jax.Array]
  accent: list[jax.Array]


def _blend(
  rgb: list[jax.Array], color: list[jax.Array], cover: jax.Array
) -> list[jax.Array]:
  return [old + cover * (new - old) for old, new in zip(rgb, color, strict=True)]


def _disc(x: jax.Array, y: jax.Array, half: tuple[float, float], width: jax.Array) -> jax.Array:
  """Cover of an ellipse with these half axes, mm."""
  radius = jnp.sqrt((x / half[0]) ** 2 + (y / half[1]) ** 2 + 1e-12)
  return step((1 - radius) * min(half), width)


def paint_trunk(
  rgb: list[jax.Array], point: list[jax.Array], details: Details, palette: Palette,
  width: jax.Array,
) -> list[jax.Array]:
  """Clothes' details on trunk points.

  Args:
    rgb: albedo without them.
    point: (f, l, u), mm.
    details: of the person at each point, (N) each.
    palette: likewise.
    width: (N) mm, the pixel's footprint.

  Returns:
    Albedo.
  """
  f, l, u = point
  side = jnp.abs(l)
  front = step(f - 5, width)
  cloth = step(u - details.hem, width)
  rgb = _blend(rgb, palette.accent, cloth * step(u - details.block, width))
  # An open jacket: the shirt under it, with a shadow along both edges.
  gap = details.opening * (0.35 + 0.65 * (_NECK - u) / _NECK) - side
  is_open = front * cloth * (details.opening > 0)
  rgb = _blend(rgb, [0.35 * c for c in rgb], is_open * step(gap + 12, width))
  rgb = _blend(rgb, palette.inner, is_open * step(gap, width))
  row = u / 75 - jnp.floor(u / 75) - 0.5
  line = step(4 - side, width)
  button = _disc(l, row * 75, (9.0, 9.0), width)
  on = front * cloth * details.placket
  rgb = _blend(rgb, [0.55 * c for c in rgb], on * line)
  rgb = _blend(rgb, palette.accent, on * button)
  half = jnp.maximum(details.logo, 1)
  logo = step((1 - jnp.maximum(jnp.abs(l - details.logo_side), jnp.abs(u - 330)) / half) * half,
              width)
  rgb = _blend(rgb, palette.accent, front * logo * (details.logo > 0))
  back = step(-f - 5, width) * (1 - cloth)
  pocket = step(38 - jnp.abs(side - 66), width) * step(36 - jnp.abs(u + 48), width)
  rgb = _blend(rgb, [0.6 * c for c in rgb], back * pocket)
  belt = details.belt * (details.hem > 0) * step(16 - jnp.abs(u - details.hem), width)
  rgb = _blend(rgb, [0.02 + 0.15 * c for c in rgb], belt)
  buckle = belt * front * step(20 - side, width)
  rgb = _blend(rgb, [c + 0.4 for c in palette.accent], buckle)
  collar = step(details.neck_width - jnp.sqrt(l * l + (f + 10) ** 2 + 1e-6), width)
  collar = collar * step(u - _NECK - 12, width)
  depth = (_NECK - u) / details.neckline
  neck = front * step(details.neck_width * (1 - depth) - side, width) * (u > _NECK - 130)
  return _blend(rgb, palette.skin, jnp.maximum(collar, neck))


def paint_head(
  rgb: list[jax.Array], point: list[jax.Array], details: Details, palette: Palette,
  width: jax.Array,
) -> list[jax.Array]:
  """The face on head points; arguments as `paint_trunk`'s."""
  f, l, u = point
  front = step(f - 34, width)
  side = jnp.abs(l)
  x, y = side - _EYE_SIDE, u - _EYE_UP
  socket = 0.30 * front * _disc(x, y - 4, (30.0, 24.0), width)
  rgb = _blend(rgb, [0.3 * c for c in rgb], socket)
  mouth = front * _disc(l, u - 93, (27.0, 7.5), width)
  chin = details.beard * step(112 - u, width) * step(f - 18, width)
  lip = details.beard * front * step(28 - side, width) * step(9 - jnp.abs(u - 110), width)
  rgb = _blend(rgb, palette.hair, jnp.maximum(chin, lip))
  red = [0.62 * palette.skin[0], 0.28 * palette.skin[1], 0.28 * palette.skin[2]]
  rgb = _blend(rgb, red, mouth)
  brow = details.brow * front * step(23 - jnp.abs(x), width) * step(5.5 - jnp.abs(y - 27), width)
  rgb = _blend(rgb, palette.hair, brow)
  white = front * _disc(x, y, (17.0, 9.0), width)
  rgb = _blend(rgb, [0.75 + 0 * c for c in rgb], white)
  dark = [0.015 + 0 * c for c in rgb]
  rgb = _blend(rgb, dark, front * _disc(x, y, (9.0, 9.0), width))
  ring = step(5 - jnp.abs(jnp.sqrt(x * x + y * y + 1e-6) - 24), width)
  bridge = step(3 - jnp.abs(y), width) * jnp.maximum(step(8 - side, width), step(side - 55, width))
  return _blend(rgb, dark, details.glasses * jnp.maximum(front * ring, bridge * (f > 0)))
