"""What every field of a lifting config may hold; the trainer refuses all else."""

from posejax.methods.fields import Choice, Fits, Interval, Items, Rule, Text
from posejax.methods.lifting.lift import CHOICES
from posejax.methods.lifting.people import SKELETON
from posejax.methods.lifting.schedule import DECAYS
from posejax.methods.lifting.step import TERMS
from posejax.models.lifter import KINDS

_COUNT = Interval(1, 10_000_000, whole=True)
_STEPS = Interval(0, 100_000_000, whole=True)
_WIDTH = Interval(1, 8192, whole=True)
_RATE = Interval(1e-8, 1.0)
_SHARE = Interval(0.0, 1.0)
_SWITCH = Choice((True, False))
_SEED = Interval(0, 2**28, whole=True)
_WEIGHT = Interval(0, 1e6)
# Two parts of a batch must be pairs: L_def.
_BATCH = Interval(2, 1_000_000, whole=True)


def _training(name: str) -> dict[str, Rule]:
  return {
    f'{name}.width': _WIDTH, f'{name}.batch': _BATCH, f'{name}.steps': _STEPS,
    f'{name}.learning_rate': _RATE, f'{name}.decay': Choice(DECAYS), f'{name}.epoch': _COUNT,
    f'{name}.warmup': _STEPS, f'{name}.l2': Interval(0, 1), f'{name}.clip': Interval(0, 1e6),
  }


def _parts_problem(weight: float, steps: int, kind: str) -> str:
  if not weight and not steps:
    return ''
  if kind == 'single':
    return 'needs lifter.kind left_right or legs_torso: one lifter has no parts'
  return '' if weight and steps else 'goes with parts.steps: both above 0, or both 0'


def _one_folder(chi3d: str, mocap: str) -> str:
  both = chi3d and mocap
  return f'stands beside config.data.mocap = {mocap!r}: give one of the two' if both else ''


RULES: dict[str, Rule] = {
  'method': Choice(('lifting',)),
  'seed': _SEED, 'log_every': _COUNT, 'save_every': _COUNT,
  'c': Interval(2, 100),

  'data.mocap': Text(), 'data.name_part': Interval(0, 100, whole=True),
  'data.held_out': Items(Text(optional=False)),
  'data.held_out_validation': Items(Text(optional=False)),
  'data.chi3d': Fits(Text(), _one_folder, ('data.mocap',)),
  'data.chi3d_validation': Interval(0.01, 0.5),
  'data.artificial': _SHARE,
  'data.train': _COUNT, 'data.validation': _COUNT, 'data.test': _COUNT,
  'data.bone_spread': Interval(0, 0.5), 'data.size_spread': Interval(0, 0.5),
  'data.elevation_deg': Items(Interval(-60, 80), 2),
  'data.distance_mm': Items(Interval(2000, 100_000), 2),
  'data.reach_mm': Interval(0, 1500), 'data.rectify': _SWITCH,
  'data.image_px': Interval(16, 20_000), 'data.focal_px': Interval(16, 40_000),

  **_training('flow'), 'flow.blocks': Interval(1, 64, whole=True), 'flow.standardise': _SWITCH,
  'flow.pca': Choice((0, *range(2, 2 * SKELETON.num_joints - 1))),
  'flow.resample': _SWITCH, 'flow.spread': Interval(0, 2),
  'parts.batch': _BATCH, 'parts.steps': _STEPS,

  **_training('infill'), 'infill.noise': _SHARE, 'infill.missing': _SHARE,
  'infill.without_ends': _SHARE,

  **_training('lifter'), 'lifter.seed': _SEED, 'lifter.kind': Choice(KINDS),
  'lifter.blocks': Interval(1, 16, whole=True), 'lifter.input_scale': Interval(0.01, 1000),
  'lifter.count': Interval(1, 9, whole=True), 'lifter.mirror_start': _SWITCH,
  'lifter.use_cue': _SWITCH, 'lifter.std_floor': Interval(0, 1), 'lifter.resample': _SWITCH,
  'choice.by': Choice(CHOICES),
  **{f'lifter.weights.{name}': _WEIGHT for name in TERMS},
  'lifter.weights.parts': Fits(_WEIGHT, _parts_problem, ('parts.steps', 'lifter.kind')),

  'scenes.single': _COUNT, 'scenes.count': _COUNT, 'scenes.noise': Interval(0, 100),
  'scenes.missing': _SHARE,
}
