"""The page to turn a scene by hand, and the pictures: nothing unescaped, no network asked."""

import base64
import hashlib
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from posejax.geometry.camera import Intrinsics
from posejax.geometry.skeleton import J15
from posejax.methods.base import People
from posejax.viz import pose_views, rerun_recording, scene_page

LENS = Intrinsics(np.array([300.0, 300.0]), np.array([149.5, 99.5]))
TITLE = '</script><script>alert(1)</script> & co.jpg'


def people(count=2, seed=0):
  pose = np.random.default_rng(seed).normal(size=(count, 15, 3)) * 300 + (0, 0, 3000)
  valid = np.ones((count, 15), bool)
  return People(
    np.arange(1, count + 1), np.linspace(0.2, 0.9, count), pose[..., :2] / 10 + 100,
    pose - pose[:, :1], pose, pose[:, 0, 2], valid, valid[:, 0],
  )


def page(moments=None, **options):
  moments = [scene_page.Moment(0.0, people(), np.zeros(2, bool))] if moments is None else moments
  return scene_page.page(TITLE, moments, J15, LENS, (300, 200), options.pop('fps', None),
                         (TITLE,), Image.new('RGB', (30, 20)), **options)


class Reader(html.parser.HTMLParser):
  """Scripts as (attributes, text), and all attributes."""

  def __init__(self):
    super().__init__()
    self.scripts, self.attributes, self._inside = [], [], False

  def handle_starttag(self, tag, attrs):
    self.attributes += [(name, value or '') for name, value in attrs]
    self._inside = tag == 'script'
    if self._inside:
      self.scripts.append([dict(attrs), ''])

  def handle_endtag(self, tag):
    self._inside = self._inside and tag != 'script'

  def handle_data(self, data):
    if self._inside:
      self.scripts[-1][1] += data


def read(text):
  reader = Reader()
  reader.feed(text)
  return reader


def test_only_its_own_script_may_run():
  text = page()
  (kind, data), (none, script) = read(text).scripts
  assert kind['type'] == 'application/json' and none == {}
  digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
  policy = f"img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{digest}'"
  assert f'content="default-src \'none\'; {policy}"' in text
  assert 'http:' not in text and 'https:' not in text and '@import' not in text
  for name, value in read(text).attributes:
    if name in ('src', 'href'):
      assert value.startswith('data:image/jpeg;base64,')
  assert len(json.loads(data)['frames']) == 1


def test_the_data_are_the_scene():
  data = json.loads(read(page()).scripts[0][1])
  wanted = people()
  (frame,) = data['frames']
  assert [person['id'] for person in frame['people']] == [1, 2]
  np.testing.assert_allclose(
    [person['joints'] for person in frame['people']], wanted.joints_camera, atol=0.051)
  assert data['limbs'][3] == [3, 4, '#f47a20'] and data['lens']['focal'] == [300, 300]


def test_what_is_not_there_is_null():
  broken = people()
  broken.joints_camera[0, 3] = np.nan
  broken.joint_valid[1, 4] = False
  broken.score[0] = np.nan
  data = json.loads(read(page([scene_page.Moment(0.0, broken, np.zeros(2, bool))])).scripts[0][1])
  first, second = data['frames'][0]['people']
  assert first['joints'][3] is None and second['joints'][4] is None and first['score'] is None
  assert second['joints'][3] is not None


def test_long_videos_are_thinned_out(monkeypatch):
  monkeypatch.setattr(scene_page, 'MOST_FRAMES', 4)
  moments = [scene_page.Moment(t / 10, people(seed=t), np.zeros(2, bool)) for t in range(9)]
  text = page(moments, fps=10.0)
  data = json.loads(read(text).scripts[0][1])
  assert [frame['time'] for frame in data['frames']] == [0.0, 0.3, 0.6]
  assert data['rate'] == pytest.approx(10 / 3) and 'Every 3. frame is shown' in text


def colored(data, color):
  pixels = np.asarray(Image.open(io.BytesIO(data)).convert('RGB')).reshape(-1, 3)
  return int((np.abs(pixels - np.array(color)).max(1) < 6).sum())


@pytest.mark.parametrize('title', ['$', '$x$.jpg', '$a_{$.jpg', '\\$100 or $\\frac$.png'])
def test_names_are_no_formulas(title):
  assert pose_views.two_views(people(), J15, title).startswith(b'\x89PNG')


def test_two_views_of_somebody_and_of_nobody():
  somebody = pose_views.two_views(people(), J15, 'a.jpg')
  nobody = pose_views.two_views(people(0), J15, 'a.jpg')
  assert colored(somebody, (244, 122, 32)) > 100 > colored(nobody, (244, 122, 32))
  lost = people()
  lost.joints_camera[0, :3] = np.nan
  lost.joints_camera[1, 5] = 1e30
  assert pose_views.two_views(lost, J15).startswith(b'\x89PNG')


def test_an_overlay_is_small_and_in_place():
  """A person of 1,000 px in a picture of 2,560 x 640 px, shown at half its size."""
  one = people(1)
  one.joints_2d[0] = np.stack([np.linspace(100, 1100, 15), np.full(15, 321.0)], -1)
  small = pose_views.shrink(np.zeros((640, 2560, 3), np.uint8))
  assert small.pixels.shape == (320, 1280, 3)
  drawn = np.asarray(pose_views.overlay_picture(small, one, J15))
  rows, columns = np.nonzero((drawn == 255).all(-1)[100:])
  assert abs(np.median(rows) + 100 - 160.5) < 2 and columns.min() > 45 and columns.max() < 556
  wild = one._replace(joints_2d=one.joints_2d * 1e6)
  assert (np.asarray(pose_views.overlay_picture(small, wild, J15)) == 0).all()


def test_rerun_recording():
  pytest.importorskip('rerun')
  moments = [(0.0, people()), (0.1, people(1)), (0.2, people(0))]
  data = rerun_recording.recording('a', moments, J15, LENS, (300, 200))
  assert data[:4] == b'RRF2' and re.search(rb'people/1/limbs', data)
