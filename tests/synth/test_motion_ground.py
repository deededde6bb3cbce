"""Standing and going, on figures whose answer is known."""

import jax
import jax.numpy as jnp
import numpy as np

from posejax.geometry import kinematics
from posejax.geometry.skeleton import J17
from posejax.synth import motion_ground


def standing_pose() -> np.ndarray:
  """(J, 3) upright, soles flat: every row points the way spec/kinematics.md says."""
  local = np.zeros((17, 3))
  degrees = {
    'head_top': (0, 0), 'r_shoulder': (180, 90), 'r_hip': (180, 90), 'elbow': (180, 90),
    'wrist': (300, 0), 'knee': (180, 90), 'ankle': (90, 0), 'foot': (270, 59),
  }
  for name, (theta, gamma) in degrees.items():
    theta, gamma = np.radians([theta, gamma])
    row = np.sin(gamma) * np.cos(theta), np.sin(gamma) * np.sin(theta), np.cos(gamma)
    joints = [name] if name in J17.joints else ['r_' + name, 'l_' + name]
    for joint in joints:
      local[J17.index(joint)] = row
  local = kinematics.constrain_local(jnp.asarray(local, jnp.float32))
  lengths = jnp.asarray(kinematics.bone_lengths(), jnp.float32)
  return np.asarray(jax.jit(kinematics.forward_kinematics)(local, lengths))


def test_heels_of_a_neutral_foot_are_level_with_the_toes():
  points = np.asarray(motion_ground.contact_points(jnp.asarray(standing_pose())[None]))[0]
  for side, heel in (('r_', 17), ('l_', 18)):
    ankle, toe = points[J17.index(side + 'ankle')], points[J17.index(side + 'foot')]
    # 162.8 cos 59° = 83.8 mm under the ankle, as the toe; 40 mm behind it.
    np.testing.assert_allclose(points[heel] - ankle, [-40, 0, -83.8], atol=1.0)
    np.testing.assert_allclose(toe[2], points[heel, 2], atol=0.5)


def test_a_standing_body_stands_on_its_soles():
  pose = jnp.asarray(standing_pose())[None]
  ground = motion_ground.stand(motion_ground.contact_points(pose), jnp.zeros(1))
  toe = float(ground.height[0]) + pose[0, J17.index('r_foot'), 2]
  # Four points share the weight: the smooth maximum lifts them by at most 4 mm · ln 4 = 5.5 mm
  # over the middle of toe and heel, which differ by 0.3 mm.
  assert 18.0 <= toe <= 18.0 + 5.8
  grip = np.asarray(ground.grip[0])
  assert grip[[15, 16, 17, 18]].min() > 0.2 and abs(grip.sum() - 1) < 1e-5


def test_a_hop_lifts_the_body_and_lets_go_of_the_floor():
  pose = jnp.asarray(standing_pose())[None]
  points = motion_ground.contact_points(pose)
  low = motion_ground.stand(points, jnp.zeros(1))
  high = motion_ground.stand(points, jnp.full(1, 300.0))
  np.testing.assert_allclose(high.height - low.height, 300, atol=1e-3)
  assert float(high.grip.sum()) < 0.01


def test_a_body_on_its_hands_stands_on_them():
  turned = standing_pose() * np.array([1, -1, -1])  # about x: upside down
  ground = motion_ground.stand(
    motion_ground.contact_points(jnp.asarray(turned)[None]), jnp.zeros(1)
  )
  # Its head is lowest: 726.6 mm over the pelvis, 55 mm of flesh.
  np.testing.assert_allclose(ground.height[0], 726.6 + 55, atol=0.1)


def test_the_body_goes_as_fast_as_its_planted_foot_comes_back():
  step, reach, num = 0.02, 16, 40
  times = np.arange(-reach, num + reach) * step
  points = np.zeros((len(times), 3, 3), np.float32)
  points[:, 0, 0] = -1500 * times  # planted: 1.5 m/s back
  points[:, 1, 0] = 4000 * times  # swinging, no grip
  grip = np.zeros((len(times), 3), np.float32)
  grip[:, 0] = 1
  way = np.asarray(motion_ground.way(jnp.asarray(points), jnp.asarray(grip), reach, step))
  assert way.shape == (num, 2)
  np.testing.assert_allclose(way[:, 0], 1500 * step * np.arange(num), rtol=1e-4, atol=1e-3)
  np.testing.assert_allclose(way[:, 1], 0, atol=1e-4)


def test_a_flight_keeps_the_speed_of_its_start_and_end():
  step, reach, num = 0.02, 16, 40
  times = np.arange(-reach, num + reach) * step
  points = np.zeros((len(times), 1, 3), np.float32)
  points[:, 0, 0] = -3000 * times
  grip = np.ones((len(times), 1), np.float32)
  flight = (times > 0.2) & (times < 0.6)
  points[flight, 0, 0] += 700 * np.sin(np.pi * (times[flight] - 0.2) / 0.4) ** 2  # legs swing
  grip[flight] = 0
  way = np.asarray(motion_ground.way(jnp.asarray(points), jnp.asarray(grip), reach, step))
  speed = np.diff(way[:, 0]) / step
  np.testing.assert_allclose(speed[10:30], 3000, rtol=0.25)
