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
  os.symlink(tmp_path / 'gone', tmp_path / 'link')
  with pytest.raises(MissingError, match='link'):
    content(tmp_path)
