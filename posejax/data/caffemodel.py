"""Convolutions of a Caffe model (`.caffemodel`), read without trusting it.

Symbols: O outputs, I inputs, k taps; a weight is (O, I, k, k), a bias (O,). A byte is an offset in
the file, from 0.

The format is protobuf: a message is a list of fields, each a tag (number, wire type) and a value; a
field of wire type 2 has a length in front. Field numbers are Caffe's (spec/openpose.md). The
network and the layers are walked here, which says at which byte something is wrong and caps counts
and lengths before anything of that size is allocated; the protobuf library parses each layer, blob
and shape. A layer may be Caffe's present message or the older one (V1), a blob's shape a BlobShape
or four numbers, its values packed or not, floats or doubles.
"""

import math
import os
from collections.abc import Collection, Iterator
from typing import NamedTuple

import numpy as np
from google.protobuf import descriptor_pb2, descriptor_pool, message, message_factory

from posejax.data import weights

# OpenPose's largest, 512 → 512 channels of 3×3, has 9.4 MB as floats, 18.9 MB as doubles.
MAX_LAYER_BYTES = 32 * 2**20
# Walked in Python, some microseconds each. OpenPose has some 200 layers of some 10 fields.
MAX_FIELDS, MAX_LAYER_FIELDS = 1024, 64
MAX_SHAPE_BYTES = 64
_MAX_NAME_BYTES = 256
_LAYER, _V1_LAYER = 100, 2  # field numbers in NetParameter
_CONVOLUTION = {_LAYER: b'Convolution', _V1_LAYER: 4}
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5  # wire types
_HEAD_BYTES = 20  # a tag and a length, ten bytes each at most


class CaffemodelError(weights.WeightsError):
  """A file that is no sound Caffe model, or not the wanted one. One line.

  "pose.caffemodel: layer conv3_1, byte 1024: what is wrong; what to do"

  Attributes:
    layer: name of the layer, None outside of layers.
    byte: offset in the file, None where no one place has the fault.
  """

  def __init__(self, source: str, layer: str | None, byte: int | None, reason: str):
    self.layer, self.byte = layer, byte
    place = [f'layer {layer}'] if layer is not None else []
    place += [f'byte {byte}'] if byte is not None else []
    super().__init__(source, ', '.join(place), reason)


class Convolution(NamedTuple):
  """One layer.

  Attributes:
    weight: (O, I, k, k) float32, finite.
    bias: (O,) float32, finite.
    byte: where the layer's message begins, for messages.
  """

  weight: np.ndarray
  bias: np.ndarray
  byte: int


class _Field(NamedTuple):
  """A field: its number and wire type, and where its value begins and ends."""

  number: int
  wire: int
  start: int
  end: int


class _WireError(Exception):
  """No field can be read at `byte` of a buffer; `cut` if it may go on behind the buffer's end."""

  def __init__(self, byte: int, reason: str, cut: bool = False):
    super().__init__(reason)
    self.byte, self.cut = byte, cut


