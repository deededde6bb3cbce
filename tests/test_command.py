"""What is mistyped on the command line is one line, and exit code 2; Ctrl-C is one, and 130."""

import errno
import pathlib
import subprocess
import sys

import pytest

from posejax import command
from posejax.training.parallel import ShareError

ROOT = pathlib.Path(__file__).resolve().parents[1]
UNSUP = '--config=configs/unsup.py'

MISTYPED = {
  '--config=configs/unsup.py:lnog': "configs/unsup.py: unknown preset 'lnog'; known: long, ablate,",
  '--config=configs/no.py':
    "--config: [Errno 2] No such file or directory: 'configs/no.py'; name a file.py or",
  f'{UNSUP} --config.align.stepz=3': 'config.align.stepz: no such field; near it: align.steps',
  f'{UNSUP} --config.teacher.steps=many':
    "flag --config.teacher.steps=many: invalid literal for int() with base 10: 'many'",
  f'{UNSUP} --cofnig.seed=1': "Unknown command line flag 'cofnig.seed'",
  f'{UNSUP} --config.world.image_size=100':
    'config.world.image_size = 100: must be a multiple of 32',
}


def run(*arguments, module='posejax.train'):
  return subprocess.run(
    [sys.executable, '-m', module, *arguments], cwd=ROOT, capture_output=True, text=True,
    check=False,
  )


@pytest.mark.parametrize('typed', MISTYPED)
def test_what_is_mistyped_is_one_line(typed, tmp_path):
  done = run(*typed.split(), f'--workdir={tmp_path / "run"}')
  assert done.returncode == 2, done.stderr
  (line,) = done.stderr.splitlines()
  assert line.startswith(f'posejax.train: {MISTYPED[typed]}')
  assert not (tmp_path / 'run' / 'stages').exists()


def raises(error):
  def act():
    raise error

  return act


@pytest.mark.parametrize(
  ('error', 'code', 'line'),
  [
    (KeyboardInterrupt(), 130, 'posejax.train: interrupted; the same command goes on'),
    (ShareError('batch size 15 cannot be shared by 2 devices; take a multiple of it'), 2,
     'posejax.train: batch size 15 cannot be shared by 2 devices; take a multiple of it'),
  ],
)
def test_what_users_can_mend_is_one_line(capsys, error, code, line):
  assert command.attempt('posejax.train', raises(error)) == code
  assert capsys.readouterr().err.strip() == line


def test_a_full_disk_is_one_line(capsys):
  def act():
    raise OSError(errno.ENOSPC, 'No space left on device', 'runs/a/x.npy')

  assert command.attempt('posejax.train', act) == 2
  (line,) = capsys.readouterr().err.splitlines()
  assert line.startswith('posejax.train: runs/a/x.npy: No space left on device; make room or')

  def other():
    raise OSError(errno.EBADF, 'Bad file descriptor')

  with pytest.raises(OSError, match='Bad file'):  # ours to mend, not the user's
    command.attempt('posejax.train', other)
