"""CHI3D as it lies on disk, read without trusting it: joints, cameras, frame rates.

Symbols: T frames, P = 2 people, J = 17 joints (J17), C = 4 cameras.

  <folder>/chi3d/train/{s02,s03,s04}/joints3d_25/<action>.json              (2, T, 25, 3)
                                     camera_parameters/<camera>/<action>.json
                                     videos/<camera>/<action>.mp4

World: z up. Files are in metres or in millimetres, told by the people's size; here all is mm.
Cameras: X_cam = (X − T) Rᵀ, and CHI3D's own lens model (`Chi3dDistortion`), from
`intrinsics_w_distortion {f, c, k, p}` and `extrinsics {R, T}`, each a row or a list with one row.

Sources disagree on which joints are the right ones: `chi3d_order` derives it from the poses.

Source: spec/lifting.md, "CHI3D on disk". No copy of the data set was at hand: tests make theirs.
"""

import json
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import numpy as np

from posejax.data import chi3d_order, videos
from posejax.data.captured_poses import CapturedPosesError
from posejax.data.fingerprint import printable
from posejax.data.images import ImageError
from posejax.geometry import camera as camera_lib
from posejax.geometry.camera import Camera, Chi3dDistortion, Intrinsics
from posejax.geometry.skeleton import CHI3D25, J17, Skeleton

SUBJECTS = {'train': ('s02', 's03'), 'test': ('s04',)}  # [S]
CAMERAS = ('50591643', '58860488', '60457274', '65906101')
PEOPLE = 2
LAYOUT = (
  'chi3d/train/{s02,s03,s04}/{joints3d_25/<action>.json,camera_parameters/<camera>/<action>.json,'
  'videos/<camera>/<action>.mp4}'
)
MAX_JOINTS_BYTES = 64 * 2**20  # some 20,000 frames
MAX_CAMERA_BYTES = 2**20
MAX_FRAMES = 100_000
MAX_LISTS = 3_000_000
MAX_MAGNITUDE = 1e6
# Pelvis to head top, in the two units that there may be: from a child to a giant.
_TRUNK_M = (0.3, 1.5)
_CAMERA_MM = (500.0, 50_000.0)  # of a camera from the people
# A container may count a frame more or less; another rate is at least a twenty-fourth away.
_SAME_FRAMES = 0.02


class Chi3dError(CapturedPosesError):
  """A copy of CHI3D cannot be used. One line: which file and field, why, what to do."""


class RealCamera(NamedTuple):
  """One camera of one clip: X_cam = R X + t, mm; and its lens."""

  camera: Camera
  distortion: Chi3dDistortion

  def pixels(self, points: jax.Array) -> jax.Array:
    """(N, 3) mm, world → (N, 2) px as the camera saw them."""
    seen = camera_lib.world_to_camera(points, self.camera)
    return camera_lib.project(seen, self.camera.intrinsics, self.distortion)

  def rays(self, pixels: jax.Array) -> jax.Array:
    """(N, 2) px → (N, 2) tangents x / z, y / z without the lens's distortion."""
    depths = np.ones(len(pixels))
    points = camera_lib.back_project(pixels, depths, self.camera.intrinsics, self.distortion)
    return points[:, :2]


class Clip(NamedTuple):
  """One action of one pair of people.

  Attributes:
    subject: of the pair, such as 's02'.
    action: name of its files.
    joints: (T, 2, 17, 3) mm float32, J17, world, z up.
    cameras: in the order of `CAMERAS`.
  """

  subject: str
  action: str
  joints: np.ndarray
  cameras: tuple[RealCamera, ...]


class Rate(NamedTuple):
  """fps: frames per second of joints and video, 0 where not known; note: why not, in a line."""

  fps: float
  note: str = ''


class Archive(NamedTuple):
  """A copy of CHI3D: the folder of its subjects, and the order of its 25 joints as derived."""

  root: pathlib.Path
  skeleton: Skeleton


