"""Rates of inference for users: images → people, and files → JSON (issue 4, "Speed").

  student     preset `real` (dm14's E, roots of H's own) and `paper` (VGG19's E and F): images of
              224² → People in one compiled call
  × PyTorch   the same networks in eager PyTorch (`torch_crossmodal`, `torch_mobilenet_pose`) up to
              where roots are known: without what follows at the roots, so it has less to do
  bottom-up   what gives 2D people alone: the teacher's E and F compiled by us, then peaks and PAF
              grouping in NumPy. × loop and × vectorised of a student's row are against it, with
              `numpy_grouping`'s two versions of the latter
  files       `python -m posejax.infer` as a process, pictures off, on JPEGs of 640 x 480: what many
              photographs take in one process beyond what few do, so that neither starting nor
              compiling counts

With random weights: no rate depends on what networks say, since people are padded to a fixed
number. Grouping does depend on its maps, so these are drawn: four standing people an image, of the
teacher's parts; limbs that close a cycle (ear to shoulder) are left out. All that is compared is
checked for equal output first.
"""

import functools
import os
import pathlib
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
from PIL import Image

from posejax.benchmarks import (
  crossmodal,
  harness,
  heatmaps,
  numpy_grouping,
  students,
  torch_crossmodal,
)
from posejax.benchmarks.torch_mobilenet_pose import TorchMobilenetPose
from posejax.heatmaps import group_people, redundant_limbs
from posejax.methods.base import Networks
from posejax.methods.crossmodal import infer
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models.mobilenet_pose import MobilenetPoseConfig

PRESETS = {'dm14 student': 'real', 'VGG19 student': 'paper'}
_PEOPLE = 4  # an image of the drawn maps
_SIZE = (640, 480)  # px of photographs
_WANTED = 10.0  # images/s of dm14, files → JSON, batch 1


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  for name, preset in PRESETS.items():
    config = _toy(preset) if quick else students.preset(preset)
    params = students.random_networks(config)
    for batch in (1,) if quick else (1, 8):
      yield from student_rows(name, config, params, batch, 0.02 if quick else 3.0)
    small = preset == 'real'
    # One student is enough to see that the command runs.
    for batch in (1, 8) if not quick else (1,) * (not small):
      count = 2 if quick else 160 if small else 16
      yield files_row(name, config, params, batch, count, _WANTED if small and batch == 1 else None)


def _toy(preset: str) -> ml_collections.ConfigDict:
  """A preset on toy sizes, with a window only where the preset has one."""
  config = students.preset(f'{preset},smoke').unlock()
  if students.preset(preset).align.h.window.size == 1:
    config.align.h.window.size = 1
  return config.lock()


def student_rows(
  name: str, config: ml_collections.ConfigDict, params: Networks, batch: int, seconds: float
) -> Iterator[harness.Row]:
  """The student beside PyTorch and beside the bottom-up pipeline, and that pipeline.

  Args:
    name: of the student.
    config: of its preset.
    params: `students.random_networks`.
    batch: images of a call.
    seconds: measuring time of each side.
  """
  model, side = infer.Model(config), config.world.image_size
  images = np.random.default_rng(1).integers(0, 256, (batch, side, side, 3), np.uint8)
  names = ('E', 'H', 'Psi') if model.h.roots else ('E', 'F', 'H', 'Psi')
  whole = students.compiled(
    jax.jit(lambda params, images: infer.predict(model, params, images)),
    jax.device_put({key: params[key] for key in names}), jnp.asarray(images),
  )
  maps = students.compiled(
    jax.jit(functools.partial(teacher_maps, model)),
    jax.device_put({key: params[key] for key in ('E', 'F')}), jnp.asarray(images),
  )
  sides = {'ours': whole.call, 'maps': maps.call, **groupings(model.teacher, batch, side)}
  twin = torch_twin(model, params, images[:1])
  if twin:
    twin(images)
    sides['torch'] = lambda: twin(images)
  took = harness.take(sides, seconds=seconds)
  loop, vectorized = (
    harness.Taken(*map(sum, zip(took['maps'], took[key], strict=True)))
    for key in ('loop', 'vectorized')
  )
  label = f'{name}: {side}², batch {batch}'
  beside = f'PyTorch {torch_crossmodal.version()}: {_ms(took["torch"], batch)}' if twin else (
    'PyTorch is not installed (extra `bench`)'
  )
  yield harness.Row(
    f'{label}: image → people in 3D', 'images', batch / took['ours'].seconds,
    batch / loop.seconds, batch / vectorized.seconds,
    batch / took['torch'].seconds if twin else None, compile_s=whole.seconds,
    peak_mib=harness.planned_mib(whole.program), processor_s=took['ours'].processor_s / batch,
    note=f'{_ms(took["ours"], batch)}; {beside}',
  )
  yield harness.Row(
    f'{label}: bottom-up 2D, E + F and NumPy, vectorised', 'images', batch / vectorized.seconds,
    compile_s=maps.seconds, peak_mib=harness.planned_mib(maps.program),
    processor_s=vectorized.processor_s / batch,
    note=f'E + F {_ms(took["maps"], batch)}; grouping {_ms(took["vectorized"], batch)}, as a loop '
    f'{_ms(took["loop"], batch)}',
  )


