"""Colour of the points that rays hit: surface lookup, textures, details, light and shadow.

Only the nearest surface of each pixel is shaded. What is known of a surface lies in tables with one
column per surface, gathered once per pixel.

Light: a directional key light with cast shadows (people, objects and boxes, onto everything), a
weak light from the other side without, the sky's light by the normal's height, highlights, and a
contact shade on the floor, where feet, knees or hips come near it.

Symbols: P persons, K solids of one, M solids of all, N objects, H, W rays. World frame, mm.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib
from posejax.synth import bodies as bodies_lib
from posejax.synth import casting, details, surroundings
from posejax.synth import solids as solids_lib
from posejax.synth import stage as stage_lib
from posejax.synth.anatomy import Part, Slot
from posejax.synth.appearance import Light, SceneAppearance
from posejax.synth.planes import Planes, dot, gather, hold, normalized
from posejax.synth.stage import Stage, count_solids
from posejax.synth.surroundings import NUM_LEAVES, NUM_NEAR, NUM_OBJECTS
from posejax.synth.textures import Material, surface_color

_SHADOW_BIAS_MM = 18.0
_CONTACTS = np.array([
  skeleton_lib.J17.index(name)
  for name in ('pelvis', 'r_knee', 'l_knee', 'r_ankle', 'l_ankle', 'r_foot', 'l_foot')
])

class Hit(NamedTuple):
  """What rays meet.

  Attributes:
    surface: (H, W) int32: solids of person 0, 1, ..., leaves, posts, then boxes, then the room.
    axis: (H, W) int32, for boxes and the room the axis of the face.
    depth: (H, W) mm along the camera's axis.
    ray: three (H, W): world direction for depth 1.
  """

  surface: jax.Array
  axis: jax.Array
  depth: jax.Array
  ray: Planes


class _Surface(NamedTuple):
  """Points with all that shading needs; every field (H, W) or a list of such."""

  point: Planes
  normal: Planes
  coordinates: Planes
  material: jax.Array
  part: jax.Array
  person: jax.Array
  is_floor: jax.Array


def _tables(stage: Stage) -> list[jax.Array]:
  """27 columns (M,): A, A c, axes, axes·origin, material, part and person of every solid."""
  num_people = stage.valid.shape[0]
  body, solids = stage.bodies, stage.solids
  dtype = stage.joints.dtype
  others = NUM_NEAR * (NUM_LEAVES + 1)
  eye = jnp.broadcast_to(jnp.eye(3, dtype=dtype), (others, 3, 3))
  axes = jnp.concatenate([body.axes.reshape(-1, 3, 3), eye])
  origin = jnp.concatenate([body.origin.reshape(-1, 3), jnp.zeros((others, 3), dtype)])
  person = jnp.repeat(jnp.arange(num_people), bodies_lib.NUM_SOLIDS)
  first = num_people * len(Slot)
  objects = np.concatenate([
    first + 2 * np.repeat(np.arange(NUM_NEAR), NUM_LEAVES) + 1, first + 2 * np.arange(NUM_NEAR)
  ])
  material = jnp.concatenate([person * len(Slot) + body.slot.reshape(-1), objects])
  nobody = jnp.zeros(others, jnp.int32)
  part = jnp.concatenate([body.part.reshape(-1), nobody])
  rows = [
    solids.matrix.reshape(-1, 9), solids_lib.rows_times(solids.matrix, solids.center),
    axes.reshape(-1, 9),
    solids_lib.rows_times(axes, origin),
    *(column.astype(dtype)[:, None] for column in (
      material, part, jnp.concatenate([person, nobody])
    )),
  ]
  return list(hold(jnp.concatenate(rows, axis=1)).T)


def _solid_surface(stage: Stage, hit: Hit, point: Planes) -> _Surface:
  row = gather(_tables(stage), hit.surface)
  matrix = [row[3 * i:3 * i + 3] for i in range(3)]
  inner = [dot(matrix[i], point) - row[9 + i] for i in range(3)]
  # Inside of the ellipsoid it is a cut's plane that was hit.
  plane = dot(inner, inner) < 0.985
  normal = [
    jnp.where(
      plane, matrix[2][j],
      inner[0] * matrix[0][j] + inner[1] * matrix[1][j] + inner[2] * matrix[2][j],
    ) for j in range(3)
  ]
  axes = [row[12 + 3 * i:15 + 3 * i] for i in range(3)]
  index = lambda column: row[column].astype(jnp.int32)  # noqa: E731
  return _Surface(
    point, normalized(normal), [dot(axes[i], point) - row[21 + i] for i in range(3)],
    index(24), index(25), index(26), jnp.zeros(hit.surface.shape, bool),
  )


def _flat_surface(
  stage: Stage, hit: Hit, point: Planes, first_material: int
) -> _Surface:
  """Boxes and the room: the normal is an axis, the coordinates are the other two."""
  boxes, around = stage.around.boxes, stage.around
  number = jnp.clip(hit.surface - count_solids(stage.valid.shape[0]), 0, NUM_OBJECTS)
  in_room = number == NUM_OBJECTS
  columns = jnp.concatenate(
    [boxes.center, jnp.stack([boxes.cos, boxes.sin], axis=-1)], axis=-1
  )
  still = jnp.asarray([[0, 0, 0, 1, 0]], columns.dtype).at[0, 2].set(around.low[2])
  row = gather(list(hold(jnp.concatenate([columns, still])).T), number)
  shifted = [point[i] - row[i] for i in range(3)]
  c, s = row[3], row[4]
  local = [c * shifted[0] + s * shifted[1], c * shifted[1] - s * shifted[0], shifted[2]]
  axis = hit.axis
  unit = [(axis == i).astype(point[0].dtype) for i in range(3)]
  normal = [c * unit[0] - s * unit[1], s * unit[0] + c * unit[1], unit[2]]
  u = jnp.where(axis == 0, local[1], local[0])
  v = jnp.where(axis == 2, local[1], local[2])
  face = jnp.where(
    axis == 2, jnp.where(hit.ray[2] < 0, surroundings.FLOOR, surroundings.CEILING),
    jnp.where(axis == 0, surroundings.WALL_X, surroundings.WALL_Y),
  )
  material = first_material + jnp.where(in_room, 2 * NUM_OBJECTS + face, 2 * number)
  nothing = jnp.zeros(axis.shape, jnp.int32)
  return _Surface(
    point, normal, [jnp.zeros_like(u), u, v], material, nothing, nothing,
    in_room & (face == surroundings.FLOOR),
  )


def _find_surface(stage: Stage, hit: Hit) -> _Surface:
  num_people = stage.valid.shape[0]
  point = hold([stage.eye[i] + hit.depth * hit.ray[i] for i in range(3)])
  solid = _solid_surface(stage, hit, point)
  flat = _flat_surface(stage, hit, point, num_people * len(Slot))
  is_solid = hit.surface < count_solids(num_people)
  surface = jax.tree.map(lambda a, b: jnp.where(is_solid, a, b), solid, flat)
  surface = hold(surface)
  # Normals face the camera.
  back = dot(surface.normal, hit.ray) > 0
  return surface._replace(normal=hold([jnp.where(back, -n, n) for n in surface.normal]))


def _materials(appearance: SceneAppearance, dtype) -> list[jax.Array]:
  """16 columns: persons' slots, objects with leaves, room."""
  sources = (appearance.people.materials, appearance.objects.materials, appearance.room.materials)
  rows = [source.pack() for source in sources]
  table = jnp.concatenate([row.reshape(-1, row.shape[-1]) for row in rows]).astype(dtype)
  return list(hold(table).T)


