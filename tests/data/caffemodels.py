"""Caffe models for tests, written by a writer of their own, and the tiny networks in them.

A field is a tag and a value, a message a joining of fields: nothing of protobuf is used, so that
the reader is not tested against itself.
"""

import dataclasses
import struct

import numpy as np

from posejax.data import openpose_weights
from posejax.geometry import skeleton as skeleton_lib
from posejax.models import openpose

# The published layers' names, with a few channels each: MPI's numbers of maps, and COCO's.
TINY_MPI = openpose.OpenPoseConfig(
  front=((4, 5), (5, 4), (5, 4, 5, 4), (6, 5)), cpm=(5, 6), stage1=(5, 4, 5), branch=7,
  stage=(4, 3, 4, 3, 4), stage_kernel=7, stage_last=5, num_paf=28, num_heat=16,
)
TINY = (
  openpose_weights.Variant(TINY_MPI, skeleton_lib.OPENPOSE_MPI15),
  openpose_weights.Variant(
    dataclasses.replace(TINY_MPI, num_paf=38, num_heat=19), skeleton_lib.OPENPOSE_COCO18
  ),
)


def varint(value: int) -> bytes:
  value %= 2**64
  out = bytearray()
  while value > 0x7F:
    out.append(value & 0x7F | 0x80)
    value >>= 7
  return bytes([*out, value])


def field(number: int, value: int | bytes | str) -> bytes:
  """A varint field, or a field with a length."""
  if isinstance(value, int):
    return varint(number << 3) + varint(value)
  value = value.encode() if isinstance(value, str) else value
  return varint(number << 3 | 2) + varint(len(value)) + value


def blob(array: np.ndarray, values: str = 'packed', legacy: bool = False, shape=None) -> bytes:
  """A BlobProto; `values` packed or unpacked floats, or doubles; `shape` where it is to lie."""
  shape = array.shape if shape is None else shape
  if legacy:
    four = (1,) * (4 - len(shape)) + tuple(shape)
    head = b''.join(field(number, size) for number, size in enumerate(four, start=1))
  else:
    head = field(7, field(1, b''.join(varint(size) for size in shape)))
  if values == 'packed':
    return head + field(5, array.astype('<f4').tobytes())
  if values == 'unpacked':
    return head + b''.join(b'\x2d' + struct.pack('<f', x) for x in array.flat)
  return head + field(8, array.astype('<f8').tobytes())


def layer(name: str, blobs=(), v1: bool = False, kind=None) -> bytes:
  """A field of the network: a layer with these BlobProtos; a convolution if nothing else."""
  if v1:
    body = field(2, 'bottom') + field(3, 'top') + field(4, name)
    body += field(5, 4 if kind is None else kind)
    body += b''.join(field(6, b) for b in blobs) + b'\x3d' + struct.pack('<f', 1.0)  # blobs_lr
    return field(2, body)
  body = field(1, name) + field(2, kind or 'Convolution') + field(3, 'bottom') + field(4, 'top')
  body += field(6, b'\x0d' + struct.pack('<f', 4.0)) + b''.join(field(7, b) for b in blobs)
  return field(100, body + field(106, field(1, 64)))


def network(
  layers: dict[str, tuple[np.ndarray, np.ndarray]], v1: bool = False, values: str = 'packed',
  legacy: bool = False,
) -> bytes:
  """A whole file: the layers, and among them what training and Caffe itself put there."""
  parts = [field(1, 'pose'), field(3, 'image'), field(4, 1), field(5, 0)]
  parts.append(layer('data', v1=v1, kind=5 if v1 else 'CPMData'))
  for number, (name, arrays) in enumerate(layers.items()):
    parts.append(layer(name, [blob(a, values, legacy) for a in arrays], v1))
    if number % 5 == 0:
      split = f'{name}_{name}_0_split'
      parts.append(layer(split, v1=v1, kind=22 if v1 else 'Split'))
  return b''.join(parts)


def random_layers(
  config: openpose.OpenPoseConfig, seed: int = 0
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
  """OIHW weights and biases of all six stages, in Caffe's order of depth.

  The table of spec/openpose.md, walked by hand: it asks our modules for no shape.
  """
  rng = np.random.default_rng(seed)
  layers, maps = {}, config.num_paf + config.num_heat

  def chain(names, channels, widths, kernels):
    for name, width, k in zip(names, widths, kernels, strict=True):
      scale = (2 / (channels * k * k)) ** 0.5
      layers[name] = (
        (scale * rng.normal(size=(width, channels, k, k))).astype(np.float32),
        (0.1 + 0.1 * rng.normal(size=width)).astype(np.float32),
      )
      channels = width

  front = ['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1', 'conv3_2', 'conv3_3', 'conv3_4']
  front += ['conv4_1', 'conv4_2', 'conv4_3_CPM', 'conv4_4_CPM']
  chain(front, 3, [w for block in config.front for w in block] + [*config.cpm], [3] * 12)
  outputs = {'L1': config.num_paf, 'L2': config.num_heat}
  for branch, out in outputs.items():
    chain([f'conv5_{i}_CPM_{branch}' for i in (1, 2, 3, 4, 5)], config.cpm[-1],
          [*config.stage1, config.branch, out], [3, 3, 3, 1, 1])
  for stage in range(2, 7):
    for branch, out in outputs.items():
      chain([f'Mconv{i}_stage{stage}_{branch}' for i in range(1, 8)], maps + config.cpm[-1],
            [*config.stage, config.stage_last, out], [config.stage_kernel] * 5 + [1, 1])
  return layers


def mutate(rng: np.random.Generator, data: bytes, places: np.ndarray) -> bytes:
  """A damaged copy: one to three of the usual damages, mostly at `places` (of tags and lengths)."""
  out = bytearray(data)
  for _ in range(rng.integers(1, 4)):
    if not out:
      break
    at = int(rng.choice(places) if rng.random() < 0.7 else rng.integers(len(data)))
    at = min(max(at + int(rng.integers(-1, 3)), 0), len(out) - 1)
    end = min(at + int(rng.integers(1, 40)), len(out))
    match rng.integers(7):
      case 0:
        out[at] ^= 1 << rng.integers(8)
      case 1:
        out[at] = rng.choice([0, 1, 0x7F, 0x80, 0xFF])
      case 2:
        del out[at + 1 :]
      case 3:
        del out[at:end]
      case 4:
        out[at:at] = out[at:end]
      case 5:
        out[at : at + 1] = varint(int(rng.integers(2**63, dtype=np.int64)) >> int(rng.integers(63)))
      case _:
        out[at:end] = rng.bytes(end - at)
  return bytes(out)


def structure(data: bytes, layers: dict[str, tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
  """The places of a file that hold no values: where tags, lengths and names stand."""
  held = np.zeros(len(data), bool)
  for arrays in layers.values():
    for array in arrays:
      at = data.find(array.astype('<f4').tobytes())
      held[at : at + 4 * array.size] = at >= 0
  return np.flatnonzero(~held)
