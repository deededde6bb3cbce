"""The output folder of a run of inference: one set of files for each input, and lists of all.

An input's JSON is written last, so where it stands the input is finished and is not read again.
Names are the input's path below its folder, ending included, so no two inputs meet.
"""

import json
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO

from posejax.inference import files, schema, smoothing, writers
from posejax.inference.scene import Scene
from posejax.inference.smoothing import Acceleration


class Results:
  """Writes results into a folder that `files.claimed` holds.

  Args:
    folder: the folder.
    bvh: whether to write BVH.
  """

  def __init__(self, folder: pathlib.Path, bvh: bool = False):
    self._folder, self._bvh = folder, bvh
    self._coco: list[dict[str, Any]] = []
    self._images: list[dict[str, Any]] = []
    self._inputs: list[dict[str, Any]] = []

  def path(self, name: str, ending: str) -> pathlib.Path:
    """Where a file of an input goes."""
    return self._folder / (name + ending)

  def finished(self, name: str) -> bool:
    """Whether an input was done before; then its result is in the lists.

    Raises:
      SchemaError: its JSON is damaged, or too large to be read back.
    """
    path = self.path(name, '.json')
    if not path.exists():
      return False
    try:
      self._list(schema.load(path))
    except (OSError, schema.SchemaError) as error:
      raise schema.SchemaError(f'{error}; delete it to have it made again') from error
    return True

  def add(
    self, scene: Scene, extra: Mapping[str, Callable[[BinaryIO], None]],
    jitter: tuple[Acceleration, Acceleration] | None = None,
  ) -> None:
    """Writes an input's files.

    Args:
      scene: what was found.
      extra: ending → what writes such a file, such as pictures.
      jitter: accelerations before and after smoothing.

    Raises:
      OutputError: a file can't be written.
    """
    name = scene.file
    for ending, save in extra.items():
      files.write(self.path(name, ending), save)
    if self._bvh:
      for identity, text in writers.bvh_texts(scene).items():
        files.write_text(self.path(name, f'.person{identity}.bvh'), text)
    if jitter:
      files.write_text(self.path(name, '.jitter.json'), jitter_report(*jitter))
    files.write(self.path(name, '.npz'), lambda file: writers.save_npz(file, scene))
    files.write_text(self.path(name, '.json'), schema.dumps(scene))
    self._list(scene)

  def finish(self, skipped: list[str]) -> None:
    """Writes the lists of all inputs: COCO's, and `summary.json`.

    Args:
      skipped: one line for each input that gave nothing.
    """
    files.write_text(self._folder / 'coco_keypoints.json', _lines(self._coco))
    files.write_text(self._folder / 'coco_images.json', _lines(self._images))
    files.write_text(self._folder / 'summary.json', json.dumps(
      {'inputs': self._inputs, 'skipped': skipped}, indent=1, allow_nan=False
    ) + '\n')

  def _list(self, scene: Scene) -> None:
    found, pictures = writers.coco_results([scene])
    first = len(self._images)
    self._images += [{**picture, 'id': picture['id'] + first} for picture in pictures]
    self._coco += [{**one, 'image_id': one['image_id'] + first} for one in found]
    people = sum(int(frame.people.valid.sum()) for frame in scene.frames)
    self._inputs.append({
      'file': scene.file, 'kind': scene.kind, 'frames': len(scene.frames), 'people': people,
    })


def jitter_report(before: Acceleration, after: Acceleration) -> str:
  """Accelerations before and after smoothing, as JSON."""
  return json.dumps({
    'what': (
      'mean acceleration of joints over frames and people, the length of second differences. There '
      'is no ground truth here: taken as an error, it is the error against motion without '
      'acceleration'
    ),
    'root_relative': {'unit': 'mm/s^2', 'before': schema.plain(before.relative_mm_per_s2, 1),
                      'after': schema.plain(after.relative_mm_per_s2, 1)},
    'camera': {'unit': 'mm/s^2', 'before': schema.plain(before.camera_mm_per_s2, 1),
               'after': schema.plain(after.camera_mm_per_s2, 1)},
    'root_relative_per_frame': {
      'unit': 'mm/frame^2', 'before': schema.plain(before.relative_mm_per_frame2),
      'after': schema.plain(after.relative_mm_per_frame2)},
    'camera_per_frame': {
      'unit': 'mm/frame^2', 'before': schema.plain(before.camera_mm_per_frame2),
      'after': schema.plain(after.camera_mm_per_frame2)},
    'frame_triples': before.triples,
  }, indent=1, allow_nan=False) + '\n'


def tracked(scene: Scene, smooth: smoothing.OneEuro | None, follow: Callable[[Scene], Scene]):
  """A video with ids, smoothed where wanted: (scene, accelerations before and after, or None)."""
  scene = follow(scene)
  if smooth is None:
    return scene, None
  smoothed = smoothing.smooth(scene, smooth)
  return smoothed, (smoothing.acceleration(scene), smoothing.acceleration(smoothed))


def _lines(rows: list[dict[str, Any]]) -> str:
  """A JSON list, a row a line."""
  return '[' + ',\n '.join(json.dumps(row, allow_nan=False) for row in rows) + ']\n'
