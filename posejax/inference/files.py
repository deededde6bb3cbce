"""Output files that are whole or are not there, and a folder that belongs to one run.

Nothing is overwritten silently: a folder holds a record of the options that its results were made
with (`infer.json`), and another run may only go on in it with the same ones.
"""

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

from posejax.training import stages

RECORD = 'infer.json'
_LOCK = '.lock'
MAX_RECORD_BYTES = 2**20


class OutputError(RuntimeError):
  """An output can't be written. One line: which, why, what to do."""


def write(path: pathlib.Path, save: Callable[[BinaryIO], None]) -> None:
  """Writes a file under another name and renames it; its folder is made.

  Args:
    path: the file.
    save: writes the content to an open file.

  Raises:
    OutputError: no space is left, or the place can't be written. Nothing is left behind.
  """
  temporary = path.with_name(f'{path.name}.{os.getpid()}.tmp')
  try:
    path.parent.mkdir(parents=True, exist_ok=True)
    # What a killed process of this number left goes, and a link goes and is not followed: 'x'.
    temporary.unlink(missing_ok=True)
    with temporary.open('xb') as file:
      save(file)
      file.flush()
      os.fsync(file.fileno())
    os.replace(temporary, path)
  except OSError as error:
    with contextlib.suppress(OSError):
      temporary.unlink(missing_ok=True)
    raise OutputError(
      f'{path}: cannot be written ({error.strerror or error}); make room or choose another '
      '--output, then run the same command again: what is finished is kept'
    ) from error


def write_text(path: pathlib.Path, text: str) -> None:
  """`write` of a text."""
  write(path, lambda file: file.write(text.encode()))


@contextlib.contextmanager
def claimed(folder: pathlib.Path, options: Mapping[str, Any]) -> Iterator[None]:
  """Holds an output folder: one process at a time, one set of options for ever.

  Args:
    folder: made if absent.
    options: what decides the results, as plain data.

  Raises:
    OutputError: another process is at work in it, it holds results of other options or other
      files, or it can't be written.
  """
  with contextlib.ExitStack() as stack:
    try:
      others = os.listdir(folder) if os.path.isdir(folder) else []
      strange = [name for name in others if name != _LOCK and not name.startswith(RECORD)]
      if RECORD not in others and strange:
        raise OutputError(
          f'{folder}: holds other files ({min(strange)}, ...); give --output an empty folder'
        )
      stack.enter_context(stages.locked(folder))
    except stages.WorkdirError as error:
      raise OutputError(str(error)) from error
    except OSError as error:
      raise OutputError(f'{folder}: cannot be read ({error.strerror}); choose another') from error
    _agree(folder / RECORD, json.loads(json.dumps(options)))
    yield


def _agree(path: pathlib.Path, ours: dict[str, Any]) -> None:
  """Writes the record, or checks that it says what we want."""
  if not os.path.lexists(path):
    write_text(path, json.dumps({'options': ours}, indent=1) + '\n')
    return
  try:
    with path.open('rb') as file:
      theirs = json.loads(file.read(MAX_RECORD_BYTES).decode())['options']
    changed = sorted(
      name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)
    )
  except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
    raise OutputError(f'{path}: not readable; choose another --output') from error
  if changed:
    name = changed[0]
    raise OutputError(
      f'{path.parent}: holds results of another {name} ({theirs.get(name)!r}, now '
      f'{ours.get(name)!r}); choose another --output'
    )
