"""What the entry points that work on a run share: its method, its options, errors as one line."""

import difflib
import errno
import pathlib
import re
import shlex
import sys
from collections.abc import Callable
from typing import NamedTuple

import ml_collections
from absl import app, flags
from ml_collections import config_flags

from posejax.data.captured_poses import CapturedPosesError
from posejax.data.images import ImageError
from posejax.data.teacher_cache import CacheError
from posejax.data.weights import WeightsError
from posejax.methods import crossmodal, lifting
from posejax.methods.base import Method
from posejax.training import config as config_lib
from posejax.training import machine, stages, trainer
from posejax.training.checkpoints import CheckpointError
from posejax.training.parallel import ShareError
from posejax.training.transfer import TransferError

METHODS = {method.name: method for method in (crossmodal.METHOD, crossmodal.PHOTOS, lifting.METHOD)}

# What the person at the keyboard can mend: told in one line, without a trace.
FOR_USERS = (
  config_lib.ConfigError, stages.WorkdirError, CheckpointError, CapturedPosesError,
  WeightsError, ImageError, CacheError, trainer.NonFiniteError, ShareError,
  TransferError,
)


_FIELD = re.compile(r'--?config\.([^=\[]+)')


_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EFBIG)


class Run(NamedTuple):
  """A run, as the command line names it.

  Attributes:
    config: of the method.
    workdir: of the run.
    cache: where its stages live; `<workdir>/stages` where None.
    command: that was given, for a shell.
  """

  config: ml_collections.ConfigDict
  workdir: pathlib.Path
  cache: pathlib.Path | None
  command: str


def method_of(config: ml_collections.ConfigDict) -> Method:
  """The method that a config is of.

  Raises:
    ConfigError: it names none that there is.
  """
  name = config.get('method')
  if name not in METHODS:
    raise config_lib.ConfigError(f'config.method = {name!r}: must be one of {", ".join(METHODS)}')
  return METHODS[name]


def attempt(
  program: str, act: Callable[[], int], also: tuple[type[Exception], ...] = (),
  stopped: str = 'interrupted; the same command goes on',
) -> int:
  """The exit code of an entry point: what `act` returns, 130 if it was stopped, 2 on an error.

  Args:
    program: said before each line, such as 'posejax.train'.
    act: the work.
    also: errors for users beside `FOR_USERS`.
    stopped: what Ctrl-C means.
  """
  try:
    return act()
  except trainer.Stopped as stop:
    print(f'{program}: {stop}', file=sys.stderr)
    return 130
  except KeyboardInterrupt:
    print(f'{program}: {stopped}', file=sys.stderr)
    return 130
  except (*FOR_USERS, *also) as error:
    print(f'{program}: {error}', file=sys.stderr)
    return 2
  except OSError as error:
    if error.errno not in _UNWRITABLE:
      raise
    place = f'{error.filename}: ' if error.filename else ''
    print(f'{program}: {place}{error.strerror}; make room or take another folder, and give the '
          'same command again: what is saved stays', file=sys.stderr)
    return 2


def check_split(method: Method, split: str) -> None:
  """Raises ConfigError where the method has no such set to evaluate on."""
  if split not in method.splits:
    raise config_lib.ConfigError(
      f'--split={split}: no such set; there are {", ".join(method.splits)}'
    )


def define_run(workdir: str = 'folder of the run; the same one goes on') -> None:
  """The options that name a run; a function, so that one process may import every entry point."""
  config_flags.DEFINE_config_file('config', None, 'file.py or file.py:preset')
  flags.DEFINE_string('workdir', None, workdir)
  flags.DEFINE_string('cache', '', 'folder for stages, to share them between runs')


def refuse_words(arguments: list[str]) -> None:
  """Raises UsageError for what absl left over behind the program: it is no option."""
  if len(arguments) > 1:
    raise app.UsageError(f'what is {arguments[1]!r}? every option starts with --')


def given_run(program: str, arguments: list[str], begun: bool = False) -> Run:
  """The run that the command line names, and the process made ready for it.

  Args:
    program: module of the entry point.
    arguments: what absl left over: the program alone.
    begun: whether the run must be there already; then nothing is made where there is none.
  """
  refuse_words(arguments)
  given = flags.FLAGS
  workdir = pathlib.Path(given.workdir)
  machine.prepare(workdir if workdir.is_dir() or not begun else None)
  return Run(
    given.config, workdir, pathlib.Path(given.cache) if given.cache else None,
    shlex.join(['python', '-m', program, *sys.argv[1:]]),
  )


def start(
  main: Callable[[list[str]], None], required: tuple[str, ...] = ('config', 'workdir')
) -> None:
  """Parses the command line and calls `main`; what is mistyped is one line and exit code 2."""
  flags.mark_flags_as_required(list(required))

  def parse(arguments: list[str]) -> list[str]:
    try:
      return parsed(arguments)
    except config_lib.ConfigError as error:
      print(f'posejax.{pathlib.Path(arguments[0]).stem}: {error}', file=sys.stderr)
      sys.exit(2)

  app.run(main, flags_parser=parse)


def parsed(arguments: list[str]) -> list[str]:
  """What absl leaves of the command line, once every option is read.

  Raises:
    ConfigError: an option or a field of the config is unknown, or a value is none that it takes;
      or the config's file cannot be read.
  """
  try:
    rest = flags.FLAGS(arguments)
    # A config that could not be read says so no sooner than it is looked at.
    if 'config' in flags.FLAGS:
      flags.FLAGS.config.get('method')
    return rest
  except OSError as error:
    raise config_lib.ConfigError(
      f'--config: {_last_line(error)}; name a file.py or file.py:preset'
    ) from error
  except (flags.Error, AttributeError, KeyError, TypeError, ValueError) as error:
    raise config_lib.ConfigError(_unknown_field(arguments) or _last_line(error)) from error


def _last_line(error: Exception) -> str:
  """The end of an error's text, which says what is wrong behind where it was found."""
  lines = [line.strip() for line in str(error).splitlines() if line.strip()]
  return re.sub(r'^\w+Error: ', '', lines[-1]) if lines else type(error).__name__


def _unknown_field(arguments: list[str]) -> str:
  """Which `--config.field` is none of the config's, in words; '' if all are."""
  plain = [argument for argument in arguments if not _FIELD.match(argument)]
  alone = flags.FlagValues()
  config_flags.DEFINE_config_file('config', None, '', alone, sys_argv=plain)
  try:
    alone(plain, known_only=True)
    known = dict(config_lib.leaves(alone.config))
  except (flags.Error, TypeError, OSError):
    return ''
  groups = {name.rpartition('.')[0] for name in known}
  for argument in arguments:
    match = _FIELD.match(argument)
    if match and match[1] not in known and match[1] not in groups:
      near = difflib.get_close_matches(match[1], known, 3)
      return f'config.{match[1]}: no such field' + (f'; near it: {", ".join(near)}' if near else '')
  return ''
