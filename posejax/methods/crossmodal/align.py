"""Cross-modal alignment: G and H, in the paper's phases 0, 1 and 2.

  L_distl = |k̂_p − k̂_q|               k̂_p = T_K∘M∘H(v), v = E(I)                  H     images
  L_recon = |P_syn − P̃|               P̃ = M∘H(G(m_syn))                           G, H  scenes
  L_adapt = |F∘G(m_syn) − m_syn|                                                  G     scenes
  L_ss    = |T_s∘k̂_p(I) − k̂_p(T_s(I))|                                            H     images
  L_2D    = |k_p − k̂_p|               with 2D ground truth, instead of L_distl    H     paired
  L_3D    = |P − P̂|                   with 3D ground truth                        H     paired

All L1 means [P], one Adam each. Units [R]: image lengths in image sides, poses and depths in m.
L_recon and L_3D compare p_r and d apart: of p_g, a depth error of a metre would give every
coordinate's gradient its own sign, and the pose behind it none.

D_syn also knows the φ and c behind its poses. With `align.code` L_recon compares those too [R]:
|φ − Φ(p_l)| and |c − ĉ|, which far from the goal lead more straightly than poses do.

In phase 2 G is frozen and L_recon trains H alone: another set of networks, so an Adam of its own.
Source: spec/crossmodal.md, "Losses", "Phases".
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.losses import maps as map_losses
from posejax.losses import pose, terms
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
from posejax.methods.crossmodal import evaluate, infer, lift, pose_sources, prior, world
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import crossmodal as models
from posejax.synth import augment
from posejax.synth.scenes import sample_scene

SKELETON = lift.SKELETON
NAME = 'align'
_VALIDATION_BATCH = 32
# Joints of L_distl, L_ss and L_2D: the root is where the root is, whatever H says.
_NOT_ROOT = np.array([parent >= 0 for parent in SKELETON.parents])


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    NAME, fields=('align', 'scenes', 'precision', 'prior.source', 'prior.mocap'), build=build,
    seeds=('seed', 'align.seed'),
    reads=('images_b', 'observed', 'validation', 'teacher', 'prior'),
  )


def g_config(config: ml_collections.ConfigDict) -> models.GConfig:
  """Widths of G."""
  settings = config.align.g
  return models.GConfig(
    hidden=tuple((int(width), int(kernel)) for width, kernel in settings.hidden),
    last_kernel=settings.last_kernel, latent=2 * config.teacher.branch,
    skip=config.teacher.cpm[-1],
  )


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of G and H."""
  wiring = _Wiring(config, products)
  phases = _phases(config)
  active = {loss for phase in phases for loss in phase.losses}
  losses = {name: loss for name, loss in _losses(config).items() if name in active}
  trained = {network for loss in losses.values() for network in loss.networks}
  used = {loss.source for loss in losses.values()}
  sources = {
    'images': Source(config.align.batch_images, wiring.image_losses, wiring.draw_images),
    'scenes': Source(config.align.batch_scenes, wiring.scene_losses, wiring.draw_scenes),
  }
  return Stage(
    init=lambda key: (wiring.init(key, trained), {}),
    sources={name: source for name, source in sources.items() if name in used},
    losses=losses,
    phases=phases,
    frozen=wiring.frozen(products),
    validate=wiring.validator(products['validation']),
    selection=Selection('3dpck_rel_matched', larger=True),
  )


def _losses(config: ml_collections.ConfigDict) -> dict[str, Loss]:
  settings = config.align
  total = sum(settings.steps)

  def adam(rate: float) -> dict[str, Any]:
    # A tenth from step `drop_at` on [P], or along a cosine where there is no such step.
    schedule = (
      optimizers.piecewise_rate((rate, rate / 10), (settings.drop_at,)) if settings.drop_at
      else optimizers.cosine_rate(rate, total, settings.warmup, rate / 50)
    )
    return {
      'optimizer': optimizers.optimizer(settings.optimizer, clip=settings.clip),
      'learning_rate': schedule,
    }

  rates = settings.learning_rate
  return {
    'distl': Loss('images', ('H',), **adam(rates.distl)),
    'label_2d': Loss('images', ('H',), **adam(rates.distl)),
    'label_3d': Loss('images', ('H',), **adam(rates.label_3d)),
    'recon': Loss('scenes', ('G', 'H'), **adam(rates.recon)),
    'recon_h': Loss('scenes', ('H',), **adam(rates.recon)),
    'adapt': Loss('scenes', ('G',), **adam(rates.adapt)),
    'ss': Loss('images', ('H',), **adam(rates.ss)),
  }


