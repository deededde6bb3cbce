"""Motion capture in: BVH files to clips of J17 or J15 in millimetres, z up.

Symbols: T frames, N nodes of the rig, J joints of the skeleton. World: right-handed, z up, mm.
A file with y up is turned by +90° about x, (x, y, z) → (x, −z, y): a rotation, so left stays left.

The parser is `bvh`, the file's kinematics `bvh_kinematics`, the names of known rigs `rigs`. What is
done to a rig's joints to make a pose of spec/kinematics.md:

- The pelvis becomes the middle of the hips and the neck the middle of the shoulders [P]; the rig's
  own two are kept in `Clip.rig_joints`.
- A head top that the rig lacks (or that lies on the head joint) is extrapolated [R]: from the head
  joint, the base of the skull, on along the rig's neck → head bone as the head's own rotation
  carries it (so that a nod moves it), by `HEAD_LENGTH_PER_LEG` times the length of a leg.
  `Clip.extrapolated` says so.
- Lengths become mm by the unit that the caller states, or by the first of the rig's known units in
  which thigh and shank together measure `LEG_RANGE_MM`; a file that fits none is refused.
"""

import functools
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from posejax.data import bvh as bvh_lib
from posejax.data import bvh_kinematics
from posejax.data import rigs as rigs_lib
from posejax.data.bvh import BvhError
from posejax.geometry import kinematics
from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.frames import Mode
from posejax.geometry.skeleton import J17, Skeleton

# Winter, Biomechanics of Human Movement: with stature H, thigh + shank are 0.491 H and the vertex
# is 0.182 H above the shoulder line. Rigs set the base of the skull near 0.08 H above it, which
# leaves 0.10 H = 0.21 legs [R].
HEAD_LENGTH_PER_LEG = 0.21
# Thigh and shank together, from a child of about 100 cm to the tallest adults. The ratio of the
# ends is below that of any two units of one rig (2.54 at least), so no two of them can fit.
LEG_RANGE_MM = (500.0, 1250.0)
# A head top or toe this near to its parent (in legs) is the parent once more.
_COINCIDENT_PER_LEG = 0.02
# Frames in one call of the jitted kinematics: clips of all lengths share one compilation.
_FRAMES_PER_CALL = 512


class Clip(NamedTuple):
  """One motion-capture recording. Arrays are NumPy, float64, in mm and the z-up world.

  Attributes:
    name: the file's name without its ending.
    rig: name of the rig that the node names fit.
    fps: frames per second.
    mm_per_unit: what one unit of the file was taken for.
    node_names: N names of the rig's nodes.
    node_parents: N parents, -1 for the root.
    positions: (T, N, 3) world positions of the rig's nodes.
    skeleton: J17 or J15.
    joints: (T, J, 3) world positions; pelvis and neck are exact midpoints.
    rig_joints: (T, J, 3) the same with the rig's own pelvis and neck.
    extrapolated: joints that the rig does not have.
  """

  name: str
  rig: str
  fps: float
  mm_per_unit: float
  node_names: tuple[str, ...]
  node_parents: tuple[int, ...]
  positions: np.ndarray
  skeleton: Skeleton
  joints: np.ndarray
  rig_joints: np.ndarray
  extrapolated: tuple[str, ...]


