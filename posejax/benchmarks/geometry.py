"""Rates of the geometry functions beside NumPy (issue 2, section 6).

The work: poses of J15 in float32, robust frames, the standard skeleton. The NumPy sides are in
`numpy_geometry`; a row whose outputs differ from theirs is an error. The poses keep off the
degenerate frames, where float32 decides otherwise from one program to the next.
"""

import functools
from collections.abc import Callable, Iterator

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import harness, numpy_geometry
from posejax.geometry import alignment, camera, kinematics, rotation
from posejax.geometry.skeleton import J15

LENGTHS = kinematics.bone_lengths(J15).astype(np.float32)
FK_TARGET = 1e6  # poses/s on 2 CPU cores

_LENS = camera.OpenCvDistortion(
  np.array([-0.21, 0.24, -0.002], np.float32), np.array([-0.0009, -0.0016], np.float32)
)


def forward_kinematics(local: jax.Array) -> jax.Array:
  return kinematics.forward_kinematics(local, LENGTHS, J15)


def local_from_canonical(canonical: jax.Array) -> jax.Array:
  return kinematics.local_from_canonical(canonical, J15)


def local_poses(seed: int, batch: int) -> np.ndarray:
  """(B, J, 3) valid local poses with every direction well off the singular ones."""
  rng = np.random.default_rng(seed)
  raw = rng.uniform(-0.4, 0.4, (batch, J15.num_joints, 3)) + np.array([0.2, 0.2, 1.0])
  right_hip, shoulder = J15.index('r_hip'), J15.index('r_shoulder')
  raw[:, right_hip] = raw[:, shoulder] = rng.uniform(-0.2, 0.2, (batch, 3)) - np.array([1, 0, 0])
  constrain = jax.jit(jax.vmap(functools.partial(kinematics.constrain_local, skeleton=J15)))
  return np.asarray(constrain(raw.astype(np.float32)))


def rows(quick: bool) -> Iterator[harness.Row]:
  """All rows of this topic; `quick` shows that everything runs, not how fast."""
  seconds, main = (0.02, 8) if quick else (1.5, 16384)
  yield _fk_row(main, seconds, targets=(('rate', FK_TARGET),))
  for batch in () if quick else (1, 64, 1024, 4096, 65536):
    yield _fk_row(batch, seconds)
  yield from _kinematics_rows(main, seconds)
  if not quick:
    yield from _gradient_rows(main, seconds)
  yield from _rotation_rows(main, seconds)
  yield from _procrustes_rows(main, seconds)
  yield from _projection_rows(main, seconds)


def _row(
  name: str,
  function: Callable,
  loop: Callable,
  vectorized: Callable,
  args: tuple[np.ndarray, ...],
  seconds: float,
  *,
  unit: str = 'poses',
  atol: float = 5e-3,
  targets: tuple[tuple[str, float], ...] = (),
  note: str = '',
) -> harness.Row:
  """One compared row: `function` and `loop` take one item of `args`, `vectorized` all."""
  count = len(args[0])
  few = min(count, 64)
  ours = jax.jit(jax.vmap(function))

  def call_loop():
    return [loop(*(arg[i] for arg in args)) for i in range(few)]

  # Measured before it is checked: the check's call would leave nothing of the compile time.
  row = harness.compare(
    f'{name}, batch {count:,}', unit, count, ours, tuple(map(jnp.asarray, args)), loop=call_loop,
    loop_count=few, vectorized=lambda: vectorized(*args), seconds=seconds, targets=targets,
    note=note,
  )
  output = np.asarray(ours(*args))
  harness.require_equal(output, vectorized(*args), atol=atol)
  harness.require_equal(output[:few], np.stack(call_loop()), atol=atol)
  return row


def _fk_row(
  batch: int, seconds: float, targets: tuple[tuple[str, float], ...] = ()
) -> harness.Row:
  return _row(
    'FK, J15', forward_kinematics,
    lambda local: numpy_geometry.forward_kinematics_loop(local, LENGTHS, J15),
    lambda local: numpy_geometry.forward_kinematics_vectorized(local, LENGTHS, J15),
    (local_poses(0, batch),), seconds, targets=targets,
  )


def _kinematics_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  pose = numpy_geometry.forward_kinematics_vectorized(local_poses(1, batch), LENGTHS, J15)
  yield _row(
    'T_L, J15', local_from_canonical,
    lambda pose: numpy_geometry.local_from_canonical_loop(pose, J15),
    lambda pose: numpy_geometry.local_from_canonical_vectorized(pose, J15),
    (pose,), seconds, atol=1e-4,
  )


def _gradient_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  """FK and T_L with their gradients: no NumPy side."""
  local = jnp.asarray(local_poses(2, batch))
  pose = jax.jit(jax.vmap(forward_kinematics))(local)
  weights = np.random.default_rng(2).normal(size=(15, 3)).astype(np.float32)
  for name, function, x in (
    ('FK', forward_kinematics, local), ('T_L', local_from_canonical, pose)
  ):
    gradient = jax.grad(lambda x, function=function: jnp.sum(function(x) * weights))
    yield harness.compare(
      f'{name} and its gradient, J15, batch {batch:,}', 'poses', batch,
      jax.jit(jax.vmap(gradient)), (x,), seconds=seconds,
    )


def _rotation_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  angles = np.random.default_rng(3).uniform(-3, 3, (batch, 3)).astype(np.float32)
  yield _row(
    'Euler angles to matrices', rotation.euler_to_matrix, numpy_geometry.euler_to_matrix_loop,
    numpy_geometry.euler_to_matrix_vectorized, (angles,), seconds, unit='matrices', atol=1e-5,
    note="three quarters of the time are XLA's sines and cosines, which NumPy vectorises better",
  )


def _procrustes_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  rng = np.random.default_rng(4)
  target = rng.normal(scale=300, size=(batch, 15, 3)).astype(np.float32)
  turn = numpy_geometry.euler_to_matrix_vectorized(rng.uniform(-3, 3, (batch, 3)))
  source = 0.7 * target @ turn + rng.normal(scale=40, size=target.shape) + 500
  yield _row(
    'Procrustes (similarity), 15 points', alignment.align_procrustes,
    numpy_geometry.procrustes_loop, numpy_geometry.procrustes_vectorized,
    (source.astype(np.float32), target), seconds, unit='pairs', atol=0.05,
  )


def _projection_rows(batch: int, seconds: float) -> Iterator[harness.Row]:
  rng = np.random.default_rng(5)
  focal, center = np.float32(224), np.full(2, 111.5, np.float32)
  pose = rng.normal(scale=300, size=(batch, 15, 3)).astype(np.float32)
  root_px = rng.uniform(30, 194, (batch, 2)).astype(np.float32)
  depth = rng.uniform(2000, 6000, batch).astype(np.float32)
  yield _row(
    'weak perspective, J15', lambda *person: camera.project_weak(*person, focal),
    lambda *person: numpy_geometry.project_weak_loop(*person, focal),
    lambda *people: numpy_geometry.project_weak_vectorized(*people, focal),
    (pose, root_px, depth), seconds, atol=1e-3,
  )
  intrinsics = camera.Intrinsics(np.full(2, focal), center)

  def project_numpy(points):
    return numpy_geometry.project(points, focal, center, _LENS.radial, _LENS.tangential)

  yield _row(
    'full perspective with lens distortion, J15',
    lambda points: camera.project(points, intrinsics, _LENS), project_numpy, project_numpy,
    (pose + np.array([0, 0, 4000], np.float32),), seconds, atol=1e-3,
  )
