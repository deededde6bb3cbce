"""The cache of rows: what is computed when, what survives a kill, and what damage costs."""

import errno
import os
import signal
import subprocess
import sys
import textwrap

import numpy as np
import pytest

from posejax.data import teacher_cache
from posejax.data.images import ImageError
from posejax.data.teacher_cache import CacheError, Key

KEY = Key(weights='abc', settings={'side': 64, 'version': 1})


class Counted:
  """A function of files that says how often it was asked: the sum and the bytes of each."""

  def __init__(self):
    self.batches = []

  def prepare(self, data: bytes, source: str) -> bytes:
    if data.startswith(b'bad'):
      raise ImageError(source, 'no picture', 'take it out')
    return data

  def compute(self, batch):
    self.batches.append(len(batch))
    return [
      {'sum': np.float32(sum(data)), 'bytes': np.frombuffer(data, np.uint8)} for data in batch
    ]


def rows_of(paths, folder, key=KEY, batch=2, function=None):
  function = function or Counted()
  rows = teacher_cache.cached_rows(paths, key, function.prepare, function.compute, folder, batch)
  return rows, function


@pytest.fixture
def files(tmp_path):
  paths = []
  for name, data in (('a', b'one'), ('b', b'two!'), ('c', b'bad'), ('d', b'one'), ('e', b'five5')):
    paths.append(tmp_path / name)
    paths[-1].write_bytes(data)
  return [*paths, tmp_path / 'absent']


def check(rows, files):
  assert [path.name for path in rows.paths] == ['a', 'b', 'd', 'e']
  for index, path in enumerate(rows.paths):
    row = rows.read(index)
    assert row['bytes'].tobytes() == path.read_bytes()
    assert row['sum'] == sum(path.read_bytes()) and row['sum'].dtype == np.float32


def test_rows_and_what_is_skipped(files, tmp_path):
  rows, function = rows_of(files, tmp_path / 'cache')
  check(rows, files)
  assert [skipped.path.name for skipped in rows.skipped] == ['c', 'absent']
  assert rows.skipped[0].message == f'{files[2]}: no picture; take it out'
  assert rows.computed == 3  # `d` has the bytes of `a`
  assert function.batches == [2, 1]


def test_a_second_time_nothing_is_computed(files, tmp_path):
  rows_of(files, tmp_path / 'cache')
  files[0].rename(tmp_path / 'z')  # a name is no part of the key
  rows, function = rows_of([tmp_path / 'z', *files[1:]], tmp_path / 'cache')
  assert function.batches == [] and rows.computed == 0
  assert rows.read(0)['bytes'].tobytes() == b'one'
  assert [skipped.path.name for skipped in rows.skipped] == ['c', 'absent']


def test_what_a_row_depends_on(files, tmp_path):
  rows_of(files[:2], tmp_path / 'cache')
  for key in (Key('abd', KEY.settings), Key('abc', {'side': 65, 'version': 1})):
    assert rows_of(files[:2], tmp_path / 'cache', key)[0].computed == 2
  again = Key('abc', {'version': 1, 'side': 64})  # in another order
  assert rows_of(files[:2], tmp_path / 'cache', again)[0].computed == 0
  files[0].write_bytes(b'other')
  assert rows_of(files[:2], tmp_path / 'cache')[0].computed == 1


def test_damaged_rows_are_made_again(files, tmp_path):
  rng = np.random.default_rng(0)
  rows, _ = rows_of(files[:2], tmp_path / 'cache')
  sound = rows.stored[0].read_bytes()
  for trial in range(40):
    bad = bytearray(sound)
    if trial % 2:
      del bad[rng.integers(len(bad)) :]
    else:
      bad[rng.integers(len(bad))] ^= 1 << rng.integers(8)
    rows.stored[0].write_bytes(bad)
    with pytest.raises(CacheError, match='damaged'):
      rows.read(0)
    assert rows_of(files[:2], tmp_path / 'cache')[0].computed == 1
    assert rows.stored[0].read_bytes() == sound


