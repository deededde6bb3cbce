"""The pose losses that the stages of alignment share: L_distl, L_2D, L_3D and L_recon.

Units [R]: image lengths in image sides, poses and depths in m. L_recon and L_3D compare p_r and d
apart: of p_g, a depth error of a metre would give every coordinate's gradient its own sign, and
the pose behind it none. Symbols: B images, P persons, J = 15 joints.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from posejax.heatmaps import grid
from posejax.losses import pose, terms
from posejax.methods.crossmodal import lift, prior
from posejax.models import aae as aae_lib
from posejax.models import windows
from posejax.models.crossmodal import Representation

# Joints of 2D losses: the root is where the root is, whatever H says.
NOT_ROOT = lift.SKELETON.not_root


def plane_error(
  found: lift.Lifted, joints: jax.Array, seen: jax.Array, side: int
) -> terms.Term:
  """|k̂ − k| in image sides: L_distl with the teacher's joints, L_2D with true ones.

  Args:
    found: poses of B images.
    joints: (B, P, J, 2) px.
    seen: (B, P, J) bool: joints that count.
    side: px of the image.
  """
  return pose.masked_l1(found.image / side, joints / side, seen & NOT_ROOT)


def pose_error(found: lift.Lifted, camera: jax.Array, valid: jax.Array) -> terms.Term:
  """|p_r − p̂_r| + |d − d̂| in metres, weighted as one mean: the root's row is 0 in both poses.

  Args:
    found: poses of B images.
    camera: (B, P, J, 3) mm, camera-centred.
    valid: (B, P) bool: persons that count.
  """
  relative = camera - camera[:, :, :1]
  poses = pose.masked_l1(found.relative / 1000, relative / 1000, valid[..., None] & NOT_ROOT)
  depth = pose.masked_l1(found.depth[..., None] / 1000, camera[:, :, 0, 2:] / 1000, valid)
  # One depth to 42 coordinates: each mean counts as much.
  share = jnp.where(depth.weight > 0, poses.weight / jnp.maximum(depth.weight, 1), 0)
  return terms.Term(poses.sum + share * depth.sum, poses.weight)


def with_code(
  recon: terms.Term, weights: tuple[float, float], found: Representation,
  networks: tuple[aae_lib.AAEConfig, Any], batch: dict[str, jax.Array], valid: jax.Array,
) -> terms.Term:
  """L_recon or L_3D with the errors of φ and c, by their weights; all weighted as one mean [R].

  Args:
    recon: L_recon or L_3D.
    weights: of |φ − Φ(p_l)| and of |c − ĉ|; both 0 leave it as it is.
    found: φ (B, P, 32) and c (B, P, 6) of H.
    networks: configuration of the auto-encoder, and Φ's parameters.
    batch: local (B, P, J, 3) and c (B, P, 6) of the truth; without, as of pictures that nobody
      labelled, the term stays.
    valid: (B, P) bool: persons that count.
  """
  if not any(weights) or 'local' not in batch:
    return recon
  flat = batch['local'].reshape(-1, *batch['local'].shape[2:])
  phi = prior.encode(*networks, flat).reshape(found.phi.shape)
  total = recon.sum
  for weight, ours, theirs in zip(weights, (found.phi, found.c), (phi, batch['c']), strict=True):
    total += weight * recon.weight * terms.mean(pose.masked_l1(ours, theirs, valid))
  return terms.Term(total, recon.weight)


class Cells(NamedTuple):
  """H's output grid, as far as windows need it: px a cell, cells from a window's middle to its
  border, px a side of the image, and how windows lie about roots."""

  stride: int
  reach: int
  side: int
  mode: Literal['nearest', 'bilinear']

  def middles(self, roots: jax.Array) -> jax.Array:
    """Middles, px, of the windows of roots (..., 2) px."""
    count = self.side // self.stride
    cells = windows.middles(roots, self.stride, (count, count), self.mode)
    return grid.to_pixels(cells, self.stride)


def with_points(
  term: terms.Term, weight: float, found: Representation, roots: jax.Array, joints: jax.Array,
  seen: jax.Array, cells: Cells,
) -> terms.Term:
  """A loss with the error of the window's first J points, which are to lie on the joints [R].

  H then reads a person's 2D where it shows, and its last layers lift it; without, the pose's error
  alone would have to say where to look.

  Args:
    term: L_distl, L_2D or L_recon.
    weight: of the points' error in image sides; with 0, or without a window, `term` stays.
    found: points (B, P, C, 2) in cells.
    roots: (B, P, 2) px.
    joints: (B, P, J, 2) px.
    seen: (B, P, J) bool: joints that count; one outside the window does not.
    cells: the grid.
  """
  if not weight or found.points is None:
    return term
  wanted = joints - cells.middles(roots)[..., None, :]
  inside = (jnp.abs(wanted) <= cells.stride * cells.reach).all(-1)
  points = cells.stride * found.points[..., : joints.shape[-2], :]
  error = pose.masked_l1(points / cells.side, wanted / cells.side, seen & inside)
  # Not the mean over joints inside: on several devices means of means would differ.
  return terms.Term(term.sum + weight * error.sum, term.weight)
