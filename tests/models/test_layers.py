"""Layers against loops in NumPy and SciPy."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from posejax.models import layers


def random(seed, *shape):
  return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def randomized(variables, seed=0):
  """The same tree with random numbers everywhere, biases too."""
  leaves, tree = jax.tree.flatten(variables)
  return jax.tree.unflatten(tree, [random(seed + i, *x.shape) for i, x in enumerate(leaves)])


def run(module, x, seed=0):
  variables = randomized(module.init(jax.random.key(0), x), seed)
  return variables['params'], np.asarray(jax.jit(module.apply)(variables, x))


@pytest.mark.parametrize('kernel', [1, 3, 7])
def test_conv_is_scipys_zero_padded_correlation(kernel):
  x = random(1, 2, 6, 5, 3)
  params, out = run(layers.Conv(4, kernel), x)
  expected = np.zeros((2, 6, 5, 4))
  for b in range(2):
    for o in range(4):
      for i in range(3):
        # mode 'same' with zeros: (k − 1) / 2 cells of padding, Caffe's pad 1 for 3×3, 3 for 7×7.
        expected[b, :, :, o] += scipy.signal.correlate2d(
          x[b, :, :, i], params['kernel'][:, :, i, o], mode='same'
        )
  np.testing.assert_allclose(out, expected + params['bias'], atol=1e-4)


def test_conv_of_stride_two_against_a_loop():
  x = random(1, 1, 6, 8, 2)
  params, out = run(layers.Conv(3, 4, stride=2), x)
  padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
  expected = np.zeros((1, 3, 4, 3))
  for r in range(3):
    for c in range(4):
      window = padded[0, 2 * r : 2 * r + 4, 2 * c : 2 * c + 4]
      expected[0, r, c] = np.tensordot(window, params['kernel'], 3) + params['bias']
  assert out.shape == expected.shape
  np.testing.assert_allclose(out, expected, atol=1e-4)


def test_stride_two_commutes_with_a_mirror_only_for_an_even_kernel():
  x = random(1, 1, 8, 8, 2)
  gap = {}
  for kernel in (3, 4):
    conv = layers.Conv(3, kernel, stride=2)
    variables = randomized(conv.init(jax.random.key(0), x))
    weights = variables['params']['kernel']
    variables['params']['kernel'] = weights + weights[:, ::-1]  # symmetric in the columns
    out = conv.apply(variables, x), conv.apply(variables, x[:, :, ::-1])
    gap[kernel] = np.abs(out[0] - out[1][:, :, ::-1]).max()
  assert gap[4] < 1e-4 < 1e-1 < gap[3]


def test_deconv_is_a_scatter_of_the_kernel():
  x = random(1, 2, 3, 2, 3)
  params, out = run(layers.Deconv(4), x)
  expected = np.zeros((2, 6 + 2, 4 + 2, 4))
  # PyTorch's definition: input cell i adds its value times tap k to output 2i + k − 1 (padding 1,
  # here a border that is cut off). Weights are stored mirrored: tap k is kernel[3 − k].
  for i in range(3):
    for j in range(2):
      for k in range(4):
        for l in range(4):
          expected[:, 2 * i + k, 2 * j + l] += x[:, i, j] @ params['kernel'][3 - k, 3 - l]
  expected = expected[:, 1:-1, 1:-1] + params['bias']
  assert out.shape == expected.shape == (2, 6, 4, 4)
  np.testing.assert_allclose(out, expected, atol=1e-4)


def test_channel_dense_against_a_loop():
  x = random(1, 2, 3, 2, 4)
  params, out = run(layers.ChannelDense(), x)
  expected = np.zeros_like(x)
  for b in range(2):
    for c in range(4):
      flat = x[b, :, :, c].reshape(6)
      for q in range(6):
        value = params['bias'][c, q]
        for p in range(6):
          value += flat[p] * params['kernel'][c, p, q]
        expected[b, q // 2, q % 2, c] = value
  np.testing.assert_allclose(out, expected, atol=1e-5)


def test_max_pool_against_a_loop_and_its_gradient():
  x = random(1, 2, 4, 6, 3)
  expected = np.stack([
    np.stack([x[:, r : r + 2, c : c + 2].max((1, 2)) for c in (0, 2, 4)], 1) for r in (0, 2)
  ], 1)
  np.testing.assert_array_equal(layers.max_pool(x), expected)
  gradient = jax.grad(lambda x: jnp.sum(layers.max_pool(x) * 3))(x)
  chosen = np.kron(expected, np.ones((1, 2, 2, 1))) == x
  np.testing.assert_array_equal(gradient, 3.0 * chosen)
  # Four equal values share the gradient of 3, here of 6 windows and 2·3 maps.
  flat = jax.grad(lambda x: jnp.sum(layers.max_pool(x) * 3))(np.zeros_like(x))
  np.testing.assert_allclose(flat, 0.75)


def test_unit_last_guards_zero():
  x = np.array([[3.0, 4.0], [0.0, 0.0], [1e-30, 0.0], [-1e25, 0.0]], np.float32)
  np.testing.assert_allclose(
    layers.unit_last(jnp.asarray(x), (0.0, 1.0)), [[0.6, 0.8], [0, 1], [0, 1], [-1, 0]], rtol=1e-6
  )
  gradient = jax.grad(lambda x: jnp.sum(layers.unit_last(x, (0.0, 1.0)) * x))(jnp.asarray(x))
  assert np.isfinite(gradient).all()


@pytest.mark.parametrize(
  'module', [layers.Conv(3, 3), layers.Conv(3, 1), layers.Deconv(3), layers.ChannelDense()],
  ids=['conv', 'conv 1×1', 'deconv', 'channel dense'],
)
def test_dtypes(module):
  x = jnp.asarray(random(1, 2, 4, 4, 2))
  variables = module.init(jax.random.key(0), x)
  assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
  exact = module.apply(variables, x)
  assert exact.dtype == jnp.float32
  # Without a dtype the parameters' precision rules; with bfloat16 all is computed in it.
  assert module.apply(variables, x.astype(jnp.bfloat16)).dtype == jnp.float32
  narrow = module.clone(dtype=jnp.bfloat16).apply(variables, x)
  assert narrow.dtype == jnp.bfloat16
  np.testing.assert_allclose(narrow.astype(jnp.float32), exact, atol=0.05, rtol=0.05)


def test_parameters_stay_float32_under_x64(x64):
  x = jnp.ones((1, 4, 4, 2), jnp.float64)
  for module in (layers.Conv(3, 3), layers.Deconv(3), layers.ChannelDense()):
    variables = module.init(jax.random.key(0), x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {jnp.dtype('float32')}
    assert module.apply(variables, x).dtype == jnp.float64


@pytest.mark.parametrize('leak', [0.0, 0.2])
def test_initial_weights_keep_the_second_moment(leak):
  # E[f(x)²] stays 1 through He's layers; with PyTorch's default it would be 1/6 a layer.
  activate = functools.partial(nn.leaky_relu, negative_slope=leak)
  x = activate(jnp.asarray(random(0, 4, 8, 8, 32)) * (2 / (1 + leak**2)) ** 0.5)
  init = layers.he_init(leak)
  modules = (
    layers.Conv(64, 3, kernel_init=init), layers.Conv(64, 1, kernel_init=init),
    layers.Deconv(32, leak), layers.ChannelDense(leak),
  )
  for module in modules:
    out = activate(module.apply(module.init(jax.random.key(3), x), x))
    inner = np.asarray(out)[:, 1:-1, 1:-1]  # the border sees padding
    assert 0.8 < np.mean(inner**2) / np.mean(np.asarray(x) ** 2) < 1.25, module


def test_parameter_count_allocates_nothing():
  # 7·7·10^5·10^5 + 10^5 weights are 2 TB.
  assert layers.parameter_count(layers.Conv(10**5, 7), (1, 8, 8, 10**5)) == 49 * 10**10 + 10**5
  # 3 channels of 4 → 4 with bias.
  assert layers.parameter_count(layers.ChannelDense(), (1, 2, 2, 3)) == 3 * (16 + 4)


def test_a_map_of_another_size_is_refused():
  module = layers.ChannelDense()
  variables = module.init(jax.random.key(0), jnp.ones((1, 2, 2, 3)))
  with pytest.raises(Exception, match='shape'):
    module.apply(variables, jnp.ones((1, 4, 4, 3)))
