"""The prior: who learns from what, what its switches change, its poses and its measures."""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import limits
from posejax.geometry.skeleton import J15, J17
from posejax.methods import base
from posejax.methods.crossmodal import METHOD, lift, pose_sources, prior, prior_measures
from posejax.synth.poses import sample_local_poses
from posejax.training import config as config_lib
from posejax.training import train_state
from posejax.training.parallel import Devices

get_config = runpy.run_path('configs/unsup.py')['get_config']
KEYS = jax.random.split(jax.random.key(3), 8)
inside = jax.jit(jax.vmap(limits.inside_limits))


def changed(**switches):
  config = get_config('smoke').unlock()
  config.mocap.dir = switches.pop('mocap', '')
  config.mocap.share = switches.pop('mocap_share', 0.5)
  config.prior.update(switches)
  config_lib.validate(config, METHOD.rules)
  return config


def drawn(local):
  """A batch as the stage draws it, of given local poses."""
  phi = jax.random.uniform(jax.random.key(5), (len(local), 32), minval=-1.0)
  return {'local': local, 'phi': phi, 'canonical': jax.jit(prior.canonical)(local)}


BATCH = drawn(sample_local_poses(jax.random.key(4), 8, skeleton=J15))


def context(params):
  return base.Context(params, {}, {}, jax.random.key(0), base.ONE_DEVICE)


@pytest.fixture(scope='module', params=['pose', 'embedding'])
def reading(request):
  """Parameters, and the compiled losses of a reading of Disc."""
  stage = prior.build(changed(discriminator=request.param), {})
  params, _ = stage.init(jax.random.key(0))
  losses = jax.jit(lambda params: stage.sources['poses'].losses(context(params), BATCH))
  return request.param, params, losses


def test_which_network_each_term_depends_on(reading):
  name, params, losses = reading
  start = losses(params)
  moved = {}
  for network in params:
    other = {**params, network: jax.tree.map(lambda x: x + 0.05, params[network])}
    values = losses(other)
    moved[network] = {
      term for term, value in {**values.logged, **values.terms}.items()
      if not np.isclose(value[0], {**start.logged, **start.terms}[term][0], rtol=1e-6)
    }
  cycles = {'cycle_pose_m', 'cycle_local_m', 'cycle_phi', 'autoencoder'}
  fooled = {'adversary', 'discriminator'}
  assert moved['Disc'] == fooled | {'autoencoder'}
  # On poses Ψ fools Disc, on embeddings Φ does, and Ψ gets nothing of it.
  assert moved['Phi'] == cycles | (fooled if name == 'embedding' else set())
  assert moved['Psi'] == cycles | {'limit_excess_rad'} | (fooled if name == 'pose' else set())


def test_the_total_is_weighted(reading):
  _, params, losses = reading
  values, settings = losses(params), changed().prior
  mean = {term: float(total / weight) for term, (total, weight) in values.logged.items()}
  total, size = values.terms['autoencoder']
  assert size == 8
  np.testing.assert_allclose(
    total / size,
    settings.pose_weight * mean['cycle_pose_m'] + settings.local_weight * mean['cycle_local_m']
    + settings.phi_weight * mean['cycle_phi'] + settings.limit_weight * mean['limit_excess_rad']
    + settings.adversary_weight * mean['adversary'], rtol=1e-5,
  )


@pytest.mark.parametrize(
  ('switches', 'losses', 'terms'),
  [
    ({}, {'autoencoder': ('Phi', 'Psi'), 'discriminator': ('Disc',)},
     {'adversary', 'limit_excess_rad'}),
    ({'discriminator': 'none'}, {'autoencoder': ('Phi', 'Psi')}, {'limit_excess_rad'}),
    ({'limit_weight': 0.0}, {'autoencoder': ('Phi', 'Psi'), 'discriminator': ('Disc',)},
     {'adversary'}),
    ({'discriminator': 'none', 'limit_weight': 0.0}, {'autoencoder': ('Phi', 'Psi')}, set()),
  ],
  ids=['all', 'no Disc', 'no hinge', 'plain'],
)
def test_switches(switches, losses, terms):
  stage = prior.build(changed(**switches), {})
  assert {name: loss.networks for name, loss in stage.losses.items()} == losses
  assert set(stage.phases[0].losses) == set(losses)
  params = jax.eval_shape(lambda: stage.init(jax.random.key(0))[0])
  assert set(params) == {name for networks in losses.values() for name in networks}
  values = jax.eval_shape(lambda p: stage.sources['poses'].losses(context(p), BATCH), params)
  assert set(values.terms) == set(losses)
  assert set(values.logged) == {'cycle_pose_m', 'cycle_local_m', 'cycle_phi'} | terms


