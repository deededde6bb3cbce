"""The BVH parser and its kinematics: hand calculation, SciPy as the other engine, and bad files."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation

from posejax.data import bvh as bvh_lib
from posejax.data import bvh_kinematics
from posejax.data.bvh import BvhError

SMALL = """HIERARCHY
ROOT Hips
{
  OFFSET 0 0 0
  CHANNELS 6 Xposition Yposition Zposition Zrotation Xrotation Yrotation
  JOINT Chest
  {
    OFFSET 0 5 0
    CHANNELS 3 Yrotation Zrotation Xrotation
    End Site
    {
      OFFSET 0 2 0
    }
  }
}
MOTION
Frames: 3
Frame Time: 0.04
1 2 3 0 0 0 0 0 0
0 0 0 90 0 0 0 90 0
0 0 0 90 90 0 0 0 0
"""


def parse(text):
  return bvh_lib.parse_bvh(text.encode(), 'walk.bvh')


def positions_by_scipy(bvh, add=False):
  """FK with homogeneous 4x4 matrices, frame by frame, node by node."""
  result = []
  for row in bvh.motion:
    values, world = list(row), []
    for node, (parent, channels) in enumerate(zip(bvh.parents, bvh.channels, strict=True)):
      taken = [values.pop(0) for _ in channels]
      local = np.eye(4)
      local[:3, 3] = bvh.offsets[node]
      turns = [(c[0], v) for c, v in zip(channels, taken, strict=True) if c.endswith('rotation')]
      for channel, value in zip(channels, taken, strict=True):
        if channel.endswith('position'):
          axis = 'XYZ'.index(channel[0])
          local[axis, 3] = value + (local[axis, 3] if add else 0)
      if turns:
        # Upper case letters: intrinsic, in the order of the channels.
        order, angles = ''.join(t[0] for t in turns), [t[1] for t in turns]
        local[:3, :3] = Rotation.from_euler(order, angles, degrees=True).as_matrix()
      world.append(local if parent < 0 else world[parent] @ local)
    result.append([matrix[:3, 3] for matrix in world])
  return np.array(result)


def test_small_file():
  bvh = parse(SMALL)
  assert bvh.names == ('Hips', 'Chest', 'Chest_end')
  assert bvh.parents == (-1, 0, 1)
  assert bvh.channels[1] == ('Yrotation', 'Zrotation', 'Xrotation') and bvh.channels[2] == ()
  assert bvh.frame_time == 0.04 and bvh.motion.shape == (3, 9)
  # Frame 0: nothing turned, the end site 5 + 2 above the hips at (1, 2, 3).
  # Frame 1: Hips turn y onto -x, so the chest is at (-5, 0, 0); the chest's second channel, Z,
  #   turns 90° more, y onto -y: the end is 2 below it.
  # Frame 2: Z 90 then X 90, so R = Rz Rx: (0, 5, 0) -> Rx -> (0, 0, 5) -> Rz -> (0, 0, 5).
  expected = [
    [[1, 2, 3], [1, 7, 3], [1, 9, 3]],
    [[0, 0, 0], [-5, 0, 0], [-5, -2, 0]],
    [[0, 0, 0], [0, 0, 5], [0, 0, 7]],
  ]
  np.testing.assert_allclose(bvh_kinematics.world_positions(bvh), expected, atol=1e-12)


def test_channel_order_matters():
  # X 90 then Z 90, R = Rx Rz: (0, 5, 0) -> Rz -> (-5, 0, 0) -> Rx -> (-5, 0, 0).
  bvh = parse(SMALL.replace('Zrotation Xrotation Yrotation', 'Xrotation Zrotation Yrotation'))
  np.testing.assert_allclose(bvh_kinematics.world_positions(bvh)[2, 1], [-5, 0, 0], atol=1e-12)


CHANNELS = [f'{axis}{kind}' for axis in 'XYZ' for kind in ('position', 'rotation')]


@st.composite
def random_files(draw):
  """A random tree with random channels in random order, as (text)."""
  seed = draw(st.integers(0, 2**32 - 1))
  rng = np.random.default_rng(seed)
  count, lines, width = 0, [], 0

  def numbers(n, scale=20.0):
    return ' '.join(f'{x:.4f}' for x in rng.normal(size=n) * scale)

  def node(depth):
    nonlocal count, width
    count += 1
    channels = rng.permutation(CHANNELS)[: rng.integers(0 if depth else 1, 7)].tolist()
    width += len(channels)
    lines.extend([f'{"JOINT" if depth else "ROOT"} n{count}', '{', f'OFFSET {numbers(3)}',
                  f'CHANNELS {len(channels)} {" ".join(channels)}'])
    for _ in range(rng.integers(0, 3) if depth < 4 else 0):
      node(depth + 1)
    if rng.random() < 0.5:
      lines.extend(['End Site', '{', f'OFFSET {numbers(3)}', '}'])
    lines.append('}')

  node(0)
  rows = [numbers(width, 90.0) for _ in range(2)]
  return '\n'.join(['HIERARCHY', *lines, 'MOTION', 'Frames: 2', 'Frame Time: 0.01', *rows, ''])


@given(random_files(), st.sampled_from(['replace', 'add']))
@settings(max_examples=30)
def test_kinematics_against_scipy(text, position_channels):
  bvh = parse(text)
  expected = positions_by_scipy(bvh, add=position_channels == 'add')
  np.testing.assert_allclose(
    bvh_kinematics.world_positions(bvh, position_channels), expected, atol=1e-9
  )


def test_long_motions_go_in_chunks(monkeypatch):
  bvh = parse(SMALL)
  whole = bvh_kinematics.world_positions(bvh)
  monkeypatch.setattr(bvh_kinematics, '_CHUNK', 2)
  np.testing.assert_array_equal(bvh_kinematics.world_positions(bvh), whole)


def test_with_site_moves_with_its_node():
  bvh = bvh_kinematics.with_site(parse(SMALL), 1, np.array([0.0, 2.0, 0.0]), 'same')
  positions = bvh_kinematics.world_positions(bvh)
  assert bvh.names[-1] == 'same'
  np.testing.assert_array_equal(positions[:, 3], positions[:, 2])


@pytest.mark.parametrize('change', [
  lambda text: text.replace('\n', '\r\n'),
  lambda text: text.replace('\n', '\r'),
  lambda text: '\ufeff' + text,
  lambda text: text.replace('\n', '  \n\n').replace('  ', '\t'),
  lambda text: text.replace('\n{', ' {').replace('Xposition', 'XPOSITION'),
  lambda text: text.replace('Frames: 3', 'Frames:\t3').replace('Frame Time: ', 'Frame Time:'),
  lambda text: text + '\n \n',
  lambda text: text.rstrip('\n'),
  lambda text: text.replace('1 2 3', '+1 2. 0.3e1'),
])
def test_harmless_variants(change):
  expected, got = parse(SMALL), parse(change(SMALL))
  np.testing.assert_array_equal(got.motion, expected.motion)
  assert got[:2] == expected[:2] and got.channels == expected.channels


def test_names_with_blanks_and_several_end_sites():
  end = '    End Site\n    {\n      OFFSET 0 2 0\n    }\n'
  bvh = parse(SMALL.replace('JOINT Chest', 'JOINT Upper chest').replace(end, 2 * end))
  assert bvh.names == ('Hips', 'Upper chest', 'Upper chest_end', 'Upper chest_end2')


# What is changed in SMALL (old, new), the line of the fault, and what the message says of it.
BAD = {
  'empty': ((SMALL, ''), 1, 'MOTION'),
  'other file': (('HIERARCHY', '%PDF-1.4'), 1, 'expected HIERARCHY'),
  'no root': (('ROOT', 'JOINT'), 2, 'expected ROOT'),
  'no name': (('ROOT Hips', 'ROOT'), 3, 'without a name'),
  'no brace': (('Hips\n{', 'Hips\n' + 'x ' * 9), 3, 'no brace'),
  'two names': (('Chest', 'Hips'), 7, "two joints are called 'Hips'"),
  'no offset': (('  OFFSET 0 0 0\n', ''), 6, 'no OFFSET before'),
  'no end offset': (('OFFSET 0 2 0', ''), 13, 'has no OFFSET'),
  'two offsets': (('OFFSET 0 5 0', 'OFFSET 0 5 0 OFFSET 0 0 0'), 8, 'second OFFSET'),
  'short offset': (('OFFSET 0 5 0', 'OFFSET 0 5'), 9, "expected a number, got 'CHANNELS'"),
  'nan offset': (('OFFSET 0 5 0', 'OFFSET 0 nan 0'), 8, "'nan'"),
  'huge offset': (('OFFSET 0 5 0', 'OFFSET 0 1e300 0'), 8, "'1e300'"),
  'python number': (('OFFSET 0 5 0', 'OFFSET 0 5_0 0'), 8, "'5_0'"),
  'no channels': (('    CHANNELS 3 Yrotation Zrotation Xrotation\n', ''), 13, 'no CHANNELS'),
  'two channels': (('    End Site', 'CHANNELS 0\n End Site'), 10, 'second CHANNELS'),
  'count': (('CHANNELS 3', 'CHANNELS 7'), 9, '0 to 6'),
  'count not a number': (('CHANNELS 3', 'CHANNELS x'), 9, '0 to 6'),
  'count too small': (('CHANNELS 3', 'CHANNELS 2'), 9, "'Xrotation' has no place"),
  'count too large': (('CHANNELS 3', 'CHANNELS 4'), 10, "'End' in 'Chest' is no channel"),
  'channel': (('Yrotation Zrotation', 'Wrotation Zrotation'), 9, "'Wrotation'"),
  'channel twice': (('Yrotation Zrotation', 'Zrotation Zrotation'), 9, 'twice'),
  'channels of end': (('OFFSET 0 2 0', 'OFFSET 0 2 0 CHANNELS 0'), 12, 'no place'),
  'end of nothing': (('End Site', 'End Effector'), 10, 'expected Site'),
  'unclosed': (('}\nMOTION', 'MOTION'), 14, 'hierarchy ends'),
  'closed twice': (('}\nMOTION', '}\n}\nMOTION'), 16, 'after the end'),
  'two roots': (('}\nMOTION', '}\nROOT a\n{\n}\nMOTION'), 16, 'second ROOT'),
  'no motion': (('MOTION', ''), 21, 'without a MOTION'),
  'nothing after motion': ((SMALL[SMALL.index('Frames'):], ''), 16, 'before "Frames:"'),
  'no frames line': (('Frames: 3\n', ''), 17, 'expected "Frames:'),
  'frames': (('Frames: 3', 'Frames: -3'), 17, 'expected "Frames:'),
  'no frame': (('Frames: 3', 'Frames: 0'), 17, '0 frames'),
  'frame flood': (('Frames: 3', 'Frames: 999999999'), 17, 'more than'),
  'no time line': (('Frame Time: 0.04\n', ''), 18, 'expected "Frame Time:'),
  'time zero': (('0.04', '0'), 18, 'Frame Time must'),
  'time negative': (('0.04', '-0.04'), 18, 'Frame Time must'),
  'time nan': (('0.04', 'nan'), 18, 'Frame Time must'),
  'truncated': (('0 0 0 90 90 0 0 0 0\n', ''), 20, 'ends after 2'),
  'too long': (('Frames: 3', 'Frames: 2'), 21, 'one more line'),
  'short row': (('0 0 0 90 0 0', '0 0 0 90 0'), 20, '8 numbers where the hierarchy has 9'),
  'long row': (('0 0 0 90 0 0', '0 0 0 90 0 0 7'), 20, '10 numbers'),
  'bad number': (('0 0 0 90 90', '0 0 0 9.0.0 90'), 21, "column 4: expected a finite number"),
  'nan': (('0 0 0 90 90', '0 0 0 nan 90'), 21, 'column 4'),
  'infinity': (('0 0 0 90 90', '0 0 0 -inf 90'), 21, 'column 4'),
  'overflow': (('0 0 0 90 90', '0 0 0 1e999 90'), 21, 'column 4'),
  'comment': (('0 0 0 90 90', '# 0 0 90 90'), 21, 'column 1'),
  'comma': (('0 0 0 90 90', '0 0 0 90,5 90'), 21, 'column 4'),
  'nul': (('Chest', 'Ch\0st'), 6, 'NUL'),
  # A megabyte each: minutes, unless they are read in linear time.
  'long offset': (('OFFSET 0 5 0', f'OFFSET 0 {"1" * 2**20}x 0'), 8, 'expected a number'),
  'long fraction': (('OFFSET 0 5 0', f'OFFSET 0 1.{"1" * 2**20}x 0'), 8, 'expected a number'),
  'long exponent': (('OFFSET 0 5 0', f'OFFSET 0 1e{"1" * 2**20}x 0'), 8, 'expected a number'),
  'many digits': (('OFFSET 0 5 0', f'OFFSET 0 {"1" * 2**20} 0'), 8, 'expected a number'),
  'long cell': (('0 0 0 90 90', f'0 0 0 {"1" * 2**20}x 90'), 21, 'column 4'),
}


@pytest.mark.parametrize('case', BAD)
def test_bad_files_name_their_line(case):
  (old, new), line, reason = BAD[case]
  assert old in SMALL
  with pytest.raises(BvhError) as caught:
    parse(SMALL.replace(old, new, 1))
  message = str(caught.value)
  assert caught.value.line == line, message
  assert reason in message and message.startswith(f'walk.bvh:{line}: ') and '\n' not in message


def test_bytes_that_are_no_text():
  with pytest.raises(BvhError, match=r'walk.bvh:6: byte 0xff is not UTF-8'):
    bvh_lib.parse_bvh(SMALL.encode().replace(b'Chest', b'\xff'), 'walk.bvh')


def nested(depth):
  """A chain of joints, in one line each."""
  opening = [f'JOINT n{i} {{ OFFSET 0 0 0 CHANNELS 0' for i in range(depth)]
  root = 'ROOT r { OFFSET 0 0 0 CHANNELS 1 Xposition'
  return '\n'.join(['HIERARCHY', root, *opening, '}' * (depth + 1), 'MOTION', 'Frames: 1',
                    'Frame Time: 1', '0', ''])


def test_sizes_are_capped(monkeypatch):
  assert len(parse(nested(bvh_lib.MAX_DEPTH - 1)).names) == bvh_lib.MAX_DEPTH
  with pytest.raises(BvhError, match=f':{bvh_lib.MAX_DEPTH + 2}: joints nested more than'):
    parse(nested(bvh_lib.MAX_DEPTH))
  with pytest.raises(BvhError, match='nested more than'):
    parse(nested(100_000))
  flat = ''.join(f'JOINT n{i} {{ OFFSET 0 0 0 CHANNELS 0 }}\n' for i in range(2000))
  with pytest.raises(BvhError, match='more than 1024 joints'):
    parse(SMALL.replace('  JOINT Chest', flat + '  JOINT Chest'))
  with pytest.raises(BvhError, match='no MOTION line in the first'):
    parse('HIERARCHY ' + ' ' * bvh_lib.MAX_HIERARCHY_BYTES + SMALL)
  monkeypatch.setattr(bvh_lib, 'MAX_LINES', 10)
  with pytest.raises(BvhError, match='more than 10 lines'):
    parse(SMALL)
  monkeypatch.setattr(bvh_lib, 'MAX_FILE_BYTES', 100)
  with pytest.raises(BvhError, match='larger than 100 bytes'):
    parse(SMALL)


def test_endless_files_are_not_read_to_the_end(monkeypatch):
  monkeypatch.setattr(bvh_lib, 'MAX_FILE_BYTES', 1000)
  with pytest.raises(BvhError, match='/dev/zero: larger than 1000 bytes'):
    bvh_lib.read_bvh('/dev/zero')


def test_no_channels_at_all():
  with pytest.raises(BvhError, match='no joint has a channel'):
    parse('HIERARCHY\nROOT a\n{\nOFFSET 0 0 0\nCHANNELS 0\n}\nMOTION\nFrames: 1\nFrame Time: 1\n\n')


def test_messages_stay_short_on_one_line():
  with pytest.raises(BvhError) as caught:
    parse(SMALL.replace('Yrotation Zrotation', 'é' * 10_000 + ' Zrotation'))
  assert len(str(caught.value)) < 400 and str(caught.value).isascii()


def mutate(data, rng):
  """A few random edits: bytes changed, cut out, doubled, lines swapped, the end cut off."""
  data = bytearray(data)
  for _ in range(rng.integers(1, 4)):
    at = int(rng.integers(0, max(len(data), 1)))
    size = int(rng.integers(1, 12))
    kind = rng.integers(0, 6)
    if kind == 0 and data:
      data[at] = rng.integers(0, 256)
    elif kind == 1:
      del data[at : at + size]
    elif kind == 2:
      data[at:at] = data[at : at + size]
    elif kind == 3:
      data[at:at] = bytes(rng.choice(list(b'{}\n 0e9-.\r\0nMOTION')) for _ in range(size))
    elif kind == 4:
      lines = data.split(b'\n')
      a, b = rng.integers(0, len(lines), 2)
      lines[a], lines[b] = lines[b], lines[a]
      data = bytearray(b'\n').join(lines)
    else:
      del data[at:]
  return bytes(data)


def test_mutated_files_give_an_error_or_finite_positions():
  sound = 0
  for seed in range(600):
    data = mutate(SMALL.encode(), np.random.default_rng(seed))
    try:
      bvh = bvh_lib.parse_bvh(data, 'walk.bvh')
    except BvhError as error:
      assert '\n' not in str(error)
    else:
      assert np.all(np.isfinite(bvh_kinematics.world_positions(bvh)))
      sound += 1
  assert 10 < sound < 500
