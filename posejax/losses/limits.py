"""Hinge on the joint limits: how far outside the limit table decoded poses are.

Symbols: B batch, J joints. A cheap aid to the adversarial prior, and a switch: the discriminator
says that a pose is unlikely, this says which bone is where none can be, and how far.
"""

import jax
import jax.numpy as jnp

from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib
from posejax.losses import terms


def limit_hinge(
  local: jax.Array,
  mask: jax.Array | None = None,
  limits: limits_lib.JointLimits = limits_lib.PAPER,
  skeleton: skeleton_lib.Skeleton = skeleton_lib.J17,
) -> terms.Term:
  """Σ w excess and Σ w over the joints: the mean angle by which bones leave their limits.

  Zero, with gradient 0, for poses inside; `limits.scaled` with a factor below 1 gives a margin.

  Args:
    local: (B, J, 3) local poses, robust frames, as of `constrain_local`; NaN only where masked.
    mask: (B,) bool or weights ≥ 0; all where None.
    limits: the limit table.
    skeleton: names the J joints.

  Returns:
    (sum, weight), rad; a pose's weight is J − 1, since the root has no limits.

  Raises:
    ValueError: the shapes do not fit.
  """
  shape = (skeleton.num_joints, 3)
  if local.ndim != 3 or local.shape[1:] != shape:
    raise ValueError(f'limit_hinge: local must have shape (B, {shape[0]}, 3), got {local.shape}')
  local = local.astype(jnp.promote_types(local.dtype, jnp.float32))
  kept = terms.broadcast_mask('limit_hinge', mask, local.shape[:1]) != 0
  local = jnp.where(kept[:, None, None], local, jnp.asarray((0, 0, 1), local.dtype))
  excess = jax.vmap(lambda pose: limits_lib.limit_excess(pose, limits, skeleton))(local)
  limited = skeleton.not_root
  return terms.weigh('limit_hinge', excess[:, limited], mask)
