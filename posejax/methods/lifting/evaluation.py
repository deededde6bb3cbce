"""The evaluation of a finished run: single people, scenes by every composition, the lifters."""

import jax
import ml_collections
import numpy as np
from scipy import stats

from posejax.data import batches
from posejax.geometry import lifting
from posejax.methods.base import Evaluation, Product
from posejax.methods.lifting import compose, lift, people, uncertainty, wording
from posejax.metrics import pose as pose_metrics
from posejax.metrics import scenes as scene_metrics
from posejax.metrics import statistics
from posejax.metrics.figures import SceneSet, SceneSums
from posejax.synth.pose_views import Views

HEADLINE = 'pa_mpjpe_mm'
LEAD = 'pa_mpjpe_below_flat_mm'
_SHOWN = 4  # of each kind of scene


def evaluate_run(
  config: ml_collections.ConfigDict, products: dict[str, Product], split: str = 'test'
) -> Evaluation:
  """Evaluates a finished run.

  Args:
    config: of the run.
    products: of its stages.
    split: 'test' or 'validation'.
  """
  arrays, unit = products[split].arrays, float(products['poses'].arrays['unit'])
  networks = {
    'lifter': products['choice'].params['lifter'],
    'infill': products['infill'].params['infill'] if config.infill.steps else None,
  }
  key = jax.random.fold_in(jax.random.key(config.seed), 11)
  composer = compose.Composer(config, networks, unit)
  single = people.read_views(arrays, 'single')
  predicted = _single_predictions(composer, products, single, key)
  values, per_person = _single_errors(predicted, single)
  values |= _angles(composer, products, single)
  values |= _certainty(composer, single, per_person['lifted'])
  scene_sums = {HEADLINE: SceneSums(per_person['lifted'], np.ones(len(per_person['lifted'])))}
  shown = []
  for number, label in enumerate(people.measured(arrays)):
    views = people.read_views(arrays, label)
    found = composer.everything(views, jax.random.fold_in(key, number + 1))
    sums, figures = _scene_errors(label, found, views)
    scene_sums |= sums
    values |= figures
    if label in ('apart_2', 'apart_4', people.REAL):
      shown.append(_scene_set(label, found, views))
  still = people.still_views(config, products['poses'].arrays, split)
  sums, figures = _scene_errors('still_2', composer.still(still, people.SHOTS), still)
  scene_sums |= sums
  values |= figures
  estimates = {
    name: statistics.bootstrap(pair.sums, pair.weights) for name, pair in scene_sums.items()
  }
  ones = np.ones(len(per_person['lifted']))
  estimates[LEAD] = statistics.paired_bootstrap(per_person['flat'], per_person['lifted'], ones)
  values[LEAD] = estimates[LEAD].mean
  metrics = {
    name: wording.described(name, value, *estimates[name][1:] if name in estimates else ())
    for name, value in values.items()
  }
  return Evaluation(
    split=split, metrics=metrics, headline=HEADLINE,
    baselines=('baseline_flat_pa_mpjpe_mm', 'baseline_mean_pa_mpjpe_mm'), lead=LEAD,
    tables=wording.tables(values), scene_sums=scene_sums, cases=(), pose_sets=(),
    notes=wording.NOTES, skeleton=people.SKELETON, scene_sets=tuple(shown),
  )


def _single_predictions(composer: compose.Composer, products, views: Views, key):
  """Name → root-relative poses (S, J, 3), any scale, in the axes of the pelvis's ray."""
  clean, noisy = (composer.read(views, k) for k in (None, key))
  exact = compose.oracle(composer.config, views, composer.unit)
  c = composer.config.c
  lift_known = jax.jit(lambda poses, depth: lifting.lift(poses, depth, c, clamp=False))
  mean = np.asarray(products['poses'].arrays['mean'])
  # Facing the camera, upright: x of the mean pose is its front, z up.
  front = np.stack([mean[:, 1], -mean[:, 2], -mean[:, 0]], -1)
  return {
    'lifted': clean.poses[:, 0], 'noisy': noisy.poses[:, 0],
    'flat': np.asarray(lift_known(exact.poses, 0 * exact.depth))[:, 0],
    'oracle': np.asarray(lift_known(exact.poses, exact.depth))[:, 0],
    'mean': np.broadcast_to(front, (len(views.theta), *front.shape)),
  }


def true_poses(views: Views) -> np.ndarray:
  """(S, J, 3) mm root-relative truth of single people, in the axes of the pelvis's ray."""
  along = np.asarray(views.distance)[:, 0, None] + np.asarray(views.depth)[:, 0]
  rays = np.asarray(views.rectified)[:, 0]
  pose = np.concatenate([rays * along[..., None], along[..., None]], -1)
  return pose - pose[:, :1]


