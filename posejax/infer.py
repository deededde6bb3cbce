"""People in photographs and videos, or in space from their 2D poses alone:

  python -m posejax.infer --checkpoint=runs/unsup --input=photo.jpg --output=out/
  python -m posejax.infer --checkpoint=runs/lifting --poses2d=poses.json --output=out/

The input is a photograph, a video, or a folder of them; 2D poses are COCO key points (photographs),
a folder of OpenPose's JSON, or npz (videos; posejax/data/poses_2d.py), joints may be missing.
Writes for each `<name>.json` (posejax/inference/schema.py), `<name>.npz` of the same,
`<name>.overlay.png` (of 2D poses: what was given beneath what was found), `<name>.3d.png` (from the
camera and from its side) and `<name>.html`, a page to turn the scene by hand; --tiles also looks at
parts of a picture, where people are small (posejax/inference/tiles.py); with --bvh a
`<name>.person<id>.bvh` each; with --smooth, for a video, `<name>.jitter.json`; with --rerun
`<name>.rrd`. For all together `coco_keypoints.json`, `coco_images.json` and `summary.json`.

The same command again goes on where it was cut off: what is finished is kept. Only where an input's
file was replaced (another size or time) is its result made anew, and a line says so. What lies in
the output folder is no input.
Exit code: 0, all inputs done; 1, some were skipped (a line each on stderr and in `summary.json`);
2, nothing could be done as it was asked; 130, stopped by Ctrl-C.

In a program:

  predictor = posejax.infer.load('runs/unsup')
  people = predictor(images)                # (B, H, W, 3) uint8, RGB, any size
  people.joints_camera[0, people.valid[0]]  # (people of the first image, 15, 3) mm
"""

import contextlib
import dataclasses
import math
import os
import pathlib
import sys
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from absl import flags

import posejax
from posejax import command
from posejax.data import images as image_files
from posejax.data import poses_2d, videos
from posejax.data.images import ImageError
from posejax.data.poses_2d import Poses2dError
from posejax.geometry.camera import Intrinsics
from posejax.inference import checkpoint as checkpoint_lib
from posejax.inference import files, inputs, lenses, lifted, results, schema, tiles, tracking
from posejax.inference.options import FPS, Options, UsageError
from posejax.inference.predictor import Levels, Predictor
from posejax.inference.scene import Frame, Kind, Lens, Scene, Stamp
from posejax.inference.smoothing import OneEuro
from posejax.methods.base import People
from posejax.training import machine
from posejax.training.writers import Progress
from posejax.viz import given_poses, pose_views, rerun_recording, scene_files, scene_page

PROGRAM = 'posejax.infer'
METHODS = command.METHODS
_SECOND_STAGE = 'refine'
# Options that are their flags.
_AS_GIVEN = ('batch', 'fov_deg', 'focal_px', 'every', 'pictures', 'bvh', 'rerun', 'refine', 'size',
             'fps', 'still', 'tiles', 'mirror')
_THUMBNAIL = 480  # px, of a video's sheet
_FOR_USERS = (
  UsageError, Poses2dError, schema.SchemaError, files.OutputError,
  checkpoint_lib.CheckpointFolderError,
)


def load(
  checkpoint: str | pathlib.Path, cache: str | pathlib.Path | None = None, batch: int = 8,
  refine: bool | None = None, tiles: int = 1, mirror: bool | None = None,
) -> Predictor:
  """Opens a finished run for images in memory; the module shows its use.

  Args:
    checkpoint: workdir of the training.
    cache: where its stages live; in the workdir where None.
    batch: views of a call: images, without `tiles`. More take several calls, fewer are padded.
    refine: True: the run must have a second stage; False: it is left out; None: as the run is.
    tiles: 2, 4 or 8 also looks at parts of an image, where people are small.
    mirror: whether each view's mirror image is looked at too; None: as the run's config says.

  Returns:
    What takes images (B, H, W, 3) uint8 and gives `posejax.methods.base.People`, batched.

  Raises:
    CheckpointFolderError, CheckpointError, UsageError: no run, an unfinished or damaged one, or one
      without second stage; one line.
    ValueError: `batch` or `tiles` cannot be.
  """
  opened = _open(pathlib.Path(checkpoint), cache and pathlib.Path(cache), refine, mirror)
  return Predictor(opened, batch, tiles)


