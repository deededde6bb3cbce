"""Alignment's losses of pictures by hand: L_ss under a known T_s, and whom each loss counts.

What H, Ψ and M would say is given, so that every number can be worked out: sides of 64 px, J = 15
joints, the root (joint 0) in no 2D loss.
"""

import runpy
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.losses import terms
from posejax.methods.base import ONE_DEVICE, Context
from posejax.methods.crossmodal import align, lift
from posejax.models.crossmodal import Representation
from posejax.synth import augment

get_config = runpy.run_path('configs/unsup.py')['get_config']
SIDE, J = 64, lift.SKELETON.num_joints
WRISTS = lift.SKELETON.index('r_wrist'), lift.SKELETON.index('l_wrist')
FROZEN = {name: jnp.ones(()) for name in ('E', 'F', 'Psi', 'Phi')}


def wiring_of(answers, **switches):
  """The wiring with given answers: a function of (parameters, roots) → `lift.Lifted`."""
  config = get_config('smoke').unlock()
  config.align.update(switches)
  wiring = align._Wiring(config)
  # E's latents are what E makes of the picture: here its one parameter.
  wiring.model = types.SimpleNamespace(
    latents=lambda params, images, observed: params['E'],
    encode=lambda params, images: (params['E'], None), features=lambda h, v: v,
    h=types.SimpleNamespace(roots=False, slots=1), prior=None,
  )

  def people(params, features, roots, rooted):
    # φ and c of two numbers, all 0.
    code = Representation(*(jnp.zeros((*rooted.shape, 2)),) * 2, jnp.zeros(rooted.shape))
    return align._People(code, answers(params, roots), roots, rooted)

  wiring._people = people
  return wiring


def lifted(image, relative=None, depth=None):
  """Poses of which only some fields are said; the others are 0."""
  image = jnp.asarray(image, jnp.float32)
  zeros = jnp.zeros((*image.shape[:3], 3))
  depth = jnp.zeros(image.shape[:2]) if depth is None else depth
  return lift.Lifted(zeros, zeros if relative is None else relative, zeros, image, depth)


def transform(flip, shift):
  """T_s of one picture that flips or not, and shifts."""
  return augment.Transform(
    jnp.asarray([flip]), jnp.zeros(1), jnp.ones(1), jnp.asarray([shift], jnp.float32)
  )


@pytest.fixture(scope='module')
def turned():
  """Three people under a flip about x = 31.5 and a shift by 4: x → 67 − x, y stays.

  Roots: (30, 20) → (37, 20); (2, 40) → (65, 40), outside the picture; and one that nobody has.
  """
  image = np.tile(np.array([50.0, 10.0], np.float32), (1, 3, J, 1))
  image[0, 0, WRISTS[0]] = (40, 10)
  again = np.tile(np.array([17.0, 10.0], np.float32), (1, 3, J, 1))  # 67 − 50
  # The right wrist of the picture is the left one of its mirror image: expected at (27, 10).
  again[0, 0, WRISTS[1]] = (30, 14)
  again[0, 0, 0] = 99.0  # the root does not count
  again[0, 1:] = np.nan  # nor do people outside, whatever is said of them
  roots = jnp.array([[[30.0, 20], [2, 40], [30, 30]]])
  kept = jnp.array([[True, True, False]])

  def loss(first, second):
    """The mean, and beside it the term and the roots at which H is read again."""
    read_at = []

    def answers(params, moved):
      read_at.append(moved)
      return lifted(params['H'])

    found = align._People(None, lifted(first), roots, kept)
    batch = {'transform': transform(True, (4, 0)), 'warped': None}
    term = wiring_of(answers)._equivariance({**FROZEN, 'H': second}, batch, found)
    return terms.mean(term), (term, read_at[0])

  slope = jax.jit(jax.value_and_grad(loss, (0, 1), has_aux=True))
  return slope, jnp.asarray(image), jnp.asarray(again)


