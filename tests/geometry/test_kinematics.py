import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.benchmarks import numpy_geometry
from posejax.geometry import kinematics, rotation
from posejax.geometry import skeleton as skeleton_lib
from posejax.geometry.skeleton import J15, J17
from tests.geometry import poses

NAMES = poses.NAMES
LENGTHS = kinematics.bone_lengths()
MODES = ('paper', 'robust')



def in_chunks(function, axes=0, size=500):
  """Vmaps and jits, and calls with one batch size alone: every other one is a compilation more."""
  compiled = jax.jit(jax.vmap(function, axes))

  def call(rows, *rest):
    rows = np.asarray(rows)
    padding = [(0, -len(rows) % size)] + [(0, 0)] * (rows.ndim - 1)
    padded = np.pad(rows, padding, mode='edge')
    parts = [compiled(padded[i : i + size], *rest) for i in range(0, len(padded), size)]
    return jax.tree.map(lambda *part: np.concatenate(part)[: len(rows)], *parts)

  return call


FK = {
  mode: in_chunks(functools.partial(kinematics.forward_kinematics, frame=mode), (0, None))
  for mode in MODES
}
TL = {
  mode: in_chunks(functools.partial(kinematics.local_from_canonical, frame=mode)) for mode in MODES
}
canonicalize = in_chunks(kinematics.canonicalize)
constrain = in_chunks(kinematics.constrain_local)


@functools.cache
def many_poses() -> np.ndarray:
  """10,000 valid sets: anywhere, human, straight, sitting."""
  rng = np.random.default_rng(0)
  kinds = poses.arbitrary, poses.human, poses.straight, poses.sitting
  return np.concatenate([kind(rng, 2500) for kind in kinds])


