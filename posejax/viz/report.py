"""The report of a finished run: `metrics.json` and a page that needs no network.

  publish   evaluates, writes both, gives the Evaluation: what training does at its end and
            `python -m posejax.evaluate` does for a run that is there.

The page knows no method: it shows an Evaluation and what the stages' folders hold.
"""

import json
import math
import pathlib
import time
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np

from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import Case, Evaluation, Method, Product
from posejax.training import config as config_lib
from posejax.training import stages
from posejax.training.checkpoints import write_atomically
from posejax.training.finished import written_split
from posejax.viz import (
  report_curves,
  report_page,
  report_pictures,
  report_run,
  report_scenes,
)
from posejax.viz.report_page import escape, number

# Of each kind: best, middling, worst.
GALLERY = 4
_SCALE = 0.78  # CSS px by px of a case's picture


def file_names(
  method: Method, config: ml_collections.ConfigDict, split: str
) -> tuple[str, str]:
  """Of metrics and page: plain names for the test set, others carry the split; and the switches
  that decide nothing trained, where on, so that one run's evaluations stand side by side."""
  given = dict(config_lib.leaves(config))
  on = [name.rpartition('.')[2] for name in method.free if given[name] is True]
  suffix = ''.join(f'_{word}' for word in (*(() if split == method.splits[-1] else (split,)), *on))
  return f'metrics{suffix}.json', f'index{suffix}.html'


def publish(
  method: Method, config: ml_collections.ConfigDict, products: dict[str, Product],
  workdir: pathlib.Path, cache: pathlib.Path | None, split: str, command: str,
) -> Evaluation:
  """Evaluates a finished run and writes what came out into its workdir.

  Args:
    method: that was trained.
    config: of the run.
    products: of its stages.
    workdir: of the run.
    cache: where the stages live; `<workdir>/stages` where None.
    split: one of `method.splits`.
    command: that repeats the run.

  Returns:
    The evaluation.

  Raises:
    WorkdirError: the file to write holds the metrics of another split.
  """
  metrics_file, page_file = (
    workdir / name for name in file_names(method, config, split)
  )
  other = written_split(metrics_file)
  if other not in (None, split):
    raise stages.WorkdirError(f'{metrics_file}: holds metrics of split {other}; move it away')
  start = time.perf_counter()
  evaluation = method.evaluate(config, products, split)
  seconds = time.perf_counter() - start
  run = report_run.gather(method, config, products, workdir, cache, command, seconds)
  write_atomically(metrics_file, json.dumps(content(evaluation, run), indent=1) + '\n')
  write_atomically(page_file, page(evaluation, run, metrics_file.name))
  return evaluation


def show(evaluation: Evaluation) -> None:
  """Prints every metric."""
  for name, metric in evaluation.metrics.items():
    value = f'{metric.value:8.1f}' if math.isfinite(metric.value) else f'{"–":>8}'
    interval = f'  [{metric.low:.1f}, {metric.high:.1f}]' if math.isfinite(metric.low) else ''
    print(f'{name:52s} {value} {metric.unit}{interval}')


