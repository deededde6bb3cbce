"""The evaluation of a run on photographs: figures of `photo_measures`, and what pictures need.

Student and teacher see the same views. The teacher stands there twice where its weights have six
stages: as it teaches (`teacher.stages`, with all its looks), and with all of them in one look.
"""

import pathlib
from collections.abc import Callable
from typing import Any, NamedTuple

import ml_collections
import numpy as np

from posejax.data import batches, images, letterbox, lspet
from posejax.geometry.skeleton import J15
from posejax.methods.base import Case, Evaluation, Metric, People, Product, SceneSums, Table
from posejax.methods.crossmodal import (
  cases,
  infer,
  lift,
  looks,
  observed,
  photo_measures,
  teacher,
  validation,
  wording,
)
from posejax.metrics import statistics

_BATCH = 8
STUDENT, TAUGHT, WHOLE = 'student', 'teacher', 'teacher_all_stages'
LABELLED = '{}_labelled_2d_pck_02torso_all'
AGREEMENT = validation.AGREEMENT
LEAD = 'student_above_teacher_2d_pck_02torso_all'
_WORDS = {
  STUDENT: "the student's projected 3D", TAUGHT: 'the teacher as it teaches',
  WHOLE: 'the teacher with all its stages, in one look',
}
_NOTES = (
  'There is no 3D truth for photographs: nothing here says how right the 3D is, only whether its '
  'projection is, whether limbs bend as limbs can, and whether it moves along with the picture.',
  'Labelled photographs have one labelled person among several. A person is given the prediction '
  'whose shoulders and hips are nearest, if that is nearer than a torso; twelve limb joints count.',
  'Agreement takes the people whom the teacher found in clips that no training saw for the truth.',
  'Intervals: 95 % bootstrap, 2,000 draws, over labelled photographs, and over clips where there '
  'are no labels.',
  'The camera of a view is assumed: focal length = side, axis through the middle.',
)


class _Set(NamedTuple):
  """Views (N, S, S, 3) with whom they are compared with."""

  images: np.ndarray
  targets: photo_measures.Targets


def evaluate_run(
  config: ml_collections.ConfigDict, products: dict[str, Product], split: str = 'test'
) -> Evaluation:
  """Evaluates a finished run on photographs.

  Args:
    config: of the run.
    products: of its stages.
    split: 'validation' (held-back clips of that part, even-numbered labelled photographs) or
      'test'.

  Raises:
    ImageError: the labelled photographs cannot be read.
    WeightsError: the teacher's weights are gone.
  """
  predict = infer.predictor(config, products)
  views = np.asarray(products[split].arrays['images'])
  people = batches.in_batches(predict, views, _BATCH, f'student, {split}')
  taught = teacher.frozen(config, products)
  seen = observed.observe(
    taught, views, config.world.max_people, label='teacher', looks=looks.of_config(config)
  )
  clips = _Set(views, photo_measures.Targets(seen['joints'], seen['seen']))
  compared = _compared(people, clips)
  right = photo_measures.right_joints(compared, len(views))
  sums = {AGREEMENT: _by_clip(right, products[split].arrays['clip'])}
  shown = _cases(clips, people, seen, compared)

  labelled = labels(config, split)
  if labelled:
    on_labels, first = _on_labels(config, labelled, predict, taught)
    sums, shown = sums | on_labels, first + shown

  metrics = _metrics(sums) | _of_people(config, products, views, people, seen)
  pose_sets, plausible = cases.decoded_sets(config, products)
  headline = LABELLED.format(STUDENT) if labelled else AGREEMENT
  return Evaluation(
    split=split, metrics=metrics | plausible, headline=headline,
    baselines=tuple(
      name for who in (TAUGHT, WHOLE) if (name := LABELLED.format(who)) in metrics
    ),
    lead=LEAD, tables=_tables(metrics), scene_sums=sums, cases=shown, pose_sets=pose_sets,
    notes=_NOTES, skeleton=lift.SKELETON,
  )


