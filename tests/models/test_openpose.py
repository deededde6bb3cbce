"""OpenPose's E and F: parameter counts, Caffe's names, and a network of SciPy correlations."""

import dataclasses
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal

from posejax.geometry import skeleton as skeleton_lib
from posejax.models import layers, openpose

TINY = openpose.OpenPoseConfig(
  front=((4, 4), (5,), (6, 6), (7, 7)), cpm=(6, 5), stage1=(4, 4, 4), branch=8,
  stage=(5,) * 5, stage_kernel=7, stage_last=6, num_paf=4, num_heat=3, num_stages=3,
)
SIDE, CELLS = 24, 3


def random_parameters(module, *inputs):
  """Parameters of He's size, and random biases; without compiling an initializer per shape."""
  rng = np.random.default_rng(1)
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)

  def draw(leaf):
    size = (2 / np.prod(leaf.shape[:-1])) ** 0.5 if len(leaf.shape) > 1 else 0.1
    return (size * rng.normal(size=leaf.shape)).astype(np.float32)

  return jax.tree.map(draw, shapes)


@pytest.fixture(scope='module')
def tiny():
  """Images, parameters (all random, biases too) and outputs of a tiny E and F."""
  rng = np.random.default_rng(0)
  images = rng.uniform(-0.5, 0.5, (2, SIDE, SIDE, 3)).astype(np.float32)
  encoder = openpose.Encoder(TINY)
  e = random_parameters(encoder, images)
  v, skip = jax.jit(encoder.apply)(e, images)
  return images, e, random_parameters(openpose.Decoder(TINY), v, skip), (v, skip)


def paper_names(num_stages):
  """Caffe's layer names of the table in spec/openpose.md, written out by hand."""
  front = ['conv1_1', 'conv1_2', 'conv2_1', 'conv2_2', 'conv3_1', 'conv3_2', 'conv3_3', 'conv3_4']
  front += ['conv4_1', 'conv4_2', 'conv4_3_CPM', 'conv4_4_CPM']
  e = front + [f'conv5_{i}_CPM_L{b}' for b in (1, 2) for i in (1, 2, 3, 4)]
  f = ['conv5_5_CPM_L1', 'conv5_5_CPM_L2']
  for stage in range(2, num_stages + 1):
    f += [f'Mconv{i}_stage{stage}_L{b}' for b in (1, 2) for i in range(1, 8)]
  return set(e), set(f)


@pytest.mark.parametrize(
  ('config', 'decoder', 'heat'),
  [(openpose.VGG_MPI, 8_642_648, 4_331_836), (openpose.VGG_COCO, 8_814_066, 4_420_428)],
  ids=['MPI', 'COCO'],
)
def test_published_parameter_counts(config, decoder, heat):
  v, skip = (1, 28, 28, 1024), (1, 28, 28, 128)
  assert layers.parameter_count(openpose.Encoder(config), (1, 224, 224, 3)) == 8_358_080
  assert layers.parameter_count(openpose.Decoder(config), v, skip) == decoder
  # What inference reads: the heat branch, and the PAF branch's conv5_5 that feeds it. A layer of
  # i → o channels and k×k taps has (k·k·i + 1)·o parameters: both conv5_5, 513·(28 + 16) = 22,572;
  # Mconv1 (49·172 + 1)·128 = 1,078,912; Mconv2..5 4·802,944; Mconv6 16,512; Mconv7 129·16 = 2,064.
  stage1 = 513 * (config.num_paf + config.num_heat)
  inputs = config.num_paf + config.num_heat + 128
  branch = (49 * inputs + 1) * 128 + 4 * (49 * 128 + 1) * 128 + 129 * 128 + 129 * config.num_heat
  assert layers.parameter_count(openpose.Decoder(config), v, skip, method='heat') == heat
  assert stage1 + branch == heat