def test_equivariance_by_hand(turned):
  slope, image, again = turned
  (_, (term, roots)), _ = slope(image, again)
  # One person counts: |30 − 27| + |14 − 10| px of 64, over 14 joints' coordinates.
  np.testing.assert_allclose(term, (7 / 64, 28), rtol=1e-6)
  # Who left the picture is read at the origin.
  np.testing.assert_allclose(roots, [[[37, 20], [0, 0], [0, 0]]], atol=1e-5)


def test_equivariance_pulls_both_sides_together(turned):
  slope, image, again = turned
  (before, _), (first, second) = slope(image, again)
  expected = np.zeros((1, 3, J, 2), np.float32)
  # 30 is to the right of 67 − x: x must fall to bring it nearer; 14 is below y, which must grow.
  expected[0, 0, WRISTS[0]] = np.array([1, -1]) / 64 / 28
  np.testing.assert_allclose(first, expected, atol=1e-8)
  expected[:] = 0
  expected[0, 0, WRISTS[1]] = np.array([1, 1]) / 64 / 28
  np.testing.assert_allclose(second, expected, atol=1e-8)
  rate = 64 * 28  # 1 px a coordinate and side: 7 px become 3
  (after, _), _ = slope(image - rate * first, again - rate * second)
  np.testing.assert_allclose([before, after], [7 / 64 / 28, 3 / 64 / 28], rtol=1e-5)


def batch_of():
  """Two pictures, two people each; the first has labels, and its second person no root."""
  def two(*rows):
    return jnp.asarray(np.stack(rows))

  joints = np.full((2, J, 2), np.nan, np.float32)
  joints[:, 0] = 32
  observed, truth = np.stack([joints, joints]), np.stack([joints, joints])
  observed[:, :, 1] = 16  # the teacher's one joint: 32 px from (0, 0), along the axes
  truth[:, :, 1] = (8, 4)
  one = np.zeros((2, 2, J), bool)
  one[..., 1] = True
  camera = np.full((2, 2, J, 3), np.nan, np.float32)
  camera[0, 0] = camera[1] = (0, 0, 2500)
  camera[:, :, 1] += (100, -200, 300)
  rooted = np.array([[True, False], [True, True]])
  roots = np.where(rooted[..., None], np.float32(32), np.float32(0))
  return {
    'image': None, 'warped': None, 'labelled': two(True, False),
    'observed': {'joints': observed, 'seen': one, 'roots': roots, 'rooted': rooted},
    'truth': {'joints': truth, 'seen': one, 'camera': camera, 'rooted': rooted},
    'transform': jax.tree.map(lambda x: jnp.repeat(x, 2, 0), transform(False, (0, 0))),
  }


def answers_3000(params, roots):
  """Every joint at the picture's corner, every pose a point, everybody 3 m away."""
  h = params['H']
  shape = (*roots.shape[:2], J)
  return lifted(
    jnp.broadcast_to(h['image'], (*shape, 2)), jnp.broadcast_to(h['relative'], (*shape, 3)),
    jnp.broadcast_to(h['depth'], shape[:2]),
  )


H = {'image': jnp.zeros(2), 'relative': jnp.zeros(3), 'depth': jnp.asarray(3000.0)}


def values_of(wiring, batch, trained):
  context = Context({'H': trained}, {}, FROZEN, jax.random.key(0), ONE_DEVICE)
  return wiring.image_losses(context, batch).terms


@pytest.mark.parametrize('labels', [True, False], ids=['labels', 'none'])
def test_each_loss_counts_its_own_people(labels):
  wiring = wiring_of(answers_3000, label_2d=labels, label_3d=labels)
  found = jax.jit(lambda h: values_of(wiring, batch_of(), h))(H)
  # L_2D, L_3D: the one person with a root of the picture with labels: 12 px of 64; 0.6 m over 42
  # coordinates, and 0.5 m of depth that counts as much as all of these: 0.6 + 42 · 0.5.
  np.testing.assert_allclose(found['label_2d'], (12 / 64, 2), rtol=1e-6)
  np.testing.assert_allclose(found['label_3d'], (21.6, 42), rtol=1e-6)
  # L_distl: with labels the other picture's two people alone, 32 px each, else all three.
  people = 2 if labels else 3
  np.testing.assert_allclose(found['distl'], (people * 32 / 64, people * 2), rtol=1e-6)
  # L_ss: everybody with a root; what does not change under T_s costs nothing.
  np.testing.assert_allclose(found['ss'], (0, 3 * 28), atol=1e-7)


