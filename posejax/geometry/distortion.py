"""Lens distortion: CHI3D's own model and OpenCV's, forward, and inverse by Newton's method.

Symbols: x = (x, y) = (X / Z, Y / Z) ideal image point, unitless (tangents of the viewing angle);
r^2 = x.x; k radial and p tangential coefficients; p' = (p2, p1). Axis letters: N point.
Both models are x_d = x (1 + k1 r^2 + k2 r^4 + k3 r^6 + q x.p') + r^2 p' with q = 1 for CHI3D and
q = 2 for OpenCV. The type of the coefficients names the model, so that the two cannot be mixed up.

Sources: lifting.md "CHI3D on disk" [C]; OpenCV calib3d, without its rational
and thin-prism terms.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry.arguments import as_float

# tan(89.94 deg): beyond it r^6 of the distortion polynomial would overflow float32 and make
# inf - inf; no lens model is meant to hold there.
MAX_TANGENT = 1e3
# Newton's method doubles its digits per step near the solution, but halves the distance next to the
# fold of a barrel lens and loses a seventh of it far out in a pincushion: 20 do for both.
UNDISTORT_STEPS = 20
_MIN_DETERMINANT = 1e-6


class Chi3dDistortion(NamedTuple):
  """CHI3D's own lens model [C]: radial (3,) = k1, k2, k3; tangential (2,) = p1, p2.

  With p' = (p2, p1): x_d = x (1 + k1 r^2 + k2 r^4 + k3 r^6 + x.p') + r^2 p'. Its cross term is half
  of OpenCV's: coefficients of one model must not be used in the other.
  """

  radial: jax.Array
  tangential: jax.Array


class OpenCvDistortion(NamedTuple):
  """OpenCV's lens model: radial (3,) = k1, k2, k3; tangential (2,) = p1, p2.

  x_d = x g + 2 p1 x y + p2 (r^2 + 2 x^2), y_d = y g + p1 (r^2 + 2 y^2) + 2 p2 x y, that is
  x (g + 2 x.p') + r^2 p' with g = 1 + k1 r^2 + k2 r^4 + k3 r^6 and p' = (p2, p1).
  """

  radial: jax.Array
  tangential: jax.Array


Distortion = Chi3dDistortion  # lifting.md's model is the project's default
LensDistortion = Chi3dDistortion | OpenCvDistortion


def distort(normalized: jax.Array, distortion: LensDistortion) -> jax.Array:
  """Applies a lens model to ideal image points.

  Args:
    normalized: (N, 2) = (x / z, y / z), unitless; clipped to +-MAX_TANGENT.
    distortion: coefficients; their type names the model.

  Returns:
    (N, 2) distorted, unitless.

  Raises:
    ValueError: wrong shapes. TypeError: not a lens model.
  """
  normalized = as_float('distort', 'normalized', normalized, ('N', 2))
  normalized = jnp.clip(normalized, -MAX_TANGENT, MAX_TANGENT)
  return _distort_with_jacobian(normalized, *_distortion_arrays('distort', distortion))[0]


def undistort(distorted: jax.Array, distortion: LensDistortion) -> jax.Array:
  """Inverse of `distort` by a fixed number of Newton steps, differentiable through them.

  A polynomial lens model folds at some radius and has no inverse beyond it: for a point outside its
  range the result is finite but not a solution; `distort` of it then differs from the input.

  Args:
    distorted: (N, 2) unitless.
    distortion: coefficients; their type names the model.

  Returns:
    (N, 2) ideal (x / z, y / z), the solution nearest to the axis.

  Raises:
    ValueError: wrong shapes. TypeError: not a lens model.
  """
  distorted = as_float('undistort', 'distorted', distorted, ('N', 2))
  distorted = jnp.clip(distorted, -MAX_TANGENT, MAX_TANGENT)
  radial, tangential, cross = _distortion_arrays('undistort', distortion)
  dtype = jnp.result_type(distorted, radial, tangential)

  def newton(point, _):
    value, (xx, xy, yx, yy) = _distort_with_jacobian(point, radial, tangential, cross)
    error = distorted - value
    determinant = xx * yy - xy * yx
    # Zero on the fold: a bounded step instead of a division by zero.
    safe = jnp.where(jnp.abs(determinant) < _MIN_DETERMINANT, _MIN_DETERMINANT, determinant)
    step = jnp.stack(
      [yy * error[:, 0] - xy * error[:, 1], xx * error[:, 1] - yx * error[:, 0]], axis=1
    )
    # A step across the fold would run off to infinity.
    limit = 1 + jnp.abs(jax.lax.stop_gradient(point))
    moved = point + jnp.clip(step / safe[:, None], -limit, limit)
    return jnp.clip(moved, -MAX_TANGENT, MAX_TANGENT), None

  return jax.lax.scan(newton, distorted.astype(dtype), None, length=UNDISTORT_STEPS)[0]


def _distortion_arrays(
  function: str, distortion: LensDistortion
) -> tuple[jax.Array, jax.Array, int]:
  """Coefficients, and the model's factor on the cross term x (x.p')."""
  if not isinstance(distortion, Chi3dDistortion | OpenCvDistortion):
    raise TypeError(
      f'{function}: distortion must be Chi3dDistortion or OpenCvDistortion, got '
      f'{type(distortion).__name__}'
    )
  return (
    as_float(function, 'distortion.radial', distortion.radial, (3,)),
    as_float(function, 'distortion.tangential', distortion.tangential, (2,)),
    1 if isinstance(distortion, Chi3dDistortion) else 2,
  )


def _distort_with_jacobian(point, radial, tangential, cross):
  """x_d (N, 2) and the entries xx, xy, yx, yy (N,) of its Jacobian, model as in the classes."""
  x, y = point[:, 0], point[:, 1]
  p_x, p_y = tangential[1], tangential[0]
  square = x * x + y * y
  gain = 1 + square * (radial[0] + square * (radial[1] + square * radial[2]))
  gain = gain + cross * (x * p_x + y * p_y)
  slope = 2 * (radial[0] + square * (2 * radial[1] + square * 3 * radial[2]))
  gain_x, gain_y = slope * x + cross * p_x, slope * y + cross * p_y
  value = jnp.stack([x * gain + square * p_x, y * gain + square * p_y], axis=1)
  return value, (
    gain + x * gain_x + 2 * x * p_x,
    x * gain_y + 2 * y * p_x,
    y * gain_x + 2 * x * p_y,
    gain + y * gain_y + 2 * y * p_y,
  )
