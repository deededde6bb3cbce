"""Adversarial auto-encoder of single poses: encoder Φ, decoder Ψ, discriminators.

Symbols: B batch, J joints, p_l (J, 3) local pose, p_c (J, 3) canonical pose, φ (32,) embedding.

  Φ: p_l → φ in (−1, 1)^32     Ψ: φ → p_l (unit rows)     Disc: p_c in metres, or φ → logits

The networks follow the kinematic tree [P]; the tables are an earlier code of the authors' [C], as
spec/kinematics.md ("Adversarial auto-encoder") lists them:

  Φ: 5 parts (2 arms, 2 legs, trunk) → 32 each; trunk + limb (4 chains) → 64; upper and lower half
     → 128; body → 512; φ (32, tanh). LeakyReLU 0.2.
  Ψ: the mirror image. φ → 512 → 512; from there each layer gives the inputs of the level's
     groups, which are summed where a part belongs to several (trunk: 4 chains; neck: 3 parts).
  Disc: every joint through a shared 3 → 32 → 32 and its own → 1; parts → 200 → 1; body of the parts
     → 1024 → 1024 → 1.

Differences from [C] [R]: the pelvis, always 0, is no input and no output (row 0 of Ψ is 0, as
`kinematics` has it); the pelvis's and the neck's joint heads are left out of Disc, since a pose
that never varies there tells real from fake only by chance; no activation is applied twice, and
all last logits are linear.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from jax.nn import initializers
from jax.typing import DTypeLike

from posejax.geometry import skeleton as skeleton_lib
from posejax.models import layers

_LIMBS = {
  'arm': ('neck', 'shoulder', 'elbow', 'wrist'),
  'leg': ('hip', 'knee', 'ankle', 'foot'),
}
_TRUNK = ('neck', 'head_top')
_CHAINS = {'upper': ('r_arm', 'l_arm'), 'lower': ('r_leg', 'l_leg')}
_FIXED = ('pelvis', 'neck')  # joints that do not move in the canonical frame
_STRAIGHT = (0.0, 0.0, 1.0)  # the row that stands for no direction, as in `kinematics`


@dataclasses.dataclass(frozen=True)
class AAEConfig:
  """Widths of Φ, Ψ and the discriminators. Hashable: an attribute of modules.

  Attributes:
    skeleton: J15 or J17.
    embedding: length of φ.
    part, chain, half, body: widths of the tree's four levels.
    decoder_layers: layers of the body's width between φ and the first split of Ψ, 1 or more.
    disc_joint, disc_part, disc_body: widths of the discriminator's three levels.
    disc_embedding: widths of the embedding discriminator's hidden layers.
    leak: slope of LeakyReLU below 0.
  """

  skeleton: skeleton_lib.Skeleton
  embedding: int = 32
  part: int = 32
  chain: int = 64
  half: int = 128
  body: int = 512
  decoder_layers: int = 2
  disc_joint: int = 32
  disc_part: int = 200
  disc_body: int = 1024
  disc_embedding: tuple[int, ...] = (512, 512)
  leak: float = 0.2

  def __post_init__(self):
    missing = set(self.skeleton.joints) - {'pelvis'} - {n for p in self.parts.values() for n in p}
    if missing or 'pelvis' not in self.skeleton.joints:
      raise ValueError(
        f'AAEConfig: skeleton must be J15 or J17, got {self.skeleton.name} '
        f'(no part has {", ".join(sorted(missing)) or "its pelvis"})'
      )

  @property
  def parts(self) -> dict[str, tuple[str, ...]]:
    """Joint names of the five parts; a foot only where the skeleton has one."""
    named = {
      f'{side}_{limb}': tuple(n if n == 'neck' else f'{side}_{n}' for n in names)
      for limb, names in _LIMBS.items()
      for side in 'rl'
    }
    named['trunk'] = _TRUNK
    return {
      part: tuple(n for n in names if n in self.skeleton.joints) for part, names in named.items()
    }

  def rows(self, part: str) -> np.ndarray:
    """Indices of a part's joints."""
    return np.array([self.skeleton.index(name) for name in self.parts[part]])

  @property
  def moving_joints(self) -> tuple[int, ...]:
    """Joints with a head of their own in the discriminator: all but pelvis and neck."""
    return tuple(j for j, name in enumerate(self.skeleton.joints) if name not in _FIXED)


