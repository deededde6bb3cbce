"""Small scenes made by hand, for the tests of what is written and tracked."""

import numpy as np

from posejax.geometry import kinematics
from posejax.geometry.skeleton import J15
from posejax.inference.scene import Frame, Lens, Row, Scene, frame_of
from posejax.methods.base import People

LENS = Lens(np.array([800.0, 800.0]), np.array([319.5, 239.5]), 'assumed', 'half the width')


def standing():
  """(15, 3) mm: a person of the standard bones with arms out, pelvis at the origin, y down."""
  lengths = kinematics.bone_lengths(J15)
  pose = np.zeros((15, 3))
  for joint, parent in enumerate(J15.parents):
    side = {'r_': -1, 'l_': 1}.get(J15.joints[joint][:2], 0)
    legs = J15.joints[joint][2:] in ('knee', 'ankle')
    direction = (0, 1, 0) if legs else ((side, 0, 0) if side else (0, -1, 0))
    if parent >= 0:
      pose[joint] = pose[parent] + lengths[joint] * np.array(direction)
  return pose


def row(frame, place, pose=None, score=0.9, identity=0, valid=None, lens=LENS):
  """A person whose pelvis is at `place` (x, y, z) mm."""
  relative = standing() if pose is None else pose
  camera = relative + np.array(place, float)
  image = camera[:, :2] / camera[:, 2:] * lens.focal + lens.center
  valid = np.ones(15, bool) if valid is None else valid
  return Row(frame, identity, score, image, relative, camera, float(place[2]), valid, False)


def scene(people, fps=30.0, kind='video', **changes):
  """A scene of one list of rows a frame; slots that hold nobody are put between."""
  frames = []
  for t, found in enumerate(people):
    packed = frame_of(list(found), 15)
    padded = People(
      *(np.concatenate([x, np.zeros((1, *x.shape[1:]), x.dtype)]) for x in packed.people)
    )
    said = None if packed.uncertainty is None else np.append(packed.uncertainty, 0)
    frames.append(Frame(t, t / (fps or 1), padded, np.append(packed.bridged, False), said))
  fields = {
    'file': 'a b/<x>.mp4', 'kind': kind, 'width': 640, 'height': 480, 'fps': fps,
    'skeleton': J15, 'lens': LENS, 'frames': tuple(frames), 'made_by': 'posejax test',
    'checkpoint': 'runs/unsup', 'notes': ('a note',),
  }
  return Scene(**(fields | changes))
