import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from posejax.geometry import skeleton as skeleton_lib
from posejax.heatmaps import (
  Peaks,
  assemble,
  group_people,
  match_limbs,
  redundant_limbs,
  render_heatmaps,
  render_pafs,
)
from tests.heatmaps import people, reference_grouping

J15, MPI15, COCO18 = (
  skeleton_lib.J15, skeleton_lib.OPENPOSE_MPI15, skeleton_lib.OPENPOSE_COCO18
)
SETS = pytest.mark.parametrize('skeleton', [J15, MPI15, COCO18], ids=lambda s: s.name)
SIZE = (28, 28)  # 224 px at stride 8

match = jax.jit(match_limbs)
group_any = jax.jit(
  group_people,
  static_argnames=('limbs', 'max_people', 'max_peaks', 'redundant', 'min_parts', 'min_score'),
)


@functools.partial(jax.jit, static_argnums=2)
def draw(joints, visible, skeleton):
  return (
    render_heatmaps(joints, visible, SIZE),
    render_pafs(joints, visible, skeleton.limbs, SIZE),
  )


def group(heatmaps, pafs, skeleton):
  people_found = group_any(
    heatmaps, pafs, limbs=skeleton.limbs, max_people=12, max_peaks=14,
    redundant=redundant_limbs(skeleton),
  )
  # NumPy from here on: each new slice of a JAX array costs a compilation.
  return jax.tree.map(np.asarray, people_found)


def assert_same_people(ours, wanted):
  assert int(ours.valid.sum()) == len(wanted)
  assert not np.any(ours.visible[~ours.valid]) and not np.any(ours.score[~ours.valid])
  for i, (joints, scores, score) in enumerate(wanted):
    assert ours.valid[i]
    np.testing.assert_array_equal(ours.visible[i], scores > 0)
    np.testing.assert_allclose(ours.joints[i], joints, atol=1e-6)
    np.testing.assert_allclose(ours.scores[i], scores, atol=1e-9)
    np.testing.assert_allclose(ours.score[i], score, atol=1e-9)


@SETS
@pytest.mark.parametrize('count', [2, 8])
def test_same_people_as_plain_numpy(x64, skeleton, count):
  # Two persons, and eight over each other, with hidden joints and noise in every map.
  joined = 0
  for seed in range(3):
    rng = np.random.default_rng([count, seed])
    joints = people.crowd(rng, skeleton, count, 224)
    visible = rng.uniform(size=joints.shape[:2]) > 0.1
    maps = [np.array(m) + rng.normal(scale=0.06, size=m.shape) for m in draw(
      joints, visible, skeleton
    )]
    wanted = reference_grouping.group(
      *maps, skeleton.limbs, redundant_limbs(skeleton), max_peaks=14, max_people=12
    )
    assert_same_people(group(*maps, skeleton), wanted)
    joined += len(wanted)
  assert joined >= 2 * count


def test_same_people_on_pure_noise(x64):
  # Fields and peaks everywhere: whatever can be matched, merged or dropped is.
  rng = np.random.default_rng(7)
  for skeleton in (J15, COCO18):
    heatmaps = rng.uniform(size=(*SIZE, skeleton.num_joints))
    pafs = rng.normal(size=(*SIZE, 2 * skeleton.num_limbs)) + 0.5
    wanted = reference_grouping.group(
      heatmaps, pafs, skeleton.limbs, redundant_limbs(skeleton), max_peaks=14, max_people=12
    )
    assert len(wanted) >= 3
    assert_same_people(group(heatmaps, pafs, skeleton), wanted)


def test_same_people_on_a_photograph(x64, posejax_data):
  # A trained network's maps of five people, some of them seated, one before another.
  path = posejax_data / 'teacher_dm14' / 'reference_224.npz'
  if not path.is_file():
    pytest.skip(f'no {path}')
  with np.load(path) as arrays:
    heatmaps, pafs = arrays['stage2_heat'][..., :18], arrays['stage2_paf']
  heatmaps, pafs = heatmaps.astype(np.float64), pafs.astype(np.float64)
  wanted = reference_grouping.group(
    heatmaps, pafs, COCO18.limbs, redundant_limbs(COCO18), max_peaks=14, max_people=12
  )
  assert len(wanted) == 5
  assert_same_people(group(heatmaps, pafs, COCO18), wanted)


