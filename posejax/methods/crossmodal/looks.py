"""What the teacher sees when it looks several times: maps averaged over zooms and mirror images.

A network's mistakes differ between a picture, its mirror image and an enlarged copy; what all of
them show is more often right. So the 2D poses that teach can be better than those of one look,
without any label (data distillation, Radosavovic et al., CVPR 2018). The student looks once while
it learns.

Zooms enlarge the whole picture: the network is convolutional, and was trained with zooms. A
picture that is enlarged has more cells; its maps are brought back to those of one look, and their
cells stay where they are, since picture and maps are both resized about their corners.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections

from posejax.heatmaps import mirror_maps
from posejax.methods.crossmodal import teacher as teacher_lib


class Looks(NamedTuple):
  """How often the teacher looks. Hashable.

  Attributes:
    zooms: of the picture, each rounded to whole cells of its side.
    mirror: whether each zoom's mirror image is looked at too.
  """

  zooms: tuple[float, ...] = (1.0,)
  mirror: bool = False


ONCE = Looks()


def of_config(config: ml_collections.ConfigDict) -> Looks:
  """The looks that the unlabelled pictures get."""
  return Looks(tuple(float(zoom) for zoom in config.observed.zooms), config.observed.mirror)


def maps(
  teacher: teacher_lib.Teacher, images: jax.Array, looks: Looks = ONCE
) -> tuple[jax.Array, jax.Array]:
  """The mean of the maps of all looks.

  Args:
    teacher: the frozen network.
    images: (B, S, S, 3) RGB in 0..255.
    looks: which.

  Returns:
    Heat-maps (B, h, w, K) and PAFs (B, h, w, 2 L), as `Teacher.decode`.
  """
  side, parts = images.shape[1], teacher.layout.parts
  cells = side // teacher_lib.STRIDE
  seen = []
  for zoom in looks.zooms:
    enlarged = _resized(images, max(1, round(zoom * cells)) * teacher_lib.STRIDE)
    # Both ways in one batch.
    both = jnp.concatenate([enlarged, enlarged[:, :, ::-1]]) if looks.mirror else enlarged
    found = [_resized(x, cells, smooth=False) for x in teacher.decode(*teacher.encode(both))]
    seen.append([x[: len(images)] for x in found])
    if looks.mirror:
      seen.append(mirror_maps(*(x[len(images) :] for x in found), parts))
  heat, paf = (sum(x) / len(seen) for x in zip(*seen, strict=True))
  return heat, paf


def _resized(x: jax.Array, side: int, smooth: bool = True) -> jax.Array:
  """(B, side, side, C); what has that size is not touched. Maps are smooth already."""
  if x.shape[1] == side:
    return x
  shape = (len(x), side, side, x.shape[-1])
  return jax.image.resize(x.astype(jnp.float32), shape, 'linear', antialias=smooth)
