"""The 2D teacher: OpenPose's network as an encoder E and a decoder F.

Axis letters: B batch, H W image px, h w = H/8, W/8 map cells; maps are channels last. PAF: part
affinity fields, 2 channels (x, y) a limb; heat-maps: one a part, and the background last.

  E: images → v (B, h, w, 2·branch) = conv5_4 of branch L1 (PAF), then of L2 (heat); skip = conv4_4
  F: (v, skip) → (PAF, heat-maps) of stage 1 (conv5_5), stage 2, ...

Source: Cao et al. 2017 and spec/openpose.md, whose layer table this is. The cut behind conv5_4 is
Kundu et al.'s 2020 [P]; F reads the skip too, which they do not mention: our completion [R].
Parameters have Caffe's layer names (conv1_1, conv5_4_CPM_L1, Mconv7_stage2_L2): a converter renames
nothing. Caffe's `concat_stage2` order is kept: L1, L2, conv4_4.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from posejax.models import layers

STRIDE = 8  # px a map cell


@dataclasses.dataclass(frozen=True)
class OpenPoseConfig:
  """Widths of E and F. Hashable: an attribute of modules.

  Attributes:
    front: widths of the VGG blocks' 3×3 layers; a 2×2 pool follows each of the first three of four.
    cpm: widths of conv4_3_CPM, conv4_4_CPM, ...; the last is the skip's.
    stage1: widths of the 3×3 layers of a stage-1 branch.
    branch: channels of one branch's conv5_4: v has twice as many.
    stage: widths of the k×k layers of a later stage's branch.
    stage_kernel: k.
    stage_last: width of the 1×1 layer before a later stage's output.
    num_paf: PAF channels, two a limb.
    num_heat: heat-map channels, the background included.
    num_stages: stages of F, 1 or more; 2 [P].
    strided: whether the first layer is a 4×4 convolution of stride 2 in the place of a 3×3 one and
      its block's pool: in a narrow network on a CPU, that block takes a third of the time [R].
    leak: slope of the ReLUs below 0; 0 [P]. Trained fast from nothing, half of the units of a small
      network die without [R].
  """

  front: tuple[tuple[int, ...], ...]
  cpm: tuple[int, ...]
  stage1: tuple[int, ...]
  branch: int
  stage: tuple[int, ...]
  stage_kernel: int
  stage_last: int
  num_paf: int
  num_heat: int
  num_stages: int = 2
  strided: bool = False
  leak: float = 0.0

  def __post_init__(self):
    if len(self.front) != 4:
      raise ValueError(f'OpenPoseConfig: front needs 4 blocks for stride 8, got {len(self.front)}')
    if self.num_stages < 1 or self.stage_kernel % 2 == 0:
      raise ValueError(
        f'OpenPoseConfig: num_stages must be ≥ 1 and stage_kernel odd, got {self.num_stages} and '
        f'{self.stage_kernel}'
      )


  @property
  def skip(self) -> int:
    """Channels of the skip."""
    return self.cpm[-1]


VGG_COCO = OpenPoseConfig(
  front=((64, 64), (128, 128), (256, 256, 256, 256), (512, 512)),
  cpm=(256, 128),
  stage1=(128, 128, 128),
  branch=512,
  stage=(128,) * 5,
  stage_kernel=7,
  stage_last=128,
  num_paf=38,
  num_heat=19,
)
VGG_MPI = dataclasses.replace(VGG_COCO, num_paf=28, num_heat=16)


def preprocess(images: jax.Array) -> jax.Array:
  """OpenPose's input of RGB images: BGR, x/256 − 0.5; its padding value 128 becomes 0.

  Args:
    images: (..., H, W, 3) RGB, 0 to 255, integers or floats.

  Returns:
    (..., H, W, 3) floats in [−0.5, 0.5).
  """
  images = images if jnp.issubdtype(images.dtype, jnp.floating) else images.astype(jnp.float32)
  return images[..., ::-1] / 256 - 0.5


class Encoder(nn.Module):
  """E: image to the latent maps v, and the skip that F needs besides.

  Attributes:
    config: widths.
    dtype: type to compute in, see `layers`.
  """

  config: OpenPoseConfig
  dtype: DTypeLike | None = None

  @nn.compact
  def __call__(self, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Encodes a batch of images.

    Args:
      images: (B, H, W, 3) as `preprocess` gives them; H and W multiples of 8.

    Returns:
      v (B, H/8, W/8, 2·branch) and skip (B, H/8, W/8, cpm[-1]); both behind a ReLU.

    Raises:
      ValueError: another shape.
    """
    layers.check_images(images)
    config = self.config
    x = images
    for block, widths in enumerate(config.front, start=1):
      if block > 1 and not (block == 2 and config.strided):
        x = layers.max_pool(x)
      for index, width in enumerate(widths, start=1):
        halves = block == 1 and index == 1 and config.strided
        x = self._conv(x, f'conv{block}_{index}', width, 4 if halves else 3, 2 if halves else 1)
    for index, width in enumerate(config.cpm, start=len(config.front[-1]) + 1):
      x = self._conv(x, f'conv4_{index}_CPM', width, 3)
    skip = x
    branches = []
    for branch in ('L1', 'L2'):
      x = skip
      for index, width in enumerate(config.stage1, start=1):
        x = self._conv(x, f'conv5_{index}_CPM_{branch}', width, 3)
      name = f'conv5_{len(config.stage1) + 1}_CPM_{branch}'
      branches.append(self._conv(x, name, config.branch, 1))
    return jnp.concatenate(branches, axis=-1), skip

  def _conv(self, x: jax.Array, name: str, width: int, kernel: int, stride: int = 1) -> jax.Array:
    x = layers.Conv(width, kernel, stride, dtype=self.dtype, name=name)(x)
    return nn.leaky_relu(x, self.config.leak)


