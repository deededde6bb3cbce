"""The ladder: resumed entry by entry, refused for another config, its table by hand."""

import dataclasses
import json
import math
import pathlib
import runpy
import types

import ml_collections
import numpy as np
import pytest

from posejax import ablate, command
from posejax.methods.base import Interval, Method, Metric, Product, SceneSums, StagePlan
from posejax.methods.crossmodal import METHOD, wording
from posejax.methods.lifting import METHOD as LIFTING
from posejax.methods.lifting import wording as lifting_wording
from posejax.metrics import statistics
from posejax.training import config as config_lib
from posejax.training import ladder as ladder_lib
from posejax.training.trainer import NonFiniteError
from posejax.viz import ladder as view

ROOT = pathlib.Path(__file__).resolve().parents[1]
LADDER = """
from posejax.training.ladder import Column, Ladder, Panel, Rung
def get_ladder():
  return Ladder(
    'student.seed',
    (Rung('low', 'first', {'student.gain': 1.0}, published={'pck': 50.0}),
     Rung('high', '+ gain', {'student.gain': 2.0}, 'low', {'pck': 60.0})),
    (Column('pck', 'PCK, %'), Column('mm', 'error, mm', 0)), 'pck',
    (Column('mean_pose', 'mean pose'),), ('high',),
    (Panel('PCK, %', 'pck', {'teacher': 'teacher_pck'}),),
  )
"""


def config(gap=1.0):
  return ml_collections.ConfigDict({
    'seed': 0, 'world': {'gap': gap}, 'student': {'gain': 1.0, 'seed': 0, 'sizes': (1, 2)},
  })


def evaluation(pck, sums=(5.0, 5.0), weights=(10.0, 10.0), **others):
  metrics = {'pck': pck, 'mm': 100.0, 'mean_pose': 40.0, 'teacher_pck': 90.0, **others}
  # The part of an `Evaluation` that the ladder reads.
  return types.SimpleNamespace(
    metrics={name: Metric(value, '%') for name, value in metrics.items()},
    scene_sums={'pck': SceneSums(np.array(sums), np.array(weights))},
  )


def make_student(cfg, products):
  return Product(arrays={'x': products['shared'].arrays['x'] * cfg.student.gain})


def evaluate(cfg, products, split):
  return evaluation(float(products['student'].arrays['x'][0]) + cfg.student.seed)


RULES = {
  'seed': Interval(0, 9), 'world.gap': Interval(0, 2), 'student.gain': Interval(0, 3),
  'student.seed': Interval(0, 9, whole=True), 'student.sizes': config_lib.Items(Interval(0, 9)),
}
TOY = Method(
  'toy',
  (
    StagePlan('shared', ('world',), make=lambda cfg, _: Product(arrays={'x': np.full(1, 30.0)})),
    StagePlan('student', ('student',), ('shared',), make=make_student),
  ),
  RULES, ('shared', 'test'), evaluate,
)


@pytest.fixture
def options(tmp_path):
  (tmp_path / 'ladder.py').write_text(LADDER)
  return ablate.Options(ladder=tmp_path / 'ladder.py', seeds=('0', '1'))


def workdir(options):
  return options.ladder.parent / 'run'


def run(cfg, options, method=TOY, run_job=None):
  given = command.Run(cfg, workdir(options), None, 'as typed')
  return ablate.run(given, options, method, run_job)


def entries(options, name='results.json'):
  return json.loads((workdir(options) / name).read_text())['entries']


def test_the_ladder_shares_what_no_rung_changes(options):
  assert run(config(), options, TOY) == 0
  names = sorted(path.name.partition('-')[0] for path in (workdir(options) / 'stages').iterdir())
  assert names == ['shared'] + ['student'] * 4
  assert [(e['rung'], e['seed'], e['metrics']['pck']) for e in entries(options)] == [
    ('low', 0, 30), ('high', 0, 60), ('low', 1, 31), ('high', 1, 61),
  ]
  text = (workdir(options) / 'table.md').read_text()
  assert '| + gain | 60.5 ± 0.7 | 100 ± 0 |' in text and 'Command: `as typed`' in text
  before = text
  (workdir(options) / 'table.md').unlink()
  assert run(config(), options._replace(table=True), TOY) == 0
  assert (workdir(options) / 'table.md').read_text() == before


