"""The lifter and its training step in PyTorch on a CPU, with posejax's weights: plain eager code.

PyTorch is the extra `bench`; without it `available()` is false and nothing else may be called.

Symbols: those of methods/lifting/step.py; B poses, J joints.
"""

import importlib.util
from typing import Any

import ml_collections
import numpy as np

from posejax.geometry.lifting import NEAREST
from posejax.methods.lifting import people
from posejax.models import flow as flow_lib

_SLOPE = 0.01  # of LeakyReLU


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

  layers = _layers(params['networks_whole'])

  def call(poses: np.ndarray):
    with torch.inference_mode():
      depth, theta = _lifter(layers, torch.from_numpy(poses), input_scale)
    return depth.numpy(), theta.numpy()

  return call


class Training:
  """The whole training step of a single lifter, but for the draw of its poses.

  Lift, turn, reproject, NLL of the frozen flow, re-lift, all losses, backward, clip, Adam with L2
  in the gradient: `torch.optim.Adam` and `clip_grad_norm_` as they come.

  Args:
    config: of the method, one lifter; kind 'single', neither `lifter.resample` nor `flow.pca`.
    params: of the lifter.
    frozen: 'flow' parameters, 'spread' of its inputs, 'ratios' of the bones.
    flow: shape of the flow.
    rates: learning rate of each step; the last one stays.

  Raises:
    ValueError: another config.
  """

  def __init__(
    self, config: ml_collections.ConfigDict, params: dict[str, Any], frozen: dict[str, Any],
    flow: flow_lib.FlowConfig, rates: np.ndarray,
  ):
    import torch

    settings = config.lifter
    if settings.kind != 'single' or settings.resample or config.flow.pca:
      raise ValueError(
        'Training: one network for the whole body, no sampled poses, no principal components'
      )
    self.config, self.flow, self.rates, self.done = config, flow, rates.tolist(), 0
    self.layers = _layers(params['networks_whole'])
    self.frozen = _Frozen(flow, frozen)
    self.leaves = [
      leaf.requires_grad_() for layer in self.layers.values()
      for dense in (layer.values() if isinstance(layer, dict) else [layer]) for leaf in dense
    ]
    # One pass over each leaf instead of ten: the fastest Adam that it has on a CPU.
    self.optimizer = torch.optim.Adam(self.leaves, weight_decay=settings.l2, fused=True)

  def __call__(
    self, poses: np.ndarray, azimuth: np.ndarray, normal: np.ndarray
  ) -> tuple[float, float]:
    """One step.

    Args:
      poses: (B, J, 2) normalised.
      azimuth: (B,) rad.
      normal: (B,) ~ N(0, 1).

    Returns:
      Loss and gradient's norm, both before the step.
    """
    import torch

    for group in self.optimizer.param_groups:
      group['lr'] = self.rates[min(self.done, len(self.rates) - 1)]
    self.optimizer.zero_grad()
    values = self.losses(*map(torch.from_numpy, (poses, azimuth, normal)))
    weights = self.config.lifter.weights
    loss = sum(weights[name] * value for name, value in values.items() if weights[name])
    loss.backward()
    clip = self.config.lifter.clip
    norm = torch.nn.utils.clip_grad_norm_(self.leaves, clip or float('inf'))
    self.optimizer.step()
    self.done += 1
    return loss.item(), norm.item()

  def losses(self, poses: Any, azimuth: Any, normal: Any) -> dict[str, Any]:
    """The losses of `methods.lifting.step.terms_of`, tensors."""
    import torch

    c, scale = self.config.c, self.config.lifter.input_scale
    depth, theta = _lifter(self.layers, poses, scale)
    X = _lift(poses, depth, c)
    spread = theta.var().clamp_min(max(self.config.lifter.std_floor, 1e-4) ** 2).sqrt()
    x_angle = spread * normal - theta.mean()
    R = _turn_x(x_angle) @ _turn_y(azimuth) @ _turn_x(theta)
    Y = X @ R.transpose(1, 2)
    q = _reproject(Y, c)
    depth_again, theta_again = _lifter(self.layers, q, scale)
    again = _lift(q, depth_again, c)
    back = again @ R
    change = X - back
    pairs = len(change) // 2 * 2
    return {
      'nll': self.frozen.nll(q).mean(),
      'relift_3d': _norm(again - Y).mean(),
      'relift_2d': (_reproject(back, c) - poses).abs().sum((1, 2)).mean(),
      'deform': _norm(change[:pairs:2] - change[1:pairs:2]).mean(),
      'bone': ((_relative_bones(X) - self.frozen.ratios) ** 2).sum(1).mean(),
      'elevation': torch.square(theta_again + x_angle).mean(),
    }


