"""`posejax.infer`: files of every kind for photographs, folders, videos; bad ones are one line."""

import dataclasses
import errno
import json
import os
import pathlib
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from posejax import infer
from posejax.inference import files, schema
from posejax.inference import scene as scene_lib
from posejax.inference.smoothing import OneEuro
from posejax.training.stages import WorkdirError
from tests.inference import toy_run


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  return toy_run.finish(tmp_path_factory.mktemp('run'))


@pytest.fixture(autouse=True)
def toy(monkeypatch):
  monkeypatch.setattr(infer, 'METHODS', {'toy': toy_run.METHOD})


def save(path, x=220, y=60, color=(255, 0, 0), width=300, height=200, **options):
  path.parent.mkdir(parents=True, exist_ok=True)
  Image.fromarray(toy_run.photograph(width, height, x, y, color)).save(path, **options)


def go(checkpoint, source, out, **options):
  return infer.run(infer.Options(checkpoint, source, out, **{'pictures': False, **options}))


def lines(capsys):
  return [line for line in capsys.readouterr().err.splitlines() if line.startswith('posejax.')]


def test_a_photograph(checkpoint, tmp_path):
  save(tmp_path / 'in' / 'a.png', color=(255, 255, 0))
  out = tmp_path / 'out'
  assert go(checkpoint, tmp_path / 'in' / 'a.png', out, pictures=True, bvh=True) == 0
  assert {path.name for path in out.iterdir()} == {
    '.lock', 'infer.json', 'summary.json', 'coco_keypoints.json', 'coco_images.json',
    *(f'a.png.{ending}' for ending in (
      'json', 'npz', 'html', '3d.png', 'overlay.png', 'person1.bvh', 'person2.bvh')),
  }
  scene = schema.load(out / 'a.png.json')
  assert (scene.file, scene.kind, scene.width, scene.height) == ('a.png', 'photo', 300, 200)
  assert scene.lens.source == 'assumed' and '53.1 degrees' in scene.lens.note
  assert scene.lens.focal.tolist() == [300, 300] and str(checkpoint) == scene.checkpoint
  first, second = scene_lib.rows(scene)
  assert (first.identity, second.identity) == (1, 2)
  np.testing.assert_allclose(first.joints_camera[0], (700, -400, 3000), atol=25)
  np.testing.assert_allclose(second.joints_camera[0], (-700, -400, 3000), atol=25)
  results = json.loads((out / 'coco_keypoints.json').read_text())
  assert [result['image_id'] for result in results] == [1, 1]
  assert json.loads((out / 'summary.json').read_text()) == {
    'inputs': [{'file': 'a.png', 'kind': 'photo', 'frames': 1, 'people': 2}], 'skipped': [],
  }
  with Image.open(out / 'a.png.overlay.png') as overlay:
    assert overlay.size == (300, 200)


def test_intrinsics_and_where_they_are_from(checkpoint, tmp_path):
  exif = Image.Exif()
  exif.get_ifd(0x8769)[0xA405] = 50  # mm, over a diagonal of 43.27 mm
  save(tmp_path / 'a.jpg', exif=exif, quality=95, subsampling=0)
  diagonal = np.hypot(300, 200)
  for number, (options, source, focal) in enumerate((
    ({}, 'exif', 50 / np.hypot(36, 24) * diagonal), ({'focal_px': 600.0}, 'flag', 600),
    ({'fov_deg': 90.0}, 'flag', 150),
  )):
    out = tmp_path / f'out{number}'
    assert go(checkpoint, tmp_path / 'a.jpg', out, **options) == 0
    scene = schema.load(out / 'a.jpg.json')
    assert scene.lens.source == source and scene.lens.focal[0] == pytest.approx(focal, abs=1e-3)
    (row,) = scene_lib.rows(scene)
    # As far away as it must be to look so large: 3 m at 300 px.
    assert row.depth == pytest.approx(3000 * focal / 300, rel=1e-4)
    np.testing.assert_allclose(row.joints_2d[0], (219.5, 59.5), atol=2.5)


