"""3D poses as pictures, with matplotlib's own renderer (no display, no global state).

Colours as in `overlay`. World frame: z up, mm; axes are drawn in m.
"""

import io

import matplotlib.figure
import numpy as np
from matplotlib.backends import backend_agg
from PIL import Image

from posejax.geometry.skeleton import Skeleton
from posejax.viz import overlay


def world_figure(
  joints: np.ndarray, valid: np.ndarray, skeleton: Skeleton, camera_centers: np.ndarray,
  size: tuple[int, int] = (360, 360), elevation: float = 22.0, azimuth: float = -60.0,
) -> Image.Image:
  """People and numbered cameras in the world, seen from above at an angle; axes in m.

  Args:
    joints: (P, J, 3) mm, world.
    valid: (P,) bool.
    skeleton: of the joints.
    camera_centers: (C, 3) mm, world; (0, 3) draws none.
    size: px.
    elevation: of the onlooker, degrees.
    azimuth: of the onlooker, degrees.

  Returns:
    The picture.
  """
  figure = matplotlib.figure.Figure((size[0] / 100, size[1] / 100), dpi=100)
  axes = figure.add_axes((0, 0, 1, 1), projection='3d')
  people = np.asarray(joints)[np.asarray(valid, bool)] / 1000
  for person in people:
    for limb in skeleton.limbs:
      color = np.array(overlay.side_color(skeleton, limb)) / 255
      if limb[0] in (0, 1) and color.min() > 0.8:
        color = np.full(3, 0.25)  # light lines vanish on paper
      axes.plot(*person[list(limb)].T, color=color, linewidth=2)
    axes.plot(*(person[:1] * (1, 1, 0)).T, 'o', color='0.75', markersize=3)
  centers = np.asarray(camera_centers) / 1000
  for i, center in enumerate(centers):
    axes.plot(*center[:, None], marker='s', color='black', markersize=4)
    axes.plot(*np.stack([center, center * (1, 1, 0)]).T, color='0.7', linewidth=0.8)
    axes.text(*(center + (0, 0, 0.15)), f'{i + 1}', fontsize=9)
  points = np.concatenate([people.reshape(-1, 3), centers.reshape(-1, 3), np.zeros((1, 3))])
  reach = max(float(np.abs(points[:, :2]).max()), 1.0)
  axes.set(xlim=(-reach, reach), ylim=(-reach, reach), zlim=(0, max(2.0, points[:, 2].max())))
  axes.set_box_aspect((2 * reach, 2 * reach, max(2.0, points[:, 2].max())), zoom=1.1)
  axes.tick_params(labelsize=6, pad=-2)
  axes.view_init(elevation, azimuth)
  return _picture(figure)


def _picture(figure: matplotlib.figure.Figure) -> Image.Image:
  buffer = io.BytesIO()
  backend_agg.FigureCanvasAgg(figure).print_png(buffer)
  return Image.open(buffer).convert('RGB')
