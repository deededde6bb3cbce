"""Lifters: a 2D pose to depth offsets and the camera's elevation; and the network that fills gaps.

Symbols: B batch, J joints, x (B, J, 2) normalised 2D pose, d̂ (B, J) depth offsets from the root in
units of a pelvis–head length, θ (B,) rad: Rx(θ) levels the lifted pose.

  x → Linear → residual block → { depth: blocks, Linear → J;  elevation: blocks, Linear → 1 }
  block: Linear, LeakyReLU, Linear, LeakyReLU, + input, LeakyReLU; slope 0.01; no batch norm

LInKs [C] has a lifter for each part of the body. Its parts share joints, so that several whole
poses can be put together ("compositions", axis K): with left and right halves two, the middle
joints of the one or the other; with legs and torso one. θ is the mean of the parts'.

Sources: spec/lifting.md, "Lifter"; ElePose and LInKs [C].
"""

import dataclasses
from typing import Any, Literal, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry.skeleton import Skeleton
from posejax.models.dense import TorchDense

Kind = Literal['single', 'left_right', 'legs_torso']
KINDS: tuple[Kind, ...] = ('single', 'left_right', 'legs_torso')
_SLOPE = 0.01
_LEG = ('hip', 'knee', 'ankle', 'foot', 'toe', 'heel')
_HEADS = ('depth_out', 'elevation_out')


@dataclasses.dataclass(frozen=True)
class LifterConfig:
  """Shape of a lifter. Hashable: an attribute of modules.

  Attributes:
    skeleton: of the poses; its joint 0 is the root.
    kind: one network, or LInKs' parts.
    width: of every layer.
    blocks: of each head: 2 in ElePose, 3 in LInKs.
    input_scale: factor on the 2D poses, which are about 0.05 wide [R]; 1 as published.
  """

  skeleton: Skeleton
  kind: Kind = 'single'
  width: int = 1024
  blocks: int = 2
  input_scale: float = 1.0

  def __post_init__(self):
    if self.kind not in KINDS or self.skeleton.parents[0] != -1:
      raise ValueError(
        f'LifterConfig: kind {self.kind!r} must be one of {", ".join(KINDS)}, and joint 0 of '
        f'{self.skeleton.name} its root'
      )


class Lifted(NamedTuple):
  """What a lifter says: depth (B, K, J), one row for each composition; theta (B,) rad."""

  depth: jax.Array
  theta: jax.Array


def parts(config: LifterConfig) -> dict[str, tuple[int, ...]]:
  """Joints of each part's network, by name; joint 0 is in each of 'left', 'right', 'legs'.

  For H3.6M-17 these are spec/lifting.md's: {0, a leg, 7–10, an arm}; {0–6} and {7–16}.
  """
  joints = config.skeleton.joints
  if config.kind == 'single':
    return {'whole': tuple(range(len(joints)))}
  if config.kind == 'left_right':
    return {
      side: tuple(j for j, name in enumerate(joints) if not name.startswith(other))
      for side, other in (('left', 'r_'), ('right', 'l_'))
    }
  legs = tuple(j for j, name in enumerate(joints) if j == 0 or name[2:] in _LEG)
  return {'legs': legs, 'torso': tuple(j for j in range(len(joints)) if j not in legs)}


class Lifter(nn.Module):
  """A lifter.

  Attributes:
    config: shape.
  """

  config: LifterConfig

  def setup(self):
    self.networks = {
      name: _PartLifter(self.config, len(rows)) for name, rows in parts(self.config).items()
    }

  def __call__(self, poses: jax.Array) -> Lifted:
    """Lifts a batch.

    Args:
      poses: (B, J, 2) normalised, root at the origin.

    Returns:
      Depths, 0 at the root, and elevations.

    Raises:
      ValueError: another number of joints.
    """
    joints = self.config.skeleton.num_joints
    if poses.ndim != 3 or poses.shape[1:] != (joints, 2):
      raise ValueError(f'Lifter: expected (B, {joints}, 2), got {poses.shape}')
    rows = {name: np.array(chosen) for name, chosen in parts(self.config).items()}
    found = {name: network(_columns(poses, rows[name])) for name, network in self.networks.items()}
    theta = sum(angle for _, angle in found.values()) / len(found)
    # Earlier parts give what they share with later ones.
    names = list(rows)
    orders = [names, names[::-1]] if self.config.kind == 'left_right' else [names]
    depth = jnp.stack([
      _assembled([(rows[name], found[name][0]) for name in order], joints) for order in orders
    ], axis=1)
    return Lifted(depth, theta)


