"""Parcels: what comes back, how large files are, and what is refused."""

import hashlib
import json
import pathlib

import ml_collections
import numpy as np
import pytest

from posejax import command
from posejax import transfer as entry
from posejax.methods.base import Interval, Method, Product, StagePlan
from posejax.training import finished, products, transfer
from posejax.training.checkpoints import CheckpointError

CONFIG = ml_collections.ConfigDict({'seed': 0, 'width': 3})


def never(config, inputs):
  raise AssertionError('nothing is made here')


METHOD = Method('parcels', rules={'seed': Interval(0, 9), 'width': Interval(1, 9)}, stages=(
  StagePlan('images_a', ('seed',), make=never),
  StagePlan('teacher', ('width',), ('images_a',), make=never, scaffold=lambda c: ('Disc',)),
  StagePlan('later', ('width',), ('teacher',), make=never),
))
PLACES = finished.folders(METHOD, CONFIG, pathlib.Path('nowhere'))
STAGE = PLACES['teacher'].name


@pytest.fixture
def cache(tmp_path):
  rng = np.random.default_rng(0)
  product = Product(
    {'E': {'conv': {'kernel': rng.normal(size=(3, 40, 50)).astype(np.float32)}},
     'F': {'conv': {'kernel': rng.normal(size=(9000,)).astype(np.float32)}},
     'Disc': {'kernel': np.ones(7, np.float32)}},
    {'E': {'mean': np.ones(4, np.float32)}}, {'images': np.zeros((3, 2), np.uint8)},
  )
  products.save(tmp_path / 'cache' / STAGE, product)
  # Pictures have no networks: they are drawn again. The stage of another config is not ours.
  products.save(tmp_path / 'cache' / PLACES['images_a'].name, Product(arrays=product.arrays))
  products.save(tmp_path / 'cache' / 'teacher-0123456789ab', product)
  return tmp_path / 'cache'


def pack(cache, target, **limits):
  return transfer.pack(METHOD, CONFIG, cache.parent, target, cache, **limits)


def unpack(parcel, cache, config=CONFIG):
  return transfer.unpack(METHOD, config, cache.parent / 'run', parcel, cache)


def test_networks_come_back_in_bfloat16(cache, tmp_path):
  names = pack(cache, tmp_path / 'parcel', most_bytes=27_000)
  # 12,000 and 18,000 bytes and 8, each with 1 KiB of room: no two large ones fit one file.
  assert names == [f'{STAGE}.{i}.npz' for i in range(2)]
  assert all((tmp_path / 'parcel' / name).stat().st_size <= 27_000 for name in names)
  assert unpack(tmp_path / 'parcel', tmp_path / 'other') == [STAGE]
  before, after = (products.load(folder / STAGE) for folder in (cache, tmp_path / 'other'))
  assert not after.arrays and set(after.params) == {'E', 'F'}  # Disc is of its training alone
  for network in ('E', 'F'):
    a, b = (p.params[network]['conv']['kernel'] for p in (before, after))
    assert b.dtype == np.float32 and a.shape == b.shape
    # Eight bits of mantissa: half of 2^-8.
    np.testing.assert_allclose(a, b, rtol=2**-8)
    assert (a != b).any()
  np.testing.assert_array_equal(after.batch_stats['E']['mean'], np.ones(4))


def test_files_are_no_larger_than_said(cache, tmp_path):
  product = products.load(cache / STAGE)
  flat = transfer.networks(METHOD.plan('teacher'), CONFIG, product.params, product.batch_stats)
  pack(cache, tmp_path / 'parcel')
  (path,) = (tmp_path / 'parcel').glob('*.npz')
  assert 2 * (6000 + 9000 + 4) < path.stat().st_size <= transfer.size_of(flat) <= 34_000


def test_too_much_together_is_refused(cache, tmp_path):
  with pytest.raises(transfer.TransferError, match=rf'more than a parcel may have.*{STAGE} \d+'):
    pack(cache, tmp_path / 'parcel', most_together=30_000)
  assert not (tmp_path / 'parcel').exists()


def test_nothing_is_overwritten(cache, tmp_path):
  pack(cache, tmp_path / 'parcel')
  with pytest.raises(transfer.TransferError, match='is there already'):
    pack(cache, tmp_path / 'parcel')
  kept = products.load(cache / STAGE).params['F']['conv']['kernel']
  unpack(tmp_path / 'parcel', cache)
  np.testing.assert_array_equal(products.load(cache / STAGE).params['F']['conv']['kernel'], kept)