def _single_errors(predicted, views: Views):
  """Figures of single people, and name → (S,) PA-MPJPE."""
  truth = true_poses(views)
  mask = np.ones(truth.shape[:2], bool)
  values, per_person = {}, {}
  for name, poses in predicted.items():
    prefix = wording.SINGLE[name]
    aligned = pose_metrics.procrustes_errors(poses, truth, mask).mean(1)
    per_person[name] = aligned
    values[f'{prefix}pa_mpjpe_mm'] = float(aligned.mean())
    values[f'{prefix}n_mpjpe_mm'] = float(
      pose_metrics.scaled_errors(poses, truth, mask).mean()
    )
    mirrored = scene_metrics.align(
      poses[:, None], truth[:, None], np.ones((len(truth), 1), bool), reflection=True
    )
    values[f'{prefix}pa_mpjpe_reflection_mm'] = float(
      np.linalg.norm(mirrored[:, 0] - truth, axis=-1).mean()
    )
  return values, per_person


def _angles(composer: compose.Composer, products, views: Views) -> dict[str, float]:
  """θ against the truth, and how the lifters of the run compare."""
  theta = composer.read(views).given.theta[:, 0]
  true = np.asarray(views.theta)[:, 0]
  spread = theta.std() * true.std()
  choice = products['choice'].arrays
  values = {
    'theta_sd_deg': float(np.rad2deg(theta.std())),
    'theta_true_sd_deg': float(np.rad2deg(true.std())),
    'theta_bias_deg': float(np.rad2deg(theta.mean() - true.mean())),
    'theta_error_deg': float(np.rad2deg(np.abs(theta - true).mean())),
    'theta_correlation_percent': float(
      100 * ((theta - theta.mean()) * (true - true.mean())).mean() / spread
    ) if spread > 0 else float('nan'),
    'lifters_called_mirrored': float((np.asarray(choice['cue']) >= 0).sum()),
    'chosen_lifter': float(choice['chosen']),
  }
  for i, name in enumerate(lift.names(composer.config)):
    values |= {
      f'{name}_nll_median': float(choice['nll'][i]), f'{name}_bone': float(choice['bone'][i]),
      f'{name}_spread': float(choice['spread'][i]),
      f'{name}_cue_percent': 100 * float(choice['cue'][i]),
    }
  return values


def _certainty(
  composer: compose.Composer, views: Views, errors: np.ndarray
) -> dict[str, float]:
  """How well the uncertainty ranks people: errors (S,) of the lifted ones, in mm."""
  config = composer.config
  find = jax.jit(lambda params, poses: uncertainty.spread(config, params, poses))
  poses = composer.read(views).given.poses[:, 0]
  spread = batches.in_batches(
    lambda rows: find(composer.networks['lifter'], rows), poses, compose.PEOPLE
  )
  certain = spread <= np.median(spread)
  return {
    'uncertainty_rank_percent': 100 * float(stats.spearmanr(spread, errors).statistic),
    'pa_mpjpe_certain_half_mm': float(errors[certain].mean()),
    'pa_mpjpe_uncertain_half_mm': float(errors[~certain].mean()) if (~certain).any() else np.nan,
  }


def _scene_errors(label: str, found, views: Views):
  """Sums of each row for intervals, and all figures of a set of scenes."""
  sums, values = {}, {}
  for row, poses in found.items():
    errors = compose.errors(poses, views)
    for name, value in scene_metrics.summary(errors).items():
      values[f'{label}_{row}_{name}'] = value
    sums[f'{label}_{row}_pa_mpjpe_mm'] = SceneSums(errors.joint, np.ones(len(errors.joint)))
    if row in ('published', 'both'):
      values[f'{label}_{row}_pa_mpjpe_reflection_mm'] = float(
        compose.errors(poses, views, reflection=True).joint.mean()
      )
  return sums, values


def _scene_set(label: str, found, views: Views) -> SceneSet:
  """Some scenes to look at: the composition about the camera, at even ranks of its error."""
  errors = compose.errors(found['both'], views)
  truth = np.asarray(views.levelled)
  order = np.argsort(errors.joint)
  chosen = order[np.linspace(0, len(order) - 1, min(_SHOWN, len(order))).round().astype(int)]
  valid = np.ones(truth.shape[:2], bool)
  aligned = {
    name: scene_metrics.align(found[name], truth, valid)[chosen] for name in ('both', 'published')
  }
  return SceneSet(
    title=wording.group_title(label),
    note='from the best scene to the worst by the error of “about the camera”',
    rays=np.asarray(views.rays)[chosen], truth=truth[chosen],
    found=(
      ('about the camera', aligned['both']), ('as published', aligned['published']),
    ),
    errors=tuple(float(errors.joint[i]) for i in chosen),
  )
