"""The embedded world: random poses, motions, scenes and pictures, with exact ground truth.

Everything follows from one random key and runs under `jax.jit` and `jax.vmap`.
"""

from posejax.synth.motions import sample_motion
from posejax.synth.poses import sample_local_poses
from posejax.synth.scene_config import SceneConfig
from posejax.synth.scenes import Scene, sample_scene, sample_scene_sequence, scene_at

__all__ = [
  'Scene',
  'SceneConfig',
  'sample_local_poses',
  'sample_motion',
  'sample_scene',
  'sample_scene_sequence',
  'scene_at',
]
