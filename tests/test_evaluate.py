"""`posejax.evaluate`: a finished run gives files, anything else one line, and nothing is lost."""

import dataclasses
import json
import subprocess
import sys

import ml_collections
import numpy as np
import pytest

from posejax import command, evaluate
from posejax.methods.base import Interval, Method, Product, StagePlan
from posejax.training import stages
from posejax.viz import report
from tests.viz import reports


def make(value):
  return lambda config, products: Product(arrays={'x': np.full(2, value)})


METHOD = Method(
  name='toy',
  stages=(
    StagePlan('data', fields=('count',), make=make(1)),
    StagePlan('fit', fields=('rate',), reads=('data',), make=make(2)),
    StagePlan('validation', fields=('count',), make=make(3)),
    StagePlan('test', fields=('count',), make=make(4)),
  ),
  rules={'seed': Interval(0, 9), 'count': Interval(1, 9), 'rate': Interval(0, 1)},
  splits=('validation', 'test'),
  evaluate=lambda config, products, split: reports.evaluation(
    split, products[split].arrays['x'][0]
  ),
)
TRAIN = 'python -m posejax.train --config=c.py --workdir=w'


def config(**changes):
  return ml_collections.ConfigDict({'seed': 0, 'count': 2, 'rate': 0.5, **changes})


@pytest.fixture(autouse=True)
def few_pictures(monkeypatch):
  """Pictures are tested elsewhere."""
  monkeypatch.setattr(report, 'page', lambda evaluation, run, name: f'page of {evaluation.split}')


@pytest.fixture
def finished(tmp_path):
  stages.run(METHOD, config(), tmp_path)
  return tmp_path


def run(workdir, split='test', cache=None, **changes):
  given = command.Run(config(**changes), workdir, cache, 'as typed')
  return evaluate.run(given, split, TRAIN, METHOD)


def test_each_split_has_files_of_its_own(finished, capsys):
  assert run(finished) == 0
  metrics = (finished / 'metrics.json').read_text()
  assert json.loads(metrics)['metrics']['pck_matched'] == 4
  out = capsys.readouterr().out
  assert re_line(out, 'pck_matched', '4.0 %  [2.0, 6.0]') and re_line(out, 'error_mm', '– mm')
  assert str(finished / 'metrics.json') in out and str(finished / 'index.html') in out
  assert run(finished, 'validation') == 0
  other = json.loads((finished / 'metrics_validation.json').read_text())
  assert other['split'] == 'validation' and other['metrics']['pck_matched'] == 3
  assert (finished / 'index_validation.html').read_text() == 'page of validation'
  assert (finished / 'metrics.json').read_text() == metrics  # as it was
  assert json.loads(metrics)['command'] == TRAIN


def re_line(text, name, end):
  return any(line.startswith(name + ' ') and line.endswith(end) for line in text.splitlines())


def error_of(capsys):
  text = capsys.readouterr().err
  assert text.count('\n') == 1 and text.startswith('posejax.evaluate: ')
  return text


def test_an_unfinished_stage_is_named_with_the_command(tmp_path, capsys):
  stages.run(METHOD, config(), tmp_path, until='data')
  assert run(tmp_path) == 2
  error = error_of(capsys)
  assert 'stage fit is not finished; run ' + TRAIN in error
  assert not (tmp_path / 'metrics.json').exists()


def test_other_sets_need_not_be_there(tmp_path, capsys):
  stages.run(METHOD, config(), tmp_path, until='validation')
  assert run(tmp_path, 'validation') == 0
  capsys.readouterr()
  assert run(tmp_path) == 2
  assert 'stage test is not finished' in error_of(capsys)


def test_no_run_and_nothing_made(tmp_path, capsys):
  assert run(tmp_path / 'none') == 2
  assert f'no run is here (no config.json); run {TRAIN}' in error_of(capsys)
  assert not (tmp_path / 'none').exists()


def test_a_cache_elsewhere_must_be_named(tmp_path, capsys):
  stages.run(METHOD, config(), tmp_path / 'run', tmp_path / 'cache')
  assert run(tmp_path / 'run') == 2
  assert 'stage data is not finished' in error_of(capsys)
  assert run(tmp_path / 'run', cache=tmp_path / 'cache') == 0


@pytest.mark.parametrize(
  ('changes', 'split', 'words'),
  [
    ({'rate': 0.25}, 'test', 'belongs to another config: rate'),
    ({'rate': 2.0}, 'test', 'config.rate = 2.0: must be a number from 0 to 1'),
    ({}, 'train', '--split=train: no such set; there are validation, test'),
  ],
)
def test_wrong_wishes(finished, capsys, changes, split, words):
  assert run(finished, split, **changes) == 2
  assert words in error_of(capsys)


def test_metrics_of_another_split_are_kept(finished, capsys):
  text = json.dumps({'split': 'validation', 'metrics': {}})
  (finished / 'metrics.json').write_text(text)
  assert run(finished) == 2
  assert 'metrics.json: holds metrics of split validation; move it away' in error_of(capsys)
  assert (finished / 'metrics.json').read_text() == text


def test_a_damaged_product_is_named(finished, capsys):
  path = next((finished / 'stages').glob('fit-*')) / 'product' / 'x.npy'
  path.write_bytes(path.read_bytes()[:-1])
  assert run(finished) == 2
  assert 'x.npy: not as it was written' in error_of(capsys)


def test_the_training_of_an_evaluation():
  arguments = ['--config=a b.py', '--split=validation', '--workdir', 'w', '--split', 'test']
  assert evaluate.training_command(arguments) == (
    "python -m posejax.train '--config=a b.py' --workdir w"
  )


def test_the_whole_page_of_a_finished_run(finished, monkeypatch):
  monkeypatch.undo()
  small = dataclasses.replace(
    METHOD, evaluate=lambda config, products, split: reports.evaluation(split, cases=())
  )
  products = stages.run(small, config(), finished)
  report.publish(small, config(), products, finished, None, 'test', TRAIN)
  page = (finished / 'index.html').read_text()
  for name in ('data', 'fit', 'validation', 'test'):
    assert f'<td class="text">{name}</td>' in page
  assert TRAIN in page


def test_entry_points_can_be_imported_together():
  """Their options have the same names."""
  code = 'import posejax.evaluate, posejax.train, posejax.ablate'
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
