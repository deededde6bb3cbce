"""Persons from peaks and limb scores: greedy matching per limb, then assembly.

Symbols: P persons, J joints, L limbs, K peaks of a joint, N = J·K peaks of the image, each known by
its number j·K + k. Every size is static: free slots are masked, and all of it runs under jit.

Matching [P, spec/openpose.md]: per limb, the pair of the best score first, each peak used once.

Assembly. OpenPose's code walks the limbs and keeps a table of partial persons that it extends,
merges and overwrites. Where the limbs form a tree, that table is the connected components of the
matched pairs: each peak has at most one partner per limb, so that a component can hold no joint
twice, in whatever order the limbs come. So here each peak takes the name of its partner nearer to
the tree's root, limb by limb, and no table is searched. (One difference to the published code: it
forgets a matched peak when the limb reaches the person against its direction. Here it counts.)

COCO's limbs are no tree: two run from ear to shoulder, so that a head seen from behind keeps its
body. Such limbs are `redundant`: as in OpenPose they come last and never take from a person
what it has. Best score first, two components become one where they share no joint; a pair that
would give a person a second nose is dropped. A limb of the list that closes a cycle with those
before it is redundant whether named or not; `redundant_limbs` names a skeleton's.

A person's score is (Σ peak scores + Σ scores of the limbs that joined them)/parts, OpenPose's; it
is kept with ≥ 3 parts and a score ≥ 0.4.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import arguments
from posejax.geometry.skeleton import Skeleton
from posejax.heatmaps import grid
from posejax.heatmaps.keypoints import Peaks, find_peaks
from posejax.heatmaps.paf import score_limbs


class People2D(NamedTuple):
  """Persons found in one image, most evidence first. P = max_people slots.

  Attributes:
    joints: (P, J, 2) px; 0 where not visible.
    scores: (P, J) the peaks' scores; 0 where not visible.
    visible: (P, J) bool, the joint was found.
    score: (P,) the person's score; 0 for a free slot. The order is by score · parts: by the mean
      alone, three good joints would come before a whole person.
    valid: (P,) bool, the slot holds a person.
  """

  joints: jax.Array
  scores: jax.Array
  visible: jax.Array
  score: jax.Array
  valid: jax.Array


class _Step(NamedTuple):
  """A limb of the forest, walked away from its root: from joint `near` to joint `far`."""

  limb: int
  near: int
  far: int
  turned: bool = False


def redundant_limbs(skeleton: Skeleton) -> tuple[int, ...]:
  """The limbs of a skeleton that its tree of parents lacks: COCO-18's ears to shoulders."""
  return tuple(
    i for i, (a, b) in enumerate(skeleton.limbs)
    if skeleton.parents[b] != a and skeleton.parents[a] != b
  )


def group_people(
  heatmaps: jax.Array,
  pafs: jax.Array,
  limbs: grid.Limbs,
  *,
  stride: float = 8.0,
  max_people: int = 16,
  max_peaks: int = 16,
  redundant: tuple[int, ...] = (),
  threshold: float = 0.1,
  refine: bool = True,
  samples: int = 10,
  paf_threshold: float = 0.05,
  min_fraction: float = 0.8,
  min_parts: int = 3,
  min_score: float = 0.4,
) -> People2D:
  """Finds the persons in one image's maps: peaks, limb scores, matching, assembly.

  Args:
    heatmaps: (H, W, J), without the background channel.
    pafs: (H, W, 2L). In either, a value that is not finite (or beyond ±1e6) counts as 0.
    limbs: L pairs of joints, in the order of the fields. J ≥ 1; joints in no limb are never part
      of a person.
    stride: px of a cell.
    max_people: P, slots for persons.
    max_peaks: K, slots for each joint's peaks: at least the persons expected.
    redundant: limbs that only join what the others found (`redundant_limbs`).
    threshold: least heat-map value of a peak.
    refine: sub-cell positions.
    samples: points of a limb's line integral.
    paf_threshold: least product of such a point that counts as agreeing.
    min_fraction: least share of agreeing points.
    min_parts: least joints of a person.
    min_score: least score of a person.

  Returns:
    People2D.

  Raises:
    ValueError: a shape or number does not fit.
  """
  peaks = find_peaks(
    heatmaps, stride=stride, threshold=threshold, max_peaks=max_peaks, refine=refine
  )
  if jnp.shape(heatmaps)[:2] != jnp.shape(pafs)[:2]:
    raise ValueError(
      f'group_people: maps must be of one size, got {jnp.shape(heatmaps)[:2]} and '
      f'{jnp.shape(pafs)[:2]}; vmap over batches'
    )
  scores = score_limbs(
    pafs, peaks, limbs, stride=stride, samples=samples, threshold=paf_threshold,
    min_fraction=min_fraction,
  )
  return assemble(
    peaks, scores, match_limbs(scores), limbs, max_people=max_people, redundant=redundant,
    min_parts=min_parts, min_score=min_score,
  )


