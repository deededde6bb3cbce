"""Several lifted people in one scene: the published composition, and one about the camera.

Symbols: P people, J joints, X_i (J, 3) lifted pose of person i, root-relative, in pelvis–head
lengths at the distance c; θ_i rad, Rx(θ_i) levels X_i; (u, v) px pelvis from the image's centre; s̄
px of a pelvis–head length, mean of the training set. y points down. `valid` (P,) says who is
there; poses of others come out as 0.

Published [S, spec/lifting.md "Several people"]:
  X_i ← Rx(θ_i) X_i;  t = (u / s̄, −c tan θ_i, 0), or v / s̄ for t_y;  θ of people whose pelvises lie
  within 5.6 % of the image's height of each other (connected groups) is their mean;  L_i largest y
  of the feet, g = max_i (t_y + L_i), s_i = (g − t_y) / L_i ≤ 2;  P_i = s_i X_i + t_i
It gives no relative depth, and takes a gap in depth for one in height: a scale that overshoots,
s = r + (H / L) (r − 1) for the ratio of distances r, H the camera's height above the pelvis, L the
pelvis's above the ground.

About the camera [R]: shape and place of a person are scaled together about the camera's centre,
P_i = e^{ℓ_i} · G (X_i + c′ ray). Levelled by the camera's pitch, which each θ_i tells and all
people share, the foot must lie on the common ground: ℓ_i = a − log(foot's y); bodies are of about
one size: ℓ_i = −log(size). Both cues are least squares in ℓ, weighted by what a body's spread and
an error of the angle do to each.

Written for one scene: vmap over scenes.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry import lifting

Cue = Literal['ground', 'size', 'both']
CUES: tuple[Cue, ...] = ('ground', 'size', 'both')

# 50 px of CHI3D's 900 [S].
GROUP_SHARE = 50 / 900
MOST_SCALE = 2.0
# Below it (in pelvis–head lengths) a leg's length is no measure of scale.
_LEAST_LEG = 0.05
# A foot less than this below the horizon (tangent) tells no distance.
_LEAST_SLOPE = 0.02
# Standard deviations of a body's size (± 7 %, uniform) and of a foot's levelled angle, in rad: they
# weigh the two cues in 'both'. The angle's is what is left after people share one pitch; the ratio
# of the two was chosen on validation scenes of motion capture.
SIZE_SPREAD = 0.04
ANGLE_SPREAD = 0.005
_NO_CUE = 1e-6


class Published(NamedTuple):
  """Switches of the published composition: Table 1's columns, and step 4.

  Attributes:
    group: one θ and no vertical offset among people at nearly the same height in the image.
    rotate: level each pose by its θ.
    elevate: vertical offsets from θ instead of the image.
    scale: bring the feet to one ground.
  """

  group: bool = True
  rotate: bool = True
  elevate: bool = True
  scale: bool = True


def groups(height: jax.Array, valid: jax.Array, threshold: float) -> jax.Array:
  """Who belongs together: (P, P) bool, the connected components of |v_i − v_j| ≤ threshold.

  Args:
    height: (P,) px, v of the pelvises.
    valid: (P,) bool.
    threshold: px.

  Returns:
    Symmetric; a person that is not valid is alone.
  """
  both = valid[:, None] & valid[None]
  near = (jnp.abs(height[:, None] - height[None]) <= threshold) & both
  near = near | jnp.eye(len(height), dtype=bool)
  # A path of P people has P − 1 links: doubling its length log2 P times reaches its end.
  for _ in range(max(len(height) - 1, 1).bit_length()):
    near = (near[:, :, None] & near[None]).any(1)
  return near


def shared_elevation(theta: jax.Array, members: jax.Array) -> jax.Array:
  """(P,) θ (or heights in the image) as the mean of each group.

  Args:
    theta: (P,) rad (or px).
    members: (P, P) bool of `groups`.
  """
  weights = members.astype(theta.dtype)
  return weights @ theta / weights.sum(1)


def published(
  poses: jax.Array, theta: jax.Array, pelvis: jax.Array, valid: jax.Array, *,
  unit_px: float, c: float, height_px: float, feet: tuple[int, ...],
  switches: Published = Published(),  # noqa: B008  an immutable tuple
) -> jax.Array:
  """The published composition of one scene.

  Args:
    poses: (P, J, 3) lifted, root-relative.
    theta: (P,) rad.
    pelvis: (P, 2) px from the image's centre.
    valid: (P,) bool.
    unit_px: s̄, px.
    c: distance of the lifted roots.
    height_px: of the image.
    feet: joints that stand on the ground.
    switches: what is on.

  Returns:
    (P, J, 3) in pelvis–head lengths; 0 where not valid.
  """
  height = pelvis[:, 1]
  if switches.group:
    members = groups(height, valid, GROUP_SHARE * height_px)
    # Δh = 0 in the rows without elevation too.
    theta, height = (shared_elevation(value, members) for value in (theta, height))
  levelled = lifting.turn(lifting.turn_x(theta), poses) if switches.rotate else poses
  up = -c * jnp.tan(theta) if switches.elevate else height / unit_px
  place = jnp.stack([pelvis[:, 0] / unit_px, up, jnp.zeros_like(up)], -1)
  if switches.scale:
    levelled = ground_scale(levelled, up, valid, feet)[:, None, None] * levelled
  return jnp.where(valid[:, None, None], levelled + place[:, None], 0)


def ground_scale(
  poses: jax.Array, height: jax.Array, valid: jax.Array, feet: tuple[int, ...]
) -> jax.Array:
  """(P,) factors about the pelvis that bring each lower foot to the lowest one of all.

  Args:
    poses: (P, J, 3) levelled, root-relative.
    height: (P,) t_y of the pelvises, down.
    valid: (P,) bool.
    feet: joints.

  Returns:
    At most `MOST_SCALE`; 1 for people upside down or without a leg's length.
  """
  leg = poses[:, jnp.asarray(feet), 1].max(1)
  ground = jnp.max(jnp.where(valid, height + leg, -jnp.inf))
  standing = valid & (leg > _LEAST_LEG)
  factor = jnp.where(standing, ground - height, 1) / jnp.where(standing, leg, 1)
  return jnp.minimum(factor, MOST_SCALE)


def jointly(
  poses_2d: jax.Array, depth: jax.Array, pelvis: jax.Array, valid: jax.Array, unit_px: float,
  c: float,
) -> jax.Array:
  """The naive baseline (Fig. 1 of [S]): all people as one pose about the middle of the pelvises.

  Args:
    poses_2d: (P, J, 2) normalised, each about its own pelvis.
    depth: (P, J) offsets.
    pelvis: (P, 2) px.
    valid: (P,) bool.
    unit_px: s̄, px.
    c: distance of the roots.

  Returns:
    (P, J, 3) in pelvis–head lengths; 0 where not valid.
  """
  weights = valid[:, None].astype(pelvis.dtype)
  middle = (weights * pelvis).sum(0) / jnp.maximum(weights.sum(), 1)
  offset = (pelvis - middle) / (c * unit_px)
  lifted = lifting.lift(poses_2d + offset[:, None], depth, c, clamp=False)
  return jnp.where(valid[:, None, None], lifted, 0)


def camera_points(
  rays: jax.Array, root: jax.Array, depth: jax.Array, distance: float
) -> jax.Array:
  """Lifted people in camera axes, each with the pelvis at one distance along its ray.

  Args:
    rays: (P, J, 2) tangents, rectified about each pelvis (`lifting.rectify`).
    root: (P, 2) tangents of the pelvises.
    depth: (P, J) offsets along the pelvis's ray, pelvis–head lengths.
    distance: c′ = focal length / s̄: where a body of the mean size appears as large as it did in
      training.

  Returns:
    (P, J, 3).
  """
  z = distance + depth
  points = jnp.concatenate([rays * z[..., None], z[..., None]], -1)
  return lifting.turn_back(lifting.ray_frame(root), points)


def pitch_of(theta: jax.Array, root: jax.Array) -> jax.Array:
  """(P,) pitch of a camera without roll, downwards, that sees a pelvis at the elevation θ.

  With g = (0, cos p, sin p) the plumb line in camera axes and the pelvis's ray r of length one,
  r · g = sin(−θ): the ray is −θ below the horizon.

  Args:
    theta: (P,) rad.
    root: (P, 2) tangents of the pelvises.
  """
  x, y = root[:, 0], root[:, 1]
  length = jnp.sqrt(1 + x**2 + y**2)
  sine = -jnp.sin(theta) * length / jnp.sqrt(1 + y**2)
  return jnp.arcsin(jnp.clip(sine, -1, 1)) - jnp.arctan(y)


def elevation_of(pitch: jax.Array, root: jax.Array) -> jax.Array:
  """(P,) θ at which a camera of a pitch sees pelvises: the way back from `pitch_of`.

  Args:
    pitch: (P,) rad, downwards.
    root: (P, 2) tangents of the pelvises.
  """
  x, y = root[:, 0], root[:, 1]
  sine = jnp.sin(pitch + jnp.arctan(y)) * jnp.sqrt(1 + y**2) / jnp.sqrt(1 + x**2 + y**2)
  return -jnp.arcsin(jnp.clip(sine, -1, 1))


def about_camera(
  points: jax.Array, theta: jax.Array, root: jax.Array, valid: jax.Array, *,
  feet: tuple[int, ...], limbs: tuple[tuple[int, int], ...], cue: Cue = 'both',
  share: bool = True,
) -> jax.Array:
  """The composition by scaling about the camera.

  Args:
    points: (P, J, 3) of `camera_points`.
    theta: (P,) rad.
    root: (P, 2) tangents of the pelvises.
    valid: (P,) bool.
    feet: joints that stand on the ground.
    limbs: bones whose summed length is a body's size.
    cue: what tells the distances.
    share: one pitch for all people of the image, the mean of theirs.

  Returns:
    (P, J, 3) levelled camera axes (y is the plumb line, the camera at the origin), up to one
    scale; 0 where not valid.
  """
  present = valid.astype(points.dtype)
  pitch = pitch_of(theta, root)
  if share:
    pitch = jnp.broadcast_to((pitch * present).sum() / jnp.maximum(present.sum(), 1), pitch.shape)
  levelled = lifting.turn(lifting.turn_x(-pitch), points)
  factor = jnp.exp(log_distance(levelled, valid, feet, limbs, cue))
  return jnp.where(valid[:, None, None], factor[:, None, None] * levelled, 0)


def log_distance(
  levelled: jax.Array, valid: jax.Array, feet: tuple[int, ...],
  limbs: tuple[tuple[int, int], ...], cue: Cue,
) -> jax.Array:
  """(P,) ℓ: logarithm of each person's distance over the nominal one, mean 0 over the scene.

  Minimises Σ w_g (ℓ_i − a + log foot_i)² + w_b (ℓ_i + log size_i)² over ℓ and a, where d log(1 /
  tan φ) = dφ / (sin φ cos φ) turns the angle's spread into the distance's.

  Args:
    levelled: (P, J, 3), the camera at the origin.
    valid: (P,) bool.
    feet: joints.
    limbs: bones.
    cue: 'ground', 'size' or 'both'. Whom 'ground' tells nothing gets the size's distance.
  """
  present = valid.astype(levelled.dtype)
  lower = jnp.argmax(levelled[:, jnp.asarray(feet), 1], 1)
  foot = jnp.take_along_axis(levelled[:, jnp.asarray(feet)], lower[:, None, None], 1)[:, 0]
  flat = jnp.maximum(jnp.sqrt(foot[:, 0] ** 2 + foot[:, 2] ** 2), _NO_CUE)
  slope = foot[:, 1] / flat
  grounded = valid & (slope > _LEAST_SLOPE)
  slope = jnp.where(grounded, slope, 1)
  by_ground = -jnp.log(jnp.where(grounded, foot[:, 1], 1))
  ends = jnp.asarray(limbs)
  bones = levelled[:, ends[:, 1]] - levelled[:, ends[:, 0]]
  size = jnp.sqrt((bones**2).sum(-1) + _NO_CUE**2).sum(1)
  by_size = -jnp.log(jnp.where(valid, size, 1))

  spread = ANGLE_SPREAD * (slope + 1 / slope)  # 1 / (sin cos) = tan + cot
  w_ground = jnp.where(grounded, 1 / spread**2, 0) * (cue != 'size')
  w_size = present * (1 / SIZE_SPREAD**2 if cue != 'ground' else _NO_CUE)
  total = jnp.where(valid, w_ground + w_size, 1)
  both = w_ground * w_size / total
  offset = (both * (by_size - by_ground)).sum() / jnp.maximum(both.sum(), _NO_CUE**2)
  found = (w_ground * (by_ground + offset) + w_size * by_size) / total
  mean = (present * found).sum() / jnp.maximum(present.sum(), 1)
  return jnp.where(valid, found - mean, 0)
