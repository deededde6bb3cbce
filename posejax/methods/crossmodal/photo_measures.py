"""Figures on photographs, where there is no 3D truth.

  labelled      2D-PCK@0.2 torso on photographs with one labelled person each: twelve limb joints
                (shoulders to wrists, hips to ankles), which all teachers and labels have
  agreement     the same of the student with the teacher's people in the place of labels, over the
                joints that the teacher saw, on clips that no training saw
  equivariance  |T_s k̂(I) − k̂(T_s I)| of the same people, share of the image side
  limits        limbs of predicted poses inside the joint limits

A person is given the prediction whose shoulders and hips are nearest on average, if that is nearer
than a torso; a shoulder or hip that a prediction lacks is as far as a torso, so that a fragment
never stands before a whole person. One without has all joints wrong. People without a visible torso
(right shoulder to left hip) cannot be measured and do not count.

Symbols: B pictures, P predicted people, G target people, J = 15 joints; px.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import kinematics
from posejax.methods.base import People, SceneSums
from posejax.methods.crossmodal import infer, lift, plane, prior_measures
from posejax.synth import augment

SKELETON = lift.SKELETON
LIMBS = np.array([
  name.partition('_')[2] in ('shoulder', 'elbow', 'wrist', 'hip', 'knee', 'ankle')
  for name in SKELETON.joints
])
_TRUNK = [SKELETON.index(f'{side}_{joint}') for side in 'rl' for joint in ('shoulder', 'hip')]


class Targets(NamedTuple):
  """Whom predictions are compared with.

  Attributes:
    joints: (B, G, J, 2) px; zeros where unknown.
    known: (B, G, J) bool.
  """

  joints: np.ndarray
  known: np.ndarray

  @property
  def counted(self) -> np.ndarray:
    """(B, G) bool: people with a torso to measure by."""
    shoulder, hip = plane.TORSO
    return self.known[..., shoulder] & self.known[..., hip]


class Compared(NamedTuple):
  """The N people that count.

  Attributes:
    rows: their predictions beside them.
    picture: (N,) of each.
    slot: (N,) of the prediction that each got, or −1.
  """

  rows: plane.Rows
  picture: np.ndarray
  slot: np.ndarray


def compare(
  joints: np.ndarray, given: np.ndarray, valid: np.ndarray, targets: Targets
) -> Compared:
  """Finds each person's prediction.

  Args:
    joints: (B, P, J, 2) px.
    given: (B, P, J) bool: joints that were predicted.
    valid: (B, P) bool.
    targets: people to find.
  """
  picture, person = np.nonzero(targets.counted)
  target, known = targets.joints[picture, person], targets.known[picture, person]
  torso = plane.torsos(target)
  apart = np.linalg.norm(joints[picture] - target[:, None], axis=-1)
  trunk = np.where(given[picture], apart, torso[:, None, None])[..., _TRUNK]
  asked = known[:, None, _TRUNK]
  mean = np.where(asked, trunk, 0).sum(-1) / asked.sum(-1)
  mean = np.where(valid[picture], mean, np.inf)
  if not mean.size:
    mean = np.full((len(picture), 1), np.inf)
  best = mean.argmin(1)
  matched = mean[np.arange(len(best)), best] < torso
  rows = plane.Rows(
    joints[picture, best], given[picture, best] & matched[:, None], matched, target,
    known & LIMBS,
  )
  return Compared(rows, picture, np.where(matched, best, -1))


def right_joints(compared: Compared, pictures: int) -> SceneSums:
  """2D-PCK@0.2 torso as sums by picture: missed people have all joints wrong."""
  rows = compared.rows
  right = plane.torso_right(rows, plane.errors_of(rows)) & rows.in_frame
  return SceneSums(*(
    np.bincount(compared.picture, values.sum(1), pictures) for values in (right, rows.in_frame)
  ))


def equivariance(model: infer.Model, params: Any, images: np.ndarray, **strength: Any) -> float:
  """Mean distance of k̂(T_s I) from T_s k̂(I), percent of the side; nan if nobody is in both.

  Args:
    model: of the run.
    params: of `infer.networks`.
    images: (N, S, S, 3) uint8.
    strength: of T_s: turn_deg, zoom, shift.
  """
  side = images.shape[1]
  size = (side, side)

  @jax.jit
  def both(batch, number):
    keys = jax.vmap(lambda n: jax.random.fold_in(jax.random.key(17), n))(number)
    transforms = jax.vmap(lambda key: augment.sample_transform(key, size, **strength))(keys)
    pictures = batch.astype(jnp.float32)
    warped = jax.vmap(
      lambda image, transform: augment.transform_image(image, transform, fill=127.5)
    )(pictures, transforms)
    first, second = (infer.predict(model, params, x) for x in (pictures, warped))

    def move(people, transform):
      flat = augment.transform_points(people.reshape(-1, 2), transform, size)
      return jax.vmap(lambda rows: augment.swap_sides(rows, transform.flip, SKELETON))(
        flat.reshape(people.shape)
      )

    return jax.vmap(move)(first.joints_2d, transforms), first.valid, second

  errors = []
  for start in range(0, len(images), 8):
    number = np.arange(start, min(start + 8, len(images)))
    moved, valid, second = jax.tree.map(np.asarray, both(images[number], number))
    inside = ((moved > 0) & (moved < side - 1)).all((-1, -2)) & valid
    known = np.broadcast_to(inside[..., None], moved.shape[:-1])
    found = compare(second.joints_2d, second.joint_valid, second.valid, Targets(moved, known)).rows
    apart = np.linalg.norm(found.joints - found.target, axis=-1)[found.matched]
    errors.append(apart.ravel())
  errors = np.concatenate(errors) if errors else np.zeros(0)
  return 100 * float(errors.mean()) / side if errors.size else float('nan')


def limits_share(people: People) -> float:
  """Percent of the limbs of predicted people inside the joint limits (`prior_measures`)."""
  poses = people.joints_relative[people.valid]
  if not len(poses):
    return float('nan')
  return 100 * float(np.asarray(_plausible(poses)).mean())


@jax.jit
def _plausible(poses: jax.Array) -> jax.Array:
  def local(relative):
    canonical, _ = kinematics.canonicalize(relative, SKELETON)
    return kinematics.local_from_canonical(canonical, SKELETON)

  return prior_measures.plausible(jax.vmap(local)(poses))
