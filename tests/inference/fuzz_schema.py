"""A thousand damaged results: `python -m tests.inference.fuzz_schema [--count=1000]`.

Each must give a scene or a one-line SchemaError, within 10 s of CPU time and 1 GB above the idle
process (the kernel's limit on its data). A summary is printed; the exit code is 1 if anything else
happened.
"""

import argparse
import functools
import random
import re
import sys

from posejax.inference import schema
from tests import fuzzing
from tests.inference import scenes


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


def attempt(data: bytes) -> str:
  """'read' or 'refused'; an AssertionError where the refusal is no line that names the file."""
  try:
    schema.parse(data, 'bad.json')
    return 'read'
  except schema.SchemaError as error:
    assert '\n' not in str(error) and str(error).startswith('bad.json: '), repr(error)
    return 'refused'


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--count', type=int, default=1000)
  count, data = parser.parse_args().count, sound()
  assert attempt(data) == 'read'
  # The file itself is in memory before it is read here; its own bytes do not count.
  return fuzzing.survey(
    (('result', functools.partial(attempt, mutate(data, seed))) for seed in range(count)),
    spare=schema.MAX_FILE_BYTES,
  )


if __name__ == '__main__':
  sys.exit(main())
