"""Small TensorFlow Lite models, as the converter writes the dm14 teacher."""

from typing import NamedTuple

import flatbuffers
import numpy as np
import tflite

CODES = (tflite.BuiltinOperator.CONV_2D, tflite.BuiltinOperator.DEPTHWISE_CONV_2D,
         tflite.BuiltinOperator.DEQUANTIZE)


class Stored(NamedTuple):
  """A tensor: its name, bytes as an array, and scales and zero points if it has some."""

  name: str
  data: np.ndarray
  scale: tuple[float, ...] = ()
  zero: tuple[int, ...] = ()
  shape: tuple[int, ...] | None = None  # None: that of the data


TYPES = {'float32': tflite.TensorType.FLOAT32, 'float16': tflite.TensorType.FLOAT16,
         'int8': tflite.TensorType.INT8, 'uint8': tflite.TensorType.UINT8,
         'int32': tflite.TensorType.INT32}


def model(tensors, operators):
  """Bytes of a model.

  Args:
    tensors: of `Stored`, or a name for a map that no constant fills.
    operators: (index in CODES, input tensors, output tensors).
  """
  builder = flatbuffers.Builder(1024)
  buffers = [_buffer(builder, np.zeros(0, np.uint8))]
  made = []
  for tensor in tensors:
    if isinstance(tensor, str):
      tensor = Stored(tensor, np.zeros((1, 2, 2, 1), np.float32))
      made.append(_tensor(builder, tensor, 0))
    else:
      buffers.append(_buffer(builder, tensor.data))
      made.append(_tensor(builder, tensor, len(buffers) - 1))
  steps = []
  for code, inputs, outputs in operators:
    lists = [_numbers(builder, np.array(x, np.int32)) for x in (inputs, outputs)]
    tflite.OperatorStart(builder)
    tflite.OperatorAddOpcodeIndex(builder, code)
    tflite.OperatorAddInputs(builder, lists[0])
    tflite.OperatorAddOutputs(builder, lists[1])
    steps.append(tflite.OperatorEnd(builder))
  tensors, steps = _offsets(builder, made), _offsets(builder, steps)
  tflite.SubGraphStart(builder)
  tflite.SubGraphAddTensors(builder, tensors)
  tflite.SubGraphAddOperators(builder, steps)
  graphs = _offsets(builder, [tflite.SubGraphEnd(builder)])
  codes = []
  for code in CODES:
    tflite.OperatorCodeStart(builder)
    tflite.OperatorCodeAddDeprecatedBuiltinCode(builder, code)
    codes.append(tflite.OperatorCodeEnd(builder))
  codes, buffers = _offsets(builder, codes), _offsets(builder, buffers)
  tflite.ModelStart(builder)
  tflite.ModelAddVersion(builder, 3)
  tflite.ModelAddOperatorCodes(builder, codes)
  tflite.ModelAddSubgraphs(builder, graphs)
  tflite.ModelAddBuffers(builder, buffers)
  builder.Finish(tflite.ModelEnd(builder), file_identifier=b'TFL3')
  return bytes(builder.Output())


def network(arrays):
  """Bytes of a model with the layers of {'<layer>/kernel', '<layer>/bias': float32 array}.

  Depthwise layers are those whose kernel is (H, W, 1, C) under a name with "depthwise". Equal
  biases are stored once, and every other kernel stands behind DEQUANTIZE, as a float16.
  """
  tensors, operators, biases = ['image'], [], {}
  for number, name in enumerate(n for n in arrays if n.endswith('/kernel')):
    layer, kernel, bias = name.removesuffix('/kernel'), arrays[name], arrays[name[:-6] + 'bias']
    depthwise = 'depthwise' in layer
    kernel = kernel.transpose((2, 0, 1, 3) if depthwise else (3, 0, 1, 2))
    part = 'depthwise_weights' if depthwise else 'weights'
    tensors.append(Stored(f'{layer}/{part}', kernel.astype('<f2' if number % 2 else '<f4')))
    place = len(tensors) - 1
    if number % 2:
      tensors.append(f'{layer}/{part}_dequantize')
      operators.append((2, [place], [place + 1]))
      place += 1
    if bias.tobytes() not in biases:
      tensors.append(Stored(f'{layer}/Conv2D_bias', bias.astype('<f4')))
      biases[bias.tobytes()] = len(tensors) - 1
    operators.append((int(depthwise), [0, place, biases[bias.tobytes()]], [0]))
  return model(tensors, operators)


def _buffer(builder, data):
  content = _numbers(builder, np.frombuffer(data.tobytes(), np.uint8)) if data.size else None
  tflite.BufferStart(builder)
  if content is not None:
    tflite.BufferAddData(builder, content)
  return tflite.BufferEnd(builder)


def _tensor(builder, tensor, buffer):
  name = builder.CreateString(tensor.name)
  shape = tensor.data.shape if tensor.shape is None else tensor.shape
  shape = _numbers(builder, np.array(shape, np.int32))
  quantisation = None
  if tensor.scale or tensor.zero:
    scale = _numbers(builder, np.array(tensor.scale, np.float32))
    zero = _numbers(builder, np.array(tensor.zero, np.int64))
    tflite.QuantizationParametersStart(builder)
    tflite.QuantizationParametersAddScale(builder, scale)
    tflite.QuantizationParametersAddZeroPoint(builder, zero)
    quantisation = tflite.QuantizationParametersEnd(builder)
  tflite.TensorStart(builder)
  tflite.TensorAddName(builder, name)
  tflite.TensorAddShape(builder, shape)
  tflite.TensorAddType(builder, TYPES[tensor.data.dtype.name])
  tflite.TensorAddBuffer(builder, buffer)
  if quantisation is not None:
    tflite.TensorAddQuantization(builder, quantisation)
  return tflite.TensorEnd(builder)


def _numbers(builder, array):
  return builder.CreateNumpyVector(array)


def _offsets(builder, offsets):
  builder.StartVector(4, len(offsets), 4)
  for offset in reversed(offsets):
    builder.PrependUOffsetTRelative(offset)
  return builder.EndVector()
