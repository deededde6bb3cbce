"""Videos that the test writes (PyAV), turned, cut and damaged, against the frames it drew."""

import builtins
import os
import struct

import numpy as np
import pytest

from posejax.data import videos
from posejax.data.images import ImageError
from posejax.data.videos import Video

av = pytest.importorskip('av')

# Blocks of 16 px of one grey survive any codec: frame t has the grey 40 + 15 t, its left top block
# white, its right top block black.
LENGTH, WIDTH, HEIGHT = 12, 64, 48


def drawn(t: int) -> np.ndarray:
  frame = np.full((HEIGHT, WIDTH, 3), 40 + 15 * t, np.uint8)
  frame[:16, :16] = 255
  frame[:16, -16:] = 0
  return frame


def write(path, rate: int = 10, length: int = LENGTH):
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=rate)
    stream.width, stream.height, stream.pix_fmt, stream.gop_size = WIDTH, HEIGHT, 'yuv420p', 4
    stream.bit_rate = 4_000_000
    for t in range(length):
      container.mux(stream.encode(av.VideoFrame.from_ndarray(drawn(t), format='rgb24')))
    container.mux(stream.encode())
  return path


@pytest.fixture(scope='module')
def video(tmp_path_factory):
  return write(tmp_path_factory.mktemp('videos') / 'walk.mp4')


def close(got: np.ndarray, wanted: np.ndarray) -> None:
  np.testing.assert_allclose(got.astype(int), wanted, atol=12)


def test_frames_times_and_what_is_known(video):
  with Video(video) as opened:
    frames = list(opened)
    assert opened.info.size == (WIDTH, HEIGHT)
    assert opened.info.fps == 10 and opened.info.stated_frames == LENGTH
    assert opened.info.rotation == 0
    np.testing.assert_allclose(opened.info.intrinsics.focal, [64, 64])
    np.testing.assert_allclose(opened.info.intrinsics.center, [31.5, 23.5])
    assert opened.info.intrinsics_from == 'assumed'
    assert opened.problems == []
  assert [frame.index for frame in frames] == list(range(LENGTH))
  np.testing.assert_allclose([frame.time for frame in frames], np.arange(LENGTH) / 10, atol=1e-6)
  for t, frame in enumerate(frames):
    close(frame.pixels, drawn(t))


def test_every_third_and_the_cap(video):
  with Video(video, every=3, most_frames=3, field_of_view=90) as opened:
    frames = list(opened)
    assert opened.info.intrinsics_from == 'flag'
    np.testing.assert_allclose(opened.info.intrinsics.focal, [32, 32])
    assert opened.problems == [f'{video}: the cap of 3 frames is reached']
  assert [frame.index for frame in frames] == [0, 3, 6]
  np.testing.assert_allclose([frame.time for frame in frames], [0, 0.3, 0.6], atol=1e-6)
  close(frames[1].pixels, drawn(3))


def test_twice_the_same(video):
  first, second = ([frame.pixels for frame in Video(video)] for _ in range(2))
  np.testing.assert_array_equal(first, second)


def turned(data: bytes, quarter_turns: int) -> bytes:
  """The file with another matrix in its track header: clockwise turns, as telephones write them.

  ISO 14496-12, tkhd: the matrix {a b u, c d v, x y w} is 16.16 fixed point (u v w 2.30), 40 bytes
  after the version of a version-0 box; a point (p, q) goes to (a p + c q, b p + d q).
  """
  at = data.index(b'tkhd') + 4
  assert data[at] == 0
  cosine, sine = [(1, 0), (0, 1), (-1, 0), (0, -1)][quarter_turns]
  one = 0x10000
  matrix = struct.pack(
    '>9i', cosine * one, sine * one, 0, -sine * one, cosine * one, 0, 0, 0, 0x40000000
  )
  return data[: at + 40] + matrix + data[at + 76 :]


@pytest.mark.parametrize('quarter_turns', [1, 2, 3])
def test_rotation_is_applied(video, tmp_path, quarter_turns):
  path = tmp_path / 'turned.mp4'
  path.write_bytes(turned(video.read_bytes(), quarter_turns))
  with Video(path) as opened:
    frame = next(iter(opened))
    assert opened.info.rotation == 360 - 90 * quarter_turns  # counter-clockwise
    assert opened.info.size == frame.pixels.shape[1::-1]
  # A clockwise quarter turn takes the left top corner to the right top.
  close(frame.pixels, np.rot90(drawn(0), -quarter_turns))


