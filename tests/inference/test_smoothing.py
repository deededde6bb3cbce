"""One-Euro: a rest stays, a step is reached, jitter goes, bodies keep their size."""

import dataclasses
import math

import numpy as np
import pytest

from posejax.geometry.skeleton import J15
from posejax.inference import bones, smoothing
from posejax.inference import scene as scene_lib
from posejax.inference.smoothing import OneEuro
from tests.inference import scenes


def noisy(frames=40, size=15.0, seed=0):
  rng = np.random.default_rng(seed)
  return scenes.scene([
    [scenes.row(t, (10 * t, 0, 3000), scenes.standing() + rng.normal(size=(15, 3)) * size,
                identity=4)]
    for t in range(frames)
  ])


def test_a_constant_stays():
  values = np.full((9, 2, 3), 7.0)
  np.testing.assert_array_equal(OneEuro()(values, 1 / 30), values)


def test_the_first_steps_by_hand():
  """f_min 1 Hz, β 0, dt 1 s: α = 1 / (1 + 1 / 2π) = 0.8627. From 0 to 10 twice: 8.627, then
  8.627 + 0.8627 · 1.373 = 9.811."""
  values = np.zeros((3, 1, 3))
  values[1:, 0, 0] = 10
  out = OneEuro(1.0, 0.0)(values, 1.0)[:, 0, 0]
  np.testing.assert_allclose(out, [0, 8.6270, 9.8115], atol=1e-3)


def test_a_step_is_reached_and_never_passed():
  values = np.zeros((200, 1, 3))
  values[1:] = 100.0
  out = OneEuro()(values, 1 / 30)
  assert (np.diff(out[:, 0, 0]) > -1e-9).all() and out.max() < 100 + 1e-9
  np.testing.assert_allclose(out[-1], 100, atol=1e-6)


def test_uneven_times():
  """Equal steps given as a list change nothing; a step that takes longer is followed more."""
  values = np.random.default_rng(0).normal(size=(6, 2, 3))
  np.testing.assert_array_equal(OneEuro()(values, np.full(5, 0.1)), OneEuro()(values, 0.1))
  # By hand, f_min 1 Hz, β 0: α = 1 / (1 + 1 / (2π · dt)), dt 1 and then 2 s.
  values = np.zeros((3, 1, 3))
  values[1:, 0, 0] = 10
  out = OneEuro(1.0, 0.0)(values, np.array([1.0, 2.0]))[:, 0, 0]
  second = 8.6270 + (10 - 8.6270) / (1 + 1 / (4 * math.pi))
  np.testing.assert_allclose(out, [0, 8.6270, second], atol=1e-3)


def test_steady_motion_at_uneven_times_has_no_acceleration():
  """300 mm/s, of which every frame's time is its own: what a video with lost frames gives."""
  times = [0.0, 0.1, 0.2, 0.5, 0.6, 1.0]
  scene = scenes.scene([
    [scenes.row(t, (300 * time, 0, 3000), identity=1)] for t, time in enumerate(times)
  ], fps=10.0)
  scene = dataclasses.replace(scene, frames=tuple(
    frame._replace(time=time) for frame, time in zip(scene.frames, times, strict=True)
  ))
  found = smoothing.acceleration(scene)
  assert found.camera_mm_per_s2 == pytest.approx(0, abs=1e-6) and found.triples == 4
  # Second differences (0, 60, -60, 90) mm along x.
  assert found.camera_mm_per_frame2 == pytest.approx(52.5)
  settings = OneEuro(1.0, 0.0)
  got = [row.joints_camera[0, 0] for row in scene_lib.rows(smoothing.smooth(scene, settings))]
  wanted = [0.0]
  for time, before in zip(times[1:], times, strict=False):
    alpha = 1 / (1 + 1 / (2 * math.pi * (time - before)))
    wanted.append(alpha * 300 * time + (1 - alpha) * wanted[-1])
  np.testing.assert_allclose(got, wanted, atol=1e-6)


def test_fast_motion_lags_less():
  def lag(beta, speed):
    values = np.arange(90)[:, None, None] / 30 * np.array([speed, 0, 0])
    return (values - OneEuro(1.0, beta)(values, 1 / 30))[-1, 0, 0] / speed

  assert lag(0.01, 2000) < 0.4 * lag(0.01, 100) and lag(0.0, 2000) == pytest.approx(lag(0.0, 100))


def test_what_is_not_finite_is_left_alone():
  values = np.ones((5, 2, 3))
  values[2, 0] = np.nan
  values[0, 1] = np.nan
  out = OneEuro()(values, 1 / 30)
  assert np.isnan(out[2, 0]).all() and np.isnan(out[0, 1]).all()
  assert np.isfinite(np.delete(out[:, 0], 2, 0)).all() and (out[1:, 1] == 1).all()


def test_jitter_goes_and_bodies_keep_their_size():
  before = noisy()
  after = smoothing.smooth(before)
  first, second = smoothing.acceleration(before), smoothing.acceleration(after)
  assert second.camera_mm_per_s2 < 0.5 * first.camera_mm_per_s2
  assert second.relative_mm_per_s2 < 0.5 * first.relative_mm_per_s2
  old, new = (
    np.linalg.norm(bones.split(np.stack([
      row.joints_camera for row in scene_lib.rows(one)
    ]), J15)[:, 1:], axis=-1) for one in (before, after)
  )
  np.testing.assert_allclose(new, np.broadcast_to(np.median(old, 0), new.shape), rtol=1e-6)
  for new in scene_lib.rows(after):
    assert new.identity == 4 and new.depth == pytest.approx(new.joints_camera[0, 2])
    np.testing.assert_allclose(new.joints_relative, new.joints_camera - new.joints_camera[0])
    # The image points follow: these of `noisy` are exact projections, before and after.
    lens = scenes.LENS
    image = new.joints_camera[:, :2] / new.joints_camera[:, 2:] * lens.focal + lens.center
    np.testing.assert_allclose(new.joints_2d, image, atol=1e-6)


def test_acceleration_by_hand():
  """x = 3 t² mm a frame: second difference 6 mm/frame²; at 10 frames/s 600 mm/s². A body that
  moves as a whole has none from its root."""
  frames = [[scenes.row(t, (3.0 * t * t, 0, 3000))] for t in range(5)]
  found = smoothing.acceleration(scenes.scene(frames, fps=10.0))
  assert found.camera_mm_per_frame2 == pytest.approx(6)
  assert found.camera_mm_per_s2 == pytest.approx(600)
  assert found.relative_mm_per_s2 == pytest.approx(0, abs=1e-6) and found.triples == 3


def test_no_three_frames_no_figure():
  found = smoothing.acceleration(scenes.scene([[scenes.row(0, (0, 0, 3000))], []]))
  assert math.isnan(found.camera_mm_per_s2) and found.triples == 0


def test_a_gap_starts_anew():
  frames = [[scenes.row(0, (0, 0, 3000))], [], [scenes.row(2, (500, 0, 3000))]]
  rows = scene_lib.rows(smoothing.smooth(scenes.scene(frames)))
  np.testing.assert_allclose(rows[1].joints_camera[0], (500, 0, 3000))