def open_archive(folder: str | os.PathLike) -> Archive:
  """Finds the subjects and derives the sides from all poses there are; reads every joints file.

  Args:
    folder: that holds `chi3d`, or `train`, or the subjects.

  Raises:
    Chi3dError: no such folder, a subject without actions, a file that cannot be read, or poses
      that do not tell their sides.
  """
  root = _subjects_folder(pathlib.Path(folder))
  total = np.zeros((4, 2))
  for subject in (name for names in SUBJECTS.values() for name in names):
    for action in actions(root, subject):
      joints, _ = _joints(_path(root, subject, 'joints3d_25', action))
      total += chi3d_order.votes(joints.reshape(-1, CHI3D25.num_joints, 3))
  try:
    return Archive(root, chi3d_order.arrangement(total))
  except ValueError as error:
    raise Chi3dError(f'{printable(root)}: {error}; these are not the poses of CHI3D') from None


def actions(root: pathlib.Path, subject: str) -> list[str]:
  """Names of a subject's actions, sorted.

  Raises:
    Chi3dError: there are none.
  """
  folder = root / subject / 'joints3d_25'
  try:
    files = [path for path in folder.iterdir() if path.suffix == '.json']
    names = sorted(path.stem for path in files if not path.name.startswith('.'))
  except OSError:
    names = []
  if not names:
    raise Chi3dError(f'{printable(folder)}: no <action>.json in it; put the copy as {LAYOUT}')
  return names


def clips(archive: Archive, subject: str) -> Iterator[Clip]:
  """A subject's clips, by name.

  Raises:
    Chi3dError: a file that cannot be used.
  """
  order = [archive.skeleton.index(name) for name in J17.joints]
  for action in actions(archive.root, subject):
    path = _path(archive.root, subject, 'joints3d_25', action)
    joints, unit = _joints(path)
    joints = np.moveaxis(unit * joints[:, :, order], 0, 1).astype(np.float32)
    middle = joints[:, :, 0].mean((0, 1))
    cameras = tuple(
      _camera(_path(archive.root, subject, f'camera_parameters/{name}', action), unit, middle)
      for name in CAMERAS
    )
    yield Clip(subject, action, joints, cameras)


def rate_of(archive: Archive, clip: Clip) -> Rate:
  """The frame rate of a clip, if each of its videos has a frame for each of its poses.

  Returns:
    Rate 0 with a note where PyAV or a video is missing, or a video does not state its length.

  Raises:
    Chi3dError: a video has another number of frames than there are poses, or another rate than
      the others.
  """
  count, found, note = len(clip.joints), [], ''
  for name in CAMERAS:
    path = _path(archive.root, clip.subject, f'videos/{name}', clip.action, '.mp4')
    try:
      with videos.Video(path) as video:
        info = video.info
    except ImageError as error:
      note = note or f'the rate could not be checked: {error}'
      continue
    if not info.stated_frames:
      note = note or f'the rate could not be checked: {printable(path)} states no length'
      continue
    if abs(info.stated_frames - count) > max(1, _SAME_FRAMES * count):
      raise Chi3dError(
        f'{printable(path)}: {info.stated_frames} frames at {info.fps:g} per second, but '
        f'joints3d_25 has {count}: the poses are not of its frames; copy both again'
      )
    if found and abs(info.fps / found[0] - 1) > _SAME_FRAMES:
      raise Chi3dError(
        f'{printable(path)}: {info.fps:g} frames per second, another camera has {found[0]:g}; '
        'copy both again'
      )
    found.append(info.fps)
  return Rate(0.0, note) if note else Rate(found[0])


def _subjects_folder(folder: pathlib.Path) -> pathlib.Path:
  for inner in ('chi3d/train', 'train', ''):
    if os.path.isdir(folder / inner / SUBJECTS['train'][0]):
      return folder / inner
  there = 'holds no copy of CHI3D' if os.path.isdir(folder) else 'no such folder'
  raise Chi3dError(f'{printable(folder)}: {there}; put it there as {LAYOUT}')


def _path(
  root: pathlib.Path, subject: str, folder: str, action: str, suffix: str = '.json'
) -> pathlib.Path:
  return root / subject / folder / f'{action}{suffix}'


