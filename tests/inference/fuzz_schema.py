"""A thousand damaged results: `python -m tests.inference.fuzz_schema [--count=1000]`.

Each must give a scene or a one-line SchemaError, within 10 s of CPU time and 1 GB above the idle
process (the kernel's limit on its data). A summary is printed; the exit code is 1 if anything else
happened.
"""

import argparse
import collections
import pathlib
import random
import re
import resource
import signal
import sys

from posejax.inference import schema
from tests.inference import scenes

GIGABYTE = 2**30


def sound() -> bytes:
  """A result with several frames and people."""
  return schema.dumps(scenes.scene([
    [scenes.row(t, (100 * p, 0, 3000), identity=p) for p in range(t % 3 + 1)] for t in range(6)
  ])).encode()


def mutate(data: bytes, seed: int) -> bytes:
  """One of six kinds of damage; the same for the same seed."""
  rng = random.Random(seed)
  bad, kind = bytearray(data), seed % 6
  at = rng.randrange(len(bad))
  if kind == 0:
    for _ in range(rng.choice([1, 3, 30])):
      bad[rng.randrange(len(bad))] = rng.randrange(256)
  elif kind == 1:
    del bad[at:]
  elif kind == 2:  # a piece twice, or gone
    a, b = sorted((at, rng.randrange(len(bad))))
    bad[a:b] = bytes(bad[a:b]) * rng.choice([0, 2])
  elif kind == 3:  # another token in the place of a number
    numbers = list(re.finditer(rb'-?\d+(\.\d+)?', data))
    found = rng.choice(numbers)
    token = rng.choice([b'1e999', b'-0', b'null', b'"1"', b'true', b'[]', b'{}', b'9' * 5000,
                        b'NaN', b'-Infinity', b'1e308', b'0.1e-400'])
    bad[found.start() : found.end()] = token
  elif kind == 4:  # depth
    piece = rng.choice([b'[', b'{"a":', b'[[', b'{"frames":['])
    bad[at:at] = piece * rng.choice([10, 1000, 200_000])
  else:  # far too much of something
    piece = rng.choice([b'[],', b'{},', b'0,', b'"",', b'1.5,', b'[0],', b'"a":{},', b' '])
    size = rng.choice([10_000, 2_000_000, schema.MAX_FILE_BYTES // len(piece)])
    place = data.find(b'"people": [') + len(b'"people": [')
    bad[place:place] = piece * size
  return bytes(bad)


def _memory(field: str) -> int:
  status = pathlib.Path('/proc/self/status').read_text()
  return int(re.search(rf'{field}:\s+(\d+) kB', status)[1]) * 1024


def _late(*unused) -> None:
  raise TimeoutError('more than 10 s')


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--count', type=int, default=1000)
  count = parser.parse_args().count
  data = sound()
  schema.parse(data)
  idle, limit = _memory('VmRSS'), _memory('VmData') + GIGABYTE + schema.MAX_FILE_BYTES
  # The file itself is in memory before it is read here; its own bytes do not count.
  resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
  signal.signal(signal.SIGPROF, _late)
  outcomes, faults = collections.Counter(), []
  for seed in range(count):
    bad = mutate(data, seed)
    signal.setitimer(signal.ITIMER_PROF, 10)
    try:
      schema.parse(bad, 'bad.json')
      outcomes['read'] += 1
    except schema.SchemaError as error:
      outcomes['refused'] += 1
      if '\n' in str(error) or not str(error).startswith('bad.json: '):
        faults.append(f'seed {seed}: not one line: {error!r}')
    except Exception as error:  # whatever it is, it is to be reported
      faults.append(f'seed {seed}: {type(error).__name__}: {str(error)[:200]}')
    signal.setitimer(signal.ITIMER_PROF, 0)
  most = (_memory('VmHWM') - idle) / 2**20
  print(f'{count} files: {dict(outcomes)}, {len(faults)} faults, {most:.0f} MiB above idle')
  print('\n'.join(faults[:20]))
  return 1 if faults else 0


if __name__ == '__main__':
  sys.exit(main())
