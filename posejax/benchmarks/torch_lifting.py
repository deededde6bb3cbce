"""The lifter in PyTorch on a CPU, with posejax's weights: plain eager modules, as people write it.

PyTorch is the extra `bench`; without it `available()` is false and nothing else may be called.
"""

import importlib.util
from typing import Any

import numpy as np


def available() -> bool:
  """Whether PyTorch is installed."""
  return importlib.util.find_spec('torch') is not None


def version() -> str:
  import torch

  return torch.__version__


def lifter(params: dict[str, Any], input_scale: float):
  """A single lifter.

  Args:
    params: of `models.lifter.Lifter`, kind 'single'.
    input_scale: factor on its input.

  Returns:
    (B, J, 2) float32 arrays → depths (B, J), with the root's not set to 0, and θ (B,), arrays.
  """
  import torch
  from torch.nn import functional

  tree = params['networks_whole']
  as_torch = {
    name: {key: _dense(leaf) for key, leaf in layer.items()} if 'kernel' not in layer
    else _dense(layer) for name, layer in tree.items()
  }

  def block(x, layers):
    y = functional.leaky_relu(functional.linear(x, *layers['TorchDense_0']), 0.01)
    y = functional.leaky_relu(functional.linear(y, *layers['TorchDense_1']), 0.01)
    return functional.leaky_relu(x + y, 0.01)

  names = sorted(
    (name for name in as_torch if name.startswith('Block_')), key=lambda n: int(n.split('_')[1])
  )
  half = (len(names) - 1) // 2
  heads = (names[1 : 1 + half], names[1 + half :])

  def call(poses: np.ndarray):
    with torch.inference_mode():
      x = torch.from_numpy(poses).reshape(len(poses), -1) * input_scale
      x = block(functional.linear(x, *as_torch['TorchDense_0']), as_torch[names[0]])
      found = []
      for chosen, out in zip(heads, ('depth_out', 'elevation_out'), strict=True):
        y = x
        for name in chosen:
          y = block(y, as_torch[name])
        found.append(functional.linear(y, *as_torch[out]).numpy())
    return found[0], found[1][:, 0]

  return call


def _dense(layer: dict[str, Any]):
  import torch

  weight = torch.from_numpy(np.array(np.asarray(layer['kernel']).T, order='C'))
  return weight, torch.from_numpy(np.array(layer['bias']))
