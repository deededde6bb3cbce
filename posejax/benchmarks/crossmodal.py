"""Rates of the cross-modal method: inference, training steps, scenes, pictures (issue 3, "Speed").

Inference is `infer.predict` whole, one compiled call: uint8 images → People. With random weights:
no rate here depends on what a network says, since people are padded to a fixed number.

  decode + lift     everything after H: peaks, pooling, H's last layer, Ψ, FK, projection
  convolutions      what XLA runs of them in one step, each alone (`convolutions`)
  scenes and maps   what a step draws before its networks begin

PyTorch's side (`torch_crossmodal`) runs E, F's heat-maps and H in eager mode, channels last, with
the same weights, and is checked for equal output first; it stops after H. Presets are
configs/unsup.py's. The shares of decode + lift and of convolutions have targets for `:paper` alone:
smaller networks leave the rest a larger share.

On an accelerator `:gpu` is measured too, inference at batches that double while its rate grows, and
rows name the device.
"""

import functools
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.benchmarks import convolutions, harness, students, torch_crossmodal
from posejax.heatmaps import find_peaks
from posejax.methods.base import Networks, Product, Stage
from posejax.methods.crossmodal import align, infer, lift, world
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import crossmodal as models
from posejax.models import windows as window_lib
from posejax.training import parallel, train_state

_PICTURES = 16  # that a step draws from
_LARGEST_BATCH = 1024
_JOINTS = lift.SKELETON.num_joints


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  seconds = 0.02 if quick else 2.0
  accelerated = jax.default_backend() != 'cpu'
  presets = ('', 'long', 'paper') + (('gpu',) if accelerated else ())
  for preset in ('smoke',) if quick else presets:
    config = students.preset(preset)
    name, params = preset or 'default', students.random_networks(config)
    batches = (2,) if quick else (1, 8)
    for batch in batches:
      targets = {1: 0.8, 8: 1.0} if preset == 'paper' else {}
      yield from inference_rows(
        name, compile_inference(config, params, batch), seconds, targets.get(batch)
      )
    if accelerated:
      yield from larger_batches(name, config, params, seconds)
    products = random_products(config, params)
    for batch in batches:
      stage = align.build(_with_batch(config, batch), products)
      # The targets are for the paper's batch, 8.
      yield from step_rows(
        name, stage, seconds, bound=preset == 'paper' and batch == 8, few=quick
      )
  yield picture_row(students.preset('smoke' if quick else ''), 16 if quick else 256)


def _with_batch(config: ml_collections.ConfigDict, batch: int) -> ml_collections.ConfigDict:
  changed = config.copy_and_resolve_references().unlock()
  changed.align.update({'batch_images': batch, 'batch_scenes': batch})
  return changed


def random_products(config: ml_collections.ConfigDict, params: Networks) -> dict[str, Product]:
  """What the stages before `align` leave, with random pictures and people."""
  rng, side, people = np.random.default_rng(0), config.world.image_size, config.world.max_people
  everyone = np.ones((_PICTURES, people), bool)
  joints = rng.uniform(0, side, (_PICTURES, people, _JOINTS, 2)).astype(np.float32)
  camera = rng.normal(scale=300, size=(*joints.shape[:3], 3)) + (0, 0, 3500)
  pictures = {
    'images': rng.integers(0, 256, (_PICTURES, side, side, 3), np.uint8),
    'truth_camera': camera.astype(np.float32), 'truth_joints': joints, 'truth_valid': everyone,
    'truth_in_frame': np.ones(joints.shape[:3], bool), 'truth_visible': everyone.astype(np.float32),
  }
  observed = {
    'joints': joints, 'scores': np.ones(joints.shape[:3], np.float32),
    'seen': np.ones(joints.shape[:3], bool), 'score': everyone.astype(np.float32),
    'roots': joints[:, :, 0], 'rooted': everyone, 'dropped': np.zeros(_PICTURES, np.int32),
  }
  if config.observed.latents:
    cells = side // teacher_lib.STRIDE
    shape = (_PICTURES, cells, cells, 2 * config.teacher.branch)
    observed['latents'] = rng.uniform(0, 1, shape).astype(np.float16)
  return {
    'teacher': Product({name: params[name] for name in ('E', 'F')}),
    'prior': Product({name: params[name] for name in ('Phi', 'Psi')}),
    'images_b': Product(arrays=pictures), 'validation': Product(arrays=pictures),
    'observed': Product(arrays=observed),
  }


def larger_batches(
  name: str, config: ml_collections.ConfigDict, params: Networks, seconds: float
) -> Iterator[harness.Row]:
  """Inference at batches from 16 on that double while images/s grow by 5 %."""
  best, batch = 0.0, 16
  while batch <= _LARGEST_BATCH:
    row = next(iter(inference_rows(
      name, compile_inference(config, params, batch), seconds, None
    )))
    yield row
    if row.rate < 1.05 * best:
      return
    best, batch = row.rate, 2 * batch


