"""Where scalars go: one JSON line a log step, TensorBoard event files, a progress bar.

`metrics.jsonl` is the record: a resumed run drops the lines after the step it resumes from, so that
each step stands in it once, as if the run had never been cut.
"""

import json
import math
import pathlib
import resource
import sys
import time
from collections.abc import Iterator

import tqdm
from tensorboardX import SummaryWriter

from posejax.training.checkpoints import write_atomically


class ScalarWriter:
  """Writes a stage's scalars.

  Args:
    folder: of the stage; `metrics.jsonl` and `tensorboard/` stand in it.
    resumed_at: step that the run goes on from; later lines are dropped.
  """

  def __init__(self, folder: pathlib.Path, resumed_at: int = 0):
    self._path = folder / 'metrics.jsonl'
    kept = [line for line in read_scalars(self._path) if line['step'] <= resumed_at]
    write_atomically(self._path, ''.join(json.dumps(line) + '\n' for line in kept))
    self._file = self._path.open('a')
    self._events = SummaryWriter(str(folder / 'tensorboard'), purge_step=resumed_at + 1)

  def write(self, step: int, scalars: dict[str, float]) -> None:
    """Adds the scalars of a step to both."""
    self._file.write(json.dumps({'step': step, **scalars}) + '\n')
    self._file.flush()
    for name, value in scalars.items():
      if math.isfinite(value):  # nan is a metric without data, and no point of a curve
        self._events.add_scalar(name, value, step)

  def close(self) -> None:
    self._file.close()
    self._events.close()


def read_scalars(path: pathlib.Path) -> Iterator[dict[str, float]]:
  """The lines of a `metrics.jsonl`; a last line cut off by a kill is left out."""
  if not path.exists():
    return
  for line in path.read_text().splitlines():
    try:
      yield json.loads(line)
    except ValueError:
      return


class Progress:
  """A bar with rate and time left on a terminal; a line now and then elsewhere.

  Args:
    label: shown before the bar.
    total: steps at the end.
    done: steps done before.
    unit: what is counted.
  """

  def __init__(self, label: str, total: int, done: int = 0, unit: str = 'step'):
    interactive = sys.stderr.isatty()
    self._bar = tqdm.tqdm(
      desc=label, total=total, initial=done, unit=unit, dynamic_ncols=interactive,
      # A log file gets one line in 30 s, not a line a step.
      mininterval=0.2 if interactive else 30, maxinterval=10 if interactive else 60, ascii=True,
    )

  def advance(self, count: int = 1, **values: float) -> None:
    """Counts steps; `values` are shown behind the bar."""
    if values:
      self._bar.set_postfix({k: f'{v:.4g}' for k, v in values.items()}, refresh=False)
    self._bar.update(count)

  def close(self) -> None:
    self._bar.close()


class Throughput:
  """Examples per second and memory, from log step to log step."""

  def __init__(self):
    self._start, self._examples = time.perf_counter(), 0

  def add(self, examples: int) -> None:
    self._examples += examples

  def scalars(self) -> dict[str, float]:
    """The rate since the last call, and the process's largest resident size so far."""
    now = time.perf_counter()
    rate = self._examples / max(now - self._start, 1e-9)
    self._start, self._examples = now, 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
      'examples_per_second': rate,
      'peak_memory_mib': peak / (2**20 if sys.platform == 'darwin' else 2**10),
    }
