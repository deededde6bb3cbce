"""Images as separate planes: vectors of planes, table lookups, and control over XLA's fusion.

On CPU, XLA fuses a producer of cheap operations into each of its consumers and computes it again in
all of them. A picture is one long chain of cheap operations whose middle results (hits, textures,
shadows) have many consumers each: fused freely, it is computed hundreds of times (measured: 940 ms
of CPU per 128x128 picture, some 10 ms with `hold`). XLA does not copy a division, and drops
`optimization_barrier` before it fuses on CPU; so `hold` divides by 1 + 0 x, which no compiler that
respects NaN may simplify. The results are the same to the last bit.

Symbols: H, W pixels; a plane is (H, W). Planes are kept in lists, not stacked: loops over stacked
ones branch on the channel in their innermost step.
"""

import jax
import jax.numpy as jnp

Planes = list[jax.Array]


def hold(tree):
  """The same arrays, computed once and kept in memory; see the module.

  Args:
    tree: pytree of finite floating point, boolean, or integer (below 2^24) arrays.

  Returns:
    The tree.
  """

  def held(x: jax.Array) -> jax.Array:
    if jnp.issubdtype(x.dtype, jnp.floating):
      return x / (1 + 0 * x)
    return held(x.astype(jnp.float32)).astype(x.dtype)

  return jax.tree.map(held, tree)


def gather(columns: list[jax.Array], index: jax.Array) -> Planes:
  """Looks up (M,) columns at (H, W) indices; one lookup per column vectorises, one of rows doesn't.
  """
  last = columns[0].shape[0] - 1
  index = jnp.clip(index, 0, last)
  return [hold(column.at[index].get(mode='promise_in_bounds')) for column in columns]


def dot(a: Planes, b: Planes) -> jax.Array:
  """Scalar product of two vectors of three planes (or numbers)."""
  return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def normalized(a: Planes) -> Planes:
  """Unit vectors; zero stays zero."""
  scale = jax.lax.rsqrt(dot(a, a) + 1e-20)
  return [x * scale for x in a]
