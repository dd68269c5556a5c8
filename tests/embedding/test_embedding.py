"""Tests for detcon.embedding: vectors, the file that holds them, and the nearest ones."""

import io
import os
import shutil

import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from rich.console import Console

import detcon
from detcon.cli import main
from detcon.config import load_recipe
from detcon.embedding import EmbeddingError, table
from detcon.embedding.nearest import nearest, summary
from detcon.embedding.recipe import EmbedRecipe
from detcon.embedding.vectors import cell_shares
from detcon.masks import Masks
from detcon.models.backbone_file import load_backbone
from detcon.models.dense_features import dense_features
from detcon.models.recipe import EncoderRecipe
from detcon.models.resnet import ResNet

ENCODER = EncoderRecipe(name="resnet18", width=0.125, stride=16)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Five photos of different sizes, and masks of a grid of two by two."""
    rng = np.random.default_rng(0)
    (tmp_path / "photos" / "b").mkdir(parents=True)
    for number, size in enumerate([(48, 64), (64, 48), (64, 64), (32, 96), (70, 50)]):
        name = f"{'b/' if number > 2 else ''}{number}.png"
        cv2.imwrite(str(tmp_path / "photos" / name), rng.integers(0, 256, (*size, 3)))
    monkeypatch.chdir(tmp_path)
    detcon.make_masks("grid", images="photos", out="masks", workers=1, **{"generator.rows": 2})
    return tmp_path


def given(**more):
    return {"backbone": "random", "encoder": ENCODER, "images": "photos", "side": 64,
            "accelerator": "cpu", **more}  # fmt: skip


def read(path):
    rows = pq.read_table(path)
    vectors = np.array(rows["vector"].to_pylist(), np.float32)
    return rows["key"].to_pylist(), rows["region"].to_pylist(), rows["box"].to_pylist(), vectors


def features(key):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        backbone = load_backbone("random", encoder=ENCODER)
    photo = cv2.imread(f"photos/{key}")[..., ::-1].copy()
    return photo, dense_features(backbone, photo, side=64)


def test_a_photos_vector_is_the_mean_of_its_cells(place):
    keys, regions, boxes, vectors = read(detcon.embed(**given()))
    assert keys == ["0.png", "1.png", "2.png", "b/3.png", "b/4.png"] and regions == [0] * 5
    for key, box, vector in zip(keys, boxes, vectors):
        photo, grid = features(key)
        assert box == [0, 0, photo.shape[1], photo.shape[0]]
        np.testing.assert_allclose(vector, grid.mean((1, 2)), rtol=1e-3)


def test_cells_are_the_grid_in_pixels_of_the_photo(place):
    keys, cells, boxes, vectors = read(detcon.embed(**given(of="cells")))
    _, grid = features("b/3.png")
    mine = [place for place, key in enumerate(keys) if key == "b/3.png"]
    rows, columns = grid.shape[1:]
    assert [cells[i] for i in mine] == list(range(rows * columns))
    np.testing.assert_allclose(vectors[mine], grid.reshape(len(grid), -1).T, rtol=2e-3, atol=1e-6)
    left, top, right, bottom = boxes[mine[-1]]
    assert (right, bottom) == (96, 32) and left == 96 - 96 / columns and top == 32 - 32 / rows


def shares_in_a_loop(mask, grid):
    """The share of each cell's pixels that a mask covers, pixel by pixel."""
    inside, whole = np.zeros(grid), np.zeros(grid)
    for y, x in np.ndindex(mask.shape):
        cell = int((y + 0.5) * grid[0] / mask.shape[0]), int((x + 0.5) * grid[1] / mask.shape[1])
        whole[cell] += 1
        inside[cell] += mask[y, x]
    return inside / np.maximum(whole, 1)


@pytest.mark.parametrize("size", [(12, 20), (5, 7), (2, 3)])
def test_regions_cover_the_share_of_each_cell_that_a_loop_counts(size):
    rng = np.random.default_rng(1)
    stack = rng.random((3, *size)) > 0.6
    stack[1] = False
    masks = Masks.from_stack(stack, size=(2 * size[0], 4 * size[1]))
    found = {region: (share, box) for region, share, box in cell_shares(masks, (4, 5))}
    assert list(found) == [0, 2], "an empty mask has no vector"
    for region, (share, box) in found.items():
        np.testing.assert_allclose(share.reshape(4, 5), shares_in_a_loop(stack[region], (4, 5)))
        rows, columns = np.nonzero(stack[region])
        left, right = 4 * columns.min(), 4 * (columns.max() + 1)
        assert box == (left, 2 * rows.min(), right, 2 * (rows.max() + 1))


def test_the_vector_of_a_region_is_the_weighted_mean(place):
    keys, _, boxes, vectors = read(detcon.embed(**given(of="regions", masks="masks")))
    assert keys.count("2.png") == 4
    _, grid = features("2.png")
    first = keys.index("2.png")
    assert boxes[first] == [0, 0, 32, 32]
    np.testing.assert_allclose(vectors[first], grid[:, :2, :2].mean((1, 2)), rtol=2e-3, atol=1e-6)


