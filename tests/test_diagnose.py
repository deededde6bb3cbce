"""`posejax.diagnose`: rows that must agree, figures by hand, what it refuses."""

import runpy

import numpy as np
import pytest

from posejax import command, diagnose
from posejax.benchmarks import crossmodal as random_run
from posejax.benchmarks import students
from posejax.methods.base import Product
from posejax.methods.crossmodal import diagnosis

get_config = runpy.run_path('configs/unsup.py')['get_config']
BASELINES = {f'mean_pose_{name}' for name in ('one_yaw', 'person_yaw', 'rotation')}


def test_figures_by_hand():
  # Two of three people count. The first is right but for his wrists (1 m off), 12 of 14 joints; the
  # second is 200 mm off everywhere but at the pelvis, which does not count: 12 of 28.
  truth = np.random.default_rng(0).normal(size=(1, 3, 15, 3)) * 100 + [0, 0, 3000]
  relative = truth - truth[:, :, :1]
  wrists = [i for i, name in enumerate(diagnosis.SKELETON.joints) if 'wrist' in name]
  relative[0, 0, wrists] += 1000
  relative[0, 1, 1:] += [200, 0, 0]
  joints = np.zeros((1, 3, 15, 2))
  image = joints + [3, 4]
  figures = diagnosis._figures(
    'row', relative, image, truth, joints, np.array([[True, True, False]])
  )
  assert figures == {
    'row_3dpck_rel': pytest.approx(100 * 12 / 28), 'row_2d_error_px': pytest.approx(5.0)
  }


def test_rows_of_untrained_networks():
  config = get_config('smoke')
  params = students.random_networks(config)
  products = random_run.random_products(config, params)
  pictures = products['images_b'].arrays
  # Two people, their pelvises far apart in the picture.
  apart = np.array([[16.0, 16.0], [48.0, 48.0]])
  pictures['truth_joints'][:, :, 0] = apart
  seen = {
    name: np.ones_like(pictures['truth_valid'][:1], bool)
    for name in ('truth_pelvis_visible', 'truth_valid')
  }
  products['validation'] = Product(arrays={name: x[:1] for name, x in pictures.items()} | seen)
  products['images_a'] = Product(arrays={name: x[::-1] for name, x in pictures.items()})
  products['align'] = Product(params={name: params[name] for name in ('G', 'H')})
  figures = diagnosis.report(config, products, 'validation', scenes=8)
  rows = {name.removesuffix('_3dpck_rel') for name in figures if name.endswith('_3dpck_rel')}
  of_scenes = {f'scenes_{name}' for name in BASELINES}
  assert rows == BASELINES | of_scenes | {
    'image', 'teacher_maps', 'true_maps', 'trained', 'domain_a', 'scenes',
  }
  assert all(np.isfinite(value) for value in figures.values())
  # Who knows nothing is not above a mean pose that may turn.
  assert figures['scenes_3dpck_rel'] < figures['scenes_mean_pose_person_yaw_3dpck_rel']
  # The freer it may turn, the nearer.
  one, each, true = (figures[f'scenes_{name}_3dpck_rel'] for name in sorted(BASELINES))
  assert one <= each <= true
  # The first of the pictures that were trained on, and the last, held back, of A are this one.
  for row in ('trained', 'domain_a'):
    assert figures[f'{row}_2d_error_px'] == pytest.approx(figures['image_2d_error_px'], rel=1e-4)
  assert figures['true_maps_recall_percent'] == 100
  products['align'] = Product(params={'H': params['H']})
  # A quarter of a cell beside each other: one peak for both.
  pictures['truth_joints'][:1, 1, 0] = apart[0] + [2, 0]
  alone = diagnosis.report(config, products, 'validation')
  assert set(alone) == {
    f'{row}_{figure}' for row in ('image', 'trained', 'domain_a')
    for figure in ('3dpck_rel', '2d_error_px')
  } | {'image_recall_percent', 'true_maps_recall_percent'} | {
    f'{name}_3dpck_rel' for name in BASELINES
  }
  assert alone['true_maps_recall_percent'] == 50


def test_another_configs_workdir_is_refused(tmp_path, capsys):
  (tmp_path / 'config.json').write_text('{"prior.batch": 1}')
  assert diagnose.run(command.Run(get_config('smoke'), tmp_path, None, '')) == 2
  assert 'belongs to another config' in capsys.readouterr().err
