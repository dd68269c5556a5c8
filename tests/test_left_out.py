"""Photos in = photos used + photos left out: folders, lists and tars of rubbish."""

import io
import os
import tarfile

import cv2
import numpy as np
import pytest
from PIL import Image

from detcon.notes import note
from detcon.photos import PhotosError, open_photos

PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def photo(name):
    """A photo of the kind that its name says."""
    kind = name.rpartition(".")[2].lower()
    file = io.BytesIO()
    form = {"jfif": "JPEG", "jpe": "JPEG", "jpg": "JPEG", "jp2": "JPEG2000"}.get(kind)
    if kind in ("pgm", "pbm", "pnm", "ppm"):
        return cv2.imencode(f".{kind}", PIXELS if kind == "ppm" else PIXELS[..., 0])[1].tobytes()
    Image.fromarray(PIXELS).save(file, form or kind.upper())
    return file.getvalue()


def fill(root, names):
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(photo(name) if not name.endswith((".heic", ".txt", ".NEF")) else b"?")
    return root


@pytest.fixture
def noted(capsys):
    """What was noted since."""
    note.cache_clear()
    return lambda: capsys.readouterr().err


@pytest.mark.parametrize("kind", ["jfif", "jpe", "avif", "gif", "jp2", "pgm", "pbm", "pnm", "ppm"])
def test_what_can_be_decoded_is_read(tmp_path, noted, kind):
    photos = open_photos(fill(tmp_path / "p", [f"a.{kind}"]))
    assert list(photos) == [f"a.{kind}"] and photos.read(f"a.{kind}").shape == (20, 30, 3)
    assert noted() == ""


RUBBISH = [
    "a.jpg", "b/c.png", "b/._c.png", "b/d.heic", "e.heic", "f.NEF", "notes.txt",
    "@eaDir/a.jpg/SYNOPHOTO_THUMB_XL.jpg", "b/@eaDir/c.png", "$RECYCLE.BIN/$R1.jpg",
    ".Trash-1000/files/x.jpg",
]  # fmt: skip
LEFT_OUT = (
    "2 photos; left out: 2 .heic files, 1 .nef file (not decoded; convert them to JPEG or PNG); "
    "system folders ($RECYCLE.BIN, @eaDir); 1 hidden photo"
)


def test_a_folder_of_rubbish_in_one_sentence(tmp_path, noted):
    root = fill(tmp_path / "p", RUBBISH)
    assert list(open_photos(root)) == ["a.jpg", "b/c.png"]
    assert noted() == f"{root}: {LEFT_OUT}\n"
    open_photos(root)
    assert noted() == "", "once is enough"


def test_a_tar_of_rubbish_is_as_if_unpacked(tmp_path, noted):
    root = fill(tmp_path / "p", RUBBISH)
    with tarfile.open(tmp_path / "p.tar", "w") as tar:
        tar.add(root, ".")
    assert list(open_photos(tmp_path / "p.tar")) == ["p/a.jpg", "p/b/c.png"]
    assert noted() == f"{tmp_path}/p.tar: {LEFT_OUT}\n"


def test_tars_among_photos_are_counted(tmp_path, noted):
    root = fill(tmp_path / "p", ["cover.jpg"])
    for name in ("0.tar", "b/1.tar"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_bytes(bytes(1024))
    assert list(open_photos(root)) == ["cover.jpg"]
    assert noted() == f"{root}: 1 photo; left out: 2 tars (read from a folder without photos)\n"


def test_classes_of_photos_are_no_system_folders(tmp_path, noted):
    from detcon.formats.imagenet import open_class_folders

    fill(tmp_path, [f"{s}/{c}/1.jpg" for s in ("train", "val") for c in ("cat", "dog", "@eaDir")])
    assert open_class_folders(tmp_path, "train").names == ("cat", "dog")


def test_a_folder_that_cannot_be_listed_is_named(tmp_path, noted, monkeypatch):
    root = fill(tmp_path / "p", ["a/1.png", "b/2.png", "b/3.png"])
    scan = os.scandir

    def refuse(path):
        if str(path) == refused:
            raise PermissionError(13, "Permission denied", refused)
        return scan(path)

    refused = str(root / "b")
    monkeypatch.setattr(os, "scandir", refuse)
    assert list(open_photos(root)) == ["a/1.png"]
    assert noted() == (
        f"{root}: 1 photo; left out: the folder {root}/b (Permission denied), which can't be "
        f"listed\n"
    )
    refused = str(root)
    with pytest.raises(PhotosError, match=r"^cannot list the folder .*/p: Permission denied$"):
        open_photos(root)


def test_links_in_a_tar_are_read_as_if_unpacked(tmp_path, noted):
    data = photo("a.png")
    with tarfile.open(tmp_path / "t.tar", "w") as tar:

        def add(name, kind=tarfile.REGTYPE, target=""):
            member = tarfile.TarInfo(name)
            member.type, member.linkname = kind, target
            member.size = len(data) if kind == tarfile.REGTYPE else 0
            tar.addfile(member, io.BytesIO(data))

        add("x/early.png", tarfile.SYMTYPE, "../a.png")
        add("a.png")
        add("./hard.png", tarfile.LNKTYPE, "./a.png")
        add("x/twice.png", tarfile.SYMTYPE, "early.png")
        add("gone.png", tarfile.SYMTYPE, "/elsewhere/b.png")
        add("round.png", tarfile.SYMTYPE, "trip.png")
        add("trip.png", tarfile.SYMTYPE, "round.png")
    photos = open_photos(tmp_path / "t.tar")
    assert list(photos) == ["t/a.png", "t/hard.png", "t/x/early.png", "t/x/twice.png"]
    assert all(np.array_equal(photos.read(key), PIXELS) for key in photos)
    assert noted() == (
        f"{tmp_path}/t.tar: 4 photos; left out: 3 links to files that the tar doesn't hold\n"
    )
    assert list(open_photos(tmp_path / "t.tar")) == list(photos), "from the kept list, too"


def test_names_in_lists_may_hold_any_character(tmp_path):
    names = ["a\nb.png", "u\u2028v.png", "c,d.png", 'e"f.png', "g\x0bh.png"]
    fill(tmp_path, names)
    quoted = "".join('"{}"\r\n'.format(name.replace('"', '""')) for name in names)
    (tmp_path / "l.csv").write_text("path\r\n" + quoted, newline="")
    (tmp_path / "l.txt").write_text("\n".join(names[1:]))
    assert list(open_photos(tmp_path / "l.csv")) == sorted(names)
    assert list(open_photos(tmp_path / "l.txt")) == sorted(names[1:])
    assert open_photos(tmp_path / "l.csv").read("a\nb.png").shape == (20, 30, 3)


def test_a_row_without_a_path_is_named(tmp_path):
    (tmp_path / "l.csv").write_text("label,path\n1,a.png\n\n2\n")
    with pytest.raises(PhotosError, match=r"cannot read the manifest .*l\.csv: line 4 has no col"):
        open_photos(tmp_path / "l.csv")
