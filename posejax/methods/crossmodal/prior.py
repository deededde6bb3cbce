"""The pose prior: adversarial auto-encoder {Φ, Ψ, Disc} of single poses; Ψ is frozen after.

  L_cyc = |p_c − FK∘Ψ∘Φ∘T_L(p_c)| + |φ_rand − Φ∘Ψ(φ_rand)|        Φ: L_cyc
  L_adv: Ψ fools Disc; real p_c, fake FK∘Ψ(φ_rand)                  Ψ: L_cyc + L_adv (+ hinge)
  hinge: angle by which Ψ(φ_rand) leaves the joint limits, an aid to L_adv [R], a switch

φ_rand ~ U[−1, 1]^32. Source: spec/kinematics.md, "Adversarial auto-encoder". Poses are compared in
metres, the hinge in rad. Besides p_c, L_cyc compares the local rows, each weighted by what its turn
moves (`leverage`) [R]: FK's chain of frames makes p_c alone the slower teacher.

With `prior.discriminator` = 'embedding' Disc tells φ_rand from Φ(p_l) and its loss trains Φ, with
'none' there is no Disc. One Adam for Φ and Ψ is right in all readings: L_adv on poses does not
depend on Φ, nor L_adv on embeddings on Ψ.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.geometry import kinematics, limits
from posejax.losses import adversarial, pose, terms
from posejax.losses import limits as limit_losses
from posejax.methods import optimizers
from posejax.methods.base import (
  Context,
  Loss,
  LossValues,
  Networks,
  Phase,
  Product,
  Selection,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.crossmodal import lift, pose_sources, prior_measures
from posejax.models import aae as aae_lib

SKELETON = lift.SKELETON
NAME = 'prior'
MEAN_POSE = 'mean_pose'  # what the baselines stand on, of the poses as they were at the training


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    NAME, fields=('prior', 'mocap'), build=build, files=('mocap.dir',),
    scaffold=lambda config: ('Disc',), version=2,
  )


def aae_config(config: ml_collections.ConfigDict) -> aae_lib.AAEConfig:
  """Widths of the auto-encoder."""
  settings = config.prior
  return aae_lib.AAEConfig(
    SKELETON, body=settings.body, half=settings.half, chain=settings.chain, part=settings.part,
    decoder_layers=settings.decoder_layers, disc_part=settings.disc_part,
    disc_body=settings.disc_body,
    disc_embedding=(settings.disc_body,) * 2,
  )


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of Φ, Ψ and Disc on poses drawn in the step.

  Raises:
    CapturedPosesError: the folder of motion capture cannot be used.
  """
  del products
  settings, wiring = config.prior, _Wiring(config)
  rate = optimizers.cosine_rate(
    settings.learning_rate, settings.steps, settings.warmup, settings.learning_rate / 100
  )
  losses = {
    'autoencoder': Loss(
      'poses', ('Phi', 'Psi'), optimizers.optimizer('adam', clip=settings.clip), rate
    ),
    'discriminator': Loss(
      'poses', ('Disc',), optimizers.optimizer('adam', b1=0.5),
      lambda step: settings.discriminator_rate * rate(step) / settings.learning_rate,
    ),
  }
  if wiring.judge is None:
    del losses['discriminator']
  return Stage(
    init=wiring.init,
    sources={'poses': Source(settings.batch, wiring.losses, wiring.draw)},
    losses=losses,
    phases=(Phase('prior', settings.steps, ('poses',), tuple(losses)),),
    frozen=pose_sources.arrays(config),
    validate=prior_measures.validator(config, wiring.networks),
    selection=Selection('reconstruction_mm', larger=False),
    arrays={MEAN_POSE: mean_pose(config)},
  )


