"""A user's 2D poses: COCO keypoint JSON, folders of OpenPose JSON, and npz, all as J17.

Symbols: F frames, P people, J joints. Joints are found by name: pelvis and neck are the middle of
hips and shoulders where both are seen, a foot is the big toe; what a format lacks (COCO has no head
top and no feet) is not seen. Points are (x, y) px of the picture, the middle of the upper left
pixel is (0, 0).

  COCO        {"images": [...], "annotations": [...]}, or a list of results; 17 joints of 3 numbers
  OpenPose    a folder of *.json with people[].pose_keypoints_2d: BODY_25 or COCO-18, a frame each
  npz         joints (F, P, J, 2), names (J,) texts, optional score (F, P, J), size (2,), focal
              (2,), center (2,) px; a joint that is not finite, or of score 0, is not seen
"""

import json
import os
import pathlib
import zipfile
from typing import Any, NamedTuple

import numpy as np

from posejax.geometry.skeleton import COCO17, DERIVED, J17, OPENPOSE_COCO18

MAX_FILE_BYTES = 256 * 2**20
MAX_FRAMES, MAX_PEOPLE = 1_000_000, 64
MAX_COORDINATE = 1e6

_BODY25 = (
  'nose', 'neck', 'r_shoulder', 'r_elbow', 'r_wrist', 'l_shoulder', 'l_elbow', 'l_wrist', 'pelvis',
  'r_hip', 'r_knee', 'r_ankle', 'l_hip', 'l_knee', 'l_ankle', 'r_eye', 'l_eye', 'r_ear', 'l_ear',
  'l_foot', 'l_small_toe', 'l_heel', 'r_foot', 'r_small_toe', 'r_heel',
)
_OPENPOSE = {25: _BODY25, 18: OPENPOSE_COCO18.joints}


class Poses2dError(ValueError):
  """A file or folder holds no 2D poses that can be read. One line: which, where, why."""


class Frame2d(NamedTuple):
  """The people of one picture.

  Attributes:
    name: of the picture, or of the file that told it.
    joints: (P, 17, 2) px; 0 where not seen.
    seen: (P, 17) bool.
    score: (P,) in [0, 1].
    size: (width, height) px, or None where the file does not say.
  """

  name: str
  joints: np.ndarray
  seen: np.ndarray
  score: np.ndarray
  size: tuple[int, int] | None


class Poses2d(NamedTuple):
  """What was read: frames in order; focal and center (2,) px where the file has them, else None."""

  frames: tuple[Frame2d, ...]
  focal: np.ndarray | None = None
  center: np.ndarray | None = None


def read(path: str | os.PathLike) -> Poses2d:
  """Reads a file or a folder; what it is follows from its content.

  Raises:
    Poses2dError: see the class.
  """
  path = pathlib.Path(path)
  try:
    if path.is_dir():
      return _openpose(path)
    if path.suffix.lower() == '.npz':
      return _npz(path)
    return _coco(path, _json(path))
  except OSError as error:
    raise Poses2dError(f'{path}: cannot be read ({error.strerror or error})') from error


def to_j17(
  points: np.ndarray, score: np.ndarray, names: tuple[str, ...]
) -> tuple[np.ndarray, np.ndarray]:
  """Maps people of any joint set to J17 by name.

  Args:
    points: (P, J, 2) px.
    score: (P, J): 0 is not seen.
    names: J names of this project.

  Returns:
    (P, 17, 2) px and (P, 17) bool.
  """
  good = np.isfinite(points).all(-1) & (score > 0) & (np.abs(points) < MAX_COORDINATE).all(-1)
  points = np.where(good[..., None], points, 0)
  joints = np.zeros((len(points), J17.num_joints, 2))
  seen = np.zeros(joints.shape[:2], bool)
  for j, name in enumerate(J17.joints):
    if name in names:
      joints[:, j], seen[:, j] = points[:, names.index(name)], good[:, names.index(name)]
    pair = DERIVED.get(name, ())
    if pair and all(end in names for end in pair):
      first, second = (names.index(end) for end in pair)
      both = good[:, first] & good[:, second]
      middle = (points[:, first] + points[:, second]) / 2
      joints[:, j] = np.where(both[:, None], middle, joints[:, j])
      seen[:, j] |= both
  return joints, seen


