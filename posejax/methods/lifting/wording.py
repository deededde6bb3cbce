"""What the figures of lifting mean, in words, and the tables of the report."""

from collections.abc import Iterable

from posejax.metrics.figures import Metric, Table

SINGLE = {
  'lifted': '', 'noisy': 'noisy_', 'flat': 'baseline_flat_', 'mean': 'baseline_mean_',
  'oracle': 'oracle_depth_',
}
_SINGLE_WORDS = {
  '': 'the lifter, exact 2D', 'noisy_': 'the lifter, 2D with noise and missing joints',
  'baseline_flat_': 'baseline: all joints at the pelvis\'s depth',
  'baseline_mean_': 'baseline: the mean training pose, facing the camera',
  'oracle_depth_': 'oracle: true depth, lifted the published way',
}
_SINGLE_COLUMNS = {
  'pa_mpjpe_mm': 'PA-MPJPE', 'n_mpjpe_mm': 'N-MPJPE',
  'pa_mpjpe_reflection_mm': 'PA-MPJPE, reflection allowed',
}
_ROW_WORDS = {
  'joint': 'all lifted jointly (naive)',
  'plain': 'one by one, offsets from the image', 'group': '+ 50-px rule',
  'rotate': '+ rotation', 'published': '+ elevation: as published',
  'ground': 'about the camera, depth from the ground',
  'size': 'about the camera, depth from body size',
  'both': 'about the camera, ground and size', 'unshared': 'the same, each with its own elevation',
  'still': 'about the camera, elevation averaged over its pictures',
  'noisy_published': 'as published, noise and missing joints',
  'noisy_both': 'about the camera, noise and missing joints',
  'oracle_published': 'oracle: true depth and θ, as published',
  'floor': 'oracle: true poses at one depth',
  'oracle_camera': 'oracle: true depth and θ, about the camera',
  'flat_published': 'baseline: flat poses, as published',
  'flat_camera': 'baseline: flat poses, about the camera',
}
_SCENE_COLUMNS = {
  'pa_mpjpe_mm': 'PA-MPJPE', 'median_mm': 'median', 'se_percent': 'SE, %', 'se_mm': 'SE',
  'te_mm': 'TE', 'rde_mm': 'RDE',
}
_SCENE_MEANING = {
  **_SCENE_COLUMNS, 'rde_gap_mm': 'RDE of the distances alone',
  'pa_mpjpe_reflection_mm': 'PA-MPJPE, reflection allowed',
}
_LAYOUTS = {
  'apart': 'in any direction, 0.6–2 m between neighbours',
  'close': 'in any direction, 0.4–1 m between neighbours',
  'side': 'side by side, 0.6–2 m between neighbours',
  'chi3d': 'of CHI3D before its own cameras',
  'still': 'in any direction, eight pictures of each camera, other people in each',
}
_GROUPS = ('apart_2', 'close_2', 'side_2', 'apart_3', 'apart_4', 'apart_5', 'still_2', 'chi3d_2')
_OTHERS = {
  'pa_mpjpe_below_flat_mm': ('mm', 'PA-MPJPE of flat poses less that of the lifter'),
  'theta_sd_deg': ('°', 'standard deviation of the elevations that the lifter says'),
  'theta_true_sd_deg': ('°', 'standard deviation of the true elevations'),
  'theta_bias_deg': ('°', 'mean of the lifter\'s elevations less that of the true ones'),
  'theta_error_deg': ('°', 'mean error of the elevation'),
  'theta_correlation_percent': ('%', 'correlation of the elevation with the true one'),
  'uncertainty_rank_percent': (
    '%', 'rank correlation (Spearman) of a person\'s uncertainty with its PA-MPJPE'
  ),
  'pa_mpjpe_certain_half_mm': ('mm', 'PA-MPJPE of the half of the people of least uncertainty'),
  'pa_mpjpe_uncertain_half_mm': ('mm', 'PA-MPJPE of the other half'),
  'lifters_called_mirrored': (
    'lifters', 'lifters of this run whose θ falls where the pelvis is higher in the picture'
  ),
  'chosen_lifter': ('number', 'which lifter of the run was kept, from 0'),
}
NOTES = (
  'One person: root-aligned in the axes of the pelvis\'s ray. PA-MPJPE aligns scale, rotation and '
  'translation without reflection; N-MPJPE scale alone. All 17 joints count, the pelvis too.',
  'Scenes: all people as one rigid body under one similarity. SE: size of the pelvis-centred '
  'poses; TE: norm of the mean absolute error of the pelvises; RDE: error of the pelvises\' '
  'displacement, over all pairs.',
  'The joints are those of J17: J15 with the tips of both feet, which H3.6M-17 lacks, in the '
  'place of its spine and nose. Figures of papers are of that set, and of other data.',
  'As published, each person is levelled in the frame of its own ray: people beside the axis keep '
  'an error of their heading, about the angle of the ray.',
  'Sets are held out by action (motion capture), by people (the test of CHI3D) or by family of '
  'motion (the test alone: validation has the training\'s families); the lifter was chosen by '
  'held-out 2D poses alone.',
  'Noise: a standard deviation of 5 px for a person 400 px tall, 10 % of the joints missing, the '
  'pelvis never, unless the config says otherwise.',
  'Oracles show what the composition costs with true depth and elevation; “true poses at one '
  'depth” is the least error of the published composition. Intervals: 95 % bootstrap.',
  'The camera has no roll; its focal length and centre are known. Those of CHI3D are as they '
  'stood, their lens\'s distortion taken out.',
)


