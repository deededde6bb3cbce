"""A finished run of a method that sees red: no training, nothing to compile.

The network's picture is 64 px. A person stands wherever the picture is red, at 3 m from the fixed
camera, with its pelvis in the middle of the red; a second person mirrors it in the picture's middle
wherever there is green as well.
"""

import json

import ml_collections
import numpy as np

from posejax.geometry.skeleton import J15
from posejax.methods.base import Choice, Interval, Method, People, Product, StagePlan
from posejax.training import stages
from tests.inference import scenes

SIDE, DEPTH = 64, 3000.0


def infer(config, products):
  assert products['fit'].arrays['x'].shape == (2,)

  def find(images):
    assert images.shape[1:] == (SIDE, SIDE, 3) and images.dtype == np.uint8
    calls.append(len(images))
    return People(*map(np.stack, zip(*map(of_image, images), strict=True)))

  calls = CALLS
  return find


CALLS: list[int] = []  # sizes of the batches, for tests that count them


def of_image(image):
  red, green = (image[..., k].astype(float) > 200 for k in (0, 1))
  red = red & (image[..., 2] < 60)
  y, x = np.nonzero(red) if red.any() else (np.zeros(1), np.zeros(1))
  root = np.array([x.mean(), y.mean()])
  middle = (SIDE - 1) / 2
  roots = np.stack([root, [2 * middle - root[0], root[1]]])
  place = np.concatenate([(roots - middle) / SIDE * DEPTH, np.full((2, 1), DEPTH)], -1)
  relative = np.broadcast_to(scenes.standing(), (2, 15, 3))
  camera = relative + place[:, None]
  valid = np.array([red.any(), red.any() and (green & red).any()])
  return People(
    np.arange(2, dtype=np.int32), np.array([0.9, 0.5], np.float32),
    (camera[..., :2] / camera[..., 2:] * SIDE + middle).astype(np.float32),
    relative.astype(np.float32), camera.astype(np.float32), np.full(2, DEPTH, np.float32),
    np.broadcast_to(valid[:, None], (2, 15)), valid,
  )


def no_second_stage(config, products):
  return Product()


METHOD = Method(
  name='toy',
  stages=(
    StagePlan('pictures', fields=('count',), make=lambda *_: Product(arrays={'p': np.zeros(9)})),
    StagePlan('fit', fields=('count',), make=lambda *_: Product(arrays={'x': np.zeros(2)})),
    StagePlan('refine', fields=('count',), make=no_second_stage),
  ),
  rules={'method': Choice(('toy',)), 'seed': Interval(0, 9), 'count': Interval(1, 9)},
  infer=infer, side=lambda config: SIDE, skeleton=J15,
)


def finish(workdir, until=None):
  """Makes the run; its pictures are then taken away, for no inference needs them."""
  config = ml_collections.ConfigDict({'method': 'toy', 'seed': 0, 'count': 1})
  stages.run(METHOD, config, workdir, until=until)
  picture = next((workdir / 'stages').glob('pictures-*')) / 'product' / 'manifest.json'
  picture.write_text(json.dumps({'networks.npz': 'another digest'}))
  return workdir


def photograph(width, height, x, y, color=(255, 0, 0), radius=8):
  """(H, W, 3) uint8, grey with a square around the point (x, y)."""
  image = np.full((height, width, 3), 90, np.uint8)
  image[round(y - radius + 0.5) : round(y + radius + 0.5),
        round(x - radius + 0.5) : round(x + radius + 0.5)] = color
  return image
