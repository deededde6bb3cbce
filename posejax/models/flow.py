"""Normalising flow over 2D poses: x ↔ z ~ N(0, 1) with the log-determinant of the way there.

Symbols: B batch, n dimensions of x; x1 the first ⌈n/2⌉ of them, x2 the rest; J joints.

A block (spec/lifting.md, "Normalising flow"; settings of LInKs' code [C]):

  (a, t) = 0.1 · subnet(x1)      s = 2 tanh(a)      x2 ← x2 exp(s) + t
  x ← x g + b                    g = 0.1 softplus(γ; β = 0.5), 1 at the start
  x ← x Q                        Q a fixed random rotation

  NLL(x) = ½ ‖z‖² − log |det ∂z/∂x|, without the constant n/2 · log 2π

The root's two dimensions are always 0, a density without bound: `without_root` leaves them out.
"""

import dataclasses
import functools
import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from posejax.models import dense

_SOFTPLUS_BETA = 0.5
_SCALE = 0.1
_CLAMP = 2.0
# Factor of a subnet's output.
_GENTLE = 0.1
# 0.1 softplus(γ; β = 0.5) = 0.2 log(1 + exp(γ / 2)) is 1 here.
_GAMMA_OF_ONE = 2 * math.log(math.exp(5.0) - 1)


@dataclasses.dataclass(frozen=True)
class FlowConfig:
  """Shape of a flow. Hashable: an attribute of modules.

  Attributes:
    dims: n ≥ 2.
    blocks: affine coupling blocks.
    width: of the subnets' hidden layer.
    seed: of the fixed rotations.
  """

  dims: int
  blocks: int = 8
  width: int = 1024
  seed: int = 0

  def __post_init__(self):
    if self.dims < 2 or self.blocks < 1 or self.width < 1:
      raise ValueError(
        f'FlowConfig: dims {self.dims}, blocks {self.blocks}, width {self.width}: at least 2, 1, 1'
      )

  @property
  def passive(self) -> int:
    return (self.dims + 1) // 2


class _Coupling(nn.Module):
  """A block, both ways."""

  config: FlowConfig

  def setup(self):
    active = self.config.dims - self.config.passive
    self.hidden = dense.TorchDense(self.config.width)
    self.out = dense.TorchDense(2 * active)
    shape = (self.config.dims,)
    self.gamma = self.param('gamma', nn.initializers.constant(_GAMMA_OF_ONE), shape)
    self.shift = self.param('shift', nn.initializers.zeros_init(), shape)

  def forward(self, x: jax.Array, turn: np.ndarray) -> tuple[jax.Array, jax.Array]:
    """(B, n) → (B, n) and the (B,) log-determinant."""
    x1, x2 = x[:, : self.config.passive], x[:, self.config.passive :]
    s, t = self._affine(x1)
    scale = self._scale()
    x = jnp.concatenate([x1, x2 * jnp.exp(s) + t], -1) * scale + self.shift
    return x @ turn, s.sum(-1) + jnp.log(scale).sum()

  def inverse(self, x: jax.Array, turn: np.ndarray) -> jax.Array:
    x = (x @ turn.T - self.shift) / self._scale()
    x1, x2 = x[:, : self.config.passive], x[:, self.config.passive :]
    s, t = self._affine(x1)
    return jnp.concatenate([x1, (x2 - t) * jnp.exp(-s)], -1)

  def _affine(self, x1: jax.Array) -> tuple[jax.Array, jax.Array]:
    a, t = jnp.split(_GENTLE * self.out(nn.relu(self.hidden(x1))), 2, axis=-1)
    return _CLAMP * jnp.tanh(a), t

  def _scale(self) -> jax.Array:
    return _SCALE / _SOFTPLUS_BETA * jax.nn.softplus(_SOFTPLUS_BETA * self.gamma)


class Flow(nn.Module):
  """The whole flow.

  Attributes:
    config: shape.
  """

  config: FlowConfig

  def setup(self):
    self.couplings = [_Coupling(self.config) for _ in range(self.config.blocks)]

  def __call__(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x (B, n) → z (B, n), log |det ∂z/∂x| (B,).

    Raises:
      ValueError: another shape.
    """
    self._check('Flow', x)
    total = jnp.zeros(len(x), x.dtype)
    for coupling, turn in zip(self.couplings, rotations(self.config), strict=True):
      x, logdet = coupling.forward(x, turn)
      total = total + logdet
    return x, total

  def inverse(self, z: jax.Array) -> jax.Array:
    """z (B, n) → x (B, n).

    Raises:
      ValueError: another shape.
    """
    self._check('Flow.inverse', z)
    pairs = zip(self.couplings, rotations(self.config), strict=True)
    for coupling, turn in reversed(list(pairs)):
      z = coupling.inverse(z, turn)
    return z

  def _check(self, function: str, x: jax.Array) -> None:
    if x.ndim != 2 or x.shape[1] != self.config.dims:
      raise ValueError(f'{function}: expected (B, {self.config.dims}), got {x.shape}')


@functools.cache
def rotations(config: FlowConfig) -> tuple[np.ndarray, ...]:
  """The fixed matrices of SO(n), one for each block, float32: a function of the config alone."""
  rng = np.random.default_rng(config.seed)
  matrices = []
  for _ in range(config.blocks):
    q, r = np.linalg.qr(rng.normal(size=(config.dims, config.dims)))
    q = q * np.sign(np.diag(r))  # uniform over O(n)
    if np.linalg.det(q) < 0:
      q[:, 0] = -q[:, 0]
    matrices.append(q.astype(np.float32))
  return tuple(matrices)


def nll(z: jax.Array, logdet: jax.Array) -> jax.Array:
  """½ ‖z‖² − logdet, (B,): the negative log-likelihood but for n/2 · log 2π.

  Args:
    z: (B, n).
    logdet: (B,).
  """
  return 0.5 * (z**2).sum(-1) - logdet


def resample(
  config: FlowConfig, params, x: jax.Array, noise: jax.Array, spread: float = 0.2
) -> jax.Array:
  """Poses near given ones (LInKs): z̃ = z + 0.2 ε ⊙ z, x̃ = f⁻¹(z̃), without gradient.

  Args:
    config: of the flow.
    params: of the flow.
    x: (B, n).
    noise: (B, n) ε ~ N(0, 1).
    spread: share of z that the noise is.

  Returns:
    (B, n).
  """
  flow = Flow(config)
  z, _ = flow.apply({'params': params}, x)
  moved = flow.apply({'params': params}, z + spread * noise * z, method='inverse')
  return jax.lax.stop_gradient(moved)


def without_root(poses: jax.Array, joints: tuple[int, ...] | None = None) -> jax.Array:
  """(B, J, 2) → (B, 2 (J' − 1)): the flow's dimensions of chosen joints, joint 0 left out.

  Args:
    poses: (B, J, 2), root 0 at the origin.
    joints: which ones, the root among them or not; all where None.
  """
  kept = [j for j in (range(poses.shape[1]) if joints is None else joints) if j != 0]
  return poses[:, np.array(kept)].reshape(len(poses), -1)


def with_root(x: jax.Array) -> jax.Array:
  """(B, 2 (J − 1)) → (B, J, 2) with the root back at the origin."""
  return jnp.pad(x.reshape(len(x), -1, 2), ((0, 0), (1, 0), (0, 0)))
