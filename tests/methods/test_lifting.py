"""The lifting wiring: the training step against its equations, the mirror, configs."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import lifting
from posejax.methods.base import ONE_DEVICE, Collectives, Context
from posejax.methods.lifting import (
  METHOD,
  infill,
  lift,
  people,
  prior,
  schedule,
  step,
)
from posejax.models import lifter as lifter_lib
from posejax.synth import pose_views
from posejax.training import config as config_lib
from posejax.training import parallel, stages
from tests.methods.lifters import (
  BODY,
  RNG,
  UNIT,
  B,
  J,
  a_batch,
  changed,
  frozen_of,
  get_config,
  lifter_params,
)


@pytest.mark.parametrize('preset', ['', 'long', 'paper', 'links', 'smoke', 'links,smoke'])
def test_configs_keep_their_rules(preset):
  config = get_config(preset)
  config_lib.validate(config, METHOD.rules)
  assert list(stages.stage_keys(METHOD, config)) == [
    'poses', 'validation', 'flow', 'parts', 'infill', 'lifter', 'choice', 'test',
  ]


def test_an_unknown_preset_names_what_there_is():
  with pytest.raises(ValueError, match=r"unknown preset 'huge'; known: long, paper, "):
    get_config('huge')


def test_a_seed_of_the_lifters_keeps_the_flow():
  ours, theirs = (stages.stage_keys(METHOD, changed(seed=seed)) for seed in (0, 1))
  assert {name for name in ours if ours[name] != theirs[name]} == {'lifter', 'choice'}


def test_training_poses_are_normalised_and_rectified():
  config = get_config('smoke')
  poses = people.draw(config, frozen_of(config), jax.random.split(jax.random.key(0), 16))
  assert poses.shape == (16, J, 2)
  np.testing.assert_allclose(poses[:, 0], 0, atol=1e-6)
  # Turned onto the axis, not subtracted, which is what `rectify` switches.
  plain = config.copy_and_resolve_references().unlock()
  plain.data.rectify = False
  rays = np.array([[0.2, 0.1], [0.25, 0.3]], np.float32)
  ahead = np.array([0.2, 0.1, 1.0]) / np.linalg.norm([0.2, 0.1, 1.0])
  other = np.array([0.25, 0.3, 1.0]) / np.linalg.norm([0.25, 0.3, 1.0])
  turned = np.asarray(lifting.rectify(rays, rays[0]))
  assert np.hypot(*turned[1]) == pytest.approx(np.tan(np.arccos(ahead @ other)), rel=1e-5)
  np.testing.assert_array_equal(people.centred(config, rays, turned), turned)
  np.testing.assert_allclose(people.centred(plain, rays, turned)[1], (0.05, 0.2), atol=1e-7)
  # 1.7 m of a body some 5.5 m away, over c s̄.
  height = np.ptp(np.asarray(poses)[..., 1], axis=1)
  assert 0.5 < np.median(height) * config.c * UNIT / (1.7 / 5.5) < 1.5


@pytest.mark.parametrize('kind', lifter_lib.KINDS)
def test_the_step_is_its_equations(kind):
  config = changed(kind=kind)
  frozen, params = frozen_of(config), lifter_params(config)
  batch = a_batch(config, frozen)
  found = jax.jit(lambda p: step.turned(config, p, batch, ONE_DEVICE))(params)
  module = lifter_lib.Lifter(step.shape(config))
  depth, theta = module.apply({'params': params}, batch.poses)
  c, count = config.c, depth.shape[1]
  assert len(found.poses) == count * B
  spread = max(np.std(theta, ddof=1), config.lifter.std_floor)
  for k in range(count):
    for i in range(B):
      row, p = k * B + i, np.asarray(batch.poses[i], np.float64)
      z = np.maximum(np.asarray(depth[i, k], np.float64) + c, 1)
      x = np.concatenate([p * z[:, None], z[:, None] - c], 1)
      x_angle = float(-np.mean(theta) + spread * batch.normal[i])
      turns = (
        lifting.turn_x(jnp.asarray(x_angle)), lifting.turn_y(batch.azimuth[i]),
        lifting.turn_x(theta[i]),
      )
      rotation = np.linalg.multi_dot([np.asarray(t, np.float64) for t in turns])
      y = x @ rotation.T
      q = y[:, :2] / (y[:, 2:] + c)
      np.testing.assert_allclose(found.seen[row], q, atol=2e-5)
      again, _ = module.apply({'params': params}, jnp.asarray(q[None], jnp.float32))
      z_again = np.asarray(again[0, k]) + c
      y_again = np.concatenate([q * z_again[:, None], z_again[:, None] - c], 1)
      np.testing.assert_allclose(found.again[row], y_again, atol=2e-4)
      np.testing.assert_allclose(found.back[row], y_again @ rotation, atol=2e-4)


def test_pairs_stay_among_real_and_among_sampled_poses():
  # An odd number: pairs over the whole batch would join the last real pose and the first sampled.
  config = changed(kind='left_right', resample=True)
  frozen = frozen_of(config)
  batch = a_batch(config, frozen, count=5)
  assert len(batch.poses) == 10
  found = step.turned(config, lifter_params(config), batch, ONE_DEVICE)
  change = np.asarray(found.lifted - found.back, np.float64).reshape(4, 5, J, 3)
  pairs = [
    np.linalg.norm(group[a] - group[b]) for group in change for a, b in ((0, 1), (2, 3))
  ]
  assert float(step.terms_of(config, found, frozen)['deform']) == pytest.approx(
    np.mean(pairs), rel=1e-4
  )


def test_theta_statistics_are_of_the_global_batch_with_gradients():
  theta = jnp.array([0.1, -0.2, 0.3, 0.4])
  middle, spread = step.statistics(theta, 0.0, ONE_DEVICE)
  np.testing.assert_allclose([middle, spread], [np.mean(theta), np.std(theta, ddof=1)], rtol=1e-6)
  gradient = jax.grad(lambda t: step.statistics(t, 0.0, ONE_DEVICE)[1])(theta)
  expected = (np.asarray(theta) - np.mean(theta)) / (3 * np.std(theta, ddof=1))
  np.testing.assert_allclose(gradient, expected, rtol=1e-5)
  # Two devices of two examples: what each of them says must be the whole batch's.
  both = jax.vmap(
    lambda t: step.statistics(t, 0.0, Collectives(
      lambda tree: jax.tree.map(lambda x: jax.lax.psum(x, 'd'), tree), lambda tree: tree
    )), axis_name='d',
  )(theta.reshape(2, 2))
  np.testing.assert_allclose(both[0], [middle, middle], rtol=1e-6)
  np.testing.assert_allclose(both[1], [spread, spread], rtol=1e-6)


def test_gradients_through_the_statistics_are_the_same_on_two_devices():
  """A sum over devices inside a loss: its gradient must reach every device's examples."""

  def program(w, frozen, host, indices):
    share = parallel.collectives()

    def objective(w):
      theta = jnp.sin(w * (1 + indices))
      middle, spread = step.statistics(theta, 0.0, share)
      return ((theta - middle) ** 3 + spread * jnp.cos(indices)).sum() / 4

    return share.sum(jax.grad(objective)(w))

  def plain(w):
    theta = np.sin(w * (1 + np.arange(4)))
    return (((theta - theta.mean()) ** 3) + theta.std(ddof=1) * np.cos(np.arange(4))).mean()

  w = jnp.asarray(0.7)
  expected = (plain(0.7 + 1e-5) - plain(0.7 - 1e-5)) / 2e-5
  for count in (1, 2):
    devices = parallel.Devices(jax.local_devices()[:count])
    found = devices.compile(program)(w, {}, {}, devices.example_indices(4))
    assert float(found) == pytest.approx(expected, rel=1e-3), count


