"""Kinematics at singular points, under NaN and inf, and with arguments that are none."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.skeleton import J15, J17
from tests.geometry import poses

NAMES = poses.NAMES
LENGTHS = kinematics.bone_lengths()
TORSO = {NAMES[name] for name in ('pelvis', 'neck', 'r_hip', 'l_hip')}


def descendants(joint: int) -> set[int]:
  """The joint and all that hang on it."""
  children = [k for k, parent in enumerate(J17.parents) if parent == joint]
  return {joint}.union(*map(descendants, children))


def fk(local):
  return kinematics.forward_kinematics(local, LENGTHS)


FUNCTIONS = {'FK': fk, 'T_L': kinematics.local_from_canonical}
BATCHED = {name: jax.jit(jax.vmap(function)) for name, function in FUNCTIONS.items()}
# One pose and one direction each, all in one flat batch: it compiles in a tenth of jacfwd's time.
JVP = {
  name: jax.jit(jax.vmap(lambda x, v, f=function: jax.jvp(f, (x,), (v,))[1]))
  for name, function in FUNCTIONS.items()
}
VJP = {
  name: jax.jit(jax.vmap(lambda x, v, f=function: jax.vjp(f, x)[1](v)[0]))
  for name, function in FUNCTIONS.items()
}
canonicalize = jax.jit(jax.vmap(kinematics.canonicalize))
constrain = jax.jit(jax.vmap(kinematics.constrain_local))


@functools.cache
def singular_cases() -> dict[str, np.ndarray]:
  """Valid local poses at and near the points where a frame or an angle is singular."""
  base = poses.human(np.random.default_rng(0), 1)[0]
  base[NAMES['r_hip']] = base[NAMES['r_shoulder']] = -1, 0, 0
  root = np.sqrt(0.5)
  straight = {f'{side}_{part}': (0, 0, 1) for side in 'rl' for part in ('elbow', 'wrist', 'ankle')}

  def case(**rows):
    local = base.copy()
    for name, row in rows.items():
      local[NAMES[name]] = row
    return poses.valid((local + np.eye(17)[0][:, None])[None])[0]

  down = {f'{side}_knee': (-1, 0, 0) for side in 'rl'}
  forward = {f'{side}_knee': (0, -1, 0) for side in 'rl'}
  return {
    'human': case(),
    'straight limbs': case(**straight, **down, head_top=(0, 0, 1)),
    'sitting': case(**forward, r_ankle=(0, 1, 0), l_ankle=(0, 1, 0)),
    'shoulder forward': case(r_shoulder=(0, -1, 0)),
    'shoulder nearly forward': case(r_shoulder=(3e-3, -1, 2e-3)),
    'thigh along the hips': case(r_knee=(0, 0, 1), l_knee=(0, 0, 1)),
    'thigh nearly along the hips': case(r_knee=(2e-3, 3e-3, 1), l_knee=(1e-3, 3e-3, 1)),
    'shank along the hips': case(**down, r_ankle=(1, 0, 0), l_ankle=(1, 3e-3, 0)),
    'arm back and medial': case(r_elbow=(0, root, -root), l_elbow=(3e-3, root, -root)),
  }


def lanes(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
  """(N 51, 17, 3): each pose 51 times, and the 51 unit directions N times."""
  directions = np.eye(51, dtype=x.dtype).reshape(51, 17, 3)
  return np.repeat(x, 51, axis=0), np.tile(directions, (len(x), 1, 1))


def jacobians(product, x: np.ndarray, *, transposed: bool = False) -> np.ndarray:
  """(N, 51, 51) d output / d input, from products with unit directions."""
  columns = np.asarray(product(*lanes(x))).reshape(len(x), 51, 51)
  return columns if transposed else columns.swapaxes(1, 2)


def inputs(name: str) -> np.ndarray:
  local = np.stack(list(singular_cases().values()))
  return local if name == 'FK' else np.asarray(BATCHED['FK'](local))


@pytest.mark.parametrize('name', FUNCTIONS)
def test_forward_is_reverse_is_numerical_jacobian(x64, name):
  x = inputs(name)
  forward = jacobians(JVP[name], x)
  reverse = jacobians(VJP[name], x, transposed=True)
  np.testing.assert_allclose(forward, reverse, atol=1e-9 * np.max(np.abs(forward)))
  # Small against the 3e-3 of the nearest singular case (rows of length 1, bones of 130 to 490 mm).
  step = 1e-6 if name == 'FK' else 3e-4
  difference = jacobians(
    lambda x, v: (BATCHED[name](x + step * v) - BATCHED[name](x - step * v)) / (2 * step), x
  )
  for i, case in enumerate(singular_cases()):
    scale = np.max(np.abs(difference[i]))
    np.testing.assert_allclose(forward[i], difference[i], atol=1e-4 * scale, err_msg=case)


def test_float32_jacobian(x64):
  x = inputs('FK')
  double, single = (
    jacobians(VJP['FK'], x.astype(dtype), transposed=True) for dtype in (np.float64, np.float32)
  )
  assert single.dtype == np.float32
  for i, case in enumerate(singular_cases()):
    scale = np.max(np.abs(double[i]))
    np.testing.assert_allclose(single[i], double[i], atol=2e-2 * scale, err_msg=case)


@pytest.mark.parametrize('name', FUNCTIONS)
def test_collapsed_bodies(x64, name):
  # No row or bone has a direction: in all of the body, or in a part of it.
  x = inputs(name).copy()
  x[0] = 0
  x[1, :, :2] = 0  # all on one line
  x[2, NAMES['neck']] = x[2, NAMES['pelvis']]
  x[2, NAMES['r_elbow']] = x[2, NAMES['r_shoulder']]
  x[3, NAMES['r_hip']] = x[3, NAMES['l_hip']] = x[3, NAMES['pelvis']]
  assert np.all(np.isfinite(BATCHED[name](x)))
  assert np.all(np.isfinite(JVP[name](*lanes(x))))
  assert np.all(np.isfinite(VJP[name](*lanes(x))))


def test_rows_and_bones_without_direction_go_straight_on(x64):
  local = inputs('FK')
  bones = [NAMES['r_wrist'], NAMES['l_ankle'], NAMES['head_top']]
  local[:, bones] = 0, 0, 1
  expected = BATCHED['FK'](local)
  local[:, bones] = 0
  np.testing.assert_array_equal(BATCHED['FK'](local), expected)
  pose = inputs('T_L').copy()
  pose[:, NAMES['r_wrist']] = pose[:, NAMES['r_elbow']]
  rows = BATCHED['T_L'](pose)[:, NAMES['r_wrist']]
  np.testing.assert_allclose(rows, np.tile([0, 0, 1], (len(rows), 1)), atol=1e-12)


@pytest.mark.parametrize('lost', range(1, 17))
def test_nan_reaches_what_depends_on_it_alone(x64, lost):
  local, pose = inputs('FK'), inputs('T_L').copy()
  local[0, lost, 1] = pose[0, lost, 2] = np.nan
  spoilt = set(range(1, 17)) if lost in TORSO else descendants(lost)
  found = np.flatnonzero(np.any(np.isnan(BATCHED['T_L'](pose)[0]), axis=-1))
  assert set(found) == spoilt
  # FK places neck and hips by themselves; all others need all three.
  found = np.flatnonzero(np.any(np.isnan(BATCHED['FK'](local)[0]), axis=-1))
  assert set(found) == (spoilt - TORSO | {lost} if lost in TORSO else spoilt)


SPECIAL = [0.0, -0.0, 1.0, -1.0, 1e-38, 1e-20, -1e-7, 1e15, 1e30, -1e30]
finite_arrays = hnp.arrays(
  np.float32, (4, 17, 3),
  elements=st.one_of(st.sampled_from(np.float32(SPECIAL)), st.floats(-1e3, 1e3, width=32)),
)


@given(finite_arrays)
def test_finite_in_finite_out(x):
  for function in (*BATCHED.values(), constrain, canonicalize):
    for output in jax.tree.leaves(function(x)):
      assert output.dtype == jnp.float32
      assert np.all(np.isfinite(output)), function
  rows = np.linalg.norm(constrain(x)[:, 1:], axis=-1)
  np.testing.assert_allclose(rows, 1, atol=1e-5)


@given(finite_arrays, st.integers(0, 16), st.integers(0, 2), st.sampled_from([np.nan, np.inf]))
def test_a_bad_row_is_never_silent(x, joint, axis, bad):
  x[0, joint, axis] = bad
  for name, function in BATCHED.items():
    output = np.asarray(function(x))
    if joint:
      assert np.any(np.isnan(output[0, joint])), name
    assert np.all(np.isfinite(output[1:])), name
  _, turn = canonicalize(x)
  if joint in TORSO:
    assert np.any(np.isnan(turn[0]))


WRONG_SHAPES = [(51,), (16, 3), (17, 2), (1, 17, 3), (0, 3), ()]


@pytest.mark.parametrize('shape', WRONG_SHAPES)
@pytest.mark.parametrize('function', [
  fk, kinematics.local_from_canonical, kinematics.canonicalize, kinematics.constrain_local,
  kinematics.mirror_canonical, kinematics.mirror_local, kinematics.measure_bone_lengths,
])
def test_wrong_shapes(function, shape):
  with pytest.raises(ValueError, match=r'must have shape \(17, 3\).*vmap over batches') as error:
    function(np.zeros(shape))
  assert '\n' not in str(error.value)


def test_other_wrong_arguments():
  local = np.ones((17, 3))
  with pytest.raises(ValueError, match=r'bone_lengths must have shape \(17,\)'):
    kinematics.forward_kinematics(local, np.ones(16))
  with pytest.raises(ValueError, match=r"frame is 'kuka', expected one of \('paper', 'robust'\)"):
    kinematics.forward_kinematics(local, LENGTHS, frame='kuka')
  with pytest.raises(ValueError, match="frame is 'x'"):
    kinematics.local_from_canonical(local, frame='x')
  with pytest.raises(ValueError, match=r'COCO-17 has no local frames: it lacks .*pelvis'):
    kinematics.local_from_canonical(local, skeleton_lib.COCO17)
  with pytest.raises(ValueError, match=r'H3\.6M-17 has no local frames'):
    kinematics.bone_lengths(skeleton_lib.H36M17)
  with pytest.raises(ValueError, match=r'sincos must have shape \(6,\)'):
    kinematics.rotate_to_camera(local, np.ones(5))
  with pytest.raises(ValueError, match=r'canonical must have shape \(J, 3\)'):
    kinematics.rotate_to_camera(np.ones((2, 17, 3)), np.ones(6))
  with pytest.raises(ValueError, match=r'pose_rotation must have shape \(3, 3\)'):
    kinematics.sincos_from_pose_rotation(np.ones(9))


def test_dtype_follows_the_input(x64):
  # 64-bit NumPy lengths and constants must not widen a 32-bit pose, integers become floats.
  local = jnp.ones((15, 3), jnp.float32)
  pose = kinematics.forward_kinematics(local, kinematics.bone_lengths(J15), J15)
  assert pose.dtype == jnp.float32
  for output in (
    kinematics.local_from_canonical(pose, J15), *kinematics.canonicalize(pose, J15),
    kinematics.constrain_local(local, J15), kinematics.mirror_local(local, J15),
    kinematics.rotate_to_camera(pose, jnp.ones(6, jnp.float32)),
    kinematics.measure_bone_lengths(pose, J15),
  ):
    assert output.dtype == jnp.float32
  whole = kinematics.forward_kinematics(np.ones((15, 3), int), np.ones(15, int), J15)
  assert whole.dtype == jnp.float64 and np.all(np.isfinite(whole))