def test_results_of_other_code_are_not_mixed(options, capsys):
  assert run(config(), options._replace(rungs=('low',)), TOY) == 0
  later = dataclasses.replace(TOY, stages=(
    TOY.stages[0], dataclasses.replace(TOY.stages[1], version=2),
  ))
  for asked in (('low',), ('high',)):  # also where the old entry is not asked for
    assert run(config(), options._replace(rungs=asked), later) == 2
    assert 'stage student of its entry of low-seed0 was made by oth' in capsys.readouterr().err
  assert len(entries(options)) == 2
  # A table of them can be written still.
  assert run(config(), options._replace(table=True), later) == 0


def test_a_killed_ladder_goes_on(options, capsys):
  class Killed(BaseException):
    """Nothing may catch it, as nothing catches kill -9."""

  asked = []

  def runner(dies_at):
    def run_job(job, cfg):
      if len(asked) == dies_at:
        raise Killed
      asked.append(job.label)
      assert (cfg.student.gain, cfg.student.seed) == (job.rung.fields['student.gain'], job.seed)
      return evaluation(50.0), False
    return run_job

  for dies_at in (1, 3):
    with pytest.raises(Killed):
      run(config(), options, TOY, runner(dies_at))
    assert len(entries(options)) == dies_at
  assert run(config(), options, TOY, runner(None)) == 0
  # Each job once, the whole ladder before the second seed.
  assert asked == ['low-seed0', 'high-seed0', 'low-seed1', 'high-seed1']
  lines = [line.partition(';')[0] for line in capsys.readouterr().err.splitlines()]
  # Killed in the second and in the fourth job, which come again.
  assert lines == [f'posejax.ablate: {n} of 4: {name}' for n, name in (
    (1, 'low-seed0'), (2, 'high-seed0'), (2, 'high-seed0'), (3, 'low-seed1'), (4, 'high-seed1'),
    (4, 'high-seed1'),
  )]
  assert run(config(), options, TOY, runner(0)) == 0  # nothing left: nothing is asked


def test_time_left_is_that_of_rungs_that_share_everything():
  # The first entry made the shared stages: 600 s; later ones take 60 s; 3 of 5 are done, 2 open.
  assert ladder_lib._outlook([600, 60, 60], 5) == '; 3 took 12.0 min, about 2 min left'
  assert ladder_lib._outlook([600], 3) == '; 1 took 10.0 min, about 20 min left'
  assert ladder_lib._outlook([], 3) == ''


def test_a_rung_that_diverges_does_not_stop_the_others(options, capsys):
  def run_job(job, cfg):
    if job.label == 'low-seed0':
      raise NonFiniteError('student: loss x was not finite at step 3')
    return evaluation(50.0, mm=math.nan), True

  assert run(config(), options, TOY, run_job) == 2
  assert [e['rung'] for e in entries(options)] == ['high', 'low', 'high']
  assert entries(options)[0]['metrics']['mm'] is None
  error = capsys.readouterr().err
  assert error.endswith(
    'posejax.ablate: no entry of low-seed0: student: loss x was not finite at step 3\n'
  )
  text = (workdir(options) / 'table.md').read_text()
  assert '| first | 50.0 | – |' in text and 'in at least' in text


def refused(capsys, cfg, options, words):
  assert run(cfg, options, TOY, lambda job, cfg: (evaluation(50.0), False)) == 2
  error = capsys.readouterr().err
  assert words in error and error.count('\n') == 1, error


