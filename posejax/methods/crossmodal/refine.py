"""The second stage H′: H's architecture and start, on crops of one person each [P].

  L_distl, L_2D or L_3D   as in `align`, of H′'s poses put back into the picture   H′  images
  L_recon                 of D_syn, its maps rendered after the crop, G frozen      H′  scenes

Crops of pictures follow H's own poses, those of scenes the true ones; both are shaken a little. One
person of each picture and scene is drawn, of those with a root. `refine.steps` 0 leaves H′ out.
The crop and the way back are in `crops` [R].

Symbols: B images, P persons, J = 15 joints.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections

from posejax.losses import terms
from posejax.methods import optimizers
from posejax.methods.base import (
  Context,
  Loss,
  LossValues,
  Phase,
  Product,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.crossmodal import align, crops, draws, infer, lift, objectives, validation
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import crossmodal as models
from posejax.synth import augment

NAME = 'refine'
NETWORK = 'H2'


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(
    NAME, fields=('refine',), build=build, seeds=('seed', 'align.seed'), version=2,
    reads=('images_b', 'observed', 'validation', 'teacher', 'prior', 'align'),
  )


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of H′; without steps a stage that makes nothing."""
  settings = config.refine
  if not settings.steps:
    return Stage(init=lambda key: ({}, {}), sources={}, losses={}, phases=())
  wiring = _Wiring(config)
  trained = products['align'].params
  frozen = draws.arrays(config, products) | {'H': trained['H']}
  of_images = align.supervised(config) or (('distl',) if config.align.distl else ())
  of_scenes = ('recon',) if config.align.recon else ()
  sources = {}
  if of_images:
    sources['images'] = Source(settings.batch_images, wiring.image_losses, wiring.draw_images)
  if of_scenes:
    frozen['G'] = trained['G']
    sources['scenes'] = Source(settings.batch_scenes, wiring.scene_losses, wiring.draw_scenes)
  names = {**dict.fromkeys(of_images, 'images'), **dict.fromkeys(of_scenes, 'scenes')}
  rate = optimizers.cosine_rate(
    settings.learning_rate, settings.steps, settings.warmup, settings.learning_rate / 50
  )
  optimizer = optimizers.optimizer(config.align.optimizer, clip=config.align.clip)
  validate, selection = validation.of_run(wiring.model, config, products)
  return Stage(
    init=lambda key: ({NETWORK: jax.tree.map(jnp.asarray, trained['H'])}, {}),
    sources=sources,
    losses={name: Loss(source, (NETWORK,), optimizer, rate) for name, source in names.items()},
    phases=(Phase(NAME, settings.steps, tuple(sources), of_images + of_scenes),),
    frozen=frozen,
    validate=validate,
    selection=selection,
  )


