"""Alignment of one point set to another: root, scale, and Procrustes (similarity or rigid).

Symbols: x source and t target points (mm, any common frames), w weights, mu their weighted means,
s scale, R rotation. Axis letters: N points (joints of one pose, or of all people of a scene as one
rigid body). Written for one pair of point sets: vmap over batches.

A point of weight 0 (not visible, not annotated) is absent: it may hold NaN or inf in either set,
has no influence and gets no gradient. NaN at a point that counts makes the whole result NaN.

Where the best similarity is not unique or does not exist:
  no weight at all                  scale 1, R = I, t = 0
  source points coincide            scale 1, R = I (one visible point is this case)
  target points coincide            scale 0 (the least-squares answer), R = I
  collinear points in either set    the rotation that turns least among the best
with a derivative of 0 for what is not determined. "Coincide" means up to the rounding of their
coordinates.

Sources: Umeyama 1991 (similarity), lifting.md "Metrics" (det R = +1, and the variant with
reflection), protocols.md (PA-MPJPE, N-MPJPE by what they do).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry import vectors
from posejax.geometry.arguments import as_float
from posejax.geometry.polar import nearest_rotation

# Centring moves a coordinate by a few roundings of the largest one.
_COINCIDENT_ULPS = 8


class Similarity(NamedTuple):
  """x -> scale * rotation @ x + translation: scale (), rotation (3, 3), translation (3,) mm."""

  scale: jax.Array
  rotation: jax.Array
  translation: jax.Array


class _Fit(NamedTuple):
  similarity: Similarity
  source_mean: jax.Array
  target_mean: jax.Array


def apply_similarity(points: jax.Array, similarity: Similarity) -> jax.Array:
  """s R x + t for each point.

  Args:
    points: (N, 3) mm.
    similarity: of `procrustes`.

  Returns:
    (N, 3) mm, in the target's frame.

  Raises:
    ValueError: wrong shapes.
  """
  points = as_float('apply_similarity', 'points', points, ('N', 3))
  scale = as_float('apply_similarity', 'similarity.scale', similarity.scale, ())
  rotation = as_float('apply_similarity', 'similarity.rotation', similarity.rotation, (3, 3))
  shift = as_float('apply_similarity', 'similarity.translation', similarity.translation, (3,))
  return scale * vectors.rotate(points, rotation) + shift


def procrustes(
  source: jax.Array,
  target: jax.Array,
  weights: jax.Array | None = None,
  allow_reflection: bool = False,
  with_scale: bool = True,
) -> Similarity:
  """Similarity that minimises sum_n w_n |s R x_n + t - target_n|^2 (Umeyama 1991).

  Derivatives are finite everywhere, and those of the least-squares solution wherever it is unique,
  equal singular values included (module `polar`).

  Args:
    source: (N, 3) mm.
    target: (N, 3) mm.
    weights: (N,) >= 0 or bool; negative ones count as 0; all 1 when left out.
    allow_reflection: admit det R = -1 where it fits better.
    with_scale: False for a rigid motion, s = 1.

  Returns:
    Similarity; see the module docstring for the degenerate cases.

  Raises:
    ValueError: wrong shapes, or no points.
  """
  arrays = _arguments('procrustes', source, target, weights)
  return _fit(*arrays, allow_reflection, with_scale).similarity


def align_procrustes(
  source: jax.Array,
  target: jax.Array,
  weights: jax.Array | None = None,
  allow_reflection: bool = False,
  with_scale: bool = True,
) -> jax.Array:
  """The source after its best similarity to the target: PA-MPJPE's first step.

  More accurate in float32 than `apply_similarity` for people far from the origin, since it never
  forms t. Points of weight 0 are moved along; a point with NaN or inf comes out as NaN.

  Args:
    source: (N, 3) mm.
    target: (N, 3) mm.
    weights: as in `procrustes`.
    allow_reflection: as in `procrustes`.
    with_scale: as in `procrustes`.

  Returns:
    (N, 3) mm, in the target's frame.

  Raises:
    ValueError: wrong shapes, or no points.
  """
  source, target, weights = _arguments('align_procrustes', source, target, weights)
  fit = _fit(source, target, weights, allow_reflection, with_scale)
  # Out before the product: its cotangent would be 0 * NaN, and reach the rotation.
  finite = jnp.isfinite(source)
  usable = finite[:, 0:1] & finite[:, 1:2] & finite[:, 2:3]
  centered = jnp.where(usable, source, 0) - fit.source_mean
  moved = fit.similarity.scale * vectors.rotate(centered, fit.similarity.rotation) + fit.target_mean
  return jnp.where(usable, moved, jnp.nan)


def align_scale(
  source: jax.Array, target: jax.Array, weights: jax.Array | None = None
) -> jax.Array:
  """s x with the s that minimises sum_n w_n |s x_n - target_n|^2: N-MPJPE, after `align_root`.

  The scale is about the origin, and negative if that fits best. A source of zeros, or no weight,
  leaves s = 1.

  Args:
    source: (N, 3) mm, root-relative.
    target: (N, 3) mm, root-relative.
    weights: as in `procrustes`.

  Returns:
    (N, 3) mm.

  Raises:
    ValueError: wrong shapes, or no points.
  """
  source, target, weights = _arguments('align_scale', source, target, weights)
  used = (weights != 0)[:, None]
  x, x_size = _normalized(jnp.where(used, source, 0), smallest=0)
  y, y_size = _normalized(jnp.where(used, target, 0), smallest=0)
  scale = _ratio(jnp.sum(weights[:, None] * x * y), jnp.sum(weights[:, None] * x * x))
  scale = jnp.where(jnp.all(x == 0), 1, scale * (y_size / x_size))
  usable = jnp.isfinite(source)
  return jnp.where(usable, scale * jnp.where(usable, source, 0), jnp.nan)


def align_root(source: jax.Array, target: jax.Array, root: int = 0) -> jax.Array:
  """Source shifted so that its root lies on the target's: root-relative MPJPE.

  Args:
    source: (N, 3) mm.
    target: (N, 3) mm.
    root: index of the root joint.

  Returns:
    (N, 3) mm, in the target's frame.

  Raises:
    ValueError: wrong shapes, or no such joint.
  """
  source, target, _ = _arguments('align_root', source, target, None)
  if not -source.shape[0] <= root < source.shape[0]:
    raise ValueError(f'align_root: root {root} is outside the {source.shape[0]} points')
  return source - source[root] + target[root]


def _arguments(function, source, target, weights):
  """Checked arrays of one dtype, and weights without negative values."""
  source = as_float(function, 'source', source, ('N', 3))
  target = as_float(function, 'target', target, source.shape)
  if source.shape[0] == 0:
    raise ValueError(f'{function}: source and target hold no points')
  dtype = jnp.result_type(source, target)
  if weights is None:
    weights = jnp.ones(source.shape[:1], dtype)
  else:
    weights = as_float(function, 'weights', weights, source.shape[:1]).astype(dtype)
  # NaN weights stay, so that the result shows them. A weight of 0 is a constant: its point may
  # hold anything, so there is no derivative to give.
  return source.astype(dtype), target.astype(dtype), jnp.where(weights <= 0, 0, weights)


def _fit(source, target, weights, allow_reflection, with_scale) -> _Fit:
  largest = jax.lax.stop_gradient(jnp.max(weights))
  weights = weights / jnp.where(largest == 0, 1, largest)
  weights = _ratio(weights, jnp.sum(weights))
  x, x_mean, x_size = _centered(source, weights)
  y, y_mean, y_size = _centered(target, weights)
  weighted = weights[:, None] * x
  covariance = jnp.einsum('ni,nj->ij', y, weighted, precision='highest')
  rotation = nearest_rotation(covariance, allow_reflection)
  scale = jnp.ones((), source.dtype)
  if with_scale:
    best = _ratio(jnp.sum(rotation * covariance), jnp.sum(weighted * x)) * (y_size / x_size)
    scale = jnp.where(jnp.all(x == 0), 1, best)
  translation = y_mean - scale * vectors.rotate(x_mean[None], rotation)[0]
  return _Fit(Similarity(scale, rotation, translation), x_mean, y_mean)


def _centered(points, weights):
  """Centred points over their size (0 where they coincide), their mean, and that size."""
  used = (weights != 0)[:, None]
  points = jnp.where(used, points, 0)
  mean = jnp.sum(weights[:, None] * points, axis=0)
  # The sum's rounding grows with N and the distance from the origin; the second pass removes it.
  mean = mean + jnp.sum(weights[:, None] * (points - mean), axis=0)
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(points)))
  rounding = _COINCIDENT_ULPS * jnp.finfo(points.dtype).eps * largest
  centered, size = _normalized(jnp.where(used, points - mean, 0), smallest=rounding)
  return centered, mean, size


def _normalized(points, smallest):
  """Points over their largest coordinate, so that no square over- or underflows; and that size."""
  size = jax.lax.stop_gradient(jnp.max(jnp.abs(points)))
  negligible = size <= smallest
  size = jnp.where(negligible, 1, size)
  return jnp.where(negligible, 0, points / size), size


def _ratio(top, bottom):
  # Guard before the division: 0 / 0 has a NaN gradient even behind a `where`.
  return top / jnp.where(bottom == 0, 1, bottom)
