"""OpenPose's Caffe model → an `.npz` of plain float32 arrays, all six stages.

  python third_party/openpose/convert.py pose_iter_440000.caffemodel openpose_coco.npz

An output that exists is not overwritten. Licence and source of the weights: README.md beside this.
"""

import argparse
import sys

import jax

from posejax.data import openpose_weights
from posejax.data.weights import WeightsError


def main(
  arguments: list[str] | None = None,
  variants: tuple[openpose_weights.Variant, ...] = openpose_weights.VARIANTS,
) -> int:
  """Converts one file; returns the exit code: 0, or 1 behind a line that says what is wrong."""
  parser = argparse.ArgumentParser(description=__doc__.partition('\n')[0])
  parser.add_argument('caffemodel', help='the published pose_iter_*.caffemodel, COCO or MPI')
  parser.add_argument('npz', help='what is written; must end in .npz and not exist')
  options = parser.parse_args(arguments)
  if not options.npz.endswith('.npz'):
    parser.error(f'{options.npz}: the output must end in .npz')
  try:
    network = openpose_weights.load_openpose(
      options.caffemodel, openpose_weights.STAGES, variants
    )
    openpose_weights.save_openpose(options.npz, network)
  except WeightsError as error:
    print(error, file=sys.stderr)
    return 1
  e, f = (
    sum(array.size for array in jax.tree.leaves(network.params[name])) for name in ('E', 'F')
  )
  print(
    f'{options.npz}: {network.skeleton.name}, E {e:,} and F {f:,} parameters, '
    f'{openpose_weights.STAGES} stages'
  )
  return 0


if __name__ == '__main__':
  sys.exit(main())