def test_the_floor_keeps_theta_from_collapse():
  same = jnp.full(4, 0.2)
  middle, spread = step.statistics(same, 0.12, ONE_DEVICE)
  assert float(spread) == pytest.approx(0.12) and float(middle) == pytest.approx(0.2)
  assert np.isfinite(jax.grad(lambda t: step.statistics(t, 0.0, ONE_DEVICE)[1])(same)).all()


@pytest.mark.parametrize('name', [name for name in step.TERMS if name != 'parts'])
def test_every_loss_is_a_switch(name):
  config = changed()
  values = {term: jnp.asarray(2.0) for term in step.TERMS if term != 'parts'}
  weight = config.lifter.weights[name]
  full = float(step.total(config, values))
  config.lifter.weights[name] = 0.0
  assert full - float(step.total(config, values)) == pytest.approx(2 * weight)


def test_losses_have_finite_gradients_and_sampled_poses_are_a_second_half():
  config = changed('links,smoke')
  frozen, params = frozen_of(config), lifter_params(config)
  batch = a_batch(config, frozen)
  assert batch.poses.shape == (2 * B, J, 2) and batch.normal.shape == (2 * B,)
  plain = a_batch(changed(kind='left_right', blocks=3), frozen)
  np.testing.assert_allclose(batch.poses[:B], plain.poses, atol=1e-6)
  change = np.abs(np.asarray(batch.poses[B:] - batch.poses[:B]))
  assert 0 < change[:, 1:].mean() < 0.2
  np.testing.assert_allclose(batch.poses[:, 0], 0, atol=1e-7)

  def loss(p):
    found = step.turned(config, p, batch, ONE_DEVICE)
    return step.total(config, step.terms_of(config, found, frozen))

  gradient = jax.jit(jax.grad(loss))(params)
  norms = [float(jnp.abs(x).max()) for x in jax.tree.leaves(gradient)]
  assert np.isfinite(norms).all() and max(norms) > 0


