"""The renderer against rays cast in plain NumPy; who is in front; front and back; determinism."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from posejax.benchmarks import numpy_synth
from posejax.geometry import camera as camera_lib
from posejax.geometry.skeleton import J17
from posejax.synth import bodies, domains, renderer
from posejax.synth.appearance import sample_appearance

SIDE = 64
# Somebody standing with the arms a little out, facing +x; left is +y. mm, feet on the floor.
STANDING = np.array([
  (0, 0, 940), (0, 0, 1430), (20, 0, 1670),
  (0, -160, 1430), (0, -260, 1170), (60, -300, 930), (0, 160, 1430), (0, 260, 1170), (60, 300, 930),
  (0, -130, 940), (10, -140, 500), (0, -150, 60), (0, 130, 940), (10, 140, 500), (0, 150, 60),
  (150, -160, 20), (150, 160, 20),
], np.float32)
EMPTY_A = domains.DOMAIN_A._replace(occluders=np.zeros(()), furniture=np.zeros(()))
EMPTY_B = domains.DOMAIN_B._replace(occluders=np.zeros(()), furniture=np.zeros(()))


def placed(x, y, yaw=0.0):
  """The standing person at (x, y) mm, turned by yaw from facing +x."""
  c, s = np.cos(yaw), np.sin(yaw)
  turn = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
  return (STANDING @ turn.T + (x, y, 0)).astype(np.float32)


def front_camera():
  """At (4 m, 0, 1 m), looking at the origin: along −x."""
  rotation, translation = camera_lib.look_at(
    jnp.array([4000.0, 0, 1000]), jnp.array([0.0, 0, 1000])
  )
  intrinsics = camera_lib.fixed_intrinsics(SIDE)
  return camera_lib.Camera(intrinsics, rotation, translation)


CAMERA = front_camera()
_render = jax.jit(renderer.render_scene, static_argnums=4)
_look = jax.jit(sample_appearance, static_argnums=2)


def render(people, valid=(True, True), seed=0, domain=EMPTY_A):
  looks = _look(jax.random.key(seed), domain, 2)
  result = _render(jnp.asarray(np.stack(people)), np.array(valid), CAMERA, looks, (SIDE, SIDE))
  return jax.tree.map(np.asarray, result), looks


def solids_in_camera(joints, looks):
  """The first person's solids in camera axes, as NumPy arrays."""
  shape = jax.tree.map(lambda x: x[0], looks.people.shape)
  solids = bodies.build_body(jnp.asarray(joints), shape).solids
  rotation, translation = np.asarray(CAMERA.rotation), np.asarray(CAMERA.translation)
  center, matrix, low, high, enabled = (np.asarray(x, np.float64) for x in solids)
  return center @ rotation.T + translation, matrix @ rotation.T, low, high, enabled > 0


def test_silhouette_and_depth_against_numpy():
  person = placed(0, 0)
  result, looks = render([person, placed(0, 0)], valid=(True, False))
  lattice = (np.arange(SIDE) - (SIDE - 1) / 2) / SIDE
  y, x = np.meshgrid(lattice, lattice, indexing='ij')
  rays = np.stack([x.ravel(), y.ravel(), np.ones(SIDE * SIDE)], -1)
  inverse = numpy_synth.hits_vectorized(solids_in_camera(person, looks), rays)
  inverse = inverse.reshape(SIDE, SIDE)
  differ = (inverse > 0) != (result.person_mask == 1)
  assert (inverse > 0).sum() > 150 and differ.sum() <= 2  # grazing rays
  both = (inverse > 0) & (result.person_mask == 1)
  np.testing.assert_allclose(result.depth[both], 1 / inverse[both], rtol=2e-3)
  # A few pixels by hand: a ray is where it says it is.
  few = np.flatnonzero(both.ravel())[::40]
  np.testing.assert_allclose(
    numpy_synth.hits_loop(solids_in_camera(person, looks), rays[few]), inverse.ravel()[few]
  )


