"""Ids over time: people who cross, who vanish for a while, who come and go."""

import numpy as np
import pytest

from posejax.geometry.skeleton import J15
from posejax.inference import bones, tracking
from posejax.inference import scene as scene_lib
from posejax.inference.tracking import Settings
from tests.inference import scenes


def ids(tracked):
  """For each frame its ids by position from left to right."""
  found = [[] for _ in tracked.frames]
  for row in scene_lib.rows(tracked):
    found[row.frame].append((row.joints_camera[0, 0], row.identity))
  return [[identity for _, identity in sorted(mine)] for mine in found]


def walk(t, start, speed, depth):
  return (start + speed * t / 30, 0, depth)


def test_people_who_cross_keep_their_ids():
  """Side by side at frame 30, 300 mm apart in depth; the detector's order changes all the time."""
  frames = []
  for t in range(60):
    both = [scenes.row(t, walk(t, -1000, 1000, 3000)), scenes.row(t, walk(t, 1000, -1000, 3300))]
    frames.append(both if t % 2 else both[::-1])
  found = ids(tracking.track(scenes.scene(frames)))
  assert found[0] == found[29] and found[0] == found[31][::-1] == found[59][::-1]
  assert sorted(found[0]) == [1, 2]


def test_people_at_one_depth_are_told_apart_by_where_they_go():
  """They pass through each other: 33 mm a frame each, so nearest neighbours would swap."""
  frames = [
    [scenes.row(t, walk(t, -983, 1000, 3000)), scenes.row(t, walk(t, 983, -1000, 3000))]
    for t in range(60)
  ]
  found = ids(tracking.track(scenes.scene(frames)))
  assert found[0] == found[-1][::-1]


def test_a_gap_is_bridged_by_a_body_of_the_same_size():
  turned = scenes.standing() @ np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0.0]])
  frames = [[scenes.row(0, (0, 0, 3000), score=0.5)._replace(uncertainty=20.0)], [], [],
            [scenes.row(3, (300, 0, 3300), turned, score=0.8)._replace(uncertainty=50.0)]]
  tracked = tracking.track(scenes.scene(frames))
  rows = scene_lib.rows(tracked)
  assert [row.identity for row in rows] == [1] * 4
  assert [row.bridged for row in rows] == [False, True, True, False]
  np.testing.assert_allclose(rows[1].joints_camera[0], (100, 0, 3100))
  np.testing.assert_allclose(rows[2].joints_camera[0], (200, 0, 3200))
  assert rows[1].depth == pytest.approx(3100) and rows[1].score == 0.5
  assert [row.uncertainty for row in rows] == [20, 50, 50, 50]
  sizes = [np.linalg.norm(bones.split(row.joints_camera[None], J15)[0, 1:], axis=-1)
           for row in rows]
  np.testing.assert_allclose(sizes[1], sizes[0], rtol=1e-6)


@pytest.mark.parametrize(('missing', 'expected'), [(15, 1), (17, 2)])
def test_who_is_away_too_long_is_a_newcomer(missing, expected):
  """Half a second is 15 frames at 30 a second."""
  frames = [[scenes.row(0, (0, 0, 3000))], *([[]] * missing),
            [scenes.row(missing + 1, (0, 0, 3000))]]
  tracked = tracking.track(scenes.scene(frames), Settings(longest_gap=0.5))
  assert scene_lib.rows(tracked)[-1].identity == expected
  assert sum(row.bridged for row in scene_lib.rows(tracked)) == (missing if expected == 1 else 0)


def test_newcomers_get_ids_that_nobody_had():
  frames = [
    [scenes.row(0, (0, 0, 3000))],
    [scenes.row(1, (0, 0, 3000)), scenes.row(1, (1500, 0, 4000))],
    [scenes.row(2, (1500, 0, 4000))],
    [scenes.row(3, (1500, 0, 4000)), scenes.row(3, (-2500, 0, 5000))],
  ]
  assert ids(tracking.track(scenes.scene(frames))) == [[1], [1, 2], [2], [3, 2]]


def test_a_cut_ends_all_tracks():
  frames = [[scenes.row(0, (0, 0, 3000))], [scenes.row(1, (2000, 0, 3000))]]
  assert ids(tracking.track(scenes.scene(frames))) == [[1], [2]]


def test_depth_is_trusted_less():
  """600 mm of depth is within the gate of 450, 600 mm sideways is not."""
  for place, expected in (((0, 0, 3600), 1), ((600, 0, 3000), 2)):
    frames = [[scenes.row(0, (0, 0, 3000))], [scenes.row(1, place)]]
    assert ids(tracking.track(scenes.scene(frames)))[1] == [expected]


def test_a_wrong_depth_loses_nobody():
  """As one of the shared videos had it, at 30 frames a second: followed by its velocity alone the
  person would be expected 1 m too far away."""
  depths = [4600, 4620, 5150, 4440, 4600]
  frames = [[scenes.row(t, (10 * t, 0, z))] for t, z in enumerate(depths)]
  assert ids(tracking.track(scenes.scene(frames))) == [[1]] * len(depths)


def test_joints_that_one_side_lacks_do_not_count():
  wild = scenes.standing()
  wild[8] = 1e5
  valid = np.ones(15, bool)
  valid[8] = False
  frames = [[scenes.row(0, (0, 0, 3000))], [scenes.row(1, (0, 0, 3000), wild, valid=valid)]]
  assert ids(tracking.track(scenes.scene(frames))) == [[1], [1]]


def test_the_cheapest_pairs_together():
  """Greedy takes 100 first and leaves 500 beyond the gate; together 300 + 200 is what fits."""
  expected = [scenes.standing() + (x, 0, 3000) for x in (0, 300)]
  people = [scenes.row(0, (200, 0, 3000)), scenes.row(0, (500, 0, 3000))]
  assert tracking.assign(expected, people, [400, 400], 1.0) == {0: 0, 1: 1}
