"""A thousand damaged photographs: `python -m tests.data.fuzz_images [--count=1000]`.

Each is read in a process that is watched: it may take `SECONDS` a file and 1 GB more memory than
when idle (the kernel's limit on its data as well as its own measure), and must give a picture or
a one-line ImageError. A summary is printed; the exit code is 1 if anything else happened.
"""

import argparse
import collections
import functools
import io
import multiprocessing
import random
import re
import resource
import struct
import sys
import zlib

import numpy as np
from PIL import Image

from posejax.data import images
from tests import fuzzing

KINDS = ('JPEG', 'progressive', 'PNG', 'WEBP', 'GIF', 'BMP')
SECONDS = 10.0


@functools.cache
def sound(kind: str) -> bytes:
  """A sound file with everything in it that can break: EXIF, a palette, several frames."""
  rng = np.random.default_rng(0)
  smooth = rng.integers(0, 256, (6, 8, 3)).astype(np.uint8)
  picture = Image.fromarray(smooth).resize((96, 72), Image.Resampling.BICUBIC)
  exif = Image.Exif()
  exif[0x112] = 6
  exif.get_ifd(0x8769)[0xA405] = 28
  buffer = io.BytesIO()
  if kind in ('JPEG', 'progressive'):
    picture.save(buffer, 'JPEG', exif=exif, progressive=kind == 'progressive')
  elif kind == 'PNG':
    picture.quantize(32).save(buffer, 'PNG', exif=exif, transparency=3)
  elif kind == 'BMP':
    picture.save(buffer, 'BMP')
  else:
    frames = [picture.rotate(90 * i) for i in range(3)]
    frames[0].save(buffer, kind, save_all=True, append_images=frames[1:])
  return buffer.getvalue()


def mutate(data: bytes, seed: int) -> bytes:
  """One of six kinds of damage; the same for the same seed."""
  rng = random.Random(seed)
  bad = bytearray(data)
  kind = rng.randrange(6)
  head = min(len(bad), 200)
  if kind == 0:  # bytes anywhere
    for _ in range(rng.choice([1, 3, 30])):
      bad[rng.randrange(len(bad))] = rng.randrange(256)
  elif kind == 1:  # bytes of the header, where sizes and offsets are
    for _ in range(rng.choice([1, 3, 10])):
      bad[rng.randrange(head)] = rng.choice([0, 1, 127, 128, 255, rng.randrange(256)])
  elif kind == 2:  # cut off
    del bad[rng.randrange(len(bad)) :]
  elif kind == 3:  # a piece twice, or a piece gone
    a, b = sorted(rng.randrange(len(bad)) for _ in range(2))
    bad[a:b] = bytes(bad[a:b]) * rng.choice([0, 2])
  elif kind == 4:  # a large number somewhere in the header
    at = rng.randrange(max(head - 4, 1))
    bad[at : at + 4] = struct.pack(rng.choice('<>') + 'I', rng.choice([2**31, 2**32 - 1, 40000]))
  else:  # rubbish behind a good start
    at = rng.randrange(len(bad))
    bad[at:] = rng.randbytes(rng.randrange(1, 2000))
  # Checksums stop nobody who means it: half of the PNGs get theirs made right again.
  return _mend_png(bytes(bad)) if rng.random() < 0.5 else bytes(bad)


def read_mutation(kind: str, seed: int) -> str:
  """'read' or 'refused'; anything else that happens is a fault."""
  data = mutate(sound(kind), seed)
  try:
    photograph = images.decode_image(data, 'bad.bin')
  except images.ImageError as error:
    if not re.fullmatch(r'bad\.bin: [^\n]+; [^\n]+', str(error)):
      raise AssertionError(f'not one line: {error!r}') from None
    return 'refused'
  shape, focal = photograph.pixels.shape, photograph.intrinsics.focal
  sane = len(shape) == 3 and shape[2] == 3 and photograph.pixels.dtype == np.uint8
  if not sane or not (np.isfinite(focal).all() and (focal > 0).all()):
    raise AssertionError(f'no picture: {shape} {focal}')
  return 'read'


def _mend_png(data: bytes) -> bytes:
  if not data.startswith(b'\x89PNG\r\n\x1a\n'):
    return data
  parts, at = [data[:8]], 8
  while at + 12 <= len(data):
    size = int.from_bytes(data[at : at + 4], 'big')
    if at + 12 + size > len(data):
      break
    body = data[at + 4 : at + 8 + size]
    parts.append(data[at : at + 4] + body + struct.pack('>I', zlib.crc32(body)))
    at += 12 + size
  return b''.join(parts) + data[at:]


def _work(pipe, jobs: list[tuple[str, int]]) -> None:
  for kind in KINDS:
    images.decode_image(sound(kind), 'warm')
  idle, limit = fuzzing.memory('VmRSS'), fuzzing.memory('VmData') + fuzzing.GIGABYTE
  resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
  pipe.send('ready')
  for kind, seed in jobs:
    try:
      outcome = read_mutation(kind, seed)
    except Exception as error:  # whatever it is, it is to be reported
      outcome = f'FAULT {type(error).__name__}: {str(error)[:200]}'
    pipe.send((outcome, max(0, fuzzing.memory('VmHWM') - idle)))


def run(jobs: list[tuple[str, int]]) -> tuple[collections.Counter, list[str], int]:
  """Reads the mutations in watched processes.

  Args:
    jobs: (kind, seed) of each.

  Returns:
    (how often each outcome for each kind, faults in words, most memory above idle in bytes).
  """
  counts, faults, most, at = collections.Counter(), [], 0, 0
  context = multiprocessing.get_context('spawn')
  while at < len(jobs):
    here, there = context.Pipe(duplex=False)
    worker = context.Process(target=_work, args=(there, jobs[at:]))
    worker.start()
    there.close()
    try:
      if not here.poll(120) or here.recv() != 'ready':
        raise RuntimeError('the worker did not start')
      while at < len(jobs):
        kind, seed = jobs[at]
        outcome, memory = 'FAULT hang', 0
        if here.poll(SECONDS):
          try:
            outcome, memory = here.recv()
          except EOFError:
            outcome = 'FAULT crash'
        at += 1
        most = max(most, memory)
        counts[kind, outcome.split(' ')[0]] += 1
        if outcome.startswith('FAULT'):
          faults.append(f'{kind} seed {seed}: {outcome}')
        if outcome in ('FAULT hang', 'FAULT crash'):
          break
    finally:
      worker.kill()
      worker.join()
  return counts, faults, most


def main() -> int:
  """Runs `--count` mutations and prints what came of them."""
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--count', type=int, default=1000)
  count = parser.parse_args().count
  jobs = [(KINDS[i % len(KINDS)], i) for i in range(count)]
  counts, faults, most = run(jobs)
  for kind in KINDS:
    row = {name: n for (of, name), n in sorted(counts.items()) if of == kind}
    print(f'{kind:12s}', '  '.join(f'{name} {n}' for name, n in row.items()))
  print(f'{count} mutations, {len(faults)} faults, {most / 2**20:.0f} MiB above idle at most')
  print('\n'.join(faults))
  return 1 if faults or most > fuzzing.GIGABYTE else 0


if __name__ == '__main__':
  sys.exit(main())
