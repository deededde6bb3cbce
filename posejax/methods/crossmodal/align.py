"""Cross-modal alignment: G and H, in the paper's phases 0, 1 and 2.

  L_distl = |k̂_p − k̂_q|               k̂_p = T_K∘M∘H(v), v = E(I)                  H     images
  L_recon = |P_syn − P̃|               P̃ = M∘H(G(m_syn))                           G, H  scenes
  L_adapt = |F∘G(m_syn) − m_syn|                                                  G     scenes
  L_ss    = |T_s∘k̂_p(I) − k̂_p(T_s(I))|                                            H     images
  L_2D    = |k_p − k̂_p|               with 2D ground truth, instead of L_distl    H     paired
  L_3D    = |P − P̂|                   with 3D ground truth                        H     paired

All L1 means [P], one Adam each (`objectives` has the pose losses, `roots` the next).

With `root_source` student [R]:

  L_roots = cross-entropy of H's root map (K ≥ 2: of its slots, and L1 of positions in the cell)
            with the teacher's grouped roots, or true ones where there are labels  H     images
            with the true roots of D_syn                                           H     scenes

L_roots of scenes leaves G alone: L_adapt holds ṽ to the pelvis that F sees in it, and L_recon to
what the pose needs; a third loss on G could only find shorter ways to the same map. It is on
wherever its batches are. With K ≥ 2 the pose losses read the slot that each person is assigned.

D_syn also knows the φ and c behind its poses. With `align.code` L_recon compares those too [R]:
|φ − Φ(p_l)| and |c − ĉ|, which far from the goal lead more straightly than poses do.

In phase 2 G is frozen and L_recon trains H alone: another set of networks, so an Adam of its own.
Source: spec/crossmodal.md, "Losses", "Phases".
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from posejax.losses import maps as map_losses
from posejax.losses import terms
from posejax.methods import optimizers
from posejax.methods.base import (
  Context,
  Loss,
  LossValues,
  Networks,
  Phase,
  Product,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.crossmodal import draws, infer, lift, objectives, parts, validation
from posejax.methods.crossmodal import roots as roots_lib
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import crossmodal as models
from posejax.synth import augment

SKELETON = lift.SKELETON
NAME = 'align'
# Beside its own: what D_syn, the camera and the depths that H can say come from.
_FIELDS = (
  'align', 'scenes', 'precision', 'prior.source', 'mocap', 'world.image_size', 'world.max_people',
  'world.nearest_mm', 'world.farthest_mm',
)


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    NAME, fields=_FIELDS, build=build, version=2,
    files=('mocap.dir',),
    seeds=('seed', 'align.seed'),
    reads=('images_b', 'observed', 'validation', 'teacher', 'prior'),
    # The second stage alone learns from G's maps once more.
    scaffold=lambda config: () if config.refine.steps and config.align.recon else ('G',),
  )


def g_config(config: ml_collections.ConfigDict) -> models.GConfig:
  """Widths of G."""
  settings, fixed = config.align.g, teacher_lib.layout(config)
  return models.GConfig(
    hidden=tuple((int(width), int(kernel)) for width, kernel in settings.hidden),
    last_kernel=settings.last_kernel, latent=fixed.latent, skip=fixed.widths.skip,
    latent_leak=fixed.leak,
  )


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of G and H."""
  wiring = _Wiring(config)
  phases = _phases(config)
  active = {loss for phase in phases for loss in phase.losses}
  losses = {name: loss for name, loss in _losses(config).items() if name in active}
  trained = {network for loss in losses.values() for network in loss.networks}
  used = {loss.source for loss in losses.values()}
  sources = {
    'images': Source(config.align.batch_images, wiring.image_losses, wiring.draw_images),
    'scenes': Source(config.align.batch_scenes, wiring.scene_losses, wiring.draw_scenes),
  }
  validate, selection = validation.of_run(wiring.model, config, products)
  return Stage(
    init=lambda key: (wiring.init(key, trained), {}),
    sources={name: source for name, source in sources.items() if name in used},
    losses=losses,
    phases=phases,
    frozen=draws.arrays(config, products),
    validate=validate,
    selection=selection,
  )


def _losses(config: ml_collections.ConfigDict) -> dict[str, Loss]:
  settings = config.align
  total = sum(settings.steps)

  def trained_by(rate: float) -> dict[str, Any]:
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
    'distl': Loss('images', ('H',), **trained_by(rates.distl)),
    'label_2d': Loss('images', ('H',), **trained_by(rates.distl)),
    'label_3d': Loss('images', ('H',), **trained_by(rates.label_3d)),
    'recon': Loss('scenes', ('G', 'H'), **trained_by(rates.recon)),
    'recon_h': Loss('scenes', ('H',), **trained_by(rates.recon)),
    'adapt': Loss('scenes', ('G',), **trained_by(rates.adapt)),
    'ss': Loss('images', ('H',), **trained_by(rates.ss)),
    'roots': Loss('images', ('H',), **trained_by(rates.roots)),
    'roots_scenes': Loss('scenes', ('H',), **trained_by(rates.roots)),
  }