def _json(path: pathlib.Path) -> Any:
  if path.exists() and not path.is_file():  # a pipe would be waited for
    raise Poses2dError(f'{path}: is no file')
  with path.open('rb') as file:
    data = file.read(MAX_FILE_BYTES + 1)
  if len(data) > MAX_FILE_BYTES:
    raise Poses2dError(f'{path}: larger than {MAX_FILE_BYTES} bytes')
  try:
    return json.loads(data.decode())
  except (ValueError, RecursionError) as error:
    raise Poses2dError(f'{path}: no JSON ({str(error)[:80]})') from None


def _triples(path: pathlib.Path, place: str, value: Any, counts: tuple[int, ...]) -> np.ndarray:
  """(J, 3) of a flat list x, y, score, ...; J one of `counts`."""
  wanted = ' or '.join(str(3 * count) for count in counts)
  if not isinstance(value, list) or len(value) not in [3 * count for count in counts]:
    raise Poses2dError(f'{path}: {place}: expected {wanted} numbers')
  if not all(isinstance(x, int | float) and not isinstance(x, bool) for x in value):
    raise Poses2dError(f'{path}: {place}: expected {wanted} numbers, one is none')
  try:
    return np.array(value, np.float64).reshape(-1, 3)
  except OverflowError:
    raise Poses2dError(f'{path}: {place}: a number is too large') from None


def _frame(
  path: pathlib.Path, name: str, people: list[tuple[np.ndarray, float]], names: tuple[str, ...],
  size: tuple[int, int] | None,
) -> Frame2d:
  if len(people) > MAX_PEOPLE:
    raise Poses2dError(f'{path}: {name}: {len(people)} people, at most {MAX_PEOPLE} are read')
  rows = np.stack([row for row, _ in people]) if people else np.zeros((0, len(names), 3))
  joints, seen = to_j17(rows[..., :2], rows[..., 2], names)
  return Frame2d(name, joints, seen, np.array([score for _, score in people], float), size)


def _coco(path: pathlib.Path, content: Any) -> Poses2d:
  whole = isinstance(content, dict)
  entries = content.get('annotations') if whole else content
  pictures = content.get('images', []) if whole else []
  if not isinstance(entries, list) or not isinstance(pictures, list):
    raise Poses2dError(f'{path}: no COCO keypoints: expected a list, or images and annotations')
  people: dict[Any, list] = {}
  sizes: dict[Any, tuple[str, tuple[int, int] | None]] = {}
  for i, picture in enumerate(pictures):
    number = _field(path, f'images[{i}]', picture, 'id')
    side = picture.get('width'), picture.get('height')
    known = all(isinstance(x, int) and 0 < x < MAX_COORDINATE for x in side)
    sizes[number] = str(picture.get('file_name', number)), side if known else None
    people.setdefault(number, [])
  for i, entry in enumerate(entries):
    place = f'annotations[{i}]' if whole else f'[{i}]'
    number = _field(path, place, entry, 'image_id')
    row = _triples(path, f'{place}.keypoints', entry.get('keypoints'), (COCO17.num_joints,))
    if (row[:, 2] > 0).any():  # annotations of crowds have no joints
      score = entry.get('score', 1.0)
      fits = isinstance(score, int | float) and 0 <= score <= 1
      people.setdefault(number, []).append((row, float(score) if fits else 1.0))
  if len(people) > MAX_FRAMES:
    raise Poses2dError(f'{path}: {len(people)} pictures, at most {MAX_FRAMES} are read')
  frames = []
  for number, found in people.items():
    name, size = sizes.get(number, (str(number), None))
    frames.append(_frame(path, name, found, COCO17.joints, size))
  return Poses2d(tuple(frames))


def _field(path: pathlib.Path, place: str, entry: Any, name: str) -> int | str:
  value = entry.get(name) if isinstance(entry, dict) else None
  if not isinstance(value, int | str):
    raise Poses2dError(f'{path}: {place}: expected an object with {name!r}, a number or a text')
  return value


