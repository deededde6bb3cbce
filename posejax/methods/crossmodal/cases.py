"""What pictures of an evaluation need: every case with its error, and decoded samples of φ."""

import functools
from collections.abc import Mapping
from typing import Any

import jax
import ml_collections
import numpy as np

from posejax.methods.base import Case, Metric, People, PoseSet, Product
from posejax.methods.crossmodal import lift, pairs, prior, prior_measures
from posejax.metrics import pose
from posejax.models import aae as aae_lib

_MEASURED, _SHOWN = 1000, 8


def cases_of(
  people: People, observed: Mapping[str, np.ndarray], truth: Mapping[str, np.ndarray], side: int
) -> tuple[Case, ...]:
  """Every picture with people that count.

  Args:
    people: predictions, leading axis of pictures.
    observed: arrays of `observed.observe` of the same pictures.
    truth: arrays of `world.renderer`.
    side: of the pictures, px.
  """
  found = pairs.match(people.joints_2d, people.joint_valid, people.valid, truth, side)
  cases = []
  for scene in np.unique(found.scene):
    rows = found.scene == scene
    persons, slots, matched = found.person[rows], found.slot[rows], found.matched[rows]
    target = np.asarray(truth['truth_camera'][scene, persons])
    predicted = people.joints_camera[scene, slots]
    errors = pose.root_errors(predicted, target)[:, pairs.SCORED]
    cases.append(Case(
      image=truth['images'][scene],
      teacher=observed['joints'][scene], teacher_seen=observed['seen'][scene],
      people=People(*(np.asarray(field[scene]) for field in people)),
      truth_2d=np.asarray(truth['truth_joints'][scene, persons]), truth_camera=target,
      match=np.where(matched, slots, -1), error=pose.masked_mean(errors, matched[:, None]),
    ))
  return tuple(cases)


def decoded_sets(
  config: ml_collections.ConfigDict, products: dict[str, Product]
) -> tuple[tuple[PoseSet, ...], dict[str, Metric]]:
  """Poses of uniform φ inside the cube that the prior knows, and of φ outside (Fig. S1C [P]).

  Returns:
    The sets, and the shares of joints and of whole poses inside the joint limits.
  """
  networks, psi = prior.aae_config(config), products['prior'].params['Psi']
  sets, metrics = [], {}
  for where, reach in (
    ('inside', prior_measures.INSIDE), ('outside', prior_measures.OUTSIDE),
  ):
    poses, plausible = (np.asarray(x) for x in _decode(networks, psi, reach))
    joints, whole = 100 * plausible.mean(), 100 * plausible.all(1).mean()
    trained = reach == prior_measures.INSIDE
    cube = 'from the cube that the prior was trained on' if trained else 'outside that cube'
    sets.append(PoseSet(
      title=f'φ ~ U[−{reach:g}, {reach:g}]³²', poses=poses[:_SHOWN],
      note=f'{cube}: {joints:.1f} % of joints and {whole:.1f} % of whole poses inside the joint '
           f'limits ({prior_measures.TOLERANCE_DEG:g}° tolerance, {_MEASURED} samples).',
    ))
    text = f'Share of {{}} inside the joint limits when φ is drawn uniformly {cube}.'
    metrics[f'prior_{where}_joints_plausible_percent'] = Metric(joints, '%', text.format('joints'))
    metrics[f'prior_{where}_poses_plausible_percent'] = Metric(
      whole, '%', text.format('whole poses')
    )
  return tuple(sets), metrics


@functools.partial(jax.jit, static_argnums=0)
def _decode(networks: aae_lib.AAEConfig, psi: Any, reach: float) -> tuple[jax.Array, jax.Array]:
  """Canonical poses (N, J, 3) mm of random φ, and which of their limited joints are plausible."""
  phi = reach * jax.random.uniform(
    jax.random.key(0), (_MEASURED, networks.embedding), minval=-1.0, maxval=1.0
  )
  decoded = lift.decode(networks, psi, phi)
  return decoded.canonical, prior_measures.plausible(decoded.local)
