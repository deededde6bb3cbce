"""SceneConfig: what it accepts; a refusal names the field, what is allowed and what came."""

import dataclasses
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from posejax.synth import scene_config
from posejax.synth.motion_families import Family
from posejax.synth.scene_config import SceneConfig

RANGES = sorted(scene_config._RANGES)
NUMBERS = sorted({**scene_config._SCALARS, **scene_config._COUNTS})
ANYTHING = st.one_of(
  st.none(), st.booleans(), st.text(max_size=3), st.integers(-10, 10**7), st.floats(),
  st.tuples(st.floats(), st.floats()), st.lists(st.floats(), max_size=3),
)


def refusal(**fields) -> str:
  with pytest.raises(ValueError) as error:
    SceneConfig(**fields)
  return str(error.value)


@given(st.sampled_from([field.name for field in dataclasses.fields(SceneConfig)]), ANYTHING)
@example('yaw_deg', (math.nan, 1.0))
@example('focal', (2.0, 1.0))
@example('max_people', True)
@example('families', ())
@example('limits', None)
@example('camera_motion', 'orbit')
@example('camera_motion', (['orbit'],))
def test_any_value_is_taken_or_refused_in_one_line(name, value):
  try:
    config = SceneConfig(**{name: value})
  except ValueError as error:
    message = str(error)
    assert '\n' not in message
    # min_people and min_views depend on max_people and num_cameras: the message names one of them.
    assert message.startswith('SceneConfig.')
    assert ': expected ' in message
    assert ', got ' in message
  else:
    hash(config)


@given(st.sampled_from(RANGES), st.floats(0, 1), st.floats(0, 1))
def test_a_range_is_refused_exactly_when_it_is_reversed_or_out_of_bounds(name, a, b):
  low, high = scene_config._RANGES[name]
  inside = tuple(low + (high - low) * share for share in sorted((a, b)))
  assert getattr(SceneConfig(**{name: inside}), name) == inside
  assert f'SceneConfig.{name}: ' in refusal(**{name: (low - 1 - a, high)})
  assert f'<= {high}' in refusal(**{name: (low, high * 2 + 1)})
  if inside[0] < inside[1]:
    assert f'got {inside[::-1]!r}' in refusal(**{name: inside[::-1]})


@pytest.mark.parametrize('name', NUMBERS)
@pytest.mark.parametrize('value', [math.nan, math.inf, -1, 'a', None, (1, 2)])
def test_numbers_that_are_none(name, value):
  assert refusal(**{name: value}).startswith(f'SceneConfig.{name}: expected ')


def test_messages_say_what_is_allowed():
  assert refusal(placement='air') == (
    "SceneConfig.placement: expected one of ('frustum', 'room'), got 'air'"
  )
  assert refusal(candidates=0) == 'SceneConfig.candidates: expected a value within 1..1024, got 0'
  assert refusal(depth_mm=(8000.0, 1500.0)) == (
    'SceneConfig.depth_mm: expected (low, high) with 200.0 <= low <= high <= 100000.0, '
    'got (8000.0, 1500.0)'
  )
  assert refusal(min_people=3, max_people=2) == 'SceneConfig.min_people: expected <= 2, got 3'
  assert refusal(min_views=2) == 'SceneConfig.min_views: expected <= 1, got 2'
  assert 'no camera under the floor' in refusal(placement='room', elevation_deg=(-30.0, 0.0))
  assert SceneConfig(elevation_deg=(-30.0, 0.0)).placement == 'frustum'  # it has no floor


def test_lists_from_config_files_become_tuples():
  config = SceneConfig(yaw_deg=[0.0, 90.0], camera_motion=['orbit'], families=[Family.WALK])
  assert config == SceneConfig(
    yaw_deg=(0.0, 90.0), camera_motion=('orbit',), families=(Family.WALK,)
  )
  assert hash(config) == hash(dataclasses.replace(config))
