"""Tests for detcon.photos."""

import io
import os
import pickle
import subprocess
import sys
from contextlib import suppress

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings, strategies as st
from PIL import Image, ImageOps

from detcon.formats.reading.placing import header_size
from detcon.photos import (
    EXTENSIONS,
    PhotosError,
    UnreadablePhoto,
    decode,
    open_photos,
    shrink,
    upright_size,
)
from detcon.photos.collection import Keys, Photos

RNG = np.random.default_rng(0)
RGB = cv2.resize(RNG.integers(0, 256, (6, 8, 3), dtype=np.uint8), (64, 48))


def encoded(picture, form="JPEG", **options):
    file = io.BytesIO()
    picture.save(file, form, **options)
    return file.getvalue()


def as_pillow_shows(data):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))).convert("RGB"))


JPEG, PNG = encoded(Image.fromarray(RGB)), encoded(Image.fromarray(RGB), "PNG")


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright(form, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    data = encoded(Image.fromarray(RGB), form, exif=exif)
    photo = decode(data, "a")
    assert photo.shape == ((48, 64, 3) if orientation < 5 else (64, 48, 3))
    assert np.abs(photo.astype(int) - as_pillow_shows(data)).max() <= 1
    assert header_size(data) == (photo.shape[:2], (48, 64))
    assert decode(data, "a", channels=1).shape[:2] == photo.shape[:2]


@pytest.mark.parametrize("mode", ["L", "1", "P", "LA", "RGBA", "CMYK"])
def test_every_kind_of_pixel_becomes_rgb(mode):
    data = encoded(Image.fromarray(RGB).convert(mode), "JPEG" if mode == "CMYK" else "PNG")
    photo = decode(data, "a")
    assert photo.dtype == np.uint8 and photo.shape == (48, 64, 3)
    assert np.abs(photo.astype(int) - as_pillow_shows(data)).max() <= 1


@pytest.mark.parametrize("picture", [RGB, RGB[..., 0]], ids=["colour", "grey"])
def test_sixteen_bits_keep_their_upper_eight(picture):
    noise = RNG.integers(0, 256, picture.shape, dtype=np.uint16)
    data = cv2.imencode(".png", picture.astype(np.uint16) * 256 + noise)[1].tobytes()
    upper = picture[..., ::-1] if picture.ndim == 3 else np.repeat(picture[..., None], 3, 2)
    assert np.abs(decode(data, "a").astype(int) - upper).max() <= 1


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("reduce", [1, 2, 4, 8])
def test_the_header_tells_the_size_and_a_reduced_photo_is_as_upright(orientation, reduce):
    exif = Image.Exif()
    exif[0x0112] = orientation
    smooth = Image.fromarray(RGB[::12, ::16]).resize((72, 40), Image.Resampling.BICUBIC)
    data = encoded(smooth, exif=exif, quality=95)
    whole, small = decode(data, "a"), decode(data, "a", reduce)
    assert upright_size(data) == whole.shape[:2]
    means = whole.reshape(len(small), reduce, -1, reduce, 3).mean((1, 3))
    assert abs(small - means).mean() < 4


@pytest.mark.parametrize("data", [PNG, b"", b"\xff\xd8\xff\xe0", JPEG[:20]])
def test_only_a_jpeg_tells_its_size_ahead(data):
    assert upright_size(data) is None


def test_alpha_is_dropped_not_blended():
    alpha = RNG.integers(0, 256, (48, 64, 1), dtype=np.uint8)
    data = encoded(Image.fromarray(np.concatenate([RGB, alpha], 2)), "PNG")
    assert np.array_equal(decode(data, "a"), RGB)


def large(**options):
    noise = np.random.default_rng(1).integers(0, 256, (300, 400, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), **options)


@pytest.mark.parametrize("keep", [0.2, 0.5, 0.9, 0.999])
@pytest.mark.parametrize(
    "data",
    [large(), large(progressive=True), large(form="PNG")],
    ids=["jpeg", "progressive", "png"],
)
def test_a_photo_cut_off_is_an_error(data, keep):
    """Decoders fill the rest with grey, and masks of grey would be noise."""
    with pytest.raises(UnreadablePhoto, match=r"^cannot read x\.jpg: the file ends before"):
        decode(data[: int(len(data) * keep)], "x.jpg")


def test_a_thumbnail_does_not_hide_that_the_photo_is_cut_off():
    exif = b"Exif\x00\x00" + JPEG
    payload = b"\xff\xe1" + (len(exif) + 2).to_bytes(2) + exif
    data = JPEG[:2] + payload + JPEG[2:]
    assert decode(data, "a").shape == (48, 64, 3)
    with pytest.raises(UnreadablePhoto, match="ends before the picture does"):
        decode(data[:-20], "a")


def test_what_phones_append_to_a_photo_is_passed_over():
    film = b"\xff\xda" + RNG.integers(0, 256, 5000, dtype=np.uint8).tobytes() + b"\xff\xda"
    assert np.array_equal(decode(JPEG + film, "a"), decode(JPEG, "a"))


@pytest.mark.parametrize(
    "data, sentence",
    [
        (b"", "cannot read x.jpg: the file is empty; copy it again or remove it"),
        (
            b"hello, world",
            "cannot read x.jpg: the file holds no picture (it begins with b'hello, w')",
        ),
        (PNG[:40] + b"????" + PNG[44:], "cannot read x.jpg: the file is damaged"),
        (b"BM" + bytes(60), "cannot read x.jpg: the file is damaged or cut off; copy it again"),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:79\n",
            "cannot read x.jpg: it is a pointer of Git LFS, not the picture; run git lfs pull",
        ),
    ],
    ids=["empty", "text", "damaged", "bitmap", "pointer"],
)
def test_says_what_is_wrong_with_a_file(data, sentence):
    with pytest.raises(UnreadablePhoto) as error:
        decode(data, "x.jpg")
    assert str(error.value).startswith(sentence)


