"""Folders: what is listed and what is not, clips by their names, and parts that stay."""

import json
import pathlib

import numpy as np
import pytest
from PIL import Image

from posejax.data import images, lspet, photo_folders
from posejax.data.images import ImageError
from posejax.data.photo_folders import Shares


def put(path: pathlib.Path, color: int = 0) -> pathlib.Path:
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.new('L', (4, 4), color).save(path, format='PNG')
  return path


def test_listing(tmp_path):
  for i, name in enumerate(('b/10.png', 'b/9.PNG', 'a.jpg', 'c.JPEG', '.hidden.png', '.x/d.png')):
    put(tmp_path / name, i)
  put(tmp_path / '__MACOSX' / 'e.png', 99)
  (tmp_path / 'notes.txt').write_text('none of ours')
  (tmp_path / 'b' / 'walk.mp4').write_bytes(b'1')
  (tmp_path / 'loop').symlink_to(tmp_path)
  listing = photo_folders.list_folder(tmp_path)
  names = [path.relative_to(tmp_path).as_posix() for path in listing.photographs]
  assert names == ['a.jpg', 'b/10.png', 'b/9.PNG', 'c.JPEG']
  assert [path.name for path in listing.videos] == ['walk.mp4']
  assert listing.skipped == ()


def test_the_same_bytes_are_one_photograph(tmp_path):
  put(tmp_path / 'a.png', 7)
  put(tmp_path / 'sub' / 'again.png', 7)
  put(tmp_path / 'b.png', 8)
  listing = photo_folders.list_folder(tmp_path)
  assert [path.name for path in listing.photographs] == ['a.png', 'b.png']
  (skipped,) = listing.skipped
  assert skipped.path.name == 'again.png'
  assert f'again.png: has the bytes of {tmp_path / "a.png"}' in skipped.message


def test_all_copies_where_they_are_wanted(tmp_path):
  for name in ('a.png', 'again.png'):
    put(tmp_path / name)
  listing = photo_folders.list_folder(tmp_path, keep_copies=True)
  assert [path.name for path in listing.photographs] == ['a.png', 'again.png']
  assert not listing.skipped


def test_a_folder_that_is_left_out(tmp_path):
  put(tmp_path / 'in' / 'a.png')
  put(tmp_path / 'in' / 'out' / 'deep' / 'b.png')
  (tmp_path / 'link').symlink_to(tmp_path / 'in' / 'out')
  for without in (tmp_path / 'in' / 'out', tmp_path / 'link', tmp_path / 'in' / '.' / 'out'):
    listing = photo_folders.list_folder(tmp_path / 'in', True, without)
    assert [path.name for path in listing.photographs] == ['a.png']
  assert len(photo_folders.list_folder(tmp_path / 'in', True, tmp_path).photographs) == 2


def test_paths_that_the_system_refuses(tmp_path, monkeypatch):
  with pytest.raises(ImageError, match='no such folder'):
    photo_folders.list_folder(tmp_path / ('x' * 300))

  def closed(path):
    raise PermissionError(13, 'Permission denied', str(path))

  monkeypatch.setattr(photo_folders.os, 'scandir', closed)
  with pytest.raises(ImageError, match=r'cannot be listed \(Permission denied\); check its rights'):
    photo_folders.list_folder(tmp_path)


def test_nothing_to_list(tmp_path):
  with pytest.raises(ImageError, match=r'holds no photograph or video; give a folder'):
    photo_folders.list_folder(tmp_path)
  (tmp_path / 'IMG_1.heic').write_bytes(b'x')
  with pytest.raises(ImageError, match=r'\(only \.heic\)'):
    photo_folders.list_folder(tmp_path)
  with pytest.raises(ImageError, match='no such folder'):
    photo_folders.list_folder(tmp_path / 'absent')
  with pytest.raises(ImageError, match='a file, not a folder'):
    photo_folders.list_folder(tmp_path / 'IMG_1.heic')


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, monkeypatch):
  put(tmp_path / 'a.png')
  walk = photo_folders.os.walk

  def broken(root, onerror):
    onerror(PermissionError(13, 'Permission denied', str(tmp_path / 'closed')))
    return walk(root)

  monkeypatch.setattr(photo_folders.os, 'walk', broken)
  listing = photo_folders.list_folder(tmp_path)
  assert len(listing.photographs) == 1
  assert 'closed: cannot be listed (Permission denied)' in listing.skipped[0].message