def _open(
  folder: pathlib.Path, cache: pathlib.Path | None, refine: bool | None, mirror: bool | None
) -> checkpoint_lib.Run:
  without = (_SECOND_STAGE,) if refine is False else ()
  run = checkpoint_lib.load(folder, METHODS, cache, without)
  if refine and not run.products[_SECOND_STAGE].params:
    raise UsageError(f'--refine: {folder} has no second stage (config.refine.steps is 0); leave it '
                     'out, or train with --config.refine.steps=...')
  return run if mirror is None else checkpoint_lib.mirrored(run, mirror)


def run(options: Options) -> int:
  """Does what the options ask for; the exit code."""

  def act() -> int:
    options.check()
    if options.rerun and not rerun_recording.available():
      raise UsageError('--rerun needs rerun-sdk: pip install posejax[viewer]')
    return _of_pictures(options) if options.poses2d is None else _of_poses(options)

  return command.attempt(PROGRAM, act, _FOR_USERS, 'stopped; the same command goes on')


def _of_pictures(options: Options) -> int:
  given = inputs.find(options.input, options.output)
  opened = _open(options.checkpoint, options.cache, options.refine, options.mirror)
  with files.claimed(options.output, {**options.record(), **opened.record()}):
    work = _Pictures(options, opened, given.root)
    for line in given.skipped:
      work.skip(line)
    work.photographs(given.photographs)
    for path in given.videos:
      work.video(path)
    return work.finish()


def _of_poses(options: Options) -> int:
  opened = checkpoint_lib.load(options.checkpoint, METHODS, options.cache, poses_2d=True)
  stamp = lifted.stamp(options.poses2d)  # before it is read
  given, skipped = lifted.sort(options.poses2d, poses_2d.read(options.poses2d), options)
  with files.claimed(options.output, {**options.record(), **opened.record()}):
    work = _Poses(options, opened)
    for line in skipped:
      work.skip(line)
    work.lift(given, stamp, opened.method.lift(opened.config, opened.products))
    return work.finish()


class _Work:
  """One run: makes results, writes them, counts what was skipped."""

  def __init__(self, options: Options, opened: checkpoint_lib.Run):
    self._options = options
    self._skeleton, self._checkpoint = opened.method.skeleton, opened.name
    self._results = results.Results(options.output, options.bvh)
    self._skipped: list[str] = []
    self._done = self._kept = 0

  def skip(self, line: str) -> None:
    self._tell(f'skipped: {line}')
    self._skipped.append(line)

  def _tell(self, line: str) -> None:
    print(f'{PROGRAM}: {line}', file=sys.stderr)

  def finish(self) -> int:
    self._results.finish(self._skipped)
    said = f'{self._done} done, {self._kept} kept from before, {len(self._skipped)} skipped'
    print(f'{self._options.output}: {said}')
    if not self._done and not self._kept:
      return 2
    return 1 if self._skipped else 0

  def _add(self, scene: Scene, small: Mapping[int, pose_views.Small | None]) -> None:
    """Writes a result; of a video with ids, smoothed where wanted.

    Raises:
      SchemaError: it is too large.
    """
    smooth, jitter = self._options.smooth, None
    if scene.kind == 'video':
      scene, jitter = results.tracked(scene, smooth, tracking.track)
      if smooth:
        scene = dataclasses.replace(scene, notes=(
          *scene.notes, f'smoothed by One-Euro filters: cut-off {smooth.cutoff:g} Hz, '
          f'beta {smooth.beta:g} Hz per mm/s',
        ))
    self._results.add(scene, self._drawn(scene, small), jitter)
    self._done += 1

  def _scene(self, name, kind: Kind, size, fps, lens: Lens, notes, stamp: Stamp) -> Scene:
    return Scene(
      name, kind, *size, fps, self._skeleton, lens, (),
      f'posejax {posejax.__version__}', self._checkpoint,
      (*notes, *tiles.notes(self._options.tiles)), stamp,
    )

  def _drawn(self, scene: Scene, small: Mapping[int, pose_views.Small | None]) -> dict:
    """Ending → what writes such a file."""
    shown = scene_files.Shown(
      scene.file,
      [scene_page.Moment(*frame[1:]) for frame in scene.frames],  # all but the index
      scene.skeleton, Intrinsics(scene.lens.focal, scene.lens.center),
      (scene.width, scene.height), scene.fps, (f'Intrinsics: {scene.lens.note}.', *scene.notes),
    )
    pictures = scene_files.pictures(shown, small) if self._options.pictures else {}
    return pictures | (scene_files.recording(shown) if self._options.rerun else {})


