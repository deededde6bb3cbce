"""A run that is stopped, killed or damaged goes on as if nothing had been."""

import dataclasses
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys

import jax
import ml_collections
import numpy as np
import pytest

from posejax.methods import base
from posejax.training import finished, stages, trainer, writers
from posejax.training.checkpoints import CheckpointError
from posejax.training.parallel import Devices, ShareError
from tests.training import toy

ROOT = pathlib.Path(__file__).resolve().parents[2]
STEPS = 12


@pytest.fixture(scope='module')
def devices():
  return Devices(jax.local_devices()[:1])


@pytest.fixture(scope='module')
def uninterrupted(tmp_path_factory, devices):
  """A finished run: its folder, products and final state's files."""
  workdir = tmp_path_factory.mktemp('whole')
  return workdir, stages.run(toy.METHOD, toy.config(STEPS), workdir, devices=devices)


def fit_folder(workdir):
  return next((workdir / 'stages').glob('fit-*'))


def assert_same(products, others):
  ours, theirs = products['fit'].params, others['fit'].params
  jax.tree.map(np.testing.assert_array_equal, ours, theirs)


def losses_of(workdir):
  """Logged losses by step, without rates and memory, which no two runs share."""
  rows = map(json.loads, (fit_folder(workdir) / 'metrics.jsonl').read_text().splitlines())
  return [
    {k: v for k, v in row.items() if k.startswith(('step', 'loss', 'gradient', 'validation'))}
    for row in rows
  ]


def stop_at(monkeypatch, step):
  """Sends this process SIGTERM when the loop has done `step` steps."""
  original = trainer._Run._step

  def stepping(self, phase, source, index):
    logs = original(self, phase, source, index)
    if index + 1 == step:
      os.kill(os.getpid(), signal.SIGTERM)
    return logs

  monkeypatch.setattr(trainer._Run, '_step', stepping)


def test_stopped_twice_equals_uninterrupted(tmp_path, monkeypatch, devices, uninterrupted):
  for step in (5, 7):
    with monkeypatch.context() as patch:
      stop_at(patch, step)
      with pytest.raises(trainer.Stopped, match=f'SIGTERM: fit is saved at step {step} of 12'):
        stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  resumed = stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  assert_same(resumed, uninterrupted[1])
  # The stops add a line each. Every other line is the same to the last bit, but that the first one
  # after a stop knows no step before it, so it may lack the other source.
  lines = losses_of(tmp_path)
  for row in losses_of(uninterrupted[0]):
    if row['step'] in (6, 8):
      ours = [line for line in lines if line['step'] == row['step']]
      assert any(len(line) > 1 and line.items() <= row.items() for line in ours)
    else:
      assert row in lines


@pytest.mark.parametrize('step', [8, STEPS])
def test_a_stop_where_a_save_is_due_anyway(tmp_path, monkeypatch, devices, uninterrupted, step):
  # Step 8 is saved and validated: still a candidate for the best step. The last step: nothing is
  # left to train, and yet the stop is a stop.
  with monkeypatch.context() as patch:
    stop_at(patch, step)
    with pytest.raises(trainer.Stopped, match=f'fit is saved at step {step} of 12'):
      stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  rows = [row for row in losses_of(tmp_path) if 'validation/distance' in row]
  assert rows[-1]['step'] == step
  assert_same(
    stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices), uninterrupted[1]
  )


def test_a_finished_run_is_read_not_made_again(uninterrupted, devices, monkeypatch):
  workdir, products = uninterrupted
  monkeypatch.setattr(trainer, 'run_stage', None)
  assert_same(stages.run(toy.METHOD, toy.config(STEPS), workdir, devices=devices), products)


def test_the_best_step_is_the_product(uninterrupted):
  workdir, products = uninterrupted
  rows = [row for row in losses_of(workdir) if 'validation/distance' in row]
  best = min(row['validation/distance'] for row in rows)
  truth = np.array([1.0, -2.0, 0.5], np.float32)
  np.testing.assert_allclose(np.abs(products['fit'].params['A']['w'] - truth).max(), best)


