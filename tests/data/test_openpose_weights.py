"""OpenPose's weights as E and F: counts, a NumPy network of the same OIHW weights, bad files."""

import dataclasses
import functools
import importlib.util
import pathlib

import jax
import numpy as np
import pytest

from posejax.data import openpose_weights
from posejax.data.caffemodel import CaffemodelError
from posejax.data.openpose_weights import load_openpose, save_openpose
from posejax.data.weights import WeightsError
from posejax.geometry import skeleton as skeleton_lib
from posejax.models import openpose
from tests.data import caffemodels
from tests.data.caffemodels import TINY

MPI, COCO = (caffemodels.random_layers(variant.config, seed) for seed, variant in enumerate(TINY))
CONVERTER = pathlib.Path(__file__).resolve().parents[2] / 'third_party' / 'openpose' / 'convert.py'


@pytest.fixture(scope='module')
def files(tmp_path_factory):
  """A present MPI file, an older COCO file (V1, four numbers a shape), and the first, converted."""
  folder = tmp_path_factory.mktemp('openpose')
  paths = {name: folder / name for name in ('mpi.caffemodel', 'coco.caffemodel', 'mpi.npz')}
  paths['mpi.caffemodel'].write_bytes(caffemodels.network(MPI))
  paths['coco.caffemodel'].write_bytes(caffemodels.network(COCO, v1=True, legacy=True))
  save_openpose(paths['mpi.npz'], load_openpose(paths['mpi.caffemodel'], 6, TINY))
  return paths


def correlate(x, layer, relu=True):
  """Caffe's convolution: x (I, H, W), weights OIHW, zeros around; float64."""
  weight, bias = (a.astype(np.float64) for a in layer)
  pad = weight.shape[-1] // 2
  padded = np.pad(x, [(0, 0), (pad, pad), (pad, pad)])
  out = np.zeros((len(weight), *x.shape[1:])) + bias[:, None, None]
  for i, j in np.ndindex(weight.shape[2:]):
    window = padded[:, i : i + x.shape[1], j : j + x.shape[2]]
    out += np.tensordot(weight[:, :, i, j], window, 1)
  return np.maximum(out, 0) if relu else out


