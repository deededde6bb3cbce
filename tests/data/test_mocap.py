"""BVH files to clips: names, units, axes, head top, errors, on a T-pose in each rig's names."""

import functools
import itertools
import pickle

import jax
import numpy as np
import pytest

from posejax.data import bvh as bvh_lib
from posejax.data import mocap, rigs
from posejax.data.bvh import BvhError
from posejax.geometry import kinematics
from posejax.geometry.skeleton import J15, J17

# A T-pose that faces +z with y up: (name, offset in cm, children). Names are MotionBuilder's.
LEG = ('LeftUpLeg', (10, 0, 0), [('LeftLeg', (0, -45, 0), [
  ('LeftFoot', (0, -45, 0), [('LeftToeBase', (0, -5, 15), [])])])])
ARM = ('LeftShoulder', (5, 30, 0), [('LeftArm', (10, 0, 0), [
  ('LeftForeArm', (30, 0, 0), [('LeftHand', (25, 0, 0), [])])])])


def mirrored(node):
  name, (x, y, z), children = node
  return (name.replace('Left', 'Right'), (-x, y, z), [mirrored(child) for child in children])


def person(head=()):
  neck = ('Neck', (0, 35, 0), [('Head', (0, 10, 0), list(head))])
  spine = ('Spine', (0, 20, 0), [ARM, mirrored(ARM), neck])
  return ('Hips', (0, 0, 0), [LEG, mirrored(LEG), spine])


HEAD_END = ('End Site', (0, 15, 0), [])

# World, mm, z up: (x, y, z) of the file → 10 · (x, −z, y); the person then faces −y. Hips at y 100
# cm; shoulders at 100 + 20 + 30, the rig's neck at 100 + 20 + 35, the head 10 above it, the head's
# end 15 above that.
T_POSE = {
  'pelvis': (0, 0, 1000), 'neck': (0, 0, 1500), 'head_top': (0, 0, 1800),
  'l_shoulder': (150, 0, 1500), 'l_elbow': (450, 0, 1500), 'l_wrist': (700, 0, 1500),
  'l_hip': (100, 0, 1000), 'l_knee': (100, 0, 550), 'l_ankle': (100, 0, 100),
  'l_foot': (100, -150, 50),
}
T_POSE |= {'r' + name[1:]: (-x, y, z) for name, (x, y, z) in T_POSE.items() if name[:2] == 'l_'}
EXPECTED = np.array([T_POSE[name] for name in J17.joints], float)


def bvh_text(root, scale=1.0, angles=None, frames=1, frame_time='0.0333333', rename=str):
  """A BVH file; `angles` {node: (z, x, y)} in degrees hold in every frame."""
  lines, values = ['HIERARCHY'], []

  def node(tree, depth):
    name, offset, children = tree
    kind = 'ROOT' if depth == 0 else 'JOINT'
    lines.append('End Site' if name == 'End Site' else f'{kind} {rename(name)}')
    lines.extend(['{', 'OFFSET ' + ' '.join(f'{x * scale:.6f}' for x in offset)])
    if name != 'End Site':
      position = 'Xposition Yposition Zposition ' if depth == 0 else ''
      lines.append(f'CHANNELS {6 if depth == 0 else 3} {position}Zrotation Xrotation Yrotation')
      values.extend([0, 100 * scale, 0] if depth == 0 else [])
      values.extend((angles or {}).get(name, (0, 0, 0)))
    for child in children:
      node(child, depth + 1)
    lines.append('}')

  node(root, 0)
  row = ' '.join(f'{value:.6f}' for value in values)
  return '\n'.join([*lines, 'MOTION', f'Frames: {frames}', f'Frame Time: {frame_time}',
                    *[row] * frames, ''])


@pytest.fixture
def load(tmp_path):
  """Writes a text and loads it."""
  def load_text(text, **options):
    path = tmp_path / 'walk.bvh'
    path.write_text(text)
    return mocap.load_bvh(path, **options)

  return load_text


def test_t_pose_by_hand(load):
  clip = load(bvh_text(person([HEAD_END]), frames=2))
  assert clip.name == 'walk' and clip.rig == 'H3.6M-like' and clip.extrapolated == ()
  assert clip.fps == 30.0 and clip.mm_per_unit == 10.0
  np.testing.assert_allclose(clip.joints, [EXPECTED] * 2, atol=1e-9)
  # The rig's own neck is 5 cm above the middle of the shoulders.
  np.testing.assert_allclose(clip.rig_joints[0, J17.index('neck')], (0, 0, 1550), atol=1e-9)
  np.testing.assert_allclose(
    clip.positions[0, clip.node_names.index('LeftToeBase')], (100, -150, 50), atol=1e-9
  )
  lengths = dict(zip(J17.joints, mocap.bone_lengths(clip), strict=True))
  assert lengths['pelvis'] == 0 and lengths['l_knee'] == pytest.approx(450)
  assert lengths['r_foot'] == pytest.approx(np.hypot(150, 50))