@given(
    st.sampled_from([JPEG, PNG]),
    st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8),
    st.none() | st.integers(0, 10**6),
)
@settings(max_examples=300, deadline=None)
def test_any_bytes_decode_or_are_refused(data, changes, end):
    mutated = bytearray(data)
    for place, value in changes:
        if not 16 <= (position := place % len(mutated)) < 24 or data is JPEG:  # a size of gigabytes
            mutated[position] = value
    try:
        photo = decode(bytes(mutated[: end and end % len(mutated)]), "x")
    except UnreadablePhoto:
        return
    assert photo.ndim == 3 and photo.dtype == np.uint8


def test_shrinking_brings_the_longest_side_down_and_never_enlarges():
    assert shrink(RGB, 32).shape == (24, 32, 3)
    assert shrink(RGB, 64) is RGB and shrink(RGB, None) is RGB
    assert shrink(np.zeros((1, 300, 3), np.uint8), 10).shape == (1, 10, 3)
    means = RGB.reshape(12, 4, 16, 4, 3).mean((1, 3))
    assert np.abs(shrink(RGB, 16) - means).max() <= 0.5, "by area averaging"


@pytest.fixture
def folder(tmp_path):
    for key in ("b.JPG", "a/z.jpeg", "a/y.png", "a.b/c.webp"):
        (tmp_path / key).parent.mkdir(exist_ok=True)
        (tmp_path / key).write_bytes(PNG)
    for other in ("a/notes.txt", ".hidden.jpg", "a/._y.png"):
        (tmp_path / other).write_text("not a photo")
    return tmp_path


def test_a_folder_lists_its_photos_by_sorted_relative_paths(folder):
    photos = open_photos(folder)
    assert list(photos) == ["a.b/c.webp", "a/y.png", "a/z.jpeg", "b.JPG"]
    assert len(photos) == 4 and photos.source == str(folder)
    assert np.array_equal(photos.read("a/y.png"), RGB)
    again = pickle.loads(pickle.dumps(photos))
    assert list(again.keys) == list(photos.keys) and again.read("b.JPG").shape == (48, 64, 3)
    assert list(photos.part(1, 3)) == ["a/y.png", "a/z.jpeg"]


def test_links_to_folders_are_followed_once(folder):
    (folder / "a" / "round").symlink_to(folder, target_is_directory=True)
    assert len(open_photos(folder)) == 4


@pytest.mark.parametrize("name", ["list.txt", "list.csv", "list.parquet"])
def test_a_manifest_lists_paths_relative_to_its_own_folder(folder, name):
    paths = ["b.JPG", "a/../a/y.png", str(folder / "a/z.jpeg"), ""]
    rows = ["path,label", *(f"{path},3" for path in paths[:3])] if name.endswith("csv") else paths
    (folder / name).write_text("\n".join(rows))
    if name.endswith("parquet"):
        columns = {"label": range(5), "path": pa.array([*paths, None]).dictionary_encode()}
        pq.write_table(pa.table(columns), folder / name)
    photos = open_photos(folder / name)
    assert list(photos) == ["a/y.png", "a/z.jpeg", "b.JPG"]
    assert np.array_equal(photos.read("a/z.jpeg"), RGB)


