"""The JSON of a result: `content` says it, `load` reads it back without trusting the file.

Version 1. One object:

  schema 'posejax.people', version 1, made_by, checkpoint, notes
  source      {file, kind: photo | video, width, height (px), fps (or null); where they were kept:
               bytes, modified (s since 1970) of the file}
  skeleton    {name, joints, parents (-1: none), limbs, flip_pairs (right, left), root}
  units       name of a field → its unit
  frame       the axes in words
  intrinsics  {focal [x, y], center [x, y] (px), source: flag | exif | assumed, note}
  frames      [{index, time (s), people: [{id, score, joints_2d, joints_relative, joints_camera,
               depth, joint_valid, bridged; uncertainty: of methods that say one}]}]

Numbers that are not finite are written as null, never as NaN, which is no JSON. A joint that the
method does not give has `joint_valid` false, and its coordinates mean nothing. A later version may
add fields, which this reader ignores; a change of meaning raises the version, which it refuses.
"""

import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from posejax.geometry.skeleton import Skeleton
from posejax.inference import scene as scene_lib
from posejax.inference.scene import Frame, Lens, Row, Scene, Stamp

NAME, VERSION = 'posejax.people', 1
UNITS = {
  'joints_2d': 'px', 'joints_relative': 'mm', 'joints_camera': 'mm', 'depth': 'mm',
  'uncertainty': 'mm', 'focal': 'px', 'center': 'px', 'time': 's',
}
AXES = (
  'camera: x right, y down, z forward, the origin in the camera; joints_relative has the same axes '
  'and its origin in the root. Image points are (x, y) of the picture as it is seen (EXIF '
  'orientation applied), the middle of its upper left pixel is (0, 0)'
)

# A parsed list takes 56 bytes and more for two of the file's: sizes are capped before it is parsed.
MAX_FILE_BYTES = 96 * 2**20
MAX_LISTS = 3_000_000
MAX_VALUES = 8_000_000
MAX_JOINTS, MAX_SIDE, MAX_TEXT = 256, 2**20, 10_000
MAX_MAGNITUDE = 1e9
_HEADER = 2000  # lists, or commas, of everything but frames
_SMALLER = 'cut the video into shorter ones, or give a larger --every'


class SchemaError(ValueError):
  """A file is no result of this version. One line: "a.json: frames[2].time: what is wrong"."""


def header(scene: Scene) -> dict[str, Any]:
  """All fields but `frames`, as plain data."""
  skeleton, stamp = scene.skeleton, scene.stamp
  return {
    'schema': NAME, 'version': VERSION, 'made_by': scene.made_by, 'checkpoint': scene.checkpoint,
    'notes': list(scene.notes),
    'source': {
      'file': scene.file, 'kind': scene.kind, 'width': scene.width, 'height': scene.height,
      'fps': None if scene.fps is None else plain(scene.fps, 6),
      **({'bytes': stamp.size, 'modified': stamp.modified} if stamp else {}),
    },
    'skeleton': {
      'name': skeleton.name, 'joints': list(skeleton.joints), 'parents': list(skeleton.parents),
      'limbs': [list(limb) for limb in skeleton.limbs],
      'flip_pairs': [list(pair) for pair in skeleton.flip_pairs],
      'root': skeleton.joints[scene_lib.root(skeleton)],
    },
    'units': UNITS, 'frame': AXES,
    'intrinsics': {
      'focal': plain(scene.lens.focal), 'center': plain(scene.lens.center),
      'source': scene.lens.source, 'note': scene.lens.note,
    },
  }


def dumps(scene: Scene) -> str:
  """The JSON text."""
  return ''.join(parts(scene))


