"""`posejax.export`: an artefact that gives what the run gives, for any batch, or nothing at all."""

import json
import pathlib
import runpy

import jax
import jax.export
import numpy as np
import pytest

from posejax import export, infer
from posejax.benchmarks import students
from posejax.geometry.skeleton import J15
from posejax.inference import checkpoint as checkpoint_lib
from posejax.inference import exporting
from posejax.methods import crossmodal
from posejax.methods.base import People, Product
from posejax.training import products, stages
from posejax.training.stages import WorkdirError


@pytest.fixture(scope='module')
def checkpoint(tmp_path_factory):
  """A run of toy size with random networks that find people; nothing is trained."""
  workdir = tmp_path_factory.mktemp('run')
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.align.root_threshold = 0.01
  stages.claim(workdir, config)
  params = students.random_networks(config)
  params['F'] = jax.tree.map(lambda x: x + 0.05, params['F'])
  made = {
    'teacher': Product({name: params[name] for name in ('E', 'F')}),
    'prior': Product({'Psi': params['Psi']}), 'align': Product({'H': params['H']}),
    'refine': Product(),
  }
  keys = stages.stage_keys(crossmodal.METHOD, config)
  for name, product in made.items():
    products.save(workdir / 'stages' / f'{name}-{keys[name]}', product)
  return workdir


def test_mirror_images_by_the_option(checkpoint):
  picture = images(1)
  predictor = infer.load(checkpoint, batch=2, mirror=True)
  people = predictor(np.concatenate([picture, picture[:, :, ::-1]]))
  # What no network of random weights does by itself: the picture's mirror image has the mirrored
  # people.
  (first, other), order = people.joints_relative, list(J15.flip_permutation)
  assert people.valid.any() and np.array_equal(*people.valid)
  np.testing.assert_allclose(
    other[:, order][people.valid[0]] * (-1, 1, 1), first[people.valid[0]], atol=0.05
  )


def test_results_know_whether_mirror_images_were_looked_at(checkpoint):
  run = checkpoint_lib.load(checkpoint, {'crossmodal': crossmodal.METHOD})
  mirrored = checkpoint_lib.mirrored(run, True)
  assert mirrored.config.infer.mirror and mirrored.record() == run.record() | {'mirror': True}
  again = checkpoint_lib.mirrored(mirrored, False)
  assert not again.config.infer.mirror and again.record() == run.record()


def test_mirror_images_are_no_other_run(checkpoint):
  config = runpy.run_path('configs/unsup.py')['get_config']('smoke').unlock()
  config.align.root_threshold, config.infer.mirror = 0.01, True
  stages.claim(checkpoint, config, method=crossmodal.METHOD)
  config.align.root_threshold = 0.02
  with pytest.raises(WorkdirError, match='another config'):
    stages.claim(checkpoint, config, method=crossmodal.METHOD)


@pytest.fixture(scope='module')
def exported(checkpoint, tmp_path_factory):
  path = tmp_path_factory.mktemp('export') / 'pose.jaxexport'
  assert export.run(checkpoint, path) == 0
  return path


def images(count):
  return np.random.default_rng(1).integers(0, 256, (count, 64, 64, 3), np.uint8)


def test_any_batch_is_as_the_run(checkpoint, exported):
  read = jax.export.deserialize(exported.read_bytes())
  assert read.platforms == ('cpu', 'cuda', 'tpu')
  predictor = infer.load(checkpoint, batch=2)
  # A size that `exporting.check` does not try.
  got, wanted = read.call(images(2)), predictor(images(2))
  assert set(got) == set(People._fields) and wanted.valid.any()
  for name in People._fields:
    # Pictures of the network's own size: the view is the picture, the camera the fixed one.
    np.testing.assert_allclose(
      np.asarray(got[name])[wanted.valid], getattr(wanted, name)[wanted.valid], rtol=1e-3,
      atol=0.05, err_msg=name)


