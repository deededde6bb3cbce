"""G and H: the published tables, what each output sees, and the split at the root cells."""

import dataclasses
import re

import flax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.ndimage
from jax.test_util import check_grads

from posejax.models import aae, crossmodal, layers, openpose, windows

SMALL_H = crossmodal.HConfig(
  down=(((6, 1), (6, 3)), ((6, 4), (6, 3)), ((6, 4),)),
  bottom=((6, 1),), up=(((6, 3), (8, 1)),), window=windows.WindowConfig(3, (6,), 7, (9,)),
  embedding=5, slots=2, roots=True, offsets=True,
)
SMALL_G = crossmodal.GConfig(hidden=((5, 7),) * 4, last_kernel=7, latent=6, skip=3)


def random_parameters(module, *inputs, seed=1):
  rng = np.random.default_rng(seed)
  shapes = jax.eval_shape(module.init, jax.random.key(0), *inputs)

  def draw(leaf):
    size = np.prod(leaf.shape[-3:-1]) ** -0.5 if len(leaf.shape) > 1 else 0.3
    return (size * rng.normal(size=leaf.shape)).astype(np.float32)

  return jax.tree.map(draw, shapes)


@pytest.fixture(scope='module')
def small():
  """v, H's random parameters, and its output."""
  v = np.random.default_rng(0).normal(size=(2, 8, 12, 7)).astype(np.float32)
  net = crossmodal.PoseNet(SMALL_H)
  variables = random_parameters(net, v)
  return v, variables, jax.jit(net.apply)(variables, v)


def test_paper_sizes():
  v = jax.ShapeDtypeStruct((2, 28, 28, 1024), jnp.float32)
  key = jax.random.key(0)
  out, variables = jax.eval_shape(crossmodal.PoseNet(crossmodal.H_PAPER).init_with_output, key, v)
  assert (out.phi.shape, out.c.shape, out.depth.shape) == (
    (2, 14, 14, 1, 32), (2, 14, 14, 1, 6), (2, 14, 14, 1)
  )
  assert out.root_logits is None and out.offset is None
  # The bottleneck is 128 matrices of 49 × 49 [P].
  assert variables['params']['trunk']['channels']['kernel'].shape == (128, 49, 49)
  maps = jax.ShapeDtypeStruct((2, 28, 28, 43), jnp.float32)
  (latent, skip), variables = jax.eval_shape(
    crossmodal.MapEncoder(crossmodal.G_PAPER).init_with_output, key, maps
  )
  assert (latent.shape, skip.shape) == ((2, 28, 28, 1024), (2, 28, 28, 128))
  kernels = [layer['kernel'].shape[:2] for layer in variables['params'].values()]
  assert kernels == [(7, 7)] * 5  # [P]


def test_the_published_layer_table_is_the_network():
  rows = re.findall(r'^  (\w+) .*?([\d,]{4,})$', crossmodal.__doc__, re.MULTILINE)
  table = {name: int(number.replace(',', '')) for name, number in rows}
  net = crossmodal.PoseNet(crossmodal.H_PAPER)
  variables = jax.eval_shape(net.init, jax.random.key(0), jnp.zeros((1, 28, 28, 1024)))['params']
  found = {**variables['trunk'], 'pose': variables['pose']}
  counts = {n: sum(x.size for x in jax.tree.leaves(p)) for n, p in found.items()}
  assert table == {**counts, 'H': sum(counts.values())}


def test_declared_total():
  # E + heat branch (with the PAF branch's conv5_5) + H + Ψ:
  # 8,358,080 + 4,331,836 + 3,906,855 + 462,128 = 17,058,899, the paper's "17.1M".
  maps = (1, 28, 28, 1024), (1, 28, 28, 128)
  total = (
    layers.parameter_count(openpose.Encoder(openpose.VGG_MPI), (1, 224, 224, 3))
    + layers.parameter_count(openpose.Decoder(openpose.VGG_MPI), *maps, method='heat')
    + layers.parameter_count(crossmodal.PoseNet(crossmodal.H_PAPER), maps[0])
    + layers.parameter_count(aae.PoseDecoder(aae.AAE_J15), (1, 32))
  )
  assert total == 17_058_899
  assert f'{total / 1e6:.1f}' == '17.1'
  assert f'{total:,}' in crossmodal.__doc__


