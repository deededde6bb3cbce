"""A teacher's own parts: from J15 and back, what cannot be given, and teachers read from files."""

import dataclasses
import runpy

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.data.weights import WeightsError
from posejax.geometry.skeleton import J15, OPENPOSE_COCO18, OPENPOSE_MPI15
from posejax.heatmaps import People2D
from posejax.methods.crossmodal import METHOD, align, infer, parts, teacher, teacher_training
from posejax.models import openpose
from posejax.training import config as config_lib

get_config = runpy.run_path('configs/unsup.py')['get_config']
JOINTS = np.random.default_rng(0).uniform(8, 56, (2, 15, 2)).astype(np.float32)
EVERYONE = np.ones((2, 15), bool)


def people(joints, visible):
  scores = np.linspace(0.5, 0.9, visible.shape[-1]) * np.ones(visible.shape)
  return People2D(joints, scores, visible, np.ones(2), np.ones(2, bool))


@pytest.mark.parametrize(
  ('skeleton', 'cannot'),
  [
    (J15, []), (OPENPOSE_MPI15, []),
    (OPENPOSE_COCO18, ['nose', 'r_eye', 'l_eye', 'r_ear', 'l_ear']),
  ],
)
def test_what_j15_gives(skeleton, cannot):
  given = parts.drawable(skeleton)
  assert [name for name, ok in zip(skeleton.joints, given, strict=True) if not ok] == cannot
  points, seen = parts.from_joints(JOINTS, EVERYONE, skeleton)
  for i, name in enumerate(skeleton.joints):
    assert bool(seen[0, i]) == (name not in cannot)
    if name in J15.joints:
      np.testing.assert_array_equal(points[:, i], JOINTS[:, J15.index(name)])
  maps = parts.drawable_maps(skeleton, background=True)
  assert maps.shape == (skeleton.num_joints + 1 + 2 * skeleton.num_limbs,)
  # The background needs all parts; a limb needs both ends.
  assert maps[skeleton.num_joints] == (not cannot)
  for limb, (a, b) in enumerate(skeleton.limbs):
    ends = {skeleton.joints[a], skeleton.joints[b]}
    both = maps[skeleton.num_joints + 1 + 2 * limb : skeleton.num_joints + 3 + 2 * limb]
    assert (both == ends.isdisjoint(cannot)).all()


def test_the_chest_is_the_middle_of_the_trunk():
  points, seen = parts.from_joints(JOINTS, EVERYONE, OPENPOSE_MPI15)
  chest = OPENPOSE_MPI15.index('chest')
  np.testing.assert_allclose(points[:, chest], (JOINTS[:, 0] + JOINTS[:, 1]) / 2)
  hidden = EVERYONE.copy()
  hidden[0, J15.index('neck')] = False
  _, seen = parts.from_joints(JOINTS, hidden, OPENPOSE_MPI15)
  assert seen[:, chest].tolist() == [False, True]


@pytest.mark.parametrize('skeleton', [OPENPOSE_MPI15, OPENPOSE_COCO18])
def test_people_come_back_in_j15(skeleton):
  # A pelvis in the middle of the hips, so that what is derived is what it was.
  joints = JOINTS.copy()
  joints[:, 0] = (joints[:, J15.index('r_hip')] + joints[:, J15.index('l_hip')]) / 2
  points, seen = parts.from_joints(joints, EVERYONE, skeleton)
  back = parts.to_joints(people(points, seen), skeleton)
  lost = [] if 'head_top' in skeleton.joints else [J15.index('head_top')]
  kept = [i for i in range(15) if i not in lost]
  np.testing.assert_allclose(back.joints[:, kept], joints[:, kept], rtol=1e-6)
  assert np.asarray(back.visible)[:, kept].all() and not np.asarray(back.visible)[:, lost].any()
  assert not np.asarray(back.joints)[:, lost].any()
  # One hip is missing: no pelvis, and so no root.
  seen = np.asarray(seen).copy()
  seen[1, skeleton.index('l_hip')] = False
  back = parts.to_joints(people(points, seen), skeleton)
  assert np.asarray(back.visible)[:, 0].tolist() == [True, False]
  scores = np.linspace(0.5, 0.9, skeleton.num_joints)
  worse = min(scores[skeleton.index('r_hip')], scores[skeleton.index('l_hip')])
  assert float(back.scores[0, 0]) == pytest.approx(worse)


def test_j15_people_are_left_alone():
  same = people(JOINTS, EVERYONE)
  assert parts.to_joints(same, J15) is same


