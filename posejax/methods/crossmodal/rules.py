"""What every field of a cross-modal config may hold; the trainer refuses all else."""

from posejax.methods.crossmodal import world
from posejax.methods.crossmodal.teacher import KINDS, STRIDE, SYNTHETIC
from posejax.methods.fields import Choice, Fits, Interval, Items, Needs, Rule, Text
from posejax.methods.optimizers import NAMES
from posejax.models import crossmodal as models
from posejax.synth.scene_config import LEAST_ROOM_MM

_COUNT = Interval(1, 10_000_000, whole=True)
_STEPS = Interval(0, 100_000_000, whole=True)
_WIDTH = Interval(1, 4096, whole=True)
_KERNEL = Interval(1, 31, whole=True, step=2)
_RATE = Interval(1e-8, 1.0)
_SHARE = Interval(0.0, 1.0)
_SWITCH = Choice((True, False))
_LAYER = Items(Interval(1, 4096, whole=True), 2, 2)
_PUBLISHED = tuple(kind for kind in KINDS if kind != SYNTHETIC)


def _range(lo: float, hi: float) -> Rule:
  """Two numbers, the smaller one first."""
  return Fits(
    Items(Interval(lo, hi), 2, 2),
    lambda pair: '' if pair[0] <= pair[1] else 'must have the smaller number first',
  )


def _side_problem(side: int, down: tuple) -> str:
  multiple = STRIDE * 2 ** (len(down) - 1)
  return '' if side % multiple == 0 else (
    f'must be a multiple of {multiple}: {STRIDE} px a cell of the teacher, halved '
    f'{len(down) - 1} times by align.h.down'
  )


