"""What a synthetic scene may contain: the ranges that `scenes.sample_scene` draws from.

Symbols: P persons, C cameras, K candidate places per person. Lengths in mm, angles in degrees,
image lengths as shares of the longer image side (so that a config holds for any resolution). A
pair is a range (low, high), drawn uniformly; low = high fixes the value.

Two placements:
  'frustum'  D_syn of the cross-modal method (spec/crossmodal.md, Data): persons float anywhere in
             the frustum of camera 0 (at frame 0), at a uniform depth and image position, with a
             random rotation. There is no floor: for maps, not for pictures.
  'room'     persons stand on the floor z = 0 of a room around the world's origin, the cameras
             stand around it and look at its middle.

The defaults are D_syn's [P: up to 4 persons, random rotation, fixed camera; R: f = image side,
depth 1.5 to 8 m, the range of the leans, all rules].
"""

import dataclasses
import math
import numbers
import typing
from typing import Literal

import jax

from posejax.geometry import limits as limits_lib
from posejax.synth.motion_families import ALL_FAMILIES, Family

Range = tuple[float, float]
CameraMotion = Literal['orbit', 'dolly', 'handheld']

LEAST_ROOM_MM = 100.0  # a room's shortest side
# Field -> (lowest, highest) allowed value. A range field's two numbers both obey it.
_COUNTS = {
  'max_people': (1, 64),
  'min_people': (0, 64),
  'candidates': (1, 1024),
  'num_cameras': (1, 64),
  'min_views': (0, 64),
  'width': (8, 16384),
  'height': (8, 16384),
}
_SCALARS = {
  'bone_variation': (0.0, 0.5),
  'min_pelvis_distance_mm': (0.0, 10_000.0),
  'min_pelvis_distance_px': (0.0, 16384.0),
  'body_gap_mm': (0.0, 1000.0),
  'pelvis_margin': (0.0, 0.45),
  'min_joint_share': (0.0, 1.0),
  'min_frame_share': (0.0, 1.0),
  'center_jitter': (0.0, 0.5),
  'target_jitter_mm': (0.0, 10_000.0),
  'azimuth_jitter_deg': (0.0, 180.0),
  'handheld_mm': (0.0, 500.0),
  'handheld_deg': (0.0, 20.0),
}
_RANGES = {
  'body_scale': (0.2, 2.0),
  'yaw_deg': (-360.0, 360.0),
  'side_lean_deg': (-90.0, 90.0),
  'forward_lean_deg': (-180.0, 180.0),
  'depth_mm': (200.0, 100_000.0),
  'focal': (0.1, 10.0),
  'azimuth_deg': (-360.0, 360.0),
  'elevation_deg': (-80.0, 80.0),
  'roll_deg': (-180.0, 180.0),
  'distance_mm': (200.0, 100_000.0),
  'target_height_mm': (0.0, 5000.0),
  'orbit_deg_per_s': (0.0, 180.0),
  'dolly_mm_per_s': (0.0, 5000.0),
}


