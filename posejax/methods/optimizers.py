"""Optimizers and learning rates by config: one of each per loss.

A rate is a function of the stage's step, not of the loss's own updates: with alternating batches
the two differ, and the papers count iterations of either kind.
"""

from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
import optax

Name = Literal['adam', 'adagrad']
NAMES: tuple[Name, ...] = ('adam', 'adagrad')


def optimizer(
  name: Name, b1: float = 0.9, b2: float = 0.999, l2: float = 0.0, clip: float = 0.0
) -> optax.GradientTransformation:
  """A gradient transformation without a learning rate.

  Args:
    name: 'adam' (Kingma and Ba 2015) or 'adagrad' (Duchi et al. 2011).
    b1: Adam's decay of the mean.
    b2: Adam's decay of the square.
    l2: weight of ‖params‖²/2, **added to the gradient before Adam** (not AdamW).
    clip: largest global norm of the gradient; 0 clips nothing.
  """
  parts = []
  if clip:
    parts.append(optax.clip_by_global_norm(clip))
  if l2:
    parts.append(optax.add_decayed_weights(l2))
  if name == 'adam':
    parts.append(optax.scale_by_adam(b1, b2))
  else:
    parts.append(optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-10))
  return optax.chain(*parts)


def piecewise_rate(values: tuple[float, ...], boundaries: tuple[int, ...]) -> Callable:
  """values[i] from step boundaries[i − 1] on.

  Raises:
    ValueError: there is not one value more than boundaries, or these do not rise.
  """
  if len(values) != len(boundaries) + 1 or list(boundaries) != sorted(set(boundaries)):
    raise ValueError(
      f'piecewise rate: {len(values)} values and boundaries {boundaries}: '
      'one value more than boundaries is needed, and boundaries that rise'
    )
  return lambda step: jnp.asarray(values)[(step >= jnp.asarray(boundaries, int)).sum()]


def cosine_rate(peak: float, steps: int, warmup: int = 0, floor: float = 0.0) -> Callable:
  """Rises linearly over `warmup` steps to `peak`, then falls along a cosine to `floor`."""
  return optax.warmup_cosine_decay_schedule(
    0.0 if warmup else peak, peak, warmup, max(steps, warmup + 1), floor
  )
