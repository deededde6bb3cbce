"""Procedural surfaces: hashed noise, patterns of two colours, pictures on walls.

All are functions of metric surface coordinates (u, v) and of the pixel's footprint there, with
which patterns are smoothed: a pattern finer than a pixel fades to its mean instead of flickering.
Random numbers are hashes of integer lattice points: no state, the same on every call and device.

Symbols: N surface points (any shape), M materials. Colours are linear RGB in [0, 1]. mm.
"""

import enum
from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.synth.planes import hold

_LATTICE = (0x8DA6B343, 0xD8163841, 0xCB1AB31F)


class Pattern(enum.IntEnum):
  """How a surface's two colours are spread."""

  PLAIN = 0
  STRIPES = 1
  CHECKS = 2
  PLAID = 3
  DOTS = 4
  BRICKS = 5
  PLANKS = 6
  BLOTCHES = 7
  GRADIENT = 8


class Material(NamedTuple):
  """A surface; all fields share leading axes.

  Attributes:
    color: (..., 3) main colour.
    second: (..., 3) the pattern's colour.
    pattern: (...) `Pattern` as a float (a whole number).
    scale: (...) mm, the pattern's period.
    angle: (...) rad, its direction.
    duty: (...) share of the second colour.
    grain: (...) strength of the fine brightness noise.
    grain_scale: (...) mm, its size.
    gloss: (...) strength of highlights.
    glow: (...) 1 for a surface that shines by itself (sky), 0 for a lit one.
    pictures: (...) share of cells that hold a picture (walls).
    seed: (...) whole number below 2^16 as a float; surfaces with different seeds differ.
  """

  color: jax.Array
  second: jax.Array
  pattern: jax.Array
  scale: jax.Array
  angle: jax.Array
  duty: jax.Array
  grain: jax.Array
  grain_scale: jax.Array
  gloss: jax.Array
  glow: jax.Array
  pictures: jax.Array
  seed: jax.Array

  def pack(self) -> jax.Array:
    """(..., 16) one row per material, to be looked up with one gather."""
    return jnp.concatenate(
      [self.color, self.second, *(field[..., None] for field in self[2:])], axis=-1
    )

  @classmethod
  def unpack(cls, rows: list[jax.Array]) -> 'Material':
    """The inverse for 16 separate columns; colours become lists of three."""
    return cls(rows[:3], rows[3:6], *rows[6:])


NUM_COLUMNS = 16


def mix_bits(bits: jax.Array) -> jax.Array:
  """Scrambles uint32 numbers (the finaliser of MurmurHash3 with other constants)."""
  bits = (bits ^ (bits >> 16)) * jnp.uint32(0x7FEB352D)
  bits = (bits ^ (bits >> 15)) * jnp.uint32(0x846CA68B)
  return bits ^ (bits >> 16)


def hash_bits(x: jax.Array, y: jax.Array, seed: jax.Array) -> jax.Array:
  """uint32 hash of two int32 lattice coordinates and a uint32 seed."""
  bits = x.astype(jnp.uint32) * jnp.uint32(_LATTICE[0])
  bits ^= y.astype(jnp.uint32) * jnp.uint32(_LATTICE[1])
  return mix_bits(bits ^ (seed * jnp.uint32(_LATTICE[2])))


def uniform_from(bits: jax.Array, dtype) -> jax.Array:
  """Uniform numbers in [0, 1) from uint32 bits."""
  return (bits >> 8).astype(dtype) * jnp.asarray(2.0**-24, dtype)


def byte(bits: jax.Array, index: int, dtype) -> jax.Array:
  """Uniform number in [0, 1] from one byte of the bits: four cheap draws per hash."""
  return ((bits >> (8 * index)) & 255).astype(dtype) * jnp.asarray(1 / 255, dtype)


