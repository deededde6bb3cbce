"""Random people: body shapes, skin, hair, clothes and the details that are painted on them.

Symbols: P persons, S = 7 slots (`anatomy.Slot`). Colours linear RGB. Lengths mm of a standard adult
(`bodies.Body`: coordinates are divided by the person's size). Ours [R].
"""

from collections.abc import Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.synth.anatomy import Slot
from posejax.synth.bodies import BodyShape
from posejax.synth.domains import Domain
from posejax.synth.textures import Material, hsv_to_linear

_SKIN = np.array([
  (255, 220, 196), (244, 200, 170), (228, 178, 140), (206, 146, 106), (172, 116, 78),
  (138, 88, 58), (106, 66, 44), (78, 50, 36),
]) / 255
# From dark to light: only fair skins have the light end, so that hair always differs from skin.
_HAIR = np.array([
  (24, 20, 18), (44, 30, 22), (30, 26, 30), (84, 56, 36), (128, 54, 30), (136, 98, 58),
  (206, 172, 116), (176, 174, 170),
]) / 255
_DARK_SKIN, _DARK_HAIR = 0.45, 0.37
NUM_DRAWS = 96


class Details(NamedTuple):
  """What is painted on a person's head and trunk; each (P,) or (P, 3), mm unless said.

  Attributes:
    brow: strength of the eyebrows. beard: share of it that is hair. glasses: 0 or 1.
    neckline: depth of the neck's opening below the neck joint. neck_width: its half width.
    opening: half width of an open jacket at the hem, 0 for a closed top.
    placket: 0 or 1, a row of buttons. logo: size of the chest's print, 0 for none.
    logo_side: its place left of the middle. belt: 0 or 1. hem: height of the top's end over the
      pelvis. block: height over the pelvis above which the top has the accent's colour.
  """

  brow: jax.Array
  beard: jax.Array
  glasses: jax.Array
  neckline: jax.Array
  neck_width: jax.Array
  opening: jax.Array
  placket: jax.Array
  logo: jax.Array
  logo_side: jax.Array
  belt: jax.Array
  hem: jax.Array
  block: jax.Array


class People(NamedTuple):
  """P persons: shapes (P,), materials (P, S), details (P,)."""

  shape: BodyShape
  materials: Material
  details: Details


def in_range(limits: jax.Array, draw: jax.Array) -> jax.Array:
  """Maps uniform numbers to a range (low, high)."""
  return limits[0] + (limits[1] - limits[0]) * draw


def pick(weights: jax.Array, draw: jax.Array) -> jax.Array:
  """Index drawn with these weights, from uniform numbers; a float, as materials keep it."""
  weights = jnp.asarray(weights, draw.dtype)
  ends = jnp.cumsum(weights / jnp.sum(weights))[:-1]
  return jnp.sum(draw[..., None] > ends, axis=-1).astype(draw.dtype)


def next_color(hsv: jax.Array, draws: Iterator[jax.Array]) -> jax.Array:
  """(..., 3) linear colour in a (2, 3) HSV range."""
  channels = [in_range(jnp.asarray(hsv)[:, i], next(draws)) for i in range(3)]
  return hsv_to_linear(jnp.stack(channels, axis=-1))


def contrasting(color: jax.Array, strength: jax.Array) -> jax.Array:
  """A lighter or darker relative of linear colours (..., 3); strength (...) in [0, 1]."""
  bright = jnp.mean(color, axis=-1, keepdims=True) > 0.18
  strength = strength[..., None]
  return jnp.where(bright, color * (1 - 0.85 * strength), color + (0.95 - color) * 0.7 * strength)


def _from_palette(palette: np.ndarray, draw: jax.Array, tone: jax.Array) -> jax.Array:
  """(P, 3) linear colour: an entry of the palette, up to 12 % darker or lighter."""
  count = len(palette)
  index = jnp.minimum((draw * count).astype(jnp.int32), count - 1)
  return jnp.asarray(palette, draw.dtype)[index] ** 2 * (0.88 + 0.24 * tone)[:, None]


def _shape(domain: Domain, draws: Iterator[jax.Array]) -> BodyShape:
  spread = lambda low, high: in_range(np.array([low, high]), next(draws))  # noqa: E731
  happens = lambda chance: next(draws) < chance  # noqa: E731
  woman = happens(0.5)
  long_hair = next(draws) < jnp.where(woman, 0.65, 0.08)
  bun = next(draws) < jnp.where(woman & ~long_hair, 0.5, 0.03)
  bald = next(draws) < jnp.where(woman, 0.0, 0.12)
  cap = happens(domain.cap)
  skirt = woman & happens(2 * domain.skirt)
  leg = in_range(domain.leg, next(draws))
  girth = spread(0.84, 1.0) + spread(0.0, 0.26) ** 2 * 3
  on = lambda test, value: jnp.where(test, value, 0)  # noqa: E731
  return BodyShape(
    girth=girth * jnp.where(woman, 0.94, 1.02),
    shoulders=spread(0.94, 1.08) * jnp.where(woman, 0.92, 1.02),
    hips=spread(0.92, 1.05) * jnp.where(woman, 1.04, 0.96),
    head=spread(0.97, 1.10),
    belly=0.75 + 0.4 * spread(0, 1) ** 2,
    bust=on(woman, spread(0.75, 1.15)),
    hair_cap=on(~bald | cap, spread(0.99, 1.12)),
    hair_back=on(long_hair, spread(0.8, 1.2)),
    bun=on(bun, spread(0.7, 1.15)),
    brim=on(cap, spread(0.9, 1.1)),
    backpack=on(happens(domain.backpack), spread(0.85, 1.05)),
    sleeve=in_range(domain.sleeve, next(draws)),
    # Under a skirt legs are bare.
    leg=jnp.where(skirt, 0.3, jnp.where(leg > 1.55, 1.97, leg)),
    skirt=on(skirt, spread(0.65, 1.45)),
    loose_top=in_range(domain.loose, next(draws)),
    loose_bottom=in_range(domain.loose, next(draws)),
  )


