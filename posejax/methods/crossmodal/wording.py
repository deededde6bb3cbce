"""What every metric means, in words for readers of a report, and the tables that it shows."""

from posejax.methods.base import Metric, Table

_RIGHT = 'Share of joints within {} mm of the truth, {}; {}.'
_MODES = {
  'matched': 'people who were not found are left out',
  'all': 'all joints of people who were not found are wrong',
}
_LAID = 'after the pelvises are laid on each other'
_FIXED = (
  'What one fixed pose, the mean of the poses that training draws (prior.source) or of its 3D '
  'labels, reaches when it is turned by {}.'
)
# Of each name: unit, meaning. Names for both modes or both networks hold a pair of braces.
_OF_MODES = {
  '3dpck_rel_{}': ('%', _RIGHT.format(150, _LAID, '{}')),
  'auc_rel_{}': ('%', f'Mean share of right joints over the thresholds 0, 5, … 150 mm, {_LAID}; '
                      '{}.'),
  '3dpck_abs_250mm_{}': ('%', _RIGHT.format(250, 'in camera coordinates', '{}')),
  '3dpck_abs_150mm_{}': ('%', _RIGHT.format(150, 'in camera coordinates', '{}')),
}
_OF_NETWORKS = {
  '{}_2d_iou_matched_percent': (
    '%', 'Overlap (intersection over union) of the boxes around predicted and true 2D joints, of '
         'people whom the {} found.'),
  '{}_2d_pck_25px_scaled_matched': (
    '%', 'Share of 2D joints nearer than 25 px of a frame 2,048 px wide, scaled to the picture; '
         'people whom the {} found, joints that it did not give are wrong.'),
  '{}_2d_pck_02torso_matched': (
    '%', 'Share of 2D joints nearer than 0.2 × the true distance from right shoulder to left hip; '
         'joints inside the picture of people whom the {} found.'),
  '{}_2d_pck_02torso_all': (
    '%', 'The same over all people who count: all joints are wrong of people whom the {} missed.'),
  '{}_2d_joints_found_percent': ('%', 'Share of joints that the {} gives, of people it found.'),
  '{}_2d_iou_both_percent': (
    '%', 'Overlap of the 2D boxes of the {}, over people and joints that teacher and student both '
         'give.'),
  '{}_2d_mpjpe_both_px': (
    'px', 'Mean 2D error of the {}, over people and joints that teacher and student both give.'),
  '{}_2d_pck_25px_scaled_both': (
    '%', 'Share of 2D joints of the {} nearer than 25 px, scaled from a frame 2,048 px wide, over '
         'people and joints that teacher and student both give.'),
  '{}_2d_pck_02torso_both': (
    '%', 'Share of 2D joints of the {} nearer than 0.2 torso, over people and joints that teacher '
         'and student both give.'),
}
_NETWORKS = {
  'teacher': 'teacher', 'student': 'student',
  'lessons': 'teacher, with the looks that it teaches by,',
}
_DOMAINS = {
  'a': 'pictures of domain A that its training held back',
  'b': 'the validation pictures of domain B (the same kinds of motion as A)',
}
_OF_DOMAINS = {
  'teacher_{}_2d_pck_02torso_all': (
    '%', "The teacher's share of 2D joints nearer than 0.2 torso, missed people wrong, on {}."),
  'teacher_{}_2d_pck_02torso_matched': (
    '%', "The teacher's share of 2D joints nearer than 0.2 torso, of people it found, on {}."),
  'teacher_{}_2d_error_found_percent_of_side': (
    '% of side', "The teacher's mean 2D error over joints it found, by the image's side, on {}."),
  'teacher_{}_people_found_percent': ('%', 'Share of people whom the teacher found, on {}.'),
}
_SINGLE = {
  'mpjpe_root_matched_mm': ('mm', f'Mean joint error of people found, {_LAID}.'),
  'n_mpjpe_matched_mm': ('mm', 'The same, after the prediction is scaled to fit the truth.'),
  'pa_mpjpe_matched_mm': (
    'mm', 'The same, after scale, rotation and place are fitted (Procrustes): the pose alone.'),
  'depth_error_matched_mm': (
    'mm', "Mean error of the pelvis' distance from the camera along its axis, of people found."),
  'people_counted': ('people', 'People in the pictures who count (see the notes).'),
  'people_matched': ('people', 'Of these, people to whom a prediction was matched.'),
  'teacher_people_without_root': (
    'people', 'People whom the teacher saw, but neither their pelvis nor both hips: they have no '
              'root and are dropped.'),
  'teacher_people_without_root_percent': (
    '%', 'Their share of all people whom the teacher saw.'),
  'lessons_people_without_root': (
    'people', 'The same in the unlabelled pictures of the training.'),
  'lessons_people_without_root_percent': (
    '%', 'Their share of all people whom the teacher saw there.'),
  'student_2d_mpjpe_matched_px': ('px', 'Mean 2D error of the student, of people whom it found.'),
  'teacher_2d_mpjpe_found_px': ('px', 'Mean 2D error of the teacher, over joints that it found.'),
  '2d_people_found_by_both': ('people', 'People whom teacher and student both found.'),
  'detection_recall_percent': (
    '%', 'Share of people who count, and show where their pelvis is, with a predicted pelvis '
         'within one map cell (8 px).'),
  'detection_precision_percent': (
    '%', "Share of predictions within one map cell of somebody's pelvis."),
  'baseline_mean_pose_one_yaw_3dpck_rel': ('%', _FIXED.format('the one best angle for all')),
  'baseline_mean_pose_person_yaw_3dpck_rel': (
    '%', _FIXED.format('the best angle for each person')),
  'baseline_mean_pose_rotation_3dpck_rel': ('%', _FIXED.format("each person's true rotation")),
  'baseline_mean_pose_person_yaw_3dpck_rel_matched': (
    '%', 'The baseline of the best angle per person on the people alone whom the student found.'),
  '3dpck_rel_matched_above_person_yaw': (
    'points', '3DPCK_rel (matched) less the baseline of the best angle per person, both on the '
              'same people; an interval above 0 means that the method knows more than a mean '
              'pose.'),
  'teacher_drop_a_to_b_2d_pck_02torso_all': (
    'points', "The teacher's PCK@0.2 torso on A less that on B, missed people wrong."),
  'teacher_drop_a_to_b_2d_pck_02torso_matched': (
    'points', "The teacher's PCK@0.2 torso on A less that on B, of people it found."),
}


