"""The embedded world of the main job: which scenes each set of data is drawn from.

  D_syn      artificial poses floating in the fixed camera's frustum; no pictures, made in the step
  images_a   pictures of appearance domain A with 2D labels: what the teacher learns from
  images_b   unlabelled pictures of domain B: what the student learns from
  validation, test   pictures of domain B with 3D ground truth; the test's motions are of families
             that no other set draws

Sets differ in seed, so no scene is in two. Every set is a function of the config and its seed.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.geometry import camera as camera_lib
from posejax.geometry import limits
from posejax.methods.base import RowMaker, StagePlan
from posejax.methods.crossmodal import lift
from posejax.models.openpose import STRIDE
from posejax.synth import domains
from posejax.synth.motion_families import TEST_FAMILIES, TRAIN_FAMILIES, Family
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scene_views import SceneViews, device_samples

_SCENES_PER_CALL = 64
_FIELDS = tuple(f'world.{name}' for name in (
  'image_size', 'max_people', 'nearest_mm', 'farthest_mm', 'elevation_deg', 'body_scale',
  'bone_variation',
))


class _Set(NamedTuple):
  """A rendered set: seed stream, appearance domain, motions."""

  stream: int
  look: str
  families: tuple[Family, ...]


_SETS = {
  'images_a': _Set(1, 'A', TRAIN_FAMILIES),
  'images_b': _Set(2, 'B', TRAIN_FAMILIES),
  'validation': _Set(3, 'B', TRAIN_FAMILIES),
  'test': _Set(4, 'B', TEST_FAMILIES),
}


def intrinsics(config: ml_collections.ConfigDict) -> camera_lib.Intrinsics:
  """The camera that the network assumes: fixed, from the image's size [P]."""
  return camera_lib.fixed_intrinsics(config.world.image_size)


def depths(config: ml_collections.ConfigDict) -> lift.DepthRange:
  """The depths that H can say: the world's, with a margin."""
  return lift.DepthRange(0.8 * config.world.nearest_mm, 1.25 * config.world.farthest_mm)


def syn_scenes(config: ml_collections.ConfigDict) -> SceneConfig:
  """D_syn: persons of artificial poses at random in the frustum, randomly turned [P]."""
  world = config.world
  return SceneConfig(
    max_people=config.scenes.max_people, min_people=1, pose_source='artificial',
    limits=limits.scaled(limits.PAPER, config.scenes.limit_factor),
    body_scale=tuple(config.scenes.body_scale), bone_variation=config.scenes.bone_variation,
    placement='frustum',
    side_lean_deg=(-config.scenes.lean_deg, config.scenes.lean_deg),
    forward_lean_deg=(-config.scenes.lean_deg, config.scenes.lean_deg),
    depth_mm=(world.nearest_mm, world.farthest_mm), width=world.image_size,
    height=world.image_size, min_joint_share=0.8,
  )


def image_scenes(
  config: ml_collections.ConfigDict, families: tuple[Family, ...]
) -> SceneConfig:
  """Scenes of the pictures: people in motion on the floor of a room, seen by the fixed camera."""
  world = config.world
  return SceneConfig(
    max_people=world.max_people, min_people=1, pose_source='motion', families=families,
    body_scale=tuple(world.body_scale), bone_variation=world.bone_variation,
    placement='room', room_mm=(world.farthest_mm - world.nearest_mm,) * 2,
    depth_mm=(world.nearest_mm, world.farthest_mm), candidates=16, min_joint_share=0.8,
    width=world.image_size, height=world.image_size, elevation_deg=tuple(world.elevation_deg),
    distance_mm=_distances(world.nearest_mm, world.farthest_mm),
  )


def above_floor(elevation_deg: tuple[float, float], nearest_mm: float, farthest_mm: float) -> bool:
  """Whether cameras of these elevations and of `image_scenes`' distances have a place."""
  distances = _distances(nearest_mm, farthest_mm)
  try:
    SceneConfig(placement='room', elevation_deg=tuple(elevation_deg), distance_mm=distances)
  except ValueError:
    return False
  return True