def reference(layers, rgb):
  """Every stage's (PAF, heat-maps), channels first, of an RGB image (H, W, 3) in 0 to 255."""
  x = rgb[:, :, ::-1].transpose(2, 0, 1) / 256 - 0.5
  for name in list(layers)[:12]:
    if name in ('conv2_1', 'conv3_1', 'conv4_1'):
      c, h, w = x.shape
      x = x.reshape(c, h // 2, 2, w // 2, 2).max((2, 4))
    x = correlate(x, layers[name])
  skip, stages = x, []
  for stage in range(1, 7):
    joined = skip if stage == 1 else np.concatenate([*stages[-1], skip])
    maps = []
    for branch in ('L1', 'L2'):
      names = [f'conv5_{i}_CPM_{branch}' for i in range(1, 6)]
      if stage > 1:
        names = [f'Mconv{i}_stage{stage}_{branch}' for i in range(1, 8)]
      x = joined
      for name in names:
        x = correlate(x, layers[name], relu=name != names[-1])
      maps.append(x)
    stages.append(maps)
  return stages


@functools.partial(jax.jit, static_argnums=0)
def run(config, params, rgb):
  latents = openpose.Encoder(config).apply({'params': params['E']}, openpose.preprocess(rgb[None]))
  return openpose.Decoder(config).apply({'params': params['F']}, *latents)


@pytest.mark.parametrize(
  ('file', 'stages', 'layers', 'skeleton'),
  [
    ('mpi.caffemodel', 6, MPI, skeleton_lib.OPENPOSE_MPI15),
    ('mpi.npz', 6, MPI, skeleton_lib.OPENPOSE_MPI15),
    ('coco.caffemodel', 2, COCO, skeleton_lib.OPENPOSE_COCO18),
  ],
)
def test_every_stage_equals_a_numpy_network(files, file, stages, layers, skeleton):
  network = load_openpose(files[file], stages, TINY)
  assert network.skeleton is skeleton and network.config.num_stages == stages
  rgb = np.random.default_rng(3).integers(0, 256, (24, 32, 3), np.uint8)
  got = run(network.config, network.params, rgb)
  expected = reference(layers, rgb.astype(np.float64))
  assert len(got) == stages and len(expected) == 6
  for ours, theirs in zip(*map(jax.tree.leaves, (got, expected[:stages])), strict=True):
    assert theirs.std((1, 2)).max() > 0.01  # the image is still seen
    np.testing.assert_allclose(
      ours[0], theirs.transpose(1, 2, 0), rtol=1e-4, atol=1e-4 * np.abs(theirs).max()
    )


@pytest.mark.parametrize('stages', [1, 2, 5])
def test_fewer_stages_are_the_first_ones(files, stages):
  whole = load_openpose(files['mpi.npz'], 6, TINY).params
  for file in ('mpi.npz', 'mpi.caffemodel'):
    part = load_openpose(files[file], stages, TINY)
    assert part.config == dataclasses.replace(TINY[0].config, num_stages=stages)
    assert len(part.params['E']) == 20 and len(part.params['F']) == 2 + 14 * (stages - 1)
    for name, layers in part.params.items():
      for layer, arrays in layers.items():
        for kind, array in arrays.items():
          assert array.dtype == np.float32
          np.testing.assert_array_equal(array, whole[name][layer][kind])


def test_published_parameter_counts():
  # spec/openpose.md: E, and F with two stages. A stage more has two branches: of i input channels
  # (the maps and 128) (49·i + 1)·128 + 4·(49·128 + 1)·128 + 129·128 parameters, and 129 a map:
  # MPI 2·(1,078,912 + 3,211,776 + 16,512) + 5,676 = 8,620,076, COCO 8,784,825.
  published = {
    28: (8_358_080, 8_642_648, 8_642_648 + 4 * 8_620_076),
    38: (8_358_080, 8_814_066, 8_814_066 + 4 * 8_784_825),
  }
  for variant in openpose_weights.VARIANTS:
    for index, stages in ((1, 2), (2, 6)):
      shapes = openpose_weights.parameter_shapes(
        dataclasses.replace(variant.config, num_stages=stages)
      )
      e, f = (
        sum(np.prod(shape) for path, shape in shapes.items() if path.startswith(name))
        for name in 'EF'
      )
      counts = published[variant.config.num_paf]
      assert (e, f) == (counts[0], counts[index])


def test_the_published_widths_are_read(tmp_path):
  # As published, 209 MB; of zeros in a sparse file, as far as the first stage needs it.
  path = tmp_path / 'pose_iter_440000.caffemodel'
  shapes = openpose_weights.parameter_shapes(openpose.VGG_COCO)
  with path.open('wb') as file:
    for place in [p for p in shapes if p.endswith('kernel') and 'stage' not in p]:
      k, _, inputs, outputs = shapes[place]
      shape = (outputs, inputs, k, k)
      size = 4 * outputs * inputs * k * k
      head = caffemodels.field(7, caffemodels.field(1, b''.join(map(caffemodels.varint, shape))))
      head += caffemodels.varint(5 << 3 | 2) + caffemodels.varint(size)
      bias = caffemodels.field(7, caffemodels.blob(np.zeros(outputs)))
      begin = caffemodels.field(1, place.split('/')[1]) + caffemodels.field(2, 'Convolution')
      begin += bytes([7 << 3 | 2]) + caffemodels.varint(len(head) + size) + head
      length = caffemodels.varint(len(begin) + size + len(bias))
      file.write(caffemodels.varint(100 << 3 | 2) + length + begin)
      file.seek(size, 1)
      file.write(bias)
  network = load_openpose(path, stages=1)
  assert network.config == dataclasses.replace(openpose.VGG_COCO, num_stages=1)
  leaves = jax.tree.leaves(network.params)
  # F's first stage: 512 weights and a bias for each of 38 + 19 maps.
  assert sum(leaf.size for leaf in leaves) == 8_358_080 + 57 * 513


@pytest.mark.parametrize('change', ['missing', 'another width', 'other maps', 'another kernel'])
def test_another_network_is_refused(tmp_path, change):
  layers = dict(MPI)
  weight, bias = layers['conv3_2']
  if change == 'missing':
    del layers['conv3_2']
    name, reason = 'conv3_2', 'is missing, 1 of 92 layers are'
  elif change == 'another width':
    layers['conv3_2'] = weight[:, :-1], bias
    name, reason = 'conv3_2', r'E/conv3_2/kernel would have the shape \(3, 3, 4, 4\)'
  elif change == 'another kernel':
    layers['conv3_2'] = weight[:, :, :1, :1], bias
    name, reason = 'conv3_2', r'shape \(1, 1, 5, 4\), where OpenPose MPI-15 has \(3, 3, 5, 4\)'
  else:
    name = 'conv5_5_CPM_L1'
    layers[name] = layers[name][0][:26], layers[name][1][:26]
    reason = 'has 26 PAF channels, but OpenPose MPI-15 has 28, OpenPose COCO-18 has 38'
  path = tmp_path / 'pose.caffemodel'
  path.write_bytes(caffemodels.network(layers))
  with pytest.raises(CaffemodelError, match=reason) as caught:
    load_openpose(path, 6, TINY)
  assert caught.value.layer == name


def test_stages_and_files_that_there_are_not(tmp_path):
  for stages in (0, 7):
    with pytest.raises(ValueError, match='stages must be 1 to 6'):
      load_openpose(tmp_path / 'none', stages)
  with pytest.raises(WeightsError, match=r'none: cannot be read \(No such file'):
    load_openpose(tmp_path / 'none')


def test_mutated_files_are_read_or_refused(tmp_path, files):
  # Thousands by `python -m tests.data.fuzz_caffemodel`.
  path = tmp_path / 'mutated'
  refused = 0
  for file, layers in (('mpi.npz', {}), ('coco.caffemodel', COCO)):
    data = files[file].read_bytes()
    places = caffemodels.structure(data, layers)
    for seed in range(15):
      path.write_bytes(caffemodels.mutate(np.random.default_rng(seed), data, places))
      try:
        network = load_openpose(path, 2, TINY)
      except WeightsError as error:
        assert str(error).isprintable()
        refused += 1
      else:
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(network.params))
  assert 10 < refused <= 30