def test_poses(load, x64):
  clip = load(bvh_text(person([HEAD_END]), frames=3))
  canonical, rotation = mocap.canonical_poses(clip)
  # Faces −y with its left at +x: the columns forward, left, up.
  np.testing.assert_allclose(rotation[0].T, [[0, -1, 0], [1, 0, 0], [0, 0, 1]], atol=1e-12)
  # Forward −y, left x: the toes 150 forward, 100 left, 950 below the pelvis.
  np.testing.assert_allclose(canonical[2, J17.index('l_foot')], (150, 100, -950), atol=1e-9)
  np.testing.assert_allclose(
    mocap.root_relative(clip), canonical @ np.swapaxes(rotation, 1, 2), atol=1e-9
  )
  local = mocap.local_poses(clip)
  # kinematics.md: at the root X = left, Y = back, Z = up, and left frames are mirrored: both arms
  # are straight out sideways, (-1, 0, 0) on the right; the arm goes on along its parent's bone, z.
  np.testing.assert_allclose(local[0, J17.index('r_shoulder')], (-1, 0, 0), atol=1e-12)
  np.testing.assert_allclose(local[0, J17.index('l_elbow')], (0, 0, 1), atol=1e-12)
  back = kinematics.forward_kinematics(local[0], mocap.bone_lengths(clip))
  np.testing.assert_allclose(back, canonical[0], atol=1e-9)


def test_calls_of_fixed_size_change_nothing(load, monkeypatch):
  clip = load(bvh_text(person([HEAD_END]), frames=5))
  clip = clip._replace(joints=clip.joints + np.arange(5.0)[:, None, None] * 1e5)
  monkeypatch.setattr(mocap, '_FRAMES_PER_CALL', 2)
  local = mocap.local_poses(clip, frame='paper')
  assert local.shape == (5, 17, 3)
  # Root-relative before float32: the walk to 400 m from the origin costs no digits.
  np.testing.assert_allclose(local, [local[0]] * 5, atol=1e-6)


def test_j15_needs_no_feet(load):
  text = bvh_text(person([HEAD_END]), rename=lambda name: name.replace('ToeBase', 'Claw'))
  with pytest.raises(BvhError, match=r'LeftToeBase or LeftToe or LeftFoot_end'):
    load(text)
  clip = load(text, skeleton=J15)
  np.testing.assert_allclose(clip.joints[0], EXPECTED[:15], atol=1e-9)


def test_foot_from_an_end_site_unless_it_lies_on_the_ankle(load):
  def with_end(offset):
    text = bvh_text(person([HEAD_END]))
    for side in ('Left', 'Right'):
      start = text.index(f'JOINT {side}ToeBase')
      stop = text.index('}', start)
      text = text[:start] + f'End Site\n{{\nOFFSET {offset}\n' + text[stop:]
    row = text.splitlines()[-1].split()
    return '\n'.join([*text.splitlines()[:-1], ' '.join(row[:-6]), ''])

  clip = load(with_end('0 -5 15'))
  np.testing.assert_allclose(clip.joints[0], EXPECTED, atol=1e-9)
  with pytest.raises(BvhError, match='skeleton=J15'):
    load(with_end('0 0 0'))


def test_head_top_is_extrapolated_where_the_rig_has_none(load):
  # Legs of 90 cm: the top is 0.21 · 900 = 189 mm above the head joint, itself 1650 mm high.
  for head in ((), [('End Site', (0, 0, 0), [])]):
    clip = load(bvh_text(person(head)))
    assert clip.extrapolated == ('head_top',)
    np.testing.assert_allclose(clip.joints[0, 2], (0, 0, 1839), atol=1e-6)
  # A nod of 90° about x takes up (y) to forward (z), which is −y in the world.
  clip = load(bvh_text(person(), angles={'Head': (0, 90, 0)}))
  np.testing.assert_allclose(clip.joints[0, 2], (0, -189, 1650), atol=1e-6)
  flat = bvh_text(person()).replace('OFFSET 0.000000 10.000000 0.000000', 'OFFSET 0 0 0')
  with pytest.raises(BvhError, match='Head has no OFFSET along which'):
    load(flat)


