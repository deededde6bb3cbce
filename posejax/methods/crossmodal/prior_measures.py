"""What the prior is worth: reconstruction, plausibility, coverage, and how smooth φ is.

Symbols: N poses, J = 15 joints. Distances of poses are mean joint distances of canonical poses with
the standard bones, mm. "Decoded" poses are Ψ(φ), φ ~ U[−1, 1]^32 unless another cube is named.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from posejax.data import captured_poses
from posejax.geometry import kinematics, limits
from posejax.methods.base import Networks
from posejax.methods.crossmodal import lift, pose_sources
from posejax.models import aae as aae_lib
from posejax.synth.poses import sample_local_poses

SKELETON = lift.SKELETON
TOLERANCE_DEG = 5.0
# φ is drawn from cubes [−r, r]^32: the one that training saw, and one far outside.
INSIDE, OUTSIDE = 1.0, 2.5
_VALIDATION_POSES = 2000
_NOISE = 0.05  # standard deviation of what `smoothness` adds to φ
_SATURATED = 0.97
# Candidates whose exact distance decides, of the nearest ones by squared coordinates.
_CANDIDATES = 32
_CHUNK = 100


def encode(config: aae_lib.AAEConfig, phi: Any, local: jax.Array) -> jax.Array:
  """Φ of local poses (N, J, 3): (N, 32)."""
  return aae_lib.PoseEncoder(config).apply({'params': phi}, local)


def canonical(local: jax.Array) -> jax.Array:
  """FK of (N, J, 3) with the standard bones, mm."""
  lengths = jnp.asarray(kinematics.bone_lengths(SKELETON), local.dtype)
  return jax.vmap(lambda rows: kinematics.forward_kinematics(rows, lengths, SKELETON))(local)


def validator(
  config: ml_collections.ConfigDict, networks: aae_lib.AAEConfig
) -> Callable[[Networks, Networks, Any], dict[str, float]]:
  """Measures on poses of the config's source that no training drew, for `Stage.validate`."""

  @jax.jit
  def measure(params: Networks, frozen: Any) -> dict[str, jax.Array]:
    pose_key, phi_key, noise_key = jax.random.split(jax.random.key(2**31 - 1), 3)
    sample = pose_sources.sampler(config, frozen, held_out=True)
    local = sample(pose_key, _VALIDATION_POSES)[:, : SKELETON.num_joints]
    phi = jax.random.uniform(phi_key, (_VALIDATION_POSES, networks.embedding), minval=-1.0)
    embedded = encode(networks, params['Phi'], local)
    noisy = embedded + _NOISE * jax.random.normal(noise_key, embedded.shape)
    decoded = lift.decode(
      networks, params['Psi'], jnp.stack([embedded, phi, OUTSIDE * phi, noisy])
    )
    true = canonical(local)
    drawn, moved = decoded.canonical[1], decoded.canonical[3] - decoded.canonical[0]
    shares = {
      name: value for row, place in ((1, ''), (2, 'far_'))
      for name, value in _inside(decoded.local[row], place).items()
    }
    return {
      'reconstruction_mm': _joint_mean(decoded.canonical[0] - true),
      **shares,
      'cycle_phi': jnp.abs(encode(networks, params['Phi'], decoded.local[1]) - phi).mean(),
      'decoded_spread_mm': _joint_mean(drawn - drawn.mean(0)),
      'true_spread_mm': _joint_mean(true - true.mean(0)),
      # Per unit of ‖Δφ‖, whose expectation is the noise times √32.
      'smoothness_mm': _joint_mean(moved) / (_NOISE * networks.embedding**0.5),
      'phi_std': embedded.std(0).mean(),
      'phi_saturated_percent': 100 * (jnp.abs(embedded) > _SATURATED).mean(),
    }

  return lambda params, batch_stats, frozen: measure(
    {name: params[name] for name in ('Phi', 'Psi')}, frozen
  )


def _joint_mean(difference: jax.Array) -> jax.Array:
  return jnp.linalg.norm(difference, axis=-1).mean()


def plausible(local: jax.Array) -> jax.Array:
  """Which limbs of local poses (N, J, 3) are inside the joint limits: (N, J − 1) bool.

  Of all joints but the root, in their order; a limb `TOLERANCE_DEG` outside still counts.
  """
  inside = jax.vmap(
    lambda rows: limits.inside_limits(rows, skeleton=SKELETON, tolerance_deg=TOLERANCE_DEG)
  )(local)
  return inside[:, SKELETON.not_root]


def _inside(local: jax.Array, place: str) -> dict[str, jax.Array]:
  inside = plausible(local)
  return {
    f'{place}joints_inside_percent': 100 * inside.mean(),
    f'{place}poses_inside_percent': 100 * inside.all(1).mean(),
  }