def test_labels_have_codes_too(monkeypatch):
  # Φ is told: φ 0.25 off of H's 0 in both numbers; c 0.5 off in one of two.
  monkeypatch.setattr(
    align.objectives.prior, 'encode',
    lambda networks, params, local: jnp.broadcast_to(local[:, 0, :1], (len(local), 2)),
  )
  batch = batch_of()
  local = np.full((2, 2, J, 3), np.nan, np.float32)
  local[0, 0] = 0.25
  c = np.full((2, 2, 2), np.nan, np.float32)
  c[0, 0] = (0, 0.5)
  batch['truth'] |= {'local': local, 'c': c}
  wiring = wiring_of(answers_3000, label_2d=True, label_3d=True, code=(2.0, 3.0))
  found = jax.jit(lambda h: values_of(wiring, batch, h))(H)
  # 21.6 without (above), and 42 times 2 · 0.25 + 3 · 0.25. Scenes have the same, pictures without
  # labels nothing.
  np.testing.assert_allclose(found['label_3d'], (21.6 + 42 * 1.25, 42), rtol=1e-6)
  np.testing.assert_allclose(found['label_2d'], (12 / 64, 2), rtol=1e-6)


def test_pictures_of_nobody_teach_nothing():
  batch = batch_of()
  nobody = {'rooted': np.zeros((2, 2), bool)}
  batch['truth'], batch['observed'] = batch['truth'] | nobody, batch['observed'] | nobody
  wiring = wiring_of(answers_3000, label_2d=True, label_3d=True)

  def total(h):
    found = values_of(wiring, batch, h)
    return sum(terms.mean(terms.Term(*term)) for term in found.values()), found

  gradient, found = jax.jit(jax.grad(total, has_aux=True))(H)
  assert all(tuple(map(float, term)) == (0, 0) for term in found.values())
  assert all(not np.any(leaf) for leaf in jax.tree.leaves(gradient))


@pytest.mark.parametrize(
  ('name', 'expected'),
  [
    # (0, 0) is left of and above (8, 4): a mean over two coordinates, one each.
    ('label_2d', {'image': [-0.5 / 64, -0.5 / 64]}),
    ('distl', {'image': [-0.5 / 64, -0.5 / 64]}),
    # The joint is at (100, −200, 300) mm, the 13 others at the root; sign 0 at equality. A metre
    # off in depth costs 1, and 3 m is too far.
    ('label_3d', {'relative': np.array([-1, 1, -1]) / 42 / 1000, 'depth': 1 / 1000}),
  ],
)
def test_slopes_of_labels_point_to_them(name, expected):
  wiring = wiring_of(answers_3000, label_2d=True, label_3d=True)
  slope = jax.jit(jax.value_and_grad(
    lambda h: terms.mean(terms.Term(*values_of(wiring, batch_of(), h)[name]))
  ))
  before, gradient = slope(H)
  for field, leaf in gradient.items():
    np.testing.assert_allclose(leaf, expected.get(field, 0 * leaf), rtol=1e-5, atol=1e-9)
  # A tenth of the mean's value along the slope.
  square = sum(float((leaf**2).sum()) for leaf in jax.tree.leaves(gradient))
  rate = 0.1 * float(before) / square
  after, _ = slope(jax.tree.map(lambda x, g: x - rate * g, H, gradient))
  assert float(after) < 0.95 * float(before)


def test_no_loss_trains_what_is_frozen():
  losses = align._losses(get_config('smoke'))
  assert {network for loss in losses.values() for network in loss.networks} == {'G', 'H'}
  assert losses['ss'].networks == losses['label_3d'].networks == losses['recon_h'].networks == (
    'H',
  )