def test_other_results_are_refused(options, capsys):
  assert run(config(), options, TOY, lambda job, cfg: (evaluation(50.0), False)) == 0
  capsys.readouterr()
  path = workdir(options) / 'results.json'
  kept = path.read_text()
  refused(capsys, config(0.5), options, 'of another config: world.gap (1.0 → 0.5); choose another')
  refused(capsys, config(), options._replace(split='shared'), "split ('test' → 'shared')")
  options.ladder.write_text(LADDER.replace("{'student.gain': 2.0}", "{'student.gain': 3.0}"))
  refused(capsys, config(), options, 'its entry of high-seed0 had other fields: student.gain (2.0')
  assert path.read_text() == kept
  # The table of them is no training: it is written again, and what it is of stays as it was.
  table = (workdir(options) / 'table.md').read_text()
  assert run(config(0.5), options._replace(table=True, split='shared'), TOY) == 0
  assert (workdir(options) / 'table.md').read_text() == table and path.read_text() == kept
  path.write_text(kept.replace('"schema": 1', '"schema": 99'))
  refused(capsys, config(), options, 'of schema 99, this is 1')
  path.write_text(kept[:-30])
  refused(capsys, config(), options, 'not a readable results file (JSONDecodeError)')


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'rungs': ('middle',)}, "no rung 'middle'; there are low, high"),
    ({'seeds': ('0', 'x')}, "--seeds: 'x' is no whole number"),
    ({'split': 'train'}, '--split=train: no such set; there are shared, test'),
    ({'sweep': 'world.gip=1'}, "'world.gip' is no number of the config"),
    ({'sweep': 'world.gap=1,far'}, 'write field=value,value,... with float values'),
    ({'sweep': 'world.gap=7'}, 'config.world.gap = 7.0: must be a number from 0 to 2'),
    ({'ladder': pathlib.Path('none.py')}, '--ladder=none.py: no such file'),
    ({'table': True}, 'has no entries yet'),
  ],
)
def test_options_are_checked_before_anything_runs(options, capsys, changes, words):
  refused(capsys, config(), options._replace(**changes), words)
  assert not (workdir(options) / 'results.json').exists()


def test_ladders_are_checked(options, capsys):
  options.ladder.write_text(LADDER.replace('student.gain', 'student.gone'))
  refused(capsys, config(), options, "rung 'low' sets student.gone, no field of the config")
  rung = ladder_lib.Rung('a', 'a', {'x': 1})
  with pytest.raises(ValueError, match="rung 'a' stands twice"):
    ladder_lib.Ladder('seed', (rung, rung), (), 'pck')
  with pytest.raises(ValueError, match="or before 'b', which it is measured from"):
    ladder_lib.Ladder('seed', (rung._replace(against='b'),), (), 'pck')
  with pytest.raises(ValueError, match="rung 'b' must name the same fields"):
    ladder_lib.Ladder('seed', (rung, rung._replace(name='b', fields={'y': 1})), (), 'pck')


def test_the_table_by_hand(options):
  # Two scenes, two seeds. Pooled over seeds: low has 10 and 2 right of 20 and 10 joints; high 16
  # and 6 of 20 and 10. Ratios 12/30 and 22/30: a step of 33.3. Resamples of two scenes are
  # (1, 1), (1, 2), (2, 2), with differences 6/20, 10/30 and 4/10: the interval is [30, 40].
  given = {
    ('low', 0): evaluation(40.0, (6.0, 2.0), (10.0, 5.0)),
    ('low', 1): evaluation(44.0, (4.0, 0.0), (10.0, 5.0)),
    ('high', 0): evaluation(70.0, (8.0, 3.0), (10.0, 5.0)),
    ('high', 1): evaluation(80.0, (8.0, 3.0), (10.0, 5.0)),
  }
  run(config(), options, TOY, lambda job, cfg: (given[job.rung.name, job.seed], False))
  lines = (workdir(options) / 'table.md').read_text().splitlines()
  assert lines[0] == '| rung | PCK, % | error, mm | step in PCK, % [95 %] | paper: PCK, % | seeds |'
  # sd of (40, 44) is √8 = 2.8, of (70, 80) √50 = 7.1.
  assert lines[2] == '| first | 42.0 ± 2.8 | 100 ± 0 | – | 50.0 | 2 |'
  assert lines[3] == '| + gain | 75.0 ± 7.1 | 100 ± 0 | +33.3 [+30.0, +40.0] on low | 60.0 | 2 |'
  assert lines[4] == '| *mean pose* | 40.0 | – | – | – | – |'
  assert '4 entries in 0.0 min, on: ' in lines[-1]