def _of_people(
  config: ml_collections.ConfigDict, products: dict[str, Product], views: np.ndarray,
  people: People, seen: dict[str, np.ndarray],
) -> dict[str, Metric]:
  """What held-back clips (N, S, S, 3) tell of student and teacher without labels."""
  align = config.align
  metrics = {
    'equivariance_error_percent_of_side': Metric(
      photo_measures.equivariance(
        infer.Model(config), infer.networks(products), views,
        turn_deg=align.turn_deg, zoom=tuple(align.zoom), shift=align.shift,
      ), '% of side', 'Mean distance between the poses of a picture that is turned, scaled, '
      'shifted or mirrored, and the poses of the picture, moved likewise; people found in both.',
    ),
    'limbs_inside_limits_percent': Metric(
      photo_measures.limits_share(people), '%',
      'Share of limbs of the people found in held-back clips inside the joint limits '
      '(5° tolerance).',
    ),
  }
  for who, found in ((STUDENT, people.valid), (TAUGHT, seen['rooted'])):
    metrics[f'{who}_people_found'] = Metric(
      float(found.sum()), 'people', f'People whom the {who} found.'
    )
  return metrics | {
    name: wording.described(name, value) for name, value in observed.rootless(seen).items()
  }


def labels(config: ml_collections.ConfigDict, split: str) -> _Set | None:
  """Labelled photographs at the network's side; None without `images.labelled`.

  Raises:
    ImageError: one of them cannot be read.
  """
  if not config.images.labelled:
    return None
  side = config.world.image_size
  part = 'validation' if split == 'validation' else 'final'
  squares, joints, known = [], [], []
  ours = [J15.index(name) for name in lspet.JOINTS]
  for entry in lspet.read_labels(pathlib.Path(config.images.labelled), part):
    pixels = images.read_image(entry.path).pixels
    view = letterbox.whole(pixels.shape[1], pixels.shape[0], side)
    squares.append(letterbox.cut(pixels, view, side))
    pose, there = np.zeros((1, 15, 2)), np.zeros((1, 15), bool)
    pose[0, ours], there[0, ours] = letterbox.to_view(entry.joints, view), entry.visible
    joints.append(np.where(there[..., None], pose, 0))
    known.append(there)
  return _Set(np.stack(squares), photo_measures.Targets(np.stack(joints), np.stack(known)))


def _on_labels(
  config: ml_collections.ConfigDict, labelled: _Set,
  predict: Callable[[np.ndarray], People], taught: teacher.Teacher,
) -> tuple[dict[str, SceneSums], tuple[Case, ...]]:
  """Right joints of student and teacher on labelled photographs, and the photographs as cases."""
  people = batches.in_batches(predict, labelled.images, _BATCH)
  seen = observed.observe(
    taught, labelled.images, config.world.max_people, looks=looks.of_config(config)
  )
  compared = _compared(people, labelled)
  sums = {
    LABELLED.format(STUDENT): photo_measures.right_joints(compared, len(labelled.images)),
    LABELLED.format(TAUGHT): _teacher_sums(seen, labelled),
  }
  whole = _with_all_stages(config)
  if whole:
    seen_by_all = observed.observe(whole, labelled.images, config.world.max_people)
    sums[LABELLED.format(WHOLE)] = _teacher_sums(seen_by_all, labelled)
  return sums, _cases(labelled, people, seen, compared)


def _by_clip(sums: SceneSums, clips: np.ndarray) -> SceneSums:
  """Sums over the views of each clip: frames of one clip are no independent pictures."""
  _, index = np.unique(np.asarray(clips), return_inverse=True)
  return SceneSums(*(np.bincount(index, values) for values in sums))


def _compared(people: People, given: _Set) -> photo_measures.Compared:
  return photo_measures.compare(people.joints_2d, people.joint_valid, people.valid, given.targets)


def _teacher_sums(seen: dict[str, np.ndarray], given: _Set) -> SceneSums:
  """The teacher's people need no root to be compared."""
  found = photo_measures.compare(
    seen['joints'], seen['visible'], seen['visible'].any(-1), given.targets
  )
  return photo_measures.right_joints(found, len(given.images))


