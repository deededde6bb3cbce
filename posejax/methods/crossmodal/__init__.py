"""Cross-modal alignment for multi-person 3D pose (Kundu et al., ECCV 2020): the main method.

Where each piece of the paper is:

  E, F            teacher.py, models/openpose.py     T_L, FK, T_R   geometry/kinematics.py
  Φ, Ψ, Disc      prior.py, models/aae.py            T_K, T_G       geometry/camera.py
  G, H            align.py, models/crossmodal.py     T_s            synth/augment.py
  M, k̂_p          lift.py                            D_syn, D_I     world.py
  k̂_q             observed.py                        P̂ = M∘H∘E(I)   infer.py
  the losses      align.py                           the metrics    evaluate.py

Stages, in order: images_a, teacher, prior, images_b, observed, validation, align, test.
"""

import ml_collections

from posejax.data import batches
from posejax.methods.base import Method, Product
from posejax.methods.crossmodal import align, evaluate, infer, observed, prior, teacher, world
from posejax.methods.crossmodal.rules import RULES

_BATCH = 32


def _evaluate(
  config: ml_collections.ConfigDict, products: dict[str, Product], split: str = 'test'
) -> dict[str, float]:
  """Metrics of a finished run on a rendered split, baselines and interval beside them."""
  truth, side = products[split].arrays, config.world.image_size
  people = batches.in_batches(infer.predictor(config, products), truth['images'], _BATCH)
  report = evaluate.summary(people, truth, side)
  interval = evaluate.pck_interval(people, truth, side)
  report['3dpck_rel_matched_low'], report['3dpck_rel_matched_high'] = interval.low, interval.high
  report |= evaluate.baselines_of(truth, prior.mean_artificial_pose())
  seen = observed.observe(
    teacher.frozen(config, products), truth['images'], config.world.max_people
  )
  return report | evaluate.teacher_metrics(seen, truth, side)


METHOD = Method(
  name='crossmodal',
  stages=(
    world.plan('images_a'), teacher.plan(), prior.plan(), world.plan('images_b'),
    observed.plan(), world.plan('validation'), align.plan(), world.plan('test'),
  ),
  rules=RULES,
  evaluate=_evaluate,
  infer=infer.predictor,
)