AAE_J15 = AAEConfig(skeleton_lib.J15)
AAE_J17 = AAEConfig(skeleton_lib.J17)


class PoseEncoder(nn.Module):
  """Φ: local pose to embedding.

  Attributes:
    config: skeleton and widths.
    dtype: type to compute in, see `layers`.
  """

  config: AAEConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, local: jax.Array) -> jax.Array:
    """Embeds a batch of poses.

    Args:
      local: (B, J, 3) local poses; the pelvis's row is not read.

    Returns:
      (B, embedding), inside (−1, 1).

    Raises:
      ValueError: another number of joints.
    """
    config = self.config
    _check_pose('PoseEncoder', local, config)

    def group(name: str, width: int, *inputs: jax.Array) -> jax.Array:
      return self._dense(name, width, jnp.concatenate(inputs, axis=-1))

    rows = {part: local[:, config.rows(part)] for part in config.parts}
    parts = {p: group(p, config.part, x.reshape(len(x), -1)) for p, x in rows.items()}
    halves = []
    for half, limbs in _CHAINS.items():
      chains = [group(f'trunk_{p}', config.chain, parts['trunk'], parts[p]) for p in limbs]
      halves.append(group(half, config.half, *chains))
    body = group('body', config.body, *halves)
    return jnp.tanh(_dense('embedding', config.embedding, 1.0, None)(body))

  def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
    leak = self.config.leak
    return nn.leaky_relu(_dense(name, width, leak, self.dtype)(x), leak)


class PoseDecoder(nn.Module):
  """Ψ: embedding to local pose.

  Attributes:
    config: skeleton and widths.
    dtype: type to compute in, see `layers`; the rows are never narrower than the parameters.
  """

  config: AAEConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, phi: jax.Array) -> jax.Array:
    """Decodes a batch of embeddings. Callers apply `kinematics.constrain_local`.

    Args:
      phi: (B, embedding).

    Returns:
      (B, J, 3) rows of length one, (0, 0, 1) where the network gives none; the pelvis's row 0.

    Raises:
      ValueError: another shape.
    """
    config = self.config
    _check_embedding('PoseDecoder', phi, config)
    dense, activate = self._dense, self._activate
    x = phi
    for index in range(config.decoder_layers):
      x = activate(dense(f'body_{index}', config.body, x))
    halves = jnp.split(dense('body', 2 * config.half, x), 2, axis=-1)
    parts, trunk = {}, 0
    for x, (half, limbs) in zip(halves, _CHAINS.items(), strict=True):
      chains = jnp.split(dense(half, 2 * config.chain, activate(x)), 2, axis=-1)
      for y, limb in zip(chains, limbs, strict=True):
        to_trunk, parts[limb] = jnp.split(
          dense(f'trunk_{limb}', 2 * config.part, activate(y)), 2, axis=-1
        )
        trunk = trunk + to_trunk
    parts['trunk'] = trunk
    return self._rows({part: activate(y) for part, y in parts.items()})

  def _rows(self, parts: dict[str, jax.Array]) -> jax.Array:
    """Unit rows of all joints; a joint of several parts is their sum."""
    config = self.config
    given = {name: [] for name in config.skeleton.joints}
    for part, features in parts.items():
      names = config.parts[part]
      # No dtype, so full precision, and no activation behind it.
      rows = _dense(part, 3 * len(names), 1.0, None)(features).reshape(-1, len(names), 3)
      for index, name in enumerate(names):
        given[name].append(rows[:, index])
    # The pelvis is named by no part. Its row stands for no direction, and is set to 0 below.
    zero = jnp.zeros_like(given['neck'][0])
    stacked = jnp.stack([sum(rows, zero) for rows in given.values()], axis=1)
    directed = np.array([bool(rows) for rows in given.values()])[:, None]
    return jnp.where(directed, layers.unit_last(stacked, _STRAIGHT), 0)

  def _activate(self, x: jax.Array) -> jax.Array:
    return nn.leaky_relu(x, self.config.leak)

  def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
    return _dense(name, width, self.config.leak, self.dtype)(x)


