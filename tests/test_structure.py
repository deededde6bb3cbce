"""The layout that the design fixes, held by tests: import direction, file size, who owns what."""

import ast
import pathlib
import re

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
PACKAGE = ROOT / 'posejax'
FILES = sorted(PACKAGE.rglob('*.py'))

# Imports point down this list only; rooms of one row do not import each other.
LAYERS = (
  {'geometry'},
  {'heatmaps'},
  {'synth', 'models', 'losses', 'metrics'},
  {'data'},
  {'methods'},
  {'training'},
  {'inference', 'viz'},
  {'benchmarks'},
)
LEVEL = {room: level for level, rooms in enumerate(LAYERS) for room in rooms}
ENTRY_LEVEL = len(LAYERS)
ENTRY_GROUND = 'command'  # what entry points share; they do not import each other

# Every method may use these; no method (a file or a package of `methods`) sees another
# one, and `training`, which takes methods as values, sees none.
METHOD_GROUND = ('posejax.methods.base', 'posejax.methods.fields', 'posejax.methods.optimizers')


def imported(path: pathlib.Path) -> set[str]:
  """Full names of the posejax modules that a file imports, wherever in the file."""
  names = set()
  for node in ast.walk(ast.parse(path.read_text())):
    if isinstance(node, ast.Import):
      names |= {alias.name for alias in node.names}
    elif isinstance(node, ast.ImportFrom):
      assert node.level == 0, f'{path}: a relative import hides its layer'
      # `from posejax import x` and `from posejax.geometry import x` may name a module or a thing.
      names |= {f'{node.module}.{alias.name}' for alias in node.names}
  return {name for name in names if name.startswith('posejax.')}


def violations(path: pathlib.Path, names: set[str]) -> list[str]:
  """The imports in `names` that a file at `path` (relative to the package) may not make."""
  room = path.parts[0] if len(path.parts) > 1 else ''
  level = LEVEL[room] if room else ENTRY_LEVEL
  wrong = []
  for name in sorted(names):
    parts = name.split('.')
    target = parts[1]
    is_room = target in LEVEL
    target_level = LEVEL[target] if is_room else ENTRY_LEVEL
    same_room = is_room and target == room
    own = '.'.join(('posejax', *path.with_suffix('').parts[:2]))
    crosses_methods = (
      target == 'methods' and room in ('methods', 'training')
      and not any(name == home or name.startswith(f'{home}.') for home in (*METHOD_GROUND, own))
    )
    ground = not room and target == ENTRY_GROUND and path.stem != ENTRY_GROUND
    looks_up = (
      not same_room and target_level >= level and target != '__version__' and not ground
    )
    if crosses_methods or looks_up:
      wrong.append(name)
  return wrong


def test_every_room_has_a_place():
  rooms = {path.name for path in PACKAGE.iterdir() if path.is_dir() and path.name != '__pycache__'}
  assert rooms <= set(LEVEL), f'not in LAYERS: {rooms - set(LEVEL)}'


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_imports_point_one_way(path):
  relative = path.relative_to(PACKAGE)
  assert not violations(relative, imported(path))


@pytest.mark.parametrize(
  ('path', 'name'),
  [
    ('geometry/camera.py', 'posejax.heatmaps.keypoints'),
    ('synth/scenes.py', 'posejax.losses.pose'),
    ('methods/ksp.py', 'posejax.methods.crossmodal'),
    ('methods/crossmodal/align.py', 'posejax.methods.ksp'),
    ('methods/ksp.py', 'posejax.methods.ksp2'),
    ('methods/ksp/grid.py', 'posejax.methods.ksp2.grid'),
    ('methods/ksp.py', 'posejax.methods.base_lines'),
    ('training/trainer.py', 'posejax.methods.optimizers_old.adam'),
    ('training/trainer.py', 'posejax.methods.crossmodal'),
    ('training/trainer.py', 'posejax.train'),
    ('train.py', 'posejax.evaluate'),
  ],
)
def test_the_rule_refuses(path, name):
  assert violations(pathlib.Path(path), {name}) == [name]


@pytest.mark.parametrize(
  ('path', 'name'),
  [
    ('methods/ksp/grid.py', 'posejax.methods.ksp'),
    ('methods/ksp/grid.py', 'posejax.methods.ksp.maps'),
    ('methods/ksp.py', 'posejax.methods.base'),
    ('training/trainer.py', 'posejax.methods.optimizers.build'),
  ],
)
def test_the_rule_allows(path, name):
  assert not violations(pathlib.Path(path), {name})


def test_only_parallel_calls_pmap():
  calls = re.compile(r'\b(pmap|psum|pmean|all_gather|device_put_(replicated|sharded))\s*\(')
  owners = {
    str(path.relative_to(PACKAGE)) for path in FILES if calls.search(path.read_text())
  }
  assert owners <= {'training/parallel.py'}


def test_nothing_loads_pickles():
  for path in FILES:
    for node in ast.walk(ast.parse(path.read_text())):
      if isinstance(node, ast.keyword) and node.arg == 'allow_pickle':
        assert isinstance(node.value, ast.Constant) and node.value.value is False, path
      if isinstance(node, ast.Import | ast.ImportFrom):
        names = [alias.name for alias in node.names] + [getattr(node, 'module', '') or '']
        assert not {'pickle', 'dill', 'joblib', 'cloudpickle'} & set(names), path


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_files_stay_readable(path):
  assert len(path.read_text().splitlines()) <= 400
  assert path.name != 'utils.py'


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_functions_stay_readable(path):
  long = {
    node.name: length for node in ast.walk(ast.parse(path.read_text()))
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    and (length := node.end_lineno - node.lineno + 1) > 60
  }
  assert not long, f'{path}: over 60 lines, split them where it reads better'
