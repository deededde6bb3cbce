"""A thousand damaged files of poses: `python -m tests.data.fuzz_poses [--count=1000]`.

BVH as `data.bvh` and `data.mocap` read it, and 2D poses as `posejax.infer --poses2d` does: COCO
JSON, a folder of OpenPose JSON, npz. Each must be read, all numbers finite, or be refused in one
line that names the file, within 10 s of processor time and 1 GB above the idle process (the
kernel's limit on its data). A summary is printed; the exit code is 1 if anything else happened.
"""

import argparse
import functools
import io
import json
import pathlib
import random
import re
import sys
import tempfile

import numpy as np

from posejax.data import bvh, poses_2d
from posejax.geometry.skeleton import COCO17, J17
from tests import fuzzing
from tests.data.test_bvh import SMALL

_TOKENS = (
  b'1e999', b'-0', b'null', b'"1"', b'true', b'[]', b'{}', b'9' * 5000, b'NaN', b'nan',
  b'-Infinity', b'1e308', b'0x10', b'1_0', b'\xff\xfe', b'-1', b'2147483648', b'CHANNELS', b'}',
)


def sound() -> dict[str, bytes]:
  """A file of each kind."""
  rng = np.random.default_rng(0)
  points = rng.uniform(10, 500, (3, 17, 2)).round(1)
  flat = [np.c_[person, np.full(17, 2)].ravel().tolist() for person in points]
  coco = {
    'images': [{'id': 7, 'file_name': 'a.jpg', 'width': 640, 'height': 480}],
    'annotations': [
      {'image_id': 7, 'category_id': 1, 'keypoints': row, 'score': 0.5} for row in flat
    ],
    'categories': [{'id': 1, 'keypoints': list(COCO17.joints)}],
  }
  body = np.c_[rng.uniform(10, 500, (25, 2)).round(1), np.full(25, 0.9)].ravel().tolist()
  buffer = io.BytesIO()
  np.savez(
    buffer, joints=rng.uniform(0, 500, (4, 2, 17, 2)), names=np.array(J17.joints),
    score=np.ones((4, 2, 17)), size=np.array([640, 480]), focal=np.array([600.0, 600.0]),
  )
  return {
    'walk.bvh': SMALL.encode(), 'coco.json': json.dumps(coco).encode(),
    'openpose.json': json.dumps({'version': 1.3, 'people': [
      {'pose_keypoints_2d': body}, {'pose_keypoints_2d': body},
    ]}).encode(), 'poses.npz': buffer.getvalue(),
  }


def mutate(data: bytes, rng: random.Random) -> bytes:
  """One of six kinds of damage."""
  bad, kind = bytearray(data), rng.randrange(6)
  at = rng.randrange(len(bad))
  if kind == 0:
    for _ in range(rng.choice([1, 3, 30])):
      bad[rng.randrange(len(bad))] = rng.randrange(256)
  elif kind == 1:
    del bad[at:]
  elif kind == 2:  # a piece often, or gone
    a, b = sorted((at, min(at + rng.randrange(1, 400), len(bad))))
    bad[a:b] = bytes(bad[a:b]) * rng.choice([0, 2, 2000])
  elif kind == 3:  # another token in the place of a word
    found = rng.choice(list(re.finditer(rb'[\w.-]+', data)))
    bad[found.start() : found.end()] = rng.choice(_TOKENS)
  elif kind == 4:  # depth
    bad[at:at] = rng.choice([b'[', b'{"a":', b'JOINT a {', b'{']) * rng.choice([10, 1000, 200_000])
  else:  # far too much of something
    piece = rng.choice([b'[],', b'0 ', b'1.5,', b'{},', b'1 1 1 1\n', b' ', b'\n'])
    bad[at:at] = piece * rng.choice([10_000, 2_000_000])
  return bytes(bad)


def attempt(folder: pathlib.Path, name: str, data: bytes) -> str:
  """'read' or 'refused'; an AssertionError where what came back is unsound."""
  path = folder / name
  if name == 'openpose.json':
    path = folder / 'openpose'
    path.mkdir(exist_ok=True)
    (path / 'frame_000.json').write_bytes(data)
  else:
    path.write_bytes(data)
  try:
    if name == 'walk.bvh':
      assert np.isfinite(bvh.read_bvh(path).motion).all(), 'not finite'
    else:
      for frame in poses_2d.read(path).frames:
        assert np.isfinite(frame.joints).all() and np.isfinite(frame.score).all(), 'not finite'
        assert frame.joints.shape[1:] == (17, 2), frame.joints.shape
    return 'read'
  except (bvh.BvhError, poses_2d.Poses2dError) as error:
    line = str(error)
    assert '\n' not in line and len(line) < 600, f'not one line: {line[:200]!r}'
    assert path.name in line, f'names no file: {line[:200]!r}'
    return 'refused'


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--count', type=int, default=1000)
  count, files = parser.parse_args().count, sound()
  with tempfile.TemporaryDirectory() as folder:
    root = pathlib.Path(folder)
    for name, data in files.items():
      assert attempt(root, name, data) == 'read', name
    names = [list(files)[seed % len(files)] for seed in range(count)]
    return fuzzing.survey(
      (name, functools.partial(attempt, root, name, mutate(files[name], random.Random(seed))))
      for seed, name in enumerate(names)
    )


if __name__ == '__main__':
  sys.exit(main())
