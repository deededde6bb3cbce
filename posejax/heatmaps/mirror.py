"""Maps of a mirror image, as maps of the picture: left and right change places and names.

Cells of columns g and W − 1 − g lie symmetrically to the picture's middle (`grid`): nothing is
resampled. x of an affinity field changes its sign; so does a whole field whose limb's mirror image
stands in the set the other way round.
"""

import jax
import numpy as np

from posejax.geometry.skeleton import Skeleton


def mirror_maps(
  heat: jax.Array, paf: jax.Array, skeleton: Skeleton
) -> tuple[jax.Array, jax.Array]:
  """What a network would have given of a picture, from its maps of the picture's mirror image.

  Args:
    heat: (…, H, W, K) heat-maps of the skeleton's joints.
    paf: (…, H, W, 2 L) fields of its limbs, x and y of each.
    skeleton: joints, limbs and pairs of sides.

  Returns:
    The same shapes; applied twice, the maps themselves.

  Raises:
    ValueError: the maps have other channels than the skeleton, or a limb has no mirror image in it.
  """
  channels = (skeleton.num_joints, 2 * skeleton.num_limbs)
  if (heat.shape[-1], paf.shape[-1]) != channels:
    raise ValueError(
      f'mirror_maps: {skeleton.name} has {channels[0]} heat-maps and {channels[1]} channels of '
      f'limbs, got {heat.shape[-1]} and {paf.shape[-1]}'
    )
  order, signs = _mirrored_limbs(skeleton)
  heat = heat[..., ::-1, list(skeleton.flip_permutation)]
  fields = paf[..., ::-1, :].reshape(*paf.shape[:-1], skeleton.num_limbs, 2)
  fields = fields[..., order, :] * (signs[:, None] * np.array((-1, 1))).astype(paf.dtype)
  return heat, fields.reshape(paf.shape)


def _mirrored_limbs(skeleton: Skeleton) -> tuple[np.ndarray, np.ndarray]:
  """For each limb the one that takes its place in a mirror, and −1 where it is written reversed."""
  other, place = skeleton.flip_permutation, {limb: i for i, limb in enumerate(skeleton.limbs)}
  rows = []
  for start, end in skeleton.limbs:
    limb = other[start], other[end]
    if limb not in place and limb[::-1] not in place:
      raise ValueError(
        f'mirror_maps: {skeleton.name} has no limb that mirrors '
        f'{skeleton.joints[start]}, {skeleton.joints[end]}'
      )
    rows.append((place[limb], 1) if limb in place else (place[limb[::-1]], -1))
  order, signs = np.array(rows).T
  return order, signs
