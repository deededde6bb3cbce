"""CHI3D from its own layout: sides from the data, cameras by hand, rates, broken files, TFDS."""

import builtins
import json
import pathlib
import shutil
import sys
import warnings

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorflow_datasets as tfds

from posejax.data import chi3d_files, chi3d_order, chi3d_split
from posejax.data.chi3d import Chi3d, clip_from_example
from posejax.data.chi3d_files import CAMERAS, Chi3dError
from posejax.geometry.skeleton import CHI3D25, J17
from tests.data import chi3d_files as made

TRUTH = {action: made.people(action) for names in made.ACTIONS.values() for action in names}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
  return made.write(tmp_path_factory.mktemp('copy'))


@pytest.fixture(scope='module')
def archive(folder):
  return chi3d_files.open_archive(folder)


def assert_true_joints(archive, sign=1):
  for subject, actions in made.ACTIONS.items():
    clips = list(chi3d_files.clips(archive, subject))
    assert [clip.action for clip in clips] == sorted(actions)
    for clip in clips:
      assert clip.joints.shape == (made.FRAMES, 2, 17, 3) and clip.joints.dtype == np.float32
      for j, name in enumerate(J17.joints):
        wanted = 1000 * TRUTH[clip.action][name].swapaxes(0, 1)
        np.testing.assert_allclose(clip.joints[:, :, j], wanted * (sign, 1, 1), atol=1e-2)


@pytest.mark.parametrize(
  'order',
  [{}, {'legs': False}, {'arms': False}, {'legs': False, 'arms': False}, {'feet': False}],
  ids=['as-h36m', 'legs', 'arms', 'both', 'feet'],
)
def test_every_order_of_a_file_gives_the_same_people(tmp_path, order):
  names = made.file_order(**order)
  archive = chi3d_files.open_archive(made.write(tmp_path, order=names))
  assert archive.skeleton.joints == names
  assert_true_joints(archive)


def test_millimetres_are_told_from_metres(tmp_path):
  archive = chi3d_files.open_archive(made.write(tmp_path, unit=1000.0))
  assert_true_joints(archive)
  clip = next(chi3d_files.clips(archive, 's04'))
  R, T = made.rotation(1, 0.03)
  np.testing.assert_allclose(clip.cameras[1].camera.translation, -1000 * R @ T, atol=1e-6)


def test_in_a_mirror_the_other_side_is_right(tmp_path):
  """A mirrored person's right hand is what was its left one: the names must change sides."""
  archive = chi3d_files.open_archive(made.write(tmp_path, mirror=True))
  assert archive.skeleton.joints == made.file_order(legs=False, arms=False)
  clip = next(chi3d_files.clips(archive, 's04'))
  wanted = 1000 * TRUTH['Kick 1']['l_wrist'].swapaxes(0, 1) * (-1, 1, 1)
  np.testing.assert_allclose(clip.joints[:, :, J17.index('r_wrist')], wanted, atol=1e-2)


def test_votes_are_counted_by_hand():
  poses = made.joints('Grab 1')[0]  # 6 poses of one person
  total = chi3d_order.votes(poses)
  np.testing.assert_array_equal(total[:3], [[6, 0]] * 3)
  # Toes 0.02, 0.2, 0.1 m from the ankle, heels 0.05, 0.1: two feet of six poses.
  np.testing.assert_allclose(total[3], 12 * np.sqrt([0.0004 + 0.04 + 0.01, 0.0025 + 0.01]))
  # Nothing is said by feet that point straight down, and by people who lie.
  down = poses.copy()
  down[:, [17, 18, 19, 20], :2] = down[:, [3, 3, 6, 6], :2]
  np.testing.assert_array_equal(chi3d_order.votes(down)[0], [0, 0])
  np.testing.assert_array_equal(chi3d_order.votes(poses[..., [2, 1, 0]])[2], [0, 0])