def _phases(config: ml_collections.ConfigDict) -> tuple[Phase, ...]:
  """Phases 0, 1, 2 with the losses that the config's switches leave; empty phases are left out."""
  settings = config.align
  student = settings.root_source == 'student'
  roots, roots_scenes = (('roots',), ('roots_scenes',)) if student else ((), ())
  taught = ('distl',) if settings.distl else ()
  labels = supervised(config)
  # Labels of a part of the pictures leave the others to the teacher.
  images = labels + taught if settings.label_share < 1 else labels or taught
  scenes = (('recon',) if settings.recon else ()) + (
    ('adapt',) if settings.recon and settings.adapt else ()
  )
  late = labels + (('ss',) if settings.ss else ()) or images
  late_scenes = ('recon_h',) if settings.recon else ()
  rows = (
    ('distil', images, ()), ('align', images, scenes), ('refine', late, late_scenes),
  )
  return tuple(
    Phase(
      name, steps,
      (('images',) if of_images else ()) + (('scenes',) if of_scenes else ()),
      (of_images + roots if of_images else ()) + (of_scenes + roots_scenes if of_scenes else ()),
    )
    for (name, of_images, of_scenes), steps in zip(rows, settings.steps, strict=True)
    if steps and (of_images or of_scenes)
  )


