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
    solids: Solids (K,), K1 without cuts (the shadow casters first), then K2 cut ones.
    slot: (K,) int32, `anatomy.Slot` of each solid.
    part: (K,) int32, `anatomy.Part`: which details are painted on it.
    origin: (K, 3) mm, origin of the surface's coordinates.
    axes: (K, 3, 3) rows: the coordinates' directions (forward, left, up), divided by the person's
      size, so that coordinates are mm of a standard adult.
  """

  solids: solids_lib.Solids
  slot: jax.Array
  part: jax.Array
  origin: jax.Array
  axes: jax.Array


class _Frames(NamedTuple):
  """All frames in the order of `FRAMES`: origin (F, 3) mm, axes (F, 3, 3) rows, size (F,)."""

  origin: jax.Array
  axes: jax.Array
  size: jax.Array

  def take(self, names: list[str]) -> '_Frames':
    """Frames by name, repeated as needed."""
    index = np.array([FRAMES.index(name) for name in names])
    return _Frames(self.origin[index], self.axes[index], self.size[index])


FRAMES = (
  'trunk', 'chest', 'head', 'skirt', 'upper_trunk',
  *(f'{side}_{joint}' for side in 'rl' for joint in (
    'shoulder', 'elbow', 'hip', 'knee', 'ankle', 'hand', 'foot',
  )),
)


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
ROWS = (*WHOLE_ROWS, *CUT_ROWS, *SEGMENT_ROWS)
NAMES = tuple(row.name for row in ROWS)
NUM_WHOLE = len(WHOLE_ROWS)
NUM_CUT = len(CUT_ROWS) + len(SEGMENT_ROWS)
NUM_SOLIDS = NUM_WHOLE + NUM_CUT
NUM_CASTERS = 2 + [row.name for row in WHOLE_ROWS].index(anatomy.CASTERS)


def _length(vector: jax.Array) -> jax.Array:
  return jnp.sqrt(solids_lib.dot(vector, vector))


def _frames(joints: jax.Array, shape: BodyShape) -> _Frames:
  """Frames that the rows of `anatomy` name, from (J, 3) joints."""
  at = {name: joints[index] for index, name in enumerate(_J17.joints)}
  spine, skull = at['neck'] - at['pelvis'], at['head_top'] - at['neck']
  # Towards the thumb: forward for a hanging arm, up for one that reaches forward. It needs the
  # chest's axes, so the frames come in two goes.
  ups = jnp.stack([spine, spine])
  lefts = jnp.stack([at['l_hip'] - at['r_hip'], at['l_shoulder'] - at['r_shoulder']])
  trunk, chest = solids_lib.frame(ups, lefts)
  thumb = chest[0] + chest[2]
  ups = [skull, at['r_wrist'] - at['r_elbow'], at['l_wrist'] - at['l_elbow']]
  head, *hands = solids_lib.frame(jnp.stack(ups), jnp.stack([chest[1], -thumb, thumb]))
  toes = jnp.stack([at[f'{side}_foot'] - at[f'{side}_ankle'] for side in 'rl'])
  shanks = jnp.stack([at[f'{side}_knee'] - at[f'{side}_ankle'] for side in 'rl'])
  feet = _foot_axes(toes, shanks, trunk)
  scale = lambda bone, standard: jnp.clip(_length(bone) / standard, 0.4, 1.6)  # noqa: E731
  size = scale(spine, _TRUNK_MM)
  knees = (at['r_knee'] + at['l_knee']) / 2
  frames = {
    'trunk': (at['pelvis'], trunk, size),
    'chest': (at['neck'], chest, size),
    'head': (at['neck'], head, shape.head * scale(skull, _HEAD_MM)),
    'skirt': (at['pelvis'] + shape.skirt * (knees - at['pelvis']), trunk, size),
    # Trunk solids share one lattice from pelvis to neck, the upper ones turned with the chest.
    'upper_trunk': (at['neck'] - size * _TRUNK_MM * chest[2], chest, size),
  }
  for number, side in enumerate('rl'):
    for joint in ('shoulder', 'elbow', 'hip', 'knee', 'ankle'):
      axes = chest if joint in ('shoulder', 'elbow') else trunk
      frames[f'{side}_{joint}'] = (at[f'{side}_{joint}'], axes, size)
    frames[f'{side}_hand'] = (at[f'{side}_wrist'], hands[number], size)
    frames[f'{side}_foot'] = (at[f'{side}_ankle'], feet[number], scale(toes[number], _FOOT_MM))
  return _Frames(*(jnp.stack(items) for items in zip(*(frames[f] for f in FRAMES), strict=True)))


def _foot_axes(toe: jax.Array, shank: jax.Array, trunk: jax.Array) -> jax.Array:
  """(2, 3, 3) axes of feet: forward along the sole, which points above the ankle-toe line."""
  # As `frame` orders its rows: here the toe line is "up" and the shank's side of it "left".
  axes = solids_lib.frame(
    solids_lib.safe_unit(toe, trunk[0]), solids_lib.safe_unit(shank, trunk[2])
  )
  rise, along = axes[:, 1], axes[:, 2]
  cos, sin = np.cos(_SOLE_ANGLE).item(), np.sin(_SOLE_ANGLE).item()
  forward, up = cos * along + sin * rise, cos * rise - sin * along
  return jnp.stack([forward, solids_lib.cross(up, forward), up], axis=1)


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


def _points(rows: list, frames: _Frames) -> tuple[jax.Array, _Frames]:
  """(N, 3) points of N pairs (frame's name, offset), and their frames."""
  used = frames.take([name for name, _ in rows])
  offsets = jnp.asarray(np.array([offset for _, offset in rows]), used.origin.dtype)
  shift = solids_lib.columns_times(used.axes, offsets * used.size[:, None])
  return used.origin + shift, used


def _ellipsoids(rows: list, frames: _Frames, gains: jax.Array) -> solids_lib.Solids:
  dtype = gains.dtype
  center, used = _points([(row.frame, row.offset) for row in rows], frames)
  half = jnp.asarray(np.array([row.half for row in rows]), dtype)
  half = half * (used.size * gains[np.array([row.gain for row in rows])])[:, None]
  lean = np.deg2rad(np.array([row.lean for row in rows]))
  cos, sin = jnp.asarray(np.cos(lean), dtype)[:, None], jnp.asarray(np.sin(lean), dtype)[:, None]
  forward, left, up = (used.axes[:, i] for i in range(3))
  axes = jnp.stack([cos * forward - sin * up, left, cos * up + sin * forward], axis=1)
  low, high = (jnp.asarray(np.array([getattr(row, end) for row in rows]), dtype)
               for end in ('low', 'high'))
  return solids_lib.ellipsoids(center, axes, half, low, high)


def _segments(
  frames: _Frames, gains: jax.Array, shape: BodyShape
) -> tuple[solids_lib.Solids, jax.Array, jax.Array]:
  """Solids of `SEGMENT_ROWS`, their starts (K, 3) and their axes (K, 3, 3)."""
  rows, dtype = SEGMENT_ROWS, gains.dtype
  start, used = _points([row.start for row in rows], frames)
  end, _ = _points([row.end for row in rows], frames)
  radii = jnp.asarray(np.array([row.radii for row in rows]), dtype)
  radii = radii * (used.size * gains[np.array([row.gain for row in rows])])[:, None]
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
  knees = frames.take(['r_knee', 'l_knee']).origin
  reach = _length(knees[0] - knees[1]) / 2 * jnp.minimum(shape.skirt, 1) + 90 * used.size[0]
  below = np.array([[row.name == 'skirt' and end > 0 for end in range(3)] for row in rows])
  radii = jnp.where(below & (radii > 0), jnp.maximum(radii, reach), radii)
  flat = jnp.asarray(np.array([row.flat for row in rows]), dtype)
  solids, axes = solids_lib.segments(start, end, used.axes[:, 1], radii, flat, clip)
  return solids, start, axes


def _slots(shape: BodyShape) -> jax.Array:
  """(K,) slots; joints that a sleeve or a leg of the trousers covers are cloth."""
  slots = jnp.asarray(np.array([row.slot for row in ROWS], np.int32))
  covered = {
    'elbow': (shape.sleeve > 1, Slot.TOP), 'knee': (shape.leg > 1, Slot.BOTTOM),
    'shoulder': (shape.sleeve <= 0, Slot.SKIN),
  }
  for joint, (test, slot) in covered.items():
    mine = np.array([row.name[2:] == joint for row in ROWS])
    slots = jnp.where(mine & test, jnp.int32(slot), slots)
  # A cap is the hair's solid in another colour.
  cap = np.array([row.name == 'hair_cap' for row in ROWS])
  return jnp.where(cap & (shape.brim > 0), jnp.int32(Slot.ACCENT), slots)


def _lattice(row: anatomy.Ellipsoid | anatomy.Segment) -> str:
  """The frame of a solid's surface coordinates."""
  name = row.frame if isinstance(row, anatomy.Ellipsoid) else row.start[0]
  if row.part != Part.TRUNK:
    return name
  upper = 'chest' in (name, row.end[0] if isinstance(row, anatomy.Segment) else '')
  return 'upper_trunk' if upper else 'trunk'


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
  round_ones = _ellipsoids([*WHOLE_ROWS, *CUT_ROWS], frames, gains)
  limbs, starts, limb_axes = _segments(frames, gains, shape)
  own = frames.take([_lattice(row) for row in ROWS])
  # Limbs have the lattice of their bone.
  is_limb = np.array([row in SEGMENT_ROWS and row.part != Part.TRUNK for row in ROWS])
  pad = NUM_SOLIDS - len(SEGMENT_ROWS)
  widen = lambda x: jnp.pad(x, [(pad, 0)] + [(0, 0)] * (x.ndim - 1))  # noqa: E731
  axes = jnp.where(is_limb[:, None, None], widen(limb_axes), own.axes)
  return Body(
    solids=solids_lib.concatenate(round_ones, limbs),
    slot=_slots(shape),
    part=jnp.asarray(np.array([row.part for row in ROWS], np.int32)),
    origin=jnp.where(is_limb[:, None], widen(starts), own.origin),
    axes=axes / own.size[:, None, None],
  )