def test_a_few_steps_reduce_the_error():
  settings = changed(
    part=16, chain=16, half=32, body=48, learning_rate=5e-3, steps=150, warmup=0,
  )
  stage = prior.build(settings, {})
  # The same eight poses in every step: only the networks change.
  stage = dataclasses.replace(stage, sources={'poses': dataclasses.replace(
    stage.sources['poses'], device=lambda frozen, host, keys: BATCH
  )})
  devices = Devices(jax.local_devices()[:1])
  step = devices.compile(
    train_state.make_step(stage, stage.phases[0], 'poses', jax.random.key(0))
  )
  state = devices.replicate(train_state.create(stage, jax.random.key(1)))
  disc = jax.tree.map(np.asarray, state.params['Disc'])
  errors = []
  for _ in range(150):
    state, logs = step(state, {}, {}, devices.example_indices(8))
    jax.block_until_ready(logs)
    errors.append([float(logs[name]) for name in ('cycle_pose_m', 'limit_excess_rad')])
  assert int(state.bad_step) == train_state.GOOD
  assert errors[-1][0] < 0.3 * errors[0][0]
  assert errors[-1][1] < 0.3 * errors[0][1]
  changes = jax.tree.map(lambda a, b: np.abs(np.asarray(a) - b).max(), state.params['Disc'], disc)
  assert max(jax.tree.leaves(changes)) > 1e-3


CAPTURED = {
  'captured': np.asarray(sample_local_poses(jax.random.key(8), 5)),
  'held_out': np.asarray(sample_local_poses(jax.random.key(9), 3)),
}


def test_artificial_poses_are_those_of_the_limits():
  sample = pose_sources.sampler(changed(), {})
  np.testing.assert_array_equal(
    sample(KEYS[0], 6), sample_local_poses(KEYS[0], 6, skeleton=J17)
  )
  narrow = limits.scaled(limits.PAPER, 0.5)
  poses = pose_sources.sampler(changed(), {}, table=narrow)(KEYS[0], 6)
  theta, gamma = limits.spherical_from_local(poses[0])
  knee = J17.index('r_knee')
  # Of 150–300 and 45–115 the middle halves.
  assert 187.5 <= np.rad2deg(theta[knee]) <= 262.5 and 62.5 <= np.rad2deg(gamma[knee]) <= 97.5


@pytest.mark.parametrize('held_out', [False, True])
def test_captured_poses_come_from_the_array(held_out):
  config = changed(source='motion', mocap='a folder')
  sample = pose_sources.sampler(config, CAPTURED, held_out=held_out)
  poses = np.asarray(sample(KEYS[0], 40))
  kept = CAPTURED['held_out' if held_out else 'captured']
  rows = [np.flatnonzero((kept == pose).all((1, 2))) for pose in poses]
  assert {int(row) for (row,) in rows} == set(range(len(kept)))
  np.testing.assert_array_equal(poses, sample(KEYS[0], 40))
  assert (poses != np.asarray(sample(KEYS[1], 40))).any()


@pytest.mark.parametrize(('share', 'fewest', 'most'), [(0.0, 0, 0), (0.3, 30, 90), (1.0, 200, 200)])
def test_the_share_of_captured_poses(share, fewest, most):
  config = changed(source='mixed', mocap='a folder', mocap_share=share)
  poses = np.asarray(pose_sources.sampler(config, CAPTURED)(KEYS[0], 200))
  captured = (poses[:, None] == CAPTURED['captured']).all((2, 3)).any(1)
  assert fewest <= captured.sum() <= most  # 60 ± 6.5 of 200 expected at 0.3
  assert inside(poses).all()


