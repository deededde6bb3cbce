"""Cameras against hand calculations, numerical derivatives, and properties."""

import functools

import hypothesis
import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.geometry import camera as camera_lib
from posejax.geometry import kinematics, limits, rotation
from tests.geometry import numerics

project = jax.jit(camera_lib.project)
back_project = jax.jit(camera_lib.back_project)
project_weak = jax.jit(camera_lib.project_weak)
compose_global = jax.jit(camera_lib.compose_global)
world_to_camera = jax.jit(camera_lib.world_to_camera)
camera_to_world = jax.jit(camera_lib.camera_to_world)
look_at = jax.jit(camera_lib.look_at)

MODELS = (camera_lib.Chi3dDistortion, camera_lib.OpenCvDistortion)
INTRINSICS = camera_lib.Intrinsics(np.array([1145.0, 1144.0]), np.array([512.5, 515.4]))
# H3.6M-like coefficients, with a tangential part ten times larger so that its factor shows.
RADIAL = np.array([-0.2, 0.24, -0.01])
TANGENTIAL = np.array([-0.009, -0.014])
LOOK_AT_JACOBIAN = jax.jit(jax.jacrev(camera_lib.look_at, argnums=(0, 1)))
PROJECT_GRADIENT = jax.jit(jax.grad(lambda *args: jnp.sum(camera_lib.project(*args))))


def random_points(seed, num=12, near=800.0, far=6000.0):
  rng = np.random.default_rng(seed)
  depth = rng.uniform(near, far, num)
  side = rng.uniform(-0.6, 0.6, (num, 2))
  return np.concatenate([side * depth[:, None], depth[:, None]], axis=1)


# Projections by hand.


def test_fixed_intrinsics_are_side_and_middle():
  square = camera_lib.fixed_intrinsics(224)
  np.testing.assert_array_equal(square.focal, [224, 224])
  # Pixels 0..223: the middle lies between 111 and 112.
  np.testing.assert_array_equal(square.center, [111.5, 111.5])
  wide = camera_lib.fixed_intrinsics(640, 480)
  np.testing.assert_array_equal(wide.focal, [640, 640])
  np.testing.assert_array_equal(wide.center, [319.5, 239.5])


def test_project_by_hand():
  intrinsics = camera_lib.fixed_intrinsics(224)
  # 224 * 100 / 2500 = 8.96 right, 224 * 200 / 2500 = 17.92 up (y is down), about 111.5.
  pixels = project(np.array([[100.0, -200.0, 2500.0]]), intrinsics)
  np.testing.assert_allclose(pixels, [[120.46, 93.58]], rtol=1e-6)


def test_distorted_projections_by_hand(x64):
  # x = (0.5, 0.25): r^2 = 0.3125, r^4 = 0.09765625, r^6 = 0.030517578125.
  # gain = 1 - 0.2 * 0.3125 + 0.1 * 0.09765625 - 0.05 * 0.030517578125 = 0.94573974609375.
  # p' = (p2, p1) = (0.02, 0.01): x.p' = 0.01 + 0.0025 = 0.0125, r^2 p' = (0.00625, 0.003125).
  # CHI3D:  0.5 * 0.95823974609375 + 0.00625 = 0.485369873046875; y 0.2426849365234375.
  # OpenCV: 0.5 * 0.97073974609375 + 0.00625 = 0.491619873046875; y 0.2458099365234375.
  # Pixels: 1000 x + 500 and 2000 y + 400.
  points = np.array([[500.0, 250.0, 1000.0]])
  intrinsics = camera_lib.Intrinsics(np.array([1000.0, 2000.0]), np.array([500.0, 400.0]))
  coefficients = np.array([-0.2, 0.1, -0.05]), np.array([0.01, 0.02])
  chi3d = project(points, intrinsics, camera_lib.Chi3dDistortion(*coefficients))
  opencv = project(points, intrinsics, camera_lib.OpenCvDistortion(*coefficients))
  np.testing.assert_allclose(chi3d, [[985.369873046875, 885.369873046875]], rtol=1e-14)
  np.testing.assert_allclose(opencv, [[991.619873046875, 891.619873046875]], rtol=1e-14)


