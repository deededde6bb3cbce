"""Digests of what a config names: content counts, names and places do not."""

import hashlib
import os

import pytest

from posejax.data.fingerprint import MissingError, content


def test_a_file_is_its_bytes(tmp_path):
  (tmp_path / 'a').write_bytes(b'posejax')
  (tmp_path / 'b').write_bytes(b'posejax')
  assert content(tmp_path / 'a') == hashlib.sha256(b'posejax').hexdigest() == content(
    str(tmp_path / 'b')
  )
  assert content('') == ''


def test_a_folder_is_its_names_and_bytes(tmp_path):
  def tree(name, files):
    for path, data in files.items():
      file = tmp_path / name / path
      file.parent.mkdir(parents=True, exist_ok=True)
      file.write_bytes(data)
    return content(tmp_path / name)

  files = {'x/1': b'ab', 'x/2': b'c', 'y': b''}
  first = tree('one', files)
  assert tree('two', dict(reversed(files.items()))) == first
  assert tree('three', {**files, 'x/2': b'd'}) != first
  assert tree('four', {'x/1': b'ab', 'x/3': b'c', 'y': b''}) != first
  assert tree('five', {'x/1': b'a', 'x/2': b'bc', 'y': b''}) != first
  assert tree('six', {**files, '.DS_Store': b'1', '.git/HEAD': b'2'}) == first


def test_what_cannot_be_read_is_named(tmp_path):
  with pytest.raises(MissingError, match=r'none.*: cannot be read \(No such file'):
    content(tmp_path / 'none')
  with pytest.raises(MissingError, match='cannot be read'):
    content('x' * 5000)
  odd = tmp_path / 'a\x1b[31m\nb'
  with pytest.raises(MissingError) as raised:
    content(odd)
  assert str(raised.value).isprintable()
  os.mkfifo(tmp_path / 'pipe')
  with pytest.raises(MissingError, match='neither a file nor a folder'):
    content(tmp_path / 'pipe')


def test_what_a_reader_skips_stops_no_folder(tmp_path):
  (tmp_path / 'a').write_bytes(b'1')
  whole = content(tmp_path)
  os.mkfifo(tmp_path / 'pipe')
  assert content(tmp_path) == whole
  os.symlink(tmp_path / 'gone', tmp_path / 'link')
  dangling = content(tmp_path)
  assert dangling != whole
  (tmp_path / 'gone').write_bytes(b'2')
  assert content(tmp_path) != dangling
