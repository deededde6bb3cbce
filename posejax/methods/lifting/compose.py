"""Scenes from lifted people: every row of the tables, the oracles and the baselines.

  joint      all people lifted about the middle of their pelvises (naive)
  plain      lifted one by one, offsets from the image, feet to one ground
  group      + the 50-px rule                      Table 1 of the seed,
  rotate     + rotation                            from its first row
  published  + elevation                           to its last
  ground, size, both    about the camera, distances from the ground, bodies' size, both
  unshared   `both` with each person's own pitch
  still      `both` with a pitch averaged over the pictures of a camera that stands still

Symbols: S scenes, P people, J joints.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.geometry import composition, lifting
from posejax.methods.lifting import infill, lift, people
from posejax.metrics import scenes as scene_metrics
from posejax.synth.pose_views import Views

_SCENES, PEOPLE = 64, 256  # of a call
_RECTIFY = jax.jit(lifting.rectify)
_SWITCHES = {
  'plain': composition.Published(group=False, rotate=False, elevate=False),
  'group': composition.Published(rotate=False, elevate=False),
  'rotate': composition.Published(elevate=False),
  'published': composition.Published(),
}
ROWS = ('joint', *_SWITCHES, *composition.CUES, 'unshared')
# Rows that need no network: what is known and what is the best that this can give.
ORACLES = {
  'oracle_published': 'published', 'oracle_camera': 'ground', 'flat_published': 'published',
  'flat_camera': 'both',
}


class Given(NamedTuple):
  """What a composition gets of a scene; leading axis S in a set.

  Attributes:
    poses: (P, J, 2) normalised, each about its pelvis.
    rays: (P, J, 2) tangents, likewise.
    root: (P, 2) tangents of the pelvises.
    depth: (P, J) offsets, pelvis–head lengths.
    theta: (P,) rad.
  """

  poses: jax.Array
  rays: jax.Array
  root: jax.Array
  depth: jax.Array
  theta: jax.Array


def compose(
  config: ml_collections.ConfigDict, unit: float, row: str, given: Given
) -> jax.Array:
  """One scene by one row's composition, (P, J, 3) in pelvis–head lengths."""
  valid = jnp.ones(len(given.theta), bool)
  unit_px, pelvis = unit * config.data.focal_px, given.root * config.data.focal_px
  if row == 'joint':
    return composition.jointly(given.poses, given.depth, pelvis, valid, unit_px, config.c)
  if row in _SWITCHES:
    poses = lifting.lift(given.poses, given.depth, config.c, clamp=False)
    return composition.published(
      poses, given.theta, pelvis, valid, unit_px=unit_px, c=config.c,
      height_px=config.data.image_px, feet=people.FEET, switches=_SWITCHES[row],
    )
  points = composition.camera_points(given.rays, given.root, given.depth, 1 / unit)
  return composition.about_camera(
    points, given.theta, given.root, valid, feet=people.FEET, limbs=people.SKELETON.limbs,
    cue='both' if row == 'unshared' else row, share=row != 'unshared',
  )


