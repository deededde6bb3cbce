"""The embedded world: random poses, motions, scenes and pictures, with exact ground truth.

Everything follows from one random key and runs under `jax.jit` and `jax.vmap`.
"""

from posejax.synth.appearance import sample_appearance
from posejax.synth.domains import DOMAIN_A, DOMAIN_B
from posejax.synth.motions import sample_motion
from posejax.synth.poses import sample_local_poses
from posejax.synth.renderer import render_scene
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scenes import Scene, sample_scene, sample_scene_sequence, scene_at

__all__ = [
  'DOMAIN_A',
  'DOMAIN_B',
  'Scene',
  'SceneConfig',
  'render_scene',
  'sample_appearance',
  'sample_local_poses',
  'sample_motion',
  'sample_scene',
  'sample_scene_sequence',
  'scene_at',
]
