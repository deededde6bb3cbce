import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.benchmarks import geometry, harness, numpy_geometry
from posejax.geometry import kinematics
from posejax.geometry.skeleton import J15


@pytest.fixture(scope='module')
def table():
  return list(geometry.rows(quick=True))


def test_rows(table):
  names = [row.name for row in table]
  assert len(set(names)) == len(names)
  words = 'FK', 'T_L', 'Euler', 'Procrustes', 'weak perspective', 'full perspective'
  for word in words:
    assert any(word in name for name in names), word
  for row in table:
    assert isinstance(row, harness.Row) and row.rate > 0 and row.loop > 0 and row.vectorized > 0
  assert '1,000,000/s' in table[0].target


def test_compile_time_is_that_of_a_first_call(table):
  assert table[0].compile_s > 0.05


def test_numpy_loops_and_batches_agree_in_float64():
  local = geometry.local_poses(1, 5).astype(np.float64)
  lengths = kinematics.bone_lengths(J15)
  batch = numpy_geometry.forward_kinematics_vectorized(local, lengths, J15)
  back = numpy_geometry.local_from_canonical_vectorized(batch, J15)
  for i in range(5):
    one = numpy_geometry.forward_kinematics_loop(local[i], lengths, J15)
    np.testing.assert_allclose(batch[i], one, atol=1e-9)
    np.testing.assert_allclose(
      back[i], numpy_geometry.local_from_canonical_loop(one, J15), atol=1e-12
    )


def test_numpy_rotations_against_scipy():
  angles = np.random.default_rng(0).uniform(-3, 3, (6, 3))
  expected = Rotation.from_euler('ZXY', angles).as_matrix()
  batch = numpy_geometry.euler_to_matrix_vectorized(angles)
  np.testing.assert_allclose(batch, expected, atol=1e-12)
  np.testing.assert_allclose(
    numpy_geometry.euler_to_matrix_loop(angles[0]), expected[0], atol=1e-12
  )


def test_numpy_procrustes_undoes_a_similarity():
  rng = np.random.default_rng(1)
  target = rng.normal(size=(4, 15, 3))
  turn = Rotation.random(4, random_state=1).as_matrix()
  source = 0.3 * target @ turn + rng.normal(size=(4, 1, 3))
  batch = numpy_geometry.procrustes_vectorized(source, target)
  np.testing.assert_allclose(batch, target, atol=1e-9)
  np.testing.assert_allclose(
    numpy_geometry.procrustes_loop(source[0], target[0]), target[0], atol=1e-9
  )


def test_wrong_output_is_no_rate():
  angles = np.zeros((2, 3), np.float32)
  with pytest.raises(AssertionError):
    geometry._row(
      'wrong', lambda a: a, lambda a: a, lambda a: a + 1, (angles,), 0.01, unit='angles'
    )
