"""The preview: its options, its folder, and one small run with all that it writes."""

import json

import numpy as np
import pytest
from PIL import Image

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


def test_a_small_run_writes_everything_it_names(tmp_path, capsys):
  arguments = ['--people=1', '--cameras=1', '--frames=2', '--size=64', '--small']
  assert preview.main([f'--output={tmp_path / "out"}', *arguments]) == 0
  printed = capsys.readouterr().out
  record = json.loads((tmp_path / 'out' / preview.RECORD).read_text())
  assert record['people_placed'] == 1 and record['options']['seed'] == '0'
  for name in record['files']:
    assert (tmp_path / 'out' / name).stat().st_size > 500
    assert name in printed
  truth = np.load(tmp_path / 'out' / 'truth.npz', allow_pickle=False)
  assert truth['joints_world'].shape == (2, 1, 17, 3)
  assert truth['joints_image'].shape == (2, 1, 1, 17, 2)
  assert Image.open(tmp_path / 'out' / 'sequence.gif').n_frames == 2
  assert (tmp_path / 'out' / 'views.jpg').exists()