def test_what_stands_beside_it(exported):
  record = json.loads(exported.with_name('pose.jaxexport.json').read_text())
  assert record['inputs']['images']['shape'] == ['b', 64, 64, 3]
  assert record['outputs']['joints_camera'] == {
    'shape': ['b', '2', '15', '3'], 'dtype': 'float32', 'unit': 'mm'}
  assert record['outputs']['valid'] == {'shape': ['b', '2'], 'dtype': 'bool', 'unit': ''}
  assert record['joints'][0] == record['root'] == 'pelvis'
  assert record['camera']['focal_px'] == 64 and record['platforms'] == ['cpu', 'cuda', 'tpu']
  assert 0 <= record['parity']['largest_difference_mm_px'] <= 0.05


def test_nothing_is_overwritten(checkpoint, exported, capsys):
  before = exported.read_bytes()
  assert export.run(checkpoint, exported) == 2
  assert 'pose.jaxexport: is there already' in capsys.readouterr().err
  assert exported.read_bytes() == before


def people():
  rng = np.random.default_rng(0)
  return People(
    np.zeros((1, 2), np.int32), np.ones((1, 2)), rng.normal(size=(1, 2, 15, 2)),
    rng.normal(size=(1, 2, 15, 3)), rng.normal(size=(1, 2, 15, 3)), np.ones((1, 2)),
    np.ones((1, 2, 15), bool), np.array([[True, False]]),
  )


def test_differences_are_those_of_people_who_are_there():
  one = people()
  moved = one.joints_camera.copy()
  moved[0, 1] += 9  # nobody's
  moved[0, 0, 3, 2] += 0.03
  assert exporting.difference(one._replace(joints_camera=moved), one) == pytest.approx(0.03)
  nobody = one._replace(valid=np.zeros((1, 2), bool))
  with pytest.raises(exporting.ExportError, match='differ by 9 in joints_camera'):
    exporting.difference(nobody._replace(joints_camera=moved), nobody)


@pytest.mark.parametrize(('change', 'words'), [
  ({'depth': np.full((1, 2), 1.1)}, 'differ by 0.1 in depth'),
  ({'depth': np.full((1, 2), np.nan)}, 'differ by nan in depth'),
  ({'valid': np.ones((1, 2), bool)}, 'differ in valid'),
  ({'score': np.ones((1, 3))}, r'gives score as float64\(1, 3\)'),
])
def test_what_differs_is_refused(change, words):
  with pytest.raises(exporting.ExportError, match=words):
    exporting.difference(people()._replace(**change), people())


def test_an_artefact_that_differs_is_not_written(tmp_path, capsys, monkeypatch):
  class Made:
    def serialize(self):
      return b'x'

  def differ(run, data):
    raise exporting.ExportError('the artefact and the run differ in valid; nothing was written')

  monkeypatch.setattr(export.checkpoint_lib, 'load', lambda *unused: None)
  monkeypatch.setattr(exporting, 'artefact', lambda run, platforms: Made())
  monkeypatch.setattr(exporting, 'check', differ)
  assert export.run(tmp_path, tmp_path / 'a.jaxexport') == 2
  assert capsys.readouterr().err.count('\n') == 1 and not list(tmp_path.iterdir())


@pytest.mark.parametrize(('error', 'code', 'words'), [
  (WorkdirError('stages/fit: of another version'), 2, 'stages/fit: of another version'),
  (KeyboardInterrupt(), 130, 'stopped; nothing was written'),
])
def test_what_the_user_can_mend_is_one_line(tmp_path, capsys, monkeypatch, error, code, words):
  def fail(*unused):
    raise error

  monkeypatch.setattr(export.checkpoint_lib, 'load', fail)
  assert export.run(tmp_path, tmp_path / 'a.jaxexport') == code
  assert capsys.readouterr().err == f'posejax.export: {words}\n' and not list(tmp_path.iterdir())


@pytest.mark.parametrize(('platforms', 'words'), [
  (('cpu', 'abacus'), '--platforms: choose of cpu,cuda,tpu'), (('cpu',), 'no run is here'),
])
def test_wrong_wishes(tmp_path, capsys, platforms, words):
  assert export.run(tmp_path, pathlib.Path(tmp_path, 'a'), platforms=platforms) == 2
  assert export.run(tmp_path, pathlib.Path(tmp_path, 'a' * 300), platforms=platforms) == 2
  assert words in capsys.readouterr().err
