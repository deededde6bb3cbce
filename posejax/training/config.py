"""Configs: loaded from `file.py:preset`, checked in one place against a method's rules.

A config is data. Its rules (posejax.methods.fields) stand with the method; a field without a rule
is an error, so that a misspelt one never goes unnoticed.
"""

import json
import math
from collections.abc import Iterator, Mapping
from typing import Any

import ml_collections

from posejax.methods.fields import Choice, Fits, Interval, Items, Needs, Rule, Text


class ConfigError(ValueError):
  """A config does not hold what it may. One line that names the field and what is allowed."""


def validate(config: ml_collections.ConfigDict, rules: Mapping[str, Rule]) -> None:
  """Checks every field.

  Raises:
    ConfigError: names the first wrong field, its value, and the allowed range.
  """
  fields = dict(leaves(config))
  if 'method' in rules:  # by another method's name all the rest is wrong
    _check('method', rules['method'], fields)
  for name in fields:
    if name not in rules:
      raise ConfigError(f'config.{name}: no such field; near it: {_near(name, rules)}')
  for name, rule in rules.items():
    _check(name, rule, fields)
  for name, rule in rules.items():
    problem = _beside(name, rule, fields)
    if problem:
      raise ConfigError(f'config.{name} = {fields[name]!r}: {problem}')


def _check(name: str, rule: Rule, fields: Mapping[str, Any]) -> None:
  """Whether a field is there and its value keeps its rule by itself."""
  if name not in fields:
    raise ConfigError(f'config.{name}: missing; it must be {describe(rule)}')
  problem = violation(fields[name], rule)
  if problem:
    raise ConfigError(f'config.{name} = {fields[name]!r}: {problem}')


def _beside(name: str, rule: Rule, fields: Mapping[str, Any]) -> str:
  """What is wrong with a value beside those of other fields, in words; '' if nothing is."""
  if isinstance(rule, Fits) and rule.others:
    return rule.problem(fields[name], *(fields[other] for other in rule.others))
  if isinstance(rule, Needs) and fields[name] != rule.plain:
    for other, wanted in rule.others.items():
      problem = violation(fields[other], wanted)
      if problem:
        return f'needs another config.{other} than {fields[other]!r}: it {problem}'
  return ''


def leaves(config: Mapping[str, Any], prefix: str = '') -> Iterator[tuple[str, Any]]:
  """Dotted names and values of a config's fields, sorted."""
  for key in sorted(config):
    value = config[key]
    if isinstance(value, Mapping | ml_collections.ConfigDict):
      yield from leaves(value, f'{prefix}{key}.')
    else:
      yield prefix + key, value


def violation(value: Any, rule: Rule) -> str:
  """What is wrong with a value, in words; '' if nothing is."""
  if isinstance(rule, Needs):
    return violation(value, rule.rule)
  if isinstance(rule, Fits):
    return violation(value, rule.rule) or ('' if rule.others else rule.problem(value))
  if isinstance(rule, Items):
    longest = math.inf if rule.longest is None else rule.longest
    if not isinstance(value, tuple | list) or not rule.shortest <= len(value) <= longest:
      return f'must be {describe(rule)}'
    return next(filter(None, (violation(item, rule.rule) for item in value)), '')
  if isinstance(rule, Interval):
    # bool is an int to Python, and comparisons with nan are all false: ml_collections lets both by.
    fits = isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    fits = fits and rule.lo <= value <= rule.hi and (not rule.whole or isinstance(value, int))
    fits = fits and (rule.step == 1 or (value - rule.lo) % rule.step == 0)
  elif isinstance(rule, Choice):
    fits = any(value == choice and type(value) is type(choice) for choice in rule.values)
  else:
    fits = isinstance(value, str) and '\0' not in value and bool(value or rule.optional)
  return '' if fits else f'must be {describe(rule)}'


def describe(rule: Rule) -> str:
  """What a rule allows, in words."""
  if isinstance(rule, Interval):
    steps = f' in steps of {rule.step}' if rule.step != 1 else ''
    kind = 'a whole number' if rule.whole else 'a number'
    return f'{kind} from {rule.lo:g} to {rule.hi:g}{steps}'
  if isinstance(rule, Choice):
    return 'one of ' + ', '.join(map(repr, rule.values))
  if isinstance(rule, Text):
    return 'a text' if rule.optional else 'a text that is not empty'
  if isinstance(rule, Needs | Fits):
    return describe(rule.rule)
  count = f'at least {rule.shortest}' if rule.longest is None else f'{rule.shortest}'
  if rule.longest not in (None, rule.shortest):
    count += f' to {rule.longest}'
  return f'a list of {count}, each {describe(rule.rule)}'


def _near(name: str, rules: Mapping[str, Rule]) -> str:
  group = name.rpartition('.')[0]
  near = [field for field in rules if field.rpartition('.')[0] == group] or list(rules)
  return ', '.join(near[:12])


def subtree(config: ml_collections.ConfigDict, fields: tuple[str, ...]) -> dict[str, Any]:
  """The fields below some dotted names, as plain data for a cache key.

  Raises:
    KeyError: a name is in no field's path.
  """
  chosen = {}
  for field in fields:
    below = {
      name: value for name, value in leaves(config)
      if name == field or name.startswith(field + '.')
    }
    if not below:
      raise KeyError(f'config has nothing below {field!r}')
    chosen |= below
  return json.loads(json.dumps(chosen, sort_keys=True))


def differences(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> list[str]:
  """Fields in which two flat configs differ, as `name (theirs → ours)`."""
  missing = 'none'
  return [
    f'{name} ({theirs.get(name, missing)!r} → {ours.get(name, missing)!r})'
    for name in sorted(ours.keys() | theirs.keys())
    if ours.get(name, missing) != theirs.get(name, missing)
  ]