def described(name: str, value: float, low: float = float('nan'), high: float = float('nan')):
  """A Metric with its unit and meaning.

  Raises:
    KeyError: a name that no rule here covers.
  """
  unit, meaning = _meaning(name)
  return Metric(value, unit, meaning, low, high)


def _meaning(name: str) -> tuple[str, str]:
  if name in _OTHERS:
    return _OTHERS[name]
  if name.startswith('lifter_'):
    if name.endswith('_nll_median'):
      return 'nats', 'median NLL of the turned poses of held-out people'
    if name.endswith('_bone'):
      return '', 'bone loss on held-out people'
    if name.endswith('_spread'):
      return '', 'median uncertainty on held-out people, pelvis–head lengths'
    return '%', (
      'correlation of θ with the pelvis\'s height in the picture, over pairs of people of one '
      'picture: positive for a mirrored lifter'
    )
  group = next((group for group in _GROUPS if name.startswith(f'{group}_')), None)
  if group:
    rest = name.removeprefix(f'{group}_')
    row = max((row for row in _ROW_WORDS if rest.startswith(f'{row}_')), key=len)
    column = rest.removeprefix(f'{row}_')
    unit = '%' if column.endswith('percent') else 'mm'
    return unit, f'{_SCENE_MEANING[column]}: {_ROW_WORDS[row]}; {group_title(group)}'
  column = max((c for c in _SINGLE_COLUMNS if name.endswith(c)), key=len)
  return 'mm', f'{_SINGLE_COLUMNS[column]} of single people: {_SINGLE_WORDS[name[:-len(column)]]}'


def group_title(label: str) -> str:
  """A set of scenes in words."""
  layout, count = label.split('_')
  return f'{count} people {_LAYOUTS[layout]}'


def tables(names: Iterable[str]) -> tuple[Table, ...]:
  """The report's tables of the metrics there are."""
  there = set(names)

  def cells(prefixes, columns):
    return tuple(
      tuple(f'{prefix}{column}' if f'{prefix}{column}' in there else '' for column in columns)
      for prefix in prefixes
    )

  result = [Table(
    'One person', 'Held-out people, mm.', tuple(_SINGLE_COLUMNS.values()),
    tuple(_SINGLE_WORDS[prefix] for prefix in SINGLE.values()),
    cells(SINGLE.values(), _SINGLE_COLUMNS),
  )]
  for group in _GROUPS:
    rows = [row for row in _ROW_WORDS if f'{group}_{row}_pa_mpjpe_mm' in there]
    if rows:
      result.append(Table(
        group_title(group), 'mm, but for the share of the size.', tuple(_SCENE_COLUMNS.values()),
        tuple(_ROW_WORDS[row] for row in rows),
        cells([f'{group}_{row}_' for row in rows], _SCENE_COLUMNS),
      ))
  certain = [name for name in _OTHERS if name in there and 'certain' in name]
  result.append(Table(
    'Uncertainty', 'Said of each person without labels: do lifts of the pose as seen from other '
    'sides agree?', ('value',), tuple(_OTHERS[name][1] for name in certain),
    tuple((name,) for name in certain),
  ))
  angles = [name for name in _OTHERS if name in there and name.startswith(('theta', 'lifters'))]
  result.append(Table(
    'Elevation and mirror', '', ('value',), tuple(_OTHERS[name][1] for name in angles),
    tuple((name,) for name in angles),
  ))
  lifters = sorted({name[: len('lifter_0')] for name in there if name.startswith('lifter_')})
  fields = {
    'nll_median': 'NLL', 'bone': 'bone loss', 'spread': 'uncertainty', 'cue_percent': 'cue, %',
  }
  result.append(Table(
    'The lifters of this run', 'Kept is, among those that the elevation cue does not call '
    'mirrored, the one of the lowest uncertainty (`choice.by` consistency) or of the lowest sum of '
    'NLL and weighted bone loss (likelihood).', tuple(fields.values()), tuple(lifters),
    cells([f'{name}_' for name in lifters], fields),
  ))
  return tuple(result)