class _Wiring:
  """The functions of the stage, over the config."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.config, self.settings = config, config.prior
    self.networks = aae_config(config)
    self.judge = {
      'pose': aae_lib.Discriminator(self.networks),
      'embedding': aae_lib.EmbeddingDiscriminator(self.networks), 'none': None,
    }[config.prior.discriminator]
    self.inner_limits = limits.scaled(limits.PAPER, config.prior.limit_margin)

  def init(self, key: jax.Array) -> tuple[Networks, Networks]:
    local = jnp.zeros((1, SKELETON.num_joints, 3))
    phi = jnp.zeros((1, self.networks.embedding))
    modules = {
      'Phi': (aae_lib.PoseEncoder(self.networks), local),
      'Psi': (aae_lib.PoseDecoder(self.networks), phi),
    }
    if self.judge is not None:
      on_poses = self.settings.discriminator == 'pose'
      modules['Disc'] = (self.judge, local if on_poses else phi)
    keys = jax.random.split(key, 3)
    # Not compiled as one: on CPU that takes longer than layer by layer (13.8 s against 10.8 s).
    params = {
      name: module.init(key, example)['params']
      for key, (name, (module, example)) in zip(keys, modules.items(), strict=False)
    }
    return params, {}

  def draw(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    """Poses p_l (b, 15, 3), p_c (b, 15, 3) mm, and φ_rand (b, 32)."""
    sample = pose_sources.sampler(self.config, frozen)

    def one(key):
      pose_key, phi_key = jax.random.split(key)
      local = sample(pose_key, 1)[0, :SKELETON.num_joints]
      phi = jax.random.uniform(phi_key, (self.networks.embedding,), minval=-1.0, maxval=1.0)
      return {'local': local, 'phi': phi}

    batch = jax.vmap(one)(keys)
    return {**batch, 'canonical': canonical(batch['local'])}

  def losses(self, context: Context, batch: dict[str, jax.Array]) -> LossValues:
    """Both losses of a batch, each of its terms logged with its weight left out."""
    settings, count = self.settings, batch['phi'].shape[0]
    embedded = encode(self.networks, context.params['Phi'], batch['local'])
    # One decoding of both: FK and its gradient are compiled once.
    both = lift.decode(
      self.networks, context.params['Psi'], jnp.concatenate([embedded, batch['phi']])
    )
    rebuilt, drawn = (jax.tree.map(lambda x: x[part], both)  # noqa: B023
                      for part in (slice(count), slice(count, None)))
    weighted = {
      'cycle_pose_m': (settings.pose_weight, terms.mean(
        pose.masked_l1(rebuilt.canonical / 1000, batch['canonical'] / 1000)
      )),
      'cycle_local_m': (settings.local_weight, terms.mean(
        pose.masked_l1(rebuilt.local * _LEVERAGE, batch['local'] * _LEVERAGE)
      )),
      'cycle_phi': (settings.phi_weight, terms.mean(pose.masked_l1(
        encode(self.networks, context.params['Phi'], drawn.local), batch['phi']
      ))),
    }
    if settings.limit_weight:
      weighted['limit_excess_rad'] = (settings.limit_weight, terms.mean(
        limit_losses.limit_hinge(drawn.local, limits=self.inner_limits, skeleton=SKELETON)
      ))
    judged = {}
    if self.judge is not None:
      real, fake = self._logits(context.params['Disc'], batch, embedded, drawn.canonical)
      heads = aae_lib.head_weights(self.networks) if real.shape[1] > 1 else None
      weighted['adversary'] = (
        settings.adversary_weight, terms.mean(adversarial.generator(fake, heads))
      )
      judged['discriminator'] = tuple(adversarial.discriminator(real, fake, heads))
    total = sum(weight * value for weight, value in weighted.values())
    size = jnp.asarray(count, jnp.float32)
    return LossValues(
      terms={'autoencoder': (total * size, size), **judged},
      logged={name: (value * size, size) for name, (_, value) in weighted.items()},
    )

  def _logits(
    self, disc: Any, batch: dict[str, jax.Array], embedded: jax.Array, drawn: jax.Array
  ) -> tuple[jax.Array, jax.Array]:
    """Disc's logits of real and fake samples, by the reading that the config names."""
    if self.settings.discriminator == 'pose':
      real, fake = batch['canonical'] / 1000, drawn / 1000
    else:
      real, fake = batch['phi'], embedded
    both = self.judge.apply({'params': disc}, jnp.concatenate([real, fake]))
    return both[: len(real)], both[len(real) :]


def leverage() -> np.ndarray:
  """(15, 1) m: a bone's length times the joints that its turn moves; 0 for pelvis and neck."""
  moved = np.zeros(SKELETON.num_joints)
  for joint in range(SKELETON.num_joints):
    ancestor = joint
    while ancestor >= 0:
      moved[ancestor] += 1
      ancestor = SKELETON.parents[ancestor]
  # The neck's row never changes.
  moved[SKELETON.index('neck')] = 0
  return (moved * kinematics.bone_lengths(SKELETON) / 1000)[:, None].astype(np.float32)


_LEVERAGE = leverage()

encode = prior_measures.encode
canonical = prior_measures.canonical


def mean_pose(
  config: ml_collections.ConfigDict, table: limits.JointLimits = limits.PAPER, count: int = 20_000
) -> np.ndarray:
  """The mean canonical pose (15, 3) mm of `prior.source`, which a fixed pose may know too.

  Args:
    config: of the method.
    table: limits of the artificial poses.
    count: poses to draw.

  Raises:
    captured_poses.CapturedPosesError: the folder of captured poses cannot be used.
  """
  draw = pose_sources.sampler(config, pose_sources.arrays(config), table)

  @jax.jit
  def mean(key: jax.Array) -> jax.Array:
    return canonical(draw(key, count)[:, : SKELETON.num_joints]).mean(0)

  return np.asarray(mean(jax.random.key(0)))
