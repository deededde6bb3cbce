"""The main job from nothing to a report, on toy sizes: what `bash launch/quickstart.sh` does."""

import hashlib
import json
import runpy

import jax
import numpy as np
import pytest

from posejax import command, train
from posejax import evaluate as evaluate_command
from posejax.methods.crossmodal import METHOD, evaluate

COMMAND = 'python -m posejax.train --config=configs/unsup.py:smoke'


@pytest.fixture(scope='module', autouse=True)
def plain_programs():
  """Every program here runs a few times: what makes it fast would cost more than it saves."""
  before = jax.config.read('jax_disable_most_optimizations')
  jax.config.update('jax_disable_most_optimizations', True)
  yield
  jax.config.update('jax_disable_most_optimizations', before)


@pytest.fixture(scope='module')
def config():
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  # Less to compile.
  config.teacher.optimizer = config.align.optimizer = 'adam'
  config.log_every = 1
  return config.lock()


@pytest.fixture(scope='module')
def workdir(config, tmp_path_factory):
  """A finished run; what is frozen was looked at before its students were trained, and after."""
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
