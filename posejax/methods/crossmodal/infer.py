"""P̂ = M∘H∘E(I): from images to people in one compiled call.

Roots by NMS on the pelvis heat-map, no grouping [P]. The camera is the fixed one.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.heatmaps import find_peaks
from posejax.methods.base import People, Product
from posejax.methods.crossmodal import lift, prior, world
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import aae as aae_lib
from posejax.models import crossmodal as models
from posejax.models import windows

SKELETON = lift.SKELETON


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

  @property
  def stride(self) -> int:
    """px of one cell of H's output."""
    return teacher_lib.STRIDE * self.h.cells

  def read(self, params: Any, v: jax.Array, roots: jax.Array) -> models.Representation:
    """H of latent maps at roots: φ (B, P, 32), c (B, P, 6), depth (B, P)."""
    net, h = models.PoseNet(self.h, self.dtype), {'params': params['H']}
    features = net.apply(h, v, method='features')
    around = windows.read_windows(features, roots, self.stride, self.h.reach, self.read_mode)
    return jax.tree.map(lambda x: x[:, :, 0], net.apply(h, around, method='heads'))

  def place(self, params: Any, found: models.Representation, roots: jax.Array) -> lift.Lifted:
    """M, and its projection, of what H gives at roots."""
    return lift.lift(
      self.prior, params['Psi'], found, roots, self.intrinsics, self.depths, self.projection
    )

  def lift(self, params: Any, v: jax.Array, roots: jax.Array) -> lift.Lifted:
    """M∘H of latent maps (B, h, w, C) at roots (B, P, 2) px."""
    return self.place(params, self.read(params, v, roots), roots)


def h_config(config: ml_collections.ConfigDict) -> models.HConfig:
  """Layers of H."""
  settings = config.align.h

  def grids(rows):
    return tuple(tuple((int(width), int(kernel)) for width, kernel in grid) for grid in rows)

  return models.HConfig(
    down=grids(settings.down), bottom=grids([settings.bottom])[0], up=grids(settings.up),
    window=_window(settings.window),
  )


def _window(settings: ml_collections.ConfigDict) -> windows.WindowConfig | None:
  if settings.size == 1:
    return None
  return windows.WindowConfig(
    settings.size, tuple(settings.cells), settings.points, tuple(settings.dense)
  )


def predict(model: Model, params: Any, images: jax.Array) -> People:
  """People of a batch of square images, by the fixed camera.

  Args:
    model: configuration.
    params: {'E', 'F', 'H', 'Psi'}.
    images: (B, S, S, 3) uint8.

  Returns:
    People, each field with a leading B.
  """
  teacher = teacher_lib.Teacher(model.teacher, params)
  v, skip = teacher.encode(images)
  heat, _ = teacher.decode(v, skip)
  pelvis = heat[..., SKELETON.index('pelvis'), None]
  peaks = jax.vmap(functools.partial(
    find_peaks, stride=teacher_lib.STRIDE, threshold=model.root_threshold,
    max_peaks=model.max_people,
  ))(pelvis)
  valid, score = peaks.valid[:, 0], peaks.scores[:, 0]
  roots = jnp.where(valid[..., None], peaks.positions[:, 0], 0.0)
  lifted = model.lift(params, v, roots)
  return People(
    identity=jnp.broadcast_to(jnp.arange(model.max_people, dtype=jnp.int32), valid.shape),
    score=jnp.where(valid, jnp.clip(score, 0, 1), 0),
    joints_2d=lifted.image,
    joints_relative=lifted.relative,
    joints_camera=lifted.camera,
    depth=lifted.depth,
    joint_valid=jnp.broadcast_to(valid[..., None], lifted.image.shape[:-1]),
    valid=valid,
  )


def networks(products: dict[str, Product]) -> dict[str, Any]:
  """The parameters that `predict` needs, of a finished run."""
  return {
    'E': products['teacher'].params['E'], 'F': products['teacher'].params['F'],
    'Psi': products['prior'].params['Psi'], 'H': products['align'].params['H'],
  }


def predictor(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Callable[[np.ndarray], People]:
  """A function of uint8 images (B, S, S, 3) → People, compiled once per batch shape."""
  model, params = Model(config), networks(products)
  compiled = jax.jit(lambda params, images: predict(model, params, images))
  return lambda images: compiled(params, images)