@pytest.mark.parametrize(
  ('row', 'value', 'message'),
  [
    (0, (5, 4), r'do not tell which leg is the right one \(5 say one, 4 the other\)'),
    (0, (0, 0), 'do not tell which leg'),
    (1, (1, 2), "do not tell which arm is on which leg's side"),
    (2, (1, 9), 'heads are below feet along z'),
  ],
)
def test_without_a_clear_majority_nothing_is_assumed(row, value, message):
  total = np.array([[9, 1], [9, 1], [9, 1], [2, 1]], float)
  assert chi3d_order.arrangement(total) == CHI3D25
  total[row] = value
  with pytest.raises(ValueError, match=message):
    chi3d_order.arrangement(total)


def test_cameras_project_as_by_hand(archive):
  """X_cam = (X − T) Rᵀ and CHI3D's lens, in NumPy; then pixels back to straight rays."""
  clip = next(chi3d_files.clips(archive, 's02'))
  points = clip.joints[2].reshape(-1, 3)
  for number, camera in enumerate(clip.cameras):
    R, T = made.rotation(number, 0.03)
    seen = (points - 1000 * T) @ R.T
    x = seen[:, :2] / seen[:, 2:]
    assert (seen[:, 2] > 2000).all() and np.abs(x).max() > 0.1
    (k1, k2, k3), (p1, p2) = made.K, made.P
    r2, p = (x**2).sum(1, keepdims=True), np.array([p2, p1])
    bent = x * (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + (x @ p)[:, None]) + r2 * p
    pixels = np.array(made.FOCAL) * bent + made.CENTER
    np.testing.assert_allclose(camera.pixels(jnp.asarray(points)), pixels, atol=5e-3)
    np.testing.assert_allclose(camera.rays(jnp.asarray(pixels, float)), x, atol=5e-6)


JOINTS = 's03/joints3d_25/Hug 1.json'
LENS = f's03/camera_parameters/{CAMERAS[2]}/Hug 1.json'


def joints_with(change):
  content = made.joints('Hug 1')
  return {'joints3d_25': change(content).tolist()}


def put_nan(x):
  x[1, 2, 3, 0] = np.nan
  return x


def lens(**fields):
  content = made.camera(2)
  for name, value in fields.items():
    content['extrinsics' if name in 'RT' else 'intrinsics_w_distortion'][name] = value
  return json.dumps(content)


BROKEN = {
  'not-json': (JOINTS, '{"joints3d_25": [', 'no JSON'),
  'binary': (JOINTS, '\udcff', 'no JSON'),
  'deep': (JOINTS, '[' * 100_000, 'nested too deep'),
  'list': (JOINTS, '[1]', 'joints3d_25: no such field'),
  'words': (JOINTS, '{"joints3d_25": ["a"]}', 'joints3d_25: expected numbers in lists of one'),
  'ragged': (JOINTS, '{"joints3d_25": [[1], [1, 2]]}', 'joints3d_25: expected numbers in lists'),
  'null': (JOINTS, '{"joints3d_25": [null]}', 'joints3d_25: expected numbers in lists'),
  'huge': (JOINTS, f'{{"joints3d_25": [1{"0" * 400}]}}', 'joints3d_25: expected numbers'),
  'three': (JOINTS, joints_with(lambda x: np.concatenate([x, x[:1]])), r'got \(3, 6, 25, 3\)'),
  'empty': (JOINTS, joints_with(lambda x: x[:, :0]), r'joints3d_25: expected \(2, T, 25, 3\)'),
  '17': (JOINTS, joints_with(lambda x: x[:, :, :17]), r'got \(2, 6, 17, 3\)'),
  'nan': (JOINTS, joints_with(put_nan), 'joints3d_25: a number is not finite'),
  'inch': (JOINTS, joints_with(lambda x: 39.4 * x), 'pelvis to head top is .*neither metres'),
  'no-R': (LENS, '{"extrinsics": {}}', r'extrinsics\.R: no such field'),
  'short-k': (LENS, lens(k=[0.1, 0.2]), r'w_distortion\.k: expected shape \(3,\), got \(2,\)'),
  'R-2': (LENS, lens(R=[[1, 0], [0, 1]]), r'extrinsics\.R: expected shape \(3, 3\)'),
  'scaled': (LENS, lens(R=(2 * np.eye(3)).tolist()), r'extrinsics\.R: expected a rotation'),
  'mirror': (LENS, lens(R=np.diag([1.0, 1, -1]).tolist()), r'extrinsics\.R: expected a rotation'),
  'f-0': (LENS, lens(f=[1000, 0]), r'w_distortion\.f: expected lengths above 0 px'),
  'inf': (LENS, lens(c=[float('inf'), 0]), r'w_distortion\.c: a number is not finite'),
  'unit': (LENS, lens(T=[4000, 0, 1600]), r'extrinsics\.T: the camera is 4\.31e\+03 m from'),
}