def placed(pose: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
  """Poses turned any way, upside down too, and moved; and the turns."""
  turn = Rotation.random(len(pose), random_state=seed).as_matrix()
  moved = np.einsum('nij,nkj->nki', turn, pose)
  return moved + np.random.default_rng(seed).normal(scale=2000, size=(len(pose), 1, 3)), turn


def t_pose() -> np.ndarray:
  """Upright, arms sideways, legs down, feet forward."""
  local = np.tile([0.0, 0, 1], (17, 1))
  for side in 'rl':
    local[NAMES[f'{side}_hip']] = local[NAMES[f'{side}_shoulder']] = -1, 0, 0
    local[NAMES[f'{side}_knee']] = -1, 0, 0
    local[NAMES[f'{side}_foot']] = 0, -1, 0
  return local


def fk_one(local: np.ndarray, mode='robust') -> np.ndarray:
  return np.asarray(FK[mode](local[None], LENGTHS)[0])


class TestHandComputed:

  @pytest.mark.parametrize('mode', MODES)
  def test_t_pose(self, x64, mode):
    # X forward, Y left, Z up. Right side at −y: shoulder 151; elbow 151 + 278.9 = 429.9; wrist
    # 429.9 + 251.7 = 681.6. Head 490.5 + 236.1 = 726.6. Knee −442.9; ankle −442.9 − 454.2 = −897.1;
    # the foot (θ = 270°, front) 162.8 forward of it.
    expected = np.array([
      [0, 0, 0], [0, 0, 490.5], [0, 0, 726.6],
      [0, -151, 490.5], [0, -429.9, 490.5], [0, -681.6, 490.5],
      [0, 151, 490.5], [0, 429.9, 490.5], [0, 681.6, 490.5],
      [0, -132.9, 0], [0, -132.9, -442.9], [0, -132.9, -897.1],
      [0, 132.9, 0], [0, 132.9, -442.9], [0, 132.9, -897.1],
      [162.8, -132.9, -897.1], [162.8, 132.9, -897.1],
    ])
    np.testing.assert_allclose(fk_one(t_pose(), mode), expected, atol=1e-10)

  @pytest.mark.parametrize('mode', MODES)
  def test_knees_bend_backward(self, x64, mode):
    # Thigh down; ankle at θ = 90°, γ = 90° (knee flexion 90°): the shank points back, −x. Axes of
    # a right ankle then: Z = −z, Y = −x, X = Y × Z = −y.
    local = t_pose()
    local[[NAMES['r_ankle'], NAMES['l_ankle']]] = 0, 1, 0
    pose = fk_one(local, mode)
    np.testing.assert_allclose(pose[NAMES['r_ankle']], [-454.2, -132.9, -442.9], atol=1e-10)
    np.testing.assert_allclose(pose[NAMES['l_ankle']], [-454.2, 132.9, -442.9], atol=1e-10)

  def test_knees_bend_backward_sitting(self, x64):
    # Thigh forward: Z = +x; h = −y; c = Z × h = −z: Y = down, so the bent shank points down. The
    # literal frame's c = −n̂ is parallel to Z there and falls back to Z_c: the shank points up.
    local = t_pose()
    local[NAMES['r_knee']] = 0, -1, 0
    local[NAMES['r_ankle']] = 0, 1, 0
    for mode, height in (('robust', -454.2), ('paper', 454.2)):
      ankle = fk_one(local, mode)[NAMES['r_ankle']]
      np.testing.assert_allclose(ankle, [442.9, -132.9, height], atol=1e-10)

  def test_elbow_bends_to_front_and_medial(self, x64):
    # Upper arm front-lateral, u = z0 = (0, −1, 1)/√2: direction (1, −1, 0)/√2 on the right. The
    # wrist's Y = (0, 1, 1)/√2 in the elbow's frame = (−1, −1, 0)/√2, back-lateral; θ = 270° is −Y,
    # front-medial; θ = 0 is X = Y × Z = (0, 0, 1), up. Wrist = neck + shoulder + 278.9 z + 251.7 d.
    root = np.sqrt(0.5)
    for row, direction in (([0, -1, 0], [root, root, 0]), ([1, 0, 0], [0, 0, 1])):
      local = t_pose()
      local[[NAMES['r_elbow'], NAMES['l_elbow']]] = 0, -root, root
      local[[NAMES['r_wrist'], NAMES['l_wrist']]] = row
      pose = fk_one(local)
      upper = np.array([0, -151, 490.5]) + 278.9 * root * np.array([1, -1, 0])
      wrist = upper + 251.7 * np.array(direction)
      np.testing.assert_allclose(pose[NAMES['r_wrist']], wrist, atol=1e-10)
      np.testing.assert_allclose(pose[NAMES['l_wrist']], wrist * [1, -1, 1], atol=1e-10)


class TestAgainstNumPy:

  @pytest.mark.parametrize('mode', MODES)
  def test_both_directions(self, x64, mode):
    local = many_poses()[::50]
    ours = FK[mode](local, LENGTHS)
    back = TL[mode](ours)
    for i, rows in enumerate(local):
      pose = numpy_geometry.forward_kinematics_loop(rows, LENGTHS, J17, mode)
      np.testing.assert_allclose(ours[i], pose, atol=1e-8)
      rows = numpy_geometry.local_from_canonical_loop(pose, J17, mode)
      np.testing.assert_allclose(back[i], rows, atol=1e-10)


class TestRoundTrip:

  @pytest.mark.parametrize('mode', MODES)
  def test_float64(self, x64, mode):
    local = many_poses()
    assert len(local) == 10_000
    pose = FK[mode](local, LENGTHS)
    moved, _ = placed(np.asarray(pose), 1)
    # T_L sees the pose turned and moved: nothing of that may be left. Differences of coordinates
    # of some metres are exact to 1e-12 mm, and a frame at 1e-3 of degenerate amplifies them.
    np.testing.assert_allclose(TL[mode](pose), local, atol=1e-10)
    rows = TL[mode](moved)
    np.testing.assert_allclose(rows, local, atol=1e-9)
    np.testing.assert_allclose(FK[mode](TL[mode](pose), LENGTHS), pose, atol=1e-9)

  @pytest.mark.parametrize('mode', MODES)
  def test_float32(self, mode):
    pose = FK[mode](many_poses().astype(np.float32), LENGTHS)
    assert pose.dtype == np.float32
    error = np.max(np.abs(FK[mode](TL[mode](pose), LENGTHS) - pose), axis=(1, 2))
    # A frame at 1e-3 of degenerate makes 0.1 mm of the 1e-4 mm to which 1 m is rounded.
    assert np.quantile(error, 0.999) < 2e-2
    assert np.max(error) < 0.2

  @pytest.mark.parametrize('mode', MODES)
  def test_near_degenerate_frames(self, x64, mode):
    local = poses.near_degenerate(np.random.default_rng(2), 10_000)
    pose = FK[mode](local, LENGTHS)
    assert np.all(np.isfinite(pose))
    np.testing.assert_allclose(FK[mode](TL[mode](pose), LENGTHS), pose, atol=1e-8)

  @pytest.mark.parametrize('mode', MODES)
  def test_any_fifteen_points(self, x64, mode):
    # Not a body at all: pelvis anywhere, sides of different length. Still FK(T_L(p)) is p.
    pose = np.random.default_rng(3).normal(scale=300, size=(10_000, 17, 3))
    canonical, _ = canonicalize(pose)
    lengths = np.linalg.norm(pose - pose[:, np.maximum(J17.parents, 0)], axis=-1)
    function = functools.partial(kinematics.forward_kinematics, frame=mode)
    again = jax.jit(jax.vmap(function))(TL[mode](pose), lengths)
    np.testing.assert_allclose(again, canonical, atol=1e-7)

  def test_symmetric_parts_are_inferred(self, x64):
    pose = np.asarray(FK['robust'](many_poses(), LENGTHS))
    mid = lambda part: pose[:, NAMES[f'r_{part}']] + pose[:, NAMES[f'l_{part}']]  # noqa: E731
    np.testing.assert_allclose(mid('hip'), 0, atol=1e-12)
    np.testing.assert_allclose(mid('shoulder') / 2, pose[:, NAMES['neck']], atol=1e-12)


class TestSymmetries:

  @pytest.mark.parametrize('mode', MODES)
  def test_local_poses_do_not_see_the_camera(self, x64, mode):
    pose = np.asarray(FK[mode](many_poses()[::4], LENGTHS))
    moved, _ = placed(pose, 4)
    np.testing.assert_allclose(TL[mode](moved), TL[mode](pose), atol=1e-9)

  @pytest.mark.parametrize('mode', MODES)
  def test_mirror(self, x64, mode):
    local = np.concatenate([many_poses(), poses.near_degenerate(np.random.default_rng(5), 500)])
    mirrored = jax.vmap(kinematics.mirror_local)(local)
    pose = FK[mode](local, LENGTHS)
    in_mirror = jax.vmap(kinematics.mirror_canonical)(pose)
    np.testing.assert_allclose(FK[mode](mirrored, LENGTHS), in_mirror, atol=1e-8)
    np.testing.assert_allclose(TL[mode](in_mirror), mirrored, atol=1e-10)

  def test_mirror_flips_x_of_neck_and_head_alone(self):
    local = np.arange(51.0).reshape(17, 3)
    mirrored = np.asarray(kinematics.mirror_local(local))
    for name in ('neck', 'head_top', 'pelvis'):
      np.testing.assert_array_equal(mirrored[NAMES[name]], local[NAMES[name]] * [-1, 1, 1])
    np.testing.assert_array_equal(mirrored[NAMES['l_wrist']], local[NAMES['r_wrist']])
    np.testing.assert_array_equal(kinematics.mirror_local(mirrored), local)

  def test_joint_order_is_by_name(self, x64):
    order = np.random.default_rng(6).permutation(17)
    parents = [J17.parents[j] for j in order]
    place = {int(j): i for i, j in enumerate(order)} | {-1: -1}
    shuffled = skeleton_lib.Skeleton(
      'shuffled', tuple(J17.joints[j] for j in order), tuple(place[p] for p in parents), (), ()
    )
    local = many_poses()[3000]
    pose = kinematics.forward_kinematics(local[order], LENGTHS[order], shuffled)
    np.testing.assert_allclose(pose, fk_one(local)[order], atol=1e-10)
    rows = kinematics.local_from_canonical(pose, shuffled)
    np.testing.assert_allclose(rows, local[order], atol=1e-10)

  def test_j15_is_j17_without_feet(self, x64):
    local = many_poses()[4000]
    pose = kinematics.forward_kinematics(local[:15], LENGTHS[:15], J15)
    np.testing.assert_allclose(pose, fk_one(local)[:15], atol=1e-10)
    np.testing.assert_allclose(kinematics.local_from_canonical(pose, J15), local[:15], atol=1e-10)


class TestCanonicalFrame:

  def test_inverse_and_axes(self, x64):
    pose = np.asarray(FK['robust'](many_poses()[::10], LENGTHS))
    moved, turn = placed(pose, 7)
    canonical, found = canonicalize(moved)
    np.testing.assert_allclose(canonical, pose, atol=1e-8)
    np.testing.assert_allclose(found, turn, atol=1e-9)
    relative = moved - moved[:, :1]
    np.testing.assert_allclose(
      np.einsum('nkj,nij->nki', canonical, found), relative, atol=1e-9
    )
    # Z through the neck, hips in the YZ plane, right hip at −y.
    np.testing.assert_allclose(canonical[:, 1, :2], 0, atol=1e-9)
    np.testing.assert_allclose(canonical[:, NAMES['r_hip'], 0], 0, atol=1e-9)
    assert np.all(canonical[:, NAMES['r_hip'], 1] < 0)

  def test_upright_person_who_faces_the_camera(self):
    # Camera x right, y down, z forward: her forward (x) is −z, her left (y) +x, her up (z) −y.
    upright = jnp.array([0.0, 1, 0, 1, 0, 1])
    seen = kinematics.rotate_to_camera(jnp.diag(jnp.array([1.0, 2, 3])), upright)
    np.testing.assert_array_equal(seen, [[0, 0, -1], [2, 0, 0], [0, -3, 0]])

  def test_rotation_to_camera(self, x64):
    angles = np.random.default_rng(8).uniform(-1.5, 1.5, (20, 3))
    sincos = np.stack([np.sin(angles), np.cos(angles)], axis=-1).reshape(20, 6)
    pose = fk_one(many_poses()[2600])
    for c, turn in zip(sincos, Rotation.from_euler('ZXY', angles).as_matrix(), strict=True):
      seen = kinematics.rotate_to_camera(pose, 3.0 * c)
      full = rotation.UPRIGHT_FACING_CAMERA @ turn
      np.testing.assert_allclose(seen, pose @ full.T, atol=1e-9)
      canonical, found = kinematics.canonicalize(seen)
      np.testing.assert_allclose(found, full, atol=1e-9)
      np.testing.assert_allclose(canonical, pose, atol=1e-9)
      np.testing.assert_allclose(kinematics.sincos_from_pose_rotation(found), c, atol=1e-9)


class TestConstrain:

  def test_against_the_rules(self, x64):
    raw = np.random.default_rng(9).normal(size=(100, 17, 3))
    np.testing.assert_allclose(constrain(raw), poses.valid(raw), atol=1e-12)
    np.testing.assert_allclose(constrain(constrain(raw)), constrain(raw), atol=1e-12)

  def test_rows_without_direction(self):
    local = kinematics.constrain_local(jnp.zeros((17, 3)))
    expected = np.tile([0.0, 0, 1], (17, 1))
    expected[[NAMES['pelvis'], NAMES['r_hip'], NAMES['l_hip'], NAMES['l_shoulder']]] = (
      [0, 0, 0], [-1, 0, 0], [-1, 0, 0], [0, 0, -1])
    np.testing.assert_array_equal(local, expected)
    jacobian = jax.jit(jax.jacrev(kinematics.constrain_local))(jnp.zeros((17, 3)))
    assert np.all(np.isfinite(jacobian))

  def test_nan_stays(self):
    raw = jnp.ones((17, 3)).at[NAMES['r_shoulder']].set(jnp.nan)
    nan_rows = np.any(np.isnan(kinematics.constrain_local(raw)), axis=-1)
    assert set(np.flatnonzero(nan_rows)) == {NAMES['r_shoulder'], NAMES['l_shoulder']}


class TestBoneLengths:

  def test_tables(self, x64):
    assert kinematics.bone_lengths(J15).tolist() == [
      0, 490.5, 236.1, 151, 278.9, 251.7, 151, 278.9, 251.7,
      132.9, 442.9, 454.2, 132.9, 442.9, 454.2,
    ]
    ratios = kinematics.bone_lengths(J17, kinematics.TRUNK_RATIOS)
    assert ratios[1] == 1 and ratios[NAMES['l_foot']] == 0.421
    # The two sources agree on the proportions to 30 %.
    np.testing.assert_allclose(ratios, LENGTHS / LENGTHS[1], rtol=0.3)

  def test_measured(self, x64):
    pose = FK['robust'](many_poses()[:9], LENGTHS)
    measured = jax.vmap(kinematics.measure_bone_lengths)(pose)
    np.testing.assert_allclose(measured, np.tile(LENGTHS, (9, 1)), atol=1e-9)

  def test_gradient_at_length_zero(self):
    gradient = jax.grad(lambda p: jnp.sum(kinematics.measure_bone_lengths(p)))(jnp.zeros((17, 3)))
    np.testing.assert_array_equal(gradient, 0)


def test_mean_pose_by_hand():
  """The right shoulder's bone points along x in one pose and along y in the other, 100 mm long."""
  order = J15
  shoulder, elbow, wrist = (order.index(f'r_{name}') for name in ('shoulder', 'elbow', 'wrist'))
  first = np.zeros((15, 3))
  first[:] = (7, 8, 9)  # all joints in one place: bones without a direction
  second = first + (2, 0, 0)
  first[[shoulder, elbow, wrist]] += (100, 0, 0)
  second[[shoulder, elbow, wrist]] += (0, 100, 0)
  second[wrist] += (0, 0, 10)
  mean = np.asarray(kinematics.mean_pose(np.stack([first, second]), order))
  side = 100 / np.sqrt(2)
  at = np.array([8, 8, 9])
  np.testing.assert_allclose(mean[0], at, atol=1e-4)
  np.testing.assert_allclose(mean[elbow], at + (side, side, 0), atol=1e-4)
  # The last bone has no length in the first pose, 10 in the second: their mean is 5.
  np.testing.assert_allclose(mean[wrist], mean[elbow] + (0, 0, 5), atol=1e-4)
  # Bones that cancel each other: the first one's stays.
  flipped = np.asarray(kinematics.mean_pose(np.stack([first, 2 * at - (1, 0, 0) - first]), order))
  assert np.isfinite(flipped).all()


def test_mean_pose_keeps_a_body_and_has_derivatives():
  local = poses.human(np.random.default_rng(0), 2)
  bodies = jnp.stack([kinematics.forward_kinematics(row, LENGTHS) for row in local])
  parents = np.array(J17.parents)

  def lengths(pose):
    return np.linalg.norm((pose - pose[parents])[1:], axis=-1)

  mean = np.asarray(kinematics.mean_pose(bodies))
  expected = (lengths(np.asarray(bodies[0])) + lengths(np.asarray(bodies[1]))) / 2
  np.testing.assert_allclose(lengths(mean), expected, rtol=1e-5)
  alone = kinematics.mean_pose(bodies[:1])
  np.testing.assert_allclose(alone, bodies[0], atol=1e-3)
  np.testing.assert_allclose(kinematics.mean_pose(bodies[::-1]), mean, atol=1e-3)
  for some in (bodies, jnp.zeros((2, 17, 3))):  # at the singular point too
    assert np.isfinite(jax.grad(lambda x: kinematics.mean_pose(x).sum())(some)).all()
  with pytest.raises(ValueError, match='mean_pose: poses must have shape'):
    kinematics.mean_pose(jnp.zeros((2, 16, 3)))
