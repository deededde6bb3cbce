"""The evaluation of a finished run: all figures, and what the report's pictures need."""

from collections.abc import Mapping

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.geometry import kinematics
from posejax.methods.base import Evaluation, Metric, Product
from posejax.methods.crossmodal import (
  cases,
  evaluate,
  infer,
  lift,
  observed,
  pairs,
  plane,
  prior,
  teacher,
  teacher_training,
  wording,
)
from posejax.methods.crossmodal import looks as looks_lib
from posejax.metrics import statistics

_BATCH = 32
_LOOKS = {
  False: 'The student looks at a picture once.',
  True: 'The student looks at a picture and at its mirror image (infer.mirror).',
}
_HEADLINE = '3dpck_rel_matched'
_BASELINES = ('one_yaw', 'person_yaw', 'rotation')
_NOTES = (
  f'People who count: their pelvis is inside the picture and at least '
  f'{100 * pairs.MIN_VISIBLE:g} % of their pixels are not hidden.',
  'A prediction is matched to a person by 2D alone: at least one of 13 joints within 40 px of a '
  'frame 2,048 px wide, scaled to the picture, in both x and y; the most such joints win '
  '(MuPoTS-3D).',
  'Recall asks for people who count and show in the 8 px cell of their pelvis. The teacher '
  'gives a person only if it saw the pelvis or both hips; others are dropped, and counted.',
  'The teacher looks at a picture once. What it teaches of the unlabelled '
  'pictures may come of several looks, enlarged and mirrored (observed.zooms, observed.mirror): '
  'the row “what it teaches”, of the same pictures.',
  'The pelvis is never scored: 14 of 15 joints are. Nothing is rescaled by the true bones.',
  'Intervals: 95 % bootstrap over pictures, 2,000 draws. They say how much the figures depend on '
  'the pictures, not how much a training with another seed would differ.',
  'No loss sees the validation pictures, but which step of the training is kept is chosen by the '
  '3DPCK_rel on them, so by their 3D truth, unsupervised runs included.',
  'The camera (focal length = image side) is known to the method.',
)


def evaluate_run(
  config: ml_collections.ConfigDict, products: dict[str, Product], split: str = 'test'
) -> Evaluation:
  """Evaluates a finished run.

  Args:
    config: of the run.
    products: of its stages; of the sets, `images_a`, `validation` and `split`.
    split: 'test' or 'validation'.
  """
  truth, side = products[split].arrays, config.world.image_size
  people = batches.in_batches(
    infer.predictor(config, products), truth['images'], _BATCH, f'student, {split}'
  )
  mean_pose = fixed_pose(config, products)
  values = evaluate.summary(people, truth, side) | evaluate.baselines_of(truth, mean_pose)

  sums = evaluate.scene_sums(people, truth, side)
  rival = evaluate.rival_sums(people, truth, side, mean_pose)
  ours = sums[_HEADLINE]
  estimates = {name: evaluate.interval(name, value) for name, value in sums.items()}
  estimates[evaluate.RIVAL] = evaluate.interval(evaluate.RIVAL, rival)
  estimates[evaluate.LEAD] = statistics.paired_bootstrap(
    100 * ours.sums, 100 * rival.sums, ours.weights
  )

  seen = _observed(config, products, truth)
  student = evaluate.student_rows(people, truth, side)
  found = evaluate.teacher_rows(seen, truth, side)
  values |= plane.own_metrics('teacher', found, side)
  values |= plane.own_metrics('lessons', _lessons(config, products, truth, found), side)
  values |= observed.rootless(seen)
  lessons = observed.rootless(products[observed.NAME].arrays)
  values |= {name.replace('teacher', 'lessons', 1): value for name, value in lessons.items()}
  values['teacher_2d_mpjpe_found_px'] = plane.mean_error(found)
  values |= plane.shared_metrics({'teacher': found, 'student': student}, side)
  values |= plane.domain_metrics(
    {'a': _held_back(config, products), 'b': _domain_b(config, products, split, found)}, side
  )
  values |= {name: estimate.mean for name, estimate in estimates.items()}
  metrics = {
    name: wording.described(name, value, *estimates.get(name, (value,))[1:])
    for name, value in values.items()
  }
  pose_sets, plausible = cases.decoded_sets(config, products)
  return Evaluation(
    split=split, metrics=metrics | plausible, headline=_HEADLINE,
    baselines=tuple(evaluate.BASELINE.format(name) for name in _BASELINES),
    lead=evaluate.LEAD,
    tables=wording.tables(_joints(metrics)),
    scene_sums=sums | {evaluate.RIVAL: rival},
    cases=cases.cases_of(people, seen, truth, side),
    pose_sets=pose_sets, notes=(*_NOTES, _LOOKS[config.infer.mirror]), skeleton=lift.SKELETON,
  )


def fixed_pose(
  config: ml_collections.ConfigDict, products: Mapping[str, Product]
) -> np.ndarray:
  """The mean canonical pose (15, 3) mm of what training sees: what the baselines stand on.

  A fixed pose may know what the method may know: with captured poses it is their mean, with 3D
  labels that of the labelled people.
  """
  labelled = _labelled_poses(config, products) if config.align.label_3d else ()
  if len(labelled):
    relative = jnp.asarray(labelled - labelled[:, :1], jnp.float32)
    canonical = jax.vmap(lambda pose: kinematics.canonicalize(pose, lift.SKELETON)[0])
    return np.asarray(jax.jit(canonical)(relative).mean(0))
  kept = products[prior.NAME].arrays.get(prior.MEAN_POSE)
  # What comes in a parcel (training/transfer.py) is networks alone.
  return prior.mean_pose(config) if kept is None else np.asarray(kept)


def _labelled_poses(config, products) -> np.ndarray:
  """3D poses (N, 15, 3) mm of the pictures with labels."""
  truth = products['images_b'].arrays
  count = int(np.ceil(config.align.label_share * len(truth['truth_valid'])))
  return truth['truth_camera'][:count][truth['truth_valid'][:count]]


def _observed(config, products, truth, looks=looks_lib.ONCE) -> dict[str, np.ndarray]:
  return observed.observe(
    teacher.frozen(config, products), truth['images'], config.world.max_people, label='teacher',
    looks=looks,
  )


def _lessons(config, products, truth, found: plane.Rows) -> plane.Rows:
  """What the teacher would teach of these pictures: `found` if it looks but once."""
  looks = looks_lib.of_config(config)
  if looks == looks_lib.ONCE:
    return found
  seen = _observed(config, products, truth, looks)
  return evaluate.teacher_rows(seen, truth, config.world.image_size)


def _held_back(config, products) -> plane.Rows:
  """The teacher on the pictures of domain A that its training held back."""
  arrays = products['images_a'].arrays
  held = teacher_training.held_back(len(arrays['images']))
  truth = {name: array[-held:] for name, array in arrays.items()}
  return evaluate.teacher_rows(_observed(config, products, truth), truth, config.world.image_size)


def _domain_b(config, products, split: str, found: plane.Rows) -> plane.Rows:
  """The teacher on the validation pictures: B's look with A's kinds of motion."""
  if split == 'validation':
    return found
  truth = products['validation'].arrays
  return evaluate.teacher_rows(_observed(config, products, truth), truth, config.world.image_size)


def _joints(metrics: dict[str, Metric]) -> tuple[str, ...]:
  """Joints that have a row of their own, left and right together, in the skeleton's order."""
  names = (joint.removeprefix('r_').removeprefix('l_') for joint in lift.SKELETON.joints)
  return tuple(dict.fromkeys(
    name for name in names if f'{_HEADLINE}_{name}' in metrics
  ))