def parts(scene: Scene) -> Iterator[str]:
  """The JSON text, a frame at a time; a field, and below `frames` a frame, is a line.

  Coordinates are rounded to 0.001 mm and 0.001 px, so that a file stays readable.

  Raises:
    SchemaError: it would be larger than `load` reads.
  """
  check_scene(scene)
  fields = [
    f' "{name}": {json.dumps(value, allow_nan=False)},\n' for name, value in header(scene).items()
  ]
  text = f'{{\n{"".join(fields)} "frames": [\n  '
  size = len(text)
  yield text
  for number, frame in enumerate(scene.frames):
    alone = dataclasses.replace(scene, frames=(frame,))
    text = ',\n  ' * bool(number) + json.dumps({
      'index': frame.index, 'time': plain(frame.time, 6),
      'people': [_person(row) for row in scene_lib.rows(alone)],
    }, allow_nan=False)
    size += len(text)  # of ASCII, as json.dumps writes it
    if size > MAX_FILE_BYTES - 10:
      raise SchemaError(
        f'{scene.file}: its result would be larger than {MAX_FILE_BYTES} bytes; {_SMALLER}'
      )
    yield text
  yield '\n ]\n}\n'


def check_scene(scene: Scene) -> None:
  """`check_size` of a scene."""
  people = sum(int(frame.people.valid.sum()) for frame in scene.frames)
  check_size(scene.file, people, len(scene.frames), scene.skeleton.num_joints)


def check_size(file: str, people: int, frames: int, joints: int) -> None:
  """Raises SchemaError where a result of so many people over so many frames is not to be read.

  Args:
    file: its name.
    people: counted in each frame.
    frames: of the video.
    joints: J.
  """
  lists = people * (3 * joints + 5) + 2 * frames + _HEADER
  values = people * (9 * joints + 9) + 3 * frames + _HEADER
  if lists > MAX_LISTS or values > MAX_VALUES:
    raise SchemaError(
      f'{file}: {people} people over {frames} frames are more than a result holds; {_SMALLER}'
    )


def plain(value: Any, digits: int = 3) -> Any:
  """Numbers as JSON holds them: nested lists, rounded, null for what is not finite."""
  # An array's own list first: Python's numbers are faster to look at than NumPy's.
  if isinstance(value, np.ndarray):
    value = value.tolist()
  if isinstance(value, list | tuple):
    return [plain(item, digits) for item in value]
  value = float(value)
  return round(value, digits) if math.isfinite(value) else None


def _person(row: Row) -> dict[str, Any]:
  return {
    'id': row.identity, 'score': plain(row.score, 4), 'joints_2d': plain(row.joints_2d),
    'joints_relative': plain(row.joints_relative), 'joints_camera': plain(row.joints_camera),
    'depth': plain(row.depth), 'joint_valid': [bool(valid) for valid in row.joint_valid],
    'bridged': row.bridged,
    **({'uncertainty': plain(row.uncertainty)} if math.isfinite(row.uncertainty) else {}),
  }


def load(path: str | os.PathLike) -> Scene:
  """Reads a result.

  Args:
    path: a JSON file.

  Raises:
    SchemaError: too large, no JSON, or not of this schema; says where.
    OSError: the file cannot be opened.
  """
  with pathlib.Path(path).open('rb') as file:
    data = file.read(MAX_FILE_BYTES + 1)
  return parse(data, os.fspath(path))


def parse(data: bytes, source: str = 'JSON') -> Scene:
  """Reads the bytes of a result; `source` is its name for messages.

  Raises:
    SchemaError: as `load`.
  """
  try:
    return _scene(_Value(_tree(data)))
  except SchemaError as error:
    raise SchemaError(f'{source}: {error}') from None


def _tree(data: bytes) -> Any:
  if len(data) > MAX_FILE_BYTES:
    raise SchemaError(f'larger than {MAX_FILE_BYTES} bytes')
  if data.count(b'[') + data.count(b'{') > MAX_LISTS or data.count(b',') > MAX_VALUES:
    raise SchemaError(f'more than {MAX_LISTS} lists or {MAX_VALUES} values')
  try:
    return json.loads(data.decode('utf-8'), parse_constant=_no_constant)
  except UnicodeDecodeError as error:
    raise SchemaError(f'byte {error.start} is not UTF-8') from None
  except RecursionError:
    raise SchemaError('nested too deep') from None
  except ValueError as error:
    raise SchemaError(f'no JSON ({str(error)[:100]})') from None


