"""dm14's E and F in PyTorch on a CPU, with posejax's weights.

Plain eager PyTorch, channels last, with PyTorch's own depthwise convolutions. TensorFlow's
upsampling, which PyTorch lacks, is a repeated map averaged with its neighbour.

PyTorch is the extra `bench`: see `torch_crossmodal.available`.
"""

from typing import Any

import numpy as np

from posejax.models.mobilenet_pose import MobilenetPoseConfig


class TorchMobilenetPose:
  """The network of one configuration.

  Args:
    config: widths.
    params: {'E', 'F'} of flax, any arrays.
  """

  def __init__(self, config: MobilenetPoseConfig, params: dict[str, Any]):
    self.config = config
    self.weights = {
      name: _converted(layer) for tree in params.values() for name, layer in tree.items()
    }

  def encode(self, images: np.ndarray) -> tuple[Any, Any]:
    """v and skip as tensors (B, C, h, w).

    Args:
      images: (B, H, W, 3) uint8 RGB, H and W multiples of 16.
    """
    import torch

    with torch.inference_mode():
      x = torch.from_numpy(np.ascontiguousarray(images)).permute(0, 3, 1, 2).flip(1)
      x = x.float().contiguous(memory_format=torch.channels_last)
      x, outputs = self._conv(x, 'Conv', 2).clamp_(0, 6), []
      for index, block in enumerate(self.config.blocks):
        name, before = f'expanded_conv_{index}' if index else 'expanded_conv', x
        if block.expand > 1:
          x = self._conv(x, f'{name}_expand').clamp_(0, 6)
        x = self._conv(x, f'{name}_depthwise', block.stride).clamp_(0, 6)
        x = self._conv(x, f'{name}_project')
        x = x + before if x.shape == before.shape else x
        outputs.append(x)
      skip = torch.cat([outputs[self.config.fine], _twice(_twice(x, 2), 3)], 1)
      branches = [self._branch(skip, f'MConv_Stage1_{branch}') for branch in ('L1', 'L2')]
      return torch.cat(branches, 1), skip

  def decode(self, v: Any, skip: Any) -> tuple[Any, Any]:
    """The last stage's PAF and heat-maps, tensors (B, C, h, w)."""
    import torch

    with torch.inference_mode():
      halves = v.chunk(2, 1)
      maps = [self._separable(halves[b], f'MConv_Stage1_L{b + 1}_5') for b in (0, 1)]
      for stage in range(2, self.config.num_stages + 1):
        x, names = torch.cat([*maps, skip], 1), [f'MConv_Stage{stage}_L{b}' for b in (1, 2)]
        maps = [self._separable(self._branch(x, name), f'{name}_5') for name in names]
      return tuple(maps)

  def _branch(self, x, name: str):
    for index in (1, 2, 3, 4):
      x = self._separable(x, f'{name}_{index}').relu_()
    return x

  def _separable(self, x, name: str):
    return self._conv(self._conv(x, f'{name}_depthwise'), f'{name}_pointwise')

  def _conv(self, x, name: str, stride: int = 1):
    import torch.nn.functional as nn

    weights, bias = self.weights[name]
    k = weights.shape[-1]
    if stride == 2:  # TensorFlow's SAME on an even side: the zero behind alone
      x = nn.pad(x, (0, k - 2, 0, k - 2))
    groups = x.shape[1] if name.endswith('depthwise') else 1
    return nn.conv2d(x, weights, bias, stride, 0 if stride == 2 else k // 2, groups=groups)


def _twice(x, axis: int):
  """Bilinear enlargement of one axis to twice its cells, without half cells."""
  import torch

  n = x.shape[axis]
  after = torch.cat([x.narrow(axis, 1, n - 1), x.narrow(axis, n - 1, 1)], axis)
  return torch.stack([x, (x + after) / 2], axis + 1).flatten(axis, axis + 1)


def _converted(layer: Any) -> tuple[Any, Any]:
  """A flax layer as (weights, bias); a depthwise kernel (k, k, 1, C) becomes (C, 1, k, k)."""
  import torch

  kernel, bias = (torch.from_numpy(np.array(layer[name])) for name in ('kernel', 'bias'))
  return kernel.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last), bias