def _details(domain: Domain, draws: Iterator[jax.Array], shape: BodyShape) -> Details:
  spread = lambda low, high: in_range(np.array([low, high]), next(draws))  # noqa: E731
  happens = lambda chance: next(draws) < chance  # noqa: E731
  on = lambda test, value: jnp.where(test, value, 0)  # noqa: E731
  jacket = happens(domain.jacket)
  placket = ~jacket & happens(0.35)
  logo = ~jacket & ~placket & happens(0.5)
  block = happens(domain.block)
  return Details(
    brow=spread(0.5, 1.0),
    beard=on((shape.bust == 0) & happens(0.3), spread(0.5, 0.95)),
    glasses=on(happens(0.2), jnp.ones_like(shape.girth)),
    neckline=spread(15, 90),
    neck_width=spread(55, 85),
    opening=on(jacket, spread(45, 95)),
    placket=placket.astype(shape.girth.dtype),
    logo=on(logo, spread(40, 95)),
    logo_side=on(happens(0.4), spread(30, 70)),
    belt=on(happens(0.4), jnp.ones_like(shape.girth)),
    hem=jnp.where(happens(0.5), spread(15, 45), spread(-95, -45)),
    block=jnp.where(block, spread(240, 400), 1e4),
  )


def _materials(domain: Domain, draws: Iterator[jax.Array]) -> Material:
  """(P, S) materials."""
  one = next(draws)
  count = len(Slot)
  color = [
    _from_palette(_SKIN, one, next(draws)),
    _from_palette(_HAIR, next(draws) * jnp.where(one > _DARK_SKIN, _DARK_HAIR, 1), next(draws)),
    *(next_color(hsv, draws) for hsv in (
      domain.top_hsv, domain.bottom_hsv, domain.shoe_hsv, domain.top_hsv, domain.accent_hsv,
    )),
  ]
  color = jnp.stack(color, axis=1)
  seed = jnp.floor(one[:, None] * 60_000) + 11 * np.arange(count)
  fill = lambda *values: jnp.broadcast_to(jnp.asarray(values, one.dtype), (len(one), count))  # noqa: E731
  cloth = np.isin(np.arange(count), [Slot.TOP, Slot.BOTTOM, Slot.INNER])
  draw = jnp.stack([next(draws) for _ in range(count)], axis=1)
  pattern = jnp.where(cloth, pick(domain.cloth_patterns, draw), 0)
  # Trousers are plain more often than tops.
  pattern = pattern.at[:, Slot.BOTTOM].multiply((next(draws) < 0.4).astype(one.dtype))
  scale = in_range(domain.cloth_scale, next(draws))[:, None] * fill(1, 1, 1, 0.8, 1, 0.7, 1)
  accent, second = color[:, Slot.ACCENT, None], contrasting(color, next(draws)[:, None] * 0.6 + 0.4)
  second = jnp.where((next(draws) < 0.4)[:, None, None], accent, second)
  turned = (next(draws) < 0.5)[:, None] & (pattern == 1)
  slant = jnp.where(pattern == 4, np.pi / 4, 0) + jnp.where(turned, 0, np.pi / 2)
  return Material(
    color=color,
    second=second,
    pattern=pattern,
    scale=scale,
    angle=slant.astype(one.dtype),
    duty=(0.3 + 0.3 * next(draws))[:, None] * fill(*[1] * count),
    grain=fill(0.05, 0.35, 0.20, 0.20, 0.10, 0.12, 0.12),
    grain_scale=fill(60, 22, 95, 110, 50, 90, 60),
    gloss=fill(0.12, 0.16, 0.0, 0.0, 0.15, 0.0, 0.05),
    glow=fill(*[0] * count),
    pictures=fill(*[0] * count),
    seed=seed,
  )


def people_from_draws(numbers: jax.Array, domain: Domain) -> People:
  """Random persons of a domain.

  Args:
    numbers: (P, NUM_DRAWS) uniform in [0, 1).
    domain: what they wear.

  Returns:
    People with leading axis P.
  """
  draws = iter(jnp.moveaxis(numbers, -1, 0))
  shape = _shape(domain, draws)
  details = _details(domain, draws, shape)
  return People(shape, _materials(domain, draws), details)