def test_a_photo_of_a_list_has_one_name_however_it_is_spelled(tmp_path):
    (tmp_path / "here").mkdir()
    path = tmp_path / "here" / "list.txt"
    path.write_text("../here/a.jpg\r../there/b.jpg\r./c.jpg\r")
    assert list(open_photos(path)) == ["../there/b.jpg", "a.jpg", "c.jpg"]
    path.write_text("../here/a.jpg\na.jpg\n")
    with pytest.raises(PhotosError, match=r"lists a\.jpg twice"):
        open_photos(path)


@pytest.mark.parametrize(
    "name, text, sentence",
    [
        ("no/such", None, "there is no folder or manifest {}/no/such; check the path"),
        ("empty", "", "cannot list photos from {}/empty: give a folder, a .txt with one path"),
        ("photos.zip", "", "cannot list photos from {}/photos.zip: give a folder"),
        ("list.txt", "\n", "the manifest {}/list.txt lists no photos; write one path a line"),
        ("list.txt", "a.jpg\na.jpg", "the manifest {}/list.txt lists a.jpg twice; remove one"),
        ("list.csv", "file,x\na,b", "the manifest {}/list.csv has no column 'path'; its columns"),
        (
            "l.csv",
            "path;x\na;b",
            "the manifest {}/l.csv has no column 'path'; its columns are path;x; separate columns "
            "by commas, not by ';'",
        ),
        (
            "l.csv",
            "path\tx\na\tb",
            "the manifest {}/l.csv has no column 'path'; its columns are path\tx; separate columns "
            "by commas, not by '\\t'",
        ),
    ],
)
def test_says_what_is_wrong_with_a_source(tmp_path, name, text, sentence):
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(PhotosError) as error:
        open_photos(tmp_path / name)
    assert str(error.value).startswith(sentence.format(tmp_path))


def test_a_pipe_or_a_device_among_photos_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.jpg")
    (tmp_path / "endless.png").symlink_to("/dev/zero")
    (tmp_path / "folder.txt").write_text("pipe.jpg\nendless.png\n.\n")
    photos = open_photos(tmp_path / "folder.txt")
    assert set(photos.marks().values()) == {""}
    for key in photos:
        what = "Is a directory" if key == "." else "it is no regular file"
        with pytest.raises(UnreadablePhoto, match=f"cannot read .*: {what}"):
            photos.read(key)


def test_says_what_is_wrong_with_a_parquet_manifest(tmp_path):
    path = tmp_path / "list.parquet"
    for table, sentence in (
        (
            {"file": ["a"], "x": [1]},
            "the manifest {} has no column 'path'; its columns are file, x",
        ),
        (
            {"path": [[1]]},
            "cannot read the manifest {}: it is no Parquet file with text in a column",
        ),
        ({"path": pa.array([], pa.string())}, "the manifest {} lists no photos"),
        ({"path": ["a.jpg", "./a.jpg"]}, "the manifest {} lists a.jpg twice"),
    ):
        pq.write_table(pa.table(table), path)
        with pytest.raises(PhotosError) as error:
            open_photos(path)
        assert str(error.value).startswith(sentence.format(path))
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(PhotosError, match="it is no Parquet file with text in a column 'path'; wr"):
        open_photos(path)


@given(st.data())
@settings(max_examples=80, deadline=None)
def test_a_damaged_parquet_manifest_is_read_or_refused(tmp_path_factory, data):
    path = tmp_path_factory.getbasetemp() / "damaged.parquet"
    pq.write_table(pa.table({"path": ["a.jpg", "b/c.jpg"], "x": [1, 2]}), path)
    whole = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(whole[: data.draw(st.integers(0, len(whole)) | st.none())])
    with suppress(PhotosError):
        assert len(open_photos(path)) <= 2


def test_says_what_was_looked_for_in_an_empty_folder(tmp_path):
    with pytest.raises(PhotosError) as error:
        open_photos(tmp_path)
    assert f"there are no photos in the folder {tmp_path}" in str(error.value)
    assert all(extension in str(error.value) for extension in EXTENSIONS)


def test_an_unknown_photo_gets_the_nearest_name(folder):
    with pytest.raises(UnreadablePhoto, match=r"no photo .*/a/x\.png; did you mean 'a/y\.png'\?"):
        open_photos(folder).read("a/x.png")


