"""Videos read without trusting them, one frame at a time (PyAV, the extra `video`).

Symbols: W x H px of a frame as it is looked at, after the rotation that the file states.

  with Video('walk.mp4', every=2) as video:
    for frame in video:        # frames are made as they are asked for; none is kept
      use(frame.pixels, frame.time)
    print(video.problems)      # complete at the end

The first frame is decoded when the video is opened, so a file that gives none is an `ImageError`
there. What is wrong later ends up in `problems`, one line each, and the frames before it count.
One thread decodes: what damaged streams give must not depend on which thread was first.

A file may name others that are to be opened in its place (playlists, references): only containers
of `_CONTAINERS` are read, and nothing but the file itself is ever opened.
"""

import itertools
import os
import pathlib
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from posejax.data import images
from posejax.data.images import ImageError
from posejax.geometry.camera import Intrinsics

SUFFIXES = ('.mp4', '.mov', '.m4v', '.mkv', '.webm', '.avi')
# A decoder keeps up to 16 frames of 1.5 bytes a pixel: below 0.4 GB.
MAX_PIXELS = 16_000_000
MAX_FRAMES = 1_000_000
_CONTAINERS = 'mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi'
_MAX_DAMAGED = 100  # packets; a stream with more of them gives nothing but time spent
_SHORTER = 0.9
_RATES = (0.1, 1000.0)
_SHRINK = 'convert it, such as with ffmpeg -i in -vf scale=1920:-2 out.mp4'


class VideoInfo(NamedTuple):
  """What is known of a video.

  Attributes:
    size: (W, H) px.
    fps: frames per second, the mean that the file states.
    stated_frames: how many the file says it has; 0 where it does not say.
    rotation: degrees counter-clockwise that made the frames upright: 0, 90, 180, 270.
    intrinsics: px, float64.
    intrinsics_from: 'flag' or 'assumed'; videos do not say.
  """

  size: tuple[int, int]
  fps: float
  stated_frames: int
  rotation: int
  intrinsics: Intrinsics
  intrinsics_from: images.Source


class Frame(NamedTuple):
  """One frame.

  Attributes:
    index: number in the video, from 0; every one counts, also those that are not given.
    time: seconds since the first frame.
    pixels: (H, W, 3) uint8, sRGB, upright.
  """

  index: int
  time: float
  pixels: np.ndarray


