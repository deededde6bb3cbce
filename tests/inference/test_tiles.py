"""Parts of a photograph beside the whole: where they lie, and that everybody comes out once.

Pictures are 1000 px wide; the network's side is 100 px, so level 1 has scale 0.1, level 2 0.2.
"""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from posejax import infer
from posejax.geometry.skeleton import skeleton
from posejax.inference import scene as scene_lib
from posejax.inference import schema, tiles
from posejax.methods.base import People
from tests.inference import toy_run

SIDE, WIDTH, HEIGHT = 100, 1000, 800
# Somebody of height 1: root, head, feet.
SHAPE = np.array([(0, 0), (0.1, -0.5), (-0.1, 0.5)])
BODY = skeleton('body', (('root', ''), ('head', 'root'), ('feet', 'root')))


@given(st.integers(256, 900), st.integers(1, 900), st.sampled_from(tiles.LEVELS), st.data())
def test_whoever_is_half_as_large_as_a_square_is_whole_in_one(width, height, level, data):
  (whole,), *finer = tiles.views(width, height, 64, level)
  assert len(finer) == tiles.LEVELS.index(level)
  extent = max(width, height) / level
  np.testing.assert_allclose(64 / whole.scale, max(width, height))
  half = extent / 2
  low = np.array([
    data.draw(st.floats(0, max(total - half, 0))) for total in (width, height)
  ])
  high = np.minimum(low + half, [width, height])
  views = finer[-1] if finer else [whole]
  assert any(
    (view.corner <= low + 1e-9).all() and (view.corner + 64 / view.scale >= high - 1e-9).all()
    for view in views
  )


def person(x, y, tall, score=0.9):
  return np.array([x, y]) + tall * SHAPE, score


def seen(*views):
  """People (B, P, ...) of lists of persons; others are padding."""
  most = max(1, *(len(found) for found in views))
  joints, score = np.zeros((len(views), most, 3, 2)), np.zeros((len(views), most))
  valid = np.zeros((len(views), most), bool)
  for b, found in enumerate(views):
    for p, (points, sure) in enumerate(found):
      joints[b, p], score[b, p], valid[b, p] = points, sure, True
  space = np.concatenate([joints, joints[..., :1]], -1)
  return People(
    np.zeros(valid.shape, np.int32), score, joints, space, space, joints[..., 0, 1],
    np.broadcast_to(valid[..., None], (*valid.shape, 3)), valid,
  )


def merged(whole, parts):
  """Of the whole, and of level 2: place of a square → persons."""
  views = tiles.views(WIDTH, HEIGHT, SIDE, 2)
  corners = [tuple(view.corner) for view in views[1]]
  assert set(parts) <= set(corners)
  people = tiles.merge(
    [seen(whole), seen(*(parts.get(corner, []) for corner in corners))], views, SIDE, BODY
  )
  assert people.valid.all() and people.identity.tolist() == list(range(len(people.valid)))
  return people


# Level 2 of 1000 x 800: squares of 500 px from x = 0, 250, 500 and y = 0, 150, 300.
SMALL, LARGE = person(300, 300, 200), person(600, 400, 600)
# The lower half of the large one, taken for somebody: within 0.05 of her limbs.
HALF = person(600 - 30, 400 + 150, 280, 0.95)