def test_a_folder_with_bad_files(checkpoint, tmp_path, capsys):
  folder = tmp_path / 'in'
  save(folder / 'a.png')
  save(folder / 'sub' / 'b.png', x=100)
  (folder / 'c.jpg').write_bytes(b'\xff\xd8 no picture')
  (folder / 'd.png').touch()
  out = tmp_path / 'out'
  assert go(checkpoint, folder, out, batch=4) == 1
  told = lines(capsys)
  assert len(told) == 2 and 'c.jpg' in told[0] and 'd.png' in told[1]
  assert schema.load(out / 'sub' / 'b.png.json').file == 'sub/b.png'
  summary = json.loads((out / 'summary.json').read_text())
  assert [one['file'] for one in summary['inputs']] == ['a.png', 'sub/b.png']
  assert len(summary['skipped']) == 2


def test_nothing_at_all(checkpoint, tmp_path, capsys):
  (tmp_path / 'c.jpg').write_bytes(b'no')
  assert go(checkpoint, tmp_path / 'c.jpg', tmp_path / 'out') == 2
  (tmp_path / 'empty').mkdir()
  assert go(checkpoint, tmp_path / 'empty', tmp_path / 'out2') == 2
  assert go(checkpoint, tmp_path / 'gone.jpg', tmp_path / 'out3') == 2
  assert not (tmp_path / 'out2').exists()
  told = lines(capsys)
  assert 'holds no photograph or video' in told[1] and 'gone.jpg: cannot be read' in told[2]


def test_the_same_command_goes_on(checkpoint, tmp_path, capsys):
  save(tmp_path / 'in' / 'a.png')
  out = tmp_path / 'out'
  assert go(checkpoint, tmp_path / 'in', out) == 0
  before = (out / 'a.png.json').stat().st_mtime_ns
  save(tmp_path / 'in' / 'b.png', x=80)
  toy_run.CALLS.clear()
  assert go(checkpoint, tmp_path / 'in', out) == 0
  assert '1 done, 1 kept from before, 0 skipped' in capsys.readouterr().out
  assert (out / 'a.png.json').stat().st_mtime_ns == before and toy_run.CALLS == [1]
  images = json.loads((out / 'coco_images.json').read_text())
  assert [(one['id'], one['file_name']) for one in images] == [(1, 'a.png'), (2, 'b.png')]
  assert len(json.loads((out / 'coco_keypoints.json').read_text())) == 2


def test_a_damaged_result_is_told_and_kept(checkpoint, tmp_path, capsys):
  save(tmp_path / 'in' / 'a.png')
  save(tmp_path / 'in' / 'b.png', x=80)
  out = tmp_path / 'out'
  assert go(checkpoint, tmp_path / 'in', out) == 0
  (out / 'a.png.npz').write_text('{')
  assert go(checkpoint, tmp_path / 'in', out) == 1
  (line,) = lines(capsys)
  assert 'a.png.npz: no result that can be read' in line
  assert f'delete {out / "a.png.json"} to have it made again' in line
  assert (out / 'a.png.npz').read_text() == '{'
  (out / 'a.png.json').unlink()
  assert go(checkpoint, tmp_path / 'in', out) == 0


def test_a_replaced_photograph_is_made_anew(checkpoint, tmp_path, capsys):
  save(tmp_path / 'in' / 'a.png', color=(255, 255, 0))  # two people
  save(tmp_path / 'in' / 'b.png')
  out = tmp_path / 'out'
  assert go(checkpoint, tmp_path / 'in', out, bvh=True) == 0
  kept = (out / 'b.png.json').stat().st_mtime_ns
  save(tmp_path / 'in' / 'a.png', x=100)  # one
  capsys.readouterr()
  assert go(checkpoint, tmp_path / 'in', out, bvh=True) == 0
  told = capsys.readouterr()
  assert 'a.png: was replaced since its result was made' in told.err
  assert '1 done, 1 kept' in told.out
  (row,) = scene_lib.rows(schema.load(out / 'a.png.json'))
  np.testing.assert_allclose(row.joints_2d[0], (99.5, 59.5), atol=2.5)
  assert [path.name for path in sorted(out.glob('a*.bvh'))] == ['a.png.person1.bvh']
  assert (out / 'b.png.json').stat().st_mtime_ns == kept
  assert len(json.loads((out / 'coco_keypoints.json').read_text())) == 2


