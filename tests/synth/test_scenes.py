"""Scenes keep their rules, and their projections, rotations and rooms are what plain NumPy says."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from scipy.stats import chisquare

from posejax.geometry import kinematics
from posejax.geometry.skeleton import J17
from posejax.synth import motion_ground, scenes
from posejax.synth.motion_families import Family
from posejax.synth.scene_config import SceneConfig

PARENTS = np.array(J17.parents)
NUM = 512

# Everything random, more people than fit comfortably, often nobody.
FRUSTUM = SceneConfig(
  max_people=4, min_people=0, width=160, height=120, focal=(0.8, 1.5), center_jitter=0.05,
  side_lean_deg=(-30.0, 30.0), forward_lean_deg=(-60.0, 60.0), elevation_deg=(-20.0, 40.0),
  roll_deg=(-10.0, 10.0), min_pelvis_distance_px=8.0, depth_mm=(1500.0, 6000.0), candidates=5,
  min_joint_share=0.8, pelvis_margin=0.1,
)
ROOM = SceneConfig(
  placement='room', max_people=3, min_people=2, num_cameras=3, min_views=2, width=200, height=200,
  room_mm=(4000.0, 3000.0), elevation_deg=(0.0, 45.0), azimuth_jitter_deg=20.0, body_gap_mm=120.0,
  min_pelvis_distance_mm=400.0, distance_mm=(4000.0, 6000.0), body_scale=(0.7, 1.1),
  bone_variation=0.1, candidates=6, depth_mm=(2000.0, 9000.0),
)
CLIP = SceneConfig(
  placement='room', pose_source='motion', max_people=3, min_people=3, num_cameras=2,
  camera_motion=('orbit', 'handheld'), families=(Family.WALK, Family.WAVE, Family.MIXTURE),
  room_mm=(4000.0, 4000.0), elevation_deg=(0.0, 30.0), distance_mm=(4500.0, 6000.0),
  min_views=1, min_frame_share=0.8, min_pelvis_distance_mm=600.0, body_scale=(0.8, 1.1),
)
CROWD = dataclasses.replace(
  FRUSTUM, min_people=4, min_pelvis_distance_mm=1800.0, min_pelvis_distance_px=0.0, candidates=5
)
FRAMES, FPS = 24, 12.0
# Compilation is most of this suite's time; `sample` alone keeps XLA's default level.
QUICK = {'xla_backend_optimization_level': 1}


@functools.partial(jax.jit, static_argnums=1)
def sample(keys, config):
  return jax.vmap(lambda key: scenes.sample_scene(key, config))(keys)


@functools.partial(jax.jit, static_argnums=1, compiler_options=QUICK)
def sample_clips(keys, config):
  return jax.vmap(lambda key: scenes.sample_scene_sequence(key, config, FRAMES, FPS))(keys)


def keys(seed, num):
  return jax.random.split(jax.random.key(seed), num)


def numpy(scene):
  return jax.tree.map(np.asarray, scene)


@pytest.fixture(scope='module')
def frustum():
  return numpy(sample(keys(0, NUM), FRUSTUM))


@pytest.fixture(scope='module')
def crowd(frustum):
  """The poses of `frustum`, given, where they do not all fit; two of them are no poses."""
  local = frustum.local.copy()
  local[0, 1, 5, 2], local[1, 0, 3, 0] = np.nan, np.inf
  place = jax.vmap(lambda key, local: scenes.sample_scene(key, CROWD, local))
  return numpy(jax.jit(place, compiler_options=QUICK)(keys(0, NUM), local))


@pytest.fixture(scope='module')
def room():
  return numpy(sample(keys(1, NUM), ROOM))


@pytest.fixture(scope='module')
def clips():
  return numpy(sample_clips(keys(2, 48), CLIP))


def to_camera(scene):
  """X_cam = R X_world + t, in float64: (B, [T], C, P, J, 3)."""
  rotation = scene.cameras.rotation.astype(float)
  turned = np.einsum('...cij,...pnj->...cpni', rotation, scene.joints_world.astype(float))
  return turned + scene.cameras.translation[..., :, None, None, :]


def pixels(scene, points):
  focal, center = (a[..., :, None, None, :] for a in scene.cameras.intrinsics)
  return focal * points[..., :2] / points[..., 2:] + center


def pairs(scene):
  """(B, P, P) bool: two different valid persons."""
  valid = scene.valid
  return valid[:, :, None] & valid[:, None] & ~np.eye(valid.shape[1], dtype=bool)


@pytest.mark.parametrize('which', ['frustum', 'room', 'clips'])
def test_views_are_what_numpy_projects(which, request):
  scene = request.getfixturevalue(which)
  middle = (slice(None),) + (None,) * (2 if which == 'clips' else 1)
  valid = np.broadcast_to(scene.valid[middle], scene.visible.shape)
  points = to_camera(scene)
  np.testing.assert_allclose(scene.joints_camera[valid], points[valid], atol=0.01)
  # A pixel is 5 to 40 mm there; near the camera plane float32 leaves less.
  near = points[..., 2].min(-1) > 300
  expected = pixels(scene, points)
  np.testing.assert_allclose(
    scene.joints_image[valid & near], expected[valid & near], atol=5e-3, rtol=1e-5
  )
  np.testing.assert_allclose(scene.root_depth, scene.joints_camera[..., 0, 2], rtol=1e-6)
  np.testing.assert_array_equal(scene.root_px, scene.joints_image[..., 0, :])


@pytest.mark.parametrize('which', ['frustum', 'room', 'clips'])
def test_sincos_local_and_canonical_rebuild_the_view(which, request):
  scene = request.getfixturevalue(which)
  # SciPy's intrinsic z-x-y, then the axes of a person upright and facing the camera: forward is
  # -z, left is x, up is -y.
  angles = np.arctan2(scene.sincos[..., 0::2], scene.sincos[..., 1::2])
  euler = Rotation.from_euler('ZXY', angles.reshape(-1, 3)).as_matrix()
  turn = np.array([[0, 1, 0], [0, 0, -1], [-1, 0, 0]]) @ euler.reshape(*angles.shape[:-1], 3, 3)
  canonical = scene.canonical[..., None, :, :, :]  # the same for every camera
  rebuilt = np.einsum('...ij,...nj->...ni', turn, canonical)
  relative = scene.joints_camera - scene.joints_camera[..., :1, :]
  np.testing.assert_allclose(relative, rebuilt, atol=0.02)
  # canonical is canonical: the neck straight up, the hips in the plane x = 0.
  np.testing.assert_allclose(scene.canonical[..., 1, :2], 0, atol=1e-2)
  np.testing.assert_allclose(scene.canonical[..., [9, 12], 0], 0, atol=1e-2)
  np.testing.assert_allclose(np.linalg.norm(scene.local[..., 1:, :], axis=-1), 1, atol=1e-5)


@pytest.mark.parametrize('which', ['frustum', 'room', 'clips'])
def test_bones_have_their_lengths_in_the_world(which, request):
  scene = request.getfixturevalue(which)
  bones = scene.joints_world[..., 1:, :] - scene.joints_world[..., PARENTS[1:], :]
  lengths = scene.bone_lengths[:, :, 1:]
  lengths = lengths[:, None] if which == 'clips' else lengths
  np.testing.assert_allclose(
    np.linalg.norm(bones, axis=-1), np.broadcast_to(lengths, bones.shape[:-1]), atol=0.02
  )
  standard = kinematics.bone_lengths()
  if which == 'frustum':
    np.testing.assert_allclose(scene.bone_lengths, np.broadcast_to(standard, (NUM, 4, 17)))
  else:
    swapped = scene.bone_lengths[..., list(J17.flip_permutation)]
    np.testing.assert_array_equal(scene.bone_lengths, swapped)


def test_bodies_vary_in_their_ranges(room):
  ratios = room.bone_lengths[:, :, 1:] / kinematics.bone_lengths()[1:]
  # Scale 0.7..1.1 times each bone's own 0.9..1.1.
  assert 0.63 <= ratios.min() < 0.66
  assert 1.17 < ratios.max() <= 1.21 + 1e-6
  within = ratios.max(-1) / ratios.min(-1)
  assert 1.1 < within.mean() < 1.1 / 0.9


def test_counts_are_uniform_and_nearly_everyone_finds_a_place(frustum, room):
  counts = np.bincount(frustum.requested.sum(1), minlength=5)
  assert counts.shape == (5,)
  assert chisquare(counts).pvalue > 1e-3
  assert set(room.requested.sum(1)) == {2, 3}
  for scene in (frustum, room):
    assert not (scene.valid & ~scene.requested).any()
    # The asked-for slots are the first ones.
    assert (np.diff(scene.requested.astype(int), axis=1) <= 0).all()
  assert frustum.valid.sum() / frustum.requested.sum() > 0.85
  assert room.valid.sum() / room.requested.sum() > 0.85


@pytest.mark.parametrize('which', ['frustum', 'room'])
def test_visibility_rules_hold(which, request):
  scene, config = request.getfixturevalue(which), {'frustum': FRUSTUM, 'room': ROOM}[which]
  points = to_camera(scene)
  image = pixels(scene, points)
  size = np.array([config.width, config.height])
  inside = (points[..., 2] > 10) & ((image > -0.5) & (image < size - 0.5)).all(-1)
  valid = np.broadcast_to(scene.valid[:, None], scene.visible.shape)
  # A joint within 0.01 px of the edge may fall on either side in float32.
  edge = np.minimum(np.abs(image + 0.5), np.abs(image - size + 0.5)).min(-1) < 0.01
  np.testing.assert_array_equal(scene.in_frame | edge, (inside & valid[..., None]) | edge)
  root = image[..., 0, :]
  margin = config.pelvis_margin * max(size)
  depth = points[..., 0, 2]
  kept = (
    (root >= margin - 0.51).all(-1) & (root <= size - 0.49 - margin).all(-1)
    & (depth >= config.depth_mm[0] - 0.1) & (depth <= config.depth_mm[1] + 0.1)
    & (inside.mean(-1) >= config.min_joint_share - 0.06 * edge.any(-1))
  )
  assert not (scene.visible & ~kept).any()
  assert not (scene.visible & ~valid).any()
  views = scene.visible.sum(1)
  assert (views[scene.valid] >= (config.min_views or config.num_cameras)).all()
  if which == 'room':
    assert (views[scene.valid] < 3).any()


def test_people_keep_their_distances(frustum, room):
  pelvis = frustum.joints_world[:, :, 0].astype(float)
  apart = np.linalg.norm(pelvis[:, :, None] - pelvis[:, None], axis=-1)[pairs(frustum)]
  assert apart.min() >= FRUSTUM.min_pelvis_distance_mm - 0.1
  root = frustum.root_px[:, 0]
  apart = np.linalg.norm(root[:, :, None] - root[:, None], axis=-1)[pairs(frustum)]
  assert 8 - 1e-2 <= apart.min() < 12

  floor = room.joints_world[:, :, 0, :2].astype(float)
  apart = np.linalg.norm(floor[:, :, None] - floor[:, None], axis=-1)[pairs(room)]
  assert 400 - 0.1 <= apart.min() < 500
  middles = (room.joints_world[:, :, 1:] + room.joints_world[:, :, PARENTS[1:]]) / 2
  body = np.concatenate([room.joints_world, middles], 2).astype(float)
  for a, b in ((0, 1), (0, 2), (1, 2)):
    gap = np.linalg.norm(body[:, a, :, None] - body[:, b, None], axis=-1).min((1, 2))
    assert gap[room.valid[:, a] & room.valid[:, b]].min() >= ROOM.body_gap_mm - 0.1


def test_people_stand_on_the_floor_of_the_room(room):
  valid = room.valid
  x, y = np.moveaxis(room.joints_world[:, :, 0, :2], -1, 0)
  assert np.abs(x[valid]).max() <= 2000 + 0.1
  assert np.abs(y[valid]).max() <= 1500 + 0.1
  assert np.histogram(x[valid], 4, (-2000, 2000))[0].min() > 0.1 * valid.sum()
  height = room.joints_world[valid][..., 2] - motion_ground.clearances()[:17]
  assert height.min() > -0.1
  # Heels count as well: with them everybody touches the floor.
  points = motion_ground.contact_points(room.joints_world[valid])[..., 2]
  lowest = np.asarray(points - motion_ground.clearances()).min(1)
  np.testing.assert_allclose(lowest, 0, atol=0.1)


def test_a_foot_straight_along_its_shank_stands_as_well():
  """An empty row means straight on, so the legs point up; the heel has no direction there."""
  straight = kinematics.forward_kinematics(jnp.zeros((17, 3)), kinematics.bone_lengths())
  points = np.asarray(motion_ground.contact_points(straight[None]))
  assert np.isfinite(points).all()
  np.testing.assert_allclose(points[0, 17:, 2], straight[np.array([11, 14]), 2] + 9, atol=1)


def test_rotations_are_drawn_from_their_ranges(frustum):
  euler = Rotation.from_matrix(frustum.body_rotation.reshape(-1, 3, 3)).as_euler('ZXY', True)
  yaw, side, forward = euler.T
  assert np.histogram(yaw, 8, (-180, 180))[0].min() > 0.8 * len(yaw) / 8
  for angles, limit in ((side, 30), (forward, 60)):
    assert 0.98 * limit < np.abs(angles).max() <= limit + 1e-2
    assert abs(angles.mean()) < 0.05 * limit


@pytest.mark.parametrize('which', ['frustum', 'room'])
def test_cameras_reach_their_elevations(which, request):
  scene, config = request.getfixturevalue(which), {'frustum': FRUSTUM, 'room': ROOM}[which]
  elevation = np.degrees(np.arcsin(-scene.cameras.rotation[:, :, 2, 2]))
  low, high = config.elevation_deg
  assert low - 1e-2 <= elevation.min() < low + 1
  assert high - 1 < elevation.max() <= high + 1e-2


def test_joints_triangulate_from_all_cameras(room):
  """Linear: each view gives two planes through the joint, u P_3 - P_1 and v P_3 - P_2."""
  scene = jax.tree.map(lambda array: array[:40].astype(float), room)
  K = np.zeros((40, 3, 3, 3))
  K[..., 0, 0], K[..., 1, 1] = np.moveaxis(scene.cameras.intrinsics.focal, -1, 0)
  K[..., :2, 2], K[..., 2, 2] = scene.cameras.intrinsics.center, 1
  outer = np.concatenate([scene.cameras.rotation, scene.cameras.translation[..., None] / 1000], -1)
  P = (K @ outer)[:, :, None, None]  # metres keep the equations well scaled
  planes = scene.joints_image[..., :, None] * P[..., 2:, :] - P[..., :2, :]
  planes = np.moveaxis(planes, 1, 3).reshape(40, 3, 17, 6, 4)
  solution = np.linalg.svd(planes)[2][..., -1, :]
  found = 1000 * solution[..., :3] / solution[..., 3:]
  # A joint beside a camera may lie behind it: then its pixel is a stand-in.
  ahead = (scene.joints_camera[..., 2] > 500).all(1) & room.valid[:40, :, None]
  assert ahead.mean() > 0.7
  np.testing.assert_allclose(found[ahead], scene.joints_world[ahead], atol=0.5)


def test_one_key_gives_one_scene_bit_for_bit(frustum):
  compilations = sample._cache_size()
  fields = {field.name: getattr(FRUSTUM, field.name) for field in dataclasses.fields(FRUSTUM)}
  again = numpy(sample(keys(0, NUM), SceneConfig(**fields)))
  assert sample._cache_size() == compilations  # an equal config is the same static argument
  jax.tree.map(np.testing.assert_array_equal, again, frustum)
  order = np.random.default_rng(0).permutation(NUM)
  shuffled = numpy(sample(keys(0, NUM)[order], FRUSTUM))
  jax.tree.map(lambda a, b: np.testing.assert_array_equal(a, b[order]), shuffled, frustum)
  other = numpy(sample(keys(9, NUM), FRUSTUM))
  assert (other.joints_world != frustum.joints_world).mean() > 0.99


def test_given_poses_are_placed_as_they_are(frustum, crowd):
  np.testing.assert_array_equal(crowd.local[2:], frustum.local[2:])
  np.testing.assert_allclose(crowd.canonical[2:], frustum.canonical[2:], atol=0.01)
  # Poses have a key of their own: the other draws are those of the same key without given poses.
  np.testing.assert_allclose(crowd.body_rotation, frustum.body_rotation, atol=1e-6)
  np.testing.assert_allclose(crowd.cameras.rotation, frustum.cameras.rotation, atol=1e-6)


def test_poses_that_are_not_finite_are_left_out(crowd):
  assert not crowd.valid[0, 1]
  assert not crowd.valid[1, 0]
  assert crowd.valid[0, 0]
  assert crowd.valid[1, 1]


def test_a_crowd_leaves_people_out_and_may_share_map_cells(crowd):
  assert crowd.requested.all()
  placed = crowd.valid.sum(1)
  assert (placed < 4).mean() > 0.2
  assert (placed > 0).mean() > 0.99
  pelvis = crowd.joints_world[:, :, 0].astype(float)
  apart = np.linalg.norm(pelvis[:, :, None] - pelvis[:, None], axis=-1)[pairs(crowd)]
  assert apart.min() >= CROWD.min_pelvis_distance_mm - 0.1
  root = crowd.root_px[:, 0]
  assert np.linalg.norm(root[:, :, None] - root[:, None], axis=-1)[pairs(crowd)].min() < 8


def test_nobody_is_a_scene_too(frustum, crowd):
  empty = ~frustum.requested.any(1)
  assert empty.any()
  assert not frustum.in_frame[empty].any()
  assert not frustum.visible[empty].any()
  assert all(np.isfinite(array).all() for array in jax.tree.leaves((frustum, crowd)))


def test_clips_look_like_scenes_at_every_frame(clips):
  single = jax.eval_shape(lambda key: scenes.sample_scene(key, CLIP), jax.random.key(0))
  clip = jax.tree.map(lambda array: array[0], clips)
  at = scenes.scene_at(clip, 0)
  assert jax.tree.structure(single) == jax.tree.structure(at)
  for wanted, got in zip(jax.tree.leaves(single), jax.tree.leaves(at), strict=True):
    assert (wanted.shape, wanted.dtype) == (got.shape, got.dtype)
  for name, value in clips._asdict().items():
    for array in jax.tree.leaves(value):
      assert np.isfinite(array).all()
      assert (array.shape[1] == FRAMES) == (name not in scenes.STILL_FIELDS)


def test_clips_keep_people_apart_in_the_room_and_in_view(clips):
  assert clips.valid.sum() / clips.requested.sum() > 0.8
  pelvis = clips.joints_world[:, :, :, 0].astype(float)
  apart = np.linalg.norm(pelvis[:, :, :, None, :2] - pelvis[:, :, None, :, :2], axis=-1)
  assert np.moveaxis(apart, 1, -1)[pairs(clips)].min() >= 600 - 0.1
  inside = np.moveaxis(np.abs(pelvis[..., :2]).max(-1), 1, -1)
  assert inside[clips.valid].max() <= 2000 + 0.1
  views = np.moveaxis(clips.visible.any(2), 1, -1)[clips.valid]
  assert views.mean(-1).min() >= 0.8
  heights = np.moveaxis(clips.joints_world[..., 2] - motion_ground.clearances()[:17], 1, -2)
  assert heights[clips.valid].min() > -15  # the smooth maximum's slack (motion_ground)


def test_clips_move_smoothly(clips):
  world = np.moveaxis(clips.joints_world, 1, 2)[clips.valid].astype(float)
  walked = np.linalg.norm(world[:, -1, 0, :2] - world[:, 0, 0, :2], axis=-1)
  assert walked.max() > 800  # two seconds of walking
  speed = np.linalg.norm(np.diff(world, axis=1), axis=-1) * FPS
  assert speed.max() < 12_000
  assert np.median(speed.max((1, 2))) > 300
  eye = -np.einsum('...ji,...j->...i', clips.cameras.rotation, clips.cameras.translation)
  velocity = np.diff(eye, axis=1) * FPS
  assert np.linalg.norm(velocity, axis=-1).min(1).max() > 50
  assert np.linalg.norm(np.diff(velocity, axis=1), axis=-1).max() < 400  # mm/s per frame of 83 ms


def test_default_float_type_is_followed(x64):
  shapes = jax.eval_shape(lambda key: scenes.sample_scene(key, ROOM), jax.random.key(0))
  floats = {leaf.dtype for leaf in jax.tree.leaves(shapes)} - {np.dtype(bool)}
  assert floats == {np.dtype(np.float64)}


def clip_of(*args):
  return scenes.sample_scene_sequence(jax.random.key(0), *args)


@pytest.mark.parametrize(
  ('call', 'message'),
  [
    (lambda: scenes.sample_scene(keys(0, 2), FRUSTUM), r'sample_scene: key must be one key'),
    (
      lambda: scenes.sample_scene(jax.random.key(0), FRUSTUM, jnp.zeros((2, 17, 3))),
      r'local must have shape \(4, 17, 3\), got \(2, 17, 3\); vmap',
    ),
    (lambda: clip_of(FRUSTUM, 5), r"pose_source = 'motion', got 'artificial'"),
    (lambda: clip_of(CLIP, 0), r'num_frames >= 1 and fps > 0, got 0 and 30.0'),
    (lambda: clip_of(CLIP, 5, float('nan')), r'fps > 0, got 5 and nan'),
  ],
)
def test_wrong_calls_say_what_is_wrong(call, message):
  with pytest.raises(ValueError, match=message) as error:
    call()
  assert '\n' not in str(error.value)
