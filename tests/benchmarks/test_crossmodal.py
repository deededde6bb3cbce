"""The cross-modal benchmark: convolutions found by hand count, PyTorch's networks equal to ours."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import convolutions, crossmodal, harness, students, torch_crossmodal
from posejax.methods.crossmodal import infer
from tests.training import toy

needs_torch = pytest.mark.skipif(not torch_crossmodal.available(), reason='PyTorch: extra `bench`')


def convolve(x, w):
  return jax.lax.conv_general_dilated(
    x, w, (2, 2), [(1, 1), (1, 1)], dimension_numbers=('NHWC', 'HWIO', 'NHWC')
  )


@pytest.fixture(scope='module')
def found():
  """Operations of a squared 4×4 stride 2 convolution with both gradients, and of two products."""
  def run(x, w, a, b):
    gradients = jax.grad(lambda x, w: (convolve(x, w) ** 2).sum(), (0, 1))(x, w)
    # Twice the same convolution, and once what is too small: neither is there at the end.
    return gradients, (convolve(x, w) ** 2).mean(), a @ b, a[:2] @ b, (a + 1) @ b

  shapes = ((2, 32, 32, 16), (4, 4, 16, 24), (300, 400), (400, 200))
  return convolutions.operations(
    jax.jit(run).lower(*(jnp.zeros(shape) for shape in shapes)).compile().as_text()
  )


def test_convolutions_by_hand(found):
  counts = {(o.kind, o.out): (count, o.flops) for o, count in found.items()}
  # Forward 2·(2·16·16·24)·(4·4·16); of the input 2·(2·32·32·16)·(4·4·24), three of four inputs
  # being zeros between; of the weights as forward, (4·4·16·24) numbers of 2·16·16 each, its kernel
  # the 16×16 gradient. Products 2·300·400·200.
  assert counts.pop(('dot', (300, 200))) == (2, 48e6)
  assert sorted(count for count, _ in counts.values()) == [1, 1, 1]
  assert sorted(flops for _, flops in counts.values()) == [6291456, 6291456, 25165824]
  assert {out for _, out in counts} >= {(2, 16, 16, 24), (2, 32, 32, 16)}


def test_operations_alone_are_what_they_were(found):
  for operation in found:
    assert operation.thunk()().shape == operation.out
  forward = next(o for o in found if o.out == (2, 16, 16, 24))
  rng = np.random.default_rng(0)
  x, w = (rng.normal(size=shape).astype(np.float32) for shape in (forward.left, forward.right))
  np.testing.assert_allclose(forward.program()(x, w), convolve(x, w), rtol=1e-5, atol=1e-4)


def test_calls_count_as_often_as_they_run():
  text = '\n'.join([
    '%inner (p: f32[200,100]) -> f32[200,300] {',
    '  %p = f32[200,100]{1,0} parameter(0)', '  %q = f32[100,300]{1,0} parameter(1)',
    '  ROOT %d = f32[200,300]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}',
    '}', '%unused (p: f32[200,100]) -> f32[200,300] {',
    '  ROOT %e = f32[200,300]{1,0} dot(%p, %q), lhs_contracting_dims={1}, rhs_contracting_dims={0}',
    '}', 'ENTRY %main (x: f32[200,100]) -> f32[200,300] {',
    '  %a = f32[200,300]{1,0} fusion(%x, %y), kind=kOutput, calls=%inner',
    '  ROOT %b = f32[200,300]{1,0} fusion(%x, %y), kind=kOutput, calls=%inner', '}',
  ])
  (operation, count), = convolutions.operations(text).items()
  assert count == 2 and operation.flops == 2 * 200 * 100 * 300
  assert (operation.left, operation.right, operation.out) == ((200, 100), (100, 300), (200, 300))


@pytest.fixture(scope='module')
def small():
  """A config as the paper's is, without a window, on toy widths; and its random networks."""
  config = students.preset('smoke').unlock()
  config.align.h.window.size = 1
  return config, students.random_networks(config)


@needs_torch
def test_pytorch_gives_the_same_maps_and_representation(small):
  config, params = small
  model = infer.Model(config)
  images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
  twin = torch_crossmodal.TorchNetwork(model.teacher.widths, model.h, params)
  heat, s = twin(images)
  assert heat.shape[:3] == (2, 8, 8) and s.shape == (2, 4, 4, 39)
  assert np.abs(heat[..., :15]).max() > 1e-4 and np.abs(s).max() > 0.1
  crossmodal.require_same_networks(model, params, images, twin)
  weights, _ = twin.weights['H']['trunk']['up1']
  weights += 0.3 * weights.abs().max()
  with pytest.raises(AssertionError):
    crossmodal.require_same_networks(model, params, images, twin)


@needs_torch
def test_layers_that_pytorch_lacks_are_refused():
  model = infer.Model(students.preset('smoke'))
  with pytest.raises(ValueError, match='one plain pose a cell'):
    torch_crossmodal.TorchNetwork(model.teacher.widths, model.h, {})


@pytest.fixture(scope='module')
def case(small):
  return crossmodal.compile_inference(*small, 1)


@pytest.mark.parametrize('installed', [False, pytest.param(True, marks=needs_torch)])
def test_inference_rows(case, installed, monkeypatch):
  monkeypatch.setattr(torch_crossmodal, 'available', lambda: installed)
  whole, after = crossmodal.inference_rows('small', case, 0.01, beside=0.8)
  assert whole.unit == after.unit == 'images' and whole.rate > 0 and after.rate > 0
  assert whole.peak_mib > 0 and whole.compile_s > 0 and 'float32 2048²' in whole.note
  if installed:
    assert whole.torch > 0 and whole.target == '≥ 0.8× PyTorch'
    assert whole.reached == (whole.rate >= 0.8 * whole.torch)
  else:
    assert whole.torch is None and not whole.target and 'is not installed' in whole.note
  assert after.reached == (after.rate >= whole.rate / 0.03)


def test_step_rows_are_one_for_each_different_step():
  stage = toy.build(toy.config(), {'truth': toy.make_truth(None, {})})
  rows = list(crossmodal.step_rows('toy', stage, 0.01, bound=True))
  # Phase two has the first one's step on scenes; no layer of the toy is a convolution.
  assert [row.name for row in rows] == [
    'toy: step of first on scenes (a), batch 8',
    'toy: step of first on scenes (a): scenes and maps',
    'toy: step of second on images (b), batch 8',
    'toy: step of second on images (b): pictures drawn and warped',
  ]
  assert all(row.rate > 0 and row.unit == 'examples' for row in rows)
  assert [row.target for row in rows] == ['', '≤ 10 % of a step', '', '']


@pytest.mark.parametrize(
  ('rates', 'tried'), [({16: 100, 32: 190, 64: 195, 128: 400}, [16, 32, 64]), ({}, [16, 32])]
)
def test_batches_grow_while_the_rate_does(monkeypatch, rates, tried):
  monkeypatch.setattr(crossmodal, 'compile_inference', lambda config, params, batch: batch)
  monkeypatch.setattr(crossmodal, 'inference_rows', lambda name, batch, seconds, beside: iter([
    harness.Row(str(batch), 'images', rates.get(batch, 7.0)), None,
  ]))
  rows = crossmodal.larger_batches('small', None, {}, 0.01)
  assert [int(row.name) for row in rows] == tried
