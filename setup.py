"""Package of posejax. Tool settings are in pyproject.toml; nothing else describes the package.

Every dependency has the lower and the upper bound that the tests were run with; the upper bound is
the next release that may break us, so raising one is a change with a test run of its own.
"""

import pathlib
import re

import setuptools

ROOT = pathlib.Path(__file__).parent
VERSION = re.search(r"__version__ = '(.+)'", (ROOT / 'posejax/__init__.py').read_text())[1]

REQUIRED = [
  'absl-py>=2.1,<3',
  'array_record>=0.8,<0.9',  # how tensorflow-datasets reads without TensorFlow
  'chex>=0.1.90,<0.2',
  'flatbuffers>=25,<26',  # what jax.export writes its artefacts with
  'flax>=0.12,<0.13',
  'grain>=0.2.14,<0.3',
  'jax>=0.10,<0.12',
  'jaxlib>=0.10,<0.12',
  'matplotlib>=3.9,<4',
  'ml-collections>=1.0,<2',
  'numpy>=2.0,<3',
  'optax>=0.2.6,<0.3',
  'orbax-checkpoint>=0.11.32,<0.13',
  'Pillow>=11,<14',
  'protobuf>=6.30,<8',  # reads OpenPose's Caffe models
  'scipy>=1.14,<2',
  'tensorboardX>=2.6.4,<3',  # event files without TensorFlow, which clu's writers need
  'tensorflow-datasets>=4.9.9,<5',
  'tflite>=2.10,<3',  # schema of .tflite files, for the dm14 teacher; pure Python with flatbuffers
  'tqdm>=4.66,<5',
]

EXTRAS = {
  'test': [
    'hypothesis>=6.130,<7', 'pytest>=8,<10', 'pytest-xdist>=3.6,<4', 'ruff>=0.15,<0.18',
  ],
  'bench': ['torch==2.13.0'],  # side-by-side rates alone; rows skip without it
  'viewer': ['plotly>=6,<8', 'rerun-sdk>=0.30,<0.42'],
  'video': ['av>=15,<19'],
  'cuda': ['jax[cuda13]>=0.10,<0.12'],
  'tpu': ['jax[tpu]>=0.10,<0.12'],
}

setuptools.setup(
  name='posejax',
  version=VERSION,
  description='3D human pose of several people without 3D labels, in JAX',
  long_description=(ROOT / 'README.md').read_text(),
  long_description_content_type='text/markdown',
  license='Apache-2.0',
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['posejax', 'posejax.*']),
  install_requires=REQUIRED,
  extras_require=EXTRAS,
)
