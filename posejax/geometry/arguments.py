"""The one check of array arguments: shape, real, floating point.

Geometry is written for one pose; an extra axis is a caller that forgot to vmap.
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike


def as_float(
  function: str, name: str, value: ArrayLike, shape: tuple[int | str, ...]
) -> jax.Array:
  """Array of `value`, integers made floats; letters in `shape` stand for any size."""
  value = jnp.asarray(value)
  fits = value.ndim == len(shape) and all(
    isinstance(want, str) or want == got for want, got in zip(shape, value.shape, strict=True)
  )
  if not fits:
    expected = '(' + ', '.join(map(str, shape)) + (',)' if len(shape) == 1 else ')')
    raise ValueError(
      f'{function}: {name} must have shape {expected}, got {value.shape}; vmap over batches'
    )
  if jnp.issubdtype(value.dtype, jnp.complexfloating):
    raise ValueError(f'{function}: {name} must be real, got {value.dtype}')
  return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)