def test_fields_and_their_ranges(small):
  _, _, out = small
  shapes = [field.shape for field in out[:5]]
  assert shapes == [(2, 4, 6, 2, 5), (2, 4, 6, 2, 6), (2, 4, 6, 2), (2, 4, 6, 2), (2, 4, 6, 2, 2)]
  assert np.abs(out.phi).max() < 1 and np.abs(out.depth).max() < 1
  assert np.abs(out.offset).max() < 0.5
  pairs = np.asarray(out.c).reshape(-1, 2)
  np.testing.assert_allclose(np.linalg.norm(pairs, axis=-1), 1, atol=1e-5)
  # Nothing is saturated or dead: each field varies over the cells.
  assert all(np.std(field, axis=(0, 1, 2)).min() > 1e-3 for field in out)


def test_heads_at_root_cells_equal_heads_everywhere(small):
  v, variables, out = small
  net = crossmodal.PoseNet(SMALL_H)
  # Stride 16: cell (x 3, y 1) is centred at (7.5 + 48, 7.5 + 16) px; a root up to 8 px away is its.
  roots = np.array([[[55.5, 23.5], [48.0, 31.0]], [[0.0, 0.0], [500.0, 63.0]]], np.float32)
  cells = [(0, 1, 3), (0, 1, 3), (1, 0, 0), (1, 3, 5)]  # the last one is clipped to the border

  @jax.jit
  def at_roots(variables):
    features = net.apply(variables, v, method='features')
    assert features.shape == (2, 4, 6, 8)
    around = windows.read_windows(features, roots, 16, 3)
    middles = around[:, :, 1, 1]
    return net.apply(variables, around, method='heads'), net.apply(
      variables, middles, method='roots'
    )

  heads, logits = at_roots(variables)
  assert heads.phi.shape == (2, 2, 2, 5) and heads.root_logits is None
  for index, cell in enumerate(cells):
    at = divmod(index, 2)
    np.testing.assert_allclose(logits[at], out.root_logits[cell], atol=1e-5)
    for field in ('phi', 'c', 'depth', 'offset'):
      np.testing.assert_allclose(getattr(heads, field)[at], getattr(out, field)[cell], atol=1e-5)


def test_every_output_cell_sees_every_input_cell():
  v = np.random.default_rng(0).normal(size=(1, 24, 24, 3)).astype(np.float32)
  net = crossmodal.PoseNet(SMALL_H)
  variables = random_parameters(net, v)

  @jax.jit
  def seen(variables, row, column):
    def read(x):
      return jnp.sum(net.apply(variables, x, method='features')[0, row, column])

    return jnp.abs(jax.grad(read)(v)).sum((0, 3)) > 0

  cut = jax.tree_util.tree_map_with_path(
    lambda path, x: np.zeros_like(x) if 'channels' in str(path) else x, variables
  )
  for row, column in ((0, 0), (11, 11), (3, 7)):
    # A person may fill the image: the channel-wise layer carries all of it to each cell.
    assert seen(variables, row, column).all()
    # Without that layer the view is local, so the line above does not hold by chance.
    local = seen(cut, row, column)
    assert local[2 * row, 2 * column] and local.mean() < 0.7


def test_seven_by_seven_layers_see_fifteen_cells_around():
  net = crossmodal.MapEncoder(SMALL_G)
  maps = np.random.default_rng(0).normal(size=(1, 33, 35, 4)).astype(np.float32)
  variables = random_parameters(net, maps)

  @jax.jit
  def seen(x):
    return jax.grad(lambda x: jnp.sum(net.apply(variables, x)[0][0, 16, 17] ** 2))(x)

  support = np.abs(np.asarray(seen(maps))).sum((0, 3)) > 0
  rows, columns = np.nonzero(support)
  # Five layers, 3 cells each: 16 ± 15 and 17 ± 15.
  assert (rows.min(), rows.max(), columns.min(), columns.max()) == (1, 31, 2, 32)
  latent, skip = jax.jit(net.apply)(variables, maps)
  assert latent.shape == (1, 33, 35, 6) and skip.shape == (1, 33, 35, 3)
  assert latent.min() == 0 and skip.min() == 0 and latent.max() > 0 and skip.max() > 0