def _openpose(folder: pathlib.Path) -> Poses2d:
  files = sorted(path for path in folder.iterdir() if path.suffix.lower() == '.json')
  if not files:
    raise Poses2dError(f'{folder}: holds no .json file of OpenPose; give a folder of them')
  if len(files) > MAX_FRAMES:
    raise Poses2dError(f'{folder}: {len(files)} files, at most {MAX_FRAMES} are read')
  frames = []
  for path in files:
    content = _json(path)
    entries = content.get('people') if isinstance(content, dict) else None
    if not isinstance(entries, list):
      raise Poses2dError(f'{path}: expected an object with a list of people, as OpenPose writes')
    found, names = [], _BODY25
    for i, entry in enumerate(entries):
      given = entry.get('pose_keypoints_2d') if isinstance(entry, dict) else None
      row = _triples(path, f'people[{i}].pose_keypoints_2d', given, tuple(_OPENPOSE))
      if found and len(row) != len(names):
        raise Poses2dError(f'{path}: people of {len(names)} and of {len(row)} joints')
      names = _OPENPOSE[len(row)]
      score = row[:, 2][row[:, 2] > 0]
      found.append((row, float(np.clip(score.mean(), 0, 1)) if len(score) else 0.0))
    frames.append(_frame(path, path.stem, found, names, None))
  return Poses2d(tuple(frames))


def _npz(path: pathlib.Path) -> Poses2d:
  if path.stat().st_size > MAX_FILE_BYTES:
    raise Poses2dError(f'{path}: larger than {MAX_FILE_BYTES} bytes')
  try:
    with zipfile.ZipFile(path) as archive:
      if sum(info.file_size for info in archive.infolist()) > 4 * MAX_FILE_BYTES:
        raise Poses2dError(f'{path}: holds more than {4 * MAX_FILE_BYTES} bytes')
    with np.load(path, allow_pickle=False) as file:
      arrays = dict(file)
  except (OSError, Poses2dError):
    raise
  # Bytes from anywhere: whatever a library raises for them means the same to a user.
  except Exception as error:
    words = ' '.join(str(error).split())[:80] or type(error).__name__
    raise Poses2dError(f'{path}: no npz of plain arrays ({words})') from None
  missing = {'joints', 'names'} - set(arrays)
  if missing:
    raise Poses2dError(f'{path}: has no array {sorted(missing)[0]!r}')
  joints, names = arrays['joints'], tuple(str(name) for name in arrays['names'].ravel())
  if joints.ndim != 4 or joints.shape[2:] != (len(names), 2) or joints.dtype.kind not in 'fiu':
    raise Poses2dError(
      f'{path}: joints must be numbers (F, P, {len(names)}, 2), got {joints.dtype}{joints.shape}'
    )
  if joints.shape[0] > MAX_FRAMES or joints.shape[1] > MAX_PEOPLE:
    raise Poses2dError(
      f'{path}: {joints.shape[0]} frames of {joints.shape[1]} people; at most {MAX_FRAMES} of '
      f'{MAX_PEOPLE} are read'
    )
  score = arrays.get('score', np.ones(joints.shape[:3]))
  if score.shape != joints.shape[:3] or score.dtype.kind not in 'fiub':
    raise Poses2dError(f'{path}: score must be {joints.shape[:3]}, got {score.shape}')
  pair = {}
  for name in ('size', 'focal', 'center'):
    value = arrays.get(name)
    if value is not None and (value.shape != (2,) or value.dtype.kind not in 'fiu'):
      raise Poses2dError(f'{path}: {name} must be two numbers, got {value.dtype}{value.shape}')
    pair[name] = None if value is None else value.astype(np.float64)
  size = pair['size']
  if size is not None and not ((size >= 1) & (size < MAX_COORDINATE)).all():  # nor of nan
    raise Poses2dError(f'{path}: size is {size.tolist()}, which no picture has')
  size = None if size is None else tuple(int(x) for x in size)
  frames = []
  for index, (points, marks) in enumerate(zip(joints.astype(float), score, strict=True)):
    mapped, seen = to_j17(points, marks, names)
    kept = seen.any(1)
    frames.append(Frame2d(str(index), mapped[kept], seen[kept], np.ones(kept.sum()), size))
  return Poses2d(tuple(frames), pair['focal'], pair['center'])