def read_everything(root):
  archive = chi3d_files.open_archive(root)
  return [clip for subject in made.ACTIONS for clip in chi3d_files.clips(archive, subject)]


@pytest.mark.parametrize('case', BROKEN)
def test_a_broken_file_is_named_in_one_line(folder, tmp_path, case):
  name, content, message = BROKEN[case]
  root = shutil.copytree(folder, tmp_path / 'copy')
  path = root / 'chi3d' / 'train' / name
  text = content if isinstance(content, str) else json.dumps(content)
  path.write_bytes(text.encode(errors='surrogateescape'))
  with pytest.raises(Chi3dError, match=message) as caught:
    read_everything(root)
  assert str(caught.value).startswith(f'{path}: ') and '\n' not in str(caught.value)
  assert len(str(caught.value)) < 400 + len(str(path))


@pytest.mark.parametrize(
  'what', ['MAX_JOINTS_BYTES', 'MAX_CAMERA_BYTES', 'MAX_LISTS', 'MAX_FRAMES']
)
def test_sizes_are_capped_before_parsing(folder, monkeypatch, what):
  monkeypatch.setattr(chi3d_files, what, 5)
  if what != 'MAX_FRAMES':
    monkeypatch.setattr(json, 'loads', json.loads if what == 'MAX_CAMERA_BYTES' else None)
  with pytest.raises(Chi3dError, match=r'larger than 5|more than 5|T in 1\.\.5, got') as caught:
    read_everything(folder)
  assert '\n' not in str(caught.value)


@pytest.mark.parametrize(
  ('gone', 'message'),
  [
    ('chi3d', 'holds no copy of CHI3D; put it there as chi3d/train/'),
    ('chi3d/train/s04', r's04/joints3d_25: no <action>\.json in it; put the copy as chi3d/train'),
    (f'chi3d/train/s02/camera_parameters/{CAMERAS[3]}', r'65906101/Grab 1\.json: no such file'),
  ],
)
def test_what_is_missing_is_named(folder, tmp_path, gone, message):
  root = shutil.copytree(folder, tmp_path / 'copy')
  shutil.rmtree(root / gone)
  with pytest.raises(Chi3dError, match=message) as caught:
    read_everything(root)
  assert '\n' not in str(caught.value)
  with pytest.raises(Chi3dError, match='no such folder; put it there as'):
    read_everything(tmp_path / 'nowhere')


def test_the_folder_may_be_any_of_three(folder, archive):
  for inner in ('chi3d', 'chi3d/train'):
    assert chi3d_files.open_archive(folder / inner).root == archive.root


def test_sides_that_do_not_show_are_an_error_of_the_copy(tmp_path):
  root = made.write(tmp_path)
  for path in root.glob('chi3d/train/*/joints3d_25/*.json'):
    x = made.joints(path.stem)
    x[:, :, [17, 18, 19, 20], :2] = x[:, :, [3, 3, 6, 6], :2]
    made.put(path, {'joints3d_25': x.tolist()})
  with pytest.raises(Chi3dError, match=r'do not tell which leg .*; these are not the poses'):
    chi3d_files.open_archive(root)


def write_video(path, rate=50, length=made.FRAMES):
  av = pytest.importorskip('av')
  path.parent.mkdir(parents=True, exist_ok=True)
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=rate)
    stream.width, stream.height, stream.pix_fmt = 32, 32, 'yuv420p'
    for t in range(length):
      grey = np.full((32, 32, 3), 20 * t, np.uint8)
      container.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format='rgb24')))
    container.mux(stream.encode())


