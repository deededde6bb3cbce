"""Parcels: what comes back, how large files are, and what is refused."""

import numpy as np
import pytest

from posejax.methods.base import Product
from posejax.training import products, transfer

STAGE = 'teacher-0123456789ab'


@pytest.fixture
def cache(tmp_path):
  rng = np.random.default_rng(0)
  product = Product(
    {'E': {'conv': {'kernel': rng.normal(size=(3, 40, 50)).astype(np.float32)}},
     'F': {'conv': {'kernel': rng.normal(size=(9000,)).astype(np.float32)}}},
    {'E': {'mean': np.ones(4, np.float32)}}, {'images': np.zeros((3, 2), np.uint8)},
  )
  products.save(tmp_path / 'cache' / STAGE, product)
  # Pictures have no networks: they are drawn again.
  products.save(tmp_path / 'cache' / 'images_a-0123456789ab', Product(arrays=product.arrays))
  return tmp_path / 'cache'


def test_networks_come_back_in_bfloat16(cache, tmp_path):
  names = transfer.pack(cache, tmp_path / 'parcel', most_bytes=27_000)
  # 12,000 and 18,000 bytes and 8, each with 4 KiB of room: no two large ones fit one file.
  assert names == [f'{STAGE}.{i}.npz' for i in range(2)]
  assert all((tmp_path / 'parcel' / name).stat().st_size <= 27_000 for name in names)
  assert transfer.unpack(tmp_path / 'parcel', tmp_path / 'other') == [STAGE]
  before, after = (products.load(folder / STAGE) for folder in (cache, tmp_path / 'other'))
  assert not after.arrays
  for network in ('E', 'F'):
    a, b = (p.params[network]['conv']['kernel'] for p in (before, after))
    assert b.dtype == np.float32 and a.shape == b.shape
    # Eight bits of mantissa: half of 2^-8.
    np.testing.assert_allclose(a, b, rtol=2**-8)
    assert (a != b).any()
  np.testing.assert_array_equal(after.batch_stats['E']['mean'], np.ones(4))


def test_nothing_is_overwritten(cache, tmp_path):
  transfer.pack(cache, tmp_path / 'parcel')
  with pytest.raises(transfer.TransferError, match='is there already'):
    transfer.pack(cache, tmp_path / 'parcel')
  kept = products.load(cache / STAGE).params['F']['conv']['kernel']
  transfer.unpack(tmp_path / 'parcel', cache)
  np.testing.assert_array_equal(products.load(cache / STAGE).params['F']['conv']['kernel'], kept)


@pytest.mark.parametrize(
  ('name', 'arrays', 'message'),
  [
    ('note.npz', {}, 'not the name of a parcel'),
    (f'../{STAGE}.0.npz', None, 'no parcel in it'),
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
  with pytest.raises(transfer.TransferError, match=message):
    transfer.unpack(parcel, tmp_path / 'cache')
  assert not (tmp_path / 'cache').exists()


def test_an_empty_cache_is_an_error(tmp_path):
  with pytest.raises(transfer.TransferError, match='nothing was packed'):
    transfer.pack(tmp_path, tmp_path / 'parcel')
