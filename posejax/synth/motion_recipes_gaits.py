"""Motions on the move: walking, running, turning, crouching, crawling, dancing.

Channels and units: see `motion_channels`. A gait's cycle starts at the right foot's contact.
Hips, knees and ankles of the gaits were fitted, from textbook curves, so that the foot on the floor
moves back evenly: the pelvis keeps its speed and no foot slides.
"""

from posejax.synth.motion_channels import SUPPORTED, Curve, Recipe, cosine, hold

WALK_LEGS: dict[str, Curve] = {
  'hip': (26, 24, 21, 15, 7, 0, -7, -12, -14, -9, -2, 12, 28, 36, 34, 30),
  'knee': (6, 12, 17, 16, 12, 9, 6, 8, 12, 28, 51, 67, 68, 53, 27, 8),
  'ankle': (0, -6, -4, 1, 3, 5, 10, 11, 6, -8, -17, -11, 0, 5, 3, 1),
  'abduct': (-2, -3, -5, -6, -7, -7, -6, -4, -2, -1, 0, 1, 1, 0, -1, -1),
  'flat': 0, 'bend': 0, 'pitch': 4, 'toe_out': 5,
  'yaw': cosine(0, 5), 'hip_tilt': cosine(0, 3, 0.25),
}
WALK_ARMS: dict[str, Curve] = {
  'arm': cosine(3, 22, 0.5), 'elbow': cosine(22, 10, 0.55), 'twist': cosine(0, 9, 0.5),
  'arm_out': 12,
}
RUN_LEGS: dict[str, Curve] = {
  'hip': (32, 31, 25, 15, 4, -7, -15, -17, -10, 5, 25, 44, 55, 58, 51, 40),
  'knee': (23, 36, 41, 38, 30, 21, 14, 24, 54, 85, 105, 108, 94, 66, 36, 22),
  'ankle': (6, 12, 20, 22, 14, -4, -19, -22, -15, -6, 0, 2, 3, 4, 4, 4),
  'abduct': (-4, -6, -8, -8, -8, -7, -5, -3, -1, 0, 0, 0, 0, -1, -2, -3),
  'hop': (18, 0, 0, 0, 0, 0, 18, 60, 18, 0, 0, 0, 0, 0, 18, 60),
  'flat': 0, 'bend': 0, 'pitch': 11, 'toe_out': 4, 'yaw': cosine(0, 7),
}
RUN_ARMS: dict[str, Curve] = {
  'arm': cosine(-8, 38, 0.5), 'elbow': cosine(88, 14, 0.5), 'twist': cosine(0, 14, 0.5),
  'arm_out': 12,
}
TURN_LEGS: dict[str, Curve] = {
  'bend': (2, 2, 2, 2, 2, 2, 2, 2, 2, 6, 18, 30, 28, 16, 6, 2),
  'abduct': (-2, -5, -7, -7, -7, -7, -7, -5, -2, 0, 3, 5, 5, 4, 2, 0), 'arm_out': 18,
}
STEPS: dict[str, Curve] = {  # weight from foot to foot, on the spot
  'bend': (6, 12, 10, 6, 5, 5, 5, 5, 6, 12, 30, 40, 38, 24, 12, 8),
  'abduct': (4, 2, 0, -3, -4, -4, -3, 0, 4, 6, 8, 9, 9, 8, 7, 6),
  'hip_tilt': cosine(0, 6, 0.25), 'lean': cosine(0, 4, 0.75),
}
ALL_FOURS: dict[str, Curve] = {
  'pitch': 80, 'hip': 9, 'knee': 90, 'ankle': -44, 'flat': 0, 'bend': 0, 'nod': -30, 'arm': 84,
  'arm_out': 2, 'elbow': 8,
}

# Legs differ little in a gait: what is random is drawn for each alone, and too much is a limp.
GAIT = (0.25, 0.08, 0.22)

