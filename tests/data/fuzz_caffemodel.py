"""Damages files of OpenPose's weights by the thousand and reports what their reader makes of them.

  python -m tests.data.fuzz_caffemodel [--files 4000] [--seed 0]

Caffe models (present, V1, unpacked, doubles) and a converted `.npz`, tiny networks, each mutated by
`caffemodels.mutate`; then a few that are large and ask for much. A file passes if it is read, all
weights finite and of the network's shapes, or is refused by a `WeightsError` of one line. A few
dozen are tests (`test_openpose_weights`); this takes minutes and is run by hand.
"""

import argparse
import collections
import gc
import pathlib
import re
import struct
import sys
import tempfile
import time
import zipfile

import jax
import numpy as np

from posejax.data import caffemodel, openpose_weights
from posejax.data.weights import MAX_FILE_BYTES, WeightsError
from tests.data import caffemodels
from tests.data.caffemodels import field, varint


def sound_files(folder: pathlib.Path) -> dict[str, tuple[bytes, np.ndarray]]:
  """Files that are to be damaged, and the places of their tags and lengths."""
  files = {}
  forms = {'present': {}, 'V1': {'v1': True, 'legacy': True}, 'unpacked': {'values': 'unpacked'},
           'doubles': {'values': 'double'}}
  for number, (name, form) in enumerate(forms.items()):
    variant = caffemodels.TINY[number % 2]
    layers = caffemodels.random_layers(variant.config, number)
    data = caffemodels.network(layers, **form)
    held = layers if 'values' not in form else {}
    files[name] = data, caffemodels.structure(data, held)
    (folder / 'sound').write_bytes(data)
    network = openpose_weights.load_openpose(folder / 'sound', 6, caffemodels.TINY)
    if number == 0:
      openpose_weights.save_openpose(folder / 'sound.npz', network)
      zipped = (folder / 'sound.npz').read_bytes()
      held = {f'{net}{layer}': arrays.values() for net, part in network.params.items()
              for layer, arrays in part.items()}
      files['npz'] = zipped, caffemodels.structure(zipped, held)
  return files


