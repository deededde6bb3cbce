"""Recipes, style, splines and limits of motions, piece by piece and without a body."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import interpolate

from posejax.geometry import kinematics
from posejax.geometry import limits as limits_lib
from posejax.synth import motion_channels, motion_curves, motion_style
from posejax.synth.motion_families import (
  ALL_FAMILIES,
  RECIPES,
  TEST_FAMILIES,
  TRAIN_FAMILIES,
  Family,
)

BATCH = 132  # six of each family
TIMES = np.arange(0.0, 3.0, 0.1)


@functools.partial(jax.jit, static_argnums=0)
def styles(variation: float):
  keys = jax.random.split(jax.random.key(2), BATCH)
  draw = lambda key, family: motion_style.sample_style(key, family, ALL_FAMILIES, variation)  # noqa: E731
  return jax.vmap(draw)(keys, jnp.arange(BATCH) % len(Family))


@functools.partial(jax.jit, static_argnums=(2,))
def local_poses(style, time_s, limits=limits_lib.PAPER):
  """(batch, T, J, 3)."""
  angles = jax.vmap(lambda one: motion_curves.angles_at(one, time_s, limits))(style)
  return jax.vmap(motion_curves.local_pose)(angles)


@functools.partial(jax.jit, static_argnums=(1,))
def inside(local, limits):
  test = lambda pose: limits_lib.inside_limits(pose, limits, tolerance_deg=0.01)  # noqa: E731
  return jax.vmap(jax.vmap(test))(local)


def test_every_family_has_recipes_and_the_split_shares_none():
  assert set(RECIPES) == set(Family) - {Family.MIXTURE}
  assert not set(TRAIN_FAMILIES) & set(TEST_FAMILIES)
  assert set(TRAIN_FAMILIES) | set(TEST_FAMILIES) == set(ALL_FAMILIES)
  assert [int(family) for family in Family] == list(range(len(Family)))
  names = [recipe.name for _, recipe in motion_style.recipe_list()]
  assert len(set(names)) == len(names) >= 50


def test_recipes_name_channels_that_exist():
  sided = {side + name for side in motion_channels.SIDES for name in
           motion_channels.LEG + motion_channels.ARM}
  known = set(motion_channels.CHANNELS) | {name[2:] for name in sided}
  for _, recipe in motion_style.recipe_list():
    assert set(recipe.curves) <= known, recipe.name
    low, high = recipe.period_s
    assert low <= high and low * high > 0, recipe.name


def test_left_of_a_gait_is_half_a_cycle_later():
  row = int(motion_style.table().first[Family.WALK])
  control = motion_style.table().control[row]
  knee = [control[:, motion_style.index(side + 'knee')] for side in motion_channels.SIDES]
  np.testing.assert_array_equal(np.roll(knee[0], 8), knee[1])


def test_spline_against_scipy():
  rng = np.random.default_rng(0)
  control = rng.normal(size=16)
  # A periodic uniform cubic B-spline; SciPy's basis element i is centred on knot i + 2.
  wrapped = np.concatenate([control[-2:], control, control[:3]])
  oracle = interpolate.BSpline(np.arange(-4, 21), wrapped, 3)
  at = rng.uniform(0, 16, 50)
  floor = np.floor(at).astype(int)
  weights = np.asarray(motion_curves.spline_weights(jnp.asarray(at - floor)))
  taps = control[(floor[:, None] + np.arange(-1, 3)) % 16]
  np.testing.assert_allclose((weights * taps).sum(-1), oracle(at), atol=1e-5)
  np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
  assert (weights >= 0).all()


@pytest.mark.parametrize('limits', [
  limits_lib.PAPER, limits_lib.NARROW, limits_lib.scaled(limits_lib.PAPER, 0.7),
])
def test_all_inside_the_limits(limits):
  # Three times the style there is, so that the limits bite.
  local = local_poses(styles(3.0), TIMES, limits)
  assert np.isfinite(local).all()
  assert np.asarray(inside(local, limits)).all()


def test_local_poses_are_valid_sets():
  local = local_poses(styles(1.0), TIMES)
  np.testing.assert_allclose(np.linalg.norm(local[:, :, 1:], axis=-1), 1, atol=1e-6)
  constrained = jax.jit(jax.vmap(kinematics.constrain_local))(local.reshape(-1, 17, 3)[::50])
  np.testing.assert_allclose(constrained, local.reshape(-1, 17, 3)[::50], atol=1e-6)


def test_a_recipe_without_variation_is_periodic():
  style = styles(0.0)
  later = style._replace(phase=style.phase + 2)
  first, third = local_poses(style, TIMES), local_poses(later, TIMES)
  np.testing.assert_allclose(first, third, atol=2e-4)


def test_a_mirrored_style_is_the_mirror_image():
  style = styles(1.0)
  local = [
    local_poses(style._replace(mirrored=jnp.full(BATCH, flag)), TIMES) for flag in (True, False)
  ]
  mirror = jax.jit(jax.vmap(kinematics.mirror_local))
  # Head and neck keep one frame; everything else changes sides.
  np.testing.assert_allclose(
    mirror(local[1].reshape(-1, 17, 3)), local[0].reshape(-1, 17, 3), atol=1e-5
  )


def test_style_differs_between_people():
  local = local_poses(styles(1.0), TIMES)
  first, second = local[:22], local[22:44]
  assert (np.abs(np.asarray(first - second)).max((1, 2, 3)) > 0.02).all()


def test_a_mixture_takes_from_the_families_that_it_is_given():
  families = (Family.WALK, Family.DANCE, Family.MIXTURE)
  keys = jax.random.split(jax.random.key(0), 200)
  draw = lambda key: motion_style.sample_style(key, Family.MIXTURE, families, 1.0).rows  # noqa: E731
  rows = np.asarray(jax.jit(jax.vmap(draw))(keys))
  owners = [family for family, _ in motion_style.recipe_list()]
  assert {owners[row] for row in rows[:, 0]} == {Family.WALK}
  assert {owners[row] for row in rows[:, 1]} == {Family.WALK, Family.DANCE}
  assert motion_style.lends(families) and not motion_style.lends((Family.BOW, Family.MIXTURE))


def test_families_and_recipes_are_drawn_evenly():
  families = (Family.WALK, Family.REACH)
  keys = jax.random.split(jax.random.key(1), 2000)
  draw = lambda key: motion_style.sample_style(key, None, families, 1.0)  # noqa: E731
  style = jax.jit(jax.vmap(draw))(keys)
  share = np.bincount(style.family, minlength=len(Family)) / 2000
  np.testing.assert_allclose(share[list(families)], 0.5, atol=0.05)
  first, count = (int(part[Family.REACH]) for part in motion_style.table()[-2:])
  rows = np.bincount(style.rows[style.family == Family.REACH, 0] - first, minlength=count)
  assert len(rows) == count and rows.min() > 130  # about 200 each
