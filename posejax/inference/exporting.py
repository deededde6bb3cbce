"""A run's inference as one file that any JAX program can call, without posejax.

The artefact is StableHLO with the networks in it, for any batch and for CPU, CUDA and TPU. It takes
square images and gives People's fields in the network's own pixels and fixed camera: what is beyond
(letterboxing, the true camera) is host code, which `record` tells in numbers.
"""

from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax import export

from posejax.inference import scene as scene_lib
from posejax.inference import schema
from posejax.inference.checkpoint import Run
from posejax.methods.base import People

PLATFORMS = ('cpu', 'cuda', 'tpu')
# mm and px, of one program compiled two ways in float32.
TOLERANCE = 0.05


class ExportError(RuntimeError):
  """An artefact is not what the run gives, and was not written. One line."""


def artefact(run: Run, platforms: Sequence[str] = PLATFORMS) -> export.Exported:
  """Lowers a run's inference for all platforms, the batch left open.

  Args:
    run: networks and config.
    platforms: to lower for.

  Returns:
    What takes images (B, S, S, 3) uint8 and gives field name → array.
  """
  infer, side = run.method.infer(run.config, run.products), run.method.side(run.config)
  # A dict: a named tuple's type would have to be known to whoever reads the file.
  fields = jax.jit(lambda images: infer(images)._asdict())
  shape = export.symbolic_shape(f'b, {side}, {side}, 3')
  return export.export(fields, platforms=tuple(platforms))(jax.ShapeDtypeStruct(shape, np.uint8))


def check(run: Run, data: bytes, batches: Sequence[int] = (1, 3)) -> float:
  """Reads an artefact back and compares it with the run.

  Args:
    run: that it was made of.
    data: the file's content.
    batches: sizes that are tried.

  Returns:
    The largest difference of mm and px.

  Raises:
    ExportError: another shape, other people, or a difference above `TOLERANCE`.
  """
  infer, side = run.method.infer(run.config, run.products), run.method.side(run.config)
  read = export.deserialize(data)
  # Of soft patches, in which networks find more than in noise of single pixels.
  rng, worst = np.random.default_rng(0), 0.0
  for batch in batches:
    coarse = rng.integers(0, 256, (batch, 8, 8, 3), np.uint8)
    images = np.kron(coarse, np.ones((1, -(-side // 8), -(-side // 8), 1), np.uint8))
    images = images[:, :side, :side]
    got, wanted = People(**read.call(images)), infer(images)
    worst = max(worst, difference(got, wanted))
  return worst


def difference(got: People, wanted: People) -> float:
  """The largest difference over people who are there, or over all slots where nobody is."""
  got, wanted = jax.tree.map(np.asarray, (got, wanted))
  for name in People._fields:
    one, other = getattr(got, name), getattr(wanted, name)
    if one.shape != other.shape or one.dtype != other.dtype:
      raise ExportError(
        f'the artefact gives {name} as {one.dtype}{one.shape}, the run {other.dtype}{other.shape}'
      )
  for name in ('valid', 'joint_valid', 'identity'):
    if not np.array_equal(getattr(got, name), getattr(wanted, name)):
      raise ExportError(f'the artefact and the run differ in {name}; nothing was written')
  worst = 0.0
  here = wanted.valid if wanted.valid.any() else np.ones_like(wanted.valid)
  for name in ('score', 'joints_2d', 'joints_relative', 'joints_camera', 'depth'):
    one, other = getattr(got, name), getattr(wanted, name)
    gap = np.abs(one - other)[here]
    if gap.size and not gap.max() <= TOLERANCE:
      raise ExportError(
        f'the artefact and the run differ by {gap.max():g} in {name}; nothing was written'
      )
    worst = max(worst, float(gap.max(initial=0)))
  return worst


def record(run: Run, exported: export.Exported, parity: float) -> dict[str, Any]:
  """What a user of the artefact must know, as plain data.

  Args:
    run: that it was made of.
    exported: the artefact.
    parity: what `check` gave.
  """
  skeleton, side = run.method.skeleton, run.method.side(run.config)
  outputs = dict(zip(sorted(People._fields), exported.out_avals, strict=True))  # a dict's order
  units = {**schema.UNITS, 'score': 'in [0, 1]'}
  return {
    'what': (
      'jax.export artefact: jax.export.deserialize(file).call(images) gives a dict of arrays'
    ),
    'method': run.method.name, 'checkpoint': run.name, 'networks': dict(run.keys),
    'jax': jax.__version__, 'platforms': list(exported.platforms),
    'calling_convention_version': exported.calling_convention_version,
    'inputs': {'images': {
      'shape': ['b', side, side, 3], 'dtype': 'uint8',
      'meaning': 'RGB, 0 to 255; b is any number; a picture of another shape is letterboxed, its '
                 'longer side to the full side, grey 128 beyond it',
    }},
    'outputs': {
      name: {'shape': [str(size) for size in aval.shape], 'dtype': str(aval.dtype),
             'unit': units.get(name, '')}
      for name, aval in outputs.items()
    },
    'joints': list(skeleton.joints), 'parents': list(skeleton.parents),
    'flip_pairs': [list(pair) for pair in skeleton.flip_pairs],
    'root': skeleton.joints[scene_lib.root(skeleton)],
    'frame': 'camera: x right, y down, z forward; pixel centres at whole numbers',
    'camera': {
      'focal_px': side, 'center_px': [(side - 1) / 2] * 2,
      'meaning': 'the camera that is assumed; with another focal length f of the same picture in '
                 'px of the letterboxed square, the true depth is depth * f / focal_px',
    },
    'parity': {'largest_difference_mm_px': parity, 'tolerance': TOLERANCE},
  }
