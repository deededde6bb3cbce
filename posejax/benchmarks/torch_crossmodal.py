"""The cross-modal networks in PyTorch on a CPU, with posejax's weights: E, F's heat-maps, H.

Plain eager PyTorch, channels last, as people write it. Convolutions, pools and LeakyReLU are
PyTorch's own; H's last layer is applied to all cells, as a network's would be. What follows H
(peaks, pooling, Ψ, FK, projection) is left out: PyTorch's side has less to do.

PyTorch is the extra `bench`; without it `available()` is false and nothing else may be called.
"""

import importlib.util
from typing import Any

import numpy as np

from posejax.models.crossmodal import ROTATION, HConfig
from posejax.models.openpose import OpenPoseConfig


def available() -> bool:
  """Whether PyTorch is installed."""
  return importlib.util.find_spec('torch') is not None


def version() -> str:
  import torch

  return torch.__version__


class TorchNetwork:
  """The networks of one configuration.

  Args:
    teacher: widths of E and F; two stages.
    h: layers of H, without a window.
    params: {'E', 'F', 'H'} of flax, any arrays.

  Raises:
    ValueError: layers that are not built here.
  """

  def __init__(self, teacher: OpenPoseConfig, h: HConfig, params: dict[str, Any]):
    if teacher.num_stages != 2 or h.window or h.slots > 1 or h.roots or h.offsets:
      raise ValueError('TorchNetwork: two stages of F, and H with one plain pose a cell')
    self.teacher, self.h = teacher, h
    self.weights = {name: _converted(params[name]) for name in ('E', 'F', 'H')}

  def __call__(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Heat-maps (B, h, w, C) and s (B, h', w', 39), c's pairs of length one.

    Args:
      images: (B, S, S, 3) uint8 RGB.
    """
    import torch

    with torch.inference_mode():
      x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).flip(1)
      x = (x.float() / 256 - 0.5).contiguous(memory_format=torch.channels_last)
      halves, skip = self._encode(x)
      heat = self._heat(halves, skip)
      s = self._lift(torch.cat(halves, 1))
      return tuple(y.permute(0, 2, 3, 1).contiguous().numpy() for y in (heat, s))

  def _act(self, x):
    import torch.nn.functional as nn

    return nn.leaky_relu(x, self.teacher.leak) if self.teacher.leak else nn.relu(x)

  def _encode(self, x):
    import torch.nn.functional as nn

    net = self.weights['E']
    for block, widths in enumerate(self.teacher.front, start=1):
      if block > (2 if self.teacher.strided else 1):
        x = nn.max_pool2d(x, 2)
      for index in range(1, len(widths) + 1):
        halves = block == index == 1 and self.teacher.strided
        x = self._act(_conv(net, f'conv{block}_{index}', x, 2 if halves else 1))
    for index in range(len(self.teacher.cpm)):
      x = self._act(_conv(net, f'conv4_{len(self.teacher.front[-1]) + 1 + index}_CPM', x))
    skip, halves = x, []
    for branch in ('L1', 'L2'):
      x = skip
      for index in range(1, len(self.teacher.stage1) + 2):
        x = self._act(_conv(net, f'conv5_{index}_CPM_{branch}', x))
      halves.append(x)
    return halves, skip

  def _heat(self, halves, skip):
    import torch

    net = self.weights['F']
    last = f'conv5_{len(self.teacher.stage1) + 2}_CPM'
    maps = [_conv(net, f'{last}_{b}', x) for b, x in zip(('L1', 'L2'), halves, strict=True)]
    x = torch.cat([*maps, skip], 1)
    layers = len(self.teacher.stage) + 1
    for index in range(1, layers + 1):
      x = self._act(_conv(net, f'Mconv{index}_stage2_L2', x))
    return _conv(net, f'Mconv{layers + 1}_stage2_L2', x)

  def _lift(self, x):
    import torch

    h, net = self.h, self.weights['H']
    s = torch.tanh(_conv(net, 'pose', trunk(h, net['trunk'], x)))
    phi, turn, depth = torch.split(s, (h.embedding, ROTATION, 1), 1)
    pairs = turn.unflatten(1, (ROTATION // 2, 2))
    return torch.cat([phi, (pairs / pairs.norm(dim=2, keepdim=True)).flatten(1, 2), depth], 1)


class TorchRoots:
  """H up to where roots are known: what a student whose roots are its own does to all cells.

  Args:
    h: layers of H, with root logits.
    params: of H, in flax's layout.
  """

  def __init__(self, h: HConfig, params: dict[str, Any]):
    self.h, self.weights = h, _converted({name: params[name] for name in ('trunk', 'root')})

  def __call__(self, v: Any) -> tuple[Any, Any]:
    """Root logits (B, K, h', w') and features (B, F, h', w') of v (B, C, h, w), tensors."""
    import torch

    with torch.inference_mode():
      features = trunk(self.h, self.weights['trunk'], v)
      return _conv(self.weights, 'root', features), features


def trunk(h: HConfig, net: dict[str, Any], x: Any) -> Any:
  """H without its last layers, on tensors (B, C, h, w); `net` is converted."""
  import torch
  import torch.nn.functional as nn

  def act(y):
    return nn.leaky_relu(y, h.leak)

  skips = []
  for level, widths in enumerate(h.down):
    for index in range(len(widths)):
      x = act(_conv(net, f'down{level}_{index}', x, 2 if level and not index else 1))
    skips.append(x)
  b, c, rows, columns = x.shape
  weights, bias = net['channels']
  mixed = torch.baddbmm(bias[:, None], x.reshape(b, c, rows * columns).transpose(0, 1), weights)
  mixed = mixed.transpose(0, 1).reshape(b, c, rows, columns)
  x = torch.cat([act(mixed), x], 1).contiguous(memory_format=torch.channels_last)
  for index in range(len(h.bottom)):
    x = act(_conv(net, f'bottom_{index}', x))
  for level, widths in zip(range(len(h.down) - 2, -1, -1), h.up, strict=False):
    up = nn.conv_transpose2d(x, *net[f'up{level}'], stride=2, padding=1)
    x = torch.cat([act(up), skips[level]], 1)
    for index in range(len(widths)):
      x = act(_conv(net, f'up{level}_{index}', x))
  return x


def _conv(net: dict[str, Any], name: str, x, stride: int = 1):
  import torch.nn.functional as nn

  weights, bias = net[name]
  return nn.conv2d(x, weights, bias, stride, (weights.shape[-1] - 1) // 2)


def _converted(tree: Any) -> Any:
  """flax's layers as (weights, bias) tensors in PyTorch's order."""
  import torch

  if 'kernel' not in tree:
    return {
      name: _transposed(below) if name.startswith('up') and '_' not in name else _converted(below)
      for name, below in tree.items()
    }
  kernel, bias = (torch.from_numpy(np.array(tree[name])) for name in ('kernel', 'bias'))
  if kernel.ndim == 4:
    kernel = kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last)
  elif kernel.ndim == 2:  # a layer over channels: a 1×1 convolution
    kernel = kernel.T[:, :, None, None].contiguous(memory_format=torch.channels_last)
  return kernel, bias


def _transposed(layer: Any) -> Any:
  """`layers.Deconv`'s weights, whose taps are stored mirrored, for `conv_transpose2d`."""
  import torch

  kernel = torch.from_numpy(np.array(layer['kernel'])).flip(0, 1).permute(2, 3, 0, 1)
  return (
    kernel.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.array(layer['bias']))
  )
