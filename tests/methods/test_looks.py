"""Several looks of a teacher, with a network in its place whose maps are known by hand."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.skeleton import J15
from posejax.methods.crossmodal import looks as looks_lib
from posejax.methods.crossmodal.looks import Looks

SIDE, STRIDE = 64, 8
R_WRIST, L_WRIST = J15.index('r_wrist'), J15.index('l_wrist')
R_ARM, L_ARM = (
  J15.limbs.index((J15.index(f'{side}_shoulder'), J15.index(f'{side}_elbow'))) for side in 'rl'
)


class Means:
  """Red's mean over a cell is the right wrist's heat-map, green's the left one's; blue's is x of
  the right upper arm, and of the limb from pelvis to neck."""

  layout = SimpleNamespace(parts=J15)

  def __init__(self):
    self.sizes = []

  def encode(self, images):
    self.sizes.append(images.shape[:2])
    return images, None

  def decode(self, v, skip):
    count, side = v.shape[:2]
    cells = side // STRIDE
    mean = v.reshape(count, cells, STRIDE, cells, STRIDE, 3).mean((2, 4))
    heat = jnp.zeros((count, cells, cells, J15.num_joints))
    heat = heat.at[..., R_WRIST].set(mean[..., 0]).at[..., L_WRIST].set(mean[..., 1])
    paf = jnp.zeros((count, cells, cells, 2 * J15.num_limbs))
    return heat, paf.at[..., 0].set(mean[..., 2]).at[..., 2 * R_ARM].set(mean[..., 2])


@pytest.fixture
def pictures():
  """(2, 64, 64, 3): colours that grow along x and y, at other rates."""
  y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
  one = np.stack([x + 2 * y, 3 * x, 100 - x + y], -1)
  return jnp.asarray(np.stack([one, one[::-1] + 5]))


def means(pictures):
  return np.asarray(pictures).reshape(2, 8, 8, 8, 8, 3).mean((2, 4))


def test_one_look_is_the_network_alone(pictures):
  network = Means()
  heat, paf = looks_lib.maps(network, pictures)
  np.testing.assert_allclose(heat[..., R_WRIST], means(pictures)[..., 0], rtol=1e-6)
  np.testing.assert_allclose(paf[..., 0], means(pictures)[..., 2], rtol=1e-6)
  assert network.sizes == [(2, SIDE)]


def test_a_mirror_image_changes_sides_and_signs(pictures):
  network = Means()
  heat, paf = looks_lib.maps(network, pictures, Looks(mirror=True))
  mean = means(pictures)
  # This network knows no sides: the mirror image's right wrist is the picture's red, now left.
  for wrist in (R_WRIST, L_WRIST):
    np.testing.assert_allclose(heat[..., wrist], (mean[..., 0] + mean[..., 1]) / 2, rtol=1e-5)
  # From pelvis to neck, its own mirror image: x of it, less x of it.
  assert J15.limbs[0] == tuple(J15.flip_permutation[joint] for joint in J15.limbs[0])
  np.testing.assert_allclose(paf[..., 0], 0, atol=1e-4)
  # The right arm's x, here the picture's blue, is minus the left arm's in the mirror image.
  np.testing.assert_allclose(paf[..., 2 * R_ARM], mean[..., 2] / 2, rtol=1e-5)
  np.testing.assert_allclose(paf[..., 2 * L_ARM], -mean[..., 2] / 2, rtol=1e-5)
  assert network.sizes == [(4, SIDE)]


def test_zooms_keep_what_is_seen_in_its_cells(pictures):
  network = Means()
  heat, _ = looks_lib.maps(network, pictures, Looks((1.0, 1.25, 2.0)))
  # Of a picture whose colours are linear, every zoom has the same maps but at the border.
  np.testing.assert_allclose(
    heat[:, 1:-1, 1:-1, R_WRIST], means(pictures)[:, 1:-1, 1:-1, 0], rtol=1e-4
  )
  assert network.sizes == [(2, SIDE), (2, 80), (2, 128)] and heat.shape[1:3] == (8, 8)
