"""Image-plane maps of poses: heat-maps, part affinity fields, and how people are read back."""

from posejax.heatmaps.grouping import (
  People2D,
  assemble,
  group_people,
  match_limbs,
  redundant_limbs,
)
from posejax.heatmaps.keypoints import Peaks, background_map, find_peaks, render_heatmaps
from posejax.heatmaps.mirror import mirror_maps
from posejax.heatmaps.paf import render_limb_gaussians, render_pafs, score_limbs

__all__ = [
  'Peaks',
  'People2D',
  'assemble',
  'background_map',
  'find_peaks',
  'group_people',
  'match_limbs',
  'mirror_maps',
  'redundant_limbs',
  'render_heatmaps',
  'render_limb_gaussians',
  'render_pafs',
  'score_limbs',
]