def _phases(config: ml_collections.ConfigDict) -> tuple[Phase, ...]:
  """Phases 0, 1, 2 with the losses that the config's switches leave; empty phases are left out."""
  settings = config.align
  labels = tuple(
    name for name, on in (('label_2d', settings.label_2d), ('label_3d', settings.label_3d)) if on
  )
  images = labels or ('distl',)
  scenes = (('recon',) if settings.recon else ()) + (
    ('adapt',) if settings.recon and settings.adapt else ()
  )
  late = labels + (('ss',) if settings.ss else ()) or ('distl',)
  late_scenes = ('recon_h',) if settings.recon else ()
  rows = (
    ('distil', images, ()), ('align', images, scenes), ('refine', late, late_scenes),
  )
  return tuple(
    Phase(name, steps, ('images', 'scenes') if of_scenes else ('images',), of_images + of_scenes)
    for (name, of_images, of_scenes), steps in zip(rows, settings.steps, strict=True) if steps
  )


class _Wiring:
  """The functions of the stage, over the config and what earlier stages fixed."""

  def __init__(self, config: ml_collections.ConfigDict, products: dict[str, Product]):
    self.config, self.settings = config, config.align
    self.model = infer.Model(config)
    self.g = g_config(config)
    self.scenes = world.syn_scenes(config)
    self.side = config.world.image_size
    self.count = len(products['images_b'].arrays['images'])

  def init(self, key: jax.Array, names: set[str]) -> Networks:
    cells = self.side // teacher_lib.STRIDE
    keys = dict(zip(('G', 'H'), jax.random.split(key), strict=True))
    maps = jnp.zeros((1, cells, cells, SKELETON.num_joints + 2 * SKELETON.num_limbs))
    v = jnp.zeros((1, cells, cells, self.g.latent))
    made = {'G': (models.MapEncoder(self.g), maps), 'H': (models.PoseNet(self.model.h), v)}
    return {
      name: module.init(keys[name], example)['params']
      for name, (module, example) in made.items() if name in names
    }

  def frozen(self, products: dict[str, Product]) -> dict[str, Any]:
    """Arrays that the steps read: teacher, Ψ, pictures, what the teacher saw, and the labels."""
    observed, pictures = products['observed'].arrays, products['images_b'].arrays
    valid = pictures['truth_valid']
    return {
      'E': products['teacher'].params['E'], 'F': products['teacher'].params['F'],
      'Psi': products['prior'].params['Psi'], 'Phi': products['prior'].params['Phi'],
      'poses': pose_sources.arrays(self.config),
      'images': pictures['images'],
      'observed': {
        key: observed[key] for key in ('joints', 'seen', 'roots', 'rooted', 'latents')
        if key in observed
      },
      'truth': {
        'joints': pictures['truth_joints'].astype(np.float32),
        'camera': pictures['truth_camera'].astype(np.float32),
        'seen': pictures['truth_in_frame'] & valid[..., None],
        'rooted': valid & pictures['truth_in_frame'][:, :, 0],
      },
    }

  def draw_images(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """A picture with its people, and the same under T_s."""
    settings, size = self.settings, (self.side, self.side)

    def one(key):
      pick, warp = jax.random.split(key)
      index = jax.random.randint(pick, (), 0, self.count)
      transform = augment.sample_transform(
        warp, size, turn_deg=settings.turn_deg, zoom=tuple(settings.zoom), shift=settings.shift
      )
      image = frozen['images'][index].astype(jnp.float32)
      # Labels for the first share of the pictures alone: the semi-supervised switch.
      labelled = index < settings.label_share * self.count
      chosen = jax.tree.map(lambda x: x[index], (frozen['observed'], frozen['truth']))
      return {
        'image': image, 'observed': chosen[0], 'truth': chosen[1], 'labelled': labelled,
        'transform': transform,
        'warped': augment.transform_image(image, transform, fill=127.5),
      }

    return jax.vmap(one)(keys)

  def image_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.params, **{name: context.frozen[name] for name in ('E', 'F', 'Psi')}}
    teacher = teacher_lib.Teacher(self.model.teacher, params)
    observed, truth = batch['observed'], batch['truth']
    if 'latents' in observed:
      v = observed['latents'].astype(jnp.float32)
    else:
      v, _ = teacher.encode(batch['image'])
    found = self.model.lift(params, v, observed['roots'])
    labelled = self.model.lift(params, v, _roots(truth))
    named = {
      'distl': pose.masked_l1(
        found.image / self.side, observed['joints'] / self.side, observed['seen'] & _NOT_ROOT
      ),
      'label_2d': pose.masked_l1(
        labelled.image / self.side, truth['joints'] / self.side,
        truth['seen'] & truth['rooted'][..., None] & batch['labelled'][:, None, None] & _NOT_ROOT,
      ),
      'label_3d': _pose_error(
        labelled, truth['camera'], truth['rooted'] & batch['labelled'][:, None]
      ),
      'ss': self._equivariance(params, teacher, batch, found),
    }
    return LossValues({name: tuple(term) for name, term in named.items()})

  def _equivariance(self, params, teacher, batch, found: lift.Lifted) -> terms.Term:
    """L_ss: roots of I, moved by T_s for T_s(I); those that leave the crop do not count."""
    size = (self.side, self.side)
    transform = batch['transform']

    def move(points, warp):
      flat = augment.transform_points(points.reshape(-1, 2), warp, size)
      return flat.reshape(points.shape)

    roots = jax.vmap(move)(batch['observed']['roots'], transform)
    inside = ((roots > 0) & (roots < self.side - 1)).all(-1) & batch['observed']['rooted']
    v, _ = teacher.encode(batch['warped'])
    again = self.model.lift(params, v, jnp.where(inside[..., None], roots, 0.0))
    swap = jax.vmap(
      lambda people, flip: jax.vmap(lambda rows: augment.swap_sides(rows, flip, SKELETON))(people)
    )
    moved = swap(jax.vmap(move)(found.image, transform), transform.flip)
    return pose.masked_l1(
      again.image / self.side, moved / self.side, inside[..., None] & _NOT_ROOT
    )

  def draw_scenes(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """D_syn: scenes of artificial poses with their maps, made here and never seen again."""
    joints, scenes = SKELETON.num_joints, self.scenes
    captured = self.config.prior.source != 'artificial'
    poses = pose_sources.sampler(self.config, frozen['poses'], scenes.limits)

    def one(key):
      pose_key, key = jax.random.split(key)
      # The scene draws artificial poses itself, among all else in one block of random bits.
      local = poses(pose_key, scenes.max_people) if captured else None
      scene = sample_scene(key, scenes, local)
      image, valid = scene.joints_image[0, :, :joints], scene.visible[0]
      heat, paf = teacher_lib.render_maps(
        image, valid[:, None] & scene.in_frame[0, :, :joints], self.side
      )
      return {
        'heat': heat, 'paf': paf, 'camera': scene.joints_camera[0, :, :joints], 'valid': valid,
        'roots': jnp.where(valid[:, None], scene.root_px[0], 0.0),
        'local': scene.local[:, :joints], 'c': scene.sincos[0],
      }

    return jax.vmap(one)(keys)

  def scene_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.params, **{name: context.frozen[name] for name in ('E', 'F', 'Psi')}}
    maps = jnp.concatenate([batch['heat'], batch['paf']], -1)
    g = models.MapEncoder(self.g, self.model.dtype)
    v, skip = g.apply({'params': params['G']}, maps)
    found = self.model.read(params, v, batch['roots'])
    lifted = self.model.place(params, found, batch['roots'])
    recon = _pose_error(lifted, batch['camera'], batch['valid'])
    recon = self._with_code(recon, found, batch, context.frozen)
    # F may have a background channel, which G does not read.
    heat = batch['heat']
    heat = teacher_lib.with_background(heat) if self.model.teacher.background else heat
    wanted = jnp.concatenate([heat, batch['paf']], -1)
    adapt = map_losses.map_l1(teacher_lib.Teacher(self.model.teacher, params).maps(v, skip), wanted)
    return LossValues({'recon': tuple(recon), 'recon_h': tuple(recon), 'adapt': tuple(adapt)})

  def _with_code(self, recon: terms.Term, found, batch, frozen) -> terms.Term:
    """L_recon with the errors of φ and c, by their weights; all weighted as one mean."""
    weights = self.settings.code
    if not any(weights):
      return recon
    flat = batch['local'].reshape(-1, *batch['local'].shape[2:])
    phi = prior.encode(self.model.prior, frozen['Phi'], flat).reshape(found.phi.shape)
    total = recon.sum
    for weight, ours, theirs in zip(weights, (found.phi, found.c), (phi, batch['c']), strict=True):
      total += weight * recon.weight * terms.mean(pose.masked_l1(ours, theirs, batch['valid']))
    return terms.Term(total, recon.weight)

  def validator(self, validation: Product):
    """3DPCK and 2D error of the whole system on the validation pictures."""
    predict = jax.jit(lambda params, images: infer.predict(self.model, params, images))

    def validate(params: Networks, batch_stats: Networks, frozen: Any) -> dict[str, float]:
      used = {**{name: frozen[name] for name in ('E', 'F', 'Psi')}, 'H': params['H']}
      people = batches.in_batches(
        lambda images: predict(used, images), validation.arrays['images'], _VALIDATION_BATCH
      )
      report = evaluate.summary(people, validation.arrays, self.side)
      return {name: report[name] for name in evaluate.VALIDATION}

    return validate


def _roots(truth: dict[str, jax.Array]) -> jax.Array:
  """(B, P, 2) px true roots; the origin where there is none."""
  return jnp.where(truth['rooted'][..., None], truth['joints'][:, :, 0], 0.0)


def _pose_error(found: lift.Lifted, camera: jax.Array, valid: jax.Array) -> terms.Term:
  """|p_r − p̂_r| + |d − d̂| in metres, weighted as one mean: the root's row is 0 in both poses."""
  relative = camera - camera[:, :, :1]
  poses = pose.masked_l1(found.relative / 1000, relative / 1000, valid[..., None] & _NOT_ROOT)
  depth = pose.masked_l1(found.depth[..., None] / 1000, camera[:, :, 0, 2:] / 1000, valid)
  # One depth to 42 coordinates: each mean counts as much.
  share = jnp.where(depth.weight > 0, poses.weight / jnp.maximum(depth.weight, 1), 0)
  return terms.Term(poses.sum + share * depth.sum, poses.weight)