@dataclasses.dataclass(frozen=True)
class SceneConfig:
  """Ranges and rules of a scene. Hashable: a static argument under `jax.jit`.

  Persons and bodies:
    max_people: P, the number of slots.
    min_people: fewest persons asked for; the count is uniform in min_people..max_people.
    pose_source: 'artificial' draws from the limit table, 'motion' from `motions`.
    limits: joint limits of poses and motions.
    families: motion families to draw from.
    body_scale: factor on all bones of a person.
    bone_variation: each bone (left and right alike) is longer or shorter by up to this share.

  Placement and its rules; the first of `candidates` random places that keeps them all is taken:
    placement: 'frustum' or 'room', see the module.
    yaw_deg: heading, from the world's x toward y; it adds to a motion's own turns.
    side_lean_deg, forward_lean_deg: trunk lean of held poses (intrinsic z-x-y, rotation.py), which
      have no lean of their own: the limit table holds the trunk upright. Motions bring theirs.
    room_mm: the floor's extents along x and y; pelvises stay inside ('room'). Heights follow from
      the pose: the lowest flesh touches the floor (motion_ground.py), or jumps over it.
    candidates: K.
    min_pelvis_distance_mm: between two pelvises, on the floor plane in a room, in space otherwise.
    min_pelvis_distance_px: between two pelvises in every image; 0 lets them share a map cell.
    body_gap_mm: least distance between the joints and limb middles of two persons; 0 skips the
      test, which costs some 1000 distances per pair and place.
    pelvis_margin: the pelvis keeps this share of the longer side from the image's border.
    depth_mm: range of the pelvis's depth, in each camera that counts.
    min_joint_share: least share of a person's joints inside the image.
    min_views: cameras in which a person must keep the last three rules; 0 for all.
    min_frame_share: share of a clip's frames in which they must be kept.

  Cameras:
    num_cameras: C, evenly spaced in azimuth, each moved by up to azimuth_jitter_deg.
    width, height: image size in px.
    focal: focal length / longer side.
    center_jitter: largest shift of the principal point / longer side.
    azimuth_deg: of camera 0, from the world's x toward y.
    elevation_deg: of the camera as seen from its target.
    roll_deg: about the line of sight.
    distance_mm: camera to target.
    target_height_mm, target_jitter_mm: what cameras look at: a height over the world's origin,
      moved by up to the jitter along x and y, for each camera apart.

  Moving cameras (clips only):
    camera_motion: any of 'orbit', 'dolly', 'handheld' together; empty for static ones.
    orbit_deg_per_s: speed about the target, in a random sense.
    dolly_mm_per_s: peak speed toward and from the target, inside distance_mm.
    handheld_mm, handheld_deg: RMS sway of the camera's position (each axis) and of its aim.

  Raises:
    ValueError: one line that names the field, what it allows and what it got.
  """

  max_people: int = 4
  min_people: int = 1
  pose_source: Literal['artificial', 'motion'] = 'artificial'
  limits: limits_lib.JointLimits = limits_lib.PAPER
  families: tuple[Family, ...] = ALL_FAMILIES
  body_scale: Range = (1.0, 1.0)
  bone_variation: float = 0.0

  placement: Literal['frustum', 'room'] = 'frustum'
  yaw_deg: Range = (-180.0, 180.0)
  side_lean_deg: Range = (-20.0, 20.0)
  forward_lean_deg: Range = (-20.0, 45.0)
  room_mm: Range = (5000.0, 5000.0)
  candidates: int = 8
  min_pelvis_distance_mm: float = 500.0
  min_pelvis_distance_px: float = 0.0
  body_gap_mm: float = 0.0
  pelvis_margin: float = 0.05
  depth_mm: Range = (1500.0, 8000.0)
  min_joint_share: float = 0.7
  min_views: int = 0
  min_frame_share: float = 1.0

  num_cameras: int = 1
  width: int = 224
  height: int = 224
  focal: Range = (1.0, 1.0)
  center_jitter: float = 0.0
  azimuth_deg: Range = (-180.0, 180.0)
  elevation_deg: Range = (0.0, 0.0)
  roll_deg: Range = (0.0, 0.0)
  distance_mm: Range = (4000.0, 6000.0)
  target_height_mm: Range = (900.0, 900.0)
  target_jitter_mm: float = 0.0
  azimuth_jitter_deg: float = 0.0

  camera_motion: tuple[CameraMotion, ...] = ()
  orbit_deg_per_s: Range = (5.0, 20.0)
  dolly_mm_per_s: Range = (100.0, 500.0)
  handheld_mm: float = 15.0
  handheld_deg: float = 0.5

  @property
  def longer_side(self) -> int:
    return max(self.width, self.height)

  @property
  def bodies_vary(self) -> bool:
    return self.body_scale != (1.0, 1.0) or self.bone_variation > 0

  @property
  def required_views(self) -> int:
    return self.min_views or self.num_cameras

  def __post_init__(self):
    for field in dataclasses.fields(self):
      value = getattr(self, field.name)
      # Lists come from config files; they would make the config unhashable.
      if isinstance(value, list):
        object.__setattr__(self, field.name, tuple(value))
    for name, (low, high) in _COUNTS.items():
      _require(_is_integer(getattr(self, name)), self, name, 'an integer')
      _require_in(self, name, low, high)
    for name, (low, high) in _SCALARS.items():
      _require(_is_number(getattr(self, name)), self, name, 'a finite number')
      _require_in(self, name, low, high)
    for name, (low, high) in _RANGES.items():
      _require_range(self, name, low, high)
    for name, allowed in (
      ('pose_source', ('artificial', 'motion')), ('placement', ('frustum', 'room')),
    ):
      _require(getattr(self, name) in allowed, self, name, f'one of {allowed}')
    self._check_sets()
    self._check_together()

  def _check_sets(self):
    motions = typing.get_args(CameraMotion)
    _require(
      isinstance(self.camera_motion, tuple)
      and all(motion in motions for motion in self.camera_motion),
      self, 'camera_motion', f'a tuple of {motions}',
    )
    _require(
      isinstance(self.families, tuple) and len(self.families) > 0
      and all(isinstance(family, Family) for family in self.families),
      self, 'families', 'a non-empty tuple of motion_families.Family',
    )
    _require(
      isinstance(self.limits, limits_lib.JointLimits), self, 'limits', 'a limits.JointLimits'
    )
    extents = self.room_mm
    _require(
      isinstance(extents, tuple) and len(extents) == 2
      and all(_is_number(extent) and LEAST_ROOM_MM <= extent <= 100_000.0 for extent in extents),
      self, 'room_mm', 'two extents within 100..100000',
    )

  def _check_together(self):
    _require(self.min_people <= self.max_people, self, 'min_people', f'<= {self.max_people}')
    _require(self.min_views <= self.num_cameras, self, 'min_views', f'<= {self.num_cameras}')
    lowest = self.target_height_mm[0] + min(
      distance * math.sin(math.radians(self.elevation_deg[0])) for distance in self.distance_mm
    )
    _require(
      self.placement != 'room' or lowest > 0, self, 'elevation_deg',
      'no camera under the floor (target_height_mm + distance_mm * sin elevation > 0)',
    )


def between(draws: jax.Array, limits: Range) -> jax.Array:
  """Maps uniform numbers in [0, 1), any shape, to a range (low, high)."""
  return limits[0] + (limits[1] - limits[0]) * draws


def _is_number(value: object) -> bool:
  return (
    isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)
  )


def _is_integer(value: object) -> bool:
  return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def _require(condition: bool, config: SceneConfig, name: str, allowed: str):
  if not condition:
    raise ValueError(f'SceneConfig.{name}: expected {allowed}, got {getattr(config, name)!r}')


def _require_in(config: SceneConfig, name: str, low: float, high: float):
  _require(low <= getattr(config, name) <= high, config, name, f'a value within {low}..{high}')


def _require_range(config: SceneConfig, name: str, low: float, high: float):
  value = getattr(config, name)
  ordered = (
    isinstance(value, tuple) and len(value) == 2 and all(_is_number(end) for end in value)
    and low <= value[0] <= value[1] <= high
  )
  _require(ordered, config, name, f'(low, high) with {low} <= low <= high <= {high}')
