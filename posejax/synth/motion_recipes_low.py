"""Motions near the ground: squatting, sitting, kneeling, lunging, lifting, lying.

Channels and units: see `motion_channels`. A cycle starts at rest.
"""

from posejax.synth.motion_channels import SUPPORTED, Curve, Recipe, hold

SQUAT_LEGS: dict[str, Curve] = {
  'bend': hold(2, 56), 'hip': hold(2, 30), 'knee': 3, 'pitch': hold(2, 30), 'abduct': 10,
  'toe_out': 12,
}
CHAIR: dict[str, Curve] = {'hip': 86, 'knee': 88, 'bend': 0, 'abduct': 6, 'pitch': -4, 'flat': 1}
ON_FLOOR: dict[str, Curve] = {'flat': 0, 'bend': 0}

SQUAT = (
  Recipe('squat, arms forward', (2.0, 3.4), {**SQUAT_LEGS, 'arm': hold(5, 108), 'elbow': 8}),
  Recipe('squat, hands at the chest', (2.0, 3.4), {
    **SQUAT_LEGS, 'arm': 22, 'arm_out': 20, 'elbow': 118, 'forearm': -20,
  }, mixes=('lower',)),
)

SIT = (
  Recipe('sit down and rise', (4.5, 7.0), {
    'hip': hold(2, 86), 'knee': hold(3, 90), 'abduct': 6,
    'pitch': (2, 2, 4, 20, 40, 34, 12, 0, -4, 0, 14, 38, 36, 16, 4, 2),
    'arm': (2, 2, 8, 30, 48, 44, 34, 28, 28, 30, 40, 50, 40, 20, 6, 2),
    'elbow': hold(14, 52), 'arm_out': 10,
  }),
  Recipe('seated', (4, 7), {
    **CHAIR, 'arm': 26, 'elbow': 46, 'arm_out': 8,
  }, spread=(0.25, 0.15, 0.2), mixes=('lower',)),
  Recipe('seated, talking with the hands', (2.4, 4), {
    **CHAIR, 'arm': 38, 'elbow': 84, 'arm_out': 16, 'forearm': 6, 'pitch': 8,
  }, spread=(0.3, 0.12, 0.45)),
  Recipe('seated, legs crossed', (4, 7), {
    **CHAIR, 'r_hip': 98, 'r_abduct': -14, 'r_knee': 84, 'r_flat': 0, 'r_ankle': -15,
    'r_knee_out': -14, 'pitch': -10, 'arm': 36, 'elbow': 62, 'forearm': -12,
  }),
)

SIT_FLOOR = (
  Recipe('legs stretched', (4, 7), {
    **ON_FLOOR, 'pitch': -18, 'hip': 94, 'knee': 5, 'ankle': 4, 'arm': -34, 'arm_out': 18,
    'elbow': 8, 'abduct': 6,
  }, spread=SUPPORTED),
  Recipe('soles together, knees apart', (4, 7), {
    **ON_FLOOR, 'pitch': -21, 'hip': 143, 'knee': 131, 'abduct': 31, 'knee_out': -33,
    'ankle': -22, 'arm': 40, 'arm_out': 20, 'elbow': 20, 'forearm': 5,
  }, spread=(0.15, 0.06, 0.3)),
  Recipe('knees up, arms around them', (4, 7), {
    **ON_FLOOR, 'pitch': -20, 'hip': 137, 'knee': 90, 'flat': 1, 'arm': 46, 'arm_out': 16,
    'elbow': 38, 'forearm': -28, 'abduct': 5,
  }, spread=(0.12, 0.06, 0.25)),
  Recipe('toe touch', (2.4, 4.0), {
    **ON_FLOOR, 'pitch': hold(-4, 26), 'hip': 93, 'knee': 4, 'ankle': 4,
    'arm': hold(40, 100), 'elbow': 10, 'abduct': 14, 'nod': hold(0, 20),
  }),
)

KNEEL = (
  Recipe('sit back on the heels', (3, 5), {
    'hip': hold(4, 48), 'knee': hold(94, 138), 'ankle': -46, 'flat': 0, 'bend': 0,
    'pitch': hold(0, 10), 'arm': hold(4, 36), 'elbow': hold(14, 40), 'abduct': 4,
  }),
  Recipe('kneeling, arms raised', (3, 5), {
    'hip': 2, 'knee': 92, 'ankle': -46, 'flat': 0, 'bend': 0, 'arm': hold(60, 165),
    'elbow': hold(50, 14), 'arm_out': 18, 'nod': hold(0, -20), 'abduct': 5,
  }),
  Recipe('on one knee', (3.5, 6), {
    'r_hip': 97, 'r_knee': 97, 'r_flat': 1, 'l_hip': -4, 'l_knee': 90, 'l_flat': 0,
    'l_ankle': -44, 'pitch': hold(4, 26), 'r_arm': 42, 'r_elbow': 54, 'l_arm': hold(6, 60),
  }),
)