@pytest.mark.parametrize(
  ('config', 'skeleton', 'limbs'),
  [
    (openpose.VGG_MPI, skeleton_lib.OPENPOSE_MPI15,
     '0-1, 1-2, 2-3, 3-4, 1-5, 5-6, 6-7, 1-14, 14-8, 8-9, 9-10, 14-11, 11-12, 12-13'),
    (openpose.VGG_COCO, skeleton_lib.OPENPOSE_COCO18,
     '1-8, 8-9, 9-10, 1-11, 11-12, 12-13, 1-2, 2-3, 3-4, 2-16, 1-5, 5-6, 6-7, 5-17, 1-0, 0-14, '
     '0-15, 14-16, 15-17'),
  ],
  ids=['MPI', 'COCO'],
)
def test_maps_are_those_of_the_joint_set(config, skeleton, limbs):
  # Limb i is PAF channels 2i (x) and 2i + 1 (y); the lists as spec/openpose.md has them.
  assert skeleton.limbs == tuple(tuple(map(int, limb.split('-'))) for limb in limbs.split(', '))
  assert (config.num_paf, config.num_heat) == (2 * skeleton.num_limbs, skeleton.num_joints + 1)


def test_paper_shapes():
  images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32)
  key = jax.random.key(0)
  (v, skip), variables = jax.eval_shape(openpose.Encoder(openpose.VGG_MPI).init_with_output,
                                        key, images)
  assert (v.shape, skip.shape) == ((2, 28, 28, 1024), (2, 28, 28, 128))
  names, _ = paper_names(2)
  assert set(variables['params']) == names
  assert variables['params']['conv4_3_CPM']['kernel'].shape == (3, 3, 512, 256)
  decoder = openpose.Decoder(dataclasses.replace(openpose.VGG_MPI, num_stages=6))
  stages, variables = jax.eval_shape(decoder.init_with_output, key, v, skip)
  assert [(p.shape, h.shape) for p, h in stages] == [((2, 28, 28, 28), (2, 28, 28, 16))] * 6
  assert set(variables['params']) == paper_names(6)[1]
  assert variables['params']['Mconv1_stage2_L1']['kernel'].shape == (7, 7, 172, 128)


def correlate(x, layer, relu):
  kernel, bias = np.asarray(layer['kernel'], np.float64), layer['bias']
  out = np.zeros((*x.shape[:3], kernel.shape[-1]))
  for b, i, o in np.ndindex(x.shape[0], *kernel.shape[2:]):
    out[b, :, :, o] += scipy.signal.correlate2d(x[b, :, :, i], kernel[:, :, i, o], 'same')
  return np.maximum(out + bias, 0) if relu else out + bias


def pool(x):
  b, h, w, c = x.shape
  return x.reshape(b, h // 2, 2, w // 2, 2, c).max((2, 4))


def test_networks_equal_a_chain_of_correlations(tiny):
  images, e, f, (v, skip) = tiny
  e, f = e['params'], f['params']
  x = images.astype(np.float64)
  for block, names in enumerate(
    (['conv1_1', 'conv1_2'], ['conv2_1'], ['conv3_1', 'conv3_2'],
     ['conv4_1', 'conv4_2', 'conv4_3_CPM', 'conv4_4_CPM'])
  ):
    x = pool(x) if block else x
    for name in names:
      x = correlate(x, e[name], relu=True)
  maps, stage1 = {}, []
  for b in ('L1', 'L2'):
    y = x
    for i in (1, 2, 3, 4):
      y = correlate(y, e[f'conv5_{i}_CPM_{b}'], relu=True)
    stage1.append(y)
    maps[b] = correlate(y, f[f'conv5_5_CPM_{b}'], relu=False)
  np.testing.assert_allclose(skip, x, rtol=1e-4, atol=1e-4)
  np.testing.assert_allclose(v, np.concatenate(stage1, -1), rtol=1e-4, atol=1e-4)

  expected = [(maps['L1'], maps['L2'])]
  for stage in (2, 3):
    joined = np.concatenate([maps['L1'], maps['L2'], x], -1)
    for b in ('L1', 'L2'):
      y = joined
      for i in range(1, 8):
        y = correlate(y, f[f'Mconv{i}_stage{stage}_{b}'], relu=i < 7)
      maps[b] = y
    expected.append((maps['L1'], maps['L2']))
  decoder = openpose.Decoder(TINY)
  stages = jax.jit(decoder.apply)({'params': f}, v, skip)
  for got, want in zip(jax.tree.leaves(stages), jax.tree.leaves(expected), strict=True):
    np.testing.assert_allclose(got, want, rtol=1e-3, atol=1e-3 * np.abs(want).max())
  heat = jax.jit(lambda f: decoder.apply({'params': f}, v, skip, method='heat'))(f)
  np.testing.assert_allclose(heat, stages[-1][1], rtol=1e-5, atol=1e-5)


def test_heat_runs_on_the_heat_branch_alone(tiny):
  *_, (v, skip) = tiny
  config = dataclasses.replace(TINY, num_stages=2)
  decoder = openpose.Decoder(config)
  everything = random_parameters(decoder, v, skip)
  part = {k: x for k, x in everything['params'].items() if not re.match('Mconv.*_L1', k)}
  assert len(part) == len(everything['params']) - 7
  got = jax.jit(lambda p: decoder.apply({'params': p}, v, skip, method='heat'))(part)
  expected = jax.jit(decoder.apply)(everything, v, skip)[-1][1]
  np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)


