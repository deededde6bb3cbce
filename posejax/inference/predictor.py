"""From images of any size to people in their own pixels and their true camera.

Symbols: B images, H W px, S px of the network's square view of an image (data/letterbox), P people,
J joints. A network's camera is fixed: f0 = S, the middle of the view. The true one is in the view
f' = s f, c' = s (c + 1/2 − e) − 1/2; s, e the view's scale and corner. Then [R, spec/crossmodal.md]

  d = d0 · f' / f0,   p_g = R p_r + ((r − c') d / f', d),   k = the view's points in the image,

d0 the predicted depth, p_r the root-relative pose, r the root's point in the view, f' the mean of
its two where they differ. A person of f' ≠ f0 is so far away as to look as large in the image. The
network takes its axis to go through the middle of the view: R turns it there, without roll. It is
the identity for a whole image whose principal point is its middle.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import letterbox
from posejax.data.letterbox import View
from posejax.geometry import camera as camera_lib
from posejax.geometry import lifting
from posejax.geometry.camera import Intrinsics
from posejax.inference import scene as scene_lib
from posejax.inference import tiles as tiles_lib
from posejax.inference.checkpoint import Run
from posejax.methods.base import People


class Square(NamedTuple):
  """An image, or a part of it, as the network gets it.

  Attributes:
    pixels: (S, S, 3) uint8.
    view: which square of the image that is.
    intrinsics: of the whole image, px.
  """

  pixels: np.ndarray
  view: View
  intrinsics: Intrinsics


Levels = list[list[Square]]  # level by level, as `tiles.views` has them


class Predictor:
  """Finds people in images; compiled at most twice, for one view and for a batch of them.

  Args:
    run: networks and config.
    batch: views of a full call.
    tiles: the finest level of parts that are looked at beside the whole image (`tiles.LEVELS`).

  Attributes:
    skeleton: of the joints.
    side: S.
    config: of the run.
  """

  def __init__(self, run: Run, batch: int = 8, tiles: int = 1):
    if batch < 1:
      raise ValueError(f'Predictor: batch must be ≥ 1, got {batch}')
    if tiles not in tiles_lib.LEVELS:
      raise ValueError(f'Predictor: tiles must be of {tiles_lib.LEVELS}, got {tiles}')
    self.skeleton = run.method.skeleton
    self.config: ml_collections.ConfigDict = run.config
    self.side: int = run.method.side(run.config)
    self.batch, self.tiles = batch, tiles
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
    return self.of_levels([self.levels(image, intrinsics) for image in images])

  def levels(self, pixels: np.ndarray, intrinsics: Intrinsics) -> Levels:
    """What the network gets of one image (H, W, 3): all of it, letterboxed, and its parts."""
    return [
      [Square(letterbox.cut(pixels, view, self.side), view, intrinsics) for view in views]
      for views in tiles_lib.views(pixels.shape[1], pixels.shape[0], self.side, self.tiles)
    ]

  def full(self, waiting: Iterable[Levels]) -> bool:
    """Whether as many views wait as a call takes; with tiles those of one image may be more."""
    return sum(len(squares) for levels in waiting for squares in levels) >= self.batch

  def of_levels(self, images: Sequence[Levels]) -> People:
    """People of B images, each person once: fields (B, P, ...), NumPy.

    Of no image, P is 0 and nothing is compiled.
    """
    found = self._of_squares([one for levels in images for squares in levels for one in squares])
    if self.tiles == 1 or not images:
      return found
    merged, first = [], 0
    for levels in images:
      people = []
      for squares in levels:
        people.append(People(*(field[first : first + len(squares)] for field in found)))
        first += len(squares)
      seen = [[one.view for one in squares] for squares in levels]
      merged.append(tiles_lib.merge(people, seen, self.side, self.skeleton))
    return _stacked(merged)

  def _of_squares(self, squares: Sequence[Square]) -> People:
    """People of any number of views, each in its own image."""
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
    people = true_camera(
      found, scene_lib.root(self.skeleton), self.side, [square.view for square in squares],
      [square.intrinsics for square in squares],
    )
    finite = [
      (np.isfinite(joints).all(-1) | ~people.joint_valid).all(-1)
      for joints in (people.joints_2d, people.joints_camera)
    ]
    return people._replace(valid=people.valid & finite[0] & finite[1])


def _stacked(people: Sequence[People]) -> People:
  """People of images of which each has another number: (B, P, ...), P the largest, ≥ 1."""
  most = max(1, *(len(one.valid) for one in people))
  return People(*(
    np.stack([
      np.pad(field, ((0, most - len(field)), *((0, 0),) * (field.ndim - 1))) for field in fields
    ]) for fields in zip(*people, strict=True)
  ))


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
    People; `joints_relative` in the axes of the true camera.
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
  axis = jnp.asarray(((side - 1) / 2 - center) / focal)[:, 0]
  relative = np.asarray(lifting.turn_back(lifting.ray_frame(axis)[:, None], people.joints_relative))
  image = np.stack([
    letterbox.to_photograph(mine, view) for mine, view in zip(points, views, strict=True)
  ])
  return people._replace(
    joints_2d=image.astype(np.float32), depth=depth.astype(np.float32),
    joints_relative=relative.astype(np.float32),
    joints_camera=(relative + place[:, :, None]).astype(np.float32),
  )
