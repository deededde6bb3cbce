"""From control points to joint angles inside the limits, and to local poses.

Symbols: D channels (`motion_channels.CHANNELS`, degrees and mm), T times; θ, γ as in `limits`. The
curve of a channel is a uniform cubic B-spline, which is C² and stays within the range of its
control points. So style is added to the control points (`motion_style`), these are clipped to
**convex** subsets of the joints' boxes, and every instant of every motion is inside the limits by
construction: no clipping of curves, no kinks.

Two subsets are smaller than their boxes. The elbow's, whose forbidden corner makes it an L, is cut
by a line of slope `CORNER_SLOPE` that passes `CORNER_GAP_DEG` below that corner. The arm that rises
sideways passes the pole γ = 0: its chart is θ near 180° with γ of either sign, (θ, −γ) = (θ + 180°,
γ).

Source: our design [R]; limits and frames from spec/kinematics.md.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib
from posejax.synth import motion_channels as channels_lib
from posejax.synth import motion_style
from posejax.synth.motion_style import KNOTS, Style, index

CORNER_SLOPE = 0.2
CORNER_GAP_DEG = 8.0  # more than the corner takes: hanging arms stay clear of trunk and thighs
MARGIN_DEG = 0.05  # the curves keep this distance, so that rounding does not leave the limits
NEUTRAL_FOOT_DEG = 59.0  # γ of a sole on the floor under a vertical shank (kinematics.md)
FOREARM_ZERO_DEG = 300.0  # θ of the wrist where the channel `forearm` is 0


class Angles(NamedTuple):
  """Angles in the limits' own terms, (..., ) each, degrees (hop: mm)."""

  pitch: jax.Array
  lean: jax.Array
  yaw: jax.Array
  hop: jax.Array
  head: jax.Array  # (..., 2) γ as a vector along (X left, Y back) of the head's frame
  theta: jax.Array  # (..., 2 + 8) joints of `JOINTS`
  gamma: jax.Array


# Joints with a θ and a γ each, in the order of `Angles.theta`.
LEG_JOINTS = ('knee', 'ankle', 'foot')
ARM_JOINTS = ('elbow', 'wrist')
JOINTS = ('r_hip', 'r_shoulder') + tuple(
  side + joint for side in channels_lib.SIDES for joint in LEG_JOINTS + ARM_JOINTS
)


def _clip_box(theta: jax.Array, gamma: jax.Array, limit: limits_lib.JointLimit):
  return _clip(theta, limit.theta), _clip(gamma, limit.gamma)


def _clip(value: jax.Array, bounds: tuple[float, float]) -> jax.Array:
  low, high = bounds
  margin = min(MARGIN_DEG, (high - low) / 2)
  return jnp.clip(value, low + margin, high - margin)


def _clip_elbow(theta: jax.Array, gamma: jax.Array, limit: limits_lib.JointLimit, frontal):
  """Into the convex part of the L, or of the chart of arms that rise sideways."""
  low, high = limit.gamma
  side_theta = (limit.theta[0], max(limit.theta[0], limit.theta[1] - 180))
  theta = jnp.where(frontal, _clip(theta, side_theta), _clip(theta, limit.theta))
  lowest = jnp.where(frontal & (low == 0), -high, low)
  gamma = jnp.clip(gamma, lowest + MARGIN_DEG, high - MARGIN_DEG)
  if limit.forbidden is not None:
    corner_theta, corner_gamma = limit.forbidden
    line = corner_gamma - CORNER_GAP_DEG + CORNER_SLOPE * (theta - corner_theta)
    gamma = jnp.minimum(gamma, jnp.maximum(line, low + MARGIN_DEG))
  return theta, gamma


def _clip_head(nod: jax.Array, tilt: jax.Array, limit: limits_lib.JointLimit) -> jax.Array:
  """(..., 2): into the disc of the largest γ, or a convex part of a narrower sector."""
  head = jnp.stack([-tilt, -nod], axis=-1)
  low, high = limit.gamma
  half = min((limit.theta[1] - limit.theta[0]) / 2, 89.0)
  if low > 0 or limit.theta[1] - limit.theta[0] < 360:
    middle = np.deg2rad((limit.theta[0] + limit.theta[1]) / 2)
    along = np.array([np.cos(middle), np.sin(middle)])
    across = np.array([-along[1], along[0]])
    forward = jnp.maximum(head @ jnp.asarray(along, head.dtype), low + MARGIN_DEG)
    reach = forward * np.tan(np.deg2rad(half))
    sideways = jnp.clip(head @ jnp.asarray(across, head.dtype), -reach, reach)
    head = forward[..., None] * jnp.asarray(along, head.dtype)
    head += sideways[..., None] * jnp.asarray(across, head.dtype)
  squared = jnp.sum(head * head, axis=-1, keepdims=True)
  largest = (high - MARGIN_DEG) ** 2
  return head * jnp.where(squared > largest, jnp.sqrt(largest / jnp.maximum(squared, 1.0)), 1.0)


