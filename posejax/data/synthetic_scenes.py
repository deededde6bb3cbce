"""`SyntheticScenes`: the synthetic world as a TFDS data set (ArrayRecord), without TensorFlow.

Symbols as in `synth.scene_views`: V views (frames and cameras), P persons, J = 17 joints (J17).

  config = scenes_config('room', SceneConfig(placement='room'), DOMAIN_A,
                         (Split('train', 1000, seed=1), Split('validation', 100, seed=2)))
  builder = SyntheticScenes(data_dir='data', config=config)
  builder.download_and_prepare()      # draws and writes; downloads nothing
  source = builder.as_data_source('train')
  views = views_from_example(source[7])    # = device_samples(1, [7], ...) bit for bit

Pictures and masks are PNG (lossless), encoded here because TFDS would need TensorFlow to do it.

The config's name ends in a hash of everything that determines the samples: TFDS finds data by
name, and would otherwise read the scenes of an older config of the same name. A change of this
project's own drawing code is a new VERSION.
"""

import dataclasses
import hashlib
import io
import json
import re
from collections.abc import Iterator
from typing import Any, ClassVar

import jax
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from posejax.geometry.camera import Camera, Intrinsics
from posejax.geometry.skeleton import J17
from posejax.synth.domains import Domain
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scene_views import SAMPLES_PER_CALL, Clip, SceneViews, device_samples


@dataclasses.dataclass(frozen=True)
class Split:
  """One split of the data set.

  Attributes:
    name: such as 'train'.
    num_scenes: how many samples.
    seed: of its scenes; no two splits may share one.
  """

  name: str
  num_scenes: int
  seed: int

  def __post_init__(self):
    if not re.fullmatch(r'[a-z][a-z0-9_]*', self.name):
      raise ValueError(f'Split.name: expected lower-case letters and digits, got {self.name!r}')
    if not 1 <= self.num_scenes < 2**31 or not 0 <= self.seed < 2**32:
      raise ValueError(
        f'Split {self.name}: expected num_scenes in 1..2**31-1 and seed in 0..2**32-1, got '
        f'{self.num_scenes} and {self.seed}'
      )


# No generated repr: TFDS logs each config in full, arrays included.
@dataclasses.dataclass(kw_only=True, eq=False, repr=False)
class ScenesConfig(tfds.core.BuilderConfig):
  """What a `SyntheticScenes` holds; made by `scenes_config`.

  Attributes:
    scene: what scenes to draw.
    domain: how they look.
    splits: names, sizes and seeds.
    clip: length and rate of moving scenes; None for stills.
  """

  scene: SceneConfig
  domain: Domain
  splits: tuple[Split, ...]
  clip: Clip | None = None

  def __repr__(self) -> str:
    return f'ScenesConfig({self.name})'


def scenes_config(
  label: str,
  scene: SceneConfig,
  domain: Domain,
  splits: tuple[Split, ...],
  clip: Clip | None = None,
) -> ScenesConfig:
  """Names and checks what a `SyntheticScenes` is to hold.

  Args:
    label: first part of the config's name, for people; the rest is a hash of the other arguments.
    scene: what scenes to draw.
    domain: how they look.
    splits: names, sizes and seeds.
    clip: length and rate of moving scenes (scene.pose_source = 'motion'); None for stills.

  Returns:
    The config.

  Raises:
    ValueError: a label that is no name, no splits, or two with one name or one seed.
  """
  if not re.fullmatch(r'[A-Za-z0-9_]+', label):
    raise ValueError(f'scenes_config: label must be letters, digits and _, got {label!r}')
  splits = tuple(splits)
  for what in ('name', 'seed'):
    values = [getattr(split, what) for split in splits]
    if not values or len(set(values)) < len(values):
      raise ValueError(f'scenes_config: splits must have one {what} each, got {values}')
  if clip is not None and scene.pose_source != 'motion':
    raise ValueError("scenes_config: a clip needs scene.pose_source = 'motion'")
  content = {
    'scene': dataclasses.asdict(scene),
    'domain': {name: np.asarray(value).tolist() for name, value in domain._asdict().items()},
    'splits': [dataclasses.asdict(split) for split in splits],
    'clip': clip and clip._asdict(),
  }
  description = json.dumps(content, sort_keys=True, default=str)
  digest = hashlib.sha256(description.encode()).hexdigest()[:10]
  return ScenesConfig(
    name=f'{label}-{digest}', description=description, scene=scene, domain=domain, splits=splits,
    clip=clip,
  )


