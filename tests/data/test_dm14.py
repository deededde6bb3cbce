"""The dm14 teacher's files: a tiny network of the same names everywhere, the real one if there."""

import dataclasses
import io
import zipfile

import jax
import numpy as np
import pytest

from posejax.data import dm14
from posejax.data.weights import WeightsError
from posejax.geometry.skeleton import OPENPOSE_COCO18
from posejax.heatmaps.grouping import group_people, redundant_limbs
from posejax.models import mobilenet_pose
from posejax.models.mobilenet_pose import Block
from tests.data import tflite_files

TINY = mobilenet_pose.MobilenetPoseConfig(
  stem=2, blocks=(Block(3, expand=1), Block(2, 4, expand=2), Block(3, 2, expand=2)), fine=1,
  width=4, branch=3, num_paf=4, num_heat=3,
)
# The names of the published file, a few of each kind.
NAMES = {
  'MobilenetV2/Conv/kernel', 'MobilenetV2/expanded_conv/depthwise/bias',
  'MobilenetV2/expanded_conv/project/kernel', 'MobilenetV2/expanded_conv_1/expand/kernel',
  'MobilenetV2/expanded_conv_2/depthwise/kernel', 'Openpose/MConv_Stage1_L1_1_depthwise/kernel',
  'Openpose/MConv_Stage1_L2_5_pointwise/bias', 'Openpose/MConv_Stage2_L1_4_depthwise/bias',
}


@pytest.fixture(scope='module')
def arrays():
  """Public name → array in our shapes; eighths, which float16 holds exactly."""
  rng = np.random.default_rng(0)
  return {
    dm14.public_name(*key): (rng.integers(-99, 99, shape) / 8).astype(np.float32)
    for shapes in dm14.parameter_shapes(TINY).values() for key, shape in shapes.items()
  }


def npz(arrays, **changes):
  """Bytes of an .npz as the public one: depthwise kernels (k, k, C, 1), some in Fortran's order."""
  file = io.BytesIO()
  stored = {
    name: x.swapaxes(2, 3) if name.endswith('depthwise/kernel') else np.asfortranarray(x)
    for name, x in arrays.items()
  }
  np.savez(file, **{**stored, **changes})
  return file.getvalue()


def load(tmp_path, data, config=TINY):
  path = tmp_path / 'teacher.bin'
  path.write_bytes(data)
  return dm14.read_parameters(path, config)


def test_both_files_give_the_same_parameters(tmp_path, arrays):
  assert set(arrays) >= NAMES
  results = [load(tmp_path, npz(arrays)), load(tmp_path, tflite_files.network(arrays))]
  for params in results:
    assert set(params) == {'E', 'F'}
    assert params['E']['expanded_conv_2_depthwise']['kernel'].shape == (3, 3, 1, 4)
    flat = {
      dm14.public_name(layer, kind): x for tree in params.values()
      for layer, pair in tree.items() for kind, x in pair.items()
    }
    assert set(flat) == set(arrays)
    for name, x in flat.items():
      np.testing.assert_array_equal(x, arrays[name], err_msg=name)


def test_fewer_stages_leave_out_the_rest(tmp_path, arrays):
  one = load(tmp_path, npz(arrays), dataclasses.replace(TINY, num_stages=1))
  assert {name.split('_')[1] for name in one['F']} == {'Stage1'}
  with pytest.raises(WeightsError, match=r'MConv_Stage3_\w+/\w+: is missing'):
    load(tmp_path, npz(arrays), dataclasses.replace(TINY, num_stages=3))


def bomb():
  """An array of 2 GB of zeros, by its header, in a file of a kilobyte."""
  file = io.BytesIO()
  with zipfile.ZipFile(file, 'w', zipfile.ZIP_DEFLATED) as archive:
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
      header, {'descr': '<f4', 'fortran_order': False, 'shape': (2**29,)}
    )
    archive.writestr('MobilenetV2/Conv/bias.npy', header.getvalue() + bytes(10**6))
  return file.getvalue()


