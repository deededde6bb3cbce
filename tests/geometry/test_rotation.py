import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from posejax.geometry import rotation
from tests.geometry.numerics import numerical_jacobian

to_matrix = jax.jit(jax.vmap(rotation.euler_to_matrix))
to_euler = jax.jit(jax.vmap(rotation.matrix_to_euler))
from_sincos = jax.jit(jax.vmap(rotation.sincos_to_matrix))
to_sincos = jax.jit(jax.vmap(rotation.matrix_to_sincos))
about_axis = jax.jit(jax.vmap(rotation.rotation_about_axis))

ANGLES = np.random.default_rng(0).uniform(-np.pi, np.pi, (1000, 3))


def sincos_of(angles: np.ndarray) -> np.ndarray:
  return np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(len(angles), 6)


def test_one_of_each_by_hand():
  # 90° about one axis each: yaw takes x (forward) to y (left); side lean takes y to z (up);
  # forward lean takes z to x: the head comes forward.
  x, y, z = np.eye(3)
  yaw, lean, pitch = np.asarray(to_matrix(np.pi / 2 * np.eye(3)))
  np.testing.assert_allclose(yaw @ x, y, atol=1e-6)
  np.testing.assert_allclose(lean @ y, z, atol=1e-6)
  np.testing.assert_allclose(pitch @ z, x, atol=1e-6)


def test_matrices_against_scipy(x64):
  expected = Rotation.from_euler('ZXY', ANGLES).as_matrix()
  np.testing.assert_allclose(to_matrix(ANGLES), expected, atol=1e-14)
  np.testing.assert_allclose(from_sincos(sincos_of(ANGLES)), expected, atol=1e-14)


def test_angles_against_scipy(x64):
  matrices = Rotation.random(1000, random_state=1).as_matrix()
  expected = Rotation.from_matrix(matrices).as_euler('ZXY')
  np.testing.assert_allclose(to_euler(matrices), expected, atol=1e-11)
  np.testing.assert_allclose(to_sincos(matrices), sincos_of(expected), atol=1e-11)


def test_inverses_in_float32():
  matrices = to_matrix(ANGLES.astype(np.float32))
  assert matrices.dtype == jnp.float32
  np.testing.assert_allclose(to_matrix(to_euler(matrices)), matrices, atol=2e-6)
  np.testing.assert_allclose(from_sincos(to_sincos(matrices)), matrices, atol=2e-6)


def test_gimbal_lock_against_scipy(x64):
  angles = ANGLES[:50].copy()
  angles[::2, 1], angles[1::2, 1] = np.pi / 2, -np.pi / 2
  matrices = Rotation.from_euler('ZXY', angles).as_matrix()
  found = to_euler(matrices)
  np.testing.assert_allclose(found[:, 2], 0, atol=1e-12)  # the third angle is 0, as SciPy's
  with pytest.warns(UserWarning, match='[Gg]imbal'):
    expected = Rotation.from_matrix(matrices).as_euler('ZXY')
  np.testing.assert_allclose(np.sin(found - expected), 0, atol=1e-6)
  np.testing.assert_allclose(to_matrix(found), matrices, atol=1e-9)


def test_pairs_of_any_length(x64):
  lengths = 10 ** np.random.default_rng(2).uniform(-5, 5, (1000, 3, 1))
  stretched = (sincos_of(ANGLES).reshape(1000, 3, 2) * lengths).reshape(1000, 6)
  np.testing.assert_allclose(from_sincos(stretched), to_matrix(ANGLES), atol=1e-12)
  np.testing.assert_array_equal(rotation.sincos_to_matrix(jnp.zeros(6)), np.eye(3))


def test_about_axis_against_scipy(x64):
  rng = np.random.default_rng(3)
  axes, angles = rng.normal(size=(200, 3)), rng.uniform(-7, 7, 200)
  unit = axes / np.linalg.norm(axes, axis=1, keepdims=True)
  expected = Rotation.from_rotvec(unit * angles[:, None]).as_matrix()
  np.testing.assert_allclose(about_axis(axes, angles), expected, atol=1e-13)
  about_z = rotation.rotation_about_axis(jnp.zeros(3), 0.3)
  np.testing.assert_allclose(about_z, Rotation.from_euler('z', 0.3).as_matrix(), atol=1e-13)


