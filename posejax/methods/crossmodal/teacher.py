"""The 2D teacher: one interface for the network that a run trains itself and for published ones.

  E: image → (v, skip)     F: (v, skip) → maps, a stage-1 estimate and its refinements
  maps: heat-maps of the teacher's parts (and, with `background`, 1 − max), PAFs of its limbs

`teacher.kind` says which: 'synthetic' is the small OpenPose-type network of the embedded world,
which has the 15 joints of J15, a pelvis among them (`teacher_training`); the others are read from
`teacher.weights` (third_party/), have parts of their own (`parts`), and no pelvis: their roots are
the student's. Whichever, it is frozen from here on. Source: spec/openpose.md.
"""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from posejax.data import dm14, openpose_weights
from posejax.geometry.skeleton import J15, OPENPOSE_COCO18, OPENPOSE_MPI15, Skeleton
from posejax.heatmaps import People2D, grouping, render_heatmaps, render_pafs
from posejax.methods.base import Networks, Product
from posejax.methods.crossmodal import parts as parts_lib
from posejax.models import mobilenet_pose, openpose

STRIDE = openpose.STRIDE
SIGMA_PX = 7.0  # of the heat-maps [P]
PAF_WIDTH = 1.0  # cells [P]
NAME = 'teacher'
SYNTHETIC = 'synthetic'
MOST_STAGES = 6  # of the published networks

Widths = openpose.OpenPoseConfig | mobilenet_pose.MobilenetPoseConfig
_NETWORKS = {
  openpose.OpenPoseConfig: openpose, mobilenet_pose.MobilenetPoseConfig: mobilenet_pose,
}
# Published networks: widths and parts, known before a file is read.
PUBLISHED: Mapping[str, tuple[Widths, Skeleton]] = {
  'openpose_mpi': (openpose.VGG_MPI, OPENPOSE_MPI15),
  'openpose_coco': (openpose.VGG_COCO, OPENPOSE_COCO18),
  'dm14': (mobilenet_pose.DM14, OPENPOSE_COCO18),
}
KINDS = (SYNTHETIC, *PUBLISHED)


class Layout(NamedTuple):
  """What is fixed of the network. Hashable.

  Attributes:
    widths: of E and F, of whichever architecture.
    dtype: type that E and F compute in; their maps are never narrower than float32.
    parts: heat-map channels and limbs.
    threshold: least heat-map value of a peak.
    min_parts: least parts of a person.
  """

  widths: Widths
  dtype: str
  parts: Skeleton = J15
  threshold: float = 0.1
  min_parts: int = 3

  @property
  def background(self) -> bool:
    """Whether F has a background channel, the last heat-map."""
    return self.widths.num_heat > self.parts.num_joints

  @property
  def num_maps(self) -> int:
    """Channels that G reads: heat-maps without background, and PAFs."""
    return self.parts.num_joints + 2 * self.parts.num_limbs

  @property
  def latent(self) -> int:
    """Channels of v."""
    return 2 * self.widths.branch

  @property
  def leak(self) -> float:
    """Slope below 0 of the ReLU behind v."""
    return self.widths.leak

  @property
  def compute(self) -> jnp.dtype | None:
    """`dtype` as modules take it."""
    return compute_dtype(self.dtype)

  @property
  def network(self) -> Any:
    """The module of the architecture: preprocess, Encoder, Decoder."""
    return _NETWORKS[type(self.widths)]