def supervised(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The losses of labels that the config switches on; they replace L_distl."""
  return tuple(name for name in ('label_2d', 'label_3d') if config.align[name])


class _People(NamedTuple):
  """What H says at roots (B, P, 2) px, the poses of it, and who (B, P) has a slot of his own."""

  code: models.Representation
  lifted: lift.Lifted
  roots: jax.Array
  kept: jax.Array


class _Wiring:
  """The functions of the stage, over the config."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.config, self.settings = config, config.align
    self.model = infer.Model(config)
    self.g = g_config(config)
    self.side = config.world.image_size
    self.cells = objectives.Cells(
      self.model.stride, self.model.h.reach // 2, self.side, self.model.read_mode
    )

  def init(self, key: jax.Array, names: set[str]) -> Networks:
    cells = self.side // teacher_lib.STRIDE
    keys = dict(zip(('G', 'H'), jax.random.split(key), strict=True))
    maps = jnp.zeros((1, cells, cells, self.model.teacher.num_maps))
    v = jnp.zeros((1, cells, cells, self.g.latent))
    made = {'G': (models.MapEncoder(self.g), maps), 'H': (models.PoseNet(self.model.h), v)}
    return {
      name: module.init(keys[name], example)['params']
      for name, (module, example) in made.items() if name in names
    }

  def draw_images(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """A picture with its people, and the same under T_s."""
    settings, size = self.settings, (self.side, self.side)

    def one(key):
      pick, warp = jax.random.split(key)
      transform = augment.sample_transform(
        warp, size, turn_deg=settings.turn_deg, zoom=tuple(settings.zoom), shift=settings.shift
      )
      drawn = draws.picture(self.config, frozen, pick)
      warped = augment.transform_image(drawn['image'], transform, fill=127.5)
      return {**drawn, 'transform': transform, 'warped': warped}

    return jax.vmap(one)(keys)

  def image_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.params, **{name: context.frozen[name] for name in ('E', 'F', 'Psi')}}
    observed, truth = batch['observed'], batch['truth']
    v = self.model.latents(params, batch['image'], observed)
    features = self.model.features(params['H'], v)
    known = batch['labelled'][:, None]
    taught = observed['rooted'] & ~known if supervised(self.config) else observed['rooted']
    found = self._people(params, features, observed['roots'], taught)
    labelled = self._people(params, features, draws.true_roots(truth), truth['rooted'] & known)
    given = (
      self._people(params, features, *self._given_roots(batch)) if supervised(self.config)
      else found
    )
    named = {
      'distl': self._plane(found, observed['joints'], observed['seen']),
      'label_2d': self._plane(labelled, truth['joints'], truth['seen']),
      'label_3d': self._pose(context, labelled, truth),
      'ss': self._equivariance(params, batch, given),
    }
    logged = {}
    if self.model.h.roots:
      roots, rooted = self._given_roots(batch)
      named['roots'], logged['images'] = self._roots(params, features, roots, rooted)
    return self._values(named, logged)

  def _people(self, params, features, roots, rooted) -> _People:
    reading = self.model.read(params['H'], features, roots, rooted)
    lifted = self.model.place(params, reading.found, roots)
    return _People(reading.found, lifted, roots, reading.places.kept)

  def _plane(self, found: _People, joints: jax.Array, seen: jax.Array) -> terms.Term:
    """L_distl or L_2D, with the points' part."""
    seen = seen & found.kept[..., None]
    return objectives.with_points(
      objectives.plane_error(found.lifted, joints, seen, self.side), self.settings.points[1],
      found.code, found.roots, joints, seen, self.cells,
    )

  def _pose(self, context: Context, found: _People, truth: dict[str, jax.Array]) -> terms.Term:
    """L_recon or L_3D, with the code's part."""
    return objectives.with_code(
      objectives.pose_error(found.lifted, truth['camera'], found.kept), self.settings.code,
      found.code, (self.model.prior, context.frozen['Phi']), truth, found.kept,
    )

  def _given_roots(self, batch: dict[str, Any]) -> tuple[jax.Array, jax.Array]:
    """True roots of the pictures with labels [P], the teacher's of the others."""
    observed, truth = batch['observed'], batch['truth']
    labelled = batch['labelled'] & bool(supervised(self.config))
    return (
      jnp.where(labelled[:, None, None], draws.true_roots(truth), observed['roots']),
      jnp.where(labelled[:, None], truth['rooted'], observed['rooted']),
    )

  def _roots(self, params, features, roots, rooted) -> tuple[terms.Term, terms.Term]:
    """L_roots, and the share of persons who got no slot."""
    reading = self.model.read(params['H'], features, roots, rooted)
    logits = self.model.root_logits(params['H'], features)
    left_out = (rooted & ~reading.places.kept).sum(), rooted.sum()
    term = roots_lib.loss(logits, reading.places, reading.found.offset, roots, self.model.stride)
    return term, terms.Term(*(x.astype(jnp.float32) for x in left_out))

  def _values(self, named: dict[str, terms.Term], left_out: dict[str, terms.Term]) -> LossValues:
    logged = {f'people_without_slot/{name}': tuple(term) for name, term in left_out.items()}
    return LossValues(
      {name: tuple(term) for name, term in named.items()},
      # With one slot a cell nobody is left out: two people of a cell share its pose.
      logged=logged if self.model.h.slots > 1 else {},
    )

  def _equivariance(self, params, batch, found: _People) -> terms.Term:
    """L_ss: roots of I, moved by T_s for T_s(I); those that leave the crop do not count."""
    size = (self.side, self.side)
    transform = batch['transform']

    def move(points, warp):
      flat = augment.transform_points(points.reshape(-1, 2), warp, size)
      return flat.reshape(points.shape)

    roots = jax.vmap(move)(found.roots, transform)
    inside = ((roots > 0) & (roots < self.side - 1)).all(-1) & found.kept
    v, _ = self.model.encode(params, batch['warped'])
    again = self._people(
      params, self.model.features(params['H'], v), jnp.where(inside[..., None], roots, 0.0), inside
    )
    swap = jax.vmap(
      lambda people, flip: jax.vmap(lambda rows: augment.swap_sides(rows, flip, SKELETON))(people)
    )
    moved = swap(jax.vmap(move)(found.lifted.image, transform), transform.flip)
    return objectives.plane_error(again.lifted, moved, again.kept[..., None], self.side)

  def draw_scenes(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """D_syn: scenes with their maps, rendered as the teacher's."""
    scene = draws.scenes(self.config, frozen)

    def one(key):
      drawn = scene(key)
      heat, paf = teacher_lib.render_maps(
        self.model.teacher.parts, drawn['joints'], drawn['drawn'], self.side
      )
      return {**drawn, 'heat': heat, 'paf': paf}

    return jax.vmap(one)(keys)

  def scene_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.params, **{name: context.frozen[name] for name in ('E', 'F', 'Psi')}}
    maps = jnp.concatenate([batch['heat'], batch['paf']], -1)
    g = models.MapEncoder(self.g, self.model.dtype)
    v, skip = g.apply({'params': params['G']}, maps)
    features = self.model.features(params['H'], v)
    found = self._people(params, features, batch['roots'], batch['valid'])
    recon = objectives.with_points(
      self._pose(context, found, batch), self.settings.points[0], found.code, found.roots,
      batch['joints'], batch['drawn'] & found.kept[..., None], self.cells,
    )
    # F may have a background channel, which G does not read.
    heat = batch['heat']
    heat = teacher_lib.with_background(heat) if self.model.teacher.background else heat
    wanted = jnp.concatenate([heat, batch['paf']], -1)
    fixed = self.model.teacher
    adapt = map_losses.map_l1(
      teacher_lib.Teacher(fixed, params).maps(v, skip), wanted,
      parts.drawable_maps(fixed.parts, fixed.background),
    )
    named, logged = {'recon': recon, 'recon_h': recon, 'adapt': adapt}, {}
    if self.model.h.roots:
      visible = batch['valid'] & batch['drawn'][..., 0]
      named['roots_scenes'], logged['scenes'] = self._roots(
        params, features, batch['roots'], visible
      )
    return self._values(named, logged)
