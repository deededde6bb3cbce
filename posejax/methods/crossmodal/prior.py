"""The pose prior: adversarial auto-encoder {Φ, Ψ, Disc} of single poses; Ψ is frozen after.

  L_cyc = |p_c − FK∘Ψ∘Φ∘T_L(p_c)| + |φ_rand − Φ∘Ψ(φ_rand)|        Φ: L_cyc
  L_adv: Ψ fools Disc; real p_c, fake FK∘Ψ(φ_rand)                  Ψ: L_cyc + L_adv (+ hinge)
  hinge: angle by which Ψ(φ_rand) leaves the joint limits, an aid to L_adv [R], a switch

φ_rand ~ U[−1, 1]^32. Source: spec/kinematics.md, "Adversarial auto-encoder". The weights inside Ψ's
sum follow the authors' earlier code [C]; poses are compared in metres, the hinge in rad.
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
from posejax.methods.crossmodal import lift
from posejax.models import aae as aae_lib
from posejax.synth.poses import sample_local_poses

SKELETON = lift.SKELETON
NAME = 'prior'
_VALIDATION_POSES = 2000


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(NAME, fields=('prior',), build=build)


def aae_config(config: ml_collections.ConfigDict) -> aae_lib.AAEConfig:
  """Widths of the auto-encoder."""
  return aae_lib.AAEConfig(SKELETON, body=config.prior.body, half=config.prior.half,
                           chain=config.prior.chain, part=config.prior.part)


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of Φ, Ψ and Disc on poses drawn in the step."""
  del products
  settings = config.prior
  networks = aae_config(config)
  lengths = np.asarray(kinematics.bone_lengths(SKELETON), np.float32)
  inner_limits = limits.scaled(limits.PAPER, settings.limit_margin)
  scales = {
    'cycle_pose_m': settings.pose_weight, 'cycle_phi': settings.phi_weight,
    'adversary': settings.adversary_weight, 'limit_excess_rad': settings.limit_weight,
  }

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    keys = jax.random.split(key, 3)
    local = jnp.zeros((1, SKELETON.num_joints, 3))
    modules = (
      ('Phi', aae_lib.PoseEncoder(networks), local),
      ('Psi', aae_lib.PoseDecoder(networks), jnp.zeros((1, networks.embedding))),
      ('Disc', aae_lib.Discriminator(networks), local),
    )
    params = {
      name: module.init(key, example)['params']
      for key, (name, module, example) in zip(keys, modules, strict=True)
    }
    return params, {}

  def draw(frozen: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    def one(key):
      pose_key, phi_key = jax.random.split(key)
      local = sample_local_poses(pose_key, 1, skeleton=SKELETON)[0]
      phi = jax.random.uniform(phi_key, (networks.embedding,), minval=-1.0, maxval=1.0)
      canonical = kinematics.forward_kinematics(local, jnp.asarray(lengths), SKELETON)
      return {'local': local, 'canonical': canonical, 'phi': phi}

    return jax.vmap(one)(keys)

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    count = batch['phi'].shape[0]
    embedded = encode(networks, context.params['Phi'], batch['local'])
    # One decoding of both: FK and its gradient are compiled once.
    both = lift.decode(networks, context.params['Psi'], jnp.concatenate([embedded, batch['phi']]))
    drawn = both.local[count:]
    returned = encode(networks, context.params['Phi'], drawn)
    values = {
      'cycle_pose_m': terms.mean(
        pose.masked_l1(both.canonical[:count] / 1000, batch['canonical'] / 1000)
      ),
      'cycle_phi': terms.mean(pose.masked_l1(returned, batch['phi'])),
    }
    judge = aae_lib.Discriminator(networks)
    weights = aae_lib.head_weights(networks)
    shown = jnp.concatenate([both.canonical[count:], batch['canonical']]) / 1000
    logits = judge.apply({'params': context.params['Disc']}, shown)
    fake, real = logits[:count], logits[count:]
    values['adversary'] = terms.mean(adversarial.generator(fake, weights))
    values['limit_excess_rad'] = terms.mean(
      limit_losses.limit_hinge(drawn, limits=inner_limits, skeleton=SKELETON)
    )
    total = sum(scales[name] * value for name, value in values.items())
    size = jnp.asarray(count, jnp.float32)
    return LossValues(
      terms={
        'autoencoder': (total * size, size),
        'discriminator': tuple(adversarial.discriminator(real, fake, weights)),
      },
      logged={name: (value * size, size) for name, value in values.items()},
    )

  rate = optimizers.cosine_rate(
    settings.learning_rate, settings.steps, settings.warmup, settings.learning_rate / 100
  )
  adam = optimizers.optimizer('adam', clip=settings.clip)
  return Stage(
    init=init,
    sources={'poses': Source(settings.batch, losses, draw)},
    losses={
      # φ_rand and what is made of it do not depend on Φ, so this is L_cyc alone to Φ.
      'autoencoder': Loss('poses', ('Phi', 'Psi'), adam, rate),
      'discriminator': Loss(
        'poses', ('Disc',), optimizers.optimizer('adam', b1=0.5),
        lambda step: settings.discriminator_rate * rate(step) / settings.learning_rate,
      ),
    },
    phases=(Phase('prior', settings.steps, ('poses',), ('autoencoder', 'discriminator')),),
    validate=validator(networks, lengths),
    selection=Selection('reconstruction_mm', larger=False),
  )



def encode(config: aae_lib.AAEConfig, phi: Any, local: jax.Array) -> jax.Array:
  """Φ of local poses (N, J, 3): (N, 32)."""
  return aae_lib.PoseEncoder(config).apply({'params': phi}, local)


def validator(networks: aae_lib.AAEConfig, lengths: np.ndarray):
  """Reconstruction, plausibility and cycle of the auto-encoder on poses that no training drew."""

  @jax.jit
  def measure(params: Networks) -> dict[str, jax.Array]:
    pose_key, phi_key = jax.random.split(jax.random.key(2**31 - 1))
    local = sample_local_poses(pose_key, _VALIDATION_POSES, skeleton=SKELETON)
    canonical = jax.vmap(
      lambda rows: kinematics.forward_kinematics(rows, jnp.asarray(lengths), SKELETON)
    )(local)
    rebuilt = lift.decode(networks, params['Psi'], encode(networks, params['Phi'], local))
    phi = jax.random.uniform(
      phi_key, (_VALIDATION_POSES, networks.embedding), minval=-1.0, maxval=1.0
    )
    drawn = lift.decode(networks, params['Psi'], phi)
    inside = jax.vmap(
      lambda rows: limits.inside_limits(rows, skeleton=SKELETON, tolerance_deg=5.0)
    )(drawn.local)
    limited = np.array([parent >= 0 for parent in SKELETON.parents])
    return {
      'reconstruction_mm': jnp.linalg.norm(rebuilt.canonical - canonical, axis=-1).mean(),
      'joints_inside_percent': 100 * inside[:, limited].mean(),
      'poses_inside_percent': 100 * inside.all(1).mean(),
      'cycle_phi': jnp.abs(encode(networks, params['Phi'], drawn.local) - phi).mean(),
      'drawn_spread_mm': jnp.linalg.norm(
        drawn.canonical - drawn.canonical.mean(0), axis=-1
      ).mean(),
      'true_spread_mm': jnp.linalg.norm(canonical - canonical.mean(0), axis=-1).mean(),
    }

  return lambda params, batch_stats, frozen: measure(params)


def mean_artificial_pose(count: int = 20_000) -> np.ndarray:
  """The mean canonical pose (15, 3) mm of the artificial prior: what the baselines stand on."""
  lengths = np.asarray(kinematics.bone_lengths(SKELETON), np.float32)

  @jax.jit
  def mean(key: jax.Array) -> jax.Array:
    local = sample_local_poses(key, count, skeleton=SKELETON)
    return jax.vmap(
      lambda rows: kinematics.forward_kinematics(rows, jnp.asarray(lengths), SKELETON)
    )(local).mean(0)

  return np.asarray(mean(jax.random.key(0)))