@pytest.fixture(scope='module')
def convert():
  spec = importlib.util.spec_from_file_location('convert_openpose', CONVERTER)
  module = importlib.util.module_from_spec(spec)
  spec.loader.exec_module(module)
  return lambda *arguments: module.main([str(a) for a in arguments], TINY)


def test_converter(tmp_path, files, convert, capsys):
  output = tmp_path / 'coco.npz'
  assert convert(files['coco.caffemodel'], output) == 0
  said = capsys.readouterr().out
  in_f = [n for n in COCO if n[0] == 'M' or n.startswith('conv5_5')]
  e, f = (
    sum(a.size for n, arrays in COCO.items() for a in arrays if (n in in_f) == wanted)
    for wanted in (False, True)
  )
  assert f'OpenPose COCO-18, E {e:,} and F {f:,} parameters, 6 stages' in said
  jax.tree.map(
    np.testing.assert_array_equal, load_openpose(output, 6, TINY).params,
    load_openpose(files['coco.caffemodel'], 6, TINY).params,
  )
  before = output.read_bytes()
  assert convert(files['mpi.caffemodel'], output) == 1
  assert 'coco.npz: is there already and is not overwritten' in capsys.readouterr().err
  assert output.read_bytes() == before
  assert [path.name for path in tmp_path.iterdir()] == ['coco.npz']


def test_converter_says_what_is_wrong_in_a_line(tmp_path, files, convert, capsys):
  cut = tmp_path / 'cut.caffemodel'
  cut.write_bytes(files['mpi.caffemodel'].read_bytes()[:200_000])
  assert convert(cut, tmp_path / 'out.npz') == 1
  said = capsys.readouterr().err
  assert said.count('\n') == 1 and 'cut short' in said and ', byte ' in said
  assert not (tmp_path / 'out.npz').exists()
  with pytest.raises(SystemExit):
    convert(cut, tmp_path / 'out.zip')