WALK = (
  Recipe('walk', (0.95, 1.25), {**WALK_LEGS, **WALK_ARMS}, alternate=True, spread=GAIT,
         yaw_rate=(-15, 15), mixes=('lower', 'upper')),
  Recipe('walk backwards', (-1.4, -1.1), {**WALK_LEGS, **WALK_ARMS, 'pitch': 0}, alternate=True,
         spread=GAIT, mixes=('lower',)),
  Recipe('carry', (1.1, 1.4), {
    **WALK_LEGS, 'arm': 28, 'arm_out': 6, 'elbow': 72, 'forearm': 0, 'pitch': -3,
  }, alternate=True, spread=GAIT, yaw_rate=(-10, 10)),
  Recipe('march', (0.95, 1.15), {
    **WALK_LEGS, **WALK_ARMS, 'arm': cosine(10, 45, 0.5),
    'hip': (22, 21, 19, 15, 9, 3, -3, -7, -7, 4, 22, 55, 76, 70, 47, 31),
    'knee': (7, 12, 16, 17, 14, 10, 7, 8, 15, 38, 76, 99, 97, 72, 36, 12),
    'ankle': (1, -5, -2, 3, 7, 9, 11, 13, 6, -7, -19, -15, -6, 0, 1, 1),
  }, alternate=True, spread=GAIT),
)

RUN = (
  Recipe('run', (0.66, 0.78), {**RUN_LEGS, **RUN_ARMS}, alternate=True, spread=GAIT,
         yaw_rate=(-20, 20)),
)

TURN = (
  Recipe('turn left', (0.9, 1.2), TURN_LEGS, alternate=True, spread=(0.3, 0.08, 0.8),
         yaw_rate=(55, 110), mixes=('lower',)),
  Recipe('turn right', (0.9, 1.2), TURN_LEGS, alternate=True, spread=(0.3, 0.08, 0.8),
         yaw_rate=(-110, -55)),
)

CROUCH = (
  Recipe('sneak', (1.3, 1.8), {
    **WALK_LEGS, 'bend': 34,
    'hip': (24, 22, 20, 13, 6, -1, -7, -12, -14, -9, 1, 12, 22, 28, 30, 27),
    'knee': (5, 12, 17, 16, 12, 9, 6, 7, 12, 26, 48, 64, 62, 45, 20, 4),
    'pitch': 34, 'nod': -24, 'arm': cosine(30, 14, 0.5), 'elbow': 62, 'arm_out': 18,
    'ankle': (0, 6, 10, 12, 14, 16, 18, 18, 12, -4, -12, -8, 0, 2, 2, 2),
  }, alternate=True, mixes=('lower',)),
  Recipe('crouch and look around', (3, 5), {
    'bend': cosine(46, 10), 'hip': 10, 'pitch': 38, 'nod': -28, 'yaw': cosine(0, 14),
    'arm': 58, 'elbow': 40, 'arm_out': 14, 'abduct': 12,
  }, spread=(0.5, 0.25, 0.8), mixes=('lower',)),
)

CRAWL = (
  Recipe('crawl', (1.3, 1.9), {
    **ALL_FOURS, 'hip': cosine(8, 16), 'r_arm': cosine(86, 14, 0.5), 'l_arm': cosine(86, 14),
    'knee': cosine(88, 8, 0.75), 'hip_tilt': cosine(0, 9, 0.75),
  }, alternate=True, spread=SUPPORTED),
  Recipe('on all fours, an arm stretched out', (3, 5), {
    **ALL_FOURS, 'r_arm': hold(84, 165), 'r_elbow': hold(8, 4), 'l_hip': hold(9, -66),
    'l_knee': hold(88, 14),
  }, spread=SUPPORTED),
)

DANCE = (
  Recipe('dance, loose', (2.0, 3.6), {
    **STEPS, 'arm': 60, 'arm_out': 34, 'elbow': 70,
  }, alternate=True, spread=(0.7, 0.45, 1.0), yaw_rate=(-40, 40), mixes=('upper',)),
  Recipe('dance, arms up', (2.0, 3.2), {
    **STEPS, 'arm': cosine(150, 16), 'arm_out': cosine(34, 18), 'elbow': cosine(50, 30),
    'forearm': 30,
  }, alternate=True, spread=(0.6, 0.45, 0.5), mixes=('upper',)),
  Recipe('dance, low and turning', (2.4, 3.8), {
    'bend': cosine(26, 14), 'abduct': 14, 'toe_out': 12, 'pitch': 14, 'twist': cosine(0, 30, 0.25),
    'arm': cosine(50, 40), 'arm_out': 40, 'elbow': 60, 'yaw': cosine(0, 25),
  }, spread=(0.7, 0.5, 1.0), mixes=('upper',)),
  Recipe('stretching', (4, 6), {
    'lean': cosine(0, 26), 'arm': 170, 'arm_out': 26, 'elbow': 24, 'abduct': 12,
    'twist': cosine(0, 24, 0.25), 'pitch': cosine(12, 16, 0.3),
  }, spread=(0.6, 0.25, 0.6), mixes=('upper',)),
)