def test_python_gets_an_iterator_of_the_same(place):
    settings = given(of="regions", masks="masks")
    found = list(detcon.embeddings(**settings))
    keys, regions, boxes, vectors = read(detcon.embed(**settings))
    assert [(one.key, one.region, list(one.box)) for one in found] == list(
        zip(keys, regions, boxes)
    )
    np.testing.assert_array_equal(np.stack([one.vector for one in found]).astype("f2"), vectors)


def test_an_interrupted_command_goes_on_and_gives_the_same_bytes(place, monkeypatch):
    monkeypatch.setitem(table._PART, "photos", 2)
    whole = detcon.embed(**given(out="whole.parquet")).read_bytes()
    assert pq.ParquetFile("whole.parquet").num_row_groups == 3
    made, embed_photos = [], table.embed_photos

    def failing(source, keys):
        if len(made) == 2:
            raise KeyboardInterrupt
        made.append(list(keys))
        return embed_photos(source, keys)

    monkeypatch.setattr(table, "embed_photos", failing)
    with pytest.raises(KeyboardInterrupt):
        detcon.embed(**given(out="e.parquet"))
    monkeypatch.setattr(table, "embed_photos", lambda *a: made.append("again") or embed_photos(*a))
    detcon.embed(**given(out="e.parquet"))
    assert made.count("again") == 1, "only the last part was missing"
    assert (place / "e.parquet").read_bytes() == whole
    assert not (place / "e.parquet.parts").exists()


def test_stale_results_are_refused_or_said(place, capsys):
    detcon.embed(**given())
    detcon.embed(**given(images=str(place / "photos")))
    assert "is up to date: the same photos and settings" in capsys.readouterr().err
    with pytest.raises(EmbeddingError, match="was made with other side; give another out=, or"):
        detcon.embed(**given(side=96))
    shutil.copy("photos/0.png", "photos/5.png")
    with pytest.raises(EmbeddingError, match=r"photos of photos have changed .*: 5 then, 6 now;"):
        detcon.embed(**given())
    (place / "photos" / "5.png").unlink()
    (place / "photos" / "0.png").touch()
    detcon.embed(**given())
    assert "is kept, but 1 of 5 photos changed since: remove it" in capsys.readouterr().err
    shutil.copytree("photos", "others")
    cv2.imwrite("photos/a.bmp", np.zeros((9, 9, 3)))
    cv2.imwrite("others/a.bmp", np.full((9, 9, 3), 9))
    detcon.embed(**given(out="a.parquet"))
    with pytest.raises(EmbeddingError, match=r"of others have changed .*: files were renamed or"):
        detcon.embed(**given(images="others", out="a.parquet"))
    (place / "embeddings.parquet").write_text("mine")
    with pytest.raises(EmbeddingError, match="no file of detcon embed, or damaged"):
        detcon.embed(**given())
    assert (place / "embeddings.parquet").read_text() == "mine"


def test_photos_left_out_are_counted_and_named(place, capsys):
    (place / "photos" / "9.png").write_bytes(b"no photo")
    detcon.embed(**given(of="regions", masks="masks"))
    said = capsys.readouterr().err
    assert "left out 1 of 6 photos: cannot read" in said or "9.png has no masks" in said
    shutil.rmtree(place / "photos" / "b")
    for photo in (place / "photos").glob("*.png"):
        photo.write_bytes(b"no photo")
    with pytest.raises(EmbeddingError, match=r"no photo gave an embedding: cannot read .*0\.png"):
        detcon.embed(**given(out="none.parquet"))


def test_a_name_that_is_no_text_is_named(place):
    shutil.copy("photos/0.png", os.fsdecode(b"photos/caf\xe9.png"))
    with pytest.raises(EmbeddingError, match=r"photo b'caf\\xe9\.png' isn't valid UTF-8, and Parq"):
        detcon.embed(**given())


def test_masks_of_another_photo_are_refused(place):
    cv2.imwrite("photos/0.png", np.zeros((10, 10, 3), np.uint8))
    with pytest.raises(EmbeddingError, match=r"masks of 0\.png .* photo of 48 x 64 pixels, but it"):
        detcon.embed(**given(of="regions", masks="masks"))
    with pytest.raises(ValueError, match="of=regions needs masks="):
        detcon.embed(**given(of="regions"))


def test_the_nearest_are_those_of_a_plain_search(place, monkeypatch):
    monkeypatch.setitem(table._PART, "cells", 2)
    path = detcon.embed(**given(of="cells"))
    keys, cells, _, vectors = read(path)
    query = vectors[7] + 0.01
    cosine = vectors @ query / np.linalg.norm(vectors, axis=1) / np.linalg.norm(query)
    best = np.argsort(-cosine)[:6]
    found = nearest(path, query, 6)
    assert [(one.key, one.region) for one in found] == [(keys[i], cells[i]) for i in best]
    np.testing.assert_allclose([one.similarity for one in found], cosine[best], rtol=1e-5)


