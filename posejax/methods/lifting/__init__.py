"""Several people in 3D from their 2D poses alone (Hardy and Kim 2024, over LInKs and ElePose).

Where each piece of the paper is:

  2D poses, s̄          people.py, synth/pose_views.py     Eq. 1          geometry/lifting.py
  the flow              prior.py, models/flow.py           occlusion      infill.py
  lifter, θ             lift.py, models/lifter.py          the step       step.py, losses/lifting.py
  Eq. 2, Eq. 3, scale   geometry/composition.py            Table 1        compose.py
  the metrics           metrics/scenes.py                  the report     evaluation.py, wording.py
  a user's 2D poses     infer.py                           ours           uncertainty.py
  learning rates        schedule.py

Stages, in order: poses, validation, flow, parts, infill, lifter, choice, test.
"""

from posejax.methods.base import Method
from posejax.methods.lifting import evaluation, infer, infill, lift, people, prior
from posejax.methods.lifting.rules import RULES

METHOD = Method(
  name='lifting',
  stages=(
    people.plan(), people.set_plan('validation'), prior.plan(), prior.parts_plan(), infill.plan(),
    lift.plan(), lift.choice_plan(), people.set_plan('test'),
  ),
  rules=RULES,
  splits=('validation', 'test'),
  evaluate=evaluation.evaluate_run,
  skeleton=people.SKELETON,
  lift=infer.lifter,
)