class _Wiring:
  """The functions of the stage, over the config."""

  def __init__(self, config: ml_collections.ConfigDict):
    self.config = config
    self.model = infer.Model(config)
    self.g = align.g_config(config)
    self.side = config.world.image_size
    self.cells = objectives.Cells(
      self.model.stride, self.model.h.reach // 2, self.side, self.model.read_mode
    )

  def draw_images(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """Pictures with their people, and what chooses and shakes a crop."""

    def one(key):
      pick, chance = jax.random.split(key)
      drawn = draws.picture(self.config, frozen, pick)
      return {**drawn, **_chance(chance, len(drawn['truth']['rooted']))}

    return jax.vmap(one)(keys)

  def draw_scenes(self, frozen: Any, host: Any, keys: jax.Array) -> dict[str, Any]:
    """Scenes of D_syn cropped to one person: maps, crop, and the person's truth, P = 1."""
    scene = draws.scenes(self.config, frozen)

    def one(key):
      pick, chance = jax.random.split(key)
      drawn = scene(pick)
      chance = _chance(chance, len(drawn['valid']))
      person = _one_of(chance['order'], drawn['valid'])
      crop = self._crop(drawn['joints'][person], drawn['camera'][person, 0, 2], chance['shake'])
      joints = crops.move(drawn['joints'], crop, self.side)
      inside = ((joints >= 0) & (joints <= self.side - 1)).all(-1)
      heat, paf = teacher_lib.render_maps(
        self.model.teacher.parts, joints, drawn['valid'][:, None] & inside, self.side
      )
      chosen = {
        name: drawn[name][person][None]
        for name in ('joints', 'camera', 'valid', 'roots', 'local', 'c')
      }
      shown = (drawn['valid'][:, None] & inside)[person][None]
      return {**chosen, 'drawn': shown, 'maps': jnp.concatenate([heat, paf], -1), 'crop': crop}

    return jax.vmap(one)(keys)

  def image_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.frozen, **context.params}
    chosen, first = self._choose(params, batch)
    crop = jax.vmap(self._crop)(first.image[:, 0], first.depth[:, 0], batch['shake'])
    v, _ = self.model.encode(params, jax.vmap(crops.cut)(batch['image'], crop))
    found, lifted = self._second(params, v, chosen['roots'], crop)
    plane = objectives.plane_error(lifted, chosen['joints'], chosen['seen'], self.side)
    plane = self._with_points(plane, 1, found, crop, chosen, chosen['seen'])
    named = {
      'distl': plane, 'label_2d': plane,
      'label_3d': self._pose(params, found, lifted, chosen, chosen['rooted']),
    }
    return LossValues({name: tuple(term) for name, term in named.items()})

  def scene_losses(self, context: Context, batch: dict[str, Any]) -> LossValues:
    params = {**context.frozen, **context.params}
    v, _ = models.MapEncoder(self.g, self.model.dtype).apply({'params': params['G']}, batch['maps'])
    found, lifted = self._second(params, v, batch['roots'], batch['crop'])
    recon = self._pose(params, found, lifted, batch, batch['valid'])
    recon = self._with_points(recon, 0, found, batch['crop'], batch, batch['drawn'])
    return LossValues({'recon': tuple(recon)})

  def _pose(self, params, found, lifted, truth, valid) -> terms.Term:
    """L_recon or L_3D, with the code's part."""
    return objectives.with_code(
      objectives.pose_error(lifted, truth['camera'], valid), self.config.align.code, found,
      (self.model.prior, params['Phi']), truth, valid,
    )

  def _with_points(self, term, index: int, found, crop, people, seen) -> terms.Term:
    """A loss with its points' part, by `align.points`: on the crop, where the window is."""
    move = jax.vmap(lambda points, one: crops.move(points, one, self.side))
    return objectives.with_points(
      term, self.config.align.points[index], found, move(people['roots'], crop),
      move(people['joints'], crop), seen, self.cells,
    )

  def _choose(self, params, batch) -> tuple[dict[str, jax.Array], lift.Lifted]:
    """One person of each picture with its targets, P = 1, and the pose that H gives it.

    True people where labels are switched on (pictures without have nobody), else the teacher's.
    """
    observed, truth = batch['observed'], batch['truth']
    if align.supervised(self.config):
      rooted = truth['rooted'] & batch['labelled'][:, None]
      known = {**truth, 'roots': draws.true_roots(truth), 'rooted': rooted}
    else:
      known = {**{name: observed[name] for name in ('joints', 'seen', 'roots', 'rooted')},
               'camera': truth['camera']}
    known['seen'] = known['seen'] & known['rooted'][..., None]
    v = self.model.latents(params, batch['image'], observed)
    features = self.model.features(params['H'], v)
    reading = self.model.read(params['H'], features, known['roots'], known['rooted'])
    person = jax.vmap(_one_of)(batch['order'], reading.places.kept)
    alone = jax.tree.map(
      lambda x: x[jnp.arange(len(person)), person][:, None], (known, reading.found)
    )
    first = self.model.place(params, alone[1], alone[0]['roots'])
    return alone[0], jax.tree.map(jax.lax.stop_gradient, first)

  def _second(self, params, v, roots, crop) -> tuple[models.Representation, lift.Lifted]:
    """H′ of crops' latent maps, put back at the roots (B, 1, 2) of the pictures."""
    moved = jax.vmap(lambda root, one: crops.move(root, one, self.side))(roots, crop)
    found = self.model.read_crops(params[NETWORK], v, moved[:, 0])
    found = jax.tree.map(lambda x: x[:, None], found)
    found = crops.unzoomed(found, crop.zoom[:, None], self.model.depths)
    return found, self.model.place(params, found, roots)

  def _crop(self, joints: jax.Array, depth: jax.Array, shake: jax.Array) -> augment.Transform:
    settings = self.config.refine
    crop = crops.around(joints, depth, self.side, settings.share, self.model.crop_depths)
    return crops.jittered(crop, shake, self.side, settings.jitter)


def _chance(key: jax.Array, people: int) -> dict[str, jax.Array]:
  """What chooses one of P people, and what shakes the crop."""
  order, shake = jax.random.split(key)
  return {
    'order': jax.random.uniform(order, (people,)),
    'shake': jax.random.uniform(shake, (3,), minval=-1.0),
  }


def _one_of(order: jax.Array, valid: jax.Array) -> jax.Array:
  """() index of a valid person by random numbers (P,) in [0, 1); of any if none is."""
  return jnp.argmax(jnp.where(valid, order, order - 1))
