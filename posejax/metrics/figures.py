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


class SceneSet(NamedTuple):
  """Scenes without a picture to look at: what was seen of them in 2D, and 3D beside the truth.

  Attributes:
    title, note: for the report.
    rays: (S, P, J, 2) 2D joints, x right and y down, any unit.
    truth: (S, P, J, 3) mm, x right, y the plumb line down, z away from the camera.
    found: (label, (S, P, J, 3) mm aligned to the truth) of each method.
    errors: S numbers in mm, of the first method.
  """

  title: str
  note: str
  rays: np.ndarray
  truth: np.ndarray
  found: tuple[tuple[str, np.ndarray], ...]
  errors: tuple[float, ...]
