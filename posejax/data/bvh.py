"""The BVH file format, read without trusting it.

Symbols: T frames, N nodes (joints and end sites, parents before children), C channels of a frame.
Lengths are in the file's own unit, angles in degrees, axes the file's own; `mocap` turns them into
millimetres and z-up, `bvh_kinematics` channels into positions.

The format (Biovision's; no standard exists) is a HIERARCHY of nodes, each with an OFFSET from its
parent and a list of CHANNELS, then a MOTION table with one line of C numbers for each frame.
Files come from anywhere, so every size is capped before memory is spent, no recursion follows the
hierarchy, and whatever does not fit the format is a `BvhError` with the file's name and the line.
"""

import os
import re
from typing import NamedTuple

import numpy as np

MAX_FILE_BYTES = 256 * 2**20
MAX_HIERARCHY_BYTES = 4 * 2**20
MAX_LINES = 4_000_000
MAX_NODES = 1024
MAX_DEPTH = 256
MAX_NAME_CHARS = 128
# T · N: an hour of 31 joints at 120 frames/s is 13.4 million; 2**24 positions take 400 MB.
MAX_NODE_FRAMES = 2**24
# Beyond any length or angle that means something, far below what could overflow in a product.
MAX_MAGNITUDE = 1e8
MIN_FRAME_TIME, MAX_FRAME_TIME = 1e-5, 100.0

_CHANNELS = {f'{axis}{kind}': f'{axis.upper()}{kind}' for axis in 'xyz'
             for kind in ('position', 'rotation')}
# No digits can go to either of two repeats: a long bad token would take quadratic time.
_NUMBER = re.compile(r'[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?', re.ASCII)
_MOTION = re.compile(r'^[ \t]*MOTION[ \t]*$', re.MULTILINE)
_FRAMES = re.compile(r'\s*Frames\s*:\s*(\d{1,9})\s*', re.ASCII | re.IGNORECASE)
_FRAME_TIME = re.compile(r'\s*Frame\s+Time\s*:\s*(\S{1,40})\s*', re.ASCII | re.IGNORECASE)


class BvhError(ValueError):
  """A file that is no sound BVH, or no person. One line: "walk.bvh:57: what is wrong".

  Attributes:
    source: the file's name.
    line: line of the fault, from 1, or None where no single line has it.
    reason: what is wrong.
  """

  def __init__(self, source: str, line: int | None, reason: str):
    super().__init__(source, line, reason)
    self.source, self.line, self.reason = source, line, reason

  def __str__(self) -> str:
    place = self.source if self.line is None else f'{self.source}:{self.line}'
    return f'{place}: {self.reason}'


class Bvh(NamedTuple):
  """A parsed file, in its own unit and axes.

  Attributes:
    names: N node names; an end site is called after its parent, `Head_end`.
    parents: N indices of parents, -1 for the root; a parent stands before its children.
    offsets: (N, 3) OFFSET of each node.
    channels: for each node its channel names in file order, such as `Zrotation`; () for end sites.
    frame_time: seconds from one frame to the next.
    motion: (T, C), C the sum of the channels of all nodes; positions and degrees.
  """

  names: tuple[str, ...]
  parents: tuple[int, ...]
  offsets: np.ndarray
  channels: tuple[tuple[str, ...], ...]
  frame_time: float
  motion: np.ndarray


def read_bvh(path: str | os.PathLike) -> Bvh:
  """Reads one BVH file.

  Args:
    path: a regular file.

  Returns:
    The parsed file, float64.

  Raises:
    BvhError: the file is too large, no BVH, or a malformed one.
    OSError: the file cannot be opened.
  """
  with open(path, 'rb') as file:
    # Read one byte past the cap: a device or a growing file has no honest size to ask for.
    data = file.read(MAX_FILE_BYTES + 1)
  return parse_bvh(data, os.fspath(path))


def parse_bvh(data: bytes, source: str = 'BVH') -> Bvh:
  """Parses the bytes of a BVH file.

  Args:
    data: the whole file.
    source: the file's name, for messages.

  Returns:
    The parsed file, float64.

  Raises:
    BvhError: too large, no BVH, or malformed; names `source` and the line.
  """
  text = _decode(data, source)
  found = _MOTION.search(text, 0, MAX_HIERARCHY_BYTES)
  if not found:
    if len(text) > MAX_HIERARCHY_BYTES:
      raise BvhError(source, None, f'no MOTION line in the first {MAX_HIERARCHY_BYTES} characters')
    raise BvhError(source, text.rstrip().count('\n') + 1, 'the file ends without a MOTION section')
  hierarchy = _Hierarchy(source)
  hierarchy.read(text[: found.start()])
  lines = text[found.end() :].split('\n')
  first_line = text.count('\n', 0, found.end()) + 1
  width = sum(map(len, hierarchy.channels))
  if not width:
    raise BvhError(source, first_line, 'no joint has a channel: there is no motion to read')
  frame_time, motion = _read_motion(lines, first_line, len(hierarchy.names), width, source)
  return Bvh(
    tuple(hierarchy.names), tuple(hierarchy.parents), np.array(hierarchy.offsets, np.float64),
    tuple(hierarchy.channels), frame_time, motion,
  )


