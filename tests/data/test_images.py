"""Photographs that the test writes, in every mode and damage, against what it drew."""

import io
import math
import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from posejax.data import images
from posejax.data.images import ImageError
from tests.data import fuzz_images

SCENE = np.zeros((6, 9, 3), np.uint8)
SCENE[:3, :4] = 255, 0, 0  # red left top: tells every turn and mirror from the others
SCENE[3:, 4:] = 0, 0, 255


def save(path, image, **options):
  image.save(path, **options)
  return path


def fails(path, *words):
  """Checks that reading fails with one line that has the file's name and the words."""
  with pytest.raises(ImageError) as caught:
    images.read_image(path)
  message = str(caught.value)
  assert '\n' not in message and message.startswith(images.printable(str(path)) + ': ')
  assert '; ' in message  # the reason; what to do
  for word in words:
    assert word in message
  return message


# What a camera held that way stores, for a picture that is SCENE when upright (EXIF 2.32: where
# row 0 and column 0 of the stored picture are in the upright one).
STORED = {
  1: lambda x: x,
  2: lambda x: x[:, ::-1],  # row 0 top, column 0 right
  3: lambda x: x[::-1, ::-1],  # bottom, right
  4: lambda x: x[::-1],  # bottom, left
  5: lambda x: x.transpose(1, 0, 2),  # row 0 left, column 0 top
  6: lambda x: x.transpose(1, 0, 2)[::-1],  # row 0 right, column 0 top
  7: lambda x: x.transpose(1, 0, 2)[::-1, ::-1],  # right, bottom
  8: lambda x: x.transpose(1, 0, 2)[:, ::-1],  # left, bottom
}


@pytest.mark.parametrize('orientation', STORED)
@pytest.mark.parametrize('format_', ['PNG', 'WEBP'])
def test_orientation(tmp_path, orientation, format_):
  exif = Image.Exif()
  exif[0x112] = orientation
  stored = Image.fromarray(np.ascontiguousarray(STORED[orientation](SCENE)))
  path = save(tmp_path / 'a', stored, format=format_, exif=exif, lossless=True)
  photograph = images.read_image(path)
  np.testing.assert_array_equal(photograph.pixels, SCENE)
  np.testing.assert_allclose(photograph.intrinsics.center, [4, 2.5])
  assert photograph.notes == ()


def exif_of(focal=None, width=None, height=None, orientation=None):
  exif = Image.Exif()
  if orientation:
    exif[0x112] = orientation
  inner = exif.get_ifd(0x8769)
  for tag, value in ((0xA405, focal), (0xA002, width), (0xA003, height)):
    if value is not None:
      inner[tag] = value
  return exif


@pytest.mark.parametrize('orientation', [None, 6])
def test_focal_length_of_exif(tmp_path, orientation):
  # 50 mm on 36 x 24 mm is as wide as f px on 360 x 240 px if f = 500: ten px a mm.
  path = save(
    tmp_path / 'a.jpg', Image.new('RGB', (360, 240)),
    exif=exif_of(focal=50, width=3600, height=2400, orientation=orientation),
  )
  photograph = images.read_image(path)
  assert photograph.intrinsics_from == 'exif'
  np.testing.assert_allclose(photograph.intrinsics.focal, [500, 500])
  center = [179.5, 119.5] if orientation is None else [119.5, 179.5]
  np.testing.assert_allclose(photograph.intrinsics.center, center)


@pytest.mark.parametrize(
  'exif',
  [
    exif_of(), exif_of(focal=0), exif_of(focal=60000), exif_of(focal='wide'),
    exif_of(focal=50, width=3000, height=3000),  # cropped since
    b'Exif\0\0II*\0\xff\xff\xff\xff', b'nonsense',
  ],
)
def test_unknown_focal_length_is_assumed(tmp_path, exif):
  path = save(tmp_path / 'a.jpg', Image.new('RGB', (360, 240)), exif=exif)
  photograph = images.read_image(path)
  assert photograph.intrinsics_from == 'assumed'
  np.testing.assert_allclose(photograph.intrinsics.focal, [360, 360])  # [P]: the longer side


def test_a_flag_goes_before_exif(tmp_path):
  path = save(tmp_path / 'a.jpg', Image.new('RGB', (360, 240)), exif=exif_of(focal=50))
  photograph = images.read_image(path, field_of_view=90)
  assert photograph.intrinsics_from == 'flag'
  np.testing.assert_allclose(photograph.intrinsics.focal, [180, 180])
  for angle in (0, 180, math.nan):
    with pytest.raises(ValueError, match='field_of_view'):
      images.read_image(path, field_of_view=angle)


