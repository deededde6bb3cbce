"""Cross-modal alignment for multi-person 3D pose (Kundu et al., ECCV 2020): the main method.

Where each piece of the paper is:

  E, F            teacher.py, parts.py, models/      T_L, FK, T_R   geometry/kinematics.py
  Φ, Ψ, Disc      prior.py, models/aae.py            T_K, T_G       geometry/camera.py
  G, H            align.py, models/crossmodal.py     T_s            synth/augment.py
  H′              refine.py, crops.py                roots          roots.py
  M, k̂_p          lift.py                            D_syn, D_I     world.py
  k̂_q             observed.py, looks.py              P̂ = M∘H∘E(I)   infer.py, mirrored.py
  the losses      align.py, objectives.py            the metrics    evaluate.py, plane.py

  photographs     photos.py, photo_measures.py, photo_evaluation.py

Stages, in order: images_a, teacher, prior, images_b, observed, validation, align, refine, test.
PHOTOS is the same method on a user's photographs: a published teacher in the place of the first
two, and pictures without truth.
"""

from posejax.methods.base import Method
from posejax.methods.crossmodal import (
  align,
  evaluation,
  infer,
  lift,
  observed,
  photo_evaluation,
  photos,
  prior,
  refine,
  teacher_training,
  world,
)
from posejax.methods.crossmodal.rules import PHOTO_RULES, RULES

METHOD = Method(
  name='crossmodal',
  stages=(
    world.plan('images_a'), teacher_training.plan(), prior.plan(), world.plan('images_b'),
    observed.plan(), world.plan('validation'), align.plan(), refine.plan(),
    world.plan('test'),
  ),
  rules=RULES,
  splits=('validation', 'test'),
  free=('infer.mirror',),
  evaluate=evaluation.evaluate_run,
  infer=infer.predictor,
  side=lambda config: config.world.image_size,
  skeleton=lift.SKELETON,
)

PHOTOS = Method(
  name='crossmodal-photos',
  stages=(
    teacher_training.plan(pictures=()), prior.plan(), photos.plan('images_b'), observed.plan(),
    photos.plan('validation'), align.plan(), refine.plan(), photos.plan('test'),
  ),
  rules=PHOTO_RULES,
  splits=('validation', 'test'),
  free=('images.labelled', 'images.cache', 'infer.mirror'),
  evaluate=photo_evaluation.evaluate_run,
  infer=infer.predictor,
  side=lambda config: config.world.image_size,
  skeleton=lift.SKELETON,
)
