"""Learning rates and optimizers of the lifting stages.

  cosine   to a hundredth, after a warm-up: the CPU recipe [R]
  epochs   × 0.95 per epoch: as published [S]
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import ml_collections
import optax

from posejax.methods import optimizers

DECAYS = ('cosine', 'epochs')
_EPOCH_FACTOR = 0.95


def rate(settings: ml_collections.ConfigDict, steps: int | None = None) -> Callable:
  """Step → learning rate.

  Args:
    settings: learning_rate, decay, epoch (steps of one), warmup, steps.
    steps: length, where it is not `settings.steps`.
  """
  if settings.decay == 'cosine':
    peak = settings.learning_rate
    return optimizers.cosine_rate(
      peak, settings.steps if steps is None else steps, settings.warmup, peak / 100
    )

  def decayed(step: jax.Array) -> jax.Array:
    return settings.learning_rate * _EPOCH_FACTOR ** jnp.floor(step / settings.epoch)

  return decayed


def optimizer(settings: ml_collections.ConfigDict) -> optax.GradientTransformation:
  """Adam; L2 added to the gradient before it; the global norm clipped first."""
  return optimizers.optimizer('adam', l2=settings.l2, clip=settings.clip)
