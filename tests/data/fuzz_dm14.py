"""Damages files of the dm14 teacher's weights by the thousand and reports what their reader makes.

  python -m tests.data.fuzz_dm14 [--files 2000] [--seed 0]

A `.tflite` and an `.npz` of a tiny network, cut, overwritten, with 32-bit numbers replaced
(offsets, lengths, counts), parts copied over others or repeated. A file passes if it is read, all
weights finite and of the network's shapes, or is refused by a `WeightsError` of one line. A few
hundred of another kind are tests (`test_tflite_weights`); this is run by hand.
"""

import argparse
import collections
import pathlib
import re
import resource
import sys
import tempfile
import time

import jax
import numpy as np

from posejax.data import dm14
from posejax.data.weights import WeightsError
from tests.data import test_dm14, tflite_files

NUMBERS = (0, 1, 2, 4, 255, 4096, 2**16, 2**24, 2**31 - 1, 2**31, 2**32 - 4, 2**32 - 1)


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
  """A damaged copy."""
  result = bytearray(data)
  kind = rng.integers(6)
  # Flatbuffers point at what follows them and zips end with their directory: both ends matter.
  at = int(rng.integers(len(data)) if rng.random() < 0.5 else rng.integers(min(len(data), 2000)))
  at = len(data) - 1 - at if rng.random() < 0.5 else at
  if kind == 0:
    return bytes(result[:at])
  if kind == 1:
    for place in rng.integers(len(data), size=rng.integers(1, 20)):
      result[place] = rng.integers(256)
  elif kind in (2, 3):
    for _ in range(rng.integers(1, 4)):
      place = min(at // 4 * 4, len(data) - 4)
      result[place : place + 4] = int(rng.choice(NUMBERS)).to_bytes(4, 'little')
      at = int(rng.integers(len(data)))
  elif kind == 4:
    size = int(rng.integers(1, 200))
    other = int(rng.integers(len(data)))
    result[at : at + size] = data[other : other + size]
  else:
    size = int(rng.integers(1, 200))
    result[at:at] = data[at : at + size]
  return bytes(result)


def attempt(path: pathlib.Path, shapes) -> str:
  """'read', or why the file was refused; anything else that happens is raised."""
  try:
    params = dm14.read_parameters(path, test_dm14.TINY)
  except WeightsError as error:
    message = str(error)
    if not re.fullmatch(r'[ -~]{1,600}', message) or path.name not in message:
      raise AssertionError(f'not one plain line: {message!r}') from error
    return re.sub(r'\d+', 'N', re.sub(r'\(.*', '', error.reason))[:60]
  assert jax.tree.map(np.shape, params) == shapes
  assert all(np.isfinite(x).all() for x in jax.tree.leaves(params))
  return 'read'


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--files', type=int, default=2000)
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args()
  rng = np.random.default_rng(options.seed)
  arrays = {
    dm14.public_name(*key): (rng.integers(-99, 99, shape) / 8).astype(np.float32)
    for shapes in dm14.parameter_shapes(test_dm14.TINY).values() for key, shape in shapes.items()
  }
  sound = {'tflite': tflite_files.network(arrays), 'npz': test_dm14.npz(arrays)}
  seen, slowest = collections.Counter(), 0.0
  with tempfile.TemporaryDirectory() as folder:
    path = pathlib.Path(folder) / 'teacher.bin'
    path.write_bytes(sound['npz'])
    shapes = jax.tree.map(np.shape, dm14.read_parameters(path, test_dm14.TINY))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for number in range(options.files):
      kind = ('tflite', 'npz')[number % 2]
      path.write_bytes(mutate(sound[kind], rng))
      begin = time.process_time()
      try:
        seen[kind, attempt(path, shapes)] += 1
      except Exception:
        print(f'file {number} of seed {options.seed} ({kind}):', file=sys.stderr)
        raise
      slowest = max(slowest, time.process_time() - begin)
  for (kind, result), count in seen.most_common():
    print(f'{count:6d} {kind:6s} {result}')
  more = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024
  print(f'slowest {slowest:.2f} s of processor time, at most {more:.0f} MiB more than before')
  return 0


if __name__ == '__main__':
  sys.exit(main())
