"""The benchmark of inference: PyTorch's networks equal to ours, equal people, files to JSON."""

import dataclasses
import importlib.util
import json
import math

import jax
import numpy as np
import pytest
from PIL import Image

from posejax import command
from posejax.benchmarks import harness, infer, numpy_grouping, students, torch_crossmodal
from posejax.inference import checkpoint
from posejax.methods.crossmodal import infer as networks
from posejax.methods.crossmodal import teacher
from posejax.models.mobilenet_pose import DM14, Block

needs_torch = pytest.mark.skipif(not torch_crossmodal.available(), reason='PyTorch: extra `bench`')
TINY = dataclasses.replace(
  DM14, stem=4, blocks=(Block(3, expand=1), Block(4, 2), Block(4, 2), Block(6, 2)), fine=2, width=5,
  branch=7,
)


@pytest.fixture(scope='module')
def dm14():
  """A student of a narrow dm14 on pictures of 64 px: (config, networks)."""
  with pytest.MonkeyPatch.context() as patch:
    patch.setitem(teacher.PUBLISHED, 'dm14', (TINY, teacher.PUBLISHED['dm14'][1]))
    config = students.preset('real,smoke')
    yield config, students.random_networks(config)


@needs_torch
def test_pytorch_has_the_same_student(dm14):
  config, params = dm14
  model = networks.Model(config)
  assert model.h.roots and model.h.window
  images = np.random.default_rng(0).integers(0, 256, (2, 64, 64, 3), np.uint8)
  assert infer.torch_twin(model, params, images) is not None
  wrong = jax.tree.map(np.copy, params)
  wrong['H']['root']['bias'] += 100
  head = torch_crossmodal.TorchRoots(model.h, wrong['H'])
  encoder = infer.TorchMobilenetPose(TINY, {'E': params['E']})
  with pytest.raises(AssertionError):
    infer.require_same_roots(model, params, images, head(encoder.encode(images)[0]))


def test_groupings_find_the_people_that_are_drawn(monkeypatch):
  fixed = teacher.layout(students.preset('real'))
  sides = infer.groupings(fixed, 2, 224)
  for thunk in sides.values():
    thunk()
  found = []
  group = numpy_grouping.decode_vectorized
  monkeypatch.setattr(
    numpy_grouping, 'decode_vectorized', lambda *args: found.append(group(*args)) or found[-1]
  )
  infer.groupings(fixed, 2, 224)
  assert all(3 <= len(people) <= 6 for people in found[0])
  # Fewer people are not the same work.
  monkeypatch.setattr(
    numpy_grouping, 'decode_vectorized', lambda *args: [people[1:] for people in group(*args)]
  )
  with pytest.raises(AssertionError, match='persons'):
    infer.groupings(fixed, 2, 224)


def test_a_written_run_is_opened_as_a_trained_one(dm14, tmp_path):
  config, params = dm14
  run = checkpoint.load(students.write_run(tmp_path / 'run', config, params), command.METHODS)
  assert run.method.name == 'crossmodal-photos' and not run.products['refine'].params
  assert run.config.world.image_size == 64
  got = run.products['align'].params['H']
  jax.tree.map(np.testing.assert_array_equal, got, params['H'])


def test_photographs_are_of_a_cameras_size(tmp_path):
  folder = infer.write_photographs(tmp_path / 'photographs', 2)
  first, second = sorted(folder.iterdir())
  assert first.read_bytes() != second.read_bytes() and 50_000 < first.stat().st_size < 200_000
  with Image.open(first) as image:
    assert image.format == 'JPEG' and image.size == (640, 480)


def test_quick_rows(dm14, monkeypatch):
  """The process of `files` is stood in for by one that takes 2 s, and 10 ms a photograph.

  PyTorch is taken from the first student, so that both cases are run.
  """
  installed = iter([False, torch_crossmodal.available()])
  monkeypatch.setattr(torch_crossmodal, 'available', lambda: next(installed))
  calls = []

  def run(folder, photographs, output, batch):
    names = sorted(path.name for path in photographs.iterdir())
    output.mkdir()
    for name in names:
      (output / f'{name}.json').write_text('{}')
    assert json.loads((folder / 'config.json').read_text())['world.image_size'] == 64
    calls.append(len(names))
    return infer.Process(harness.Taken(2 + 0.01 * len(names), 1 + 0.02 * len(names)), 500.0)

  monkeypatch.setattr(infer, '_infer', run)
  rows = list(infer.rows(quick=True))
  students_, pipelines, files = rows[::2][:2], rows[1::2][:2], rows[4:]
  assert len(files) == 1 and calls == [1, 1, 3]
  for row in rows:
    assert row.unit == 'images' and math.isfinite(row.rate) and row.rate > 0
    assert math.isfinite(row.processor_s) and row.processor_s >= 0
  for row, pipeline in zip(students_, pipelines, strict=True):
    assert 'people in 3D' in row.name and 'bottom-up' in pipeline.name
    assert row.vectorized == pipeline.rate > 0 and row.loop > 0
    assert row.peak_mib > 0 and pipeline.peak_mib > 0
  assert students_[0].torch is None and 'is not installed' in students_[0].note
  if importlib.util.find_spec('torch'):
    assert students_[1].torch > 0 and 'PyTorch 2' in students_[1].note
  assert files[0].rate == pytest.approx(100) and files[0].processor_s == pytest.approx(0.02)
  assert '500 MiB' in files[0].note and 'a process for 1 of them takes 2.0 s' in files[0].note


def test_files_to_json_by_the_command_itself():
  """A student of toy sizes; the target is told as reached or not, whichever it is."""
  config = students.preset('smoke')
  row = infer.files_row(
    'toy', config, students.random_networks(config), batch=1, count=2, wanted=10.0
  )
  assert math.isfinite(row.rate) and row.target == '≥ 10/s'
  assert row.reached == (row.rate >= 10)


def test_a_command_that_fails_says_why(tmp_path):
  (tmp_path / 'photographs').mkdir()
  with pytest.raises(RuntimeError, match=r'exit code 2\nposejax.infer: .*: holds no photograph'):
    infer._infer(tmp_path, tmp_path / 'photographs', tmp_path / 'out', 1)
