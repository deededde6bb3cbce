"""Roots on H's own grid: where people are, and which of a cell's K pose slots each one has.

`root_source` student with K = 1: H's root map is a heat-map, read by its peaks as the teacher's
pelvis map is. With K ≥ 2 each cell has K slots, each with an objectness logit and a root position
inside the cell: two people in one cell both come out, which one pose a cell can't give (limitation
a of spec/crossmodal.md). Persons of a cell are matched to its slots at least cost (the optimum that
the Hungarian method finds); the K! ways are few enough to try.

Symbols: B images, P persons, N candidates, K slots, h' w' cells of H's output; px, or cells where
said. Not in the paper [R].
"""

import functools
import itertools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.heatmaps import find_peaks, grid, render_heatmaps
from posejax.losses import maps as map_losses
from posejax.losses import pose, terms
from posejax.methods.crossmodal.teacher import SIGMA_PX, STRIDE
from posejax.models.crossmodal import Representation

# Cells, of H's heat-map: the teacher's deviation on its own grid. On a coarser grid the same px
# would leave a root between four cells without a peak; and of near people the maximum is taken, as
# their clipped sum would have its peak beside both.
SIGMA = SIGMA_PX / STRIDE


class Roots(NamedTuple):
  """Roots found in B images, best first; free slots are 0 and not valid.

  Attributes:
    positions: (B, P, 2) px.
    scores: (B, P) in [0, 1].
    valid: (B, P) bool.
  """

  positions: jax.Array
  scores: jax.Array
  valid: jax.Array


class Places(NamedTuple):
  """Where known persons stand on the grid of H's output.

  Attributes:
    cell: (B, P, 2) int32 (x, y), inside the grid.
    within: (B, P, 2) root from its cell's centre, in cells.
    slot: (B, P) int32, below K.
    kept: (B, P) bool: persons that have a slot.
  """

  cell: jax.Array
  within: jax.Array
  slot: jax.Array
  kept: jax.Array


class Candidates(NamedTuple):
  """The N slots of B images with the largest logits, best first.

  Attributes:
    cell: (B, N, 2) int32 (x, y).
    slot: (B, N) int32.
    scores: (B, N) in [0, 1].
  """

  cell: jax.Array
  slot: jax.Array
  scores: jax.Array


def peaks(maps: jax.Array, stride: int, threshold: float, max_people: int) -> Roots:
  """Roots of heat-maps (B, h, w), by non-maximum suppression [P].

  Args:
    maps: the pelvis channel of F, or of H.
    stride: px a cell.
    threshold: least value of a root.
    max_people: P.
  """
  found = jax.vmap(functools.partial(
    find_peaks, stride=stride, threshold=threshold, max_peaks=max_people
  ))(maps[..., None])
  valid = found.valid[:, 0]
  return Roots(
    jnp.where(valid[..., None], found.positions[:, 0], 0.0),
    jnp.where(valid, jnp.clip(found.scores[:, 0], 0, 1), 0), valid,
  )


def places(
  offsets: jax.Array | None, roots: jax.Array, rooted: jax.Array, stride: int,
  size: tuple[int, int],
) -> Places:
  """Cells of known roots, and the persons' slots.

  Args:
    offsets: (B, P, K, 2) of the slots of each person's cell, in cells; None for K = 1, where
      everybody has the one slot, two people in a cell too.
    roots: (B, P, 2) px, finite.
    rooted: (B, P) bool: persons that have a root.
    stride: px a cell.
    size: (h', w').

  Returns:
    Places. With K ≥ 2 a root outside the grid has no slot.
  """
  at = grid.to_cells(roots, stride)
  nearest = jnp.round(at)
  last = jnp.array([size[1] - 1, size[0] - 1], at.dtype)
  cell = jnp.clip(nearest, 0, last)
  if offsets is None:
    slot, kept = jnp.zeros(rooted.shape, jnp.int32), rooted
  else:
    inside = rooted & (cell == nearest).all(-1)
    slot, kept = jax.vmap(assign)(offsets, at - cell, cell.astype(jnp.int32), inside)
  return Places(cell.astype(jnp.int32), at - cell, slot, kept)


