"""Placement against loops in plain NumPy: visibility by real projections, first fit by a search."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.camera import Camera, Intrinsics
from posejax.synth import placement
from posejax.synth.scene_config import SceneConfig

FRAMES, CAMERAS, PEOPLE, PLACES, JOINTS = 3, 2, 4, 6, 17

jit_seen = jax.jit(placement.seen, static_argnums=3)
jit_place = jax.jit(placement.place, static_argnums=5)
jit_candidates = jax.jit(placement.candidate_places, static_argnums=4)


def test_turn_and_product_are_matrix_products():
  rng = np.random.default_rng(0)
  a, b = rng.normal(size=(2, 5, 4, 3, 3)).astype(np.float32)
  vectors = rng.normal(size=(5, 4, 7, 3)).astype(np.float32)
  np.testing.assert_allclose(
    placement.turn(vectors, a[:, :, None]), np.einsum('abij,abkj->abki', a, vectors), atol=1e-5
  )
  np.testing.assert_allclose(placement.product(a, b), a @ b, atol=1e-5)
  np.testing.assert_allclose(placement.product(a[:, :1], b[0]), a[:, :1] @ b[0], atol=1e-5)


def seen_by_hand(form, places, focal, center, config):
  """Projects every joint at every place and applies the rules one after the other."""
  kept = np.zeros((PEOPLE, PLACES), bool)
  margin = config.pelvis_margin * max(config.width, config.height)
  for p in range(PEOPLE):
    for k in range(PLACES):
      good_frames = 0
      for t in range(FRAMES):
        views = 0
        for c in range(CAMERAS):
          joints = form[t, c, p] + places[t, c, p, k]
          pixels = focal[t, c] * joints[:, :2] / joints[:, 2:] + center[t, c]
          inside = (joints[:, 2] > 0) & (pixels > -0.5).all(1)
          inside &= (pixels[:, 0] < config.width - 0.5) & (pixels[:, 1] < config.height - 0.5)
          x, y = pixels[0]
          views += (
            config.depth_mm[0] <= joints[0, 2] <= config.depth_mm[1]
            and margin - 0.5 <= x <= config.width - 0.5 - margin
            and margin - 0.5 <= y <= config.height - 0.5 - margin
            and inside.mean() >= config.min_joint_share
          )
        good_frames += views >= (config.min_views or config.num_cameras)
      kept[p, k] = good_frames / FRAMES >= config.min_frame_share
  return kept


@pytest.mark.parametrize(
  ('share', 'views', 'frames', 'margin'),
  [(0.7, 1, 0.5, 0.0), (0.4, 2, 0.3, 0.1), (0.0, 1, 1.0, 0.05), (1.0, 1, 0.6, 0.0)],
)
def test_visibility_is_what_projection_says(share, views, frames, margin):
  config = SceneConfig(
    width=160, height=120, num_cameras=CAMERAS, min_views=views, min_joint_share=share,
    min_frame_share=frames, pelvis_margin=margin, depth_mm=(1500.0, 6000.0),
  )
  rng = np.random.default_rng(1)
  form = rng.normal(0, 400, (FRAMES, CAMERAS, PEOPLE, JOINTS, 3))
  form[:, :, :, 0] *= 0.2
  # Places in and around the frustum, some behind the camera.
  depth = rng.uniform(-500, 7000, (1, 1, PEOPLE, PLACES, 1))
  places = np.concatenate([rng.uniform(-0.4, 0.4, (1, 1, PEOPLE, PLACES, 2)) * depth, depth], -1)
  places = places + rng.normal(0, 150, (FRAMES, CAMERAS, 1, 1, 3))
  focal = rng.uniform(120, 200, (FRAMES, CAMERAS, 2))
  center = np.array([79.5, 59.5]) + rng.uniform(-5, 5, (FRAMES, CAMERAS, 2))
  got = jit_seen(
    jnp.asarray(form, jnp.float32), jnp.asarray(places, jnp.float32),
    Intrinsics(jnp.asarray(focal, jnp.float32), jnp.asarray(center, jnp.float32)), config,
  )
  want = seen_by_hand(form, places, focal, center, config)
  assert want.any()
  assert not want.all()
  np.testing.assert_array_equal(got, want)


def first_fit_by_hand(places, allowed, path, pixels, points, config):
  """Tries the places in order, against those who already stand."""
  axes = 2 if config.placement == 'room' else 3
  taken = {}
  for p in range(PEOPLE):
    for k in range(PLACES):
      ok = allowed[p, k]
      for q, j in taken.items():
        for t in range(FRAMES):
          gap = path[t, p] + places[p, k] - path[t, q] - places[q, j]
          ok &= np.linalg.norm(gap[:axes]) >= config.min_pelvis_distance_mm
          mine, theirs = points[t, p] + places[p, k], points[t, q] + places[q, j]
          nearest = np.linalg.norm(mine[:, None] - theirs[None], axis=-1).min()
          ok &= nearest >= config.body_gap_mm
        apart = np.linalg.norm(pixels[:, p, k] - pixels[:, q, j], axis=-1)
        ok &= (apart >= config.min_pelvis_distance_px).all()
      if ok:
        taken[p] = k
        break
  return taken


@pytest.mark.parametrize('placing', ['room', 'frustum'])
@pytest.mark.parametrize(('millimetres', 'gap', 'pixels_apart'), [(900, 0, 0), (300, 250, 8)])
def test_first_fit_is_the_search_in_order(placing, millimetres, gap, pixels_apart):
  config = SceneConfig(
    placement=placing, min_pelvis_distance_mm=float(millimetres), body_gap_mm=float(gap),
    min_pelvis_distance_px=float(pixels_apart),
  )
  counts = []
  for seed in range(25):
    rng = np.random.default_rng(seed)
    places = rng.uniform(-800, 800, (PEOPLE, PLACES, 3)).astype(np.float32)
    path = rng.normal(0, 200, (FRAMES, PEOPLE, 3)).astype(np.float32)
    points = (path[:, :, None] + rng.normal(0, 150, (FRAMES, PEOPLE, 5, 3))).astype(np.float32)
    pixels = rng.uniform(0, 60, (FRAMES, PEOPLE, PLACES, 2)).astype(np.float32)
    allowed = rng.random((PEOPLE, PLACES)) < 0.7
    want = first_fit_by_hand(places, allowed, path, pixels, points, config)
    got = jit_place(
      places, allowed, path, pixels if pixels_apart else None, points if gap else None, config
    )
    np.testing.assert_array_equal(got.valid, [p in want for p in range(PEOPLE)])
    for p, k in want.items():
      np.testing.assert_array_equal(got.places[p], places[p, k])
    assert np.isfinite(got.places).all()
    counts.append(len(want))
  assert min(counts) < max(counts)  # both outcomes were met


def test_frustum_places_project_to_their_draws():
  config = SceneConfig(width=200, height=100, pelvis_margin=0.1, depth_mm=(2000.0, 4000.0))
  camera = Camera(
    Intrinsics(jnp.array([180.0, 180.0]), jnp.array([99.5, 49.5])),
    # World x right, y away, z up: the level camera of a world with z up.
    jnp.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]), jnp.array([10.0, 20.0, 30.0]),
  )
  draws = np.zeros((3, 1, 3), np.float32)
  draws[1] = 0.5
  draws[2, 0] = (0.25, 1.0, 0.75)
  places, fits = jit_candidates(draws, np.zeros(3), np.zeros((1, 3, 3)), camera, config)
  seen = np.einsum('ij,pkj->pki', camera.rotation, places) + np.asarray(camera.translation)
  pixels = 180 * seen[:, 0, :2] / seen[:, 0, 2:] + np.array([99.5, 49.5])
  # Margin 0.1 · 200 = 20 px: x spans 19.5..179.5 and y 19.5..79.5, depth 2000..4000.
  np.testing.assert_allclose(pixels, [[19.5, 19.5], [99.5, 49.5], [59.5, 79.5]], atol=1e-3)
  np.testing.assert_allclose(seen[:, 0, 2], [2000, 3000, 3500], atol=1e-3)
  assert fits.all()


def test_paths_stay_in_the_room_or_do_not_fit():
  config = SceneConfig(placement='room', room_mm=(4000.0, 2000.0))
  path = np.zeros((2, 3, 3), np.float32)
  path[:, 1, 0] = (-1500, 1500)  # fits: x is left with 1000 mm of freedom
  path[:, 2, 1] = (-1500, 1500)  # 3000 mm along y do not fit in 2000
  draws = np.random.default_rng(3).random((3, 50, 3)).astype(np.float32)
  camera = Camera(Intrinsics(jnp.ones(2), jnp.ones(2)), jnp.eye(3), jnp.zeros(3))
  heights = np.array([900.0, 800.0, 100.0], np.float32)
  places, fits = jit_candidates(draws, heights, path, camera, config)
  np.testing.assert_array_equal(fits, [True, True, False])
  np.testing.assert_array_equal(places[..., 2], np.broadcast_to(heights[:, None], (3, 50)))
  for p, half_x in ((0, 2000), (1, 500)):
    assert np.abs(places[p, :, 0]).max() <= half_x + 1e-2
    assert np.abs(places[p, :, 0]).max() > 0.9 * half_x
    assert np.abs(places[p, :, 1]).max() <= 1000 + 1e-2


def test_forms_of_the_border_are_zero_on_the_pixel_edges():
  config = SceneConfig(width=64, height=48)
  intrinsics = Intrinsics(jnp.array([60.0, 50.0]), jnp.array([31.5, 20.0]))
  forms = functools.partial(placement.border_distances, intrinsics=intrinsics, config=config)
  corner = lambda x, y: jnp.array([(x - 31.5) / 60, (y - 20.0) / 50, 1.0]) * 3000  # noqa: E731
  # (-0.5, -0.5) is on the left and top edges, (63.5, 47.5) on the right and bottom ones.
  np.testing.assert_allclose(forms(corner(-0.5, -0.5)), [0, 64 * 3000, 0, 48 * 3000], atol=0.05)
  np.testing.assert_allclose(forms(corner(63.5, 47.5)), [64 * 3000, 0, 48 * 3000, 0], atol=0.05)
  inside = placement.joints_inside(
    jnp.stack([corner(-0.4, 0), corner(-0.6, 0), corner(5, 47.4), corner(5, 47.6), -corner(5, 5)]),
    intrinsics, config,
  )
  np.testing.assert_array_equal(inside, [True, False, True, False, False])
