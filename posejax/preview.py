"""Shows the embedded world: `python -m posejax.preview --output=runs/preview`.

Draws one scene in which people move, sees it with several synchronised cameras, and writes pictures
of it beside its exact ground truth. Every number comes from --seed.
"""

import argparse
import functools
import json
import pathlib
import sys
from typing import NamedTuple

import jax
import numpy as np
from PIL import Image

from posejax.geometry import skeleton as skeleton_lib
from posejax.heatmaps import render_heatmaps, render_pafs
from posejax.synth import (
  DOMAIN_A,
  DOMAIN_B,
  SceneConfig,
  render_scene,
  sample_appearance,
  sample_scene_sequence,
  scene_at,
)
from posejax.viz import figures, overlay, sheets

RECORD = 'preview.json'
FPS = 10.0
STRIDE = 8
SUPERSAMPLE = 2
SMALL_WIDTH = 1000


class Preview(NamedTuple):
  """A rendered sequence; T frames, C cameras, NumPy arrays.

  Attributes:
    scene: Scene with leading T.
    images: (T, C, H, W, 3) uint8.
    masks: (T, C, H, W) person + 1.
  """

  scene: object
  images: np.ndarray
  masks: np.ndarray


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
  parser = argparse.ArgumentParser(
    prog='python -m posejax.preview', description=__doc__.partition('\n')[0]
  )
  parser.add_argument('--output', type=pathlib.Path, default=pathlib.Path('runs/preview'),
                      help='folder for the pictures (default %(default)s)')
  parser.add_argument('--seed', type=int, default=0, help='of everything (default 0)')
  parser.add_argument('--people', type=int, default=3, help='1 to 8 (default 3)')
  parser.add_argument('--cameras', type=int, default=3, help='1 to 6 (default 3)')
  parser.add_argument('--frames', type=int, default=20, help='2 to 200, at 10 per second')
  parser.add_argument('--size', type=int, default=256, help='side of an image, 64 to 512 px')
  parser.add_argument('--domain', choices=('A', 'B'), default='A', help='appearance (default A)')
  parser.add_argument('--small', action='store_true',
                      help='also write the sheets as small JPEGs, as in the README')
  options = parser.parse_args(arguments)
  for name, low, high in (
    ('seed', 0, 2**31 - 1), ('people', 1, 8), ('cameras', 1, 6), ('frames', 2, 200),
    ('size', 64, 512),
  ):
    value = getattr(options, name)
    if not low <= value <= high:
      parser.error(f'--{name}={value}: it must be from {low} to {high}')
  if options.size % STRIDE:
    parser.error(f'--size={options.size}: it must be a multiple of {STRIDE}')
  return options


def scene_config(people: int, cameras: int, size: int) -> SceneConfig:
  """People in motion on a floor 2.8 m wide, cameras around them a little above eye height."""
  return SceneConfig(
    max_people=people, min_people=people, pose_source='motion', placement='room',
    room_mm=(2800.0, 2800.0), candidates=24, min_pelvis_distance_mm=700.0,
    depth_mm=(1800.0, 8000.0), min_joint_share=0.8, min_frame_share=0.8, num_cameras=cameras,
    width=size, height=size, focal=(1.05, 1.05), azimuth_deg=(-60.0, -60.0),
    elevation_deg=(12.0, 22.0), distance_mm=(3900.0, 4400.0), target_height_mm=(750.0, 750.0),
  )


def make(options: argparse.Namespace) -> Preview:
  """Samples and renders what the options ask for."""
  scene_key, look_key = jax.random.split(jax.random.key(options.seed))
  scene = _sample(scene_key, options)
  domain = {'A': DOMAIN_A, 'B': DOMAIN_B}[options.domain]
  look = _look(look_key, domain, options.people)
  images, masks = render_sequence(scene, look, options.size)
  return Preview(jax.tree.map(np.asarray, scene), images, masks)


_sequence = jax.jit(sample_scene_sequence, static_argnums=(1, 2, 3))
_look = jax.jit(sample_appearance, static_argnums=2)


