"""Views of photographs: the maps by hand, the pixels against a slow integral of the same filter."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from posejax.data import letterbox, people_crops
from posejax.data.letterbox import View
from posejax.geometry import camera
from posejax.geometry.camera import Intrinsics


def slow_cut(pixels: np.ndarray, view: View, side: int) -> np.ndarray:
  """Each pixel of the view as the mean of the photograph, on a plane of 128, under a triangle."""
  height, width = pixels.shape[:2]
  reach = max(1 / float(view.scale), 1)
  margin = int(np.ceil(3 * reach + np.abs(view.corner).max() + side / float(view.scale)))
  plane = np.pad(
    pixels.astype(float), ((margin, margin), (margin, margin), (0, 0)), constant_values=128
  )

  def weights(count: int, edge: float) -> np.ndarray:
    middles = (np.arange(side) + 0.5) / float(view.scale) + edge
    places = np.arange(-margin, count + margin) + 0.5
    shares = np.maximum(0, 1 - np.abs(places - middles[:, None]) / reach)
    return shares / shares.sum(1, keepdims=True)

  columns, rows = weights(width, view.corner[0]), weights(height, view.corner[1])
  return np.einsum('ih,hwc,jw->ijc', rows, plane, columns)


def test_whole_by_hand():
  # 8 x 4 px to 4: the scale is 1/2, and 2 px of margin lie above in the photograph's px. The left
  # top pixel's middle (0, 0) is 0.5 from the left edge and 2.5 from the square's top edge: 0.25 and
  # 1.25 px of the view, minus the half = (-0.25, 0.75).
  view = letterbox.whole(8, 4, 4)
  np.testing.assert_allclose(view.corner, [0, -2])
  assert view.scale == 0.5
  np.testing.assert_allclose(
    letterbox.to_view(np.array([[0.0, 0.0], [7.0, 3.0]]), view), [[-0.25, 0.75], [3.25, 2.25]]
  )


@pytest.mark.parametrize('size', [(1, 1), (7, 3), (634, 324), (3, 500), (4000, 3001)])
def test_there_and_back(size):
  view = letterbox.whole(*size, 224)
  points = np.random.default_rng(0).uniform(-50, 4000, (20, 2))
  np.testing.assert_allclose(
    letterbox.to_photograph(letterbox.to_view(points, view), view), points, atol=1e-9
  )
  middle = (np.array(size) - 1) / 2
  np.testing.assert_allclose(letterbox.to_view(middle, view), [111.5, 111.5], atol=1e-9)
  back = letterbox.to_photograph(jnp.asarray(letterbox.to_view(points, view)), view)
  assert isinstance(back, jax.Array)
  np.testing.assert_allclose(back, points, atol=2e-3)


def test_projection_is_the_same_by_either_way():
  intrinsics = Intrinsics(np.array([800.0, 810.0]), np.array([300.0, 200.0]))
  view = View(np.array([40.25, -30.5]), np.float64(0.37))
  points = jnp.array([[100.0, 200.0, 2000.0], [-900.0, 40.0, 3500.0]])
  seen = letterbox.view_intrinsics(intrinsics, view)
  np.testing.assert_allclose(
    camera.project(points, seen),
    letterbox.to_view(camera.project(points, intrinsics), view), atol=1e-3,
  )
  back = letterbox.photograph_intrinsics(seen, view)
  np.testing.assert_allclose(back.focal, intrinsics.focal, rtol=1e-6)
  np.testing.assert_allclose(back.center, intrinsics.center, rtol=1e-5)


def test_the_assumed_camera_stays_the_assumed_camera():
  seen = letterbox.view_intrinsics(camera.fixed_intrinsics(640, 427), letterbox.whole(640, 427, 96))
  wanted = camera.fixed_intrinsics(96)
  np.testing.assert_allclose(seen.focal, wanted.focal, rtol=1e-6)
  np.testing.assert_allclose(seen.center, wanted.center, rtol=1e-6)


@pytest.mark.parametrize(
  ('size', 'view', 'side'),
  [
    ((8, 4), letterbox.whole(8, 4, 4), 4),
    ((13, 29), letterbox.whole(13, 29, 16), 16),  # smaller, whole factors do not fit
    ((5, 3), letterbox.whole(5, 3, 16), 16),  # larger
    ((1, 1), letterbox.whole(1, 1, 4), 4),
    ((40, 1), letterbox.whole(40, 1, 4), 4),  # thinner than a pixel of the view
    ((30, 20), View(np.array([4.3, -3.7]), np.float64(0.61)), 12),  # inside and beyond the top
    ((30, 20), View(np.array([-9.0, -9.0]), np.float64(0.2)), 12),  # all around it
  ],
)
def test_pixels_against_a_slow_integral(size, view, side):
  pixels = np.random.default_rng(1).integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
  got = letterbox.cut(pixels, view, side)
  assert got.shape == (side, side, 3)
  # Pillow rounds to whole numbers after each axis.
  np.testing.assert_allclose(got, slow_cut(pixels, view, side), atol=1.6)


def test_a_spot_of_a_large_photograph_lands_where_the_map_says():
  """Shrinking by whole factors first must not move anything."""
  pixels = np.full((1500, 2000, 3), 128, np.uint8)
  spot = np.array([1234.0, 321.0])
  pixels[321 - 30 : 321 + 31, 1234 - 30 : 1234 + 31] = 255
  view = letterbox.whole(2000, 1500, 96)
  weight = letterbox.cut(pixels, view, 96)[..., 0].astype(float) - 128
  rows, columns = np.mgrid[:96, :96]
  middle = np.array([(columns * weight).sum(), (rows * weight).sum()]) / weight.sum()
  np.testing.assert_allclose(middle, letterbox.to_view(spot, view), atol=0.03)


def test_a_view_beside_the_photograph_is_grey():
  got = letterbox.cut(np.zeros((5, 5, 3), np.uint8), View(np.array([50.0, 0.0]), np.float64(1)), 4)
  assert (got == letterbox.PAD).all()


@pytest.mark.parametrize(
  ('pixels', 'view', 'side'),
  [
    (np.zeros((4, 4), np.uint8), letterbox.whole(4, 4, 4), 4),
    (np.zeros((4, 4, 3), float), letterbox.whole(4, 4, 4), 4),
    (np.zeros((0, 4, 3), np.uint8), letterbox.whole(4, 4, 4), 4),
    (np.zeros((4, 4, 3), np.uint8), letterbox.whole(4, 4, 4), 0),
    (np.zeros((4, 4, 3), np.uint8), View(np.array([np.nan, 0]), np.float64(1)), 4),
    (np.zeros((4, 4, 3), np.uint8), View(np.zeros(2), np.float64(0)), 4),
  ],
)
def test_refuses_what_is_no_picture_or_no_view(pixels, view, side):
  with pytest.raises(ValueError, match='cut'):
    letterbox.cut(pixels, view, side)


def test_whole_refuses_nothing():
  with pytest.raises(ValueError, match='sides'):
    letterbox.whole(0, 5, 4)


# ---- views around people

CONFIG = people_crops.CropConfig(
  too_small=0.35, filled=0.6, smallest=0.4, most_zoom=2.0, most=8, least_joints=4,
)


def standing(x: float, y: float, height: float) -> np.ndarray:
  """(5, 2) px: a thin person whose box has its middle at (x, y)."""
  return np.array([
    [x - height / 10, y - height / 2], [x + height / 10, y - height / 4], [x, y],
    [x - height / 10, y + height / 4], [x + height / 10, y + height / 2],
  ])


def crops(*people: np.ndarray, size=(2000, 1000), side=200, config=CONFIG):
  view = letterbox.whole(*size, side)
  joints = letterbox.to_view(np.stack(people), view)
  return people_crops.people_crops(joints, np.ones(joints.shape[:2], bool), view, side, config)


def test_one_small_person_fills_what_the_config_says():
  # 300 px of 2000 are 0.15 of the square: too small. The view's side: 300 / 0.6 = 500 px, and its
  # middle that of the box, (700, 400): the left top edge at 700.5 - 250, 400.5 - 250.
  (crop,) = crops(standing(700, 400, 300))
  np.testing.assert_allclose(crop.view.scale, 200 / 500)
  np.testing.assert_allclose(crop.view.corner, [450.5, 150.5])
  assert crop.people == (0,)


def test_large_people_need_none():
  assert crops(standing(1000, 500, 710)) == []  # 0.355 of the square
  assert len(crops(standing(1000, 500, 690))) == 1  # 0.345


def test_near_people_share_a_view_and_far_ones_do_not():
  near, beside, far = standing(500, 400, 300), standing(650, 420, 280), standing(1700, 600, 300)
  both, alone = crops(near, far, beside)
  assert both.people == (0, 2)
  assert alone.people == (1,)
  for person in (near, beside):
    seen = letterbox.to_view(person, both.view)
    assert (seen > 0).all() and (seen < 199).all()
    assert np.ptp(seen[:, 1]) >= CONFIG.smallest * 200


def test_nobody_becomes_too_small_in_company():
  # Side by side in a row: all of them in one view would leave 300 / (1500 + 200) of it to each.
  row = [standing(200 + 250 * i, 500, 300) for i in range(7)]
  views = crops(*row)
  assert sorted(person for crop in views for person in crop.people) == list(range(7))
  for crop in views:
    for person in crop.people:
      seen = letterbox.to_view(row[person], crop.view)
      assert np.ptp(seen[:, 1]) >= CONFIG.smallest * 200 - 1e-6


def test_no_empty_enlargement_and_a_largest_number():
  (crop,) = crops(standing(700, 400, 30))
  assert crop.view.scale == CONFIG.most_zoom
  far = [standing(100 + 300 * i, 500, 60) for i in range(6)]
  few = crops(*far, config=dataclasses.replace(CONFIG, most=2))
  assert [crop.people for crop in few] == [(0,), (1,)]


def test_unseen_joints_are_not_read():
  view = letterbox.whole(2000, 1000, 200)
  joints = letterbox.to_view(standing(700, 400, 300), view)[None].repeat(3, 0)
  joints[0, 4] = np.nan
  joints[1, 4] = [1e6, -1e6]
  seen = np.ones((3, 5), bool)
  seen[1, 4] = False
  seen[2, 1:] = False  # one joint: no extent
  (crop,) = people_crops.people_crops(joints, seen, view, 200, CONFIG)
  assert crop.people == (0, 1)
  assert people_crops.people_crops(np.zeros((0, 5, 2)), np.zeros((0, 5)), view, 200, CONFIG) == []


def test_refuses_other_shapes_and_odd_settings():
  view = letterbox.whole(20, 10, 20)
  with pytest.raises(ValueError, match=r'\(P, J, 2\)'):
    people_crops.people_crops(np.zeros((2, 5, 3)), np.zeros((2, 5)), view, 20, CONFIG)
  with pytest.raises(ValueError, match='too_small'):
    dataclasses.replace(CONFIG, too_small=0.7)


def test_a_crop_is_the_photograph_enlarged():
  pixels = np.zeros((60, 90, 3), np.uint8)
  pixels[20:40, 30:50] = 200
  view = View(np.array([30.0, 20.0]), np.float64(2.0))
  got = letterbox.cut(pixels, view, 40)
  wanted = np.asarray(Image.fromarray(pixels).resize(
    (40, 40), Image.Resampling.BILINEAR, box=(30, 20, 50, 40)
  ))
  np.testing.assert_array_equal(got, wanted)