def test_modes(tmp_path):
  """Grey, palette, alpha, CMYK and one bit, each drawn so that its RGB is known."""
  grey = np.arange(54, dtype=np.uint8).reshape(6, 9) * 4
  alpha = np.dstack([SCENE, np.where(SCENE.any(-1), 255, 0).astype(np.uint8)])
  # Half transparent black over white is grey.
  half = np.zeros((6, 9, 4), np.uint8)
  half[..., 3] = 128
  palette = Image.fromarray(SCENE).quantize(4)
  see_through = Image.fromarray(alpha).quantize(4)
  tips = Image.fromarray(grey)
  over_white = np.where(SCENE.any(-1, keepdims=True), SCENE, 255)
  cases = {
    'grey.png': (Image.fromarray(grey), np.repeat(grey[..., None], 3, 2)),
    'rgba.png': (Image.fromarray(alpha), over_white),
    'half.png': (Image.fromarray(half), np.full_like(SCENE, 127)),
    'la.png': (Image.fromarray(alpha).convert('LA'), None),
    'palette.png': (palette, SCENE),
    'palette.gif': (palette, SCENE),
    'transparent_palette.png': (see_through, over_white),
    'bit.png': (Image.fromarray(grey > 100), np.repeat((grey > 100)[..., None] * 255, 3, 2)),
    'plain.bmp': (Image.fromarray(SCENE), SCENE),
    'cmyk.jpg': (Image.new('CMYK', (9, 6), (0, 255, 255, 0)), None),
  }
  for name, (image, wanted) in cases.items():
    got = images.read_image(save(tmp_path / name, image)).pixels
    assert got.dtype == np.uint8 and got.shape == (6, 9, 3), name
    if wanted is not None:
      np.testing.assert_array_equal(got, wanted, err_msg=name)
  red = images.read_image(tmp_path / 'cmyk.jpg').pixels.astype(int)
  np.testing.assert_allclose(red, np.broadcast_to([255, 0, 0], red.shape), atol=3)
  # A grey that stands for "transparent".
  pixels = images.read_image(save(tmp_path / 'key.png', tips, transparency=40)).pixels
  assert (pixels[grey == 40] == 255).all() and (pixels[grey == 80] == 80).all()


def png16(values: np.ndarray) -> bytes:
  """A 16-bit grey or RGB PNG, by hand: Pillow writes none of RGB."""
  color = {1: 0, 3: 2}[values.shape[2]]
  rows = b''.join(b'\0' + row.astype('>u2').tobytes() for row in values)
  header = struct.pack('>IIBBBBB', values.shape[1], values.shape[0], 16, color, 0, 0, 0)
  return b'\x89PNG\r\n\x1a\n' + b''.join(
    struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))
    for kind, body in ((b'IHDR', header), (b'IDAT', zlib.compress(rows)), (b'IEND', b''))
  )


@pytest.mark.parametrize('channels', [1, 3])
def test_16_bits_keep_the_upper_8(channels):
  values = np.array([0, 255, 256, 0x1234, 0xFEDC, 65535] * channels).reshape(2, 3, channels)
  got = images.decode_image(png16(values), 'a').pixels
  np.testing.assert_array_equal(got, np.broadcast_to(values >> 8, (2, 3, 3)))