def test_lists_do_not_depend_on_where_a_run_was_cut_off(checkpoint, tmp_path):
  for name in ('b.png', 'a.png', 'c.png'):
    save(tmp_path / 'in' / name)
    assert go(checkpoint, tmp_path / 'in', tmp_path / 'often') == 0
  assert go(checkpoint, tmp_path / 'in', tmp_path / 'once') == 0
  for name in ('coco_keypoints.json', 'coco_images.json', 'summary.json'):
    assert (tmp_path / 'often' / name).read_text() == (tmp_path / 'once' / name).read_text()
  images = json.loads((tmp_path / 'once' / 'coco_images.json').read_text())
  assert [(one['id'], one['file_name']) for one in images] == [
    (1, 'a.png'), (2, 'b.png'), (3, 'c.png')]


def test_an_output_in_the_input(checkpoint, tmp_path, capsys):
  """The pictures of the first run are no inputs of the second, and equal files are two."""
  folder = tmp_path / 'in'
  save(folder / 'a.png')
  save(folder / 'copy of a.png')
  for words in ('2 done, 0 kept', '0 done, 2 kept'):
    assert go(checkpoint, folder, folder / 'out', pictures=True) == 0
    assert words in capsys.readouterr().out


def test_odd_names(checkpoint, tmp_path, capsys):
  folder = tmp_path / 'in'
  for name in ('$x$_{.png', f'{"y" * 246}.png'):
    save(folder / name)
  assert go(checkpoint, folder, tmp_path / 'out', pictures=True) == 0
  assert not lines(capsys) and len(list((tmp_path / 'out').glob('*.3d.png'))) == 2
  assert go(checkpoint, folder, tmp_path / 'out', pictures=True) == 0
  assert '0 done, 2 kept' in capsys.readouterr().out


def test_paths_that_the_system_refuses(checkpoint, tmp_path, capsys):
  save(tmp_path / 'a.png')
  long = tmp_path / ('x' * 300)
  for source, folder, out in (
    (long, checkpoint, tmp_path / 'out'), (tmp_path / 'a.png', long, tmp_path / 'out'),
    (tmp_path / 'a.png', checkpoint, long),
  ):
    assert go(folder, source, out) == 2
  told = lines(capsys)
  assert len(told) == 3
  for line, words in zip(told, ('cannot be read', 'no run is here', 'cannot be written'),
                         strict=True):
    assert words in line


@pytest.mark.parametrize(('error', 'code', 'words'), [
  (WorkdirError('stages/fit: of another version'), 2, 'stages/fit: of another version'),
  (KeyboardInterrupt(), 130, 'stopped; the same command goes on'),
])
def test_what_the_user_can_mend_is_one_line(tmp_path, capsys, monkeypatch, error, code, words):
  def fail(*unused):
    raise error

  save(tmp_path / 'a.png')
  monkeypatch.setattr(infer.checkpoint_lib, 'load', fail)
  assert go(tmp_path, tmp_path / 'a.png', tmp_path / 'out') == code
  assert lines(capsys) == [f'posejax.infer: {words}']


def test_other_options_need_another_folder(checkpoint, tmp_path, capsys):
  save(tmp_path / 'a.png')
  out = tmp_path / 'out'
  assert go(checkpoint, tmp_path / 'a.png', out) == 0
  text = (out / 'a.png.json').read_text()
  assert go(checkpoint, tmp_path / 'a.png', out, fov_deg=70.0) == 2
  assert 'holds results of another fov_deg (None, now 70.0)' in lines(capsys)[0]
  assert (out / 'a.png.json').read_text() == text


