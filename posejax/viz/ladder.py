"""The ladder's results for readers: a Markdown table, and a sweep's table and curves.

A step's interval is the 95 % interval of a paired bootstrap over scenes, seeds pooled: it says
what another draw of scenes would change. What another seed of the student would change, over the
same teacher and prior, is the ± beside the mean.
"""

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib.figure
import numpy as np
from matplotlib.backends import backend_agg
from PIL import Image

from posejax.metrics import statistics
from posejax.training.ladder import Column, Grid, Ladder, Results, Rung, scene_sums

Entry = Mapping[str, Any]
_NONE = '–'
_COLORS = ('#0072b2', '#d55e00', '#009e73', '#cc79a7', '#56b4e9', '#e69f00')  # Okabe and Ito
_BESIDE = ('--', ':', '-.')


def table(ladder: Ladder, results: Results) -> str:
  """The whole table file: rungs, baselines, and how it was made."""
  compared = _published(ladder, ladder.columns)
  step_title = next(c.title for c in ladder.columns if c.metric == ladder.steps_of)
  header = [
    'rung', *(c.title for c in ladder.columns), f'step in {step_title} [95 %]',
    *(f'paper: {c.title}' for c in compared), 'seeds',
  ]
  rows = []
  for rung in ladder.rungs:
    entries = _of(results, rung)
    if entries:
      rows.append([
        rung.title, *(_mean_sd(entries, c.metric, c.digits) for c in ladder.columns),
        step(ladder, results, rung),
        *(_number(rung.published.get(c.metric), c.digits) for c in compared), str(len(entries)),
      ])
  for baseline in ladder.baselines if results.entries else ():
    cells = [
      _distinct(results, baseline)
      if column.metric == ladder.steps_of else _NONE for column in ladder.columns
    ]
    rows.append([f'*{baseline.title}*', *cells, *[_NONE] * (len(compared) + 2)])
  note = (
    f'{_spread_note(ladder, results)} Step: difference '
    'from the rung named, with the 95 % interval of a paired bootstrap over scenes, seeds pooled. '
    f'{ladder.note}'
  )
  parts = [_markdown(header, rows), note.strip()]
  if ladder.comparison:
    parts.append(comparison(ladder, results))
  parts += [grid(chosen, results) for chosen in ladder.grids]
  return '\n\n'.join((*parts, _origin(results)))


def grid(chosen: Grid, results: Results) -> str:
  """A rung's metrics, mean ± sd over seeds, in rows and columns of their own."""
  entries = [entry for entry in results.entries if entry['rung'] == chosen.rung]
  rows = [
    [title, *(_mean_sd(entries, metric, chosen.digits) for metric in metrics)]
    for title, metrics in chosen.rows
  ]
  return _markdown([chosen.title, *chosen.columns], rows)


def comparison(ladder: Ladder, results: Results) -> str:
  """The second table: `57.3 ± 0.4 (−1.3)` is a rung's metric, and what it has above the other's."""
  chosen = ladder.comparison
  compared = _published(ladder, chosen.columns)
  paper = [f'paper: {column.title}' for column in compared]
  rows = [[
    chosen.who, *(
      _range(results.entries, metric, column.digits)
      for column, metric in zip(chosen.columns, chosen.metrics, strict=True)
    ), *(_number(chosen.published.get(c.metric), c.digits) for c in compared), _NONE,
  ]]
  for rung in ladder.rungs:
    entries = _of(results, rung)
    if entries:
      rows.append([
        rung.title, *(
          _beside(entries, column, metric)
          for column, metric in zip(chosen.columns, chosen.metrics, strict=True)
        ), *(_number(rung.published.get(c.metric), c.digits) for c in compared), str(len(entries)),
      ])
  note = (
    f'In brackets: the rung less the {chosen.who} of the same entry. The {chosen.who}\'s row has '
    f'its least and its largest figure over the entries. {chosen.note}'
  )
  header = [chosen.title, *(column.title for column in chosen.columns), *paper, 'seeds']
  return f'{_markdown(header, rows)}\n\n{note}'


def _beside(entries: Sequence[Entry], column: Column, metric: str) -> str:
  """A rung's mean over seeds, and in brackets its mean difference from another metric."""
  pairs = [(entry['metrics'].get(column.metric), entry['metrics'].get(metric)) for entry in entries]
  apart = [ours - theirs for ours, theirs in pairs if None not in (ours, theirs)]
  shown = _mean_sd(entries, column.metric, column.digits)
  return f'{shown} ({np.mean(apart):+.{column.digits}f})' if apart else shown


def _range(entries: Sequence[Entry], metric: str, digits: int) -> str:
  """`57.1 to 58.9`, or one figure where all are alike."""
  found = [value for entry in entries if (value := entry['metrics'].get(metric)) is not None]
  ends = [_number(value, digits) for value in (min(found), max(found))] if found else [_NONE]
  return ' to '.join(dict.fromkeys(ends))


def _published(ladder: Ladder, columns: Sequence[Column]) -> list[Column]:
  """The columns for which the paper has figures."""
  return [c for c in columns if any(c.metric in rung.published for rung in ladder.rungs)]


def _spread_note(ladder: Ladder, results: Results) -> str:
  return (
    f'Mean ± sample standard deviation over seeds of `{ladder.seed_field}` alone (what is trained '
    f'before that is the same for every seed), on the {results.split} set.'
  )


def _distinct(results: Results, column: Column) -> str:
  """The values of a metric that does not depend on what was trained, each once: `33.3 / 36.0`."""
  values = [_number(entry['metrics'].get(column.metric), column.digits)
            for entry in results.entries]
  return ' / '.join(dict.fromkeys(values))


