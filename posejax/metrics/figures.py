"""Figures of an evaluation as values: with unit, interval and meaning, and tables of them."""

from typing import NamedTuple

import numpy as np


class Metric(NamedTuple):
  """A figure of an evaluation; its protocol is in its name.

  Attributes:
    value: nan where there was nothing to measure.
    unit: '%', 'mm', 'px' or the like.
    meaning: one plain sentence for readers of the report.
    low, high: ends of the 95 % interval over scenes; nan where there is none.
  """

  value: float
  unit: str
  meaning: str = ''
  low: float = float('nan')
  high: float = float('nan')


class SceneSums(NamedTuple):
  """Of each scene, (S,) joints that are right and (S,) joints that count, for bootstraps."""

  sums: np.ndarray
  weights: np.ndarray


class Table(NamedTuple):
  """A table of metrics: `cells[row][column]` is a metric's name, '' an empty cell."""

  title: str
  note: str
  columns: tuple[str, ...]
  rows: tuple[str, ...]
  cells: tuple[tuple[str, ...], ...]