@pytest.mark.parametrize(
  ('changes', 'cells', 'shape'),
  [
    # Two ups: back to v's own grid, stride 8.
    ({'up': (((6, 3),), ((8, 3),))}, 1, (8, 12)),
    # No up: the channel-wise layer works on the output's grid.
    ({'down': (((6, 1),), ((6, 4),)), 'up': ()}, 2, (4, 6)),
  ],
  ids=['stride 8', 'two grids'],
)
def test_other_grids(changes, cells, shape):
  config = dataclasses.replace(SMALL_H, **changes)
  assert config.cells == cells
  v = jax.ShapeDtypeStruct((2, 8, 12, 7), jnp.float32)
  out, _ = jax.eval_shape(crossmodal.PoseNet(config).init_with_output, jax.random.key(0), v)
  assert out.depth.shape == (2, *shape, 2)


def test_training_starts_upright_facing_the_camera():
  net = crossmodal.PoseNet(dataclasses.replace(SMALL_H, roots=False, offsets=False))
  features = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3, 3, 8)), jnp.float32)
  out, _ = net.init_with_output(jax.random.key(0), features, method='heads')
  cosines = out.c[..., 1::2]
  assert cosines.min() > 0 and cosines.mean() > 0.9
  assert np.abs(out.phi).mean() < 0.3


@pytest.mark.parametrize(
  ('slots', 'starts'),
  [
    (1, [[0, 0]]), (2, [[0.25, 0], [-0.25, 0]]),
    (4, [[0.25, 0], [0, 0.25], [-0.25, 0], [0, -0.25]]),
  ],
)
def test_slots_start_apart_and_without_anybody(slots, starts):
  net = crossmodal.PoseNet(dataclasses.replace(SMALL_H, slots=slots, window=None))
  nothing = jnp.zeros((1, 1, 1, 8))
  found, _ = net.init_with_output(jax.random.key(0), nothing, method='heads')
  np.testing.assert_allclose(found.offset[0], starts, atol=1e-6)
  logits, _ = net.init_with_output(jax.random.key(0), nothing[:, 0, 0], method='roots')
  np.testing.assert_allclose(jax.nn.sigmoid(logits), 0.047, atol=1e-3)


def test_pairs_without_direction_are_guarded():
  net = crossmodal.PoseNet(SMALL_H)
  features = jnp.ones((3, 3, 3, 8))
  zeros = jax.tree.map(
    jnp.zeros_like, random_parameters(net, jnp.zeros((1, 4, 4, 7)))
  )
  out = net.apply(zeros, features, method='heads')
  np.testing.assert_array_equal(out.c, np.tile([0, 1], (3, 2, 3)))

  @jax.jit
  @jax.grad
  def slope(variables):
    return jnp.sum(net.apply(variables, features, method='heads').c ** 3)

  gradient = slope(zeros)
  assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))


def test_gradients_reach_every_parameter(small):
  _, variables, _ = small
  net = crossmodal.PoseNet(SMALL_H)
  g = crossmodal.MapEncoder(dataclasses.replace(SMALL_G, latent=7))
  maps = np.random.default_rng(3).normal(size=(2, 8, 12, 4)).astype(np.float32)

  @jax.jit
  @jax.grad
  def gradient(params):
    latent, skip = g.apply(params[1], maps)
    out = net.apply(params[0], latent)
    return sum(jnp.sum(jnp.abs(x - 0.1)) for x in jax.tree.leaves((out, skip)))

  for network in gradient((variables, random_parameters(g, maps))):
    for path, leaf in flax.traverse_util.flatten_dict(network).items():
      assert np.isfinite(leaf).all() and np.abs(leaf).sum() > 0, path


def test_gradient_in_float64(x64):
  net = crossmodal.PoseNet(dataclasses.replace(SMALL_H, down=SMALL_H.down[:2]))
  v = np.random.default_rng(0).normal(size=(1, 4, 4, 3))
  wide = jax.tree.map(np.float64, random_parameters(net, v))

  @jax.jit
  def f(v):
    return sum(jnp.sum(jnp.sin(x)) for x in jax.tree.leaves(net.apply(wide, v)))

  check_grads(f, (v,), order=1, modes=('rev',), eps=1e-6, rtol=1e-5)


