"""dm14's E and F: TensorFlow's conventions by hand, parameter counts, and a network of NumPy."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from posejax.models import layers
from posejax.models import mobilenet_pose as mobilenet
from posejax.models.mobilenet_pose import Block

TINY = mobilenet.MobilenetPoseConfig(
  stem=4, blocks=(Block(3, 2, expand=1), Block(4, 2, expand=2), Block(4, expand=2), Block(6, 2)),
  fine=2, width=5, branch=7, num_paf=4, num_heat=3, num_stages=3,
)
# 24 px: 3 cells of stride 8, which lie over 2 of stride 16.
HEIGHT, WIDTH = 24, 32


def random_parameters(module, *inputs):
  """Random weights of He's size, random biases; compiles no initializer."""
  rng = np.random.default_rng(1)

  def draw(leaf):
    size = (2 / np.prod(leaf.shape[:-1])) ** 0.5 if len(leaf.shape) > 1 else 0.3
    return (size * rng.normal(size=leaf.shape)).astype(np.float32)

  return jax.tree.map(draw, jax.eval_shape(module.init, jax.random.key(0), *inputs))


@pytest.fixture(scope='module')
def tiny():
  """Images, parameters and outputs of a tiny E and F."""
  images = np.random.default_rng(0).uniform(-2, 2, (2, HEIGHT, WIDTH, 3)).astype(np.float32)
  encoder, decoder = mobilenet.Encoder(TINY), mobilenet.Decoder(TINY)
  e = random_parameters(encoder, images)
  v, skip = jax.jit(encoder.apply)(e, images)
  f = random_parameters(decoder, v, skip)
  return images, e, f, (v, skip), jax.jit(decoder.apply)(f, v, skip)


@pytest.mark.parametrize(
  ('values', 'stride', 'expected'),
  [
    # Three ones as a kernel. Stride 1: a zero on each side.
    ([1, 2, 3, 4], 1, [3, 6, 9, 7]),
    # Stride 2 on an even number of cells: windows 1 2 3 and 3 4 0, no zero in front.
    ([1, 2, 3, 4], 2, [6, 7]),
    # On an odd one: 0 1 2, 2 3 4, 4 5 0.
    ([1, 2, 3, 4, 5], 2, [3, 9, 9]),
  ],
)
@pytest.mark.parametrize('axis', [1, 2])
def test_same_padding_by_hand(values, stride, expected, axis):
  # The other axis has one cell, which the kernel's middle tap alone meets.
  shape = [1, 1, 1, 1]
  shape[axis] = -1
  x = np.reshape(values, shape).astype(np.float32)
  got = mobilenet.depthwise(x, np.ones((3, 3, 1, 1), np.float32), stride)
  np.testing.assert_array_equal(np.ravel(got), expected)