def _no_constant(name: str) -> None:
  raise ValueError(f'{name} is no JSON number')


class _Value:
  """A parsed value and where it stands, for messages."""

  def __init__(self, value: Any, place: str = ''):
    self.value, self.place = value, place

  def fail(self, wanted: str) -> SchemaError:
    return SchemaError(f'{self.place or "the file"}: expected {wanted}, got {_show(self.value)}')

  def __getitem__(self, name: str) -> '_Value':
    if not isinstance(self.value, dict):
      raise self.fail('an object')
    if name not in self.value:
      raise self.fail(f'a field {name!r}')
    return _Value(self.value[name], f'{self.place}.{name}'.lstrip('.'))

  def items(self, most: int = MAX_VALUES) -> list['_Value']:
    if not isinstance(self.value, list) or len(self.value) > most:
      raise self.fail(f'a list of at most {most}')
    return [_Value(item, f'{self.place}[{i}]') for i, item in enumerate(self.value)]

  def text(self) -> str:
    if not isinstance(self.value, str) or len(self.value) > MAX_TEXT or '\0' in self.value:
      raise self.fail(f'a text of at most {MAX_TEXT} characters')
    return self.value

  def truth(self) -> bool:
    if not isinstance(self.value, bool):
      raise self.fail('true or false')
    return self.value

  def whole(self, low: int, high: int) -> int:
    if not isinstance(self.value, int) or isinstance(self.value, bool) or not (
      low <= self.value <= high
    ):
      raise self.fail(f'a whole number from {low} to {high}')
    return self.value

  def number(self, low: float = -MAX_MAGNITUDE, high: float = MAX_MAGNITUDE) -> float:
    # The comparison is false for nan; 1e999 is inf to Python.
    fits = isinstance(self.value, int | float) and not isinstance(self.value, bool)
    if not fits or not low <= self.value <= high:
      raise self.fail(f'a number from {low:g} to {high:g}')
    return float(self.value)

  def number_or_nan(self, low: float = -MAX_MAGNITUDE, high: float = MAX_MAGNITUDE) -> float:
    return math.nan if self.value is None else self.number(low, high)

  def choice(self, names: tuple[str, ...]) -> str:
    if self.value not in names:
      raise self.fail(' or '.join(names))
    return self.value

  def array(self, shape: tuple[int, ...], low: float = -MAX_MAGNITUDE) -> np.ndarray:
    """Numbers of a shape; null is nan."""
    flat: list[float] = []

    def walk(value: Any, rest: tuple[int, ...]) -> bool:
      if rest:
        return isinstance(value, list) and len(value) == rest[0] and all(
          walk(item, rest[1:]) for item in value
        )
      flat.append(math.nan if value is None else value)
      return value is None or (type(value) in (int, float) and low <= value <= MAX_MAGNITUDE)

    if not walk(self.value, shape):
      raise self.fail(f'numbers of shape {shape} from {low:g} to {MAX_MAGNITUDE:g}, or null')
    return np.array(flat, np.float64).reshape(shape)


def _show(value: Any) -> str:
  if isinstance(value, list | dict):
    return f'{"a list" if isinstance(value, list) else "an object"} of {len(value)}'
  text = ascii(value)
  return text if len(text) <= 60 else text[:60] + '...'


def _scene(whole: _Value) -> Scene:
  _check_version(whole)
  skeleton = _skeleton(whole['skeleton'])
  frames = tuple(_frame(frame, skeleton.num_joints) for frame in whole['frames'].items())
  return dataclasses.replace(_without_frames(whole, skeleton), frames=frames)