def observed(
  config: ml_collections.ConfigDict, views: Views, key: jax.Array | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
  """What a 2D detector would give: rays, roots, and what is seen.

  Args:
    config: of the method; `scenes.noise` is for a person 400 px tall, `scenes.missing` a share.
    views: of the set.
    key: for noise and gaps; None for exact poses.

  Returns:
    (S, P, J, 2) tangents about each pelvis, (S, P, 2) tangents, (S, P, J) bool.
  """
  rays = np.asarray(views.rays)
  seen = np.ones(rays.shape[:3], bool)
  if key is not None:
    noise_key, key = jax.random.split(key)
    tall = np.ptp(rays[..., 1], axis=2)[..., None, None]
    noise = np.asarray(jax.random.normal(noise_key, rays.shape))
    rays = rays + config.scenes.noise / 400 * tall * noise
    seen = np.asarray(jax.random.uniform(key, seen.shape)) >= config.scenes.missing
    seen[..., 0] = True  # without a pelvis nothing can be said: detectors give it or both hips
  root = rays[:, :, 0]
  turned = np.asarray(_RECTIFY(jnp.asarray(rays), jnp.asarray(root)))
  return np.asarray(people.centred(config, rays, turned)), root, seen


class Reading(NamedTuple):
  """What the networks say of a set: Given with leading axis S, and poses (S, P, J, 3)."""

  given: Given
  poses: np.ndarray


class Composer:
  """The compositions of one run; each of its functions is compiled once for a number of people.

  Args:
    config: of the method.
    networks: 'lifter', and 'infill' or None.
    unit: s̄, tangents.
  """

  def __init__(self, config: ml_collections.ConfigDict, networks: dict[str, Any], unit: float):
    self.config, self.networks, self.unit = config, networks, unit
    self._rows = {
      row: jax.jit(jax.vmap(functools.partial(compose, config, unit, row))) for row in ROWS
    }
    self._lift = {
      filled: jax.jit(functools.partial(self._lifted, filled)) for filled in (False, True)
    }

  def _lifted(self, filled: bool, rows: dict[str, jax.Array]):
    """Poses (B, J, 2) as completed, lifted (B, J, 3), depths (B, J), θ (B,)."""
    poses = rows['rays'] / (self.config.c * self.unit)
    filler = self.networks['infill'] if filled else None
    poses = infill.complete(self.config, filler, poses, rows['seen'])
    return poses, *lift.lift_poses(self.config, self.networks['lifter'], poses)

  def read(self, views: Views, key: jax.Array | None = None) -> Reading:
    """Lifts every person of a set.

    Args:
      views: of the set.
      key: for noise and gaps, which `infill` mends; None for exact, whole poses.
    """
    rays, root, seen = observed(self.config, views, key)
    rows = {'rays': rays.reshape(-1, *rays.shape[2:]), 'seen': seen.reshape(-1, seen.shape[2])}
    found = batches.in_batches(self._lift[key is not None], rows, PEOPLE)
    poses_2d, poses, depth, theta = (x.reshape(*root.shape[:2], *x.shape[1:]) for x in found)
    rays = poses_2d * self.config.c * self.unit
    return Reading(Given(poses_2d, rays, root, depth, theta), poses)

  def composed(self, row: str, given: Given) -> np.ndarray:
    """(S, P, J, 3) scenes of a set by one row."""
    return batches.in_batches(self._rows[row], given, _SCENES)

  def everything(self, views: Views, key: jax.Array) -> dict[str, np.ndarray]:
    """Row → composed scenes (S, P, J, 3): rows, the noisy ones, oracles, the floor, baselines."""
    clean, noisy = (self.read(views, k).given for k in (None, key))
    found = {row: self.composed(row, clean) for row in ROWS}
    found |= {f'noisy_{row}': self.composed(row, noisy) for row in ('published', 'both')}
    for name, row in ORACLES.items():
      given = oracle(self.config, views, self.unit, flat=name.startswith('flat'))
      # Flat poses stand where the lifter's θ says: they are a baseline of depth alone.
      given = given._replace(theta=clean.theta) if name.startswith('flat') else given
      found[name] = self.composed(row, given)
    return {**found, 'floor': floor(views)}

  def still(self, views: Views, shots: int) -> dict[str, np.ndarray]:
    """Rows `both` and `still`; so many scenes, one behind the other, are of one camera."""
    given = self.read(views).given
    shared = given._replace(theta=steady(given, shots))
    return {'both': self.composed('both', given), 'still': self.composed('both', shared)}


def steady(given: Given, shots: int) -> np.ndarray:
  """(S, P) θ as one pitch of each camera says, the mean of what its people say."""
  pitch = np.asarray(jax.vmap(composition.pitch_of)(given.theta, given.root))
  pitch = pitch.reshape(-1, shots * pitch.shape[1]).mean(1)
  per_person = np.repeat(pitch, shots)[:, None] * np.ones_like(given.theta)
  return np.asarray(jax.vmap(composition.elevation_of)(per_person, given.root))


def oracle(
  config: ml_collections.ConfigDict, views: Views, unit: float, flat: bool = False
) -> Given:
  """True depth (or none at all, `flat`) and true θ of exact 2D poses."""
  rays = np.asarray(people.centred(config, views.rays, views.rectified))
  root = np.asarray(views.rays)[:, :, 0]
  # In units in which the pelvis's own distance is c′ = 1 / s̄: then width and depth agree.
  depth = np.asarray(views.depth) / (unit * np.asarray(views.distance)[..., None])
  depth = 0 * depth if flat else depth
  return Given(rays / (config.c * unit), rays, root, depth, np.asarray(views.theta))


def floor(views: Views) -> np.ndarray:
  """(S, P, J, 3) mm true poses at one depth: the least error of the published composition."""
  levelled = np.array(views.levelled)
  levelled[..., 2] -= levelled[:, :, :1, 2]
  return levelled


def errors(found: np.ndarray, views: Views, reflection: bool = False) -> scene_metrics.SceneErrors:
  """Errors of composed scenes against the truth."""
  truth = np.asarray(views.levelled)
  valid = np.ones(truth.shape[:2], bool)
  aligned = scene_metrics.align(found, truth, valid, reflection)
  return scene_metrics.errors(aligned, truth, valid)

