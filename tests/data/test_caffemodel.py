"""The reader of Caffe models against files of the tests' own writer, sound, cut and damaged."""

import os
import struct
import tracemalloc

import numpy as np
import pytest

from posejax.data import caffemodel
from posejax.data.caffemodel import CaffemodelError
from posejax.data.weights import WeightsError
from tests.data import caffemodels
from tests.data.caffemodels import blob, field, layer, varint

RNG = np.random.default_rng(0)
LAYERS = {
  name: (RNG.normal(size=shape).astype(np.float32), RNG.normal(size=shape[0]).astype(np.float32))
  for name, shape in
  {'conv1': (2, 3, 3, 3), 'conv2_with_a_name': (3, 2, 1, 1), 'conv3': (1, 3, 7, 7)}.items()
}
WEIGHT, BIAS = LAYERS['conv1']


@pytest.fixture
def read(tmp_path):
  """Writes bytes and reads the layers named, of `LAYERS` by default."""
  def read_bytes(data, wanted=tuple(LAYERS)):
    path = tmp_path / 'pose.caffemodel'
    path.write_bytes(data)
    return caffemodel.read_caffemodel(path, wanted)

  return read_bytes


def assert_layers(found, wanted=LAYERS):
  assert list(found) == list(wanted)
  for name, (weight, bias) in wanted.items():
    for array, expected in ((found[name].weight, weight), (found[name].bias, bias)):
      assert array.dtype == np.float32
      np.testing.assert_array_equal(array, expected)


@pytest.mark.parametrize('v1', [False, True], ids=['layer', 'V1'])
@pytest.mark.parametrize('legacy', [False, True], ids=['BlobShape', 'four numbers'])
@pytest.mark.parametrize('values', ['packed', 'unpacked', 'double'])
def test_every_form_of_a_file(read, v1, legacy, values):
  data = caffemodels.network(LAYERS, v1, values, legacy)
  found = read(data)
  assert_layers(found)
  for name, convolution in found.items():
    # The byte of a layer: its message begins there, with its first field.
    tag = field(2, 'bottom') if v1 else field(1, name)
    assert data[convolution.byte :].startswith(tag)


def test_forms_mixed_and_other_layers_skipped(read):
  fc = layer('fc', [blob(np.full((4, 4), np.nan, np.float32))], kind='InnerProduct')
  names = list(LAYERS)
  parts = [
    layer(names[0], [blob(a, legacy=i == 0) for i, a in enumerate(LAYERS[names[0]])], v1=True),
    fc, layer(names[1], [blob(a, 'double') for a in LAYERS[names[1]]]), field(8, b'shape'),
    layer(names[2], [blob(a, 'unpacked', legacy=True) for a in LAYERS[names[2]]], v1=True), fc,
  ]
  assert_layers(read(b''.join(parts)))


def test_two_runs_of_packed_values_are_one_list(read):
  data = field(7, field(1, b'\x04')) + field(5, struct.pack('<f', 1)) + field(
    5, struct.pack('<3f', 2, 3, 4)
  )
  found = read(layer('a', [blob(np.ones((4, 1, 1, 1), np.float32)), data]), ['a'])
  np.testing.assert_array_equal(found['a'].bias, [1, 2, 3, 4])


@pytest.mark.parametrize('v1', [False, True], ids=['layer', 'V1'])
def test_a_file_cut_anywhere_tells_layer_and_byte(read, v1):
  data = caffemodels.network(LAYERS, v1)
  whole = read(data)
  names = list(LAYERS)
  begins = [whole[name].byte for name in names]
  # Behind a layer's name: the writer puts it in front of the values.
  named = [data.index(name.encode(), begin) + len(name) for name, begin in
           zip(names, begins, strict=True)]
  ends = [data.index(a[1].tobytes()) + a[1].nbytes for a in LAYERS.values()]
  # Every tag, length and name, their edges, and here and there amid values.
  places = caffemodels.structure(data, LAYERS)
  cuts = {*places[::5], *ends, *(end - 1 for end in ends), *begins, *named, *range(0, 1500, 131)}
  for cut in sorted(cut for cut in cuts if cut < ends[-1]):
    with pytest.raises(CaffemodelError) as caught:
      read(data[:cut])
    error = caught.value
    assert str(error).count('\n') == 0 and 'fetch it again' in str(error)
    inside = [i for i in range(len(names)) if named[i] <= cut < ends[i]]
    if inside:
      assert (error.layer, error.byte) == (names[inside[0]], begins[inside[0]])
      assert f'layer {names[inside[0]]}, byte {begins[inside[0]]}: ' in str(error)
    # Between layers a shorter file is a sound one: then the next layer is missing.
    assert error.byte is None or error.byte <= cut
    if error.byte is None:
      assert error.layer == next(n for n, end in zip(names, ends, strict=True) if cut < end)


