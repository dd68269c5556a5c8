"""A folder of mixed rubbish ends in a run that says exactly what it used."""

import io
import json
import os
import unicodedata

import cv2
import numpy as np
import pytest
from PIL import Image

from detcon.masks.sources import Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError
from detcon.notes import note

RNG = np.random.default_rng(0)


def jpeg(size=(120, 160)):
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (*size, 3), dtype=np.uint8)).save(file, "JPEG")
    return file.getvalue()


def rubbish():
    """What lies in the folder; of each file, what is to become of it."""
    whole, other = jpeg(), jpeg()
    damaged = bytearray(jpeg())
    damaged[len(damaged) // 2 : len(damaged) // 2 + 900] = bytes(900)
    tiny = cv2.imencode(".png", np.full((3, 3, 3), 9, np.uint8))[1].tobytes()
    return {
        "used": {
            "a.jpg": whole, "copy of a.jpg": whole, "b/c.JPEG": other, "b/d.jfif": other,
            "b/tiny.png": tiny, "names, with = and #.png": tiny,
        },
        "unreadable": {
            "cut.jpg": whole[:2000], "b/damaged.jpg": bytes(damaged), "empty.png": b"",
            "text.jpg": b"no photo", "b/half.png": tiny[:30],
        },
        "left out": {
            ".hidden.jpg": whole, "._a.jpg": b"\x00\x05", "e.heic": b"?", "b/f.HEIC": b"?",
            "@eaDir/a.jpg/THUMB.jpg": other, "$RECYCLE.BIN/$R2.png": tiny,
        },
        "no photos": {"notes.txt": b"", "Thumbs.db": b"\xd0\xcf", "b/a.json": b"{}"},
    }  # fmt: skip


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_rubbish(tmp_path, capsys):
    note.cache_clear()
    folder, files = tmp_path / "photos", rubbish()
    for some in files.values():
        for name, data in some.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(data)
    store = make_masks(images=folder, out=tmp_path / "m", generator=Grid(2), workers=1)
    said = capsys.readouterr().err
    assert list(MaskStore(store).keys()) == sorted(files["used"])
    unreadable = json.loads((store / "unreadable.json").read_text())
    assert unreadable.keys() == files["unreadable"].keys()
    for name in files["unreadable"]:
        assert f"cannot read {folder / name}: " in said
    assert "skipped 5 of 11 photos; all are listed in" in said
    assert (
        f"{folder}: 11 photos; left out: 2 .heic files (not decoded; convert them to JPEG or PNG); "
        f"system folders ($RECYCLE.BIN, @eaDir); 2 hidden photos\n"
    ) in said


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 9\n"


@pytest.mark.filterwarnings("ignore")
def test_a_folder_of_twins_and_links(tmp_path, capsys):
    """Names that look alike are photos of their own; a link is what it leads to."""
    note.cache_clear()
    folder = tmp_path / "photos"
    twins = [unicodedata.normalize(form, "Café.jpg") for form in ("NFC", "NFD")]
    names = [*twins, "A.jpg", "a.jpg", "\N{SEEDLING} 1.jpg"]
    for name in names:
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(jpeg())
    os.link(folder / "A.jpg", folder / "hard.jpg")
    os.symlink("a.jpg", folder / "soft.jpg")
    os.symlink("gone.jpg", folder / "nowhere.jpg")
    with open(os.fsencode(folder) + b"/\xff\xfe.jpg", "wb") as file:
        file.write(jpeg())
    (folder / "pointer.jpg").write_bytes(POINTER)
    (folder / "empty.jpg").touch()
    (folder / "@eaDir" / "A.jpg").mkdir(parents=True)
    (folder / "@eaDir" / "A.jpg" / "SYNOPHOTO_THUMB_M.jpg").write_bytes(jpeg())
    options = {"images": folder, "out": tmp_path / "m", "generator": Grid(2), "workers": 1}
    with pytest.raises(StoreError, match=r"xfe.jpg' isn't valid UTF-8, .* rename it"):
        make_masks(**options)
    os.remove(os.fsencode(folder) + b"/\xff\xfe.jpg")
    store = make_masks(**options)
    said = capsys.readouterr().err
    unreadable = json.loads((store / "unreadable.json").read_text())
    assert unreadable.keys() == {"empty.jpg", "nowhere.jpg", "pointer.jpg"}
    assert all(str(folder / name) in said for name in unreadable), said
    assert "left out: system folders (@eaDir)\n" in said
    assert list(MaskStore(store).keys()) == sorted([*names, "hard.jpg", "soft.jpg"])
