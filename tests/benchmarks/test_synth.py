"""The benchmark's NumPy sides do the same work; equality is checked before a rate is taken."""

import numpy as np
import pytest

from posejax.benchmarks import numpy_synth, synth
from posejax.geometry import limits
from posejax.geometry.skeleton import J17


def test_poses_twice_are_the_same():
  uniform = np.random.default_rng(0).random((50, len(numpy_synth.drawn_joints(J17)), 2))
  np.testing.assert_allclose(
    numpy_synth.poses_loop(uniform, limits.PAPER, J17),
    numpy_synth.poses_vectorized(uniform, limits.PAPER, J17), atol=1e-12,
  )


def test_hits_by_hand():
  # A sphere of radius 1 at depth 5: the axis meets it at 4, w = 1/4; cut at half its depth (planes
  # along z from 0.5 on) at 5.5; a ray at 45° misses it; disabled it is nowhere.
  sphere = (np.array([[0.0, 0, 5]]), np.eye(3)[None])
  whole = (*sphere, np.array([-1.0]), np.array([1.0]), np.array([True]))
  cut = (*sphere, np.array([0.5]), np.array([1.0]), np.array([True]))
  rays = np.array([[0.0, 0, 1], [1.0, 0, 1]])
  for hits in (numpy_synth.hits_loop, numpy_synth.hits_vectorized):
    np.testing.assert_allclose(hits(whole, rays), [1 / 4, 0])
    np.testing.assert_allclose(hits(cut, rays), [1 / 5.5, 0])
    np.testing.assert_allclose(hits((*whole[:4], np.array([False])), rays), [0, 0])


def test_equality_is_demanded():
  synth.require_same_hits(np.ones(400), np.ones(400))
  with pytest.raises(AssertionError, match='3 of 400 rays differ'):
    synth.require_same_hits(np.ones(400), np.r_[np.zeros(3), np.ones(397)])


def test_the_cheap_rows_run():
  for row in (synth._pose_row(64, 0.02), synth._ray_row(8, 0.02)):
    assert row.rate > 0 and row.loop > 0 and row.vectorized > 0
