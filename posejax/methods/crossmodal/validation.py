"""What a training of H or H′ is watched by, and which of its steps is kept.

With ground truth the whole system's 3DPCK and 2D error on the validation pictures; without any, on
photographs, how far the student's projection agrees with the teacher in clips held back.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.methods.base import Networks, People, Product, Selection
from posejax.methods.crossmodal import (
  evaluate,
  infer,
  looks,
  observed,
  photo_measures,
  plane,
  teacher,
)

_BATCH = 32
_USED = ('E', 'F', 'Psi', 'H', 'H2')
AGREEMENT = 'agreement_2d_pck_02torso_all'
Validate = Callable[[Networks, Networks, Any], dict[str, float]]


def of_run(
  model: infer.Model, config: ml_collections.ConfigDict, products: dict[str, Product]
) -> tuple[Validate, Selection | None]:
  """`Stage.validate` and `Stage.selection` of a stage that trains H or H2.

  Args:
    model: configuration.
    config: of the run.
    products: of the stages before, `validation` among them.

  Returns:
    A selection of None where no loss is of pictures: what they look like says nothing then.
  """
  learns = config.align.distl or config.align.label_2d or config.align.label_3d
  validate, selection = _watched(model, config, products)
  return validate, selection if learns else None


def _watched(
  model: infer.Model, config: ml_collections.ConfigDict, products: dict[str, Product]
) -> tuple[Validate, Selection]:
  arrays = products['validation'].arrays
  if 'truth_valid' in arrays:
    side = config.world.image_size
    measure = functools.partial(_with_truth, truth=arrays, side=side)
    return _validator(model, arrays['images'], measure), Selection('3dpck_rel_matched', larger=True)
  images = np.asarray(arrays['images'])
  seen = observed.observe(
    teacher.frozen(config, products), images, config.world.max_people,
    looks=looks.of_config(config),
  )
  targets = photo_measures.Targets(seen['joints'], seen['seen'])
  measure = functools.partial(_with_teacher, targets=targets)
  return _validator(model, images, measure), Selection(AGREEMENT, larger=True)


def _validator(
  model: infer.Model, images: np.ndarray, measure: Callable[[People], dict[str, float]]
) -> Validate:
  predict = jax.jit(lambda params, images: infer.predict(model, params, images))

  def validate(params: Networks, batch_stats: Networks, frozen: Any) -> dict[str, float]:
    known = {**frozen, **params}  # H or H2 is trained, the other one, if any, frozen
    used = {name: known[name] for name in _USED if name in known}
    return measure(batches.in_batches(lambda part: predict(used, part), images, _BATCH))

  return validate


def _with_truth(people: People, truth: dict[str, np.ndarray], side: int) -> dict[str, float]:
  report = evaluate.summary(people, truth, side)
  return {name: report[name] for name in evaluate.VALIDATION}


def _with_teacher(people: People, targets: photo_measures.Targets) -> dict[str, float]:
  compared = photo_measures.compare(people.joints_2d, people.joint_valid, people.valid, targets)
  sums = photo_measures.right_joints(compared, len(targets.joints))
  return {
    AGREEMENT: 100 * float(sums.sums.sum() / max(sums.weights.sum(), 1)),
    'agreement_2d_error_px': plane.mean_error(compared.rows),
  }
