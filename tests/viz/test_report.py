"""The report: figures as they are, nothing unescaped, nothing asked of a network."""

import html.parser
import io
import json
import math
import re

import numpy as np
import pytest
from PIL import Image

from posejax.methods.base import Loss, Phase, Selection, Source, Stage, StagePlan
from posejax.metrics.figures import Metric
from posejax.viz import report, report_curves, report_page, report_pictures, report_run
from tests.viz import reports


class Reader(html.parser.HTMLParser):
  """Tags that are open at the end, all attributes, and the visible text."""

  def __init__(self):
    super().__init__()
    self.open, self.attributes, self.text, self.tags = [], [], [], []

  def handle_starttag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += [(tag, name, value or '') for name, value in attrs]
    if tag not in ('meta', 'img', 'br', 'path', 'rect'):
      self.open.append(tag)

  def handle_startendtag(self, tag, attrs):
    self.tags.append(tag)
    self.attributes += [(tag, name, value or '') for name, value in attrs]

  def handle_endtag(self, tag):
    assert self.open.pop() == tag

  def handle_data(self, data):
    self.text.append(data)


def read(page):
  reader = Reader()
  reader.feed(page)
  assert not reader.open
  return reader


@pytest.fixture(scope='module')
def page():
  return report.page(reports.evaluation(), reports.run(), 'metrics.json')


def test_the_page_says_what_there_is(page):
  text = ''.join(read(page).text)
  assert 'toy on the test set' in text and 'python -m posejax.train --workdir="a b"' in text
  assert 'seed 3' in text and '1 × cpu' in text and '61 s' in text
  assert '61.2 %' in text and '95 % interval 59.2 to 63.2' in text
  assert 'mean pose' in text and '40.5' in text  # the baseline beside it
  assert 'Errors <of> people' in text and 'Who counts.' in text
  assert '1 of 1 person found; mean error 50 mm' in text
  assert 'Plausible <i>poses</i>.' in text and 's/fit-1/tensorboard' in text
  assert 'process peak so far (MiB)' in text
  assert '6.0' in text and '200' in text  # the median rate and the largest memory of the stage


def test_what_was_not_measured_is_a_dash(page):
  cell = re.search(r'<span title="error_mm: Of nobody.">([^<]*)</span>', page)
  assert cell.group(1) == '–' and 'nan' not in ''.join(read(page).text).lower()


def test_counts_have_no_digits(page):
  assert re.search(r'<span title="people: How many.">12</span>', page)


def test_nothing_is_taken_literally(page):
  reader = read(page)
  assert not {'script', 'i', 'x', 'of'} & set(reader.tags)
  text = ''.join(reader.text)
  assert '<script>' in text and '<b>less</b>' in text and 'runs/<x>' in text


def test_the_page_asks_nobody_for_anything(page):
  for tag, name, value in read(page).attributes:
    if name in ('src', 'href', 'srcset', 'data', 'action', 'style'):
      assert value.startswith(('data:image/png;base64,', '#', 'background:#')), (tag, name, value)
  assert 'http:' not in page and 'https:' not in page and '@import' not in page
  assert 'url(' not in page and "default-src 'none'" in page
  anchors = re.findall(r'href="#(\w+)"', page)
  assert anchors and all(f'id="{anchor}"' in page for anchor in anchors)
  assert len(page) < 6e6


@pytest.mark.parametrize(
  ('lead', 'words', 'kind'),
  [
    ((10.0, 4.0, 16.0), 'Above its baseline on the same people by 10.0 points [4.0, 16.0]', 'good'),
    ((3.0, -1.0, 7.0), 'Not shown to be above its baseline on the same people', 'bad'),
    ((-9.0, -12.0, -6.0), 'Below its baseline on the same people: −9.0', 'bad'),
    ((math.nan,) * 3, 'Nothing was matched', 'bad'),
  ],
)
def test_the_verdict_is_what_the_interval_says(lead, words, kind):
  verdict = report_page.verdict(reports.evaluation(lead=lead))
  assert words in verdict and f'class="verdict {kind}"' in verdict


def test_of_a_lead_in_mm_better_is_said_not_above():
  done = reports.evaluation()
  done.metrics['pck_above'] = Metric(10.0, 'mm', '', 4.0, 16.0)
  assert 'Better than its baseline on the same people by 10.0 mm [4.0' in report_page.verdict(done)


def test_the_headline_can_be_missing():
  text = ''.join(read(report_page.headline(reports.evaluation(value=math.nan))).text)
  assert '–' in text and 'no interval' in text and 'nan' not in text