def test_upright_person_faces_the_camera():
  # Columns: canonical forward, left and up in camera axes (x right, y down, z forward).
  forward, left, up = rotation.UPRIGHT_FACING_CAMERA.T
  np.testing.assert_array_equal(forward, [0, 0, -1])
  np.testing.assert_array_equal(left, [1, 0, 0])
  np.testing.assert_array_equal(up, [0, -1, 0])
  assert np.linalg.det(rotation.UPRIGHT_FACING_CAMERA) == pytest.approx(1)


FUNCTIONS = {
  'euler_to_matrix': (rotation.euler_to_matrix, (3,)),
  'sincos_to_matrix': (rotation.sincos_to_matrix, (6,)),
  'matrix_to_sincos': (rotation.matrix_to_sincos, (3, 3)),
  'matrix_to_euler': (rotation.matrix_to_euler, (3, 3)),
}


@pytest.mark.parametrize('name', FUNCTIONS)
def test_derivatives(x64, name):
  function, shape = FUNCTIONS[name]
  rng = np.random.default_rng(4)
  x = rng.normal(size=shape) if len(shape) == 1 else np.asarray(to_matrix(ANGLES[:1])[0])
  forward = jax.jacfwd(function)(x)
  np.testing.assert_allclose(forward, jax.jacrev(function)(x), atol=1e-12)
  np.testing.assert_allclose(forward, numerical_jacobian(function, x, 1e-6), atol=1e-7)


@pytest.mark.parametrize('name', FUNCTIONS)
@pytest.mark.parametrize('angle', [0.0, np.pi / 2, -np.pi / 2, np.pi])
def test_derivatives_at_singular_points_are_finite(name, angle):
  function, shape = FUNCTIONS[name]
  if name == 'sincos_to_matrix':
    x = jnp.zeros(6)
  elif len(shape) == 1:
    x = jnp.full(shape, angle)
  else:
    # The exact matrix of a side lean: no rounding hides the lock.
    s, c = np.round(np.sin(angle)), np.round(np.cos(angle))
    x = jnp.array([[1, 0, 0], [0, c, -s], [0, s, c]])
  for jacobian in (jax.jacfwd, jax.jacrev):
    assert np.all(np.isfinite(jacobian(function)(x)))


@given(st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=9, max_size=9))
def test_finite_in_finite_out(values):
  x = np.array(values, np.float32)
  for function, argument in (
    (to_matrix, x[:3]), (from_sincos, x[:6]), (to_sincos, x.reshape(3, 3)),
    (to_euler, x.reshape(3, 3)),
  ):
    assert np.all(np.isfinite(function(argument[None])))
  turn = np.asarray(from_sincos(x[None, :6])[0], np.float64)
  np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-5)
  assert np.linalg.det(turn) > 0
  about = np.asarray(about_axis(x[None, :3], x[None, 3])[0], np.float64)
  np.testing.assert_allclose(about @ about.T, np.eye(3), atol=1e-5)


@given(st.integers(0, 5), st.sampled_from([np.nan, np.inf, -np.inf]))
def test_nan_and_inf_are_never_silent(index, bad):
  x = np.ones(6, np.float32)
  x[index] = bad
  assert np.any(np.isnan(from_sincos(x[None])))
  assert np.any(np.isnan(to_matrix(np.roll(x, -index)[None, :3])))
  assert np.any(np.isnan(about_axis(np.roll(x, -index)[None, :3], np.ones(1, np.float32))))


@pytest.mark.parametrize('name', FUNCTIONS)
@pytest.mark.parametrize('shape', [(), (1, 3), (2, 6), (4, 3, 3), (9,), (0,)])
def test_wrong_shapes(name, shape):
  function, _ = FUNCTIONS[name]
  with pytest.raises(ValueError, match=f'{name}: .* must have shape .*vmap over batches') as error:
    function(np.zeros(shape))
  assert '\n' not in str(error.value)


def test_wrong_shapes_about_axis():
  with pytest.raises(ValueError, match='rotation_about_axis: axis must have shape'):
    rotation.rotation_about_axis(np.zeros((2, 3)), 0.0)
  with pytest.raises(ValueError, match='rotation_about_axis: angle must have shape'):
    rotation.rotation_about_axis(np.zeros(3), np.zeros(1))
