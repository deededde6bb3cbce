"""Maps of a mirror image against maps drawn of mirrored joints."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.skeleton import J15, OPENPOSE_COCO18, OPENPOSE_MPI15
from posejax.heatmaps import mirror_maps, render_heatmaps, render_pafs
from tests.heatmaps.people import crowd

SIDE, STRIDE = 128, 8


def drawn(skeleton, joints):
  cells = (SIDE // STRIDE, SIDE // STRIDE)
  seen = np.ones(joints.shape[:2], bool)
  return (
    render_heatmaps(jnp.asarray(joints), seen, cells, stride=STRIDE, sigma=7.0),
    render_pafs(jnp.asarray(joints), seen, skeleton.limbs, cells, stride=STRIDE, width=1.0),
  )


@pytest.mark.parametrize('skeleton', [J15, OPENPOSE_COCO18, OPENPOSE_MPI15], ids=lambda s: s.name)
def test_maps_of_a_mirrored_crowd_become_those_of_the_crowd(x64, skeleton):
  joints = crowd(np.random.default_rng(0), skeleton, 3, SIDE)
  # Right and left change places, x becomes SIDE − 1 − x.
  mirrored = joints[:, list(skeleton.flip_permutation)] * (-1, 1) + (SIDE - 1, 0)
  back = mirror_maps(*drawn(skeleton, mirrored), skeleton)
  for ours, theirs in zip(back, drawn(skeleton, joints), strict=True):
    np.testing.assert_allclose(ours, theirs, atol=1e-12)
    assert np.abs(theirs).max() > 0.5
  twice = mirror_maps(*mirror_maps(*back, skeleton), skeleton)
  for ours, theirs in zip(twice, back, strict=True):
    np.testing.assert_array_equal(ours, theirs)


def test_a_limb_that_stands_the_other_way_round_changes_its_sign():
  turned = dataclasses.replace(
    J15, limbs=tuple(
      limb[::-1] if J15.joints[limb[1]] == 'l_elbow' else limb for limb in J15.limbs
    ),
  )
  right = J15.limbs.index((J15.index('r_shoulder'), J15.index('r_elbow')))
  paf = np.zeros((1, 2, 2 * J15.num_limbs))
  paf[0, 0, 2 * right : 2 * right + 2] = 0.6, 0.8
  back = np.array(mirror_maps(np.zeros((1, 2, 15)), paf, turned)[1])
  left = turned.limbs.index((J15.index('l_elbow'), J15.index('l_shoulder')))
  # Mirrored, shoulder to elbow is (−0.6, 0.8); the left limb runs from elbow to shoulder.
  np.testing.assert_allclose(back[0, 1, 2 * left : 2 * left + 2], (0.6, -0.8), atol=1e-7)
  assert np.count_nonzero(back) == 2


def test_clear_errors():
  with pytest.raises(ValueError, match='J15 has 15 heat-maps and 28 channels of limbs, got 16'):
    mirror_maps(jnp.zeros((2, 2, 16)), jnp.zeros((2, 2, 28)), J15)
  lame = dataclasses.replace(J15, limbs=J15.limbs[:-1])
  with pytest.raises(ValueError, match='no limb that mirrors'):
    mirror_maps(jnp.zeros((2, 2, 15)), jnp.zeros((2, 2, 26)), lame)
