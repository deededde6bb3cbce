"""Which node of a motion-capture rig is which joint of J17, as data: one `Rig` for each naming.

A node name is looked up without its namespace (`mixamorig:Hips` is `Hips`). For each joint the best
name stands first. End sites are named after their parent, as `bvh` does: `Head_end`.

Where a rig has no name for the head top, `mocap` extrapolates it from `head`. A rig's own pelvis
and neck are for the record alone: this project's are the middles of the hips and shoulders.

Units. A BVH file has none, and the same names come in several, so each rig lists the ones its files
are known to use, and `mocap` takes the one in which the legs have a human length. CMU's trap: its
skeletons are in inches times 0.45, so that one unit is 56.44 mm (mocap.cs.cmu.edu/faqs.php).
"""

from collections.abc import Mapping
from typing import NamedTuple

UNITS_MM: Mapping[str, float] = {
  'mm': 1.0, 'cm': 10.0, 'm': 1000.0, 'inch': 25.4, 'cmu': 25.4 / 0.45,
}


class Rig(NamedTuple):
  """One naming of a motion-capture skeleton.

  Attributes:
    name: what messages and `Clip.rig` call it.
    marks: node names that only this naming has; all of them must be there.
    joints: for each joint of J17 the node names that may hold it, best first.
    head: the node at the base of the skull.
    units: keys of `UNITS_MM`, likeliest first.
    rest_frames: frames at the start that are a rest pose and no motion.
  """

  name: str
  marks: tuple[str, ...]
  joints: Mapping[str, tuple[str, ...]]
  head: str
  units: tuple[str, ...]
  rest_frames: int = 0


def _both_sides(right: str, left: str, **patterns: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
  """Rows of both sides from patterns with the side left open: shoulder=('{}Arm',)."""
  return {
    f'{prefix}_{joint}': tuple(pattern.format(side) for pattern in names)
    for prefix, side in (('r', right), ('l', left))
    for joint, names in patterns.items()
  }


# MotionBuilder's names; CMU's conversion, H3.6M, Mixamo and LAFAN1 all use them.
_MOTION_BUILDER = {
  'pelvis': ('Hips', 'Hip'),
  'neck': ('Neck', 'Neck1'),
  'head_top': ('HeadTop_End', 'Head_end'),
  **_both_sides(
    'Right', 'Left', shoulder=('{}Arm',), elbow=('{}ForeArm',), wrist=('{}Hand',), hip=('{}UpLeg',),
    knee=('{}Leg',), ankle=('{}Foot',), foot=('{}ToeBase', '{}Toe', '{}Foot_end'),
  ),
}

# Bandai-Namco-Research-Motiondataset, set 1. The head's end site serves for nothing: of the 174
# files it has no length in 163, and in 11 an exporter's 10 cm along every last bone.
BANDAI = Rig(
  name='Bandai',
  marks=('joint_Root',),
  joints={
    'pelvis': ('Hips',),
    'neck': ('Neck',),
    'head_top': (),
    **_both_sides(
      'R', 'L', shoulder=('UpperArm_{}',), elbow=('LowerArm_{}',), wrist=('Hand_{}',),
      hip=('UpperLeg_{}',), knee=('LowerLeg_{}',), ankle=('Foot_{}',),
      foot=('Toes_{}',),
    ),
  },
  head='Head',
  units=('cm',),
)

# cgspeed.com's MotionBuilder-friendly conversion of mocap.cs.cmu.edu. Its README: "Every BVH file
# has a T-pose added as its new first frame."
CMU = Rig(
  name='CMU',
  marks=('LHipJoint', 'RHipJoint', 'LowerBack'),
  joints=_MOTION_BUILDER,
  head='Head',
  units=('cmu', 'cm'),
  rest_frames=1,
)

# H3.6M's D3 skeletons are in mm; Mixamo's and LAFAN1's, of the same names, in cm.
H36M_LIKE = Rig(
  name='H3.6M-like', marks=(), joints=_MOTION_BUILDER, head='Head', units=('mm', 'cm', 'm')
)

# Biovision's own samples: here LeftShoulder is the shoulder, not the collar bone as above.
BIOVISION = Rig(
  name='Biovision',
  marks=('LeftHip', 'RightHip'),
  joints={
    'pelvis': ('Hips',),
    'neck': ('Neck',),
    'head_top': ('Head_end',),
    **_both_sides(
      'Right', 'Left', shoulder=('{}Shoulder',), elbow=('{}Elbow',), wrist=('{}Wrist', '{}Hand'),
      hip=('{}Hip',), knee=('{}Knee',), ankle=('{}Ankle',),
      foot=('{}Toe', '{}Foot', '{}Ankle_end'),
    ),
  },
  head='Head',
  units=('inch', 'cm', 'm'),
)

# In the order in which they are tried: the ones with marks first.
RIGS = (BANDAI, CMU, BIOVISION, H36M_LIKE)