def test_one_stage_and_other_widths(tiny):
  *_, (v, skip) = tiny
  config = dataclasses.replace(TINY, num_stages=1, num_paf=28, num_heat=17)
  decoder = openpose.Decoder(config)
  stages, _ = jax.eval_shape(decoder.init_with_output, jax.random.key(0), v, skip)
  assert [(p.shape[-1], h.shape[-1]) for p, h in stages] == [(28, 17)]


def test_gradients_reach_every_parameter(tiny):
  images, e, f, _ = tiny

  @jax.jit
  @jax.grad
  def gradient(params):
    v, skip = openpose.Encoder(TINY).apply(params[0], images)
    stages = openpose.Decoder(TINY).apply(params[1], v, skip)
    return sum(jnp.sum(jnp.abs(m - 0.1)) for m in jax.tree.leaves(stages))

  for network in gradient((e, f)):
    for path, leaf in flax.traverse_util.flatten_dict(network).items():
      assert np.isfinite(leaf).all() and np.abs(leaf).sum() > 0, path


def test_bfloat16_maps_are_float32(tiny):
  images, e, f, (v, _) = tiny
  half, skip = jax.jit(openpose.Encoder(TINY, jnp.bfloat16).apply)(e, images)
  assert half.dtype == skip.dtype == jnp.bfloat16
  np.testing.assert_allclose(half.astype(np.float32), v, atol=0.05 * float(v.max()))
  stages = jax.eval_shape(openpose.Decoder(TINY, jnp.bfloat16).apply, f, half, skip)
  assert {m.dtype for m in jax.tree.leaves(stages)} == {jnp.dtype('float32')}


def test_signal_survives_the_papers_depth():
  # Eleven layers from scratch: a unit input must neither vanish nor explode on the way.
  config = dataclasses.replace(
    openpose.VGG_MPI, front=((16, 16), (16, 16), (32,) * 4, (32, 32)), cpm=(32, 32),
    stage1=(32,) * 3, branch=64, stage=(16,) * 5, stage_last=16,
  )
  images = jax.random.uniform(jax.random.key(1), (1, 64, 64, 3), minval=-0.5, maxval=0.5)
  encoder = openpose.Encoder(config)
  variables = jax.jit(encoder.init)(jax.random.key(0), images)
  v, _ = jax.jit(encoder.apply)(variables, images)
  assert 0.05 < np.std(v) < 2


def test_preprocess():
  # RGB (0, 128, 255) → BGR 255/256 − .5, 128/256 − .5, 0/256 − .5.
  image = np.array([[[0, 128, 255]]], np.uint8)
  np.testing.assert_allclose(openpose.preprocess(image), [[[0.49609375, 0.0, -0.5]]])
  assert openpose.preprocess(image.astype(np.float64).astype(np.float16)).dtype == np.float16


@pytest.mark.parametrize('shape', [(24, 24, 3), (1, 20, 24, 3), (1, 24, 24, 4)])
def test_other_images_are_refused(shape):
  with pytest.raises(ValueError, match='multiples of 8'):
    layers.parameter_count(openpose.Encoder(TINY), shape)


def test_other_latents_and_configs_are_refused(tiny):
  _, _, f, (v, skip) = tiny
  with pytest.raises(ValueError, match='16 and 5 channels'):
    openpose.Decoder(TINY).apply(f, v[..., :8], skip)
  with pytest.raises(ValueError, match='4 blocks'):
    dataclasses.replace(TINY, front=((4,), (4,)))
  with pytest.raises(ValueError, match='stage_kernel odd'):
    dataclasses.replace(TINY, stage_kernel=4)
