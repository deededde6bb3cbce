"""Runs a method's stages in order, each one once: what is finished is read, not made again.

A stage's key is a digest of the config fields it depends on (where they name files, of these files'
content), the keys of the stages it reads, and the package's version. Its folder carries the key in
its name, so that stages of different configs live side by side, nothing is overwritten, and an
ablation shares a teacher by sharing the cache.

Layout: `<workdir>/config.json`, `<workdir>/stages.json` (stage → key, as it was trained),
`<cache>/<stage>-<key>/{key.json, product/, checkpoints/, ...}`; the cache is `<workdir>/stages`
unless another folder is given.
"""

import contextlib
import fcntl
import functools
import hashlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator

import ml_collections

import posejax
from posejax.data import fingerprint
from posejax.methods.base import Method, Product, RowMaker, Stage, StagePlan
from posejax.training import config as config_lib
from posejax.training import products, rows, trainer
from posejax.training.checkpoints import write_atomically
from posejax.training.parallel import Devices

_RECORD = 'stages.json'


class WorkdirError(RuntimeError):
  """A workdir can't be used. One line: which, why, what to do."""


def stage_keys(method: Method, config: ml_collections.ConfigDict) -> dict[str, str]:
  """The cache key of every stage.

  Raises:
    WorkdirError: a file that the config names cannot be read.
  """
  keys, contents = {}, _contents(method, config)
  for plan in method.stages:
    content = {
      'stage': plan.name,
      'version': posejax.__version__,
      'stage_version': plan.version,
      # A training keeps the best of the steps that it validates, which are those that it saves.
      'save_every': config.get('save_every') if plan.build else None,
      'seeds': seeds(plan, config),
      'fields': config_lib.subtree(config, plan.fields) | {
        name: contents[name] for name in plan.files
      },
      'reads': {name: keys[name] for name in plan.reads},
    }
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    keys[plan.name] = digest[:12]
  return keys


def _contents(method: Method, config: ml_collections.ConfigDict) -> dict[str, str]:
  """Digest of each file or folder that stages depend on, by the field that names it."""
  fields = dict(config_lib.leaves(config))
  contents = {}
  for name in {name for plan in method.stages for name in plan.files}:
    try:
      contents[name] = fingerprint.content(fields[name])
    except fingerprint.MissingError as error:
      raise WorkdirError(f'config.{name}: {error}; name one that is there') from None
  return contents


def seeds(plan: StagePlan, config: ml_collections.ConfigDict) -> tuple[int, ...]:
  """The values of a stage's seeds."""
  fields = dict(config_lib.leaves(config))
  return tuple(fields[name] for name in plan.seeds)


@contextlib.contextmanager
def locked(folder: pathlib.Path) -> Iterator[None]:
  """Holds a folder for this process; made if absent.

  Raises:
    WorkdirError: another process holds it, or it can't be written.
  """
  try:
    folder.mkdir(parents=True, exist_ok=True)
    # A link in its place is not followed, and nothing is cut off that stands there.
    way = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
    file = os.fdopen(os.open(folder / '.lock', way, 0o666), 'a')
  except OSError as error:
    raise WorkdirError(f'{folder}: cannot be written ({error.strerror}); choose another') from error
  with file:
    try:
      fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
      raise WorkdirError(
        f'{folder}: another run is at work in it; wait for it, or choose another folder'
      ) from None
    yield


def claim(
  workdir: pathlib.Path, config: ml_collections.ConfigDict, method: Method | None = None
) -> None:
  """Writes the config into a new workdir, or checks that an old one has the same.

  Args:
    workdir: of the run.
    config: its config.
    method: of the run: fields that decide nothing (`Method.free`), and names of files whose
      contents decide, may differ. None: no field may.

  Raises:
    WorkdirError: the workdir belongs to another config; names the fields that differ.
  """
  path = workdir / 'config.json'
  ours = json.loads(json.dumps(dict(config_lib.leaves(config))))
  if path.exists():
    try:
      theirs = json.loads(path.read_text())
    except ValueError as error:
      raise WorkdirError(f'{path}: not readable ({error}); choose another workdir') from error
    if not isinstance(theirs, dict):
      raise WorkdirError(f'{path}: holds no config; choose another workdir')
    plans = method.stages if method else ()
    free = {*(method.free if method else ()), *(name for plan in plans for name in plan.files)}
    changed = config_lib.differences(
      {name: value for name, value in ours.items() if name not in free},
      {name: value for name, value in theirs.items() if name not in free},
    )
    if changed:
      raise WorkdirError(
        f'{workdir}: belongs to another config: {", ".join(changed[:5])}; choose another workdir'
      )
  else:
    write_atomically(path, json.dumps(ours, indent=1) + '\n')