def test_other_files_are_refused(tmp_path, arrays):
  first, pickled = 'MobilenetV2/Conv/kernel', np.array([{}], object)
  nan, other = np.full((3, 3, 3, 2), np.nan, np.float32), np.zeros((3, 3, 3, 9), np.float32)
  without = {name: x for name, x in arrays.items() if name != first}
  for data, words in (
    (b'', 'neither'),
    (b'GIF89a' + bytes(99), 'neither'),
    (npz(arrays)[:-300], 'cut short'),
    (npz(arrays)[:300] + bytes(999) + npz(arrays)[1299:], 'damaged'),
    (bomb(), r'Conv/bias: shape \(536870912,\)'),
    (npz(arrays, **{first: pickled}), 'no plain float32'),
    (npz(arrays, **{first: nan}), 'not finite'),
    (npz(arrays, **{first: other}), r'shape \(3, 3, 3, 9\)'),
    (npz(without), 'is missing'),
    (tflite_files.network(arrays)[:-300], 'damaged'),
    (tflite_files.network(without | {first: other}), r'shape \(3, 3, 3, 9\)'),
    (tflite_files.network({k: x for k, x in without.items() if 'MobilenetV2/Conv' not in k}),
     'is missing'),
  ):
    with pytest.raises(WeightsError, match=words) as caught:
      load(tmp_path, data)
    message = str(caught.value)
    assert 'teacher.bin' in message and '\n' not in message
  with pytest.raises(WeightsError, match=r'none\.npz'):
    dm14.load_dm14(tmp_path / 'none.npz')
  with pytest.raises(ValueError, match='1 to 6'):
    dm14.load_dm14(tmp_path / 'none.npz', stages=7)


@pytest.fixture(scope='module')
def folder(posejax_data):
  path = posejax_data / 'teacher_dm14'
  if not path.is_dir():
    pytest.skip(f'no {path}')
  return path


@pytest.fixture(scope='module')
def reference(folder):
  with np.load(folder / 'reference_224.npz', allow_pickle=False) as file:
    return dict(file)


@pytest.fixture(scope='module')
def run():
  """Parameters, RGB images → v, skip, maps of six stages; compiled once."""
  config = dataclasses.replace(mobilenet_pose.DM14, num_stages=6)

  @jax.jit
  def apply(params, images):
    images = mobilenet_pose.preprocess(images)
    v, skip = mobilenet_pose.Encoder(config).apply({'params': params['E']}, images)
    return v, skip, mobilenet_pose.Decoder(config).apply({'params': params['F']}, v, skip)

  return apply


@pytest.fixture(scope='module', params=['weights_f32.npz', 'dm14_368_432_weight_quant.tflite'])
def outputs(request, folder, reference, run):
  config, params = dm14.load_dm14(folder / request.param, stages=6)
  assert config.num_stages == 6
  return run(params, reference['image_bgr'][..., ::-1])


def test_real_weights_give_the_reference_activations(outputs, reference):
  v, skip, stages = outputs
  paf, heat = stages[1]
  joined = np.concatenate([stages[5][1], stages[5][0]], -1)
  for name, got in (
    ('v', v), ('feat', skip), ('stage2_heat', heat), ('stage2_paf', paf), ('stage6', joined)
  ):
    np.testing.assert_allclose(got[0], reference[name], atol=1e-3, rtol=0, err_msg=name)


@pytest.mark.parametrize('stage', [2, 6])
def test_five_people_in_the_photograph(outputs, stage):
  paf, heat = outputs[2][stage - 1]
  people = group_people(
    heat[0, ..., :-1], paf[0], OPENPOSE_COCO18.limbs, redundant=redundant_limbs(OPENPOSE_COCO18),
    min_parts=4,
  )
  torso = [OPENPOSE_COCO18.index(f'{side}_{part}') for side in 'rl' for part in ('shoulder', 'hip')]
  whole = np.asarray(people.visible)[:, torso].all(1) & np.asarray(people.valid)
  assert int(people.valid.sum()) == 5 and int(whole.sum()) >= 4
  # Where they stand, by eye, px of 224: three upright, two who sit on the left.
  necks = np.asarray(people.joints)[np.asarray(people.valid), OPENPOSE_COCO18.index('neck')]
  by_eye = np.array([[20, 102], [53, 103], [95, 38], [144, 46], [195, 28]])
  distance = np.linalg.norm(necks[:, None] - by_eye, axis=-1)
  assert sorted(distance.argmin(1)) == [0, 1, 2, 3, 4] and distance.min(1).max() < 8