def large_files(folder: pathlib.Path):
  """Yields (name, path) of files that ask for more memory or time than their bytes are worth."""
  path = folder / 'large'
  room = caffemodel.MAX_LAYER_BYTES - 1000
  first = field(1, 'conv1_1') + field(2, 'Convolution')

  def layer(body):
    # And a bias, so that the weights are looked at.
    return field(100, first + body + field(7, caffemodels.blob(np.zeros(4))))

  cases = {
    'a shape of 32 M dims': layer(field(7, field(7, field(1, b'\1' * room)))),
    '16 M blobs': field(100, first + b'\x3a\0' * (room // 2)),
    '16 M names': field(100, first + b'\x0a\0' * (room // 2)),
    'a name of 32 MB': field(100, field(1, b'\xff' * room)),
    'a blob of unknown groups': layer(field(7, b'\x0b' * room)),
    '6 M unpacked floats': layer(field(7, b'\x2d\0\0\0\0' * (room // 5))),
    'a blob of other fields': layer(field(7, b'\x70\0' * (room // 2))),
    '1023 layers of 63 fields': field(100, b'\x70\0' * 63) * 1023,
  }
  for name, data in cases.items():
    path.write_bytes(data)
    yield name, path
  with path.open('wb') as file:
    room, at = caffemodel.MAX_LAYER_BYTES, 0
    inside = field(1, 'other') + varint(99 << 3 | 2) + varint(room - 13)
    head = varint(100 << 3 | 2) + varint(room)
    while at + len(head) + room <= MAX_FILE_BYTES:
      file.seek(at)
      file.write(head + inside)
      at += len(head) + room
    file.truncate(at)
  yield 'half a gigabyte of layers', path
  with zipfile.ZipFile(path, 'w', zipfile.ZIP_DEFLATED) as file:
    for shape, place, blocks in (('(1, 1, 7, 28)', 'F/conv5_5_CPM_L1/kernel', 0),
                                 ('(4,)', 'E/conv1_1/bias', 64)):
      text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
      with file.open(place + '.npy', 'w') as member:
        member.write(b'\x93NUMPY\x01\0' + struct.pack('<H', len(text)) + text)
        for _ in range(blocks):
          member.write(bytes(2**24))
  yield 'a gigabyte of zeros, deflated', path


def judge(path: pathlib.Path, stages: int) -> str:
  """'read', or the kind of the error; raises what a reader must not raise."""
  try:
    network = openpose_weights.load_openpose(path, stages, caffemodels.TINY)
  except WeightsError as error:
    text = str(error)
    if not text.isprintable() or len(text) > 1000:
      raise AssertionError(f'not one short line: {text[:2000]!r}') from error
    reason = re.sub(r'of type .*?,', 'of another type,', error.reason)
    reason = re.sub(r"\(.*?\)|\d+|'.*?'", '…', reason)
    return re.split(r'[;,:]', reason)[0][:60]
  shapes = openpose_weights.parameter_shapes(network.config)
  for path_, leaf in jax.tree_util.tree_leaves_with_path(network.params):
    place = '/'.join(key.key for key in path_)
    if leaf.shape != shapes[place] or leaf.dtype != np.float32 or not np.isfinite(leaf).all():
      raise AssertionError(f'{place}: {leaf.shape} {leaf.dtype}')
  return 'read'


def memory_mb(which: str) -> float:
  """Memory of this process by Linux: 'VmRSS' now, 'VmHWM' at most since `reset_peak`."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(rf'^{which}:\s*(\d+) kB', status, re.MULTILINE)[1]) / 1024


def reset_peak() -> None:
  gc.collect()
  pathlib.Path('/proc/self/clear_refs').write_text('5')


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--files', type=int, default=4000)
  parser.add_argument('--seed', type=int, default=0)
  options = parser.parse_args()
  kinds, bad, slowest = collections.Counter(), [], 0.0
  begin = time.perf_counter()
  with tempfile.TemporaryDirectory() as temporary:
    folder = pathlib.Path(temporary)
    files = sound_files(folder)
    names, path = list(files), folder / 'mutated'
    reset_peak()
    idle = memory_mb('VmRSS')

    def run(name: str, path: pathlib.Path, stages: int) -> str:
      nonlocal slowest
      started = time.perf_counter()
      try:
        kind = judge(path, stages)
      except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
          raise
        kind = f'FAILED {type(error).__name__}'
        bad.append(f'{name}: {type(error).__name__}: {error}')
      slowest = max(slowest, time.perf_counter() - started)
      return kind

    for number in range(options.files):
      name = names[number % len(names)]
      rng = np.random.default_rng([options.seed, number])
      path.write_bytes(caffemodels.mutate(rng, *files[name]))
      kinds[run(f'{name} {number}', path, int(rng.integers(1, 7)))] += 1
    small = memory_mb('VmHWM')
    print(f'{options.files} mutated files of {", ".join(names)}, seed {options.seed}:')
    for kind, count in kinds.most_common():
      print(f'  {count:6d}  {kind}')
    print(f'  slowest {slowest:.2f} s; peak memory {small - idle:.0f} MB above the idle process')
    for name, large in large_files(folder):
      slowest = 0.0
      reset_peak()
      before = memory_mb('VmRSS')  # what the script holds for itself is not the reader's
      kind = run(name, large, 2)
      print(f'  {name} ({large.stat().st_size / 2**20:.1f} MB): {kind}; {slowest:.2f} s; peak '
            f'{memory_mb("VmHWM") - before:.0f} MB above before')
  print('\n'.join(bad[:20]))
  print(f'{len(bad)} failures; {time.perf_counter() - begin:.0f} s')
  return 1 if bad else 0


if __name__ == '__main__':
  sys.exit(main())
