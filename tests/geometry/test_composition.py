"""Composition of scenes: exact where the spec says it is exact, wrong by what it predicts.

The scene: a level-horizon camera H above the ground, pitched, people of random shape standing on
the ground. World here: x right, y down, z forward from the camera, levelled; the ground is y = h.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import composition, lifting
from posejax.metrics import scenes

FEET = (1, 2)
LIMBS = ((0, 1), (0, 2), (0, 3), (3, 4))
C, UNIT, HEIGHT = 10.0, 60.0, 900.0


def bodies(count, seed=0):
  """(P, 5, 3) standing bodies: pelvis, two feet, chest, head; lower foot 1.1 below the pelvis."""
  rng = np.random.default_rng(seed)
  pose = np.array([[0, 0, 0], [-0.2, 1.1, 0], [0.2, 1.0, 0.1], [0, -0.6, 0], [0.1, -1, 0.0]])
  jitter = rng.normal(size=(count, 5, 3)) * 0.05
  jitter[:, [0, 1, 2]] = 0
  turns = lifting.turn_y(jnp.asarray(rng.uniform(-3, 3, count)))
  return np.asarray(lifting.turn(turns, jnp.asarray(pose + jitter)))


class Exact:
  """A scene with everything known, float64."""

  def __init__(self, count, pitch=0.25, camera=1.2, spread=1.5, seed=0, sizes=None):
    rng = np.random.default_rng(seed)
    sizes = np.ones(count) if sizes is None else np.asarray(sizes)
    shape = bodies(count, seed) * sizes[:, None, None]
    place = np.stack([
      rng.uniform(-spread, spread, count), camera - 1.1 * (sizes - 1),
      9 + rng.uniform(-spread, spread, count),
    ], -1)
    self.levelled = shape + place[:, None]
    self.camera = np.asarray(lifting.turn(lifting.turn_x(pitch), jnp.asarray(self.levelled)))
    self.rays = self.camera[..., :2] / self.camera[..., 2:]
    self.root = self.rays[:, 0]
    ray = self.camera[:, 0] / np.linalg.norm(self.camera[:, 0], axis=-1, keepdims=True)
    self.theta = -np.arcsin(ray @ (0, np.cos(pitch), np.sin(pitch)))
    self.valid = np.ones(count, bool)
    # Each person's pelvis brought to the distance c′ along its own ray: all a lifter can say.
    framed = lifting.turn(lifting.ray_frame(jnp.asarray(self.root)), jnp.asarray(self.camera))
    self.distance = np.linalg.norm(self.camera[:, 0], axis=-1)
    self.nominal = np.asarray(framed) * (C / self.distance)[:, None, None]
    self.depth = self.nominal[..., 2] - C

  def points(self):
    rays = lifting.rectify(jnp.asarray(self.rays), jnp.asarray(self.root))
    return composition.camera_points(rays, jnp.asarray(self.root), jnp.asarray(self.depth), C)


@functools.partial(jax.jit, static_argnames=('cue', 'share'))
def compose(points, theta, root, valid, cue='both', share=True):
  return composition.about_camera(
    points, theta, root, valid, feet=FEET, limbs=LIMBS, cue=cue, share=share
  )


def error(found, truth, valid=None):
  valid = np.ones(found.shape[0], bool) if valid is None else valid
  aligned = scenes.align(np.asarray(found)[None], truth[None], valid[None])
  return scenes.errors(aligned, truth[None], valid[None]).joint[0]


@pytest.mark.parametrize('count', [1, 2, 5])
@pytest.mark.parametrize('cue', composition.CUES)
def test_exact_scenes_are_composed_without_error(x64, count, cue):
  # Bodies differ in shape a little, so the size tells the distance only nearly.
  scene = Exact(count, seed=count)
  found = compose(scene.points(), scene.theta, scene.root, scene.valid, cue=cue)
  wrong = error(found, scene.levelled)
  assert wrong < 1e-6 if cue == 'ground' or count == 1 else wrong < 0.15
  # Levelled: feet on one ground, before any alignment.
  if cue == 'ground':
    np.testing.assert_allclose(np.ptp(np.asarray(found)[:, 1, 1]), 0, atol=1e-6)


def test_size_alone_is_exact_for_equal_bodies(x64):
  scene = Exact(3, seed=4)
  lengths = np.linalg.norm(
    scene.levelled[:, [b for _, b in LIMBS]] - scene.levelled[:, [a for a, _ in LIMBS]], axis=-1
  ).sum(1)
  scene = Exact(3, seed=4, sizes=1 / lengths)
  found = compose(scene.points(), scene.theta, scene.root, scene.valid, cue='size')
  assert error(found, scene.levelled) < 1e-6


def test_own_pitches_agree_in_an_exact_scene(x64):
  scene = Exact(4, seed=3)
  pitches = composition.pitch_of(jnp.asarray(scene.theta), jnp.asarray(scene.root))
  np.testing.assert_allclose(pitches, 0.25, atol=1e-9)
  shared, alone = (
    compose(scene.points(), scene.theta, scene.root, scene.valid, cue='ground', share=share)
    for share in (True, False)
  )
  np.testing.assert_allclose(shared, alone, atol=1e-9)
  # And the way back.
  theta = composition.elevation_of(pitches, jnp.asarray(scene.root))
  np.testing.assert_allclose(theta, scene.theta, atol=1e-5)


def test_sharing_the_pitch_averages_errors_of_the_angle(x64):
  rng = np.random.default_rng(0)
  shared, alone = [], []
  for seed in range(20):
    scene = Exact(5, seed=seed)
    theta = scene.theta + rng.normal(size=5) * np.deg2rad(3)
    for share, errors in ((True, shared), (False, alone)):
      found = compose(scene.points(), theta, scene.root, scene.valid, cue='ground', share=share)
      errors.append(error(found, scene.levelled))
  assert np.mean(shared) < 0.6 * np.mean(alone)


def test_people_who_are_not_there_change_nothing(x64):
  scene = Exact(2, seed=5)
  points = np.asarray(scene.points())
  more = np.concatenate([points, np.full((3, 5, 3), 7.0)])
  theta, root = np.append(scene.theta, [9.0] * 3), np.concatenate([scene.root, np.ones((3, 2))])
  valid = np.array([True, True, False, False, False])
  two = compose(points, scene.theta, scene.root, scene.valid)
  five = compose(more, theta, root, valid)
  np.testing.assert_allclose(five[:2], two, atol=1e-12)
  np.testing.assert_array_equal(five[2:], 0)


def test_a_camera_on_the_ground_falls_back_to_size():
  # Feet at the horizon tell no distance; nothing may become infinite.
  scene = Exact(2, camera=-1.1, pitch=0.0, seed=6)
  args = [jnp.asarray(x, jnp.float32) for x in (scene.points(), scene.theta, scene.root)]
  by_ground, by_size = (
    compose(*args, scene.valid, cue=cue) for cue in ('ground', 'size')
  )
  assert np.isfinite(by_ground).all()
  np.testing.assert_allclose(by_ground, by_size, rtol=1e-4, atol=1e-4)
  gradient = jax.grad(lambda p: compose(p, *args[1:], scene.valid).sum())(args[0])
  assert np.isfinite(gradient).all()


@functools.partial(jax.jit, static_argnames='switches')
def publish(poses, theta, pelvis, valid, switches=composition.Published()):  # noqa: B008
  return composition.published(
    poses, theta, pelvis, valid, unit_px=UNIT, c=C, height_px=HEIGHT, feet=FEET,
    switches=switches,
  )


def standing(distances, height):
  """Equal people in front of a level camera `height` above their pelvises, L = 1.1.

  Returns:
    Levelled poses at the nominal distance c, θ, pelvises in px with 600 px of focal length.
  """
  distances = np.asarray(distances, float)
  poses = np.stack([bodies(1)[0] * C / d for d in distances])
  tangent = height / distances
  pelvis = np.stack([np.zeros_like(tangent), UNIT * C * tangent], -1)
  return poses, -np.arctan(tangent), pelvis


def test_the_published_scale_overshoots_as_the_spec_predicts(x64):
  # s = r + (H / L)(r − 1): camera 1.5 above the pelvis, pelvis 1.1 above the ground, r = 1.2.
  poses, theta, _ = standing([10.0, 12.0], height=1.5)
  up = -C * np.tan(theta)
  scale = composition.ground_scale(jnp.asarray(poses), jnp.asarray(up), np.ones(2, bool), FEET)
  np.testing.assert_allclose(scale, [1, 1.2 + 1.5 / 1.1 * 0.2], rtol=1e-9)


def test_published_places_everyone_at_one_depth(x64):
  poses, theta, pelvis = standing([9.0, 10.0, 12.0], height=1.5)
  found = np.asarray(publish(poses, theta, pelvis, np.ones(3, bool), composition.Published(
    group=False, rotate=False)))
  np.testing.assert_allclose(found[:, 0, 2], 0, atol=1e-12)
  np.testing.assert_allclose(found[:, 0, 1], 15 / np.array([9.0, 10.0, 12.0]), rtol=1e-9)
  # The lower feet meet unless the scale is clipped.
  np.testing.assert_allclose(found[:, FEET, 1].max(1), found[0, FEET, 1].max(), rtol=1e-9)


def by_hand(poses, theta, pelvis, valid):
  """spec/lifting.md, "Several people", steps 1 to 5, person by person."""
  there = [i for i in range(len(poses)) if valid[i]]
  group = {i: {i} for i in there}
  for i in there:
    for j in there:
      if abs(pelvis[i, 1] - pelvis[j, 1]) <= 50 / 900 * HEIGHT:
        merged = group[i] | group[j]
        for k in merged:
          group[k] = merged
  shared = {i: np.mean([theta[k] for k in group[i]]) for i in there}
  levelled, place = {}, {}
  for i in there:
    s, c = np.sin(shared[i]), np.cos(shared[i])
    levelled[i] = poses[i] @ np.array([[1, 0, 0], [0, c, -s], [0, s, c]]).T
    place[i] = np.array([pelvis[i, 0] / UNIT, -C * np.tan(shared[i]), 0])
  leg = {i: max(levelled[i][foot, 1] for foot in FEET) for i in there}
  ground = max(place[i][1] + leg[i] for i in there)
  found = np.zeros_like(poses)
  for i in there:
    found[i] = min((ground - place[i][1]) / leg[i], 2.0) * levelled[i] + place[i]
  return found


@pytest.mark.parametrize('count, absent', [(1, None), (2, None), (3, 1), (5, None), (5, 0)])
def test_the_published_composition_by_hand(x64, count, absent):
  rng = np.random.default_rng(count)
  poses, theta = bodies(count, seed=count), rng.uniform(-0.3, 0.0, count)
  # Two heights in the image, each a group of people, 60 px and more apart.
  pelvis = np.stack([rng.uniform(-300, 300, count), 90.0 * (np.arange(count) % 2)], -1)
  pelvis[:, 1] += rng.uniform(-10, 10, count)
  valid = np.arange(count) != (-1 if absent is None else absent)
  found = publish(poses, theta, pelvis, valid)
  np.testing.assert_allclose(found, by_hand(poses, theta, pelvis, valid), atol=1e-9)


def test_scale_is_clipped_and_leaves_people_upside_down():
  poses, theta, _ = standing([5.0, 20.0, 10.0], height=3.0)
  poses[2] *= -1
  scale = composition.ground_scale(
    jnp.asarray(poses), jnp.asarray(-C * np.tan(theta)), np.ones(3, bool), FEET
  )
  np.testing.assert_allclose(scale, [1, 2, 1], rtol=1e-6)


def test_groups_are_connected_components():
  # 50 px of 900: 0-1-2 form a chain though 0 and 2 are 90 px apart; 3 is alone, 4 is not there.
  height = jnp.array([0.0, 45.0, 90.0, 200.0, 20.0])
  valid = jnp.array([True, True, True, True, False])
  found = np.asarray(composition.groups(height, valid, composition.GROUP_SHARE * HEIGHT))
  expected = np.eye(5, dtype=bool)
  expected[:3, :3] = True
  np.testing.assert_array_equal(found, expected)
  theta = composition.shared_elevation(jnp.array([0.1, 0.2, 0.6, 0.9, 5.0]), found)
  np.testing.assert_allclose(theta, [0.3, 0.3, 0.3, 0.9, 5.0], rtol=1e-6)


def test_the_rule_is_at_most_50_of_900_px():
  near = composition.groups(jnp.array([0.0, 50.0]), jnp.ones(2, bool), 50.0)
  far = composition.groups(jnp.array([0.0, 50.1]), jnp.ones(2, bool), 50.0)
  assert near.all() and not far[0, 1]


SWITCH = {
  'group': ({'group': False}, 'rule'), 'rotate': ({'rotate': False}, 'pose'),
  'elevate': ({'elevate': False}, 'place'), 'scale': ({'scale': False}, 'size'),
}


@pytest.mark.parametrize('name', SWITCH)
def test_every_switch_changes_what_it_should_and_nothing_else(name):
  poses = jnp.asarray(bodies(2, 1), jnp.float32)
  theta, pelvis = jnp.array([-0.1, -0.25]), jnp.array([[-30.0, 10.0], [50.0, 40.0]])
  fields, kind = SWITCH[name]
  full = composition.Published(scale=name == 'scale', group=name == 'group')
  on, off = (
    np.asarray(publish(poses, theta, pelvis, jnp.ones(2, bool), switches))
    for switches in (full, full._replace(**fields))
  )
  ours, theirs = (x - x[:, :1] for x in (on, off))
  same_place = np.allclose(on[:, 0], off[:, 0], atol=1e-5)
  same_pose = np.allclose(ours, theirs, atol=1e-5)
  np.testing.assert_allclose(on[:, 0, 0], pelvis[:, 0] / UNIT, rtol=1e-5)
  if kind == 'rule':
    np.testing.assert_allclose(on[0, 0, 1], on[1, 0, 1], rtol=1e-5)
    assert not same_place and not same_pose
  elif kind == 'pose':
    assert same_place and not same_pose
    np.testing.assert_allclose(theirs, poses, atol=1e-5)
    back = lifting.turn(lifting.turn_x(theta), jnp.asarray(theirs))
    np.testing.assert_allclose(back, ours, atol=1e-5)
  elif kind == 'place':
    assert same_pose and not same_place
    np.testing.assert_allclose(off[:, 0, 1], pelvis[:, 1] / UNIT, rtol=1e-5)
    np.testing.assert_allclose(on[:, 0, 1], -C * np.tan(theta), rtol=1e-5)
  else:
    assert same_place and not same_pose
    factor = ours[:, 1:] / np.where(np.abs(theirs[:, 1:]) > 1e-3, theirs[:, 1:], np.nan)
    assert (np.nanmax(factor, (1, 2)) - np.nanmin(factor, (1, 2)) < 1e-3).all()


def test_jointly_is_one_pose_about_the_middle():
  # By hand: pelvises at ±60 px, c s̄ = 600: offsets ±0.1; at depth offset 2 the lateral is 0.1·12.
  poses = jnp.zeros((2, 2, 2)).at[:, 1, 1].set(0.05)
  depth = jnp.zeros((2, 2)).at[:, 1].set(2.0)
  pelvis = jnp.array([[-60.0, 0.0], [60.0, 0.0]])
  found = composition.jointly(poses, depth, pelvis, jnp.ones(2, bool), UNIT, C)
  np.testing.assert_allclose(found[1], [[1.0, 0, 0], [1.2, 0.6, 2]], atol=1e-6)
  np.testing.assert_allclose(found[0], [[-1.0, 0, 0], [-1.2, 0.6, 2]], atol=1e-6)


def test_lift_and_reproject_are_inverse():
  p = 0.1 * jax.random.normal(jax.random.key(0), (4, 5, 2))
  depth = jax.random.normal(jax.random.key(1), (4, 5))
  lifted = lifting.lift(p, depth, C)
  np.testing.assert_allclose(lifting.reproject(lifted, C), p, atol=1e-6)
  np.testing.assert_allclose(lifted[..., 2], depth, atol=1e-5)
  near = lifting.lift(p, depth - 20, C)
  np.testing.assert_allclose(near[..., 2], 1 - C)  # ẑ = max(1, ·)


def test_levelling_turns_the_ray_of_a_high_camera():
  # The line of sight 0.3 below the horizon: θ = −0.3; the plumb line in camera axes is
  # (0, cos 0.3, sin 0.3) and must become y.
  plumb = jnp.array([[0.0, np.cos(0.3), np.sin(0.3)]])
  found = lifting.turn(lifting.turn_x(jnp.asarray(-0.3)), plumb)
  np.testing.assert_allclose(found, [[0, 1, 0]], atol=1e-6)


def test_rectifying_is_a_rotation_of_the_rays():
  rays = jnp.array([[0.3, -0.2], [0.1, 0.25], [0.4, 0.0]])
  turned = lifting.rectify(rays, rays[0])
  np.testing.assert_allclose(turned[0], 0, atol=1e-6)

  def angles(r):
    v = np.concatenate([np.asarray(r), np.ones((len(r), 1))], 1)
    v = v / np.linalg.norm(v, axis=1, keepdims=True)
    return v @ v.T

  np.testing.assert_allclose(angles(turned), angles(rays), atol=1e-6)
