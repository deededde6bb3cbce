"""Motions on the feet: idling, reaching, waving, kicking, throwing, bowing, jumping, boxing.

Channels and units: see `motion_channels`. A cycle starts at rest.
"""

from posejax.synth.motion_channels import Recipe, cosine, hold

STAND = (
  Recipe('relaxed', (4, 7), {}, spread=(0.4, 0.2, 0.5), mixes=('lower', 'upper')),
  Recipe('weight on one leg', (5, 9), {
    'r_abduct': -9, 'l_abduct': 8, 'l_bend': 14, 'hip_tilt': 7, 'lean': -3, 'shrug': -4,
  }, spread=(0.4, 0.2, 0.6), mixes=('lower',)),
  Recipe('hands on hips', (4, 7), {
    'arm': -22, 'arm_out': 38, 'elbow': 68, 'forearm': -36, 'abduct': 5,
  }, spread=(0.4, 0.2, 0.12), mixes=('upper',)),
  Recipe('arms crossed', (4, 7), {
    'arm': 30, 'arm_out': 2, 'elbow': 100, 'forearm': -32,
  }, spread=(0.4, 0.2, 0.12), mixes=('upper',)),
  Recipe('arms spread', (3, 6), {
    'arm': -4, 'arm_out': cosine(88, 20), 'elbow': 10, 'forearm': 20, 'abduct': 8,
  }, frontal_arms=True, spread=(0.4, 0.2, 0.25), mixes=('upper',)),
  Recipe('arms up and open', (3, 6), {
    'arm': -4, 'arm_out': cosine(136, 14), 'elbow': 16, 'forearm': 20, 'abduct': 10, 'nod': -12,
  }, frontal_arms=True, spread=(0.4, 0.2, 0.25), mixes=('upper',)),
  Recipe('out of breath, hands on the knees', (3, 5), {
    'pitch': cosine(58, 5), 'bend': 22, 'hip': 4, 'arm': 66, 'arm_out': 10, 'elbow': 12,
    'nod': cosine(-8, 12), 'abduct': 7,
  }, spread=(0.2, 0.15, 0.12)),
  Recipe('hands behind the head', (4, 7), {
    'arm': 178, 'arm_out': 62, 'elbow': 128, 'forearm': 58, 'nod': -6,
  }, spread=(0.4, 0.2, 0.12), mixes=('upper',)),
)

REACH = (
  Recipe('forward', (2.2, 3.6), {
    'r_arm': hold(2, 92), 'r_elbow': hold(14, 8), 'r_arm_out': hold(12, 4),
    'twist': hold(0, 24), 'pitch': hold(1, 16), 'hip': hold(2, -3), 'nod': hold(0, 6),
  }, mixes=('upper',)),
  Recipe('up', (2.2, 3.6), {
    'r_arm': hold(2, 168), 'r_elbow': hold(14, 12), 'r_arm_out': hold(12, 12),
    'shrug': hold(0, 16), 'lean': hold(0, -6), 'nod': hold(0, -28), 'ankle': hold(0, -24),
  }, mixes=('upper',)),
  Recipe('both up', (2.4, 4.0), {
    'arm': hold(2, 172), 'elbow': hold(14, 10), 'arm_out': hold(12, 14),
    'nod': hold(0, -20), 'pitch': hold(1, -6),
  }, mixes=('upper',)),
  Recipe('aside', (2.2, 3.6), {
    'r_arm': hold(6, 40), 'r_arm_out': hold(12, 72), 'r_elbow': hold(14, 8),
    'lean': hold(0, 20), 'r_bend': hold(3, 14), 'head_tilt': hold(0, 12),
    'l_arm_out': hold(12, 30), 'abduct': 9,
  }),
  Recipe('low', (2.4, 4.0), {
    'r_arm': hold(2, 76), 'r_elbow': hold(14, 6), 'pitch': hold(1, 60),
    'bend': hold(3, 32), 'hip': hold(2, 8), 'l_arm': hold(2, 25), 'abduct': 8,
    'twist': hold(0, 20),
  }),
)

WAVE = (
  Recipe('wave', (0.7, 1.1), {
    'r_arm': 178, 'r_arm_out': 66, 'r_elbow': cosine(76, 26), 'r_forearm': 52,
    'head_tilt': cosine(2, 3), 'lean': 2,
  }, mixes=('upper',)),
  Recipe('wave high', (0.9, 1.4), {
    'r_arm': 172, 'r_arm_out': cosine(22, 20), 'r_elbow': cosine(22, 12, 0.1), 'r_forearm': 30,
    'lean': cosine(0, 4), 'shrug': 10,
  }, mixes=('upper',)),
  Recipe('wave both', (0.9, 1.5), {
    'arm': 176, 'arm_out': cosine(36, 24), 'elbow': cosine(30, 18, 0.1), 'forearm': 40,
    'abduct': 8, 'nod': -8,
  }, mixes=('upper',)),
  Recipe('beckon', (0.9, 1.4), {
    'r_arm': 62, 'r_arm_out': 12, 'r_elbow': cosine(70, 45), 'r_forearm': 36,
  }, mixes=('upper',)),
)

