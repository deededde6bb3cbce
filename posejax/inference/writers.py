"""A result as files for other programs: JSON, npz, COCO key points, BVH.

`npz` holds what the JSON does, a person of a frame a row (N rows, J joints), without pickles:

  frame (N,) position in frame_index and frame_time; id, score, depth, bridged (N,);
  uncertainty (N,) mm, of methods that say one;
  joints_2d (N, J, 2) px; joints_relative, joints_camera (N, J, 3) mm; joint_valid (N, J);
  frame_index, frame_time (T,); focal, center (2,) px; size (2,) px, width and height;
  joints (J,), parents (J,), flip_pairs; header: the rest of the JSON, as a text.
"""

import dataclasses
import io
import itertools
import json
import os
import zipfile
from collections.abc import Sequence
from typing import Any, BinaryIO

import numpy as np

from posejax.data import bvh_writer
from posejax.geometry.skeleton import COCO17, J15, J17, available
from posejax.inference import scene as scene_lib
from posejax.inference import schema
from posejax.inference.scene import Frame, Row, Scene
from posejax.methods.base import People

VISIBLE = 2  # COCO: labelled and visible; 0: not labelled
MAX_NPZ_BYTES = 512 * 2**20
_READ = (
  'header', 'frame', 'frame_index', 'frame_time', 'id', 'score', 'depth', 'bridged', 'joints_2d',
  'joints_relative', 'joints_camera', 'joint_valid',
)
_MAYBE = 'uncertainty'


def arrays(scene: Scene) -> dict[str, np.ndarray]:
  """What the npz holds (module docstring)."""
  found = scene_lib.rows(scene)
  together = scene_lib.frame_of(found, scene.skeleton.num_joints)
  people, said = together.people, together.uncertainty
  return {
    'frame': np.array([row.frame for row in found], np.int32), 'id': people.identity,
    'score': people.score, 'depth': people.depth, 'bridged': together.bridged,
    'joints_2d': people.joints_2d, 'joints_relative': people.joints_relative,
    'joints_camera': people.joints_camera, 'joint_valid': people.joint_valid,
    'frame_index': np.array([frame.index for frame in scene.frames], np.int32),
    'frame_time': np.array([frame.time for frame in scene.frames], np.float64),
    'focal': np.asarray(scene.lens.focal, np.float64),
    'center': np.asarray(scene.lens.center, np.float64),
    'size': np.array([scene.width, scene.height]), 'joints': np.array(scene.skeleton.joints),
    'parents': np.array(scene.skeleton.parents),
    'flip_pairs': np.array(scene.skeleton.flip_pairs).reshape(-1, 2),
    'header': np.array(json.dumps(schema.header(scene), allow_nan=False)),
    **({} if said is None else {_MAYBE: said}),
  }


def save_npz(file: BinaryIO, scene: Scene) -> None:
  """Writes `arrays`, compressed."""
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, array in arrays(scene).items():
      buffer = io.BytesIO()
      np.lib.format.write_array(buffer, array, allow_pickle=False)
      # A date of its own would make two equal results differ.
      archive.writestr(zipfile.ZipInfo(f'{name}.npy'), buffer.getvalue(), zipfile.ZIP_DEFLATED)


def load_npz(path: str | os.PathLike) -> Scene:
  """Reads what `save_npz` wrote, without trusting it; far less work than the JSON.

  Raises:
    SchemaError: damaged, too large, or arrays that do not fit together; one line.
    OSError: the file cannot be opened.
  """
  try:
    with zipfile.ZipFile(path) as archive:
      if sum(entry.file_size for entry in archive.infolist()) > MAX_NPZ_BYTES:
        raise ValueError(f'larger than {MAX_NPZ_BYTES} bytes')
      found = {}
      there = f'{_MAYBE}.npy' in archive.namelist()
      for name in (*_READ, *([_MAYBE] * there)):
        with archive.open(f'{name}.npy') as file:
          found[name] = np.lib.format.read_array(file, allow_pickle=False)
    return _scene_of(found)
  except OSError:
    raise
  # Bytes from anywhere: whatever a library raises for them means the same to a user.
  except Exception as error:
    words = ' '.join(str(error).split())[:100] or type(error).__name__
    raise schema.SchemaError(f'{path}: no result that can be read ({words})') from None