def match_limbs(scores: jax.Array) -> jax.Array:
  """Greedy one-to-one matching of each limb's pairs, best score first.

  A pair that is the best of its row and of its column is the greedy choice whatever else is
  chosen, so that each round takes all such pairs of all limbs at once: a few rounds instead of K.
  Of equal scores the first in reading order goes first, as in the one-by-one procedure.

  Args:
    scores: (L, K, K) from `score_limbs`; a pair counts where it is > 0.

  Returns:
    (L, K, K) bool, at most one True per row and per column.

  Raises:
    ValueError: any other shape.
  """
  scores = jnp.asarray(scores)
  if scores.ndim != 3 or scores.shape[1] != scores.shape[2]:
    raise ValueError(f'match_limbs: scores must have shape (L, K, K), got {scores.shape}')
  # The choice itself has no gradient; positions and scores of what is chosen keep theirs.
  scores = jax.lax.stop_gradient(jnp.where(scores > 0, scores, 0))
  slots = scores.shape[1]
  number = jnp.arange(slots)

  def first_best(free: jax.Array, axis: int) -> jax.Array:
    best = (free == jnp.max(free, axis=axis, keepdims=True)) & (free > 0)
    place = jnp.expand_dims(number, (0, 3 - axis))
    first = jnp.min(jnp.where(best, place, slots), axis=axis, keepdims=True)
    return place == first

  def take(state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    free, chosen = state
    new = first_best(free, 1) & first_best(free, 2)
    used = jnp.any(new, axis=1, keepdims=True) | jnp.any(new, axis=2, keepdims=True)
    return jnp.where(used, 0, free), chosen | new

  start = scores, jnp.zeros(scores.shape, bool)
  if scores.size == 0:
    return start[1]
  return jax.lax.while_loop(lambda state: jnp.any(state[0] > 0), take, start)[1]


def assemble(
  peaks: Peaks,
  scores: jax.Array,
  matched: jax.Array,
  limbs: grid.Limbs,
  *,
  max_people: int,
  redundant: tuple[int, ...] = (),
  min_parts: int = 3,
  min_score: float = 0.4,
) -> People2D:
  """Joins matched pairs to persons: see the module's docstring.

  Args:
    peaks: (J, K) candidates.
    scores: (L, K, K) of the pairs.
    matched: (L, K, K) bool, the pairs chosen.
    limbs: L pairs of joints.
    max_people: P.
    redundant: limbs that come last.
    min_parts: least joints of a person.
    min_score: least score of a person.

  Returns:
    People2D.

  Raises:
    ValueError: a shape, limb or number does not fit.
  """
  grid.check_count('assemble', max_people=max_people, min_parts=min_parts)
  num_joints, slots = peaks.scores.shape
  table = grid.check_limbs('assemble', limbs, num_joints)
  pairs = len(table), slots, slots
  scores, matched = arguments.as_float('assemble', 'scores', scores, pairs), jnp.asarray(matched)
  if matched.shape != pairs:
    raise ValueError(
      f'assemble: matched must have shape {pairs}, got {matched.shape}; vmap over batches'
    )
  levels, extra = _tree_first(table, redundant)
  names, weights = _follow_tree(peaks, scores, matched, levels)
  if extra:
    names, weights = _merge(names, weights, scores, matched, table, extra)
  return _select(peaks, names, weights, max_people, min_parts, min_score)


def _tree_first(
  table: np.ndarray, redundant: tuple[int, ...]
) -> tuple[list[list[_Step]], list[int]]:
  """Splits limbs into a forest, as steps from its roots outwards, level by level, and the rest."""
  if any(not 0 <= limb < len(table) for limb in redundant):
    raise ValueError(f'assemble: redundant limbs {redundant} are not all in 0..{len(table) - 1}')
  tree_of = list(range(table.max(initial=-1) + 1))
  forest, extra = [], []
  for limb in sorted(range(len(table)), key=lambda limb: limb in redundant):
    a, b = (tree_of[joint] for joint in table[limb])
    if limb in redundant or a == b:
      extra.append(limb)
    else:
      forest.append(limb)
      tree_of = [a if tree == b else tree for tree in tree_of]
  # The first joint of each tree is its root, at depth 0.
  depth = dict.fromkeys(tree_of, 0)
  levels = []
  while forest:
    level = []
    for limb in forest:
      a, b = table[limb].tolist()
      if a in depth or b in depth:
        level.append(_Step(limb, a, b) if a in depth else _Step(limb, b, a, turned=True))
    depth |= {step.far: len(levels) + 1 for step in level}
    forest = [limb for limb in forest if limb not in {step.limb for step in level}]
    levels.append(level)
  return levels, extra


def _follow_tree(
  peaks: Peaks, scores: jax.Array, matched: jax.Array, levels: list[list[_Step]]
) -> tuple[jax.Array, jax.Array]:
  """Each peak's component, and what it adds to its person: its own score and that of its limb.

  Args:
    peaks: (J, K).
    scores: (L, K, K).
    matched: (L, K, K) bool.
    levels: the forest's limbs from `_tree_first`.

  Returns:
    names (J, K), the number of the component's peak nearest to the root, and weights (J, K).
  """
  num_joints, slots = peaks.scores.shape
  steps = [step for level in levels for step in level]
  limbs = np.array([step.limb for step in steps], int)
  turned = np.array([step.turned for step in steps], bool)[:, None, None]
  pairs, score = (
    jnp.where(turned, jnp.swapaxes(a[limbs], 1, 2), a[limbs]) for a in (matched, scores)
  )
  joined = jnp.any(pairs, axis=1)
  gain = jnp.sum(jnp.where(pairs, score, 0), axis=1)

  # Joints in the order in which they are reached, roots (and joints in no limb) first.
  reached = [step.far for step in steps]
  order = np.array([j for j in range(num_joints) if j not in reached] + reached)
  place = np.argsort(order)
  own = order[:, None] * slots + np.arange(slots)
  roots = done = num_joints - len(steps)
  names = jnp.asarray(own[:roots])
  for level in levels:
    now = slice(done - roots, done - roots + len(level))
    near = names[place[[step.near for step in level]]]
    partner = jnp.sum(jnp.where(pairs[now], near[:, :, None], 0), axis=1)
    new = jnp.where(joined[now], partner, own[done : done + len(level)])
    names, done = jnp.concatenate([names, new]), done + len(level)
  weights = jnp.concatenate([peaks.scores[order[:roots]], peaks.scores[order[roots:]] + gain])
  return names[place], weights[place]


def _merge(
  names: jax.Array, weights: jax.Array, scores: jax.Array, matched: jax.Array, table: np.ndarray,
  extra: list[int],
) -> tuple[jax.Array, jax.Array]:
  """Joins components along redundant limbs, limb by limb, best score first.

  Args:
    names: (J, K) each peak's component.
    weights: (J, K) what each peak adds to its person's evidence.
    scores: (L, K, K).
    matched: (L, K, K) bool.
    table: (L, 2) limbs.
    extra: the redundant ones.

  Returns:
    `names` and `weights` with the joined pairs in.
  """
  slots = names.shape[1]
  chosen = np.array(extra)
  # A row has one pair at most: K pairs per limb, (E·K,) in the order in which they are tried.
  score = jnp.max(jnp.where(matched[chosen], scores[chosen], 0), axis=2)
  order = jnp.argsort(-score, axis=1)
  score = jnp.take_along_axis(score, order, axis=1)
  b = jnp.take_along_axis(jnp.argmax(matched[chosen], axis=2), order, axis=1)
  first = (order + table[chosen, :1] * slots).reshape(-1)
  second = (b + table[chosen, 1:] * slots).reshape(-1)
  score = score.reshape(-1)
  number = jnp.arange(names.size).reshape(names.shape)

  def join(i: int, state: tuple[jax.Array, jax.Array]) -> tuple[jax.Array, jax.Array]:
    names, weights = state
    one = names == names.reshape(-1)[first[i]]
    two = names == names.reshape(-1)[second[i]]
    # One component shares every joint with itself, so that a pair inside it is dropped too.
    shared = jnp.any(jnp.any(one, axis=1) & jnp.any(two, axis=1))
    join = (score[i] > 0) & ~shared
    names = jnp.where(join & two, names.reshape(-1)[first[i]], names)
    return names, weights + jnp.where(join & (number == first[i]), score[i], 0)

  return jax.lax.fori_loop(0, score.size, join, (names, weights))


def _select(
  peaks: Peaks, names: jax.Array, weights: jax.Array, max_people: int, min_parts: int,
  min_score: float,
) -> People2D:
  """The components that are persons, most evidence first."""
  count = names.size
  # (N, N) comparisons rather than a scatter of sums, which XLA's CPU back-end does one by one.
  member = names.reshape(1, -1) == jnp.arange(count)[:, None]
  member &= peaks.valid.reshape(-1)
  parts = jnp.sum(member, axis=1)
  evidence = jnp.sum(jnp.where(member, weights.reshape(-1), 0), axis=1)
  mean = evidence / jnp.maximum(parts, 1)
  kept = (parts >= min_parts) & (mean >= min_score)
  slots = min(max_people, count)
  order, chosen = jax.lax.top_k(jnp.where(kept, evidence, -jnp.inf), slots)
  valid = order > -jnp.inf
  mine = (names == chosen[:, None, None]) & peaks.valid & valid[:, None, None]
  people = People2D(
    joints=jnp.sum(jnp.where(mine[..., None], peaks.positions, 0), axis=2),
    scores=jnp.sum(jnp.where(mine, peaks.scores, 0), axis=2),
    visible=jnp.any(mine, axis=2),
    score=jnp.where(valid, mean[chosen], 0),
    valid=valid,
  )
  spare = max_people - slots
  return jax.tree.map(lambda a: jnp.pad(a, [(0, spare)] + [(0, 0)] * (a.ndim - 1)), people)