def load_bvh(
  path: str | os.PathLike,
  *,
  skeleton: Skeleton = J17,
  rig: rigs_lib.Rig | None = None,
  unit: str | float | None = None,
  up: Literal['y', 'z'] = 'y',
  skip_frames: int | None = None,
  position_channels: Literal['replace', 'add'] = 'replace',
) -> Clip:
  """Reads a BVH file as a clip of J17 or J15.

  Args:
    path: the file.
    skeleton: J17, or J15 for a rig without feet.
    rig: the rig's naming; found among `rigs.RIGS` where None.
    unit: the file's unit of length, a key of `rigs.UNITS_MM` or mm per unit; where None, the one of
      the rig's known units that gives legs of `LEG_RANGE_MM`.
    up: the file's vertical axis.
    skip_frames: frames to leave out at the start; where None, the rig's rest frames (CMU has one).
    position_channels: see `bvh_kinematics.world_positions`.

  Returns:
    The clip.

  Raises:
    BvhError: a malformed file (names its line), an unknown rig, no frame left, no fitting unit.
    ValueError: an argument that is none of the above.
    OSError: the file cannot be opened.
  """
  if up not in ('y', 'z') or position_channels not in ('replace', 'add'):
    raise ValueError(f'load_bvh: up={up!r}, position_channels={position_channels!r} not known')
  if skeleton.joints != J17.joints[: skeleton.num_joints]:
    raise ValueError(f'load_bvh: skeleton must be J17 or J15, got {skeleton.name}')
  source = os.fspath(path)
  bvh = bvh_lib.read_bvh(path)
  nodes = _node_indices(bvh.names, source)
  rig = _find_rig(nodes, (rig,) if rig else rigs_lib.RIGS, skeleton, source)
  bvh = _skip(bvh, rig.rest_frames if skip_frames is None else skip_frames, source)
  positions, crown = _positions_and_crown(bvh, nodes[rig.head], position_channels)

  leg = _leg_length(positions, nodes, rig)
  scale = _mm_per_unit(unit, leg, rig, source)
  crown = positions[:, nodes[rig.head]] + HEAD_LENGTH_PER_LEG * leg * crown
  rig_joints, extrapolated = _pick_joints(positions, crown, nodes, rig, skeleton, leg, source)
  rig_joints = _to_world(rig_joints, scale, up)
  rate = 1.0 / bvh.frame_time
  return Clip(
    name=pathlib.PurePath(source).stem, rig=rig.name,
    # Frame Time has few digits: 0.0333333 means 30 frames/s.
    fps=float(round(rate)) if abs(rate - round(rate)) < 1e-4 * rate else rate,
    mm_per_unit=scale, node_names=bvh.names, node_parents=bvh.parents,
    positions=_to_world(positions, scale, up), skeleton=skeleton,
    joints=_midpoints(rig_joints, skeleton), rig_joints=rig_joints, extrapolated=extrapolated,
  )


def iterate_bvh(
  folder: str | os.PathLike,
  on_error: Callable[[pathlib.Path, BvhError | OSError], None] | None = None,
  load: Callable[[pathlib.Path], Clip] = load_bvh,
) -> Iterator[Clip]:
  """Loads every BVH file under a folder, in the order of the paths.

  Args:
    folder: searched with its subfolders for files that end in .bvh, in any case.
    on_error: called with a bad file's path and error, and the file is left out; the error is raised
      where None.
    load: reads one file: `load_bvh`, or a `functools.partial` of it.

  Yields:
    One clip after the other; none is kept.

  Raises:
    FileNotFoundError: there is no BVH file under `folder`.
  """
  root = pathlib.Path(folder)
  paths = sorted(path for path in root.rglob('*') if path.suffix.lower() == '.bvh')
  if not paths:
    raise FileNotFoundError(f'no .bvh file in {root.resolve()} or its subfolders')
  for path in paths:
    try:
      clip = load(path)
    except (BvhError, OSError) as error:
      if on_error is None:
        raise
      on_error(path, error)
    else:
      yield clip


def root_relative(clip: Clip) -> np.ndarray:
  """(T, J, 3) joints from the pelvis, mm, world axes."""
  return clip.joints - clip.joints[:, :1]


def canonical_poses(clip: Clip) -> tuple[np.ndarray, np.ndarray]:
  """View-invariant poses and what turns them back (spec/kinematics.md, canonical frame).

  Args:
    clip: a clip.

  Returns:
    (T, J, 3) canonical poses, mm, and (T, 3, 3) rotations R, world from canonical:
    root_relative = canonical @ Rᵀ. In JAX's default float.
  """
  return _in_calls(_canonical, clip.joints, clip.skeleton)


def local_poses(clip: Clip, frame: Mode = 'robust') -> np.ndarray:
  """Local poses T_L of every frame (spec/kinematics.md).

  Args:
    clip: a clip.
    frame: the local frames' definition.

  Returns:
    (T, J, 3) unit vectors, row 0 zero. In JAX's default float.
  """
  return _in_calls(functools.partial(_local, frame=frame), clip.joints, clip.skeleton)