KICK = (
  Recipe('kick forward', (1.5, 2.2), {
    'r_hip': (0, 0, -8, -20, -24, -6, 36, 72, 84, 70, 36, 12, 2, 0, 0, 0),
    'r_knee': (4, 6, 28, 64, 82, 76, 46, 14, 6, 14, 40, 36, 16, 6, 4, 4),
    'r_flat': (1, 1, 0.5, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0.5, 1, 1, 1),
    'r_ankle': (0, 0, -10, -20, -20, -16, -12, -12, -12, -10, -8, -6, 0, 0, 0, 0),
    'l_bend': (3, 4, 6, 8, 8, 8, 7, 6, 6, 6, 6, 5, 4, 3, 3, 3),
    'l_abduct': (0, -4, -7, -8, -8, -8, -8, -8, -8, -8, -8, -7, -4, -2, 0, 0),
    'r_abduct': (0, 2, 4, 4, 2, 0, -2, -2, -2, 0, 2, 3, 2, 0, 0, 0),
    'pitch': (2, 4, 8, 10, 8, 2, -8, -16, -18, -12, -4, 2, 4, 3, 2, 2),
    'r_arm': (4, 8, 24, 40, 44, 24, -6, -28, -34, -22, -4, 4, 6, 4, 4, 4),
    'l_arm': (4, 0, -10, -24, -26, -8, 24, 46, 50, 36, 18, 8, 4, 4, 4, 4),
    'arm_out': hold(12, 34), 'elbow': 28,
  }),
  Recipe('kick aside', (1.7, 2.4), {
    'r_abduct': (0, 4, 14, 30, 50, 70, 82, 84, 82, 70, 44, 22, 8, 2, 0, 0),
    'r_hip': (2, 8, 26, 46, 54, 48, 40, 38, 40, 48, 46, 28, 12, 4, 2, 2),
    'r_knee': (4, 14, 56, 100, 118, 90, 40, 12, 8, 50, 92, 66, 28, 8, 4, 4),
    'r_flat': (1, 0.8, 0.2, 0, 0, 0, 0, 0, 0, 0, 0, 0.2, 0.6, 1, 1, 1),
    'l_bend': 7, 'l_abduct': (0, -4, -8, -9, -9, -9, -9, -9, -9, -9, -9, -8, -4, -2, 0, 0),
    'lean': (0, 0, -3, -8, -16, -26, -34, -38, -36, -28, -16, -8, -4, 0, 0, 0),
    'arm': 34, 'elbow': hold(96, 60), 'arm_out': hold(12, 30), 'forearm': -5,
  }),
)

THROW = (
  Recipe('throw overarm', (1.7, 2.4), {
    'r_arm': (20, 40, 84, 126, 148, 152, 148, 132, 106, 76, 46, 30, 22, 20, 18, 18),
    'r_arm_out': (10, 24, 44, 56, 62, 62, 54, 38, 20, 6, -4, -4, 0, 6, 8, 10),
    'r_elbow': (50, 84, 104, 112, 114, 110, 96, 58, 20, 12, 24, 34, 36, 38, 40, 44),
    'r_forearm': (0, 10, 30, 50, 60, 60, 56, 46, 36, 24, 10, 0, 0, 0, 0, 0),
    'twist': (0, -8, -20, -34, -42, -42, -26, 6, 34, 42, 36, 24, 12, 4, 0, 0),
    'yaw': (0, -6, -16, -26, -30, -28, -14, 8, 24, 28, 22, 14, 8, 4, 0, 0),
    'pitch': (2, 0, -4, -8, -10, -8, 0, 14, 28, 34, 28, 18, 10, 6, 4, 2),
    'l_arm': (20, 34, 58, 80, 86, 76, 50, 22, 2, -10, -12, -6, 0, 6, 12, 16),
    'l_elbow': 34, 'l_arm_out': 24,
    'l_hip': (8, 16, 32, 44, 40, 32, 26, 24, 24, 24, 22, 18, 14, 12, 10, 8),
    'l_knee': (8, 24, 50, 54, 34, 20, 16, 18, 22, 24, 22, 18, 14, 12, 10, 8),
    'r_hip': (-4, -6, -8, -10, -12, -14, -18, -20, -20, -18, -14, -10, -8, -6, -4, -4),
    'r_knee': (8, 12, 16, 20, 22, 22, 24, 30, 36, 34, 26, 18, 14, 12, 10, 8),
  }),
  Recipe('throw underarm', (1.8, 2.6), {
    'r_arm': (5, 0, -20, -44, -54, -44, -8, 44, 86, 106, 96, 66, 36, 16, 8, 5),
    'r_elbow': (14, 10, 8, 8, 8, 8, 8, 8, 10, 18, 30, 34, 28, 20, 14, 14),
    'twist': (0, -4, -12, -20, -22, -16, -2, 12, 22, 24, 18, 10, 4, 0, 0, 0),
    'pitch': (2, 6, 14, 22, 24, 24, 22, 18, 14, 10, 6, 4, 2, 2, 2, 2),
    'bend': (3, 6, 14, 20, 22, 22, 20, 16, 10, 6, 4, 3, 3, 3, 3, 3),
    'l_hip': 22, 'l_knee': 20, 'r_hip': -10, 'r_knee': 14, 'l_arm': 20, 'l_elbow': 40,
  }),
)