BIOVISION_NAMES = {
  'Arm': 'Shoulder', 'ForeArm': 'Elbow', 'Hand': 'Wrist', 'UpLeg': 'Hip', 'Leg': 'Knee',
  'Foot': 'Ankle', 'ToeBase': 'Toe', 'Shoulder': 'Collar',
}
BANDAI_NAMES = {
  'Arm': 'UpperArm', 'ForeArm': 'LowerArm', 'Hand': 'Hand', 'UpLeg': 'UpperLeg', 'Leg': 'LowerLeg',
  'Foot': 'Foot', 'ToeBase': 'Toes', 'Shoulder': 'Shoulder',
}


def renamed(name, names, pattern):
  for side in ('Left', 'Right'):
    if name.startswith(side):
      return pattern.format(side=side, short=side[0], part=names[name.removeprefix(side)])
  return name


def as_cmu(root):
  """CMU's hip joints and lower back between the same joints."""
  name, offset, (left, right, spine) = root
  return (name, offset, [('LHipJoint', (0, 0, 0), [left]), ('RHipJoint', (0, 0, 0), [right]),
                         ('LowerBack', (0, 0, 0), [spine])])


@pytest.mark.parametrize(('rig', 'text', 'unit'), [
  ('Biovision', bvh_text(person([HEAD_END]), 1 / 2.54, rename=functools.partial(
    renamed, names=BIOVISION_NAMES, pattern='{side}{part}')), 25.4),
  ('Bandai', bvh_text(('joint_Root', (0, 0, 0), [person([HEAD_END])]), rename=functools.partial(
    renamed, names=BANDAI_NAMES, pattern='{part}_{short}')), 10.0),
  ('CMU', bvh_text(as_cmu(person([HEAD_END])), 4.5 / 25.4, frames=2), 25.4 / 0.45),
  ('CMU', bvh_text(as_cmu(person([HEAD_END])), frames=2), 10.0),
  ('H3.6M-like', bvh_text(person([HEAD_END]), 10.0), 1.0),
  ('H3.6M-like', bvh_text(person([HEAD_END]), 0.01), 1000.0),
  ('H3.6M-like', bvh_text(person([HEAD_END]), rename='mixamorig:{}'.format), 10.0),
])
def test_rigs_and_units(load, rig, text, unit):
  clip = load(text)
  assert clip.rig == rig and clip.mm_per_unit == pytest.approx(unit)
  # CMU's first frame, a T-pose, is no motion: one of its two is left.
  assert len(clip.joints) == 1
  expected = EXPECTED.copy()
  if rig == 'Bandai':
    # Its end site is not to be trusted: 1650 + 0.21 · 900.
    expected[2] = (0, 0, 1839)
  np.testing.assert_allclose(clip.joints[0], expected, atol=0.05)


def test_units(load):
  text = bvh_text(person([HEAD_END]), 1 / 2.54)
  with pytest.raises(BvhError, match=r'legs of 35.43 units .* pass unit= \(inch would fit\)'):
    load(text)
  assert load(text, unit='inch').joints[0, 2, 2] == pytest.approx(1800, abs=0.01)
  # A stated unit is believed, whatever the size.
  assert load(text, unit=0.1).joints[0, 2, 2] == pytest.approx(1800 / 254, abs=0.01)
  for unit in ('furlong', 0, -1.0, float('nan'), float('inf')):
    with pytest.raises(ValueError, match='unit must be one of mm, cm'):
      load(text, unit=unit)
  with pytest.raises(BvhError, match=r'legs of 0 units .* \(mm per unit\)'):
    load(bvh_text(person([HEAD_END]), 0.0))


def test_no_two_units_of_a_rig_fit_one_person():
  low, high = mocap.LEG_RANGE_MM
  for rig in rigs.RIGS:
    sizes = sorted(rigs.UNITS_MM[unit] for unit in rig.units)
    assert all(b / a > high / low for a, b in itertools.pairwise(sizes))


def test_z_up_files(load):
  # The same file read as z up lies on its back: what was up (y) stays y.
  clip = load(bvh_text(person([HEAD_END])), up='z')
  np.testing.assert_allclose(clip.joints[0, 2], (0, 1800, 0), atol=1e-9)
  expected = EXPECTED[:, [0, 2, 1]] * (1, 1, -1)
  np.testing.assert_allclose(clip.joints[0], expected, atol=1e-9)


