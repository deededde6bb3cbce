"""Rates of drawing maps and of finding people in them, beside NumPy (issue 2, section 6).

The work: J15, 28 × 28 cells of 8 px (a 224 px image), standing people anywhere in the image. The
NumPy sides are in `numpy_heatmaps.py` and `numpy_grouping.py`, and are checked for equal output
first. Two float32 programs can differ in a cell that lies on a mask's edge to the last bit; one in
100,000 cells may.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import harness, numpy_grouping, numpy_heatmaps
from posejax.geometry.skeleton import J15, J17
from posejax.heatmaps import (
  group_people,
  render_heatmaps,
  render_limb_gaussians,
  render_pafs,
)
from posejax.synth import scene_config, scenes

SIZE = (28, 28)

# px about the pelvis, in J15's order; 130 px tall, before scaling.
_STANDING = np.array([
  [0, 0], [0, -46], [0, -72], [-16, -45], [-24, -20], [-28, 4], [16, -45], [24, -20], [28, 4],
  [-10, 1], [-12, 32], [-12, 60], [10, 1], [12, 32], [12, 60],
], np.float32)


def people(seed: int, batch: int, persons: int) -> tuple[np.ndarray, np.ndarray]:
  """(B, P, J, 2) px joints of standing people, and (B, P, J) which of them are visible."""
  rng = np.random.default_rng(seed)
  scale = rng.uniform(0.4, 0.9, (batch, persons, 1, 1))
  place = rng.uniform(30, 194, (batch, persons, 1, 2))
  bend = rng.normal(scale=3, size=(batch, persons, 15, 2))
  joints = (_STANDING + bend) * scale + place
  return joints.astype(np.float32), rng.uniform(size=joints.shape[:3]) > 0.05


def draw(joints: jax.Array, visible: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Heat-maps and PAFs of one scene."""
  return (
    render_heatmaps(joints, visible, SIZE),
    render_pafs(joints, visible, J15.limbs, SIZE),
  )


def find(heatmaps: jax.Array, pafs: jax.Array, persons: int):
  """The people of one image's maps, with slots for false ones too: NumPy's lists have no end."""
  slots = 2 * persons + 4
  return group_people(heatmaps, pafs, J15.limbs, max_people=slots, max_peaks=slots)


def sample_and_draw(key: jax.Array, config: scene_config.SceneConfig):
  """One scene of the synthetic world, projected, as maps."""
  scene = scenes.sample_scene(key, config)
  visible = jnp.broadcast_to(scene.valid[:, None], (config.max_people, J15.num_joints))
  return draw(scene.joints_image[0, :, : J15.num_joints], visible)


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  seconds, main = (0.05, 4) if quick else (1.5, 64)
  yield _drawing_row(main, 4, seconds, targets=(('loop', 20), ('vectorized', 4), ('rate', 12_000)))
  yield _scene_row(main, seconds)
  for batch in () if quick else (1, 16, 256):
    yield _drawing_row(batch, 4, seconds)
  for persons in () if quick else (1, 2, 8, 16):
    yield _drawing_row(main, persons, seconds)
  yield from _other_drawing_rows(main, seconds)
  main = 2 if quick else 16
  yield _finding_row(main, 8, seconds, targets=(('loop', 10),))
  for batch in () if quick else (1, 64):
    yield _finding_row(batch, 8, seconds)
  for persons in () if quick else (1, 2, 4, 16):
    yield _finding_row(main, persons, seconds)


def _drawing_row(
  batch: int, persons: int, seconds: float, targets: tuple[tuple[str, float], ...] = ()
) -> harness.Row:
  joints, visible = people(0, batch, persons)
  function = jax.jit(jax.vmap(draw))
  few = min(batch, 8)

  def loop():
    return [
      numpy_heatmaps.render_loop(j, v, J15.limbs, SIZE)
      for j, v in zip(joints[:few], visible[:few], strict=True)
    ]

  def vectorized():
    return numpy_heatmaps.render_vectorized(joints, visible, J15.limbs, SIZE)

  ours = jax.tree.map(np.asarray, function(joints, visible))
  require_same_maps(ours, vectorized())
  require_same_maps(
    tuple(maps[:few] for maps in ours), tuple(map(np.stack, zip(*loop(), strict=True)))
  )
  return harness.compare(
    f'heat-maps + PAFs, J15, 28², {persons} persons, batch {batch}', 'scenes', batch, function,
    (jnp.asarray(joints), jnp.asarray(visible)), loop=loop, loop_count=few, vectorized=vectorized,
    seconds=seconds, targets=targets,
  )


