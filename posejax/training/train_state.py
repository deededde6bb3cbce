"""What a training carries from step to step, and the step itself.

One optax state per loss. A step computes every active loss of its batch at the same parameters and
adds their updates up. Networks that no active loss names come out bitwise equal: they are never
differentiated, and never written.

A loss or gradient that is not finite stops the state where it is: later steps change nothing, so
the host may look late (at its next log) and still finds the parameters of the last good step.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from posejax.methods.base import Context, LossValues, Networks, Phase, Source, Stage
from posejax.training import parallel

Tree = Any

GOOD = -1  # `TrainState.bad_step` while all is finite


class TrainState(NamedTuple):
  """The state of a stage.

  Attributes:
    step: int32, steps done.
    params: network → parameters.
    batch_stats: network → running statistics.
    opt_states: loss → optax state over the networks that the loss names.
    bad_step: int32, the first step with a non-finite loss or gradient; GOOD while there is none.
    bad_losses: (losses of the stage,) bool in the stage's order: which ones, at that step.
  """

  step: jax.Array
  params: Networks
  batch_stats: Networks
  opt_states: dict[str, Tree]
  bad_step: jax.Array
  bad_losses: jax.Array


def create(stage: Stage, key: jax.Array) -> TrainState:
  """A new state.

  Raises:
    ValueError: a loss names a network that `stage.init` does not make, or a network that is made is
      trained by no loss of any phase (a frozen network belongs into `stage.frozen`).
  """
  params, batch_stats = stage.init(key)
  active = {name for phase in stage.phases for name in phase.losses}
  trained = {network for name in active for network in stage.losses[name].networks}
  unknown, idle = trained - set(params), set(params) - trained
  if unknown:
    raise ValueError(f'losses name networks that the stage does not make: {sorted(unknown)}')
  if idle:
    raise ValueError(f'no loss trains {sorted(idle)}: give them to the stage as frozen')
  opt_states = {
    name: loss.optimizer.init(chosen(params, loss.networks))
    for name, loss in stage.losses.items() if name in active
  }
  return TrainState(
    jnp.zeros((), jnp.int32), params, batch_stats, opt_states,
    jnp.full((), GOOD, jnp.int32), jnp.zeros(len(stage.losses), bool),
  )


def chosen(networks: Networks, names: tuple[str, ...]) -> dict[str, Tree]:
  """Some networks of a mapping."""
  return {name: networks[name] for name in names}


def active_losses(stage: Stage, phase: Phase, source_name: str) -> tuple[str, ...]:
  """The losses of a phase that read batches of one source."""
  return tuple(name for name in phase.losses if stage.losses[name].source == source_name)


def make_step(stage: Stage, phase: Phase, source_name: str, key: jax.Array):
  """The step of a phase on a batch of one source, to be compiled by `parallel.Devices.compile`.

  Args:
    stage: what is trained.
    phase: whose losses are on.
    source_name: which batch.
    key: the stage's random key.

  Returns:
    (state, frozen, host examples (b, ...), example indices (b,)) → (state, scalars to log).
  """
  source = stage.sources[source_name]
  active = active_losses(stage, phase, source_name)

  def step(state: TrainState, frozen: Tree, host: Tree, indices: jax.Array):
    share = parallel.collectives()
    batch = source.device(frozen, host, parallel.example_keys(key, state.step, indices))
    context = Context(
      state.params, state.batch_stats, frozen, parallel.step_key(key, state.step), share
    )
    updates, opt_states, logs, bad = {}, {}, {}, []
    for name in active:
      loss = stage.losses[name]
      gradients, values = _gradients(name, loss.networks, source, context, batch)
      gradients = share.sum(gradients)
      trained = chosen(state.params, loss.networks)
      change, opt_states[name] = loss.optimizer.update(gradients, state.opt_states[name], trained)
      rate = loss.learning_rate(state.step)
      for network, tree in change.items():
        scaled = jax.tree.map(lambda u: -rate * u, tree)  # noqa: B023
        updates[network] = (
          jax.tree.map(jnp.add, updates[network], scaled) if network in updates else scaled
        )
      logs |= _scalars(name, values, gradients, rate, share)
      bad.append(~jnp.isfinite(logs[f'loss/{name}'] + logs[f'gradient_norm/{name}']))
    for name, (total, weight) in values.logged.items():
      logs[name] = share.sum(total) / jnp.maximum(share.sum(weight), 1e-12)
    new = state._replace(
      step=state.step + 1,
      params={**state.params, **{
        network: optax.apply_updates(state.params[network], tree)
        for network, tree in updates.items()
      }},
      batch_stats={**state.batch_stats, **values.batch_stats},
      opt_states={**state.opt_states, **opt_states},
    )
    return _halt(stage, state, new, dict(zip(active, bad, strict=True))), logs

  return step


def _gradients(
  name: str, networks: tuple[str, ...], source: Source, context: Context, batch: Tree
) -> tuple[Networks, LossValues]:
  """This device's part of the gradient of one loss's global mean, for the networks it updates."""

  def objective(trained: Networks):
    params = {**context.params, **trained}
    values = source.losses(context._replace(params=params), batch)
    total, weight = values.terms[name]
    whole = jax.lax.stop_gradient(context.collectives.sum(weight))
    # An empty batch (no visible joint) has weight 0 and sum 0: its mean is 0, not 0 / 0.
    return total / jnp.where(whole > 0, whole, 1), values

  return jax.grad(objective, has_aux=True)(chosen(context.params, networks))


def _scalars(name, values: LossValues, gradients: Tree, rate, share) -> dict[str, jax.Array]:
  total, weight = (share.sum(part) for part in values.terms[name])
  return {
    f'loss/{name}': total / jnp.where(weight > 0, weight, 1),
    f'weight/{name}': weight,
    f'gradient_norm/{name}': optax.tree.norm(gradients),
    f'learning_rate/{name}': jnp.asarray(rate, jnp.float32),
  }


def _halt(
  stage: Stage, old: TrainState, new: TrainState, bad: dict[str, jax.Array]
) -> TrainState:
  """The new state, or the old one marked as bad if a loss or gradient is not finite."""
  flags = jnp.stack([bad.get(name, jnp.zeros((), bool)) for name in stage.losses])
  first = (old.bad_step == GOOD) & flags.any()
  marked = old._replace(
    bad_step=jnp.where(first, old.step, old.bad_step),
    bad_losses=jnp.where(first, flags, old.bad_losses),
  )
  stop = marked.bad_step != GOOD
  return jax.tree.map(lambda a, b: jnp.where(stop, a, b), marked, new)
