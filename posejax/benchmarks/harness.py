"""How rates are measured, and how they are shown.

A `Row` is one line of the table: our rate, beside NumPy's rates for the same work in the same run,
since machines differ and this one is shared. Rates of rows that are compared are taken in turns
(`measure`), so that a slow moment of the machine falls on both sides.

Topics (`geometry`, `heatmaps`, ...) are modules with `rows(quick) -> Iterator[Row]`; the NumPy
implementations stand beside them in `numpy_<topic>.py` and are checked for equal output first.
"""

import dataclasses
import json
import os
import pathlib
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import jax
import numpy as np

Thunk = Callable[[], object]
_SPINNING, _SHORT = 0.03, 0.1  # s: threads spin for less after a call; longer calls do not notice


@dataclasses.dataclass(frozen=True)
class Row:
  """One measured line.

  Attributes:
    name: what was done, with its sizes: `FK, J15, batch 4096`.
    unit: what is counted: `poses`.
    rate: ours, per second.
    loop: NumPy as people write it, one item after the other; None where there is none.
    vectorized: NumPy over the whole batch; None where there is none.
    torch: PyTorch on the same device; None where there is none.
    target: what the project asks of the row, as (what, wanted, reached) in words of `targets`.
    compile_s: time of the first call less one of the later ones.
    output_mib: size of what one call returns.
    peak_mib: memory the compiled call plans for (arguments, outputs, temporaries); None if unknown.
    processor_s: processor time of one item, of all threads; None if not measured. On a machine that
      is shared it says more than the rate.
    note: anything a reader must know, such as why a target is missed.
  """

  name: str
  unit: str
  rate: float
  loop: float | None = None
  vectorized: float | None = None
  torch: float | None = None
  target: str = ''
  reached: bool | None = None
  compile_s: float | None = None
  output_mib: float | None = None
  peak_mib: float | None = None
  processor_s: float | None = None
  note: str = ''


class Taken(NamedTuple):
  """What one call took.

  Attributes:
    seconds: by the clock.
    processor_s: processor time of all threads of the process. Threads that still wait in a loop
      when a call is over (PyTorch's do, for a moment) are counted to the next one.
  """

  seconds: float
  processor_s: float


def require_equal(ours: object, theirs: object, *, atol: float, rtol: float = 0.0) -> None:
  """Raises an AssertionError unless two pytrees of arrays agree: a rate of wrong work is none."""
  for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
    np.testing.assert_allclose(np.asarray(a), np.asarray(b), atol=atol, rtol=rtol)


def measure(
  thunks: dict[str, Thunk], *, seconds: float = 1.0, min_repeats: int = 3
) -> dict[str, float]:
  """`take` without processor times: name → median seconds of a call."""
  taken = take(thunks, seconds=seconds, min_repeats=min_repeats)
  return {name: one.seconds for name, one in taken.items()}


def take(
  thunks: dict[str, Thunk], *, seconds: float = 1.0, min_repeats: int = 3
) -> dict[str, Taken]:
  """Median times of one call of each thunk, measured in turns.

  Args:
    thunks: name → call without arguments; what it returns is waited for. Each has been called
      before, so that nothing is compiled here.
    seconds: how long each thunk is measured, together with the others' turns.
    min_repeats: rounds at the least.

  Returns:
    name → medians.
  """
  times: dict[str, list[Taken]] = {name: [] for name in thunks}
  start = time.perf_counter()
  rounds = 0
  while rounds < min_repeats or time.perf_counter() - start < seconds * len(thunks):
    for name, thunk in thunks.items():
      _settle(thunk, times[name][-1].seconds if times[name] else 0.0)
      begin = Taken(time.perf_counter(), time.process_time())
      jax.block_until_ready(thunk())
      end = Taken(time.perf_counter(), time.process_time())
      times[name].append(Taken(*(b - a for a, b in zip(begin, end, strict=True))))
    rounds += 1
  return {
    name: Taken(*map(statistics.median, zip(*values, strict=True)))
    for name, values in times.items()
  }


def _settle(thunk: Thunk, last: float) -> None:
  """Calls a short thunk for a while, untimed: threads of the one before may still spin for work.

  PyTorch's did for milliseconds, which made whatever was measured next up to 1.6 times as slow.
  """
  begin = time.perf_counter()
  while 0 < last < _SHORT and time.perf_counter() - begin < _SPINNING:
    jax.block_until_ready(thunk())


