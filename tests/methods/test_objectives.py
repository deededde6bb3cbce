"""The points' part of a loss, by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.losses import terms
from posejax.methods.crossmodal import objectives
from posejax.models.crossmodal import Representation

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
