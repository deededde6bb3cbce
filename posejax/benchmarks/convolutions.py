"""The convolutions of a compiled program, to be measured alone.

XLA's optimised program names every convolution and matrix product that it really runs: merged where
losses share one, forward and both gradients. They are read from its text and built again, each as a
program of its own on random numbers; 1×1 convolutions are matrix products there. What a step takes
beyond their sum is what we add to the networks.

The text is XLA's for a CPU; on a GPU convolutions are calls into a library, and none is found.
"""

import collections
import dataclasses
import math
import re

import jax
import jax.numpy as jnp
import numpy as np

from posejax.benchmarks import harness

# Smaller ones are no layer of a network, and their calls cost more than they do.
_LEAST_FLOPS = 4e6
_SHAPE = re.compile(r'%?(\S+) = (\w+)\[([\d,]*)\]')
_OPERATION = re.compile(
  r'%?\S+ = (\w+)\[([\d,]*)\]\S* (convolution|dot)\(%?([^,\s]+), %?([^)\s]+)\)'
)
_COMPUTATION = re.compile(r'^(ENTRY )?%?(\S+) \(.*\{$')
_CALL = re.compile(r'(?:calls|to_apply|body|condition|branch_computations)=\{?(%[^\s,}]+)')
_TYPES = {'f32': jnp.float32, 'bf16': jnp.bfloat16, 'f16': jnp.float16}


@dataclasses.dataclass(frozen=True)
class Operation:
  """A convolution or matrix product.

  Attributes:
    kind: 'convolution' or 'dot'.
    dtype: of operands and result, in XLA's words.
    left, right, out: shapes.
    attributes: how the operands meet, in XLA's words: (name, text) pairs.
  """

  kind: str
  dtype: str
  left: tuple[int, ...]
  right: tuple[int, ...]
  out: tuple[int, ...]
  attributes: tuple[tuple[str, str], ...]

  @property
  def flops(self) -> float:
    """Multiplications and additions."""
    given = dict(self.attributes)
    if self.kind == 'dot':
      contracted = math.prod(self.left[d] for d in _numbers(given['lhs_contracting_dims']))
    else:
      kernel = given['dim_labels'].split('_')[1].split('-')[0]
      contracted = math.prod(self.right) // self.right[kernel.index('o')]
    return 2.0 * math.prod(self.out) * contracted

  def program(self):
    """The operation alone: a function of (left, right), not compiled yet."""
    given = dict(self.attributes)
    if self.kind == 'dot':
      contracting, batch = (
        tuple(_numbers(given.get(f'{side}_{what}_dims', '')) for side in ('lhs', 'rhs'))
        for what in ('contracting', 'batch')
      )
      return lambda a, b: jax.lax.dot_general(a, b, (contracting, batch))
    window = dict(part.split('=') for part in given['window'].split())
    inputs, rest = given['dim_labels'].split('_')
    kernel, outputs = rest.split('->')
    activations = str.maketrans('bf01', 'NCHW')
    labels = (
      inputs.translate(activations), kernel.translate(str.maketrans('io01', 'IOHW')),
      outputs.translate(activations),
    )
    pads = window.get('pad', '0_0x0_0').split('x')
    return lambda a, b: jax.lax.conv_general_dilated(
      a, b, _pair(window.get('stride')), [tuple(map(int, pad.split('_'))) for pad in pads],
      _pair(window.get('lhs_dilate')), _pair(window.get('rhs_dilate')), labels,
      int(given.get('feature_group_count', 1)), int(given.get('batch_group_count', 1)),
    )

  def thunk(self) -> harness.Thunk:
    """A call of the compiled operation on random numbers."""
    rng = np.random.default_rng(0)
    operands = [
      jnp.asarray(rng.standard_normal(shape, np.float32), _TYPES[self.dtype])
      for shape in (self.left, self.right)
    ]
    compiled = jax.jit(self.program()).lower(*operands).compile()
    jax.block_until_ready(compiled(*operands))
    return lambda: compiled(*operands)


def operations(text: str) -> dict[Operation, int]:
  """Operation → how often the program runs it.

  Args:
    text: `compiled.as_text()`. A loop's body counts once, whatever its number of turns.
  """
  found, calls, shapes = collections.defaultdict(list), collections.defaultdict(list), {}
  entry = here = ''
  for line in text.splitlines():
    if head := _COMPUTATION.match(line):
      here = head[2]
      entry = here if head[1] else entry
      continue
    line = line.strip().removeprefix('ROOT ')
    if shape := _SHAPE.match(line):
      shapes[shape[1]] = _numbers(shape[3])
    if operation := _OPERATION.match(line):
      attributes = re.findall(r'(\w+)=(?:\{([^}]*)\}|([\w>\-]+))', line[operation.end() :])
      kept = tuple(
        (name, braced or bare) for name, braced, bare in attributes
        if name in ('window', 'dim_labels') or name.endswith(('_dims', '_group_count'))
      )
      found[here].append((operation, kept))
    calls[here].extend(name.removeprefix('%') for name in _CALL.findall(line))
  counts = collections.Counter()
  for name, times in _runs(entry, calls).items():
    for operation, kept in found[name]:
      dtype, out, kind, left, right = operation.groups()
      made = Operation(kind, dtype, shapes[left], shapes[right], _numbers(out), kept)
      if made.flops >= _LEAST_FLOPS and dtype in _TYPES:
        counts[made] += times
  return dict(counts)


def _runs(entry: str, calls: dict[str, list[str]]) -> dict[str, int]:
  """Computation → how often the program runs it."""
  counts = collections.Counter()
  waiting = [entry]
  while waiting:
    name = waiting.pop()
    counts[name] += 1
    waiting.extend(calls[name])
  return counts


def _numbers(text: str) -> tuple[int, ...]:
  return tuple(int(number) for number in text.split(',') if number)


def _pair(text: str | None) -> tuple[int, ...]:
  return tuple(map(int, text.split('x'))) if text else (1, 1)