class _Poses(_Work):
  """Lifts 2D poses."""

  def lift(self, given: Sequence[lifted.Given], stamp: Stamp, lift: lifted.Lift) -> None:
    """A result at a time."""
    path, bad, replaced, left_out = self._options.poses2d, [], [], 0
    with contextlib.closing(Progress(path.name, len(given), unit='result')) as progress:
      for one in given:
        try:
          if self._results.finished(one.name, stamp, replaced.append):
            self._kept += 1
          else:
            frames, missing = lifted.lifted(one, lift, self._options.still)
            notes = (*lifted.NOTES, *([lifted.left_out(missing)] if missing else []))
            scene = self._scene(one.name, one.kind, one.size, one.fps, one.lens, notes, stamp)
            self._add(dataclasses.replace(scene, frames=frames), self._backdrops(one))
            left_out += missing
        except schema.SchemaError as error:
          bad.append(str(error))
        progress.advance()
    if replaced:  # one file, whatever the number of its results
      self._tell(f'{path}: was replaced since its results were made, which are made anew')
    if left_out:
      self._tell(f'{path}: {lifted.left_out(left_out)}')
    for line in bad:
      self.skip(line)

  def _backdrops(self, given: lifted.Given) -> dict[int, pose_views.Small]:
    if not self._options.pictures:
      return {}
    longest = pose_views.LONGEST if given.kind == 'photo' else _THUMBNAIL
    return given_poses.backdrops(
      given.size, given.frames, self._skeleton, longest, scene_files.SHEET
    )


