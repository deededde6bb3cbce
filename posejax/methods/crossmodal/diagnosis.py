"""Where 3D is lost on the way from an image: H read on latents of growing truth.

  image         H(E(I))                   what inference does, but at true pelvises
  teacher_maps  H(G(F(E(I))))             the teacher's maps, through G
  true_maps     H(G(maps of true 2D))     the same people, if the teacher knew all
  scenes        H(G(m_syn))               new scenes of D_syn: G∘H on its own ground
  trained       H(E(I))                   the pictures of B that H was trained on
  domain_a      H(E(I))                   pictures of A, which E was made for, and H never saw

The first three are of the same people of a set of pictures, at their true pelvises: none is missed,
so nothing but the poses differs. The distance between the second and the third is what a better
teacher could give. `trained` above `image` would be overfitting; `domain_a` above it is what E
loses between the domains. `mean_pose` of the pictures and `scenes_mean_pose` are three baselines
each: what the mean pose reaches there, turned by one best yaw, by the best yaw for each person, and
by the true rotation. Figures are 3DPCK_rel, joints within 150 mm, %, and 2D errors, px.
`image_recall_percent` is of the people that the run finds by itself; `true_maps_recall_percent` of
the peaks of true pelvis maps, where near people have one: the most that a student can find which
takes its roots from a teacher of this grid.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import batches
from posejax.methods.base import Networks, Product
from posejax.methods.crossmodal import (
  align,
  draws,
  evaluate,
  evaluation,
  infer,
  lift,
  pairs,
  pose_sources,
  prior,
  teacher_training,
  world,
)
from posejax.methods.crossmodal import roots as roots_lib
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.metrics import pose
from posejax.models import crossmodal as models

SKELETON = lift.SKELETON
_BATCH = 50
_SCENES = 512
_FIGURES = ('3dpck_rel', '2d_error_px')


def report(
  config: ml_collections.ConfigDict, products: Mapping[str, Product], split: str,
  scenes: int = _SCENES,
) -> dict[str, float]:
  """All figures; a run without G (`align.recon` off) has no rows of maps and of scenes.

  Args:
    config: of the run.
    products: its finished stages.
    split: set of pictures.
    scenes: of D_syn, drawn with keys that no training uses.

  Returns:
    `<row>_3dpck_rel`, `<row>_2d_error_px` of each row; `image_recall_percent`,
    `true_maps_recall_percent` where the teacher has a pelvis; `mean_pose_<turned>_3dpck_rel` of the
    pictures, and of the scenes `scenes_mean_pose_<turned>_3dpck_rel`.
  """
  model, side = infer.Model(config), config.world.image_size
  params = infer.networks(products)
  g = products['align'].params.get('G')

  @jax.jit
  def read(images, joints, seen, roots, rooted):
    v, skip = model.encode(params, images)
    latents = {'image': v}
    found = {'image': model.detect(params, v, skip)[1]}
    true = jax.vmap(
      lambda j, s: teacher_lib.render_maps(model.teacher.parts, j, s, side)
    )(joints, seen)
    if 'pelvis' in model.teacher.parts.joints:
      found['true_maps'] = roots_lib.peaks(
        true[0][..., model.teacher.parts.index('pelvis')], teacher_lib.STRIDE,
        model.root_threshold, model.max_people,
      )
    if g is not None:
      teacher = teacher_lib.Teacher(model.teacher, params)
      latents['teacher_maps'] = _of_maps(config, g, *teacher.decode(v, skip))
      latents['true_maps'] = _of_maps(config, g, *true)
    return {name: _poses(model, params, x, roots, rooted) for name, x in latents.items()}, found

  truth, of_a = products[split].arrays, products['images_a'].arrays
  figures, found = _of_pictures(read, truth)
  figures |= {
    f'{name}_recall_percent': evaluate.recall(roots.positions, roots.valid, truth)
    for name, roots in found.items()
  }
  camera, mean_pose = truth['truth_camera'], evaluation.fixed_pose(config, products)
  figures |= _mean_pose('mean_pose', camera[evaluate.counted(truth)], mean_pose)
  count, held = len(truth['images']), teacher_training.held_back(len(of_a['images']))
  others = {
    'trained': {name: x[:count] for name, x in products['images_b'].arrays.items()},
    'domain_a': {name: x[-held:] for name, x in of_a.items()},
  }
  for name, pictures in others.items():
    rows, _ = _of_pictures(read, pictures)
    figures |= {f'{name}_{figure}': rows[f'image_{figure}'] for figure in _FIGURES}
  return figures | (_of_scenes(config, model, params, g, scenes) if g is not None else {})


def _of_pictures(
  read: Callable[..., Any], truth: Mapping[str, np.ndarray]
) -> tuple[dict[str, float], dict[str, roots_lib.Roots]]:
  """The rows that pictures (N, S, S, 3) with their truth give, of the people that count; roots."""
  counts = evaluate.counted(truth)
  roots = np.where(counts[..., None], truth['truth_joints'][:, :, 0], 0).astype(np.float32)
  seen = truth['truth_in_frame'] & truth['truth_valid'][..., None]
  poses, roots_found = batches.in_batches(
    lambda rows: read(*rows),
    (truth['images'], truth['truth_joints'].astype(np.float32), seen, roots, counts), _BATCH,
  )
  figures = {}
  for name, (relative, image) in poses.items():
    figures |= _figures(name, relative, image, truth['truth_camera'], truth['truth_joints'], counts)
  return figures, roots_found


def _of_maps(config: ml_collections.ConfigDict, g: Any, heat: jax.Array, paf: jax.Array):
  """G's latent of maps (B, h, w, 15) and (B, h, w, 28)."""
  module = models.MapEncoder(align.g_config(config), teacher_lib.compute_dtype(config.precision))
  return module.apply({'params': g}, jnp.concatenate([heat, paf], -1))[0]


