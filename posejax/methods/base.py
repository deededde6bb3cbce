"""What a method says and the trainer does: stages, phases, losses, sources of batches.

A method is a value. It names its stages; a stage names networks, losses and phases; the trainer
(posejax/training) builds the compiled steps, the optimizers, checkpoints and logs from them.
Nothing here computes or knows about devices: what needs the whole batch asks `Collectives`.

Symbols: B examples of a global batch, b those of one device (B = devices · b).
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import ml_collections
import numpy as np
import optax

from posejax.geometry.skeleton import Skeleton
from posejax.methods.fields import Choice as Choice
from posejax.methods.fields import Interval as Interval
from posejax.methods.fields import Items as Items
from posejax.methods.fields import Needs as Needs
from posejax.methods.fields import Rule
from posejax.methods.fields import Text as Text
from posejax.metrics.figures import Metric, SceneSet, SceneSums, Table

# Trees of arrays. `Networks` has one entry per network, so that freezing is by name.
Tree = Any
Networks = Mapping[str, Tree]

# Loss name → (sum over this device's examples, weight): the mean over the global batch is the
# sum of sums over the sum of weights, which a mean of device means would not be.
Terms = dict[str, tuple[jax.Array, jax.Array]]


class Collectives(NamedTuple):
  """What a loss may do across devices: `sum` adds up, `gather` stacks the examples in order.

  With one device they are the identity, so a loss is tested without a trainer.
  """

  sum: Callable[[Tree], Tree]
  gather: Callable[[Tree], Tree]


ONE_DEVICE = Collectives(sum=lambda tree: tree, gather=lambda tree: tree)


class Context(NamedTuple):
  """What the losses of a batch are computed from, beside the batch.

  Attributes:
    params: network → parameters, of every network of the stage.
    batch_stats: network → running statistics; {} for networks without.
    frozen: what earlier stages made, not trained here: their networks, caches of images.
    key: one random key of this step and device, for draws that belong to no single example.
    collectives: sums and gathers over devices.
  """

  params: Networks
  batch_stats: Networks
  frozen: Tree
  key: jax.Array
  collectives: Collectives


@dataclasses.dataclass(frozen=True)
class LossValues:
  """Terms of one batch, new running statistics, and scalars to log as (sum, weight)."""

  terms: Terms
  batch_stats: Networks = dataclasses.field(default_factory=dict)
  logged: Terms = dataclasses.field(default_factory=dict)


jax.tree_util.register_dataclass(
  LossValues, data_fields=['terms', 'batch_stats', 'logged'], meta_fields=[]
)


@dataclasses.dataclass(frozen=True)
class Source:
  """A kind of batch and the losses that read it.

  Attributes:
    size: B, examples of a global batch.
    losses: (context, batch) → LossValues. Called once per loss inside one compiled step, where the
      compiler shares the common parts; it must be pure.
    device: (frozen, host examples (b, ...), keys (b,)) → batch. Runs in the compiled step: makes
      scenes, takes images from a cache on the device, augments. Keys depend on the step and the
      global example index alone, so any number of devices sees the same data.
    host: step → arrays with leading axis B, for data that do not fit the device; a pure function of
      the step, which is how a resumed run finds its place. None where `device` needs nothing.
  """

  size: int
  losses: Callable[[Context, Tree], LossValues]
  device: Callable[[Tree, Tree, jax.Array], Tree]
  host: Callable[[int], Tree] | None = None


@dataclasses.dataclass(frozen=True)
class Loss:
  """A loss with an optimizer of its own (the papers' "separate optimizers").

  Attributes:
    source: name of the batches it reads.
    networks: names of the networks it updates; all others are constants to it.
    optimizer: a gradient transformation without its learning rate.
    learning_rate: the stage's step → rate, so that schedules of rarer losses stay in step.
  """

  source: str
  networks: tuple[str, ...]
  optimizer: optax.GradientTransformation
  learning_rate: Callable[[jax.Array], jax.Array | float]


class Phase(NamedTuple):
  """A stretch of a stage: which losses are on, and in what order its sources alternate.

  Attributes:
    name: for logs.
    steps: its length; a step is one batch of one source.
    sources: taken in turns, by the stage's step.
    losses: names of the active losses.
  """

  name: str
  steps: int
  sources: tuple[str, ...]
  losses: tuple[str, ...]


class Selection(NamedTuple):
  """Which checkpoint of a stage is the best one."""

  metric: str
  larger: bool


@dataclasses.dataclass(frozen=True)
class Stage:
  """One training: networks, sources, losses, phases.

  Attributes:
    init: key → (params, batch_stats) of the stage's networks.
    sources: name → Source.
    losses: name → Loss.
    phases: in order.
    frozen: arrays of earlier stages.
    validate: (params, batch_stats, frozen) → scalars; on the validation split, never the test set.
    selection: how validation chooses the stage's product; None takes the last step.
    arrays: what the product holds beside the networks.
  """

  init: Callable[[jax.Array], tuple[Networks, Networks]]
  sources: Mapping[str, Source]
  losses: Mapping[str, Loss]
  phases: tuple[Phase, ...]
  frozen: Tree = dataclasses.field(default_factory=dict)
  validate: Callable[[Networks, Networks, Tree], dict[str, float]] | None = None
  selection: Selection | None = None
  arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

  def __post_init__(self):
    problems = stage_problems(self)
    if problems:
      raise ValueError('; '.join(problems))


def stage_problems(stage: Stage) -> list[str]:
  """What does not fit together in a stage, in words; empty if all does."""
  problems = []
  for name, loss in stage.losses.items():
    if loss.source not in stage.sources:
      problems.append(f'loss {name} reads source {loss.source!r}, which the stage lacks')
    if not loss.networks:
      problems.append(f'loss {name} updates no network')
  for phase in stage.phases:
    for loss in phase.losses:
      if loss not in stage.losses:
        problems.append(f'phase {phase.name} names loss {loss!r}, which the stage lacks')
      elif stage.losses[loss].source not in phase.sources:
        problems.append(f'phase {phase.name} has loss {loss!r} but not its source')
    for source in phase.sources:
      if not any(stage.losses[name].source == source for name in phase.losses
                 if name in stage.losses):
        problems.append(f'phase {phase.name} takes batches of {source!r}, which no loss reads')
  if stage.selection and not stage.validate:
    problems.append('a selection needs validate')
  return problems


@dataclasses.dataclass(frozen=True)
class Product:
  """What a finished stage leaves to later ones: networks, and arrays such as caches."""

  params: Networks = dataclasses.field(default_factory=dict)
  batch_stats: Networks = dataclasses.field(default_factory=dict)
  arrays: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class RowMaker:
  """`StagePlan.make` of a stage whose arrays are rows that do not depend on each other.

  The trainer calls it part by part, shows how far it is, and keeps what is finished: a killed run
  goes on behind it. Called as a function it makes all rows.

  Attributes:
    count: (config, products) → N.
    size: rows made at once; parts begin at multiples of it.
    begin: (config, products) → function: (first, last) → these rows, arrays (last − first, ...).
  """

  count: Callable[[ml_collections.ConfigDict, Mapping[str, Product]], int]
  size: int
  begin: Callable[..., Callable[[int, int], dict[str, np.ndarray]]]

  def __call__(
    self, config: ml_collections.ConfigDict, products: Mapping[str, Product]
  ) -> Product:
    total, rows = self.count(config, products), self.begin(config, products)
    parts = [rows(i, min(i + self.size, total)) for i in range(0, total, self.size)]
    return Product(arrays={
      name: np.concatenate([part[name] for part in parts]) for name in parts[0]
    })


@dataclasses.dataclass(frozen=True)
class StagePlan:
  """A stage before it is built: what it depends on, and how it is made.

  Attributes:
    name: of its folder in the workdir.
    fields: config subtrees (dotted) that decide its product; with the keys of `reads` they are its
      cache key.
    reads: names of earlier stages.
    seeds: config fields (dotted) that its random draws depend on. A stage with a seed of its own
      can be repeated over what earlier stages made once.
    build: (config, products of `reads`) → Stage, for a training; or the Product itself where the
      config leaves nothing to train.
    make: (config, products of `reads`) → Product, for a stage that computes without training;
      `RowMaker` where that takes long. Just one of `build` and `make` is given.
    version: of its code; to be raised whenever the same config gives another product.
    files: config fields (dotted) below `fields` that name a file or folder, or nothing: its content
      decides, not its name.
    scaffold: config → names of networks that, by it, nobody reads once the stage is trained.
  """

  name: str
  fields: tuple[str, ...]
  reads: tuple[str, ...] = ()
  seeds: tuple[str, ...] = ('seed',)
  build: Callable[[ml_collections.ConfigDict, Mapping[str, Product]], Stage | Product] | None = None
  make: Callable[[ml_collections.ConfigDict, Mapping[str, Product]], Product] | None = None
  files: tuple[str, ...] = ()
  version: int = 1
  scaffold: Callable[[ml_collections.ConfigDict], tuple[str, ...]] = lambda config: ()

  def __post_init__(self):
    if (self.build is None) == (self.make is None):
      raise ValueError(f'stage {self.name}: give either build or make')


class People(NamedTuple):
  """The result of every method: up to P people of one image, padded.

  Skeleton and camera are not repeated here: the skeleton is `Method.skeleton`, the camera of what
  `Method.infer` returns `fixed_intrinsics(S)`; `inference.predictor` returns px and camera of the
  user's own image. `inference.scene.Scene`, of which files are written, holds all of it.

  Attributes:
    identity: (P,) int32, stable over a video where there is tracking, else the slot.
    score: (P,) in [0, 1].
    joints_2d: (P, J, 2) px of the input image.
    joints_relative: (P, J, 3) mm, pelvis at the origin, camera axes.
    joints_camera: (P, J, 3) mm, camera-centred.
    depth: (P,) mm, of the pelvis.
    joint_valid: (P, J) bool: joints that the method gives for this person.
    valid: (P,) bool: slots that hold a person.
  """

  identity: jax.Array
  score: jax.Array
  joints_2d: jax.Array
  joints_relative: jax.Array
  joints_camera: jax.Array
  depth: jax.Array
  joint_valid: jax.Array
  valid: jax.Array


class Case(NamedTuple):
  """One picture with what was found in it and what is true.

  Attributes:
    image: (H, W, 3) uint8.
    teacher: (T, J, 2) px, 2D poses of the teacher.
    teacher_seen: (T, J) bool.
    people: what the method inferred, unbatched.
    truth_2d: (G, J, 2) px, people that count.
    truth_camera: (G, J, 3) mm, camera-centred; None where there is no 3D truth.
    match: (G,) slot of `people` that each got, or -1.
    error: mm, mean root-relative error of the joints of matched people; without 3D truth the mean
      2D error, percent of the side; nan if nobody matched.
  """

  image: np.ndarray
  teacher: np.ndarray
  teacher_seen: np.ndarray
  people: People
  truth_2d: np.ndarray
  truth_camera: np.ndarray | None
  match: np.ndarray
  error: float


class PoseSet(NamedTuple):
  """Poses to look at, such as decoded samples of a prior: (N, J, 3) mm, canonical frame."""

  title: str
  note: str
  poses: np.ndarray


@dataclasses.dataclass(frozen=True)
class Evaluation:
  """What evaluating a finished run gives: figures, and what pictures of it need.

  Attributes:
    split: the set that was looked at.
    metrics: name → Metric.
    headline: name of the metric that a reader looks at first.
    baselines: names of the metrics that stand beside it.
    lead: name of the metric that says how far the headline is above its baseline.
    tables: what the report shows of the metrics, in order.
    scene_sums: metric → SceneSums of its share.
    cases: every picture of the split with people that count, in the order of the set.
    pose_sets: in order.
    notes: of the protocol: who counts, how people are matched.
    skeleton: of all joints.
    scene_sets: scenes of methods that see no pictures, in order.
  """

  split: str
  metrics: Mapping[str, Metric]
  headline: str
  baselines: tuple[str, ...]
  lead: str
  tables: tuple[Table, ...]
  scene_sums: Mapping[str, SceneSums]
  cases: tuple[Case, ...]
  pose_sets: tuple[PoseSet, ...]
  notes: tuple[str, ...]
  skeleton: Skeleton
  scene_sets: tuple[SceneSet, ...] = ()


@dataclasses.dataclass(frozen=True)
class Method:
  """A published system, as the trainer, the evaluation and the inference see it.

  Attributes:
    name: for logs and files.
    stages: in order.
    rules: dotted config field → what it may hold; a field without a rule is refused.
    splits: names of the stages that are sets to evaluate on; the last one is the test set.
    evaluate: (config, products, split) → Evaluation.
    infer: (config, products) → function: uint8 images (B, S, S, 3) → People with leading axis B, by
      the camera `geometry.camera.fixed_intrinsics(S)`.
    side: (config) → S, px.
    skeleton: of the joints that `infer` and `lift` give.
    lift: (config, products) → function: 2D poses alone, tangents (F, P, J, 2) and seen (F, P, J), →
      camera-centred mm (F, P, J, 3), who could be lifted (F, P), and how unsure it is of each, mm
      (F, P).
    free: config fields that decide nothing that is trained, such as the place of a cache.
  """

  name: str
  stages: tuple[StagePlan, ...]
  rules: Mapping[str, Rule]
  splits: tuple[str, ...] = ()
  evaluate: Callable[..., Evaluation] | None = None
  infer: Callable[..., Callable[[jax.Array], People]] | None = None
  side: Callable[[ml_collections.ConfigDict], int] | None = None
  skeleton: Skeleton | None = None
  lift: Callable[..., Callable[[np.ndarray, np.ndarray, bool], Tree]] | None = None
  free: tuple[str, ...] = ()

  def plan(self, name: str) -> StagePlan:
    """The stage of that name."""
    return next(stage for stage in self.stages if stage.name == name)


def alternate(sources: Sequence[str], step: int) -> str:
  """The source of a stage's step."""
  return sources[step % len(sources)]
