"""Who does a motion and how: the recipes as one table, personal style, control points.

Symbols: V recipes, F families, K = 16 control points per cycle, D channels
(`motion_channels.CHANNELS`, degrees and mm), M control points of one motion.

Style: amplitude and offset per channel, mirror image, tempo, phase, and a slow wander by cosines
whose frequencies are no multiples of the cycle's, so that no two cycles are quite the same. All of
it acts on control points; `motion_curves` makes curves of them. Source: our design [R].
"""

import functools
import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.synth import motion_channels as channels_lib
from posejax.synth.motion_channels import CHANNELS, Recipe
from posejax.synth.motion_families import RECIPES, Family

KNOTS = 16

# Frequencies of the random part in cycles per cycle, and their weights; 0 is a constant offset.
WANDER_FREQUENCIES = np.array([0.0, 0.23, 0.41, 1.0, 2.0])
WANDER_WEIGHTS = np.array([0.7, 0.5, 0.4, 0.5, 0.25])

CALM_HZ = 1.5  # faster random movement than this fades

# Standard deviations at spread 1, degrees.
SIGMA = {
  'pitch': 14, 'lean': 9, 'yaw': 10, 'hip_tilt': 5, 'twist': 24, 'shrug': 8, 'nod': 16,
  'head_tilt': 12, 'hip': 14, 'abduct': 7, 'bend': 16, 'knee': 10, 'knee_out': 6, 'ankle': 6,
  'toe_out': 6, 'arm': 50, 'arm_out': 30, 'elbow': 42, 'forearm': 30,
}
AMPLITUDE = (0.8, 1.15)  # of a recipe's movement about its mean
# Where the yaw of a planted foot counters the body's turn: cycles since mid-stance, in stance.
STANCE_YAW = np.array(
  [-0.28, -0.22, -0.16, -0.1, -0.04, 0.02, 0.08, 0.14, 0.2, 0.26, 0.2, 0.08, -0.06, -0.18, -0.28,
   -0.32]
)


class Table(NamedTuple):
  """All recipes as arrays."""

  control: np.ndarray  # (V, K, D)
  period_s: np.ndarray  # (V, 2)
  sigma: np.ndarray  # (V, D)
  frontal: np.ndarray  # (V,) bool
  yaw_rate: np.ndarray  # (V, 2) degrees/s
  first: np.ndarray  # (F,) first recipe of each family
  count: np.ndarray  # (F,)


class Style(NamedTuple):
  """What is drawn once per motion. Legs and trunk follow recipe `rows[0]`, the arms `rows[1]`."""

  family: jax.Array  # () int
  rows: jax.Array  # (2,) int
  frequency: jax.Array  # (2,) cycles/s, signed
  phase: jax.Array  # (2,) cycles at time 0
  amplitude: jax.Array  # (D,) the same for all of the trunk, the legs, the arms
  wander: jax.Array  # (2, N, D) cosine and sine amplitudes at WANDER_FREQUENCIES
  yaw_rate: jax.Array  # () degrees/s
  mirrored: jax.Array  # () bool


def index(name: str) -> int:
  return CHANNELS.index(name)


def _resampled(curve: channels_lib.Curve) -> np.ndarray:
  values = np.atleast_1d(np.asarray(curve, float))
  at = np.arange(KNOTS) * len(values) / KNOTS
  return np.interp(at, np.arange(len(values) + 1), np.append(values, values[0]))


def _control_points(recipe: Recipe) -> np.ndarray:
  """(K, D): the recipe's curves over the resting person's."""
  control = np.zeros((KNOTS, len(CHANNELS)))
  own = [name for name in recipe.curves if name in CHANNELS]
  shared = {**channels_lib.REST, **{k: v for k, v in recipe.curves.items() if k not in own}}
  for name, curve in shared.items():
    for side in channels_lib.SIDES:
      late = KNOTS // 2 if recipe.alternate and side == 'l_' else 0
      control[:, index(side + name)] = np.roll(_resampled(curve), late)
  for name in own:
    control[:, index(name)] = _resampled(recipe.curves[name])
  return control


def _part(channel: str) -> int:
  """0 trunk and head, 1 legs, 2 arms."""
  if channel[:2] not in channels_lib.SIDES:
    return 0
  return 1 if channel[2:] in channels_lib.LEG else 2


def _sigma(recipe: Recipe) -> np.ndarray:
  return np.array([
    recipe.spread[_part(name)] * SIGMA.get(name.removeprefix('r_').removeprefix('l_'), 0.0)
    for name in CHANNELS
  ])


@functools.cache
def recipe_list() -> tuple[tuple[Family, Recipe], ...]:
  """(family, recipe) of each of the V rows of the table."""
  return tuple((family, recipe) for family, group in RECIPES.items() for recipe in group)


@functools.cache
def table() -> Table:
  recipes = [recipe for _, recipe in recipe_list()]
  count = np.array([len(RECIPES.get(family, ())) for family in Family])
  return Table(
    control=np.stack([_control_points(recipe) for recipe in recipes]),
    period_s=np.array([recipe.period_s for recipe in recipes]),
    sigma=np.stack([_sigma(recipe) for recipe in recipes]),
    frontal=np.array([recipe.frontal_arms for recipe in recipes]),
    yaw_rate=np.array([recipe.yaw_rate for recipe in recipes], float),
    first=np.cumsum(count) - count,
    count=count,
  )


def _lenders(families: tuple[Family, ...], part: str) -> np.ndarray:
  rows = [
    row for row, (family, recipe) in enumerate(recipe_list())
    if family in families and part in recipe.mixes
  ]
  return np.array(rows or [0])


