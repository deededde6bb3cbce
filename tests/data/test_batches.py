"""Rows through a function in batches of one shape, with and without a bar."""

import numpy as np
import pytest

from posejax.data import batches


def test_a_label_shows_how_far_it_is_and_changes_nothing(capsys):
  rows, shapes = {'x': np.arange(10.0).reshape(5, 2)}, set()

  def double(part):
    shapes.add(part['x'].shape)
    return {'double': 2 * part['x']}

  plain = batches.in_batches(double, rows, 2)
  assert not capsys.readouterr().err
  labelled = batches.in_batches(double, rows, 2, 'student, test')
  for found in (plain, labelled):
    np.testing.assert_array_equal(found['double'], 2 * rows['x'])
  shown = capsys.readouterr().err
  assert 'student, test' in shown and '3/3' in shown and 'batch' in shown
  assert shapes == {(2, 2)}


@pytest.mark.parametrize('rows', [np.zeros((0, 2)), (np.zeros(2), np.zeros(3))])
def test_rows_that_do_not_fit_are_refused(rows):
  with pytest.raises(ValueError, match='one number ≥ 1 is needed'):
    batches.in_batches(lambda part: part, rows, 2)
