"""OpenPose's published weights as parameters of our E and F.

A user's file is either the published Caffe model (`pose_iter_*.caffemodel` of the body models COCO
and MPI) or the `.npz` that third_party/openpose/convert.py makes of it: float32 arrays under
`E/conv1_1/kernel`, `E/conv1_1/bias`, ..., all six stages. Our layers have Caffe's names, so that
nothing is renamed; Caffe's convolution is a cross-correlation, so that OIHW becomes HWIO without a
flip. Images go through `models.openpose.preprocess`, maps are those of the variant's joint set:
channel i of the heat-maps is joint i, channels 2i and 2i + 1 of the fields are limb i.

Source: spec/openpose.md; licence of the weights: third_party/openpose/README.md.
"""

import dataclasses
import functools
import os
from typing import NamedTuple

import jax
import numpy as np
from flax import traverse_util

from posejax.data import caffemodel, weights
from posejax.data.caffemodel import CaffemodelError
from posejax.data.weights import WeightsError
from posejax.geometry import skeleton as skeleton_lib
from posejax.models import openpose

STAGES = 6  # of the published networks
_OUTPUT = 'conv5_5_CPM_L1'  # whose channels tell the variant


class Variant(NamedTuple):
  """A published network.

  Attributes:
    config: its widths.
    skeleton: its parts, and its limbs in the order of the fields.
  """

  config: openpose.OpenPoseConfig
  skeleton: skeleton_lib.Skeleton


class OpenPose(NamedTuple):
  """The network of a file.

  Attributes:
    config: widths, with the number of stages that was asked for.
    skeleton: parts (heat-map channels, the background behind them) and limbs (PAF channels).
    params: 'E' and 'F', each {layer: {'kernel': (k, k, I, O), 'bias': (O,)}}, NumPy float32.
  """

  config: openpose.OpenPoseConfig
  skeleton: skeleton_lib.Skeleton
  params: dict[str, dict[str, dict[str, np.ndarray]]]


VARIANTS = (
  Variant(openpose.VGG_MPI, skeleton_lib.OPENPOSE_MPI15),
  Variant(openpose.VGG_COCO, skeleton_lib.OPENPOSE_COCO18),
)


def load_openpose(
  path: str | os.PathLike, stages: int = 2, variants: tuple[Variant, ...] = VARIANTS
) -> OpenPose:
  """Reads OpenPose's weights from a Caffe model or a converted `.npz`.

  Args:
    path: the file; its content tells which of the two it is.
    stages: stages of F, 1 to 6: 2 is the paper's F, 6 the whole network. F with six stages gives
      the maps of every one, so that it serves both.
    variants: networks that the file may hold.

  Returns:
    The network.

  Raises:
    WeightsError: the file cannot be used (CaffemodelError: names the layer and the byte).
    ValueError: no such number of stages.
  """
  if stages not in range(1, STAGES + 1):
    raise ValueError(f'load_openpose: stages must be 1 to {STAGES}, got {stages}')
  variants = tuple(
    Variant(dataclasses.replace(v.config, num_stages=stages), v.skeleton) for v in variants
  )
  weights.file_size(path)
  try:
    with open(path, 'rb') as file:
      zipped = file.read(2) == b'PK'
  except OSError as error:
    raise WeightsError(path, '', f'cannot be read ({error.strerror or error})') from None
  return _from_npz(path, variants) if zipped else _from_caffemodel(path, variants)


def save_openpose(path: str | os.PathLike, network: OpenPose) -> None:
  """Writes a network to a new `.npz` that `load_openpose` reads.

  Raises:
    WeightsError: the file exists, or cannot be written.
  """
  weights.write_npz(path, traverse_util.flatten_dict(network.params, sep='/'))


@functools.cache
def parameter_shapes(config: openpose.OpenPoseConfig) -> dict[str, tuple[int, ...]]:
  """Shape of every array of E and F under its path, such as `F/conv5_5_CPM_L1/kernel`."""
  key = jax.random.key(0)
  image = jax.ShapeDtypeStruct((1, openpose.STRIDE, openpose.STRIDE, 3), np.float32)
  latents, e = jax.eval_shape(openpose.Encoder(config).init_with_output, key, image)
  f = jax.eval_shape(openpose.Decoder(config).init, key, *latents)
  flat = traverse_util.flatten_dict({'E': e['params'], 'F': f['params']}, sep='/')
  return {path: leaf.shape for path, leaf in flat.items()}


def _from_caffemodel(path: str | os.PathLike, variants: tuple[Variant, ...]) -> OpenPose:
  names = [p.split('/')[1] for p in parameter_shapes(variants[0].config) if p.endswith('/kernel')]
  layers = caffemodel.read_caffemodel(path, names)
  output = layers[_OUTPUT]
  variant = _variant(len(output.weight), variants)
  if variant is None:
    raise CaffemodelError(
      os.fspath(path), _OUTPUT, output.byte, f'has {len(output.weight)} PAF channels, '
      f'{_known(variants)}; give one of these'
    )
  shapes, arrays = parameter_shapes(variant.config), {}
  for kernel in [place for place in shapes if place.endswith('/kernel')]:
    name = kernel.split('/')[1]
    layer = layers.pop(name)  # let go one by one: the whole network is in memory once
    bias = kernel.removesuffix('kernel') + 'bias'
    # Contiguous, or a converter would write it in another order.
    arrays[kernel] = np.ascontiguousarray(layer.weight.transpose(2, 3, 1, 0))
    arrays[bias] = layer.bias
    for place in (kernel, bias):
      if arrays[place].shape != shapes[place]:
        raise CaffemodelError(
          os.fspath(path), name, layer.byte, f'{place} would have the shape '
          f'{arrays[place].shape}, where {variant.skeleton.name} has {shapes[place]}; give the '
          'published model'
        )
  return _network(variant, arrays)


def _from_npz(path: str | os.PathLike, variants: tuple[Variant, ...]) -> OpenPose:
  with weights.open_npz(path) as file:
    place = f'F/{_OUTPUT}/kernel'
    shape = file.shape(place)
    variant = _variant(shape[-1] if shape else 0, variants)
    if variant is None:
      raise WeightsError(
        path, place, f'has the shape {shape}, {_known(variants)}; convert one of these'
      )
    shapes = parameter_shapes(variant.config)
    return _network(variant, {place: file.read(place, shape) for place, shape in shapes.items()})


def _variant(channels: int, variants: tuple[Variant, ...]) -> Variant | None:
  return next((v for v in variants if v.config.num_paf == channels), None)


def _known(variants: tuple[Variant, ...]) -> str:
  return 'but ' + ', '.join(f'{v.skeleton.name} has {v.config.num_paf}' for v in variants)


def _network(variant: Variant, arrays: dict[str, np.ndarray]) -> OpenPose:
  return OpenPose(
    variant.config, variant.skeleton, traverse_util.unflatten_dict(arrays, sep='/')
  )
