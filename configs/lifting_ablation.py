"""What each part of the lifter's training brings, as `python -m posejax.ablate` runs it.

  python -m posejax.ablate --config=configs/lifting.py --ladder=configs/lifting_ablation.py \
    --workdir=runs/lifting_ablation --seeds=0,1,2

Every rung but `links` differs from the default in one switch, over one flow. The rows of the seed's
Table 1 need no ladder: they are compositions of the same poses, in every run's own report.
"""

from posejax.training.ladder import Column, Ladder, Panel, Rung

PA, SCENE = 'pa_mpjpe_mm', 'apart_2_both_pa_mpjpe_mm'
_PLAIN = {
  'lifter.weights.relift_3d': 1.0, 'lifter.weights.relift_2d': 1.0, 'lifter.weights.deform': 1.0,
  'lifter.weights.bone': 50.0, 'lifter.weights.elevation': 5.0, 'lifter.std_floor': 0.12,
  'lifter.clip': 5.0, 'lifter.input_scale': 20.0, 'lifter.count': 2, 'lifter.kind': 'single',
  'lifter.blocks': 2, 'lifter.resample': False,
}


def _rung(name: str, title: str, **fields: object) -> Rung:
  changed = {f'lifter.{key.replace("__", ".")}': value for key, value in fields.items()}
  return Rung(name, title, _PLAIN | changed, '' if name == 'default' else 'default')


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
  )