class Inference(NamedTuple):
  """Inference of one batch, and what is measured beside it.

  Attributes:
    model: configuration.
    params: of its networks.
    images: (B, S, S, 3) uint8.
    whole: images → People.
    after: everything after H.
  """

  model: infer.Model
  params: Networks
  images: np.ndarray
  whole: students.Compiled
  after: students.Compiled


def compile_inference(
  config: ml_collections.ConfigDict, params: Networks, batch: int
) -> Inference:
  """Compiles inference of random pictures."""
  model, side = infer.Model(config), config.world.image_size
  images = np.random.default_rng(1).integers(0, 256, (batch, side, side, 3), np.uint8)
  used = jax.device_put({key: params[key] for key in ('E', 'F', 'H', 'Psi')})
  whole = students.compiled(
    jax.jit(lambda params, images: infer.predict(model, params, images)), used, jnp.asarray(images)
  )
  cells = side // teacher_lib.STRIDE
  out = cells // model.h.cells
  key = jax.random.key(2)
  after = students.compiled(
    jax.jit(functools.partial(decode_and_lift, model)), used,
    jax.random.uniform(key, (batch, cells, cells, 1)),
    jax.random.normal(key, (batch, out, out, (model.h.up or model.h.down)[-1][-1][0])),
  )
  return Inference(model, params, images, whole, after)


def inference_rows(
  name: str, case: Inference, seconds: float, beside: float | None
) -> Iterator[harness.Row]:
  """End-to-end inference, and its part after H.

  Args:
    name: of the preset.
    case: what is measured.
    seconds: measuring time of each side.
    beside: wanted multiple of PyTorch's rate; None leaves PyTorch out.
  """
  model, params, images, whole, after = case
  batch, side = images.shape[:2]
  dtype = jnp.dtype(model.dtype or jnp.float32)
  square = jnp.ones((_matrix_side(), _matrix_side()), dtype)
  matrix = students.compiled(jax.jit(jnp.matmul), square, square)
  sides = {'ours': whole.call, 'after': after.call, 'matrix': matrix.call}
  has_torch = beside is not None and torch_crossmodal.available()
  if has_torch:
    twin = torch_crossmodal.TorchNetwork(model.teacher.widths, model.h, params)
    require_same_networks(model, params, images[:1], twin)
    sides['torch'] = lambda: twin(images)
    twin(images)
  times = harness.measure(sides, seconds=seconds)
  note = _work(whole.program, times['ours'], times['matrix'], dtype)
  if beside is not None:
    note += '; PyTorch ' + (
      f'{torch_crossmodal.version()}, without decode + lift' if has_torch
      else 'is not installed (extra `bench`)'
    )
  label = f'{name}: {side}², batch {batch}{_device()}'
  yield harness.Row(
    f'{label}: inference', 'images', batch / times['ours'],
    torch=batch / times['torch'] if has_torch else None,
    target=f'≥ {beside:g}× PyTorch' if has_torch else '',
    reached=times['torch'] / times['ours'] >= beside if has_torch else None,
    compile_s=whole.seconds, peak_mib=harness.planned_mib(whole.program), note=note,
  )
  share = times['after'] / times['ours']
  yield harness.Row(
    f'{label}: decode + lift', 'images', batch / times['after'],
    target='≤ 3 % of inference' if beside else '', reached=share <= 0.03 if beside else None,
    compile_s=after.seconds, peak_mib=harness.planned_mib(after.program),
    note=f'{1000 * times["after"]:.2f} ms, {100 * share:.1f} % of inference',
  )


def decode_and_lift(
  model: infer.Model, params: Networks, pelvis: jax.Array, features: jax.Array
) -> lift.Lifted:
  """What `infer.predict` does after H's trunk.

  Args:
    model: configuration.
    params: with H and Ψ.
    pelvis: (B, h, w, 1) heat-maps.
    features: (B, h', w', F) of H's trunk.
  """
  peaks = jax.vmap(functools.partial(
    find_peaks, stride=teacher_lib.STRIDE, threshold=model.root_threshold,
    max_peaks=model.max_people,
  ))(pelvis)
  roots = jnp.where(peaks.valid[:, 0, :, None], peaks.positions[:, 0], 0.0)
  windows = window_lib.read_windows(features, roots, model.stride, model.h.reach, model.read_mode)
  found = models.PoseNet(model.h, model.dtype).apply(
    {'params': params['H']}, windows, method='heads'
  )
  return lift.lift(
    model.prior, params['Psi'], jax.tree.map(lambda x: x[:, :, 0], found), roots,
    model.intrinsics, model.depths, model.projection,
  )


def require_same_networks(
  model: infer.Model, params: Networks, images: np.ndarray, twin: torch_crossmodal.TorchNetwork
) -> None:
  """Raises an AssertionError unless both sides' heat-maps and s agree, to 1e-3 of their size."""

  def ours(params, images):
    teacher = teacher_lib.Teacher(model.teacher, params)
    v, skip = teacher.encode(images)
    heat, _ = teacher.decode(v, skip)
    s = models.PoseNet(model.h).apply({'params': params['H']}, v)
    return heat, jnp.concatenate([s.phi, s.c, s.depth[..., None]], -1)[..., 0, :]

  heat, s = jax.jit(ours)(params, images)
  heat_twin, s_twin = twin(images)
  for a, b in ((heat, heat_twin[..., :_JOINTS]), (s, s_twin)):
    harness.require_equal(a, b, atol=1e-3 * float(jnp.abs(a).max()))