class Discriminator(nn.Module):
  """Disc on poses: is this a pose of the prior (real) or of Ψ(φ_rand) (fake)?

  Attributes:
    config: skeleton and widths.
    dtype: type to compute in, see `layers`.
  """

  config: AAEConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, poses: jax.Array) -> jax.Array:
    """Judges a batch of poses.

    Args:
      poses: (B, J, 3) canonical, in **metres**, so that weights see numbers near one.

    Returns:
      (B, N) logits, positive for real: J − 2 moving joints, 5 parts, body. `head_weights` has
      their weights in a loss.

    Raises:
      ValueError: another number of joints.
    """
    config = self.config
    _check_pose('Discriminator', poses, config)
    joints = poses
    for index in range(2):
      joints = self._dense(f'joint_{index}', config.disc_joint, joints)
    moving = joints[:, np.array(config.moving_joints)]
    heads = self.param(
      'joint_heads',
      initializers.lecun_normal(in_axis=1, out_axis=0),
      (len(config.moving_joints), config.disc_joint),
      jnp.float32,
    )
    bias = self.param('joint_biases', initializers.zeros, heads.shape[:1], jnp.float32)
    logits = [jnp.sum(moving * heads, axis=-1) + bias]
    parts = []
    for part in config.parts:
      x = joints[:, config.rows(part)].reshape(len(joints), -1)
      parts.append(self._dense(part, config.disc_part, x))
      logits.append(_dense(f'{part}_head', 1, 1.0, None)(parts[-1]))
    body = jnp.concatenate(parts, axis=-1)
    for index in range(2):
      body = self._dense(f'body_{index}', config.disc_body, body)
    logits.append(_dense('body_head', 1, 1.0, None)(body))
    return jnp.concatenate(logits, axis=-1)

  def _dense(self, name: str, width: int, x: jax.Array) -> jax.Array:
    leak = self.config.leak
    return nn.leaky_relu(_dense(name, width, leak, self.dtype)(x), leak)


class EmbeddingDiscriminator(nn.Module):
  """Disc on embeddings, the reading of the paper's text that kinematics.md overrides: a switch.

  Real is φ_rand ~ U[−1, 1]^32, fake Φ(p_l): it trains Φ, and gives Ψ no gradient.

  Attributes:
    config: widths.
    dtype: type to compute in, see `layers`.
  """

  config: AAEConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, phi: jax.Array) -> jax.Array:
    """(B, embedding) → (B, 1) logits, positive for real; ValueError for another shape."""
    config = self.config
    _check_embedding('EmbeddingDiscriminator', phi, config)
    x = phi
    for index, width in enumerate(config.disc_embedding):
      x = nn.leaky_relu(_dense(f'body_{index}', width, config.leak, self.dtype)(x), config.leak)
    return _dense('body_head', 1, 1.0, None)(x)


def head_weights(config: AAEConfig) -> np.ndarray:
  """Weights of the discriminator's logits: a third a level [C], shared equally inside it.

  Returns:
    (N,) summing to one, in the order of `Discriminator`'s logits.
  """
  counts = (len(config.moving_joints), len(config.parts), 1)
  return np.concatenate([np.full(n, 1 / (3 * n)) for n in counts])


def _dense(name: str, width: int, leak: float, dtype: DTypeLike | None) -> nn.Dense:
  """A layer whose activation has slope `leak` below 0 (1: none)."""
  return nn.Dense(width, dtype=dtype, kernel_init=layers.he_init(leak), name=name)


def _check_pose(function: str, poses: jax.Array, config: AAEConfig) -> None:
  if poses.ndim != 3 or poses.shape[1:] != (config.skeleton.num_joints, 3):
    raise ValueError(
      f'{function}: expected poses of shape (B, {config.skeleton.num_joints}, 3) '
      f'({config.skeleton.name}), got {poses.shape}'
    )


def _check_embedding(function: str, phi: jax.Array, config: AAEConfig) -> None:
  if phi.ndim != 2 or phi.shape[1] != config.embedding:
    raise ValueError(f'{function}: expected phi of shape (B, {config.embedding}), got {phi.shape}')