def test_bfloat16(small):
  v, variables, exact = small
  narrow = crossmodal.PoseNet(SMALL_H, jnp.bfloat16)

  @jax.jit
  def run(variables):
    features = narrow.apply(variables, v, method='features')
    around = windows.read_windows(features, jnp.array([[[8.0, 8.0]]] * 2), 16, 3)
    return features, narrow.apply(variables, around, method='heads')

  features, out = run(variables)
  assert features.dtype == jnp.bfloat16
  assert {field.dtype for field in jax.tree.leaves(out)} == {jnp.dtype('float32')}
  np.testing.assert_allclose(out.phi[:, 0], exact.phi[:, 0, 0], atol=0.1)
  g = crossmodal.MapEncoder(SMALL_G, jnp.bfloat16)
  latent, _ = jax.eval_shape(
    g.init_with_output, jax.random.key(0), jnp.zeros((1, 8, 8, 4))
  )[0]
  assert latent.dtype == jnp.bfloat16


@pytest.mark.parametrize('mode', ['nearest', 'bilinear'])
def test_read_windows_against_scipy(mode):
  rng = np.random.default_rng(0)
  features = rng.normal(size=(2, 5, 7, 3)).astype(np.float32)
  roots = rng.uniform(-20, 80, (2, 40, 2)).astype(np.float32)
  read = np.asarray(windows.read_windows(features, roots, 8, 3, mode))
  assert read.shape == (2, 40, 3, 3, 3)
  for b in range(2):
    for c in range(3):
      x, y = (roots[b].T - 3.5) / 8
      if mode == 'nearest':
        x, y = np.round(x), np.round(y)
      # The middle is clipped to the grid; what lies beyond the border is 0.
      x, y = np.clip(x, 0, 6), np.clip(y, 0, 4)
      for i, j in np.ndindex(3, 3):
        expected = scipy.ndimage.map_coordinates(
          features[b, :, :, c], [y + i - 1, x + j - 1], order=1, mode='grid-constant'
        )
        np.testing.assert_allclose(read[b, :, i, j, c], expected, atol=1e-4)


def test_read_windows_gradients(x64):
  features = np.random.default_rng(0).normal(size=(1, 4, 5, 2))
  roots = np.array([[[10.0, 12.0], [25.0, 5.0], [-30.0, 9.0], [11.5, 3.5]]])

  @jax.jit
  def bilinear(features, roots):
    return windows.read_windows(features, roots, 8, 3, 'bilinear')

  check_grads(bilinear, (features, roots[:, :3]), order=1, modes=('rev',), eps=1e-6)
  # On a cell's centre: finite. Nearest: each cell gets what its readers send.
  assert np.isfinite(jax.grad(lambda r: bilinear(features, r).sum())(roots)).all()
  gradient = jax.grad(lambda f: windows.read_windows(f, roots, 8).sum())(features)
  assert gradient.sum() == 8 and set(np.unique(gradient)) == {0, 1}


@pytest.mark.parametrize(
  ('change', 'message'),
  [
    ({'up': (((6, 3),),) * 3}, 'fewer grids'),
    ({'slots': 0}, 'slots'),
    ({'bottom': ()}, 'needs a layer'),
    ({'down': (((6, 1),), ((6, 3),), ((6, 4),))}, 'even for the first'),
    ({'bottom': ((6, 2),)}, 'kernels must be odd'),
  ],
)
def test_bad_configs_are_refused(change, message):
  with pytest.raises(ValueError, match=message):
    dataclasses.replace(SMALL_H, **change)


def test_bad_shapes_are_refused():
  with pytest.raises(ValueError, match='multiples of 4'):
    layers.parameter_count(crossmodal.PoseNet(SMALL_H), (1, 8, 10, 7))
  with pytest.raises(ValueError, match='MapEncoder'):
    layers.parameter_count(crossmodal.MapEncoder(SMALL_G), (8, 8, 4))
  features = jnp.zeros((2, 4, 4, 3))
  with pytest.raises(ValueError, match='roots must have shape'):
    windows.read_windows(features, jnp.zeros((3, 1, 2)), 8)
  with pytest.raises(ValueError, match="'nearest' or 'bilinear'"):
    windows.read_windows(features, jnp.zeros((2, 1, 2)), 8, 1, 'cubic')
