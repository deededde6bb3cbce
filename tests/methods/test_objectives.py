"""The pose losses and their parts of points and codes, by hand: values, masks, slopes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.skeleton import J15
from posejax.losses import terms
from posejax.methods.crossmodal import lift, objectives
from posejax.models import aae
from posejax.models.crossmodal import Representation

J = J15.num_joints
TERM = terms.Term(jnp.asarray(3.0), jnp.asarray(4.0))


def representation(points):
  zeros = jnp.zeros((1, 1, 1))
  return Representation(zeros, zeros, zeros, points=jnp.asarray(points, jnp.float32)[None, None])


def added(mode, roots, joints, points, seen, weight=2.0):
  """What the points add to a term's sum, for one person; its weight must stay."""
  cells = objectives.Cells(stride=8, reach=3, side=64, mode=mode)
  result = objectives.with_points(
    TERM, weight, representation(points), jnp.asarray([[roots]], jnp.float32),
    jnp.asarray([[joints]], jnp.float32), jnp.asarray([[seen]]), cells,
  )
  assert float(result.weight) == 4
  return float(result.sum) - 3


@pytest.mark.parametrize(
  ('mode', 'expected'),
  [
    # The joint is at (+10, −6) px of the root, the point at (+1, 0) cells = (+8, 0) px: |2| + |6|
    # px of 64, doubled.
    ('bilinear', 2 * 8 / 64),
    # The root (29, 30) px has its nearest cell's centre at 27.5, where the window lies: the joint
    # (39, 24) is at (+11.5, −3.5) of it, the point 8 px to the right: 3.5 + 3.5 px.
    ('nearest', 2 * 7 / 64),
  ],
)
def test_points_are_measured_from_the_window(mode, expected):
  found = added(mode, (29, 30), [(39, 24)], [(1, 0), (9, 9)], [True])
  assert found == pytest.approx(expected, rel=1e-5)


def test_joints_outside_the_window_or_unseen_do_not_count():
  # Reach is 3 cells = 24 px: the second joint is 25 px away, the third one was not seen.
  points = [(0, 0), (0, 0), (0, 0)]
  joints = [(38, 30), (55, 30), (31, 30)]
  found = added('bilinear', (30, 30), joints, points, [True, True, False])
  assert found == pytest.approx(2 * 8 / 64)


def test_without_weight_or_window_the_term_stays():
  assert added('bilinear', (30, 30), [(38, 30)], [(0, 0)], [True], weight=0.0) == 0
  cells = objectives.Cells(8, 0, 64, 'nearest')
  none = representation([(0, 0)])._replace(points=None)
  assert objectives.with_points(TERM, 1.0, none, None, None, None, cells) is TERM


def test_two_halves_add_up_to_the_whole():
  """On two devices each has half of the people, and sums are added: no mean of means."""
  rng = np.random.default_rng(0)
  cells = objectives.Cells(8, 3, 64, 'bilinear')
  points = rng.normal(size=(4, 2, 5, 2)).astype(np.float32)
  found = Representation(*(jnp.zeros((4, 2, 1)),) * 3, points=points)
  roots = rng.uniform(10, 50, (4, 2, 2)).astype(np.float32)
  joints = rng.uniform(0, 63, (4, 2, 5, 2)).astype(np.float32)
  seen = rng.random((4, 2, 5)) < 0.7

  def total(part):
    cut = jax.tree.map(lambda x: x[part], (found, roots, joints, seen))
    return float(objectives.with_points(TERM, 1.0, *cut, cells).sum) - 3

  halves = total(slice(0, 2)) + total(slice(2, 4))
  assert total(slice(0, 4)) == pytest.approx(halves, rel=1e-5)


def lifted(image=None, relative=None, depth=None):
  """Poses of two people of one picture; fields that are not given are 0."""
  zeros = jnp.zeros((1, 2, J, 3))
  return lift.Lifted(
    zeros, zeros if relative is None else relative, zeros,
    zeros[..., :2] if image is None else image, jnp.zeros((1, 2)) if depth is None else depth,
  )