def _clothed(surface: _Surface, appearance: SceneAppearance) -> jax.Array:
  """Material index, with the top's hem: above it the trunk is in the top, below in the bottom."""
  slot = surface.material - surface.person * len(Slot)
  on_trunk = (surface.part == Part.TRUNK) & ((slot == Slot.TOP) | (slot == Slot.BOTTOM))
  if appearance.people.details.hem.shape[0] == 0:
    return surface.material
  hem = appearance.people.details.hem[surface.person]
  wanted = jnp.where(surface.coordinates[2] > hem, int(Slot.TOP), int(Slot.BOTTOM))
  return jnp.where(on_trunk, surface.person * len(Slot) + wanted, surface.material)


def _albedo(
  stage: Stage, hit: Hit, surface: _Surface, appearance: SceneAppearance, pixel: jax.Array,
) -> tuple[Planes, Material]:
  """Albedo with textures and details, and the material of every point."""
  dtype = hit.depth.dtype
  clothed = hold(_clothed(surface, appearance))
  material = Material.unpack(gather(_materials(appearance, dtype), clothed))
  slant = jnp.abs(dot(surface.normal, normalized(hit.ray)))
  footprint = hold(hit.depth * pixel / jnp.maximum(slant, 0.15))
  rgb = surface_color(material, surface.coordinates[1], surface.coordinates[2], footprint)
  if stage.valid.shape[0] == 0:
    return rgb, material
  people = appearance.people
  colors = people.materials.color.astype(dtype)
  chosen = colors[:, np.array([Slot.SKIN, Slot.HAIR, Slot.INNER, Slot.ACCENT])]
  per_person = jnp.concatenate([
    jnp.stack(people.details).astype(dtype), chosen.reshape(chosen.shape[0], -1).T
  ])
  looked_up = gather(list(hold(per_person)), surface.person)
  count = len(people.details)
  painted = details.Details(*looked_up[:count])
  palette = details.Palette(*(
    looked_up[count + 3 * i:count + 3 * i + 3] for i in range(4)
  ))
  arguments = (rgb, surface.coordinates, painted, palette, footprint)
  trunk, head = details.paint_trunk(*arguments), details.paint_head(*arguments)
  slot = surface.material - surface.person * len(Slot)
  on_trunk = (surface.part == Part.TRUNK) & (slot != Slot.SKIN)
  on_head = surface.part == Part.HEAD
  return hold([
    jnp.where(on_trunk, a, jnp.where(on_head, b, c))
    for a, b, c in zip(trunk, head, rgb, strict=True)
  ]), material


