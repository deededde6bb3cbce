"""Configs that could not run, or would ignore a field, are refused before anything is made."""

import runpy

import pytest

from posejax.methods.crossmodal import METHOD, PHOTOS
from posejax.training import config as config_lib

UNSUP = runpy.run_path('configs/unsup.py')


def changed(preset='', **fields):
  config = UNSUP['get_config'](preset).copy_and_resolve_references().unlock()
  config.update_from_flattened_dict(fields)
  return config


@pytest.mark.parametrize('preset', ['', *UNSUP['_PRESETS']])
def test_every_preset_keeps_the_rules(preset):
  photos = preset == 'real'
  named = {'teacher.weights': 'a file', 'images.dir': 'a folder'} if photos else {}
  config_lib.validate(changed(preset, **named), (PHOTOS if photos else METHOD).rules)


@pytest.mark.parametrize(
  ('fields', 'message'),
  [
    ({'world.image_size': 100}, 'world.image_size = 100: must be a multiple of 32'),
    # With two grids, H halves once: 144 = 9 · 16 would do.
    ({'world.image_size': 136, 'align.h.down': (((8, 3),), ((8, 4),)), 'align.h.up': ()},
     'world.image_size = 136: must be a multiple of 16'),
    ({'world.nearest_mm': 3500}, 'nearest_mm = 3500: must be less than world.farthest_mm, 3400'),
    ({'world.elevation_deg': (15.0, 0.0)}, 'elevation_deg = .*: must have the smaller number'),
    ({'world.elevation_deg': (0.0, 5.0, 9.0)}, 'elevation_deg = .*: must be a list of 2'),
    ({'teacher.zoom': (1.25, 0.8)}, 'teacher.zoom = .*: must have the smaller number first'),
    ({'align.zoom': (1.25, 0.8)}, 'align.zoom = .*: must have the smaller number first'),
    ({'teacher.stage_kernel': 4}, 'stage_kernel = 4: must be a whole number from 1 to 31 in steps'),
    ({'teacher.weights': 'net.caffemodel'}, 'teacher.weights = .*another config.teacher.kind'),
    ({'align.g.hidden': ((8, 4),)}, r'g.hidden = \(\(8, 4\),\): kernels must be odd, got 4'),
    ({'align.g.last_kernel': 2}, 'last_kernel = 2: must be a whole number from 1 to 31 in steps'),
    ({'align.h.window.size': 4}, 'window.size = 4: must be a whole number from 1 to 31 in steps'),
    ({'align.h.down': (((8, 3),), ((8, 3),), ((8, 4),))}, 'h.down = .*: kernels must be odd, and'),
    ({'align.h.up': (((8, 3),),) * 3}, r'h.down = .*: up must have fewer grids than down \(3\)'),
    # 160 px are 20 cells: 1.01 of them are 20.
    ({'observed.zooms': (1.0, 1.01)}, r'observed.zooms = .*must be different looks.*\[20, 20\]'),
    ({'world.farthest_mm': 1950}, 'nearest_mm = 1900: must be less than .*, 1950, by 100 or more'),
    # The camera looks at 900 mm or more from at most 2,915 mm: 18 degrees below it is the floor.
    ({'world.elevation_deg': (-25.0, 0.0)}, 'elevation_deg = .*: must put no camera below the'),
    ({'align.steps': (190.0, 2160.0, 500.0)}, 'align.steps = .*: must be a whole number'),
    ({'align.distl': False, 'align.steps': (9, 9, 0)}, 'align.steps = .*no steps in the first'),
    ({'align.steps': (0, 0, 0)}, 'align.steps = .*: must have a phase with steps'),
    ({'align.steps': (1, 2, 3, 4)}, 'align.steps = .*: must be a list of 3'),
    ({'align.steps': (5, 0, 5)}, 'align.steps = .*: must have steps in the second phase'),
    ({'align.steps': (5, 0, 0), 'refine.steps': 5}, 'align.steps = .*in it alone G learns'),
    ({'mocap.dir': 'clips'}, "mocap.dir = 'clips': is not read with prior.source='artificial'"),
    ({'images.dir': 'photos'}, "images.dir = 'photos': is of photographs alone: take the preset"),
    ({'images.labelled': 'lsp'}, 'images.labelled = .*take the preset `real`'),
    ({'scenes.body_scale': (1.1, 0.9)}, 'scenes.body_scale = .*must have the smaller number'),
    ({'align.recon': False}, 'align.adapt = True: needs another config.align.recon than False'),
  ],
)
def test_what_cannot_run_is_refused(fields, message):
  with pytest.raises(config_lib.ConfigError, match=f'config.*{message}'):
    config_lib.validate(changed(**fields), METHOD.rules)


def test_a_config_of_another_method_is_told_so_first():
  lifting = runpy.run_path('configs/lifting.py')['get_config']('')
  with pytest.raises(config_lib.ConfigError, match=r'config.method = \'lifting\': must be one of'):
    config_lib.validate(lifting, METHOD.rules)


def test_sizes_that_h_can_halve_pass():
  two = {'align.h.down': (((8, 3),), ((8, 4),)), 'align.h.up': ()}
  config_lib.validate(changed(**{'world.image_size': 144}, **two), METHOD.rules)
  config_lib.validate(changed(**{'world.image_size': 160}), METHOD.rules)
  config_lib.validate(changed(**{'align.recon': False, 'align.adapt': False}), METHOD.rules)


def test_what_needs_no_g_passes():
  config_lib.validate(changed(**{'align.steps': (5, 0, 0)}), METHOD.rules)
  fields = {'align.recon': False, 'align.adapt': False, 'align.steps': (5, 0, 5)}
  config_lib.validate(changed(**fields), METHOD.rules)
  config_lib.validate(changed('mocap', **{'mocap.dir': 'clips'}), METHOD.rules)


@pytest.mark.parametrize('preset', ['long', 'ablate', 'real', 'gpu'])
def test_presets_with_published_figures_or_many_steps_keep_half_of_the_rates(preset):
  default, theirs = (dict(changed(name).align.learning_rate) for name in ('', preset))
  assert {name: rate / 2 for name, rate in default.items()} == pytest.approx(theirs)
