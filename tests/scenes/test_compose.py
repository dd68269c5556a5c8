"""Composites: exact masks, boxes and classes; collections and what is held out of them."""

import cv2
import numpy as np
import pytest
from PIL import Image

from detcon.formats.writing.scenes import boxes_of, describe_objects
from detcon.photos import open_photos
from detcon.scenes import compose
from detcon.scenes.compose import compose_scene
from detcon.scenes.cutouts import CutoutsError, open_cutouts, split_backgrounds, split_cutouts


@pytest.fixture(scope="module")
def collections(cutouts_folder, backgrounds_folder):
    return open_cutouts(cutouts_folder), open_photos(backgrounds_folder)


@pytest.fixture(scope="module")
def many(collections):
    return [compose_scene(*collections, 0, index, 96) for index in range(60)]


def same(one, other):
    return all(np.array_equal(getattr(one, n), getattr(other, n)) for n in vars(one))


def test_a_composite_depends_on_seed_and_index_alone(collections, many):
    for index in (5, 2, 9):
        assert same(compose_scene(*collections, 0, index, 96), many[index])
    assert not same(many[0], many[1])
    assert not same(compose_scene(*collections, 1, 0, 96), many[0])


def test_masks_are_where_the_objects_are(many):
    """Red cut-outs on blue photos: a pixel is red exactly where a mask is, but for the edges."""
    for composite in many:
        red = composite.rgb[..., 0].astype(int) > 0.5 * composite.rgb[..., 2]
        mask = (composite.instances > 0).astype(np.uint8)
        around = cv2.dilate(mask, np.ones((5, 5))) - cv2.erode(mask, np.ones((5, 5)))
        assert np.array_equal(red[around == 0], mask[around == 0] == 1)
        assert (red == (mask == 1)).mean() > 0.93


def objects_of(composite):
    return describe_objects(composite.instances, composite.labels)


def test_maps_boxes_and_classes_agree(many):
    for composite in many:
        objects = objects_of(composite)
        assert 2 <= len(objects) <= 6
        assert np.unique(composite.instances)[-1] == len(objects)
        for number, one in enumerate(objects, start=1):
            inside = composite.instances == number
            assert inside.sum() >= 12, "every object can be seen"
            assert (composite.labels[inside] == one["class"]).all()
            left, top, right, bottom = one["box"]
            window = np.zeros_like(inside)
            window[top:bottom, left:right] = True
            assert not (inside & ~window).any(), "the box holds the mask"
            assert inside[top].any() and inside[bottom - 1].any(), "and is tight"
            assert inside[:, left].any() and inside[:, right - 1].any()
        assert (composite.labels[composite.instances == 0] == 0).all()


def test_objects_occlude_each_other_and_both_classes_are_common(many):
    classes = [one["class"] for composite in many for one in objects_of(composite)]
    counts = np.bincount(classes, minlength=3)
    assert counts[0] == 0 and counts[1:].min() > 0.35 * counts.sum()
    crossing = 0
    for composite in many:
        boxes = boxes_of(composite.instances)
        for number, one in enumerate(boxes):
            for other in boxes[:number]:
                crossing += (np.minimum(one[2:], other[2:]) > np.maximum(one[:2], other[:2])).all()
    assert crossing > 30


@pytest.mark.parametrize("left, fine", [(41, True), (38, False)])
def test_an_object_is_never_covered_but_for_a_rest(left, fine):
    """Of 20 x 7 pixels, 30 % must stay: 42."""
    instances = np.zeros((20, 20), np.uint16)
    instances[:7] = 1
    mask = np.arange(140).reshape(7, 20) >= left + 2
    rgba = np.zeros((7, 20, 4), np.uint8)
    piece = compose._Piece(slice(0, 7), slice(0, 20), rgba, mask)
    assert compose._leaves_all_visible(piece, instances, [0, 140]) == fine


def test_boxes_of_nothing():
    assert boxes_of(np.zeros((4, 5), np.uint16)).shape == (0, 4)


def test_classes_are_folders_sorted_by_name(collections):
    cutouts, _ = collections
    assert cutouts.names == ("deep", "long")
    assert {label: len(keys) for label, keys in cutouts.by_label.items()} == {1: 3, 2: 2}


def test_number_of_objects_is_obeyed(collections):
    for index in range(5):
        assert len(objects_of(compose_scene(*collections, 0, index, 128, (3, 3)))) == 3


