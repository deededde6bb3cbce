"""A teacher's own parts and limbs, from the joints of J15 and back.

G reads, and L_adapt compares, maps in the teacher's parts [R]: those that J15 has or derives are
rendered, the chest of OpenPose's MPI set as the middle of the trunk; nose, eyes and ears cannot be
given: zero in G's input, left out of L_adapt. The other way the pelvis is the middle of the hips
where a teacher has no channel for it, and a head top stays unseen where there is none.

Symbols: J = 15 joints, K parts, L limbs of the teacher; px.
"""

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.skeleton import J15, Skeleton
from posejax.heatmaps import People2D

_TRUNK = ('pelvis', 'neck')  # whose middle is MPI's chest


def pairs(target: Skeleton, source: Skeleton) -> list[tuple[int, int] | None]:
  """For each joint of `target` the two of `source` whose middle it is, or None."""
  found = []
  for joint in target.joints:
    names = (joint, joint) if joint in source.joints else skeleton_lib.DERIVED.get(joint)
    if joint == 'chest' and joint not in source.joints:
      names = _TRUNK
    has = names is not None and all(name in source.joints for name in names)
    found.append(tuple(source.index(name) for name in names) if has else None)
  return found


def drawable(parts: Skeleton) -> np.ndarray:
  """(K,) bool: parts that J15 gives."""
  return np.array([pair is not None for pair in pairs(parts, J15)])


def drawable_maps(parts: Skeleton, background: bool) -> np.ndarray:
  """(K [+ 1] + 2 L,) bool: channels of heat-maps, background and PAFs that J15 gives.

  The background is 1 − max over all parts: known only where all of them are.
  """
  heat = drawable(parts)
  limbs = [heat[a] and heat[b] for a, b in parts.limbs]
  return np.concatenate([heat, [heat.all()] * background, np.repeat(limbs, 2)])


def from_joints(
  joints: jax.Array, visible: jax.Array, parts: Skeleton
) -> tuple[jax.Array, jax.Array]:
  """Positions (..., K, 2) px and visibility (..., K) of the parts of J15 poses.

  Args:
    joints: (..., 15, 2) px.
    visible: (..., 15) bool.
    parts: of the teacher.
  """
  return _middles(joints, visible, pairs(parts, J15))


def to_joints(people: People2D, parts: Skeleton) -> People2D:
  """The same people in J15, (..., P, 15, ...); what the teacher has no part for is not visible."""
  if parts == J15:
    return people
  wanted = pairs(J15, parts)
  joints, visible = _middles(people.joints, people.visible, wanted)
  first, second = (np.array([pair[i] if pair else 0 for pair in wanted]) for i in range(2))
  scores = jnp.minimum(people.scores[..., first], people.scores[..., second])
  return people._replace(
    joints=jnp.where(visible[..., None], joints, 0), visible=visible,
    scores=jnp.where(visible, scores, 0),
  )


def _middles(points: jax.Array, visible: jax.Array, wanted) -> tuple[jax.Array, jax.Array]:
  first, second = (np.array([pair[i] if pair else 0 for pair in wanted]) for i in range(2))
  given = np.array([pair is not None for pair in wanted])
  middles = points[..., first, :] / 2 + points[..., second, :] / 2
  return (
    jnp.where(given[:, None], middles, 0), visible[..., first] & visible[..., second] & given
  )
