"""Adversarial losses of the auto-encoder: Disc tells real from fake, another network fools it.

Symbols: B batch, N logits of one sample (heads), x a logit, positive for real.

Both readings of Kundu et al. 2020 (spec/kinematics.md) are these two functions:

  reading      real             fake                 who fools Disc
  pose [R]     Disc(p_c), m     Disc(FK Ψ(φ_rand))   Ψ, by the gradient through FK
  embedding    Disc_e(φ_rand)   Disc_e(Φ(p_l))       Φ (Ψ gets no gradient: why it is overridden)

Cross-entropy with logits, which is softplus(−x) for real and softplus(x) for fake, never log of a
sigmoid; the fooling side maximises log of the sigmoid, whose gradient does not vanish while Disc
wins (Goodfellow et al. 2014).
"""

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from posejax.losses import terms


def discriminator(
  real_logits: jax.Array, fake_logits: jax.Array, head_weights: ArrayLike | None = None
) -> terms.Term:
  """Σ softplus(−real) + Σ softplus(fake), heads weighted; the loss that trains Disc.

  Args:
    real_logits: (B, N).
    fake_logits: (B', N).
    head_weights: (N,) weights ≥ 0 of the heads, such as `aae.head_weights`; 1 / N where None.

  Returns:
    (sum, weight): summed over samples; the weight is B + B'. An undecided Disc has mean log 2 if
    the weights sum to one.

  Raises:
    ValueError: the shapes do not fit.
  """
  real = _entropy('discriminator', 'real_logits', -real_logits, head_weights)
  fake = _entropy('discriminator', 'fake_logits', fake_logits, head_weights)
  if real_logits.shape[1] != fake_logits.shape[1]:
    raise ValueError(
      'discriminator: real_logits and fake_logits must have the same heads, got '
      f'{real_logits.shape} and {fake_logits.shape}'
    )
  return terms.Term(real.sum + fake.sum, real.weight + fake.weight)


def generator(fake_logits: jax.Array, head_weights: ArrayLike | None = None) -> terms.Term:
  """Σ softplus(−fake), heads weighted; L_adv, the loss of the network that fools Disc.

  Args:
    fake_logits: (B, N), Disc frozen.
    head_weights: (N,) weights ≥ 0 of the heads; 1 / N where None.

  Returns:
    (sum, weight): summed over samples; the weight is B.

  Raises:
    ValueError: the shapes do not fit.
  """
  return _entropy('generator', 'fake_logits', -fake_logits, head_weights)


def _entropy(
  function: str, name: str, logits: jax.Array, head_weights: ArrayLike | None
) -> terms.Term:
  """Σ over samples of Σ_n w_n softplus(x_n)."""
  if logits.ndim != 2:
    raise ValueError(f'{function}: {name} must have shape (B, N), got {logits.shape}')
  logits = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
  num, heads = logits.shape
  if head_weights is None:
    head_weights = jnp.full(heads, 1 / heads, logits.dtype)
  weights = jnp.asarray(head_weights, logits.dtype)
  if weights.shape != (heads,):
    raise ValueError(f'{function}: head_weights must have shape ({heads},), got {weights.shape}')
  total = jnp.sum(jax.nn.softplus(logits) * weights)
  return terms.Term(total, jnp.asarray(num, logits.dtype))
