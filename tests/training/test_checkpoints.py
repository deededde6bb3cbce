"""Checkpoints: which ones stay, which one is best, and what a damaged or foreign one says."""

import numpy as np
import pytest

from posejax.methods.base import Selection
from posejax.training.checkpoints import CheckpointError, Checkpoints


def tree(step):
  return {'w': np.full(3, step, np.float32), 'n': {'count': np.int32(step)}}


@pytest.fixture
def saved(tmp_path):
  checkpoints = Checkpoints(tmp_path, Selection('error', larger=False))
  for step, error in ((10, 3.0), (20, 1.0), (30, 2.0), (40, float('nan'))):
    checkpoints.save(step, tree(step), {'error': error})
  yield checkpoints
  checkpoints.close()


def test_newest_two_and_best_stay(saved, tmp_path):
  assert saved.steps() == [20, 30, 40]
  assert saved.best() == 20  # nan is no best
  saved.close()
  again = Checkpoints(tmp_path, Selection('error', larger=False))
  again.save(50, tree(50))  # a stop between validations
  assert again.steps() == [20, 40, 50] and again.best() == 20
  step, restored = again.restore(tree(0))
  assert step == 50
  np.testing.assert_array_equal(restored['w'], [50, 50, 50])
  assert again.restore(tree(0), 20)[1]['n']['count'] == 20
  again.close()


@pytest.mark.parametrize('stops', [(), (35,)])
def test_the_last_of_equals_is_best_however_often_it_stopped(tmp_path, stops):
  checkpoints = Checkpoints(tmp_path, Selection('error', larger=False))
  errors = {10: 1.0, 20: 1.0, 30: 2.0, 40: 3.0}
  for step in sorted((*errors, *stops)):
    checkpoints.save(step, tree(step), {'error': errors[step]} if step in errors else None)
    if step == 20:
      assert checkpoints.steps() == [10, 20] and checkpoints.best() == 20
  # The newest two, and of those that are equally good the one that Orbax keeps.
  assert checkpoints.steps() == [20, *(stops or (30,)), 40] and checkpoints.best() == 20
  checkpoints.close()


def test_saving_a_step_twice_keeps_the_first(saved):
  saved.save(40, tree(41), {'error': 0.0})
  assert saved.restore(tree(0), 40)[1]['w'][0] == 40


def test_foreign_arrays_are_refused(saved):
  with pytest.raises(CheckpointError, match=r'float32\(3,\) where this config needs float32\(4,\)'):
    saved.restore({'w': np.zeros(4, np.float32), 'n': {'count': np.int32(0)}})
  with pytest.raises(CheckpointError, match='holds other arrays than this config needs'):
    saved.restore({'w': np.zeros(3, np.float32)})
  with pytest.raises(CheckpointError, match='no undamaged step 11; there are'):
    saved.restore(tree(0), 11)


def test_any_flipped_bit_is_seen(saved, tmp_path):
  # Every file of the newest step in turn.
  for path in sorted(p for p in (tmp_path / '40').rglob('*') if p.is_file() and p.stat().st_size):
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    assert 'is not as it was written' in saved._problem(40)
    path.write_bytes(data)
  assert not saved._problem(40)


def test_without_a_selection_the_newest_is_best(tmp_path):
  checkpoints = Checkpoints(tmp_path)
  assert checkpoints.best() is None and checkpoints.restore(tree(0)) is None
  for step in (1, 2, 3):
    checkpoints.save(step, tree(step))
  assert checkpoints.steps() == [2, 3] and checkpoints.best() == 3
  checkpoints.close()
