"""Where a moving body is: its height above the floor and its way over it.

Symbols: T times, J joints, C contact points. World frame: z up, floor at z = 0, mm.

The body stands on its lowest points, whichever they are (soles, knees, hands, seat): the pelvis
height is a smooth maximum over the contact points of (clearance − height below the pelvis), plus
the hop. It moves so that the points it stands on stay where they are: the pelvis velocity is minus
the velocity of the contact points relative to it, weighted by how near the floor each is. So a
walker moves at the speed of the stride, a squatting person stays, and feet do not slide, for every
motion by the same rule. While nothing touches the floor the velocity around it is kept.

Source: our design [R].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib

# Height of a joint's centre over the floor where its flesh touches it, mm [R].
CLEARANCE_MM = {
  'pelvis': 105.0, 'neck': 70.0, 'head_top': 55.0, 'shoulder': 75.0, 'elbow': 38.0, 'wrist': 28.0,
  'hip': 95.0, 'knee': 55.0, 'ankle': 45.0, 'foot': 18.0,
}
# The heel in the frame of the foot: along the bone from ankle to toe, and across it, away from the
# shank. A neutral foot (γ = 59°) has its heel at the toe's height, 40 mm behind the ankle.
HEEL_ALONG_MM, HEEL_ACROSS_MM = 9.0, 92.6
HEIGHT_SOFTNESS_MM = 4.0
CONTACT_SOFTNESS_MM = 8.0
AIRBORNE_MM = 12.0  # a hop of this height halves the grip of the floor
VELOCITY_WINDOW_S = 0.045
WINDOW_REACH_S = 0.3  # how far the way looks beyond each instant


class Ground(NamedTuple):
  height: jax.Array  # (T,) of the pelvis over the floor
  grip: jax.Array  # (T, C) weights of the contact points, sum ≤ 1


def clearances() -> np.ndarray:
  """(C,) mm: the joints of J17, then the right and left heel."""
  names = [name.split('_', 1)[-1] if name[:2] in ('r_', 'l_') else name
           for name in skeleton_lib.J17.joints]
  return np.array([CLEARANCE_MM[name] for name in names] + [CLEARANCE_MM['foot']] * 2)


def contact_points(pose: jax.Array) -> jax.Array:
  """Joints and heels.

  Args:
    pose: (T, J, 3) of J17, mm, any frame.

  Returns:
    (T, C, 3) in the same frame.
  """
  heels = []
  for side in ('r_', 'l_'):
    knee, ankle, toe = (
      pose[:, skeleton_lib.J17.index(side + name)] for name in ('knee', 'ankle', 'foot')
    )
    shank, foot = ankle - knee, toe - ankle
    along = foot / jnp.linalg.norm(foot, axis=-1, keepdims=True)
    across = shank - jnp.sum(shank * along, axis=-1, keepdims=True) * along
    # The limits keep foot and shank at least 10° apart; poses from elsewhere may not: a foot
    # straight along its shank has its heel at the ankle.
    length = jnp.linalg.norm(across, axis=-1, keepdims=True)
    across = across / jnp.where(length > 1e-2, length, 1)
    heels.append(ankle + HEEL_ALONG_MM * along + HEEL_ACROSS_MM * across)
  return jnp.concatenate([pose, jnp.stack(heels, axis=1)], axis=1)


def stand(points: jax.Array, hop: jax.Array) -> Ground:
  """The height at which the lowest points touch the floor, and which these are.

  Args:
    points: (T, C, 3) mm, world axes, relative to the pelvis.
    hop: (T,) mm, height of the lowest point above the floor.

  Returns:
    The ground.
  """
  depth = jnp.asarray(clearances(), points.dtype) - points[..., 2]
  height = HEIGHT_SOFTNESS_MM * jax.nn.logsumexp(depth / HEIGHT_SOFTNESS_MM, axis=-1)
  grip = jax.nn.softmax(depth / CONTACT_SOFTNESS_MM, axis=-1)
  held = 1 / (1 + (hop / AIRBORNE_MM) ** 2)
  return Ground(height + hop, grip * held[:, None])


def way(points: jax.Array, grip: jax.Array, reach: int, step_s: float) -> jax.Array:
  """The pelvis's way over the floor.

  Args:
    points: (T + 2·reach, C, 3) mm, world axes, relative to the pelvis; the first and the last
      `reach` times are the lead-in and lead-out.
    grip: (T + 2·reach, C) weights of the contact points.
    reach: how many times the averaging window reaches to either side, ≥ 1.
    step_s: s between times.

  Returns:
    (T, 2) mm, x and y, 0 at the first time.
  """
  between = (grip[1:] + grip[:-1]) / 2
  moved = -jnp.einsum('tc,tcd->td', between, points[1:, :, :2] - points[:-1, :, :2])
  # A trace of grip everywhere: in long flights the window finds the ground on their two sides.
  held = jnp.sum(between, axis=-1, keepdims=True) + 1e-6
  offsets = np.arange(-reach + 1, reach)
  window = np.exp(-0.5 * (offsets * step_s / VELOCITY_WINDOW_S) ** 2) + 1e-6
  window = jnp.asarray(window, points.dtype)
  smooth = lambda x: jax.vmap(  # noqa: E731
    lambda column: jnp.convolve(column, window, mode='valid'), in_axes=1, out_axes=1
  )(x)
  steps = smooth(moved) / smooth(held)
  # The first and the last step lead into the first time and out of the last one.
  total = jnp.cumsum(steps[1:-1], axis=0)
  return jnp.concatenate([jnp.zeros((1, 2), points.dtype), total], axis=0)
