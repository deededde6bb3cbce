"""Losses of lifting without 3D (spec/lifting.md, "Lifter training step" and "Reductions").

Symbols: B batch, J joints, X (B, J, 3) lifted, Y = R X turned, Y′ the re-lift of Y's projection, p
2D. Each Term's weight is B: the mean over the batch of one number per pose.

Sources: ElePose (Wandt et al. 2022), LInKs (Hardy and Kim 2024) [C], the seed [S].
"""

import jax
import jax.numpy as jnp

from posejax.losses.terms import Term, absolute, check_same_shape, weigh


def pose_distance(predictions: jax.Array, targets: jax.Array) -> Term:
  """L_3D: ‖Y′ − Y‖ of the whole flattened pose.

  Args:
    predictions: (B, J, 3).
    targets: (B, J, 3).

  Raises:
    ValueError: the shapes differ.
  """
  check_same_shape('pose_distance', predictions, targets)
  return weigh('pose_distance', _norm(predictions - targets), None)


def plane_distance(predictions: jax.Array, targets: jax.Array) -> Term:
  """L_2D: the sum of the 2J absolute differences.

  Args:
    predictions: (B, J, 2).
    targets: (B, J, 2).

  Raises:
    ValueError: the shapes differ.
  """
  check_same_shape('plane_distance', predictions, targets)
  return weigh('plane_distance', absolute(predictions - targets).sum((1, 2)), None)


def pair_deformation(predictions: jax.Array, targets: jax.Array) -> Term:
  """L_def: ‖(X_a − X_b) − (X′_a − X′_b)‖ over the pairs (0, 1), (2, 3), ... of the batch.

  Args:
    predictions: (B, J, 3); an odd last pose has no partner.
    targets: (B, J, 3).

  Raises:
    ValueError: the shapes differ.
  """
  check_same_shape('pair_deformation', predictions, targets)
  change = predictions - targets
  even = change[: 2 * (len(change) // 2)]
  return weigh('pair_deformation', _norm(even[::2] - even[1::2]), None)


def relative_bones(poses: jax.Array, limbs: tuple[tuple[int, int], ...]) -> jax.Array:
  """Lengths of bones over their mean, (B, L).

  Args:
    poses: (B, J, 3).
    limbs: L pairs of joints.
  """
  ends = jnp.asarray(limbs)
  vectors = poses[:, ends[:, 1]] - poses[:, ends[:, 0]]
  lengths = _norm(vectors.reshape(-1, 1, 3)).reshape(vectors.shape[:2])
  mean = lengths.mean(1, keepdims=True)
  return lengths / jnp.where(mean > 0, mean, 1)


def bone_ratio(
  poses: jax.Array, ratios: jax.Array, limbs: tuple[tuple[int, int], ...]
) -> Term:
  """L_bone: the sum over bones of the squared difference of relative lengths from fixed ones.

  Args:
    poses: (B, J, 3).
    ratios: (L,) of the skeleton in use; another one's bias every pose.
    limbs: L pairs of joints.
  """
  return weigh(
    'bone_ratio', ((relative_bones(poses, limbs) - ratios) ** 2).sum(-1), None
  )


def elevation_agreement(theta: jax.Array, turned_by: jax.Array) -> Term:
  """(θ(q) + x_ang)²: a pose that was levelled and turned by x_ang has the elevation −x_ang.

  A term of ElePose-derived code, against the collapse of θ.

  Args:
    theta: (B,) rad, of the turned pose's projection.
    turned_by: (B,) rad.

  Raises:
    ValueError: the shapes differ.
  """
  check_same_shape('elevation_agreement', theta, turned_by)
  return weigh('elevation_agreement', (theta + turned_by) ** 2, None)


def _norm(x: jax.Array) -> jax.Array:
  """‖x‖ over all axes but the first, with gradient 0 at 0."""
  square = (x**2).sum(tuple(range(1, x.ndim)))
  positive = square > 0
  return jnp.where(positive, jnp.sqrt(jnp.where(positive, square, 1)), 0)