def test_the_second_table_by_hand(options):
  # The plane metric of two seeds, with the teacher's on the same joints; a third one lacks both, as
  # results of an older version may.
  text = LADDER.replace('Panel, Rung', 'Comparison, Panel, Rung')
  text = text.replace("published={'pck': 50.0}", "published={'own': 30.0}")
  options.ladder.write_text(text.replace("'teacher_pck'}),),", """'teacher_pck'}),),
    comparison=Comparison('in 2D', 'teacher', (Column('own', 'IoU, %'), Column('px', 'px', 2)),
                          ('theirs', 'their_px'), {'own': 60.0}, 'Less px are better.'),"""))
  given = {
    ('low', 0): evaluation(40.0, own=50.0, theirs=61.0, px=4.0, their_px=3.5),
    ('low', 1): evaluation(40.0, own=54.0, theirs=62.0, px=math.nan, their_px=3.5),
    ('high', 0): evaluation(70.0, own=70.0, theirs=61.0, px=3.0, their_px=3.5),
    ('high', 1): evaluation(70.0),
  }
  assert run(config(), options, TOY, lambda job, cfg: (given[job.rung.name, job.seed], False)) == 0
  lines = (workdir(options) / 'table.md').read_text().splitlines()
  first = lines.index('| in 2D | IoU, % | px | paper: IoU, % | seeds |')
  assert lines[first + 2 : first + 5] == [
    '| teacher | 61.0 to 62.0 | 3.50 | 60.0 | – |',
    '| first | 52.0 ± 2.8 (-9.5) | 4.00 (+0.50) | 30.0 | 2 |',  # (−11 − 8) / 2; one seed has px
    '| + gain | 70.0 (+9.0) | 3.00 (-0.50) | – | 2 |',
  ]
  assert lines[first + 6].endswith('over the entries. Less px are better.')
  assert 'over seeds of `student.seed` alone' in ''.join(lines[:first])


def test_a_grid_and_a_step_in_millimetres_by_hand(options):
  text = LADDER.replace('Panel, Rung', 'Grid, Panel, Rung')
  options.ladder.write_text(text.replace("'teacher_pck'}),),", """'teacher_pck'}),),
    step_scale=1.0, note='In mm.', grids=(
      Grid('people', 'high', ('near', 'far'), (('one', ('a', 'b')), ('two', ('c', ''))), 2),
    ),"""))
  given = {
    ('low', 0): evaluation(60.0, (120.0,), (2.0,)), ('low', 1): evaluation(60.0, (120.0,), (2.0,)),
    ('high', 0): evaluation(50.0, (100.0,), (2.0,), a=1.0, b=5.0, c=7.0),
    ('high', 1): evaluation(50.0, (100.0,), (2.0,), a=2.0, c=7.0),
  }
  assert run(config(), options, TOY, lambda job, cfg: (given[job.rung.name, job.seed], False)) == 0
  lines = (workdir(options) / 'table.md').read_text().splitlines()
  # 100 / 2 − 120 / 2 mm, and no hundredfold of it.
  assert '| -10.0 [-10.0, -10.0] on low |' in lines[3]
  assert any(line.endswith('seeds pooled. In mm.') for line in lines)
  first = lines.index('| people | near | far |')
  # sd of (1, 2) is √½.
  assert lines[first + 2] == '| one | 1.50 ± 0.71 | 5.00 |'
  assert lines[first + 3] == '| two | 7.00 ± 0.00 | – |'


def test_a_step_down_is_negative_and_weights_may_differ():
  # Scene by scene: first 1 of 2 and 3 of 4; second 9 of 10 and 9 of 10. 4/6 − 18/20 = −0.233.
  # Resamples: (1, 1): 0.5 − 0.9 = −0.4; (2, 2): 0.75 − 0.9 = −0.15.
  found = statistics.paired_ratios(([1, 3], [2, 4]), ([9, 9], [10, 10]))
  np.testing.assert_allclose(found, [4 / 6 - 0.9, -0.4, -0.15])
  # Nobody matched by one of them: no step. A scene without weight alone is no resample.
  assert np.isnan(statistics.paired_ratios(([0, 0], [0, 0]), ([9, 9], [10, 10]))).all()
  np.testing.assert_allclose(
    statistics.paired_ratios(([1, 0], [2, 0]), ([9, 9], [10, 10])), [-0.4, -0.4, -0.4]
  )