def depthwise_by_scipy(x, weights, stride):
  """Zeros on both sides, SciPy's correlation, then every stride-th window of TensorFlow's."""
  k = len(weights)
  out = []
  for image in x:
    for c in range(x.shape[-1]):
      full = scipy.signal.correlate2d(np.pad(image[..., c], k), weights[:, :, 0, c], 'valid')
      # full[m] is the window that begins m − k cells from the first one.
      zeros = [max(k - (n % stride or stride), 0) for n in image.shape[:2]]
      starts = [k - total // 2 for total in zeros]
      cells = [-(-n // stride) for n in image.shape[:2]]
      rows, columns = (s + stride * np.arange(n) for s, n in zip(starts, cells, strict=True))
      out.append(full[np.ix_(rows, columns)])
  return np.reshape(out, (len(x), x.shape[-1], *out[0].shape)).transpose(0, 2, 3, 1)


@pytest.mark.parametrize('stride', [1, 2])
@pytest.mark.parametrize('kernel', [1, 3])
def test_depthwise_is_the_convolution_of_each_channel(kernel, stride):
  rng = np.random.default_rng(2)
  weights = rng.normal(size=(kernel, kernel, 1, 3)).astype(np.float32)
  for shape in ((2, 5, 8, 3), (1, 8, 7, 3)):
    x = rng.normal(size=shape).astype(np.float32)
    got = mobilenet.depthwise(x, weights, stride)
    np.testing.assert_allclose(got, depthwise_by_scipy(x, weights, stride), atol=1e-5)
    # XLA's own, whose SAME is TensorFlow's too.
    expected = jax.lax.conv_general_dilated(
      x, weights, (stride, stride), 'SAME', dimension_numbers=('NHWC', 'HWIO', 'NHWC'),
      feature_group_count=3,
    )
    np.testing.assert_allclose(got, expected, atol=1e-5)


@pytest.mark.parametrize(
  ('cells', 'expected'),
  [
    # Output i lies at 3 i/6 = 0, 0.5, 1, ...: no half cells, and the last one has no right side.
    (6, [0, 5, 10, 15, 20, 20]),
    # At 3 i/5 = 0, 0.6, 1.2, 1.8, 2.4.
    (5, [0, 6, 12, 18, 20]),
    (3, [0, 10, 20]),
  ],
)
def test_upsampling_by_hand(cells, expected):
  x = np.array([0, 10, 20], np.float32)
  rows = mobilenet.upsample(x.reshape(1, 3, 1, 1), (cells, 2))
  np.testing.assert_allclose(rows[0, :, :, 0], np.transpose([expected] * 2), atol=1e-5)
  # Rows and columns one after the other: the outer sum of two ramps stays one.
  grid = mobilenet.upsample((x[:, None] + 10 * x)[None, :, :, None], (cells, cells))
  np.testing.assert_allclose(
    grid[0, :, :, 0], np.add.outer(expected, 10 * np.array(expected)), atol=1e-4
  )


def test_published_parameter_counts():
  v, skip = (1, 28, 28, 1024), (1, 28, 28, 184)
  assert layers.parameter_count(mobilenet.Encoder(mobilenet.DM14), (1, 224, 224, 3)) == 1_286_416
  # A separable layer i → o of k² taps has (k² + 1)·i + (i + 1)·o parameters; 38 + 19 maps.
  layer = lambda k, i, o: (k * k + 1) * i + (i + 1) * o  # noqa: E731
  first = layer(1, 512, 38) + layer(1, 512, 19)
  stage = 2 * (layer(3, 57 + 184, 128) + 2 * layer(3, 128, 128) + layer(1, 128, 128))
  stage += layer(1, 128, 38) + layer(1, 128, 19)
  assert first + stage == 210_630
  for number in (1, 2, 6):
    config = dataclasses.replace(mobilenet.DM14, num_stages=number)
    count = layers.parameter_count(mobilenet.Decoder(config), v, skip)
    assert count == first + (number - 1) * stage


def test_published_shapes_and_names():
  config = dataclasses.replace(mobilenet.DM14, num_stages=6)
  images = jax.ShapeDtypeStruct((2, 224, 160, 3), jnp.float32)
  encoder, decoder, key = mobilenet.Encoder(config), mobilenet.Decoder(config), jax.random.key(0)
  (v, skip), e = jax.eval_shape(encoder.init_with_output, key, images)
  assert (v.shape, skip.shape) == ((2, 28, 20, 1024), (2, 28, 20, 184))
  stages, f = jax.eval_shape(decoder.init_with_output, key, v, skip)
  assert [(p.shape, h.shape) for p, h in stages] == [((2, 28, 20, 38), (2, 28, 20, 19))] * 6
  e, f = e['params'], f['params']
  assert e['expanded_conv_12_depthwise']['kernel'].shape == (3, 3, 1, 816)
  assert e['expanded_conv_10_project']['kernel'].shape == (1, 1, 528, 136)
  assert e['MConv_Stage1_L2_4_pointwise']['kernel'].shape == (1, 1, 128, 512)
  assert f['MConv_Stage6_L1_1_depthwise']['kernel'].shape == (3, 3, 1, 241)
  # 159 convolutions, as the public file has them.
  assert len(e) + len(f) == 159 and not set(e) & set(f)


class Oracle:
  """The network in float64 NumPy, from its layer list."""

  def __init__(self, *params):
    self.params = {name: layer for tree in params for name, layer in tree['params'].items()}

  def dense(self, x, name, stride=1):
    kernel = np.asarray(self.params[name]['kernel'], np.float64)
    channels = [
      sum(depthwise_by_scipy(x[..., i : i + 1], kernel[:, :, i : i + 1, o : o + 1], stride)
          for i in range(x.shape[-1]))
      for o in range(kernel.shape[-1])
    ]
    return np.concatenate(channels, -1) + self.params[name]['bias']

  def depthwise(self, x, name, stride=1):
    kernel = np.asarray(self.params[name]['kernel'], np.float64)
    return depthwise_by_scipy(x, kernel, stride) + self.params[name]['bias']

  def separable(self, x, name):
    return self.dense(self.depthwise(x, f'{name}_depthwise'), f'{name}_pointwise')

  def encode(self, x, config):
    six = lambda x: np.clip(x, 0, 6)  # noqa: E731
    x, outputs = six(self.dense(x, 'Conv', 2)), []
    for index, block in enumerate(config.blocks):
      name, before = f'expanded_conv_{index}' if index else 'expanded_conv', x
      x = six(self.dense(x, f'{name}_expand')) if block.expand > 1 else x
      x = self.dense(six(self.depthwise(x, f'{name}_depthwise', block.stride)), f'{name}_project')
      x = x + before if x.shape == before.shape else x
      outputs.append(x)
    fine = outputs[config.fine]
    # Rows 0, 2/3, 4/3 of two; columns 0, 1/2, 1, 1 of two.
    x = np.stack([x[:, 0], x[:, 0] / 3 + 2 * x[:, 1] / 3, x[:, 1]], 1)
    x = np.stack([x[:, :, 0], (x[:, :, 0] + x[:, :, 1]) / 2, x[:, :, 1], x[:, :, 1]], 2)
    skip = np.concatenate([fine, x], -1)
    return np.concatenate([self.branch(skip, f'MConv_Stage1_{b}') for b in ('L1', 'L2')], -1), skip

  def branch(self, x, name):
    for index in (1, 2, 3, 4):
      x = np.maximum(self.separable(x, f'{name}_{index}'), 0)
    return x

  def decode(self, v, skip, config):
    halves = np.split(v, 2, -1)
    maps = [self.separable(h, f'MConv_Stage1_L{b}_5') for b, h in zip((1, 2), halves, strict=True)]
    stages = [tuple(maps)]
    for stage in range(2, config.num_stages + 1):
      x = np.concatenate([*stages[-1], skip], -1)
      names = [f'MConv_Stage{stage}_L{b}' for b in (1, 2)]
      stages.append(tuple(self.separable(self.branch(x, n), f'{n}_5') for n in names))
    return stages


def test_networks_equal_the_layer_list_in_numpy(tiny):
  images, e, f, (v, skip), stages = tiny
  oracle = Oracle(e, f)
  expected_v, expected_skip = oracle.encode(images.astype(np.float64), TINY)
  np.testing.assert_allclose(skip, expected_skip, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(v, expected_v, rtol=1e-4, atol=1e-4)
  expected = oracle.decode(expected_v, expected_skip, TINY)
  for got, want in zip(jax.tree.leaves(stages), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())


def test_heat_is_the_last_stages(tiny):
  *_, f, (v, skip), stages = tiny
  part = {k: x for k, x in f['params'].items() if not k.startswith('MConv_Stage3_L1')}
  assert len(part) == len(f['params']) - 10
  heat = jax.jit(lambda p: mobilenet.Decoder(TINY).apply({'params': p}, v, skip, method='heat'))
  np.testing.assert_allclose(heat(part), stages[-1][1], rtol=1e-5, atol=1e-6)


def test_bfloat16_maps_are_float32(tiny):
  images, e, f, (v, skip), stages = tiny
  half = jax.eval_shape(mobilenet.Encoder(TINY, jnp.bfloat16).apply, e, images)
  assert {x.dtype for x in half} == {jnp.dtype('bfloat16')}
  decode = jax.jit(mobilenet.Decoder(TINY, jnp.bfloat16).apply)
  got = decode(f, v.astype(jnp.bfloat16), skip.astype(jnp.bfloat16))
  assert {m.dtype for m in jax.tree.leaves(got)} == {jnp.dtype('float32')}
  for a, b in zip(jax.tree.leaves(got), jax.tree.leaves(stages), strict=True):
    np.testing.assert_allclose(a, b, atol=0.1 * np.abs(b).max())


def test_preprocess():
  image = np.array([[[0, 128, 255]]], np.uint8)
  got = mobilenet.preprocess(image)
  assert got.dtype == np.float32
  np.testing.assert_array_equal(got, [[[255, 128, 0]]])
  assert mobilenet.preprocess(image.astype(np.float16)).dtype == np.float16


@pytest.mark.parametrize('shape', [(24, 24, 3), (1, 20, 24, 3), (1, 24, 24, 4)])
def test_other_images_are_refused(shape):
  with pytest.raises(ValueError, match='multiples of 8'):
    layers.parameter_count(mobilenet.Encoder(TINY), shape)


def test_other_latents_and_configs_are_refused(tiny):
  _, _, f, (v, skip), _ = tiny
  with pytest.raises(ValueError, match='14 and 10 channels'):
    mobilenet.Decoder(TINY).apply(f, v[..., :8], skip)
  with pytest.raises(ValueError, match='stride 8 and the last one 16'):
    dataclasses.replace(TINY, fine=0)
  for stages in (0, 7):
    with pytest.raises(ValueError, match='num_stages must be 1 to 6'):
      dataclasses.replace(TINY, num_stages=stages)