def test_the_mirror_is_told_by_the_cue():
  """The lower pelvis is seen from farther above: true θ falls with v, a mirrored one rises."""
  keys = jax.random.split(jax.random.key(4), 50)
  cameras = pose_views.CameraRange((-0.1, 0.35), (4000.0, 7000.0))
  poses = jnp.asarray(BODY[:2])
  views = jax.vmap(lambda key: pose_views.sample_group(key, poses, cameras, 'apart'))(keys)
  theta, height = np.asarray(views.theta), np.asarray(views.rays)[:, :, 0, 1]
  noisy = theta + RNG.normal(size=theta.shape) * 0.02
  assert lift.cue_correlation(theta, height) < -0.95
  assert lift.cue_correlation(noisy, height) < -0.5
  assert lift.cue_correlation(-noisy, height) > 0.5
  assert lift.cue_correlation(0 * theta, height) == 0


def test_the_choice_asks_the_cue_first_then_the_loss():
  scores, cue = np.array([1.0, 2.0, 3.0]), np.array([0.4, -0.1, -0.6])
  assert lift.best(scores, cue, use_cue=True) == 1
  assert lift.best(scores, cue, use_cue=False) == 0
  assert lift.best(scores, np.abs(cue), use_cue=True) == 0  # all mirrored: the loss decides


def test_spoiling_moves_the_root_and_leaves_joints_out():
  pose = jnp.asarray(RNG.normal(size=(200, J, 2)), jnp.float32)
  keys = jax.random.split(jax.random.key(7), 200)
  given, seen = jax.vmap(infill.spoil, (0, 0, None, None))(keys, pose, 0.01, 0.25)
  np.testing.assert_allclose(given[:, 0], 0, atol=1e-6)
  assert seen[:, 0].all() and float(seen[:, 1:].mean()) == pytest.approx(0.75, abs=0.03)
  # A joint and the root are both moved: √2 · 0.01.
  change = np.asarray(given - (pose - pose[:, :1]))[:, 1:]
  assert change.std() == pytest.approx(0.01 * 2**0.5, rel=0.1)