def test_the_contracts_distortion_is_chi3ds():
  assert camera_lib.Distortion is camera_lib.Chi3dDistortion


def test_weak_perspective_by_hand():
  # f / d = 200 / 2000 = 0.1: 300 mm right of the root are 30 px, 100 mm above it 10 px; z is free.
  pose = np.array([[0.0, 0.0, 0.0], [300.0, -100.0, 555.0]])
  pixels = project_weak(pose, np.array([50.0, 60.0]), 2000.0, 200.0)
  np.testing.assert_allclose(pixels, [[50, 60], [80, 50]], rtol=1e-6)
  # One focal length per axis: 400 / 2000 doubles y.
  pixels = project_weak(pose, np.array([50.0, 60.0]), 2000.0, np.array([200.0, 400.0]))
  np.testing.assert_allclose(pixels, [[50, 60], [80, 40]], rtol=1e-6)


def test_compose_global_by_hand():
  # (151.5 - 111.5) * 2800 / 224 = 500; (83.5 - 111.5) * 2800 / 224 = -350.
  pose = np.array([[0.0, 0.0, 0.0], [10.0, 20.0, -30.0]])
  placed = compose_global(pose, np.array([151.5, 83.5]), 2800.0, camera_lib.fixed_intrinsics(224))
  np.testing.assert_allclose(placed, [[500, -350, 2800], [510, -330, 2770]], rtol=1e-6)


def test_composed_root_projects_to_its_pixel(x64):
  pose = np.random.default_rng(0).normal(0, 300, (17, 3))
  pose[0] = 0
  root = np.array([700.0, 300.0])
  placed = compose_global(pose, root, 3000.0, INTRINSICS)
  np.testing.assert_allclose(project(placed, INTRINSICS)[0], root, rtol=1e-13)


def test_weak_against_full_perspective_as_in_the_spec():
  """crossmodal.md: at 224 px and 2.5 m, 3.3 px for a centred person, 8.1 px at 0.4 of the side."""
  rng = np.random.default_rng(0)
  num = 500
  theta_lo, theta_hi, gamma_lo, gamma_hi = limits.limit_table(limits.PAPER)[:, :4].T
  shape = (num, len(theta_lo))
  local = limits.local_from_spherical(
    rng.uniform(theta_lo, theta_hi, shape), rng.uniform(gamma_lo, gamma_hi, shape)
  )
  lengths = kinematics.bone_lengths()
  canonical = jax.vmap(
    lambda rows: kinematics.forward_kinematics(kinematics.constrain_local(rows), lengths)
  )(jnp.asarray(local))
  yaw = np.stack([rng.uniform(-np.pi, np.pi, num), np.zeros(num), np.zeros(num)], axis=1)
  turned = jax.vmap(lambda c, angles: jnp.sum(
    c[:, None, :] * (rotation.UPRIGHT_FACING_CAMERA @ rotation.euler_to_matrix(angles)), -1
  ))(canonical, jnp.asarray(yaw))

  intrinsics = camera_lib.fixed_intrinsics(224)

  @jax.jit
  @functools.partial(jax.vmap, in_axes=(0, None))
  def gap(pose, root):
    full = camera_lib.project(camera_lib.compose_global(pose, root, 2500.0, intrinsics), intrinsics)
    weak = camera_lib.project_weak(pose, root, 2500.0, intrinsics.focal)
    return jnp.mean(jnp.linalg.norm(full - weak, axis=1))

  middle = np.array([111.5, 111.5])
  centred = float(jnp.mean(gap(turned, middle)))
  aside = float(jnp.mean(gap(turned, middle + np.array([0.4 * 224, 0]))))
  assert centred == pytest.approx(3.3, abs=0.4)
  assert aside == pytest.approx(8.1, abs=0.8)


# Back-projection.