def _all() -> dict[str, tuple[str, str]]:
  known = dict(_SINGLE)
  for names, fills in (
    (_OF_MODES, _MODES), (_OF_NETWORKS, _NETWORKS),
    (_OF_DOMAINS, _DOMAINS),
  ):
    for name, (unit, meaning) in names.items():
      known |= {name.format(key): (unit, meaning.format(fill)) for key, fill in fills.items()}
  return known


_KNOWN = _all()


def described(name: str, value: float, low: float = float('nan'), high: float = float('nan')):
  """A Metric with its unit and meaning.

  Raises:
    KeyError: nobody wrote down what it means.
  """
  for mode in _MODES:
    joint = name.removeprefix(f'3dpck_rel_{mode}_')
    if joint != name and name not in _KNOWN:
      unit, meaning = _KNOWN[f'3dpck_rel_{mode}']
      return Metric(value, unit, f'{meaning[:-1]}; {joint.replace("_", " ")} alone.', low, high)
  return Metric(value, *_KNOWN[name], low, high)


def tables(joints: tuple[str, ...]) -> tuple[Table, ...]:
  """The tables of a report.

  Args:
    joints: of the per-joint table, left and right together.
  """
  modes = ('matched', 'all')
  pose_rows = (
    ('3DPCK_rel, 150 mm (%)', '3dpck_rel_{}'), ('AUC_rel, 0–150 mm (%)', 'auc_rel_{}'),
    ('3DPCK_abs, 250 mm (%)', '3dpck_abs_250mm_{}'),
    ('3DPCK_abs, 150 mm (%)', '3dpck_abs_150mm_{}'),
  )
  return (
    Table('3D pose: shares of right joints (higher is better)',
          'matched: only people to whom a prediction was matched; all: missed people count as '
          'wrong.',
          ('matched', 'all'), tuple(row for row, _ in pose_rows),
          tuple(tuple(name.format(mode) for mode in modes) for _, name in pose_rows)),
    Table('3D pose: mean errors of people found (lower is better)', '',
          ('MPJPE, root-aligned (mm)', 'N-MPJPE (mm)', 'PA-MPJPE (mm)', 'depth of the root (mm)'),
          ('student',), (('mpjpe_root_matched_mm', 'n_mpjpe_matched_mm', 'pa_mpjpe_matched_mm',
                          'depth_error_matched_mm'),)),
    Table('People found',
          'Dropped: the teacher saw them, but neither their pelvis nor both hips.',
          ('recall (%)', 'precision (%)', 'people who count', 'matched',
           'dropped by the teacher', 'of all it saw (%)'),
          ('student', 'teacher', 'teacher, in training'),
          (('detection_recall_percent', 'detection_precision_percent', 'people_counted',
            'people_matched', '', ''),
           ('', '', '', '', 'teacher_people_without_root',
            'teacher_people_without_root_percent'),
           ('', '', '', '', 'lessons_people_without_root',
            'lessons_people_without_root_percent'))),
    *_plane_tables(),
    Table('Per joint: 3DPCK_rel, 150 mm (%)', 'Left and right together.',
          tuple(joint.replace('_', ' ') for joint in joints), ('matched', 'all people'),
          tuple(tuple(f'3dpck_rel_{mode}_{joint}' for joint in joints) for mode in modes)),
    Table('The prior: decoded φ inside the joint limits', '',
          ('joints (%)', 'whole poses (%)'),
          ('φ inside the trained cube', 'φ outside'),
          tuple(tuple(f'prior_{where}_{what}_plausible_percent' for what in ('joints', 'poses'))
                for where in ('inside', 'outside'))),
  )