def require_same_maps(
  ours: tuple[np.ndarray, ...], theirs: tuple[np.ndarray, ...], atol: float = 1e-5
) -> None:
  """Raises an AssertionError unless all cells agree but one in 100,000: see the module."""
  for a, b in zip(ours, theirs, strict=True):
    assert a.shape == b.shape and a.dtype == b.dtype, (a.shape, b.shape, a.dtype, b.dtype)
    differ = int(np.sum(~(np.abs(a - b) <= atol)))
    assert differ <= a.size / 100_000, f'{differ} of {a.size} cells differ by more than {atol}'


def _scene_row(batch: int, seconds: float) -> harness.Row:
  config = scene_config.SceneConfig()
  function = jax.jit(jax.vmap(lambda key: sample_and_draw(key, config)))
  keys = jax.random.split(jax.random.key(0), batch)
  return harness.compare(
    f'scene sampling + projection + heat-maps + PAFs, ≤ 4 persons, batch {batch}', 'scenes',
    batch, function, (keys,), seconds=seconds, targets=(('rate', 8_000),),
  )


def _other_drawing_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  """Parts, variants and the gradient of drawing; no NumPy side."""
  joints, visible = (jnp.asarray(array) for array in people(0, batch, 4))
  joints17 = jnp.concatenate([joints, joints[:, :, [11, 14]] + 5], axis=2)[:, 0]

  def loss(joints, visible):
    return sum(jnp.sum(maps**2) for maps in draw(joints, visible))

  functions = {
    'heat-maps alone': lambda j, v: render_heatmaps(j, v, SIZE),
    'heat-maps alone, max': lambda j, v: render_heatmaps(j, v, SIZE, combine='max'),
    'PAFs alone': lambda j, v: render_pafs(j, v, J15.limbs, SIZE),
    'heat-maps + PAFs, gradient in the joints': jax.grad(loss),
  }
  for name, function in functions.items():
    yield harness.compare(
      f'{name}, J15, 28², 4 persons, batch {batch}', 'scenes', batch,
      jax.jit(jax.vmap(function)), (joints, visible), seconds=seconds,
    )
  yield harness.compare(
    f'KSP heat-maps + limb Gaussians, J17, 14², batch {batch}', 'scenes', batch,
    jax.jit(jax.vmap(lambda j: (
      render_heatmaps(j[None], None, (14, 14), stride=16.0, sigma=16.0),
      render_limb_gaussians(j, J17.limbs, (14, 14)),
    ))), (joints17,), seconds=seconds,
  )


def _finding_row(
  batch: int, persons: int, seconds: float, targets: tuple[tuple[str, float], ...] = ()
) -> harness.Row:
  heatmaps, pafs = jax.jit(jax.vmap(draw))(*people(1, batch, persons))
  heatmaps_np, pafs_np = np.asarray(heatmaps), np.asarray(pafs)
  function = jax.jit(jax.vmap(functools.partial(find, persons=persons)))
  few = min(batch, 2)

  def loop():
    return [
      numpy_grouping.decode_loop(h, p, J15.limbs)
      for h, p in zip(heatmaps_np[:few], pafs_np[:few], strict=True)
    ]

  def vectorized():
    return numpy_grouping.decode_vectorized(heatmaps_np, pafs_np, J15.limbs)

  ours = jax.tree.map(np.asarray, function(heatmaps, pafs))
  require_same_people(ours, vectorized())
  require_same_people(jax.tree.map(lambda field: field[:few], ours), loop())
  return harness.compare(
    f'find people, J15, 28², {persons} persons, batch {batch}', 'images', batch, function,
    (heatmaps, pafs), loop=loop, loop_count=few, vectorized=vectorized, seconds=seconds,
    targets=targets,
  )


def require_same_people(ours, theirs: list[list[numpy_grouping.Person]]) -> None:
  """Raises an AssertionError unless both found the same people with the same joints."""
  for i, wanted in enumerate(theirs):
    count = int(ours.valid[i].sum())
    assert count == len(wanted), f'image {i}: {count} persons, NumPy has {len(wanted)}'
    for found, seen, score, person in zip(
      ours.joints[i], ours.visible[i], ours.score[i], wanted, strict=False
    ):
      np.testing.assert_array_equal(seen, person[1])
      np.testing.assert_allclose(found, person[0], atol=1e-2)
      np.testing.assert_allclose(score, person[2], atol=1e-3)
