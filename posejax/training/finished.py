"""Reads what a finished run left, without training anything."""

import json
import pathlib
from collections.abc import Mapping

import ml_collections

from posejax.methods.base import Method, Product
from posejax.training import config as config_lib
from posejax.training import products, stages

_NOWHERE = 'unfinished'  # no key: those are digests


class UnfinishedError(stages.WorkdirError):
  """A stage is not finished, or there is no run: training makes it."""


def folders(
  method: Method, config: ml_collections.ConfigDict, workdir: pathlib.Path,
  cache: pathlib.Path | None = None,
) -> dict[str, pathlib.Path]:
  """Stage → its folder, there or not: as recorded in the workdir, else as the config says.

  Where stages are recorded that the code and the files at hand would not make, or files are gone,
  those of an unfinished run that are not recorded have a folder that is never there.

  Raises:
    WorkdirError: nothing is recorded, and a file that the config names cannot be read.
  """
  cache = cache or workdir / 'stages'
  keys = stages.recorded(workdir)
  names = [plan.name for plan in method.stages]
  if not set(names) <= set(keys):
    keys = _present(method, config, keys) | keys
  return {name: cache / f'{name}-{keys.get(name, _NOWHERE)}' for name in names}


def _present(
  method: Method, config: ml_collections.ConfigDict, recorded: Mapping[str, str]
) -> dict[str, str]:
  """Stage → key as it is now; {} where that is not what is recorded."""
  try:
    keys = stages.stage_keys(method, config)
  except stages.WorkdirError:
    if not recorded:
      raise
    return {}
  return keys if all(keys.get(name) == key for name, key in recorded.items()) else {}


def load(
  method: Method, config: ml_collections.ConfigDict, workdir: pathlib.Path,
  cache: pathlib.Path | None, split: str,
) -> dict[str, Product]:
  """The products of a finished run; of sets to evaluate on that no stage reads, `split` alone.

  Args:
    method: whose stages.
    config: checked by `config.validate` before.
    workdir: of the run.
    cache: where stages live; `<workdir>/stages` where None.
    split: the set to evaluate on.

  Raises:
    UnfinishedError: there is no run, or a stage is not finished; names it.
    WorkdirError: the workdir belongs to another config.
    CheckpointError: a product is damaged.
  """
  path = workdir / 'config.json'
  if not path.is_file():
    raise UnfinishedError(f'{workdir}: no run is here (no config.json)')
  stages.claim(workdir, config, method)
  needed = {name for plan in method.stages for name in plan.reads}
  found = {}
  for name, folder in folders(method, config, workdir, cache).items():
    if name in method.splits and name != split and name not in needed:
      continue
    product = products.load(folder)
    if product is None:
      raise UnfinishedError(f'{folder}: stage {name} is not finished')
    found[name] = product
  return found


def written_split(path: pathlib.Path) -> str | None:
  """The split that a `metrics.json` tells of; None where there is none or it is of no split."""
  try:
    content = json.loads(path.read_text())
  except (OSError, ValueError):
    return None
  return content.get('split') if isinstance(content, dict) else None


def described_config(config: ml_collections.ConfigDict) -> dict[str, object]:
  """Dotted fields and values, as JSON holds them."""
  return json.loads(json.dumps(dict(config_lib.leaves(config))))