def test_a_sweep_has_files_of_its_own(options):
  def run_job(job, cfg):
    assert cfg.world.gap == job.value
    return evaluation(50.0 * cfg.world.gap + 2 * job.seed, teacher_pck=90 - cfg.world.gap), False

  swept = options._replace(sweep='world.gap=0.5,1.5')
  assert run(config(), swept, TOY, run_job) == 0
  name = 'sweep-world.gap.json'
  assert [(e['rung'], e['value'], e['seed']) for e in entries(options, name)] == [
    ('high', 0.5, 0), ('high', 1.5, 0), ('high', 0.5, 1), ('high', 1.5, 1),
  ]
  lines = (workdir(options) / 'sweep-world.gap.md').read_text().splitlines()
  assert lines[0] == '| world.gap | PCK, %: teacher | PCK, %: + gain |'
  assert lines[2:4] == [
    '| 0.5 | 89.5 ± 0.0 | 26.0 ± 1.4 |', '| 1.5 | 88.5 ± 0.0 | 76.0 ± 1.4 |',
  ]
  assert not (workdir(options) / 'results.json').exists()
  picture = view.Image.open(workdir(options) / 'sweep-world.gap.png')
  # One panel of 4.6 × 4.4 inches at 150 dots, with both curves' colours in it.
  assert picture.size == (690, 660)
  assert {(0, 114, 178), (89, 89, 89)} <= {color for _, color in picture.getcolors(100_000)}


@pytest.fixture(scope='module')
def ladder():
  return runpy.run_path(str(ROOT / 'configs' / 'ablation.py'))['get_ladder']()


def test_the_papers_rungs_are_configs(ladder):
  base = runpy.run_path(str(ROOT / 'configs' / 'unsup.py'))['get_config']('smoke')
  for job in ladder_lib.jobs(ladder.rungs, (0, 1)):
    job.config(ladder, base, METHOD.rules)  # raises for a field or value that does not exist


def test_its_metrics_are_those_of_the_evaluation(ladder):
  panels = [name for panel in ladder.panels for name in (panel.metric, *panel.beside.values())]
  beside = [*(c.metric for c in ladder.comparison.columns), *ladder.comparison.metrics]
  for name in [c.metric for c in (*ladder.columns, *ladder.baselines)] + panels + beside:
    wording.described(name, 1.0)  # raises for a name that no evaluation gives


def test_the_papers_figures(ladder):
  # spec/crossmodal.md, "Supervision levels and ablations".
  matched = [rung.published['3dpck_rel_matched'] for rung in ladder.rungs]
  assert matched == [53.3, 57.6, 61.9, 64.2, 66.1, 66.4, 67.9, 71.1, 75.8, 76.9]
  everyone = {
    r.name: value for r in ladder.rungs if (value := r.published.get('3dpck_rel_all')) is not None
  }
  assert everyone == {'us': 63.3, 'ws': 65.2, 'fs': 74.0}
  # Table 7: IoU, 2D-MPJPE and 2D-PCK of the teacher, L_distl alone and Fs.
  plane = [column.metric for column in ladder.comparison.columns[:3]]
  assert '25px' in plane[2]  # the paper's 2D-PCK
  given = {r.name: r.published for r in ladder.rungs if plane[0] in r.published}
  rows = [ladder.comparison.published, *given.values()]
  assert [[row[name] for name in plane] for row in rows] == [
    [60.1, 38.0, 66.6], [51.9, 49.6, 60.3], [81.6, 19.5, 74.7],
  ]
  assert list(given) == ['distl', 'fs']


def test_the_ladder_of_lifting_is_of_its_configs_and_metrics():
  lifted = runpy.run_path(str(ROOT / 'configs' / 'lifting_ablation.py'))['get_ladder']()
  base = runpy.run_path(str(ROOT / 'configs' / 'lifting.py'))['get_config']('smoke')
  for job in ladder_lib.jobs(lifted.rungs, (0,)):
    job.config(lifted, base, LIFTING.rules)
  names = [column.metric for column in (*lifted.columns, *lifted.baselines)]
  names += [name for grid in lifted.grids for _, row in grid.rows for name in row if name]
  for name in names:
    lifting_wording.described(name, 1.0)
