"""Pieces of the report's HTML: page, headline, tables, pictures. Text is escaped here."""

import base64
import html
import math
from collections.abc import Iterable, Mapping, Sequence

from posejax.methods.base import Evaluation, Metric, Table

# A page that may load nothing: whatever a name held, the browser asks nobody for anything.
_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
_STYLE = '''
:root { color-scheme: light; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
  color: #222; background: #fff; max-width: 1240px; margin: 0 auto; padding: 20px 28px 60px; }
h1 { font-size: 26px; margin: 0 0 2px; } h2 { font-size: 20px; margin: 40px 0 6px;
  border-bottom: 1px solid #ddd; padding-bottom: 4px; } h3 { font-size: 15px; margin: 22px 0 4px; }
p { margin: 4px 0 10px; max-width: 880px; } .quiet { color: #666; font-size: 13.5px; }
code, pre { font: 13px ui-monospace, "DejaVu Sans Mono", monospace; background: #f4f4f2;
  border-radius: 4px; padding: 1px 4px; } pre { padding: 8px 10px; overflow-x: auto; }
table { border-collapse: collapse; margin: 6px 0 4px; font-size: 14px; }
th, td { padding: 4px 12px; border-bottom: 1px solid #e6e6e6; text-align: right;
  font-variant-numeric: tabular-nums; vertical-align: top; }
th { font-weight: 600; color: #444; } th:first-child, td.text, th.text { text-align: left; }
td .interval { color: #777; font-size: 12px; white-space: nowrap; display: block; }
.wide { overflow-x: auto; } img { max-width: 100%; height: auto; display: block; }
figure { margin: 10px 0 16px; } figcaption { font-size: 13.5px; color: #444; }
.headline { display: flex; flex-wrap: wrap; gap: 12px 44px; align-items: center;
  background: #f7f7f4; border-radius: 10px; padding: 16px 22px; margin: 14px 0; }
.number { font-size: 44px; font-weight: 650; line-height: 1.1; }
.verdict { border-left: 4px solid #999; padding: 2px 12px; margin: 10px 0; }
.verdict.good { border-color: #1b7f4d; } .verdict.bad { border-color: #b00020; }
.key span { display: inline-block; width: 26px; height: 5px; border-radius: 3px;
  vertical-align: middle; margin: 0 6px 2px 14px; }
details { margin: 8px 0; } summary { cursor: pointer; }
nav a { margin-right: 16px; color: #24569b; text-decoration: none; }
'''


def page(title: str, parts: Iterable[str]) -> str:
  """A whole document; `parts` are HTML already."""
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<title>{escape(title)}</title><style>{_STYLE}</style></head><body>\n'
    + '\n'.join(parts) + '\n</body></html>\n'
  )


def escape(text: object) -> str:
  return html.escape(str(text))


def number(value: float, digits: int = 1) -> str:
  """A figure for readers: '–' where nothing was measured, no digits behind counts."""
  return f'{value:.{digits}f}'.replace('-', '−') if math.isfinite(value) else '–'


def figure_of(metric: Metric) -> str:
  """Value with its interval, as HTML."""
  text = number(metric.value, 0 if metric.unit == 'people' else 1)
  if math.isfinite(metric.low) and math.isfinite(metric.value):
    text += f'<span class="interval">{number(metric.low)} to {number(metric.high)}</span>'
  return text


def table(rows: Sequence[Sequence[str]], head: Sequence[str], text_columns: int = 1) -> str:
  """A table of HTML cells; the first columns are text."""
  def cell(tag: str, i: int, content: str) -> str:
    return f'<{tag} class="text">{content}</{tag}>' if i < text_columns else (
      f'<{tag}>{content}</{tag}>')

  lines = [f'<tr>{"".join(cell("th", i, escape(name)) for i, name in enumerate(head))}</tr>']
  lines += [
    f'<tr>{"".join(cell("td", i, content) for i, content in enumerate(row))}</tr>' for row in rows
  ]
  return f'<div class="wide"><table>{"".join(lines)}</table></div>'


def metric_table(chosen: Table, metrics: Mapping[str, Metric]) -> str:
  """A table of figures under its title; hovering over one shows what it means.

  Raises:
    KeyError: a cell names a metric that there is not.
  """
  def cell(name: str) -> str:
    if not name:
      return ''
    metric = metrics[name]
    return f'<span title="{escape(name)}: {escape(metric.meaning)}">{figure_of(metric)}</span>'

  rows = [
    (escape(label), *map(cell, cells))
    for label, cells in zip(chosen.rows, chosen.cells, strict=True)
  ]
  note = f'<p class="quiet">{escape(chosen.note)}</p>' if chosen.note else ''
  return f'<h3>{escape(chosen.title)}</h3>{note}{table(rows, ("", *chosen.columns))}'