TINY = openpose.OpenPoseConfig(
  front=((4,), (4,), (8,), (8,)), cpm=(8, 6), stage1=(8,), branch=8, stage=(8,), stage_kernel=3,
  stage_last=8, num_paf=38, num_heat=19,
)


@pytest.fixture
def tiny(monkeypatch):
  """A config with a published network that is small."""
  monkeypatch.setattr(teacher, 'PUBLISHED', {
    'openpose_coco': (TINY, OPENPOSE_COCO18),
    'openpose_mpi': (dataclasses.replace(TINY, num_paf=28, num_heat=16), OPENPOSE_MPI15),
  })
  config = get_config('smoke').unlock()
  config.teacher.update({'kind': 'openpose_coco', 'weights': 'some.npz'})
  config.align.update({'root_source': 'student', 'optimizer': 'adam', 'code': (0.0, 0.0)})
  return config


def test_a_coco_teacher_shapes_what_follows(tiny):
  config_lib.validate(tiny, METHOD.rules)
  fixed = teacher.layout(tiny)
  assert (fixed.num_maps, fixed.latent, fixed.background) == (18 + 38, 16, True)
  g = align.g_config(tiny)
  assert (g.latent, g.skip) == (16, 6)
  shapes = jax.eval_shape(lambda key: align._Wiring(tiny).init(key, {'G', 'H'}), jax.random.key(0))
  first = shapes['G'][min(shapes['G'])]['kernel']
  assert first.shape[2] == 18 + 38
  assert infer.Model(tiny).teacher.parts is OPENPOSE_COCO18


def test_its_maps_and_people(tiny):
  fixed = teacher.layout(tiny)
  assert fixed.widths.num_stages == 2
  heat, paf = teacher.render_maps(fixed.parts, jnp.asarray(JOINTS), jnp.asarray(EVERYONE), 64)
  assert heat.shape == (8, 8, 18) and paf.shape == (8, 8, 38)
  drawn = parts.drawable(fixed.parts)
  assert (np.asarray(heat).max((0, 1)) > 0.5).tolist() == drawn.tolist()
  # One person, upright, well apart: found again through her own maps, without a head top.
  body = {
    'pelvis': (62, 70), 'neck': (62, 40), 'head_top': (62, 22), 'r_shoulder': (48, 42),
    'r_elbow': (38, 56), 'r_wrist': (32, 72), 'l_shoulder': (76, 42), 'l_elbow': (88, 56),
    'l_wrist': (96, 72), 'r_hip': (54, 70), 'r_knee': (52, 92), 'r_ankle': (50, 114),
    'l_hip': (70, 70), 'l_knee': (74, 92), 'l_ankle': (78, 114),
  }
  joints = np.array([[body[name] for name in J15.joints]], np.float32)
  heat, paf = teacher.render_maps(fixed.parts, jnp.asarray(joints), jnp.ones((1, 15), bool), 128)
  found = teacher.Teacher(fixed, {}).people(heat[None], paf[None], 2)
  assert np.asarray(found.valid)[0].tolist() == [True, False]
  seen = np.asarray(found.visible)[0, 0]
  assert [name for name, ok in zip(J15.joints, seen, strict=True) if not ok] == ['head_top']
  np.testing.assert_allclose(np.asarray(found.joints)[0, 0][seen], joints[0][seen], atol=2.0)


@pytest.mark.parametrize(
  ('changes', 'words'),
  [
    ({'teacher.weights': ''}, 'config.teacher.weights'),
    ({'align.root_source': 'teacher'}, 'config.align.root_source'),
    ({'teacher.kind': 'vgg'}, 'config.teacher.kind'),
  ],
)
def test_what_a_published_teacher_needs(tiny, changes, words):
  tiny.update_from_flattened_dict(changes)
  with pytest.raises(config_lib.ConfigError, match=words):
    config_lib.validate(tiny, METHOD.rules)


def test_weights_of_another_network_say_which(tiny, monkeypatch):
  mpi = teacher.PUBLISHED['openpose_mpi']
  monkeypatch.setattr(
    teacher.openpose_weights, 'load_openpose',
    lambda path, stages: teacher.openpose_weights.OpenPose(*mpi, {'E': {}, 'F': {}}),
  )
  with pytest.raises(WeightsError, match=r'some.npz: holds .*MPI.*set teacher.kind=openpose_mpi'):
    teacher.published(tiny)
  tiny.teacher.kind = 'openpose_mpi'
  assert teacher_training.build(tiny, {}).params == {'E': {}, 'F': {}}  # read, not trained