def test_a_cutout_is_trimmed_and_shrunk_and_16_bits_are_read(tmp_path, write_cutout):
    write_cutout(tmp_path / "a" / "deep.png", size=(100, 60), dtype=np.uint16)
    picture = open_cutouts(tmp_path).read("a/deep.png", 46)
    assert picture.dtype == np.uint8 and picture.shape[0] == 46
    assert picture[23, picture.shape[1] // 2].tolist() == [220, 40, 40, 255], "RGBA"


def test_what_is_held_out_is_never_seen(collections):
    cutouts, backgrounds = collections
    kept, held = split_cutouts(cutouts)
    for label, keys in cutouts.by_label.items():
        mine, theirs = kept.by_label[label], held.by_label[label]
        assert mine and theirs, "every class on both sides"
        assert sorted([*mine, *theirs]) == keys
    photos, other_photos = split_backgrounds(backgrounds)
    assert not set(photos.keys) & set(other_photos.keys)
    assert set(photos.keys) | set(other_photos.keys) == set(backgrounds.keys)
    assert (split_cutouts(cutouts), split_backgrounds(backgrounds)[0].keys) == (
        (kept, held),
        photos.keys,
    )


def test_says_what_is_wrong_with_cutouts(tmp_path, write_cutout):
    with pytest.raises(CutoutsError, match="there is no folder of cut-outs"):
        open_cutouts(tmp_path / "none")
    with pytest.raises(CutoutsError, match="there are no cut-outs in .*: looked for PNG files in"):
        open_cutouts(tmp_path)
    write_cutout(tmp_path / "a" / "opaque.png", channels=3)
    with pytest.raises(CutoutsError, match="none of the 1 PNG files in .* has an alpha channel"):
        open_cutouts(tmp_path)
    write_cutout(tmp_path / "a" / "fine.png")
    cutouts = open_cutouts(tmp_path)
    assert cutouts.by_label == {1: ["a/fine.png"]}
    with pytest.raises(CutoutsError, match="cannot hold out cut-outs of .*: no class has more"):
        split_cutouts(cutouts)


def test_pictures_that_are_no_cutouts_are_counted_and_named(tmp_path, write_cutout, capsys):
    for name in ("a/fine.png", "a/deep/er.PNG", "loose.png", "a/.hidden.png"):
        write_cutout(tmp_path / name)
    write_cutout(tmp_path / "a" / "opaque.png", channels=3)
    cv2.imwrite(str(tmp_path / "a" / "b.webp"), np.zeros((9, 9, 4), np.uint8))
    (tmp_path / "a" / "notes.txt").touch()
    assert open_cutouts(tmp_path).by_label == {1: ["a/deep/er.PNG", "a/fine.png"]}
    assert capsys.readouterr().err == (
        f"{tmp_path}: 2 cut-outs; left out: 1 picture without an alpha channel, a/opaque.png "
        f"first; 1 picture in no sub-folder, loose.png first; 1 picture no PNG, a/b.webp first\n"
    )


def test_a_palette_may_be_transparent_behind_a_large_profile(tmp_path):
    (tmp_path / "a").mkdir()
    picture = Image.fromarray(np.eye(9, dtype=np.uint8)).convert("P")
    profile = np.random.default_rng(0).bytes(9000)
    picture.save(tmp_path / "a" / "b.png", transparency=0, icc_profile=profile)
    assert open_cutouts(tmp_path).by_label == {1: ["a/b.png"]}
    picture.save(tmp_path / "a" / "b.png", icc_profile=profile + b"tRNS")
    with pytest.raises(CutoutsError, match="none of the 1 PNG files in .* has an alpha channel"):
        open_cutouts(tmp_path)


def test_says_which_cutout_cannot_be_used(tmp_path, write_cutout):
    write_cutout(tmp_path / "a" / "clear.png")
    cv2.imwrite(str(tmp_path / "a" / "clear.png"), np.zeros((9, 9, 4), np.uint8))
    write_cutout(tmp_path / "a" / "cut.png")
    data = (tmp_path / "a" / "cut.png").read_bytes()
    (tmp_path / "a" / "cut.png").write_bytes(data[:40])
    cutouts = open_cutouts(tmp_path)
    with pytest.raises(CutoutsError, match=r"cut-out .*clear\.png: all of it is transparent"):
        cutouts.read("a/clear.png", 64)
    with pytest.raises(CutoutsError, match=r"cannot read the cut-out .*cut\.png: the file ends"):
        cutouts.read("a/cut.png", 64)


def test_says_when_one_background_cannot_be_split(collections, tmp_path):
    cv2.imwrite(str(tmp_path / "one.png"), np.zeros((9, 9, 3), np.uint8))
    with pytest.raises(CutoutsError, match="cannot hold out backgrounds of .*: it holds only one"):
        split_backgrounds(open_photos(tmp_path))
