"""Pictures of synthetic people: rays, exact depth order, masks, and a sensor's image.

For every pixel the nearest surface is found in closed form (`casting`): people's bodies
(`bodies`), plants, posts, boxes and the room around them (`surroundings`). The same casts, one
person at a time, give each person's mask without the others, hence the visible fraction. Only the
nearest surface is coloured (`shading`), then the sensor adds tint, blur and noise (`sensor`).

Labels (mask, depth) are exact at pixel centres, whatever the supersampling of the image. All
randomness is in `SceneAppearance`; the sensor's noise also depends on camera and joints, so that
frames of a clip and views of a scene have noise of their own.

Symbols: P persons, J = 17 joints (J17), H, W pixels. World frame z up, camera frame x right, y
down, z forward, mm; pixel centres at integers.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.arguments import as_float
from posejax.geometry.camera import Camera, Intrinsics
from posejax.synth import bodies as bodies_lib
from posejax.synth import casting, sensor, shading, surroundings
from posejax.synth import solids as solids_lib
from posejax.synth import stage as stage_lib
from posejax.synth.appearance import SceneAppearance
from posejax.synth.planes import hold
from posejax.synth.shading import Hit
from posejax.synth.stage import Stage
from posejax.synth.surroundings import NUM_OBJECTS

_JOINTS = skeleton_lib.J17.num_joints


class Rendering(NamedTuple):
  """One picture and its labels.

  Attributes:
    image: (H, W, 3) uint8.
    person_mask: (H, W) int32, 0 for none, p + 1 for person p.
    depth: (H, W) mm along the camera's axis, of the nearest surface.
    visible: (P,) share of the pixels that the person would cover alone which it does cover; 0 for
      one who is out of the picture or not valid.
  """

  image: jax.Array
  person_mask: jax.Array
  depth: jax.Array
  visible: jax.Array


def render_scene(
  joints_world: jax.Array,
  valid: jax.Array,
  camera: Camera,
  appearance: SceneAppearance,
  size: tuple[int, int],
  supersample: int = 1,
) -> Rendering:
  """Renders clothed people in their surroundings. Jit and vmap it; `size` and later are static.

  Args:
    joints_world: (P, 17, 3) mm, world frame, J17. P may be 0.
    valid: (P,) bool: which persons exist. One with a joint that is not finite does not.
    camera: one camera. One with numbers that are not finite, or a focal length that is not
      positive, sees black: image, mask, depth and visible are all 0.
    appearance: how it looks, for P persons.
    size: (H, W) px.
    supersample: rays per pixel along each side, for the image alone.

  Returns:
    Rendering.

  Raises:
    ValueError: wrong shapes, or sizes that are not positive.
  """
  joints = as_float('render_scene', 'joints_world', joints_world, ('P', _JOINTS, 3))
  _check(joints, valid, camera, appearance, size, supersample)
  camera, works = _working(jax.tree.map(lambda x: jnp.asarray(x, joints.dtype), camera))
  valid = jnp.asarray(valid).astype(bool) & jnp.all(jnp.isfinite(joints), axis=(1, 2))
  joints = jnp.where(valid[:, None, None], joints, 0)
  stage = stage_lib.build_stage(joints, valid, camera, appearance)
  cast = _caster(stage, camera)
  hit, mask, visible = cast(*_rays(camera, size, 1))
  seen = hit if supersample == 1 else cast(*_rays(camera, size, supersample))[0]
  pixel = 1 / (jnp.mean(camera.intrinsics.focal) * supersample)
  light = shading.shade(stage, seen, appearance, pixel)
  height, width = size
  if supersample > 1:
    cells = (height, supersample, width, supersample)
    light = [plane.reshape(cells).mean(axis=(1, 3)) for plane in light]
  mark = sensor.fingerprint(joints, camera.rotation, camera.translation)
  image = sensor.expose(light, appearance.sensor, mark)
  return jax.tree.map(
    lambda x: jnp.where(works, x, jnp.zeros_like(x)), Rendering(image, mask, hit.depth, visible)
  )


def render_batch(
  joints_world: jax.Array,
  valid: jax.Array,
  cameras: Camera,
  appearances: SceneAppearance,
  size: tuple[int, int],
  supersample: int = 1,
  chunk: int = 4,
) -> Rendering:
  """`render_scene` for a batch, a few pictures at a time: on CPU they stay in the cache.

  Measured on two cores: 260 pictures/s in chunks of 4, 100/s when 64 are vmapped at once, which
  also takes 16 times the memory. A GPU wants large chunks.

  Args:
    joints_world: (B, P, 17, 3) mm.
    valid: (B, P) bool.
    cameras: Camera with leading axis B.
    appearances: SceneAppearance with leading axis B.
    size: (H, W) px.
    supersample: as in `render_scene`.
    chunk: pictures at a time.

  Returns:
    Rendering with leading axis B.
  """
  return jax.lax.map(
    lambda arguments: render_scene(*arguments, size, supersample),
    (joints_world, valid, cameras, appearances), batch_size=chunk,
  )


def _working(camera: Camera) -> tuple[Camera, jax.Array]:
  """The camera, or a harmless one in the place of one that can't work; () bool which it is."""
  finite = jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(camera)]))
  works = finite & jnp.all(camera.intrinsics.focal > 0)
  dtype = camera.rotation.dtype
  zero = jnp.zeros(3, dtype)
  spare = Camera(Intrinsics(zero[:2] + 1, zero[:2]), jnp.eye(3, dtype=dtype), zero)
  return jax.tree.map(lambda x, y: jnp.where(works, x, y), camera, spare), works