def bone_lengths(clip: Clip) -> np.ndarray:
  """(J,) median length of the bone from each joint's parent, mm; 0 for the root.

  A rig's bones are rigid, but not all of J17's: pelvis–neck bends with the spine, and neck–shoulder
  changes as the collar bones lift.
  """
  parents = np.maximum(np.array(clip.skeleton.parents), 0)
  return np.median(np.linalg.norm(clip.joints - clip.joints[:, parents], axis=-1), axis=0)


@functools.partial(jax.jit, static_argnames='skeleton')
def _canonical(joints: jax.Array, skeleton: Skeleton) -> tuple[jax.Array, jax.Array]:
  return jax.vmap(lambda pose: kinematics.canonicalize(pose, skeleton))(joints)


@functools.partial(jax.jit, static_argnames=('skeleton', 'frame'))
def _local(joints: jax.Array, skeleton: Skeleton, frame: Mode) -> jax.Array:
  return jax.vmap(lambda pose: kinematics.local_from_canonical(pose, skeleton, frame))(joints)


def _in_calls(function: Callable, joints: np.ndarray, skeleton: Skeleton):
  """Runs a batched function over (T, J, 3) in calls of one fixed shape."""
  # In world coordinates far from the origin float32 would lose digits.
  joints = joints - joints[:, :1]
  results = []
  for start in range(0, len(joints), _FRAMES_PER_CALL):
    part = joints[start : start + _FRAMES_PER_CALL]
    padding = ((0, _FRAMES_PER_CALL - len(part)), (0, 0), (0, 0))
    results.append(function(jnp.asarray(np.pad(part, padding, mode='edge')), skeleton))
  return jax.tree.map(lambda *parts: np.concatenate(parts)[: len(joints)], *results)


def _node_indices(names: tuple[str, ...], source: str) -> dict[str, int]:
  """Node name without namespace → index."""
  indices: dict[str, int] = {}
  for index, name in enumerate(names):
    short = name.rsplit(':', 1)[-1]
    if short in indices:
      raise BvhError(source, None, f'two joints are called {short!a} but for their namespace')
    indices[short] = index
  return indices


def _missing(nodes: dict[str, int], rig: rigs_lib.Rig, skeleton: Skeleton) -> list[str]:
  """Node names that a rig would need and that are not there."""
  lacking = [' or '.join(names) for joint, names in rig.joints.items()
             if joint in skeleton.joints and joint != 'head_top'
             and not any(name in nodes for name in names)]
  return [name for name in (*rig.marks, rig.head) if name not in nodes] + lacking


def _find_rig(
  nodes: dict[str, int], rigs: tuple[rigs_lib.Rig, ...], skeleton: Skeleton, source: str
) -> rigs_lib.Rig:
  """The first rig whose names are all there."""
  missing = [_missing(nodes, rig, skeleton) for rig in rigs]
  best = min(range(len(rigs)), key=lambda i: len(missing[i]))
  if missing[best]:
    raise BvhError(
      source, None, f'the joint names fit no known rig; the nearest, {rigs[best].name}, '
      f'also has {", ".join(missing[best][:4])}; pass rig= with the names'
    )
  return rigs[best]


def _skip(bvh: bvh_lib.Bvh, frames: int, source: str) -> bvh_lib.Bvh:
  if frames < 0:
    raise ValueError(f'load_bvh: skip_frames must be >= 0, got {frames}')
  if len(bvh.motion) <= frames:
    raise BvhError(source, None, f'{len(bvh.motion)} frames, of which {frames} are to be skipped')
  return bvh._replace(motion=bvh.motion[frames:])


def _positions_and_crown(
  bvh: bvh_lib.Bvh, head: int, position_channels: Literal['replace', 'add']
) -> tuple[np.ndarray, np.ndarray]:
  """(T, N, 3) positions in the file's unit, (T, 3) unit vectors from the head joint to the crown.

  The vectors are zero where the head's OFFSET is.
  """
  bone = bvh.offsets[head]
  length = np.linalg.norm(bone)
  direction = bone / length if length > 0 else np.zeros(3)
  with_crown = bvh_kinematics.with_site(bvh, head, direction, 'crown')
  positions = bvh_kinematics.world_positions(with_crown, position_channels)
  return positions[:, :-1], positions[:, -1] - positions[:, head]


