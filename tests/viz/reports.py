"""A small evaluation and run made by hand, for the tests of the report."""

import pathlib

import numpy as np

from posejax.geometry.skeleton import J15
from posejax.methods.base import Case, Evaluation, People, PoseSet
from posejax.metrics.figures import Metric, SceneSums, Table
from posejax.viz import report_run
from posejax.viz.report_curves import Phase

NAN = float('nan')


def case(error, matches=(0,), seed=0):
  """A picture with as many people as `matches` tells of, and one prediction."""
  rng = np.random.default_rng(seed)
  pose = rng.normal(size=(1, 15, 3)) * 300 + (0, 0, 3000)
  people = People(
    np.zeros(1, int), np.ones(1), rng.uniform(0, 16, (1, 15, 2)), pose - pose[:, :1], pose,
    pose[:, 0, 2], np.ones((1, 15), bool), np.ones(1, bool),
  )
  count = len(matches)
  return Case(
    np.full((16, 16, 3), 90, np.uint8), rng.uniform(0, 16, (2, 15, 2)),
    rng.uniform(size=(2, 15)) > 0.3, people, rng.uniform(0, 16, (count, 15, 2)),
    np.tile(pose, (count, 1, 1)) + 10, np.array(matches), error,
  )


def evaluation(split='test', value=61.24, lead=(10.0, 4.0, 16.0), cases=None):
  """Three metrics and a baseline; names and words hold what HTML must not take literally."""
  metrics = {
    'pck_matched': Metric(value, '%', 'Joints within 150 mm & <b>less</b>.', value - 2, value + 2),
    'baseline_mean_pose_pck': Metric(40.5, '%', 'One fixed pose.'),
    'pck_above': Metric(lead[0], 'points', 'The gap.', *lead[1:]),
    'error_mm': Metric(NAN, 'mm', 'Of nobody.'),
    'people': Metric(12.0, 'people', 'How many.'),
  }
  table = Table(
    'Errors <of> people', 'A note.', ('error', 'people'), ('student', 'nobody'),
    (('error_mm', 'people'), ('', 'pck_matched')),
  )
  poses = np.random.default_rng(1).normal(size=(2, 15, 3)) * 300
  return Evaluation(
    split=split, metrics=metrics, headline='pck_matched', baselines=('baseline_mean_pose_pck',),
    lead='pck_above', tables=(table,),
    scene_sums={'pck_matched': SceneSums(np.ones(2), np.full(2, 2.0))},
    cases=tuple([case(50.0), case(NAN, (-1,))] if cases is None else cases),
    pose_sets=(PoseSet('φ inside', 'Plausible <i>poses</i>.', poses),),
    notes=('Who counts.',), skeleton=J15,
  )


def run():
  """A run with a stage that trains and one that does not."""
  rows = (
    {'step': 10, 'loss/fit': 1.0, 'examples_per_second': 5.0, 'peak_memory_mib': 100.0},
    {'step': 10, 'validation/score': 3.0},
    {'step': 20, 'loss/fit': 0.1, 'examples_per_second': 7.0, 'peak_memory_mib': 200.0},
  )
  return report_run.Run(
    'toy', 'python -m posejax.train --workdir="a b"', pathlib.Path('runs/<x>'),
    {'seed': 3, 'text': '<script>'}, {'seed': 3}, '1 × cpu', 'posejax 0', (
      report_run.StageRecord('images', pathlib.Path('s/images-1'), 61.0, (), (), None, ''),
      report_run.StageRecord(
        'fit', pathlib.Path('s/fit-1'), NAN, rows, (Phase('one', 0, 10), Phase('two', 10, 20)), 10,
        'score'),
    ), 12.3,
  )
