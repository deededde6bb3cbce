"""Joint limits: the table of kinematics.md as data, and the test whether a local pose is inside.

Symbols: J joint; θ azimuth and γ polar angle of a row of a local pose in its frame (robust mode),
p_l = (sin γ cos θ, sin γ sin θ, cos γ); θ in [0°, 360°), γ in [0°, 180°]. At the root X = left,
Y = back, Z = up. Limits are in **degrees**, as the papers print them, everything else in rad. A
range that crosses 360° or a joint's natural zero is written past it (110–370), drawn, then wrapped
[P]. Left joints have mirrored frames and so the right ones' limits.

Source: spec/kinematics.md, "Spherical angles and the limit table"; marks [P], [R] as there.
"""

import dataclasses
import math

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments, frames
from posejax.geometry import skeleton as skeleton_lib

Range = tuple[float, float]


@dataclasses.dataclass(frozen=True)
class JointLimit:
  """The allowed directions of one bone, degrees.

  Attributes:
    theta: lowest and highest azimuth; highest − lowest ≤ 360.
    gamma: lowest and highest polar angle, within [0, 180].
    forbidden: a corner of that box that is cut off, as (θ, γ): directions with an azimuth below
      and a polar angle above are outside, and a sampler draws again. None: no corner.
  """

  theta: Range
  gamma: Range
  forbidden: tuple[float, float] | None = None

  def __post_init__(self):
    numbers = (*self.theta, *self.gamma, *(self.forbidden or ()))
    ordered = self.theta[0] <= self.theta[1] <= self.theta[0] + 360
    ordered = ordered and 0 <= self.gamma[0] <= self.gamma[1] <= 180
    if not all(math.isfinite(number) for number in numbers) or not ordered:
      raise ValueError(
        f'JointLimit: want θ lo ≤ hi ≤ lo + 360 and 0 ≤ γ lo ≤ hi ≤ 180, got θ {self.theta}, '
        f'γ {self.gamma}, forbidden corner {self.forbidden}'
      )


@dataclasses.dataclass(frozen=True)
class JointLimits:
  """The limits of a body. Hashable, so it can be a static argument under `jax.jit`.

  Attributes are named as the joints of J17 without their side.
  """

  neck: JointLimit
  hip: JointLimit
  shoulder: JointLimit
  head_top: JointLimit
  elbow: JointLimit
  wrist: JointLimit
  knee: JointLimit
  ankle: JointLimit
  foot: JointLimit

  def of(self, joint: str) -> JointLimit:
    """The limit of a joint of J17 by name, either side; a ValueError names what there is."""
    role = frames.role(joint)
    roles = [field.name for field in dataclasses.fields(self)]
    if role not in roles:
      raise ValueError(f'JointLimits: no limit for {joint!r}; there are {", ".join(roles)}')
    return getattr(self, role)


# The table. Shoulder: l_shoulder = 2·neck − r_shoulder makes γ_L = 180 − γ_R, so γ is symmetric.
PAPER = JointLimits(
  neck=JointLimit((0, 0), (0, 0)),  # 0 DoF [P]
  hip=JointLimit((180, 180), (60, 120)),  # 1 DoF [P]
  shoulder=JointLimit((120, 240), (60, 120)),  # θ [P]; γ [R]
  head_top=JointLimit((0, 360), (0, 45)),  # [R] neck range of motion 45° each way
  # [R] shoulder flexion 180, extension 50–60, horizontal adduction 130–135; the corner is an arm
  # through the trunk. θ: 0 up, 90 back, 180 down, 270 front; γ from lateral.
  elbow=JointLimit((110, 370), (0, 125), forbidden=(210, 100)),
  wrist=JointLimit((200, 365), (0, 145)),  # [R] elbow flexion 145–150
  knee=JointLimit((150, 300), (45, 115)),  # [R] hip flexion 120, extension 30, abduction 45
  ankle=JointLimit((50, 130), (0, 140)),  # [R] knee flexion 135–145; 90 = back of the knee
  foot=JointLimit((235, 325), (10, 90)),  # [R] 270 = front; neutral γ ≈ 59
)