def _messages() -> dict[str, type[message.Message]]:
  """Message classes of just the fields that are read, in a pool of their own.

  Fields that hold messages are declared as bytes, which are the same on the wire: each is capped,
  and parsed in its turn, so that a fault has a byte, and so that a list of dims, eight bytes in
  memory for one in the file, is not parsed before its length is known. Names are bytes, too: they
  need not be UTF-8.
  """
  kinds = descriptor_pb2.FieldDescriptorProto
  file = descriptor_pb2.FileDescriptorProto(
    name='posejax/caffe.proto', package='posejax.caffe', syntax='proto2'
  )
  one, many = kinds.LABEL_OPTIONAL, kinds.LABEL_REPEATED
  fields = {
    'LayerParameter': (
      ('name', 1, kinds.TYPE_BYTES, one), ('type', 2, kinds.TYPE_BYTES, one),
      ('blobs', 7, kinds.TYPE_BYTES, many),
    ),
    'V1LayerParameter': (
      ('name', 4, kinds.TYPE_BYTES, one), ('type', 5, kinds.TYPE_INT32, one),
      ('blobs', 6, kinds.TYPE_BYTES, many),
    ),
    'BlobProto': (
      ('shape', 7, kinds.TYPE_BYTES, one), ('data', 5, kinds.TYPE_FLOAT, many),
      ('double_data', 8, kinds.TYPE_DOUBLE, many), ('num', 1, kinds.TYPE_INT32, one),
      ('channels', 2, kinds.TYPE_INT32, one), ('height', 3, kinds.TYPE_INT32, one),
      ('width', 4, kinds.TYPE_INT32, one),
    ),
    'BlobShape': (('dim', 1, kinds.TYPE_INT64, many),),
  }
  for name, rows in fields.items():
    declared = file.message_type.add(name=name)
    for field, number, kind, label in rows:
      declared.field.add(name=field, number=number, type=kind, label=label)
  pool = descriptor_pool.DescriptorPool()
  pool.Add(file)
  find = pool.FindMessageTypeByName
  return {n: message_factory.GetMessageClass(find(f'posejax.caffe.{n}')) for n in fields}


_MESSAGES = _messages()
_LAYERS = {_LAYER: _MESSAGES['LayerParameter'], _V1_LAYER: _MESSAGES['V1LayerParameter']}
_NUMBERS = {
  kind: {name: field.number for name, field in layer.DESCRIPTOR.fields_by_name.items()}
  for kind, layer in _LAYERS.items()
}


def read_caffemodel(
  path: str | os.PathLike, wanted: Collection[str]
) -> dict[str, Convolution]:
  """Reads the named convolutions of a Caffe model; what else is in it is skipped.

  Args:
    path: a regular file.
    wanted: names of layers, all of which must be there once.

  Returns:
    The layers, in the file's order.

  Raises:
    CaffemodelError: too large, no Caffe model, cut short, damaged; a layer missing, twice there, or
      no convolution with a bias; a number that is not finite.
    WeightsError: the file cannot be read at all.
  """
  source, size = os.fspath(path), weights.file_size(path)
  found: dict[str, Convolution] = {}
  last = 'no layer was found at all'
  try:
    with open(path, 'rb') as file:
      for kind, byte, data in _walk_network(file, size, source):
        name, blobs = _walk_layer(kind, data, byte, source)
        last = f'the last of the file is {_show(name)} at byte {byte}'
        if name not in wanted:
          continue
        if name in found:
          raise CaffemodelError(
            source, name, byte, f'stands twice, first at byte {found[name].byte}; give a file as '
            'Caffe wrote it'
          )
        found[name] = _convolution(kind, name, data, byte, blobs, source)
  except OSError as error:
    raise weights.WeightsError(source, '', f'cannot be read ({error.strerror or error})') from None
  missing = [name for name in wanted if name not in found]
  if missing:
    raise CaffemodelError(
      source, missing[0], None, f'is missing, {len(missing)} of {len(wanted)} layers are, and '
      f'{last}; if the file is cut short fetch it again, else give the model of this network'
    )
  return found


def _walk_network(file, size: int, source: str) -> Iterator[tuple[int, int, bytes]]:
  """Yields each layer's kind (field number), the byte it begins at, and its bytes."""
  at, behind = 0, ''
  for _ in range(MAX_FIELDS):
    if at >= size:
      return
    file.seek(at)
    try:
      field = _field(file.read(_HEAD_BYTES), 0, at)
    except _WireError as error:
      raise CaffemodelError(
        source, None, at, f'the file ends inside a field{behind}; it is cut short: fetch it again'
        if error.cut else f'{error}{behind}; this is no Caffe model, or a damaged one: fetch it '
        'again'
      ) from None
    start, end = at + field.start, at + field.end
    if field.number in _LAYERS:
      if field.wire != _BYTES:
        raise CaffemodelError(
          source, None, at, f'a layer that is no message{behind}; this is no Caffe model, or a '
          'damaged one: fetch it again'
        )
      data = _layer_bytes(file, field.number, start, end, size, behind, source)
      yield field.number, start, data
      behind = f', behind layer {_show(_name(field.number, data))}'
    elif end > size:
      raise CaffemodelError(
        source, None, at, f'a field has {end - start} bytes{behind}, but the file ends after '
        f'{size - start} of them; it is cut short or damaged: fetch it again'
      )
    at = end
  if at < size:
    raise CaffemodelError(
      source, None, at, f'more than {MAX_FIELDS} fields; this is no Caffe model of such a size'
    )


