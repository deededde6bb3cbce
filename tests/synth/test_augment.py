"""T_s: images and points go the same way, as SciPy's affine transform has it."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage

from posejax.geometry.skeleton import J15
from posejax.synth import augment
from posejax.synth.augment import Transform

SIZE = (24, 32)
IMAGE = np.random.default_rng(0).uniform(size=(*SIZE, 3)).astype(np.float32)
TRANSFORMS = [
  Transform(np.bool_(flip), np.float32(angle), np.float32(zoom), np.float32(shift))
  for flip, angle, zoom, shift in (
    (False, 0.0, 1.0, (0, 0)), (True, 0.0, 1.0, (0, 0)), (False, 0.4, 1.3, (2, -3)),
    (True, -1.0, 0.7, (-4, 1)),
  )
]
image_of = jax.jit(augment.transform_image)
points_of = jax.jit(augment.transform_points, static_argnums=2)


@pytest.mark.parametrize('transform', TRANSFORMS)
def test_images_against_scipy(transform):
  cosine, sine = np.cos(transform.angle), np.sin(transform.angle)
  flip = np.diag([-1.0 if transform.flip else 1.0, 1.0])
  forward = transform.zoom * np.array([[cosine, -sine], [sine, cosine]]) @ flip
  middle = np.array([15.5, 11.5])
  inverse = np.linalg.inv(forward)  # in (x, y); SciPy wants (row, column)
  offset = middle - inverse @ (middle + transform.shift)
  expected = np.stack([
    scipy.ndimage.affine_transform(
      IMAGE[..., c], inverse[::-1, ::-1], offset[::-1], order=1, mode='grid-constant', cval=0.5
    ) for c in range(3)
  ], -1)
  np.testing.assert_allclose(image_of(IMAGE, transform), expected, atol=2e-4)


@pytest.mark.parametrize('transform', TRANSFORMS)
def test_points_go_with_the_image(transform):
  point = np.array([[19.0, 9.0]], np.float32)
  image = np.zeros((*SIZE, 1), np.float32)
  image[9, 19] = 1
  moved = np.asarray(image_of(image, transform, 0.0))[..., 0]
  y, x = np.mgrid[: SIZE[0], : SIZE[1]]
  centroid = np.array([(moved * x).sum(), (moved * y).sum()]) / moved.sum()
  np.testing.assert_allclose(points_of(point, transform, SIZE)[0], centroid, atol=0.35)


def test_by_hand():
  # (20, 11.5) is 4.5 right of the middle (15.5, 11.5). Flipped 4.5 left, turned by 90° (right to
  # down, so left to up) 4.5 up, zoomed 9 up, shifted by (1, 2): (16.5, 4.5).
  transform = Transform(np.bool_(True), np.float32(np.pi / 2), np.float32(2), np.float32((1, 2)))
  got = points_of(np.float32([[20, 11.5]]), transform, SIZE)
  np.testing.assert_allclose(got, [[16.5, 4.5]], atol=1e-5)


def test_draws_stay_in_range_and_flip_half_the_time():
  keys = jax.random.split(jax.random.key(0), 500)
  drawn = jax.vmap(
    lambda key: augment.sample_transform(key, SIZE, turn_deg=30, zoom=(0.8, 1.5), shift=0.1)
  )(keys)
  assert 0.4 < np.mean(drawn.flip) < 0.6
  assert np.abs(drawn.angle).max() <= np.deg2rad(30) and np.abs(drawn.angle).max() > 0.5
  assert drawn.zoom.min() >= 0.8 and drawn.zoom.max() <= 1.5
  assert np.abs(drawn.shift).max(0)[0] <= 3.2 and np.abs(drawn.shift).max(0)[1] <= 2.4


def test_sides_swap_with_a_flip():
  rows = jnp.arange(15)
  np.testing.assert_array_equal(augment.swap_sides(rows, np.bool_(False), J15), rows)
  swapped = augment.swap_sides(rows, np.bool_(True), J15)
  assert J15.joints[int(swapped[J15.index('r_wrist')])] == 'l_wrist'
  np.testing.assert_array_equal(augment.swap_sides(swapped, np.bool_(True), J15), rows)


def test_colors_stay_in_range_and_nothing_drawn_changes_nothing():
  key = jax.random.key(1)
  got = augment.jitter_colors(key, IMAGE, 0.3, 0.4, 0.2)
  assert got.min() >= 0 and got.max() <= 1 and np.abs(got - IMAGE).max() > 0.05
  np.testing.assert_allclose(augment.jitter_colors(key, IMAGE, 0.0, 0.0, 0.0), IMAGE, atol=1e-6)


def test_wrong_shapes():
  with pytest.raises(ValueError, match=r'transform_image: image must have shape \(H, W, C\)'):
    augment.transform_image(IMAGE[None], TRANSFORMS[0])
  with pytest.raises(ValueError, match='transform_points: points must have shape'):
    augment.transform_points(np.zeros(2), TRANSFORMS[0], SIZE)