def _decode(data: bytes, source: str) -> str:
  """Text with `\\n` line ends alone, within the caps."""
  if len(data) > MAX_FILE_BYTES:
    raise BvhError(source, None, f'larger than {MAX_FILE_BYTES} bytes')
  data = data.removeprefix(b'\xef\xbb\xbf').replace(b'\r\n', b'\n').replace(b'\r', b'\n')
  if data.count(b'\n') > MAX_LINES:
    raise BvhError(source, None, f'more than {MAX_LINES} lines')
  zero = data.find(b'\0')
  if zero >= 0:
    raise BvhError(source, data.count(b'\n', 0, zero) + 1, 'a NUL byte: this is no text file')
  try:
    return data.decode('utf-8')
  except UnicodeDecodeError as error:
    line = data.count(b'\n', 0, error.start) + 1
    raise BvhError(source, line, f'byte {data[error.start]:#04x} is not UTF-8') from None


def _show(token: str) -> str:
  """A token as part of a one-line message."""
  return ascii(token if len(token) <= 40 else token[:40] + '...')


class _Hierarchy:
  """Reads the HIERARCHY section token by token, with an explicit stack."""

  def __init__(self, source: str):
    self.source = source
    self.names: list[str] = []
    self.parents: list[int] = []
    self.offsets: list[list[float] | None] = []
    self.channels: list[tuple[str, ...] | None] = []
    self._used: set[str] = set()
    self._ends: set[int] = set()
    self._stack: list[int] = []
    self._line = 1

  def fail(self, reason: str) -> BvhError:
    return BvhError(self.source, self._line, reason)

  def read(self, text: str) -> None:
    """Fills the lists from the text before MOTION."""
    self._tokens = (
      (number, token)
      for number, line in enumerate(text.split('\n'), 1)
      for token in line.replace('{', ' { ').replace('}', ' } ').split()
    )
    self._expect('HIERARCHY')
    self._expect('ROOT')
    self._open(self._name())
    while self._stack:
      self._statement(self._next('}'))
    for line, token in self._tokens:
      what = 'a second ROOT' if token == 'ROOT' else _show(token)
      raise BvhError(
        self.source, line, f'{what} after the end of the hierarchy; expected MOTION'
      )

  def _next(self, wanted: str) -> str:
    self._line, token = next(self._tokens, (self._line, ''))
    if not token:
      raise self.fail(f'the hierarchy ends where {wanted} was expected')
    return token

  def _expect(self, wanted: str) -> None:
    token = self._next(wanted)
    if token != wanted:
      raise self.fail(f'expected {wanted}, got {_show(token)}')

  def _name(self) -> str:
    """The words up to the opening brace: some exporters write names with blanks."""
    words: list[str] = []
    while (token := self._next('{')) != '{':
      words.append(token)
      if len(words) > 8 or sum(map(len, words)) > MAX_NAME_CHARS:
        raise self.fail(f'no brace after the name {_show(" ".join(words))}')
    name = ' '.join(words)
    if not name:
      raise self.fail('a joint without a name')
    if name in self._used:
      raise self.fail(f'two joints are called {_show(name)}')
    return name

  def _number(self) -> float:
    token = self._next('a number')
    value = _to_float(token)
    if value is None:
      raise self.fail(f'expected a number, got {_show(token)}')
    return value

  def _open(self, name: str) -> None:
    if len(self.names) >= MAX_NODES:
      raise self.fail(f'more than {MAX_NODES} joints')
    if len(self._stack) >= MAX_DEPTH:
      raise self.fail(f'joints nested more than {MAX_DEPTH} deep')
    if self._stack and self.offsets[self._stack[-1]] is None:
      raise self.fail(f'joint {_show(self.names[self._stack[-1]])} has no OFFSET before its child')
    self._used.add(name)
    self.names.append(name)
    self.parents.append(self._stack[-1] if self._stack else -1)
    self.offsets.append(None)
    self.channels.append(None)
    self._stack.append(len(self.names) - 1)

  def _open_end_site(self) -> None:
    self._expect('Site')
    self._expect('{')
    stem = self.names[self._stack[-1]] + '_end'
    free = (name for i in range(MAX_NODES + 2)
            if (name := stem if i == 0 else f'{stem}{i + 1}') not in self._used)
    self._open(next(free))
    self._ends.add(self._stack[-1])
    self.channels[-1] = ()

  def _statement(self, token: str) -> None:
    node = self._stack[-1]
    is_end = node in self._ends
    name = _show(self.names[node])
    if token == 'OFFSET':
      if self.offsets[node] is not None:
        raise self.fail(f'a second OFFSET in {name}')
      self.offsets[node] = [self._number() for _ in range(3)]
    elif token == '}':
      if self.offsets[node] is None:
        raise self.fail(f'{name} has no OFFSET')
      if self.channels[node] is None:
        raise self.fail(f'joint {name} has no CHANNELS')
      self._stack.pop()
    elif token == 'CHANNELS' and not is_end:
      if self.channels[node] is not None:
        raise self.fail(f'a second CHANNELS in {name}')
      self.channels[node] = self._channels(name)
    elif token == 'JOINT' and not is_end:
      self._open(self._name())
    elif token == 'End' and not is_end:
      self._open_end_site()
    else:
      raise self.fail(f'{_show(token)} has no place in {name}')

  def _channels(self, name: str) -> tuple[str, ...]:
    count = self._next('a channel count')
    if count not in tuple('0123456'):
      raise self.fail(f'CHANNELS of {name} must be 0 to 6, got {_show(count)}')
    channels = []
    for _ in range(int(count)):
      token = self._next('a channel')
      channel = _CHANNELS.get(token.lower())
      if channel is None:
        raise self.fail(f'{_show(token)} in {name} is no channel (Xposition ... Zrotation)')
      if channel in channels:
        raise self.fail(f'channel {channel} stands twice in {name}')
      channels.append(channel)
    return tuple(channels)


