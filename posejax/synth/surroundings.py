"""What stands around people: a room (or open sky) with floor and walls, furniture, occluders.

A room is a box around the world's origin, seen from inside. It grows where a person or the camera
would be outside of it, and its floor sinks to the lowest joint of people who float (scenes with
'frustum' placement), so that every camera sees a full background and no one stands in the ground.
Objects are placed in the world, beside people: from some views they hide them, from others not. One
that would touch a person or blind the camera is left away.

Symbols: P persons, N = 6 objects (3 beside people, 3 around the room), F = 4 room surfaces. World
frame, mm, rad. Ours [R].
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.synth import solids as solids_lib
from posejax.synth.domains import Domain
from posejax.synth.planes import Planes
from posejax.synth.textures import Material, Pattern, hsv_to_linear
from posejax.synth.wardrobe import contrasting, in_range, next_color, pick

NUM_NEAR, NUM_FAR = 3, 3
NUM_OBJECTS = NUM_NEAR + NUM_FAR
NUM_LEAVES = 5
ROOM_DRAWS, OBJECT_DRAWS = 48, 64
FLOOR, CEILING, WALL_X, WALL_Y = range(4)
_NOTHING, _BOX, _POST, _PLANT = range(4)


class Room(NamedTuple):
  """half (2,) mm extents from the origin, height () mm, materials (F,): floor, ceiling, walls."""

  half: jax.Array
  height: jax.Array
  materials: Material


class Objects(NamedTuple):
  """N objects, the first `NUM_NEAR` beside persons, the others around the room.

  Attributes:
    kind: (N,) int32: 0 nothing, 1 box, 2 post, 3 potted plant.
    person: (N,) int32, whom it stands beside.
    azimuth: (N,) rad, where it stands seen from the person or from the room's middle.
    distance: (N,) mm from that person; a share of the room's half extents for the others.
    half: (N, 3) mm, half extents; the first is the radius of posts and pots.
    yaw: (N,) rad, of boxes.
    leaves: (N, NUM_LEAVES, 3) in [0, 1], shapes of the plant.
    materials: (N, 2), of the object and of its leaves.
  """

  kind: jax.Array
  person: jax.Array
  azimuth: jax.Array
  distance: jax.Array
  half: jax.Array
  yaw: jax.Array
  leaves: jax.Array
  materials: Material


class Boxes(NamedTuple):
  """N boxes upright on the floor: center, half (N, 3) mm, cos and sin of yaw, enabled (N,)."""

  center: jax.Array
  half: jax.Array
  cos: jax.Array
  sin: jax.Array
  enabled: jax.Array


class Surroundings(NamedTuple):
  """Geometry for one camera.

  Attributes:
    low, high: (3,) mm, corners of the room.
    boxes: Boxes (N,).
    solids: Solids, NUM_LEAVES of each near object without cuts, then its post or pot.
  """

  low: jax.Array
  high: jax.Array
  boxes: Boxes
  solids: solids_lib.Solids


def _background_material(domain: Domain, kind: str, draws) -> Material:
  """Material () of floor or walls."""
  color = next_color(getattr(domain, f'{kind}_hsv'), draws)
  strength = in_range(domain.background_contrast, next(draws))
  one = jnp.ones_like(strength)
  pattern = pick(getattr(domain, f'{kind}_patterns'), next(draws))
  slanted = (pattern == Pattern.STRIPES) & (next(draws) < 0.5)
  return Material(
    color=color,
    second=contrasting(color, strength),
    pattern=pattern,
    scale=in_range(getattr(domain, f'{kind}_scale'), next(draws)),
    angle=jnp.where(slanted, np.pi / 2, 0).astype(one.dtype),
    duty=0.2 + 0.4 * next(draws),
    grain=in_range(domain.grain, next(draws)),
    grain_scale=in_range(np.array([60.0, 400.0]), next(draws)),
    gloss=0.1 * one if kind == 'floor' else 0 * one,
    glow=0 * one,
    pictures=in_range(domain.pictures, next(draws)) if kind == 'wall' else 0 * one,
    seed=jnp.floor(next(draws) * 60_000),
  )


def _sky(draws) -> Material:
  """Material () of open sky as a wall: pale at the horizon, by day or in the evening."""
  dusk = next(draws)
  blend = lambda day, evening: day + dusk * (evening - day)  # noqa: E731
  high = blend(np.array([0.16, 0.36, 0.72]), np.array([0.03, 0.05, 0.14]))
  pale = blend(np.array([0.72, 0.83, 0.92]), np.array([0.62, 0.28, 0.13]))
  one = jnp.ones_like(dusk)
  return Material(
    color=pale, second=high, pattern=Pattern.GRADIENT * one, scale=7000 * one, angle=0 * one,
    duty=one, grain=0.10 * one, grain_scale=2500 * one, gloss=0 * one, glow=one, pictures=0 * one,
    seed=jnp.floor(dusk * 60_000),
  )


def room_from_draws(numbers: jax.Array, domain: Domain) -> Room:
  """A random room, or open ground under the sky, from (ROOM_DRAWS,) uniform numbers."""
  draws = iter(numbers)
  half = in_range(np.array([6300.0, 9000.0]), jnp.stack([next(draws), next(draws)]))
  height = in_range(np.array([2700.0, 4200.0]), next(draws))
  floor = _background_material(domain, 'floor', draws)
  wall = _background_material(domain, 'wall', draws)
  # Two walls are alike but for the light; in some rooms every other one is painted.
  painted = next(draws) < 0.3
  other = wall._replace(
    color=jnp.where(painted, next_color(domain.wall_hsv, draws), wall.color),
    seed=wall.seed + 1,
  )
  ceiling = wall._replace(
    color=0.7 + 0.3 * wall.color, pattern=0 * wall.pattern, pictures=0 * wall.pictures
  )
  sky = _sky(draws)
  outside = next(draws) < domain.sky
  top = sky._replace(pattern=0 * sky.pattern, color=sky.second)
  choose = lambda open_, closed: jax.tree.map(  # noqa: E731
    lambda a, b: jnp.where(outside, a, b), open_, closed
  )
  surfaces = [floor, choose(top, ceiling), choose(sky, wall), choose(sky, other)]
  return Room(
    half=half * jnp.where(outside, 2.2, 1),
    height=height * jnp.where(outside, 4, 1),
    materials=jax.tree.map(lambda *fields: jnp.stack(fields), *surfaces),
  )


def objects_from_draws(numbers: jax.Array, domain: Domain, num_people: int) -> Objects:
  """Random occluders and furniture from (NUM_OBJECTS, OBJECT_DRAWS) uniform numbers."""
  draws = iter(jnp.moveaxis(numbers, -1, 0))
  near = np.arange(NUM_OBJECTS) < NUM_NEAR
  chance = jnp.where(near, domain.occluders, domain.furniture)
  there = next(draws) < chance
  kind = jnp.where(near, 1 + jnp.floor(3 * next(draws)), _BOX).astype(jnp.int32)
  spread = lambda low, high: in_range(np.array([low, high]), next(draws))  # noqa: E731
  slim = jnp.stack([spread(55, 110), spread(55, 110), spread(1100, 1500)], axis=-1)
  pot = jnp.stack([spread(130, 210), spread(130, 210), spread(150, 260)], axis=-1)
  crate = jnp.stack([spread(140, 330), spread(140, 330), spread(230, 620)], axis=-1)
  chest = jnp.stack([spread(300, 1000), spread(220, 450), spread(300, 1050)], axis=-1)
  half = jnp.where((kind == _POST)[:, None], slim, jnp.where((kind == _PLANT)[:, None], pot, crate))
  half = jnp.where(near[:, None], half, chest)
  leaves = jnp.stack([next(draws) for _ in range(3 * NUM_LEAVES)], -1)
  color = next_color(domain.wall_hsv, draws)
  brown = hsv_to_linear(jnp.stack([spread(0.02, 0.12), spread(0.2, 0.7), spread(0.2, 0.8)], -1))
  color = jnp.where((next(draws) < 0.5)[:, None], color, brown)
  green = hsv_to_linear(jnp.stack([spread(0.2, 0.4), spread(0.4, 0.8), spread(0.2, 0.6)], -1))
  colors = jnp.stack([color, green], axis=1)
  pattern = pick(domain.wall_patterns, next(draws)) * (next(draws) < 0.6)
  one = jnp.ones_like(colors[..., 0])
  materials = Material(
    color=colors,
    second=contrasting(colors, 0.3 + 0.5 * next(draws)[:, None] * one),
    pattern=jnp.stack([pattern, Pattern.BLOTCHES + 0 * pattern], axis=-1),
    scale=jnp.stack([spread(120, 500), spread(40, 90)], axis=-1),
    angle=0 * one, duty=0.4 * one, grain=0.15 * one, grain_scale=80 * one, gloss=0.05 * one,
    glow=0 * one, pictures=0 * one, seed=jnp.floor(next(draws) * 60_000)[:, None] * one,
  )
  return Objects(
    kind=jnp.where(there, kind, _NOTHING),
    person=jnp.minimum((next(draws) * num_people).astype(jnp.int32), max(num_people - 1, 0)),
    azimuth=2 * np.pi * next(draws),
    distance=jnp.where(near, spread(600, 1150), spread(0.62, 0.92)),
    half=half,
    yaw=jnp.where(near, np.pi * next(draws), 0),
    leaves=leaves.reshape(NUM_OBJECTS, NUM_LEAVES, 3),
    materials=materials,
  )


def _place(
  objects: Objects, room_half: jax.Array, joints: jax.Array, valid: jax.Array, eye: jax.Array
) -> tuple[jax.Array, jax.Array]:
  """(N, 2) floor positions, and which objects stand there."""
  direction = jnp.stack([jnp.cos(objects.azimuth), jnp.sin(objects.azimuth)], axis=-1)
  near = np.arange(NUM_OBJECTS) < NUM_NEAR
  there = objects.kind != _NOTHING
  around = objects.distance[:, None] * direction * room_half
  if joints.shape[0] == 0:
    place, clear = around, jnp.asarray(~near)
  else:
    reach = objects.half[:, 0] + objects.distance
    beside = joints[objects.person, 0, :2] + reach[:, None] * direction
    place = jnp.where(near[:, None], beside, around)
    gap = place[:, None, None] - joints[None, :, :, :2]
    square = jnp.min(gap[..., 0] ** 2 + gap[..., 1] ** 2, axis=-1)
    size = jnp.sqrt(objects.half[:, 0] ** 2 + objects.half[:, 1] ** 2)
    free = (square > (size[:, None] + 200) ** 2) | ~valid
    clear = jnp.all(free, axis=-1) & (valid[objects.person] | ~near)
  wide = jnp.max(objects.half[:, :2], axis=-1)
  to_eye = (place[:, 0] - eye[0]) ** 2 + (place[:, 1] - eye[1]) ** 2
  return place, there & clear & (to_eye > (wide + 900) ** 2)


def build_surroundings(
  room: Room, objects: Objects, joints: jax.Array, valid: jax.Array, eye: jax.Array
) -> Surroundings:
  """Geometry around people for a camera.

  Args:
    room: what to build.
    objects: likewise.
    joints: (P, J, 3) mm, finite.
    valid: (P,) bool.
    eye: (3,) mm, the camera's place.

  Returns:
    Surroundings.
  """
  points = jnp.concatenate([joints.reshape(-1, 3), jnp.zeros((1, 3), joints.dtype)])
  counted = jnp.append(jnp.repeat(valid, joints.shape[1]), True)[:, None]
  points = jnp.where(counted, points, 0)
  lowest, highest = jnp.min(points, axis=0), jnp.max(points, axis=0)
  reach = jnp.maximum(jnp.abs(lowest), jnp.abs(highest))[:2] + 700
  half = jnp.maximum(jnp.maximum(room.half, reach), jnp.abs(eye[:2]) + 400).astype(joints.dtype)
  floor = jnp.minimum(lowest[2], eye[2] - 300)
  top = jnp.maximum(jnp.maximum(room.height, highest[2] + 500), eye[2] + 300)
  place, there = _place(objects, half, joints, valid, eye)
  base = jnp.concatenate([place, jnp.broadcast_to(floor, (NUM_OBJECTS, 1))], axis=-1)
  lift = jnp.asarray([0.0, 0.0, 1.0], joints.dtype)
  boxes = Boxes(
    base + objects.half[:, 2:] * lift, objects.half, jnp.cos(objects.yaw), jnp.sin(objects.yaw),
    there & (objects.kind == _BOX),
  )
  return Surroundings(
    jnp.append(-half, floor), jnp.append(half, top).astype(joints.dtype), boxes,
    _round_objects(objects, base, there),
  )


def _round_objects(
  objects: Objects, base: jax.Array, there: jax.Array
) -> solids_lib.Solids:
  """Leaves, then posts or pots of the objects beside people."""
  near = slice(0, NUM_NEAR)
  base, half, kind = base[near], objects.half[near], objects.kind[near]
  up = jnp.asarray([0.0, 0.0, 1.0], base.dtype)
  radius = half[:, :1]
  pot = (kind == _PLANT)[:, None]
  radii = radius * jnp.where(pot, jnp.asarray([0.7, 0.92, 1.0], base.dtype), 1)
  side = jnp.broadcast_to(jnp.asarray([1.0, 0.0, 0.0], base.dtype), base.shape)
  ones = jnp.ones(NUM_NEAR, base.dtype)
  cut, _ = solids_lib.segments(
    base, base + 2 * half[:, 2:] * up, side, radii, ones,
    jnp.stack([0 * ones, ones], axis=-1),
  )
  cut = cut._replace(enabled=cut.enabled & there[near] & (kind != _BOX))
  turn, rise, size = jnp.moveaxis(objects.leaves[near], -1, 0)
  angle = 2 * np.pi * (turn + np.arange(NUM_LEAVES) / NUM_LEAVES)
  out = 1.1 * radius * (0.4 + 0.6 * size)
  center = jnp.stack([
    out * jnp.cos(angle), out * jnp.sin(angle),
    2 * half[:, 2:] + 120 + 600 * rise,
  ], axis=-1) + base[:, None]
  leaf_half = jnp.stack([100 + 80 * size, 100 + 80 * size, 160 + 130 * size], axis=-1)
  center, leaf_half = center.reshape(-1, 3), leaf_half.reshape(-1, 3)
  axes = jnp.broadcast_to(jnp.eye(3, dtype=base.dtype), (*center.shape[:1], 3, 3))
  whole = solids_lib.ellipsoids(center, axes, leaf_half)
  planted = jnp.repeat(there[near] & (kind == _PLANT), NUM_LEAVES)
  return solids_lib.concatenate(whole._replace(enabled=whole.enabled & planted), cut)


def box_span(
  box: Boxes, origin: Planes, direction: Planes
) -> tuple[jax.Array, jax.Array, jax.Array]:
  """Where rays are inside of one box.

  Args:
    box: without the axis N.
    origin: three planes or numbers, mm.
    direction: three planes or numbers.

  Returns:
    Two planes, entry and exit in lengths of `direction` (the exit is before the entry where the box
    is missed), and the int32 axis of the face of entry.
  """
  turn = lambda v: [  # noqa: E731
    box.cos * v[0] + box.sin * v[1], box.cos * v[1] - box.sin * v[0], v[2]
  ]
  start = turn([origin[i] - box.center[i] for i in range(3)])
  entries, exits = [], []
  for i, (at, along) in enumerate(zip(start, turn(direction), strict=True)):
    slow = jnp.where(jnp.abs(along) < 1e-9, 1e-9, along)
    ends = (-box.half[i] - at) / slow, (box.half[i] - at) / slow
    entries.append(jnp.minimum(*ends))
    exits.append(jnp.maximum(*ends))
  enter = jnp.maximum(jnp.maximum(entries[0], entries[1]), entries[2])
  leave = jnp.minimum(jnp.minimum(exits[0], exits[1]), exits[2])
  axis = jnp.where(enter == entries[0], 0, jnp.where(enter == entries[1], 1, 2))
  return enter, jnp.where(box.enabled, leave, -jnp.inf), axis.astype(jnp.int32)