def test_cut_off_and_damaged(video, tmp_path):
  """What was read counts, and the reason is listed."""
  whole = write(tmp_path / 'whole.mkv').read_bytes()
  path = tmp_path / 'cut.mkv'
  path.write_bytes(whole[: len(whole) * 6 // 10])
  with Video(path) as opened:
    frames = list(opened)
    assert 2 <= len(frames) < LENGTH
    assert opened.problems and all(str(path) in problem for problem in opened.problems)
  for frame in frames[:-1]:
    close(frame.pixels, drawn(frame.index))
  # An MP4 has its table of contents at the end.
  cut = tmp_path / 'cut.mp4'
  cut.write_bytes(video.read_bytes()[:-200])
  with pytest.raises(ImageError, match=r'cut\.mp4: .*; '):
    Video(cut)


def test_mutated(video, tmp_path):
  rng = np.random.default_rng(0)
  sound = np.frombuffer(video.read_bytes(), np.uint8)
  path, refused = tmp_path / 'bad.mp4', 0
  for _ in range(40):
    bad = sound.copy()
    places = rng.integers(0, len(bad), rng.choice([1, 10, 200]))
    bad[places] = rng.integers(0, 256, len(places))
    path.write_bytes(bad.tobytes()[: rng.choice([len(bad), len(bad) // 2])])
    try:
      with Video(path, most_frames=50) as opened:
        for frame in opened:
          assert frame.pixels.shape[1::-1] == opened.info.size
          assert np.isfinite(frame.time)
        assert all('\n' not in problem for problem in opened.problems)
    except ImageError as error:
      refused += 1
      assert '\n' not in str(error)
  assert 0 < refused < 40


def test_no_video(tmp_path, video):
  for name, data in (
    ('text.mp4', b'no video'), ('empty.mp4', b''), ('list.mp4', b'#EXTM3U\n#EXTINF:1,\nx.ts\n'),
  ):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ImageError, match=f'{name}: no video that can be read'):
      Video(tmp_path / name)
  os.mkfifo(tmp_path / 'pipe.mp4')
  for name in ('pipe.mp4', 'absent.mp4'):
    with pytest.raises(ImageError, match='no such file'):
      Video(tmp_path / name)
  with pytest.raises(ImageError, match='folder'):
    Video(tmp_path)
  for options in ({'every': 0}, {'most_frames': 0}, {'field_of_view': 0}):
    with pytest.raises(ValueError, match='must be'):
      Video(video, **options)


def test_no_other_file_is_opened(tmp_path, video):
  """A list of files to play (ffconcat) is no video, even of files that are there."""
  path = tmp_path / 'list.mp4'
  path.write_text(f"ffconcat version 1.0\nfile '{video.name}'\n")
  (tmp_path / video.name).write_bytes(video.read_bytes())
  with pytest.raises(ImageError, match=r'list\.mp4: no video'):
    Video(path)


def test_too_many_pixels(video, monkeypatch):
  monkeypatch.setattr(videos, 'MAX_PIXELS', WIDTH * HEIGHT - 1)
  with pytest.raises(ImageError, match=r'64 x 48 px a frame are more than .* ffmpeg'):
    Video(video)


def test_without_pyav(video, monkeypatch):
  load = builtins.__import__

  def refuse(name, *rest):
    if name == 'av':
      raise ImportError(name)
    return load(name, *rest)

  monkeypatch.setattr(builtins, '__import__', refuse)
  with pytest.raises(ImageError, match=r'PyAV; pip install posejax\[video\]'):
    Video(video)


def test_real_video(posejax_data):
  path = posejax_data / 'video_pose2sim' / 'videos' / 'cam01.mp4'
  with Video(path, every=50) as opened:
    frames = list(opened)
    assert opened.info.fps == 60 and opened.problems == []  # its README: 100 frames, 60 fps
  assert [frame.index for frame in frames] == [0, 50]
  np.testing.assert_allclose(frames[1].time, 50 / 60, atol=1e-3)


def test_corrupt_frames_are_counted(video):
  """A decoder marks what it had to guess: here frames 2, 3 and 6; 3 is not asked for."""
  class Marked:
    def __init__(self, frame, corrupt):
      self._frame, self.is_corrupt = frame, corrupt

    def __getattr__(self, name):
      return getattr(self._frame, name)

  with Video(video, every=2) as opened:
    opened._frames = (Marked(frame, t in (2, 3, 6)) for t, frame in enumerate(opened._frames))
    assert [frame.index for frame in opened] == [0, 4, 8, 10]
    (problem,) = opened.problems
  assert problem == f'{video}: 2 damaged frames were left out'
