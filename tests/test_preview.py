"""The preview's options and folders; its pictures are checked with what draws them."""

import pytest

from posejax import preview


@pytest.mark.parametrize(
  ('argument', 'message'),
  [
    ('--people=0', '--people=0: it must be from 1 to 8'),
    ('--size=1000', '--size=1000: it must be from 64 to 512'),
    ('--size=100', '--size=100: it must be a multiple of 8'),
    ('--seed=-1', '--seed=-1: it must be from 0'),
    ('--frames=1', '--frames=1: it must be from 2 to 200'),
  ],
)
def test_options_are_checked(argument, message, capsys):
  with pytest.raises(SystemExit):
    preview.parse_arguments([argument])
  assert message in capsys.readouterr().err


def test_no_folder_of_somebody_else_is_written_to(tmp_path, capsys):
  (tmp_path / 'thesis.tex').write_text('mine')
  assert preview.main([f'--output={tmp_path}']) == 2
  assert 'holds other files (thesis.tex' in capsys.readouterr().err
  file = tmp_path / 'thesis.tex' / 'runs'
  assert 'cannot be written' in preview.claim(file)
  new = tmp_path / 'new'
  assert preview.claim(new) == '' and preview.claim(new) == ''  # safe to run again
