"""From images of any size to people in their own pixels and their true camera.

Symbols: B images, H W px, S px of the network's square view of an image (data/letterbox), P people,
J joints. A network's camera is fixed: f0 = S, the middle of the view. The true one is in the view
f' = s f, c' = s (c + 1/2 − e) − 1/2; s, e the view's scale and corner. Then [R, spec/crossmodal.md]

  d = d0 · f' / f0,   p_g = p_r + ((r − c') d / f', d),   k = the view's points in the image,

d0 the predicted depth, p_r the root-relative pose, r the root's point in the view, f' the mean of
its two where they differ. A person of f' ≠ f0 is so far away as to look as large in the image.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import ml_collections
import numpy as np

from posejax.data import letterbox
from posejax.data.letterbox import View
from posejax.geometry import camera as camera_lib
from posejax.geometry.camera import Intrinsics
from posejax.inference import scene as scene_lib
from posejax.inference.checkpoint import Run
from posejax.methods.base import People


class Square(NamedTuple):
  """An image as the network gets it.

  Attributes:
    pixels: (S, S, 3) uint8.
    view: which square of the image that is.
    intrinsics: of the whole image, px.
  """

  pixels: np.ndarray
  view: View
  intrinsics: Intrinsics


class Predictor:
  """Finds people in images; compiled at most twice, for one image and for a batch.

  Args:
    run: networks and config.
    batch: images of a full call.

  Attributes:
    skeleton: of the joints.
    side: S.
    config: of the run.
  """

  def __init__(self, run: Run, batch: int = 8):
    if batch < 1:
      raise ValueError(f'Predictor: batch must be ≥ 1, got {batch}')
    self.skeleton = run.method.skeleton
    self.config: ml_collections.ConfigDict = run.config
    self.side: int = run.method.side(run.config)
    self.batch = batch
    self._infer = run.method.infer(run.config, run.products)

  def __call__(self, images: np.ndarray, intrinsics: Intrinsics | None = None) -> People:
    """People of images.

    Args:
      images: (B, H, W, 3) uint8, RGB; any size, B may be 0.
      intrinsics: of all images, px; where None, f = the longer side, the middle.

    Returns:
      People, a tree of NumPy arrays with leading B: px of these images, mm of their camera.

    Raises:
      ValueError: another shape or type.
    """
    images = np.asarray(images)
    fits = images.ndim == 4 and images.shape[3] == 3 and 0 not in images.shape[1:]
    if not fits or images.dtype != np.uint8:
      raise ValueError(
        f'Predictor: images must be (B, H, W, 3) uint8, got {images.dtype}{images.shape}'
      )
    if intrinsics is None:
      intrinsics = camera_lib.fixed_intrinsics(images.shape[2], images.shape[1])
    return self.of_squares([self.square(image, intrinsics) for image in images])

  def square(self, pixels: np.ndarray, intrinsics: Intrinsics) -> Square:
    """The view of one image (H, W, 3) that the network gets: all of it, letterboxed."""
    view = letterbox.whole(pixels.shape[1], pixels.shape[0], self.side)
    return Square(letterbox.cut(pixels, view, self.side), view, intrinsics)

  def of_squares(self, squares: Sequence[Square]) -> People:
    """People of any number of views, each in its own image: fields (B, P, ...), NumPy.

    Of no view, P is 0 and nothing is compiled.
    """
    parts = [
      self._call(squares[first : first + self.batch])
      for first in range(0, len(squares), self.batch)
    ]
    if not parts:  # how many slots there would be the network alone knows
      nobody = scene_lib.frame_of([], self.skeleton.num_joints).people
      return People(*(field[None][:0] for field in nobody))
    return People(*(np.concatenate(fields) for fields in zip(*parts, strict=True)))

  def _call(self, squares: Sequence[Square]) -> People:
    count = len(squares)
    size = 1 if count == 1 else self.batch
    pixels = np.zeros((size, self.side, self.side, 3), np.uint8)
    pixels[:count] = [square.pixels for square in squares]
    found = jax.tree.map(lambda x: np.asarray(x)[:count], self._infer(pixels))
    return true_camera(
      found, scene_lib.root(self.skeleton), self.side, [square.view for square in squares],
      [square.intrinsics for square in squares],
    )


def true_camera(
  people: People, root: int, side: int, views: Sequence[View], intrinsics: Sequence[Intrinsics]
) -> People:
  """People of views by the fixed camera → of the whole images by the true one (module docstring).

  Args:
    people: fields (B, P, ...), NumPy.
    root: the joint whose depth is known.
    side: S.
    views: B.
    intrinsics: B, of the whole images.

  Returns:
    People; `joints_relative` stays.
  """
  seen = [
    letterbox.view_intrinsics(one, view) for one, view in zip(intrinsics, views, strict=True)
  ]
  focal, center = (
    np.stack([np.asarray(getattr(one, name), np.float64) for one in seen])[:, None]
    for name in ('focal', 'center')
  )
  depth = people.depth * focal.mean(-1) / side
  points = np.asarray(people.joints_2d, np.float64)
  place = (points[:, :, root] - center) / focal * depth[..., None]
  place = np.concatenate([place, depth[..., None]], axis=-1)
  image = np.stack([
    letterbox.to_photograph(mine, view) for mine, view in zip(points, views, strict=True)
  ])
  return people._replace(
    joints_2d=image.astype(np.float32), depth=depth.astype(np.float32),
    joints_camera=(people.joints_relative + place[:, :, None]).astype(np.float32),
  )
