"""Cameras given any input: a clear error or a defined result, never a silent NaN."""

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import camera as camera_lib

project = jax.jit(camera_lib.project)
back_project = jax.jit(camera_lib.back_project)
PROJECT_GRADIENT = jax.jit(jax.grad(lambda *args: jnp.sum(camera_lib.project(*args))))

MODELS = (camera_lib.Chi3dDistortion, camera_lib.OpenCvDistortion)
INTRINSICS = camera_lib.Intrinsics(np.array([1145.0, 1144.0]), np.array([512.5, 515.4]))
RADIAL = np.array([-0.2, 0.24, -0.01])
TANGENTIAL = np.array([-0.009, -0.014])


def valid_arguments(num=3):
  camera = camera_lib.Camera(INTRINSICS, np.eye(3), np.zeros(3))
  lens = camera_lib.Distortion(RADIAL, TANGENTIAL)
  points, pixels = np.ones((num, 3)), np.ones((num, 2))
  return (
    (camera_lib.project, {'points': points, 'intrinsics': INTRINSICS}),
    (camera_lib.in_front, {'points': points}),
    (camera_lib.project_weak, {
      'pose': points, 'root_px': np.ones(2), 'depth': 1.0, 'focal': np.ones(2)}),
    (camera_lib.compose_global, {
      'pose': points, 'root_px': np.ones(2), 'depth': 1.0, 'intrinsics': INTRINSICS}),
    (camera_lib.back_project, {
      'pixels': pixels, 'depths': np.ones(num), 'intrinsics': INTRINSICS}),
    (camera_lib.distort, {'normalized': pixels, 'distortion': lens}),
    (camera_lib.undistort, {'distorted': pixels, 'distortion': lens}),
    (camera_lib.world_to_camera, {'points': points, 'camera': camera}),
    (camera_lib.camera_to_world, {'points': points, 'camera': camera}),
    (camera_lib.translation_from_center, {'rotation': np.eye(3), 'center': np.ones(3)}),
    (camera_lib.look_at, {'eye': np.ones(3), 'target': np.zeros(3), 'up': np.ones(3), 'roll': 0.}),
    (camera_lib.scale_intrinsics, {'intrinsics': INTRINSICS, 'scale': 2.0}),
    (camera_lib.crop_intrinsics, {'intrinsics': INTRINSICS, 'corner': np.zeros(2)}),
  )


@pytest.mark.parametrize(
  ('function', 'arguments'), valid_arguments(), ids=lambda value: getattr(value, '__name__', '')
)
def test_extra_axes_are_refused_by_name(function, arguments):
  function(**arguments)
  for name, value in arguments.items():
    if isinstance(value, tuple):
      continue
    for wrong in (np.zeros((2, *np.shape(value))), np.zeros((2, 2, 2, 2))):
      if name in ('focal', 'scale') and wrong.shape == (2,):
        continue  # one per axis is right
      with pytest.raises(ValueError, match=rf'^{function.__name__}: {name} must have.*vmap'):
        function(**{**arguments, name: wrong})


def test_wrong_kinds_are_refused():
  with pytest.raises(ValueError, match='width and height must be > 0'):
    camera_lib.fixed_intrinsics(0)
  with pytest.raises(TypeError, match='Chi3dDistortion or OpenCvDistortion'):
    camera_lib.distort(np.zeros((1, 2)), (RADIAL, TANGENTIAL))
  with pytest.raises(ValueError, match=r'radial must have shape \(3,\), got \(2,\)'):
    camera_lib.distort(np.zeros((1, 2)), camera_lib.Distortion(np.zeros(2), TANGENTIAL))
  with pytest.raises(ValueError, match=r'focal must have shape \(2,\)'):
    camera_lib.project(np.zeros((1, 3)), camera_lib.Intrinsics(np.float32(1), np.zeros(2)))
  with pytest.raises(ValueError, match='must be real'):
    camera_lib.project(np.zeros((1, 3), complex), INTRINSICS)


@pytest.mark.parametrize('wrong', [0, -1.0, np.float32(-5), np.nan, np.inf])
@pytest.mark.parametrize(
  ('function', 'arguments'), valid_arguments()[:3], ids=lambda value: getattr(value, '__name__', '')
)
def test_a_least_depth_is_finite_and_positive(function, arguments, wrong):
  with pytest.raises(ValueError, match=rf'^{function.__name__}: min_depth must be .*got [^\n]*$'):
    function(**arguments, min_depth=wrong)


def test_a_traced_least_depth_works():
  least = jax.jit(lambda depth: camera_lib.in_front(np.full((1, 3), 30.0), depth))
  assert least(20.0)[0] and not least(40.0)[0]


def test_zero_points_and_integers():
  for function, arguments in valid_arguments(num=0)[:9]:
    function(**arguments)
  assert camera_lib.project(np.array([[1, 2, 50]]), INTRINSICS).dtype == jnp.float32


finite = st.one_of(st.just(0.0), st.floats(-(2.0**40), 2.0**40, width=32))


@hypothesis.given(hnp.arrays(np.float32, (4, 3), elements=finite), st.sampled_from(MODELS))
def test_finite_points_give_finite_pixels_and_gradients(points, model):
  lens = model(jnp.asarray(RADIAL), jnp.asarray(TANGENTIAL))
  assert np.all(np.isfinite(project(points, INTRINSICS, lens)))
  assert np.all(np.isfinite(PROJECT_GRADIENT(points, INTRINSICS, lens)))
  assert np.all(np.isfinite(back_project(points[:, :2], points[:, 2], INTRINSICS, lens)))


@pytest.mark.parametrize('bad', [np.nan, np.inf, -np.inf])
def test_a_bad_point_stays_alone_and_shows(bad):
  points = np.array([[1, 2, 3000], [4, 5, 2000], [-6, 7, 4000]], np.float32)
  points[1, 0] = bad
  pixels = np.asarray(project(points, INTRINSICS))
  assert np.all(np.isfinite(pixels[[0, 2]]))
  assert not np.isfinite(pixels[1, 0])