def test_a_damaged_checkpoint_is_passed_over(tmp_path, devices, monkeypatch, uninterrupted, caplog):
  with monkeypatch.context() as patch:
    stop_at(patch, 9)
    with pytest.raises(trainer.Stopped):
      stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  checkpoints = fit_folder(tmp_path) / 'checkpoints'
  victim = max((p for p in (checkpoints / '9').rglob('*') if p.is_file()),
               key=lambda path: path.stat().st_size)
  data = bytearray(victim.read_bytes())
  data[len(data) // 2] ^= 1
  victim.write_bytes(data)
  (checkpoints / 'manifests' / '8.json').unlink()  # as if killed between step and manifest
  resumed = stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  assert_same(resumed, uninterrupted[1])
  assert 'is not as it was written' in caplog.text and 'not written to the end' in caplog.text
  assert len(list((checkpoints / 'damaged').iterdir())) == 2


def test_a_damaged_product_is_named(tmp_path, uninterrupted, devices):
  shutil.copytree(uninterrupted[0], tmp_path / 'copy')
  path = fit_folder(tmp_path / 'copy') / 'product' / 'networks.npz'
  path.write_bytes(path.read_bytes()[:-3])
  with pytest.raises(CheckpointError, match=r'networks.npz: not as it was written; delete'):
    stages.run(toy.METHOD, toy.config(STEPS), tmp_path / 'copy', devices=devices)


def test_a_non_finite_loss_is_diagnosed(tmp_path, devices, monkeypatch):
  cfg = toy.config(STEPS)
  cfg.rate.b = 1e38  # overflows within a few steps of phase two
  with pytest.raises(trainer.NonFiniteError, match=r"fit: loss .* not finite at step \d+ .*second"):
    stages.run(toy.METHOD, cfg, tmp_path, devices=devices)
  assert not (fit_folder(tmp_path) / 'product').exists()


@pytest.mark.parametrize(
  ('rate', 'kept'), [(np.inf, 'nothing was saved yet'), (1e38, 'the checkpoint of step 8 is good')]
)
def test_the_diagnosis_says_what_is_saved(tmp_path, devices, rate, kept):
  cfg = toy.config(STEPS)
  # Phase one has a's loss alone: at once. Phase two adds b's: behind a save.
  cfg.rate.update({'a': rate} if rate == np.inf else {'b': rate})
  with pytest.raises(trainer.NonFiniteError, match=kept):
    stages.run(toy.METHOD, cfg, tmp_path, devices=devices)


def test_event_files_keep_the_step_that_was_saved(tmp_path, monkeypatch):
  # TensorBoard hides events of steps ≥ purge_step: the saved step's own must stay.
  seen = []
  monkeypatch.setattr(
    writers, 'SummaryWriter', lambda folder, purge_step: seen.append(purge_step)
  )
  writers.ScalarWriter(tmp_path, resumed_at=8)
  assert seen == [9]


def test_workdirs_are_never_mixed_up(tmp_path, uninterrupted, devices):
  workdir, _ = uninterrupted
  with pytest.raises(stages.WorkdirError, match=r'another config: rate.a \(0.1 → 0.5\)'):
    cfg = toy.config(STEPS)
    cfg.rate.a = 0.5
    stages.run(toy.METHOD, cfg, workdir, devices=devices)
  with (
    stages.locked(tmp_path), pytest.raises(stages.WorkdirError, match='another run is at work')
  ):
    stages.run(toy.METHOD, toy.config(STEPS), tmp_path, devices=devices)
  (tmp_path / 'file').write_text('')
  with pytest.raises(stages.WorkdirError, match='cannot be written'):
    stages.run(toy.METHOD, toy.config(STEPS), tmp_path / 'file', devices=devices)


def test_stages_are_shared_by_key():
  cfg, other = toy.config(STEPS), toy.config(STEPS)
  other.rate.a = 0.5
  ours, theirs = (stages.stage_keys(toy.METHOD, c) for c in (cfg, other))
  assert ours['truth'] == theirs['truth'] and ours['fit'] != theirs['fit']
  other = toy.config(STEPS, seed=1)
  assert stages.stage_keys(toy.METHOD, other)['truth'] != ours['truth']


def test_kill_9_at_random_moments(tmp_path, uninterrupted):
  steps = sorted(random.Random(0).sample(range(7, STEPS), 3))
  environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
  command = [sys.executable, '-m', 'tests.training.toy', str(tmp_path), str(STEPS)]
  for step in steps:
    with subprocess.Popen(
      command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True,
      stderr=subprocess.DEVNULL,
    ) as process:
      for line in process.stdout:
        # Steps before the last checkpoint do not come again: at or after the wanted one.
        if line.startswith('step') and int(line.split()[1]) >= step:
          process.kill()
          break
    assert process.returncode == -signal.SIGKILL
  done = subprocess.run(
    command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
  )
  assert done.stdout.endswith('finished\n'), done.stderr[-2000:]
  ours = np.load(fit_folder(tmp_path) / 'product' / 'networks.npz')
  whole = np.load(fit_folder(uninterrupted[0]) / 'product' / 'networks.npz')
  assert ours.files == whole.files
  for name in ours.files:
    np.testing.assert_array_equal(ours[name], whole[name])


def test_a_batch_that_devices_cannot_share_is_named(tmp_path):
  cfg = toy.config(STEPS)
  cfg.batch = 7
  with pytest.raises(ShareError, match=r'fit: scenes: batch size 7 cannot be shared by 2 devices'):
    stages.run(toy.METHOD, cfg, tmp_path, devices=Devices(jax.local_devices()[:2]))


def test_what_was_trained_outlives_the_files_that_it_was_trained_on(tmp_path):
  def plan():
    return base.Method('files', (
      base.StagePlan(
        'read', fields=('path',), files=('path',),
        make=lambda config, products: base.Product(arrays={'x': np.arange(3)}),
      ),
    ), rules={}, splits=('read',), free=('note',))

  def config(path, note=''):
    return ml_collections.ConfigDict({'seed': 0, 'path': str(path), 'note': note})

  data, workdir = tmp_path / 'data', tmp_path / 'run'
  data.write_text('one')
  method = plan()
  stages.run(method, config(data), workdir)
  moved = data.rename(tmp_path / 'elsewhere')
  # Gone from where it was: what was made of it is found all the same.
  found = finished.load(method, config(data), workdir, None, 'read')
  assert found['read'].arrays['x'].tolist() == [0, 1, 2]
  # The same content elsewhere, and fields that decide nothing, are the same run.
  stages.run(method, config(moved, note='new'), workdir)
  moved.write_text('two')
  with pytest.raises(stages.WorkdirError, match='stage read was made by other code, or of other'):
    stages.run(method, config(moved), workdir)
  (workdir / 'config.json').write_text('[]')
  with pytest.raises(stages.WorkdirError, match=r'config.json: holds no config'):
    finished.load(method, config(moved), workdir, None, 'read')
  (workdir / 'config.json').unlink()
  stages.claim(workdir, config(moved), method)
  (workdir / 'stages.json').write_text('{"read": "../../etc"}')
  with pytest.raises(stages.WorkdirError, match='no record of stages; delete it'):
    finished.load(method, config(moved), workdir, None, 'read')


def test_what_a_failed_stage_read_may_be_mended(tmp_path):
  def read(config, products):
    text = pathlib.Path(config.path).read_text()
    if text == 'bad':
      raise ValueError('bad')
    return base.Product(arrays={'x': products['first'].arrays['x'] + len(text)})

  method = base.Method('files', (
    base.StagePlan('first', (), make=lambda *_: base.Product(arrays={'x': np.ones(1)})),
    base.StagePlan('read', fields=('path',), files=('path',), reads=('first',), make=read),
  ), rules={}, splits=('read',))
  data, workdir = tmp_path / 'data', tmp_path / 'run'
  config = ml_collections.ConfigDict({'seed': 0, 'path': str(data)})
  data.write_text('bad')
  with pytest.raises(ValueError, match='bad'):
    stages.run(method, config, workdir)
  data.write_text('mended')
  assert stages.run(method, config, workdir)['read'].arrays['x'] == 7


def of_files(*names):
  """A method of one file whose stages, of these names, each read it."""
  return base.Method('files', tuple(
    base.StagePlan(
      name, fields=('path',), files=('path',),
      make=lambda config, _: base.Product(arrays={'x': np.array(pathlib.Path(config.path).stat())}),
    ) for name in names
  ), rules={}, splits=names[-1:])


def test_an_unfinished_run_is_never_completed_by_other_runs(tmp_path):
  data, cache = tmp_path / 'data', tmp_path / 'cache'
  config = ml_collections.ConfigDict({'seed': 0, 'path': str(data)})
  method = of_files('first', 'second')
  data.write_text('one')
  stages.run(method, config, tmp_path / 'a', cache, until='first')
  ours = finished.folders(method, config, tmp_path / 'a', cache)
  data.write_text('two')
  stages.run(method, config, tmp_path / 'b', cache)
  for gone in (False, True):
    if gone:
      data.unlink()
    places = finished.folders(method, config, tmp_path / 'a', cache)
    assert places['first'] == ours['first'] and places['first'].is_dir()
    assert not places['second'].exists()
  with pytest.raises(stages.WorkdirError, match='path'):
    finished.folders(method, config, tmp_path / 'new', cache)


def test_a_training_that_has_begun_is_not_begun_again_by_other_code(tmp_path, monkeypatch):
  def interrupted(*args):
    raise KeyboardInterrupt

  monkeypatch.setattr(trainer, 'run_stage', interrupted)
  with pytest.raises(KeyboardInterrupt):
    stages.run(toy.METHOD, toy.config(STEPS), tmp_path)
  newer = dataclasses.replace(toy.METHOD, stages=tuple(
    dataclasses.replace(plan, version=plan.version + (plan.name == 'fit'))
    for plan in toy.METHOD.stages
  ))
  with pytest.raises(stages.WorkdirError, match='stage fit was made by other code'):
    stages.run(newer, toy.config(STEPS), tmp_path)
