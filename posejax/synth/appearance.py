"""Everything random about a picture but poses and cameras: people, room, objects, light, sensor.

`SceneAppearance` is a pytree of arrays: vmap over keys for batches, keep it for a clip or for
several cameras that see one scene.

Symbols: P persons. World frame z up. Colours and powers linear. Ours [R].
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.synth import surroundings, wardrobe
from posejax.synth.domains import DOMAIN_A, DOMAIN_B, Domain, between
from posejax.synth.textures import hsv_to_linear
from posejax.synth.wardrobe import in_range

__all__ = [
  'DOMAIN_A', 'DOMAIN_B', 'Domain', 'Light', 'SceneAppearance', 'Sensor', 'between',
  'sample_appearance',
]


_LIGHT_DRAWS, _SENSOR_DRAWS = 12, 8


class Light(NamedTuple):
  """A lamp or sun far away that casts shadows, one opposite that does not, and the sky's light.

  Attributes:
    direction: (3,) unit, towards the light, world frame.
    key: (3,) its colour times its power.
    fill_direction: (3,) unit, towards the second light.
    fill: (3,) its colour times its power.
    sky: (3,) what a surface gets that faces up.
    ground: (3,) what a surface gets that faces down.
  """

  direction: jax.Array
  key: jax.Array
  fill_direction: jax.Array
  fill: jax.Array
  sky: jax.Array
  ground: jax.Array


class Sensor(NamedTuple):
  """The camera's electronics.

  Attributes:
    gain: (3,) exposure times tint.
    noise: () standard deviation of the noise at full brightness, linear.
    blur: () sigma, px of an image whose longer side has 128; larger images have sharper lenses:
      sigma grows with the square root of their side.
    vignette: () darkening of the corners, share.
    seed: () uint32 of the noise.
  """

  gain: jax.Array
  noise: jax.Array
  blur: jax.Array
  vignette: jax.Array
  seed: jax.Array


class SceneAppearance(NamedTuple):
  """How a scene looks: people, room, objects, light, sensor."""

  people: wardrobe.People
  room: surroundings.Room
  objects: surroundings.Objects
  light: Light
  sensor: Sensor


def _direction(azimuth: jax.Array, elevation: jax.Array) -> jax.Array:
  flat = jnp.cos(elevation)
  return jnp.stack([flat * jnp.cos(azimuth), flat * jnp.sin(azimuth), jnp.sin(elevation)])


def _light_from_draws(numbers: jax.Array, domain: Domain) -> Light:
  draws = iter(numbers)
  azimuth = 2 * np.pi * next(draws)
  elevation = jnp.deg2rad(in_range(domain.elevation, next(draws)))
  turn = azimuth + np.pi * (0.7 + 0.6 * next(draws))
  ambient = wardrobe.next_color(domain.ambient_hsv, draws)
  ambient = ambient * in_range(domain.ambient_power, next(draws))
  tint = wardrobe.next_color(domain.key_hsv, draws)
  power = in_range(domain.key_power, next(draws))
  return Light(
    direction=_direction(azimuth, elevation),
    key=tint * power,
    fill_direction=_direction(turn, 0.6 * elevation),
    fill=ambient * (0.25 + 0.35 * next(draws)),
    sky=ambient,
    ground=ambient * 0.7,
  )


def _sensor_from_draws(numbers: jax.Array, domain: Domain) -> Sensor:
  draws = iter(numbers)
  tint = hsv_to_linear(jnp.stack([
    in_range(domain.cast_hsv[:, channel], next(draws)) for channel in range(3)
  ]))
  return Sensor(
    gain=tint / jnp.mean(tint) * in_range(domain.exposure, next(draws)),
    noise=in_range(domain.noise, next(draws)),
    blur=in_range(domain.blur, next(draws)),
    vignette=in_range(domain.vignette, next(draws)),
    seed=(next(draws) * 2**24).astype(jnp.uint32),
  )


def sample_appearance(key: jax.Array, domain: Domain, num_people: int) -> SceneAppearance:
  """Draws how a scene looks.

  Args:
    key: random key.
    domain: DOMAIN_A, DOMAIN_B, or something `between` them.
    num_people: P, static.

  Returns:
    SceneAppearance in the default float type.

  Raises:
    ValueError: num_people is negative.
  """
  if num_people < 0:
    raise ValueError(f'sample_appearance: num_people must be >= 0, got {num_people}')
  # One call for all numbers: each call to the generator compiles for half a second.
  shapes = (
    (num_people, wardrobe.NUM_DRAWS), (surroundings.ROOM_DRAWS,),
    (surroundings.NUM_OBJECTS, surroundings.OBJECT_DRAWS), (_LIGHT_DRAWS,), (_SENSOR_DRAWS,),
  )
  sizes = [math.prod(shape) for shape in shapes]
  numbers = jax.random.uniform(key, (sum(sizes),))
  parts = jnp.split(numbers, np.cumsum(sizes)[:-1])
  people, room, objects, light, sensor = (
    part.reshape(shape) for part, shape in zip(parts, shapes, strict=True)
  )
  domain = Domain(*(jnp.asarray(field, numbers.dtype) for field in domain))
  return SceneAppearance(
    people=wardrobe.people_from_draws(people, domain),
    room=surroundings.room_from_draws(room, domain),
    objects=surroundings.objects_from_draws(objects, domain, num_people),
    light=_light_from_draws(light, domain),
    sensor=_sensor_from_draws(sensor, domain),
  )
