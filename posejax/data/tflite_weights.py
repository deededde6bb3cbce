"""Weights of the convolutions of a TensorFlow Lite model (`.tflite`), read without trusting it.

Symbols: H W kernel sides, I O channels of input and output, C channels of a depthwise layer.

The format is a flatbuffer: tables that point at each other by offsets, read here with the schema
package `tflite`. That reader copies nothing and checks nothing. An offset beyond the file makes it
throw something (`_BROKEN`, caught around each use), one inside of it leads to other bytes that look
like a table; so counts, indices, lengths and shapes are compared before they are used, and memory
is spent on no more than MAX_VALUES numbers.

A layer is called after its kernel's tensor, `<layer>/weights` or `<layer>/depthwise_weights`. Its
bias is what the operation reads, whatever its name: TensorFlow's converter keeps equal constants
once, under one layer's name. Kernels may stand behind an operation DEQUANTIZE.
"""

import contextlib
import math
import os
import struct
from collections.abc import Iterator, Mapping

import numpy as np
import tflite

from posejax.data import weights
from posejax.data.weights import WeightsError

MAX_FILE_BYTES = 16 * 2**20  # the published file has 2.4 MB
MAX_VALUES = 2**23  # of all kernels and biases together; the published file has 2.2 million
MAX_ENTRIES = 4096  # tensors, operations, buffers
MAX_AXES = 4
MAX_NAME_BYTES = 256
IDENTIFIER = b'TFL3'  # bytes 4 to 7

_TYPES = {
  tflite.TensorType.FLOAT32: np.dtype('<f4'), tflite.TensorType.FLOAT16: np.dtype('<f2'),
  tflite.TensorType.INT8: np.dtype('i1'), tflite.TensorType.UINT8: np.dtype('u1'),
}
_QUANTISED = (tflite.TensorType.INT8, tflite.TensorType.UINT8)
# Kernels are stored OHWI, and 1HWC where they are depthwise.
_TO_HWIO = {
  tflite.BuiltinOperator.CONV_2D: (1, 2, 3, 0),
  tflite.BuiltinOperator.DEPTHWISE_CONV_2D: (1, 2, 0, 3),
}
_BROKEN = (
  struct.error, ValueError, TypeError, IndexError, KeyError, OverflowError, AttributeError,
)
_AGAIN = 'get the file again'


def read_tflite(path: str | os.PathLike) -> dict[str, np.ndarray]:
  """Reads and dequantises the kernels and biases of a model's convolutions.

  Args:
    path: of the model.

  Returns:
    `<layer>/kernel`, (H, W, I, O) or (H, W, 1, C) where it is depthwise, as JAX's convolutions take
    them, and `<layer>/bias`; float32, all finite.

  Raises:
    WeightsError: no file, too large, damaged, quantised in another way.
  """
  source = os.fspath(path)
  if weights.file_size(path) > MAX_FILE_BYTES:
    raise WeightsError(
      source, '', f'more than {MAX_FILE_BYTES} bytes; this is another model, give another file'
    )
  try:
    with open(path, 'rb') as file:
      data = file.read(MAX_FILE_BYTES)
  except OSError as error:
    raise WeightsError(source, '', f'cannot be read ({error.strerror or error})') from None
  if data[4:8] != IDENTIFIER:
    raise WeightsError(source, '', f'is no TensorFlow Lite model; {_AGAIN}')
  return _Reader(source, data).layers()


