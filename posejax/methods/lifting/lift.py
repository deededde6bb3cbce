"""The lifters: stage `lifter` trains some side by side, stage `choice` keeps one of them.

Near orthography every 2D pose has two readings, depth and θ or both negated: a run may end in the
wrong one for all poses. So several lifters are trained on the same batches from other weights; the
second starts as the first's mirror image. Kept is, of those whose θ rises as the cue below says,
the one that says most nearly the same from all sides (`uncertainty`) of held-out 2D poses [R], or
with `choice.by` likelihood the one of lowest NLL + bone loss (spec/lifting.md). Of six lifters of
three runs the former was in the order of their errors on validation, the latter was not. It cannot
tell a mirrored lifter, which is as consistent: the cue must. No 3D is looked at.

The cue: of two people in one picture the one whose pelvis is lower is seen from farther above, so
its θ is smaller. The sign of the correlation of the differences tells the mirror [R]; the sign of
θ's mean fails where cameras may stand low.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np
import optax

from posejax.geometry import lifting
from posejax.methods.base import (
  ONE_DEVICE,
  Context,
  Loss,
  LossValues,
  Networks,
  Phase,
  Product,
  Source,
  Stage,
  StagePlan,
)
from posejax.methods.lifting import people, prior, schedule, step, uncertainty
from posejax.metrics import pose as pose_metrics
from posejax.models import lifter as lifter_lib

_JUDGED = 512  # held-out poses of a look
_CUES = ('apart_2', 'close_2')
CONSISTENCY, LIKELIHOOD = CHOICES = ('consistency', 'likelihood')


def plan() -> StagePlan:
  """The stage of the lifters."""
  return StagePlan(
    'lifter', fields=('lifter', 'flow', 'parts', 'c', *people.VIEW_FIELDS),
    reads=('poses', 'flow', 'parts', 'validation'), seeds=('seed', 'lifter.seed'), build=build,
  )


def choice_plan() -> StagePlan:
  """The stage that chooses."""
  return StagePlan(
    'choice', fields=('choice', 'lifter', 'c', *people.VIEW_FIELDS),
    reads=('poses', 'flow', 'parts', 'validation', 'lifter'), seeds=('seed', 'lifter.seed'),
    make=choose,
  )


def names(config: ml_collections.ConfigDict) -> tuple[str, ...]:
  """The lifters of a run."""
  return tuple(f'lifter_{i}' for i in range(config.lifter.count))


def frozen_of(config: ml_collections.ConfigDict, products: dict[str, Product]) -> dict[str, Any]:
  """What the steps read."""
  return {
    **prior.arrays(config, products), 'flow': products['flow'].params['flow'],
    'parts': dict(products['parts'].params),
  }


def draw(config: ml_collections.ConfigDict, frozen: Any, keys: jax.Array) -> step.Batch:
  """A batch, with sampled poses behind the real ones where `lifter.resample`."""
  poses = people.draw(config, frozen, keys)
  halves = 2 if config.lifter.resample else 1
  if halves == 2:
    poses = jnp.concatenate([poses, prior.sampled(config, frozen, poses, keys)])

  def angles(key: jax.Array) -> tuple[jax.Array, jax.Array]:
    turn_key, key = jax.random.split(jax.random.fold_in(key, 4))
    azimuth = jax.random.uniform(turn_key, (halves,), minval=-jnp.pi, maxval=jnp.pi)
    return azimuth, jax.random.normal(key, (halves,))

  azimuth, normal = jax.vmap(angles, out_axes=1)(keys)
  return step.Batch(poses, azimuth.reshape(-1), normal.reshape(-1))


def build(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Stage:
  """The training of the lifters."""
  settings, lifter = config.lifter, lifter_lib.Lifter(step.shape(config))

  def init(key: jax.Array) -> tuple[Networks, Networks]:
    example = jnp.zeros((1, people.SKELETON.num_joints, 2))
    params: dict[str, Any] = {}
    for i, name in enumerate(names(config)):
      # Odd ones begin as the mirror image of the one before.
      params[name] = (
        lifter_lib.mirrored(params[f'lifter_{i - 1}']) if i % 2 and settings.mirror_start
        else lifter.init(jax.random.fold_in(key, i), example)['params']
      )
    return params, {}

  def losses(context: Context, batch: step.Batch) -> LossValues:
    count = jnp.asarray(len(batch.poses), jnp.float32)
    whole, logged = 0.0, {}
    for name in names(config):
      found = step.turned(config, context.params[name], batch, context.collectives)
      values = step.terms_of(config, found, context.frozen)
      values['total'] = step.total(config, values)
      whole = whole + values['total']
      middle, spread = step.statistics(found.theta, 0.0, context.collectives)
      values |= {'theta_mean_deg': jnp.rad2deg(middle), 'theta_sd_deg': jnp.rad2deg(spread)}
      logged |= {f'{name}/{key}': (value * count, count) for key, value in values.items()}
    return LossValues({'lifters': (whole * count, count)}, logged=logged)

  frozen = frozen_of(config, products)
  return Stage(
    init=init,
    sources={'poses': Source(
      settings.batch, losses, lambda frozen, host, keys: draw(config, frozen, keys)
    )},
    losses={
      'lifters': Loss('poses', names(config), separate(config), schedule.rate(settings))
    },
    phases=(Phase('lifter', settings.steps, ('poses',), ('lifters',)),), frozen=frozen,
    validate=_validator(config, products),
  )


def separate(config: ml_collections.ConfigDict) -> optax.GradientTransformation:
  """An optimizer for each lifter, so that the gradient of one does not clip another's.

  One loss, the sum, has all their gradients: a loss for each would compile every lifter K times.
  """
  return optax.partition(
    {name: schedule.optimizer(config.lifter) for name in names(config)},
    lambda params: {
      name: jax.tree.map(lambda leaf: name, tree)  # noqa: B023
      for name, tree in params.items()
    },
  )


def _validator(config: ml_collections.ConfigDict, products: dict[str, Product]):
  """PA-MPJPE on held-out people, for the log alone: no choice looks at it."""
  views = people.read_views(products['validation'].arrays, 'single')
  unit = float(products['poses'].arrays['unit'])
  views = jax.tree.map(lambda x: x[:_JUDGED], views)
  truth = views.levelled[:, 0]
  poses = normalised(config, views, unit)[:, 0]
  lift = jax.jit(lambda params: lift_poses(config, params, poses)[0])

  def validate(params: Networks, batch_stats: Networks, frozen: Any) -> dict[str, float]:
    del batch_stats, frozen
    mask = np.ones(truth.shape[:2], bool)
    return {
      f'pa_mpjpe_{name}_mm': float(
        pose_metrics.procrustes_errors(np.asarray(lift(params[name])), truth, mask).mean()
      ) for name in names(config)
    }

  return validate


def normalised(
  config: ml_collections.ConfigDict, views, unit: float
) -> np.ndarray:
  """(S, P, J, 2) normalised 2D poses of views."""
  return np.asarray(people.centred(config, views.rays, views.rectified)) / (config.c * unit)


def lift_poses(
  config: ml_collections.ConfigDict, params: Any, poses: jax.Array
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Root-relative poses (B, J, 3), depths (B, J), θ (B,); compositions are averaged."""
  depth, theta = lifter_lib.Lifter(step.shape(config)).apply({'params': params}, poses)
  depth = depth.mean(1)
  return lifting.lift(poses, depth, config.c, clamp=False), depth, theta