def test_masks_lie_on_the_projected_bodies():
  people = [placed(0, 500), placed(0, -600)]
  result, _ = render(people)
  for person, joints in enumerate(people):
    rows, columns = np.nonzero(result.person_mask == person + 1)
    seen = camera_lib.world_to_camera(jnp.asarray(joints), CAMERA)
    pixels = np.asarray(camera_lib.project(seen, CAMERA.intrinsics))
    at = {name: pixels[J17.index(name)] for name in ('pelvis', 'neck', 'r_knee')}
    assert abs(columns.mean() - at['pelvis'][0]) < 1.5
    assert at['neck'][1] < rows.mean() < at['r_knee'][1]
    # Nothing of a body is farther from the joints than flesh and clothes reach.
    assert columns.min() > pixels[:, 0].min() - 6 and columns.max() < pixels[:, 0].max() + 6
  np.testing.assert_allclose(result.visible, 1)


def test_the_nearer_one_hides_the_other_whatever_their_order():
  near, far = placed(800, 0), placed(-800, 60)
  first, _ = render([near, far])
  second, _ = render([far, near])
  alone, _ = render([near, far], valid=(True, False))
  # The near one shows whole, the far one where the near one is not.
  assert ((first.person_mask == 1) == (alone.person_mask == 1)).all()
  assert first.visible[0] == 1 and 0 < first.visible[1] < 0.7
  near_again = second.person_mask == 2
  assert (near_again != (first.person_mask == 1)).mean() < 0.02  # another body shape
  assert second.visible[1] == 1 and 0 < second.visible[0] < 0.7
  assert (first.depth[first.person_mask == 1] < 3600).all()


def test_front_and_back_are_tellable_apart():
  differences = []
  for seed in range(8):
    # 2 m away, where a head is a dozen pixels high; its face is below the hair.
    front, _ = render([placed(2000, 0), placed(0, 0)], (True, False), seed)
    back, _ = render([placed(2000, 0, np.pi), placed(0, 0)], (True, False), seed)
    rows, columns = np.nonzero(front.person_mask == 1)
    face = (rows >= rows.min() + 3) & (rows <= rows.min() + 8)
    a, b = (
      picture.image[rows[face], columns[face]].astype(float).mean(0) for picture in (front, back)
    )
    differences.append(np.abs(a - b).max())
  # Of 255. Black hair behind dark skin is the hardest case.
  assert np.median(differences) > 15 and min(differences) > 4, differences


def test_everything_from_one_key():
  people = [placed(0, 500), placed(0, -600)]
  first, second, other = render(people)[0], render(people)[0], render(people, seed=1)[0]
  for a, b in zip(first, second, strict=True):
    np.testing.assert_array_equal(a, b)
  assert (first.image != other.image).mean() > 0.5


def test_domains_differ():
  people = [placed(0, 500), placed(0, -600)]
  means = {
    name: np.mean([render(people, seed=seed, domain=domain)[0].image.mean((0, 1))
                   for seed in range(8)])
    for name, domain in (('A', EMPTY_A), ('B', EMPTY_B))
  }
  assert means['A'] > means['B'] + 20  # an office by day, an evening in town


def test_nobody():
  result, _ = render([placed(0, 0)] * 2, valid=(False, False))
  assert not result.person_mask.any() and not result.visible.any()
  assert np.isfinite(result.depth).all() and result.image.std() > 3
  # Somebody with a joint that is not finite is nobody.
  broken = placed(0, 0)
  broken[5, 1] = np.nan
  again, _ = render([broken, placed(0, 0)], valid=(True, False))
  np.testing.assert_array_equal(again.person_mask, result.person_mask)


def test_wrong_shapes():
  looks = _look(jax.random.key(0), EMPTY_A, 2)
  people = np.stack([placed(0, 0)] * 2)
  with pytest.raises(ValueError, match='joints_world must have shape'):
    renderer.render_scene(people[None], np.ones(2, bool), CAMERA, looks, (SIDE, SIDE))
  with pytest.raises(ValueError, match=r'valid must have shape \(2,\)'):
    renderer.render_scene(people, np.ones(3, bool), CAMERA, looks, (SIDE, SIDE))
  with pytest.raises(ValueError, match='must be positive'):
    renderer.render_scene(people, np.ones(2, bool), CAMERA, looks, (0, SIDE))
  with pytest.raises(ValueError, match='appearance must be drawn for'):
    renderer.render_scene(people[:1], np.ones(1, bool), CAMERA, looks, (SIDE, SIDE))