LUNGE = (
  Recipe('lunge', (3.6, 5.2), {
    'hip': (2, 12, 40, 60, 70, 70, 66, 36, 4, 0, -8, -16, -20, -20, -16, -4),
    'knee': (3, 30, 52, 66, 76, 76, 70, 40, 3, 6, 24, 44, 55, 55, 44, 16),
    'ankle': (0, 0, 0, 0, 0, 0, 0, 0, 0, 6, 22, 30, 31, 31, 22, 6),
    'flat': (1, 0.8, 0.8, 1, 1, 1, 0.8, 0.8, 1, 0.8, 0.2, 0, 0, 0, 0.2, 0.8),
    'arm': 4, 'elbow': 30, 'arm_out': 16, 'pitch': 4,
  }, alternate=True),
  Recipe('side lunge', (3.2, 4.8), {
    'bend': (4, 6, 18, 36, 46, 46, 36, 18, 4, 2, 0, 0, 0, 0, 0, 2),
    'hip': (2, 4, 10, 20, 28, 28, 20, 10, 2, 2, 2, 2, 2, 2, 2, 2),
    'abduct': (20, 22, 26, 26, 24, 24, 26, 26, 20, 26, 36, 44, 46, 46, 40, 26),
    'pitch': (6, 10, 22, 32, 36, 36, 30, 18, 6, 10, 22, 32, 36, 36, 30, 18),
    'toe_out': 14, 'arm': 40, 'elbow': 80, 'forearm': -10,
  }, alternate=True),
)

PICK_UP = (
  Recipe('pick up and lift overhead', (3.6, 5.4), {
    'pitch': (2, 6, 32, 66, 82, 80, 50, 16, 2, -4, -6, -4, 2, 6, 4, 2),
    'bend': (3, 8, 22, 34, 38, 36, 24, 10, 4, 3, 3, 3, 3, 3, 3, 3),
    'hip': (2, 3, 4, 2, 0, 0, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2),
    'arm': (4, 20, 54, 84, 94, 92, 66, 40, 60, 120, 160, 165, 130, 60, 20, 6),
    'elbow': (14, 14, 12, 10, 10, 12, 40, 90, 100, 60, 16, 14, 50, 60, 30, 16),
    'arm_out': 6, 'forearm': 0, 'abduct': 9, 'nod': hold(0, -14),
  }),
  Recipe('pick up with one hand', (2.6, 4.0), {
    'pitch': hold(2, 94), 'bend': hold(3, 24), 'hip': hold(2, -4), 'r_arm': hold(4, 96),
    'r_elbow': 8, 'l_arm': hold(4, 50), 'l_elbow': hold(14, 60), 'twist': hold(0, 42),
    'nod': hold(0, -16),
  }),
)

LIE = (
  Recipe('on the back', (4, 7), {
    **ON_FLOOR, 'pitch': -88, 'r_hip': hold(90, 144), 'r_knee': hold(6, 104), 'r_ankle': -20,
    'l_hip': 90, 'l_knee': 5, 'l_ankle': -10, 'arm': 4, 'arm_out': 28, 'elbow': 20,
  }, spread=(0.1, 0.15, 0.4)),
  Recipe('sit-up', (2.4, 4), {
    **ON_FLOOR, 'pitch': hold(-88, -20), 'hip': hold(132, 126), 'knee': 100, 'flat': 1,
    'arm': hold(150, 76), 'elbow': hold(40, 12), 'arm_out': 14, 'nod': hold(6, 20),
  }),
  Recipe('on the front, push-up', (2.2, 3.6), {
    **ON_FLOOR, 'pitch': hold(73, 82), 'hip': hold(-71, -80), 'knee': 4, 'ankle': 14,
    'arm': hold(76, 24), 'arm_out': hold(4, 36), 'elbow': hold(6, 112), 'forearm': hold(0, 10),
    'nod': -24,
  }, spread=SUPPORTED),
  Recipe('on the side, head on a hand', (4, 7), {
    **ON_FLOOR, 'lean': 66, 'r_hip': 14, 'r_knee': 26, 'l_hip': hold(16, 50),
    'l_knee': hold(24, 84), 'r_abduct': -88, 'l_abduct': 86, 'r_arm': 172, 'r_arm_out': 24,
    'r_elbow': 118, 'r_forearm': 40, 'l_arm': 24, 'l_elbow': 44, 'head_tilt': -14,
  }, spread=(0.1, 0.12, 0.15)),
)