def _distances(nearest_mm: float, farthest_mm: float) -> tuple[float, float]:
  """From the camera to where it looks."""
  middle = (nearest_mm + farthest_mm) / 2
  return 0.9 * middle, 1.1 * middle


def domain(config: ml_collections.ConfigDict, name: str) -> domains.Domain:
  """Appearance domain 'A', or 'B' at the config's gap from it."""
  if name == 'A':
    return domains.DOMAIN_A
  return domains.between(domains.DOMAIN_A, domains.DOMAIN_B, config.world.gap)


def renderer(
  config: ml_collections.ConfigDict, chosen: _Set
) -> Callable[[int, int], dict[str, np.ndarray]]:
  """What renders single pictures of a set with their ground truth.

  Args:
    config: of the method.
    chosen: which set.

  Returns:
    (first, last) → pictures first ≤ i < last, N of them: images (N, S, S, 3) uint8; truth_camera
    (N, P, 15, 3) mm; truth_joints (N, P, 15, 2) px; truth_valid (N, P) bool; truth_in_frame (N, P,
    15) bool; truth_visible (N, P), the share of a person that nothing hides; truth_pelvis_visible
    (N, P) bool, whether the person shows in the teacher's map cell of its pelvis.
  """
  scenes, appearance = image_scenes(config, chosen.families), domain(config, chosen.look)
  # Eight streams a seed of the run: they never meet.
  seed = 8 * config.seed + chosen.stream

  def render(first: int, last: int) -> dict[str, np.ndarray]:
    views = device_samples(seed, np.arange(first, last), scenes, appearance)
    return jax.tree.map(np.asarray, _arrays(views))

  return render


def _arrays(views: SceneViews) -> dict[str, jax.Array]:
  joints = lift.SKELETON.num_joints  # J17 begins with J15
  return {
    'images': views.image[:, 0],
    'truth_camera': views.joints_camera[:, 0, :, :joints],
    'truth_joints': views.joints_image[:, 0, :, :joints],
    'truth_valid': views.valid,
    'truth_in_frame': views.in_frame[:, 0, :, :joints],
    'truth_visible': views.visible_share[:, 0],
    'truth_pelvis_visible': _pelvis_visible(views),
  }


def _pelvis_visible(views: SceneViews) -> jax.Array:
  """(N, P) bool: a pixel of the pelvis's map cell is the person's."""
  mask = views.person_mask[:, 0]
  height, width = mask.shape[1] // STRIDE, mask.shape[2] // STRIDE
  cells = mask[:, : height * STRIDE, : width * STRIDE]
  cells = cells.reshape(-1, height, STRIDE, width, STRIDE)
  people = jnp.arange(1, views.valid.shape[1] + 1)
  shows = (cells[..., None] == people).any((2, 4))  # (N, h, w, P)
  spot = jnp.floor((views.joints_image[:, 0, :, 0] + 0.5) / STRIDE).astype(jnp.int32)
  inside = ((spot >= 0) & (spot < jnp.array([width, height]))).all(-1)
  spot = jnp.clip(spot, 0, jnp.array([width - 1, height - 1]))
  n, p = np.indices(inside.shape)
  return shows[n, spot[..., 1], spot[..., 0], p] & inside & views.valid


def plan(name: str) -> StagePlan:
  """The stage that renders a set and keeps it as arrays."""
  make = RowMaker(
    lambda config, products: config.world[name], _SCENES_PER_CALL,
    lambda config, products: renderer(config, _SETS[name]),
  )
  # Domain A is where the gap is measured from: a teacher serves every gap.
  gap = () if _SETS[name].look == 'A' else ('world.gap',)
  return StagePlan(name, fields=_FIELDS + gap + (f'world.{name}',), make=make)
