"""A linear layer with the initial weights that PyTorch's has: the lifting papers' networks."""

import math

import flax.linen as nn
import jax


class TorchDense(nn.Module):
  """x W + b; W and b start uniform in ±1 / √fan_in.

  Attributes:
    features: width of the output.
  """

  features: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(..., in) → (..., features)."""
    bound = 1 / math.sqrt(x.shape[-1])

    def uniform(key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
      return jax.random.uniform(key, shape, x.dtype, -bound, bound)

    kernel = self.param('kernel', uniform, (x.shape[-1], self.features))
    return x @ kernel + self.param('bias', uniform, (self.features,))