def test_the_gallery_takes_both_ends_and_the_middle():
  cases = [reports.case(float(error)) for error in (7, 3, 5, 1, 9, 2, 8, 4, 6)]
  chosen = report.gallery((*cases, reports.case(math.nan, (-1,))), 2)
  errors = {kind: [case.error for case in found] for kind, found in chosen.items()}
  assert errors == {'best': [1, 2], 'middling': [4, 5], 'worst': [9, 8]}
  few = report.gallery(tuple(cases[:2]), 4)
  assert {kind: [case.error for case in found] for kind, found in few.items()} == {
    'best': [3], 'worst': [7],
  }
  nobody = report.gallery((reports.case(math.nan, (-1,)),), 4)
  assert list(nobody) == ['nobody found'] and len(nobody['nobody found']) == 1
  assert report.gallery((), 4) == {'nobody found': []}


def test_the_figures_for_programs():
  content = report.content(reports.evaluation(), reports.run())
  again = json.loads(json.dumps(content, allow_nan=False))
  assert again['split'] == 'test' and again['seeds'] == {'seed': 3}
  assert again['metrics'] == {
    'pck_matched': 61.24, 'baseline_mean_pose_pck': 40.5, 'pck_above': 10.0, 'error_mm': None,
    'people': 12.0,
  }
  assert again['intervals_95'] == {'pck_matched': [59.24, 63.24], 'pck_above': [4.0, 16.0]}
  assert again['units']['error_mm'] == 'mm' and again['protocol'] == ['Who counts.']
  assert again['wall_time_s'] == {'images': 61.0, 'fit': None, 'evaluation': 12.3}
  assert again['config']['text'] == '<script>' and again['command'] and again['machine']


def test_curves_leave_out_the_machine_and_nan():
  rows = [
    {'step': 1, 'loss/a': 2.0, 'gradient_norm/a': 1.0, 'examples_per_second': 9.0},
    {'step': 2, 'loss/a': 1.0, 'other': 5.0},
    {'step': 2, 'validation/v': float('nan')}, {'step': 4, 'validation/v': 3.0},
  ]
  curves = report_curves.series(rows)
  assert list(curves) == ['loss/a', 'other', 'validation/v']
  np.testing.assert_array_equal(curves['loss/a'], [[1, 2], [2, 1]])
  np.testing.assert_array_equal(curves['validation/v'], [[4], [3]])
  phases = (report_curves.Phase('one', 0, 2), report_curves.Phase('two', 2, 4))
  assert report_curves.curves_picture(rows, phases, 4).startswith(b'\x89PNG')
  assert report_curves.curves_picture([{'step': 1, 'weight/a': 1.0}], phases) is None


def test_pictures_show_the_truth_and_who_was_missed():
  def colors(case):
    data = report_pictures.case_picture(case, reports.evaluation().skeleton)
    pixels = np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).reshape(-1, 3)
    return {
      name: int((np.abs(pixels - np.array(color)).max(1) < 6).sum())
      for name, color in {'right': (244, 122, 32), 'truth': (158, 158, 158),
                          'missed': (176, 0, 32)}.items()
    }

  found, missed = colors(reports.case(5.0)), colors(reports.case(5.0, (-1,)))
  assert found['right'] > missed['right'] > 0  # 2D alone of the one who was missed
  assert found['missed'] == 0 < missed['missed']
  assert missed['truth'] > found['truth'] > 0  # a truth that nothing is drawn over


@pytest.mark.parametrize(('larger', 'expected'), [(True, 30), (False, 40)])
def test_the_kept_step_is_the_last_best(larger, expected):
  rows = tuple(
    {'step': step, 'validation/v': value}
    for step, value in ((10, float('nan')), (20, 5.0), (30, 5.0), (40, 1.0))
  )
  assert report_run._best(rows, Selection('v', larger)) == expected
  assert report_run._best(rows, None) is None
  assert report_run._best(rows[:1], Selection('v', larger)) is None


def test_phases_follow_each_other():
  source = Source(1, None, None)
  stage = Stage(
    init=None, sources={'s': source}, losses={'l': Loss('s', ('n',), None, None)},
    phases=(Phase('one', 3, ('s',), ('l',)), Phase('two', 4, ('s',), ('l',))),
  )
  assert report_run._phases(stage) == (('one', 0, 3), ('two', 3, 7))


def test_a_stage_that_cannot_be_built_here_has_no_phases(tmp_path):
  def gone(config, products):
    raise FileNotFoundError('captured')

  (tmp_path / 'metrics.jsonl').write_text('{"step": 1, "loss/l": 2.0}\n')
  record = report_run._record(StagePlan('fit', fields=(), build=gone), None, {}, tmp_path)
  assert record.rows == ({'step': 1, 'loss/l': 2.0},)
  assert record.phases == () and record.best is None and math.isnan(record.seconds)