def lends(families: tuple[Family, ...]) -> bool:
  """Whether these families have both legs and arms to give to a mixture."""
  mixes = {part for family, recipe in recipe_list() if family in families for part in recipe.mixes}
  return mixes == {'lower', 'upper'}


def sample_style(
  key: jax.Array, family: jax.Array | None, families: tuple[Family, ...], variation: float
) -> Style:
  """Draws who does the motion and how.

  Args:
    key: one random key.
    family: () int, a `Family`; None draws one of `families`.
    families: what is drawn from, and where a mixture takes its legs and arms from.
    variation: scale of all personal style; 0 gives the recipe itself, exactly periodic.

  Returns:
    The style.
  """
  data = table()
  dtype = jnp.result_type(float)
  num = len(CHANNELS)
  # One call of the generator in all: its code is most of what is compiled here.
  wanders = (2, len(WANDER_FREQUENCIES), num)
  uniform, spread = jnp.split(jax.random.uniform(key, (13 + math.prod(wanders),), dtype), [13])
  # Normal numbers; 0 would become −∞.
  symmetric = jnp.maximum(2 * spread - 1, -1 + 2.0**-22)
  wander = math.sqrt(2) * jax.lax.erf_inv(symmetric).reshape(wanders)

  def choose(unit: jax.Array, rows: np.ndarray) -> jax.Array:
    return jnp.asarray(rows)[_below(unit, len(rows))]

  if family is None:
    family = choose(uniform[12], np.array(families, np.int32))
  own = jnp.asarray(data.first)[family] + _below(uniform[0], jnp.asarray(data.count)[family])
  mixed = jnp.stack([
    choose(uniform[1], _lenders(families, 'lower')), choose(uniform[2], _lenders(families, 'upper'))
  ])
  rows = jnp.where(family == Family.MIXTURE, mixed, own)

  def within(unit: jax.Array, ranges: jax.Array) -> jax.Array:
    return ranges[..., 0] + unit * (ranges[..., 1] - ranges[..., 0])

  period = within(uniform[3:5], jnp.asarray(data.period_s, dtype)[rows])
  # One tempo and one phase where legs and arms belong together.
  together = rows[0] == rows[1]
  low, high = AMPLITUDE
  amplitude = (low + (high - low) * uniform[9:12])[np.array([_part(name) for name in CHANNELS])]
  return Style(
    family=family,
    rows=rows,
    frequency=1 / jnp.where(together, period[0], period),
    phase=jnp.where(together, uniform[5], uniform[5:7]),
    amplitude=1 + variation * (amplitude - 1),
    wander=variation * wander * jnp.asarray(WANDER_WEIGHTS, dtype)[:, None],
    yaw_rate=within(uniform[7], jnp.asarray(data.yaw_rate, dtype)[rows[0]]),
    mirrored=uniform[8] < 0.5,
  )


def _below(unit: jax.Array, count: jax.Array | int) -> jax.Array:
  """Integer in [0, count) of a number in [0, 1); 0 where there is nothing to choose."""
  return jnp.clip(jnp.floor(unit * count).astype(jnp.int32), 0, jnp.maximum(count - 1, 0))


def _split(lower: jax.Array, upper: jax.Array) -> jax.Array:
  """Channels of the legs and trunk from the first, the others from the second."""
  cut = len(channels_lib.LOWER)
  return jnp.concatenate([lower[..., :cut], upper[..., cut:]], axis=-1)


def control_points(style: Style, knots: jax.Array) -> jax.Array:
  """The control points of a person's motion, before the limits.

  Args:
    style: who and how.
    knots: (2, M) int, absolute knot numbers of legs and arms; 16 per cycle, any sign.

  Returns:
    (M, D) degrees, mm.
  """
  dtype = style.amplitude.dtype
  control = jnp.asarray(table().control, dtype)
  lower, upper = control[style.rows[0]], control[style.rows[1]]
  mean = _split(lower.mean(axis=0), upper.mean(axis=0))
  at = knots % KNOTS
  base = _split(lower[at[0]], upper[at[1]])
  multiples = jnp.asarray(WANDER_FREQUENCIES, dtype)
  angle = 2 * np.pi / KNOTS * knots[..., None] * multiples
  # A quick cycle's multiples would shake the limbs.
  calm = 1 / (1 + (multiples * style.frequency[:, None, None] / CALM_HZ) ** 2)
  wander = (calm * jnp.cos(angle)) @ style.wander[0] + (calm * jnp.sin(angle)) @ style.wander[1]
  sigma = jnp.asarray(table().sigma, dtype)[style.rows]
  spread = _split(sigma[0] * wander[0], sigma[1] * wander[1])
  points = mean + style.amplitude * (base - mean) + spread
  counter = jnp.asarray(STANCE_YAW, dtype)
  turn = style.yaw_rate / style.frequency[0]
  points = points.at[:, index('r_toe_out')].add(turn * counter[at[0]])
  return points.at[:, index('l_toe_out')].add(-turn * counter[(at[0] - KNOTS // 2) % KNOTS])


def mirrored(points: jax.Array) -> jax.Array:
  """The same motion in a mirror. (..., D) to (..., D)."""
  other = {'r_': 'l_', 'l_': 'r_'}
  order = [index(other.get(name[:2], name[:2]) + name[2:]) for name in CHANNELS]
  signs = [-1.0 if name in channels_lib.SIGN_FLIPS else 1.0 for name in CHANNELS]
  return points[..., np.array(order)] * jnp.asarray(signs, points.dtype)
