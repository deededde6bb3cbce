"""The hinge on joint limits: by hand, zero inside, derivatives, masks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from posejax.geometry import kinematics
from posejax.geometry import limits as limits_lib
from posejax.geometry import skeleton as skeleton_lib
from posejax.losses import limits, terms

J15 = skeleton_lib.J15
hinge = jax.jit(limits.limit_hinge, static_argnums=(2, 3))


def inside(skeleton):
  """A pose in the middle of every range."""
  table = limits_lib.limit_table(limits_lib.PAPER, skeleton)
  middle = limits_lib.local_from_spherical(table[:, :2].mean(1), table[:, 2:4].mean(1))
  return np.array(kinematics.constrain_local(middle, skeleton))


@pytest.mark.parametrize('skeleton', [J15, skeleton_lib.J17], ids=['J15', 'J17'])
def test_by_hand(skeleton):
  pose = inside(skeleton)
  bent = pose.copy()
  # Right wrist (γ = elbow flexion, 0 to 145°) at γ = 165°, θ in the middle: 20° too far.
  theta, gamma = np.deg2rad([282.5, 165.0])
  bent[skeleton.index('r_wrist')] = [
    np.sin(gamma) * np.cos(theta), np.sin(gamma) * np.sin(theta), np.cos(gamma)
  ]
  # Head (γ 0 to 45°) at 55° to one side: 10° too far.
  bent[skeleton.index('head_top')] = [np.sin(np.deg2rad(55)), 0, np.cos(np.deg2rad(55))]
  both = jnp.asarray(np.stack([pose, bent]))
  term = hinge(both, jnp.ones(2), limits_lib.PAPER, skeleton)
  np.testing.assert_allclose(
    term, (np.deg2rad(30), 2 * (skeleton.num_joints - 1)), rtol=1e-5
  )
  # The second alone, weighted ½: half of both.
  term = hinge(both, jnp.array([0, 0.5]), limits_lib.PAPER, skeleton)
  np.testing.assert_allclose(term, (np.deg2rad(15), (skeleton.num_joints - 1) / 2), rtol=1e-5)


def test_inside_there_is_no_gradient():
  pose = jnp.asarray(inside(J15))[None]
  value, gradient = jax.jit(jax.value_and_grad(
    lambda x: limits.limit_hinge(x, None, limits_lib.PAPER, J15).sum
  ))(pose)
  np.testing.assert_allclose(value, 0, atol=1e-6)
  # Hip and neck have ranges of width 0 in one angle, whose edge is where the pose lies.
  free = [j for j, name in enumerate(J15.joints) if 'hip' not in name and name != 'neck']
  np.testing.assert_array_equal(np.asarray(gradient)[0, free], 0)


def test_numerical_derivatives(x64):
  raw = np.random.default_rng(2).normal(size=(4, 15, 3))
  mask = np.array([1.0, 0.5, 0.0, 1.0])

  @jax.jit
  def loss(raw):
    local = jax.vmap(lambda r: kinematics.constrain_local(r, J15))(raw)
    return terms.mean(limits.limit_hinge(local, mask, limits_lib.PAPER, J15))

  assert loss(raw) > 0.1
  check_grads(loss, (raw,), order=1, modes=('rev',), eps=1e-7, rtol=1e-4, atol=1e-5)


def test_masked_poses_may_be_nan():
  poses = jnp.asarray(np.random.default_rng(0).normal(size=(2, 15, 3)), jnp.float32)
  poses = poses.at[1].set(jnp.nan)

  @jax.jit
  def slope(poses, mask):
    return jax.value_and_grad(
      lambda x: terms.mean(limits.limit_hinge(x, mask, limits_lib.PAPER, J15))
    )(poses)

  value, gradient = slope(poses, jnp.array([True, False]))
  assert value > 0 and np.isfinite(gradient).all() and (gradient[1] == 0).all()
  value, gradient = slope(poses, jnp.array([False, False]))
  assert value == 0 and (gradient == 0).all()
  assert hinge(poses, jnp.zeros(2), limits_lib.PAPER, J15) == (0, 0)


def test_other_shapes_are_refused():
  with pytest.raises(ValueError, match=r'\(B, 17, 3\)'):
    limits.limit_hinge(jnp.ones((2, 15, 3)))
  with pytest.raises(ValueError, match='mask'):
    limits.limit_hinge(jnp.ones((2, 17, 3)), jnp.ones(3))