def _sample(key: jax.Array, options: argparse.Namespace):
  config = scene_config(options.people, options.cameras, options.size)
  return _sequence(key, config, options.frames, FPS)


@functools.partial(jax.jit, static_argnums=4)
def _render_frame(joints, valid, cameras, look, size: int):
  """Images and masks of one instant from each camera, one after the other."""

  def view(camera):
    rendering = render_scene(joints, valid, camera, look, (size, size), SUPERSAMPLE)
    return rendering.image, rendering.person_mask

  return jax.lax.map(view, cameras)


def render_sequence(scene, look, size: int) -> tuple[np.ndarray, np.ndarray]:
  """Images and masks of every frame and camera."""
  frames = [
    _render_frame(
      joints, scene.valid, jax.tree.map(lambda x, t=t: x[t], scene.cameras), look, size
    )
    for t, joints in enumerate(scene.joints_world)
  ]
  images, masks = zip(*frames, strict=True)
  return np.stack(images), np.stack(masks)


def views_sheet(preview: Preview) -> Image.Image:
  """The sequence: a row for each camera, a column for each of five instants."""
  frames = np.unique(np.linspace(0, len(preview.images) - 1, 5).astype(int))
  cameras = preview.images.shape[1]
  return sheets.sheet(
    [[Image.fromarray(preview.images[t, c]) for t in frames] for c in range(cameras)],
    title='One scene, seen by synchronised cameras',
    row_labels=[f'camera {c + 1}' for c in range(cameras)],
    column_labels=[f'{t / FPS:.1f} s' for t in frames],
  )


