"""What each part of the lifter's training brings, as `python -m posejax.ablate` runs it.

  python -m posejax.ablate --config=configs/lifting.py --ladder=configs/lifting_ablation.py \
    --workdir=runs/lifting_ablation --seeds=0,1,2

`--rungs=default` gives the tables of the default alone: one person, and scenes.

Rungs differ from the default in one switch, but for `links` and `legs_torso` (the kind, with the
blocks that LInKs gives it) and `no_elevation` (the term and its floor). The flow is one, or where
poses are sampled from it one that learned from its samples too. The rows of the seed's Table 1 need
no ladder: they are compositions of the same poses, in every run's own report.
"""

from posejax.training.ladder import Column, Grid, Ladder, Panel, Rung

PA, SCENE = 'pa_mpjpe_mm', 'apart_2_both_pa_mpjpe_mm'
_PLAIN = {
  'lifter.weights.relift_3d': 1.0, 'lifter.weights.relift_2d': 1.0, 'lifter.weights.deform': 1.0,
  'lifter.weights.bone': 50.0, 'lifter.weights.elevation': 5.0, 'lifter.std_floor': 0.12,
  'lifter.clip': 5.0, 'lifter.input_scale': 20.0, 'lifter.count': 2, 'lifter.kind': 'single',
  'lifter.blocks': 2, 'lifter.resample': False, 'flow.resample': False,
}


def _rung(name: str, title: str, **fields: object) -> Rung:
  changed = {f'lifter.{key.replace("__", ".")}': value for key, value in fields.items()}
  # Poses are sampled from a flow that learned from its own samples too (LInKs).
  changed['flow.resample'] = bool(fields.get('resample'))
  return Rung(name, title, _PLAIN | changed, '' if name == 'default' else 'default')


_GROUPS = {
  'apart_2': 'two, 0.6–2 m apart', 'close_2': 'two, 0.4–1 m', 'side_2': 'two, side by side',
  'apart_3': 'three', 'apart_4': 'four', 'apart_5': 'five',
}
_ROWS = {
  'joint': 'all lifted jointly (naive)', 'plain': 'one by one, offsets from the image',
  'group': '+ 50-px rule', 'rotate': '+ rotation', 'published': '+ elevation: as published',
  'ground': '**about the camera**, depth from the ground', 'size': 'depth from body size',
  'both': 'depth from both', 'unshared': 'both, each with its own elevation',
  'noisy_published': 'as published, noise and gaps', 'noisy_both': 'both, noise and gaps',
  'floor': '*oracle: true poses at one depth*',
  'oracle_published': '*oracle: true depth and θ, as published*',
  'oracle_camera': '*oracle: true depth and θ, about the camera*',
  'flat_published': '*flat poses, as published*', 'flat_camera': '*flat poses, about the camera*',
}
_SINGLE = {
  '': 'the lifter', 'noisy_': 'the lifter, noise and gaps', 'baseline_flat_': '*flat poses*',
  'baseline_mean_': '*mean training pose, facing the camera*', 'oracle_depth_': '*true depth*',
}
_SCENES = {'pa_mpjpe_mm': 'PA-MPJPE', 'se_percent': 'SE, %', 'te_mm': 'TE', 'rde_mm': 'RDE'}


def _grids() -> tuple[Grid, ...]:
  columns = {
    PA: 'PA-MPJPE', 'n_mpjpe_mm': 'N-MPJPE', 'pa_mpjpe_reflection_mm': 'PA, reflection allowed',
  }
  return (
    Grid('One person, mm', 'default', tuple(columns.values()), tuple(
      (title, tuple(f'{prefix}{metric}' for metric in columns))
      for prefix, title in _SINGLE.items()
    )),
    Grid('Scenes, PA-MPJPE, mm', 'default', tuple(_GROUPS.values()), tuple(
      (title, tuple(f'{group}_{row}_pa_mpjpe_mm' for group in _GROUPS))
      for row, title in _ROWS.items()
    )),
    Grid(f'{_GROUPS["apart_2"]}, mm', 'default', tuple(_SCENES.values()), tuple(
      (_ROWS[row], tuple(f'apart_2_{row}_{metric}' for metric in _SCENES))
      for row in ('published', 'both', 'floor', 'oracle_camera')
    )),
    Grid('Eight pictures of each camera, two people, mm', 'default', tuple(_SCENES.values()), (
      ('depth from both', tuple(f'still_2_both_{metric}' for metric in _SCENES)),
      ('the same, elevation averaged over a camera\'s pictures',
       tuple(f'still_2_still_{metric}' for metric in _SCENES)),
    )),
    Grid('Elevation and uncertainty', 'default', ('figure',), (
      ('sd of θ, °', ('theta_sd_deg',)), ('true sd, °', ('theta_true_sd_deg',)),
      ('mean error of θ, °', ('theta_error_deg',)),
      ('correlation with the truth, %', ('theta_correlation_percent',)),
      ('lifters of a run that the cue calls mirrored', ('lifters_called_mirrored',)),
      ('PA-MPJPE of the half of least uncertainty, mm', ('pa_mpjpe_certain_half_mm',)),
      ('of the other half, mm', ('pa_mpjpe_uncertain_half_mm',)),
      ('rank correlation of uncertainty and error, %', ('uncertainty_rank_percent',)),
    )),
  )


def get_ladder() -> Ladder:
  return Ladder(
    seed_field='lifter.seed',
    rungs=(
      _rung('default', 'the CPU recipe'),
      _rung('no_relift_3d', 'without L_3D', weights__relift_3d=0.0),
      _rung('no_relift_2d', 'without L_2D', weights__relift_2d=0.0),
      _rung('no_deform', 'without L_def', weights__deform=0.0),
      _rung('no_bone', 'without L_bone', weights__bone=0.0),
      _rung('no_elevation', 'without the term on θ and its floor', weights__elevation=0.0,
            std_floor=0.0),
      _rung('no_clip', 'gradients not clipped', clip=0.0),
      _rung('no_scale', 'inputs not scaled', input_scale=1.0),
      _rung('one', 'one lifter: the mirror is left to chance', count=1),
      _rung('sampled', '+ poses sampled from the flow', resample=True),
      _rung('links', 'LInKs: left and right halves, sampled poses', kind='left_right', blocks=3,
            resample=True),
      _rung('legs_torso', 'legs and torso', kind='legs_torso', blocks=3),
    ),
    columns=(
      Column(PA, 'PA-MPJPE, mm'), Column('n_mpjpe_mm', 'N-MPJPE, mm'),
      Column('pa_mpjpe_reflection_mm', 'PA, reflection, mm'),
      Column('theta_sd_deg', 'sd of θ, °'),
      Column('apart_2_published_pa_mpjpe_mm', 'two people, published, mm'),
      Column(SCENE, 'two people, about the camera, mm'),
    ),
    steps_of=PA,
    baselines=(
      Column('baseline_flat_pa_mpjpe_mm', 'flat poses'),
      Column('baseline_mean_pa_mpjpe_mm', 'mean pose'),
      Column('oracle_depth_pa_mpjpe_mm', 'true depth'),
    ),
    sweep_rungs=('default',),
    panels=(
      Panel('PA-MPJPE, mm', PA, {'flat poses': 'baseline_flat_pa_mpjpe_mm'}),
      Panel('two people, mm', SCENE, {'published': 'apart_2_published_pa_mpjpe_mm'}),
    ),
    step_scale=1.0, grids=_grids(),
  )