def _layer_bytes(
  file, kind: int, start: int, end: int, size: int, behind: str, source: str
) -> bytes:
  """The bytes of a layer that stands at `start` to `end` of a file of `size` bytes."""
  file.seek(start)
  # As much as is there and within the cap; where that is not all, the error wants the name.
  data = file.read(min(end, size, start + MAX_LAYER_BYTES) - start)
  if end > size:
    raise CaffemodelError(
      source, _show(_name(kind, data)), start, f'the layer has {end - start} bytes{behind}, but '
      f'the file ends after {size - start} of them; it is cut short or damaged: fetch it again'
    )
  if end - start > MAX_LAYER_BYTES:
    raise CaffemodelError(
      source, _show(_name(kind, data)), start, f'{end - start} bytes, and more than '
      f'{MAX_LAYER_BYTES} of a layer are not read; give the model of this network'
    )
  if len(data) < end - start:
    raise CaffemodelError(
      source, _show(_name(kind, data)), start + len(data), 'the file was cut while it was read; '
      'read it again'
    )
  return data


def _walk_layer(kind: int, data: bytes, byte: int, source: str) -> tuple[str, list[int]]:
  """A layer's name, and the bytes at which its blobs begin; checks that its fields fill it."""
  def error(at: int, reason: str) -> CaffemodelError:
    return CaffemodelError(
      source, _show(_name(kind, data)), byte + at, f'{reason}; it is damaged: fetch it again'
    )

  at, blobs = 0, []
  for _ in range(MAX_LAYER_FIELDS):
    if at >= len(data):
      return _name(kind, data), blobs
    try:
      field = _field(data[at : at + _HEAD_BYTES], at, at)
    except _WireError as fault:
      raise error(at, 'the layer ends inside a field' if fault.cut else str(fault)) from None
    if field.end > len(data):
      raise error(
        at, f'a field has {field.end - field.start} bytes, but its layer ends after '
        f'{len(data) - field.start} of them'
      )
    if field.number == _NUMBERS[kind]['blobs'] and field.wire == _BYTES:
      blobs.append(byte + field.start)
    at = field.end
  if at < len(data):
    raise error(at, f'more than {MAX_LAYER_FIELDS} fields')
  return _name(kind, data), blobs


def _name(kind: int, data: bytes) -> str:
  """A layer's name, of as much of it as is there; '' if it has none or that is cut off."""
  at, name = 0, b''
  for _ in range(MAX_LAYER_FIELDS):
    try:
      field = _field(data[at : at + _HEAD_BYTES], at, at)
    except _WireError:
      break
    if field.end > len(data):
      break
    if field.number == _NUMBERS[kind]['name'] and field.wire == _BYTES:
      name = data[field.start : min(field.end, field.start + _MAX_NAME_BYTES)]
    at = field.end
  return name.decode('utf-8', 'replace')


def _field(head: bytes, base: int, at: int) -> _Field:
  """The field whose tag `head` begins with; positions count from `base` in front of it.

  `at` is the place that an error names.
  """
  tag, start = _varint(head, 0, at)
  number, wire = tag >> 3, tag & 7
  if number == 0 or number >= 2**29 or wire not in (_VARINT, _FIXED64, _BYTES, _FIXED32):
    raise _WireError(at, f'no protobuf field (number {number}, wire type {wire})')
  if wire == _VARINT:
    end = _varint(head, start, at)[1]
  elif wire == _BYTES:
    length, start = _varint(head, start, at)
    end = start + length
  else:
    end = start + (8 if wire == _FIXED64 else 4)
  return _Field(number, wire, base + start, base + end)