def _node_of(joint: str, nodes: dict[str, int], rig: rigs_lib.Rig) -> int:
  return next(nodes[name] for name in rig.joints[joint] if name in nodes)


def _leg_length(positions: np.ndarray, nodes: dict[str, int], rig: rigs_lib.Rig) -> float:
  """Median of thigh plus shank over frames and sides, in the file's unit."""
  legs = []
  for side in ('r', 'l'):
    hip, knee, ankle = (
      positions[:, _node_of(f'{side}_{joint}', nodes, rig)] for joint in ('hip', 'knee', 'ankle')
    )
    legs.append(np.linalg.norm(hip - knee, axis=-1) + np.linalg.norm(knee - ankle, axis=-1))
  return float(np.median(legs))


def _mm_per_unit(unit: str | float | None, leg: float, rig: rigs_lib.Rig, source: str) -> float:
  low, high = LEG_RANGE_MM
  if unit is None:
    for name in rig.units:
      if low <= leg * rigs_lib.UNITS_MM[name] <= high:
        return rigs_lib.UNITS_MM[name]
    fitting = [name for name, mm in rigs_lib.UNITS_MM.items() if low <= leg * mm <= high]
    raise BvhError(
      source, None, f'legs of {leg:.4g} units are not {low:.0f} to {high:.0f} mm in '
      f'{" or ".join(rig.units)}, the units of {rig.name} files; pass unit= '
      + (f'({" or ".join(fitting)} would fit)' if fitting else '(mm per unit)')
    )
  scale = rigs_lib.UNITS_MM.get(unit, 0.0) if isinstance(unit, str) else float(unit)
  # The upper bound keeps a product with a file's largest number finite.
  if not 0 < scale <= 1e6:
    raise ValueError(
      f'load_bvh: unit must be one of {", ".join(rigs_lib.UNITS_MM)} or mm per unit, got {unit!r}'
    )
  return scale


def _pick_joints(
  positions: np.ndarray, crown: np.ndarray, nodes: dict[str, int], rig: rigs_lib.Rig,
  skeleton: Skeleton, leg: float, source: str,
) -> tuple[np.ndarray, tuple[str, ...]]:
  """(T, J, 3) joints in the file's unit, pelvis and neck the rig's own; what was extrapolated."""
  rows, extrapolated = [], []
  for joint in skeleton.joints:
    candidates = [nodes[name] for name in rig.joints[joint] if name in nodes]
    if joint in ('head_top', 'r_foot', 'l_foot'):
      base = nodes[rig.head] if joint == 'head_top' else _node_of(f'{joint[0]}_ankle', nodes, rig)
      candidates = [node for node in candidates if np.median(
        np.linalg.norm(positions[:, node] - positions[:, base], axis=-1)
      ) > _COINCIDENT_PER_LEG * leg]
    if candidates:
      rows.append(positions[:, candidates[0]])
    elif joint == 'head_top':
      if not np.any(crown != positions[:, nodes[rig.head]]):
        raise BvhError(
          source, None, f'no head top, and {rig.head} has no OFFSET along which to extrapolate one'
        )
      rows.append(crown)
      extrapolated.append(joint)
    else:
      raise BvhError(
        source, None, f'{" or ".join(rig.joints[joint])} must be apart from the ankle for {joint}; '
        'load it with skeleton=J15, which has no feet'
      )
  return np.stack(rows, axis=1), tuple(extrapolated)


def _to_world(points: np.ndarray, scale: float, up: str) -> np.ndarray:
  """(..., 3) points of the file in mm and the z-up world."""
  if up == 'y':
    points = np.stack([points[..., 0], -points[..., 2], points[..., 1]], axis=-1)
  return scale * points


def _midpoints(joints: np.ndarray, skeleton: Skeleton) -> np.ndarray:
  """`skeleton.enforce_midpoints` for (T, J, 3) in float64, whatever JAX's default."""
  joints = joints.copy()
  for joint, (right, left) in skeleton_lib.DERIVED.items():
    joints[:, skeleton.index(joint)] = (
      joints[:, skeleton.index(right)] + joints[:, skeleton.index(left)]
    ) / 2
  return joints