def damaged_blob(**how):
  return layer('conv1', [blob(WEIGHT, **how), blob(BIAS)])


HUGE = 2**62
FIRST = field(1, 'conv1') + field(2, 'Convolution')
BAD = {
  'empty': (b'', 'conv1', 'is missing, 1 of 1 layers are, and no layer was found'),
  'a web page': (b'<!DOCTYPE html><html>Not found</html>', None, 'byte 0: no protobuf field'),
  'text': (b'name: "pose"\nlayer {\n', None, 'no Caffe model'),
  'no end of a number': (b'\xff' * 11, None, 'a number of more than ten bytes'),
  'ends in a tag': (b'\x80', None, 'byte 0: the file ends inside a field'),
  'huge field': (varint(1 << 3 | 2) + varint(HUGE), None, f'a field has {HUGE} bytes'),
  'huge layer': (varint(100 << 3 | 2) + varint(HUGE) + FIRST, 'conv1', f'has {HUGE} bytes'),
  'a layer that is a number': (field(100, 7), None, 'a layer that is no message'),
  'field longer than its layer': (
    field(100, FIRST + varint(7 << 3 | 2) + varint(HUGE)), 'conv1', 'but its layer ends after 0'
  ),
  'end of a group': (field(100, FIRST + b'\x0c'), 'conv1', 'wire type 4'),
  'ends inside': (field(100, FIRST + b'\x80'), 'conv1', 'the layer ends inside a field'),
  'many fields': (b'\x28\0' * 3000, None, 'more than 1024 fields'),
  'many fields of a layer': (
    field(100, FIRST + b'\x28\0' * 300), 'conv1', 'more than 64 fields'
  ),
  'another type': (
    layer('conv1', [blob(WEIGHT), blob(BIAS)], kind='Deconv\nolution'), 'conv1',
    r'of type Deconv\\nolution, not a convolution'
  ),
  'another V1 type': (layer('conv1', [blob(WEIGHT)], v1=True, kind=39), 'conv1', 'of type 39'),
  'no bias': (layer('conv1', [blob(WEIGHT)]), 'conv1', 'has 1 arrays'),
  'no values at all': (layer('conv1'), 'conv1', 'has 0 arrays'),
  'twice': (damaged_blob() * 2, 'conv1', 'stands twice, first at byte'),
  'another shape': (damaged_blob(shape=(2, 3, 3, 4)), 'conv1', r'54 values .* \(2, 3, 3, 4\)'),
  'no shape': (layer('conv1', [blob(WEIGHT), field(5, BIAS.tobytes())]), 'conv1', 'shape'),
  'a negative shape': (damaged_blob(shape=(-2, -3, 3, 3)), 'conv1', r'shape \(-2, -3, 3, 3\)'),
  'an overflowing shape': (damaged_blob(shape=(2**32, 2**32, 2, 27)), 'conv1', 'do not fill'),
  'five dimensions': (damaged_blob(shape=(1, 2, 3, 3, 3)), 'conv1', 'do not fill'),
  'endless shape': (damaged_blob(shape=(1,) * 100), 'conv1', 'a shape of 102 bytes'),
  'a legacy shape of nothing': (damaged_blob(legacy=True, shape=(0, 0, 0, 0)), 'conv1', 'fill'),
  'a matrix': (
    layer('conv1', [blob(WEIGHT.reshape(2, 27)), blob(BIAS)]), 'conv1', 'are no convolution'
  ),
  'a bias that is a matrix': (
    layer('conv1', [blob(WEIGHT), blob(np.ones((2, 2)))]), 'conv1', 'are no convolution'
  ),
  'half a float': (
    layer('conv1', [blob(WEIGHT), field(5, b'abc')]), 'conv1', 'no readable BlobProto'
  ),
  'broken shape': (
    layer('conv1', [field(7, b'\x0a\x05') + field(5, WEIGHT.tobytes()), blob(BIAS)]), 'conv1',
    'no readable BlobShape'
  ),
  'not a number': (
    layer('conv1', [blob(WEIGHT), blob(np.array([1, np.nan]))]), 'conv1', 'not finite'
  ),
  'infinite': (layer('conv1', [blob(WEIGHT), blob(np.array([1, -np.inf]))]), 'conv1', 'not finite'),
  'beyond float32': (
    layer('conv1', [blob(WEIGHT), blob(np.array([1, 1e300]), 'double')]), 'conv1', 'not finite'
  ),
}


