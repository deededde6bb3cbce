"""Pictures of scenes: a PNG of a row for each scene, in one scale, without complaints."""

import io
import logging

import matplotlib.figure
import numpy as np
from PIL import Image

from posejax.geometry.skeleton import J17
from posejax.metrics.figures import SceneSet
from posejax.viz import report_scenes

RNG = np.random.default_rng(0)
TRUTH = RNG.normal(size=(2, 3, 17, 3)) * 400 + RNG.normal(size=(2, 3, 1, 3)) * 800


def test_a_row_for_each_scene(caplog):
  one, two = (
    SceneSet('t', 'n', TRUTH[:n, ..., :2], TRUTH[:n], (('a', TRUTH[:n] + 30),), (1.0,) * n)
    for n in (1, 2)
  )
  with caplog.at_level(logging.WARNING):
    sizes = [
      Image.open(io.BytesIO(report_scenes.scene_set_picture(chosen, J17))).size
      for chosen in (one, two)
    ]
  assert sizes[0][0] == sizes[1][0] and sizes[1][1] - sizes[0][1] > 200
  assert not caplog.records


def test_both_axes_have_one_scale_and_hold_all_points():
  figure = matplotlib.figure.Figure((6, 2))
  ax = figure.add_axes((0.1, 0.1, 0.5, 0.8))
  points = RNG.normal(size=(2, 5, 2)) * (1, 3)
  report_scenes._fit(ax, points, 0.1)
  (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
  np.testing.assert_allclose((right - left) / (0.5 * 6), (high - low) / (0.8 * 2))
  assert left < points[..., 0].min() and points[..., 1].max() < high
