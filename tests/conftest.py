"""Fixtures that several suites share."""

import atexit
import importlib.metadata
import os
import pathlib
import shutil
import tempfile

# Before jax starts: two host devices, so that data parallelism is tested wherever the rest is.
os.environ.setdefault('JAX_PLATFORMS', 'cpu')
# Nearly every program here runs a few times: to compile it well would take longer than it saves.
os.environ.setdefault('JAX_DISABLE_MOST_OPTIMIZATIONS', 'true')
_FLAGS = ['--xla_force_host_platform_device_count=2']
if importlib.metadata.version('jax').startswith('0.10.'):
  # Two fifths less time to compile, which is most of the tests' time. XLA dies of a flag that it
  # does not know, so only where it was tried. `0`, not `false` as entry points have it: these give
  # the renderer the other compiler (synth/scene_views.py), which pays for thousands of pictures.
  _FLAGS.append('--xla_cpu_use_fusion_emitters=0')
os.environ['XLA_FLAGS'] = ' '.join([os.environ.get('XLA_FLAGS', ''), *_FLAGS])
# What one test file has compiled, the others read, in whichever process: the first one makes the
# folder, and those that it starts have it in their environment.
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
  os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(prefix='posejax-tests-')
  atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'], ignore_errors=True)

import hypothesis
import jax
import pytest

# One profile for everyone: derandomised, so that a red run can be run again as it was, and no
# deadlines, since the first example pays for a compilation.
hypothesis.settings.register_profile(
  'posejax', deadline=None, derandomize=True, max_examples=25,
  suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
hypothesis.settings.load_profile('posejax')


@pytest.fixture
def x64():
  """Runs one test in 64-bit floats."""
  with jax.enable_x64(True):
    yield


@pytest.fixture(scope='session')
def posejax_data() -> pathlib.Path:
  """The folder of real data ($POSEJAX_DATA, else ../shared/data); skips where there is none."""
  default = pathlib.Path(__file__).resolve().parents[2] / 'shared' / 'data'
  folder = pathlib.Path(os.environ.get('POSEJAX_DATA') or default)
  if not folder.is_dir():
    pytest.skip(f'no real data at {folder} (set POSEJAX_DATA)')
  return folder