def test_two_runs_in_one_folder(checkpoint, tmp_path, capsys):
  save(tmp_path / 'a.png')
  out = tmp_path / 'out'
  with files.claimed(out, {}):
    assert go(checkpoint, tmp_path / 'a.png', out) == 2
  assert 'another run is at work in it' in lines(capsys)[0]


def test_a_full_disk_is_one_line_and_goes_on_later(checkpoint, tmp_path, capsys, monkeypatch):
  save(tmp_path / 'in' / 'a.png')
  save(tmp_path / 'in' / 'b.png', x=80)
  out = tmp_path / 'out'
  real = os.replace

  def full(source, target):
    if pathlib.Path(target).name == 'b.png.npz':
      raise OSError(errno.ENOSPC, 'No space left on device')
    real(source, target)

  monkeypatch.setattr(os, 'replace', full)
  assert go(checkpoint, tmp_path / 'in', out) == 2
  (line,) = lines(capsys)
  assert 'b.png.npz: cannot be written (No space left on device)' in line
  assert not list(out.glob('*.tmp')) and not (out / 'b.png.json').exists()
  monkeypatch.undo()
  monkeypatch.setattr(infer, 'METHODS', {'toy': toy_run.METHOD})
  assert go(checkpoint, tmp_path / 'in', out) == 0
  assert '1 done, 1 kept' in capsys.readouterr().out


def test_names_that_no_screen_can_show(checkpoint, tmp_path, capsys):
  folder = tmp_path / 'in'
  save(folder / 'a\nb.png')
  save(folder / 'a\tb.png', x=80)
  assert go(checkpoint, folder, tmp_path / 'out') == 0
  names = [path.name for path in (tmp_path / 'out').glob('a*.json')]
  assert len(names) == 2 and all(name.isprintable() for name in names)


def write_video(path, frames):
  av = pytest.importorskip('av')
  with av.open(str(path), 'w') as container:
    stream = container.add_stream('mpeg4', rate=10)
    stream.width, stream.height, stream.pix_fmt = 320, 192, 'yuv420p'
    stream.bit_rate = 4_000_000
    for pixels in frames:
      for packet in stream.encode(av.VideoFrame.from_ndarray(pixels, format='rgb24')):
        container.mux(packet)
    for packet in stream.encode():
      container.mux(packet)


def test_a_video(checkpoint, tmp_path, capsys):
  """A person that staggers to the right, 10 px a frame, and is not seen in frame 3."""
  frames = [toy_run.photograph(320, 192, 80 + 10 * (t + t % 2), 90, radius=16) for t in range(8)]
  frames[3][:] = 90
  write_video(tmp_path / 'walk.mp4', frames)
  out = tmp_path / 'out'
  code = go(
    checkpoint, tmp_path / 'walk.mp4', out, pictures=True, bvh=True, smooth=OneEuro(5.0), batch=3
  )
  assert code == 0
  scene = schema.load(out / 'walk.mp4.json')
  rows = scene_lib.rows(scene)
  assert scene.kind == 'video' and scene.fps == 10 and len(scene.frames) == 8
  assert [row.identity for row in rows] == [1] * 8
  assert [row.bridged for row in rows] == [t == 3 for t in range(8)]
  # f = 320 px, 3 m: 93.75 mm a frame.
  steps = np.diff([row.joints_camera[0, 0] for row in rows])
  assert steps.mean() == pytest.approx(93.75, rel=0.3)
  assert any('One-Euro' in note for note in scene.notes)
  jitter = json.loads((out / 'walk.mp4.jitter.json').read_text())
  assert jitter['camera']['unit'] == 'mm/s^2'
  assert 0 < jitter['camera']['after'] < jitter['camera']['before']
  for ending in ('html', '3d.png', 'overlay.png', 'npz', 'person1.bvh'):
    assert (out / f'walk.mp4.{ending}').stat().st_size > 100
  assert 'skipped' not in capsys.readouterr().err


