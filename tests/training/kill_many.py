"""Kills a training many times with kill -9 and compares its end with a training left alone.

  python -m tests.training.kill_many [--kills 20] [--seed 0] [--steps 1600] [--folder F]

The training is `toy`'s. Each kill comes at a random moment after the resumed process made its first
step, so that steps, saves and manifests are all hit; the toy saves every 4th step. After the last
kill the training runs to its end. Compared bit for bit: the product, and every leaf of the last
checkpoint (parameters, running statistics, each optimizer's moments, step). A kill -9 at 3 moments
is a test (`test_trainer`); this takes minutes and is run by hand.
"""

import argparse
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import time

import jax
import numpy as np

from posejax.training import train_state
from posejax.training.checkpoints import Checkpoints
from tests.training import toy

ROOT = pathlib.Path(__file__).resolve().parents[2]
_LONGEST_S = 2.5  # from the loop's beginning to the kill


def train(workdir: pathlib.Path, steps: int, live_s: float | None = None) -> bool:
  """Trains in a process of its own, killed `live_s` after its loop began; whether it finished."""
  command = [sys.executable, '-m', 'tests.training.toy', str(workdir), str(steps)]
  started = time.time()
  with (
    tempfile.TemporaryFile('w+') as output,
    subprocess.Popen(
      command, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT, text=True,
      env={
        **os.environ, 'PYTHONPATH': str(ROOT),
        # As `posejax.train` does; else most kills would hit the compiler.
        'JAX_COMPILATION_CACHE_DIR': str(workdir.with_name('compiled')),
        'JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS': '0',
        'JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES': '-1',
      },
    ) as process,
  ):
    if live_s is not None:
      while process.poll() is None and not loop_began(workdir, started):
        time.sleep(0.005)
      time.sleep(live_s)
      process.kill()
    code = process.wait()
    output.seek(0)
    finished = output.read().endswith('finished\n')
    if code not in (0, -9) or (code == 0) != finished:
      output.seek(0)
      raise RuntimeError(f'the training died by itself: {output.read()[-2000:]}')
    return finished


def loop_began(workdir: pathlib.Path, started: float) -> bool:
  """Whether the loop of the training that started then is at work: it rewrites its record first."""
  records = list(workdir.glob('stages/fit-*/metrics.jsonl'))
  return bool(records) and records[0].stat().st_mtime >= started


def fit_folder(workdir: pathlib.Path) -> pathlib.Path:
  return next((workdir / 'stages').glob('fit-*'))


def final_state(workdir: pathlib.Path, steps: int) -> dict[str, np.ndarray]:
  """Every array of the product and of the last checkpoint, by path."""
  stage = toy.build(toy.config(steps), {'truth': toy.make_truth(None, {})})
  checkpoints = Checkpoints(fit_folder(workdir) / 'checkpoints', stage.selection)
  step, state = checkpoints.restore(train_state.create(stage, jax.random.key(0)))
  checkpoints.close()
  if step != steps:
    raise RuntimeError(f'{workdir}: the last checkpoint is of step {step}, not {steps}')
  leaves = jax.tree_util.tree_flatten_with_path(state)[0]
  arrays = {'state' + jax.tree_util.keystr(path): np.asarray(leaf) for path, leaf in leaves}
  with np.load(fit_folder(workdir) / 'product' / 'networks.npz', allow_pickle=False) as product:
    return arrays | {f'product/{name}': product[name] for name in product.files}


def differing(ours: dict[str, np.ndarray], theirs: dict[str, np.ndarray]) -> list[str]:
  """Paths at which two states are not equal to the last bit."""
  if ours.keys() != theirs.keys():
    return sorted(ours.keys() ^ theirs.keys())
  return [
    name for name, array in ours.items()
    if (array.dtype, array.shape, array.tobytes()) != (
      theirs[name].dtype, theirs[name].shape, theirs[name].tobytes()
    )
  ]


def main() -> int:
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('--kills', type=int, default=20)
  parser.add_argument('--seed', type=int, default=0, help='of the random moments')
  parser.add_argument('--steps', type=int, default=1600)
  parser.add_argument('--folder', type=pathlib.Path, help='kept; a temporary one by default')
  options = parser.parse_args()
  begin, draw = time.perf_counter(), random.Random(options.seed)
  with tempfile.TemporaryDirectory() as temporary:
    folder = options.folder or pathlib.Path(temporary)
    whole, broken = folder / 'whole', folder / 'killed'
    train(whole, options.steps)
    reached, kills = [], 0
    while kills < options.kills:
      if train(broken, options.steps, draw.uniform(0, _LONGEST_S)):
        print(f'finished after {kills} kills: give more --steps')
        return 2
      kills += 1
      saved = (fit_folder(broken) / 'checkpoints' / 'manifests').glob('*.json')
      reached.append(max((int(path.stem) for path in saved), default=0))
      print(f'kill {kills}: last saved step {reached[-1]} of {options.steps}', flush=True)
    train(broken, options.steps)
    set_aside = fit_folder(broken) / 'checkpoints' / 'damaged'
    cut = len(list(set_aside.iterdir())) if set_aside.is_dir() else 0
    states = final_state(broken, options.steps), final_state(whole, options.steps)
    wrong = differing(*states)
    print(
      f'{kills} kills at steps {reached[0]} to {reached[-1]}, '
      f'{cut} steps cut off in a save and set aside; '
      f'{len(states[0])} arrays of the final state: '
      f'{"all equal bit for bit" if not wrong else "DIFFERENT: " + ", ".join(wrong)}; '
      f'{time.perf_counter() - begin:.0f} s'
    )
  return 1 if wrong else 0


if __name__ == '__main__':
  sys.exit(main())