def _cell(value: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Integer part (int32) and fraction."""
  whole = jnp.floor(value)
  # Far away along a grazing floor coordinates may be huge: keep them inside int32.
  return jnp.clip(whole, -1e9, 1e9).astype(jnp.int32), value - whole


def value_noise(u: jax.Array, v: jax.Array, seed: jax.Array) -> jax.Array:
  """Smooth noise in [0, 1] with features of size 1."""
  i, x = _cell(u)
  j, y = _cell(v)
  x, y = x * x * (3 - 2 * x), y * y * (3 - 2 * y)
  corner = lambda a, b: uniform_from(hash_bits(i + a, j + b, seed), u.dtype)  # noqa: E731
  low = corner(0, 0) * (1 - x) + corner(1, 0) * x
  high = corner(0, 1) * (1 - x) + corner(1, 1) * x
  return low * (1 - y) + high * y


def step(distance: jax.Array, width: jax.Array) -> jax.Array:
  """Share of a pixel of this width that lies where distance > 0."""
  return jnp.clip(distance / jnp.maximum(width, 1e-6) + 0.5, 0, 1)


def _wave(phase: jax.Array, duty: jax.Array, width: jax.Array) -> jax.Array:
  """1 on a share `duty` of each period, smoothed over `width` periods."""
  inside = duty / 2 - jnp.abs(phase - jnp.floor(phase) - 0.5)
  return jnp.where(width < 0.6, step(inside, width), duty)


def _spread(material: Material, u: jax.Array, v: jax.Array, footprint: jax.Array):
  """Share of the second colour, and a factor on the brightness, at each point."""
  period = material.scale
  cos, sin = jnp.cos(material.angle), jnp.sin(material.angle)
  a, b = (u * cos + v * sin) / period, (v * cos - u * sin) / period
  width = footprint / period
  duty = material.duty
  seed = material.seed.astype(jnp.uint32)
  across, along = _wave(a, duty, width), _wave(b, duty, width)
  x, y = a - jnp.floor(a) - 0.5, b - jnp.floor(b) - 0.5
  radius = jnp.sqrt(duty * (1 / jnp.pi))
  dots = step(radius - jnp.sqrt(x * x + y * y + 1e-12), width)
  dots = jnp.where(width < 0.6, dots, duty)
  is_plank = material.pattern == Pattern.PLANKS
  row, _ = _cell(b)
  shift = jnp.where(
    is_plank, uniform_from(hash_bits(row, row, seed), u.dtype), (row & 1).astype(u.dtype) / 2
  )
  length = jnp.where(is_plank, 6.0, 2.0).astype(u.dtype)
  column = a / length + shift
  joint = duty * 0.2
  gaps = jnp.maximum(
    _wave(b + 0.5, joint, width), _wave(column + 0.5, joint / length, width / length)
  )
  tone = uniform_from(hash_bits(_cell(column)[0], row, seed), u.dtype)
  noise = value_noise(a, b, seed) * 0.65 + value_noise(2.3 * a, 2.3 * b, seed + 1) * 0.35
  blotches = step(noise - 1 + duty, jnp.maximum(width, 0.08))
  choices = {
    Pattern.STRIPES: across,
    Pattern.CHECKS: across + along - 2 * across * along,
    Pattern.PLAID: (across + along) / 2,
    Pattern.DOTS: dots,
    Pattern.BRICKS: gaps,
    Pattern.PLANKS: gaps,
    Pattern.BLOTCHES: blotches,
    Pattern.GRADIENT: jnp.clip(b, 0, 1),
  }
  share = jnp.zeros_like(u)
  for pattern, value in choices.items():
    share = jnp.where(material.pattern == pattern, value, share)
  tiled = (material.pattern == Pattern.BRICKS) | is_plank
  faded = jnp.where(width < 0.6, tone - 0.5, 0)
  return share, jnp.where(tiled, 1 + 0.5 * (1 - share) * faded, 1)


def _grain(material: Material, u: jax.Array, v: jax.Array, footprint: jax.Array) -> jax.Array:
  """Brightness factor of the fine noise: cloth folds, plaster, dirt."""
  size = material.grain_scale
  seed = material.seed.astype(jnp.uint32) + 7
  coarse = value_noise(u / size, v / size, seed) - 0.5
  fine = value_noise(u * (3 / size), v * (3 / size), seed + 1) - 0.5
  keep = lambda width: jnp.clip(1.5 - width, 0, 1)  # noqa: E731
  width = footprint / size
  noise = coarse * keep(width) + 0.6 * fine * keep(3 * width)
  return 1 + 2 * material.grain * noise


_PICTURE_MM = (1900.0, 2300.0)


def _pictures(
  material: Material, u: jax.Array, v: jax.Array, footprint: jax.Array, rgb: list[jax.Array]
) -> list[jax.Array]:
  """Framed rectangles with an inner colour, at most one in each cell of the wall."""
  i, x = _cell(u / _PICTURE_MM[0])
  j, y = _cell(v / _PICTURE_MM[1])
  bits = hash_bits(i, j, material.seed.astype(jnp.uint32) + 23)
  more = mix_bits(bits + jnp.uint32(1))
  draw = lambda index: byte(bits, index, u.dtype)  # noqa: E731
  there = draw(0) < material.pictures
  half_x, half_y = 0.12 + 0.2 * draw(1), 0.1 + 0.2 * draw(2)
  aside = 0.35 + 0.3 * draw(3)
  inside = jnp.minimum(
    (half_x - jnp.abs(x - aside)) * _PICTURE_MM[0], (half_y - jnp.abs(y - 0.62)) * _PICTURE_MM[1]
  )
  outer = jnp.where(there, step(inside, footprint), 0)
  inner = jnp.where(there, step(inside - 45, footprint), 0)
  tall = step(y - 0.62 + half_y * (byte(more, 3, u.dtype) - 0.5), footprint / _PICTURE_MM[1])
  picture = [byte(more, channel, u.dtype) ** 2 for channel in range(3)]
  frame = 0.02 + 0.5 * draw(3) ** 2
  return [
    old + outer * (frame - old) + inner * (new * (0.35 + 0.65 * tall) + 0.02 - frame)
    for old, new in zip(rgb, picture, strict=True)
  ]


def surface_color(
  material: Material, u: jax.Array, v: jax.Array, footprint: jax.Array
) -> list[jax.Array]:
  """Albedo of surface points.

  Args:
    material: (N) columns as `Material.unpack` gives them.
    u, v: (N) mm, surface coordinates.
    footprint: (N) mm, size of a pixel on the surface.

  Returns:
    Three (N) channels, linear.
  """
  share, tone = hold(_spread(material, u, v, footprint))
  tone = hold(tone * _grain(material, u, v, footprint))
  rgb = [
    jnp.maximum((one + share * (two - one)) * tone, 0)
    for one, two in zip(material.color, material.second, strict=True)
  ]
  return hold(_pictures(material, u, v, footprint, rgb))


def hsv_to_linear(hsv: jax.Array) -> jax.Array:
  """Linear RGB of (..., 3) hue (turns, wraps), saturation and value in [0, 1]."""
  hue, saturation, value = hsv[..., :1], hsv[..., 1:2], hsv[..., 2:]
  turns = hue + jnp.asarray([0.0, 2 / 3, 1 / 3], hsv.dtype)
  sector = (turns - jnp.floor(turns)) * 6
  pure = jnp.clip(jnp.abs(sector - 3) - 1, 0, 1)
  rgb = value * (1 - saturation * (1 - pure))
  return rgb * rgb
