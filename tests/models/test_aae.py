"""The auto-encoder against a NumPy kinematic tree, and its guarantees."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.models import aae, layers

SMALL = aae.AAEConfig(
  skeleton_lib.J17, embedding=6, part=4, chain=5, half=7, body=8, disc_joint=3, disc_part=4,
  disc_body=6, disc_embedding=(5,),
)


def random_parameters(module, *inputs, seed=1):
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)
  return jax.tree.map(
    lambda leaf: (rng.normal(size=leaf.shape) / leaf.shape[0] ** 0.5).astype(np.float32), shapes
  )


def poses(seed, num=4, skeleton=skeleton_lib.J17):
  """Valid local poses."""
  raw = np.random.default_rng(seed).normal(size=(num, skeleton.num_joints, 3)).astype(np.float32)
  return np.array(jax.vmap(lambda r: kinematics.constrain_local(r, skeleton))(raw))


def leaky(x):
  return np.where(x > 0, x, 0.2 * x)


def dense(params, name, x):
  return x @ np.float64(params[name]['kernel']) + params[name]['bias']


# J17: pelvis 0, neck 1, head 2, arms 3 4 5 and 6 7 8, legs 9 10 11 and 12 13 14, feet 15 and 16.
PARTS = {
  'r_arm': [1, 3, 4, 5], 'l_arm': [1, 6, 7, 8], 'r_leg': [9, 10, 11, 15], 'l_leg': [12, 13, 14, 16],
  'trunk': [1, 2],
}
HALVES = {'upper': ('r_arm', 'l_arm'), 'lower': ('r_leg', 'l_leg')}


def test_encoder_is_the_tree():
  local = poses(0)
  encoder = aae.PoseEncoder(SMALL)
  variables = random_parameters(encoder, local)
  p = variables['params']
  parts = {n: leaky(dense(p, n, local[:, rows].reshape(4, -1))) for n, rows in PARTS.items()}
  halves = []
  for half, limbs in HALVES.items():
    chains = [
      leaky(dense(p, f'trunk_{limb}', np.concatenate([parts['trunk'], parts[limb]], -1)))
      for limb in limbs
    ]
    halves.append(leaky(dense(p, half, np.concatenate(chains, -1))))
  body = leaky(dense(p, 'body', np.concatenate(halves, -1)))
  phi = jax.jit(encoder.apply)(variables, local)
  np.testing.assert_allclose(phi, np.tanh(dense(p, 'embedding', body)), atol=1e-5)


def test_decoder_is_the_mirrored_tree():
  phi = np.random.default_rng(0).uniform(-1, 1, (4, 6)).astype(np.float32)
  decoder = aae.PoseDecoder(SMALL)
  variables = random_parameters(decoder, phi)
  p = variables['params']
  x = leaky(dense(p, 'body_1', leaky(dense(p, 'body_0', phi))))
  x = leaky(dense(p, 'body', x))
  parts = {'trunk': 0}
  for i, (half, limbs) in enumerate(HALVES.items()):
    y = leaky(dense(p, half, x[:, 7 * i : 7 * i + 7]))
    for j, limb in enumerate(limbs):
      z = dense(p, f'trunk_{limb}', y[:, 5 * j : 5 * j + 5])
      parts['trunk'] = parts['trunk'] + z[:, :4]
      parts[limb] = leaky(z[:, 4:])
  parts['trunk'] = leaky(parts['trunk'])
  rows = np.zeros((4, 17, 3))
  for part, joints in PARTS.items():
    given = dense(p, part, parts[part]).reshape(4, len(joints), 3)
    for k, joint in enumerate(joints):
      rows[:, joint] += given[:, k]
  length = np.linalg.norm(rows, axis=-1, keepdims=True)
  expected = rows / np.where(length == 0, 1, length)
  np.testing.assert_allclose(jax.jit(decoder.apply)(variables, phi), expected, atol=1e-5)


def test_discriminator_is_the_published_table():
  canonical = np.random.default_rng(0).normal(size=(4, 17, 3)).astype(np.float32)
  disc = aae.Discriminator(SMALL)
  variables = random_parameters(disc, canonical)
  p = variables['params']
  joints = leaky(dense(p, 'joint_1', leaky(dense(p, 'joint_0', canonical))))
  logits = []
  for k, joint in enumerate(range(2, 17)):  # all but pelvis and neck
    logits.append(joints[:, joint] @ p['joint_heads'][k] + p['joint_biases'][k])
  parts = []
  for part, rows in PARTS.items():
    parts.append(leaky(dense(p, part, joints[:, rows].reshape(4, -1))))
    logits.append(dense(p, f'{part}_head', parts[-1])[:, 0])
  body = leaky(dense(p, 'body_1', leaky(dense(p, 'body_0', np.concatenate(parts, -1)))))
  logits.append(dense(p, 'body_head', body)[:, 0])
  out = jax.jit(disc.apply)(variables, canonical)
  assert out.shape == (4, 15 + 5 + 1)
  np.testing.assert_allclose(out, np.stack(logits, -1), atol=1e-4)


def test_parameter_counts():
  # Φ, J15: arms 2·(12·32 + 32), legs 2·(9·32 + 32), trunk 6·32 + 32, chains 4·(64·64 + 64), halves
  # 2·(128·128 + 128), body 256·512 + 512, φ 512·32 + 32:
  # 832 + 640 + 224 + 16,640 + 33,024 + 131,584 + 16,416 = 199,360.
  assert layers.parameter_count(aae.PoseEncoder(aae.AAE_J15), (1, 15, 3)) == 199_360
  # Ψ, J15: 32·512 + 512, 512·512 + 512, 512·256 + 256, halves 33,024, chains 16,640, arms
  # 2·(32·12 + 12), legs 2·(32·9 + 9), trunk 32·6 + 6:
  # 16,896 + 262,656 + 131,328 + 33,024 + 16,640 + 792 + 594 + 198 = 462,128.
  assert layers.parameter_count(aae.PoseDecoder(aae.AAE_J15), (1, 32)) == 462_128
  # Disc, J17: 128 + 1,056, joint heads 15·33, parts 4·(128·200 + 200) + 64·200 + 200, heads 5·201,
  # 1000·1024 + 1024, 1024·1024 + 1024, 1025:
  # 1,184 + 495 + 103,200 + 13,000 + 1,005 + 1,025,024 + 1,049,600 + 1,025 = 2,194,533.
  assert layers.parameter_count(aae.Discriminator(aae.AAE_J17), (1, 17, 3)) == 2_194_533


@pytest.mark.parametrize('config', [aae.AAE_J15, aae.AAE_J17], ids=['J15', 'J17'])
def test_what_comes_out(config):
  skeleton = config.skeleton
  phi = jax.random.uniform(jax.random.key(1), (5, 32), minval=-1, maxval=1)
  decoder, encoder = aae.PoseDecoder(config), aae.PoseEncoder(config)
  psi = random_parameters(decoder, phi)
  local = jax.jit(decoder.apply)(psi, phi)
  assert local.shape == (5, skeleton.num_joints, 3)
  np.testing.assert_allclose(np.linalg.norm(local[:, 1:], axis=-1), 1, atol=1e-5)
  np.testing.assert_array_equal(local[:, 0], 0)
  valid = jax.vmap(lambda row: kinematics.constrain_local(row, skeleton))(local)
  again = jax.jit(encoder.apply)(random_parameters(encoder, valid), valid)
  assert again.shape == (5, 32) and np.abs(again).max() < 1


def test_decoder_guards_rows_without_direction():
  # All parameters 0: every row of the network is 0, and stands for (0, 0, 1).
  phi = jnp.ones((2, 6))
  decoder = aae.PoseDecoder(SMALL)
  zeros = jax.tree.map(jnp.zeros_like, random_parameters(decoder, phi))
  local = jax.jit(decoder.apply)(zeros, phi)
  np.testing.assert_array_equal(local[:, 1:], np.broadcast_to([0, 0, 1], (2, 16, 3)))

  @jax.jit
  def gradient(variables):
    return jax.grad(lambda v: jnp.sum(decoder.apply(v, phi) * jnp.arange(3.0)))(variables)

  for variables in (zeros, random_parameters(decoder, phi)):
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient(variables)))


def test_pelvis_row_is_not_read():
  local = poses(0)
  encoder = aae.PoseEncoder(SMALL)
  variables = random_parameters(encoder, local)
  moved = local.copy()
  moved[:, 0] = np.nan
  apply = jax.jit(encoder.apply)
  np.testing.assert_array_equal(apply(variables, local), apply(variables, moved))


def test_dtypes():
  phi = jnp.ones((2, 6))
  local = jnp.asarray(poses(0, 2))
  for module, x, out in (
    (aae.PoseDecoder, phi, jnp.float32), (aae.PoseEncoder, local, jnp.float32),
    (aae.Discriminator, local, jnp.float32), (aae.EmbeddingDiscriminator, phi, jnp.float32),
  ):
    narrow = module(SMALL, jnp.bfloat16)
    variables = random_parameters(narrow, x)
    assert {leaf.dtype for leaf in jax.tree.leaves(variables)} == {np.dtype('float32')}
    got, exact = jax.jit(narrow.apply)(variables, x), jax.jit(module(SMALL).apply)(variables, x)
    assert got.dtype == exact.dtype == out
    np.testing.assert_allclose(got, exact, atol=0.1 * float(jnp.abs(exact).max()))


def test_head_weights():
  weights = aae.head_weights(aae.AAE_J15)
  assert weights.shape == (13 + 5 + 1,)
  # A third for each level: 13 joints, 5 parts, 1 body.
  np.testing.assert_allclose(weights[[0, 13, 18]], [1 / 39, 1 / 15, 1 / 3])
  assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize(
  ('module', 'shape'),
  [
    (aae.PoseEncoder, (2, 15, 3)), (aae.PoseEncoder, (17, 3)), (aae.Discriminator, (2, 17, 2)),
    (aae.PoseDecoder, (2, 7)), (aae.EmbeddingDiscriminator, (6,)),
  ],
)
def test_other_shapes_are_refused(module, shape):
  with pytest.raises(ValueError, match=f'{module.__name__}: expected'):
    layers.parameter_count(module(SMALL), shape)


def test_other_skeletons_are_refused():
  with pytest.raises(ValueError, match='COCO-17'):
    dataclasses.replace(SMALL, skeleton=skeleton_lib.COCO17)
