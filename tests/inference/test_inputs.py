"""Names of results are short, printable and never those of another input."""

import hashlib
import os
import pathlib

import pytest

from posejax.data.images import ImageError
from posejax.inference import inputs


def test_names_that_may_stay():
  root = pathlib.Path('in')
  for given in ('a.png', 'sub/ä b/c.png', f'{"x" * 176}.png', f'{"d" * 250}/a.png', '~.png'):
    assert inputs.name(root / given, root) == given


def test_names_that_are_too_long():
  """180 bytes, never half a letter, then twelve digits of the whole path's SHA-256."""
  root = pathlib.Path('in')
  given = [f'{"x" * 246}.png', f'{"x" * 246}.jpg', f'sub/{"é" * 120}.png', f'sub/a{"é" * 120}.png']
  names = [inputs.name(root / one, root) for one in given]
  assert len(set(names)) == 4
  digest = hashlib.sha256(given[0].encode()).hexdigest()
  assert names[0] == f'{"x" * 180}~{digest[:12]}'
  assert names[2].startswith(f'sub/{"é" * 90}~') and names[3].startswith(f'sub/a{"é" * 89}~')
  for name in names:
    last = name.rpartition('/')[2]
    assert len(f'{last}.overlay.png.4194304.tmp'.encode()) <= 255


def test_names_that_no_screen_can_show():
  root = pathlib.Path('in')
  names = {inputs.name(root / one, root) for one in ('a\n.png', 'a\t.png', 'a?.png', 'a\udcff.png')}
  assert len(names) == 4 and all(name.isprintable() for name in names)


def test_stamps(tmp_path):
  path = tmp_path / 'a.png'
  path.write_bytes(b'123')
  os.utime(path, ns=(0, 1_700_000_000_123_456_789))
  assert inputs.stamp(path) == (3, 1_700_000_000.123457)
  with pytest.raises(ImageError, match=r'gone\.png: cannot be read \(No such file'):
    inputs.stamp(tmp_path / 'gone.png')
  with pytest.raises(ImageError, match='cannot be read'):
    inputs.stamp(tmp_path / ('x' * 300))
