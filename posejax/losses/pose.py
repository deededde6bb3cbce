"""L1 losses of poses and embeddings: one function for all of the cross-modal method's pose losses.

Axis letters: B batch, P person, J joint, D coordinate.

  loss     predictions                 targets                    mask
  L_distl  k̂_p (B, P, J, 2) px         k̂_q, the teacher's         (B, P, J) seen by the teacher
  L_recon  P̃ (B, P, J, 3) m            P_syn                      (B, P)
  L_ss     T_s k̂ (B, P, J, 2) px       k̂ of T_s(I)                (B, P) root inside the crop
  L_2D     k̂_p (B, P, J, 2) px         k_p                        (B, P, J)
  L_3D     P̂ (B, P, J, 3) m            P                          (B, P, J)
  L_cyc    FK Ψ Φ T_L(p_c) (B, J, 3) m; Φ Ψ(φ) (B, 32)            none

All are means of |difference| over what the mask leaves [P]. L_adapt is in `maps`.

Source: Kundu et al. 2020 (ECCV), Sec. 3.2, 3.3 and supplement Eq. 1; spec/crossmodal.md ("Losses").
"""

import jax
import jax.numpy as jnp

from posejax.losses import terms


def masked_l1(
  predictions: jax.Array, targets: jax.Array, mask: jax.Array | None = None
) -> terms.Term:
  """Σ w |prediction − target| and Σ w, over all coordinates.

  Padding may hold anything, NaN too, on either side: neither value nor gradient sees it. The
  gradient at equality is 0.

  Args:
    predictions: (..., D) any unit.
    targets: the same shape, unit and frame; the gradient flows into both.
    mask: bool or weights ≥ 0 for the first axes, such as (B, P) or (B, P, J); all where None.

  Returns:
    (sum, weight) in the unit of the predictions; a pose's weight is its number of coordinates.

  Raises:
    ValueError: the shapes do not fit.
  """
  terms.check_same_shape('masked_l1', predictions, targets)
  # In float32 or wider, and 0 where the mask is: NaN leaves before the first operation.
  dtype = jnp.promote_types(jnp.promote_types(predictions.dtype, targets.dtype), jnp.float32)
  kept = terms.broadcast_mask('masked_l1', mask, predictions.shape) != 0
  first, second = (jnp.where(kept, x.astype(dtype), 0) for x in (predictions, targets))
  return terms.weigh('masked_l1', terms.absolute(first - second), mask)