def _plane_tables() -> tuple[Table, Table]:
  """Teacher and student side by side, and the teacher on both domains."""
  plane_columns = (
    ('box IoU (%)', '{}_2d_iou_both_percent'), ('2D-MPJPE (px)', '{}_2d_mpjpe_both_px'),
    ('2D-PCK, 25 px scaled (%)', '{}_2d_pck_25px_scaled_both'),
    ('2D-PCK@0.2 torso (%)', '{}_2d_pck_02torso_both'),
    ('2D-PCK@0.2 torso, all people (%)', '{}_2d_pck_02torso_all'),
    ('joints given (%)', '{}_2d_joints_found_percent'),
  )
  domain_columns = (
    ('2D-PCK@0.2 torso, all people (%)', '2d_pck_02torso_all'),
    ('of people found (%)', '2d_pck_02torso_matched'),
    ('2D error (% of side)', '2d_error_found_percent_of_side'),
    ('people found (%)', 'people_found_percent'),
  )
  return (
    Table('2D: student and teacher',
          'The first four columns compare the two on the same people and joints: those that both '
          'give. “All people”: who was missed has every joint wrong.',
          tuple(column for column, _ in plane_columns), ('teacher', 'student', 'what it teaches'),
          (*(tuple(name.format(who) for _, name in plane_columns)
             for who in ('teacher', 'student')),
           ('', '', '', '', *(name.format('lessons') for _, name in plane_columns[4:])))),
    Table('The gap between the two appearance domains, as the teacher feels it',
          'The teacher was trained on domain A alone. Pictures: the part of A that its training '
          'held back, and the validation pictures of B, with the same kinds of motion.',
          tuple(column for column, _ in domain_columns),
          ('domain A', 'domain B', 'drop (points)'),
          (*(tuple(f'teacher_{domain}_{name}' for _, name in domain_columns)
             for domain in ('a', 'b')),
           ('teacher_drop_a_to_b_2d_pck_02torso_all',
            'teacher_drop_a_to_b_2d_pck_02torso_matched', '', ''))),
  )