def _columns(x: jax.Array, chosen: np.ndarray) -> jax.Array:
  """x[:, chosen], without a copy where that is x."""
  return x if np.array_equal(chosen, np.arange(x.shape[1])) else x[:, chosen]


def _assembled(pieces: list[tuple[np.ndarray, jax.Array]], joints: int) -> jax.Array:
  """(B, J) depths of one composition; the root's is 0.

  Each joint's column is picked from the pieces side by side: on CPUs XLA scatters one number after
  another, which took a third of a narrow lifter's time.
  """
  together = jnp.concatenate([values for _, values in pieces], axis=1)
  held = np.concatenate([rows for rows, _ in pieces]).tolist()
  depth = _columns(together, np.array([held.index(joint) for joint in range(joints)]))
  return jnp.where(np.arange(joints) == 0, 0, depth)


class _PartLifter(nn.Module):
  """Depths and elevation of some joints."""

  config: LifterConfig
  joints: int

  @nn.compact
  def __call__(self, poses: jax.Array) -> tuple[jax.Array, jax.Array]:
    width = self.config.width
    x = TorchDense(width)(poses.reshape(len(poses), -1) * self.config.input_scale)
    x = Block(width)(x)
    heads = []
    for name, size in zip(_HEADS, (self.joints, 1), strict=True):
      y = x
      for _ in range(self.config.blocks):
        y = Block(width)(y)
      heads.append(TorchDense(size, name=name)(y))
    return heads[0], heads[1][:, 0]


class Block(nn.Module):
  """The residual block.

  Attributes:
    width: of input and output.
  """

  width: int

  @nn.compact
  def __call__(self, x: jax.Array) -> jax.Array:
    """(B, width) → (B, width)."""
    y = nn.leaky_relu(TorchDense(self.width)(x), _SLOPE)
    y = nn.leaky_relu(TorchDense(self.width)(y), _SLOPE)
    return nn.leaky_relu(x + y, _SLOPE)


def mirrored(params: Any) -> Any:
  """The parameters of the lifter that gives −d̂ and −θ: the other reading of each 2D pose.

  Args:
    params: of a `Lifter`.
  """
  return {
    network: {
      layer: jax.tree.map(jnp.negative, weights) if layer in _HEADS else weights
      for layer, weights in tree.items()
    } for network, tree in params.items()
  }


class Infill(nn.Module):
  """2D poses with gaps and noise to whole ones (LInKs' occlusion networks, as one [R]).

  Attributes:
    joints: J.
    width: of every layer.
    blocks: number of residual blocks.
    input_scale: factor on the 2D poses.
  """

  joints: int
  width: int = 256
  blocks: int = 2
  input_scale: float = 1.0

  @nn.compact
  def __call__(self, poses: jax.Array, seen: jax.Array) -> jax.Array:
    """Fills a batch.

    Args:
      poses: (B, J, 2) normalised, any finite value where not seen.
      seen: (B, J) bool.

    Returns:
      (B, J, 2): the root stays at the origin.

    Raises:
      ValueError: wrong shapes.
    """
    if poses.shape[1:] != (self.joints, 2) or seen.shape != poses.shape[:2]:
      raise ValueError(
        f'Infill: expected (B, {self.joints}, 2) and (B, {self.joints}), got {poses.shape} and '
        f'{seen.shape}'
      )
    known = jnp.where(seen[..., None], poses * self.input_scale, 0)
    x = jnp.concatenate([known.reshape(len(poses), -1), seen.astype(poses.dtype)], -1)
    x = TorchDense(self.width)(x)
    for _ in range(self.blocks):
      x = Block(self.width)(x)
    change = TorchDense(2 * self.joints)(x).reshape(known.shape)
    return ((known + change) / self.input_scale).at[:, 0].set(0)