@pytest.mark.parametrize("module", ["detcon.photos", "detcon.masks", "detcon.masks.store.fill"])
def test_no_torch_is_imported(module):
    """Torch takes seconds and a gigabyte in each of many workers."""
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@given(st.lists(st.text(st.characters(exclude_categories=[]), max_size=5)), st.data())
@settings(deadline=None)
def test_names_held_compactly_are_the_same_names(names, data):
    names = [name.encode("utf-8", "replace").decode() for name in names]
    keys = pickle.loads(pickle.dumps(Keys(names)))
    assert list(keys) == names and len(keys) == len(names) and keys == names
    assert keys == Keys(names) and keys != [*names, ""] and keys != 3
    part = data.draw(st.slices(len(names)))
    assert keys[part] == names[part]
    for place in range(-len(names), len(names)):
        assert keys[np.int64(place)] == names[place]
    for place in (len(names), -len(names) - 1):
        with pytest.raises(IndexError, match=f"there is no name {place} among"):
            keys[place]


def test_names_need_not_be_text(tmp_path):
    (tmp_path / os.fsdecode(b"caf\xe9.png")).write_bytes(PNG)
    [key] = open_photos(tmp_path)
    assert os.fsencode(key) == b"caf\xe9.png" and open_photos(tmp_path).read(key).shape


@pytest.mark.parametrize("name", ["list.txt", "list.csv"])
def test_paths_of_a_manifest_are_resolved_however_they_are_written(tmp_path, name):
    below = ["a.jpg", "./b.jpg", "c//d.jpg", "c/./e.jpg", "c/../f.jpg", ".hidden/g.jpg", " h.jpg "]
    below += [f"{tmp_path}/i.jpg", f"{tmp_path}/x/../j.jpg", "./k.jpg/"]
    rows = [*below, "/elsewhere/l.jpg", f"{tmp_path}2/m.jpg", "../n.jpg"]
    if name.endswith("csv"):
        rows = ["label,path", "", *(f"3,{row},more" for row in rows)]
    (tmp_path / name).write_text("\n".join(rows))
    expected = [".hidden/g.jpg", "a.jpg", "b.jpg", "c/d.jpg", "c/e.jpg", "f.jpg", "h.jpg", "i.jpg"]
    expected += ["j.jpg", "k.jpg", "/elsewhere/l.jpg", f"{tmp_path}2/m.jpg", "../n.jpg"]
    assert list(open_photos(tmp_path / name)) == sorted(expected)


def test_a_listed_photo_that_is_gone(tmp_path):
    (tmp_path / "list.txt").write_text("a.jpg\nb.jpg")
    with pytest.raises(UnreadablePhoto, match=r"a\.jpg, though .*list\.txt lists it; copy it"):
        open_photos(tmp_path / "list.txt").read("a.jpg")


def test_a_list_of_paths_from_another_folder_says_what_they_are_relative_to(tmp_path):
    (tmp_path / "list.txt").write_text("photos/a.jpg\nphotos/b")
    text = "lists it; copy it there again, or correct the list, whose paths are relative to"
    with pytest.raises(UnreadablePhoto, match=f"{text} {tmp_path}$"):
        open_photos(tmp_path / "list.txt").read("photos/a.jpg")
    text = "lists it; correct the list, whose paths have the extension of a photo and are relative"
    with pytest.raises(UnreadablePhoto, match=f"{text} to {tmp_path}$"):
        open_photos(tmp_path / "list.txt").read("photos/b")


@pytest.fixture
def voc(tmp_path):
    """A list of names without extension, as VOC's; one of the photos is missing."""
    for name in ("ImageSets/Main", "JPEGImages"):
        (tmp_path / name).mkdir(parents=True)
    for name in ("b_1.png", "a.v2.jpg", "other.jpg", "b_1.xml"):
        (tmp_path / "JPEGImages" / name).write_bytes(PNG)
    (tmp_path / "ImageSets/Main/val.txt").write_text("b_1\na.v2\ngone\n")
    return tmp_path


def test_label_maps_among_the_photos_are_told(tmp_path, capsys):
    """Of a labelled folder given whole: half of what is learnt from would be maps of ids."""
    for name in (
        "train/images/a.jpg",
        "train/labels/a.png",
        "train/instances/a.png",
        "b/masks/c.png",
    ):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8)).save(tmp_path / name)
    assert len(open_photos(tmp_path)) == 4
    assert capsys.readouterr().err == (
        f"{tmp_path}: 2 of 4 photos look like label maps, by their names, the first is "
        f"train/instances/a.png; give the folder of the photos alone, as {tmp_path}/train/images, "
        "or a list of them\n"
    )
    open_photos(tmp_path / "b"), open_photos(tmp_path / "train/images")
    assert capsys.readouterr().err == "", "photos in a folder of such a name are photos"