def step(ladder: Ladder, results: Results, rung: Rung) -> str:
  """A rung's step from the one below it, in words: `+4.3 [2.1, 6.2] on distl`.

  Over the seeds that both rungs have; '–' where there are none.
  """
  ours = {entry['seed']: entry for entry in _of(results, rung)}
  below = next((other for other in ladder.rungs if other.name == rung.against), None)
  theirs = {entry['seed']: entry for entry in _of(results, below)} if below else {}
  seeds = sorted(ours.keys() & theirs.keys())
  if not seeds:
    return _NONE
  first, second = (
    scene_sums([side[seed] for seed in seeds], ladder.steps_of) for side in (ours, theirs)
  )
  found = statistics.paired_ratios(first, second)
  mean, low, high = (ladder.step_scale * value for value in found)
  return f'{mean:+.1f} [{low:+.1f}, {high:+.1f}] on {below.name}'


def sweep_table(ladder: Ladder, results: Results, field: str) -> str:
  """The table of a sweep: a row per value, a column per curve."""
  values = sorted({entry['value'] for entry in results.entries})
  columns = curves(ladder, results)
  header = [field, *(f'{panel}: {name}' for panel, name in columns)]
  rows = [
    [f'{value:g}', *(
      _spread(dict(points).get(value, []), 1) for points in columns.values()
    )] for value in values
  ]
  return f'{_markdown(header, rows)}\n\n{_spread_note(ladder, results)}\n\n{_origin(results)}'


def curves(
  ladder: Ladder, results: Results
) -> dict[tuple[str, str], list[tuple[float, list[float]]]]:
  """(panel's title, legend) → points of a curve: value → the metric of each seed."""
  found = {}
  for panel in ladder.panels:
    for legend, metric in panel.beside.items():
      # No rung changes it: each seed's first entry will do.
      seen = {(entry['value'], entry['seed']): entry for entry in reversed(results.entries)}
      found[panel.title, legend] = _points(list(seen.values()), metric)
    for rung in ladder.rungs:
      entries = _of(results, rung)
      if entries:
        found[panel.title, rung.title] = _points(entries, panel.metric)
  return found


def sweep_picture(ladder: Ladder, results: Results, field: str) -> Image.Image:
  """The curves of a sweep, a plot per panel; bars are ± one standard deviation over seeds."""
  figure = matplotlib.figure.Figure((4.6 * len(ladder.panels), 4.4), dpi=150, layout='constrained')
  plots = figure.subplots(1, len(ladder.panels), squeeze=False)[0]
  lines = curves(ladder, results)
  for panel, axes in zip(ladder.panels, plots, strict=True):
    here = {name: points for (title, name), points in lines.items() if title == panel.title}
    rungs, others = 0, 0
    for name, points in here.items():
      beside = name in panel.beside
      spread = [statistics.mean_sd(np.array(seeds)) for _, seeds in points]
      axes.errorbar(
        [value for value, _ in points], [mean for mean, _ in spread],
        yerr=[0 if np.isnan(sd) else sd for _, sd in spread], label=name, capsize=3,
        color='0.35' if beside else _COLORS[rungs % len(_COLORS)],
        linestyle=_BESIDE[others % len(_BESIDE)] if beside else '-',
        marker='' if beside else 'o', markersize=4,
      )
      rungs, others = rungs + (not beside), others + beside
    axes.set(xlabel=field, ylabel=panel.title, xticks=sorted({e['value'] for e in results.entries}))
    axes.grid(color='0.9')
    axes.spines[['top', 'right']].set_visible(False)
    axes.legend(  # below: lines may lie anywhere in the plot
      fontsize=8, frameon=False, loc='upper center', bbox_to_anchor=(0.5, -0.17), handlelength=3.5,
    )
  buffer = io.BytesIO()
  backend_agg.FigureCanvasAgg(figure).print_png(buffer)
  return Image.open(buffer).convert('RGB')


def _of(results: Results, rung: Rung) -> list[Entry]:
  return [entry for entry in results.entries if entry['rung'] == rung.name]


def _points(entries: Sequence[Entry], metric: str) -> list[tuple[float, list[float]]]:
  """Values, sorted, each with the metric of its entries; what was not measured is left out."""
  points = {}
  for entry in entries:
    number = entry['metrics'].get(metric)
    if number is not None:
      points.setdefault(entry['value'], []).append(number)
  return sorted(points.items())


def _mean_sd(entries: Sequence[Entry], metric: str, digits: int) -> str:
  numbers = [entry['metrics'].get(metric) for entry in entries]
  return _spread([number for number in numbers if number is not None], digits)


def _spread(numbers: Sequence[float], digits: int) -> str:
  if not numbers:
    return _NONE
  mean, sd = statistics.mean_sd(np.array(numbers))
  return f'{mean:.{digits}f}' + ('' if np.isnan(sd) else f' ± {sd:.{digits}f}')


def _number(value: float | None, digits: int) -> str:
  return _NONE if value is None else f'{value:.{digits}f}'


def _markdown(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
  lines = [header, ['---'] * len(header), *rows]
  return '\n'.join(f'| {" | ".join(line)} |' for line in lines)


def _origin(results: Results) -> str:
  """Command, machine and time, as the results file holds them."""
  entries = results.entries
  minutes = sum(entry['seconds'] for entry in entries) / 60
  least = ' at least' if any(entry['resumed'] for entry in entries) else ''
  machines, commands = (
    list(dict.fromkeys(entry[key] for entry in entries)) for key in ('machine', 'command')
  )
  return '\n'.join((
    *(f'Command: `{command}`\n' for command in commands),
    f'{len(entries)} entries in{least} {minutes:.1f} min, on: {"; ".join(machines) or _NONE}.', '',
  ))