def stepped(loss, x, rate):
  """A loss before and after a step down its slope, and the slope."""
  before, slope = jax.jit(jax.value_and_grad(loss))(x)
  return float(before), float(jax.jit(loss)(x - rate * slope)), np.asarray(slope)


def test_plane_error_by_hand():
  # The first person: joint 1 off by (8, −4) px of 64; joint 2, which nobody saw, and the root,
  # which is given, off by anything. The second one has no joints at all.
  joints = np.full((1, 2, J, 2), np.nan, np.float32)
  joints[0, 0, :2] = ((9, 9), (-8, 4))
  seen = np.zeros((1, 2, J), bool)
  seen[0, 0, :2] = True
  term = objectives.plane_error(lifted(), joints, seen, 64)
  np.testing.assert_allclose(term, (12 / 64, 2), rtol=1e-6)

  def loss(image):
    return terms.mean(objectives.plane_error(lifted(image), joints, seen, 64))

  before, after, slope = stepped(loss, jnp.zeros((1, 2, J, 2)), 128.0)
  expected = np.zeros((1, 2, J, 2))
  expected[0, 0, 1] = (1 / 128, -1 / 128)  # 1 / 64 over two coordinates, towards (−8, 4)
  np.testing.assert_allclose(slope, expected, atol=1e-9)
  assert (before, after) == pytest.approx((12 / 128, 10 / 128))  # a pixel along each axis


CAMERA = np.zeros((1, 2, J, 3), np.float32)
CAMERA[..., 2] = 2500
CAMERA[:, :, 1] += (100, -200, 300)


@pytest.mark.parametrize('second', [True, False], ids=['both', 'one'])
def test_pose_error_by_hand(second):
  camera, depth = CAMERA.copy(), jnp.array([[3000.0, 2400.0]])
  if not second:
    camera[0, 1] = np.nan  # nobody: padding may hold anything
  valid = jnp.array([[True, second]])
  # Each person: 0.1 + 0.2 + 0.3 m over 42 coordinates of 14 joints. Depths: 0.5 and 0.1 m off, of
  # which each counts as much as all 42.
  expected = (0.6 + 0.6 + 42 * 0.6, 84) if second else (0.6 + 42 * 0.5, 42)
  term = objectives.pose_error(lifted(depth=depth), camera, valid)
  np.testing.assert_allclose(term, expected, rtol=1e-5)

  def loss(depth):
    return terms.mean(objectives.pose_error(lifted(depth=depth), camera, valid))

  before, after, slope = stepped(loss, depth, 1e5)
  # Too far falls, too near grows; a metre costs 1 over as many people as count.
  people = 2 if second else 1
  np.testing.assert_allclose(slope, [[1e-3 / people, -1e-3 / people * second]], rtol=1e-5)
  moved = 1e5 * 1e-3 / people / 1000  # m, of each who counts: 0.05 or 0.1
  assert before - after == pytest.approx(moved, rel=1e-3)


def test_pose_error_pulls_each_joint_but_the_root():
  valid = jnp.array([[True, False]])

  def loss(relative):
    return terms.mean(objectives.pose_error(
      lifted(relative=relative, depth=jnp.full((1, 2), 2500.0)), jnp.asarray(CAMERA), valid
    ))

  # The root's row is no part of the loss, though it is off here.
  start = jnp.zeros((1, 2, J, 3)).at[:, :, 0].set(50.0)
  before, after, slope = stepped(loss, start, 42e3 * 10)
  expected = np.zeros((1, 2, J, 3))
  expected[0, 0, 1] = np.array([-1, 1, -1]) / 42e3
  np.testing.assert_allclose(slope, expected, atol=1e-10)
  assert (before, after) == pytest.approx((0.6 / 42, 0.57 / 42), rel=1e-4)  # 10 mm along each axis