def assign(
  offsets: jax.Array, within: jax.Array, cell: jax.Array, valid: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """Slots of the persons of one image: in each cell the sum of distances is the least.

  Args:
    offsets: (P, K, 2) root positions that the slots of each person's cell say, in cells.
    within: (P, 2) true root positions inside the cells.
    cell: (P, 2) int (x, y).
    valid: (P,) bool.

  Returns:
    slot (P,) int32 in 0..K − 1, and which persons have one (P,) bool: of more than K persons of a
    cell the first K.
  """
  slots = offsets.shape[1]
  cost = _distance(jax.lax.stop_gradient(offsets) - within[:, None])
  # Padding may hold anything.
  cost = jnp.where(valid[:, None], cost, 0)
  together = (cell[:, None] == cell[None]).all(-1) & valid[:, None] & valid[None]
  rank = jnp.tril(together, -1).sum(1)
  # Of each person: the costs of its cell's persons by rank. One that is absent costs nothing.
  ranked = together[:, :, None] & (rank[:, None] == np.arange(slots))  # (P, other, rank)
  table = jnp.einsum('por,ok->prk', ranked.astype(cost.dtype), cost, precision='highest')
  ways = np.array(list(itertools.permutations(range(slots))))  # (K!, rank) → slot
  totals = table[:, np.arange(slots), ways].sum(-1)  # (P, K!)
  best = jnp.asarray(ways)[jnp.argmin(totals, -1)]
  slot = jnp.take_along_axis(best, jnp.minimum(rank, slots - 1)[:, None], -1)[:, 0]
  return slot.astype(jnp.int32), valid & (rank < slots)


def of_slot(every: Representation, slot: jax.Array) -> Representation:
  """One slot of each person: fields (B, P, K, ...) → (B, P, ...)."""
  slots = every.phi.shape[2]
  if slots == 1:
    return jax.tree.map(lambda x: x[:, :, 0], every)
  chosen = slot[..., None] == np.arange(slots)

  def pick(x: jax.Array) -> jax.Array:
    weights = chosen.reshape(chosen.shape + (1,) * (x.ndim - 3))
    return jnp.where(weights, x, 0).sum(2)

  return jax.tree.map(pick, every)


def loss(
  logits: jax.Array, found: Places, offset: jax.Array | None, roots: jax.Array, stride: int
) -> terms.Term:
  """How wrong H's roots are: cross-entropy, with K ≥ 2 and the L1 of positions inside the cells.

  Both are summed over what they are of and divided by the number of logits, so that the mean over
  several devices is that of the whole batch: a person's position counts as much as its logit.

  Args:
    logits: (B, h', w', K).
    found: where the true persons are.
    offset: (B, P, 2) of the persons' slots, in cells; None with K = 1.
    roots: (B, P, 2) px.
    stride: px a cell.
  """
  size = logits.shape[1:3]
  if offset is None:
    wanted = jax.vmap(lambda points, drawn: render_heatmaps(
      points[:, None], drawn[:, None], size, stride=stride, sigma=SIGMA * stride, combine='max',
    ))(roots, found.kept)
    return map_losses.sigmoid_cross_entropy(logits, wanted)
  wanted = jax.vmap(functools.partial(taken, size=size, slots=logits.shape[-1]))(
    found.cell, found.slot, found.kept
  )
  presence = map_losses.sigmoid_cross_entropy(logits, wanted)
  position = pose.masked_l1(offset, found.within, found.kept)
  return terms.Term(presence.sum + position.sum, presence.weight)


def taken(
  cell: jax.Array, slot: jax.Array, kept: jax.Array, size: tuple[int, int], slots: int
) -> jax.Array:
  """(h', w', K): 1 for the slots of one image that a person has, else 0.

  Args:
    cell: (P, 2) int (x, y).
    slot: (P,) int.
    kept: (P,) bool: persons that have a slot.
    size: (h', w').
    slots: K.
  """
  ones = (
    (cell[:, None, axis] == np.arange(count)).astype(jnp.float32)
    for axis, count in ((1, size[0]), (0, size[1]))
  )
  which = ((slot[:, None] == np.arange(slots)) & kept[:, None]).astype(jnp.float32)
  return jnp.minimum(jnp.einsum('ph,pw,pk->hwk', *ones, which), 1)


def candidates(logits: jax.Array, count: int) -> Candidates:
  """The `count` slots of (B, h', w', K) with the largest logits, or all where there are fewer."""
  b, h, w, slots = logits.shape
  best, index = jax.lax.top_k(logits.reshape(b, -1), min(count, h * w * slots))
  cell = index // slots
  return Candidates(jnp.stack([cell % w, cell // w], -1), index % slots, jax.nn.sigmoid(best))


def people(
  found: Candidates, positions: jax.Array, stride: int, threshold: float, max_people: int
) -> tuple[jax.Array, jax.Array]:
  """Which candidates are people: above the threshold, and no better one of another cell is near.

  Near is half a cell: neighbours that both see a root on their border. Slots of one cell never
  suppress each other.

  Args:
    found: N candidates, best first.
    positions: (B, N, 2) px of their roots.
    stride: px a cell.
    threshold: least score.
    max_people: P ≤ N.

  Returns:
    index (B, P) into the candidates, best first, and valid (B, P) bool.
  """

  def one(cell, position, score):
    near = _distance(position[:, None] - position) < stride / 2
    rivals = near & (cell[:, None] != cell).any(-1)

    def visit(i, kept):
      return kept.at[i].set((score[i] > threshold) & ~(kept & rivals[i]).any())

    kept = jax.lax.fori_loop(0, len(score), visit, jnp.zeros(score.shape, bool))
    best, index = jax.lax.top_k(jnp.where(kept, score, -1.0), max_people)
    return index, best > 0

  return jax.vmap(one)(found.cell, positions, found.scores)


def _distance(vectors: jax.Array) -> jax.Array:
  """Lengths along the last axis; never differentiated, so no guard at 0."""
  return jnp.sqrt((vectors**2).sum(-1))
