"""What the scripts share that damage files by the thousand: limits, and a summary of it all."""

import collections
import pathlib
import re
import resource
import signal
from collections.abc import Callable, Iterable

GIGABYTE = 2**30
_SECONDS = 10


def memory(field: str) -> int:
  """Bytes of a field of this process's status, such as VmHWM, the most that it ever held."""
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(rf'{field}:\s+(\d+) kB', status)[1]) * 1024


def survey(cases: Iterable[tuple[str, Callable[[], str]]], spare: int = 0) -> int:
  """Runs each case within 10 s of processor time and 1 GB above now; prints a summary.

  Args:
    cases: label, and what gives an outcome in a word; whatever it raises is a fault.
    spare: bytes beside the gigabyte that the process itself needs.

  Returns:
    The exit code: 1 where there is a fault.
  """
  idle, limit = memory('VmRSS'), memory('VmData') + GIGABYTE + spare
  # The kernel's limit on the process's data.
  resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
  signal.signal(signal.SIGPROF, _late)
  outcomes, faults = collections.Counter(), []
  for number, (label, case) in enumerate(cases):
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
      outcomes[label, case()] += 1
    except Exception as error:  # whatever it is, it is to be reported
      faults.append(f'seed {number}, {label}: {type(error).__name__}: {str(error)[:200]}')
    signal.setitimer(signal.ITIMER_PROF, 0)
  for (label, outcome), count in sorted(outcomes.items()):
    print(f'{count:5d} {label:14s} {outcome}')
  most = (memory('VmHWM') - idle) / 2**20
  print(f'{len(faults)} faults, at most {most:.0f} MiB above idle')
  print('\n'.join(faults[:20]))
  return 1 if faults else 0


def _late(*unused) -> None:
  raise TimeoutError(f'more than {_SECONDS} s')