@pytest.fixture
def filmed(tmp_path):
  """Archive, clip and paths of the videos of s04."""
  archive = chi3d_files.open_archive(made.write(tmp_path))
  paths = [archive.root / 's04' / 'videos' / name / 'Kick 1.mp4' for name in CAMERAS]
  for path in paths:
    write_video(path)
  return archive, next(chi3d_files.clips(archive, 's04')), paths


def test_the_rate_is_that_of_the_videos(filmed):
  archive, clip, paths = filmed
  assert chi3d_files.rate_of(archive, clip) == (50.0, '')
  write_video(paths[3], length=made.FRAMES + 1)  # containers may count one more
  assert chi3d_files.rate_of(archive, clip) == (50.0, '')
  write_video(paths[1], length=2 * made.FRAMES)
  with pytest.raises(Chi3dError, match=r'12 frames at 50 per second, but joints3d_25 has 6') as no:
    chi3d_files.rate_of(archive, clip)
  assert str(no.value).startswith(f'{paths[1]}: ') and '\n' not in str(no.value)
  write_video(paths[1], rate=25)
  with pytest.raises(Chi3dError, match='25 frames per second, another camera has 50; copy both'):
    chi3d_files.rate_of(archive, clip)


def test_a_rate_that_cannot_be_checked_is_said(filmed):
  archive, clip, paths = filmed
  paths[2].write_bytes(b'no video')
  fps, note = chi3d_files.rate_of(archive, clip)
  assert fps == 0 and note.startswith(f'the rate could not be checked: {paths[2]}: no video')
  paths[2].unlink()
  fps, note = chi3d_files.rate_of(archive, clip)
  assert fps == 0 and 'no such file' in note and '\n' not in note


def test_without_pyav_a_rate_is_not_checked(folder, tmp_path, monkeypatch):
  root = shutil.copytree(folder, tmp_path / 'copy')
  path = root / 'chi3d/train/s04/videos' / CAMERAS[0] / 'Kick 1.mp4'
  path.parent.mkdir(parents=True)
  path.write_bytes(b'\0')
  real = builtins.__import__

  def without(name, *rest, **more):
    if name == 'av':
      raise ImportError(name)
    return real(name, *rest, **more)

  monkeypatch.setattr(builtins, '__import__', without)
  archive = chi3d_files.open_archive(root)
  note = chi3d_files.rate_of(archive, next(chi3d_files.clips(archive, 's04'))).note
  assert 'the rate could not be checked' in note and 'pip install posejax[video]' in note


def test_kinds_are_held_out_whole():
  names = [f'{kind} {n}' for kind in ('Grab', 'Hug', 'Push') for n in range(4)]
  for share, count in ((0.01, 1), (1 / 3, 1), (0.4, 2), (0.5, 2), (1.0, 2)):
    held = chi3d_split.held_out_kinds(names, share)
    assert len(held) == count and held < {'Grab', 'Hug', 'Push'}
  assert chi3d_split.held_out_kinds(names[::-1], 0.1) == chi3d_split.held_out_kinds(names, 0.1)
  assert [chi3d_split.kind_of(x) for x in ('Grab 12', 'HoldingHands_3', 'a', '7')] == [
    'Grab', 'HoldingHands', 'a', '7']
  with pytest.raises(ValueError, match='one kind of action alone'):
    chi3d_split.held_out_kinds(['Grab 1', 'Grab 2'], 0.5)