@pytest.mark.parametrize('case', BAD)
def test_damage_has_one_line_that_says_where_and_what_to_do(read, case, tmp_path):
  data, name, reason = BAD[case]
  with pytest.raises(CaffemodelError, match=reason) as caught:
    read(data, ['conv1'])
  error = caught.value
  assert error.layer == name and str(error).count('\n') == 0
  assert str(error).startswith(str(tmp_path / 'pose.caffemodel') + ': ')
  assert 'again' in str(error) or 'give ' in str(error) or 'no Caffe model' in str(error)
  if name is not None and 'missing' not in reason:
    # In front of the fault, and within the file.
    assert 0 < error.byte <= len(data) and f'byte {error.byte}: ' in str(error)


def test_a_blobs_fault_has_the_blobs_byte(read):
  data = layer('other') + layer('conv1', [blob(WEIGHT), blob(np.array([1, np.nan]))])
  with pytest.raises(CaffemodelError) as caught:
    read(data, ['conv1'])
  assert data[caught.value.byte :].startswith(blob(np.array([1, np.nan])))


def test_a_missing_layer(read):
  with pytest.raises(CaffemodelError) as caught:
    read(caffemodels.network(LAYERS), [*LAYERS, 'conv4', 'conv5'])
  assert caught.value.layer == 'conv4'
  assert '2 of 5 layers are, and the last of the file is conv3 at byte ' in str(caught.value)


def test_names_of_any_bytes(read):
  odd = field(100, field(1, b'\xff\n\x1b[31m' + b'x' * 500) + b'\x0c')
  with pytest.raises(CaffemodelError) as caught:
    read(odd, ['conv1'])
  assert str(caught.value).isprintable() and len(str(caught.value)) < 400


def test_caps_before_reading(tmp_path):
  path = tmp_path / 'huge.caffemodel'
  with path.open('wb') as file:
    file.truncate(caffemodel.weights.MAX_FILE_BYTES + 1)  # a sparse file
  with pytest.raises(WeightsError, match='more than 536870912 are not read'):
    caffemodel.read_caffemodel(path, ['conv1'])
  for length in (caffemodel.MAX_LAYER_BYTES + 1, 400 * 2**20, HUGE):
    with path.open('wb') as file:
      file.write(varint(100 << 3 | 2) + varint(length) + FIRST)
      file.truncate(caffemodel.weights.MAX_FILE_BYTES)
    tracemalloc.start()
    with pytest.raises(CaffemodelError, match=f'conv1, byte .*{length} bytes'):
      caffemodel.read_caffemodel(path, ['conv1'])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.1 * caffemodel.MAX_LAYER_BYTES


def test_no_file(tmp_path):
  os.mkfifo(tmp_path / 'pipe')  # opening one would wait for ever
  for name, reason in (('none', 'No such file'), ('', 'is no file'), ('pipe', 'is no file')):
    with pytest.raises(WeightsError, match=reason):
      caffemodel.read_caffemodel(tmp_path / name, ['conv1'])


def test_mutated_files_are_read_or_refused(read):
  # Thousands by `python -m tests.data.fuzz_caffemodel`.
  data = caffemodels.network(LAYERS)
  places = caffemodels.structure(data, LAYERS)
  refused = 0
  for seed in range(60):
    rng = np.random.default_rng(seed)
    try:
      found = read(caffemodels.mutate(rng, data, places))
    except CaffemodelError as error:
      assert str(error).isprintable()
      refused += 1
    else:
      assert set(found) == set(LAYERS)
      for layer_found in found.values():
        assert np.isfinite(layer_found.weight).all() and layer_found.weight.ndim == 4
        assert np.isfinite(layer_found.bias).all() and layer_found.bias.ndim == 1
  assert 20 < refused < 60
