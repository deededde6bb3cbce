"""Pictures of scenes with their exact ground truth, made on the device.

Symbols: N samples, T frames, C cameras, V = T · C views (camera c of frame t is view t · C + c; a
still has T = 1), P persons, J = 17 joints (J17), H W pixels. World frame: right-handed, z up, mm;
camera frame: x right, y down, z forward, mm; image px.

A sample is a function of (seed, index) and of what to draw. `device_samples` gives the very samples
that `data.synthetic_scenes` writes to disk, bit for bit: both run one compiled program, of one
shape for any number of samples. Inside another jitted step, take `sample_scene_views` (vmap over
keys): the same scenes, but XLA may round differently there. What is composed here is in `scenes`,
`appearance` and `renderer`; the composition is ours [R].
"""

import functools
import os
from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry.camera import Camera
from posejax.synth import appearance as appearance_lib
from posejax.synth import renderer, scenes
from posejax.synth.domains import Domain
from posejax.synth.scene_config import SceneConfig

# Samples in one call of the compiled program.
SAMPLES_PER_CALL = 16
_TOGETHER = 4


class Clip(NamedTuple):
  """How a moving scene is filmed. Hashable: a static argument under `jax.jit`.

  Attributes:
    num_frames: T.
    fps: frames per second.
  """

  num_frames: int
  fps: float = 30.0


class SceneViews(NamedTuple):
  """Pictures of one scene, or of N with a leading axis on every field.

  `valid` marks the persons that are there; the numbers of the others are finite and mean nothing.

  Attributes:
    image: (V, H, W, 3) uint8, sRGB.
    person_mask: (V, H, W) uint8, p + 1 where person p is nearest, 0 elsewhere.
    valid: (P,) bool.
    joints_world: (T, P, J, 3) mm.
    joints_camera: (V, P, J, 3) mm.
    joints_image: (V, P, J, 2) px.
    in_frame: (V, P, J) bool, inside the image (behind something or not).
    visible_share: (V, P) share of the person's pixels that nothing hides.
    camera: Camera with a leading V.
  """

  image: jax.Array
  person_mask: jax.Array
  valid: jax.Array
  joints_world: jax.Array
  joints_camera: jax.Array
  joints_image: jax.Array
  in_frame: jax.Array
  visible_share: jax.Array
  camera: Camera


def sample_scene_views(
  key: jax.Array, config: SceneConfig, domain: Domain, clip: Clip | None = None
) -> SceneViews:
  """Draws a scene and its looks, and takes its pictures.

  Args:
    key: one random key; everything comes from it. A moving scene and a still one of the same key
      differ.
    config: what scenes to draw; static under `jax.jit`.
    domain: how they look.
    clip: length and rate of a moving scene (config.pose_source = 'motion'); None for a still.

  Returns:
    The scene's views. All of them show the same people in the same clothes and room.

  Raises:
    ValueError: `key` is no single key, or a clip of poses that cannot move.
  """
  scene_key, looks_key = jax.random.split(key)
  if clip is None:
    scene = scenes.sample_scene(scene_key, config)
    scene = scene._replace(**{
      name: jax.tree.map(lambda array: array[None], value)
      for name, value in scene._asdict().items() if name not in scenes.STILL_FIELDS
    })
  else:
    scene = scenes.sample_scene_sequence(scene_key, config, clip.num_frames, clip.fps)
  looks = appearance_lib.sample_appearance(looks_key, domain, config.max_people)

  def frame(joints_and_cameras: tuple[jax.Array, Camera]) -> renderer.Rendering:
    joints, cameras = joints_and_cameras
    return jax.vmap(lambda camera: renderer.render_scene(
      joints, scene.valid, camera, looks, (config.height, config.width)
    ))(cameras)

  # Frame by frame: a clip at once would need the memory of all its frames.
  rendered = jax.lax.map(frame, (scene.joints_world, scene.cameras))
  per_view = SceneViews(
    image=rendered.image,
    person_mask=rendered.person_mask.astype(jnp.uint8),
    valid=None,
    joints_world=None,
    joints_camera=scene.joints_camera,
    joints_image=scene.joints_image,
    in_frame=scene.in_frame,
    visible_share=rendered.visible,
    camera=scene.cameras,
  )
  views = jax.tree.map(lambda array: array.reshape(-1, *array.shape[2:]), per_view)
  return views._replace(valid=scene.valid, joints_world=scene.joints_world)


def _samples(
  seed: jax.Array, indices: jax.Array, config: SceneConfig, domain: Domain, clip: Clip | None
) -> SceneViews:
  def sample(index):
    key = jax.random.fold_in(jax.random.key(seed, impl='threefry2x32'), index)
    return sample_scene_views(key, config, domain, clip)

  # A few at a time: on a CPU their pictures stay in the cache, and both cores have work.
  return jax.lax.map(sample, indices, batch_size=_TOGETHER)


@functools.cache
def _compiled():
  # Entry points choose the compiler that makes programs quickly (training/machine.py). Pictures are
  # worth the other one: four times the rate for twenty more seconds.
  slow = jax.default_backend() == 'cpu' and '--xla_cpu_use_fusion_emitters=false' in os.environ.get(
    'XLA_FLAGS', ''
  )
  options = {'xla_cpu_use_fusion_emitters': True} if slow else None
  return jax.jit(_samples, static_argnames=('config', 'clip'), compiler_options=options)


def device_samples(
  seed: int,
  indices: Sequence[int] | np.ndarray,
  config: SceneConfig,
  domain: Domain,
  clip: Clip | None = None,
) -> SceneViews:
  """The samples that `data.synthetic_scenes` writes, straight on the device.

  Args:
    seed: of the split.
    indices: N numbers of samples, any of 0..2³¹ − 1, in any order.
    config: what scenes to draw.
    domain: how they look.
    clip: of a moving scene; None for stills.

  Returns:
    SceneViews with a leading N on every field, bit for bit what is on disk where that was written
    on the same platform (hardware and versions).

  Raises:
    ValueError: the seed or an index is negative or too large, there is no index, or as
      `sample_scene_views`.
  """
  indices = np.asarray(indices)
  if indices.ndim != 1 or not len(indices) or not np.issubdtype(indices.dtype, np.integer):
    raise ValueError(
      f'device_samples: indices must be a list of integers, got shape {indices.shape} and dtype '
      f'{indices.dtype}'
    )
  if not 0 <= seed < 2**32 or indices.min() < 0 or indices.max() >= 2**31:
    raise ValueError(
      f'device_samples: seed {seed} must be in 0..2**32-1, indices {indices.min()} to '
      f'{indices.max()} in 0..2**31-1'
    )
  # Always the same shape, so always the same program: the last call repeats its last index.
  compiled = _compiled()
  padded = np.pad(indices.astype(np.uint32), (0, -len(indices) % SAMPLES_PER_CALL), mode='edge')
  calls = [
    compiled(np.uint32(seed), jnp.asarray(part), config, domain, clip)
    for part in padded.reshape(-1, SAMPLES_PER_CALL)
  ]
  return jax.tree.map(lambda *parts: jnp.concatenate(parts)[: len(indices)], *calls)
