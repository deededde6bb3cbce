"""Solid bodies of the renderer: ellipsoids, whole or cut by two parallel planes.

One kind of solid is enough for people and most things around them. With q = A (X - c) in R^3,

  solid = { |q|^2 <= 1  and  low <= q_z <= high }

A whole ellipsoid has low = -1, high = 1. A tapered limb is an ellipsoid of revolution cut at both
joints: its squared radius along the bone, r^2(s) = r_a^2 + b s + a s^2 with s = 0 at one joint and
1 at the other, is a parabola through three given radii, concave (a < 0) as muscles are, hence an
ellipsoid's profile. Cut ones are also soles, hair lines, skirts and posts.

Symbols: K solids. Lengths mm, any right-handed frame. Ours [R]: no paper models the bodies.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

# A limb's middle is at least this much thicker (squared) than its ends' mean: nearer to 1 the
# ellipsoid becomes so long that a camera beside the person may stand inside of its uncut form.
_MIN_BULGE = 1.04
_MIN_HALF_MM = 1.0
_MIN_BONE_MM = 1.0


class Solids(NamedTuple):
  """K solids.

  Attributes:
    center: (K, 3) mm, c.
    matrix: (K, 3, 3) 1/mm, A: its rows are the half axes' directions over their lengths.
    low: (K,) cut, in units of the third half axis; -1 for none.
    high: (K,) likewise; 1 for none.
    enabled: (K,) bool; a disabled solid is nowhere.
  """

  center: jax.Array
  matrix: jax.Array
  low: jax.Array
  high: jax.Array
  enabled: jax.Array


# Sums of three are written out: XLA's CPU backend hands reductions to a library whose start costs
# more than these small ones (3 ms per picture).


def dot(a: jax.Array, b: jax.Array) -> jax.Array:
  """Scalar product along the last axis, of length 3."""
  return a[..., 0] * b[..., 0] + a[..., 1] * b[..., 1] + a[..., 2] * b[..., 2]


def rows_times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  """M v for (..., 3, 3) and (..., 3)."""
  return sum(matrix[..., :, i] * vector[..., i, None] for i in range(3))


def columns_times(matrix: jax.Array, vector: jax.Array) -> jax.Array:
  """Mᵀ v for (..., 3, 3) and (..., 3)."""
  return sum(matrix[..., i, :] * vector[..., i, None] for i in range(3))


def safe_unit(vector: jax.Array, fallback: jax.Array) -> jax.Array:
  """Unit vector of (..., 3); the fallback (a unit vector) where it is shorter than 1e-6."""
  square = dot(vector, vector)[..., None]
  short = square < 1e-12
  return jnp.where(short, fallback, vector / jnp.sqrt(jnp.where(short, 1, square)))


def cross(a: jax.Array, b: jax.Array) -> jax.Array:
  """Vector product along the last axis."""
  return jnp.stack([
    a[..., 1] * b[..., 2] - a[..., 2] * b[..., 1],
    a[..., 2] * b[..., 0] - a[..., 0] * b[..., 2],
    a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0],
  ], axis=-1)


def frame(up: jax.Array, left: jax.Array) -> jax.Array:
  """Right-handed axes (forward, left, up) as rows (..., 3, 3); `left` is bent to fit `up`.

  Args:
    up: (..., 3) direction of the third axis; world up where it has no length.
    left: (..., 3) wanted second axis; where it is zero or (nearly) parallel to up, any other one.

  Returns:
    (..., 3, 3).
  """
  up = safe_unit(up, jnp.asarray([0.0, 0.0, 1.0], up.dtype))
  across = left - dot(left, up)[..., None] * up
  parallel = (dot(across, across) <= 1e-4 * dot(left, left))[..., None]
  x, y, z = (up[..., i] for i in range(3))
  flat = jnp.abs(z) < 0.9
  # Across the world's z or x, whichever is farther from `up`: never shorter than 0.4.
  spare = jnp.stack([jnp.where(flat, -y, 0), jnp.where(flat, x, -z), jnp.where(flat, 0, y)], -1)
  across = jnp.where(parallel, spare, across)
  left = across * jax.lax.rsqrt(dot(across, across))[..., None]
  return jnp.stack([cross(left, up), left, up], axis=-2)


def ellipsoids(
  center: jax.Array,
  axes: jax.Array,
  half: jax.Array,
  low: jax.Array | float = -1.0,
  high: jax.Array | float = 1.0,
) -> Solids:
  """Ellipsoids from their half axes.

  Args:
    center: (K, 3) mm.
    axes: (K, 3, 3) rows: unit directions of the half axes, right-handed or not.
    half: (K, 3) mm; a solid with a half axis below 1 mm is disabled.
    low: (K,) or scalar, cut along the third axis, in its half lengths.
    high: likewise.

  Returns:
    Solids.
  """
  enabled = jnp.all(half >= _MIN_HALF_MM, axis=-1)
  half = jnp.maximum(half, _MIN_HALF_MM)
  spread = lambda value: jnp.broadcast_to(jnp.asarray(value, center.dtype), center.shape[:1])  # noqa: E731
  low, high = spread(low), spread(high)
  return Solids(center, axes / half[..., None], low, high, enabled & (high > low))


def segments(
  start: jax.Array,
  end: jax.Array,
  side: jax.Array,
  radii: jax.Array,
  flatness: jax.Array,
  clip: jax.Array,
) -> tuple[Solids, jax.Array]:
  """Tapered limbs between two points.

  Args:
    start: (K, 3) mm.
    end: (K, 3) mm; with `start` it may coincide: then a thin disc.
    side: (K, 3) direction of the wider axis of the cross-section.
    radii: (K, 3) mm along that axis at the start, the middle and the end; the middle is widened
      where the profile would not be concave.
    flatness: (K,) thickness / width of the cross-section.
    clip: (K, 2) shares of the bone between which the solid is; (0, 1) for all of it.

  Returns:
    Solids, and their (K, 3, 3) frames (thickness, width, bone) as rows.
  """
  bone = end - start
  length = jnp.maximum(jnp.sqrt(dot(bone, bone)), _MIN_BONE_MM)
  axes = frame(bone, side)
  enabled = jnp.all(radii >= _MIN_HALF_MM, axis=-1) & (clip[:, 1] > clip[:, 0])
  first, middle, last = jnp.moveaxis(jnp.maximum(radii, _MIN_HALF_MM), -1, 0) ** 2
  middle = jnp.maximum(middle, _MIN_BULGE * (first + last) / 2)
  curve = 2 * (first + last - 2 * middle)
  slope = last - first - curve
  top = -slope / (2 * curve)
  width = jnp.sqrt(first - slope**2 / (4 * curve))
  half_length = width / jnp.sqrt(-curve)
  center = start + (top * length)[:, None] * axes[:, 2]
  half = jnp.stack([width * flatness, width, half_length * length], axis=-1)
  solids = ellipsoids(
    center, axes, half, (clip[:, 0] - top) / half_length, (clip[:, 1] - top) / half_length
  )
  return solids._replace(enabled=solids.enabled & enabled), axes


def concatenate(*groups: Solids) -> Solids:
  """Joins solids along K."""
  return jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *groups)


def middle(solids: Solids) -> jax.Array:
  """(K, 3) points inside the solids: halfway between the cuts, on the third axis."""
  third = solids.matrix[:, 2]
  share = (solids.low + solids.high) / 2 / dot(third, third)
  return solids.center + share[:, None] * third


def transform(solids: Solids, rotation: jax.Array, translation: jax.Array) -> Solids:
  """Solids in another frame: X' = R X + t."""
  center = rows_times(rotation, solids.center) + translation
  matrix = sum(solids.matrix[:, :, i, None] * rotation[:, i] for i in range(3))
  return solids._replace(center=center, matrix=matrix)