BOW = (
  Recipe('bow', (2.6, 4.2), {
    'pitch': hold(1, 58), 'hip': hold(2, -7), 'arm': hold(2, 14), 'nod': hold(0, 16),
  }),
  Recipe('bow with an arm', (2.6, 4.2), {
    'pitch': hold(1, 46), 'hip': hold(2, -6), 'r_arm': hold(2, 40), 'r_elbow': hold(14, 110),
    'r_forearm': -30, 'l_arm': hold(2, -30), 'l_arm_out': hold(12, 40), 'nod': hold(0, 14),
  }),
  Recipe('touch the toes', (2.8, 4.6), {
    'pitch': hold(1, 104), 'hip': hold(2, -12), 'arm': hold(2, 108), 'nod': hold(0, 18),
    'elbow': 8,
  }),
)

JUMP = (
  Recipe('jumping jack', (1.0, 1.35), {
    'arm_out': (12, 12, 20, 45, 80, 115, 145, 160, 165, 160, 145, 115, 80, 45, 20, 12),
    'arm': -2, 'elbow': 16, 'forearm': 20,
    'abduct': (0, 0, 2, 8, 15, 21, 24, 25, 25, 25, 24, 20, 14, 7, 2, 0),
    'hop': (0, 0, 40, 90, 110, 70, 10, 0, 0, 0, 40, 90, 110, 70, 10, 0),
    'bend': (14, 12, 6, 3, 3, 4, 10, 14, 14, 12, 6, 3, 3, 4, 10, 14),
    'ankle': (0, -4, -20, -30, -30, -20, -6, 0, 0, -4, -20, -30, -30, -20, -6, 0),
  }, frontal_arms=True),
  Recipe('jump up', (1.6, 2.2), {
    'hop': (0, 0, 0, 0, 0, 0, 0, 90, 260, 320, 260, 90, 0, 0, 0, 0),
    'bend': (4, 6, 16, 32, 46, 46, 26, 6, 3, 4, 6, 8, 22, 34, 22, 8),
    'pitch': (2, 6, 18, 30, 36, 32, 16, 4, -2, -2, 2, 6, 16, 22, 14, 4),
    'arm': (0, -6, -24, -44, -50, -20, 60, 130, 160, 160, 130, 90, 50, 24, 8, 2),
    'ankle': (0, 0, 0, 0, 0, 0, -14, -34, -40, -36, -28, -12, 0, 0, 0, 0),
  }),
)

PUNCH = (
  Recipe('box', (0.9, 1.4), {
    'arm': (36, 36, 38, 50, 72, 86, 88, 78, 58, 42, 36, 36, 36, 36, 36, 36),
    'elbow': (118, 120, 118, 96, 50, 16, 14, 44, 88, 112, 120, 120, 118, 118, 118, 118),
    'arm_out': (12, 12, 14, 16, 12, 5, 5, 8, 12, 14, 14, 12, 12, 12, 12, 12),
    'forearm': 5, 'twist': cosine(0, 30, 0.36), 'r_hip': -14, 'l_hip': 20, 'knee': 12,
    'bend': cosine(8, 3), 'pitch': 8, 'yaw': cosine(-20, 10, 0.36), 'abduct': 4,
  }, alternate=True, mixes=('upper',)),
  Recipe('uppercut', (1.1, 1.7), {
    'r_arm': (36, 30, 16, 0, -10, 10, 60, 106, 120, 100, 70, 50, 40, 38, 36, 36),
    'r_elbow': (118, 110, 100, 90, 84, 84, 90, 92, 90, 100, 110, 116, 118, 118, 118, 118),
    'l_arm': 38, 'l_elbow': 122, 'arm_out': 14, 'forearm': 5,
    'twist': (0, -6, -16, -26, -28, -10, 20, 34, 34, 26, 14, 6, 0, 0, 0, 0),
    'bend': (6, 10, 20, 28, 26, 14, 4, 3, 3, 4, 6, 6, 6, 6, 6, 6),
    'r_hip': -10, 'l_hip': 18, 'knee': 12, 'abduct': 4,
  }),
)