class _Reader:
  """One file. Methods raise WeightsError, or one of `_BROKEN` for their caller to turn into one.

  Attributes:
    source: the file's name.
    left: values that may still be read.
  """

  def __init__(self, source: str, data: bytes):
    self.source, self.left = source, MAX_VALUES
    with self._guard(''):
      self._model = tflite.Model.GetRootAsModel(data, 0)
      self._graph = self._model.Subgraphs(0)
      self._tensors, self._operators = self._graph.TensorsLength(), self._graph.OperatorsLength()
      self._buffers, self._codes = self._model.BuffersLength(), self._model.OperatorCodesLength()
    if max(self._tensors, self._operators, self._buffers, self._codes) > MAX_ENTRIES:
      raise self._error(
        '', f'lists more than {MAX_ENTRIES} tensors, operations or buffers; this is another model, '
        'or damaged: give another file'
      )

  def layers(self) -> dict[str, np.ndarray]:
    """Everything: see `read_tflite`."""
    found, convolutions, dequantised = {}, [], {}
    for number in range(self._operators):
      with self._guard(f'operation {number}'):
        operator = self._graph.Operators(number)
        kind = self._kind(operator)
        if kind == tflite.BuiltinOperator.DEQUANTIZE:
          dequantised[self._index(operator.OutputsAsNumpy(), 0)] = self._index(
            operator.InputsAsNumpy(), 0
          )
        elif kind in _TO_HWIO:
          inputs = operator.InputsAsNumpy()
          convolutions.append((_TO_HWIO[kind], self._index(inputs, 1), self._index(inputs, 2)))
    for axes, *constants in convolutions:
      kernel, bias = (dequantised.get(number, number) for number in constants)
      name = self._name(kernel)
      layer = name.removesuffix('/weights').removesuffix('/depthwise_weights')
      if f'{layer}/kernel' in found:
        raise self._error(name, f'is the kernel of two layers; {_AGAIN}')
      values = self._constant(kernel, name)
      if values.ndim != 4:
        raise self._error(name, f'has {values.ndim} axes where a kernel has 4; {_AGAIN}')
      found[f'{layer}/kernel'] = np.ascontiguousarray(values.transpose(axes))
      found[f'{layer}/bias'] = self._constant(bias, self._name(bias))
    return found

  def _kind(self, operator: tflite.Operator) -> int:
    """Number of an operation."""
    index = operator.OpcodeIndex()
    if index >= self._codes:
      raise IndexError(f'code {index} of {self._codes}')
    code = self._model.OperatorCodes(index)
    # Old files have it in a byte alone, newer ones in both places.
    return max(code.BuiltinCode(), code.DeprecatedBuiltinCode())

  def _index(self, numbers: np.ndarray, place: int) -> int:
    """The number of a tensor in an operation's list; no reader compares it with what there is."""
    number = int(numbers[place])
    if not 0 <= number < self._tensors:
      raise IndexError(f'tensor {number} of {self._tensors}')
    return number

  def _name(self, number: int) -> str:
    with self._guard(f'tensor {number}'):
      name = self._graph.Tensors(number).Name()
      if not name or len(name) > MAX_NAME_BYTES:
        raise ValueError('no name, or one too long')
      return name.decode()

  def _constant(self, number: int, name: str) -> np.ndarray:
    """A tensor that is stored in the file, as float32: (q − zero point) · scale if quantised."""
    with self._guard(name):
      tensor = self._graph.Tensors(number)
      shape, kind, buffer = self._shape(tensor), tensor.Type(), tensor.Buffer()
      if kind not in _TYPES:
        raise self._error(name, f'is of type {kind}; floats and 8-bit integers alone are read')
      if not 0 <= buffer < self._buffers:
        raise IndexError(f'buffer {buffer} of {self._buffers}')
      self.left -= math.prod(shape)
      if self.left < 0:
        raise self._error(name, f'brings the values to more than {MAX_VALUES}; give another file')
      data, size = self._model.Buffers(buffer), math.prod(shape) * _TYPES[kind].itemsize
      if data.DataLength() != size:
        raise self._error(
          name, f'has {data.DataLength()} bytes where its shape {shape} takes {size}; {_AGAIN}'
        )
      values = np.frombuffer(data.DataAsNumpy().tobytes(), _TYPES[kind]).reshape(shape)
      # What is not finite is named below.
      with np.errstate(over='ignore', invalid='ignore'):
        values = values.astype(np.float32)
        if kind in _QUANTISED:
          scale, zero = self._quantisation(tensor, name)
          values = (values - zero) * scale
    if not np.isfinite(values).all():
      raise self._error(name, f'holds numbers that are not finite; {_AGAIN}')
    return values

  def _shape(self, tensor: tflite.Tensor) -> tuple[int, ...]:
    if tensor.ShapeLength() > MAX_AXES:
      raise ValueError(f'{tensor.ShapeLength()} axes')
    shape = tuple(int(tensor.Shape(axis)) for axis in range(tensor.ShapeLength()))
    if any(side < 1 for side in shape):
      raise ValueError(f'shape {shape}')
    return shape

  def _quantisation(self, tensor: tflite.Tensor, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Scale and zero point, shape (); models with one for each channel are refused."""
    given = tensor.Quantization()
    counts = (given.ScaleLength(), given.ZeroPointLength()) if given else (0, 0)
    if counts != (1, 1):
      raise self._error(
        name, f'has {counts[0]} scales and {counts[1]} zero points where 1 of each is read; give '
        'another file'
      )
    return np.float32(given.Scale(0)), np.float32(given.ZeroPoint(0))

  @contextlib.contextmanager
  def _guard(self, place: str) -> Iterator[None]:
    try:
      yield
    except WeightsError:
      raise
    except _BROKEN as error:
      words = (str(error).splitlines() or [''])[0][:80]
      raise self._error(place, f'damaged ({words or type(error).__name__}); {_AGAIN}') from None

  def _error(self, place: str, reason: str) -> WeightsError:
    # `ascii`, as names come from the file: no line ends, no control characters on a terminal.
    return WeightsError(self.source, ascii(place)[1:-1], ascii(reason)[1:-1])


def require(
  found: Mapping[str, np.ndarray], name: str, shape: tuple[int, ...], source: str
) -> np.ndarray:
  """One of the arrays of `read_tflite`, of the shape that a network needs.

  Raises:
    WeightsError: missing, or of another shape.
  """
  if name not in found:
    raise WeightsError(source, name, 'is missing; give the file of that network')
  if found[name].shape != shape:
    raise WeightsError(
      source, name, f'shape {found[name].shape} in the place of {shape}; give the file of that '
      'network'
    )
  return found[name]