KILLED = textwrap.dedent("""
  import os, pathlib, signal, sys
  import numpy as np
  from posejax.data import teacher_cache

  def compute(batch):
    if batch[0] == b'4':
      os.kill(os.getpid(), signal.SIGKILL)
    return [{'x': np.frombuffer(data, np.uint8)} for data in batch]

  folder = pathlib.Path(sys.argv[1])
  paths = [folder / str(i) for i in range(8)]
  key = teacher_cache.Key('w', {})
  teacher_cache.cached_rows(paths, key, lambda data, _: data, compute, folder / 'cache', 1)
""")


def test_killed_it_goes_on(tmp_path):
  paths = [tmp_path / str(i) for i in range(8)]
  for i, path in enumerate(paths):
    path.write_bytes(str(i).encode())
  done = subprocess.run([sys.executable, '-c', KILLED, str(tmp_path)], check=False)
  assert done.returncode == -signal.SIGKILL
  asked = []

  def compute(batch):
    asked.extend(batch)
    return [{'x': np.frombuffer(data, np.uint8)} for data in batch]

  rows = teacher_cache.cached_rows(
    paths, Key('w', {}), lambda data, _: data, compute, tmp_path / 'cache', 1
  )
  assert asked == [b'4', b'5', b'6', b'7']
  assert [int(rows.read(i)['x'].tobytes()) for i in range(8)] == list(range(8))


def test_a_full_disk_is_one_line_and_leaves_nothing_half(files, tmp_path, monkeypatch):
  def full(*unused):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

  with monkeypatch.context() as patch:
    patch.setattr(teacher_cache.os, 'replace', full)
    with pytest.raises(CacheError, match=r'cache: cannot be written \(No space left on device\);'):
      rows_of(files, tmp_path / 'cache')
  assert [path for path in (tmp_path / 'cache').rglob('*') if path.is_file()] == []
  check(rows_of(files, tmp_path / 'cache')[0], files)


def test_a_folder_that_is_none(files, tmp_path):
  (tmp_path / 'cache').write_text('a file')
  with pytest.raises(CacheError, match='cannot be written'):
    rows_of(files, tmp_path / 'cache')


def test_old_leftovers_go_and_young_ones_stay(files, tmp_path):
  folder = tmp_path / 'cache' / 'ab'
  folder.mkdir(parents=True)
  for name, age in (('old.1.tmp', 10**6), ('young.2.tmp', 0)):
    (folder / name).write_bytes(b'half')
    before = (folder / name).stat().st_mtime - age
    os.utime(folder / name, (before, before))
  rows_of(files, tmp_path / 'cache')
  assert [path.name for path in folder.glob('*.tmp')] == ['young.2.tmp']


def test_mistakes_of_the_caller(files, tmp_path):
  cases = [
    ({'batch': 0}, None, 'batch'), ({'key': Key('a', {'x': {1, 2}})}, None, 'JSON'),
    ({'key': Key('a', {'x': float('nan')})}, None, 'JSON'), ({}, lambda batch: [], '0 rows'),
    ({}, lambda batch: [{'x': np.array([{}])}] * len(batch), 'objects'),
  ]
  for options, compute, words in cases:
    function = Counted()
    function.compute = compute or function.compute
    with pytest.raises(ValueError, match=words):
      rows_of(files, tmp_path / 'cache', function=function, **options)


def test_hash_of_arrays():
  arrays = {'a': np.arange(6.0).reshape(2, 3), 'b': np.zeros(2, np.float32)}
  same = {'b': arrays['b'].copy(), 'a': np.asfortranarray(arrays['a'])}
  first = teacher_cache.hash_arrays(arrays)
  assert teacher_cache.hash_arrays(same) == first
  for change in (
    {'a': arrays['a'].reshape(3, 2)}, {'a': arrays['a'].astype(np.float32)},
    {'a': arrays['a'] + 1e-9}, {'c': arrays['b']},
  ):
    assert teacher_cache.hash_arrays(arrays | change) != first