def test_photos_of_one_size_are_computed_together_and_give_the_same(place, monkeypatch):
    for number in range(5, 8):
        shutil.copy(f"photos/{number - 5}.png", f"photos/{number}.png")
    seen, forward = [], ResNet.forward
    monkeypatch.setattr(ResNet, "forward", lambda *a: seen.append(len(a[1])) or forward(*a))
    one = read(detcon.embed(**given(out="one.parquet", batch_size=1)))
    alone, seen[:] = len(seen), []
    all_at_once = read(detcon.embed(**given(out="all.parquet", batch_size=8)))
    assert alone == 8 and sum(seen) == 8 and max(seen) >= 4
    assert one[:3] == all_at_once[:3]
    np.testing.assert_allclose(one[3], all_at_once[3], rtol=2e-3, atol=1e-6)


def triangles(image):
    """Two masks: what lies below the diagonal, and a corner."""
    stack = np.zeros((2, *image.shape[:2]), bool)
    stack[0] = np.tri(*image.shape[:2], dtype=bool)
    stack[1, :20, 40:] = True
    return stack


def test_a_region_is_looked_for_and_outlined(place):
    """The photo's twin has the nearest region; its outline is drawn, not its box."""
    cv2.imwrite("photos/5.png", cv2.imread("photos/2.png"))
    detcon.make_masks(images="photos", out="regions", generator=triangles, workers=1)
    asked = given(of="regions", masks="regions", near="photos/2.png", num=3, out="r.parquet")
    detcon.embed(**asked)
    whole = printed(summary(load_recipe(EmbedRecipe, None, asked)))
    plain = cv2.imread("r-near.png")
    assert "look for a region of it: region=0 (around 32, 32), region=1 (around 52, 10)" in whole
    text = printed(summary(load_recipe(EmbedRecipe, None, asked | {"region": 1})))
    rows = [line.split() for line in text.splitlines() if " 1.000 " in line]
    assert [row[:4] for row in rows[:2]] == [
        ["1", "1.000", "2.png", "1"], ["2", "1.000", "5.png", "1"]
    ]  # fmt: skip
    printed(summary(load_recipe(EmbedRecipe, None, asked | {"region": 0, "near": "2.png"})))
    drawn = (cv2.imread("r-near.png") != plain).any(2)[4:196, 4:196]
    assert np.mean(drawn.diagonal()) > 0.9, "the long side of the triangle"
    assert not drawn[2:90, 100:].any(), "the box would be here"
    for name in ("elsewhere.png", "photos/bare.png"):
        shutil.copy("photos/5.png", name)
    for wrong, message in (
        ({"region": 7}, r"has no region 7; give region=0 \(around"),
        ({"region": 0, "near": "none.png"}, "cannot read near=none.png: no such file or direc"),
        ({"region": 0, "near": "elsewhere.png"}, "is no photo of images=photos, so that its reg"),
        ({"region": 0, "near": "photos/bare.png"}, "has no masks in masks=regions; give a photo"),
    ):
        with pytest.raises(EmbeddingError, match=message):
            detcon.embed(**asked | wrong | {"out": "new.parquet"})
    assert not list(place.glob("new.parquet*")), "found before anything is embedded"
    with pytest.raises(ValueError, match="region= says which mask of near=PHOTO is meant"):
        detcon.embed(**given(near="photos/2.png", region=0))


def test_near_is_the_file_of_that_path_before_a_photo_with_that_key(place):
    shutil.copy("photos/1.png", "2.png")
    detcon.embed(**given())
    text = printed(summary(load_recipe(EmbedRecipe, None, given(near="2.png"))))
    assert "1   1.000  1.png" in text


def test_a_folder_of_parts_keeps_what_others_put_there(place):
    parts = place / "e.parquet.parts"
    parts.mkdir()
    for name in ("mine.txt", "000009.parquet", "1.parquet"):
        (parts / name).write_text("mine")
    detcon.embed(**given(out="e.parquet"))
    assert sorted(path.name for path in parts.iterdir()) == ["1.parquet", "mine.txt"]


def printed(found):
    console = Console(width=200, record=True, file=io.StringIO())
    console.print(found)
    return console.export_text()


def test_the_command_prints_the_nearest_and_draws_a_sheet(place, monkeypatch, capsys):
    words = ["backbone=random", "encoder.name=resnet18", "encoder.width=0.125", "images=photos"]
    words += ["side=64", "accelerator=cpu", "near=photos/1.png", "num=3", "out=e.parquet"]
    monkeypatch.setattr("sys.argv", ["detcon", "embed", *words])
    main()
    out = capsys.readouterr().out
    assert "5 vectors of photos, 64 numbers each" in out and "1   1.000  1.png" in out
    sheet = cv2.imread("e-near.png")
    assert sheet.shape[1] == 4 * 200 and sheet.std() > 20
    main()
    out = capsys.readouterr().out
    assert "1   1.000  1.png" in out and "\nnothing new in e.parquet\n" in out
    assert "wrote" not in out