def test_position_channels(load):
  # The root's OFFSET counts only where the channels are added to it.
  text = bvh_text(person([HEAD_END])).replace('OFFSET 0.000000', 'OFFSET 7.000000', 1)
  assert load(text).joints[0, 0, 0] == 0
  assert load(text, position_channels='add').joints[0, 0, 0] == pytest.approx(70)


def test_skipped_frames(load):
  text = bvh_text(person([HEAD_END]), frames=3)
  assert len(load(text, skip_frames=2).joints) == 1
  with pytest.raises(BvhError, match='3 frames, of which 3 are to be skipped'):
    load(text, skip_frames=3)
  with pytest.raises(ValueError, match='skip_frames must be >= 0'):
    load(text, skip_frames=-1)


def test_frame_rates(load):
  rates = {'0.0333333': 30.0, '.0083333': 120.0, '0.04': 25.0, '0.03': 1 / 0.03}
  for written, fps in rates.items():
    assert load(bvh_text(person([HEAD_END]), frame_time=written)).fps == pytest.approx(fps, 1e-9)


def test_unknown_rigs(load, tmp_path):
  text = bvh_text(person([HEAD_END]), rename=lambda name: name.replace('UpLeg', 'Thigh'))
  with pytest.raises(BvhError, match=r'walk.bvh: the joint names fit no known rig; the nearest, '
                     r'H3.6M-like, also has RightUpLeg, LeftUpLeg; pass rig='):
    load(text)
  joints = {**rigs.H36M_LIKE.joints, 'l_hip': ('LeftThigh',), 'r_hip': ('RightThigh',)}
  clip = load(text, rig=rigs.H36M_LIKE._replace(name='mine', joints=joints))
  assert clip.rig == 'mine'
  np.testing.assert_allclose(clip.joints[0], EXPECTED, atol=1e-9)
  with pytest.raises(BvhError, match='nearest, Bandai, also has joint_Root'):
    load(text, rig=rigs.BANDAI)
  with pytest.raises(BvhError, match="two joints are called 'Head' but for their namespace"):
    load(bvh_text(person([('a:Head', (0, 1, 0), [])])))


def test_arguments(load):
  text = bvh_text(person([HEAD_END]))
  with pytest.raises(ValueError, match="up='x'"):
    load(text, up='x')
  with pytest.raises(ValueError, match="position_channels='mean'"):
    load(text, position_channels='mean')
  with pytest.raises(FileNotFoundError):
    mocap.load_bvh('/nowhere/walk.bvh')


def test_folders(tmp_path):
  good = bvh_text(person([HEAD_END]))
  (tmp_path / 'b').mkdir()
  (tmp_path / 'b' / 'a.BVH').write_text(good)
  (tmp_path / 'c.bvh').write_text(good)
  (tmp_path / 'a.bvh').write_text(good.replace('Frames: 1', 'Frames: 2'))
  (tmp_path / 'notes.txt').write_text('no motion')
  errors = []
  clips = list(mocap.iterate_bvh(tmp_path, lambda path, error: errors.append((path.name, error))))
  assert [clip.name for clip in clips] == ['a', 'c']
  assert [name for name, _ in errors] == ['a.bvh']
  assert errors[0][1].line == len(good.splitlines())
  with pytest.raises(BvhError, match=r'a\.bvh:'):
    list(mocap.iterate_bvh(tmp_path))
  load_cm = functools.partial(mocap.load_bvh, unit='cm', skeleton=J15)
  assert next(mocap.iterate_bvh(tmp_path / 'b', load=load_cm)).skeleton is J15
  with pytest.raises(FileNotFoundError, match=r'no \.bvh file in'):
    list(mocap.iterate_bvh(tmp_path / 'empty'))


def test_a_mapped_clip_survives_jit_of_both_skeletons(load):
  clip = load(bvh_text(person([HEAD_END])), skeleton=J15)
  local = mocap.local_poses(clip)
  assert local.shape == (1, 15, 3)
  norms = np.linalg.norm(local[0, 1:], axis=-1)
  np.testing.assert_allclose(norms, 1, atol=1e-6)
  assert jax.numpy.asarray(local).dtype == np.float32


def test_errors_can_be_pickled():
  error = BvhError('walk.bvh', 7, 'wrong')
  again = pickle.loads(pickle.dumps(error))
  assert str(again) == 'walk.bvh:7: wrong' and again.line == 7
  assert isinstance(error, ValueError) and bvh_lib.BvhError is BvhError