def _to_float(token: str) -> float | None:
  """The number that `token` writes, or None: no NaN, no infinity, no Python extras such as 1_0."""
  if not _NUMBER.fullmatch(token):
    return None
  value = float(token)
  return value if abs(value) <= MAX_MAGNITUDE else None


def _read_motion(
  lines: list[str], first_line: int, nodes: int, width: int, source: str
) -> tuple[float, np.ndarray]:
  """Frame time and (T, C) table from the lines at and after the one that says MOTION."""
  rows = [(number, line) for number, line in enumerate(lines, first_line) if line.strip()]
  last_line = rows[-1][0] if rows else first_line
  if len(rows) < 2:
    raise BvhError(source, last_line, 'the file ends before "Frames:" and "Frame Time:"')
  (frames_line, frames_text), (time_line, time_text), *table = rows
  frames_match, time_match = _FRAMES.fullmatch(frames_text), _FRAME_TIME.fullmatch(time_text)
  if not frames_match:
    raise BvhError(source, frames_line, f'expected "Frames: <count>", got {_show(frames_text)}')
  if not time_match:
    raise BvhError(source, time_line, f'expected "Frame Time: <seconds>", got {_show(time_text)}')
  frames, frame_time = int(frames_match[1]), _to_float(time_match[1])
  if not frames:
    raise BvhError(source, frames_line, 'a motion of 0 frames')
  if frames * nodes > MAX_NODE_FRAMES:
    raise BvhError(
      source, frames_line, f'{frames} frames of {nodes} joints are more than {MAX_NODE_FRAMES}'
    )
  if frame_time is None or not MIN_FRAME_TIME <= frame_time <= MAX_FRAME_TIME:
    raise BvhError(
      source, time_line,
      f'Frame Time must be {MIN_FRAME_TIME} to {MAX_FRAME_TIME} s, got {_show(time_match[1])}',
    )
  if len(table) < frames:
    raise BvhError(source, last_line, f'"Frames: {frames}", but the file ends after {len(table)}')
  if len(table) > frames:
    raise BvhError(source, table[frames][0], f'"Frames: {frames}", but here is one more line')
  return frame_time, _read_table(table, width, source)


def _read_table(table: list[tuple[int, str]], width: int, source: str) -> np.ndarray:
  """(T, C) numbers, read by NumPy; only a bad table is gone through again for its bad line."""
  try:
    motion = np.loadtxt([line for _, line in table], np.float64, comments=None, ndmin=2)
  except ValueError:
    motion = None
  # NaN fails the comparison too.
  if motion is not None and motion.shape == (len(table), width) and np.all(
    np.abs(motion) <= MAX_MAGNITUDE
  ):
    return motion
  for number, line in table:
    values = line.split()
    if len(values) != width:
      raise BvhError(source, number, f'{len(values)} numbers where the hierarchy has {width}')
    for column, value in enumerate(values, 1):
      if _to_float(value) is None:
        raise BvhError(
          source, number, f'column {column}: expected a finite number, got {_show(value)}'
        )
  raise BvhError(source, table[0][0], 'the motion table cannot be read')
