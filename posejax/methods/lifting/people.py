"""The poses that lifting learns from and is measured on: stages `poses`, `validation`, `test`.

  poses       standing people in world axes, of motion families, of a folder of motion capture or
              of a copy of CHI3D, which also gives pairs before their own cameras
  validation, test   views of held-out poses: single people, and scenes of two to five

Training sees 2D alone: `draw` projects a pose anew in each step. Of the 3D poses it knows, as the
published methods do, the relative bone lengths of the skeleton in use, and nothing else; a body's
mean size (`body`) gives results their millimetres. Lengths in mm, 2D in tangents; "normalised" is
tangents / (c · s̄), s̄ the training set's mean pelvis–head-top distance.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import captured_actions, chi3d_split
from posejax.data.captured_poses import CapturedPosesError
from posejax.geometry import kinematics
from posejax.geometry.skeleton import J17
from posejax.losses.lifting import relative_bones
from posejax.methods.base import Product, StagePlan
from posejax.synth import motions, pose_views
from posejax.synth.motion_families import TEST_FAMILIES, TRAIN_FAMILIES, Family
from posejax.synth.poses import sample_local_poses

SKELETON = J17
FEET = tuple(SKELETON.index(name) for name in ('r_foot', 'l_foot'))
HEAD, NECK = SKELETON.index('head_top'), SKELETON.index('neck')
PEOPLE = (2, 3, 4, 5)  # of the scenes that are measured
SHOTS = 8  # pictures of a camera that stands still
REAL = 'chi3d_2'  # scenes that real cameras saw

_POSE_FIELDS = (
  'data.mocap', 'data.name_part', 'data.held_out', 'data.held_out_validation', 'data.chi3d',
  'data.chi3d_validation', 'data.artificial', 'data.train', 'data.validation', 'data.test',
)
VIEW_FIELDS = tuple(f'data.{name}' for name in (
  'bone_spread', 'size_spread', 'elevation_deg', 'distance_mm', 'reach_mm', 'rectify',
))
_STREAMS = {'train': 0, 'validation': 1, 'test': 2}
_PER_CALL = 2048
_UNIT_VIEWS = 4096
_NEAREST_MM = 500.0


def plan() -> StagePlan:
  """The stage of world poses."""
  return StagePlan(
    'poses', fields=(*_POSE_FIELDS, *VIEW_FIELDS), make=make_poses,
    files=('data.mocap', 'data.chi3d'),
  )


def set_plan(name: str) -> StagePlan:
  """The stage of a set to measure on."""

  def make(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Product:
    return Product(arrays=views_of(config, products['poses'].arrays, name))

  return StagePlan(
    name, fields=(*VIEW_FIELDS, 'scenes.single', 'scenes.count', f'data.{name}'), reads=('poses',),
    make=make,
  )


def cameras(config: ml_collections.ConfigDict) -> pose_views.CameraRange:
  """Where the cameras stand."""
  low, high = np.deg2rad(config.data.elevation_deg)
  return pose_views.CameraRange((float(low), float(high)), tuple(config.data.distance_mm))


def make_poses(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Product:
  """World poses of the three sets and what the training set says of the skeleton.

  Returns:
    train, validation, test (N, J, 3) mm; ratios (L,) mean relative bone lengths; unit () s̄ in
    tangents, trunk () the same of pelvis and neck; body () mm, mean length of all bones together;
    mean (J, 3) mm, the mean training pose facing x. Of CHI3D also, for the two held-out sets,
    `<set>_pairs_joints` (N, 2, J, 3), `_rotation` (N, C, 3, 3), `_translation` (N, C, 3).

  Raises:
    CapturedPosesError: the folder of motion capture or the copy of CHI3D cannot be used.
  """
  del products
  data, pairs = config.data, {}
  most = max(data.train, data.validation, data.test)
  if data.mocap or data.chi3d:
    if data.chi3d:
      poses, pairs = chi3d_split.read_split(data.chi3d, data.chi3d_validation, most)
    else:
      poses = captured_actions.read_split(
        data.mocap, data.name_part, data.held_out_validation, data.held_out, most
      )
    sets = {name: spread_out(rows, data[name]) for name, rows in poses._asdict().items()}
  else:
    sets = {
      name: _moving(config, name, TEST_FAMILIES if name == 'test' else TRAIN_FAMILIES)
      for name in _STREAMS
    }
  train = jnp.asarray(sets['train'])
  keys = jax.random.split(jax.random.key(config.seed), _UNIT_VIEWS)
  drawn = jax.jit(lambda p, k: jax.vmap(lambda key: rays_of(config, p, key))(k))(train, keys)
  return Product(arrays={
    **{name: np.asarray(poses, np.float32) for name, poses in sets.items()},
    'ratios': np.asarray(relative_bones(train, SKELETON.limbs).mean(0)),
    'unit': np.asarray(jnp.linalg.norm(drawn[:, HEAD], axis=-1).mean()),
    'trunk': np.asarray(jnp.linalg.norm(drawn[:, NECK], axis=-1).mean()),
    'body': np.asarray(total_bones(train).mean()),
    'mean': facing(np.asarray(train)).mean(0).astype(np.float32),
    **{
      f'{name}_pairs_{field}': spread_out(rows, data[name])
      for name, frames in pairs.items() for field, rows in frames._asdict().items()
    },
  })


def total_bones(poses: jax.Array) -> jax.Array:
  """(..., J, 3) → (...) lengths of all bones together."""
  ends = np.array(SKELETON.limbs)
  return jnp.linalg.norm(poses[..., ends[:, 1], :] - poses[..., ends[:, 0], :], axis=-1).sum(-1)


def spread_out(poses: np.ndarray, most: int) -> np.ndarray:
  """At most so many poses, evenly from all."""
  if len(poses) <= most:
    return poses
  return poses[np.linspace(0, len(poses) - 1, most).round().astype(int)]


def facing(poses: np.ndarray) -> np.ndarray:
  """(N, J, 3) turned about z so that the hips lie along y, the left one first; pelvis at 0."""
  across = poses[:, SKELETON.index('l_hip')] - poses[:, SKELETON.index('r_hip')]
  angle = np.pi / 2 - np.arctan2(across[:, 1], across[:, 0])
  s, c = np.sin(angle)[:, None], np.cos(angle)[:, None]
  x, y, z = np.moveaxis(poses - poses[:, :1], -1, 0)
  return np.stack([c * x - s * y, s * x + c * y, z], -1)


def _moving(
  config: ml_collections.ConfigDict, name: str, families: tuple[Family, ...]
) -> np.ndarray:
  """Frames of motions (and a share of artificial poses) standing on the floor."""

  @jax.jit
  def draw(key: jax.Array) -> jax.Array:
    keys = jax.random.split(key, _PER_CALL)
    return jax.vmap(lambda k: _standing(config, k, families))(keys)

  count, parts = config.data[name], []
  for call in range(-(-count // _PER_CALL)):
    key = jax.random.fold_in(jax.random.key(3 * config.seed + _STREAMS[name]), call)
    parts.append(np.asarray(draw(key)))
  return np.concatenate(parts)[:count]


def _standing(
  config: ml_collections.ConfigDict, key: jax.Array, families: tuple[Family, ...]
) -> jax.Array:
  motion_key, pose_key, pick = jax.random.split(key, 3)
  motion = motions.sample_motion(motion_key, 1, families=families)
  pose = motions.joints_world(motion)[0]
  if config.data.artificial:
    local = sample_local_poses(pose_key, 1, skeleton=SKELETON)[0]
    other = kinematics.forward_kinematics(local, kinematics.bone_lengths(SKELETON))
    other = other.at[:, 2].add(-other[:, 2].min())
    pose = jnp.where(jax.random.uniform(pick) < config.data.artificial, other, pose)
  return pose


def rays_of(
  config: ml_collections.ConfigDict, poses: jax.Array, key: jax.Array
) -> jax.Array:
  """One 2D pose (J, 2) in tangents, of a random pose, body, place and camera."""
  pick, bones, key = jax.random.split(key, 3)
  pose = jnp.asarray(poses)[jax.random.randint(pick, (), 0, len(poses))]
  data = config.data
  if data.bone_spread or data.size_spread:
    pose = pose_views.vary_bones(bones, pose, SKELETON, data.bone_spread, data.size_spread)
  views = pose_views.sample_person(key, pose, cameras(config), data.reach_mm)
  return centred(config, views.rays, views.rectified)[0]


def centred(
  config: ml_collections.ConfigDict, rays: jax.Array, rectified: jax.Array
) -> jax.Array:
  """(..., J, 2) tangents about the pelvis: as turned onto the axis, or, published, subtracted."""
  return rectified if config.data.rectify else rays - rays[..., :1, :]


def draw(config: ml_collections.ConfigDict, frozen: Any, keys: jax.Array) -> jax.Array:
  """A batch of normalised 2D poses (b, J, 2)."""
  rays = jax.vmap(lambda key: rays_of(config, frozen['train'], key))(keys)
  return rays / (config.c * frozen['unit'])


def views_of(
  config: ml_collections.ConfigDict, poses: dict[str, np.ndarray], name: str
) -> dict[str, np.ndarray]:
  """Single people and scenes of a set.

  Returns:
    For each group, `single`, `apart_2` ... `apart_5`, `close_2`, `side_2`, and of CHI3D `chi3d_2`:
    `<group>_levelled`, `_rays`, `_rectified`, `_depth`, `_distance`, `_theta`, `_pitch` of
    `pose_views.Views` with leading axis S.
  """
  pool, data = jnp.asarray(poses[name]), config.data
  base = jax.random.fold_in(jax.random.key(config.seed), 100 + _STREAMS[name])
  arrays: dict[str, np.ndarray] = {}

  def single(key: jax.Array) -> pose_views.Views:
    body_key, key = jax.random.split(key)
    return pose_views.sample_person(key, _body(config, pool, body_key), cameras(config),
                                    data.reach_mm)

  def group(layout: pose_views.Layout, count: int):
    return lambda key: _group(config, pool, layout, count, key)

  makers = {'single': (single, config.scenes.single)}
  for layout, count in groups():
    makers[f'{layout}_{count}'] = (group(layout, count), config.scenes.count)
  for number, (label, (make, count)) in enumerate(makers.items()):
    keys = jax.random.split(jax.random.fold_in(base, number), count)
    arrays |= _named(label, jax.jit(jax.vmap(make))(keys))
  if f'{name}_pairs_joints' in poses:
    frames = chi3d_split.Pairs(*(
      poses[f'{name}_pairs_{field}'] for field in chi3d_split.Pairs._fields
    ))
    arrays |= _named(REAL, real_views(frames, config.scenes.count))
  return arrays


def _body(config: ml_collections.ConfigDict, pool: jax.Array, key: jax.Array) -> jax.Array:
  pick, bones = jax.random.split(key)
  pose = pool[jax.random.randint(pick, (), 0, len(pool))]
  # Of motion capture only sizes vary here: held-out people keep their own proportions.
  return pose_views.vary_bones(bones, pose, SKELETON, 0.0, config.data.size_spread)


def _group(
  config: ml_collections.ConfigDict, pool: jax.Array, layout: pose_views.Layout, count: int,
  key: jax.Array, camera: jax.Array | None = None,
) -> pose_views.Views:
  body_key, key = jax.random.split(key)
  people = jax.vmap(lambda k: _body(config, pool, k))(jax.random.split(body_key, count))
  return pose_views.sample_group(key, people, cameras(config), layout, camera)


def still_views(
  config: ml_collections.ConfigDict, poses: dict[str, np.ndarray], name: str
) -> pose_views.Views:
  """Pairs before cameras that stand still: `SHOTS` pictures of each, other people in each.

  Returns:
    Views with leading axis S, `scenes.count` or a little more, a camera's behind each other.
  """
  pool, cameras_count = jnp.asarray(poses[name]), -(-config.scenes.count // SHOTS)
  base = jax.random.fold_in(jax.random.key(config.seed), 200 + _STREAMS[name])
  keys = jax.random.split(base, cameras_count * SHOTS)
  shared = jax.random.split(jax.random.fold_in(base, 1), cameras_count)
  make = jax.jit(jax.vmap(functools.partial(_group, config, pool, 'apart', 2)))
  return jax.tree.map(np.asarray, make(keys, shared[np.arange(len(keys)) // SHOTS]))


def _named(label: str, views: pose_views.Views) -> dict[str, np.ndarray]:
  return {f'{label}_{field}': np.asarray(x) for field, x in views._asdict().items()}


def real_views(frames: chi3d_split.Pairs, most: int) -> pose_views.Views:
  """Pairs as their own cameras saw them, the cameras in turns; no lens's distortion is left.

  Args:
    frames: of a set.
    most: largest number of views, evenly from the frames.

  Returns:
    Views with leading axis S; left out are those with a joint nearer than `_NEAREST_MM` to the
    camera's plane.

  Raises:
    CapturedPosesError: none is left.
  """
  chosen = spread_out(np.arange(len(frames.joints)), most)
  camera = np.arange(len(chosen)) % frames.rotation.shape[1]
  joints = frames.joints[chosen].astype(np.float64)
  # In NumPy's float64: places are metres away from the world's origin.
  R, t = (x[chosen, camera].astype(np.float64) for x in (frames.rotation, frames.translation))
  seen = np.einsum('sab,spjb->spja', R, joints) + t[:, None, None]
  center = -np.einsum('sba,sb->sa', R, t)
  axis = R[:, 2]
  ahead = axis[:, :2] / np.maximum(np.linalg.norm(axis[:, :2], axis=-1, keepdims=True), 1e-9)
  x, y, z = np.moveaxis(joints - center[:, None, None], -1, 0)
  fx, fy = ahead.T[..., None, None]
  levelled = np.stack([fy * x - fx * y, -z, fx * x + fy * y], -1)
  pitch = -np.arcsin(np.clip(axis[:, 2], -1, 1))
  good = seen[..., 2].min((1, 2)) > _NEAREST_MM
  if not good.any():
    raise CapturedPosesError('no camera of CHI3D has both people before it; check its cameras')
  return jax.jit(jax.vmap(pose_views.of_points))(
    *(jnp.asarray(rows[good], jnp.float32) for rows in (levelled, seen, pitch))
  )


def groups() -> tuple[tuple[pose_views.Layout, int], ...]:
  """(layout, people) of the scenes that are made."""
  return (('close', 2), ('side', 2), *(('apart', count) for count in PEOPLE))


def measured(arrays: dict[str, np.ndarray]) -> tuple[str, ...]:
  """Labels of the scenes of a set's product, real ones last."""
  labels = (*(f'{layout}_{count}' for layout, count in groups()), REAL)
  return tuple(label for label in labels if f'{label}_rays' in arrays)


def read_views(arrays: dict[str, np.ndarray], label: str) -> pose_views.Views:
  """Views of a set's product."""
  return pose_views.Views(*(
    np.asarray(arrays[f'{label}_{field}']) for field in pose_views.Views._fields
  ))
