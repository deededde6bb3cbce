"""3D human pose of several people without 3D labels, in JAX."""

__version__ = '0.1.0'