def _check(joints, valid, camera, appearance, size, supersample):
  people = joints.shape[0]
  if jnp.shape(valid) != (people,):
    raise ValueError(
      f'render_scene: valid must have shape ({people},), got {jnp.shape(valid)}; vmap over batches'
    )
  if jnp.shape(camera.rotation) != (3, 3):
    raise ValueError(
      f'render_scene: camera.rotation must have shape (3, 3), got {jnp.shape(camera.rotation)}; '
      'vmap over cameras'
    )
  girth = jnp.shape(appearance.people.shape.girth)
  if girth != (people,):
    raise ValueError(
      f'render_scene: appearance must be drawn for ({people},) persons, got {girth}'
    )
  if len(size) != 2 or min(size) < 1 or supersample < 1:
    raise ValueError(
      f'render_scene: size (H, W) and supersample must be positive, got {size}, {supersample}'
    )


def _rays(camera: Camera, size: tuple[int, int], supersample: int):
  """(H s, W s) ray coordinates x, y at depth 1."""
  focal, center = camera.intrinsics
  spots = [(np.arange(n * supersample) + 0.5) / supersample - 0.5 for n in size]
  y, x = (
    (jnp.asarray(spot, focal.dtype) - center[axis]) / focal[axis]
    for axis, spot in zip((1, 0), spots, strict=True)
  )
  shape = (y.shape[0], x.shape[0])
  return jnp.broadcast_to(x[None], shape), jnp.broadcast_to(y[:, None], shape)


def _caster(stage: Stage, camera: Camera):
  """Function of rays that gives hits, person mask and visible fractions."""
  people = stage.valid.shape[0]
  seen = solids_lib.transform(stage.solids, camera.rotation, camera.translation)
  coefficients = casting.view_coefficients(seen)
  own_whole, own_cut, *things = stage_lib.split(coefficients, people)

  def cast(x: jax.Array, y: jax.Array) -> tuple[Hit, jax.Array, jax.Array]:
    best, index = casting.cast(*things, x, y)
    surface = jnp.where(index >= 0, people * bodies_lib.NUM_SOLIDS + index, -1)
    mask = jnp.zeros(x.shape, jnp.int32)
    covered = []
    if people:
      alone, solid = jax.vmap(
        lambda whole, cut: casting.cast(whole, cut, x, y)
      )(own_whole, own_cut)
      for person in range(people):
        nearer = alone[person] > best
        best = jnp.where(nearer, alone[person], best)
        surface = jnp.where(nearer, person * bodies_lib.NUM_SOLIDS + solid[person], surface)
        mask = jnp.where(nearer, person + 1, mask)
        covered.append(jnp.sum(alone[person] > 0))
    ray = [
      camera.rotation[0, i] * x + camera.rotation[1, i] * y + camera.rotation[2, i]
      for i in range(3)
    ]
    best, surface, mask = hold((best, surface, mask))
    hit, front = hold(_boxes_and_room(stage, ray, best, surface))
    mask = hold(jnp.where(front, 0, mask))
    seen = [jnp.sum(mask == person + 1) for person in range(people)]
    dtype = x.dtype
    visible = [s.astype(dtype) / jnp.maximum(c, 1) for s, c in zip(seen, covered, strict=True)]
    return hit, mask, jnp.stack(visible) if people else jnp.zeros(0, dtype)

  return cast


def _boxes_and_room(
  stage: Stage, ray: list[jax.Array], best: jax.Array, surface: jax.Array
) -> tuple[Hit, jax.Array]:
  """Hits with everything, and where a box hides the solids that were hit."""
  first = stage_lib.count_solids(stage.valid.shape[0])
  around = stage.around
  eye = [stage.eye[i] for i in range(3)]
  low = casting.integers_like(best.dtype)(31)

  def add_box(best, row):
    box, number = row
    enter, leave, face = surroundings.box_span(box, eye, ray)
    found = (leave >= enter) & (enter > casting.NEAR_MM)
    w = casting.mark(1 / jnp.maximum(enter, 1), 3 * number + face.astype(number.dtype) + 1, low)
    return jnp.maximum(best, jnp.where(found, w, 0)), None

  # As in `casting`, box and face are kept in the last bits.
  numbers = jnp.arange(NUM_OBJECTS, dtype=low.dtype)
  box, _ = jax.lax.scan(add_box, jnp.zeros_like(best), (around.boxes, numbers))
  front = hold(box > best)
  code = casting.read_mark(box, low) - 1
  # The camera stands inside of the room: each ray leaves it once.
  leaving = [
    jnp.maximum(ray[i] / (around.high[i] - eye[i]), ray[i] / (around.low[i] - eye[i]))
    for i in range(3)
  ]
  walls = jnp.maximum(jnp.maximum(leaving[0], leaving[1]), leaving[2])
  face = jnp.where(walls == leaving[0], 0, jnp.where(walls == leaving[1], 1, 2))
  is_wall = hold(walls > jnp.maximum(best, box))
  axis = jnp.where(is_wall, face, code % 3).astype(jnp.int32)
  flat = first + jnp.where(is_wall, NUM_OBJECTS, code // 3)
  surface = jnp.where(is_wall | front, flat, surface)
  depth = 1 / jnp.maximum(jnp.maximum(best, box), walls)
  return Hit(surface, axis, depth, ray), front | is_wall
