"""Measures rates beside NumPy and PyTorch: `python -m posejax.benchmark geometry crossmodal`.

Prints a Markdown table; with `--json FILE` also writes the rows with the machine they were measured
on. `--quick` takes small batches and little time: it shows that everything runs, not how fast.
"""

import argparse
import pathlib
import sys

from posejax.benchmarks import (
  crossmodal,
  geometry,
  harness,
  heatmaps,
  infer,
  lifting,
  mobilenet_pose,
  synth,
)
from posejax.training import machine

TOPICS = {
  'geometry': geometry.rows, 'heatmaps': heatmaps.rows, 'synth': synth.rows,
  'crossmodal': crossmodal.rows, 'dm14': mobilenet_pose.rows, 'lifting': lifting.rows,
  'infer': infer.rows,
}


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m posejax.benchmark', description=__doc__.partition('\n')[0]
  )
  # No `choices`: argparse would refuse the empty list that stands for every topic.
  parser.add_argument('topics', nargs='*', metavar='topic', help=f'of {", ".join(TOPICS)} (all)')
  parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='also write the rows here')
  parser.add_argument('--quick', action='store_true', help='small and short: a check, no figures')
  options = parser.parse_args(arguments)
  unknown = [topic for topic in options.topics if topic not in TOPICS]
  if unknown:
    parser.error(f'unknown topic {", ".join(unknown)}; known: {", ".join(TOPICS)}')
  if options.json and not options.json.parent.is_dir():
    parser.error(f'--json: there is no folder {options.json.parent}; make it first')
  return options


def main(arguments: list[str] | None = None) -> int:
  options = parse_arguments(arguments)
  rows = []
  print(', '.join(f'{key} {value}' for key, value in harness.machine().items()), end='\n\n')
  for topic in options.topics or TOPICS:
    print(f'## {topic}')
    rows.extend(harness.print_markdown(TOPICS[topic](options.quick)))
    print()
  for row in rows:
    if row.note:
      print(f'- {row.name}: {row.note}')
  print(f'\nlargest resident size of the process: {harness.peak_process_mib():.0f} MiB')
  if options.json:
    harness.write_json(options.json, rows)
  return 0


if __name__ == '__main__':
  machine.prepare(None)  # the compiler that trainings and inference run with
  sys.exit(main())
