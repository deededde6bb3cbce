"""Bodies of clothed people around the J17 joints: solids, their surfaces and their frames.

Everything follows from the joints of one person: the trunk's frame from hips and neck, the chest's
from the shoulders, the head's from head top and shoulders, hands from the forearm with the thumb
towards the front and up, feet from ankle, toe and shank. Limbs without length give thin discs, and
directions that are lost are replaced (`solids.frame`), so that every pose has a finite body.

Symbols: J = 17 joints (J17), K1 whole and K2 cut solids, K = K1 + K2 in this order. World frame,
mm. Proportions are in `anatomy`; sources there.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.arguments import as_float
from posejax.synth import anatomy
from posejax.synth import solids as solids_lib
from posejax.synth.anatomy import Gain, Part, Slot

_J17 = skeleton_lib.J17
_TRUNK_MM = 490.5
_HEAD_MM = 236.1
_FOOT_MM = 162.8
# The toe joint lies this far below the sole's direction at the ankle (kinematics.md: the foot's
# neutral angle to the shank is 59 degrees, so a sole on the ground points 31 degrees above it).
_SOLE_ANGLE = np.deg2rad(31.0)


class BodyShape(NamedTuple):
  """Shape and cut of the clothes of one person; each a scalar, 1 for the standard adult.

  Attributes:
    girth: thickness of trunk and limbs.
    shoulders: width of the chest and the shoulders.
    hips: width of pelvis and buttocks.
    head: size of the head.
    belly: 0 for a flat one, about 1 for a round one.
    bust: 0 to 1.
    hair_cap: thickness of the hair, 0 for none.
    hair_back: length of the hair behind the neck, 0 for short hair.
    bun: 0 for none.
    brim: of a cap, 0 for none.
    backpack: 0 for none.
    sleeve: end of the sleeves: 0 shoulder, 1 elbow, 2 wrist.
    leg: end of the trousers: 0 hip, 1 knee, 2 ankle.
    skirt: its length as a share of the way to the knees, 0 for none.
    loose_top: width of the sleeves, 1 for close ones.
    loose_bottom: width of the trousers.
  """

  girth: jax.Array
  shoulders: jax.Array
  hips: jax.Array
  head: jax.Array
  belly: jax.Array
  bust: jax.Array
  hair_cap: jax.Array
  hair_back: jax.Array
  bun: jax.Array
  brim: jax.Array
  backpack: jax.Array
  sleeve: jax.Array
  leg: jax.Array
  skirt: jax.Array
  loose_top: jax.Array
  loose_bottom: jax.Array


class Body(NamedTuple):
  """Solids of one person, and what the renderer must know of their surfaces.

  Attributes:
    whole: Solids, K1 without cuts, the shadow casters first.
    cut: Solids, K2.
    slot: (K,) int32, `anatomy.Slot` of each solid.
    part: (K,) int32, `anatomy.Part`: which details are painted on it.
    origin: (K, 3) mm, origin of the surface's coordinates.
    axes: (K, 3, 3) rows: the coordinates' directions (forward, left, up), divided by the person's
      size, so that coordinates are mm of a standard adult.
  """

  whole: solids_lib.Solids
  cut: solids_lib.Solids
  slot: jax.Array
  part: jax.Array
  origin: jax.Array
  axes: jax.Array


class _Frame(NamedTuple):
  origin: jax.Array
  axes: jax.Array
  size: jax.Array


def _mirrored(rows: tuple) -> list:
  """Rows for both sides: each `r_...` followed by its mirror image."""
  flip = lambda triple: (triple[0], -triple[1], triple[2])  # noqa: E731
  other = lambda name: 'l_' + name[2:] if name.startswith('r_') else name  # noqa: E731
  both = []
  for row in rows:
    both.append(row)
    if not row.name.startswith('r_'):
      continue
    if isinstance(row, anatomy.Ellipsoid):
      changes = {'frame': other(row.frame), 'offset': flip(row.offset)}
    else:
      changes = {
        'start': (other(row.start[0]), flip(row.start[1])),
        'end': (other(row.end[0]), flip(row.end[1])),
      }
    both.append(row._replace(name=other(row.name), **changes))
  return both


WHOLE_ROWS = _mirrored(anatomy.WHOLE)
CUT_ROWS = _mirrored(anatomy.CUT)
SEGMENT_ROWS = _mirrored(anatomy.SEGMENTS)
NAMES = tuple(row.name for row in (*WHOLE_ROWS, *CUT_ROWS, *SEGMENT_ROWS))
NUM_WHOLE = len(WHOLE_ROWS)
NUM_CUT = len(CUT_ROWS) + len(SEGMENT_ROWS)
NUM_SOLIDS = NUM_WHOLE + NUM_CUT
NUM_CASTERS = 2 + [row.name for row in WHOLE_ROWS].index(anatomy.CASTERS)


def _length(vector: jax.Array) -> jax.Array:
  return jnp.sqrt(solids_lib.dot(vector, vector))


def _frames(joints: jax.Array, shape: BodyShape) -> dict[str, _Frame]:
  """Frames that the rows of `anatomy` name, from (J, 3) joints."""
  at = {name: joints[index] for index, name in enumerate(_J17.joints)}
  size = jnp.clip(_length(at['neck'] - at['pelvis']) / _TRUNK_MM, 0.4, 1.6)
  head_size = shape.head * jnp.clip(_length(at['head_top'] - at['neck']) / _HEAD_MM, 0.4, 1.6)
  spine = at['neck'] - at['pelvis']
  trunk = solids_lib.frame(spine, at['l_hip'] - at['r_hip'])
  chest = solids_lib.frame(spine, at['l_shoulder'] - at['r_shoulder'])
  head = solids_lib.frame(at['head_top'] - at['neck'], chest[1])
  knees = (at['r_knee'] + at['l_knee']) / 2
  frames = {
    'trunk': _Frame(at['pelvis'], trunk, size),
    'chest': _Frame(at['neck'], chest, size),
    'head': _Frame(at['neck'], head, head_size),
    'skirt': _Frame(at['pelvis'] + shape.skirt * (knees - at['pelvis']), trunk, size),
  }
  # Towards the thumb: forward for a hanging arm, up for one that reaches forward.
  thumb = chest[0] + chest[2]
  for side, sign in (('r', -1), ('l', 1)):
    for joint in ('shoulder', 'elbow', 'hip', 'knee', 'ankle'):
      axes = chest if joint in ('shoulder', 'elbow') else trunk
      frames[f'{side}_{joint}'] = _Frame(at[f'{side}_{joint}'], axes, size)
    wrist, ankle = at[f'{side}_wrist'], at[f'{side}_ankle']
    hand = solids_lib.frame(wrist - at[f'{side}_elbow'], sign * thumb)
    frames[f'{side}_hand'] = _Frame(wrist, hand, size)
    toe = at[f'{side}_foot'] - ankle
    foot_size = jnp.clip(_length(toe) / _FOOT_MM, 0.4, 1.6)
    frames[f'{side}_foot'] = _Frame(
      ankle, _foot_axes(toe, at[f'{side}_knee'] - ankle, trunk), foot_size
    )
  return frames


def _foot_axes(toe: jax.Array, shank: jax.Array, trunk: jax.Array) -> jax.Array:
  """Axes of a foot: forward along the sole, which points above the ankle-toe line."""
  # As `frame` orders its rows: here the toe line is "up" and the shank's side of it "left".
  _, rise, along = solids_lib.frame(
    solids_lib.safe_unit(toe, trunk[0]), solids_lib.safe_unit(shank, trunk[2])
  )
  cos, sin = np.cos(_SOLE_ANGLE).item(), np.sin(_SOLE_ANGLE).item()
  forward, up = cos * along + sin * rise, cos * rise - sin * along
  return jnp.stack([forward, jnp.cross(up, forward), up])


def _gains(shape: BodyShape) -> jax.Array:
  """(G,) factors in the order of `anatomy.Gain`."""
  girth = shape.girth
  on = lambda test, value: jnp.where(test, value, 0)  # noqa: E731
  long_sleeve, long_leg = shape.sleeve > 1, shape.leg > 1
  sleeve, leg = girth * shape.loose_top, girth * shape.loose_bottom
  gains = {
    Gain.ONE: jnp.ones_like(girth),
    Gain.GIRTH: girth,
    Gain.BUST: girth * shape.bust,
    Gain.BELLY: girth * jnp.minimum(shape.belly, 1.3),
    Gain.SHOULDERS: shape.shoulders * (0.5 + 0.5 * girth),
    Gain.HIPS: shape.hips * (0.5 + 0.5 * girth),
    Gain.HAIR_CAP: shape.hair_cap,
    Gain.HAIR_BACK: shape.hair_back,
    Gain.BUN: shape.bun,
    Gain.BRIM: shape.brim,
    Gain.BACKPACK: shape.backpack,
    Gain.SKIRT: on(shape.skirt > 0, shape.hips * (0.5 + 0.5 * girth)),
    Gain.SLEEVE_UPPER: on(shape.sleeve > 0, sleeve),
    Gain.SLEEVE_LOWER: on(long_sleeve, sleeve),
    Gain.LEG_UPPER: on(shape.leg > 0, leg),
    Gain.LEG_LOWER: on(long_leg, leg),
    # A covered joint is as thick as the cloth around it.
    Gain.ELBOW: jnp.where(long_sleeve, sleeve * (47 / 39), girth),
    Gain.KNEE: jnp.where(long_leg, leg * (66 / 55), girth),
    Gain.BALL: jnp.where(shape.sleeve > 0, sleeve, girth),
    Gain.HIP_BALL: leg,
  }
  return jnp.stack([gains[gain] for gain in Gain])


def _gather(rows: list, frames: dict[str, _Frame], dtype) -> tuple[jax.Array, ...]:
  """(N, 3) points of (frame, offset) pairs, (N, 3, 3) axes and (N,) sizes of their frames."""
  used = [frames[name] for name, _ in rows]
  offsets = np.array([offset for _, offset in rows])
  axes = jnp.stack([item.axes for item in used])
  sizes = jnp.stack([item.size for item in used])
  origins = jnp.stack([item.origin for item in used])
  shift = solids_lib.columns_times(axes, jnp.asarray(offsets, dtype) * sizes[:, None])
  return origins + shift, axes, sizes


def _ellipsoids(rows: list, frames: dict[str, _Frame], gains: jax.Array) -> solids_lib.Solids:
  dtype = gains.dtype
  center, axes, sizes = _gather([(row.frame, row.offset) for row in rows], frames, dtype)
  half = jnp.asarray(np.array([row.half for row in rows]), dtype)
  half = half * (sizes * gains[np.array([row.gain for row in rows])])[:, None]
  lean = np.deg2rad(np.array([row.lean for row in rows]))
  cos, sin = jnp.asarray(np.cos(lean), dtype)[:, None], jnp.asarray(np.sin(lean), dtype)[:, None]
  forward, left, up = axes[:, 0], axes[:, 1], axes[:, 2]
  axes = jnp.stack([cos * forward - sin * up, left, cos * up + sin * forward], axis=1)
  low, high = (jnp.asarray(np.array([getattr(row, end) for row in rows]), dtype)
               for end in ('low', 'high'))
  return solids_lib.ellipsoids(center, axes, half, low, high)


def _segments(
  frames: dict[str, _Frame], gains: jax.Array, shape: BodyShape
) -> tuple[solids_lib.Solids, jax.Array, jax.Array]:
  """Solids of `SEGMENT_ROWS`, their starts (K, 3) and their axes (K, 3, 3)."""
  rows, dtype = SEGMENT_ROWS, gains.dtype
  start, side, sizes = _gather([row.start for row in rows], frames, dtype)
  end, _, _ = _gather([row.end for row in rows], frames, dtype)
  radii = jnp.asarray(np.array([row.radii for row in rows]), dtype)
  radii = radii * (sizes * gains[np.array([row.gain for row in rows])])[:, None]
  ends = {
    Gain.SLEEVE_UPPER: jnp.minimum(shape.sleeve, 1),
    Gain.SLEEVE_LOWER: jnp.clip(shape.sleeve - 1, 0, 1),
    Gain.LEG_UPPER: jnp.minimum(shape.leg, 1),
    Gain.LEG_LOWER: jnp.clip(shape.leg - 1, 0, 1),
  }
  one = jnp.ones_like(shape.girth)
  high = jnp.stack([ends.get(row.gain, one) for row in rows])
  clip = jnp.stack([jnp.zeros_like(high), high], axis=-1)
  # A skirt is as wide as the legs under it.
  knees = frames['r_knee'].origin - frames['l_knee'].origin
  reach = _length(knees) / 2 * jnp.minimum(shape.skirt, 1) + 90 * frames['skirt'].size
  below = np.array([[row.name == 'skirt' and end > 0 for end in range(3)] for row in rows])
  radii = jnp.where(below & (radii > 0), jnp.maximum(radii, reach), radii)
  flat = jnp.asarray(np.array([row.flat for row in rows]), dtype)
  solids, axes = solids_lib.segments(start, end, side[:, 1], radii, flat, clip)
  return solids, start, axes


def _slots(shape: BodyShape) -> jax.Array:
  """(K,) slots; joints that a sleeve or a leg of the trousers covers are cloth."""
  rows = (*WHOLE_ROWS, *CUT_ROWS, *SEGMENT_ROWS)
  slots = jnp.asarray(np.array([row.slot for row in rows], np.int32))
  covered = {
    'elbow': (shape.sleeve > 1, Slot.TOP), 'knee': (shape.leg > 1, Slot.BOTTOM),
    'shoulder': (shape.sleeve <= 0, Slot.SKIN),
  }
  for joint, (test, slot) in covered.items():
    mine = np.array([row.name[2:] == joint for row in rows])
    slots = jnp.where(mine & test, jnp.int32(slot), slots)
  # A cap is the hair's solid in another colour.
  cap = np.array([row.name == 'hair_cap' for row in rows])
  return jnp.where(cap & (shape.brim > 0), jnp.int32(Slot.ACCENT), slots)


def build_body(joints: jax.Array, shape: BodyShape) -> Body:
  """The body of one person around its joints.

  Args:
    joints: (17, 3) mm, world frame, in the order of J17.
    shape: scalars.

  Returns:
    Body, finite for finite joints.

  Raises:
    ValueError: joints are not (17, 3).
  """
  joints = as_float('build_body', 'joints', joints, (_J17.num_joints, 3))
  shape = BodyShape(*(jnp.asarray(value, joints.dtype) for value in shape))
  frames = _frames(joints, shape)
  gains = _gains(shape)
  whole = _ellipsoids(WHOLE_ROWS, frames, gains)
  cut = _ellipsoids(CUT_ROWS, frames, gains)
  limbs, starts, limb_axes = _segments(frames, gains, shape)
  rows = (*WHOLE_ROWS, *CUT_ROWS, *SEGMENT_ROWS)
  trunk, chest, head = frames['trunk'], frames['chest'], frames['head']
  # Trunk solids share one lattice from pelvis to neck, the upper ones turned with the chest.
  upper = chest._replace(origin=chest.origin - chest.size * _TRUNK_MM * chest.axes[2])
  surfaces = []
  for index, row in enumerate(rows):
    name = row.frame if isinstance(row, anatomy.Ellipsoid) else row.start[0]
    if row.part == Part.TRUNK:
      own = upper if 'chest' in (name, getattr(row, 'end', ('',))[0]) else trunk
    elif isinstance(row, anatomy.Ellipsoid):
      own = head if name == 'head' else frames[name]
    else:
      limb = index - NUM_WHOLE - len(CUT_ROWS)
      own = _Frame(starts[limb], limb_axes[limb], trunk.size)
    surfaces.append(own)
  return Body(
    whole=whole,
    cut=solids_lib.concatenate(cut, limbs),
    slot=_slots(shape),
    part=jnp.asarray(np.array([row.part for row in rows], np.int32)),
    origin=jnp.stack([item.origin for item in surfaces]),
    axes=jnp.stack([item.axes / item.size for item in surfaces]),
  )
