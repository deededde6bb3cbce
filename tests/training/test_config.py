"""Configs are refused with the field's name and what is allowed."""

import hypothesis
import hypothesis.strategies as st
import ml_collections
import pytest

from posejax.methods.fields import Choice, Fits, Interval, Items, Text
from posejax.training import config as config_lib

RULES = {
  'steps': Interval(1, 1000, whole=True), 'rate.head': Interval(0.0, 1.0),
  'frame': Choice(('paper', 'robust')), 'widths': Items(Interval(1, 512, whole=True)),
  'folder': Text(), 'name': Text(optional=False), 'flip': Choice((True, False)),
}
GOOD = {
  'steps': 10, 'rate': {'head': 0.1}, 'frame': 'robust', 'widths': (8, 16), 'folder': '',
  'name': 'x', 'flip': True,
}


def test_a_good_config_passes():
  config_lib.validate(ml_collections.ConfigDict(GOOD), RULES)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'steps': 0}, r'config.steps = 0: must be a whole number from 1 to 1000'),
    ({'steps': 2.5}, r'config.steps = 2.5: must be a whole number'),
    ({'steps': True}, r'config.steps = True: must be a whole number'),
    ({'rate': {'head': float('nan')}}, r'config.rate.head = nan: must be a number from 0 to 1'),
    ({'rate': {'head': 0.1, 'haed': 0.1}}, r'config.rate.haed: no such field; near it: rate.head'),
    ({'rate': {}}, r'config.rate.head: missing; it must be a number from 0 to 1'),
    ({'frame': 'robots'}, r"config.frame = 'robots': must be one of 'paper', 'robust'"),
    ({'flip': 1}, r'config.flip = 1: must be one of True, False'),
    ({'widths': (8, 0)}, r'config.widths = \(8, 0\): must be a whole number from 1 to 512'),
    ({'widths': ()}, r'config.widths = \(\): must be a list of at least 1, each a whole number'),
    ({'folder': 3}, r'config.folder = 3: must be a text'),
    ({'name': ''}, r"config.name = '': must be a text that is not empty"),
  ],
)
def test_bad_configs_are_named(change, message):
  with pytest.raises(config_lib.ConfigError, match=message):
    config_lib.validate(ml_collections.ConfigDict({**GOOD, **change}), RULES)


@hypothesis.given(st.floats(allow_nan=True, allow_infinity=True) | st.integers() | st.text())
def test_an_interval_admits_just_its_numbers(value):
  admitted = config_lib.violation(value, Interval(-2.0, 3.0)) == ''
  assert admitted == (isinstance(value, int | float) and -2 <= value <= 3)


def test_subtrees_and_differences():
  config = ml_collections.ConfigDict(GOOD)
  assert config_lib.subtree(config, ('rate', 'steps')) == {'rate.head': 0.1, 'steps': 10}
  with pytest.raises(KeyError, match="nothing below 'ratio'"):
    config_lib.subtree(config, ('ratio',))
  ours, theirs = {'a': 1, 'b': 2}, {'a': 1, 'b': 3, 'c': 4}
  assert config_lib.differences(ours, theirs) == ["b (3 → 2)", "c (4 → 'none')"]


SHAPES = {
  'side': Fits(
    Interval(8, 512, whole=True), lambda side, cell: '' if side % cell == 0 else f'no {cell}s',
    ('cell',),
  ),
  'cell': Interval(1, 31, whole=True, step=2),
  'zoom': Fits(Items(Interval(0, 5), 2, 2), lambda z: '' if z[0] <= z[1] else 'is reversed'),
  'layers': Items(Fits(Items(Interval(1, 9), 1, 3), lambda x: '' if sum(x) < 9 else 'too many')),
}
SHAPED = {'side': 15, 'cell': 5, 'zoom': (0.5, 0.5), 'layers': ((1,), (2, 3, 3))}


def test_a_config_of_shapes_passes():
  config_lib.validate(ml_collections.ConfigDict(SHAPED), SHAPES)


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'cell': 4}, r'config.cell = 4: must be a whole number from 1 to 31 in steps of 2'),
    ({'side': 16}, r'config.side = 16: no 5s'),
    ({'side': 4}, r'config.side = 4: must be a whole number from 8 to 512'),
    ({'zoom': (2, 1)}, r'config.zoom = \(2, 1\): is reversed'),
    ({'zoom': (1, 2, 3)}, r'config.zoom = \(1, 2, 3\): must be a list of 2, each a number'),
    ({'layers': ((1,), ())}, r'must be a list of 1 to 3, each a number from 1 to 9'),
    ({'layers': ((1,), (4, 5))}, r'config.layers = .*: too many'),
  ],
)
def test_values_that_do_not_fit_are_named(change, message):
  with pytest.raises(config_lib.ConfigError, match=message):
    config_lib.validate(ml_collections.ConfigDict({**SHAPED, **change}), SHAPES)