def _leg(points, side: str, limits: limits_lib.JointLimits):
  """θ and γ of knee, ankle and foot, lists in this order."""
  at = {name: points[..., index(side + name)] for name in channels_lib.LEG}
  pitch, lean, yaw = (points[..., index(name)] for name in ('pitch', 'lean', 'yaw'))
  bend = jnp.maximum(at['bend'], 0)
  # What the trunk does to the legs, they undo: thighs keep their lean, feet their heading.
  sign = 1 if side == 'r_' else -1
  outward = at['abduct'] + sign * lean
  knee = _clip_box(180 + at['hip'] + bend + pitch, 90 - outward, limits.knee)
  ankle = _clip_box(90 - at['knee_out'], at['knee'] + 2 * bend, limits.ankle)
  # A sole on the floor: the foot undoes what thigh, knee and trunk turned, after their limits.
  shank = (knee[0] - 180 - pitch) - ankle[1]
  toes_up = NEUTRAL_FOOT_DEG + at['ankle'] - at['flat'] * shank
  return [knee, ankle, _clip_box(270 + at['toe_out'] + sign * yaw, toes_up, limits.foot)]


def constrained(
  points: jax.Array, frontal: jax.Array, limits: limits_lib.JointLimits
) -> Angles:
  """Control points in the limits' angles, each inside a convex set of allowed ones.

  Args:
    points: (..., D) degrees, mm.
    frontal: () bool, the arms' chart.
    limits: the joints' limits.

  Returns:
    Angles with the leading axes of `points`.
  """
  get = lambda name: points[..., index(name)]  # noqa: E731
  zero = jnp.zeros_like(get('pitch'))
  pairs = [
    _clip_box(180 + zero, 90 - get('hip_tilt'), limits.hip),
    _clip_box(180 + get('twist'), 90 - get('shrug'), limits.shoulder),
  ]
  for side in channels_lib.SIDES:
    pairs += _leg(points, side, limits)
    pairs.append(
      _clip_elbow(180 + get(side + 'arm'), 90 - get(side + 'arm_out'), limits.elbow, frontal)
    )
    pairs.append(
      _clip_box(FOREARM_ZERO_DEG + get(side + 'forearm'), get(side + 'elbow'), limits.wrist)
    )
  theta, gamma = (jnp.stack(part, axis=-1) for part in zip(*pairs, strict=True))
  return Angles(
    pitch=get('pitch'), lean=jnp.clip(get('lean'), -75, 75), yaw=get('yaw'),
    hop=jnp.maximum(get('hop'), 0),
    head=_clip_head(get('nod'), get('head_tilt'), limits.head_top), theta=theta, gamma=gamma,
  )


def spline_weights(u: jax.Array) -> jax.Array:
  """(..., 4) weights of the knots −1, 0, 1, 2 of a uniform cubic B-spline at u in [0, 1)."""
  v = 1 - u
  return jnp.stack([
    v**3, 3 * u**3 - 6 * u**2 + 4, 3 * v**3 - 6 * v**2 + 4, u**3,
  ], axis=-1) / 6


def angles_at(
  style: Style, time_s: jax.Array, limits: limits_lib.JointLimits
) -> Angles:
  """The angles of a person's motion at some times.

  Args:
    style: who and how.
    time_s: (T,) s, any sign.
    limits: the joints' limits.

  Returns:
    Angles, (T, ...) each.
  """
  position = (style.phase[:, None] + style.frequency[:, None] * time_s) * KNOTS
  floor = jnp.floor(position)
  knots = floor.astype(jnp.int32)[..., None] + np.arange(-1, 3)
  weights = spline_weights(position - floor)  # (2, T, 4)
  num = time_s.shape[0]
  points = motion_style.control_points(style, knots.reshape(2, num * 4))
  points = jnp.where(style.mirrored, motion_style.mirrored(points), points)
  angles = constrained(
    points, jnp.asarray(motion_style.table().frontal)[style.rows[1]], limits
  )
  arm_joints = np.array([name[2:] in ARM_JOINTS or name == 'r_shoulder' for name in JOINTS])

  def blend(values: jax.Array, by: jax.Array) -> jax.Array:
    values = values.reshape(num, 4, -1)
    return jnp.einsum('tkc,tkc->tc', values, jnp.broadcast_to(by, values.shape))

  lower, upper = weights[0][..., None], weights[1][..., None]
  by_joint = jnp.where(arm_joints, upper, lower)
  return Angles(
    *(blend(part, lower)[:, 0] for part in angles[:4]), blend(angles.head, upper),
    blend(angles.theta, by_joint), blend(angles.gamma, by_joint),
  )


def local_pose(angles: Angles) -> jax.Array:
  """(T, J, 3) local poses of J17 of angles, inferred joints included."""
  skeleton = skeleton_lib.J17
  rows = limits_lib.local_from_spherical(jnp.deg2rad(angles.theta), jnp.deg2rad(angles.gamma))
  of = {name: rows[:, i] for i, name in enumerate(JOINTS)}
  head = jnp.deg2rad(angles.head)
  # sinc keeps the direction defined, and its gradient finite, for a head held straight.
  squared = jnp.sum(head * head, axis=-1)
  gamma = jnp.sqrt(jnp.where(squared == 0, 1, squared))
  sine = jnp.where(squared == 0, 1, jnp.sin(gamma) / gamma)
  cosine = jnp.where(squared == 0, 1, jnp.cos(gamma))
  of['head_top'] = jnp.concatenate([sine[:, None] * head, cosine[:, None]], axis=-1)
  of['neck'] = jnp.zeros_like(rows[:, 0]).at[:, 2].set(1)
  of['pelvis'] = jnp.zeros_like(rows[:, 0])
  opposite = jnp.asarray([1.0, -1.0, -1.0], rows.dtype)
  for part in ('hip', 'shoulder'):
    of[f'l_{part}'] = of[f'r_{part}'] * opposite
  return jnp.stack([of[name] for name in skeleton.joints], axis=1)