class Video:
  """An open video. To be used in a `with`, and gone through once.

  Args:
    path: a regular file.
    every: give every n-th frame.
    most_frames: give no more than these.
    field_of_view: degrees along the longer side, where it is known.

  Attributes:
    info: see `VideoInfo`.
    problems: what was wrong, one line each with the file's name; complete at the end.

  Raises:
    ImageError: PyAV is missing, no such file, no video, too large, or no frame that can be read.
    ValueError: an argument is out of range.
  """

  def __init__(
    self, path: str | os.PathLike, every: int = 1, most_frames: int = MAX_FRAMES,
    field_of_view: float | None = None,
  ):
    if every < 1 or not 1 <= most_frames <= MAX_FRAMES:
      raise ValueError(
        f'Video: every must be ≥ 1, most_frames in 1..{MAX_FRAMES}, got {every}, {most_frames}'
      )
    images.check_field_of_view(field_of_view)
    self.path, self.problems = pathlib.Path(path), []
    self._every, self._most = every, most_frames
    self._file = _open(self.path)
    self._container = None
    try:
      self._container, self._stream = _container(self._file, self.path)
      frames = self._decoded()
      first = next(frames, None)
      if first is None:
        reason = f' ({self.problems[0].partition(": ")[2]})' if self.problems else ''
        raise ImageError(self.path, f'gives no frame{reason}', 'take it out, or copy it again')
      self._frames = itertools.chain([first], frames)
      self.info = self._describe(first, field_of_view)
    except BaseException:
      self.close()
      raise

  def __enter__(self) -> 'Video':
    return self

  def __exit__(self, *unused) -> None:
    self.close()

  def close(self) -> None:
    """Closes the file."""
    if self._container is not None:
      self._container.close()
    self._file.close()

  def __iter__(self) -> Iterator[Frame]:
    given, index, start, corrupt = 0, -1, None, 0
    for index, frame in enumerate(self._frames):
      start = frame.time if start is None else start
      if index % self._every:
        continue
      if frame.is_corrupt:
        corrupt += 1
        continue
      if given == self._most:
        self._problem(f'the cap of {self._most} frames is reached')
        return
      try:
        pixels = self._pixels(frame)
      except Exception as error:  # as in `_decoded`
        self._problem(f'frame {index} cannot be converted ({_words(error)})')
        continue
      timed = frame.time is not None and start is not None
      yield Frame(index, frame.time - start if timed else index / self.info.fps, pixels)
      given += 1
    if corrupt:
      self._problem(f'{corrupt} damaged frames were left out')
    self._compare(index + 1)

  def _compare(self, count: int) -> None:
    """Says so if fewer frames were there than the file states; readers often end without a word."""
    if self.info.stated_frames:
      if count < self.info.stated_frames:
        self._problem(f'{count} of the {self.info.stated_frames} frames that it states were read')
      return
    seconds, stated = count / self.info.fps, (self._container.duration or 0) / 1e6
    # Sound may go on for a little longer than the pictures, and rates are means.
    if seconds < _SHORTER * stated:
      self._problem(f'{seconds:.1f} of the {stated:.1f} seconds that it states were read')

  def _describe(self, frame: Any, field_of_view: float | None) -> VideoInfo:
    rotation = round(frame.rotation / 90) * 90 % 360
    if frame.rotation % 90:
      self._problem(f'a rotation by {frame.rotation} degrees is taken for {rotation}')
    size = (frame.width, frame.height)[:: -1 if rotation % 180 else 1]
    rate = float(self._stream.average_rate or self._stream.guessed_rate or 0)
    if not _RATES[0] <= rate <= _RATES[1]:
      self._problem(f'states {rate:g} frames per second, taken for 30')
      rate = 30.0
    return VideoInfo(
      size, rate, self._stream.frames, rotation, *images.intrinsics_of(size, field_of_view)
    )

  def _pixels(self, frame: Any) -> np.ndarray:
    upright = np.rot90(frame.to_ndarray(format='rgb24'), self.info.rotation // 90)
    if upright.shape[1::-1] != self.info.size:
      raise ValueError(f'{upright.shape[1]} x {upright.shape[0]} px, not as the first frame')
    return np.ascontiguousarray(upright)

  def _decoded(self) -> Iterator[Any]:
    """Frames of PyAV, until the end or until nothing more can be read."""
    damaged = 0
    packets = self._container.demux(self._stream)
    while True:
      # Bytes from anywhere: whatever a library raises for them means the same to a user.
      try:
        packet = next(packets, None)
      except Exception as error:
        self._problem(f'ends early ({_words(error)})')
        return
      if packet is None:
        break
      try:
        frames = packet.decode()
      except Exception as error:
        damaged += 1
        if damaged == 1:
          self._problem(f'is damaged ({_words(error)}); its other frames are used')
        if damaged > _MAX_DAMAGED:
          self._problem(f'more than {_MAX_DAMAGED} damaged packets; what came before is used')
          return
        continue
      yield from frames

  def _problem(self, reason: str) -> None:
    self.problems.append(f'{images.printable(str(self.path))}: {reason}')


def _open(path: pathlib.Path) -> Any:
  try:
    if not path.is_file():  # nor a pipe, whose opening waits
      reason = 'a folder, not a video' if os.path.isdir(path) else 'no such file'
      raise ImageError(path, reason, 'give a file')
    return open(path, 'rb')
  except (OSError, ValueError) as error:
    if isinstance(error, ImageError):
      raise
    reason = getattr(error, 'strerror', None) or str(error)
    raise ImageError(path, f'cannot be read ({reason})', 'check the path and its rights') from None


def _container(file: Any, path: pathlib.Path) -> tuple[Any, Any]:
  """(PyAV container, its first video stream, ready to be decoded)."""
  try:
    import av
  except ImportError:
    raise ImageError(path, 'videos need PyAV', 'pip install posejax[video]') from None
  try:
    container = av.open(
      file, 'r', io_open=_refuse, container_options={'format_whitelist': _CONTAINERS}
    )
  except Exception as error:  # as in `_decoded`
    raise ImageError(
      path, f'no video that can be read ({_words(error)})', 'convert it to MP4, or take it out'
    ) from None
  if not container.streams.video or container.streams.video[0].codec_context is None:
    container.close()
    raise ImageError(path, 'has no video stream that can be read', 'take it out')
  stream = container.streams.video[0]
  context = stream.codec_context
  if context.width * context.height > MAX_PIXELS:
    size = f'{context.width} x {context.height}'
    container.close()
    raise ImageError(path, f'{size} px a frame are more than {MAX_PIXELS} pixels', _SHRINK)
  # The stream itself may tell another size than the container, and change it on the way.
  context.options = {'max_pixels': str(MAX_PIXELS)}
  context.thread_count = 1
  return container, stream


def _refuse(url: str, flags: int, options: dict[str, str]) -> Any:
  raise PermissionError('a video may not open other files')


def _words(error: Exception) -> str:
  words = getattr(error, 'strerror', None) or str(error) or type(error).__name__
  return images.printable(' '.join(words.split()))[:120]