def picture(png: bytes, caption: str = '', alt: str = '', scale: float = 1.0) -> str:
  """An embedded picture; `caption` is HTML already.

  Args:
    png: the file; its width in px stands in bytes 16 to 20.
    caption: below it.
    alt: for those who can't see it.
    scale: CSS px by px of the picture.
  """
  width = round(int.from_bytes(png[16:20], 'big') * scale)
  data = base64.b64encode(png).decode()
  note = f'<figcaption>{caption}</figcaption>' if caption else ''
  return (
    f'<figure><img width="{width}" alt="{escape(alt)}" src="data:image/png;base64,{data}">'
    f'{note}</figure>'
  )


def headline(evaluation: Evaluation) -> str:
  """The main figure with its interval, bars of it and of the baselines, and what that says."""
  main = evaluation.metrics[evaluation.headline]
  interval = (
    f'95 % interval {number(main.low)} to {number(main.high)}' if math.isfinite(main.low)
    else 'no interval'
  )
  baselines = ' '.join(
    f'<b>{escape(_short(name, evaluation))}:</b> {escape(evaluation.metrics[name].meaning)}'
    for name in evaluation.baselines
  )
  unit = f' {escape(main.unit)}' if math.isfinite(main.value) else ''
  return (
    '<div class="headline"><div>'
    f'<div class="number">{number(main.value)}{unit}</div>'
    f'<div><code>{escape(evaluation.headline)}</code></div>'
    f'<div class="quiet">{interval}</div></div>{_bars(evaluation)}</div>'
    f'<p>{escape(main.meaning)}</p>{verdict(evaluation)}<p class="quiet">Baselines. {baselines}</p>'
  )


def verdict(evaluation: Evaluation) -> str:
  """One sentence: is the headline clear of its baseline?"""
  lead = evaluation.metrics[evaluation.lead]
  # Of percentages more is better, and their differences are points; of errors less is.
  share = lead.unit == 'points'
  gap = f'{number(lead.value)} {lead.unit} [{number(lead.low)}, {number(lead.high)}]'
  if not math.isfinite(lead.value):
    kind, text = 'bad', 'Nothing was matched to an annotated person: there is nothing to compare.'
  elif lead.low > 0:
    better = 'Above' if share else 'Better than'
    kind, text = 'good', f'{better} its baseline on the same people by {gap}: clear of it.'
  elif lead.high < 0:
    worse = 'Below' if share else 'Worse than'
    kind, text = 'bad', f'{worse} its baseline on the same people: {gap}.'
  else:
    better = 'above' if share else 'better than'
    kind, text = 'bad', f'Not shown to be {better} its baseline on the same people: {gap}.'
  return f'<p class="verdict {kind}">{escape(text)} <span class="quiet">{escape(lead.meaning)}' \
         '</span></p>'


def _short(name: str, evaluation: Evaluation) -> str:
  """A baseline's name without the metric that it shares with the headline."""
  common = evaluation.headline.rpartition('_')[0]
  return name.removesuffix(f'_{common}').removeprefix('baseline_').replace('_', ' ')


def _bars(evaluation: Evaluation) -> str:
  """Horizontal bars, 0 to 100, as SVG: the headline in colour with its interval."""
  names = (evaluation.headline, *evaluation.baselines)
  left, width, step = 250, 360, 30
  lines = []
  for i, name in enumerate(names):
    metric, y = evaluation.metrics[name], 14 + i * step
    value = metric.value if math.isfinite(metric.value) else 0.0
    length = width * min(max(value, 0), 100) / 100
    color = '#2b66b5' if i == 0 else '#b9b9b4'
    label = name if i == 0 else _short(name, evaluation)
    lines.append(
      f'<text x="{left - 10}" y="{y + 5}" text-anchor="end">'
      f'{escape(label)}</text>'
      f'<rect x="{left}" y="{y - 9}" width="{length:.1f}" height="18" rx="3" fill="{color}"/>'
    )
    edge = length
    if math.isfinite(metric.low):
      low, high = (left + width * bound / 100 for bound in (metric.low, metric.high))
      edge = max(edge, high - left)
      lines.append(
        f'<path d="M{low:.1f} {y}H{high:.1f}M{low:.1f} {y - 5}V{y + 5}M{high:.1f} {y - 5}V{y + 5}"'
        ' stroke="#111" stroke-width="1.6" fill="none"/>'
      )
    lines.append(f'<text x="{left + edge + 8:.1f}" y="{y + 5}">{number(metric.value)}</text>')
  height = step * len(names) + 4
  return (
    f'<svg width="{left + width + 60}" height="{height}" font-size="13.5" fill="#222" '
    f'role="img" aria-label="headline and baselines">{"".join(lines)}</svg>'
  )