def _with_all_stages(config: ml_collections.ConfigDict) -> teacher.Teacher | None:
  """The published teacher with six stages, if it is one and teaches with fewer."""
  if config.teacher.kind == teacher.SYNTHETIC or config.teacher.stages == teacher.MOST_STAGES:
    return None
  changed = config.copy_and_resolve_references().unlock()
  changed.teacher.stages = teacher.MOST_STAGES
  return teacher.Teacher(teacher.layout(changed), teacher.published(changed))


def _metrics(sums: dict[str, SceneSums]) -> dict[str, Metric]:
  """Shares with intervals, and the student's lead over its teacher on the same photographs."""
  text = ('Share of twelve limb joints of labelled people within 0.2 torso, {}; all joints of '
          'people who were not found are wrong.')
  meanings = {LABELLED.format(who): text.format(words) for who, words in _WORDS.items()}
  meanings[AGREEMENT] = (
    "Share of the teacher's limb joints in held-back clips that the student's projection has "
    'within 0.2 torso; missed people have all joints wrong.'
  )
  metrics = {}
  for name, (right, count) in sums.items():
    estimate = statistics.bootstrap(100 * right, count)
    metrics[name] = Metric(estimate.mean, '%', meanings[name], *estimate[1:])
  pair = [sums.get(LABELLED.format(who)) for who in (STUDENT, TAUGHT)]
  lead = (
    statistics.paired_bootstrap(100 * pair[0].sums, 100 * pair[1].sums, pair[0].weights)
    if None not in pair else (float('nan'),) * 3
  )
  metrics[LEAD] = Metric(
    lead[0], 'points', 'The student less the teacher as it teaches, on the same labelled people.',
    *lead[1:],
  )
  return metrics


def _cases(
  given: _Set, people: People, seen: dict[str, np.ndarray], compared: photo_measures.Compared
) -> tuple[Case, ...]:
  """Every view with people that count; its error is 2D, in percent of the side."""
  shown = []
  for picture in np.unique(compared.picture):
    rows = compared.picture == picture
    apart = np.linalg.norm(compared.rows.joints - compared.rows.target, axis=-1)[rows]
    counts = (compared.rows.found & compared.rows.in_frame)[rows]
    error = 100 * apart[counts].mean() / given.images.shape[1] if counts.any() else float('nan')
    shown.append(Case(
      image=given.images[picture], teacher=seen['joints'][picture],
      teacher_seen=seen['visible'][picture],
      people=People(*(np.asarray(field[picture]) for field in people)),
      truth_2d=compared.rows.target[rows], truth_camera=None, match=compared.slot[rows],
      error=float(error),
    ))
  return tuple(shown)


def _tables(metrics: dict[str, Any]) -> tuple[Table, ...]:
  rows = [who for who in (STUDENT, TAUGHT, WHOLE) if LABELLED.format(who) in metrics]
  labelled = (Table(
    'Labelled photographs: 2D-PCK@0.2 torso (%)',
    'One labelled person in each; all joints of people who were missed are wrong.',
    ('all labelled people',), tuple(_WORDS[who] for who in rows),
    tuple((LABELLED.format(who),) for who in rows),
  ),) if rows else ()
  return labelled + (
    Table('Clips that no training saw', '',
          ('agreement with the teacher, 2D-PCK@0.2 torso (%)', 'equivariance error (% of side)',
           'limbs inside the limits (%)', 'people found', 'by the teacher',
           'dropped by the teacher'), ('student',),
          ((AGREEMENT, 'equivariance_error_percent_of_side', 'limbs_inside_limits_percent',
            'student_people_found', 'teacher_people_found', 'teacher_people_without_root'),)),
    Table('The prior: decoded φ inside the joint limits', '', ('joints (%)', 'whole poses (%)'),
          ('φ inside the trained cube', 'φ outside'),
          tuple((f'prior_{where}_joints_plausible_percent',
                 f'prior_{where}_poses_plausible_percent') for where in ('inside', 'outside'))),
  )
