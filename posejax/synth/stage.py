"""The world as one camera finds it: people's bodies and their surroundings as one list of solids.

Order of the M solids: all of person 0 (whole, then cut), of person 1, ..., leaves (whole), posts
(cut). Coefficients of all of them are computed together and then split by kind.

Symbols: P persons, J = 17 joints (J17), K solids of one person, M of all. World frame, mm.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry.camera import Camera
from posejax.synth import bodies as bodies_lib
from posejax.synth import solids as solids_lib
from posejax.synth import surroundings
from posejax.synth.appearance import SceneAppearance
from posejax.synth.surroundings import NUM_LEAVES, NUM_NEAR


class Stage(NamedTuple):
  """Geometry for one camera.

  Attributes:
    solids: Solids (M,) in the order of the module; those of persons who are not there disabled.
    bodies: Body with leading axis P.
    around: room and objects.
    joints: (P, J, 3) mm, finite.
    valid: (P,) bool.
    eye: (3,) mm, the camera's place.
  """

  solids: solids_lib.Solids
  bodies: bodies_lib.Body
  around: surroundings.Surroundings
  joints: jax.Array
  valid: jax.Array
  eye: jax.Array


def count_solids(num_people: int) -> int:
  """M for this many persons."""
  return num_people * bodies_lib.NUM_SOLIDS + NUM_NEAR * (NUM_LEAVES + 1)


def split(rows: jax.Array, num_people: int) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
  """(M, N) rows, one per solid, by kind.

  Returns:
    Persons' whole (P, K1, N) and cut (P, K2, N) solids, leaves (., N), posts (., N).
  """
  count = num_people * bodies_lib.NUM_SOLIDS
  own = rows[:count].reshape(num_people, bodies_lib.NUM_SOLIDS, rows.shape[1])
  leaves = count + NUM_NEAR * NUM_LEAVES
  whole, cut = own[:, :bodies_lib.NUM_WHOLE], own[:, bodies_lib.NUM_WHOLE:]
  return whole, cut, rows[count:leaves], rows[leaves:]


def build_stage(
  joints: jax.Array, valid: jax.Array, camera: Camera, appearance: SceneAppearance
) -> Stage:
  """Builds everything that a camera may see.

  Args:
    joints: (P, J, 3) mm, finite, world frame.
    valid: (P,) bool.
    camera: one camera, in the joints' float type.
    appearance: for P persons.

  Returns:
    Stage.
  """
  bodies = jax.vmap(bodies_lib.build_body)(joints, appearance.people.shape)
  flat = jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), bodies.solids)
  there = jnp.repeat(valid, bodies_lib.NUM_SOLIDS)
  flat = flat._replace(enabled=flat.enabled & there)
  eye = -solids_lib.columns_times(camera.rotation, camera.translation)
  room, objects = jax.tree.map(
    lambda x: x.astype(joints.dtype) if jnp.issubdtype(x.dtype, jnp.floating) else x,
    (appearance.room, appearance.objects),
  )
  around = surroundings.build_surroundings(room, objects, joints, valid, eye)
  solids = solids_lib.concatenate(flat, around.solids)
  return Stage(solids, bodies, around, joints, valid, eye)
