"""Lens models against their printed formulas in plain NumPy, and their inverse."""

import jax
import numpy as np
import pytest

from posejax.geometry import distortion as distortion_lib

distort = jax.jit(distortion_lib.distort)
undistort = jax.jit(distortion_lib.undistort)

MODELS = (distortion_lib.Chi3dDistortion, distortion_lib.OpenCvDistortion)
# H3.6M-like coefficients, with a tangential part ten times larger so that its factor shows.
RADIAL = np.array([-0.2, 0.24, -0.01])
TANGENTIAL = np.array([-0.009, -0.014])


def numpy_distort(x, y, radial, tangential, model):
  """Both models written out term by term for one point, as their sources print them."""
  (k1, k2, k3), (p1, p2) = radial, tangential
  r2 = x * x + y * y
  gain = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
  if model is distortion_lib.OpenCvDistortion:  # docs.opencv.org, calib3d, "Detailed Description"
    return (
      x * gain + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
      y * gain + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y,
    )
  cross = x * p2 + y * p1  # lifting.md: x_d = x (gain + x.p') + r^2 p', p' = (p2, p1)
  return x * (gain + cross) + r2 * p2, y * (gain + cross) + r2 * p1


@pytest.mark.parametrize('model', MODELS)
def test_distortion_against_the_printed_formulas(x64, model):
  points = np.random.default_rng(1).uniform(-0.8, 0.8, (40, 2))
  expected = [numpy_distort(x, y, RADIAL, TANGENTIAL, model) for x, y in points]
  got = distort(points, model(RADIAL, TANGENTIAL))
  np.testing.assert_allclose(got, expected, rtol=1e-13, atol=1e-15)


def test_the_models_differ_by_the_factor_of_the_cross_term(x64):
  points = np.random.default_rng(2).uniform(-0.8, 0.8, (5, 2))
  chi3d, opencv = (distort(points, model(RADIAL, TANGENTIAL)) for model in MODELS)
  cross = points @ TANGENTIAL[::-1]
  np.testing.assert_allclose(opencv - chi3d, points * cross[:, None], atol=1e-15)


@pytest.mark.parametrize('model', MODELS)
def test_undistort_near_and_beyond_the_fold(x64, model):
  # k1 = -0.3 alone: x (1 - 0.3 r^2) turns back at r = sqrt(1 / 0.9) = 1.0541, value 0.7027.
  lens = model(np.array([-0.3, 0.0, 0.0]), np.zeros(2))
  near = np.array([[1.03, 0.0], [0.0, -1.03]])
  np.testing.assert_allclose(undistort(distort(near, lens), lens), near, rtol=1e-9)
  beyond = np.array([[0.75, 0.0], [0.7027284, 0.0], [5.0, -5.0], [1e9, 0.0]])
  result = undistort(beyond, lens)
  assert np.all(np.isfinite(result))
  gap = np.abs(np.asarray(distort(result, lens)) - beyond).max(axis=1)
  assert gap[0] > 1e-3, 'no solution exists: the caller sees it by distorting again'


@pytest.mark.parametrize('model', MODELS)
def test_strong_pincushion_is_inverted_from_far_off_the_axis(x64, model):
  lens = model(np.array([0.5, 0.1, 0.05]), np.array([0.01, -0.01]))
  points = np.array([[1.8, -0.4], [0.2, 2.0], [0.0, 0.0]])
  np.testing.assert_allclose(undistort(distort(points, lens), lens), points, rtol=1e-9, atol=1e-12)
