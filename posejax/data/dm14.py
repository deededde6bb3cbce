"""The dm14 teacher's weights (third_party/mobilenetv2_pose), as parameters of our E and F.

A user's file is the published `.tflite`, or an `.npz` of its dequantised arrays under its layers'
names (`MobilenetV2/expanded_conv_1/expand/kernel`). Both hold all six stages.
"""

import dataclasses
import functools
import os
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from posejax.data import tflite_weights, weights
from posejax.models import mobilenet_pose

Shapes = dict[tuple[str, str], tuple[int, ...]]


def load_dm14(
  path: str | os.PathLike, stages: int = 2
) -> tuple[mobilenet_pose.MobilenetPoseConfig, dict[str, dict]]:
  """Reads the dm14 teacher.

  Args:
    path: the published `.tflite`, or an `.npz`: the file's first bytes tell which.
    stages: of F, 1 to 6; 2 as the cross-modal method takes it, 6 as published.

  Returns:
    The config, and {'E': ..., 'F': ...}: parameters of `mobilenet_pose.Encoder(config)` and
    `Decoder(config)`, each {layer: {'kernel': ..., 'bias': ...}}, NumPy float32.

  Raises:
    WeightsError: the file is missing, damaged, too large, or another network's.
    ValueError: another number of stages.
  """
  config = dataclasses.replace(mobilenet_pose.DM14, num_stages=stages)
  return config, read_parameters(path, config)


def read_parameters(
  path: str | os.PathLike, config: mobilenet_pose.MobilenetPoseConfig
) -> dict[str, dict]:
  """Parameters of E and F of any widths, from a file with the published layer names.

  Raises:
    WeightsError: see `load_dm14`.
  """
  weights.file_size(path)
  try:
    with open(path, 'rb') as file:
      start = file.read(8)
  except OSError as error:
    raise weights.WeightsError(path, '', f'cannot be read ({error.strerror or error})') from None
  if start[4:] == tflite_weights.IDENTIFIER:
    found = tflite_weights.read_tflite(path)
    return _collect(
      config, lambda name, shape: tflite_weights.require(found, name, shape, os.fspath(path))
    )
  if start[:2] == b'PK':
    with weights.open_npz(path) as file:
      return _collect(config, lambda name, shape: _read_npz(file, name, shape))
  raise weights.WeightsError(
    path, '', 'is neither a .tflite model nor an .npz of arrays; give one of these'
  )


@functools.cache
def parameter_shapes(config: mobilenet_pose.MobilenetPoseConfig) -> dict[str, Shapes]:
  """(layer, 'kernel' or 'bias') → shape, for E and for F; allocates nothing."""
  encoder, decoder = mobilenet_pose.Encoder(config), mobilenet_pose.Decoder(config)
  image = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
  latents, e = jax.eval_shape(encoder.init_with_output, jax.random.key(0), image)
  f = jax.eval_shape(decoder.init, jax.random.key(0), *latents)
  return {
    name: {key: leaf.shape for key, leaf in traverse_util.flatten_dict(tree['params']).items()}
    for name, tree in (('E', e), ('F', f))
  }


def public_name(layer: str, kind: str) -> str:
  """Where the public files have a parameter: 'MobilenetV2/expanded_conv_1/expand/kernel'."""
  if layer.startswith('MConv'):
    return f'Openpose/{layer}/{kind}'
  if layer == 'Conv':
    return f'MobilenetV2/Conv/{kind}'
  block, part = layer.rsplit('_', 1)
  return f'MobilenetV2/{block}/{part}/{kind}'


def _collect(
  config: mobilenet_pose.MobilenetPoseConfig,
  read: Callable[[str, tuple[int, ...]], np.ndarray],
) -> dict[str, dict]:
  """Parameters of E and F, each array as `read` gives it for its public name and shape."""
  return {
    network: traverse_util.unflatten_dict(
      {key: read(public_name(*key), shape) for key, shape in shapes.items()}
    )
    for network, shapes in parameter_shapes(config).items()
  }


def _read_npz(file: weights.NpzReader, name: str, shape: tuple[int, ...]) -> np.ndarray:
  """One array; depthwise kernels are (k, k, C, 1) there as in TensorFlow, (k, k, 1, C) here."""
  if not name.endswith('_depthwise/kernel') and not name.endswith('/depthwise/kernel'):
    return file.read(name, shape)
  k, _, _, c = shape
  return file.read(name, (k, k, c, 1)).reshape(shape)