def _poses(model: infer.Model, params: Networks, v, roots, rooted) -> tuple[jax.Array, jax.Array]:
  """Root-relative (B, P, J, 3) mm and image (B, P, J, 2) px poses at known pelvises."""
  reading = model.read(params['H'], model.features(params['H'], v), roots, rooted)
  lifted = model.place(params, reading.found, roots)
  return lifted.relative, lifted.image


def _of_scenes(
  config: ml_collections.ConfigDict, model: infer.Model, params: Networks, g: Any, count: int
) -> dict[str, float]:
  """The row of D_syn, and the mean pose beside it."""
  draw = draws.scenes(config, {'poses': pose_sources.arrays(config)})

  @jax.jit
  def read(numbers):
    # Steps fold their number into keys of the seed; these are of another one.
    keys = jax.vmap(lambda number: jax.random.fold_in(jax.random.key(2**31 - 1), number))(numbers)
    scene = jax.vmap(draw)(keys)
    maps = jax.vmap(
      lambda joints, drawn: teacher_lib.render_maps(
        model.teacher.parts, joints, drawn, config.world.image_size
      )
    )(scene['joints'], scene['drawn'])
    return scene, _poses(model, params, _of_maps(config, g, *maps), scene['roots'], scene['valid'])

  scene, poses = batches.in_batches(read, np.arange(count, dtype=np.uint32), _BATCH)
  valid = scene['valid']
  camera = scene['camera']
  return _figures('scenes', *poses, camera, scene['joints'], valid) | _mean_pose(
    'scenes_mean_pose', camera[valid], prior.mean_pose(config, world.syn_scenes(config).limits)
  )


def _mean_pose(name: str, camera: np.ndarray, mean_pose: np.ndarray) -> dict[str, float]:
  """The three baselines of people (N, J, 3) mm."""
  values = evaluate.mean_pose_values(camera, mean_pose)
  return {f'{name}_{turned}_3dpck_rel': value for turned, value in values.items()}


def _figures(
  name: str, relative: np.ndarray, image: np.ndarray, truth: np.ndarray, joints: np.ndarray,
  counts: np.ndarray,
) -> dict[str, float]:
  """Of people (B, P) that count: 3D (B, P, J, 3) mm and 2D (B, P, J, 2) px beside the truth."""
  scored = np.broadcast_to(pairs.SCORED, (int(counts.sum()), len(pairs.SCORED)))
  errors = pose.root_errors(relative[counts], truth[counts])
  apart = np.linalg.norm(image[counts] - joints[counts], axis=-1)
  return {
    f'{name}_3dpck_rel': pose.pck(errors, scored),
    f'{name}_2d_error_px': pose.masked_mean(apart, scored),
  }
