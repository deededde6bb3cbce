"""Tiny copies of CHI3D in its own layout, for tests: people of hand-placed joints, four cameras."""

import json

import numpy as np

from posejax.data.chi3d_files import CAMERAS
from posejax.geometry.skeleton import CHI3D25

# m, z up; the person faces +y, so its right is +x. Arms hang a little forward.
_HALF = {
  'pelvis': (0, 0, 1), 'spine': (0, 0, 1.2), 'neck': (0, 0, 1.5), 'nose': (0, 0.1, 1.6),
  'head_top': (0, 0, 1.75), 'r_hip': (0.1, 0, 0.95), 'r_knee': (0.1, 0.05, 0.5),
  'r_ankle': (0.1, 0, 0.1), 'r_foot': (0.12, 0.2, 0), 'r_heel': (0.1, -0.05, 0),
  'r_shoulder': (0.2, 0, 1.45), 'r_elbow': (0.25, 0.05, 1.2), 'r_wrist': (0.26, 0.2, 1),
  'r_hand': (0.26, 0.28, 0.95), 'r_thumb': (0.23, 0.25, 1),
}
BODY = {
  **_HALF, **{'l' + name[1:]: (-x, y, z) for name, (x, y, z) in _HALF.items() if name[:2] == 'r_'}
}
ACTIONS = {
  's02': ('Grab 1', 'Hug 1'), 's03': ('Grab 1', 'Hug 1', 'Hug 2', 'Push 1'), 's04': ('Kick 1',),
}
FRAMES = 6
FOCAL, CENTER, K, P = (1150.0, 1140.0), (450.0, 455.0), (-0.2, 0.08, -0.01), (0.001, -0.002)


def people(action: str, frames: int = FRAMES) -> dict[str, np.ndarray]:
  """Name of a joint → (2, T, 3) m: two people who turn, the second one ahead and larger."""
  phase = len(action) + sum(map(ord, action)) % 7
  found = {}
  for name, place in BODY.items():
    rows = []
    for person in range(2):
      angle = 0.4 * (np.arange(frames) + phase) + 3 * person
      s, c = np.sin(angle), np.cos(angle)
      x, y, z = np.array(place) * (1 + 0.05 * person)
      spot = (0.4 * person, 0.5 * person + 0.1 * np.sin(angle), 0)
      rows.append(np.stack([
        c * x - s * y + spot[0], s * x + c * y + spot[1], np.full(frames, z)
      ], -1))
    found[name] = np.stack(rows)
  return found


def file_order(legs: bool = True, arms: bool = True, feet: bool = True) -> tuple[str, ...]:
  """Names of the 25 joints: CHI3D25's, with legs, arms, or toes and heels in each other's place."""
  names = []
  for joint, name in enumerate(CHI3D25.joints):
    arm = joint in (11, 12, 13, 14, 15, 16, 21, 22, 23, 24)
    if name[:2] in ('r_', 'l_') and not (arms if arm else legs):
      name = {'r': 'l', 'l': 'r'}[name[0]] + name[1:]
    if not feet:
      name = name.replace('foot', 'TOE').replace('heel', 'foot').replace('TOE', 'heel')
    names.append(name)
  return tuple(names)


def joints(action: str, order=CHI3D25.joints, frames: int = FRAMES) -> np.ndarray:
  """(2, T, 25, 3) m."""
  places = people(action, frames)
  return np.stack([places[name] for name in order], 2)


def rotation(number: int, roll: float) -> tuple[np.ndarray, np.ndarray]:
  """R (3, 3) and the place T (3,) m of a camera 4 m away that looks at the people's waists."""
  angle = np.pi / 2 * number + 0.3
  place = np.array([4 * np.cos(angle), 4 * np.sin(angle), 1.6 + 0.2 * number])
  ahead = np.array([0.2, 0.25, 1.0]) - place
  ahead /= np.linalg.norm(ahead)
  right = np.cross(ahead, (0, 0, 1))
  right /= np.linalg.norm(right)
  down = np.cross(ahead, right)
  s, c = np.sin(roll), np.cos(roll)
  return np.stack([c * right + s * down, c * down - s * right, ahead]), place


def camera(number: int, unit: float = 1.0, roll: float = 0.03) -> dict:
  """The content of a camera's file."""
  R, T = rotation(number, roll)
  return {
    'extrinsics': {'R': R.tolist(), 'T': [(unit * T).tolist()]},
    'intrinsics_w_distortion': {'f': [FOCAL], 'c': [CENTER], 'k': [K], 'p': [P]},
    'intrinsics_wo_distortion': {'f': [1100.0, 1100.0], 'c': [450.0, 450.0]},
  }


def write(folder, order=CHI3D25.joints, unit=1.0, roll=0.03, mirror=False):
  """Writes a copy without videos; returns the folder that holds `chi3d`."""
  for subject, actions in ACTIONS.items():
    root = folder / 'chi3d' / 'train' / subject
    for action in actions:
      content = unit * joints(action, order) * (-1 if mirror else 1, 1, 1)
      put(root / 'joints3d_25' / f'{action}.json', {'joints3d_25': content.tolist()})
      for number, name in enumerate(CAMERAS):
        put(root / 'camera_parameters' / name / f'{action}.json', camera(number, unit, roll))
  return folder


def put(path, content) -> None:
  path.parent.mkdir(parents=True, exist_ok=True)
  path.write_text(json.dumps(content))
