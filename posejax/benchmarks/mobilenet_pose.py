"""Rates of the dm14 teacher: E, and E with F of two stages, at 224², beside PyTorch's.

The weights are random ones of the published shapes: rates do not depend on them. The rows of the
depthwise convolution say why it is a sum of shifted products and not XLA's own (in the note).
"""

import functools
import time
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import harness, torch_crossmodal
from posejax.benchmarks.torch_mobilenet_pose import TorchMobilenetPose
from posejax.models import mobilenet_pose

_SIDE = 224


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows."""
  seconds = 0.05 if quick else 5.0
  config = mobilenet_pose.DM14
  params = random_parameters(config)
  side = 32 if quick else _SIDE
  for batch in (1, 8):
    images = np.random.default_rng(0).integers(0, 256, (batch, side, side, 3), np.uint8)
    yield from network_rows(config, params, images, seconds)
  for shape, stride in ((((28, 28, 512), 1),) if quick else (
    ((28, 28, 512), 1), ((112, 112, 144), 2)
  )):
    yield depthwise_row(shape, stride, seconds / 4)


def random_parameters(config: mobilenet_pose.MobilenetPoseConfig) -> dict:
  """Parameters of E and F with weights of He's size."""
  rng, side = np.random.default_rng(0), 32
  encoder, decoder = mobilenet_pose.Encoder(config), mobilenet_pose.Decoder(config)
  image = jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32)
  latents, e = jax.eval_shape(encoder.init_with_output, jax.random.key(0), image)
  f = jax.eval_shape(decoder.init, jax.random.key(0), *latents)

  def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    # Not the modules' own initial weights, whose draws take long to compile.
    fan = leaf.size / leaf.shape[-1]
    return rng.normal(scale=np.sqrt(2 / fan), size=leaf.shape).astype(np.float32)

  return jax.tree.map(draw, {'E': e['params'], 'F': f['params']})


def network_rows(
  config: mobilenet_pose.MobilenetPoseConfig, params: dict, images: np.ndarray, seconds: float
) -> Iterator[harness.Row]:
  """E alone and E with F.

  Args:
    config: widths.
    params: {'E', 'F'}.
    images: (B, H, W, 3) uint8 RGB.
    seconds: measuring time of each side.
  """

  def encode(params, images):
    module = mobilenet_pose.Encoder(config)
    return module.apply({'params': params['E']}, mobilenet_pose.preprocess(images))

  def whole(params, images):
    latents = encode(params, images)
    return mobilenet_pose.Decoder(config).apply({'params': params['F']}, *latents)[-1]

  args = jax.device_put((params, images))
  sides, compiled, compile_s = {}, {}, {}
  for name, function in (('E', encode), ('E + F', whole)):
    begin = time.perf_counter()
    compiled[name] = jax.jit(function).lower(*args).compile()
    compile_s[name] = time.perf_counter() - begin
    sides[name] = functools.partial(compiled[name], *args)
  has_torch = torch_crossmodal.available()
  if has_torch:
    twin = TorchMobilenetPose(config, params)
    require_same(compiled['E + F'](*args), twin.decode(*twin.encode(images)))
    sides |= {
      'torch E': lambda: twin.encode(images) and None,
      'torch E + F': lambda: twin.decode(*twin.encode(images)) and None,
    }
  for thunk in sides.values():
    jax.block_until_ready(thunk())
  times = harness.measure(sides, seconds=seconds)
  batch, side = images.shape[:2]
  for name in compiled:
    torch = times.get(f'torch {name}')
    yield harness.Row(
      f'dm14: {side}², batch {batch}: {name}', 'images', batch / times[name],
      torch=batch / torch if torch else None,
      target='≥ 10/s' if batch == 1 else '',
      reached=batch / times[name] >= 10 if batch == 1 else None,
      compile_s=compile_s[name], peak_mib=harness.planned_mib(compiled[name]),
      note=f'PyTorch {torch_crossmodal.version()}' if has_torch
      else 'PyTorch is not installed (extra `bench`)',
    )


def require_same(maps: tuple[jax.Array, jax.Array], twin: tuple) -> None:
  """Raises an AssertionError unless PyTorch's maps are ours, to 1e-3 of their size."""
  for ours, theirs in zip(maps, twin, strict=True):
    theirs = theirs.permute(0, 2, 3, 1).numpy()
    harness.require_equal(ours, theirs, atol=1e-3 * float(jnp.abs(ours).max()))


def depthwise_row(shape: tuple[int, int, int], stride: int, seconds: float) -> harness.Row:
  """One 3×3 depthwise convolution as the network has it, beside XLA's own.

  Args:
    shape: (H, W, C).
    stride: of it.
    seconds: measuring time of each side.
  """
  x, weights = jnp.ones((1, *shape)), jnp.ones((3, 3, 1, shape[-1]))
  shifted = jax.jit(functools.partial(mobilenet_pose.depthwise, stride=stride))
  own = jax.jit(functools.partial(
    jax.lax.conv_general_dilated, window_strides=(stride, stride), padding='SAME',
    dimension_numbers=('NHWC', 'HWIO', 'NHWC'), feature_group_count=shape[-1],
  ))
  harness.require_equal(shifted(x, weights), own(x, weights), atol=1e-5)
  times = harness.measure(
    {'shifted': lambda: shifted(x, weights), 'own': lambda: own(x, weights)}, seconds=seconds
  )
  return harness.Row(
    f'depthwise 3×3, {shape[0]}²×{shape[2]}, stride {stride}', 'maps', 1 / times['shifted'],
    note=f'{1000 * times["shifted"]:.2f} ms, XLA\'s own {1000 * times["own"]:.2f} ms',
  )