def _joints(path: pathlib.Path) -> tuple[np.ndarray, float]:
  """(2, T, 25, 3) as they stand in a file, and mm per unit."""
  whole = _json(path, MAX_JOINTS_BYTES)
  joints = _numbers(path, whole, 'joints3d_25')
  fits = joints.ndim == 4 and joints.shape[::2] == (PEOPLE, 25) and joints.shape[3] == 3
  if not fits or not 1 <= joints.shape[1] <= MAX_FRAMES:
    raise Chi3dError(
      f'{printable(path)}: joints3d_25: expected (2, T, 25, 3) with T in 1..{MAX_FRAMES}, got '
      f'{joints.shape}'
    )
  trunk = float(np.median(np.linalg.norm(joints[:, :, 10] - joints[:, :, 0], axis=-1)))
  for unit in (1000.0, 1.0):
    if _TRUNK_M[0] <= trunk * unit / 1000 <= _TRUNK_M[1]:
      return joints, unit
  raise Chi3dError(
    f'{printable(path)}: joints3d_25: pelvis to head top is {trunk:.3g}, which is neither metres '
    'nor millimetres of people'
  )


def _camera(path: pathlib.Path, unit: float, middle: np.ndarray) -> RealCamera:
  """A camera in mm; `middle` is where the people are."""
  whole = _json(path, MAX_CAMERA_BYTES)

  def read(field: str, *shape: int) -> np.ndarray:
    array = _numbers(path, whole, field)
    if array.shape not in (shape, (1, *shape)):
      raise Chi3dError(f'{printable(path)}: {field}: expected shape {shape}, got {array.shape}')
    return array.reshape(shape)

  def check(field: str, fits: bool, wanted: str) -> None:
    if not fits:
      raise Chi3dError(f'{printable(path)}: {field}: {wanted}')

  R, T = read('extrinsics.R', 3, 3), unit * read('extrinsics.T', 3)
  inner = 'intrinsics_w_distortion'
  f, c, k, p = (
    read(f'{inner}.{name}', size) for name, size in zip('fckp', (2, 2, 3, 2), strict=True)
  )
  turns = np.abs(R @ R.T - np.eye(3)).max() < 1e-3 and np.linalg.det(R) > 0
  check('extrinsics.R', turns, 'expected a rotation')
  check(f'{inner}.f', (f > 0).all(), 'expected lengths above 0 px')
  away = float(np.linalg.norm(T - middle))
  check(
    'extrinsics.T', _CAMERA_MM[0] <= away <= _CAMERA_MM[1],
    f'the camera is {away / 1000:.3g} m from the people; expected the unit of the joints',
  )
  return RealCamera(Camera(Intrinsics(f, c), R, -R @ T), Chi3dDistortion(k, p))


def _json(path: pathlib.Path, most: int) -> Any:
  try:
    if not path.is_file():  # nor a pipe, whose opening waits
      raise Chi3dError(f'{printable(path)}: no such file; put the copy as {LAYOUT}')
    with path.open('rb') as file:
      data = file.read(most + 1)
  except OSError as error:
    raise Chi3dError(f'{printable(path)}: cannot be read ({error.strerror})') from None
  if len(data) > most:
    raise Chi3dError(f'{printable(path)}: larger than {most} bytes')
  if data.count(b'[') + data.count(b'{') > MAX_LISTS:
    raise Chi3dError(f'{printable(path)}: more than {MAX_LISTS} lists')
  try:
    return json.loads(data.decode())
  except RecursionError:
    raise Chi3dError(f'{printable(path)}: nested too deep') from None
  except ValueError as error:
    raise Chi3dError(f'{printable(path)}: no JSON ({str(error)[:100]})') from None


def _numbers(path: pathlib.Path, whole: Any, field: str) -> np.ndarray:
  """The finite numbers of a dotted field, float64, in whatever shape."""
  value = whole
  for name in field.split('.'):
    if not isinstance(value, dict) or name not in value:
      raise Chi3dError(f'{printable(path)}: {field}: no such field')
    value = value[name]
  try:
    array = np.array(value)
  except (ValueError, OverflowError, RecursionError):
    array = np.array('')
  if array.dtype.kind not in 'fiu':
    raise Chi3dError(f'{printable(path)}: {field}: expected numbers in lists of one length')
  if not (np.abs(array) < MAX_MAGNITUDE).all():  # false for nan
    raise Chi3dError(
      f'{printable(path)}: {field}: a number is not finite, or not below {MAX_MAGNITUDE:g}'
    )
  return array.astype(np.float64)