def truth_sheet(preview: Preview) -> Image.Image:
  """What is known exactly of the first instant: masks, 2D joints, maps, the world."""
  scene, skeleton = preview.scene, skeleton_lib.J17
  size = preview.images.shape[2:4]
  cells = (size[0] // STRIDE, size[1] // STRIDE)
  rows = []
  for c in range(preview.images.shape[1]):
    image, joints, seen = preview.images[0, c], scene.joints_image[0, c], scene.in_frame[0, c]
    heat = render_heatmaps(joints, seen, cells, stride=STRIDE, combine='max').max(-1)
    fields = render_pafs(joints, seen, skeleton.limbs, cells, stride=STRIDE)
    fields = np.asarray(fields).reshape(*cells, -1, 2)
    longest = np.linalg.norm(fields, axis=-1).argmax(-1)
    field = np.take_along_axis(fields, longest[..., None, None], axis=2)[:, :, 0]
    posed = overlay.draw_people(Image.fromarray(image.copy()), joints, seen, skeleton)
    rows.append([
      Image.fromarray(overlay.tint_people(image, preview.masks[0, c])),
      posed,
      Image.fromarray(overlay.overlay_heatmap(image, np.asarray(heat))),
      Image.fromarray(overlay.overlay_field(image, field)),
    ])
  centers = camera_centers(jax.tree.map(lambda x: x[0], scene.cameras))
  rows[0].append(figures.world_figure(
    scene.joints_world[0], scene.valid, skeleton, centers, size=(size[1], size[0])
  ))
  for row in rows[1:]:
    row.append(Image.new('RGB', (size[1], size[0]), 'white'))
  return sheets.sheet(
    rows, title='What is known of it exactly',
    row_labels=[f'camera {c + 1}' for c in range(len(rows))],
    column_labels=[
      'who is where (masks)', 'joints: right side orange', 'joint heat-maps',
      'limb fields: hue = direction', 'the world, cameras numbered',
    ],
  )


def domains_sheet(options: argparse.Namespace, count: int = 4) -> Image.Image:
  """The same people in both appearance domains, each column another scene."""
  rows = {'A': [], 'B': []}
  for i in range(count):
    # As many cameras and frames as the sequence has: nothing new is compiled.
    scene_key, look_key = jax.random.split(jax.random.fold_in(jax.random.key(options.seed), i + 1))
    scene = scene_at(_sample(scene_key, options), 0)
    for name, domain in (('A', DOMAIN_A), ('B', DOMAIN_B)):
      images, _ = _render_frame(
        scene.joints_world, scene.valid, scene.cameras, _look(look_key, domain, options.people),
        options.size,
      )
      rows[name].append(Image.fromarray(np.asarray(images[0])))
  return sheets.sheet(
    list(rows.values()),
    title='Two appearance domains: a network trained in one is biased in the other',
    row_labels=['domain A', 'domain B'],
  )


def camera_centers(cameras) -> np.ndarray:
  """(C, 3) mm, world: where −Rᵀ t puts each camera."""
  return -np.einsum('cji,cj->ci', np.asarray(cameras.rotation), np.asarray(cameras.translation))


def write(preview: Preview, options: argparse.Namespace) -> dict[str, str]:
  """Writes the pictures, the ground truth and a record of the options; name → what it is."""
  folder, scene = options.output, preview.scene
  files = {
    'views.png': 'the scene from each camera at five instants',
    'truth.png': 'masks, joints, maps and the world of the first instant',
    'domains.png': 'people in the two appearance domains',
    'sequence.gif': 'the whole sequence, cameras side by side',
    'truth.npz': 'joints_world (T, P, 17, 3) mm, joints_image (T, C, P, 17, 2) px, cameras',
  }
  for name, picture in (
    ('views', views_sheet(preview)), ('truth', truth_sheet(preview)),
    ('domains', domains_sheet(options)),
  ):
    picture.save(folder / f'{name}.png')
    if options.small:
      small = picture.resize((SMALL_WIDTH, picture.height * SMALL_WIDTH // picture.width))
      small.save(folder / f'{name}.jpg', quality=82, optimize=True)
  frames = [Image.fromarray(np.concatenate(list(views), 1)) for views in preview.images]
  frames[0].save(
    folder / 'sequence.gif', save_all=True, append_images=frames[1:], loop=0,
    duration=int(1000 / FPS),
  )
  np.savez_compressed(
    folder / 'truth.npz', joints_world=scene.joints_world, joints_image=scene.joints_image,
    valid=scene.valid, in_frame=scene.in_frame, rotation=scene.cameras.rotation,
    translation=scene.cameras.translation, focal=scene.cameras.intrinsics.focal,
    center=scene.cameras.intrinsics.center,
  )
  (folder / RECORD).write_text(json.dumps({
    'made_by': 'python -m posejax.preview',
    'options': {key: str(value) for key, value in vars(options).items()},
    'joints': skeleton_lib.J17.joints, 'parents': skeleton_lib.J17.parents,
    'units': 'mm, px', 'fps': FPS, 'files': files,
    'people_placed': int(scene.valid.sum()),
  }, indent=1) + '\n')
  return files


def claim(folder: pathlib.Path) -> str:
  """Makes the output folder; says in one line why it can't be used, '' if it can."""
  try:
    folder.mkdir(parents=True, exist_ok=True)
    others = [path.name for path in folder.iterdir()]
    if others and RECORD not in others:
      return f'{folder}: holds other files ({others[0]}, ...); give --output another folder'
    (folder / RECORD).touch()
  except OSError as error:
    return f'{folder}: cannot be written ({error.strerror}); give --output another folder'
  return ''


def main(arguments: list[str] | None = None) -> int:
  options = parse_arguments(arguments)
  problem = claim(options.output)
  if problem:
    print(f'posejax.preview: {problem}', file=sys.stderr)
    return 2
  print(f'sampling and rendering {options.frames} frames from {options.cameras} cameras ...')
  preview = make(options)
  files = write(preview, options)
  placed = int(preview.scene.valid.sum())
  if placed < options.people:
    print(f'{placed} of {options.people} people found a place in view of every camera')
  for name, what in files.items():
    print(f'  {options.output / name}: {what}')
  return 0


if __name__ == '__main__':
  sys.exit(main())
