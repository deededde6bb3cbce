"""Labelled photographs for evaluation: one labelled person a picture, 14 joints (LSP-extended).

For figures alone, never for training: even-numbered pictures for validation, odd-numbered for the
final figure. Layout of the folder: `im00018.jpg`, ... and `joints.json` with

  {"joints": [14 names], "columns": ["x_px", "y_px", "visible"],
   "annotations": {"im00018.jpg": [[x, y, visible], ... 14 rows], ...}}

Pixels of the labels are taken with centres at whole numbers, as everywhere here. Sides are the
person's own: r_ is on the picture's left where the person faces the camera. Where `visible` is 0
the place is meaningless and reads as the origin here.

Johnson and Everingham, "Learning effective human pose estimation from inaccurate annotation", 2011.
"""

import json
import os
import pathlib
import re
from typing import Literal, NamedTuple

import numpy as np

from posejax.data import images
from posejax.data.images import ImageError

JOINTS = (
  'r_ankle', 'r_knee', 'r_hip', 'l_hip', 'l_knee', 'l_ankle', 'r_wrist', 'r_elbow', 'r_shoulder',
  'l_shoulder', 'l_elbow', 'l_wrist', 'neck', 'head_top',
)
_COLUMNS = ('x_px', 'y_px', 'visible')
_FARTHEST = 1e5  # px
_MAX_BYTES = 64 * 2**20
_NAME = re.compile(r'im([0-9]{1,9})\.(?:jpg|png)')
_AGAIN = 'get the folder again'


class Labelled(NamedTuple):
  """One labelled photograph.

  Attributes:
    path: the photograph.
    joints: (14, 2) px, in the order of `JOINTS`; the origin where not visible.
    visible: (14,) bool.
  """

  path: pathlib.Path
  joints: np.ndarray
  visible: np.ndarray


def read_labels(
  folder: str | os.PathLike, part: Literal['validation', 'final']
) -> tuple[Labelled, ...]:
  """Reads the labels of one part; the photographs are not opened.

  Args:
    folder: see the module.
    part: 'validation' for even-numbered pictures, 'final' for odd-numbered ones.

  Returns:
    One entry for each picture, in order of the names.

  Raises:
    ImageError: no joints.json, one of another form, or a photograph is missing.
    ValueError: no such part.
  """
  if part not in ('validation', 'final'):
    raise ValueError(f"read_labels: part must be 'validation' or 'final', got {part!r}")
  source = pathlib.Path(folder) / 'joints.json'
  content = _parse(source)
  if tuple(content.get('joints', ())) != JOINTS or tuple(content.get('columns', ())) != _COLUMNS:
    raise ImageError(source, f'other joints or columns than {", ".join(JOINTS)}', _AGAIN)
  labelled = []
  for name, rows in sorted(content['annotations'].items()):
    match = _NAME.fullmatch(name)  # a plain name: no way out of the folder
    if not match:
      raise ImageError(source, f'{images.printable(name[:40])} is no picture im<number>', _AGAIN)
    joints, visible = _person(source, name, rows)
    if int(match[1]) % 2 == (part == 'final'):
      path = source.parent / name
      if not path.is_file():
        raise ImageError(path, f'is missing, but {source.name} has its labels', _AGAIN)
      labelled.append(Labelled(path, joints, visible))
  if not labelled:
    raise ImageError(source, f'has no pictures for {part}', _AGAIN)
  return tuple(labelled)


def _parse(source: pathlib.Path) -> dict:
  try:
    with open(source, 'rb') as file:
      data = file.read(_MAX_BYTES + 1)
    if len(data) > _MAX_BYTES:
      raise ImageError(source, f'is larger than {_MAX_BYTES} bytes', _AGAIN)
    content = json.loads(data)
  except OSError as error:
    raise ImageError(source, f'cannot be read ({error.strerror})', 'check the path') from None
  except RecursionError:
    raise ImageError(source, 'no labels, but lists in lists', _AGAIN) from None
  except ValueError as error:
    if isinstance(error, ImageError):
      raise
    raise ImageError(source, f'no JSON ({str(error)[:80]})', _AGAIN) from None
  whole = isinstance(content, dict) and isinstance(content.get('annotations'), dict)
  if not whole or not all(isinstance(content.get(x), list) for x in ('joints', 'columns')):
    raise ImageError(source, 'no joints, columns and annotations in it', _AGAIN)
  return content


def _person(source: pathlib.Path, name: str, rows: object) -> tuple[np.ndarray, np.ndarray]:
  """(14, 2) px and (14,) bool of one picture's rows."""
  try:
    values = np.array(rows, np.float64)
  except (TypeError, ValueError, OverflowError):
    values = np.zeros(0)
  if values.shape != (len(JOINTS), 3):
    raise ImageError(source, f'{name}: not {len(JOINTS)} rows of 3 numbers', _AGAIN)
  # NaN and infinity fail the comparison too; Python's JSON reads both.
  if not (np.abs(values) <= _FARTHEST).all() or not np.isin(values[:, 2], (0, 1)).all():
    raise ImageError(source, f'{name}: a number out of range', _AGAIN)
  visible = values[:, 2] == 1
  return np.where(visible[:, None], values[:, :2], 0.0), visible