def recorded(workdir: pathlib.Path) -> dict[str, str]:
  """Stage → key, as the run in a workdir was trained; {} where nothing is recorded.

  What was trained stays what it is, whatever becomes of the files that it was trained on.

  Raises:
    WorkdirError: the record is damaged.
  """
  path = workdir / _RECORD
  try:
    keys = json.loads(path.read_text())
  except FileNotFoundError:
    return {}
  except (OSError, ValueError) as error:
    raise WorkdirError(f'{path}: not readable ({error}); delete it, and train again') from error
  plain = isinstance(keys, dict) and all(
    isinstance(key, str) and key.isalnum() for key in keys.values()
  )
  if not plain:
    raise WorkdirError(f'{path}: no record of stages; delete it, and train again')
  return keys


def _check_record(workdir: pathlib.Path, keys: dict[str, str]) -> None:
  """Whether a workdir's stages, finished or begun, are those of the keys.

  Raises:
    WorkdirError: one is not.
  """
  before = recorded(workdir)
  other = [name for name, key in keys.items() if before.get(name, key) != key]
  if other:
    raise WorkdirError(
      f'{workdir}: its stage {other[0]} was made by other code, or of other contents of the files '
      'that the config names; choose another workdir, or go back to them'
    )


def _record(workdir: pathlib.Path, name: str, key: str) -> None:
  """Adds a stage to a workdir's record.

  It is recorded once its training begins or, if there is none, once it is finished. Not before: of
  a stage that could not read its files, they may be mended.
  """
  before = recorded(workdir)
  if name not in before:
    write_atomically(workdir / _RECORD, json.dumps(before | {name: key}, indent=1) + '\n')


def run(
  method: Method, config: ml_collections.ConfigDict, workdir: pathlib.Path,
  cache: pathlib.Path | None = None, until: str | None = None, devices: Devices | None = None,
) -> dict[str, Product]:
  """Runs the stages that are not finished, and gives all products.

  Args:
    method: whose stages.
    config: checked by `config.validate` before.
    workdir: holds the config; `claim`ed here.
    cache: where stages live; `<workdir>/stages` where None.
    until: name of the last wanted stage; all where None.
    devices: what to train on.

  Returns:
    Stage → product.

  Raises:
    WorkdirError, trainer.Stopped, trainer.NonFiniteError, checkpoints.CheckpointError.
  """
  cache = cache or workdir / 'stages'
  with locked(workdir):
    claim(workdir, config, method)
    keys = stage_keys(method, config)
    _check_record(workdir, keys)
    finished = {}
    for plan in method.stages:
      folder = cache / f'{plan.name}-{keys[plan.name]}'
      # What is finished never changes: any number of runs may read it at once.
      product = products.load(folder)
      if product is None:
        with locked(folder):
          product = _finish(
            plan, config, folder, finished, devices,
            functools.partial(_record, workdir, plan.name, keys[plan.name]),
          )
      _record(workdir, plan.name, keys[plan.name])
      finished[plan.name] = product
      if plan.name == until:
        break
  return finished


def _finish(
  plan: StagePlan, config: ml_collections.ConfigDict, folder: pathlib.Path,
  finished: dict[str, Product], devices: Devices | None, begun: Callable[[], None],
) -> Product:
  """Makes a stage's product; calls `begun` where a training begins or goes on."""
  product = products.load(folder)
  if product is not None:
    return product  # another run has made it since
  inputs = {name: finished[name] for name in plan.reads}
  write_atomically(folder / 'key.json', json.dumps({
    'fields': config_lib.subtree(config, plan.fields), 'seeds': seeds(plan, config),
    'version': posejax.__version__,
  }, indent=1))
  if isinstance(plan.make, RowMaker):
    product = rows.make(plan.name, plan.make, config, inputs, folder)
  else:
    product = (plan.make or plan.build)(config, inputs)
  if isinstance(product, Stage):
    begun()
    schedule = trainer.Schedule(config.log_every, config.save_every)
    product = trainer.run_stage(
      plan.name, product, folder, seeds(plan, config), schedule, devices
    )
  products.save(folder, product)
  rows.forget(folder)
  return products.load(folder)
