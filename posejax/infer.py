"""People in photographs and videos:

  python -m posejax.infer --checkpoint=runs/unsup --input=photo.jpg --output=out/

The input is a photograph, a video, or a folder of them. Writes for each `<name>.json`
(posejax/inference/schema.py), `<name>.npz` of the same, `<name>.overlay.png`, `<name>.3d.png` (from
the camera and from its side) and `<name>.html`, a page to turn the scene by hand; with --bvh a
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
from collections.abc import Iterator

import numpy as np
from absl import flags

import posejax
from posejax import command
from posejax.data import images as image_files
from posejax.data import videos
from posejax.data.images import ImageError
from posejax.geometry.camera import Intrinsics
from posejax.inference import checkpoint as checkpoint_lib
from posejax.inference import files, inputs, results, schema, tracking
from posejax.inference.predictor import Predictor, Square
from posejax.inference.scene import Frame, Kind, Lens, Scene, Stamp
from posejax.inference.smoothing import OneEuro
from posejax.methods.base import People
from posejax.training import machine
from posejax.training.writers import Progress
from posejax.viz import pose_views, rerun_recording, scene_files, scene_page

PROGRAM = 'posejax.infer'
METHODS = command.METHODS
_SECOND_STAGE = 'refine'
_THUMBNAIL = 480  # px, of a video's sheet


class UsageError(ValueError):
  """Options that do not go together. One line."""


_FOR_USERS = (UsageError, files.OutputError, checkpoint_lib.CheckpointFolderError)


@dataclasses.dataclass(frozen=True)
class Options:
  """What the command line asks for.

  Attributes:
    checkpoint: workdir of a training.
    input: photograph, video, or folder.
    output: folder of the results.
    cache: of the training's stages; None: in its workdir.
    batch: images of a call.
    fov_deg: field of view along the longer side; None: EXIF's, or assumed.
    focal_px: focal length of all inputs; None as before.
    every: of a video every n-th frame.
    smooth: One-Euro filters on videos; None leaves them out.
    pictures: whether pictures and pages are made.
    bvh: whether BVH is written.
    rerun: whether rerun recordings are.
    refine: True asks for the second stage, False leaves it out, None takes it where there is one.
  """

  checkpoint: pathlib.Path
  input: pathlib.Path
  output: pathlib.Path
  cache: pathlib.Path | None = None
  batch: int = 8
  fov_deg: float | None = None
  focal_px: float | None = None
  every: int = 1
  smooth: OneEuro | None = None
  pictures: bool = True
  bvh: bool = False
  rerun: bool = False
  refine: bool | None = None

  def check(self) -> None:
    """Raises UsageError where a value, or two together, make no sense."""
    if not 1 <= self.batch <= 1024 or not 1 <= self.every <= 10_000:
      raise UsageError('--batch must be 1 to 1024, --every 1 to 10000')
    if self.fov_deg is not None and not 1 <= self.fov_deg <= 170:
      raise UsageError(f'--fov_deg={self.fov_deg:g}: it must be from 1 to 170 degrees')
    if self.focal_px is not None and not 1 <= self.focal_px <= 1e6:
      raise UsageError(f'--focal_px={self.focal_px:g}: it must be from 1 to 1e6 px')
    if self.fov_deg is not None and self.focal_px is not None:
      raise UsageError('--fov_deg and --focal_px say the same: give one of them')
    if self.smooth and not (
      1e-3 <= self.smooth.cutoff <= 1e3 and 0 <= self.smooth.beta <= 1e3
    ):
      raise UsageError('--smooth_cutoff must be 0.001 to 1000 Hz, --smooth_beta 0 to 1000')
    if self.rerun and not rerun_recording.available():
      raise UsageError('--rerun needs rerun-sdk: pip install posejax[viewer]')


def load(
  checkpoint: str | pathlib.Path, cache: str | pathlib.Path | None = None, batch: int = 8,
  refine: bool | None = None,
) -> Predictor:
  """Opens a finished run for images in memory; the module shows its use.

  Args:
    checkpoint: workdir of the training.
    cache: where its stages live; in the workdir where None.
    batch: images of a call; more are taken in several calls, fewer are padded to it.
    refine: True: the run must have a second stage; False: it is left out; None: as the run is.

  Returns:
    What takes images (B, H, W, 3) uint8 and gives `posejax.methods.base.People`, batched.

  Raises:
    CheckpointFolderError, CheckpointError, UsageError: no run, an unfinished or damaged one, or one
      without second stage; one line.
  """
  return Predictor(_open(pathlib.Path(checkpoint), cache and pathlib.Path(cache), refine), batch)


def _open(
  folder: pathlib.Path, cache: pathlib.Path | None, refine: bool | None
) -> checkpoint_lib.Run:
  without = (_SECOND_STAGE,) if refine is False else ()
  run = checkpoint_lib.load(folder, METHODS, cache, without)
  if refine and not run.products[_SECOND_STAGE].params:
    raise UsageError(
      f'--refine: {folder} has no second stage (config.refine.steps is 0); leave it out, or train '
      'with --config.refine.steps=...'
    )
  return run


def run(options: Options) -> int:
  """Does what the options ask for; the exit code."""

  def act() -> int:
    options.check()
    given = inputs.find(options.input, options.output)
    opened = _open(options.checkpoint, options.cache, options.refine)
    with files.claimed(options.output, _record(options, opened)):
      work = _Work(options, opened, given.root)
      for line in given.skipped:
        work.skip(line)
      work.photographs(given.photographs)
      for path in given.videos:
        work.video(path)
      return work.finish()

  return command.attempt(PROGRAM, act, _FOR_USERS, 'stopped; the same command goes on')


def _record(options: Options, opened: checkpoint_lib.Run) -> dict:
  """What decides the results: another run may go on in the folder only with the same."""
  decides = dataclasses.asdict(options)
  for name in ('output', 'cache', 'batch', 'checkpoint'):
    del decides[name]
  decides['input'] = os.path.realpath(options.input)
  return {**decides, 'networks': dict(opened.keys)}


class _Work:
  """One run: reads inputs, calls the network, writes results, counts what was skipped."""

  def __init__(self, options: Options, opened: checkpoint_lib.Run, root: pathlib.Path):
    self._options, self._root = options, root
    self._predictor = Predictor(opened, options.batch)
    self._checkpoint = opened.name
    self._results = results.Results(options.output, options.bvh)
    self._skipped: list[str] = []
    self._done = self._kept = 0

  def skip(self, line: str) -> None:
    print(f'{PROGRAM}: skipped: {line}', file=sys.stderr)
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

  def photographs(self, paths) -> None:
    """Reads photographs, a batch at a time."""
    waiting: list[tuple[Scene, Square, pose_views.Small | None]] = []
    bad: list[str] = []
    told: list[str] = []
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
        if len(waiting) == self._options.batch:
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
    lens = self._lens((width, height), photo.intrinsics, photo.intrinsics_from)
    scene = self._scene(name, 'photo', (width, height), None, lens, photo.notes, stamp)
    square = self._predictor.square(photo.pixels, Intrinsics(lens.focal, lens.center))
    return scene, square, pose_views.shrink(photo.pixels) if self._options.pictures else None

  def _write(self, waiting) -> None:
    if not waiting:
      return
    people = self._predictor.of_squares([square for _, square, _ in waiting])
    for i, (scene, _, small) in enumerate(waiting):
      mine = People(*(field[i] for field in people))
      mine = mine._replace(identity=np.cumsum(mine.valid, dtype=np.int32))  # from 1, as in videos
      frame = Frame(0, 0.0, mine, np.zeros(mine.valid.shape, bool))
      scene = dataclasses.replace(scene, frames=(frame,))
      self._results.add(scene, self._drawn(scene, {0: small}))
      self._done += 1

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
        lens = self._lens(info.size, info.intrinsics, info.intrinsics_from)
        total = math.ceil(info.stated_frames / self._options.every)
        frames, thumbnails = self._frames(video, lens, Progress(name, total, unit='frame'))
        problems = tuple(video.problems)
    except (ImageError, schema.SchemaError) as error:
      self.skip(str(error))
      return
    for line in problems:
      self._tell(line)
    rate = info.fps / self._options.every
    scene = dataclasses.replace(
      self._scene(name, 'video', info.size, rate, lens, problems, stamp), frames=tuple(frames)
    )
    scene, jitter = results.tracked(scene, self._options.smooth, tracking.track)
    if self._options.smooth:
      scene = dataclasses.replace(scene, notes=(
        *scene.notes, f'smoothed by One-Euro filters: cut-off {self._options.smooth.cutoff:g} Hz, '
        f'beta {self._options.smooth.beta:g} Hz per mm/s',
      ))
    try:
      self._results.add(scene, self._drawn(scene, thumbnails), jitter)
    except schema.SchemaError as error:
      self.skip(str(error))
      return
    self._done += 1

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
        square = self._predictor.square(frame.pixels, Intrinsics(lens.focal, lens.center))
        waiting.append((frame.index, frame.time, square))
        if len(waiting) == self._options.batch:
          frames += self._called(waiting)
          people += sum(int(frame.people.valid.sum()) for frame in frames[-len(waiting) :])
          schema.check_size(
            video.path.name, people, len(frames), self._predictor.skeleton.num_joints
          )
          progress.advance(len(waiting))
          waiting = []
      frames += self._called(waiting)
      progress.advance(len(waiting))
    return frames, thumbnails

  def _called(self, waiting) -> Iterator[Frame]:
    if not waiting:
      return
    people = self._predictor.of_squares([square for _, _, square in waiting])
    for i, (index, time, _) in enumerate(waiting):
      mine = People(*(field[i] for field in people))
      yield Frame(index, time, mine, np.zeros(mine.valid.shape, bool))

  def _scene(self, name, kind: Kind, size, fps, lens: Lens, notes, stamp: Stamp) -> Scene:
    return Scene(
      name, kind, *size, fps, self._predictor.skeleton, lens, (),
      f'posejax {posejax.__version__}', self._checkpoint, tuple(notes), stamp,
    )

  def _lens(self, size, intrinsics: Intrinsics, source) -> Lens:
    focal, center = np.asarray(intrinsics.focal, float), np.asarray(intrinsics.center, float)
    degrees = 2 * math.degrees(math.atan(max(size) / 2 / focal[0]))
    angle = f'{degrees:.1f} degrees along the longer side'
    if self._options.focal_px is not None:
      focal = np.full(2, self._options.focal_px)
      return Lens(focal, center, 'flag', f'--focal_px={self._options.focal_px:g}')
    note = {
      'flag': f'--fov_deg: {angle}', 'exif': f'EXIF, 35-mm equivalent focal length: {angle}',
      'assumed': f'assumed field of view: {angle}; depths are right as far as it is',
    }[source]
    return Lens(focal, center, source, note)

  def _drawn(self, scene: Scene, small: dict[int, pose_views.Small | None]) -> dict:
    """Ending → what writes such a file."""
    shown = scene_files.Shown(
      scene.file,
      [scene_page.Moment(frame.time, frame.people, frame.bridged) for frame in scene.frames],
      scene.skeleton, Intrinsics(scene.lens.focal, scene.lens.center),
      (scene.width, scene.height), scene.fps, (f'Intrinsics: {scene.lens.note}.', *scene.notes),
    )
    pictures = scene_files.pictures(shown, small) if self._options.pictures else {}
    return pictures | (scene_files.recording(shown) if self._options.rerun else {})


def define_flags() -> None:
  """Options of the command line: here, so that one process may import every entry point."""
  flags.DEFINE_string('checkpoint', None, 'workdir of a finished training')
  flags.DEFINE_string('input', None, 'a photograph, a video, or a folder of them')
  flags.DEFINE_string('output', None, 'folder for the results; the same command again goes on')
  flags.DEFINE_string('cache', '', 'folder of the training\'s stages, if they were shared')
  flags.DEFINE_integer('batch', 8, 'images of a call')
  flags.DEFINE_float('fov_deg', None, 'field of view along the longer side, if you know it')
  flags.DEFINE_float('focal_px', None, 'focal length in px of the inputs, if you know it')
  flags.DEFINE_integer('every', 1, 'of a video every n-th frame')
  flags.DEFINE_bool('smooth', False, 'smooth videos (One-Euro), with a report of the acceleration')
  flags.DEFINE_float('smooth_cutoff', OneEuro().cutoff, 'Hz: lower is smoother and lags more')
  flags.DEFINE_float('smooth_beta', OneEuro().beta, 'Hz per mm/s: higher lags less in fast motion')
  flags.DEFINE_bool('pictures', True, 'overlays, 3D figures and pages')
  flags.DEFINE_bool('bvh', False, 'a BVH file for each person')
  flags.DEFINE_bool('rerun', False, 'a rerun recording (extra viewer)')
  flags.DEFINE_bool('refine', None, 'the second stage; where not given, as it was trained')


def main(arguments: list[str]) -> None:
  command.refuse_words(arguments)
  given = flags.FLAGS
  folder = pathlib.Path(given.checkpoint)
  # Nothing is made where there is no run.
  machine.prepare(folder if os.path.isdir(folder) else None)
  smooth = OneEuro(given.smooth_cutoff, given.smooth_beta) if given.smooth else None
  sys.exit(run(Options(
    folder, pathlib.Path(given.input), pathlib.Path(given.output),
    pathlib.Path(given.cache) if given.cache else None, given.batch, given.fov_deg,
    given.focal_px, given.every, smooth, given.pictures, given.bvh, given.rerun, given.refine,
  )))


if __name__ == '__main__':
  define_flags()
  command.start(main, ('checkpoint', 'input', 'output'))
