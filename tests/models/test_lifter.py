"""Lifters: parts, compositions, the mirror, and gaps."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry.skeleton import H36M17, J17
from posejax.models import lifter as lib

POSES = 0.1 * jax.random.normal(jax.random.key(0), (3, 17, 2)).at[:, 0].set(0)


def make(kind, skeleton=H36M17):
  config = lib.LifterConfig(skeleton, kind, width=16, blocks=2, input_scale=20.0)
  module = lib.Lifter(config)
  return config, module, module.init(jax.random.key(1), POSES)['params']


def test_parts_of_h36m_are_the_specs():
  sides = lib.parts(lib.LifterConfig(H36M17, 'left_right'))
  # H3.6M-17: 4-6 left leg, 11-13 left arm; 1-3 right leg, 14-16 right arm.
  assert sides['left'] == (0, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13)
  assert sides['right'] == (0, 1, 2, 3, 7, 8, 9, 10, 14, 15, 16)
  halves = lib.parts(lib.LifterConfig(H36M17, 'legs_torso'))
  assert halves == {'legs': tuple(range(7)), 'torso': tuple(range(7, 17))}


def test_feet_belong_to_the_legs():
  legs = lib.parts(lib.LifterConfig(J17, 'legs_torso'))['legs']
  assert {'r_foot', 'l_foot', 'pelvis'} <= {J17.joints[j] for j in legs}
  assert 'neck' not in {J17.joints[j] for j in legs}


@pytest.mark.parametrize(('kind', 'count'), [('single', 1), ('left_right', 2), ('legs_torso', 1)])
def test_shapes_and_root(kind, count):
  _, module, params = make(kind)
  lifted = module.apply({'params': params}, POSES)
  assert lifted.depth.shape == (3, count, 17) and lifted.theta.shape == (3,)
  np.testing.assert_array_equal(lifted.depth[:, :, 0], 0)
  assert float(jnp.abs(lifted.depth[:, :, 1:]).min()) > 0


def test_two_compositions_differ_in_the_shared_joints_alone():
  config, module, params = make('left_right')
  depth = module.apply({'params': params}, POSES).depth
  shared = sorted(set.intersection(*map(set, lib.parts(config).values())) - {0})
  assert shared == [7, 8, 9, 10]
  differs = np.abs(np.asarray(depth[:, 0] - depth[:, 1])).max(0) > 0
  assert np.flatnonzero(differs).tolist() == shared


def test_a_part_reads_its_own_joints_alone():
  _, module, params = make('left_right')
  moved = POSES.at[:, 14:].add(0.05)  # the right arm
  before, after = (module.apply({'params': params}, x).depth for x in (POSES, moved))
  changed = np.abs(np.asarray(before - after)).max((0, 1)) > 0
  assert not changed[4:7].any() and not changed[11:14].any() and changed[14:].all()
  # The left-shared composition comes first: its middle joints do not see the right arm.
  np.testing.assert_array_equal(before[:, 0, 7:11], after[:, 0, 7:11])


@pytest.mark.parametrize('kind', lib.KINDS)
def test_the_mirror_negates_depth_and_elevation(kind):
  _, module, params = make(kind)
  ours, theirs = (
    module.apply({'params': tree}, POSES) for tree in (params, lib.mirrored(params))
  )
  np.testing.assert_allclose(ours.depth, -theirs.depth, atol=1e-7)
  np.testing.assert_allclose(ours.theta, -theirs.theta, atol=1e-7)


def test_input_scale_is_a_factor_on_the_input():
  config, module, params = make('single')
  plain = lib.Lifter(lib.LifterConfig(H36M17, 'single', 16, 2, 1.0))
  np.testing.assert_allclose(
    module.apply({'params': params}, POSES).depth,
    plain.apply({'params': params}, config.input_scale * POSES).depth, rtol=1e-6,
  )


def test_infill_never_reads_what_is_not_seen():
  module = lib.Infill(17, width=16, input_scale=20.0)
  seen = jnp.ones((3, 17), bool).at[:, 5].set(False)
  params = module.init(jax.random.key(2), POSES, seen)['params']
  before, after = (
    module.apply({'params': params}, x, seen) for x in (POSES, POSES.at[:, 5].set(9.0))
  )
  np.testing.assert_array_equal(before, after)
  np.testing.assert_array_equal(before[:, 0], 0)
  other = module.apply({'params': params}, POSES, jnp.ones_like(seen))
  assert float(jnp.abs(other - before).max()) > 0


def test_wrong_shapes_are_named():
  _, module, params = make('single')
  with pytest.raises(ValueError, match=r'expected \(B, 17, 2\), got \(3, 16, 2\)'):
    module.apply({'params': params}, POSES[:, :16])
  with pytest.raises(ValueError, match="kind 'thirds' must be one of"):
    lib.LifterConfig(J17, 'thirds')