def test_names_without_extension_in_a_list_of_voc_are_its_photos(voc, capsys, monkeypatch):
    photos = open_photos(voc / "ImageSets/Main/val.txt")
    assert list(photos) == ["a.v2.jpg", "b_1.png", "gone.jpg"]
    assert np.array_equal(photos.read("b_1.png"), RGB)
    said = f"ImageSets/Main/val.txt: 3 photos of {voc}/JPEGImages, listed without extension\n"
    assert capsys.readouterr().err.endswith(said)
    with pytest.raises(UnreadablePhoto, match=r"JPEGImages/gone\.jpg, though .*val\.txt lists it"):
        photos.read("gone.jpg")
    monkeypatch.chdir(voc / "ImageSets/Main")
    assert list(open_photos("val.txt")) == list(photos)
    assert np.array_equal(open_photos("val.txt").read("b_1.png"), RGB)


def test_names_without_extension_elsewhere_are_refused(voc):
    path = (voc / "ImageSets/Main/val.txt").rename(voc / "val.txt")
    with pytest.raises(PhotosError) as error:
        open_photos(path)
    assert str(error.value) == (
        f"the manifest {path} lists names without the extension of a photo, the first is a.v2; "
        f"write paths with their extension, relative to {voc}, or give the folder of the photos "
        f"in its place"
    )
    (voc / "gone").write_bytes(PNG)  # a photo's name need not have one
    assert np.array_equal(open_photos(path).read("gone"), RGB)


JPEGS = {
    "colour": {},
    "grey": {"mode": "L"},
    "444": {"subsampling": "4:4:4"},
    "422": {"subsampling": "4:2:2"},
    "progressive": {"progressive": True},
    "restarts": {"restart_marker_blocks": 4},
    "CMYK": {"mode": "CMYK"},
}


@pytest.mark.parametrize("channels, reduce", [(3, 1), (1, 1), (3, 2), (3, 8), (1, 4)])
@pytest.mark.parametrize("kind", JPEGS)
def test_jpegs_are_decoded_as_opencv_does(kind, channels, reduce):
    """The pixels that masks were made of before another library decoded JPEGs."""
    options = dict(JPEGS[kind])
    noisy = RGB[:45, :61].astype(int) + RNG.integers(-9, 9, (45, 61, 3))
    picture = Image.fromarray(noisy.clip(0, 255).astype(np.uint8))
    exif = Image.Exif()
    exif[0x112] = 6
    data = encoded(picture.convert(options.pop("mode", "RGB")), exif=exif, **options)
    part = f"REDUCED_{'GRAYSCALE' if channels == 1 else 'COLOR'}_{reduce}"
    whole = "GRAYSCALE" if channels == 1 else "COLOR"
    flag = getattr(cv2, f"IMREAD_{part if reduce > 1 else whole}")
    theirs = np.atleast_3d(cv2.imdecode(np.frombuffer(data, np.uint8), flag))[..., ::-1]
    assert np.array_equal(decode(data, "a", reduce, channels), theirs)


@pytest.mark.parametrize("damage", [bytes(1500), b"\x55" * 1500, b"\xff\x00" * 700, b"\xff\x13"])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 8}])
def test_damage_in_the_middle_of_a_jpeg_is_an_error(options, damage):
    """libjpeg goes on with wrong pixels, and warns; OpenCV prints its warning without a name."""
    data = bytearray(large(**options))
    middle = len(data) // 2
    data[middle : middle + len(damage)] = damage
    with pytest.raises(UnreadablePhoto, match=r"^cannot read x\.jpg: the file is damaged"):
        decode(bytes(data), "x.jpg")


@pytest.mark.parametrize("padding", [b"\x37", bytes(65), b"\xff" * 9])
def test_padding_before_the_end_of_a_jpeg_costs_no_pixels(padding):
    assert np.array_equal(decode(JPEG[:-2] + padding + JPEG[-2:], "a"), decode(JPEG, "a"))


@pytest.mark.parametrize(("num", "marked"), [(0, 0), (1, 1), (256, 256), (257, 129)])
def test_up_to_256_photos_are_marked_by_their_content(tmp_path, num, marked):
    keys = tuple(f"{number:03}.png" for number in range(num))
    for key in keys:
        (tmp_path / key).write_bytes(key.encode())
    photos = Photos("photos", str(tmp_path), keys)
    before, digest = photos.marks(), photos.digest()
    assert len(before) == marked == len(set(before.values()))
    for key in keys:
        (tmp_path / key).write_bytes(key[::-1].encode())
    assert all(mark != before[key] for key, mark in photos.marks().items())
    assert (photos.digest() != digest) == (num > 0)