class Teacher(NamedTuple):
  """The frozen network: its layout, and parameters of E and F."""

  layout: Layout
  params: Networks

  def encode(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 or float RGB images (B, S, S, 3) in 0..255 → (v, skip)."""
    return encode(self.layout, self.params['E'], images)

  def decode(self, v: jax.Array, skip: jax.Array) -> tuple[jax.Array, jax.Array]:
    """(v, skip) → heat-maps (B, h, w, K), PAFs (B, h, w, 2 L) of the last stage."""
    paf, heat = decode(self.layout, self.params['F'], v, skip)[-1]
    return heat[..., : self.layout.parts.num_joints], paf

  def maps(self, v: jax.Array, skip: jax.Array) -> jax.Array:
    """(v, skip) → all maps of the last stage (B, h, w, C): heat, background, PAFs."""
    paf, heat = decode(self.layout, self.params['F'], v, skip)[-1]
    return jnp.concatenate([heat, paf], -1)

  def people(self, heat: jax.Array, paf: jax.Array, max_people: int) -> People2D:
    """People of each image in J15, leading axis B."""
    parts = self.layout.parts
    group = functools.partial(
      grouping.group_people, limbs=parts.limbs, redundant=grouping.redundant_limbs(parts),
      stride=STRIDE, max_people=max_people, max_peaks=2 * max_people,
      threshold=self.layout.threshold, min_parts=self.layout.min_parts,
    )
    return parts_lib.to_joints(jax.vmap(lambda h, p: group(h, p))(heat, paf), parts)


def compute_dtype(name: str) -> jnp.dtype | None:
  """'float32' or 'bfloat16' as flax modules take it: None computes in the parameters' type."""
  return None if name == 'float32' else jnp.dtype(name)


def layout(config: ml_collections.ConfigDict) -> Layout:
  """Layout of E and F."""
  settings = config.teacher
  if settings.kind != SYNTHETIC:
    widths, parts = PUBLISHED[settings.kind]
    staged = dataclasses.replace(widths, num_stages=settings.stages)
    return Layout(staged, config.precision, parts, settings.threshold, settings.min_parts)
  widths = openpose.OpenPoseConfig(
    front=tuple(tuple(block) for block in settings.front), cpm=tuple(settings.cpm),
    stage1=tuple(settings.stage1), branch=settings.branch, stage=tuple(settings.stage),
    stage_kernel=settings.stage_kernel, stage_last=settings.stage_last,
    num_paf=2 * J15.num_limbs, num_heat=J15.num_joints + settings.background,
    num_stages=settings.stages, strided=settings.strided, leak=settings.leak,
  )
  return Layout(widths, config.precision, J15, settings.threshold, settings.min_parts)


def published(config: ml_collections.ConfigDict) -> Networks:
  """E and F of `teacher.weights`.

  Raises:
    WeightsError: the file is missing, damaged, or another network's than `teacher.kind`.
  """
  settings = config.teacher
  fixed = layout(config)
  if isinstance(fixed.widths, mobilenet_pose.MobilenetPoseConfig):
    _, params = dm14.load_dm14(settings.weights, settings.stages)
    return params
  network = openpose_weights.load_openpose(settings.weights, settings.stages)
  if network.skeleton != fixed.parts:
    kind = next(name for name, (_, parts) in PUBLISHED.items() if parts == network.skeleton)
    raise openpose_weights.WeightsError(
      settings.weights, '', f'holds {network.skeleton.name}; set teacher.kind={kind}'
    )
  return network.params


def frozen(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Teacher:
  """The teacher that a finished stage left."""
  return Teacher(layout(config), products[NAME].params)


def encode(fixed: Layout, params: Any, images: jax.Array):
  """E: (v, skip) of RGB images in 0..255."""
  network = fixed.network
  module = network.Encoder(fixed.widths, fixed.compute)
  return module.apply({'params': params}, network.preprocess(images))


def decode(fixed: Layout, params: Any, v: jax.Array, skip: jax.Array):
  """F: (PAF, heat-maps) of every stage."""
  return fixed.network.Decoder(fixed.widths, fixed.compute).apply({'params': params}, v, skip)


def render_maps(
  parts: Skeleton, joints: jax.Array, visible: jax.Array, side: int
) -> tuple[jax.Array, jax.Array]:
  """The maps that E and F are to give: heat-maps (h, w, K) and PAFs (h, w, 2 L) of one image.

  Args:
    parts: of the teacher; maps of what J15 cannot give are zero.
    joints: (P, 15, 2) px.
    visible: (P, 15) bool.
    side: of the image, px.
  """
  cells = (side // STRIDE, side // STRIDE)
  points, seen = parts_lib.from_joints(joints, visible, parts)
  heat = render_heatmaps(points, seen, cells, stride=STRIDE, sigma=SIGMA_PX)
  paf = render_pafs(points, seen, parts.limbs, cells, stride=STRIDE, width=PAF_WIDTH)
  return heat, paf


def with_background(heat: jax.Array) -> jax.Array:
  """Heat-maps (..., K) → (..., K + 1): the background is 1 − max."""
  return jnp.concatenate([heat, 1 - heat.max(-1, keepdims=True)], -1)
