"""Bodies around joints: where parts are, mirror images, rigid motions, lost directions."""

import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.skeleton import J17
from posejax.synth import bodies
from posejax.synth.anatomy import Part, Slot
from tests.synth.stand import STANDING, as_float64, turned

ADULT = bodies.BodyShape(
  girth=1.0, shoulders=1.0, hips=1.0, head=1.0, belly=0.8, bust=0.9, hair_cap=1.0, hair_back=1.0,
  bun=0.8, brim=0.0, backpack=0.9, sleeve=0.6, leg=1.6, skirt=0.0, loose_top=1.1, loose_bottom=1.1,
)
BUILD = jax.jit(bodies.build_body, compiler_options={'xla_backend_optimization_level': 0})


def build(joints, **changes):
  """Body with its solids in NumPy float64."""
  body = BUILD(jnp.asarray(joints), ADULT._replace(**changes))
  return body._replace(solids=as_float64(body.solids))


def at(body, name):
  """Middle of a solid, between its cuts."""
  k = bodies.NAMES.index(name)
  third = body.solids.matrix[k, 2]
  share = (body.solids.low[k] + body.solids.high[k]) / 2
  return body.solids.center[k] + share * third / (third @ third)


def inside(solids, point):
  """(K,) whether a point lies in each solid."""
  q = np.einsum('kij,kj->ki', solids.matrix, point - solids.center)
  return (
    solids.enabled & ((q * q).sum(-1) <= 1) & (q[:, 2] >= solids.low) & (q[:, 2] <= solids.high)
  )


def test_counts_fill_the_loops_of_the_caster():
  assert len(bodies.NAMES) == len(set(bodies.NAMES)) == bodies.NUM_SOLIDS
  assert bodies.NUM_WHOLE + bodies.NUM_CUT == bodies.NUM_SOLIDS
  assert bodies.NUM_CASTERS % 8 == 0 and bodies.NUM_WHOLE <= 32 and bodies.NUM_CUT <= 24
  body = build(STANDING)
  assert body.solids.center.shape == (bodies.NUM_SOLIDS, 3)
  # Only what follows the whole ones is cut.
  assert (body.solids.low[:bodies.NUM_WHOLE] == -1).all()
  assert (body.solids.high[:bodies.NUM_WHOLE] == 1).all()


def test_every_joint_but_the_toes_lies_in_the_flesh():
  body = build(STANDING)
  for name, joint in zip(J17.joints, STANDING, strict=True):
    # A hair's breadth below the head's top, and off the seam between two limbs.
    point = joint + (0, 0, -4 if name == 'head_top' else 3)
    if not name.endswith('foot'):
      assert inside(body.solids, point).any(), name
  # Toes are at the sole's height: the shoe is around them.
  assert inside(body.solids, STANDING[J17.index('r_foot')] + (0, 0, 12)).any()


def test_faces_where_its_pelvis_faces():
  for yaw in (0, 1.0, np.pi):
    forward = np.array([np.cos(yaw), np.sin(yaw), 0])
    body = build(turned(STANDING, yaw))
    middle = at(body, 'skull')
    for name, sign in (('nose', 1), ('bun', -1), ('hair_back', -1), ('hair_cap', -1)):
      assert sign * (at(body, name) - middle) @ forward > 5, name
    chest = at(body, 'trunk_up')
    assert (at(body, 'backpack') - chest) @ forward < -100
    assert (at(body, 'r_bust') - chest) @ forward > 30
    for side in 'rl':
      heel = STANDING[J17.index(f'{side}_ankle')]
      toe = at(body, f'{side}_shoe') - turned(heel[None], yaw)[0]
      assert toe @ forward > 30
    # Right is right: to the right of someone who looks along `forward`, z up.
    right = np.cross(forward, [0, 0, 1])
    assert (at(body, 'r_hand') - at(body, 'l_hand')) @ right > 300


def test_mirror_image():
  mirror = np.array([1, -1, 1])
  swapped = STANDING[list(J17.flip_permutation)] * mirror
  pose = STANDING + np.random.default_rng(0).normal(size=STANDING.shape) * 40
  one, two = build(pose), build(pose[list(J17.flip_permutation)] * mirror)
  assert not np.allclose(pose, swapped)
  other = {'r': 'l', 'l': 'r'}
  for k, name in enumerate(bodies.NAMES):
    twin = other[name[0]] + name[1:] if name[:2] in ('r_', 'l_') else name
    j = bodies.NAMES.index(twin)
    np.testing.assert_allclose(
      one.solids.center[k] * mirror, two.solids.center[j], atol=0.05, err_msg=name
    )
    # The quadric AᵀA is the same but for the mirror.
    a, b = (s.matrix[i].T @ s.matrix[i] for s, i in ((one.solids, k), (two.solids, j)))
    np.testing.assert_allclose(
      a * np.outer(mirror, mirror), b, atol=2e-4 * np.abs(b).max(), err_msg=name
    )


