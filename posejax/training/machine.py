"""How an entry point sets up the process that it runs in: compiler, caches, logs."""

import importlib.metadata
import logging
import os
import pathlib

import jax

# Two fifths less time to compile the training steps, which is a fifth of a short run. XLA dies of a
# flag that it does not know, so only for the versions where it was tried; other backends ignore it.
_QUICK = '--xla_cpu_use_fusion_emitters=false'
_TRIED = ('0.10.',)


def prepare(workdir: pathlib.Path | None) -> None:
  """To be called before the first array is made.

  Args:
    workdir: keeps compiled programs, so that a run that goes on compiles nothing; None keeps none.
  """
  # Orbax and jax report each save and compilation, and each accelerator that is not there: the
  # progress bars say what users need.
  logging.getLogger('absl').setLevel(logging.ERROR)
  logging.getLogger('jax').setLevel(logging.WARNING)
  flags = os.environ.get('XLA_FLAGS', '')
  known = importlib.metadata.version('jaxlib').startswith(_TRIED)
  if known and 'xla_cpu_use_fusion_emitters' not in flags:
    os.environ['XLA_FLAGS'] = f'{flags} {_QUICK}'.strip()
  if workdir is not None:
    jax.config.update('jax_compilation_cache_dir', str(workdir.absolute() / 'compiled'))
