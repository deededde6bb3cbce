"""Data parallelism: the one owner of pmap, of replication, and of the processes of a pod.

The state lives once, replicated (`in_axes=None, out_axes=None`), never stacked; the examples of a
batch are cut in equal shares. Random keys are folded with the step and the **global example
index**, so that 1, 2 or 8 devices see the same data. To move to shard_map, change this file alone.

Symbols: D devices over all processes, B examples of a global batch, b = B / D those of a device.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from posejax.methods.base import Collectives

AXIS = 'devices'
Tree = Any


class ShareError(ValueError):
  """The devices cannot share a batch. One line: which batch, how many devices, what to do."""


def initialize(coordinator: str = '', processes: int = 1, process: int = 0) -> None:
  """Joins the processes of a pod; call before anything else of jax.

  Args:
    coordinator: address:port of process 0; '' lets a TPU pod's own metadata say it.
    processes: how many there are. With one process nothing is done.
    process: index of this one.
  """
  if processes > 1:
    jax.distributed.initialize(coordinator or None, processes, process)


def collectives() -> Collectives:
  """Sums and gathers over devices, for use inside a function that `Devices.compile` compiles."""
  return Collectives(
    sum=lambda tree: jax.lax.psum(tree, AXIS),
    gather=lambda tree: jax.tree.map(
      lambda x: jax.lax.all_gather(x, AXIS, axis=0, tiled=True), tree
    ),
  )


class Devices:
  """The devices that a training runs on.

  Args:
    devices: this process's; all of its devices where None.
  """

  def __init__(self, devices: Sequence[jax.Device] | None = None):
    self.local = tuple(devices or jax.local_devices())
    self.count = len(self.local) * jax.process_count()
    self._replicated = NamedSharding(Mesh(np.array(self.local), (AXIS,)), PartitionSpec())

  @property
  def is_main(self) -> bool:
    """Whether this process writes files."""
    return jax.process_index() == 0

  def share(self, size: int) -> int:
    """Examples per device of a global batch.

    Raises:
      ShareError: the devices do not divide the batch.
    """
    if size % self.count:
      raise ShareError(
        f'batch size {size} cannot be shared by {self.count} devices; take a multiple of it'
      )
    return size // self.count

  def replicate(self, tree: Tree) -> Tree:
    """Puts a tree on each local device; a step then takes it without a copy."""
    return jax.device_put(tree, self._replicated)

  def example_indices(self, size: int) -> np.ndarray:
    """Global indices of this process's examples, (local devices, b)."""
    share = self.share(size)
    first = jax.process_index() * len(self.local) * share
    return first + np.arange(len(self.local) * share, dtype=np.int32).reshape(-1, share)

  def split(self, tree: Tree, size: int) -> Tree:
    """Takes this process's examples of a global batch (B, ...) and cuts them: (local, b, ...)."""
    rows = self.example_indices(size)
    return jax.tree.map(lambda x: np.asarray(x)[rows], tree)

  def compile(self, function: Callable[..., Tree]) -> Callable[..., Tree]:
    """Compiles a step for all devices.

    Args:
      function: (state, constants, host examples (b, ...), example indices (b,)) → tree. It may call
        `collectives()`; what it returns must be equal on all devices.

    Returns:
      A function of (state, constants, split examples, split indices) → tree, replicated.
    """
    return jax.pmap(
      function, axis_name=AXIS, in_axes=(None, None, 0, 0), out_axes=None, devices=self.local
    )


def example_keys(key: jax.Array, step: jax.Array, indices: jax.Array) -> jax.Array:
  """A random key for each example: a function of the step and the global example index alone.

  Args:
    key: of the stage.
    step: scalar.
    indices: (b,) global example indices.

  Returns:
    (b,) keys.
  """
  at_step = jax.random.fold_in(key, step)
  return jax.vmap(functools.partial(jax.random.fold_in, at_step))(indices)


def step_key(key: jax.Array, step: jax.Array) -> jax.Array:
  """A random key of a step that no example's key equals, the same on all devices."""
  # Example indices are below 2^31: the largest uint32 is free.
  return jax.random.fold_in(jax.random.fold_in(key, step), jnp.uint32(0xFFFFFFFF))