def compare(
  name: str,
  unit: str,
  count: int,
  function: Callable,
  args: tuple,
  *,
  loop: Thunk | None = None,
  loop_count: int | None = None,
  vectorized: Thunk | None = None,
  seconds: float = 1.0,
  targets: tuple[tuple[str, float], ...] = (),
  note: str = '',
) -> Row:
  """Measures a jitted function beside NumPy's versions of the same work.

  Args:
    name: the row's name.
    unit: what is counted.
    count: items in one call of `function` (and of `vectorized`).
    function: a `jax.jit`-ed function.
    args: its arguments, on the device.
    loop: the plain per-item NumPy loop.
    loop_count: items in one call of `loop`, if it does a part of the batch to save time.
    vectorized: NumPy over the whole batch.
    seconds: measuring time of each.
    targets: pairs ('rate' | 'loop' | 'vectorized', wanted): a rate per second, or how many times
      NumPy's.
    note: kept in the row.

  Returns:
    The row.
  """
  # A new function to jax: the caller's own has been compiled for the check of equality.
  fresh = jax.jit(lambda *args: function(*args))
  begin = time.perf_counter()
  compiled = fresh.lower(*args).compile()
  output = jax.block_until_ready(compiled(*args))
  compile_s = time.perf_counter() - begin
  sides = {'ours': lambda: compiled(*args), 'loop': loop, 'vectorized': vectorized}
  times = measure({key: thunk for key, thunk in sides.items() if thunk}, seconds=seconds)
  rate = count / times['ours']
  loop_rate = (loop_count or count) / times['loop'] if loop else None
  vectorized_rate = count / times['vectorized'] if vectorized else None
  words, reached = [], []
  for what, wanted in targets:
    base = {'rate': 1.0, 'loop': loop_rate, 'vectorized': vectorized_rate}[what]
    words.append(f'≥ {wanted:,.0f}/s' if what == 'rate' else f'≥ {wanted:g}× {what}')
    reached.append(rate / base >= wanted)
  return Row(
    name, unit, rate, loop_rate, vectorized_rate,
    target=', '.join(words),
    reached=all(reached) if reached else None,
    compile_s=compile_s - times['ours'],
    output_mib=sum(leaf.nbytes for leaf in jax.tree.leaves(output)) / 2**20,
    peak_mib=planned_mib(compiled),
    note=note,
  )


def planned_mib(compiled: jax.stages.Compiled) -> float | None:
  """MiB that XLA plans for one call: arguments, outputs, temporaries; None if it can't say."""
  analysis = compiled.memory_analysis()
  if analysis is None:
    return None
  return (
    analysis.argument_size_in_bytes + analysis.output_size_in_bytes
    + analysis.temp_size_in_bytes
  ) / 2**20


def machine() -> dict[str, str | int | float]:
  """What the rates were measured on: without it a rate says nothing."""
  return {
    'device': f'{jax.devices()[0].platform} ({jax.devices()[0].device_kind})',
    'devices': jax.device_count(),
    'cores': len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count(),
    'processor': _processor(),
    'python': platform.python_version(),
    'jax': jax.__version__,
    'numpy': np.__version__,
    'load_1min': round(os.getloadavg()[0], 2),
  }


def _processor() -> str:
  cpuinfo = pathlib.Path('/proc/cpuinfo')
  if cpuinfo.exists():
    for line in cpuinfo.read_text(errors='replace').splitlines():
      if line.startswith('model name'):
        return line.partition(':')[2].strip()
  return platform.processor() or platform.machine()


def peak_process_mib() -> float:
  """Largest resident size of this process so far."""
  return resident_mib(resource.getrusage(resource.RUSAGE_SELF))


def resident_mib(usage: resource.struct_rusage) -> float:
  """Largest resident size that the system tells of a process."""
  return usage.ru_maxrss / (2**20 if sys.platform == 'darwin' else 2**10)


_HEADER = (
  'what', 'rate /s', '× loop', '× vectorised', '× PyTorch', 'target', 'MiB/call', 'compile s',
  'CPU ms',
)


def _rate(rate: float) -> str:
  return f'{rate:,.0f}' if rate >= 100 else f'{rate:.3g}'


def _cells(row: Row) -> tuple[str, ...]:
  times = [f'{row.rate / base:.1f}' if base else '–' for base in (row.loop, row.vectorized)]
  times.append(f'{row.rate / row.torch:.2f}' if row.torch else '–')
  target = f'{row.target} {"✓" if row.reached else "missed"}' if row.target else ''
  number = lambda value, digits: '–' if value is None else f'{value:.{digits}f}'  # noqa: E731
  return (
    row.name, f'{_rate(row.rate)} {row.unit}', *times, target, number(row.peak_mib, 1),
    number(row.compile_s, 1),
    number(None if row.processor_s is None else 1000 * row.processor_s, 1),
  )


def print_markdown(rows: Iterable[Row]) -> Iterator[Row]:
  """Prints a Markdown table while the rows come in, and passes them on."""
  print('| ' + ' | '.join(_HEADER) + ' |')
  print('|' + '---|' * len(_HEADER))
  for row in rows:
    print('| ' + ' | '.join(_cells(row)) + ' |', flush=True)
    yield row


def write_json(path: pathlib.Path, rows: Iterable[Row]) -> None:
  """Writes machine, peak memory and rows."""
  content = {
    'machine': machine(),
    'peak_process_mib': peak_process_mib(),
    'rows': [dataclasses.asdict(row) for row in rows],
  }
  path.write_text(json.dumps(content, indent=2) + '\n')
