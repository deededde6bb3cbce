"""What every loss returns: a numerator and a denominator.

A masked mean over several devices is the sum of the numerators over the sum of the denominators,
which the mean of the devices' means is not. So a loss returns both, and whoever knows the devices
adds them up before it divides.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp


class Term(NamedTuple):
  """A weighted mean, not yet divided: unpacks as (sum, weight).

  Attributes:
    sum: () weighted sum of what is minimised.
    weight: () sum of the weights; 0 for a batch without anything to learn from.
  """

  sum: jax.Array
  weight: jax.Array


def mean(term: Term) -> jax.Array:
  """sum / weight; 0, with gradient 0, where the weight is 0."""
  empty = term.weight == 0
  return jnp.where(empty, 0, term.sum) / jnp.where(empty, 1, term.weight)


def absolute(x: jax.Array) -> jax.Array:
  """|x| with gradient 0 at 0, where that of `jnp.abs` is 1: what is right is not pushed."""
  return x * jax.lax.stop_gradient(jnp.sign(x))


def weigh(function: str, values: jax.Array, mask: jax.Array | None) -> Term:
  """The term of values with one weight for each, or for each row of them.

  Args:
    function: name of the caller, for the message.
    values: (...) finite wherever the mask is not 0; elsewhere anything.
    mask: bool or weights ≥ 0 whose shape is that of the first axes of `values` (all where None).
      An element's weight is its row's; so the weight counts elements, not rows.

  Returns:
    Term in the dtype of `values`, or in float32 where that is narrower.

  Raises:
    ValueError: the mask's shape is no beginning of the values' shape.
  """
  values = values.astype(jnp.promote_types(values.dtype, jnp.float32))
  weights = broadcast_mask(function, mask, values.shape).astype(values.dtype)
  # 0 · NaN is NaN: padding leaves before the product.
  kept = jnp.where(weights == 0, 0, values)
  return Term(jnp.sum(weights * kept), jnp.sum(weights))


def broadcast_mask(
  function: str, mask: jax.Array | None, shape: tuple[int, ...]
) -> jax.Array:
  """The mask at the full shape; ones where it is None. A ValueError names the caller."""
  if mask is None:
    return jnp.ones(shape, bool)
  mask = jnp.asarray(mask)
  if mask.shape != shape[: mask.ndim]:
    raise ValueError(
      f'{function}: mask must have the first axes of the values, {shape}, got {mask.shape}'
    )
  return jnp.broadcast_to(mask.reshape(mask.shape + (1,) * (len(shape) - mask.ndim)), shape)


def check_same_shape(function: str, predictions: jax.Array, targets: jax.Array) -> None:
  """A ValueError unless predictions and targets have one shape: broadcasting hides mistakes."""
  if jnp.shape(predictions) != jnp.shape(targets):
    raise ValueError(
      f'{function}: predictions and targets must have one shape, got {jnp.shape(predictions)} and '
      f'{jnp.shape(targets)}'
    )
