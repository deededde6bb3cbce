"""How the embedded world's teacher is trained: on labelled pictures of domain A.

  loss: squared error of every stage's maps (Cao et al. 2017), heat-maps and PAFs of J15

It plays the pretrained network of the paper: frozen from here on. With published weights
(`teacher.kind`) the stage reads them and trains nothing. Source: spec/openpose.md.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.geometry.skeleton import J15
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
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.methods.crossmodal.teacher import NAME, STRIDE, Layout, Teacher
from posejax.models import openpose
from posejax.synth import augment


def plan(pictures: tuple[str, ...] = ('images_a',)) -> StagePlan:
  """The stage, as a method lists it; without pictures to train on the weights must be given."""
  return StagePlan(
    NAME, fields=('teacher', 'precision'), reads=pictures, build=build, files=('teacher.weights',),
  )


def held_back(count: int) -> int:
  """How many of the pictures of domain A, the last ones, no training of the teacher sees."""
  return max(count // 20, 1)


def build(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Stage | Product:
  """The training of E and F on labelled pictures of domain A; what `held_back` says validates."""
  settings, fixed = config.teacher, teacher_lib.layout(config)
  if settings.kind != teacher_lib.SYNTHETIC:
    return Product(teacher_lib.published(config))
  arrays = products['images_a'].arrays
  taught = len(arrays['images']) - held_back(len(arrays['images']))
  side = arrays['images'].shape[1]

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    first, second = jax.random.split(key)
    encoder, decoder = openpose.Encoder(fixed.widths), openpose.Decoder(fixed.widths)
    e = encoder.init(first, jnp.zeros((1, side, side, 3)))
    f = decoder.init(second, *encoder.apply(e, jnp.zeros((1, side, side, 3))))
    return {'E': e['params'], 'F': f['params']}, {}

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    latent = teacher_lib.encode(fixed, context.params['E'], batch['image'])
    return LossValues({'maps': _stages_loss(fixed, context.params['F'], latent, batch)})

  rate = optimizers.cosine_rate(
    settings.learning_rate, settings.steps, settings.warmup, settings.learning_rate / 50
  )
  seen = arrays['truth_in_frame'] & arrays['truth_valid'][:, :, None]
  return Stage(
    init=init,
    sources={'pictures': Source(settings.batch, losses, _draw(settings, taught, side))},
    losses={'maps': Loss(
      'pictures', ('E', 'F'), optimizers.optimizer(settings.optimizer, clip=settings.clip), rate,
    )},
    phases=(Phase('teacher', settings.steps, ('pictures',), ('maps',)),),
    frozen={
      'images': arrays['images'], 'joints': arrays['truth_joints'].astype(np.float32),
      'seen': seen,
    },
    validate=_validator(fixed, side, taught),
  )


def _draw(settings: ml_collections.ConfigDict, count: int, side: int):
  """`Source.draw`: one of the first `count` pictures, warped and tinted, with its true maps."""

  def one(data: Any, key: jax.Array) -> dict[str, jax.Array]:
    pick, warp, color = jax.random.split(key, 3)
    index = jax.random.randint(pick, (), 0, count)
    transform = augment.sample_transform(
      warp, (side, side), turn_deg=settings.turn_deg, zoom=tuple(settings.zoom),
      shift=settings.shift,
    )
    image = data['images'][index].astype(jnp.float32) / 255
    image = augment.transform_image(image, transform)
    image = augment.jitter_colors(
      color, image, settings.brightness, settings.contrast, settings.tint
    )
    joints = data['joints'][index]
    moved = augment.transform_points(joints.reshape(-1, 2), transform, (side, side))
    swap = jax.vmap(lambda rows: augment.swap_sides(rows, transform.flip, J15))
    heat, paf = teacher_lib.render_maps(
      J15, swap(moved.reshape(joints.shape)), swap(data['seen'][index]), side
    )
    return {'image': 255 * image, 'heat': heat, 'paf': paf}

  def draw(data: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    return jax.vmap(lambda key: one(data, key))(keys)

  return draw


def _stages_loss(fixed: Layout, params, latent, batch) -> tuple[jax.Array, jax.Array]:
  """Mean squared error of both kinds of maps, summed over stages."""
  total = 0.0
  wanted = teacher_lib.with_background(batch['heat']) if fixed.background else batch['heat']
  for paf, heat in teacher_lib.decode(fixed, params, *latent):
    total += terms.mean(map_losses.map_l2(heat, wanted))
    total += terms.mean(map_losses.map_l2(paf, batch['paf']))
  size = jnp.asarray(batch['image'].shape[0], jnp.float32)
  return total * size, size


def _validator(fixed: Layout, side: int, first: int):
  """Error of joints that heat-maps show near the true ones, far from others of their kind."""

  @jax.jit
  def measure(params, images, joints, seen):
    teacher = Teacher(fixed, params)
    heat, _ = teacher.decode(*teacher.encode(images))
    cells = jnp.arange(side // STRIDE) * STRIDE + (STRIDE - 1) / 2
    # Of each true joint: the mean of the map around it, which has no gaps where no peak is found.
    x, y = joints[..., 0], joints[..., 1]
    reach = 2.5 * STRIDE
    near_x = (jnp.abs(cells - x[..., None]) < reach)[..., None, :]
    near_y = (jnp.abs(cells - y[..., None]) < reach)[..., :, None]
    local = jnp.where(near_x & near_y, jnp.moveaxis(heat, -1, 1)[:, None], 0)
    local = jnp.maximum(local, 0) ** 2
    mass = jnp.maximum(local.sum((-1, -2)), 1e-6)
    found = jnp.stack([
      (local.sum(-2) * cells).sum(-1) / mass, (local.sum(-1) * cells).sum(-1) / mass,
    ], -1)
    error = jnp.linalg.norm(found - joints, axis=-1)
    # Where the same joint of somebody else is near, both are in the mean: left out.
    apart = jnp.abs(joints[:, :, None] - joints[:, None]).max(-1) > 2 * reach
    others = ~jnp.eye(joints.shape[1], dtype=bool)[..., None] & seen[:, None]
    counts = seen & (apart | ~others).all(2)
    hit = (jnp.max(local, axis=(-1, -2)) > 0.04) & counts
    return jnp.where(hit, error, 0).sum(), hit.sum(), counts.sum()

  def validate(params, batch_stats, data):
    totals = np.zeros(3)
    for start in range(first, len(data['images']), 50):
      part = slice(start, start + 50)
      totals += [float(x) for x in measure(
        params, data['images'][part], data['joints'][part], data['seen'][part]
      )]
    return {
      'error_percent_of_side': 100 * totals[0] / max(totals[1], 1) / side,
      'joints_found_percent': 100 * totals[1] / max(totals[2], 1),
    }

  return validate