def light_axes(direction: jax.Array) -> jax.Array:
  """(3, 3) rows: two axes across the light and the direction towards it."""
  return solids_lib.frame(direction, jnp.zeros_like(direction))


def _shadow(stage: Stage, point: Planes, direction: jax.Array) -> jax.Array:
  """(H, W) 0 where something stands between a point and the key light, else 1."""
  basis = light_axes(direction.astype(stage.joints.dtype))
  around = stage.around
  turned = solids_lib.transform(stage.solids, basis, jnp.zeros(3, basis.dtype))
  coefficients = casting.light_coefficients(turned)
  own_whole, own_cut, whole, cut = stage_lib.split(coefficients, stage.valid.shape[0])
  own_whole = own_whole[:, :bodies_lib.NUM_CASTERS]
  join = lambda own, others: jnp.concatenate([own.reshape(-1, casting.CUT), others])  # noqa: E731
  casters = join(own_whole, whole), join(own_cut, cut)
  u, v, height = (sum(basis[i, j] * point[j] for j in range(3)) for i in range(3))
  limit = height + _SHADOW_BIAS_MM
  best = casting.cast_heights(*casters, u, v, limit)
  ray = [jnp.broadcast_to(basis[2, i], u.shape) for i in range(3)]

  def add_box(lit, box):
    enter, leave, _ = surroundings.box_span(box, point, ray)
    return jnp.where((leave >= enter) & (leave > _SHADOW_BIAS_MM), 0, lit), None

  lit, _ = jax.lax.scan(add_box, jnp.where(best > limit, 0, jnp.ones_like(u)), around.boxes)
  return lit


def _contact(stage: Stage, surface: _Surface) -> jax.Array:
  """(H, W) factor on the light from above on the floor near feet and whatever else is low."""
  floor = stage.around.low[2]
  shade = jnp.ones_like(surface.point[0])
  joints = stage.joints[:, _CONTACTS]

  def darken(shade, person):
    spots, valid = person
    for spot in range(len(_CONTACTS)):
      rise = jnp.maximum(spots[spot, 2] - floor, 0)
      radius = 130 + 0.6 * rise
      weight = jnp.where(valid, 0.5 / (1 + (rise / 160) ** 2), 0)
      dx, dy = surface.point[0] - spots[spot, 0], surface.point[1] - spots[spot, 1]
      near = 1 / (1 + (dx * dx + dy * dy) / (radius * radius))
      shade = shade * (1 - weight * near * near)
    return shade, None

  shade, _ = jax.lax.scan(darken, shade, (joints, stage.valid))
  return jnp.where(surface.is_floor, shade, 1)


def shade(
  stage: Stage, hit: Hit, appearance: SceneAppearance, pixel: jax.Array
) -> Planes:
  """Light that reaches the camera.

  Args:
    stage: the world.
    hit: what the rays meet.
    appearance: colours and light.
    pixel: () size of a pixel at depth 1.

  Returns:
    Three (H, W) linear.
  """
  surface = _find_surface(stage, hit)
  albedo, material = _albedo(stage, hit, surface, appearance, pixel)
  light: Light = jax.tree.map(lambda x: x.astype(hit.depth.dtype), appearance.light)
  lit = hold(_shadow(stage, surface.point, light.direction))
  contact = hold(_contact(stage, surface))
  normal = surface.normal
  towards = list(light.direction)
  facing = jnp.maximum(dot(normal, towards), 0)
  key = hold(lit * facing * (0.3 + 0.7 * contact))
  fill = hold(jnp.maximum(dot(normal, list(light.fill_direction)), 0))
  up = 0.5 + 0.5 * normal[2]
  view = normalized(hit.ray)
  half = normalized([towards[i] - view[i] for i in range(3)])
  shine = jnp.maximum(dot(normal, half), 0) ** 2
  shine = hold(material.gloss * lit * shine ** 8)
  channels = []
  for i in range(3):
    ambient = light.ground[i] + (light.sky[i] - light.ground[i]) * up
    total = light.key[i] * key + (ambient + light.fill[i] * fill) * contact
    seen = albedo[i] * total + light.key[i] * shine
    channels.append(jnp.where(material.glow > 0, albedo[i], seen))
  return hold(channels)