def test_sets_share_no_clip(folder, archive):
  split = chi3d_split.read_split(folder, 0.2, 1000)
  held = chi3d_split.held_out_kinds(made.ACTIONS['s03'], 0.2)
  clips = sum(chi3d_split.kind_of(action) in held for action in made.ACTIONS['s03'])
  per_clip = 2 * made.FRAMES
  assert [len(poses) for poses in split.poses] == [
    (2 + 4 - clips) * per_clip, clips * per_clip, per_clip
  ]
  for poses in split.poses:
    assert poses.dtype == np.float32 and poses[..., 2].min() == pytest.approx(0, abs=1e-3)
    np.testing.assert_allclose(poses[:, 0, :2], 0, atol=1e-3)
  test = split.pairs['test']
  clip = next(chi3d_files.clips(archive, 's04'))
  np.testing.assert_array_equal(test.joints, clip.joints)
  for c, camera in enumerate(clip.cameras):
    rotation = np.repeat(camera.camera.rotation[None], made.FRAMES, 0)
    np.testing.assert_allclose(test.rotation[:, c], rotation, atol=1e-6)
    np.testing.assert_allclose(test.translation[:, c], camera.camera.translation[None].repeat(
      made.FRAMES, 0), atol=1e-2)
  assert len(split.pairs['validation'].joints) == clips * made.FRAMES
  assert [len(rows) for rows in chi3d_split.read_split(folder, 0.2, 5).pairs['test']] == [5] * 3


def test_a_subject_of_one_kind_cannot_be_split(tmp_path):
  root = made.write(tmp_path)
  for path in root.glob('chi3d/train/s03/joints3d_25/[GP]*'):
    path.unlink()
  with pytest.raises(Chi3dError, match='s03 holds one kind of action alone; two are needed'):
    chi3d_split.read_split(root, 0.2, 10)


def prepared(manual, data):
  builder = Chi3d(data_dir=data)
  builder.download_and_prepare(download_config=tfds.download.DownloadConfig(manual_dir=manual))
  return builder


def test_the_builder_gives_back_what_was_read(folder, archive, tmp_path):
  with pytest.warns(UserWarning, match=r'Chi3d: 6 of 6 clips: the rate could not be checked'):
    builder = prepared(folder, tmp_path)
  for split, subjects in (('train', ('s02', 's03')), ('test', ('s04',))):
    clips = [clip for subject in subjects for clip in chi3d_files.clips(archive, subject)]
    source = builder.as_data_source(split)
    assert len(source) == len(clips)
    for example, clip in zip(source, clips, strict=True):
      found, rate = clip_from_example(example)
      assert (found.subject, found.action) == (clip.subject, clip.action)
      assert rate.fps == 0 and rate.note.startswith('the rate could not be checked')
      np.testing.assert_array_equal(found.joints, clip.joints)
      for ours, theirs in zip(found.cameras, clip.cameras, strict=True):
        for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
          np.testing.assert_array_equal(a, b.astype(np.float32))
  assert 'tensorflow' not in sys.modules
  files = pathlib.Path(builder.data_dir).iterdir()
  assert tfds.builder_from_directory(builder.data_dir).as_data_source('test')[0]['action']
  assert any('array_record' in path.name for path in files)


def test_a_checked_rate_is_a_field_without_a_warning(filmed, tmp_path):
  archive, _, paths = filmed
  for subject in ('s02', 's03'):
    for action in made.ACTIONS[subject]:
      for path in paths:
        other = archive.root / subject / path.relative_to(archive.root / 's04').parent
        other.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, other / f'{action}.mp4')
  with warnings.catch_warnings():
    warnings.filterwarnings('error', message='Chi3d')
    builder = prepared(archive.root, tmp_path / 'tfds')
  assert clip_from_example(builder.as_data_source('test')[0])[1] == (50.0, '')


@pytest.mark.parametrize(
  ('make', 'message'),
  [
    (lambda path: None, r'Manual directory .*copy does not exist or .*Put your copy of CHI3D'),
    (lambda path: path.mkdir(), 'does not exist or is empty.*chi3d/train/{s02,s03,s04}'),
    (lambda path: (path / 'other').mkdir(parents=True), 'copy: holds no copy of CHI3D; put it'),
  ],
  ids=['missing', 'empty', 'other'],
)
def test_a_manual_dir_without_the_data_is_one_line(tmp_path, make, message):
  make(tmp_path / 'copy')
  with pytest.raises(Chi3dError, match=message) as caught:
    prepared(tmp_path / 'copy', tmp_path / 'tfds')
  assert '\n' not in str(caught.value)
