"""`Chi3d`: a user's own copy of CHI3D as a TFDS data set (ArrayRecord), without TensorFlow.

Symbols: T frames, P = 2 people, J = 17 joints (J17), C = 4 cameras in the order of `CAMERAS`.

  builder = Chi3d(data_dir='data')
  builder.download_and_prepare(
    download_config=tfds.download.DownloadConfig(manual_dir='folder that holds chi3d')
  )                                          # downloads nothing
  clip, rate = clip_from_example(builder.as_data_source('train')[0])
  rays = clip.cameras[0].rays(pixels)        # tangents, without the lens's distortion

Splits: train is s02 and s03, test is s04 [S]. Videos are looked at for their rate alone; their
pictures stay where they are. TFDS finds data by name and version: a copy that was put right later
needs another `data_dir`, or the old one deleted.
"""

import warnings
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
import tensorflow_datasets as tfds

from posejax.data import chi3d_files
from posejax.data.chi3d_files import CAMERAS, LAYOUT, PEOPLE, Chi3dError, Clip, Rate, RealCamera
from posejax.geometry.camera import Camera, Chi3dDistortion, Intrinsics
from posejax.geometry.skeleton import J17

_CAMERA = {
  'rotation': (3, 3), 'translation': (3,), 'focal': (2,), 'center': (2,), 'radial': (3,),
  'tangential': (2,),
}


class Chi3d(tfds.core.GeneratorBasedBuilder):
  """Reads a copy of CHI3D under `manual_dir` and writes its poses and cameras; see the module."""

  VERSION = tfds.core.Version('1.0.0')
  RELEASE_NOTES: ClassVar[dict[str, str]] = {'1.0.0': 'First release.'}
  MANUAL_DOWNLOAD_INSTRUCTIONS = (
    f'Put your copy of CHI3D, which its authors give on request, into manual_dir as {LAYOUT}.'
  )
  # As of `SyntheticScenes`: TFDS would import what it does not install.
  code_path = None

  def __init__(self, **options: Any):
    # The one format that can be read without TensorFlow.
    super().__init__(file_format='array_record', **options)

  def _info(self) -> tfds.core.DatasetInfo:
    return tfds.core.DatasetInfo(
      builder=self,
      description='CHI3D: clips of two people in contact, joints (J17) and four real cameras.',
      features=_features(),
      disable_shuffling=True,  # clips in the order of their names
    )

  def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict[str, Iterator]:
    try:
      folder = dl_manager.manual_dir
    except AssertionError as error:  # TFDS's only word for a folder that is not there or empty
      raise Chi3dError(' '.join(str(error).split())) from None
    archive = chi3d_files.open_archive(folder)
    return {
      name: self._generate_examples(archive, subjects)
      for name, subjects in chi3d_files.SUBJECTS.items()
    }

  def _generate_examples(
    self, archive: chi3d_files.Archive, subjects: tuple[str, ...]
  ) -> Iterator[tuple[int, dict[str, Any]]]:
    number, unchecked, first = 0, 0, ''
    for subject in subjects:
      for clip in chi3d_files.clips(archive, subject):
        rate = chi3d_files.rate_of(archive, clip)
        unchecked, first = unchecked + bool(rate.note), first or rate.note
        yield number, _encode(clip, rate)
        number += 1
    if unchecked:
      warnings.warn(f'Chi3d: {unchecked} of {number} clips: {first}', stacklevel=2)


def clip_from_example(example: dict[str, Any]) -> tuple[Clip, Rate]:
  """A sample of `as_data_source` as what `chi3d_files` gives."""
  rows = example['cameras']
  cameras = tuple(
    RealCamera(
      Camera(Intrinsics(focal, center), rotation, translation), Chi3dDistortion(radial, tangential)
    )
    for rotation, translation, focal, center, radial, tangential in zip(
      *(rows[name] for name in _CAMERA), strict=True
    )
  )
  subject, action, note = (_text(example[name]) for name in ('subject', 'action', 'rate_note'))
  return Clip(subject, action, example['joints'], cameras), Rate(float(example['fps']), note)


def _features() -> tfds.features.FeaturesDict:
  count, joints = len(CAMERAS), J17.num_joints
  return tfds.features.FeaturesDict({
    'subject': tfds.features.Text(doc='the pair of people'),
    'action': tfds.features.Text(doc='name of its files'),
    'joints': tfds.features.Tensor(
      shape=(None, PEOPLE, joints, 3), dtype=np.float32, doc='J17, mm, world, z up'
    ),
    'cameras': {
      name: tfds.features.Tensor(shape=(count, *shape), dtype=np.float32)
      for name, shape in _CAMERA.items()
    },
    'fps': tfds.features.Scalar(np.float32, doc='of joints and videos; 0: not checked'),
    'rate_note': tfds.features.Text(doc='why the rate was not checked; empty if it was'),
  })


def _encode(clip: Clip, rate: Rate) -> dict[str, Any]:
  rows = [
    {
      'rotation': camera.rotation, 'translation': camera.translation,
      **camera.intrinsics._asdict(), **distortion._asdict(),
    }
    for camera, distortion in clip.cameras
  ]
  return {
    'subject': clip.subject, 'action': clip.action, 'joints': clip.joints,
    'cameras': {
      name: np.stack([row[name] for row in rows]).astype(np.float32) for name in _CAMERA
    },
    'fps': rate.fps, 'rate_note': rate.note,
  }


def _text(value: Any) -> str:
  return value.decode() if isinstance(value, bytes) else str(value)
