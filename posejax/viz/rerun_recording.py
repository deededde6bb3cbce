"""A scene as a recording for the rerun viewer (rerun.io), an optional package (extra `viewer`).

Camera frame as rerun's RDF: x right, y down, z forward; mm. Colours as in `overlay`.
"""

import importlib.util
from collections.abc import Sequence

import numpy as np

from posejax.geometry.camera import Intrinsics
from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import People
from posejax.viz import overlay


def available() -> bool:
  """Whether rerun-sdk is installed."""
  return importlib.util.find_spec('rerun') is not None


def recording(
  name: str, moments: Sequence[tuple[float, People]], skeleton: Skeleton, lens: Intrinsics,
  size: tuple[int, int],
) -> bytes:
  """The content of an .rrd file.

  Args:
    name: of the recording.
    moments: (time in s, unbatched people) of each frame.
    skeleton: of the joints.
    lens: px.
    size: (W, H) px.

  Returns:
    The recording.
  """
  import rerun as rr

  stream = rr.RecordingStream('posejax', recording_id=name)
  memory = stream.memory_recording()
  stream.log('camera', rr.Pinhole(
    focal_length=[float(x) for x in lens.focal], principal_point=[float(x) for x in lens.center],
    width=size[0], height=size[1], camera_xyz=rr.ViewCoordinates.RDF, image_plane_distance=500,
  ), static=True)
  known = {
    int(i) for _, people in moments for i in np.asarray(people.identity)[np.asarray(people.valid)]
  }
  for time, people in moments:
    stream.set_time('time', duration=float(time))
    here = {int(people.identity[slot]): slot for slot in np.flatnonzero(people.valid)}
    for identity in sorted(known):
      if identity not in here:
        stream.log(f'people/{identity}', rr.Clear(recursive=True))
        continue
      joints = np.asarray(people.joints_camera[here[identity]], np.float32)
      valid = np.asarray(people.joint_valid[here[identity]], bool)
      limbs = [limb for limb in skeleton.limbs if valid[limb[0]] and valid[limb[1]]]
      stream.log(f'people/{identity}/limbs', rr.LineStrips3D(
        [joints[list(limb)] for limb in limbs], radii=12.0,
        colors=[overlay.side_color(skeleton, limb) for limb in limbs],
      ))
      stream.log(f'people/{identity}/joints', rr.Points3D(
        joints[valid], radii=18.0,
        labels=[joint for joint, there in zip(skeleton.joints, valid, strict=True) if there],
        show_labels=False,
      ))
  return memory.drain_as_bytes()
