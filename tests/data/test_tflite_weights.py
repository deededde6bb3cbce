"""The `.tflite` reader: values by hand, then files that were cut, changed or made to mislead."""

import re

import numpy as np
import pytest

from posejax.data import tflite_weights
from posejax.data.weights import WeightsError
from tests.data import tflite_files
from tests.data.tflite_files import Stored

KERNEL = Stored('a/weights', np.arange(12, dtype=np.int8).reshape(2, 1, 2, 3), (0.5,), (3,))
BIAS = Stored('a/Conv2D_bias', np.array([1.5, -2], np.float32))
LAYER = (0, [0, 1, 2], [0])


def read(tmp_path, data):
  path = tmp_path / 'net.tflite'
  path.write_bytes(data)
  return tflite_weights.read_tflite(path)


def one_layer(kernel=KERNEL, bias=BIAS, operators=(LAYER,)):
  return tflite_files.model(['image', kernel, bias], operators)


def refused(tmp_path, data, words):
  with pytest.raises(WeightsError, match=words) as caught:
    read(tmp_path, data)
  message = str(caught.value)
  assert 'net.tflite' in message and '\n' not in message and len(message) < 600
  return message


def test_values_by_hand(tmp_path):
  found = read(tmp_path, one_layer())
  assert set(found) == {'a/kernel', 'a/bias'}
  # Stored OHWI with shape (2, 1, 2, 3), read HWIO: [0, w, i, o] is element (o, 0, w, i), whose
  # number is 6 o + 3 w + i, as (q − 3)/2.
  expected = [[[[(6 * o + 3 * w + i - 3) / 2 for o in (0, 1)] for i in (0, 1, 2)] for w in (0, 1)]]
  np.testing.assert_array_equal(found['a/kernel'], expected)
  np.testing.assert_array_equal(found['a/bias'], [1.5, -2])
  assert {x.dtype for x in found.values()} == {np.dtype('float32')}


def test_depthwise_types_and_shared_constants(tmp_path):
  rng = np.random.default_rng(0)
  arrays = {
    'a/kernel': rng.normal(size=(3, 3, 2, 4)), 'a/bias': np.zeros(4),
    # float16 behind DEQUANTIZE, exactly; its bias is the first layer's.
    'b_depthwise/kernel': rng.integers(-9, 9, (3, 3, 1, 4)) / 4, 'b_depthwise/bias': np.zeros(4),
    'c/kernel': rng.normal(size=(1, 1, 4, 5)), 'c/bias': rng.normal(size=5),
  }
  arrays = {name: x.astype(np.float32) for name, x in arrays.items()}
  found = read(tmp_path, tflite_files.network(arrays))
  assert set(found) == set(arrays)
  for name, expected in arrays.items():
    np.testing.assert_array_equal(found[name], expected, err_msg=name)
  unsigned = KERNEL._replace(data=KERNEL.data.astype(np.uint8) + np.uint8(200))
  # 200 + 0 less 3, halved.
  assert read(tmp_path, one_layer(unsigned))['a/kernel'][0, 0, 0, 0] == 98.5


@pytest.mark.parametrize(
  ('data', 'words'),
  [
    (b'', 'is no TensorFlow Lite model'),
    (b'\0\0\0\0TFL3', 'damaged'),
    (b'\xff\xff\xff\xffTFL3' + bytes(64), 'damaged'),
    (one_layer(KERNEL._replace(shape=(2, 1, 2, 4))), 'a/weights: has 12 bytes .* takes 16'),
    (one_layer(KERNEL._replace(shape=(2, 1, 2, -3))), 'a/weights: damaged'),
    (one_layer(KERNEL._replace(shape=(2, 6))), 'has 2 axes where a kernel has 4'),
    (one_layer(KERNEL._replace(shape=(1,) * 5)), '5 axes'),
    (one_layer(KERNEL._replace(shape=(2**31 - 1,) * 4)), 'more than 8388608'),
    (one_layer(KERNEL._replace(scale=(), zero=())), '0 scales and 0 zero points'),
    (one_layer(KERNEL._replace(scale=(1, 2), zero=(0, 0))), '2 scales'),
    (one_layer(KERNEL._replace(scale=(np.nan,))), 'not finite'),
    (one_layer(KERNEL._replace(scale=(3e38,), zero=(2**62,))), 'not finite'),
    (one_layer(bias=BIAS._replace(data=np.array([1, np.inf], np.float32))), 'bias: .*not finite'),
    (one_layer(bias=BIAS._replace(data=np.array([1, 2], np.int32))), 'is of type 2; floats'),
    (one_layer(operators=[(0, [0, 1, 99], [0])]), 'operation 0: .*tensor 99 of 3'),
    (one_layer(operators=[(0, [0, 1, -1], [0])]), 'operation 0: .*tensor -1 of 3'),
    (one_layer(operators=[(0, [0, 1], [0])]), 'operation 0: damaged'),
    (one_layer(operators=[(7, [0, 1, 2], [0])]), 'code 7 of 3'),
    (one_layer(operators=[LAYER, LAYER]), 'a/weights: is the kernel of two layers'),
    (one_layer(KERNEL._replace(name='a' * 300)), 'tensor 1: .*too long'),
    (one_layer(KERNEL._replace(name='')), 'tensor 1: damaged'),
    (one_layer(operators=[LAYER] * 5000), 'more than 4096'),
    # The map `image` has no bytes in the file.
    (one_layer(operators=[(0, [0, 0, 2], [0])]), 'image: has 0 bytes'),
  ],
)
def test_misleading_files_are_refused(tmp_path, data, words):
  refused(tmp_path, data, words)


def test_a_name_does_not_break_the_line(tmp_path):
  bad = KERNEL._replace(name='x\nError: \x1b[31m', shape=(1, 1, 1, 1))
  assert '\\n' in refused(tmp_path, one_layer(bad), 'has 12 bytes')


def test_missing_large_and_other_files(tmp_path, monkeypatch):
  with pytest.raises(WeightsError, match='no_such'):
    tflite_weights.read_tflite(tmp_path / 'no_such.tflite')
  with pytest.raises(WeightsError, match='is no file'):
    tflite_weights.read_tflite(tmp_path)
  monkeypatch.setattr(tflite_weights, 'MAX_FILE_BYTES', 100)
  refused(tmp_path, one_layer(), 'more than 100 bytes')


def test_no_change_of_a_file_does_anything_but_be_refused(tmp_path):
  whole = one_layer()
  names, seen = {'a/kernel', 'a/bias'}, []
  path = tmp_path / 'net.tflite'

  def attempt(data):
    path.write_bytes(data)
    try:
      found = tflite_weights.read_tflite(path)
    except WeightsError as error:
      assert re.fullmatch(r'[ -~]+', str(error)), error
      seen.append(False)
    else:
      assert all(np.isfinite(x).all() and x.size <= 12 for x in found.values())
      seen.append(set(found) == names)

  for length in range(0, len(whole), 3):
    attempt(whole[:length])
  assert not any(seen[: len(seen) // 2])
  rng = np.random.default_rng(0)
  for _ in range(300):
    data = bytearray(whole)
    for place in rng.integers(8, len(data), rng.integers(1, 4)):
      data[place] = rng.choice([0, 1, 127, 128, 255, rng.integers(256)])
    attempt(bytes(data))
  # Some changes hit only a value, and leave a sound file.
  assert any(seen) and not all(seen)