def cue_correlation(theta: np.ndarray, height: np.ndarray) -> float:
  """Correlation of θ's differences with those of the pelvises' heights, over pairs of a picture.

  Args:
    theta: (S, P) rad.
    height: (S, P) of the pelvises in the image, downwards, any unit.

  Returns:
    Negative for a lifter that is not mirrored; 0 where nothing differs.
  """
  i, j = np.triu_indices(theta.shape[1], 1)
  first, second = (x[:, i] - x[:, j] for x in (np.asarray(theta), np.asarray(height)))
  scale = np.sqrt((first**2).sum() * (second**2).sum())
  return float((first * second).sum() / scale) if scale > 0 else 0.0


def choose(config: ml_collections.ConfigDict, products: dict[str, Product]) -> Product:
  """Keeps one lifter.

  Returns:
    The chosen network as 'lifter'; the `scores`, and chosen ().
  """
  found = scores(config, products)
  by = {
    CONSISTENCY: found['spread'],
    LIKELIHOOD: found['nll'] + config.lifter.weights.bone * found['bone'],
  }
  chosen = best(by[config.choice.by], found['cue'], config.lifter.use_cue)
  return Product(
    params={'lifter': products['lifter'].params[names(config)[chosen]]},
    arrays={**found, 'chosen': np.int32(chosen)},
  )


def scores(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> dict[str, np.ndarray]:
  """What held-out 2D poses say of the K lifters.

  Returns:
    (K,) each: nll (median) and bone loss, spread (median uncertainty), cue.
  """
  frozen, unit = frozen_of(config, products), float(products['poses'].arrays['unit'])
  seen = prior.held_out(config, products)
  keys = jax.random.split(jax.random.key(config.seed), len(seen))
  # The held-out batch has no sampled half.
  plain = config.copy_and_resolve_references().unlock()
  plain.lifter.resample = False
  angles = jax.jit(lambda f, k: draw(plain, f, k))(frozen, keys)
  batch = angles._replace(poses=seen)
  scenes = [people.read_views(products['validation'].arrays, label) for label in _CUES]

  @jax.jit
  def score(params: Any) -> tuple[jax.Array, ...]:
    found = step.turned(plain, params, batch, ONE_DEVICE)
    nll = jnp.median(prior.scores(config, frozen['flow'], frozen, found.seen))
    values = step.terms_of(plain, found, frozen)
    thetas = [
      lift_poses(config, params, jnp.asarray(normalised(config, views, unit)).reshape(
        -1, people.SKELETON.num_joints, 2))[2] for views in scenes
    ]
    return nll, values['bone'], jnp.median(uncertainty.spread(config, params, seen)), *thetas

  rows = []
  for name in names(config):
    nll, bone, spread, *thetas = score(products['lifter'].params[name])
    cue = np.mean([
      cue_correlation(np.asarray(theta).reshape(views.theta.shape), views.rays[:, :, 0, 1])
      for theta, views in zip(thetas, scenes, strict=True)
    ])
    rows.append((float(nll), float(bone), float(spread), float(cue)))
  return dict(zip(('nll', 'bone', 'spread', 'cue'), np.array(rows, np.float32).T, strict=True))


def best(scores: np.ndarray, cue: np.ndarray, use_cue: bool) -> int:
  """Which lifter to keep: the lowest score of those that the cue does not call mirrored."""
  upright = cue < 0
  allowed = upright if use_cue and upright.any() else np.ones_like(upright)
  return int(np.argmin(np.where(allowed, scores, np.inf)))