class _Frozen:
  """The flow, and what else a step reads."""

  def __init__(self, config: flow_lib.FlowConfig, frozen: dict[str, Any]):
    import torch

    self.passive = config.passive
    self.spread = torch.tensor(float(frozen['spread']))
    self.ratios = torch.from_numpy(np.array(frozen['ratios'], np.float32))
    trees = [frozen['flow'][f'couplings_{i}'] for i in range(config.blocks)]
    self.couplings = [
      (_dense(tree['hidden']), _dense(tree['out']),
       *(torch.from_numpy(np.array(tree[name])) for name in ('gamma', 'shift')),
       torch.from_numpy(turn))
      for tree, turn in zip(trees, flow_lib.rotations(config), strict=True)
    ]

  def nll(self, poses: Any):
    """(B,) of normalised poses (B, J, 2)."""
    import torch
    from torch.nn import functional

    x = poses[:, 1:].reshape(len(poses), -1) / self.spread
    logdet = 0.0
    for hidden, out, gamma, shift, turn in self.couplings:
      x1, x2 = x[:, : self.passive], x[:, self.passive :]
      y = functional.relu(functional.linear(x1, *hidden))
      a, t = (0.1 * functional.linear(y, *out)).chunk(2, -1)
      s = 2 * torch.tanh(a)
      scale = 0.1 * functional.softplus(gamma, beta=0.5)
      x = (torch.cat([x1, x2 * torch.exp(s) + t], -1) * scale + shift) @ turn
      logdet = logdet + s.sum(-1) + torch.log(scale).sum()
    return 0.5 * (x**2).sum(-1) - logdet


def _lifter(layers: dict[str, Any], poses: Any, input_scale: float):
  """Depths (B, J), with the root's not set to 0, and θ (B,), of tensors (B, J, 2)."""
  from torch.nn import functional

  def block(x, name):
    y = functional.leaky_relu(functional.linear(x, *layers[name]['TorchDense_0']), _SLOPE)
    y = functional.leaky_relu(functional.linear(y, *layers[name]['TorchDense_1']), _SLOPE)
    return functional.leaky_relu(x + y, _SLOPE)

  names = sorted(
    (name for name in layers if name.startswith('Block_')), key=lambda n: int(n.split('_')[1])
  )
  half = (len(names) - 1) // 2
  x = poses.reshape(len(poses), -1) * input_scale
  x = block(functional.linear(x, *layers['TorchDense_0']), names[0])
  found = []
  heads = (names[1 : 1 + half], names[1 + half :])
  for chosen, out in zip(heads, ('depth_out', 'elevation_out'), strict=True):
    y = x
    for name in chosen:
      y = block(y, name)
    found.append(functional.linear(y, *layers[out]))
  return found[0], found[1][:, 0]


def _lift(poses: Any, depth: Any, c: float):
  """(B, J, 3) of (B, J, 2) and depths whose root is not 0 yet."""
  import torch
  from torch.nn import functional

  z = (functional.pad(depth[:, 1:], (1, 0)) + c).clamp_min(NEAREST)[..., None]
  return torch.cat([poses * z, z - c], -1)


def _reproject(pose: Any, c: float):
  return pose[..., :2] / (pose[..., 2:] + c).clamp_min(NEAREST)


def _turn_x(angle: Any):
  import torch

  s, c = angle.sin(), angle.cos()
  zero, one = torch.zeros_like(s), torch.ones_like(s)
  return torch.stack([one, zero, zero, zero, c, -s, zero, s, c], -1).view(-1, 3, 3)


def _turn_y(angle: Any):
  import torch

  s, c = angle.sin(), angle.cos()
  zero, one = torch.zeros_like(s), torch.ones_like(s)
  return torch.stack([c, zero, s, zero, one, zero, -s, zero, c], -1).view(-1, 3, 3)


def _norm(x: Any):
  """(B,) ‖x‖ of each pose; PyTorch's gradient at 0 is 0 too."""
  import torch

  return torch.linalg.vector_norm(x, dim=(1, 2))


def _relative_bones(poses: Any):
  import torch

  ends = np.array(people.SKELETON.limbs)
  lengths = torch.linalg.vector_norm(poses[:, ends[:, 1]] - poses[:, ends[:, 0]], dim=-1)
  return lengths / lengths.mean(1, keepdim=True)


def _layers(tree: dict[str, Any]) -> dict[str, Any]:
  """(weight, bias) of a network's linear layers, blocks' in a mapping of their own."""
  return {
    name: _dense(layer) if 'kernel' in layer
    else {key: _dense(leaf) for key, leaf in layer.items()} for name, layer in tree.items()
  }


def _dense(layer: dict[str, Any]):
  import torch

  weight = torch.from_numpy(np.array(np.asarray(layer['kernel']).T, order='C'))
  return weight, torch.from_numpy(np.array(layer['bias']))