class _Pictures(_Work):
  """Reads photographs and videos and calls the network."""

  def __init__(self, options: Options, opened: checkpoint_lib.Run, root: pathlib.Path):
    super().__init__(options, opened)
    self._root, self._predictor = root, Predictor(opened, options.batch, options.tiles)

  def photographs(self, paths) -> None:
    """Reads photographs, a batch at a time."""
    waiting: list[tuple[Scene, Levels, pose_views.Small | None]] = []
    bad, told = [], []
    if not paths:
      return
    with contextlib.closing(Progress('photographs', len(paths), unit='file')) as progress:
      for path in paths:
        try:
          name, stamp = inputs.name(path, self._root), inputs.stamp(path)
          if self._results.finished(name, stamp, told.append):
            self._kept += 1
          else:
            waiting.append(self._photograph(path, name, stamp))
        except (ImageError, schema.SchemaError) as error:
          bad.append(str(error))
        progress.advance()
        if self._predictor.full(levels for _, levels, _ in waiting):
          self._write(waiting)
          waiting = []
      self._write(waiting)
    for line in told:  # now that the bar's line has ended
      self._tell(line)
    for line in bad:
      self.skip(line)

  def _photograph(self, path: pathlib.Path, name: str, stamp: Stamp):
    photo = image_files.read_image(path, self._options.fov_deg)
    height, width = photo.pixels.shape[:2]
    lens = lenses.of_picture(
      (width, height), photo.intrinsics, photo.intrinsics_from, self._options
    )
    scene = self._scene(name, 'photo', (width, height), None, lens, photo.notes, stamp)
    levels = self._predictor.levels(photo.pixels, Intrinsics(lens.focal, lens.center))
    return scene, levels, pose_views.shrink(photo.pixels) if self._options.pictures else None

  def _write(self, waiting) -> None:
    frames = self._called([(0, 0.0, levels) for _, levels, _ in waiting])
    for (scene, _, small), frame in zip(waiting, frames, strict=True):
      identity = np.cumsum(frame.people.valid, dtype=np.int32)  # from 1, as in videos
      frame = frame._replace(people=frame.people._replace(identity=identity))
      self._add(dataclasses.replace(scene, frames=(frame,)), {0: small})

  def video(self, path: pathlib.Path) -> None:
    """Reads a video, follows its people, writes it."""
    try:
      name, stamp = inputs.name(path, self._root), inputs.stamp(path)
      if self._results.finished(name, stamp, self._tell):
        self._kept += 1
        return
      with videos.Video(
        path, self._options.every, field_of_view=self._options.fov_deg
      ) as video:
        info = video.info
        lens = lenses.of_picture(info.size, info.intrinsics, info.intrinsics_from, self._options)
        total = math.ceil(info.stated_frames / self._options.every)
        frames, thumbnails = self._frames(video, lens, Progress(name, total, unit='frame'))
        problems = tuple(video.problems)
    except (ImageError, schema.SchemaError) as error:
      self.skip(str(error))
      return
    for line in problems:
      self._tell(line)
    rate = info.fps / self._options.every
    scene = self._scene(name, 'video', info.size, rate, lens, problems, stamp)
    try:
      self._add(dataclasses.replace(scene, frames=tuple(frames)), thumbnails)
    except schema.SchemaError as error:
      self.skip(str(error))

  def _frames(self, video: videos.Video, lens: Lens, progress: Progress):
    """([Frame], {position: Small}) of a video; thumbnails evenly over it, however long it is."""
    frames: list[Frame] = []
    thumbnails: dict[int, pose_views.Small] = {}
    every, waiting, people = 1, [], 0
    with contextlib.closing(progress):
      for frame in video:
        position = len(frames) + len(waiting)
        if self._options.pictures and position % every == 0:
          thumbnails[position] = pose_views.shrink(frame.pixels, _THUMBNAIL)
          if len(thumbnails) == 2 * scene_files.SHEET:
            every *= 2
            thumbnails = {at: one for at, one in thumbnails.items() if at % every == 0}
        levels = self._predictor.levels(frame.pixels, Intrinsics(lens.focal, lens.center))
        waiting.append((frame.index, frame.time, levels))
        if self._predictor.full(levels for _, _, levels in waiting):
          frames += self._called(waiting)
          people += sum(int(frame.people.valid.sum()) for frame in frames[-len(waiting) :])
          schema.check_size(
            video.path.name, people, len(frames), self._skeleton.num_joints
          )
          progress.advance(len(waiting))
          waiting = []
      frames += self._called(waiting)
      progress.advance(len(waiting))
    return frames, thumbnails

  def _called(self, waiting) -> Iterator[Frame]:
    if not waiting:
      return
    people = self._predictor.of_levels([levels for _, _, levels in waiting])
    for i, (index, time, _) in enumerate(waiting):
      mine = People(*(field[i] for field in people))
      yield Frame(index, time, mine, np.zeros(mine.valid.shape, bool))


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  flags.DEFINE_string('checkpoint', None, 'workdir of a finished training')
  flags.DEFINE_string('input', None, 'a photograph, a video, or a folder of them')
  flags.DEFINE_string('poses2d', None, 'COCO JSON, a folder of OpenPose JSON, or npz: 2D poses')
  flags.DEFINE_string('output', None, 'folder for the results; the same command again goes on')
  flags.DEFINE_string('cache', '', 'folder of the training\'s stages, if they were shared')
  flags.DEFINE_integer('batch', 8, 'views of a call')
  flags.DEFINE_float('fov_deg', None, 'field of view along the longer side, if you know it')
  flags.DEFINE_float('focal_px', None, 'focal length in px of the inputs, if you know it')
  flags.DEFINE_integer('every', 1, 'of a video every n-th frame')
  flags.DEFINE_bool('smooth', False, 'smooth videos (One-Euro), with a report of the acceleration')
  flags.DEFINE_float('smooth_cutoff', OneEuro().cutoff, 'Hz: lower is smoother and lags more')
  flags.DEFINE_float('smooth_beta', OneEuro().beta, 'Hz per mm/s: higher lags less in fast motion')
  flags.DEFINE_bool('pictures', True, 'overlays, 3D figures and pages')
  flags.DEFINE_bool('bvh', False, 'a BVH file for each person')
  flags.DEFINE_bool('rerun', False, 'a rerun recording (extra viewer)')
  flags.DEFINE_string('size', '', 'WIDTHxHEIGHT px of what 2D poses are of, if the file lacks it')
  flags.DEFINE_float('fps', None, f'frames a second of a video\'s 2D poses; {FPS:g} if not given')
  flags.DEFINE_bool('still', False, 'one unmoved camera took all 2D poses: its pitch is averaged')
  flags.DEFINE_bool('refine', None, 'the second stage; where not given, as it was trained')
  flags.DEFINE_bool('mirror', None, 'also look at the mirror image: better, twice the time')
  flags.DEFINE_integer('tiles', 1, '2, 4 or 8: also parts of 1/2, ... of a picture: small people')


def main(arguments: list[str]) -> None:
  command.refuse_words(arguments)
  given = flags.FLAGS
  folder = pathlib.Path(given.checkpoint)
  # Nothing is made where there is no run.
  machine.prepare(folder if os.path.isdir(folder) else None)
  smooth = OneEuro(given.smooth_cutoff, given.smooth_beta) if given.smooth else None
  sys.exit(run(Options(
    checkpoint=folder, output=pathlib.Path(given.output), smooth=smooth,
    **{name: _path(given[name].value) for name in ('input', 'cache', 'poses2d')},
    **{name: given[name].value for name in _AS_GIVEN},
  )))


def _path(given: str | None) -> pathlib.Path | None:
  return pathlib.Path(given) if given else None


if __name__ == '__main__':
  define_flags()
  command.start(main, ('checkpoint', 'output'))