def _zooms_problem(zooms: tuple, side: int) -> str:
  cells = [round(zoom * (side // STRIDE)) for zoom in zooms]
  return '' if len(set(cells)) == len(cells) else (
    f'must be different looks: in whole cells of {STRIDE} px their sides are {cells}'
  )


def _phases_problem(
  steps: tuple[int, int, int], recon: bool, refine: int, *taught: bool
) -> str:
  if not any(steps):
    return 'must have a phase with steps'
  if steps[0] and not any(taught):
    return 'must have no steps in the first phase: without L_distl and labels it has no loss'
  if recon and not steps[1] and (steps[2] or refine):
    return 'must have steps in the second phase: in it alone G learns, which later ones read'
  return ''


def _odd_problem(layer: tuple[int, int]) -> str:
  return '' if layer[1] % 2 else f'kernels must be odd, got {layer[1]}'


def _h_problem(down: tuple, bottom: tuple, up: tuple) -> str:
  try:
    models.HConfig(down, bottom, up)
  except ValueError as error:
    return str(error).removeprefix('HConfig: ')
  return ''


_OF_PHOTOGRAPHS = Fits(
  Text(), lambda folder: 'is of photographs alone: take the preset `real`' if folder else ''
)

RULES: dict[str, Rule] = {
  'method': Choice(('crossmodal',)),
  'seed': Interval(0, 2**28, whole=True), 'log_every': _COUNT, 'save_every': _COUNT,

  'precision': Choice(('float32', 'bfloat16')),

  'world.image_size': Fits(Interval(64, 512, whole=True), _side_problem, ('align.h.down',)),
  'world.max_people': Interval(1, 32, whole=True),
  'world.nearest_mm': Fits(
    Interval(500, 50_000),
    lambda near, far: '' if near + LEAST_ROOM_MM <= far else (
      f'must be less than world.farthest_mm, {far:g}, by {LEAST_ROOM_MM:g} or more'
    ),
    ('world.farthest_mm',),
  ),
  'world.farthest_mm': Interval(500, 50_000),
  'world.body_scale': _range(0.2, 2), 'world.bone_variation': Interval(0, 0.5),
  'world.elevation_deg': Fits(
    _range(-30, 80),
    lambda elevation, near, far: '' if world.above_floor(elevation, near, far) else (
      'must put no camera below the floor'
    ),
    ('world.nearest_mm', 'world.farthest_mm'),
  ),
  'world.gap': Interval(0, 2),
  'world.images_a': _COUNT, 'world.images_b': _COUNT, 'world.validation': _COUNT,
  'world.test': _COUNT,

  # A published network has no pelvis: the student finds the roots.
  'teacher.kind': Needs(Choice(KINDS), SYNTHETIC, {
    'teacher.weights': Text(optional=False), 'align.root_source': Choice(('student',)),
  }),
  # The synthetic teacher is trained here: it reads no file.
  'teacher.weights': Needs(Text(), '', {'teacher.kind': Choice(_PUBLISHED)}),
  'teacher.stages': Interval(2, 6, whole=True),
  'teacher.threshold': Interval(0.001, 0.9), 'teacher.min_parts': Interval(1, 15, whole=True),
  'teacher.front': Items(Items(_WIDTH), 4, 4), 'teacher.cpm': Items(_WIDTH),
  'teacher.stage1': Items(_WIDTH), 'teacher.branch': _WIDTH, 'teacher.stage': Items(_WIDTH),
  'teacher.stage_kernel': _KERNEL, 'teacher.stage_last': _WIDTH,
  'teacher.background': _SWITCH, 'teacher.strided': _SWITCH,
  'teacher.leak': Interval(0, 1),
  'teacher.batch': _COUNT, 'teacher.steps': _COUNT, 'teacher.warmup': _STEPS,
  'teacher.clip': Interval(0, 1e6),
  'teacher.optimizer': Choice(NAMES), 'teacher.learning_rate': _RATE,
  'teacher.turn_deg': Interval(0, 180),
  'teacher.zoom': _range(0.2, 5), 'teacher.shift': _SHARE,
  'teacher.brightness': _SHARE, 'teacher.contrast': _SHARE, 'teacher.tint': _SHARE,

  'prior.part': _WIDTH, 'prior.chain': _WIDTH, 'prior.half': _WIDTH, 'prior.body': _WIDTH,
  'prior.decoder_layers': Interval(1, 16, whole=True),
  'prior.disc_part': _WIDTH, 'prior.disc_body': _WIDTH,
  'prior.batch': _COUNT, 'prior.steps': _COUNT, 'prior.warmup': _STEPS,
  'prior.learning_rate': _RATE, 'prior.discriminator_rate': _RATE, 'prior.clip': Interval(0, 1e6),
  'prior.pose_weight': Interval(0, 1e6), 'prior.local_weight': Interval(0, 1e6),
  'prior.phi_weight': Interval(0, 1e6), 'prior.adversary_weight': Interval(0, 1e6),
  'prior.limit_weight': Interval(0, 1e6),
  'prior.discriminator': Choice(('pose', 'embedding', 'none')),
  'prior.source': Choice(('artificial', 'motion', 'mixed')),
  'prior.limit_margin': Interval(0.1, 1.0),

  'mocap.dir': Fits(
    Text(),
    lambda folder, source: '' if not folder or source != 'artificial' else (
      "is not read with prior.source='artificial': add the preset `mocap`"
    ),
    ('prior.source',),
  ),
  'mocap.share': _SHARE, 'mocap.part': Interval(0, 20, whole=True),

  'images.dir': _OF_PHOTOGRAPHS, 'images.labelled': _OF_PHOTOGRAPHS,
  'images.cache': Text(optional=False),
  'images.clips': Choice(('number', 'file', 'folder')), 'images.shares': Items(_SHARE, 2, 2),
  'images.every': _COUNT, 'images.crops': _SWITCH,
  'images.crop.too_small': Fits(
    Interval(0.01, 1.0),
    lambda small, kept, filled: '' if small <= kept <= filled else (
      f'must be at most images.crop.smallest, {kept:g}, and that at most images.crop.filled, '
      f'{filled:g}'
    ),
    ('images.crop.smallest', 'images.crop.filled'),
  ),
  'images.crop.smallest': Interval(0.01, 1.0),
  'images.crop.filled': Interval(0.01, 1.0), 'images.crop.most_zoom': Interval(0.1, 100.0),
  'images.crop.most': Interval(1, 100, whole=True),
  'images.crop.least_joints': Interval(2, 15, whole=True),

  'observed.latents': _SWITCH, 'observed.mirror': _SWITCH,
  'observed.zooms': Fits(
    Items(Interval(0.5, 2.0), 1, 4), _zooms_problem, ('world.image_size',)
  ),

  'scenes.max_people': Interval(1, 8, whole=True),
  'scenes.body_scale': _range(0.2, 2), 'scenes.bone_variation': Interval(0, 0.5),
  'scenes.limit_factor': Interval(0.05, 1.0), 'scenes.lean_deg': Interval(0, 90),

  'align.g.hidden': Items(Fits(_LAYER, _odd_problem)), 'align.g.last_kernel': _KERNEL,
  'align.h.down': Fits(Items(Items(_LAYER)), _h_problem, ('align.h.bottom', 'align.h.up')),
  'align.h.bottom': Items(_LAYER),
  'align.h.up': Items(Items(_LAYER), 0),
  'align.h.window.size': _KERNEL, 'align.h.window.cells': Items(_WIDTH),
  'align.h.window.points': Interval(15, 4096, whole=True), 'align.h.window.dense': Items(_WIDTH),
  'align.points': Items(Interval(0, 100), 2, 2), 'align.code': Items(Interval(0, 100), 2, 2),
  'align.optimizer': Choice(NAMES),
  'align.seed': Interval(0, 2**28, whole=True),
  'align.batch_images': _COUNT, 'align.batch_scenes': _COUNT,
  'align.steps': Fits(
    Items(_STEPS, 3, 3), _phases_problem,
    ('align.recon', 'refine.steps', 'align.distl', 'align.label_2d', 'align.label_3d'),
  ),
  'align.warmup': _STEPS, 'align.drop_at': _STEPS,
  'align.clip': Interval(0, 1e6),
  'align.learning_rate.distl': _RATE, 'align.learning_rate.label_3d': _RATE,
  'align.learning_rate.recon': _RATE, 'align.learning_rate.adapt': _RATE,
  'align.learning_rate.ss': _RATE, 'align.learning_rate.roots': _RATE,
  # Without L_distl H learns from scenes alone.
  'align.distl': Needs(_SWITCH, True, {'align.recon': Choice((True,))}),
  # G learns from scenes with L_recon, or not at all.
  'align.recon': _SWITCH, 'align.adapt': Needs(_SWITCH, False, {'align.recon': Choice((True,))}),
  'align.ss': _SWITCH,
  'align.label_2d': _SWITCH, 'align.label_3d': _SWITCH, 'align.label_share': _SHARE,
  'align.projection': Choice(('weak', 'full')), 'align.read': Choice(('nearest', 'bilinear')),
  'align.root_threshold': Interval(0.01, 0.99),
  'align.turn_deg': Interval(0, 180), 'align.zoom': _range(0.2, 5),
  'align.shift': _SHARE,
  'align.root_source': Choice(('teacher', 'student')),
  # Only roots of H's own tell the slots of a cell apart.
  'align.slots': Needs(
    Interval(1, 4, whole=True), 1, {'align.root_source': Choice(('student',))}
  ),

  # Of two slots of a cell nobody knows which is whose in the mirror image.
  'infer.mirror': Needs(_SWITCH, False, {'align.slots': Choice((1,))}),

  'refine.steps': _STEPS, 'refine.warmup': _STEPS, 'refine.learning_rate': _RATE,
  'refine.batch_images': _COUNT, 'refine.batch_scenes': _COUNT,
  'refine.share': Interval(0.1, 1.0), 'refine.jitter': Interval(0.0, 0.5),
}

# On photographs somebody else's teacher is needed, and nothing is labelled.
PHOTO_RULES: dict[str, Rule] = RULES | {
  'method': Choice(('crossmodal-photos',)),
  'images.dir': Text(optional=False), 'images.labelled': Text(),
  'teacher.weights': Text(optional=False),
  'teacher.kind': Choice(_PUBLISHED),
  'align.root_source': Choice(('student',)),
  'align.label_2d': Choice((False,)), 'align.label_3d': Choice((False,)),
}
