"""The pictures, page and recording of one result, as what writes each of them to a file."""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image

from posejax.geometry.camera import Intrinsics
from posejax.geometry.skeleton import Skeleton
from posejax.viz import pose_views, rerun_recording, scene_page, sheets
from posejax.viz.pose_views import Small
from posejax.viz.scene_page import Moment

Save = Callable[[BinaryIO], object]
SHEET = 6  # pictures of a video's sheet


class Shown(NamedTuple):
  """A result, to be drawn.

  Attributes:
    title: of the file.
    moments: its frames.
    skeleton: of the joints.
    lens: px of the file's pictures.
    size: (W, H) px.
    fps: None for a photograph.
    notes: sentences for the page.
  """

  title: str
  moments: Sequence[Moment]
  skeleton: Skeleton
  lens: Intrinsics
  size: tuple[int, int]
  fps: float | None
  notes: tuple[str, ...]


def pictures(shown: Shown, small: Mapping[int, Small]) -> dict[str, Save]:
  """Ending → what writes the overlay, the two views and the page.

  Args:
    shown: the result; nothing is drawn of one without frames.
    small: position in `moments` → its picture; of more than one a sheet is made.
  """
  if not shown.moments:
    return {}
  fullest = max(shown.moments, key=lambda moment: int(np.sum(moment.people.valid)))
  title = shown.title + (f', {fullest.time:.2f} s' if shown.fps else '')
  views = pose_views.two_views(fullest.people, shown.skeleton, title)
  overlay = _overlay(shown, small)
  page = scene_page.page(
    shown.title, shown.moments, shown.skeleton, shown.lens, shown.size, shown.fps, shown.notes,
    overlay,
  )
  found: dict[str, Save] = {
    '.html': lambda file: file.write(page.encode()), '.3d.png': lambda file: file.write(views),
  }
  if overlay is not None:
    found['.overlay.png'] = functools.partial(overlay.save, format='PNG')
  return found


def recording(shown: Shown) -> dict[str, Save]:
  """Ending → what writes the rerun recording."""
  data = rerun_recording.recording(
    shown.title, [(moment.time, moment.people) for moment in shown.moments], shown.skeleton,
    shown.lens, shown.size,
  )
  return {'.rrd': lambda file: file.write(data)}


def _overlay(shown: Shown, small: Mapping[int, Small]) -> Image.Image | None:
  """The picture with its people; of a video frames evenly over it, in rows of three."""
  known = [at for at in sorted(small) if at < len(shown.moments)]
  if not known:
    return None
  picks = np.unique(np.linspace(0, len(known) - 1, min(SHEET, len(known))).astype(int))
  chosen = [known[i] for i in picks]
  cells = [
    pose_views.overlay_picture(small[at], shown.moments[at].people, shown.skeleton)
    for at in chosen
  ]
  if shown.fps is None:
    return cells[0]
  times = ', '.join(f'{shown.moments[at].time:.2f}' for at in chosen)
  return sheets.sheet([cells[i : i + 3] for i in range(0, len(cells), 3)], title=f'at {times} s')
