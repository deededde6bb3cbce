"""People on a floor seen by a level-horizon camera, as 2D poses alone: no bodies, no pictures.

Symbols: P people, J joints. World: z up, floor at z = 0, mm; a pose stands with its pelvis above
x = y = 0. Levelled axes: x right, y down, z forward, the camera at the origin; camera axes are
these turned by the camera's pitch, Rx(pitch), which is also its elevation above what it looks at.
Rays are tangents x / z, y / z.

What a person looks like depends on its distance and on the elevation of the ray to its pelvis:
after rectifying (`lifting.rectify`) where in the picture it stands makes no difference, so that one
person of a scene is an example like any other.
"""

from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry import lifting
from posejax.geometry.skeleton import Skeleton

Layout = Literal['apart', 'close', 'side']
# Distance between neighbours, mm [S: three layouts].
LAYOUTS: dict[Layout, tuple[float, float]] = {
  'apart': (600.0, 2000.0), 'close': (400.0, 1000.0), 'side': (600.0, 2000.0),
}


class CameraRange(NamedTuple):
  """Where cameras stand, each range uniform.

  Attributes:
    elevation: (low, high) rad above the horizon, as seen from the target.
    distance: (low, high) mm to the target.
    target_height: mm above the floor.
  """

  elevation: tuple[float, float]
  distance: tuple[float, float]
  target_height: float = 900.0


class Views(NamedTuple):
  """People of one scene before one camera.

  Attributes:
    levelled: (P, J, 3) mm, camera at the origin, y the plumb line.
    rays: (P, J, 2) tangents, as the camera sees them.
    rectified: (P, J, 2) tangents about each pelvis, the pelvis 0.
    depth: (P, J) mm along the pelvis's ray, from the pelvis: what a lifter looks for.
    distance: (P,) mm of the pelvis from the camera.
    theta: (P,) rad: minus the angle of the pelvis's ray below the horizon.
    pitch: () rad, of the camera.
  """

  levelled: jax.Array
  rays: jax.Array
  rectified: jax.Array
  depth: jax.Array
  distance: jax.Array
  theta: jax.Array
  pitch: jax.Array


def see(people: jax.Array, pitch: jax.Array, distance: jax.Array, target_height: float) -> Views:
  """What a camera sees that looks from −y at the point `target_height` above the world's origin.

  Args:
    people: (P, J, 3) mm, world.
    pitch: () rad, downwards.
    distance: () mm of the camera from that point.
    target_height: mm.

  Returns:
    Views.
  """
  x, y, z = people[..., 0], people[..., 1], people[..., 2]
  levelled = jnp.stack([
    x, target_height + distance * jnp.sin(pitch) - z, y + distance * jnp.cos(pitch)
  ], -1)
  return of_points(levelled, lifting.turn(lifting.turn_x(pitch), levelled), pitch)


def of_points(levelled: jax.Array, seen: jax.Array, pitch: jax.Array) -> Views:
  """Views of people whose places before the camera are known.

  Args:
    levelled: (P, J, 3) mm, levelled axes.
    seen: (P, J, 3) mm, the same in the camera's own axes, which may have a roll.
    pitch: () rad, of the camera.

  Returns:
    Views.
  """
  rays = seen[..., :2] / jnp.maximum(seen[..., 2:], 1.0)
  root = rays[:, 0]
  away = jnp.sqrt((levelled[:, 0] ** 2).sum(-1))
  along = lifting.turn(lifting.ray_frame(root), seen)[..., 2]
  return Views(
    levelled, rays, lifting.rectify(rays, root), along - along[:, :1], away,
    -jnp.arcsin(jnp.clip(levelled[:, 0, 1] / jnp.maximum(away, 1.0), -1, 1)), pitch,
  )


