"""The ladder of the paper's Tables 2 and 7, as `python -m posejax.ablate` runs it.

  python -m posejax.ablate --config=configs/unsup.py:ablate --workdir=runs/ablate --seeds=0,1

Rungs are config switches over one base config; published figures are MuPoTS-3D's, another test
set: the steps compare, the levels do not. Source: Kundu et al. 2020, Tables 2 and 7;
spec/crossmodal.md, "Supervision levels and ablations". Table 7 has the teacher, L_distl alone and
Fs; its 2D-PCK is at 25 px.

Two readings: Ws and Fs keep L_ss, as phase 2 has it; `Fs without D_syn` has neither L_recon nor
L_adapt. Rungs without scenes spend all their steps on images, since an iteration is one batch of
either kind [P].
"""

from posejax.training.ladder import Column, Comparison, Ladder, Panel, Rung

MATCHED, ALL = '3dpck_rel_matched', '3dpck_rel_all'
BASELINES = (
  Column('baseline_mean_pose_one_yaw_3dpck_rel', 'mean pose, one best yaw'),
  Column('baseline_mean_pose_person_yaw_3dpck_rel', 'mean pose, best yaw per person'),
  Column('baseline_mean_pose_rotation_3dpck_rel', 'mean pose, true rotation'),
)
PLANE = (
  Column('student_2d_iou_both_percent', '2D IoU, %'),
  Column('student_2d_mpjpe_both_px', '2D-MPJPE, px'),
  Column('student_2d_pck_25px_scaled_both', '2D-PCK 25 px scaled, %'),
  Column('student_2d_pck_02torso_both', '2D-PCK@0.2 torso, %'),
)


def _plane(iou: float, mpjpe: float, pck: float) -> dict[str, float]:
  """A row of Table 7."""
  return dict(zip((column.metric for column in PLANE), (iou, mpjpe, pck), strict=False))


def _fields(
  *, recon: bool = True, adapt: bool = True, ss: bool = True, label_2d: bool = False,
  label_3d: bool = False, prior: str = 'artificial', refine: int = 0,
) -> dict[str, object]:
  return {
    'align.recon': recon, 'align.adapt': adapt, 'align.ss': ss, 'align.label_2d': label_2d,
    'align.label_3d': label_3d, 'prior.source': prior, 'refine.steps': refine,
  }


def get_ladder() -> Ladder:
  return Ladder(
    seed_field='align.seed',
    rungs=(
      Rung('distl', 'L_distl only', _fields(recon=False, adapt=False, ss=False),
           published={MATCHED: 53.3, **_plane(51.9, 49.6, 60.3)}),
      Rung('recon', '+ L_recon', _fields(adapt=False, ss=False), 'distl', {MATCHED: 57.6}),
      Rung('adapt', '+ L_adapt', _fields(ss=False), 'recon', {MATCHED: 61.9}),
      Rung('ss', '+ L_ss: Us, Ψ of artificial poses', _fields(), 'adapt', {MATCHED: 64.2}),
      Rung('us', 'Us, Ψ of captured motion', _fields(prior='motion'), 'ss',
           {MATCHED: 66.1, ALL: 63.3}),
      Rung('ws_artificial', 'Ws: + L_2D, Ψ of artificial poses', _fields(label_2d=True), 'ss',
           {MATCHED: 66.4}),
      Rung('ws', 'Ws, Ψ of captured motion', _fields(label_2d=True, prior='motion'),
           'ws_artificial', {MATCHED: 67.9, ALL: 65.2}),
      Rung('fs_alone', 'Fs without D_syn', _fields(
        recon=False, adapt=False, label_2d=True, label_3d=True, prior='motion',
      ), 'ws', {MATCHED: 71.1}),
      Rung('fs', 'Fs', _fields(label_2d=True, label_3d=True, prior='motion'), 'fs_alone',
           {MATCHED: 75.8, ALL: 74.0, **_plane(81.6, 19.5, 74.7)}),
      Rung('refined', 'Fs, + H′', _fields(
        label_2d=True, label_3d=True, prior='motion', refine=600,
      ), 'fs', {MATCHED: 76.9}),
    ),
    columns=(
      Column(MATCHED, '3DPCK_rel matched, %'), Column(ALL, '3DPCK_rel all, %'),
      Column('mpjpe_root_matched_mm', 'MPJPE matched, mm'),
    ),
    steps_of=MATCHED,
    baselines=BASELINES,
    sweep_rungs=('distl', 'ss'),
    panels=(
      Panel('2D-PCK@0.2 torso all, %', 'student_2d_pck_02torso_all',
            {'teacher': 'teacher_2d_pck_02torso_all'}),
      Panel('3DPCK_rel matched, %', MATCHED,
            {f'{column.title}, all people': column.metric for column in BASELINES}),
    ),
    comparison=Comparison(
      '2D, people and joints that teacher and student both give', 'teacher', PLANE,
      tuple(column.metric.replace('student', 'teacher') for column in PLANE),
      _plane(60.1, 38.0, 66.6),
      'Of 2D-MPJPE less is better. The paper\'s figures are of other pictures, of another size: '
      'compare the rows, not the levels.',
    ),
    note=(
      'Baselines stand on the mean of the poses that a rung\'s training draws: where those differ '
      'between rungs, the values stand in the order of the rungs. The paper\'s figures are of '
      'another test set (MuPoTS-3D): compare steps, not levels.'
    ),
  )