class Decoder(nn.Module):
  """F: latent maps to the 2D maps of every stage.

  Attributes:
    config: widths.
    dtype: type to compute in; the maps themselves are never narrower than the parameters, since
      peaks are read from them.
  """

  config: OpenPoseConfig
  dtype: DTypeLike | None = None

  def __call__(self, v: jax.Array, skip: jax.Array) -> list[tuple[jax.Array, jax.Array]]:
    """The maps of all stages; training supervises each, inference reads the last.

    Args:
      v: (B, h, w, 2·branch).
      skip: (B, h, w, cpm[-1]).

    Returns:
      (PAF (B, h, w, num_paf), heat-maps (B, h, w, num_heat)) a stage.
    """
    return self._stages(v, skip, last=('L1', 'L2'))

  def heat(self, v: jax.Array, skip: jax.Array) -> jax.Array:
    """The last stage's heat-maps (B, h, w, num_heat) alone: without its PAF branch."""
    return self._stages(v, skip, last=('L2',))[-1][-1]

  @nn.compact
  def _stages(
    self, v: jax.Array, skip: jax.Array, last: tuple[str, ...]
  ) -> list[tuple[jax.Array, ...]]:
    config = self.config
    if v.shape[-1] != 2 * config.branch or skip.shape[-1] != config.cpm[-1]:
      raise ValueError(
        f'Decoder: v and skip must have {2 * config.branch} and {config.cpm[-1]} channels, got '
        f'{v.shape} and {skip.shape}'
      )
    outputs = {'L1': config.num_paf, 'L2': config.num_heat}
    halves = {'L1': v[..., : config.branch], 'L2': v[..., config.branch :]}
    first = last if config.num_stages == 1 else tuple(outputs)
    name = f'conv5_{len(config.stage1) + 2}_CPM'
    stages = [tuple(self._last(f'{name}_{b}', outputs[b])(halves[b]) for b in first)]
    for stage in range(2, config.num_stages + 1):
      x = jnp.concatenate([m.astype(skip.dtype) for m in stages[-1]] + [skip], axis=-1)
      wanted = last if stage == config.num_stages else tuple(outputs)
      stages.append(tuple(self._branch(x, f'stage{stage}_{b}', outputs[b]) for b in wanted))
    return stages

  def _branch(self, x: jax.Array, suffix: str, features: int) -> jax.Array:
    config = self.config
    kernels = (config.stage_kernel,) * len(config.stage) + (1,)
    widths = (*config.stage, config.stage_last)
    for index, (width, kernel) in enumerate(zip(widths, kernels, strict=True), start=1):
      x = layers.Conv(width, kernel, dtype=self.dtype, name=f'Mconv{index}_{suffix}')(x)
      x = nn.leaky_relu(x, config.leak)
    return self._last(f'Mconv{len(widths) + 1}_{suffix}', features)(x)

  def _last(self, name: str, features: int) -> layers.Conv:
    # No dtype: in the parameters' precision. Small weights: maps start near their mean, 0.
    return layers.Conv(features, 1, kernel_init=layers.he_init(1.0, gain=0.1), name=name)
