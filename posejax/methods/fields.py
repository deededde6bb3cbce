"""What a field of a config may hold: methods list rules, `training.config` checks them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Interval:
  """Allowed values of a number: lo ≤ value ≤ hi; `whole` admits integers alone, `step` those that
  are a multiple of it above lo: of 1 and a step of 2, odd ones."""

  lo: float
  hi: float
  whole: bool = False
  step: int = 1


@dataclasses.dataclass(frozen=True)
class Choice:
  """Allowed values, by list."""

  values: tuple[Any, ...]


@dataclasses.dataclass(frozen=True)
class Text:
  """A string (a path, say); `optional` admits the empty one."""

  optional: bool = True


@dataclasses.dataclass(frozen=True)
class Items:
  """A tuple of `shortest` to `longest` entries (any number where None) that each keep a rule."""

  rule: 'Rule'
  shortest: int = 1
  longest: int | None = None


@dataclasses.dataclass(frozen=True)
class Needs:
  """A rule, and what other fields must hold wherever the value is not `plain`."""

  rule: 'Rule'
  plain: Any
  others: Mapping[str, 'Rule']


@dataclasses.dataclass(frozen=True)
class Fits:
  """A rule, and a look at the value as a whole, or beside those of other fields.

  Attributes:
    rule: that the value keeps by itself.
    problem: (value, values of `others`...) → what is wrong, in words; '' if nothing is.
    others: dotted names. A rule with some stands for a field, not for an entry of `Items`.
  """

  rule: 'Rule'
  problem: Callable[..., str]
  others: tuple[str, ...] = ()


Rule = Interval | Choice | Text | Items | Needs | Fits
