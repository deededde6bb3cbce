"""The output folder of a run of inference: one set of files for each input, and lists of all.

An input's JSON is written last, so where it stands the input is finished and is not read again;
what it holds is then taken from the npz, which is quicker read. Results tell size and time of the
file that they were made of: where another one has taken its place, the old result's files, all
written by this program, are taken away, and it is made anew. Names are of `inputs`.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, NamedTuple

from posejax.inference import files, schema, smoothing, writers
from posejax.inference import scene as scene_lib
from posejax.inference.scene import Scene, Stamp
from posejax.inference.smoothing import Acceleration

# Of an input's files but its BVH; the JSON first: without it what is left is none.
_ENDINGS = (
  '.json', '.npz', '.jitter.json', '.html', '.3d.png', '.overlay.png', '.rrd',
)


class _Listed(NamedTuple):
  """What the lists say of one input; ids count its own pictures."""

  images: list[dict[str, Any]]
  people: list[dict[str, Any]]
  summary: dict[str, Any]


class Results:
  """Writes results into a folder that `files.claimed` holds.

  Args:
    folder: the folder.
    bvh: whether to write BVH.
  """

  def __init__(self, folder: pathlib.Path, bvh: bool = False):
    self._folder, self._bvh = folder, bvh
    self._listed: dict[str, _Listed] = {}

  def path(self, name: str, ending: str) -> pathlib.Path:
    """Where a file of an input goes."""
    return self._folder / (name + ending)

  def finished(
    self, name: str, stamp: Stamp | None, tell: Callable[[str], None] | None = None
  ) -> bool:
    """Whether an input was done before; then its result is in the lists.

    Args:
      name: of the input.
      stamp: of its file; None where there is none to compare.
      tell: gets a line where the result is of another file; it is taken away then.

    Raises:
      SchemaError: the result is damaged.
      OutputError: it is of another file, and cannot be taken away.
    """
    path = self.path(name, '.json')
    if not os.path.lexists(path):
      return False
    try:
      scene = writers.load_npz(self.path(name, '.npz'))
    except (OSError, schema.SchemaError) as error:
      told = str(error).replace('\n', ' ')
      raise schema.SchemaError(f'{told}; delete {path} to have it made again') from error
    if stamp and scene.stamp and stamp != scene.stamp:
      if tell:
        tell(f'{name}: was replaced since its result was made, which is made anew')
      self._take_away(scene)
      return False
    self._list(scene)
    return True

  def _take_away(self, scene: Scene) -> None:
    people = {row.identity for row in scene_lib.rows(scene)}
    try:
      for ending in (*_ENDINGS, *(f'.person{identity}.bvh' for identity in sorted(people))):
        with contextlib.suppress(FileNotFoundError):
          os.unlink(self.path(scene.file, ending))
    except OSError as error:
      raise files.OutputError(
        f'{error.filename}: cannot be taken away ({error.strerror}); choose another --output'
      ) from error

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
      SchemaError: the result would be too large to be read again; nothing is written.
    """
    name = scene.file
    schema.check_scene(scene)
    for ending, save in extra.items():
      files.write(self.path(name, ending), save)
    if self._bvh:
      for identity, text in writers.bvh_texts(scene).items():
        files.write_text(self.path(name, f'.person{identity}.bvh'), text)
    if jitter:
      files.write_text(self.path(name, '.jitter.json'), jitter_report(*jitter))
    files.write(self.path(name, '.npz'), lambda file: writers.save_npz(file, scene))
    files.write(self.path(name, '.json'), lambda file: file.writelines(
      part.encode() for part in schema.parts(scene)
    ))
    self._list(scene)

  def finish(self, skipped: list[str]) -> None:
    """Writes the lists of all inputs, by name: COCO's, and `summary.json`.

    Args:
      skipped: one line for each input that gave nothing.
    """
    images, people, inputs = [], [], []
    for _, listed in sorted(self._listed.items()):
      first = len(images)
      images += [{**picture, 'id': picture['id'] + first} for picture in listed.images]
      people += [{**one, 'image_id': one['image_id'] + first} for one in listed.people]
      inputs.append(listed.summary)
    files.write_text(self._folder / 'coco_keypoints.json', _lines(people))
    files.write_text(self._folder / 'coco_images.json', _lines(images))
    files.write_text(self._folder / 'summary.json', json.dumps(
      {'inputs': inputs, 'skipped': skipped}, indent=1, allow_nan=False
    ) + '\n')

  def _list(self, scene: Scene) -> None:
    found, pictures = writers.coco_results([scene])
    people = sum(int(frame.people.valid.sum()) for frame in scene.frames)
    self._listed[scene.file] = _Listed(pictures, found, {
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
