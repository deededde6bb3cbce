"""Pictures from a user's folder in the place of the rendered world's: `images.dir`.

  images_b          views of the clips for training
  validation, test  of clips that are held back; with `images.labelled` the test set's last rows are
                    labelled photographs, for figures alone (`photo_evaluation`)

A view is a square of a photograph at the network's side: all of it, and more around people who are
too small in it, as the teacher finds them (`data.people_crops`). What it finds in a photograph is
kept in `images.cache`, by weights and content: a folder that grows costs what is new in it. Of a
video every n-th frame is a picture, not kept there.

Which clip is in which part follows from its name (`data.photo_folders`): never two frames of one
clip in two parts. There is no ground truth here.
"""

import functools
import itertools
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import ml_collections
import numpy as np
from flax import traverse_util

from posejax.data import images, letterbox, people_crops, photo_folders, teacher_cache, videos
from posejax.data.images import ImageError, Skipped
from posejax.geometry.camera import Intrinsics
from posejax.methods.base import Product, StagePlan
from posejax.methods.crossmodal import observed, teacher

PARTS = {'images_b': 'train', 'validation': 'validation', 'test': 'test'}
_BATCH = 8
_FIELDS = (
  'images.dir', 'images.clips', 'images.shares', 'images.every', 'images.crops',
  'images.crop',
  'world.image_size', 'world.max_people',
)
# Raise it when `_found` gives other rows of the same photograph.
_VERSION = 1


class _Picture(NamedTuple):
  """A photograph or a frame: pixels (H, W, 3) with their camera, and who is in its whole view:
  joints (P, 15, 2) px of that view, seen (P, 15) bool."""

  name: str
  clip: str
  pixels: np.ndarray
  intrinsics: Intrinsics
  joints: np.ndarray
  seen: np.ndarray


def plan(name: str) -> StagePlan:
  """The stage of a part, as a method lists it."""
  return StagePlan(
    name, fields=_FIELDS, reads=(teacher.NAME,), seeds=(), files=('images.dir',),
    make=functools.partial(make, name),
  )


def make(
  name: str, config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Product:
  """Views of one part.

  Returns:
    images (N, S, S, 3) uint8; corner (N, 2), scale (N,) of each view, its camera's focal (N, 2) and
    center (N, 2), px of the view; source (N,) names of files (of a frame with its number), clip
    (N,); skipped (M,) lines.

  Raises:
    ImageError: the folder cannot be used, or nothing of this part can be read.
  """
  settings, side = config.images, config.world.image_size
  listing = photo_folders.list_folder(settings.dir)
  files = (*listing.photographs, *listing.videos)
  clips = photo_folders.clip_names(files, listing.root, settings.clips)
  try:
    parts = photo_folders.split(clips.values(), photo_folders.Shares(*settings.shares))
  except ValueError as error:
    raise ImageError(settings.dir, str(error), 'or change images.shares') from None
  wanted = set(getattr(parts, PARTS[name]))
  reader = _Reader(config, products)
  crops = people_crops.CropConfig(**settings.crop) if settings.crops else None
  skipped = list(listing.skipped)
  rows = []
  chosen = [path for path in files if clips[path] in wanted]
  for picture in reader.pictures(chosen, clips, skipped, name):
    for view in views(picture, side, crops):
      pixels = letterbox.cut(picture.pixels, view, side)
      camera = letterbox.view_intrinsics(picture.intrinsics, view)
      rows.append({
        'images': pixels, 'corner': view.corner, 'scale': view.scale, 'focal': camera.focal,
        'center': camera.center, 'source': picture.name, 'clip': picture.clip,
      })
  for entry in skipped[0 if name == 'images_b' else len(listing.skipped) :]:
    print(f'posejax: skipped {entry.message}', file=sys.stderr)  # the listing's lines once
  if not rows:
    raise ImageError(settings.dir, f'gives no picture for {name}', 'add photographs or clips')
  arrays = {column: np.array([row[column] for row in rows]) for column in rows[0]}
  return Product(arrays=arrays | {
    'skipped': np.array([entry.message for entry in skipped], np.str_),
  })


def views(
  picture: _Picture, side: int, crops: people_crops.CropConfig | None
) -> list[letterbox.View]:
  """The whole picture, and views around people who are too small in it."""
  height, width = picture.pixels.shape[:2]
  whole = letterbox.whole(width, height, side)
  if crops is None:
    return [whole]
  small = people_crops.people_crops(picture.joints, picture.seen, whole, side, crops)
  return [whole, *(crop.view for crop in small)]


class _Reader:
  """Reads pictures with the people that the teacher finds in their whole views."""

  def __init__(self, config: ml_collections.ConfigDict, products: dict[str, Product]):
    self.config = config
    self.teacher = teacher.frozen(config, products)
    self.side = config.world.image_size
    flat = traverse_util.flatten_dict(dict(self.teacher.params), sep='/')
    layout = self.teacher.layout
    self.key = teacher_cache.Key(
      teacher_cache.hash_arrays({path: np.asarray(x) for path, x in flat.items()}),
      {'side': self.side, 'people': config.world.max_people, 'layout': repr(layout),
       'version': _VERSION},
    )

  def pictures(
    self, files: Sequence[Any], clips: dict, skipped: list[Skipped], label: str
  ) -> Iterator[_Picture]:
    """Pictures one by one; what cannot be read is added to `skipped`."""
    photographs = [path for path in files if path.suffix.lower() in images.SUFFIXES]
    rows = teacher_cache.cached_rows(
      photographs, self.key, self._whole, self._found, self.config.images.cache, _BATCH, label
    )
    skipped.extend(rows.skipped)
    for index, path in enumerate(rows.paths):
      row = rows.read(index)
      try:
        photograph = images.read_image(path)
      except ImageError as error:  # changed since
        skipped.append(Skipped(path, str(error)))
        continue
      yield _Picture(
        str(path), clips[path], photograph.pixels, photograph.intrinsics, row['joints'],
        row['seen'],
      )
    for path in files:
      if path.suffix.lower() not in images.SUFFIXES:
        yield from self._frames(path, clips[path], skipped)

  def _frames(self, path, clip: str, skipped: list[Skipped]) -> Iterator[_Picture]:
    try:
      with videos.Video(path, every=self.config.images.every) as video:
        frames = iter(video)
        while part := list(itertools.islice(frames, _BATCH)):
          found = self._found([self._square(frame.pixels) for frame in part])
          for frame, row in zip(part, found, strict=True):
            yield _Picture(
              f'{path}#{frame.index}', clip, frame.pixels, video.info.intrinsics, row['joints'],
              row['seen'],
            )
      skipped.extend(Skipped(path, problem) for problem in video.problems)
    except ImageError as error:
      skipped.append(Skipped(path, str(error)))

  def _whole(self, data: bytes, name: str) -> np.ndarray:
    return self._square(images.decode_image(data, name).pixels)

  def _square(self, pixels: np.ndarray) -> np.ndarray:
    height, width = pixels.shape[:2]
    return letterbox.cut(pixels, letterbox.whole(width, height, self.side), self.side)

  def _found(self, squares: Sequence[np.ndarray]) -> list[dict[str, np.ndarray]]:
    found = observed.observe(
      self.teacher, np.stack(squares), self.config.world.max_people, batch=_BATCH
    )
    return [
      {name: np.asarray(found[name][i]) for name in ('joints', 'seen')}
      for i in range(len(squares))
    ]

