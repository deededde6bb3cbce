"""Output files are whole or not there; a folder belongs to one run and one set of options."""

import errno
import json
import os

import pytest

from posejax.inference import files
from posejax.inference.files import OutputError


def full(file):
  file.write(b'half of it')
  raise OSError(errno.ENOSPC, 'No space left on device')


def test_a_full_disk_leaves_nothing_and_keeps_what_was_there(tmp_path):
  path = tmp_path / 'sub' / 'a.json'
  with pytest.raises(OutputError, match=r'a\.json: cannot be written \(No space left on device\)'):
    files.write(path, full)
  assert not list(path.parent.iterdir())
  files.write_text(path, 'old')
  with pytest.raises(OutputError):
    files.write(path, full)
  assert path.read_text() == 'old' and len(list(path.parent.iterdir())) == 1


def test_the_same_options_go_on_and_others_are_refused(tmp_path):
  folder = tmp_path / 'out'
  for _ in range(2):
    with files.claimed(folder, {'checkpoint': 'a', 'size': (1, 2)}):
      files.write_text(folder / 'x.json', '{}')
  assert json.loads((folder / 'infer.json').read_text())['options']['size'] == [1, 2]
  with pytest.raises(OutputError, match=r"results of another checkpoint \('a', now 'b'\)"), \
       files.claimed(folder, {'checkpoint': 'b', 'size': (1, 2)}):
    pass


def test_two_at_once(tmp_path):
  with files.claimed(tmp_path, {}), pytest.raises(
    OutputError, match='another run is at work in it'
  ), files.claimed(tmp_path, {}):
    pass
  with files.claimed(tmp_path, {}):
    pass


def test_a_folder_of_other_things_is_left_alone(tmp_path):
  (tmp_path / 'thesis.tex').write_text('x')
  with pytest.raises(OutputError, match=r'holds other files \(thesis\.tex, \.\.\.\)'), \
       files.claimed(tmp_path, {}):
    pass
  assert [path.name for path in tmp_path.iterdir()] == ['thesis.tex']


@pytest.mark.parametrize('text', ['', '[]', '{"options": 3}', '[' * 10**5])
def test_a_damaged_record(tmp_path, text):
  (tmp_path / 'infer.json').write_text(text)
  with pytest.raises(OutputError, match=r'infer\.json: not readable'), \
       files.claimed(tmp_path, {'a': 1}):
    pass


def test_a_file_in_the_place_of_the_folder(tmp_path):
  (tmp_path / 'out').write_text('x')
  with pytest.raises(OutputError, match='out'), files.claimed(tmp_path / 'out', {}):
    pass


@pytest.mark.parametrize('name', ['a.json.tmp', 'a.json.{pid}.tmp'])
def test_links_are_not_followed(tmp_path, name):
  """Whoever may write into the folder could name any file of the user there."""
  (tmp_path / 'precious').write_text('mine')
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / name.format(pid=os.getpid())).symlink_to(tmp_path / 'precious')
  files.write_text(tmp_path / 'out' / 'a.json', 'new')
  assert (tmp_path / 'precious').read_text() == 'mine'
  assert (tmp_path / 'out' / 'a.json').read_text() == 'new'


def test_a_lock_that_is_a_link(tmp_path):
  (tmp_path / 'precious').write_text('mine')
  (tmp_path / 'out').mkdir()
  (tmp_path / 'out' / '.lock').symlink_to(tmp_path / 'precious')
  with pytest.raises(OutputError, match='cannot be written'), files.claimed(tmp_path / 'out', {}):
    pass
  assert (tmp_path / 'precious').read_text() == 'mine'


def test_a_name_that_is_too_long(tmp_path):
  with pytest.raises(OutputError, match='cannot be written'), \
       files.claimed(tmp_path / ('x' * 300), {}):
    pass


def test_a_record_that_was_cut_off(tmp_path):
  (tmp_path / 'infer.json.7.tmp').touch()
  with files.claimed(tmp_path, {}):
    pass
