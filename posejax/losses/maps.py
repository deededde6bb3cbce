"""Losses of image-plane maps: the teacher's training, L_adapt, and root logits.

Axis letters: B batch, h w map cells, C channels; maps are (B, h, w, C). A part that a skeleton
cannot give has no target: its channels are masked, as are image regions that nobody labelled.

Source: spec/crossmodal.md ("Losses": L_adapt, an L1 mean [P]; masked channels [R]), Cao et al.
2017, Eq. 5 (squared differences, every stage supervised).
"""

import jax
import jax.numpy as jnp

from posejax.losses import terms


def map_l1(
  predictions: jax.Array,
  targets: jax.Array,
  channels: jax.Array | None = None,
  cells: jax.Array | None = None,
) -> terms.Term:
  """Σ w |prediction − target| and Σ w: L_adapt = |F∘G(m_syn) − m_syn|.

  Args:
    predictions: (B, h, w, C).
    targets: the same shape.
    channels: (C,) bool or weights ≥ 0, all where None.
    cells: (B, h, w) bool or weights ≥ 0, all where None. The weight of an element is the product.

  Returns:
    (sum, weight).

  Raises:
    ValueError: the shapes do not fit.
  """
  mask = _mask('map_l1', predictions, targets, channels, cells)
  difference = _widened(predictions) - _widened(targets)
  return terms.weigh('map_l1', terms.absolute(jnp.where(mask == 0, 0, difference)), mask)


def map_l2(
  predictions: jax.Array,
  targets: jax.Array,
  channels: jax.Array | None = None,
  cells: jax.Array | None = None,
) -> terms.Term:
  """Σ w (prediction − target)² and Σ w: what a teacher's stage is trained with.

  Args:
    predictions: (B, h, w, C).
    targets: the same shape.
    channels: (C,) bool or weights ≥ 0, all where None.
    cells: (B, h, w) bool or weights ≥ 0, all where None. The weight of an element is the product.

  Returns:
    (sum, weight).

  Raises:
    ValueError: the shapes do not fit.
  """
  mask = _mask('map_l2', predictions, targets, channels, cells)
  difference = jnp.where(mask == 0, 0, _widened(predictions) - _widened(targets))
  return terms.weigh('map_l2', difference**2, mask)


def sigmoid_cross_entropy(
  logits: jax.Array, targets: jax.Array, mask: jax.Array | None = None
) -> terms.Term:
  """Σ w [softplus(x) − t x] and Σ w: cross-entropy of sigmoid(x) with t, for H's root channel.

  With a heat-map as t its minimum over x is the entropy of t, not 0.

  Args:
    logits: x, (...).
    targets: t in [0, 1], the same shape.
    mask: bool or weights ≥ 0 for the first axes; all where None.

  Returns:
    (sum, weight), nats.

  Raises:
    ValueError: the shapes do not fit.
  """
  terms.check_same_shape('sigmoid_cross_entropy', logits, targets)
  logits, targets = _widened(logits), _widened(targets)
  kept = terms.broadcast_mask('sigmoid_cross_entropy', mask, logits.shape) != 0
  logits, targets = jnp.where(kept, logits, 0), jnp.where(kept, targets, 0)
  values = jax.nn.softplus(logits) - targets * logits
  return terms.weigh('sigmoid_cross_entropy', values, mask)


def _mask(
  function: str,
  predictions: jax.Array,
  targets: jax.Array,
  channels: jax.Array | None,
  cells: jax.Array | None,
) -> jax.Array:
  """Weights of all elements, (B, h, w, C)."""
  terms.check_same_shape(function, predictions, targets)
  shape = jnp.shape(predictions)
  if len(shape) != 4:
    raise ValueError(f'{function}: predictions must have shape (B, h, w, C), got {shape}')
  if channels is not None and jnp.shape(channels) != shape[-1:]:
    raise ValueError(
      f'{function}: channels must have shape {shape[-1:]}, got {jnp.shape(channels)}'
    )
  if cells is not None and jnp.shape(cells) != shape[:-1]:
    raise ValueError(f'{function}: cells must have shape {shape[:-1]}, got {jnp.shape(cells)}')
  weights = jnp.ones(shape[-1:], bool) if channels is None else jnp.asarray(channels)
  if cells is not None:
    weights = jnp.asarray(cells)[..., None] * weights
  return jnp.broadcast_to(weights, shape)


def _widened(x: jax.Array) -> jax.Array:
  x = jnp.asarray(x)
  return x.astype(jnp.promote_types(x.dtype, jnp.float32))
