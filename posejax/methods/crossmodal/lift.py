"""M and T_K: from the neural representation at the roots to poses in space and in the image.

  p_l = Ψ(φ)   p_c = FK(p_l)   p_r = T_R(p_c, c)   p_g = T_G(p_r, r, d)   k = T_K(p_r, r, d)

All but Ψ is fixed, and Ψ is frozen; everything is differentiable (spec/crossmodal.md, "Fixed
transformations"). Symbols: B images, P persons, J = 15 joints; mm, px.
"""

from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp

from posejax.geometry import camera as camera_lib
from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.models import aae as aae_lib
from posejax.models.crossmodal import Representation

SKELETON = skeleton_lib.J15
Projection = Literal['weak', 'full']


class DepthRange(NamedTuple):
  """Depths that H can say, mm: its tanh output is log depth, scaled affinely [R]."""

  nearest: float
  farthest: float

  def depth(self, scaled: jax.Array) -> jax.Array:
    """(−1, 1) → mm."""
    low, high = jnp.log(self.nearest), jnp.log(self.farthest)
    return jnp.exp(low + (scaled + 1) / 2 * (high - low)).astype(scaled.dtype)

  def scaled(self, depth: jax.Array) -> jax.Array:
    """mm → (−1, 1); outside for a depth outside."""
    low, high = jnp.log(self.nearest), jnp.log(self.farthest)
    return (2 * (jnp.log(depth) - low) / (high - low) - 1).astype(depth.dtype)


class Lifted(NamedTuple):
  """Poses of the people of B images.

  Attributes:
    canonical: (B, P, J, 3) mm.
    relative: (B, P, J, 3) mm, pelvis at the origin, camera axes.
    camera: (B, P, J, 3) mm, camera-centred.
    image: (B, P, J, 2) px.
    depth: (B, P) mm.
  """

  canonical: jax.Array
  relative: jax.Array
  camera: jax.Array
  image: jax.Array
  depth: jax.Array


class Decoded(NamedTuple):
  """Poses of Ψ: `local` (..., J, 3) valid unit rows, `canonical` (..., J, 3) mm."""

  local: jax.Array
  canonical: jax.Array


def decode(config: aae_lib.AAEConfig, psi: Any, phi: jax.Array) -> Decoded:
  """Ψ, and FK with the standard bones.

  Args:
    config: of the auto-encoder.
    psi: Ψ's parameters.
    phi: (..., 32) in [−1, 1].

  Returns:
    Decoded.
  """
  flat = phi.reshape(-1, phi.shape[-1])
  raw = aae_lib.PoseDecoder(config).apply({'params': psi}, flat)
  lengths = jnp.asarray(kinematics.bone_lengths(SKELETON), raw.dtype)

  def one(rows):
    local = kinematics.constrain_local(rows, SKELETON)
    return Decoded(local, kinematics.forward_kinematics(local, lengths, SKELETON))

  shape = (*phi.shape[:-1], SKELETON.num_joints, 3)
  return jax.tree.map(lambda x: x.reshape(shape), jax.vmap(one)(raw))


def lift(
  config: aae_lib.AAEConfig, psi: Any, found: Representation, roots: jax.Array,
  intrinsics: camera_lib.Intrinsics, depths: DepthRange, projection: Projection,
) -> Lifted:
  """M, and the projection of what it gives.

  Args:
    config: of the auto-encoder.
    psi: Ψ's parameters.
    found: φ (B, P, 32), c (B, P, 6), depth (B, P) at the roots.
    roots: (B, P, 2) px.
    intrinsics: the fixed camera, unbatched.
    depths: range of d.
    projection: 'weak' is T_K [P]; 'full' projects p_g by the same camera.

  Returns:
    Lifted.
  """
  canonical = decode(config, psi, found.phi).canonical
  relative = jax.vmap(jax.vmap(kinematics.rotate_to_camera))(canonical, found.c)
  return place(
    canonical, relative, roots, depths.depth(found.depth), intrinsics, projection
  )


def place(
  canonical: jax.Array, relative: jax.Array, roots: jax.Array, depth: jax.Array,
  intrinsics: camera_lib.Intrinsics, projection: Projection,
) -> Lifted:
  """T_G and the projection of root-relative poses.

  Args:
    canonical: (B, P, J, 3) mm, kept as it is.
    relative: (B, P, J, 3) mm.
    roots: (B, P, 2) px.
    depth: (B, P) mm.
    intrinsics: the fixed camera, unbatched.
    projection: as of `lift`.
  """

  def one(pose, root, distance):
    placed = camera_lib.compose_global(pose, root, distance, intrinsics)
    if projection == 'weak':
      return placed, camera_lib.project_weak(pose, root, distance, intrinsics.focal)
    return placed, camera_lib.project(placed, intrinsics)

  placed, image = jax.vmap(jax.vmap(one))(relative, roots, depth)
  return Lifted(canonical, relative, placed, image, depth)