def test_rates_fall_as_they_should():
  settings = get_config('paper').lifter
  rate = schedule.rate(settings)
  np.testing.assert_allclose(
    [rate(jnp.asarray(s)) for s in (0, settings.epoch, 2 * settings.epoch)],
    [2e-4, 1.9e-4, 1.805e-4], rtol=1e-6,
  )


def test_the_lifters_start_as_mirror_images():
  config = changed(count=3)
  products = {
    'poses': people.Product(arrays={
      'train': BODY, 'validation': BODY, 'unit': np.float32(UNIT),
      'ratios': np.ones(people.SKELETON.num_limbs, np.float32),
    }),
    'flow': people.Product(params={'flow': frozen_of(config)['flow']}),
    'parts': people.Product(),
    'validation': people.Product(arrays={
      f'single_{name}': x for name, x in pose_views.sample_group(
        jax.random.key(0), jnp.asarray(BODY[:1]), people.cameras(config), 'apart'
      )._asdict().items()
    }),
  }
  products['validation'] = people.Product(arrays={
    name: np.asarray(x)[None] for name, x in products['validation'].arrays.items()
  })
  stage = lift.build(config, products)
  params, _ = stage.init(jax.random.key(0))
  assert list(params) == ['lifter_0', 'lifter_1', 'lifter_2']
  batch = stage.sources['poses'].device(
    stage.frozen, {}, jax.random.split(jax.random.key(1), B)
  )
  module = lifter_lib.Lifter(step.shape(config))
  first, second, third = (
    module.apply({'params': params[name]}, batch.poses).depth for name in params
  )
  np.testing.assert_allclose(first, -second, atol=1e-6)
  assert float(jnp.abs(first - third).max()) > 1e-4

  def losses(params, frozen):
    context = Context(params, {}, frozen, jax.random.key(2), ONE_DEVICE)
    return stage.sources['poses'].losses(context, batch)

  values = jax.jit(losses)(params, stage.frozen)
  (total, weight), = values.terms.values()
  each = [values.logged[f'{name}/total'][0] / B for name in params]
  assert weight == B and np.isfinite(each).all()
  assert float(total) / B == pytest.approx(sum(map(float, each)), rel=1e-5)


@pytest.mark.parametrize('weight, steps, kind, words', [
  (1.0, 0, 'legs_torso', 'both above 0'), (0.0, 5, 'left_right', 'both above 0'),
  (1.0, 5, 'single', 'one lifter has no parts'), (1.0, 5, 'left_right', ''),
])
def test_flows_of_parts_are_trained_where_they_are_read(weight, steps, kind, words):
  config = changed(kind=kind)
  config.lifter.weights.parts, config.parts.steps = weight, steps
  if not words:
    config_lib.validate(config, METHOD.rules)
  else:
    with pytest.raises(config_lib.ConfigError, match=words):
      config_lib.validate(config, METHOD.rules)


