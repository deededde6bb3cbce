"""The 2D teacher of the embedded world: a small OpenPose-type network, trained on domain A.

  E: image → (v, skip)     F: (v, skip) → maps, a stage-1 estimate and its refinement
  maps: heat-maps of J15 (and the background 1 − max, where the config wants it), PAFs
  loss: squared error of every stage's maps (Cao et al. 2017), heat-maps and PAFs of J15

It plays the pretrained network of the paper: frozen from here on. Its pelvis channel gives the
roots of `root_source` teacher. Source: spec/openpose.md.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.heatmaps import People2D, group_people, render_heatmaps, render_pafs
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
from posejax.methods.crossmodal import lift
from posejax.models import openpose
from posejax.synth import augment

SKELETON = lift.SKELETON
STRIDE = openpose.STRIDE
SIGMA_PX = 7.0  # of the heat-maps [P]
PAF_WIDTH = 1.0  # cells [P]
NAME = 'teacher'


class Layout(NamedTuple):
  """What is fixed of the network. Hashable.

  Attributes:
    widths: of E and F.
    dtype: type that E and F compute in; their maps are never narrower than float32.
  """

  widths: openpose.OpenPoseConfig
  dtype: str

  @property
  def background(self) -> bool:
    """Whether F has a background channel, the last heat-map."""
    return self.widths.num_heat > SKELETON.num_joints

  @property
  def compute(self) -> jnp.dtype | None:
    """`dtype` as modules take it."""
    return compute_dtype(self.dtype)


class Teacher(NamedTuple):
  """The frozen network: its layout, and parameters of E and F."""

  layout: Layout
  params: Networks

  def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 or float RGB images (B, S, S, 3) in 0..255 → (v, skip)."""
    return encode(self.layout, self.params['E'], images)

  def decode(self, v: jax.Array, skip: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(v, skip) → heat-maps (B, h, w, 15), PAFs (B, h, w, 28) of the last stage."""
    paf, heat = decode(self.layout, self.params['F'], v, skip)[-1]
    return heat[..., : SKELETON.num_joints], paf

  def maps(self, v: jax.Array, skip: jax.Array) -> jax.Array:
    """(v, skip) → all maps of the last stage (B, h, w, 43 or 44): heat, background, PAFs."""
    paf, heat = decode(self.layout, self.params['F'], v, skip)[-1]
    return jnp.concatenate([heat, paf], -1)

  def people(self, heat: jax.Array, paf: jax.Array, max_people: int) -> People2D:
    """People of each image, leading axis B."""
    group = functools.partial(
      group_people, limbs=SKELETON.limbs, stride=STRIDE, max_people=max_people,
      max_peaks=2 * max_people,
    )
    return jax.vmap(lambda h, p: group(h, p))(heat, paf)


def compute_dtype(name: str) -> jnp.dtype | None:
  """'float32' or 'bfloat16' as flax modules take it: None computes in the parameters' type."""
  return None if name == 'float32' else jnp.dtype(name)


def layout(config: ml_collections.ConfigDict) -> Layout:
  """Layout of E and F."""
  settings = config.teacher
  widths = openpose.OpenPoseConfig(
    front=tuple(tuple(block) for block in settings.front), cpm=tuple(settings.cpm),
    stage1=tuple(settings.stage1), branch=settings.branch, stage=tuple(settings.stage),
    stage_kernel=settings.stage_kernel, stage_last=settings.stage_last,
    num_paf=2 * SKELETON.num_limbs, num_heat=SKELETON.num_joints + settings.background,
    strided=settings.strided,
  )
  return Layout(widths, config.precision)


def frozen(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Teacher:
  """The teacher that a finished stage left."""
  return Teacher(layout(config), products[NAME].params)


def encode(fixed: Layout, params: Any, images: jax.Array):
  """E: (v, skip) of RGB images in 0..255."""
  module = openpose.Encoder(fixed.widths, fixed.compute)
  return module.apply({'params': params}, openpose.preprocess(images))


def decode(fixed: Layout, params: Any, v: jax.Array, skip: jax.Array):
  """F: (PAF, heat-maps) of every stage."""
  return openpose.Decoder(fixed.widths, fixed.compute).apply({'params': params}, v, skip)


def render_maps(joints: jax.Array, visible: jax.Array, side: int) -> tuple[jax.Array, jax.Array]:
  """The maps that E and F are to give: heat-maps (h, w, 15) and PAFs (h, w, 28) of one image.

  Args:
    joints: (P, 15, 2) px.
    visible: (P, 15) bool.
    side: of the image, px.
  """
  cells = (side // STRIDE, side // STRIDE)
  heat = render_heatmaps(joints, visible, cells, stride=STRIDE, sigma=SIGMA_PX)
  paf = render_pafs(joints, visible, SKELETON.limbs, cells, stride=STRIDE, width=PAF_WIDTH)
  return heat, paf


def with_background(heat: jax.Array) -> jax.Array:
  """Heat-maps (..., J) → (..., J + 1): the background is 1 − max."""
  return jnp.concatenate([heat, 1 - heat.max(-1, keepdims=True)], -1)


def plan() -> StagePlan:
  """The stage, as `METHOD` lists it."""
  return StagePlan(NAME, fields=('teacher', 'precision'), reads=('images_a',), build=build)


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of E and F on labelled pictures of domain A, the last 5 % kept for validation."""
  settings, fixed = config.teacher, layout(config)
  arrays = products['images_a'].arrays
  count = len(arrays['images'])
  held = max(count // 20, 1)
  side = arrays['images'].shape[1]

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    first, second = jax.random.split(key)
    encoder, decoder = openpose.Encoder(fixed.widths), openpose.Decoder(fixed.widths)
    e = encoder.init(first, jnp.zeros((1, side, side, 3)))
    f = decoder.init(second, *encoder.apply(e, jnp.zeros((1, side, side, 3))))
    return {'E': e['params'], 'F': f['params']}, {}

  def draw(data: Any, host: Any, keys: jax.Array) -> dict[str, jax.Array]:
    def one(key):
      pick, warp, color = jax.random.split(key, 3)
      index = jax.random.randint(pick, (), 0, count - held)
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
      swap = jax.vmap(lambda rows: augment.swap_sides(rows, transform.flip, SKELETON))
      heat, paf = render_maps(swap(moved.reshape(joints.shape)), swap(data['seen'][index]), side)
      return {'image': 255 * image, 'heat': heat, 'paf': paf}

    return jax.vmap(one)(keys)

  def losses(context: Context, batch: dict[str, jax.Array]) -> LossValues:
    latent = encode(fixed, context.params['E'], batch['image'])
    return LossValues({'maps': _stages_loss(fixed, context.params['F'], latent, batch)})

  rate = optimizers.cosine_rate(
    settings.learning_rate, settings.steps, settings.warmup, settings.learning_rate / 50
  )
  seen = arrays['truth_in_frame'] & arrays['truth_valid'][:, :, None]
  return Stage(
    init=init,
    sources={'pictures': Source(settings.batch, losses, draw)},
    losses={'maps': Loss(
      'pictures', ('E', 'F'), optimizers.optimizer(settings.optimizer, clip=1.0), rate,
    )},
    phases=(Phase('teacher', settings.steps, ('pictures',), ('maps',)),),
    frozen={
      'images': arrays['images'], 'joints': arrays['truth_joints'].astype(np.float32),
      'seen': seen,
    },
    validate=_validator(fixed, side, count - held),
  )


def _stages_loss(fixed: Layout, params, latent, batch) -> tuple[jax.Array, jax.Array]:
  """Mean squared error of both kinds of maps, summed over stages."""
  total = 0.0
  wanted = with_background(batch['heat']) if fixed.background else batch['heat']
  for paf, heat in decode(fixed, params, *latent):
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