def test_a_video_of_too_many(checkpoint, tmp_path, capsys, monkeypatch):
  write_video(tmp_path / 'walk.mp4', [toy_run.photograph(320, 192, 80, 90, radius=16)] * 8)
  monkeypatch.setattr(schema, 'MAX_LISTS', 2000 + 5 * 52)  # a person of a frame: 50 and 2
  assert go(checkpoint, tmp_path / 'walk.mp4', tmp_path / 'out', batch=3) == 2
  (line,) = lines(capsys)
  assert 'walk.mp4: 6 people over 6 frames are more than a result holds; cut the video' in line
  assert not list((tmp_path / 'out').glob('walk*'))


def test_a_video_that_is_none(checkpoint, tmp_path, capsys):
  (tmp_path / 'a.mp4').write_bytes(b'x' * 100)
  assert go(checkpoint, tmp_path / 'a.mp4', tmp_path / 'out') == 2
  assert 'a.mp4' in lines(capsys)[0]


@pytest.mark.parametrize(('options', 'words'), [
  ({'batch': 0}, '--batch must be'), ({'fov_deg': 200.0}, '--fov_deg=200'),
  ({'focal_px': float('nan')}, '--focal_px=nan'),
  ({'fov_deg': 50.0, 'focal_px': 5.0}, 'say the same'),
  ({'smooth': OneEuro(-1)}, '--smooth_cutoff'),
  ({'refine': True}, 'has no second stage (config.refine.steps is 0)'),
  ({'tiles': 3}, '--tiles=3: it must be 1, 2, 4 or 8'),
  ({'mirror': True}, 'method toy has no use for mirror images; leave --mirror out'),
])
def test_wrong_wishes(checkpoint, tmp_path, capsys, options, words):
  save(tmp_path / 'a.png')
  assert go(checkpoint, tmp_path / 'a.png', tmp_path / 'out', **options) == 2
  (line,) = lines(capsys)
  assert words in line and not (tmp_path / 'out').exists()


def test_rerun_that_is_not_installed(checkpoint, tmp_path, capsys, monkeypatch):
  monkeypatch.setattr(infer.rerun_recording, 'available', lambda: False)
  assert go(checkpoint, tmp_path, tmp_path / 'out', rerun=True) == 2
  assert '--rerun needs rerun-sdk: pip install posejax[viewer]' in lines(capsys)[0]


def test_no_run(tmp_path, capsys):
  save(tmp_path / 'a.png')
  assert go(tmp_path / 'none', tmp_path / 'a.png', tmp_path / 'out') == 2
  assert 'no run is here' in lines(capsys)[0] and not (tmp_path / 'out').exists()


def test_in_a_program(checkpoint):
  predictor = infer.load(checkpoint)
  people = predictor(np.stack([toy_run.photograph(300, 200, 220, 60)] * 2))
  assert people.valid.tolist() == [[True, False]] * 2
  assert people.joints_camera[0, people.valid[0]].shape == (1, 15, 3)
  with pytest.raises(infer.UsageError):
    infer.load(checkpoint, refine=True)


def test_options_are_flags():
  """Every option of the program can be given; entry points can be imported together."""
  code = (
    'import posejax.infer, posejax.export, posejax.train\n'
    'from absl import flags\nposejax.infer.define_flags()\n'
    'own = flags.FLAGS.flags_by_module_dict()["posejax.infer"]\n'
    'print(" ".join(flag.name for flag in own))'
  )
  done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=False)
  assert done.returncode == 0, done.stderr
  names = {field.name for field in dataclasses.fields(infer.Options)}
  assert set(done.stdout.split()) == {*names, 'smooth_cutoff', 'smooth_beta'}