def test_flows_of_parts_learn_and_are_read_by_the_step():
  config = changed(kind='legs_torso')
  config.lifter.weights.parts, config.parts.steps = 2.0, 4
  frozen = frozen_of(config)
  products = {
    'poses': people.Product(arrays={
      **{name: frozen[name] for name in ('train', 'unit', 'ratios')}, 'validation': BODY,
    }),
    'flow': people.Product(params={'flow': frozen['flow']}),
  }
  stage = prior.build_parts(config, products)
  params, _ = stage.init(jax.random.key(0))
  # Legs have the root, whose two numbers are left out; the torso has none.
  rows = prior.part_shapes(config)
  dims = {name: prior.part_flow(config, chosen).dims for name, chosen in rows.items()}
  assert dims == {'legs': 2 * (len(rows['legs']) - 1), 'torso': 2 * len(rows['torso'])}
  keys = jax.random.split(jax.random.key(1), 4)
  batch = stage.sources['poses'].device(stage.frozen, {}, keys)
  assert len(batch['poses']) == 8  # real ones, and those that the whole flow makes of them
  context = Context(params, {}, stage.frozen, jax.random.key(2), ONE_DEVICE)
  terms = stage.sources['poses'].losses(context, batch).terms
  frozen = {**stage.frozen, 'parts': params}
  found = step.turned(config, lifter_params(config), a_batch(config, frozen), ONE_DEVICE)
  values = step.terms_of(config, found, frozen)
  # By hand: each part's NLL of its joints of the turned poses, divided by the spread.
  expected = 0.0
  for name, chosen in rows.items():
    flow = prior.flow_lib.Flow(prior.part_flow(config, chosen))
    kept = [j for j in chosen if j]
    x = np.asarray(found.seen)[:, kept].reshape(len(found.seen), -1) / frozen['spread']
    expected += float(prior.flow_lib.nll(*flow.apply({'params': params[name]}, x)).mean())
    assert np.isfinite(terms[name][0]) and terms[name][1] == 8
  assert float(values['parts']) == pytest.approx(expected, rel=1e-4)
  assert float(step.total(config, values) - step.total(config, {**values, 'parts': 0.0})) == (
    pytest.approx(2 * expected, rel=1e-3)
  )


def test_who_is_kept_is_the_best_of_those_upright(monkeypatch):
  monkeypatch.setattr(people, 'groups', lambda: (('close', 2), ('apart', 2)))
  config = changed(count=4)
  config.scenes.count, config.scenes.single = 8, 8
  networks = {f'lifter_{i}': lifter_params(config, seed=i) for i in range(4)}
  arrays = {
    'validation': BODY, 'train': BODY, 'unit': np.float32(UNIT),
    'ratios': np.ones(people.SKELETON.num_limbs, np.float32),
  }
  products = {
    'poses': people.Product(arrays=arrays), 'parts': people.Product(),
    'flow': people.Product(params={'flow': frozen_of(config)['flow']}),
    'validation': people.Product(arrays=people.views_of(config, arrays, 'validation')),
    'lifter': people.Product(params=networks),
  }
  measured = lift.scores(config, products)
  monkeypatch.setattr(lift, 'scores', lambda config, products: measured)
  orders = []
  for by in lift.CHOICES:
    config.choice.by = by
    found = lift.choose(config, products)
    scores = {
      lift.CONSISTENCY: found.arrays['spread'],
      lift.LIKELIHOOD: found.arrays['nll'] + config.lifter.weights.bone * found.arrays['bone'],
    }[by]
    orders.append(list(np.argsort(scores)))
    upright = found.arrays['cue'] < 0
    assert upright.any() and not upright.all()
    expected = min(np.flatnonzero(upright), key=lambda i: scores[i])
    assert found.arrays['chosen'] == expected
    jax.tree.map(
      np.testing.assert_array_equal, found.params['lifter'], networks[f'lifter_{expected}']
    )
  assert orders[0] != orders[1]  # they are two rules


def test_a_lifters_gradient_clips_no_other():
  """Adam forgives a factor that stays: so one that comes and goes."""
  config = changed(count=2, clip=1.0, l2=0.0)
  optimizer = lift.separate(config)
  params = {name: {'w': jnp.zeros(2)} for name in lift.names(config)}
  small = jnp.array([0.3, 0.4])

  def second_update(first_of_the_other):
    state = optimizer.init(params)
    for other in (first_of_the_other, 0 * small):
      change, state = optimizer.update(
        {'lifter_0': {'w': small}, 'lifter_1': {'w': other}}, state, params
      )
    return change['lifter_0']['w']

  np.testing.assert_array_equal(second_update(1000 * small), second_update(0 * small))