def adapt_of(monkeypatch, given, background=False):
  """L_adapt of what F would say of G's latents: (value, weight) and its slope there.

  One scene of 8×8 cells; of its maps one cell of the first heat-map is 1, and one of the last PAF
  channel −1. All other losses are of a person who is nobody.
  """
  wiring = wiring_of(lambda params, roots: lifted(jnp.zeros((1, 1, J, 2))), points=(0.0, 0.0),
                     code=(0.0, 0.0))
  wiring.model.teacher = types.SimpleNamespace(parts=lift.SKELETON, background=background)
  wiring.model.dtype = wiring.model.prior = None
  latents = types.SimpleNamespace(apply=lambda variables, maps: (variables['params'], None))
  monkeypatch.setattr(align.models, 'MapEncoder', lambda *_: latents)
  monkeypatch.setattr(
    align.teacher_lib, 'Teacher',
    lambda layout, params: types.SimpleNamespace(maps=lambda v, skip: v),
  )
  heat, paf = jnp.zeros((1, 8, 8, J)), jnp.zeros((1, 8, 8, 28))
  batch = {
    'heat': heat.at[0, 2, 3, 0].set(1), 'paf': paf.at[0, 4, 5, 27].set(-1),
    'roots': jnp.zeros((1, 1, 2)), 'valid': jnp.zeros((1, 1), bool),
    'joints': jnp.zeros((1, 1, J, 2)), 'drawn': jnp.zeros((1, 1, J), bool),
    'camera': jnp.zeros((1, 1, J, 3)),
  }

  def loss(maps):
    frozen = FROZEN | {'Phi': None}
    context = Context({'H': H, 'G': maps}, {}, frozen, jax.random.key(0), ONE_DEVICE)
    term = terms.Term(*wiring.scene_losses(context, batch).terms['adapt'])
    return terms.mean(term), term

  (_, term), slope = jax.value_and_grad(loss, has_aux=True)(given)
  return term, np.asarray(slope)


def test_adapt_by_hand(monkeypatch):
  nothing = jnp.zeros((1, 8, 8, J + 28))
  term, slope = adapt_of(monkeypatch, nothing)
  # Two cells are 1 off; 43 channels of 64 cells.
  np.testing.assert_allclose(term, (2, 64 * 43), rtol=1e-6)
  # The peak must rise, the flow must fall; the rest is right.
  expected = np.zeros_like(slope)
  expected[0, 2, 3, 0], expected[0, 4, 5, -1] = -1 / (64 * 43), 1 / (64 * 43)
  np.testing.assert_allclose(slope, expected, atol=1e-9)
  right = nothing.at[0, 2, 3, 0].set(1).at[0, 4, 5, -1].set(-1)
  assert adapt_of(monkeypatch, right)[0].sum == 0


def test_adapt_asks_for_the_background(monkeypatch):
  nothing = jnp.zeros((1, 8, 8, J + 1 + 28))
  term, slope = adapt_of(monkeypatch, nothing, background=True)
  # 1 − max: 1 in all cells but that of the peak.
  np.testing.assert_allclose(term, (2 + 63, 64 * 44), rtol=1e-6)
  assert slope[0, 2, 3, J] == 0 and (np.delete(slope[0, ..., J].ravel(), 19) < 0).all()


def test_adapt_leaves_out_what_nobody_can_draw(monkeypatch):
  # A teacher whose first part J15 cannot give: its heat-map and the flows of its limbs.
  limbs = np.array([0 not in limb for limb in lift.SKELETON.limbs])
  known = np.concatenate([np.arange(J) > 0, np.repeat(limbs, 2)])
  monkeypatch.setattr(align.parts, 'drawable_maps', lambda parts, background: known)
  nothing = jnp.zeros((1, 8, 8, J + 28))
  term, slope = adapt_of(monkeypatch, nothing.at[..., 0].set(7.0))
  assert float(term.weight) == 64 * known.sum() and not slope[..., 0].any()
  np.testing.assert_allclose(term.sum, 1 if limbs[-1] else 0)