def sample_person(
  key: jax.Array, pose: jax.Array, cameras: CameraRange, reach: float = 1000.0
) -> Views:
  """One person somewhere in a scene of several, turned at random, before a random camera.

  Args:
    key: random key.
    pose: (J, 3) mm.
    cameras: where they stand.
    reach: mm, farthest place from the scene's middle.

  Returns:
    Views of P = 1.
  """
  place_key, key = jax.random.split(key)
  u = jax.random.uniform(place_key, (2,))
  place = reach * jnp.sqrt(u[0]) * _heading(2 * jnp.pi * u[1])
  return _sample(key, pose[None], place[None], cameras)


def sample_group(
  key: jax.Array, poses: jax.Array, cameras: CameraRange, layout: Layout,
  camera: jax.Array | None = None,
) -> Views:
  """A scene: people on a ring, or side by side in a row, each turned at random.

  Args:
    key: random key.
    poses: (P, J, 3) mm.
    cameras: where they stand.
    layout: 'apart' and 'close': neighbours on a ring 0.6–2 m or 0.4–1 m from each other (two
      people: in any direction); 'side': 0.6–2 m apart in a row across the view.
    camera: random key of the camera: scenes of one key have one camera. From `key` where None.

  Returns:
    Views.
  """
  place_key, key = jax.random.split(key)
  u = jax.random.uniform(place_key, (2,))
  low, high = LAYOUTS[layout]
  gap, count = low + (high - low) * u[0], len(poses)
  order = jnp.arange(count)
  if layout == 'side':
    across = (order - (count - 1) / 2) * gap
    places = jnp.stack([across, jnp.zeros_like(across)], -1)
  else:
    radius = gap / (2 * jnp.sin(jnp.pi / max(count, 2)))
    places = radius * _heading(2 * jnp.pi * (u[1] + order / max(count, 2)))
  return _sample(key, poses, places, cameras, camera)


def vary_bones(
  key: jax.Array, pose: jax.Array, skeleton: Skeleton, spread: float, size: float
) -> jax.Array:
  """A pose with other bone lengths, left as right, standing on the floor as before.

  Pelvis and neck stay the middle of hips and shoulders where they were.

  Args:
    key: random key.
    pose: (J, 3) mm, world.
    skeleton: of the joints, parents before children.
    spread: standard deviation of the logarithm of each bone's length.
    size: half the width of the uniform range of the whole body's size, such as 0.07 for ± 7 %.

  Returns:
    (J, 3) mm.
  """
  joints = skeleton.num_joints
  draws = jax.random.normal(key, (joints,))
  owner = list(range(joints))
  for right, left in skeleton.flip_pairs:
    owner[left] = right
  factor = jnp.exp(spread * draws[jnp.asarray(owner)])
  whole = 1 + size * jax.random.uniform(jax.random.fold_in(key, 1), minval=-1.0)
  rows = [pose[0] * 0]
  for joint in range(1, joints):
    parent = skeleton.parents[joint]
    rows.append(rows[parent] + whole * factor[joint] * (pose[joint] - pose[parent]))
  changed = jnp.stack(rows)
  lift = pose[:, 2].min() - changed[:, 2].min()
  return changed + jnp.stack([pose[0, 0], pose[0, 1], lift])


def _sample(
  key: jax.Array, poses: jax.Array, places: jax.Array, cameras: CameraRange,
  camera: jax.Array | None = None,
) -> Views:
  yaw_key, key = jax.random.split(key)
  yaw = jax.random.uniform(yaw_key, (len(poses),), maxval=2 * jnp.pi)
  s, c = jnp.sin(yaw)[:, None], jnp.cos(yaw)[:, None]
  x, y = (poses - poses[:, :1])[..., 0], (poses - poses[:, :1])[..., 1]
  people = jnp.stack([
    c * x - s * y + places[:, :1], s * x + c * y + places[:, 1:], poses[..., 2]
  ], -1)
  u = jax.random.uniform(key if camera is None else camera, (2,))
  pitch, distance = (
    low + (high - low) * part
    for part, (low, high) in zip(u, (cameras.elevation, cameras.distance), strict=True)
  )
  return see(people, pitch, distance, cameras.target_height)


def _heading(angle: jax.Array) -> jax.Array:
  return jnp.stack([jnp.cos(angle), jnp.sin(angle)], -1)