def content(evaluation: Evaluation, run: report_run.Run) -> dict[str, object]:
  """What `metrics.json` holds. JSON has no nan: what could not be measured is null."""
  def plain(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None

  metrics = evaluation.metrics
  return {
    'method': run.method, 'split': evaluation.split,
    'metrics': {name: plain(metric.value) for name, metric in metrics.items()},
    'intervals_95': {
      name: [plain(metric.low), plain(metric.high)] for name, metric in metrics.items()
      if math.isfinite(metric.low)
    },
    'units': {name: metric.unit for name, metric in metrics.items()},
    'meanings': {name: metric.meaning for name, metric in metrics.items()},
    'protocol': list(evaluation.notes),
    'seeds': dict(run.seeds), 'command': run.command, 'machine': run.machine,
    'versions': run.versions,
    'wall_time_s': {
      **{stage.name: plain(round(stage.seconds, 1)) for stage in run.stages},
      'evaluation': round(run.evaluation_seconds, 1),
    },
    'config': dict(run.config),
  }


def page(evaluation: Evaluation, run: report_run.Run, metrics_name: str) -> str:
  """The HTML of a report.

  Args:
    evaluation: what to show.
    run: where it comes from.
    metrics_name: of the file with the same figures.
  """
  title = f'{run.method} on the {evaluation.split} set'
  return report_page.page(f'posejax: {title}', [
    f'<h1>{escape(title)}</h1>'
    f'<p class="quiet">posejax report of <code>{escape(run.workdir)}</code>; the same figures for '
    f'programs: <code>{escape(metrics_name)}</code></p>',
    _contents(evaluation),
    report_page.headline(evaluation),
    _run_section(run),
    '<h2 id="figures">Figures</h2>'
    '<p class="quiet">Small figures are 95 % intervals over pictures; “–” means that there was '
    'nothing to measure. Hold the pointer over a figure to read what it means.</p>',
    *(report_page.metric_table(table, evaluation.metrics) for table in evaluation.tables),
    _notes(evaluation),
    _gallery_section(evaluation) if evaluation.cases else '',
    _scenes_section(evaluation) if evaluation.scene_sets else '',
    _poses_section(evaluation) if evaluation.pose_sets else '',
    _curves_section(run),
    _all_section(evaluation, run),
  ])


def _contents(evaluation: Evaluation) -> str:
  """Links to the sections that there are."""
  sections = (
    ('run', 'The run', True), ('figures', 'Figures', True),
    ('gallery', 'Gallery', evaluation.cases), ('scenes', 'Scenes', evaluation.scene_sets),
    ('poses', 'Decoded poses', evaluation.pose_sets), ('curves', 'Curves', True),
    ('all', 'All metrics', True),
  )
  links = (f'<a href="#{name}">{title}</a>' for name, title, there in sections if there)
  return f'<nav>{"".join(links)}</nav>'


def gallery(cases: tuple[Case, ...], count: int = GALLERY) -> dict[str, list[Case]]:
  """Best, middling and worst cases by the error of the people found, none of them twice.

  Pictures in which nobody was found have no error: they show where there are no others.
  """
  ranked = sorted((case for case in cases if math.isfinite(case.error)), key=lambda c: c.error)
  if not ranked:
    return {'nobody found': list(cases[:count])}
  count = min(count, max(len(ranked) // 3, 1))
  middle = (len(ranked) - count) // 2
  chosen = {'best': ranked[:count]}
  if len(ranked) > 2 * count:
    chosen['middling'] = ranked[middle : middle + count]
  if len(ranked) > count:
    chosen['worst'] = ranked[-count:][::-1]
  return chosen


def _run_section(run: report_run.Run) -> str:
  seeds = ', '.join(f'{name} {value}' for name, value in run.seeds.items())
  rows = []
  for stage in run.stages:
    rates = [row['examples_per_second'] for row in stage.rows if 'examples_per_second' in row]
    memory = [row['peak_memory_mib'] for row in stage.rows if 'peak_memory_mib' in row]
    steps = number(stage.phases[-1].last, 0) if stage.phases else ''
    rows.append((
      escape(stage.name), _duration(stage.seconds), steps,
      number(np.median(rates)) if rates else '', number(max(memory), 0) if memory else '',
      f'{stage.best} <span class="interval">by {escape(stage.chosen_by)}</span>'
      if stage.best else '',
    ))
  total = _duration(sum(stage.seconds for stage in run.stages))
  head = ('stage', 'time', 'steps', 'examples/s (median)', 'process peak so far (MiB)', 'step kept')
  return (
    '<h2 id="run">The run</h2>'
    f'<pre>{escape(run.command)}</pre>'
    f'<p>Seeds: {escape(seeds)}. Evaluated on {escape(run.machine)}. {escape(run.versions)}.<br>'
    f'Stages {total} in all, evaluation {number(run.evaluation_seconds, 0)} s.</p>'
    + report_page.table(rows, head)
    + '<p class="quiet">A stage\'s time runs from its start, or from where it last went on, to its '
    'end. Stages may come from a cache and from another machine. The peak is the memory of the '
    'whole process up to then, not of the stage alone.</p>'
  )


def _duration(seconds: float) -> str:
  if not math.isfinite(seconds):
    return '–'
  return f'{seconds / 60:.1f} min' if seconds >= 90 else f'{seconds:.0f} s'


def _notes(evaluation: Evaluation) -> str:
  items = ''.join(f'<li>{escape(note)}</li>' for note in evaluation.notes)
  return f'<h3>How this was measured</h3><ul>{items}</ul>'


def _gallery_section(evaluation: Evaluation) -> str:
  # Photographs have no 3D truth: their errors are 2D.
  flat = any(case.truth_camera is None for case in evaluation.cases)
  parts = [
    '<h2 id="gallery">Gallery</h2><p>Pictures of the set, chosen by the mean error of the people '
    f'found in them ({"2D, of the side" if flat else "3D"}). Each row, from the left: the picture '
    'with its people numbered; the 2D poses of the teacher; those of the student, projected from '
    'its 3D; each person in 3D seen from the camera and from the side (the camera is to the left)'
    + ('' if flat else ', pelvis laid on the true pelvis, with the mean error of the joints')
    + '; and where the pelvises are, seen from above (▲ camera'
    + ('' if flat else ', ○ truth')
    + ', • student, × student without a match).</p>'
    '<p class="key quiet"><span style="background:#f47a20"></span>right side'
    '<span style="background:#308cff"></span>left side<span style="background:#404040"></span>'
    'middle' + ('' if flat else '<span style="background:#9e9e9e"></span>truth') + '</p>'
  ]
  for kind, cases in gallery(evaluation.cases).items():
    parts.append(f'<h3>{escape(kind.capitalize())}</h3>')
    for case in cases:
      found, people = int((case.match >= 0).sum()), len(case.match)
      caption = f'{found} of {people} {"person" if people == 1 else "people"} found' + (
        f'; mean error {number(case.error, 1 if flat else 0)} {"% of the side" if flat else "mm"}'
        if math.isfinite(case.error) else '')
      parts.append(report_page.picture(
        report_pictures.case_picture(case, evaluation.skeleton), caption, f'{kind}: {caption}',
        _SCALE,
      ))
  return ''.join(parts)


def _poses_section(evaluation: Evaluation) -> str:
  text = (
    '<h2 id="poses">Decoded poses</h2><p>What the pose prior makes of random codes, from the front '
    '(above) and from the right side (below). Codes from where it was trained should decode to '
    'poses that a body can take; codes from outside need not.</p>'
  )
  return text + _pictures(
    evaluation.pose_sets, report_pictures.pose_set_picture, evaluation.skeleton
  )


def _scenes_section(evaluation: Evaluation) -> str:
  """Scenes of methods that see no pictures."""
  text = (
    '<h2 id="scenes">Scenes</h2><p>Each row is a scene: the 2D poses that were given, then for '
    'each method the people in 3D from the front and from the right side (the camera is to the '
    'left), all in one similarity laid on the truth, which is grey.</p>'
  )
  return text + _pictures(
    evaluation.scene_sets, report_scenes.scene_set_picture, evaluation.skeleton
  )


def _pictures(chosen, draw: Callable[[Any, Skeleton], bytes], skeleton: Skeleton) -> str:
  """Sets with a title and a note, drawn one by one."""
  return ''.join(
    report_page.picture(
      draw(one, skeleton), f'<b>{escape(one.title)}</b>, {escape(one.note)}', one.title, _SCALE
    ) for one in chosen
  )


def _curves_section(run: report_run.Run) -> str:
  parts = [
    '<h2 id="curves">Curves</h2><p>Losses in blue (a log axis where they span much), validation in '
    'green, over the steps of each stage; grey and white are its phases, the dotted line is the '
    'step that was kept. TensorBoard shows the same and more: '
    '<code>tensorboard --logdir FOLDER</code> with the folder under each stage.</p>'
  ]
  for stage in run.stages:
    drawn = report_curves.curves_picture(stage.rows, stage.phases, stage.best)
    if drawn:
      parts.append(f'<h3>{escape(stage.name)}</h3>' + report_page.picture(
        drawn, f'<code>{escape(stage.folder / "tensorboard")}</code>', f'curves of {stage.name}'
      ))
  return ''.join(parts)


def _all_section(evaluation: Evaluation, run: report_run.Run) -> str:
  rows = [
    (f'<code>{escape(name)}</code>', escape(metric.meaning), report_page.figure_of(metric),
     escape(metric.unit))
    for name, metric in evaluation.metrics.items()
  ]
  fields = [(f'<code>{escape(name)}</code>', escape(value)) for name, value in run.config.items()]
  return (
    '<h2 id="all">All metrics</h2><details><summary>Every metric with its name and meaning'
    f'</summary>{report_page.table(rows, ("name", "meaning", "value", "unit"), 2)}</details>'
    '<details><summary>The whole config</summary>'
    f'{report_page.table(fields, ("field", "value"), 2)}</details>'
  )