def _ms(took: harness.Taken, count: int) -> str:
  clock, processor = (1000 * x / count for x in took)
  return f'{clock:.1f} ms an image, {processor:.1f} ms of processor time'


def teacher_maps(
  model: infer.Model, params: Networks, images: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """E and F: heat-maps (B, h, w, K) and PAFs (B, h, w, 2 L) of images (B, S, S, 3)."""
  teacher = teacher_lib.Teacher(model.teacher, params)
  return teacher.decode(*teacher.encode(images))


def groupings(
  fixed: teacher_lib.Layout, batch: int, side: int
) -> dict[str, harness.Thunk]:
  """NumPy's two groupings of drawn maps: 'loop' and 'vectorized'.

  Args:
    fixed: the teacher's layout.
    batch: images.
    side: of them, px.

  Raises:
    AssertionError: they do not find the people that our own grouping finds.
  """
  parts = fixed.parts
  kept = [i for i in range(parts.num_limbs) if i not in redundant_limbs(parts)]
  limbs = tuple(parts.limbs[i] for i in kept)
  joints, visible = heatmaps.people(0, batch, _PEOPLE)

  def draw(joints, visible):
    heat, paf = teacher_lib.render_maps(parts, joints, visible, side)
    return heat, paf.reshape(*paf.shape[:2], -1, 2)[:, :, np.array(kept)].reshape(
      *paf.shape[:2], -1
    )

  def ours(heat, paf):
    slots = 2 * _PEOPLE + 4
    return group_people(heat, paf, limbs, max_people=slots, max_peaks=slots)

  # Drawn for 224 px.
  drawn = jax.jit(jax.vmap(draw))(joints * np.float32(side / 224), visible)
  heat, paf = map(np.asarray, drawn)

  def loop():
    return [numpy_grouping.decode_loop(h, p, limbs) for h, p in zip(heat, paf, strict=True)]

  def vectorized():
    return numpy_grouping.decode_vectorized(heat, paf, limbs)

  found = jax.tree.map(np.asarray, jax.jit(jax.vmap(ours))(heat, paf))
  for theirs in (loop, vectorized):
    heatmaps.require_same_people(found, theirs())
  return {'loop': lambda: loop() and None, 'vectorized': lambda: vectorized() and None}


def torch_twin(
  model: infer.Model, params: Networks, images: np.ndarray
) -> Callable[[np.ndarray], object] | None:
  """The student in PyTorch, up to where roots are known; None without PyTorch.

  Args:
    model: configuration.
    params: of its networks.
    images: (B, S, S, 3) uint8, to compare on.

  Raises:
    AssertionError: it is not the same network.
  """
  if not torch_crossmodal.available():
    return None
  if not isinstance(model.teacher.widths, MobilenetPoseConfig):
    twin = torch_crossmodal.TorchNetwork(model.teacher.widths, model.h, params)
    crossmodal.require_same_networks(model, params, images, twin)
    return lambda images: twin(images) and None
  encoder = TorchMobilenetPose(model.teacher.widths, {'E': params['E']})
  head = torch_crossmodal.TorchRoots(model.h, params['H'])

  def forward(images):
    return head(encoder.encode(images)[0])

  require_same_roots(model, params, images, forward(images))
  return lambda images: forward(images) and None


def require_same_roots(
  model: infer.Model, params: Networks, images: np.ndarray, theirs: tuple
) -> None:
  """Raises an AssertionError unless root logits and features agree, to 1e-3 of their size."""

  def ours(params, images):
    features = model.features(params['H'], model.encode(params, images)[0])
    return model.root_logits(params['H'], features), features

  for a, b in zip(jax.jit(ours)(params, images), theirs, strict=True):
    harness.require_equal(
      a, b.permute(0, 2, 3, 1).numpy(), atol=1e-3 * float(jnp.abs(a).max())
    )


class Process(NamedTuple):
  """What a process took.

  Attributes:
    taken: from its start to its end.
    mib: its largest resident size.
  """

  taken: harness.Taken
  mib: float


def files_row(
  name: str, config: ml_collections.ConfigDict, params: Networks, batch: int, count: int,
  wanted: float | None = None,
) -> harness.Row:
  """Photographs → JSON, as a user has it.

  Args:
    name: of the student.
    config: of its preset.
    params: `students.random_networks`.
    batch: of the command.
    count: photographs that are measured, a multiple of the batch.
    wanted: images/s to reach.
  """
  with tempfile.TemporaryDirectory(prefix='posejax-infer-') as temporary:
    place = pathlib.Path(temporary)
    run = students.write_run(place / 'run', config, params)
    few = write_photographs(place / 'few', batch)
    many = write_photographs(place / 'many', batch + count)
    _infer(run, few, place / 'first', batch)  # keeps what it compiles in the run
    short = _infer(run, few, place / 'short', batch)
    long = _infer(run, many, place / 'long', batch)
    written = len(list((place / 'long').glob('*.jpg.json')))
  if written != batch + count:
    raise AssertionError(f'files: {written} results of {batch + count} photographs')
  seconds, processor_s = (
    (b - a) / count for a, b in zip(short.taken, long.taken, strict=True)
  )
  rate = 1 / max(seconds, 1e-9)
  return harness.Row(
    f'{name}: files of {_SIZE[0]} x {_SIZE[1]} → JSON, batch {batch}', 'images', rate,
    target=f'≥ {wanted:g}/s' if wanted else '', reached=rate >= wanted if wanted else None,
    processor_s=processor_s,
    note=f'{count} photographs in {count * seconds:.1f} s by the clock, {count * processor_s:.1f} '
    f's of processor time; a process for {batch} of them takes {short.taken.seconds:.1f} s and '
    f'{short.taken.processor_s:.1f} s; largest resident size {long.mib:.0f} MiB',
  )


def write_photographs(folder: pathlib.Path, count: int) -> pathlib.Path:
  """JPEGs of soft colours and grain, as large as a camera's of that size; the folder is made."""
  folder.mkdir()
  rng = np.random.default_rng(0)
  for number in range(count):
    soft = rng.integers(0, 256, (_SIZE[1] // 20, _SIZE[0] // 20, 3), np.uint8)
    large = np.asarray(Image.fromarray(soft).resize(_SIZE, Image.Resampling.BICUBIC), np.float32)
    grain = rng.normal(scale=6, size=large.shape)
    picture = Image.fromarray(np.clip(large + grain, 0, 255).astype(np.uint8))
    picture.save(folder / f'{number:04}.jpg', quality=90)
  return folder


def _infer(
  run: pathlib.Path, photographs: pathlib.Path, output: pathlib.Path, batch: int
) -> Process:
  """Runs the command; raises RuntimeError where it fails."""
  command = [
    sys.executable, '-m', 'posejax.infer', f'--checkpoint={run}', f'--input={photographs}',
    f'--output={output}', f'--batch={batch}', '--nopictures',
  ]
  log = output.with_suffix('.log')
  with log.open('w') as file:
    begin = time.perf_counter()
    # Not `subprocess.run`: what the process used is told once, to whom waits for it.
    process = subprocess.Popen(command, cwd=students.ROOT, stdout=file, stderr=file)
    _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - begin
  process.returncode = os.waitstatus_to_exitcode(status)
  if process.returncode:
    raise RuntimeError(f'{" ".join(command)}: exit code {process.returncode}\n{log.read_text()}')
  return Process(
    harness.Taken(seconds, usage.ru_utime + usage.ru_stime), harness.resident_mib(usage)
  )
