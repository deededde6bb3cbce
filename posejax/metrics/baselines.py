"""What a figure means: the 3DPCK_rel that one fixed pose reaches (spec/crossmodal.md, at the end).

Three baselines, each the mean canonical pose of the data that training sees:
  one_yaw     turned upright in front of the camera by the one yaw that is best for the test set
  person_yaw  turned by the best yaw of each person
  rotation    turned by each person's true rotation

Symbols: N persons, J joints, mm; root-relative camera frame, canonical frame (kinematics.md).
"""

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import rotation
from posejax.metrics import pose

NUM_YAWS = 72


def mean_pose_pck(
  mean_canonical: np.ndarray, targets: np.ndarray, rotations: np.ndarray, mask: np.ndarray
) -> dict[str, float]:
  """3DPCK_rel of the three baselines.

  Args:
    mean_canonical: (J, 3) mm.
    targets: (N, J, 3) mm, root-relative, camera axes.
    rotations: (N, 3, 3) true rotations, root-relative from canonical.
    mask: (N, J) bool: joints that count.

  Returns:
    {'one_yaw', 'person_yaw', 'rotation'} → percent.
  """
  right = right_by_yaw(mean_canonical, targets, mask)
  posed = np.einsum('nij,kj->nki', rotations, mean_canonical)
  return {
    'one_yaw': 100 * float(right.sum(1).max() / mask.sum()),
    'person_yaw': 100 * float(right.max(0).sum() / mask.sum()),
    'rotation': pose.pck(pose.root_errors(posed, targets), mask),
  }


def right_by_yaw(mean_canonical: np.ndarray, targets: np.ndarray, mask: np.ndarray) -> np.ndarray:
  """(NUM_YAWS, N) joints within 150 mm of each person, for each yaw of the mean pose.

  Args:
    mean_canonical: (J, 3) mm.
    targets: (N, J, 3) mm, root-relative, camera axes.
    mask: (N, J) bool: joints that count.
  """
  yaws = np.linspace(-np.pi, np.pi, NUM_YAWS, endpoint=False)
  turned = np.asarray(_turned(jnp.asarray(mean_canonical), jnp.asarray(yaws)))
  errors = np.stack([
    pose.root_errors(np.broadcast_to(candidate, targets.shape), targets) for candidate in turned
  ])
  return ((errors < pose.PCK_THRESHOLD_MM) & mask).sum(2)


@jax.jit
def _turned(canonical: jax.Array, yaws: jax.Array) -> jax.Array:
  """(Y, J, 3) the upright pose turned by each yaw, in camera axes."""
  zeros = jnp.zeros_like(yaws)
  matrices = jax.vmap(rotation.euler_to_matrix)(jnp.stack([yaws, zeros, zeros], -1))
  turned = jnp.einsum('yij,kj->yki', matrices, canonical)
  return turned @ rotation.UPRIGHT_FACING_CAMERA.T
