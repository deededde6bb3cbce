"""The command that measures the prior: what it refuses, each time in one line."""

import runpy

import pytest

from posejax import command, measure_prior

get_config = runpy.run_path('configs/unsup.py')['get_config']


def run(config, workdir):
  return measure_prior.run(command.Run(config, workdir, None, 'as typed'), '')


@pytest.mark.parametrize(
  ('switches', 'message'),
  [
    (
      {'prior.source': 'motion', 'mocap.dir': 'no/such'},
      'config.mocap.dir: no/such: cannot be read',
    ),
    ({'prior.discriminator': 'both'}, "config.prior.discriminator = 'both': must be one of 'pose'"),
  ],
  ids=['mocap', 'discriminator'],
)
def test_refused(tmp_path, capsys, switches, message):
  config = get_config('smoke').unlock()
  config.update_from_flattened_dict(switches)
  assert run(config, tmp_path / 'run') == 2
  error = capsys.readouterr().err
  assert error.startswith(f'posejax.measure_prior: {message}') and error.count('\n') == 1
  assert not (tmp_path / 'run' / 'prior.json').exists()


def test_another_configs_workdir_is_refused(tmp_path, capsys):
  (tmp_path / 'config.json').write_text('{"prior.batch": 1}')
  assert run(get_config('smoke'), tmp_path) == 2
  assert 'belongs to another config' in capsys.readouterr().err
  assert not (tmp_path / 'stages').exists()
