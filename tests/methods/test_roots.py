"""Roots on H's grid: slots against SciPy's assignment, what they are taught, what comes out."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.optimize

from posejax.methods.crossmodal import roots

STRIDE = 16


def cells_and_costs(seed, people, slots, cells):
  """Persons crowded into a few cells, one in six of them no person at all."""
  rng = np.random.default_rng(seed)
  of_cell = rng.uniform(-0.5, 0.5, (cells, slots, 2))
  cell = rng.integers(0, cells, people)
  valid = rng.random(people) < 5 / 6
  within = rng.uniform(-0.5, 0.5, (people, 2))
  return of_cell[cell], within, np.stack([cell, 0 * cell], -1), valid


@pytest.mark.parametrize(('people', 'slots', 'cells'), [(4, 2, 2), (6, 3, 2), (7, 4, 2), (3, 2, 3)])
def test_slots_against_scipy(people, slots, cells):
  assign = jax.jit(roots.assign)
  lost = shared = 0
  for seed in range(25):
    offsets, within, cell, valid = cells_and_costs(seed, people, slots, cells)
    slot, kept = map(np.asarray, assign(offsets, within, cell, valid))
    for index in range(cells):
      here = np.flatnonzero(valid & (cell[:, 0] == index))
      counted, lost_here = here[:slots], here[slots:]
      cost = np.linalg.norm(offsets[counted] - within[counted, None], axis=-1)
      rows, columns = scipy.optimize.linear_sum_assignment(cost)
      np.testing.assert_array_equal(slot[counted[rows]], columns)
      assert kept[counted].all() and not kept[lost_here].any()
      lost, shared = lost + len(lost_here), shared + (len(counted) > 1)
    assert not kept[~valid].any()
  # The draws hold what is to be tested.
  assert shared > 10 and (lost > 3 or people * slots < 12)


def test_assignment_by_hand_is_not_greedy():
  # Slots at x = −0.1 and 0.3; persons at 0 and −0.3. Alone the first person takes slot 0 (0.1);
  # together 0.1 + 0.6 is more than 0.3 + 0.2, so it takes slot 1.
  offsets = np.tile([[-0.1, 0.0], [0.3, 0.0]], (2, 1, 1))
  within = np.array([[0.0, 0.0], [-0.3, 0.0]])
  same, apart = np.zeros((2, 2), int), np.array([[0, 0], [1, 0]])
  everyone = np.ones(2, bool)
  np.testing.assert_array_equal(roots.assign(offsets, within, same, everyone)[0], [1, 0])
  np.testing.assert_array_equal(roots.assign(offsets, within, apart, everyone)[0], [0, 0])
  # Brute force over all ways, for the same numbers.
  totals = {
    way: sum(np.linalg.norm(offsets[p, k] - within[p]) for p, k in enumerate(way))
    for way in itertools.permutations(range(2))
  }
  assert min(totals, key=totals.get) == (1, 0)


def test_padding_has_no_slot_and_no_effect():
  offsets, within, cell, valid = cells_and_costs(1, 5, 2, 1)
  valid = np.array([True, False, True, False, True])
  broken = within.copy()
  broken[~valid] = np.nan
  wild = offsets.copy()
  wild[~valid] = np.nan
  slot, kept = roots.assign(wild, broken, cell, valid)
  clean, _ = roots.assign(offsets, within, cell, valid)
  np.testing.assert_array_equal(slot[valid], clean[valid])
  np.testing.assert_array_equal(kept, [True, False, True, False, False])


def test_places_by_hand():
  # Stride 16: cell (x 2, y 1) is centred at (39.5, 23.5) px.
  points = np.array([[[39.5, 23.5], [43.5, 19.5], [-20.0, 23.5], [0.0, 0.0]]], np.float32)
  rooted = np.array([[True, True, True, False]])
  one = roots.places(None, points, rooted, STRIDE, (4, 5))
  np.testing.assert_array_equal(one.cell[0, :3], [[2, 1], [2, 1], [0, 1]])
  np.testing.assert_allclose(one.within[0, :2], [[0, 0], [0.25, -0.25]], atol=1e-6)
  # With one slot all persons keep it; with two a root outside the grid is nobody's.
  np.testing.assert_array_equal(one.kept, rooted)
  offsets = np.tile([[0.3, -0.3], [-0.1, 0.1]], (1, 4, 1, 1))
  two = roots.places(offsets, points, rooted, STRIDE, (4, 5))
  np.testing.assert_array_equal(two.kept, [[True, True, False, False]])
  np.testing.assert_array_equal(two.slot[0, :2], [1, 0])


def test_taken_slots_are_ones():
  cell = np.array([[2, 1], [2, 1], [0, 3], [4, 0]])
  wanted = roots.taken(cell, np.array([1, 0, 1, 0]), np.array([True, True, True, False]), (4, 5), 2)
  expected = np.zeros((4, 5, 2))
  expected[1, 2, 1] = expected[1, 2, 0] = expected[3, 0, 1] = 1
  np.testing.assert_array_equal(wanted, expected)


def places_of(points, rooted, size, offsets=None):
  return roots.places(offsets, points, rooted, STRIDE, size)


def test_a_map_is_taught_the_gaussians_of_the_roots():
  points = np.array([[[39.5, 23.5], [120.0, 101.0]], [[36.0, 58.0], [np.nan, 0.0]]], np.float32)
  rooted = np.array([[True, True], [True, False]])
  points = np.where(rooted[..., None], points, 0)
  found = places_of(points, rooted, (8, 9))
  rows, columns = np.arange(8) * 16 + 7.5, np.arange(9) * 16 + 7.5
  heat = np.zeros((2, 8, 9, 1))
  for b, p in ((0, 0), (0, 1), (1, 0)):
    x, y = points[b, p]
    far = (columns - x) ** 2 + ((rows - y) ** 2)[:, None]
    heat[b, ..., 0] = np.maximum(heat[b, ..., 0], np.exp(-far / (2 * 14.0**2)))  # 7/8 of a cell
  logits = np.random.default_rng(0).normal(size=heat.shape).astype(np.float32)
  share = 1 / (1 + np.exp(-logits))
  expected = -(heat * np.log(share) + (1 - heat) * np.log(1 - share)).sum()
  term = roots.loss(logits, found, None, points, STRIDE)
  np.testing.assert_allclose(term.sum, expected, rtol=1e-5)
  assert term.weight == heat.size
  # The peaks of the very map are the roots, to a fraction of a cell.
  out = roots.peaks(heat[..., 0].astype(np.float32), STRIDE, 0.05, 3)
  np.testing.assert_array_equal(out.valid.sum(1), [2, 1])
  np.testing.assert_allclose(np.sort(out.positions[0, :2], 0), np.sort(points[0], 0), atol=0.1)


def test_slots_are_taught_presence_and_place():
  points = np.array([[[43.5, 23.5], [35.5, 27.5], [0, 0]]], np.float32)
  rooted = np.array([[True, True, False]])
  offsets = np.tile(np.array([[-0.2, 0.1], [0.3, 0.0]], np.float32), (1, 3, 1, 1))
  found = places_of(points, rooted, (4, 5), offsets)
  np.testing.assert_array_equal(found.slot[0, :2], [1, 0])
  logits = np.full((1, 4, 5, 2), -1.0, np.float32)
  own = np.take_along_axis(offsets, np.asarray(found.slot)[:, :, None, None], 2)[:, :, 0]
  own[0, 2] = np.nan  # padding
  # 40 logits of −1, two of which should be ones: 38 softplus(−1) + 2 softplus(1).
  presence = 38 * np.log1p(np.exp(-1)) + 2 * np.log1p(np.exp(1))
  # (0.25, 0) by (0.3, 0) and (−0.25, 0.25) by (−0.2, 0.1).
  place = 0.05 + 0.05 + 0.15
  term = roots.loss(logits, found, own, points, STRIDE)
  np.testing.assert_allclose(term.sum, presence + place, rtol=1e-5)
  assert term.weight == 40

  def total(logits, own):
    return roots.loss(logits, found, own, points, STRIDE).sum

  slope, pull = jax.grad(total, argnums=(0, 1))(logits, own)
  assert np.isfinite(slope).all() and (slope < 0).sum() == 2
  np.testing.assert_array_equal(pull[0, 2], [0, 0])
  np.testing.assert_allclose(pull[0, :2], [[1, 0], [1, -1]], atol=1e-6)


def detected(logits, offsets, people, threshold=0.2):
  """Candidates of one image by their own offsets (h, w, K, 2), and who is left."""
  best = roots.candidates(jnp.asarray(logits)[None], 2 * people)
  cell, slot = np.asarray(best.cell[0]), np.asarray(best.slot[0])
  positions = cell * 16 + 7.5 + 16 * offsets[cell[:, 1], cell[:, 0], slot]
  index, valid = roots.people(best, jnp.asarray(positions)[None], STRIDE, threshold, people)
  return positions[np.asarray(index[0])][np.asarray(valid[0])]


def test_two_people_of_a_cell_both_come_out():
  logits, offsets = np.full((4, 5, 2), -5.0), np.zeros((4, 5, 2, 2))
  logits[1, 2] = 2.0, 1.0
  offsets[1, 2] = (0.1, 0.0), (-0.1, 0.0)
  np.testing.assert_allclose(detected(logits, offsets, 3), [[41.1, 23.5], [37.9, 23.5]])


def test_neighbours_who_see_one_root_give_one_person():
  logits, offsets = np.full((4, 5, 2), -5.0), np.zeros((4, 5, 2, 2))
  # A root between cells 2 and 3, which both say so; the better one stays. A third, whole cells
  # away, and a fourth below the threshold (sigmoid(−1.5) = 0.18).
  logits[1, 2, 0], offsets[1, 2, 0] = 1.0, (0.5, 0.0)
  logits[1, 3, 1], offsets[1, 3, 1] = 2.0, (-0.45, 0.0)
  logits[3, 0, 0] = 0.0
  logits[0, 0, 0] = -1.5
  np.testing.assert_allclose(detected(logits, offsets, 4), [[48.3, 23.5], [7.5, 55.5]])
  # No more than there is room for, the best first.
  np.testing.assert_allclose(detected(logits, offsets, 1), [[48.3, 23.5]])
  # Half a cell apart and more are two people.
  offsets[1, 2, 0] = (0.04, 0.0)
  assert len(detected(logits, offsets, 4)) == 3


def test_one_who_is_suppressed_suppresses_nobody():
  # Three in a row, 0.4 cells apart: the second falls to the first; the third, near the second
  # alone, stays.
  logits, offsets = np.full((1, 3, 2), -5.0), np.zeros((1, 3, 2, 2))
  logits[0, :, 0] = 3.0, 2.0, 1.0
  offsets[0, :, 0, 0] = 0.5, -0.1, -0.7
  assert len(detected(logits, offsets, 3)) == 2