@hypothesis.given(
  st.tuples(st.floats(-0.3, 0.3), st.floats(-0.05, 0.1), st.floats(-0.01, 0.02)),
  st.tuples(st.floats(-0.02, 0.02), st.floats(-0.02, 0.02)),
  st.sampled_from(MODELS),
  st.integers(0, 1000),
)
def test_back_projection_inverts_projection(radial, tangential, model, seed):
  with jax.enable_x64(True):
    points = random_points(seed, num=8)
    points[:, :2] *= 0.9  # within 0.76 of the axis, inside the fold of the strongest barrel drawn
    lens = model(np.array(radial), np.array(tangential))
    pixels = project(points, INTRINSICS, lens)
    restored = back_project(pixels, points[:, 2], INTRINSICS, lens)
  np.testing.assert_allclose(restored, points, rtol=1e-9, atol=1e-7)


def test_back_projection_without_a_lens(x64):
  points = random_points(3)
  restored = back_project(project(points, INTRINSICS), points[:, 2], INTRINSICS)
  np.testing.assert_allclose(restored, points, rtol=1e-13)


def test_back_projection_in_float32():
  points = random_points(4).astype(np.float32)
  lens = camera_lib.Chi3dDistortion(jnp.asarray(RADIAL), jnp.asarray(TANGENTIAL))
  restored = back_project(project(points, INTRINSICS, lens), points[:, 2], INTRINSICS, lens)
  assert restored.dtype == jnp.float32
  np.testing.assert_allclose(restored, points, atol=0.02)  # mm, at up to 6 m


# Derivatives.


@pytest.mark.parametrize('model', (None, camera_lib.Chi3dDistortion))
def test_jacobians_of_projection_and_its_inverse(x64, model):
  lens = None if model is None else model(RADIAL, TANGENTIAL)
  points = random_points(5, num=2)

  def pixels_of(points):
    return camera_lib.project(points, INTRINSICS, lens)

  def points_of(pixels):
    return camera_lib.back_project(pixels, points[:, 2], INTRINSICS, lens)

  for function, at, step in ((pixels_of, points, 1e-2), (points_of, pixels_of(points), 1e-3)):
    at = np.asarray(at)
    forward, reverse = jax.jit(jax.jacfwd(function))(at), jax.jit(jax.jacrev(function))(at)
    np.testing.assert_allclose(forward, reverse, rtol=1e-9, atol=1e-12)
    numerical = numerics.numerical_jacobian(jax.jit(function), at, step)
    np.testing.assert_allclose(forward, numerical, rtol=1e-5, atol=1e-7)