class SyntheticScenes(tfds.core.GeneratorBasedBuilder):
  """Draws, renders and writes synthetic scenes; see the module.

  Args (of the constructor, by keyword):
    config: from `scenes_config`.
    data_dir: folder of the data sets; TFDS's own default where None.
  """

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar[dict[str, str]] = {'1.0.0': 'First release.'}
  # Where TFDS looks for checksums of downloads. To find the path by itself, TFDS 4.9 imports
  # importlib_resources, which it does not install.
  code_path = None

  def __init__(self, *, config: ScenesConfig | None = None, **options: Any):
    if not isinstance(config, ScenesConfig):
      raise ValueError(f'SyntheticScenes: config must come from scenes_config, got {config!r}')
    # The one format that can be read without TensorFlow.
    super().__init__(config=config, file_format='array_record', **options)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='Synthetic scenes of posejax: rendered people with exact 2D and 3D joints (J17).',
      features=_features(self.builder_config),
      # Scenes are independent draws: shuffling would only lose their numbers.
      disable_shuffling=True,
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    del dl_manager  # nothing is downloaded
    return {split.name: self._generate_examples(split) for split in self.builder_config.splits}

  def _generate_examples(self, split: Split) -> Iterator[tuple[int, dict[str, Any]]]:
    config = self.builder_config
    for start in range(0, split.num_scenes, SAMPLES_PER_CALL):
      numbers = np.arange(start, min(start + SAMPLES_PER_CALL, split.num_scenes))
      batch = jax.device_get(device_samples(
        split.seed, numbers, config.scene, config.domain, config.clip
      ))
      for place, number in enumerate(numbers.tolist()):
        views = jax.tree.map(lambda array, place=place: array[place], batch)
        yield number, {**_encode(views), 'index': number, 'seed': split.seed}


def views_from_example(example: dict[str, Any]) -> SceneViews:
  """A sample of `as_data_source` as what `device_samples` gives.

  Args:
    example: one decoded sample, a nested dict.

  Returns:
    SceneViews of NumPy arrays.
  """
  camera = example['camera']
  return SceneViews(
    image=np.stack(list(example['image'])),
    person_mask=np.stack(list(example['person_mask']))[..., 0],
    camera=Camera(
      Intrinsics(camera['focal'], camera['center']), camera['rotation'], camera['translation']
    ),
    **{name: example[name] for name in _ARRAYS},
  )


_ARRAYS = ('valid', 'joints_world', 'joints_camera', 'joints_image', 'in_frame', 'visible_share')


def _features(config: ScenesConfig) -> tfds.features.FeaturesDict:
  scene = config.scene
  frames = config.clip.num_frames if config.clip else 1
  views, people, joints = frames * scene.num_cameras, scene.max_people, J17.num_joints

  def floats(*shape: int, doc: str) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=np.float32, doc=doc)

  def flags(*shape: int, doc: str) -> tfds.features.Tensor:
    return tfds.features.Tensor(shape=shape, dtype=np.bool_, doc=doc)

  def pictures(channels: int, doc: str) -> tfds.features.Sequence:
    image = tfds.features.Image(
      shape=(scene.height, scene.width, channels), dtype=np.uint8, encoding_format='png'
    )
    return tfds.features.Sequence(image, length=views, doc=doc)

  return tfds.features.FeaturesDict({
    'image': pictures(3, f'view = frame * {scene.num_cameras} + camera; sRGB'),
    'person_mask': pictures(1, 'p + 1 where person p is nearest, 0 elsewhere'),
    'valid': flags(people, doc='the person is there'),
    'joints_world': floats(frames, people, joints, 3, doc='J17, mm, z up'),
    'joints_camera': floats(views, people, joints, 3, doc='J17, mm, x right, y down, z forward'),
    'joints_image': floats(views, people, joints, 2, doc='J17, px, pixel centres at integers'),
    'in_frame': flags(views, people, joints, doc='the joint is inside the image'),
    'visible_share': floats(views, people, doc='share of its pixels that nothing hides'),
    'camera': {
      'focal': floats(views, 2, doc='px'),
      'center': floats(views, 2, doc='px'),
      'rotation': floats(views, 3, 3, doc='camera from world'),
      'translation': floats(views, 3, doc='mm: X_camera = rotation X_world + translation'),
    },
    'index': tfds.features.Scalar(np.int64, doc='number of the scene in its split'),
    'seed': tfds.features.Scalar(np.int64, doc='seed of the split'),
  })


def _encode(views: SceneViews) -> dict[str, Any]:
  """One sample as TFDS takes it: PNG bytes, float32."""
  camera = views.camera
  return {
    'image': [_png(image) for image in views.image],
    'person_mask': [_png(mask) for mask in views.person_mask],
    'camera': {
      'focal': _stored(camera.intrinsics.focal), 'center': _stored(camera.intrinsics.center),
      'rotation': _stored(camera.rotation), 'translation': _stored(camera.translation),
    },
    **{name: _stored(getattr(views, name)) for name in _ARRAYS},
  }


def _stored(array: np.ndarray) -> np.ndarray:
  """float32 for floats (64-bit mode draws float64), flags as they are."""
  return array if array.dtype == np.bool_ else array.astype(np.float32)


def _png(pixels: np.ndarray) -> bytes:
  buffer = io.BytesIO()
  Image.fromarray(pixels).save(buffer, 'PNG')
  return buffer.getvalue()