# 98 % of the real poses have a shoulder twist within ±30° and a hip tilt within ±8° [R].
NARROW = dataclasses.replace(
  PAPER,
  hip=JointLimit((180, 180), (82, 98)),
  shoulder=JointLimit((150, 210), (60, 120)),
)


def scaled(limits: JointLimits, factor: float) -> JointLimits:
  """The limits with every range narrowed (or widened) about its middle; corners stay.

  Args:
    limits: limits to start from.
    factor: what each range's width is multiplied with; > 1 is cut at θ 360 wide and γ in [0, 180].

  Returns:
    New limits.

  Raises:
    ValueError: the factor is negative or not finite.
  """
  if not (math.isfinite(factor) and factor >= 0):
    raise ValueError(f'scaled: factor is {factor}, expected a finite number ≥ 0')

  def about_middle(low: float, high: float, widest: float) -> Range:
    middle, half = (low + high) / 2, min((high - low) * factor, widest) / 2
    return middle - half, middle + half

  def narrowed(limit: JointLimit) -> JointLimit:
    low, high = about_middle(*limit.gamma, 180)
    gamma = max(low, 0.0), min(high, 180.0)
    return JointLimit(about_middle(*limit.theta, 360), gamma, limit.forbidden)

  return JointLimits(*(
    narrowed(getattr(limits, field.name)) for field in dataclasses.fields(limits)
  ))


def limit_table(
  limits: JointLimits, skeleton: skeleton_lib.Skeleton = skeleton_lib.J17
) -> np.ndarray:
  """The limits as one array, for samplers.

  Args:
    limits: the limits.
    skeleton: names the joints; J15, J17 or another set of their names.

  Returns:
    (J, 6) θ lo, θ hi, γ lo, γ hi, forbidden θ, forbidden γ in **rad**. The root's row is zero; a
    joint without a forbidden corner has (θ lo, γ hi), a corner of size zero.

  Raises:
    ValueError: a joint of the skeleton has no limit.
  """
  table = np.zeros((skeleton.num_joints, 6))
  for j, (name, parent) in enumerate(zip(skeleton.joints, skeleton.parents, strict=True)):
    if parent >= 0:
      limit = limits.of(name)
      table[j] = *limit.theta, *limit.gamma, *(limit.forbidden or (limit.theta[0], limit.gamma[1]))
  return np.deg2rad(table)


def local_from_spherical(theta: jax.Array, gamma: jax.Array) -> jax.Array:
  """p_l = (sin γ cos θ, sin γ sin θ, cos γ).

  Args:
    theta: (...) azimuth, rad; any shape, the two broadcast.
    gamma: (...) polar angle, rad.

  Returns:
    (..., 3) unit vectors.
  """
  theta, gamma = jnp.broadcast_arrays(theta, gamma)
  sine = jnp.sin(gamma)
  return jnp.stack([sine * jnp.cos(theta), sine * jnp.sin(theta), jnp.cos(gamma)], axis=-1)


def spherical_from_local(local: jax.Array) -> tuple[jax.Array, jax.Array]:
  """Azimuth and polar angle of local vectors of any length.

  On the poles (x = y = 0) θ is 0, and both angles have gradient 0 there; a zero vector has γ = 0.

  Args:
    local: (3,) or (J, 3) in the joints' frames.

  Returns:
    θ in [0, 2π) and γ in [0, π], rad, each () or (J,).

  Raises:
    ValueError: another shape.
  """
  local = jnp.asarray(local)
  shape = (3,) if local.ndim == 1 else ('J', 3)
  local = arguments.as_float('spherical_from_local', 'local', local, shape)
  # Largest component to 1: the squares below neither over- nor underflow.
  largest = jax.lax.stop_gradient(jnp.max(jnp.abs(local), axis=-1, keepdims=True))
  x, y, z = jnp.moveaxis(local / jnp.where(largest == 0, 1, largest), -1, 0)
  # At x = y = 0 arctan2 and sqrt have NaN and infinite slopes: leave before them.
  squared = x * x + y * y
  pole = squared == 0
  theta = jnp.arctan2(jnp.where(pole, 0, y), jnp.where(pole, 1, x))
  theta = jnp.where(theta < 0, theta + 2 * np.pi, theta)
  # A tiny negative angle rounds up to 2π itself, which is outside the half-open range.
  theta = jnp.where(theta >= 2 * np.pi, 0, theta)
  radius = jnp.where(pole, 0, jnp.sqrt(jnp.where(pole, 1, squared)))
  nowhere = pole & (z == 0)
  return theta, jnp.arctan2(radius, jnp.where(nowhere, 1, z))