def test_derivatives_towards_lens_and_camera(x64):
  points = random_points(6, num=3)

  def pixels_of(values):
    k, p, f, c, t = jnp.split(values, np.array([3, 5, 7, 9]))
    camera = camera_lib.Camera(camera_lib.Intrinsics(f, c), np.eye(3), t)
    lens = camera_lib.OpenCvDistortion(k, p)
    seen = camera_lib.project(camera_lib.world_to_camera(points, camera), camera.intrinsics, lens)
    # The inverse is differentiated with respect to the lens, too.
    back = camera_lib.back_project(seen + 3.0, points[:, 2], camera.intrinsics, lens)
    return jnp.concatenate([seen.ravel(), back.ravel()])

  at = np.concatenate([RADIAL, TANGENTIAL, [1100, 1000, 500, 510], [10, 20, 30.0]])
  scale = np.concatenate([np.full(5, 1e-3), np.full(7, 1.0)])

  def scaled(u):
    return pixels_of(at + u * scale)

  zero = np.zeros_like(at)
  forward, reverse = jax.jit(jax.jacfwd(scaled))(zero), jax.jit(jax.jacrev(scaled))(zero)
  np.testing.assert_allclose(forward, reverse, rtol=1e-8, atol=1e-9)
  numerical = numerics.numerical_jacobian(jax.jit(scaled), zero, 1e-3)
  np.testing.assert_allclose(forward, numerical, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('depth', [0.0, -1.0, -1e6, 1e-30, camera_lib.MIN_DEPTH_MM])
def test_points_at_and_behind_the_camera(depth):
  intrinsics = camera_lib.fixed_intrinsics(224)
  point = np.array([[3.0, -2.0, depth]], np.float32)
  # As if on the plane z = 10 mm: 111.5 + 224 * 3 / 10 = 178.7, 111.5 - 224 * 2 / 10 = 66.7.
  np.testing.assert_allclose(project(point, intrinsics), [[178.7, 66.7]], rtol=1e-6)
  gradient = PROJECT_GRADIENT(point, intrinsics)
  np.testing.assert_allclose(gradient[0, :2], [22.4, 22.4], rtol=1e-6)
  assert np.all(np.isfinite(gradient))
  if depth < camera_lib.MIN_DEPTH_MM:
    assert gradient[0, 2] == 0
  assert camera_lib.in_front(point)[0] == (depth >= camera_lib.MIN_DEPTH_MM)


def test_weak_perspective_at_depth_zero():
  pose = np.ones((3, 3), np.float32)
  arguments = (pose, np.zeros(2, np.float32), np.float32(0), np.float32(224))
  gradients = jax.grad(lambda *a: jnp.sum(camera_lib.project_weak(*a)), argnums=(0, 1, 2))(
    *arguments
  )
  assert all(np.all(np.isfinite(g)) for g in gradients)
  assert np.all(np.isfinite(project_weak(*arguments)))


# Frames.


@hypothesis.given(
  hnp.arrays(float, 3, elements=st.floats(-5000, 5000)),
  hnp.arrays(float, 3, elements=st.floats(-5000, 5000)),
  st.floats(-3.1, 3.1),
)
def test_look_at(eye, target, roll):
  hypothesis.assume(np.linalg.norm((target - eye)[:2]) > 1)
  with jax.enable_x64(True):
    turned, translation = look_at(eye, target, roll=roll)
    camera = camera_lib.Camera(INTRINSICS, turned, translation)
    straight = camera_lib.Camera(INTRINSICS, *look_at(eye, target))
    seen = np.asarray(world_to_camera(np.stack([eye, target]), camera))
    above = np.asarray(world_to_camera((target + [0, 0, 100.0])[None], straight))
    turned = np.asarray(turned)
  distance = np.linalg.norm(target - eye)
  np.testing.assert_allclose(turned @ turned.T, np.eye(3), atol=1e-13)
  assert np.linalg.det(turned) == pytest.approx(1)
  np.testing.assert_allclose(seen, [[0, 0, 0], [0, 0, distance]], atol=1e-8)
  assert abs(above[0, 0]) < 1e-8 and above[0, 1] < 0, 'up in the world is up (-y) in the image'


def test_look_at_by_hand(x64):
  # From 3 m along +x toward the origin: the camera sees world +y to its right, world z up.
  matrix, translation = look_at(np.array([3000.0, 0.0, 0.0]), np.zeros(3))
  np.testing.assert_allclose(matrix, [[0, 1, 0], [0, 0, -1], [-1, 0, 0]], atol=1e-15)
  np.testing.assert_allclose(translation, [0, 0, 3000], atol=1e-12)
  # It is the T_R convention: a person at the origin who faces +x (E = I) faces this camera.
  np.testing.assert_allclose(matrix, rotation.UPRIGHT_FACING_CAMERA, atol=1e-15)
  # A quarter turn of roll brings the camera's x axis to where y (down) was.
  rolled, _ = look_at(np.array([3000.0, 0.0, 0.0]), np.zeros(3), roll=np.pi / 2)
  np.testing.assert_allclose(rolled, [[0, 0, -1], [0, -1, 0], [-1, 0, 0]], atol=1e-15)


@pytest.mark.parametrize(
  ('eye', 'target'),
  [
    ((0, 0, 4000), (0, 0, 0)),  # straight down: parallel to up
    ((1, 2, -4000), (1, 2, 0)),
    ((5, 5, 5), (5, 5, 5)),  # no direction at all
  ],
)
@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_look_at_degenerate(x64, eye, target, dtype):
  eye, target = np.array(eye, dtype), np.array(target, dtype)
  matrix, translation = look_at(eye, target)
  assert matrix.dtype == translation.dtype == dtype
  np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-6)
  assert np.linalg.det(matrix) == pytest.approx(1, abs=1e-6)
  gradient = LOOK_AT_JACOBIAN(eye, target)
  assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))