def test_pictures_without_people_have_no_pose_error():
  nobody = jnp.zeros((1, 2), bool)
  joints = jnp.full((1, 2, J, 2), jnp.nan)
  camera = jnp.full((1, 2, J, 3), jnp.nan)

  def both(found):
    return (
      objectives.plane_error(found, joints, nobody[..., None] & jnp.ones((1, 2, J), bool), 64),
      objectives.pose_error(found, camera, nobody),
    )

  def loss(found):
    return sum(map(terms.mean, both(found))), both(found)

  slope, found = jax.jit(jax.grad(loss, has_aux=True))(lifted())
  assert all(tuple(map(float, term)) == (0, 0) for term in found)
  assert all(not np.any(leaf) for leaf in jax.tree.leaves(slope))


@pytest.fixture(scope='module')
def code():
  """A small Φ, two people's true codes, and the jitted L_recon with codes, of (weights, found).

  Found are φ and c that are 0.1 too large everywhere, and 0.3 in two of c's six numbers.
  """
  config = aae.AAEConfig(J15, part=4, chain=4, half=4, body=8)
  rng = np.random.default_rng(1)
  local = jnp.asarray(rng.normal(size=(1, 2, J, 3)), jnp.float32)
  module = aae.PoseEncoder(config)
  params = jax.tree.map(
    lambda leaf: jnp.asarray(rng.normal(size=leaf.shape) * 0.3, jnp.float32),
    jax.eval_shape(module.init, jax.random.key(0), local[0])['params'],
  )
  phi = jax.jit(lambda p: module.apply({'params': p}, local[0]))(params)[None]
  batch = {'local': local, 'c': jnp.asarray(rng.uniform(-1, 1, (1, 2, 6)), jnp.float32)}
  off = Representation(
    phi + 0.1, batch['c'] + jnp.array([0.3, 0, 0, -0.3, 0, 0]), jnp.zeros((1, 2))
  )

  def loss(found, valid, weights=(0.5, 0.2), phi_params=params):
    return objectives.with_code(TERM, weights, found, (config, phi_params), batch, valid)

  return loss, off, phi, batch['c']


BOTH, FIRST, NOBODY = (jnp.array([row]) for row in ((True, True), (True, False), (False, False)))


@pytest.mark.parametrize('valid', [BOTH, FIRST], ids=['both', 'one'])
def test_codes_by_hand(code, valid):
  loss, off, *_ = code
  if not valid.all():  # who is not there may hold anything
    off = jax.tree.map(lambda x: x.at[:, 1].set(jnp.nan), off)
  # Mean errors 0.1 of φ and 0.6 / 6 of c, times their weights and L_recon's own weight 4.
  term = jax.jit(loss)(off, valid)
  np.testing.assert_allclose(term, (3 + 4 * (0.5 * 0.1 + 0.2 * 0.1), 4), rtol=1e-5)


def test_codes_are_two_switches(code):
  loss, off, *_ = code
  assert loss(off, BOTH, (0.0, 0.0)) is TERM
  phi_alone, c_alone = (
    jax.jit(lambda found, w=w: loss(found, BOTH, w).sum)(off) for w in ((1.0, 0.0), (0.0, 1.0))
  )
  np.testing.assert_allclose([phi_alone, c_alone], [3.4, 3.4], rtol=1e-5)
  term = jax.jit(loss)(off, NOBODY)
  assert tuple(map(float, term)) == (3, 4)


def test_codes_are_pulled_to_the_true_ones(code):
  loss, off, phi, c = code
  slope = jax.jit(jax.grad(lambda found: terms.mean(loss(found, FIRST))))(off)
  # Means over one person's 32 and 6 numbers; who does not count and what is right stay.
  expected = np.zeros((1, 2, 32))
  expected[0, 0] = 0.5 / 32
  np.testing.assert_allclose(slope.phi, expected, rtol=1e-5)
  expected = np.zeros((1, 2, 6))
  expected[0, 0, 0], expected[0, 0, 3] = 0.2 / 6, -0.2 / 6
  np.testing.assert_allclose(slope.c, expected, rtol=1e-5, atol=1e-8)
  np.testing.assert_array_equal(slope.depth, 0)
  # At the truth nothing is left but L_recon, and nothing pulls.
  right = off._replace(phi=phi, c=c)
  assert float(jax.jit(loss)(right, BOTH).sum) == pytest.approx(3, abs=1e-6)