def _scene_of(found: dict[str, np.ndarray]) -> Scene:
  scene = schema.scene_of_header(str(found['header']))
  count, joints = len(found['frame']), scene.skeleton.num_joints
  shapes = {
    'id': (), 'score': (), 'depth': (), 'bridged': (), 'joints_2d': (joints, 2),
    'joints_relative': (joints, 3), 'joints_camera': (joints, 3), 'joint_valid': (joints,),
    **({_MAYBE: ()} if _MAYBE in found else {}),
  }
  for name, shape in shapes.items():
    kinds = {'id': 'iu', 'bridged': 'b', 'joint_valid': 'b'}.get(name, 'f')
    if found[name].shape != (count, *shape) or found[name].dtype.kind not in kinds:
      raise ValueError(f'{name} is {found[name].dtype}{found[name].shape}')
  total, at = len(found['frame_index']), found['frame']
  kinds = ''.join(found[name].dtype.kind for name in ('frame_index', 'frame', 'frame_time'))
  if found['frame_time'].shape != (total,) or kinds != 'iif' or (np.diff(at) < 0).any() or (
    count and (at[0] < 0 or at[-1] >= total)
  ):
    raise ValueError('frames do not fit together')
  starts = np.searchsorted(at, np.arange(total + 1))
  frames = []
  for t, (first, last) in enumerate(itertools.pairwise(starts)):
    mine = {name: found[name][first:last] for name in shapes}
    bridged, identity, said = mine.pop('bridged'), mine.pop('id'), mine.pop(_MAYBE, None)
    people = People(identity=identity, valid=np.ones(last - first, bool), **mine)
    frames.append(Frame(
      int(found['frame_index'][t]), float(found['frame_time'][t]), people, bridged, said
    ))
  return dataclasses.replace(scene, frames=tuple(frames))


def coco_results(scenes: Sequence[Scene]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
  """COCO's key point results, and the images that their ids mean.

  Of COCO's 17 points J15 has twelve, shoulders to ankles: nose, eyes and ears are 0, 0, 0, that is,
  visibility 0. People who were bridged are no detections and are left out.

  Returns:
    [{image_id, category_id 1, keypoints [x, y, v, ...] (51), score}] and
    [{id, file_name, frame, width, height}].
  """
  results, images = [], []
  for scene in scenes:
    first = len(images)
    images += [
      {'id': first + i + 1, 'file_name': scene.file, 'frame': frame.index, 'width': scene.width,
       'height': scene.height}
      for i, frame in enumerate(scene.frames)
    ]
    given = available(scene.skeleton, COCO17)
    for row in scene_lib.rows(scene):
      if row.bridged:
        continue
      points: list[float] = []
      for joint, there in zip(COCO17.joints, given, strict=True):
        source = scene.skeleton.index(joint) if there else 0
        point = row.joints_2d[source]
        shown = there and row.joint_valid[source] and bool(np.isfinite(point).all())
        points += [*schema.plain(point), VISIBLE] if shown else [0, 0, 0]
      results.append({
        'image_id': first + row.frame + 1, 'category_id': 1, 'keypoints': points,
        'score': schema.plain(row.score, 4),
      })
  return results, images


def bvh_texts(scene: Scene) -> dict[int, str]:
  """Id → BVH of each person, from the first to the last frame that has it.

  Frames between in which the person is missing repeat the one before. A photograph gives one frame.

  Raises:
    ValueError: the joints are not J15's or J17's.
  """
  if scene.skeleton.joints not in (J15.joints, J17.joints):
    raise ValueError(f'{scene.skeleton.name}: BVH is written of J15 and J17 alone')
  people: dict[int, list[Row]] = {}
  for row in scene_lib.rows(scene):
    people.setdefault(row.identity, []).append(row)
  texts = {}
  for identity, mine in sorted(people.items()):
    frames = [row.frame for row in mine]  # rising
    at = np.searchsorted(frames, np.arange(frames[0], frames[-1] + 1), side='right') - 1
    joints = np.stack([row.joints_camera for row in mine])[at]
    valid = np.stack([row.joint_valid for row in mine])[at]
    texts[identity] = bvh_writer.text(joints, scene.fps or 1.0, scene.skeleton, valid)
  return texts