@pytest.mark.parametrize('format_', ['GIF', 'PNG', 'WEBP'])
def test_animation_gives_its_first_frame(tmp_path, format_):
  frames = [Image.new('RGB', (9, 6), color) for color in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
  path = save(
    tmp_path / 'a', frames[0], format=format_, save_all=True, append_images=frames[1:],
    lossless=True,
  )
  photograph = images.read_image(path)
  assert photograph.notes == ('the first of several frames',)
  assert (photograph.pixels == [255, 0, 0]).all()


def test_one_pixel_and_50000_in_a_row(tmp_path):
  one = images.read_image(save(tmp_path / 'a.png', Image.new('RGB', (1, 1), (1, 2, 3))))
  assert one.pixels.tolist() == [[[1, 2, 3]]]
  fails(save(tmp_path / 'row.png', Image.new('L', (50000, 1))), '50000 x 1 px', 'shrink')


def header_only(width: int, height: int) -> dict[str, bytes]:
  """Files that state a size and hold no pixels."""
  chunk = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
  png = b'\x89PNG\r\n\x1a\n' + struct.pack('>I', 13) + b'IHDR' + chunk
  png += struct.pack('>I', zlib.crc32(b'IHDR' + chunk)) + b'\0\0\0\0IDAT' + b'\x35\xaf\x06\x1e'
  jpeg = b'\xff\xd8\xff\xc0\0\x11\x08' + struct.pack('>HH', height & 0xFFFF, width & 0xFFFF)
  jpeg += b'\x03\x01\x11\0\x02\x11\0\x03\x11\0\xff\xda\0\x0c\x03\x01\0\x02\0\x03\0\0\x3f\0'
  bmp = b'BM' + struct.pack('<IIIIiiHHIIiiII', 54, 0, 54, 40, width, height, 1, 24, 0, 0, 0, 0, 0,
                            0)
  gif = b'GIF89a' + struct.pack('<HHBBB', width & 0xFFFF, height & 0xFFFF, 0, 0, 0)
  gif += b',' + struct.pack('<HHHHB', 0, 0, width & 0xFFFF, height & 0xFFFF, 0) + b'\x08\0;'
  webp = b'RIFF\x16\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0'
  webp += (width - 1 & 0xFFFFFF).to_bytes(3, 'little') + (height - 1 & 0xFFFFFF).to_bytes(
    3, 'little'
  )
  return {'png': png, 'jpg': jpeg, 'bmp': bmp, 'gif': gif, 'webp': webp}


@pytest.mark.parametrize('format_', ['png', 'jpg', 'bmp', 'gif', 'webp'])
@pytest.mark.parametrize('size', [(30000, 30000), (0, 20), (50000, 50000)])
def test_stated_sizes_are_refused_before_decoding(tmp_path, monkeypatch, format_, size):
  def decode(*unused):
    raise AssertionError('decoded before the size was checked')

  monkeypatch.setattr(images, '_photograph', decode)
  path = tmp_path / f'a.{format_}'
  path.write_bytes(header_only(*size)[format_])
  message = fails(path)
  if size[0] == 30000:  # 50,000 is more than some formats can state
    assert 'shrink' in message and 'pixels' in message


@pytest.mark.parametrize('kind', ['VP8L', 'VP8 '])
def test_webp_of_both_codecs_states_its_size(kind):
  """The size that is read by hand, against a file that Pillow wrote."""
  buffer = io.BytesIO()
  Image.new('RGB', (16383, 3000)).save(buffer, 'WEBP', lossless=kind == 'VP8L', method=0)
  assert buffer.getvalue()[12:16] == kind.encode()
  with pytest.raises(ImageError, match='16383 x 3000 px'):
    images.decode_image(buffer.getvalue()[:64], 'a.webp')


def test_what_is_no_photograph(tmp_path):
  (tmp_path / 'empty.jpg').write_bytes(b'')
  (tmp_path / 'text.jpg').write_text('no picture')
  (tmp_path / 'folder.jpg').mkdir()
  os.mkfifo(tmp_path / 'pipe.jpg')
  fails(tmp_path / 'empty.jpg', 'empty')
  fails(tmp_path / 'text.jpg', 'JPEG, PNG, WEBP, BMP, GIF')
  fails(tmp_path / 'folder.jpg', 'folder')
  fails(tmp_path / 'pipe.jpg', 'no regular file')
  fails(tmp_path / 'absent.jpg', 'No such file')
  fails(tmp_path / 'a\0b.jpg', 'cannot be read')
  fails(tmp_path / 'a\nb.jpg', 'a?b.jpg')
  fails(tmp_path / ('x' * 300), 'cannot be read')
  # A TIFF is a picture, but not one that is read here.
  fails(save(tmp_path / 'a.tif', Image.new('RGB', (4, 4))), 'convert')


@pytest.mark.skipif(os.geteuid() == 0, reason='root reads everything')
def test_unreadable(tmp_path):
  path = save(tmp_path / 'a.png', Image.new('RGB', (4, 4)))
  path.chmod(0)
  fails(path, 'Permission denied', 'rights')


def test_unreadable_by_any_means(tmp_path, monkeypatch):
  path = save(tmp_path / 'a.png', Image.new('RGB', (4, 4)))

  def refuse(*unused, **also_unused):
    raise PermissionError(13, 'Permission denied')

  monkeypatch.setattr('builtins.open', refuse)
  fails(path, 'Permission denied', 'rights')


def test_too_long_a_file(tmp_path, monkeypatch):
  monkeypatch.setattr(images, 'MAX_FILE_BYTES', 2**20)
  path = tmp_path / 'a.jpg'
  path.write_bytes(b'\xff\xd8' + bytes(2**20))
  fails(path, 'larger than 1 MiB')


@pytest.mark.parametrize('format_', ['JPEG', 'PNG', 'WEBP', 'BMP', 'GIF'])
def test_truncated(tmp_path, format_):
  pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
  whole = save(tmp_path / 'whole', Image.fromarray(pixels), format=format_).read_bytes()
  for share in (0.3, 0.6, 0.9):
    path = tmp_path / 'cut'
    path.write_bytes(whole[: int(share * len(whole))])
    fails(path, 'take it out')


def test_folder_of_good_and_bad(tmp_path):
  good = save(tmp_path / 'b.png', Image.fromarray(SCENE))
  (tmp_path / 'a.png').write_bytes(b'bad')
  first, second = images.read_images([tmp_path / 'a.png', good])
  assert isinstance(first, images.Skipped) and 'a.png: no picture' in first.message
  path, photograph = second
  assert path == good
  np.testing.assert_array_equal(photograph.pixels, SCENE)


@pytest.mark.parametrize('kind', fuzz_images.KINDS)
def test_mutated(kind):
  """Two dozen mutations each; `python -m tests.data.fuzz_images` does a thousand, watched."""
  outcomes = [fuzz_images.read_mutation(kind, seed) for seed in range(24)]
  assert any(outcome == 'refused' for outcome in outcomes)
  assert set(outcomes) <= {'read', 'refused'}