def clips(*names: str, rule='number') -> list[str]:
  root = pathlib.Path('root')
  return list(photo_folders.clip_names([root / name for name in names], root, rule).values())


@pytest.mark.parametrize(
  ('name', 'clip'),
  [
    ('davis_dance-circle_00120.jpg', 'davis_dance-circle'),
    ('posetrack_003742-1_00072.jpg', 'posetrack_003742'),  # a shot of a video
    ('romp_sample_video2_00060.jpg', 'romp_sample_video2'),
    ('cam01.mp4', 'cam'),
    ('0001.png', '.'),
    ('walk/0001.png', 'walk'),
    ('a/walk_1.png', 'a/walk'),
    ('ski.jpg', 'ski'),
    ('Goalkeeper_@_7_catch.jpg', 'Goalkeeper_@_7_catch'),
  ],
)
def test_clip_of_a_name(name, clip):
  assert clips(name) == [clip]


def test_copies_go_with_their_original():
  assert clips('x_a1b.jpg', 'x_a1b_9f3e2c1.jpg', 'x_a1b-crop.png', 'x_a1bc.jpg') == [
    'x_a1b', 'x_a1b', 'x_a1b', 'x_a1bc'
  ]
  # The other's name in another folder says nothing.
  assert clips('a/x.jpg', 'b/x_9f3e.jpg') == ['a/x', 'b/x_9f3e']


def test_other_rules():
  assert clips('IMG_1.jpg', 'IMG_2.jpg', 'IMG_2_edit.jpg', rule='file') == [
    'IMG_1', 'IMG_2', 'IMG_2'
  ]
  assert clips('a/x1.jpg', 'a/y.jpg', 'z.jpg', rule='folder') == ['a', 'a', '.']
  with pytest.raises(ValueError, match='clips'):
    clips('a.jpg', rule='regex')


NAMES = [f'clip{i}' for i in range(400)]


def test_parts_are_disjoint_and_as_large_as_asked():
  parts = photo_folders.split(NAMES + NAMES, Shares(0.2, 0.1))
  assert sorted(sum(parts, ())) == sorted(NAMES)
  # Binomial: 400 draws of 0.2 and 0.1 have standard deviations of 8 and 6.
  assert abs(len(parts.validation) - 80) < 32 and abs(len(parts.test) - 40) < 24


def test_clips_stay_where_they_are_when_others_come():
  before, after = (photo_folders.split(names) for names in (NAMES[:200], NAMES))
  for small, large in zip(before, after, strict=True):
    assert set(small) <= set(large)


def test_a_hash_that_is_known():
  # `printf walk | sha256sum` gives 7a6c4f...: u = 0x7a6c / 65536 = 0.4782.
  assert 'walk' in photo_folders.split(['walk', *NAMES], Shares(0.0, 0.478)).train
  assert 'walk' in photo_folders.split(['walk', *NAMES], Shares(0.0, 0.479)).test
  assert 'walk' in photo_folders.split(['walk', *NAMES], Shares(0.179, 0.3)).validation


@pytest.mark.parametrize('count', [3, 4, 5, 8])
def test_few_clips_still_fill_every_part(count):
  for start in range(20):
    parts = photo_folders.split(NAMES[start : start + count])
    assert all(parts) and len(sum(parts, ())) == count
  assert photo_folders.split(NAMES[:1], Shares(0, 0)).train == ('clip0',)


def test_splits_that_cannot_be():
  with pytest.raises(ValueError, match=r"1 clips \(IMG\) cannot be split .* \(clips='file'\)"):
    photo_folders.split(['IMG', 'IMG'])
  for shares in ((-0.1, 0.1), (0.5, 0.5), (float('nan'), 0.1)):
    with pytest.raises(ValueError, match='shares'):
      photo_folders.split(NAMES, Shares(*shares))


