"""P̂ = M∘H∘E(I): from images to people in one compiled call.

Roots by NMS on the pelvis heat-map, no grouping [P]: F's, or H's own (`root_source` student), which
leaves F out; with K ≥ 2 slots a cell from these (`roots`). With `infer.mirror` the mirror image is
looked at too (`mirrored`). With H′ a second pass over everybody's crop (`crops`). The camera is the
fixed one.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.heatmaps import grid
from posejax.methods.base import People, Product
from posejax.methods.crossmodal import crops, lift, mirrored, prior, world
from posejax.methods.crossmodal import roots as roots_lib
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import aae as aae_lib
from posejax.models import crossmodal as models
from posejax.models import windows

SKELETON = lift.SKELETON


class Reading(NamedTuple):
  """What H gives of known persons.

  Attributes:
    found: fields (B, P, ...) of each person's slot.
    places: where the persons stand, and who has a slot.
  """

  found: models.Representation
  places: roots_lib.Places


class Model:
  """Configuration of everything that inference needs, hashable by identity; no parameters.

  Args:
    config: of the method.
  """

  def __init__(self, config: ml_collections.ConfigDict):
    self.teacher = teacher_lib.layout(config)
    self.dtype = teacher_lib.compute_dtype(config.precision)
    self.prior: aae_lib.AAEConfig = prior.aae_config(config)
    self.h = h_config(config)
    self.depths = world.depths(config)
    self.intrinsics = world.intrinsics(config)
    self.projection: lift.Projection = config.align.projection
    self.read_mode: str = config.align.read
    self.max_people: int = config.world.max_people
    self.root_threshold: float = config.align.root_threshold
    self.crop_share: float = config.refine.share
    # People's true depths, without the margin of `depths`.
    self.crop_depths = lift.DepthRange(config.world.nearest_mm, config.world.farthest_mm)

  @property
  def stride(self) -> int:
    """px of one cell of H's output."""
    return teacher_lib.STRIDE * self.h.cells

  def encode(self, params: Any, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """E: (v, skip) of images (B, S, S, 3) in 0..255."""
    return teacher_lib.encode(self.teacher, params['E'], images)

  def latents(self, params: Any, images: jax.Array, observed: dict[str, jax.Array]) -> jax.Array:
    """v of pictures that are shown unchanged: as `observed` keeps it, or E's."""
    if 'latents' in observed:
      return observed['latents'].astype(jnp.float32)
    return self.encode(params, images)[0]

  def features(self, h: Any, v: jax.Array) -> jax.Array:
    """H's trunk, of its parameters and latent maps: (B, h', w', F)."""
    return self._net().apply({'params': h}, v, method='features')

  def root_logits(self, h: Any, features: jax.Array) -> jax.Array:
    """(B, h', w', K); only with root logits in H."""
    return self._net().apply({'params': h}, features, method='roots')

  def heads(
    self, h: Any, features: jax.Array, points: jax.Array, mode: str = ''
  ) -> models.Representation:
    """All slots (B, P, K, ...) around points (B, P, 2) px, or, with 'nearest', of their cells."""
    around = windows.read_windows(
      features, points, self.stride, self.h.reach, mode or self.read_mode
    )
    return self._net().apply({'params': h}, around, method='heads')

  def read(self, h: Any, features: jax.Array, roots: jax.Array, rooted: jax.Array) -> Reading:
    """H at known roots: each person's slot.

    Args:
      h: H's parameters.
      features: (B, h', w', F) of its trunk.
      roots: (B, P, 2) px, finite.
      rooted: (B, P) bool: persons that have a root.
    """
    alone = self.h.slots == 1
    every = self.heads(h, features, roots, '' if alone else 'nearest')
    places = roots_lib.places(every.offset, roots, rooted, self.stride, features.shape[1:3])
    found = roots_lib.of_slot(every, places.slot)
    if not alone:
      found = self._around_roots(h, features, roots, places.slot, found)
    return Reading(found, places)

  def _around_roots(
    self, h: Any, features: jax.Array, roots: jax.Array, slot: jax.Array,
    found: models.Representation,
  ) -> models.Representation:
    """Persons whose slots were read in their cells, read again around their roots.

    Slots and root positions belong to cells: before they are read nobody knows the roots.
    """
    if self.read_mode == 'nearest':
      return found
    again = roots_lib.of_slot(self.heads(h, features, roots), slot)
    return again._replace(offset=found.offset)

  def read_crops(self, h: Any, v: jax.Array, roots: jax.Array) -> models.Representation:
    """H′ of crops' latent maps (B, h, w, C) at one root each (B, 2) px: fields (B, ...).

    A crop shows one person, who has the first slot.
    """
    every = self.heads(h, self.features(h, v), roots[:, None])
    return jax.tree.map(lambda x: x[:, 0, 0], every)

  def detect(
    self, params: Any, v: jax.Array, skip: jax.Array
  ) -> tuple[models.Representation, roots_lib.Roots]:
    """The people that show in latent maps, and what H says of them: fields (B, P, ...)."""
    features = self.features(params['H'], v)
    if self.h.slots > 1:
      return self._detect_slots(params['H'], features)
    maps, stride = self.root_maps(params, features, v, skip)
    found = roots_lib.peaks(maps, stride, self.root_threshold, self.max_people)
    return self.read(params['H'], features, found.positions, found.valid).found, found

  def root_maps(
    self, params: Any, features: jax.Array, v: jax.Array, skip: jax.Array
  ) -> tuple[jax.Array, int]:
    """Pelvis heat-maps (B, h, w), with one slot a cell, and px of their cells."""
    if self.h.roots:
      return jax.nn.sigmoid(self.root_logits(params['H'], features))[..., 0], self.stride
    maps, _ = teacher_lib.Teacher(self.teacher, params).decode(v, skip)
    return maps[..., self.teacher.parts.index('pelvis')], teacher_lib.STRIDE

  def _detect_slots(self, h: Any, features: jax.Array):
    # Twice as many as people: neighbours may both see a root on their border.
    best = roots_lib.candidates(self.root_logits(h, features), 2 * self.max_people)
    centres = grid.to_pixels(best.cell.astype(jnp.float32), self.stride)
    found = roots_lib.of_slot(self.heads(h, features, centres, 'nearest'), best.slot)
    positions = centres + self.stride * found.offset
    index, valid = roots_lib.people(
      best, positions, self.stride, self.root_threshold, self.max_people
    )
    at = jnp.arange(index.shape[0])[:, None], index
    found, positions, scores, slot = jax.tree.map(
      lambda x: x[at], (found, positions, best.scores, best.slot)
    )
    positions = jnp.where(valid[..., None], positions, 0)
    return self._around_roots(h, features, positions, slot, found), roots_lib.Roots(
      positions, jnp.where(valid, scores, 0), valid
    )

  def place(self, params: Any, found: models.Representation, roots: jax.Array) -> lift.Lifted:
    """M, and its projection, of what H gives at roots."""
    return lift.lift(
      self.prior, params['Psi'], found, roots, self.intrinsics, self.depths, self.projection
    )

  def placed(
    self, canonical: jax.Array, relative: jax.Array, roots: jax.Array, depth: jax.Array
  ) -> lift.Lifted:
    """Root-relative poses (B, P, J, 3) mm at roots (B, P, 2) px and depths (B, P) mm."""
    return lift.place(canonical, relative, roots, depth, self.intrinsics, self.projection)

  def _net(self) -> models.PoseNet:
    return models.PoseNet(self.h, self.dtype)


def h_config(config: ml_collections.ConfigDict) -> models.HConfig:
  """Layers of H."""
  settings = config.align.h

  def grids(rows):
    return tuple(tuple((int(width), int(kernel)) for width, kernel in grid) for grid in rows)

  return models.HConfig(
    down=grids(settings.down), bottom=grids([settings.bottom])[0], up=grids(settings.up),
    window=_window(settings.window), slots=config.align.slots,
    roots=config.align.root_source == 'student', offsets=config.align.slots > 1,
  )


def _window(settings: ml_collections.ConfigDict) -> windows.WindowConfig | None:
  if settings.size == 1:
    return None
  return windows.WindowConfig(
    settings.size, tuple(settings.cells), settings.points, tuple(settings.dense)
  )


def predict(model: Model, params: Any, images: jax.Array, mirror: bool = False) -> People:
  """People of a batch of square images, by the fixed camera.

  Args:
    model: configuration.
    params: {'E', 'F', 'H', 'Psi'}, and 'H2' where there is a second stage; F is not read with
      `root_source` student.
    images: (B, S, S, 3) uint8.
    mirror: whether the mirror images are looked at too.

  Returns:
    People, each field with a leading B.
  """
  if mirror:
    images = mirrored.both(images)
    lifted, roots = mirrored.detect(model, params, images)
  else:
    found, roots = model.detect(params, *model.encode(params, images))
    lifted = model.place(params, found, roots.positions)
  if 'H2' in params:
    lifted = crops.people(model, params, images, roots.positions, lifted)
  if mirror:
    lifted, roots = mirrored.merged(model, lifted, roots)
  valid = roots.valid
  return People(
    identity=jnp.broadcast_to(jnp.arange(model.max_people, dtype=jnp.int32), valid.shape),
    score=roots.scores,
    joints_2d=lifted.image,
    joints_relative=lifted.relative,
    joints_camera=lifted.camera,
    depth=lifted.depth,
    joint_valid=jnp.broadcast_to(valid[..., None], lifted.image.shape[:-1]),
    valid=valid,
  )


def networks(products: dict[str, Product]) -> dict[str, Any]:
  """The parameters that `predict` needs, of a finished run."""
  second = products['refine'].params if 'refine' in products else {}
  return {
    'E': products['teacher'].params['E'], 'F': products['teacher'].params['F'],
    'Psi': products['prior'].params['Psi'], 'H': products['align'].params['H'], **second,
  }


def predictor(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Callable[[np.ndarray], People]:
  """A function of uint8 images (B, S, S, 3) → People, compiled once per batch shape."""
  model, params, mirror = Model(config), networks(products), config.infer.mirror
  compiled = jax.jit(lambda params, images: predict(model, params, images, mirror))
  return lambda images: compiled(params, images)

