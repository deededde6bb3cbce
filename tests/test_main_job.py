"""The main job from nothing to a report, on toy sizes: what `bash launch/quickstart.sh` does.

The commands that work on a finished run are tested on it here as well: they compile what it has.
"""

import hashlib
import json
import os
import runpy
import shutil
import signal

import jax
import numpy as np
import pytest

from posejax import ablate, command, diagnose, measure_prior, train
from posejax import evaluate as evaluate_command
from posejax.methods.crossmodal import METHOD, evaluate
from posejax.training import products, trainer

COMMAND = 'python -m posejax.train --config=configs/unsup.py:smoke'


@pytest.fixture(scope='module')
def config():
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.teacher.optimizer = config.align.optimizer = 'adam'  # less to compile
  config.log_every = 1
  return config.lock()


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
  """A finished run; later stages left alone what earlier ones had made."""
  workdir = tmp_path_factory.mktemp('run') / 'unsup'
  given = command.Run(config, workdir, None, COMMAND)
  assert train.run(given, until='observed') == 0
  assert not (workdir / 'metrics.json').exists()
  before = digests(workdir)
  assert {name.split('-')[0] for name, _ in before} == {
    'images_a', 'teacher', 'prior', 'images_b', 'observed',
  }
  assert train.run(given) == 0
  assert before.items() <= digests(workdir).items()
  return workdir


def digests(workdir):
  """(stage's folder, file) → digest of its bytes, of all that stages leave."""
  root = workdir / 'stages'
  return {
    (path.relative_to(root).parts[0], str(path)): hashlib.sha256(path.read_bytes()).hexdigest()
    for path in sorted(root.rglob('*')) if path.is_file() and path.name != '.lock'
  }


def test_report(workdir):
  written = json.loads((workdir / 'metrics.json').read_text())
  metrics = written['metrics']
  assert written['split'] == 'test' and written['command'] == COMMAND
  assert metrics['people_counted'] > 0
  for name in (evaluate.BASELINE.format('person_yaw'), '3dpck_rel_all', 'detection_recall_percent'):
    assert 0 <= metrics[name] <= 100
  # The teacher looks four times at what it teaches of.
  assert 'lessons_2d_pck_02torso_all' in metrics
  page = (workdir / 'index.html').read_text()
  assert 'what it teaches' in page and 'http' not in page.split('</style>')[-1].split('<svg')[0]


def test_every_phase_trained_with_its_losses(workdir):
  (folder,) = (workdir / 'stages').glob('align-*')
  rows = [json.loads(line) for line in (folder / 'metrics.jsonl').read_text().splitlines()]
  losses = {}
  for row in rows:
    for name, value in row.items():
      if name.startswith('loss/'):
        assert np.isfinite(value)
        losses.setdefault(name.removeprefix('loss/'), set()).add(row['step'])
  # Phases of 2, 4 and 4 steps; sources take turns.
  assert losses['distl'] >= {1, 2} and max(losses['distl']) <= 6
  assert {'recon', 'adapt'} <= losses.keys() and max(losses['adapt']) <= 6
  assert min(losses['ss']) >= 7 and min(losses['recon_h']) >= 7
  assert len(losses['ss']) >= 2 and len(losses['recon_h']) >= 2


def test_mirror_images_are_an_evaluation_of_the_same_run(config, workdir):
  plain = (workdir / 'metrics.json').read_bytes()
  config = config.copy_and_resolve_references().unlock()
  config.infer.mirror = True
  given = command.Run(config.lock(), workdir, None, 'python -m posejax.evaluate')
  assert evaluate_command.run(given, METHOD.splits[-1], COMMAND) == 0
  assert (workdir / 'metrics.json').read_bytes() == plain
  mirrored = json.loads((workdir / 'metrics_mirror.json').read_text())
  assert mirrored['config']['infer.mirror'] and not json.loads(plain)['config']['infer.mirror']
  page = (workdir / 'index_mirror.html').read_text()
  assert 'at its mirror image' in page
  assert 'at its mirror image' not in (workdir / 'index.html').read_text()


def test_alignment_that_is_stopped_ends_the_same(config, workdir, tmp_path, monkeypatch):
  # In phase 1 (steps 3 to 6), between its two sources: the optimizers' states, whose turn it is and
  # the random draws go on bit for bit, into phase 2 with its frozen G.
  cache = tmp_path / 'cache'
  shutil.copytree(
    workdir / 'stages', cache, ignore=lambda folder, names: [
      name for name in names if name.startswith(('align-', 'refine-', 'test-'))
    ],
  )
  given = command.Run(config, tmp_path / 'run', cache, COMMAND)
  original = trainer._Run._step

  def step(self, phase, source, index):
    logs = original(self, phase, source, index)
    if index + 1 == 5:
      os.kill(os.getpid(), signal.SIGTERM)
    return logs

  with monkeypatch.context() as patch:
    patch.setattr(trainer._Run, '_step', step)
    assert train.run(given, until='align') == 130
  assert train.run(given, until='align') == 0
  (ours,), (whole,) = (root.glob('align-*') for root in (cache, workdir / 'stages'))
  ours, whole = (products.load(folder).params for folder in (ours, whole))
  assert set(whole) == {'G', 'H'}
  jax.tree.map(np.testing.assert_array_equal, ours, whole)


def test_commands_on_the_finished_run(config, workdir, capsys):
  given = command.Run(config, workdir, None, COMMAND)
  before = digests(workdir)
  assert diagnose.run(given, scenes=4) == 0
  figures = json.loads((workdir / 'diagnosis.json').read_text())
  assert 0 <= figures['true_maps_3dpck_rel'] <= 100
  assert f'{figures["image_2d_error_px"]:.1f}' in capsys.readouterr().out
  assert measure_prior.run(given, mocap='', count=20) == 0
  measures = json.loads((workdir / 'prior.json').read_text())
  assert measures and all(np.isfinite(value) for value in measures.values())
  assert before == digests(workdir)  # they trained nothing


def test_a_rung_of_the_ladder(config, workdir, tmp_path):
  folder = tmp_path / 'ladder'
  given = command.Run(config, folder, workdir / 'stages', 'python -m posejax.ablate')
  before = digests(workdir)
  options = ablate.Options(rungs=('distl',), split='validation')
  assert ablate.run(given, options) == 0
  (entry,) = json.loads((folder / 'results.json').read_text())['entries']
  assert 0 <= entry['metrics']['3dpck_rel_all'] <= 100
  assert 'L_distl only' in (folder / 'table.md').read_text()
  # Only the rung's own stages are new, and it knows no scenes.
  new = {name for name, _ in digests(workdir).keys() - before.keys()}
  assert {name.split('-')[0] for name in new} == {'align', 'refine'}
  (align,) = (workdir / 'stages' / name for name in new if name.startswith('align-'))
  assert set(products.load(align).params) == {'H'}