def test_motions_stand_in_for_captured_poses():
  sample = jax.jit(pose_sources.sampler(changed(source='motion'), {}), static_argnums=1)
  poses = np.asarray(sample(KEYS[0], 64))
  assert poses.shape == (64, 17, 3)
  assert np.asarray(inside(poses)).mean() > 0.99
  # Hips of people in motion tilt by some 5°, the table's uniformly by up to 30°: cosines of γ.
  hip = J17.index('r_hip')
  artificial = np.asarray(sample_local_poses(KEYS[0], 64))
  assert poses[:, hip, 2].std() < 0.15 < artificial[:, hip, 2].std()
  np.testing.assert_array_equal(poses, sample(KEYS[0], 64))


def test_only_bvh_files_need_arrays():
  for switches in ({}, {'source': 'motion'}):
    assert pose_sources.arrays(changed(**switches)) == {}
  with pytest.raises(ValueError, match=r'no/such: no such folder of BVH files'):
    prior.build(changed(source='mixed', mocap='no/such'), {})


def test_leverage_by_hand():
  leverage = prior.leverage()[:, 0]
  # The thigh moves knee and ankle, the shoulder itself and two joints; pelvis and neck nothing.
  expected = {
    'r_knee': 2 * 0.4429, 'l_ankle': 0.4542, 'r_shoulder': 3 * 0.151, 'pelvis': 0, 'neck': 0,
  }
  for joint, value in expected.items():
    assert leverage[J15.index(joint)] == pytest.approx(value)


def test_nearest_by_hand(monkeypatch):
  monkeypatch.setattr(prior_measures, '_CHUNK', 2)
  poses, searched = np.zeros((3, 2, 3)), np.zeros((4, 2, 3))
  searched[:, 0, 0] = (4, 10, 20, 30)
  poses[1, 0, 0], poses[2, :, 1] = 13, 3
  # To 4: (4 + 0) / 2. To 10: (3 + 0) / 2. To 4: (5 + 3) / 2.
  assert prior_measures.nearest(poses, searched) == pytest.approx((2 + 1.5 + 4) / 3)


def test_sliced_distance_of_moved_poses():
  rng = np.random.default_rng(0)
  a = rng.normal(size=(500, 2, 3))
  assert prior_measures.sliced_distance(a, a[::-1]) == pytest.approx(0, abs=1e-12)
  shift = np.zeros((2, 3))
  shift[1, 2] = 7
  # Along a direction d a shift counts |d·shift|, on average over the sphere in six dimensions
  # 7 Γ(3) / (√π Γ(3.5)) = 2.38.
  assert prior_measures.sliced_distance(a, a + shift, 4000) == pytest.approx(2.377, rel=0.03)


def test_canonical_has_the_standard_bones():
  decoded = jax.jit(prior.canonical)(BATCH['local'])
  bones = decoded[:, 1:] - decoded[:, jnp.array(lift.SKELETON.parents[1:])]
  np.testing.assert_allclose(
    np.linalg.norm(bones, axis=-1)[0, [0, 1]], [490.5, 236.1], rtol=1e-5
  )


def test_baselines_stand_on_the_poses_that_training_draws(tmp_path):
  with pytest.MonkeyPatch.context() as patch:
    # One captured pose: the mean is that pose, whatever is drawn.
    captured = np.asarray(sample_local_poses(jax.random.key(8), 1, skeleton=J17))
    patch.setattr(
      pose_sources, 'arrays', lambda config: {'captured': captured, 'held_out': captured[:0]}
    )
    mean = prior.mean_pose(changed(source='motion', mocap=str(tmp_path)), count=16)
  np.testing.assert_allclose(mean, prior.canonical(captured[:, :15])[0], atol=1e-3)
  # Artificial poses are symmetric but for chance: left and right limbs mirror each other (y).
  mean = prior.mean_pose(changed(), count=4000)
  right, left = np.array(J15.flip_pairs).T
  np.testing.assert_allclose(mean[right], mean[left] * [1, -1, 1], atol=30)
