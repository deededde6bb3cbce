"""Networks with random weights for benchmarks: no rate depends on what a network says.

Presets are configs/unsup.py's. `write_run` leaves a folder as a finished training does, so that
`posejax.infer` can be measured as users call it.
"""

import pathlib
import runpy
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

import posejax
from posejax.benchmarks import harness
from posejax.methods import crossmodal
from posejax.methods.base import Networks, Product
from posejax.methods.crossmodal import align, infer, lift, prior
from posejax.methods.crossmodal import teacher as teacher_lib
from posejax.models import aae as aae_lib
from posejax.models import crossmodal as models
from posejax.training import finished, products, stages

METHODS = {method.name: method for method in (crossmodal.METHOD, crossmodal.PHOTOS)}
ROOT = pathlib.Path(posejax.__file__).parents[1]


def preset(name: str) -> ml_collections.ConfigDict:
  """The config of `configs/unsup.py:<name>`."""
  return runpy.run_path(str(ROOT / 'configs' / 'unsup.py'))['get_config'](name)


def random_networks(config: ml_collections.ConfigDict) -> Networks:
  """Untrained E, F, G, H, Φ and Ψ of a config's widths."""
  model, side = infer.Model(config), config.world.image_size
  cells = side // teacher_lib.STRIDE
  teacher = model.teacher
  latent = jnp.zeros((1, cells, cells, teacher.latent))
  skip = jnp.zeros((1, cells, cells, teacher.widths.skip))
  maps = jnp.zeros((1, cells, cells, teacher.num_maps))
  made = {
    'E': (teacher.network.Encoder(teacher.widths), (jnp.zeros((1, side, side, 3)),)),
    'F': (teacher.network.Decoder(teacher.widths), (latent, skip)),
    'G': (models.MapEncoder(align.g_config(config)), (maps,)),
    'H': (models.PoseNet(model.h), (latent,)),
    'Phi': (
      aae_lib.PoseEncoder(prior.aae_config(config)),
      (jnp.zeros((1, lift.SKELETON.num_joints, 3)),),
    ),
    'Psi': (aae_lib.PoseDecoder(prior.aae_config(config)), (jnp.zeros((1, model.h.embedding)),)),
  }
  rng = np.random.default_rng(0)

  def draw(leaf: jax.ShapeDtypeStruct) -> np.ndarray:
    # Not the modules' own initial weights, whose draws take long to compile.
    fan = leaf.size / leaf.shape[-1]
    return rng.normal(scale=np.sqrt(2 / fan), size=leaf.shape).astype(np.float32)

  return {
    name: jax.tree.map(draw, jax.eval_shape(module.init, jax.random.key(0), *inputs)['params'])
    for name, (module, inputs) in made.items()
  }


def write_run(
  folder: pathlib.Path, config: ml_collections.ConfigDict, params: Networks
) -> pathlib.Path:
  """Leaves what `posejax.infer` reads of a finished training, and no more.

  Args:
    folder: of the run; made.
    config: of a preset. Files that it must name are made in the folder: only their content's
      digest counts here.
    params: `random_networks`.

  Returns:
    The folder.
  """
  config = config.copy_and_resolve_references().unlock()
  method = METHODS[config.method]
  folder.mkdir()
  if method is crossmodal.PHOTOS:
    named = folder / 'random_weights'
    named.write_text('the networks are in the folders of the stages')
    config.teacher.weights = config.images.dir = str(named)
  stages.claim(folder, config)
  written = {
    'teacher': {name: params[name] for name in ('E', 'F')},
    'prior': {name: params[name] for name in ('Phi', 'Psi')}, 'align': {'H': params['H']},
    'refine': {},  # no second stage
  }
  places = finished.folders(method, config, folder)
  for name, networks in written.items():
    products.save(places[name], Product(networks))
  return folder


class Compiled(NamedTuple):
  """A compiled call with its arguments.

  Attributes:
    call: without arguments.
    program: what is called.
    seconds: that it took to compile.
  """

  call: harness.Thunk
  program: jax.stages.Compiled
  seconds: float


def compiled(function: Any, *args: Any) -> Compiled:
  """Compiles a function that has `lower`, and calls it once."""
  begin = time.perf_counter()
  program = function.lower(*args).compile()
  took = time.perf_counter() - begin
  jax.block_until_ready(program(*args))
  return Compiled(lambda: program(*args), program, took)
