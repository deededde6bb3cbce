"""A user's 2D poses to people in camera axes.

What is assumed, and said in the result: people are as tall, all together, as the training's (mm
follow from that alone); the file shows them at about one size, whatever their distance, to which
the 2D poses are brought as the training's are (s̄ of the file, by the trunks that are seen).

Symbols: F frames, P people, J joints.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.geometry import composition, lifting
from posejax.methods.base import Product
from posejax.methods.lifting import infill, lift, people, uncertainty

LEAST_SEEN = 6  # joints of a person, the pelvis among them
_BATCH = 32
_RECTIFY = jax.jit(lifting.rectify)


def lifter(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> Callable[[np.ndarray, np.ndarray, bool], tuple[np.ndarray, np.ndarray, np.ndarray]]:
  """The inference of a finished run.

  Returns:
    (rays (F, P, J, 2) tangents, seen (F, P, J) bool, still) → joints (F, P, J, 3) mm in camera
    axes, (F, P) bool who could be lifted, and (F, P) mm how unsure the lifter is of each
    (`uncertainty.spread` of the filled pose, at the size that it got; nan of others). `still` says
    that one camera that does not move took all frames: its pitch is then averaged over them. Joints
    that are seen stay on their rays; depth and elevation are read off poses that `infill` made
    whole and smooth, as the evaluation's of noise and gaps are. A run without it lifts whole poses
    alone.
  """
  networks = {
    'lifter': products['choice'].params['lifter'],
    'infill': products['infill'].params['infill'] if config.infill.steps else None,
  }
  known = {name: float(products['poses'].arrays[name]) for name in ('unit', 'trunk', 'body')}
  read = jax.jit(lambda rows: _read(config, networks, known['unit'], rows))
  place = jax.jit(lambda rows: jax.vmap(lambda row: _place(known['body'], row))(rows))

  def run(rays: np.ndarray, seen: np.ndarray, still: bool) -> tuple[np.ndarray, np.ndarray]:
    rays, seen = np.asarray(rays, np.float32), np.asarray(seen, bool)
    least = LEAST_SEEN if networks['infill'] else seen.shape[-1]
    valid = seen[..., 0] & (seen.sum(-1) >= least)
    if not valid.any():
      return np.zeros((*seen.shape, 3), np.float32), valid, np.full(valid.shape, np.nan)
    scale = _file_scale(rays, seen, valid, known['trunk'])
    rows = {
      'rays': np.where(seen[..., None], rays, 0), 'seen': seen,
      'scale': np.full(len(rays), scale, np.float32),
    }
    points, pitch, root, spread = batches.in_batches(read, rows, _BATCH)
    if still:
      pitch = np.full_like(pitch, pitch[valid].mean())
    placed, size = batches.in_batches(
      place, {'points': points, 'pitch': pitch, 'root': root, 'valid': valid}, _BATCH
    )
    return placed, valid, np.where(valid, size * spread, np.nan)

  return run


def _file_scale(rays, seen, valid, trunk: float) -> float:
  """How much larger people are in this file than in training: by the trunks that are seen."""
  whole = valid & seen[..., people.NECK]
  if not whole.any():
    return 1.0
  # About the pelvis's ray, as the training's are: beside the axis all lengths are larger.
  turned = np.asarray(_RECTIFY(rays, rays[..., 0, :]))
  length = np.linalg.norm(turned[..., people.NECK, :], axis=-1)[whole]
  return float(max(length.mean(), 1e-4) / trunk)


def _read(config, networks: dict[str, Any], unit: float, rows: dict[str, jax.Array]):
  """Points (F, P, J, 3) at the nominal distance, pitch (F, P), root (F, P, 2), spread (F, P)."""
  rays, seen, scale = rows['rays'], rows['seen'], rows['scale'][:, None]
  root = rays[:, :, 0]
  rectified = lifting.rectify(rays, root)
  centred = people.centred(config, rays, rectified)
  factor = config.c * unit * jnp.maximum(scale, 1e-6)[..., None, None]
  flat = (centred / factor).reshape(-1, *centred.shape[2:])
  filled = infill.complete(config, networks['infill'], flat, seen.reshape(flat.shape[:2]))
  _, depth, theta = lift.lift_poses(config, networks['lifter'], filled)
  # However the lifter was given them, the points lie on the rays.
  turned = jnp.where(seen[..., None], rectified, filled.reshape(centred.shape) * factor)
  depth, theta = depth.reshape(seen.shape), theta.reshape(root.shape[:2])
  points = jax.vmap(composition.camera_points)(turned, root, depth, 1 / (unit * rows['scale']))
  spread = uncertainty.spread(config, networks['lifter'], filled).reshape(theta.shape)
  return points, jax.vmap(composition.pitch_of)(theta, root), root, spread


def _place(body: float, row: dict[str, jax.Array]) -> tuple[jax.Array, jax.Array]:
  """(P, J, 3) mm: distances by ground and size about the camera, bodies of the mean size.

  And (P,) how many mm one of the points' units became.
  """
  valid = row['valid']
  present = valid.astype(jnp.float32)
  count = jnp.maximum(present.sum(), 1)
  pitch = (row['pitch'] * present).sum() / count
  levelled = lifting.turn(lifting.turn_x(-pitch), row['points'])
  factor = jnp.exp(composition.log_distance(
    levelled, valid, people.FEET, people.SKELETON.limbs, 'both'
  ))
  size = (present * factor * people.total_bones(levelled)).sum() / count
  scale = body / jnp.where(size > 0, size, 1)
  placed = scale * factor[:, None, None] * row['points']
  return jnp.where(valid[:, None, None], placed, 0), scale * factor