@pytest.mark.parametrize(('whole', 'parts', 'expected'), [
  ([], {}, []),
  ([LARGE], {}, [LARGE]),
  # 0.2 of the whole, 0.4 of a part: seen a bit elsewhere there, and in two of them; in the first it
  # is 199 px from an edge, in the second 52.
  ([SMALL], {(0, 0): [person(302, 301, 198, 0.5)], (0, 150): [person(303, 300, 200, 0.6)]},
   [person(302, 301, 198, 0.5)]),
  ([LARGE], {(500, 300): [HALF]}, [LARGE]),
  # Whole in one part, and half of her in the next, nearer its edge, of a larger score.
  ([], {(0, 0): [SMALL], (250, 150): [person(290, 350, 90, 0.95)]}, [SMALL]),
  # A smaller one beside the large one is another, and one whose limbs cross hers.
  ([LARGE], {(0, 0): [SMALL]}, [LARGE, SMALL]),
  ([LARGE], {(500, 150): [person(700, 450, 200)]}, [LARGE, person(700, 450, 200)]),
  # Two of one view are two, however near.
  ([LARGE, person(620, 410, 590, 0.5)], {}, [LARGE, person(620, 410, 590, 0.5)]),
  # Who reaches beyond a part's edge is cut off there.
  ([], {(0, 0): [person(300, 450, 200)]}, []),
  # Too small for both: as the finer one says.
  ([person(300, 300, 50)], {(0, 0): [person(301, 300, 52)]}, [person(301, 300, 52)]),
  # Too small for the whole, missed in its parts.
  ([SMALL], {}, [SMALL]),
  # A score that is larger goes first in the whole.
  ([person(600, 400, 600, 0.3), person(100, 400, 600, 0.8)], {},
   [person(100, 400, 600, 0.8), person(600, 400, 600, 0.3)]),
])
def test_everybody_once(whole, parts, expected):
  people = merged(whole, parts)
  assert people.score.tolist() == [score for _, score in expected]
  for joints, (points, _) in zip(people.joints_2d, expected, strict=True):
    np.testing.assert_array_equal(joints, points)


@given(st.floats(0.03, 0.97), st.floats(0.03, 0.97), st.floats(0.02, 0.9))
def test_a_network_that_makes_no_error_gives_everybody_once(x, y, tall):
  """Wherever and however large one person is, if every view gives whom it holds whole."""
  tall = tall * min(HEIGHT, WIDTH)
  points = np.array([x * WIDTH, y * HEIGHT]) + tall * SHAPE
  views = tiles.views(WIDTH, HEIGHT, SIDE, 4)

  def holds(view):
    shown = (points + 0.5 - view.corner) * view.scale
    return [(points, 0.9)] if ((shown >= 0) & (shown <= SIDE)).all() else []

  levels = [seen(*map(holds, mine)) for mine in views]
  found = tiles.merge(levels, views, SIDE, BODY)
  assert len(found.valid) == any(level.valid.any() for level in levels)


def test_what_the_network_would_see_enlarged_too_much_is_left_out():
  sizes = {64: 2, 128: 3, 63: 1, 33: 1}
  for width, levels in sizes.items():
    assert len(tiles.views(width, width, 64, 8)) == levels, width


def test_a_small_person_is_found_in_a_part(tmp_path, monkeypatch):
  """Red of 6 px is less than a pixel of the whole picture's view, and more in a part of a quarter:
  its squares of 400 px begin each 200 px along x, the last one at 1200."""
  monkeypatch.setattr(infer, 'METHODS', {'toy': toy_run.METHOD})
  run = toy_run.finish(tmp_path / 'run')
  pixels = toy_run.photograph(1600, 1000, 1400, 500, radius=6)
  Image.fromarray(pixels).save(tmp_path / 'a.png')

  def found(level):
    out = tmp_path / f'out{level}'
    options = infer.Options(run, tmp_path / 'a.png', out, pictures=False, tiles=level)
    assert infer.run(options) == 0
    return scene_lib.rows(schema.load(out / 'a.png.json'))

  assert not found(1)
  (row,) = found(4)
  np.testing.assert_allclose(row.joints_2d[0], (1400 - 0.5, 500 - 0.5), atol=7)
  # The toy's depth is of a camera as wide as the part, a quarter of the picture's.
  assert row.depth == pytest.approx(4 * toy_run.DEPTH) and row.identity == 1
  predictor = infer.load(run, tiles=4)
  people = predictor(np.stack([pixels, np.full_like(pixels, 90)]))
  assert people.valid.sum(1).tolist() == [1, 0]
  assert predictor(pixels[None][:0]).valid.shape[0] == 0
