"""Stages of rows: what a kill costs, and that finished stages need no lock."""

import jax
import numpy as np
import pytest

from posejax.methods.base import Method, Product, RowMaker, StagePlan
from posejax.training import products, rows, stages
from posejax.training.checkpoints import CheckpointError
from posejax.training.parallel import Devices
from tests.training import toy

TOTAL, SIZE = 23, 3


class Maker:
  """Squares of row numbers, and which rows were asked for; `dies_at` stops it as Ctrl-C does."""

  def __init__(self, dies_at: int = TOTAL):
    self.asked, self.dies_at = [], dies_at
    self.rows = RowMaker(lambda config, products: TOTAL, SIZE, self.begin)

  def begin(self, config, products):
    def rows(first, last):
      if last > self.dies_at:
        raise KeyboardInterrupt
      self.asked.append((first, last))
      return {'square': np.arange(first, last) ** 2, 'truth': products['truth'].arrays['x'][:1]
              .repeat(last - first, 0)}

    return rows


INPUTS = {'truth': Product(arrays={'x': np.array([[1.5, 2.5]])})}


def make(maker, folder):
  return rows.make('squares', maker.rows, toy.config(), INPUTS, folder, kept_rows=7)


def test_a_stopped_stage_goes_on_behind_its_kept_parts(tmp_path, capsys):
  # Parts of 6 rows, the largest multiple of 3 within 7: 0-6, 6-12, 12-18, 18-23.
  first = Maker(dies_at=17)
  with pytest.raises(KeyboardInterrupt):
    make(first, tmp_path)
  assert first.asked == [(0, 3), (3, 6), (6, 9), (9, 12), (12, 15)]
  second = Maker()
  made = make(second, tmp_path)
  assert second.asked == [(12, 15), (15, 18), (18, 21), (21, 23)]
  np.testing.assert_array_equal(made.arrays['square'], np.arange(TOTAL) ** 2)
  assert made.arrays['truth'].shape == (TOTAL, 2)
  whole = second.rows(toy.config(), INPUTS)
  for name, array in whole.arrays.items():
    np.testing.assert_array_equal(made.arrays[name], array)
  shown = capsys.readouterr().err
  assert 'squares' in shown and '12/23' in shown and '23/23' in shown and 'row/s' in shown


def test_a_damaged_part_is_named(tmp_path):
  with pytest.raises(KeyboardInterrupt):
    make(Maker(dies_at=17), tmp_path)
  path = tmp_path / 'parts' / '0-6' / products.FOLDER / 'square.npy'
  path.write_bytes(path.read_bytes()[:-1])
  with pytest.raises(CheckpointError, match=r'0-6/product/square.npy: not as it was written; del'):
    make(Maker(), tmp_path)


def test_a_run_keeps_parts_until_the_stage_is_finished(tmp_path, monkeypatch):
  monkeypatch.setattr(rows, 'KEPT_ROWS', 7)
  def method(maker):
    return Method('rows', rules=toy.RULES, stages=(
      StagePlan('truth', ('seed',), make=lambda config, products: INPUTS['truth']),
      StagePlan('squares', ('seed',), ('truth',), make=maker.rows),
    ))

  with pytest.raises(KeyboardInterrupt):
    stages.run(method(Maker(dies_at=17)), toy.config(), tmp_path)
  (folder,) = (tmp_path / 'stages').glob('squares-*')
  assert (folder / 'parts').is_dir() and not (folder / products.FOLDER).exists()
  again = Maker()
  found = stages.run(method(again), toy.config(), tmp_path)['squares']
  np.testing.assert_array_equal(found.arrays['square'], np.arange(TOTAL) ** 2)
  assert again.asked[0] == (12, 15) and not (folder / 'parts').exists()


def test_finished_stages_are_read_while_another_run_holds_them(tmp_path):
  devices, shared = Devices(jax.local_devices()[:1]), tmp_path / 'shared'
  run = lambda name, until: stages.run(  # noqa: E731
    toy.METHOD, toy.config(), tmp_path / name, shared, until, devices
  )
  run('first', 'truth')
  for folder in shared.iterdir():
    with stages.locked(folder):
      found = run('second', 'truth')
      np.testing.assert_array_equal(found['truth'].arrays['truth'], [1.0, -2.0, 0.5])
  # A stage that is being made is another run's.
  key = stages.stage_keys(toy.METHOD, toy.config())['fit']
  with (
    stages.locked(shared / f'fit-{key}'),
    pytest.raises(stages.WorkdirError, match='another run is at work'),
  ):
    run('second', 'fit')