def remove_one(parcel):
  (parcel / f'{STAGE}.1.npz').unlink()


def cut_one(parcel):
  path = parcel / f'{STAGE}.1.npz'
  path.write_bytes(path.read_bytes()[:-1])


def add_one(parcel):
  np.savez(parcel / f'{STAGE}.2.npz', **{'params/G': np.zeros(2, np.uint16)})


def remove_manifest(parcel):
  (parcel / 'manifest.json').unlink()


def cut_manifest(parcel):
  (parcel / 'manifest.json').write_text('{"files": {')


def shorten_manifest(parcel):
  content = json.loads((parcel / 'manifest.json').read_text())
  content['files'].pop(f'{STAGE}.1.npz')
  (parcel / 'manifest.json').write_text(json.dumps(content))


@pytest.mark.parametrize(
  ('harm', 'message'),
  [
    (remove_one, r'1.npz: missing, 1 of 2 files are here'), (cut_one, '1.npz: not as it was pack'),
    (add_one, '2.npz: not of this parcel'), (remove_manifest, 'manifest.json: not there'),
    (cut_manifest, 'manifest.json: damaged'), (shorten_manifest, r'damaged \(it lists 1 files'),
  ],
)
def test_a_parcel_that_is_not_whole_is_refused(cache, tmp_path, harm, message):
  pack(cache, tmp_path / 'parcel', most_bytes=27_000)
  harm(tmp_path / 'parcel')
  with pytest.raises(transfer.TransferError, match=message):
    unpack(tmp_path / 'parcel', tmp_path / 'other')
  assert not (tmp_path / 'other').exists()


@pytest.mark.parametrize(
  ('name', 'arrays', 'message'),
  [
    ('note.npz', {}, 'not the name of a parcel'),
    (f'{STAGE}.0.npz', None, 'cannot be read'),
    (f'{STAGE}.0.npz', {'params/E': np.zeros(3)}, 'no array of a network'),
    (f'{STAGE}.0.npz', {'other/E': np.zeros(3, np.uint16)}, 'no array of a network'),
    (f'{STAGE}.0.npz', {'params/E': np.array([0x7FC0], np.uint16)}, 'not finite'),
    (f'{STAGE}.0.npz', {'params/E': np.array([{}], object)}, 'cannot be read'),
  ],
)
def test_bad_parcels_are_refused(tmp_path, name, arrays, message):
  parcel = tmp_path / 'parcel'
  parcel.mkdir()
  if arrays is None:
    (parcel / name).write_bytes(b'PK\3\4 but no archive')
  else:
    np.savez(parcel / name, **arrays)
  digest = hashlib.sha256((parcel / name).read_bytes()).hexdigest()
  (parcel / 'manifest.json').write_text(json.dumps({'count': 1, 'files': {name: digest}}))
  with pytest.raises(transfer.TransferError, match=message):
    unpack(parcel, tmp_path / 'cache')
  assert not (tmp_path / 'cache').exists()


def test_a_parcel_of_another_config_is_refused(cache, tmp_path):
  pack(cache, tmp_path / 'parcel')
  wider = ml_collections.ConfigDict({'seed': 0, 'width': 4})
  with pytest.raises(transfer.TransferError, match=rf'{STAGE}.0.npz: of no stage of this config'):
    unpack(tmp_path / 'parcel', tmp_path / 'other', wider)
  assert not (tmp_path / 'other').exists()


def test_an_empty_cache_is_an_error(tmp_path):
  with pytest.raises(transfer.TransferError, match='nothing was packed'):
    pack(tmp_path / 'cache', tmp_path / 'parcel')


def raises(error):
  def act(*given):
    raise error

  return act


@pytest.mark.parametrize(
  ('error', 'line'),
  [
    (transfer.TransferError('x: why'), 'x: why'), (CheckpointError('y: damaged'), 'y: damaged'),
    (OSError(28, 'No space left on device', '/full/a.npz'),
     '/full/a.npz: No space left on device; free space, or choose another folder'),
  ],
)
def test_what_users_can_mend_is_one_line(tmp_path, monkeypatch, capsys, error, line):
  monkeypatch.setattr(command, 'method_of', lambda config: METHOD)
  monkeypatch.setattr(transfer, 'pack', raises(error))
  monkeypatch.setattr(transfer, 'unpack', raises(error))
  given = command.Run(CONFIG, tmp_path, None, '')
  for act in ('pack', 'unpack'):
    assert entry.run(given, act, tmp_path / 'parcel') == 2
    assert capsys.readouterr().err == f'posejax.transfer: {line}\n'