def limit_excess(
  local: jax.Array,
  limits: JointLimits = PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
) -> jax.Array:
  """How far each bone is outside its limits, as an angle; differentiable, for a hinge loss.

  Excess of γ plus excess of θ times sin γ (its length on the sphere, so that θ counts for nothing
  where γ ≈ 0); in a forbidden corner the shorter way out of it, if that is more.

  Args:
    local: (J, 3) local pose (robust frames); rows need not have length one; the root's isn't read.
    limits: limits of the joints.
    skeleton: J15, J17 or another set of their names.

  Returns:
    (J,) rad, 0 inside and for the root. NaN where the row is.

  Raises:
    ValueError: another shape, or a joint without limits.
  """
  theta_excess, gamma_excess, corner = _excesses('limit_excess', local, limits, skeleton)
  return jnp.maximum(theta_excess + gamma_excess, corner)


def inside_limits(
  local: jax.Array,
  limits: JointLimits = PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
  tolerance_deg: float = 0.5,
) -> jax.Array:
  """Whether each bone is inside its limits.

  Args:
    local: (J, 3) local pose (robust frames); rows need not have length one; the root's isn't read.
    limits: limits of the joints.
    skeleton: J15, J17 or another set of their names.
    tolerance_deg: how far outside still counts as inside, on the sphere, degrees. The table has
      ranges of width 0 (neck, hip), which rounding alone would leave.

  Returns:
    (J,) bool; True for the root, False where the row is NaN.

  Raises:
    ValueError: another shape, or a joint without limits.
  """
  excesses = _excesses('inside_limits', local, limits, skeleton)
  tolerance = math.radians(tolerance_deg)
  return jnp.all(jnp.stack([excess <= tolerance for excess in excesses]), axis=0)


def _excesses(
  function: str, local: jax.Array, limits: JointLimits, skeleton: skeleton_lib.Skeleton
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """(J,) each, rad ≥ 0: outside θ's range (times sin γ), outside γ's, depth in the corner."""
  local = arguments.as_float(function, 'local', local, (skeleton.num_joints, 3))
  moving = skeleton.not_root
  local = jnp.where(moving[:, None], local, jnp.asarray((0.0, 0.0, 1.0), local.dtype))
  theta, gamma = spherical_from_local(local)
  table = jnp.asarray(limit_table(limits, skeleton), local.dtype)
  low, high, gamma_low, gamma_high, corner_theta, corner_gamma = table.T
  sine = jnp.sin(gamma)
  # θ as an offset from the range's middle in [−π, π), so that ranges past 2π need no cases.
  middle, half = (low + high) / 2, (high - low) / 2
  offset = jnp.mod(theta - middle + np.pi, 2 * np.pi) - np.pi
  theta_excess = sine * jax.nn.relu(jnp.abs(offset) - half)
  gamma_excess = jax.nn.relu(jnp.maximum(gamma_low - gamma, gamma - gamma_high))
  below = sine * (corner_theta - middle - offset)
  corner = jax.nn.relu(jnp.minimum(below, gamma - corner_gamma))
  return theta_excess, gamma_excess, jnp.where(corner_theta > low, corner, 0)