def _varint(head: bytes, start: int, at: int) -> tuple[int, int]:
  """A number of up to ten bytes of seven bits, lowest first, and where it ends."""
  value = 0
  for i in range(10):
    if start + i >= len(head):
      raise _WireError(at, 'a number goes on behind the end', cut=True)
    value |= (head[start + i] & 0x7F) << (7 * i)
    if head[start + i] < 0x80:
      return value, start + i + 1
  raise _WireError(at, 'a number of more than ten bytes')


def _convolution(
  kind: int, name: str, data: bytes, byte: int, starts: list[int], source: str
) -> Convolution:
  layer = _parse(_LAYERS[kind], data, source, name, byte)
  if layer.type != _CONVOLUTION[kind]:
    found = _show(layer.type.decode('utf-8', 'replace')) if kind == _LAYER else layer.type
    raise CaffemodelError(
      source, name, byte, f'is of type {found}, not a convolution; give the model of this network'
    )
  if len(layer.blobs) != 2 or len(starts) != 2:
    raise CaffemodelError(
      source, name, byte, f'has {len(layer.blobs)} arrays, not weights and a bias; give the '
      'trained model of this network'
    )
  weight, bias = (
    _array(blob, source, name, start) for blob, start in zip(layer.blobs, starts, strict=True)
  )
  # Older files give a bias as (1, 1, 1, O).
  if weight.ndim != 4 or math.prod(bias.shape) != bias.shape[-1]:
    raise CaffemodelError(
      source, name, byte, f'weights of shape {weight.shape} and a bias of shape {bias.shape} are '
      'no convolution; give the model of this network'
    )
  return Convolution(weight, bias.reshape(-1), byte)


def _array(data: bytes, source: str, name: str, byte: int) -> np.ndarray:
  """A blob's values, float32, in its shape."""
  blob = _parse(_MESSAGES['BlobProto'], data, source, name, byte)
  if len(blob.shape) > MAX_SHAPE_BYTES:
    raise CaffemodelError(
      source, name, byte, f'a shape of {len(blob.shape)} bytes; it is damaged: fetch it again'
    )
  if blob.HasField('shape'):
    shape = tuple(_parse(_MESSAGES['BlobShape'], blob.shape, source, name, byte).dim)
  else:
    shape = (blob.num, blob.channels, blob.height, blob.width)
  # Caffe's own order: doubles where there are any.
  doubles = len(blob.double_data) > 0
  values = blob.double_data if doubles else blob.data
  if not 1 <= len(shape) <= 4 or min(shape) < 1 or math.prod(shape) != len(values):
    raise CaffemodelError(
      source, name, byte, f'{len(values)} values do not fill the shape {shape[:8]}; it is damaged: '
      'fetch it again'
    )
  with np.errstate(over='ignore'):  # too large for float32: found right below
    array = np.fromiter(values, np.float64 if doubles else np.float32, len(values))
    array = array.astype(np.float32, copy=False).reshape(shape)
  if not np.isfinite(array).all():
    raise CaffemodelError(
      source, name, byte, 'holds numbers that are not finite; it is damaged: fetch it again'
    )
  return array


def _parse(
  kind: type[message.Message], data: bytes, source: str, name: str, byte: int
) -> message.Message:
  try:
    return kind.FromString(data)
  except message.DecodeError:
    raise CaffemodelError(
      source, name, byte, f'no readable {kind.DESCRIPTOR.name}; it is damaged: fetch it again'
    ) from None


def _show(name: str) -> str:
  """A layer's name as part of a one-line message."""
  return ascii(name[:60])[1:-1] or '(without a name)'
