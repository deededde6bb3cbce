"""How sure the lifter is of a person, without labels: does it say the same from other sides?

A lifted pose is turned about the plumb line, seen from there, lifted again and turned back: what it
was lifted to the first time it should be lifted to again. The root mean square distance of these
lifts from the first is the person's uncertainty [R]. Where the lifter is right from all sides it is
0; where the first lift is wrong, the views of it are of a pose that nobody takes.

It ranks people; it is no error in mm. How well it ranks is measured in the evaluation.

Symbols: B people, J joints, K views; lengths in pelvis–head lengths.
"""

from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.geometry import lifting
from posejax.methods.lifting import step
from posejax.models import lifter as lifter_lib

VIEWS = 7  # azimuths, evenly around, the first one's own left out


def spread(config: ml_collections.ConfigDict, params: Any, poses: jax.Array) -> jax.Array:
  """Uncertainties of people.

  Args:
    config: of the method.
    params: of the lifter.
    poses: (B, J, 2) normalised.

  Returns:
    (B,) ≥ 0.
  """
  lifter, c = lifter_lib.Lifter(step.shape(config)), config.c
  depth, theta = lifter.apply({'params': params}, poses)
  first = lifting.lift(poses, depth.mean(1), c)

  def seen_from(azimuth: jax.Array) -> jax.Array:
    # From the elevation that the pose was seen at: only the side differs.
    turn = lifting.turn_x(-theta) @ lifting.turn_y(azimuth) @ lifting.turn_x(theta)
    q = lifting.reproject(lifting.turn(turn, first), c)
    again, _ = lifter.apply({'params': params}, q)
    back = lifting.turn_back(turn, lifting.lift(q, again.mean(1), c))
    return ((back - first) ** 2).sum(-1).mean(-1)

  azimuths = 2 * np.pi * np.arange(1, VIEWS + 1) / (VIEWS + 1)
  return jnp.sqrt(jax.vmap(seen_from)(jnp.asarray(azimuths, poses.dtype)).mean(0))