def test_world_round_trip_and_chi3d_convention(x64):
  rng = np.random.default_rng(7)
  matrix, _ = look_at(rng.normal(0, 1000, 3), rng.normal(0, 1000, 3), roll=0.3)
  center = np.array([100.0, -2000.0, 1500.0])
  camera = camera_lib.Camera(
    INTRINSICS, matrix, camera_lib.translation_from_center(matrix, center)
  )
  points = rng.normal(0, 1000, (6, 3))
  seen = world_to_camera(points, camera)
  np.testing.assert_allclose(seen, (points - center) @ np.asarray(matrix).T, atol=1e-9)
  np.testing.assert_allclose(camera_to_world(seen, camera), points, atol=1e-9)


# Images resized and cropped.


def test_scale_intrinsics_keeps_pixel_centres(x64):
  # Halving joins pixels 4 and 5, whose common centre is 4.5, into the new pixel 2.
  intrinsics = camera_lib.Intrinsics(np.array([100.0, 90.0]), np.array([4.5, 9.0]))
  half = camera_lib.scale_intrinsics(intrinsics, 0.5)
  np.testing.assert_allclose(half.center, [2.0, 4.25])
  np.testing.assert_allclose(half.focal, [50, 45])


def test_scale_and_crop_follow_the_picture(x64):
  """A blob drawn at a projected point is found where the new intrinsics project it."""
  intrinsics = camera_lib.Intrinsics(np.array([80.0, 80.0]), np.array([31.5, 23.5]))
  points = np.array([[150.0, 100.0, 1000.0]])
  u, v = np.asarray(project(points, intrinsics))[0]
  rows, columns = np.mgrid[:48, :64]
  picture = np.exp(-((columns - u) ** 2 + (rows - v) ** 2) / 18)

  def centroid(image):
    rows, columns = np.mgrid[: image.shape[0], : image.shape[1]]
    return np.array([(image * columns).sum(), (image * rows).sum()]) / image.sum()

  shrunk = picture.reshape(24, 2, 16, 4).mean(axis=(1, 3))  # half as high, a quarter as wide
  small = camera_lib.scale_intrinsics(intrinsics, np.array([0.25, 0.5]))
  np.testing.assert_allclose(project(points, small)[0], centroid(shrunk), atol=1e-3)
  cropped = camera_lib.crop_intrinsics(intrinsics, np.array([20.0, 11.0]))
  np.testing.assert_allclose(project(points, cropped)[0], centroid(picture[11:, 20:]), atol=1e-3)
  resized = jax.image.resize(jnp.asarray(picture), (96, 128), 'bilinear')
  large = camera_lib.scale_intrinsics(intrinsics, 2.0)
  np.testing.assert_allclose(project(points, large)[0], centroid(np.asarray(resized)), atol=1e-3)


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
def test_dtype_follows_the_input(x64, dtype):
  points = random_points(9, num=2).astype(dtype)
  intrinsics = camera_lib.Intrinsics(*(value.astype(dtype) for value in INTRINSICS))
  lens = camera_lib.Distortion(RADIAL.astype(dtype), TANGENTIAL.astype(dtype))
  pixels = project(points, intrinsics, lens)
  assert pixels.dtype == dtype
  assert back_project(pixels, points[:, 2], intrinsics, lens).dtype == dtype
  assert camera_lib.scale_intrinsics(intrinsics, 0.5).center.dtype == dtype


def test_vmap_over_cameras(x64):
  cameras = camera_lib.Camera(
    camera_lib.Intrinsics(np.full((3, 2), 500.0), np.full((3, 2), 250.0)),
    *jax.vmap(camera_lib.look_at, in_axes=(0, None))(
      np.array([[3000.0, 0, 1000], [0, 3000, 1000], [2000, 2000, 1500]]), np.array([0, 0, 900.0])
    ),
  )
  points = np.random.default_rng(10).normal(0, 300, (5, 3)) + [0, 0, 900]

  def view(camera):
    return camera_lib.project(camera_lib.world_to_camera(points, camera), camera.intrinsics)

  together = jax.vmap(view)(cameras)
  for i in range(3):
    one = jax.tree.map(lambda leaf, i=i: leaf[i], cameras)
    np.testing.assert_allclose(together[i], view(one), rtol=1e-12)
