"""Optimizers and learning rates by config: one of each per loss.

A rate is a function of the stage's step, not of the loss's own updates: with alternating batches
the two differ, and the papers count iterations of either kind.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
import optax

Name = Literal['adam', 'adagrad', 'muon']
NAMES: tuple[Name, ...] = ('adam', 'adagrad', 'muon')

# Rate of Muon's matrices, of spectral norm one, to that of its vectors, which have Adam's. The
# first value tried on the small teacher; no other was compared.
_MATRIX_RATE = 5.0


def optimizer(
  name: Name, b1: float = 0.9, b2: float = 0.999, l2: float = 0.0, clip: float = 0.0
) -> optax.GradientTransformation:
  """A gradient transformation without a learning rate.

  Args:
    name: 'adam' (Kingma and Ba 2015), 'adagrad' (Duchi et al. 2011), or 'muon' (Jordan et al.
      2024): momentum whose matrices are made orthogonal, Adam for vectors. The small teacher
      learnt in 400 steps with it what took Adam 1,600.
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
  elif name == 'muon':
    kinds = {'matrix': _muon(), 'vector': optax.scale_by_adam(b1, b2)}
    parts.append(optax.partition(kinds, _kinds))
  else:
    parts.append(optax.scale_by_rss(initial_accumulator_value=0.0, eps=1e-10))
  return optax.chain(*parts)


def _muon(decay: float = 0.95) -> optax.GradientTransformation:
  """Nesterov momentum, made orthogonal.

  Not `optax.contrib.scale_by_muon`: its products are batched, of batches of one, and take twice as
  long on a CPU, where they are a third of a step.
  """

  def turn(update: jax.Array) -> jax.Array:
    # A convolution's window belongs to its inputs; channel-wise layers (C, in, out) are C matrices.
    flat = update if update.ndim == 3 else update.reshape(-1, update.shape[-1])
    inputs, outputs = flat.shape[-2:]
    # A layer with more outputs than inputs must grow its rows more for the same change of them.
    size = _MATRIX_RATE * max(1, outputs / inputs) ** 0.5
    return size * _orthogonal(flat).reshape(update.shape)

  return optax.chain(
    optax.trace(decay, nesterov=True),
    optax.stateless(lambda updates, params: jax.tree.map(turn, updates)),
  )


def _orthogonal(x: jax.Array, iterations: int = 5) -> jax.Array:
  """The nearest orthogonal matrix of (..., m, n), roughly: singular values in 0.7 to 1.2.

  Newton–Schulz iteration with the quintic of Jordan et al. (2024), which reaches that band, and no
  further, in five products.
  """
  wide = x.shape[-2] < x.shape[-1]
  x = jnp.swapaxes(x, -1, -2) if wide else x
  x = x / (jnp.sqrt((x**2).sum((-2, -1), keepdims=True)) + 1e-7)
  for _ in range(iterations):
    gram = jnp.swapaxes(x, -1, -2) @ x
    x = 3.4445 * x + x @ (-4.775 * gram + 2.0315 * gram @ gram)
  return jnp.swapaxes(x, -1, -2) if wide else x


def _kinds(params):
  """Which parameters are matrices: all but biases and what has a side of almost nothing."""
  return jax.tree.map(
    lambda x: 'matrix' if x.ndim > 1 and min(x.shape[-1], x.size // x.shape[-1]) > 3 else 'vector',
    params,
  )


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
