"""Configs are refused with the field's name and what is allowed."""

import hypothesis
import hypothesis.strategies as st
import ml_collections
import pytest

from posejax.methods.base import Choice, Interval, Items, Text
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