def scene_of_header(text: str) -> Scene:
  """The scene of `json.dumps(header(...))`, without frames, read without trusting it.

  Raises:
    SchemaError: as `parse`.
  """
  whole = _Value(_tree(text.encode()))
  _check_version(whole)
  return _without_frames(whole, _skeleton(whole['skeleton']))


def _check_version(whole: _Value) -> None:
  whole['schema'].choice((NAME,))
  version = whole['version']
  if version.whole(1, 10**6) != VERSION:
    raise SchemaError(f'version {version.value}: this program reads version {VERSION}')


def _without_frames(whole: _Value, skeleton: Skeleton) -> Scene:
  source = whole['source']
  fps = source['fps']
  return Scene(
    file=source['file'].text(), kind=source['kind'].choice(scene_lib.KINDS),
    width=source['width'].whole(1, MAX_SIDE), height=source['height'].whole(1, MAX_SIDE),
    fps=None if fps.value is None else fps.number(1e-6, 1e6), skeleton=skeleton,
    lens=_lens(whole['intrinsics']), frames=(),
    made_by=whole['made_by'].text(), checkpoint=whole['checkpoint'].text(),
    notes=tuple(note.text() for note in whole['notes'].items(1000)),
    stamp=Stamp(source['bytes'].whole(0, 2**63), source['modified'].number(-1e12, 1e12))
    if 'bytes' in source.value else None,
  )


def _skeleton(value: _Value) -> Skeleton:
  names = tuple(joint.text() for joint in value['joints'].items(MAX_JOINTS))
  count = len(names)
  if not names or len(set(names)) != count:
    raise value['joints'].fail('different joint names')
  parents = tuple(item.whole(-1, count - 1) for item in value['parents'].items(MAX_JOINTS))
  if len(parents) != count or parents.count(-1) != 1:
    raise value['parents'].fail(f'{count} parents, one of them -1')
  for start in range(count):
    joint, steps = start, 0
    while joint >= 0:
      joint, steps = parents[joint], steps + 1
      if steps > count:
        raise value['parents'].fail('a tree without circles')

  def pairs(name: str) -> tuple[tuple[int, int], ...]:
    found = []
    for item in value[name].items(MAX_JOINTS):
      pair = tuple(end.whole(0, count - 1) for end in item.items(2))
      if len(pair) != 2:
        raise item.fail('a pair of joints')
      found.append(pair)
    return tuple(found)

  skeleton = Skeleton(value['name'].text(), names, parents, pairs('limbs'), pairs('flip_pairs'))
  value['root'].choice((names[scene_lib.root(skeleton)],))
  return skeleton


def _lens(value: _Value) -> Lens:
  focal, center = value['focal'].array((2,), 1e-6), value['center'].array((2,))
  if not (np.isfinite(focal).all() and np.isfinite(center).all()):
    raise value.fail('intrinsics without null')
  return Lens(focal, center, value['source'].choice(scene_lib.SOURCES), value['note'].text())


def _frame(value: _Value, joints: int) -> Frame:
  rows = []
  for person in value['people'].items():
    valid = [item.truth() for item in person['joint_valid'].items(MAX_JOINTS)]
    if len(valid) != joints:
      raise person['joint_valid'].fail(f'{joints} values')
    row = Row(
      0, person['id'].whole(-2**31, 2**31 - 1), person['score'].number_or_nan(0, 1),
      person['joints_2d'].array((joints, 2)), person['joints_relative'].array((joints, 3)),
      person['joints_camera'].array((joints, 3)), person['depth'].number_or_nan(),
      np.array(valid, bool), person['bridged'].truth(),
      person['uncertainty'].number(0) if 'uncertainty' in person.value else math.nan,
    )
    for name in ('joints_2d', 'joints_relative', 'joints_camera'):
      if not np.isfinite(getattr(row, name)[row.joint_valid]).all():
        raise SchemaError(f'{person.place}.{name}: null where joint_valid is true')
    rows.append(row)
  index, time = value['index'].whole(0, 2**31 - 1), value['time'].number()
  return scene_lib.frame_of(rows, joints, index, time)