def step_rows(
  name: str, stage: Stage, seconds: float, *, bound: bool = False, few: bool = False
) -> Iterator[harness.Row]:
  """A step of each phase on each of its sources, and what it draws.

  Args:
    name: of the preset.
    stage: `align`.
    seconds: measuring time of each side.
    bound: whether a step's time has its convolutions' as a target.
    few: the first phase alone.
  """
  key, devices = jax.random.key(0), parallel.Devices(jax.local_devices()[:1])
  state = devices.replicate(jax.jit(lambda key: train_state.create(stage, key))(key))
  frozen = devices.replicate(stage.frozen)
  seen = set()
  for phase in stage.phases[:1] if few else stage.phases:
    for source in phase.sources:
      # Phases 0 and 1 have the same step on images.
      active = (source, train_state.active_losses(stage, phase, source))
      if active not in seen:
        seen.add(active)
        yield from _step_rows(
          f'{name}: step of {phase.name} on {source} ({", ".join(active[1])})', stage,
          devices.compile(train_state.make_step(stage, phase, source, key)),
          (state, frozen, {}, devices.example_indices(stage.sources[source].size)), source, seconds,
          bound,
        )


def _step_rows(
  label: str, stage: Stage, function: Any, args: Sequence[Any], source: str, seconds: float,
  bound: bool,
) -> Iterator[harness.Row]:
  size = stage.sources[source].size
  step = students.compiled(function, *args)
  keys = parallel.example_keys(jax.random.key(0), jnp.int32(0), jnp.arange(size))
  draw = students.compiled(
    jax.jit(lambda f, k: stage.sources[source].device(f, {}, k)), args[1], keys
  )
  found = convolutions.operations(step.program.as_text())
  alone = {operation: operation.thunk() for operation in found}
  times = harness.measure({'step': step.call, 'draw': draw.call, **alone}, seconds=seconds / 4)
  sum_s = sum(times[operation] * count for operation, count in found.items())
  ratio, share = times['step'] / sum_s if found else None, times['draw'] / times['step']
  words = (
    f'{1000 * times["step"]:.0f} ms = {ratio:.2f}× its {sum(found.values())} convolutions alone '
    f'({_gflops(found):.1f} GFLOP)' if found else f'{1000 * times["step"]:.0f} ms'
  )
  yield harness.Row(
    f'{label}, batch {size}{_device()}', 'examples', size / times['step'],
    target='≤ 1.15× its convolutions' if found and bound else '',
    reached=ratio <= 1.15 if found and bound else None, compile_s=step.seconds,
    peak_mib=harness.planned_mib(step.program), note=words,
  )
  scenes = source == 'scenes'
  what = 'scenes and maps' if scenes else 'pictures drawn and warped'
  yield harness.Row(
    f'{label}: {what}', 'examples', size / times['draw'],
    target='≤ 10 % of a step' if scenes else '', reached=share <= 0.1 if scenes else None,
    compile_s=draw.seconds, peak_mib=harness.planned_mib(draw.program),
    note=f'{1000 * times["draw"]:.1f} ms, {100 * share:.1f} % of the step',
  )


def picture_row(config: ml_collections.ConfigDict, count: int) -> harness.Row:
  """Pictures of domain B rendered into a cache, as the stage `images_b` does it."""
  changed = config.copy_and_resolve_references().unlock()
  changed.world.images_b = count
  make = functools.partial(world.plan('images_b').make, changed, {})
  took = []
  for _ in range(2):
    begin = time.perf_counter()
    make()
    took.append(time.perf_counter() - begin)
  side = config.world.image_size
  return harness.Row(
    f'pictures rendered to a cache, {side}², ≤ {config.world.max_people} persons, {count}',
    'pictures', count / took[1], compile_s=took[0] - took[1],
  )


def _gflops(found: Mapping[convolutions.Operation, int]) -> float:
  return sum(operation.flops * count for operation, count in found.items()) / 1e9


def _device() -> str:
  """', <device>' where it is no CPU: the table's head tells of those."""
  return '' if jax.default_backend() == 'cpu' else f', {jax.devices()[0].device_kind}'


def _matrix_side() -> int:
  """Of a matrix product that keeps the device busy."""
  return 2048 if jax.default_backend() == 'cpu' else 8192


def _work(
  program: jax.stages.Compiled, seconds: float, matrix_s: float, dtype: jnp.dtype
) -> str:
  """Arithmetic of a call, beside the rate of one big matrix product on this device."""
  flops, side = (program.cost_analysis() or {}).get('flops', 0.0), _matrix_side()
  rate, best = flops / seconds / 1e9, 2 * side**3 / matrix_s / 1e9
  matrix = f'{dtype.name} {side}² matrix product'
  return f'{rate:.0f} GFLOP/s, {100 * rate / best:.0f} % of a {matrix}\'s'
