"""The angles that a motion is written in, and the record that describes one motion.

A motion is a periodic curve per channel, in anatomical degrees (`hop` in mm). All channels of all
motions stand in one table, so that a batch of different motions is one fused computation.

Channels, 0 = upright and relaxed:
- trunk: `pitch` forward lean, `lean` to the right, `yaw` to the left, `hop` height of the lowest
  point above the floor; `hip_tilt` right hip up, `shrug` right shoulder up, `twist` right shoulder
  forward, `nod` head forward, `head_tilt` head to the right.
- each leg: `hip` flexion and `abduct` outward of the thigh **against the vertical**, not the trunk,
  so that the legs stay where they are under a trunk that leans; `bend` flexes hip and knee
  together so that the ankle stays under the hip, `knee` flexion, `knee_out` shank towards the
  outside (thigh rotated inward), `ankle` toes up, `toe_out`, `flat` 1 = the sole is kept parallel
  to the floor.
- each arm: `arm` 0 down, 90 forward, 180 up, in the sagittal plane; `arm_out` away from that plane;
  `elbow` flexion; `forearm` direction of that flexion, 0 = forward and inward for a hanging arm.

Sources: our reading [R] throughout; gait curves after the textbook ones (Perry, Gait Analysis;
Winter, Biomechanics of human movement), drawn by eye.
"""

import dataclasses
import math
from collections.abc import Mapping

TRUNK = ('pitch', 'lean', 'yaw', 'hop', 'hip_tilt', 'twist', 'shrug', 'nod', 'head_tilt')
LEG = ('hip', 'abduct', 'bend', 'knee', 'knee_out', 'ankle', 'toe_out', 'flat')
ARM = ('arm', 'arm_out', 'elbow', 'forearm')
SIDES = ('r_', 'l_')
LOWER = TRUNK[:5] + tuple(side + name for side in SIDES for name in LEG)
UPPER = TRUNK[5:] + tuple(side + name for side in SIDES for name in ARM)
CHANNELS = LOWER + UPPER

# Under a mirror these change their sign; all others change their side alone.
SIGN_FLIPS = ('lean', 'yaw', 'hip_tilt', 'twist', 'shrug', 'head_tilt')

# A relaxed person; channels that are not named are 0.
REST = {
  'arm': 2.0, 'arm_out': 12.0, 'elbow': 14.0, 'forearm': 12.0, 'knee': 3.0, 'hip': 2.0, 'flat': 1.0,
}

# Scales of the random part where hands and knees carry the body, and must stay on the floor.
SUPPORTED = (0.1, 0.06, 0.07)

Curve = float | tuple[float, ...]


@dataclasses.dataclass(frozen=True)
class Recipe:
  """One motion as data.

  Attributes:
    name: what it shows.
    period_s: range of one cycle's duration; a negative pair plays the cycle backwards.
    curves: channel, or name of a leg's or arm's channel for both sides, to its value (degrees, mm):
      a number, or values spread evenly over one cycle. Channels that are not named are at `REST`.
    alternate: curves for both sides are half a cycle later on the left.
    frontal_arms: the arms rise sideways through the horizontal (a chart of its own, see
      `motion_curves`): `arm` stays near 0, and `arm_out` goes up to 180.
    spread: scales of the random part for trunk, legs and arms; 1 is a free dance.
    yaw_rate: range of the turning speed, degrees/s.
    mixes: may lend its legs ('lower'), its arms ('upper'), both or none to a mixture.
  """

  name: str
  period_s: tuple[float, float]
  curves: Mapping[str, Curve]
  alternate: bool = False
  frontal_arms: bool = False
  spread: tuple[float, float, float] = (0.35, 0.2, 0.45)
  yaw_rate: tuple[float, float] = (0.0, 0.0)
  mixes: tuple[str, ...] = ()


def cosine(middle: float, amplitude: float, peak: float = 0.0) -> Curve:
  """One cosine per cycle with its maximum at `peak` (cycles)."""
  return tuple(
    middle + amplitude * math.cos(2 * math.pi * (i / 16 - peak)) for i in range(16)
  )


def hold(rest: float, act: float) -> Curve:
  """From `rest` to `act`, held there, and back."""
  far = act - rest
  return tuple(
    rest + far * part for part in (0, 0, 0, 0.15, 0.5, 0.85, 1, 1, 1, 1, 0.85, 0.5, 0.15, 0, 0, 0)
  )