def assert_found(ours, joints, visible, tolerance):
  """Each drawn person is one found person, with each visible joint in its place and no other."""
  assert int(ours.valid.sum()) == len(joints)
  taken = set()
  for person, seen in zip(joints, visible, strict=True):
    distance = np.array([
      np.linalg.norm(found - person, axis=-1)[seen].mean() for found in ours.joints
    ])
    distance[~ours.valid] = np.inf
    best = int(np.argmin(distance))
    taken.add(best)
    np.testing.assert_array_equal(ours.visible[best], seen)
    np.testing.assert_allclose(ours.joints[best][seen], person[seen], atol=tolerance)
  assert len(taken) == len(joints)


@SETS
def test_one_person_comes_back(x64, skeleton):
  joints = people.standing(skeleton, (100.3, 105.8))[None]
  seen = np.ones(joints.shape[:2], bool)
  ours = group(*draw(joints, seen, skeleton), skeleton)
  assert ours.joints.dtype == jnp.float64
  assert_found(ours, joints, seen, 1e-9)
  # All peaks and limbs at nearly 1: (J + J − 1)/J, less what the cells lose of the peaks.
  assert 1.6 < ours.score[0] < 2


@SETS
def test_a_crowd_comes_back(x64, skeleton):
  # Two rows of four, 54 px apart, elbow to elbow: wrists 15 px from the neighbour's.
  centres = [(32 + 54 * (i % 4), 62 + 96 * (i // 4)) for i in range(8)]
  joints = np.stack([people.standing(skeleton, centre, 0.7) for centre in centres])
  seen = np.ones(joints.shape[:2], bool)
  assert_found(group(*draw(joints, seen, skeleton), skeleton), joints, seen, 1.5)


def test_touching_people_come_back():
  # Holding hands: A's left wrist and B's right one at one point, so that each map has its own.
  # Then side by side with all joints 26 px apart: 3¼ cells, nearly the least that two peaks need.
  left, right = people.standing(J15, (70, 105)), people.standing(J15, (126, 105))
  np.testing.assert_allclose(left[J15.index('l_wrist')], right[J15.index('r_wrist')])
  for joints in (np.stack([left, right]), np.stack([left, left + [26, 3]])):
    joints = joints.astype(np.float32)
    seen = np.ones(joints.shape[:2], bool)
    assert_found(group(*draw(joints, seen, J15), J15), joints, seen, 1.0)


def test_crossing_limbs_come_back():
  # The forearms of two persons cross at right angles.
  one, two = people.standing(J15, (80, 100)), people.standing(J15, (150, 100))
  one[J15.index('l_elbow')], one[J15.index('l_wrist')] = (112, 90), (140, 118)
  two[J15.index('r_elbow')], two[J15.index('r_wrist')] = (140, 90), (112, 118)
  one[J15.index('r_elbow')], one[J15.index('r_wrist')] = (60, 90), (60, 110)
  two[J15.index('l_elbow')], two[J15.index('l_wrist')] = (170, 90), (112, 62)
  joints = np.stack([one, two]).astype(np.float32)
  seen = np.ones(joints.shape[:2], bool)
  assert_found(group(*draw(joints, seen, J15), J15), joints, seen, 1.0)


def test_nobody():
  ours = group(*draw(np.zeros((0, 15, 2), np.float32), np.zeros((0, 15), bool), J15), J15)
  assert not any(np.any(field) for field in ours)
  assert ours.joints.shape == (12, 15, 2)


def test_out_of_frame():
  # Legs below the image, a person in the corner, and one who is outside as a whole.
  joints = np.stack([
    people.standing(J15, (80, 200), 1.0),
    people.standing(J15, (212, 60), 0.8),
    people.standing(J15, (-200, 100), 1.0),
  ]).astype(np.float32)
  # A Gaussian's tail passes the threshold (.1) up to 7 √(2 ln 10) = 15 px away; these keep off.
  inside = np.all((joints > -0.5) & (joints < 223.5), axis=-1)
  outside = np.any((joints < -16.0) | (joints > 239.5), axis=-1)
  seen = inside | outside
  ours = group(*draw(joints, seen, J15), J15)
  assert_found(ours, joints[:2], inside[:2], 0.01)
  # With the tails, a joint just outside is found in the border's cells, never beyond them.
  every = group(*draw(joints, np.ones_like(seen), J15), J15)
  assert int(every.valid.sum()) == 2
  assert np.all((every.joints >= -0.5) & (every.joints <= 223.5))


def test_a_torn_person_is_two():
  # Without its pelvis and neck J15 falls apart into legs (no limb: hips hang on the pelvis).
  joints = people.standing(J15, (100, 105))[None].astype(np.float32)
  seen = np.ones((1, 15), bool)
  seen[0, [J15.index('pelvis'), J15.index('neck')]] = False
  ours = group(*draw(joints, seen, J15), J15)
  parts = [[J15.joints[j] for j in np.nonzero(row)[0]] for row in ours.visible]
  assert sorted(map(tuple, parts[:4])) == [
    ('l_hip', 'l_knee', 'l_ankle'), ('l_shoulder', 'l_elbow', 'l_wrist'),
    ('r_hip', 'r_knee', 'r_ankle'), ('r_shoulder', 'r_elbow', 'r_wrist'),
  ]
  assert int(ours.valid.sum()) == 4


def test_few_parts_and_low_scores_are_dropped():
  joints = people.standing(J15, (100, 105))[None].astype(np.float32)
  arm = [J15.index(name) for name in ('neck', 'r_shoulder', 'r_elbow')]
  for count, found in ((2, 0), (3, 1)):
    seen = np.zeros((1, 15), bool)
    seen[0, arm[:count]] = True
    ours = group(*draw(joints, seen, J15), J15)
    assert int(ours.valid.sum()) == found
  # (Σ peaks + Σ limbs)/parts: with all maps at a fifth, (3 · .2 + 2 · .2)/3 at best.
  heatmaps, pafs = draw(joints, seen, J15)
  assert not np.any(group(heatmaps / 5, pafs / 5, J15).valid)


def test_most_evidence_first_and_no_more_than_there_is_room():
  joints = np.stack([people.standing(J15, (40 + 70 * i, 105), 0.8) for i in range(3)])
  joints = joints.astype(np.float32)
  seen = np.ones((3, 15), bool)
  seen[0, 5:9], seen[2, 5] = False, False
  heatmaps, pafs = draw(joints, seen, J15)
  every = group(heatmaps, pafs, J15)
  np.testing.assert_array_equal(every.visible.sum(1)[:4], [15, 14, 11, 0])
  two = group_any(heatmaps, pafs, limbs=J15.limbs, max_people=2, max_peaks=14)
  for field, wanted in zip(two, every, strict=True):
    np.testing.assert_allclose(field, wanted[:2], atol=1e-5)


def head_from_behind():
  """COCO-18 without nose and eyes: the ears hang on the shoulders alone."""
  joints = people.standing(COCO18, (100, 105))[None]
  seen = np.ones((1, 18), bool)
  seen[0, [COCO18.index(name) for name in ('nose', 'r_eye', 'l_eye')]] = False
  return joints, seen


def test_redundant_limbs():
  assert redundant_limbs(COCO18) == (9, 13)
  assert [COCO18.limbs[i] for i in (9, 13)] == [(2, 16), (5, 17)]
  for skeleton in (J15, MPI15, skeleton_lib.J17, skeleton_lib.H36M17):
    assert redundant_limbs(skeleton) == ()


def test_ears_keep_to_the_shoulders(x64):
  joints, seen = head_from_behind()
  assert_found(group(*draw(joints, seen, COCO18), COCO18), joints, seen, 0.1)


def test_a_redundant_limb_never_takes_or_doubles():
  """Peaks and scores by hand: two persons of COCO-18, A whole, B with no head."""
  slots = 2
  valid = np.zeros((18, slots), bool)
  valid[:, 0] = True
  valid[[1, 2, 5, 8, 11], 1] = True
  peaks = Peaks(np.zeros((18, slots, 2)), valid * 1.0, valid)
  scores = np.zeros((19, slots, slots))
  for i in range(19):
    scores[i, 0, 0] = 0.9
  for i in (0, 3, 6, 10):
    scores[i, 1, 1] = 0.8
  # A's ears pull harder to B's shoulders: the match is B's shoulder – A's ear, and is dropped.
  scores[9] = [[0.3, 0], [0.95, 0]]
  joined = jax.jit(functools.partial(
    assemble, peaks, limbs=COCO18.limbs, max_people=3, redundant=redundant_limbs(COCO18)
  ))
  ours = joined(scores=scores, matched=match(scores))
  np.testing.assert_array_equal(ours.visible.sum(1), [18, 5, 0])
  # 18 peaks and the 17 limbs of the tree at .9; the redundant ones found nothing to join.
  np.testing.assert_allclose(ours.score, [(18 + 17 * 0.9) / 18, (5 + 4 * 0.8) / 5, 0], rtol=1e-6)
  # Cut A's right ear off its eye: now it goes to B, which has none, with its limb's score.
  scores[17, 0, 0] = 0
  ours = joined(scores=scores, matched=match(scores))
  np.testing.assert_array_equal(ours.visible.sum(1), [17, 6, 0])
  assert ours.visible[1, 16] and not ours.visible[0, 16]
  np.testing.assert_allclose(ours.score[1], (6 + 4 * 0.8 + 0.95) / 6, rtol=1e-6)


def test_limbs_with_cycles_that_nobody_named():
  # COCO-17's own list joins shoulders, hips, ears and eyes crosswise.
  coco = skeleton_lib.COCO17
  joints = people.standing(coco, (100, 105))[None].astype(np.float32)
  seen = np.ones((1, 17), bool)
  ours = group_any(*draw(joints, seen, coco), limbs=coco.limbs, max_people=3, max_peaks=2)
  ours = jax.tree.map(np.asarray, ours)
  assert_found(ours, joints, seen, 0.1)


@given(
  hnp.arrays(
    np.float32, (2, 4, 4),
    elements=st.sampled_from([0, 0.25, 0.5, 0.75]) | st.floats(-1, 1, width=32),
  )
)
def test_matching_is_greedy(scores):
  """Ties on purpose: few distinct values, so that the order of equals is tested too."""
  ours = np.asarray(match(scores))
  for limb in range(2):
    wanted = np.zeros((4, 4), bool)
    for _, m, n in reference_grouping.greedy(scores[limb]):
      wanted[m, n] = True
    np.testing.assert_array_equal(ours[limb], wanted)


def test_matching_ignores_what_is_no_score():
  scores = np.array([[[np.nan, -np.inf], [0.0, 0.2]]], np.float32)
  np.testing.assert_array_equal(match(scores), [[[False, False], [False, True]]])
  assert match_limbs(jnp.zeros((0, 2, 2))).shape == (0, 2, 2)
  assert match_limbs(jnp.zeros((1, 0, 0))).shape == (1, 0, 0)


def test_vmap_and_gradient():
  limbs = ((0, 1), (2, 1))
  find = functools.partial(group_people, limbs=limbs, max_people=2, max_peaks=2)
  joints = np.random.default_rng(5).uniform(4, 60, (3, 1, 3, 2)).astype(np.float32)
  maps = jax.jit(jax.vmap(
    lambda j: (render_heatmaps(j, None, (8, 8)), render_pafs(j, None, limbs, (8, 8)))
  ))(joints)
  maps = jax.tree.map(np.asarray, maps)
  batch = jax.tree.map(np.asarray, jax.jit(jax.vmap(find))(*maps))
  one = jax.jit(find)
  for i in range(3):
    for field, wanted in zip(batch, one(maps[0][i], maps[1][i]), strict=True):
      np.testing.assert_allclose(field[i], wanted, atol=1e-4)
  np.testing.assert_allclose(batch.joints[:, 0], joints[:, 0], atol=1e-3)
  # Positions of what is found pass gradients to the maps.
  gradient = jax.jit(jax.grad(lambda h: jnp.sum(find(h, maps[1][0]).joints)))(maps[0][0])
  assert np.all(np.isfinite(gradient)) and np.any(gradient)


@pytest.mark.parametrize(
  ('changes', 'message'),
  [
    ({'heatmaps': np.zeros((4, 4))}, r'heatmaps must have shape \(H, W, C\), got \(4, 4\)'),
    ({'pafs': np.zeros((1, 4, 4, 4))}, 'vmap over batches'),
    ({'pafs': np.zeros((4, 4, 3))}, '2 limbs need 4 PAFs, got 3'),
    ({'pafs': np.zeros((5, 4, 4))}, r'maps must be of one size, got \(4, 4\) and \(5, 4\)'),
    ({'limbs': ((0, 1), (1, 3))}, r'limbs must be pairs of joints in 0\.\.2'),
    ({'redundant': (2,)}, r'redundant limbs \(2,\) are not all in 0\.\.1'),
    ({'max_people': 0}, 'max_people must be a whole number ≥ 1'),
    ({'max_peaks': 1.5}, 'max_peaks must be a whole number ≥ 1'),
    ({'min_parts': -1}, 'min_parts must be a whole number ≥ 1'),
  ],
)
def test_clear_errors(changes, message):
  arguments = {
    'heatmaps': np.zeros((4, 4, 3)), 'pafs': np.zeros((4, 4, 4)), 'limbs': ((0, 1), (1, 2))
  }
  with pytest.raises(ValueError, match=message):
    # Shapes are checked while tracing: nothing is compiled.
    jax.eval_shape(lambda: group_people(**(arguments | changes)))
  with pytest.raises(ValueError, match=r'scores must have shape \(L, K, K\)'):
    match_limbs([[0.0, 1.0]])


@pytest.mark.parametrize('name', ['scores', 'matched'])
@pytest.mark.parametrize('shape', [(1, 2, 2), (2, 3, 3), (2, 2), (1, 2, 2, 2)])
def test_pairs_that_do_not_fit_the_peaks(name, shape):
  peaks = Peaks(jnp.zeros((3, 2, 2)), jnp.zeros((3, 2)), jnp.zeros((3, 2), bool))
  pairs = {'scores': jnp.zeros((2, 2, 2)), 'matched': jnp.zeros((2, 2, 2), bool)}
  pairs[name] = jnp.zeros(shape, pairs[name].dtype)
  with pytest.raises(ValueError, match=rf'^assemble: {name} must have shape \(2, 2, 2\), .*vmap'):
    assemble(peaks, **pairs, limbs=((0, 1), (1, 2)), max_people=2)


def test_plain_lists_are_matched():
  np.testing.assert_array_equal(match_limbs([[[0.9, 0.8], [0.7, 0.1]]]), [np.eye(2)])


any_float = st.floats(width=32) | st.sampled_from([0, 0.5, 1])


@given(
  hnp.arrays(np.float32, (4, 5, 3), elements=any_float),
  hnp.arrays(np.float32, (4, 5, 4), elements=any_float),
)
def test_any_maps_give_finite_people(heatmaps, pafs):
  ours = group_any(heatmaps, pafs, limbs=((0, 1), (1, 2)), max_people=5, max_peaks=3)
  ours = jax.tree.map(np.asarray, ours)
  for field in ours:
    assert np.all(np.isfinite(field))
  assert np.all(ours.visible.sum(1)[ours.valid] == 3)
  assert np.all((ours.joints >= -0.5) & (ours.joints <= 39.5))


def test_no_limbs_are_single_joints():
  heatmaps = np.zeros((4, 4, 2), np.float32)
  heatmaps[1, 1, 0] = heatmaps[2, 3, 1] = 0.8
  pafs = np.zeros((4, 4, 0), np.float32)
  assert not np.any(group_any(heatmaps, pafs, limbs=(), max_people=3, max_peaks=2).valid)
  ours = group_any(heatmaps, pafs, limbs=(), max_people=3, max_peaks=2, min_parts=1)
  np.testing.assert_array_equal(ours.visible, [[True, False], [False, True], [False, False]])
