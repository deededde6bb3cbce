"""Arrays of an `.npz` read without trust, and written whole or not at all."""

import errno
import os
import struct
import tracemalloc
import zipfile

import numpy as np
import pytest

from posejax.data import weights
from posejax.data.weights import WeightsError

ARRAYS = {
  'E/conv/kernel': np.arange(24, dtype=np.float32).reshape(2, 3, 1, 4),
  'E/conv/bias': np.array([1.5], np.float32),
  'one': np.array(2, np.float32),
}


@pytest.fixture
def path(tmp_path):
  return tmp_path / 'weights.npz'


def read(path, name='a', shape=(3,)):
  with weights.open_npz(path) as file:
    return file.read(name, shape)


def member(path, header, values=b'\0' * 12, name='a.npy', compression=zipfile.ZIP_STORED):
  """A file with one member, whose .npy header is free to lie."""
  text = header.encode() if isinstance(header, str) else header
  with zipfile.ZipFile(path, 'w', compression) as file:
    file.writestr(name, b'\x93NUMPY\x01\0' + struct.pack('<H', len(text)) + text + values)


def header(descr='<f4', order='False', shape='(3,)'):
  return f"{{'descr': '{descr}', 'fortran_order': {order}, 'shape': {shape}, }}\n"


@pytest.mark.parametrize('save', [weights.write_npz, lambda p, a: np.savez_compressed(p, **a)])
def test_round_trip(path, save):
  save(path, ARRAYS)
  with weights.open_npz(path) as file:
    assert file.names == tuple(ARRAYS)
    for name, array in ARRAYS.items():
      assert file.shape(name) == array.shape
      found = file.read(name, array.shape)
      assert found.dtype == np.float32 and found.flags.writeable
      np.testing.assert_array_equal(found, array)
  with np.load(path, allow_pickle=False) as file:  # as everyone else reads it
    np.testing.assert_array_equal(file['E/conv/kernel'], ARRAYS['E/conv/kernel'])


def test_fortran_order(path):
  array = np.asfortranarray(np.arange(24, dtype=np.float32).reshape(2, 3, 4))
  np.savez(path, a=array)
  found = read(path, 'a', (2, 3, 4))
  assert found.flags.c_contiguous
  np.testing.assert_array_equal(found, array)


def test_other_layouts_are_written_as_plain_float32(path):
  array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
  weights.write_npz(path, {'a': array, 'b': array.T[::-1]})
  np.testing.assert_array_equal(read(path, 'a', (2, 3)), array)
  np.testing.assert_array_equal(read(path, 'b', (3, 2)), array.T[::-1])


@pytest.mark.parametrize(
  ('arrays', 'reason'),
  [
    ({'b': np.zeros(3, np.float32)}, 'a: is missing'),
    ({'a': np.zeros(4, np.float32)}, r'shape \(4,\) in the place of \(3,\)'),
    ({'a': np.zeros(3)}, 'no plain float32 array'),
    ({'a': np.array([1, None, {}], object)}, 'no plain float32 array'),
    ({'a': np.array([0, 0, np.nan], np.float32)}, 'not finite'),
    ({'a': np.array([0, np.inf, 0], np.float32)}, 'not finite'),
  ],
)
def test_other_arrays_are_refused(path, arrays, reason):
  np.savez(path, **arrays)
  with pytest.raises(WeightsError, match=f'weights.npz: {reason}|weights.npz: a: .*{reason}'):
    read(path)