def coverage(
  networks: aae_lib.AAEConfig, psi: Any, groups: Mapping[str, np.ndarray], count: int = 20_000,
  seed: int = 0,
) -> dict[str, float]:
  """How near the nearest of many decoded poses is, and the nearest of as many artificial ones.

  Artificial poses subsume real ones [P] if the decoded poses are about as near to captured poses as
  to artificial ones, and as near as artificial poses themselves.

  Args:
    networks: of the auto-encoder.
    psi: Ψ's parameters.
    groups: name → (N, J, 3) local poses that no training drew.
    count: poses to search.
    seed: of the draws.

  Returns:
    For each group `<name>_to_decoded_mm` and `<name>_to_artificial_mm`; `sliced_distance_mm`, the
    mean Wasserstein distance of decoded and artificial poses over 64 directions, and
    `sliced_distance_artificial_mm`, that of two draws of artificial poses: what chance leaves.
  """
  @jax.jit
  def draw(key: jax.Array):
    keys = jax.random.split(key, 3)
    phi = jax.random.uniform(keys[0], (count, networks.embedding), minval=-1.0)
    artificial = [
      canonical(sample_local_poses(key, count, skeleton=SKELETON)) for key in keys[1:]
    ]
    return lift.decode(networks, psi, phi).canonical, *artificial

  decoded, artificial, again = (np.asarray(x) for x in draw(jax.random.key(seed)))
  measures = {}
  for name, local in groups.items():
    poses = np.asarray(jax.jit(canonical)(jnp.asarray(local)))
    measures[f'{name}_to_decoded_mm'] = nearest(poses, decoded)
    measures[f'{name}_to_artificial_mm'] = nearest(poses, artificial)
  measures['sliced_distance_mm'] = sliced_distance(decoded, artificial)
  measures['sliced_distance_artificial_mm'] = sliced_distance(again, artificial)
  return measures


def report(
  config: ml_collections.ConfigDict, networks: aae_lib.AAEConfig, params: Networks,
  mocap: str = '', count: int = 1000, seed: int = 0,
) -> dict[str, float]:
  """All measures of a trained prior; minutes of one core, most of them for the coverage.

  Args:
    config: of the method.
    networks: of the auto-encoder.
    params: Φ and Ψ.
    mocap: a BVH folder, for the group of captured poses; '' leaves it out.
    count: poses of each group.
    seed: of the draws.

  Returns:
    `validator`'s measures; `coverage` of the groups 'artificial', 'motion' (families that training
    may draw) and 'captured'; and `<group>_reconstruction_mm`.

  Raises:
    CapturedPosesError: the folder of motion capture cannot be used.
  """
  keys = jax.random.split(jax.random.key(seed + 2**30), 2)
  groups = {
    'artificial': sample_local_poses(keys[0], count, skeleton=SKELETON),
    'motion': jax.jit(pose_sources.moving, static_argnums=1)(keys[1], count),
  }
  if mocap:
    held_out = captured_poses.read_folder(
      mocap, pose_sources.MOST_CAPTURED, config.mocap.part
    ).held_out
    order = np.random.default_rng(seed).permutation(len(held_out))
    groups['captured'] = held_out[order[:count]]
  groups = {name: np.asarray(local)[:, : SKELETON.num_joints] for name, local in groups.items()}
  measures = validator(config, networks)(params, {}, pose_sources.arrays(config))
  measures = {name: float(value) for name, value in measures.items()}
  measures |= coverage(networks, params['Psi'], groups, seed=seed)

  @jax.jit
  def error(params: Networks, local: jax.Array) -> jax.Array:
    rebuilt = lift.decode(networks, params['Psi'], encode(networks, params['Phi'], local))
    return _joint_mean(rebuilt.canonical - canonical(local))

  for name, local in groups.items():
    measures[f'{name}_reconstruction_mm'] = float(error(params, local))
  return measures


def nearest(poses: np.ndarray, searched: np.ndarray) -> float:
  """Mean over (N, J, 3) poses of the mean joint distance to the nearest of (M, J, 3), mm."""
  flat = searched.reshape(len(searched), -1)
  squares, few = (flat**2).sum(1), min(_CANDIDATES, len(searched))
  found = []
  for first in range(0, len(poses), _CHUNK):
    part = poses[first : first + _CHUNK]
    rank = squares - 2 * part.reshape(len(part), -1) @ flat.T
    candidates = searched[np.argpartition(rank, few - 1, axis=1)[:, :few]]
    found.extend(np.linalg.norm(candidates - part[:, None], axis=-1).mean(-1).min(1))
  return float(np.mean(found))


def sliced_distance(a: np.ndarray, b: np.ndarray, directions: int = 64) -> float:
  """Mean over random directions of the Wasserstein-1 distance of (N, J, 3) poses a and b, mm."""
  axes = np.random.default_rng(0).normal(size=(directions, a[0].size))
  axes /= np.linalg.norm(axes, axis=1, keepdims=True)
  along = (np.sort(poses.reshape(len(poses), -1) @ axes.T, axis=0) for poses in (a, b))
  return float(np.abs(np.subtract(*along)).mean())
