"""Poses for the kinematics tests, made with NumPy alone."""

import numpy as np

from posejax.geometry import limits
from posejax.geometry.skeleton import J17

NAMES = {name: i for i, name in enumerate(J17.joints)}


def valid(raw: np.ndarray) -> np.ndarray:
  """(N, 17, 3) raw rows as valid local sets: kinematics.md's rules, in NumPy."""
  local = raw / np.linalg.norm(raw, axis=-1, keepdims=True)
  local[:, NAMES['pelvis']] = 0
  local[:, NAMES['neck']] = 0, 0, 1
  hip = raw[:, NAMES['r_hip']] * [1, 0, 1]
  hip[:, 0] = -np.abs(hip[:, 0])
  local[:, NAMES['r_hip']] = hip / np.linalg.norm(hip, axis=-1, keepdims=True)
  for part in ('hip', 'shoulder'):
    local[:, NAMES[f'l_{part}']] = local[:, NAMES[f'r_{part}']] * [1, -1, -1]
  return local


def arbitrary(rng: np.random.Generator, num: int) -> np.ndarray:
  """(N, 17, 3) valid sets with every direction of the sphere."""
  return valid(rng.normal(size=(num, 17, 3)))


def human(rng: np.random.Generator, num: int) -> np.ndarray:
  """(N, 17, 3) valid sets within the boxes of the limit table."""
  low, high, gamma_low, gamma_high, *_ = limits.limit_table(limits.PAPER).T
  theta, gamma = rng.uniform(low, high, (num, 17)), rng.uniform(gamma_low, gamma_high, (num, 17))
  rows = [np.sin(gamma) * np.cos(theta), np.sin(gamma) * np.sin(theta), np.cos(gamma)]
  return valid(np.stack(rows, axis=-1) + np.eye(17)[0][:, None])


def straight(rng: np.random.Generator, num: int) -> np.ndarray:
  """Human poses of which three bones in four go straight on along their parent's, exactly."""
  local = human(rng, num)
  limbs = [NAMES[f'{side}_{part}'] for side in 'rl' for part in ('wrist', 'ankle', 'foot', 'elbow')]
  for joint in [*limbs, NAMES['head_top']]:
    local[rng.uniform(size=num) < 0.75, joint] = 0, 0, 1
  return local


def sitting(rng: np.random.Generator, num: int) -> np.ndarray:
  """Thighs forward, shanks down; exact in one pose of four."""
  local = human(rng, num)
  noise = np.where(rng.uniform(size=(num, 1)) < 0.25, 0, rng.normal(scale=0.1, size=(num, 3)))
  for side in 'rl':
    # Knee: axes up, back, lateral; ankle: lateral, back of the knee, along the thigh.
    local[:, NAMES[f'{side}_knee']] = noise + [0, -1, 0]
    local[:, NAMES[f'{side}_ankle']] = noise + [0, 1, 0]
  return valid(local + np.eye(17)[0][:, None])


def near_degenerate(rng: np.random.Generator, num: int) -> np.ndarray:
  """Poses whose frames' c is within 1e-8 .. 1e-2 of parallel to Z_j, on both sides of 1e-3.

  Off the threshold by 5 %: on it T_L and FK may take different branches.
  """
  local = human(rng, num)

  def near(direction):
    size = 10 ** rng.uniform(-8, -2, (num, 1))
    size = np.where(np.abs(size / 1e-3 - 1) < 0.05, 2e-3, size)
    across = rng.normal(size=(num, 3))
    across -= (across @ direction)[:, None] * direction
    across /= np.linalg.norm(across, axis=-1, keepdims=True)
    return direction + size * across

  local[:, NAMES['r_hip']] = -1, 0, 0  # level hips: the knee's Z_j is h
  back, along = np.array([0, 1.0, 0]), np.array([0, 0, 1.0])
  local[:, NAMES['r_shoulder']] = near(back) * rng.choice([-1, 1], (num, 1))
  half = rng.uniform(size=num) < 0.5
  for side in 'rl':
    # Half of the thighs point along h (degenerate ankles), half of the shanks (degenerate feet).
    local[half, NAMES[f'{side}_knee']] = near(along)[half]
    local[~half, NAMES[f'{side}_knee']] = -1, 0, 0
    local[~half, NAMES[f'{side}_ankle']] = near(np.array([1.0, 0, 0]))[~half]
    # Upper arms that point back and medial: the wrist's transport is singular.
    local[:, NAMES[f'{side}_elbow']] = near(np.array([0, 1.0, -1.0]) / np.sqrt(2))
  # Upper arms forward or back: degenerate wrists in paper mode.
  local[half, NAMES['r_shoulder']] = -1, 0, 0
  local[half, NAMES['r_elbow']] = near(back)[half]
  return valid(local + np.eye(17)[0][:, None])
