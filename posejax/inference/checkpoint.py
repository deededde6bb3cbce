"""Finds a finished run's config and networks from its folder alone.

`<checkpoint>/config.json` holds the config; the stages' folders follow from it (training/stages).
Products are read when they are asked for: rendered pictures, which no inference needs, never are.
"""

import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import ml_collections

from posejax.methods.base import Method, Product
from posejax.training import config as config_lib
from posejax.training import finished, products

MAX_CONFIG_BYTES = 2**20
MIRROR = 'infer.mirror'  # the config's switch


class CheckpointFolderError(RuntimeError):
  """A folder holds no run that can be used. One line: which, why, what to do."""


class Run(NamedTuple):
  """A run, ready for `Method.infer`.

  Attributes:
    name: of its folder.
    method: that it is of.
    config: checked.
    products: stage → product, read at the first use.
    keys: stage → cache key, of the stages that were read by training: what the networks depend on.
  """

  name: str
  method: Method
  config: ml_collections.ConfigDict
  products: Mapping[str, Product]
  keys: Mapping[str, str]

  def record(self) -> dict[str, Any]:
    """What of the run decides its results, as plain data."""
    mirror = dict(config_lib.leaves(self.config)).get(MIRROR, False)
    return {'networks': dict(self.keys)} | ({'mirror': True} if mirror else {})


class LazyProducts(Mapping):
  """Stage → product, read from its folder at the first use.

  Args:
    folders: stage → its folder.

  Raises (at the first use of a stage):
    CheckpointFolderError: the stage is not finished.
    CheckpointError: it is damaged.
  """

  def __init__(self, folders: Mapping[str, pathlib.Path]):
    self._folders, self._read = dict(folders), {}

  def __getitem__(self, name: str) -> Product:
    if name not in self._read:
      try:
        product = products.load(self._folders[name])
      except OSError as error:
        raise CheckpointFolderError(
          f'{self._folders[name]}: cannot be read ({error.strerror}); check the path and its rights'
        ) from error
      if product is None:
        raise CheckpointFolderError(
          f'{self._folders[name]}: stage {name} is not finished; go on with the training, or give '
          'its --cache'
        )
      self._read[name] = product
    return self._read[name]

  def __contains__(self, name: object) -> bool:
    return name in self._folders

  def __iter__(self) -> Iterator[str]:
    return iter(self._folders)

  def __len__(self) -> int:
    return len(self._folders)


def load(
  folder: pathlib.Path, methods: Mapping[str, Method], cache: pathlib.Path | None = None,
  without: tuple[str, ...] = (), poses_2d: bool = False,
) -> Run:
  """Opens a run.

  Args:
    folder: workdir of the training.
    methods: name → method; the config says which one.
    cache: where the stages live; `<folder>/stages` where None.
    without: stages to leave out, such as a second stage.
    poses_2d: the run must lift 2D poses; else it must infer from images.

  Raises:
    CheckpointFolderError: no run, or one of another version.
  """
  path = folder / 'config.json'
  flat = _read(path)
  names = ', '.join(methods)
  method = methods.get(flat.get('method', next(iter(methods))))
  if method is None:
    raise CheckpointFolderError(f'{path}: method {flat["method"]!r} is none of {names}')
  images = method.infer is not None and method.side is not None
  if method.skeleton is None or not (method.lift if poses_2d else images):
    wanted, instead = ('2D poses', '--input') if poses_2d else ('images', '--poses2d')
    other = images if poses_2d else method.lift
    raise CheckpointFolderError(
      f'{path}: method {method.name} infers nothing from {wanted}'
      + (f'; give {instead} instead' if other else '')
    )
  config = nested(flat)
  try:
    config_lib.validate(config, method.rules)
  except config_lib.ConfigError as error:
    raise CheckpointFolderError(
      f'{path}: of another version of posejax ({error}); train again with this one'
    ) from error
  folders = finished.folders(method, config, folder, cache)
  kept = {name: place for name, place in folders.items() if name not in without}
  trained = {plan.name for plan in method.stages if plan.build}
  keys = {name: place.name for name, place in kept.items() if name in trained}
  return Run(str(folder), method, config.lock(), LazyProducts(kept), keys)


def mirrored(run: Run, mirror: bool) -> Run:
  """The run, made to look at every picture's mirror image too, or not to.

  Raises:
    CheckpointFolderError: its method or its config has no way to.
  """
  if MIRROR not in run.method.rules:
    if not mirror:
      return run
    raise CheckpointFolderError(
      f'{run.name}: method {run.method.name} has no use for mirror images; leave --mirror out'
    )
  config = nested(dict(config_lib.leaves(run.config)) | {MIRROR: mirror})
  try:
    config_lib.validate(config, run.method.rules)
  except config_lib.ConfigError as error:
    raise CheckpointFolderError(f'{run.name}: {error}; leave --mirror out') from error
  return run._replace(config=config.lock())


def _read(path: pathlib.Path) -> dict[str, Any]:
  if not os.path.isfile(path):  # pathlib's raises where the path cannot be looked at
    raise CheckpointFolderError(
      f'{path.parent}: no run is here (no config.json); give the --workdir of a training'
    )
  try:
    with path.open('rb') as file:
      flat = json.loads(file.read(MAX_CONFIG_BYTES).decode())
  except (OSError, ValueError, RecursionError) as error:
    raise CheckpointFolderError(f'{path}: not readable ({str(error)[:80]})') from error
  if not isinstance(flat, dict) or not isinstance(flat.get('method', ''), str):
    raise CheckpointFolderError(f'{path}: not the config of a run')
  return flat


def nested(flat: Mapping[str, Any]) -> ml_collections.ConfigDict:
  """A config of dotted fields, lists as tuples; the inverse of `config.leaves`.

  Raises:
    CheckpointFolderError: a name is both a field and a group.
  """
  def tuples(value: Any) -> Any:
    return tuple(map(tuples, value)) if isinstance(value, list) else value

  config: dict[str, Any] = {}
  for name, value in sorted(flat.items()):
    *groups, last = name.split('.')
    place = config
    for group in groups:
      place = place.setdefault(group, {})
      if not isinstance(place, dict):
        raise CheckpointFolderError(f'config.json: {name} is below a field')
    place[last] = tuples(value)
  return ml_collections.ConfigDict(config)