def test_moves_with_the_joints():
  rotation = np.linalg.qr(np.random.default_rng(1).normal(size=(3, 3)))[0]
  rotation *= np.linalg.det(rotation)
  shift = np.array([300.0, -200, 150])
  one, two = build(STANDING), build(STANDING @ rotation.T + shift)
  np.testing.assert_allclose(
    one.solids.center @ rotation.T + shift, two.solids.center, atol=0.05
  )
  np.testing.assert_allclose(one.solids.low, two.solids.low, atol=1e-3)
  grams = [np.einsum('kji,kjl->kil', s.matrix, s.matrix) for s in (one.solids, two.solids)]
  turned_gram = rotation @ grams[0] @ rotation.T
  np.testing.assert_allclose(turned_gram, grams[1], atol=1e-3 * np.abs(grams[1]).max())


def test_clothes_end_where_they_should():
  wrist, elbow, ankle = (STANDING[J17.index(f'r_{j}')] for j in ('wrist', 'elbow', 'ankle'))
  along = lambda a, b, share: a + share * (b - a)  # noqa: E731
  slots = lambda body, point: {  # noqa: E731
    int(body.slot[k]) for k in np.flatnonzero(inside(body.solids, point))
  }
  forearm = along(elbow, wrist, 0.7)
  assert slots(build(STANDING, sleeve=0.6), forearm) == {Slot.SKIN}
  assert Slot.TOP in slots(build(STANDING, sleeve=1.9), forearm)
  upper = along(STANDING[J17.index('r_shoulder')], elbow, 0.8)
  assert Slot.TOP not in slots(build(STANDING, sleeve=0.5), upper)
  assert Slot.TOP in slots(build(STANDING, sleeve=1.2), upper)
  shank = along(STANDING[J17.index('r_knee')], ankle, 0.6)
  assert slots(build(STANDING, leg=1.3), shank) == {Slot.SKIN}
  assert Slot.BOTTOM in slots(build(STANDING, leg=1.9), shank)
  between_knees = (STANDING[J17.index('r_knee')] + STANDING[J17.index('l_knee')]) / 2 + (0, 0, 60)
  assert slots(build(STANDING, leg=0.3, skirt=0.0), between_knees) == set()
  assert slots(build(STANDING, leg=0.3, skirt=1.0), between_knees) == {Slot.BOTTOM}


def test_options_take_solids_away():
  enabled = lambda name, **changes: bool(  # noqa: E731
    build(STANDING, **changes).solids.enabled[bodies.NAMES.index(name)]
  )
  for name, option in (
    ('hair_cap', 'hair_cap'), ('hair_back', 'hair_back'), ('bun', 'bun'), ('backpack', 'backpack'),
    ('r_bust', 'bust'), ('l_sleeve_upper', 'sleeve'), ('r_leg_upper', 'leg'),
  ):
    assert enabled(name) and not enabled(name, **{option: 0.0}), name
  assert enabled('brim', brim=1.0) and not enabled('brim')
  # A cap is the hair's solid in another colour.
  cap = bodies.NAMES.index('hair_cap')
  assert build(STANDING, brim=1.0).slot[cap] == Slot.ACCENT
  assert build(STANDING).slot[cap] == Slot.HAIR


def test_surface_coordinates():
  body = build(STANDING * 0.5)
  k = bodies.NAMES.index('skull')
  assert body.part[k] == Part.HEAD
  # Half a person: coordinates are still mm of a standard adult, up from the neck along the head.
  top = STANDING[J17.index('head_top')] * 0.5 - np.asarray(body.origin[k])
  up = np.asarray(body.axes[k]) @ top
  np.testing.assert_allclose(up, [0, 0, 236.1], atol=1.5)
  k = bodies.NAMES.index('trunk_low')
  neck = STANDING[J17.index('neck')] * 0.5 - np.asarray(body.origin[k])
  np.testing.assert_allclose(np.asarray(body.axes[k]) @ neck, [0, 0, 490.5], atol=1.5)


@hypothesis.given(seed=st.integers(0, 10_000), kind=st.sampled_from(['point', 'line', 'twins']))
@hypothesis.settings(max_examples=12)
def test_finite_for_every_finite_pose(seed, kind):
  rng = np.random.default_rng(seed)
  joints = rng.normal(size=(17, 3)) * 500
  if kind == 'point':
    joints[:] = joints[0]
  elif kind == 'line':
    joints = joints[0] + np.linspace(-1, 1, 17)[:, None] * rng.normal(size=3) * 500
  else:
    joints[rng.integers(0, 17, 6)] = joints[0]
  body = BUILD(jnp.asarray(joints), ADULT)
  for leaf in jax.tree.leaves(body):
    assert np.isfinite(np.asarray(leaf)).all()


@pytest.mark.usefixtures('x64')
@pytest.mark.parametrize('dtype', [jnp.float32, jnp.float64])
def test_keeps_the_float_type(dtype):
  body = bodies.build_body(jnp.asarray(STANDING, dtype), ADULT)
  assert body.solids.center.dtype == body.axes.dtype == body.solids.low.dtype == dtype


@pytest.mark.parametrize('shape', [(15, 3), (2, 17, 3), (17, 2), (17,)])
def test_wrong_shapes(shape):
  with pytest.raises(ValueError, match=r'build_body: joints must have shape \(17, 3\)'):
    bodies.build_body(jnp.zeros(shape), ADULT)