@pytest.mark.parametrize(
  ('content', 'reason'),
  [
    (header(), None),
    (header(descr='>f4'), 'no plain float32'),
    (header(order='Maybe'), 'no plain float32'),
    (header(shape='(-3,)'), 'no plain float32'),
    (header(shape='(3,)+__import__("os").abort()'), 'no plain float32'),
    ('(' * 60000, 'no plain float32'),
    (header(shape='(1' + ', 1' * 20000 + ')'), 'in the place of'),
    (header(shape='(999999999, 999999999)'), 'in the place of'),
    (header(shape='(12345678901234567890,)'), 'no plain float32'),
    (b'\xff' * 40, 'no plain float32'),
  ],
)
def test_headers_that_lie(path, content, reason):
  member(path, content)
  if reason is None:
    np.testing.assert_array_equal(read(path), [0, 0, 0])
  else:
    with pytest.raises(WeightsError, match=reason) as caught:
      read(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 100_500
  with pytest.raises(WeightsError, match='does not begin as'):
    with zipfile.ZipFile(path, 'w') as file:
      file.writestr('a.npy', b'\x93NUMPY\x02\0' + b'\xff' * 20)
    read(path)


@pytest.mark.parametrize('size', [0, 11, 13, 10**6])
def test_values_that_do_not_fill_the_shape(path, size):
  member(path, header(), b'\0' * size)
  with pytest.raises(WeightsError, match='not the 12 bytes that its shape'):
    read(path)


def test_a_bomb_is_not_inflated(path):
  member(path, header(), bytes(32 * 2**20), compression=zipfile.ZIP_DEFLATED)
  assert path.stat().st_size < 2**20
  tracemalloc.start()
  with pytest.raises(WeightsError, match='not the 12 bytes'):
    read(path)
  peak = tracemalloc.get_traced_memory()[1]
  tracemalloc.stop()
  assert peak < 2**20


@pytest.mark.parametrize('method', [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_without_a_limit_are_refused(path, method):
  member(path, header(), compression=method)
  with pytest.raises(WeightsError, match=f'compressed by method {method}'):
    read(path)


def test_damage(path):
  weights.write_npz(path, {'a': np.arange(3)})
  whole = path.read_bytes()
  place = whole.index(np.arange(3, dtype='<f4').tobytes())
  path.write_bytes(whole[: place + 5] + b'\x40' + whole[place + 6 :])
  with pytest.raises(WeightsError, match=r'a: damaged \(Bad CRC-32'):
    read(path)
  path.write_bytes(whole.replace(b'a.npy', b'b.npy', 1))
  with pytest.raises(WeightsError, match='a: damaged'):
    read(path)
  for cut in range(0, len(whole), 7):
    path.write_bytes(whole[:cut])
    with pytest.raises(WeightsError, match='cut short'):
      read(path)
  path.write_bytes(b'PK' + bytes(100))
  with pytest.raises(WeightsError, match='does not end as an'):
    read(path)
  # A flag that says "encrypted".
  flagged = bytearray(whole)
  flagged[6] |= 1
  flagged[whole.index(b'PK\x01\x02') + 8] |= 1
  path.write_bytes(flagged)
  with pytest.raises(WeightsError, match='damaged'):
    read(path)


def test_a_directory_of_millions_is_not_read(path):
  names = b'PK\x01\x02' + bytes(42)
  with path.open('wb') as file:
    file.write(names * 40_000)
    file.write(b'PK\x05\x06' + struct.pack('<4H2IH', 0, 0, 40_000, 40_000, 40_000 * 46, 0, 0))
  with pytest.raises(WeightsError, match='its list of arrays takes 1840000 bytes'):
    read(path)


def test_size_cap(path):
  with path.open('wb') as file:
    file.truncate(weights.MAX_FILE_BYTES + 1)
  with pytest.raises(WeightsError, match='more than 536870912 are not read'):
    read(path)


def test_nothing_is_overwritten_or_left_behind(tmp_path, path, monkeypatch):
  weights.write_npz(path, ARRAYS)
  before = path.read_bytes()
  with pytest.raises(WeightsError, match='is there already and is not overwritten'):
    weights.write_npz(path, {'a': np.zeros(3)})
  (tmp_path / 'dangling.npz').symlink_to('nowhere')
  with pytest.raises(WeightsError, match='is not overwritten'):
    weights.write_npz(tmp_path / 'dangling.npz', ARRAYS)
  with pytest.raises(WeightsError, match='No such file'):
    weights.write_npz(tmp_path / 'none' / 'a.npz', ARRAYS)

  def full(*_):
    raise OSError(errno.ENOSPC, 'No space left on device')

  monkeypatch.setattr(os, 'fsync', full)
  with pytest.raises(WeightsError, match='No space left on device'):
    weights.write_npz(tmp_path / 'other.npz', ARRAYS)
  assert sorted(p.name for p in tmp_path.iterdir()) == ['dangling.npz', 'weights.npz']
  assert path.read_bytes() == before


def test_a_faster_process_is_not_overwritten(tmp_path, path, monkeypatch):
  sync = os.fsync

  def meanwhile(descriptor):
    path.write_bytes(b'theirs')
    sync(descriptor)

  monkeypatch.setattr(os, 'fsync', meanwhile)
  with pytest.raises(WeightsError, match='is not overwritten'):
    weights.write_npz(path, ARRAYS)
  assert path.read_bytes() == b'theirs' and len(list(tmp_path.iterdir())) == 1
