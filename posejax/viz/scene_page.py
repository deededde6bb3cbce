"""A page to turn a scene by hand: one HTML file, opened from the disk, asking no network.

The page's policy allows its own script alone (by its hash) and pictures that are in the page; what
names and notes hold is shown as text. Camera frame, mm; colours as in `overlay`.
"""

import base64
import hashlib
import html
import io
import json
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from posejax.geometry.camera import Intrinsics
from posejax.geometry.skeleton import Skeleton
from posejax.methods.base import People
from posejax.viz import overlay
from posejax.viz.scene_script import SCRIPT

MOST_FRAMES = 1500  # of a video; a longer one is thinned out
_FARTHEST = 1e5  # mm

_STYLE = """
body { font: 15px/1.5 system-ui, "Segoe UI", "DejaVu Sans", sans-serif; color: #222; margin: 0 auto;
  max-width: 1180px; padding: 14px 22px 40px; }
h1 { font-size: 20px; margin: 4px 0 8px; overflow-wrap: anywhere; }
canvas { width: 100%; height: 62vh; min-height: 320px; border: 1px solid #ddd; border-radius: 8px;
  touch-action: none; cursor: grab; display: block; }
.bar { display: flex; gap: 8px; align-items: center; margin: 8px 0; flex-wrap: wrap; }
.bar[hidden] { display: none; } input[type=range] { flex: 1; }
button { font: inherit; padding: 2px 12px; } img { max-width: 100%; height: auto; }
.quiet { color: #666; font-size: 13.5px; overflow-wrap: anywhere; } figure { margin: 16px 0; }
b.r { color: #c65f12; } b.l { color: #1f6fd6; } ul { margin: 6px 0; padding-left: 20px; }
"""
_MIDDLE = '#3d3d3d'


class Moment(NamedTuple):
  """One frame.

  Attributes:
    time: s.
    people: unbatched.
    bridged: (P,) bool, drawn dashed.
    uncertainty: (P,) mm; None where the method says none.
  """

  time: float
  people: People
  bridged: np.ndarray
  uncertainty: np.ndarray | None = None


def page(
  title: str, moments: Sequence[Moment], skeleton: Skeleton, lens: Intrinsics,
  size: tuple[int, int], fps: float | None, notes: Sequence[str] = (),
  picture: Image.Image | None = None,
) -> str:
  """The document.

  Args:
    title: of the file.
    moments: frames in order.
    skeleton: of the joints.
    lens: px of the picture.
    size: (W, H) px of the picture.
    fps: frames a second; None for a photograph.
    notes: sentences below.
    picture: shown below the scene.

  Returns:
    HTML.
  """
  every = max(1, math.ceil(len(moments) / MOST_FRAMES))
  content = {
    'limbs': [
      [a, b, _color(overlay.side_color(skeleton, (a, b)))] for a, b in skeleton.limbs
    ],
    'lens': {'focal': _numbers(lens.focal), 'center': _numbers(lens.center)},
    'size': list(size), 'rate': (fps or 1.0) / every,
    'frames': [_frame(moment) for moment in moments[::every]],
  }
  # A closing tag in a text would end the block.
  data = json.dumps(content, allow_nan=False, separators=(',', ':')).replace('<', '\\u003c')
  digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
  policy = (
    f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
  )
  said = ''.join(f'<p class="quiet">{html.escape(note)}</p>' for note in notes)
  if every > 1:
    said += f'<p class="quiet">Every {every}. frame is shown.</p>'
  return (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
    f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
    '<meta name="viewport" content="width=device-width, initial-scale=1">'
    f'<title>{html.escape(title)}</title><style>{_STYLE}</style></head><body>'
    f'<h1>{html.escape(title)}</h1><canvas id="view" tabindex="0"></canvas>'
    '<div class="bar" id="film"><button id="play">play</button>'
    '<input type="range" id="frame" min="0" value="0"><span id="time"></span></div>'
    '<div class="bar"><button id="reset">start view</button>'
    '<button id="front">as the camera</button><button id="above">from above</button>'
    '<span class="quiet">Drag to turn, wheel to come nearer. <b class="r">Right side orange</b>, '
    '<b class="l">left side blue</b>; a square of the floor is 1 m, at the height of the lowest '
    'feet, as if the camera were level.</span></div>'
    f'<ul id="people"></ul>{said}{_figure(picture)}'
    f'<script type="application/json" id="scene">{data}</script>'
    f'<script>{SCRIPT}</script></body></html>\n'
  )


def _frame(moment: Moment) -> dict:
  people = moment.people
  found = []
  for slot in np.flatnonzero(people.valid):
    score, depth = float(people.score[slot]), float(people.depth[slot])
    unsure = math.nan if moment.uncertainty is None else float(moment.uncertainty[slot])
    found.append({
      'id': int(people.identity[slot]), 'score': round(score, 3) if math.isfinite(score) else None,
      'depth': round(depth, 1) if math.isfinite(depth) else 0.0,
      'bridged': bool(moment.bridged[slot]),
      'unsure': round(unsure, 1) if math.isfinite(unsure) else None,
      'joints': [
        _numbers(joint) if valid and (np.abs(np.nan_to_num(joint, nan=np.inf)) < _FARTHEST).all()
        else None
        for joint, valid in zip(people.joints_camera[slot], people.joint_valid[slot], strict=True)
      ],
    })
  return {'time': moment.time if math.isfinite(moment.time) else 0.0, 'people': found}


def _numbers(values) -> list[float]:
  return [round(float(value), 1) for value in values]


def _color(color: tuple[int, int, int]) -> str:
  return _MIDDLE if min(color) > 200 else '#' + ''.join(f'{channel:02x}' for channel in color)


def _figure(picture: Image.Image | None) -> str:
  if picture is None:
    return ''
  buffer = io.BytesIO()
  picture.convert('RGB').save(buffer, 'JPEG', quality=85)
  data = base64.b64encode(buffer.getvalue()).decode()
  source = f'data:image/jpeg;base64,{data}'
  return f'<figure><img alt="the picture, people drawn" src="{source}"></figure>'
