"""Real motion capture: the Bandai-Namco clips of $POSEJAX_DATA (never part of this project)."""

import jax
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from posejax.data import mocap
from posejax.data.bvh import BvhError
from posejax.geometry import kinematics, limits
from posejax.geometry.skeleton import J17

# Share of real poses inside the limits, per cent, from the table of spec/kinematics.md.
TABLE = {'neck': 100, 'hip': 100, 'shoulder': 100, 'head_top': 98, 'elbow': 99, 'wrist': 99,
         'knee': 100, 'ankle': 99.8, 'foot': 98}

inside = jax.jit(jax.vmap(limits.inside_limits))


@pytest.fixture(scope='module')
def folder(posejax_data):
  path = posejax_data / 'mocap_bandai'
  if not path.is_dir():
    pytest.skip(f'no {path}')
  return path


@pytest.fixture(scope='module')
def clips(folder):
  return {clip.name.removeprefix('dataset-1_'): clip for clip in mocap.iterate_bvh(folder)}


def test_all_clips_load(clips):
  assert len(clips) == 174
  assert sum(len(clip.joints) for clip in clips.values()) == 31_914
  for clip in clips.values():
    assert clip.rig == 'Bandai' and clip.fps == 30 and clip.mm_per_unit == 10
    # Also where, as in 11 files, an exporter wrote an end site 10 cm from every last joint.
    assert clip.extrapolated == ('head_top',)
    assert np.all(np.isfinite(clip.joints)) and np.all(np.isfinite(clip.positions))


def test_positions_against_scipy(folder, clips):
  # One frame by another engine, straight from the text: every joint has 6 channels, Z X Y turns.
  name = 'walk_normal_001'
  text = (folder / f'dataset-1_{name}.bvh').read_text()
  values = np.array(text.splitlines()[-1].split(), float).reshape(-1, 6)
  clip, world, joint = clips[name], [], 0
  for node, parent in enumerate(clip.node_parents):
    matrix = np.eye(4)
    if not clip.node_names[node].endswith('_end'):
      matrix[:3, 3] = values[joint, :3]
      matrix[:3, :3] = Rotation.from_euler('ZXY', values[joint, 3:], degrees=True).as_matrix()
      joint += 1
    world.append(matrix if parent < 0 else world[parent] @ matrix)
  expected = np.array([(m[0, 3], -m[2, 3], m[1, 3]) for m in world]) * 10
  np.testing.assert_allclose(clip.positions[-1], expected, atol=1e-6)


def test_bodies_have_human_sizes(clips):
  heights = []
  for clip in clips.values():
    # Near the highest stand of the clip. Those who dash or are sad are bent all along.
    height = np.percentile(clip.joints[:, 2, 2] - clip.joints[:, :, 2].min(axis=1), 98)
    assert 1200 < height < 1800, clip.name
    heights.append(height)
    lengths = dict(zip(J17.joints, mocap.bone_lengths(clip), strict=True))
    # README of the data: thigh 39.1 cm in all.
    assert lengths['r_knee'] == pytest.approx(391, abs=1) == lengths['l_knee']
    # The lowest foot of a clip is near the floor (dash and walk are captured above it).
    assert abs(clip.joints[:, 15:, 2].min()) < 120, clip.name
  assert 1450 < np.median(heights) < 1650


def test_rigid_bones_keep_their_length(clips):
  parents = np.array(J17.parents)
  rigid = [j for j, name in enumerate(J17.joints) if name[2:] in (
    'elbow', 'wrist', 'hip', 'knee', 'ankle', 'foot')]
  for clip in clips.values():
    lengths = np.linalg.norm(clip.joints - clip.joints[:, parents], axis=-1)[:, rigid]
    assert np.max(np.ptp(lengths, axis=0)) < 0.1, clip.name


def test_walks_go_to_the_named_side(clips):
  def speed(name):
    """Mean velocity along the body's own forward, left and up, mm/s."""
    _, rotation = mocap.canonical_poses(clips[name])
    step = np.diff(clips[name].joints[:, 0], axis=0) * clips[name].fps
    return np.mean(np.einsum('td,tdc->tc', step, rotation[:-1]), axis=0)

  assert speed('walk_normal_001')[0] > 800
  assert speed('run_normal_001')[0] > 1500
  assert speed('walk-back_normal_001')[0] < -800
  # These walk forward and drift to a side.
  assert speed('walk-left_normal_001')[1] > 100
  assert speed('walk-right_normal_001')[1] < -100


def test_shares_inside_the_limits(clips):
  local = np.concatenate([mocap.local_poses(clip) for clip in clips.values()])
  shares = 100 * np.asarray(inside(local)).mean(axis=0)
  for name, share in zip(J17.joints[1:], shares[1:], strict=True):
    expected = TABLE[name[2:] if name[1] == '_' else name]
    assert share > expected - 1.5, f'{name}: {share:.1f} % inside, the table says {expected}'


@pytest.mark.parametrize('frame', ['robust', 'paper'])
def test_round_trip(clips, x64, frame):
  @jax.jit
  @jax.vmap
  def there_and_back(canonical):
    local = kinematics.local_from_canonical(canonical, J17, frame)
    lengths = kinematics.measure_bone_lengths(canonical)
    return kinematics.forward_kinematics(local, lengths, J17, frame)

  some = [clip for name, clip in clips.items() if '_normal_' in name]
  canonical = np.concatenate([mocap.canonical_poses(clip)[0] for clip in some])[::8][:512]
  # 1e-8 mm where a frame is near degenerate (spec/kinematics.md).
  np.testing.assert_allclose(there_and_back(canonical), canonical, atol=1e-8)
  assert len(canonical) == 512


def test_mutated_clips_give_an_error_or_a_clip(folder, tmp_path):
  data = (folder / 'dataset-1_call_normal_001.bvh').read_bytes()
  header = data.index(b'MOTION')
  path, outcomes = tmp_path / 'mutated.bvh', set()
  for seed in range(48):
    rng = np.random.default_rng(seed)
    broken = bytearray(data)
    for _ in range(rng.integers(1, 3)):
      # Half of the edits hit the small header.
      at = int(rng.integers(0, len(broken) if rng.random() < 0.5 else header))
      if rng.random() < 0.5:
        broken[at] = rng.integers(32, 127)
      else:
        del broken[at : at + int(rng.integers(1, 30))]
    path.write_bytes(broken)
    try:
      clip = mocap.load_bvh(path)
    except BvhError as error:
      assert '\n' not in str(error) and str(error).startswith(str(path))
      outcomes.add('error')
    else:
      assert np.all(np.isfinite(clip.joints))
      outcomes.add('clip')
  assert outcomes == {'error', 'clip'}
