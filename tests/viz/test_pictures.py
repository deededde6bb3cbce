"""Pictures: pixels where the joints are, colours that tell sides, labels that are all there."""

import numpy as np
import pytest
from PIL import Image

from posejax.geometry.skeleton import J15, J17
from posejax.viz import figures, overlay, sheets


def test_limbs_are_drawn_where_they_are_in_their_side_s_colour():
  joints = np.full((1, 15, 2), np.nan)
  hip, knee = J15.index('r_hip'), J15.index('r_knee')
  joints[0, hip], joints[0, knee] = (10, 10), (30, 10)
  picture = overlay.draw_people(
    Image.new('RGB', (80, 40)), joints, np.isfinite(joints).all(-1), J15, scale=2
  )
  pixels = np.asarray(picture)
  assert tuple(pixels[21, 40]) == overlay.RIGHT  # (20, 10) of the image, centre at (20.5 · 2, ...)
  assert not pixels[30:].any() and not pixels[:, :15].any()  # nothing for joints that are nowhere
  sides = {overlay.side_color(J15, limb) for limb in J15.limbs}
  assert sides == {overlay.RIGHT, overlay.LEFT, overlay.MIDDLE}


def test_masks_and_maps():
  image = np.full((16, 16, 3), 100, np.uint8)
  mask = np.zeros((16, 16), int)
  mask[4:8] = 2
  tinted = overlay.tint_people(image, mask, strength=1.0)
  assert (tinted[5] == overlay.PERSON_COLORS[1]).all() and (tinted[0] == 100).all()
  heat = np.zeros((2, 2))
  heat[1, 0] = 1
  laid = overlay.overlay_heatmap(image, heat, color=(0, 255, 0))
  assert (laid[8:, :8] == (0, 255, 0)).all() and (laid[:8] == 70).all()
  field = np.zeros((2, 2, 2))
  field[0, 0] = (1, 0)  # to the right: hue 0, red
  laid = overlay.overlay_field(image, field)
  assert laid[0, 0, 0] > 200 > 100 > laid[0, 0, 1] and (laid[8:] == 70).all()


def test_sheets_hold_every_cell_and_refuse_wrong_labels():
  red, blue = Image.new('RGB', (20, 10), 'red'), Image.new('RGB', (20, 10), 'blue')
  sheet = np.asarray(sheets.sheet([[red, blue], [blue]], title='two', row_labels=['a', 'b']))
  assert (sheet == (255, 0, 0)).all(-1).sum() == 200
  assert (sheet == (0, 0, 255)).all(-1).sum() == 400
  with pytest.raises(ValueError, match='1 rows and 1 columns, but 2 row labels'):
    sheets.sheet([[red]], row_labels=['a', 'b'])
  with pytest.raises(ValueError, match='no pictures'):
    sheets.sheet([])


def test_the_world_shows_people_and_cameras():
  joints = np.random.default_rng(0).normal(size=(2, 17, 3)) * 300 + (0, 0, 1000)
  centers = np.array([[3000.0, 0, 1500]])
  empty = figures.world_figure(joints, np.zeros(2, bool), J17, centers[:0], size=(120, 120))
  full = figures.world_figure(joints, np.ones(2, bool), J17, centers, size=(120, 120))
  assert full.size == (120, 120)
  assert (np.asarray(full) != np.asarray(empty)).any(-1).sum() > 100
