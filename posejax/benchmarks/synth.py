"""Rates of the embedded world: poses, motions, scenes, rays, pictures (issue 2, section 6).

NumPy sides, in `numpy_synth.py`: poses from the same uniform numbers, and the first surface that
each ray of a picture meets. Motions, scenes and the shading of pictures have no second
implementation; their rows give our rate alone. Scenes with their maps are a row of `heatmaps`.
"""

import functools
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import harness, numpy_synth
from posejax.geometry import limits
from posejax.geometry.skeleton import J17
from posejax.synth import (
  DOMAIN_A,
  SceneConfig,
  casting,
  sample_appearance,
  sample_local_poses,
  sample_motion,
  sample_scene,
)
from posejax.synth import bodies as bodies_lib
from posejax.synth import solids as solids_lib
from posejax.synth.renderer import render_batch

_PEOPLE = 4


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  seconds = 0.05 if quick else 1.5
  yield _pose_row(64 if quick else 16384, seconds)
  yield _motion_row(2 if quick else 64, seconds)
  yield _scene_row(2 if quick else 64, seconds)
  side = 16 if quick else 128
  yield _ray_row(side, seconds)
  yield _picture_row(side, 1 if quick else 16, _PEOPLE, seconds, (('rate', 120.0),))
  for people in () if quick else (1, 8):
    yield _picture_row(side, 16, people, seconds)
  for batch in () if quick else (1, 64):
    yield _picture_row(side, batch, _PEOPLE, seconds)


def _pose_row(count: int, seconds: float) -> harness.Row:
  key = jax.random.key(0)
  function = jax.jit(lambda key: sample_local_poses(key, count))
  uniform = np.asarray(jax.random.uniform(key, (count, len(numpy_synth.drawn_joints(J17)), 2)))
  few = min(count, 512)
  loop = lambda: numpy_synth.poses_loop(uniform[:few], limits.PAPER, J17)  # noqa: E731

  def vectorized():
    return numpy_synth.poses_vectorized(uniform, limits.PAPER, J17)

  def draw_and_pose():
    # Our side draws its numbers too, so NumPy's time has to hold them.
    np.random.default_rng(0).random(uniform.shape, np.float32)
    return vectorized()

  harness.require_equal(function(key), vectorized(), atol=2e-5)
  harness.require_equal(function(key)[:few], loop(), atol=2e-5)
  return harness.compare(
    f'artificial poses, J17, batch {count}', 'poses', count, function, (key,), loop=loop,
    loop_count=few, vectorized=draw_and_pose, seconds=seconds,
  )


def _motion_row(batch: int, seconds: float) -> harness.Row:
  frames = 30
  function = jax.jit(jax.vmap(lambda key: sample_motion(key, frames)))
  keys = jax.random.split(jax.random.key(0), batch)
  return harness.compare(
    f'motions of {frames} frames, batch {batch}', 'frames', batch * frames, function, (keys,),
    seconds=seconds,
  )


def _scene_row(batch: int, seconds: float) -> harness.Row:
  config = SceneConfig(placement='room', pose_source='motion', max_people=_PEOPLE)
  function = jax.jit(jax.vmap(lambda key: sample_scene(key, config)))
  keys = jax.random.split(jax.random.key(0), batch)
  return harness.compare(
    f'scenes in a room, ≤ {_PEOPLE} persons in motion, batch {batch}', 'scenes', batch, function,
    (keys,), seconds=seconds,
  )


def _world(side: int, batch: int, people: int):
  """Scenes in a room and their looks, everyone there if there is room; leading axis B."""
  config = SceneConfig(
    placement='room', pose_source='motion', max_people=people, min_people=people, width=side,
    height=side, min_pelvis_distance_mm=400.0, candidates=24,
  )
  keys = jax.random.split(jax.random.key(1), batch)
  scenes = jax.jit(jax.vmap(lambda key: sample_scene(key, config)))(keys)
  looks = jax.jit(jax.vmap(lambda key: sample_appearance(key, DOMAIN_A, people)))(keys)
  cameras = jax.tree.map(lambda x: x[:, 0], scenes.cameras)
  return scenes, cameras, looks


def _ray_row(side: int, seconds: float) -> harness.Row:
  scenes, cameras, looks = _world(side, 1, _PEOPLE)
  scene, camera, look = jax.tree.map(lambda x: x[0], (scenes, cameras, looks))
  bodies = jax.jit(jax.vmap(bodies_lib.build_body))(scene.joints_world, look.people.shape)

  @jax.jit
  def seen(solids):
    def flat(part):
      merged = jax.tree.map(lambda x: x[:, part].reshape(-1, *x.shape[2:]), solids)
      return solids_lib.transform(merged, camera.rotation, camera.translation)

    split = bodies_lib.NUM_WHOLE
    return flat(slice(None, split)), flat(slice(split, None))

  whole, cut = seen(bodies.solids)
  lattice = (np.arange(side, dtype=np.float32) - (side - 1) / 2) / side
  y, x = np.meshgrid(lattice, lattice, indexing='ij')
  rays = np.stack([x.ravel(), y.ravel(), np.ones(side * side, np.float32)], -1)
  arrays = tuple(
    np.concatenate([np.asarray(a), np.asarray(b)]) for a, b in zip(whole, cut, strict=True)
  )
  few = slice(0, side * side, max(side * side // 64, 1))
  function = jax.jit(lambda whole, cut, x, y: casting.cast(
    casting.view_coefficients(whole), casting.view_coefficients(cut), x, y
  )[0])
  args = (whole, cut, jnp.asarray(x), jnp.asarray(y))
  ours = np.asarray(function(*args)).ravel()
  require_same_hits(ours, numpy_synth.hits_vectorized(arrays, rays))
  require_same_hits(ours[few], numpy_synth.hits_loop(arrays, rays[few]))
  return harness.compare(
    f'first hits of rays with {_PEOPLE} bodies ({len(arrays[0])} solids), {side}²', 'rays',
    side * side, function, args, loop=lambda: numpy_synth.hits_loop(arrays, rays[few]),
    loop_count=len(rays[few]), vectorized=lambda: numpy_synth.hits_vectorized(arrays, rays),
    seconds=seconds,
  )


def require_same_hits(ours: np.ndarray, theirs: np.ndarray) -> None:
  """Raises an AssertionError unless depths agree to 1e-3, but for one ray in 200.

  A ray that grazes a silhouette is a hit or a miss by its last bit.
  """
  wrong = ~np.isclose(ours, theirs, rtol=1e-3, atol=0)
  assert wrong.mean() <= 1 / 200, f'{wrong.sum()} of {wrong.size} rays differ'


def _picture_row(
  side: int, batch: int, people: int, seconds: float,
  targets: tuple[tuple[str, float], ...] = (),
) -> harness.Row:
  scenes, cameras, looks = _world(side, batch, people)

  function = jax.jit(functools.partial(render_batch, size=(side, side)))
  placed = int(scenes.valid.sum())
  return harness.compare(
    f'pictures {side}², {people} persons, batch {batch}', 'pictures', batch, function,
    (scenes.joints_world, scenes.valid, cameras, looks), seconds=seconds, targets=targets,
    note=f'{placed} of {batch * people} persons found a place' if placed < batch * people else '',
  )
