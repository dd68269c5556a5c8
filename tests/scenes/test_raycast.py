"""Rendered scenes: promises to whoever trains on them, and shortcuts against the long way."""

import subprocess
import sys

import numpy as np
import pytest

from detcon.scenes import raycast
from detcon.scenes.camera import Camera
from detcon.scenes.raycast import CLASSES, render_scene
from detcon.scenes.shading import lit
from detcon.scenes.stage import draw_stage
from detcon.scenes.textures import PATTERNS, Texture, paint


def stage_of(seed, index):
    return draw_stage(np.random.default_rng(np.random.SeedSequence([seed, index, 0])))


@pytest.fixture(scope="module")
def many():
    return [render_scene(7, index, 32) for index in range(120)]


def same(one, other):
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in vars(one))


def test_a_picture_depends_on_seed_and_index_alone():
    first = [render_scene(3, index, 48) for index in (0, 1, 2)]
    again = [render_scene(3, index, 48) for index in (2, 0, 1)]
    assert same(first[0], again[1]) and same(first[1], again[2]) and same(first[2], again[0])
    assert not same(first[0], first[1])
    assert not same(first[0], render_scene(4, 0, 48))


@pytest.mark.parametrize("solids", [(1, 1), (2, 3), (9, 12)])
def test_as_many_solids_as_are_asked_for(solids):
    found = []
    for index in range(12):
        scene = render_scene(4, index, 32, solids)
        areas = np.bincount(scene.instances.ravel())[1:] / scene.instances.size
        assert 1 <= len(areas) <= solids[1]
        assert (areas > 0.009).sum() >= min(2, solids[0]), "what there is can be seen"
        found.append(len(draw_stage(np.random.default_rng([4, index]), solids).solids))
    assert max(found) <= solids[1] and np.mean(found) >= solids[0], "there isn't always room"


def test_three_to_eight_solids_unless_asked():
    assert same(render_scene(4, 1, 32), render_scene(4, 1, 32, (3, 8)))
    assert not same(render_scene(4, 1, 32), render_scene(4, 1, 32, (8, 8)))


@pytest.mark.parametrize("index", range(20))
def test_maps_agree(index):
    scene = render_scene(0, index, 40)
    assert scene.rgb.shape == (40, 40, 3) and scene.depth.shape == (40, 40)
    assert np.array_equal(scene.instances > 0, scene.labels >= 2), "solids, and only they, have ids"
    ids = np.unique(scene.instances)
    assert ids.tolist() == list(range(len(ids))) or ids.tolist() == list(range(1, len(ids) + 1))
    for number in ids[ids > 0]:
        assert len(np.unique(scene.labels[scene.instances == number])) == 1
    assert (scene.depth > 0.1).all() and (scene.depth < 15).all()


def test_every_class_is_common_and_every_picture_shows_something(many):
    for label, name in enumerate(CLASSES):
        share = np.mean([(scene.labels == label).any() for scene in many])
        assert share > 0.3, name
    for scene in many:
        areas = np.bincount(scene.instances.ravel())[1:] / scene.instances.size
        assert (areas > 0.009).sum() >= 2, "two solids of a reasonable size"
        assert areas.max() < 0.4, "none that hides the room"
        assert scene.rgb.std() > 12, "neither black nor white"


def test_colour_alone_does_not_tell_solids_from_the_room(many):
    """The best threshold on any colour channel, for all pictures, is little better than chance."""
    solid = np.concatenate([(s.instances > 0).ravel() for s in many])
    colours = np.concatenate([s.rgb.reshape(-1, 3) for s in many]).astype(float)
    colours = np.column_stack([colours, colours.max(1) - colours.min(1), colours.sum(1)])
    for channel in colours.T:
        edges = np.quantile(channel, np.linspace(0, 1, 20))
        rates = [abs((channel[solid] < e).mean() - (channel[~solid] < e).mean()) for e in edges]
        assert max(rates) < 0.3


@pytest.mark.parametrize("index", range(30))
def test_solids_stand_on_the_floor_in_the_room_and_apart(index):
    stage = stage_of(1, index)
    for solid in stage.solids:
        if solid.kind == "sphere":
            lowest, highest = solid.centre - solid.size[0], solid.centre + solid.size[0]
        else:
            lowest, highest = solid.corners.min(1), solid.corners.max(1)
        assert lowest[2] == pytest.approx(0, abs=1e-4)
        assert (lowest[:2] > -0.01).all() and (highest[:2] < np.add(stage.room, 0.01)).all()
        to_camera = np.linalg.norm(stage.camera.position - solid.centre)
        assert to_camera > solid.radius + 0.05, "the camera is outside"
    spheres = [(s.centre, s.size[0]) for s in stage.solids if s.kind == "sphere"]
    for number, (centre, radius) in enumerate(spheres):
        for other, other_radius in spheres[:number]:
            assert np.linalg.norm(centre[:2] - other[:2]) > 0.9 * (radius + other_radius)


@pytest.mark.parametrize("index", range(10))
def test_windows_lose_nothing(index):
    """Rays are only cast within the box of a solid in the picture: the same as casting all."""
    stage = stage_of(2, index)
    with pytest.MonkeyPatch.context() as patch:
        fast = raycast._cast(stage, 64)
        patch.setattr(Camera, "window", lambda *_: (slice(0, 64), slice(0, 64)))
        slow = raycast._cast(stage, 64)
    assert np.array_equal(fast.surface, slow.surface)
    assert np.array_equal(fast.depth, slow.depth)


@pytest.mark.parametrize("index", range(10))
def test_shadow_cones_lose_nothing(index):
    """Each solid is only asked about points in its cone: the same as asking about all."""
    stage = stage_of(5, index)
    rng = np.random.default_rng(index)
    points = rng.uniform([0, 0, 0], [*stage.room, 0.001], (600, 3)).T.astype(np.float32)
    normals = np.zeros_like(points)
    normals[2] = 1
    ways = stage.light.position[:, None] - points
    owner = np.zeros(points.shape[1], np.uint8)
    fast = lit(points, normals, ways, owner, stage.solids, stage.light)
    steps = [s.meet(points + np.float32(4e-3) * normals, ways) for s in stage.solids]
    slow = np.all([t >= 1 for t in steps], axis=0)
    assert np.array_equal(fast == 1, slow)


def test_depth_is_along_the_axis_of_the_camera():
    """Points rebuilt from depth lie on the floor where the label says floor."""
    stage = stage_of(0, 2)
    hits = raycast._cast(stage, 64)
    points = stage.camera.position[:, None, None] + hits.rays * hits.depth
    assert np.abs(points[2][hits.surface == 0]).max() < 1e-4
    assert np.allclose(
        stage.camera.project(points.reshape(3, -1))[2], hits.depth.ravel(), rtol=1e-4
    )


@pytest.mark.parametrize("pattern", PATTERNS)
def test_patterns_have_two_colours_near_and_one_far(pattern):
    texture = Texture(pattern, ((0.1, 0.1, 0.1), (0.8, 0.8, 0.8)), period=0.2, grain=0.0)
    rng = np.random.default_rng(0)
    u, v = rng.uniform(-20, 20, (2, 4000)).astype(np.float32)
    near, far = (paint(texture, u, v, np.full(4000, blur, np.float32)) for blur in (0.0, 5.0))
    assert near.min() > 0.05 and near.max() < 0.85
    assert near.std() > 0.05, "a texture can be seen"
    assert far.std() < 1e-3, "too fine to be seen"


def test_scenes_do_not_import_torch():
    code = "import detcon.scenes, sys; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