def test_real_names(posejax_data):
  root = posejax_data / 'photos' / 'unlabelled'
  listing = photo_folders.list_folder(root)
  assert len(listing.photographs) + len(listing.skipped) == 1007  # its README
  names = photo_folders.clip_names(listing.photographs, root)
  parts = photo_folders.split(names.values())
  assert not set(parts.train) & set(parts.validation + parts.test)
  by_clip = {clip: i for i, part in enumerate(parts) for clip in part}
  # The first 15 letters of a PoseTrack name are its video.
  videos = {}
  for path, clip in names.items():
    if path.name.startswith('posetrack_'):
      videos.setdefault(path.name[:16], set()).add(by_clip[clip])
  assert len(videos) == 14 and all(len(where) == 1 for where in videos.values())


# ---- labelled photographs


def labels(folder, **changes):
  rows = [[float(i), 2.0 * i, i % 2] for i in range(14)]
  content = {
    'joints': list(lspet.JOINTS), 'columns': ['x_px', 'y_px', 'visible'],
    'annotations': {f'im{i:05d}.jpg': rows for i in (18, 109, 36)},
  } | changes
  for name in ('im00018.jpg', 'im00109.jpg', 'im00036.jpg'):
    put(folder / name)
  (folder / 'joints.json').write_text(json.dumps(content))


def test_labels(tmp_path):
  labels(tmp_path)
  validation = lspet.read_labels(tmp_path, 'validation')
  assert [entry.path.name for entry in validation] == ['im00018.jpg', 'im00036.jpg']
  (final,) = lspet.read_labels(tmp_path, 'final')
  assert final.path.name == 'im00109.jpg'
  np.testing.assert_array_equal(final.visible, np.arange(14) % 2 == 1)
  np.testing.assert_array_equal(final.joints[3], [3, 6])
  np.testing.assert_array_equal(final.joints[2], [0, 0])


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'joints': ['neck']}, 'other joints'),
    ({'joints': None}, 'no joints, columns'),
    ({'annotations': []}, 'no joints, columns'),
    ({'annotations': {'../im00001.jpg': []}}, 'is no picture'),
    ({'annotations': {'im00018.jpg': [[1, 2, 1]] * 13}}, 'im00018.jpg: not 14 rows'),
    ({'annotations': {'im00018.jpg': [[1, 2, 'x']] * 14}}, 'not 14 rows'),
    ({'annotations': {'im00018.jpg': [[1, float('nan'), 1]] * 14}}, 'out of range'),
    ({'annotations': {'im00018.jpg': [[1, 1e9, 1]] * 14}}, 'out of range'),
    ({'annotations': {'im00018.jpg': [[1, 2, 0.5]] * 14}}, 'out of range'),
    ({'annotations': {'im00044.jpg': [[1, 2, 1]] * 14}}, r'im00044\.jpg: is missing'),
    ({'annotations': {}}, 'no pictures for validation'),
  ],
)
def test_labels_that_are_none(tmp_path, changes, words):
  labels(tmp_path, **changes)
  with pytest.raises(ImageError, match=words) as caught:
    lspet.read_labels(tmp_path, 'validation')
  assert '\n' not in str(caught.value)


def test_labels_that_are_no_json(tmp_path):
  with pytest.raises(ImageError, match='No such file'):
    lspet.read_labels(tmp_path, 'final')
  for text in ('', '{', '[' * 100_000, '\xff', '[]', '3'):
    (tmp_path / 'joints.json').write_text(text, encoding='latin-1')
    with pytest.raises(ImageError, match=r'joints\.json: no '):
      lspet.read_labels(tmp_path, 'final')
  with pytest.raises(ValueError, match='part'):
    lspet.read_labels(tmp_path, 'train')


def test_real_labels(posejax_data):
  folder = posejax_data / 'photos' / 'lspet_labelled'
  parts = [lspet.read_labels(folder, part) for part in ('validation', 'final')]
  assert len(parts[0]) + len(parts[1]) == 316  # its README
  assert all(int(entry.path.stem[2:]) % 2 == 0 for entry in parts[0])
  entry = parts[1][0]
  height, width = images.read_image(entry.path).pixels.shape[:2]
  assert (entry.joints[entry.visible] > -1).all()
  assert (entry.joints[entry.visible] < [width, height]).all()
