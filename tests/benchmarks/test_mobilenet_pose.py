"""dm14's benchmark: PyTorch's network is ours, and every row is there."""

import numpy as np
import pytest

from posejax.benchmarks import mobilenet_pose as bench
from posejax.benchmarks import torch_crossmodal
from posejax.models.mobilenet_pose import Block, MobilenetPoseConfig

TINY = MobilenetPoseConfig(
  stem=4, blocks=(Block(3, expand=1), Block(4, 2), Block(4, 2), Block(6, 2)), fine=2, width=5,
  branch=7, num_paf=4, num_heat=3, num_stages=3,
)


@pytest.mark.skipif(not torch_crossmodal.available(), reason='PyTorch: extra `bench`')
def test_pytorch_has_the_same_network_and_a_rate():
  images = np.random.default_rng(0).integers(0, 256, (1, 48, 32, 3), np.uint8)
  params = bench.random_parameters(TINY)
  rows = list(bench.network_rows(TINY, params, images, seconds=0.0))
  assert [row.name.split(': ')[-1] for row in rows] == ['E', 'E + F']
  assert all(row.rate > 0 and row.torch > 0 for row in rows)
  # Another weight: no longer the same network, and no rate.
  def maps(params):
    twin = bench.TorchMobilenetPose(TINY, params)
    return twin.decode(*twin.encode(images))

  ours = tuple(m.permute(0, 2, 3, 1).numpy() for m in maps(params))
  bench.require_same(ours, maps(params))
  params['F']['MConv_Stage3_L1_5_pointwise']['bias'] += np.abs(ours[0]).max()
  with pytest.raises(AssertionError):
    bench.require_same(ours, maps(params))


def test_both_depthwise_convolutions_agree():
  row = bench.depthwise_row((6, 6, 3), 2, seconds=0.0)
  assert row.rate > 0 and 'XLA' in row.note
