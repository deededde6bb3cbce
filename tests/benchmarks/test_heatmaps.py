import numpy as np
import pytest

from posejax.benchmarks import harness, heatmaps, numpy_grouping, numpy_heatmaps
from posejax.geometry.skeleton import J15
from tests.heatmaps import reference_grouping


@pytest.fixture(scope='module')
def maps():
  joints, visible = heatmaps.people(3, 3, 4)
  return joints, visible, numpy_heatmaps.render_vectorized(joints, visible, J15.limbs, (28, 28))


def test_both_numpy_renderers_agree(maps):
  joints, visible, (heat, pafs) = maps
  for i in range(3):
    loop = numpy_heatmaps.render_loop(joints[i], visible[i], J15.limbs, (28, 28))
    heatmaps.require_same_maps(loop, (heat[i], pafs[i]))


def test_both_numpy_decoders_find_what_the_tests_reference_finds(maps):
  heat, pafs = maps[2]
  batch = numpy_grouping.decode_vectorized(heat, pafs, J15.limbs)
  for i in range(3):
    wanted = reference_grouping.group(heat[i], pafs[i], J15.limbs)
    assert len(wanted) >= 2
    for found in (batch[i], numpy_grouping.decode_loop(heat[i], pafs[i], J15.limbs)):
      assert len(found) == len(wanted)
      for (joints, visible, score), (joints_w, scores_w, score_w) in zip(
        found, wanted, strict=True
      ):
        np.testing.assert_array_equal(visible, scores_w > 0)
        np.testing.assert_allclose(joints, joints_w, atol=1e-2)
        np.testing.assert_allclose(score, score_w, atol=1e-3)


def test_empty_images_have_no_people():
  heat, pafs = np.zeros((1, 8, 8, 15), np.float32), np.zeros((1, 8, 8, 28), np.float32)
  assert numpy_grouping.decode_vectorized(heat, pafs, J15.limbs) == [[]]
  assert numpy_grouping.decode_loop(heat[0], pafs[0], J15.limbs) == []


def test_wrong_output_is_no_rate(maps):
  heat, pafs = maps[2]
  with pytest.raises(AssertionError, match='cells differ'):
    heatmaps.require_same_maps((heat, pafs), (heat, np.where(pafs > 0.9, 0, pafs)))
  with pytest.raises(AssertionError, match='cells differ'):
    heatmaps.require_same_maps((heat,), (np.where(heat > 0.9, np.nan, heat),))


def test_rows():
  rows = list(heatmaps.rows(quick=True))
  assert all(isinstance(row, harness.Row) and row.rate > 0 for row in rows)
  assert len({row.name for row in rows}) == len(rows)
  drawing, scenes, *_, finding = rows
  for row in (drawing, finding):
    assert row.loop > 0 and row.vectorized > 0 and row.target and row.reached is not None
  assert '8,000' in scenes.target and drawing.unit == scenes.unit == 'scenes'
  assert finding.unit == 'images'
