"""Arrays of 3-vectors against SciPy; `unit` and its kin are tested where trees are walked."""

import jax.numpy as jnp
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.geometry import vectors


@pytest.mark.parametrize('dtype', [np.float32, np.float64])
@pytest.mark.parametrize('num', [0, 1, 5])
def test_rotated_rows(x64, num, dtype):
  rotation = Rotation.from_euler('ZXY', [40, -20, 75], degrees=True)
  points = np.random.default_rng(0).normal(0, 300, (num, 3)).astype(dtype)
  turned = vectors.rotate(jnp.asarray(points), jnp.asarray(rotation.as_matrix(), dtype))
  assert turned.dtype == dtype
  expected = rotation.apply(points) if num else points
  np.testing.assert_allclose(turned, expected, atol=2000 * np.finfo(dtype).eps)
