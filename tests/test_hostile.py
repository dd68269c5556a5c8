"""Hostile files and states: each ends in one sentence and an exit code, and nothing is lost.

`STATES` lists them: what is done to a folder with photos, masks and a run that was cut off after
its second step, what is asked for then, and what is said. `WELCOME` lists what looks hostile and
has to work. All are run as `detcon WORDS` in this process.
"""

import errno
import io
import os
import pickle
import shutil
import signal
import struct
import sys
import tarfile
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image

from detcon import cli
from detcon.train.state import Training

TINY = [
    "method.kind=simclr", "method.hidden=8", "method.outputs=8", "encoder.name=resnet18",
    "encoder.width=0.0625", "encoder.stride=16", "views.size=32", "optimizer.kind=adamw",
    "optimizer.lr=0.001", "batch_size=4", "steps=4", "workers=0", "loop.precision=32",
    "loop.checkpoint_every=2", "loop.log_every=2", "loop.accelerator=cpu", "max_unreadable=0",
]  # fmt: skip
GO_ON = ["pretrain", "images=photos", "out=run", *TINY]
ANEW = ["pretrain", "images=photos", "out=new", *TINY]
WITH_MASKS = [*ANEW, "method.kind=detcon_s", "masks=masks"]
LAST = Path("run/checkpoints/last.ckpt")


class Touches:
    """A pickle that leaves `trace` behind when it is loaded."""

    def __reduce__(self):
        return open, ("trace", "w")


class Crash(BaseException):
    """Like kill -9: nobody catches it, so nothing is saved."""


def call(words, patch):
    patch.setattr(sys, "argv", ["detcon", *words])
    try:
        cli.main()
    except SystemExit as end:
        return end.code or 0
    return 0


def noise(size=(48, 56, 3), seed=0, kind=np.uint8):
    return np.random.default_rng(seed).integers(0, np.iinfo(kind).max, size, dtype=kind)


@pytest.fixture(scope="module")
def before(tmp_path_factory):
    """Photos, masks of them, and a run of four steps that was killed in its third."""
    folder = tmp_path_factory.mktemp("before")
    (folder / "photos").mkdir()
    for i in range(6):
        cv2.imwrite(str(folder / "photos" / f"{i}.png"), noise(seed=i))

    def crash(training, loss):
        if training.step == 2:
            raise Crash
        whole(training, loss)

    whole = Training.add_loss
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        words = ["masks", "images=photos", "out=masks", "generator.kind=grid", "workers=1"]
        assert call(words, patch) == 0
        patch.setattr(Training, "add_loss", crash)
        with pytest.raises(Crash):
            call(GO_ON, patch)
        assert LAST.is_file()
    return folder


@pytest.fixture
def here(before, tmp_path, monkeypatch):
    """A copy of it, as the working directory."""
    shutil.copytree(before, tmp_path / "here")
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def kept(folder):
    """All that a user would miss."""
    places = ("photos", "masks", "run/checkpoints", "run/recipe.yaml", "run/metrics.jsonl", "file")
    paths = [p for place in places for p in [folder / place, *(folder / place).rglob("*")]]
    return {path: path.read_bytes() for path in paths if path.is_file()}


def put(path, data):
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).write_bytes(data.encode() if isinstance(data, str) else data)


def cut(path, part=2):
    data = Path(path).read_bytes()
    put(path, data[: len(data) // part])


def damage(path):
    data = bytearray(Path(path).read_bytes())
    middle = slice(len(data) // 4, 3 * len(data) // 4)
    data[middle] = bytes(255 - byte for byte in data[middle])
    put(path, bytes(data))


def damage_shards():
    for path in Path("masks/shards").iterdir():  # entries stand first, and are small
        data = path.read_bytes()
        put(path, bytes(255 - byte for byte in data[: len(data) // 4]) + data[len(data) // 4 :])


def unnameable():
    name = os.fsencode("photos/") + b"\xff\xfe.png"
    shutil.copy("photos/1.png", name)


def bomb():
    """A PNG of a hundred bytes that says it has 3.6 thousand million pixels."""
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 60000, 60000, 8, 2, 0, 0, 0))]
    parts += [(b"IDAT", zlib.compress(b"\0" * 99)), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def as_checkpoint(value):
    file = io.BytesIO()
    torch.save({"step": 2, "module": value}, file)
    return file.getvalue()


def as_npy(value):
    file = io.BytesIO()
    np.save(file, np.array([value], dtype=object))
    return file.getvalue()


def tar(name="tars/0.tar", members=("a.png",)):
    Path(name).parent.mkdir(exist_ok=True)
    with tarfile.open(name, "w") as file:
        for number, member in enumerate(members):
            data = Path(f"photos/{number}.png").read_bytes()
            info = tarfile.TarInfo(member)
            info.size = len(data)
            file.addfile(info, io.BytesIO(data))


def cut_tar():
    tar()
    cut("tars/0.tar")


def full_disk(patch):
    def save(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    patch.setattr("detcon.train.checkpoint.torch.save", save)


def loss_without_number(patch):
    learn = Training.learn

    def nan(training, parts):
        loss, extra = learn(training, parts)
        return loss * torch.nan, extra

    patch.setattr(Training, "learn", nan)


def signalled(number):
    def prepare(patch):
        whole = Training.add_loss

        def add_loss(training, loss):
            whole(training, loss)
            os.kill(os.getpid(), number)

        patch.setattr(Training, "add_loss", add_loss)

    return prepare


HOSTILE_YAML = "images: !!python/object/apply:builtins.open [trace, w]\n"
EXPORT = ["export", "backbone=file", "to=torchvision", "out=out.pth"]

# name: (what is done, the command, words of its sentence)
STATES = {
    "photo empty": (lambda: put("photos/1.png", ""), ANEW, "photos/1.png: the file is empty"),
    "photo truncated": (lambda: cut("photos/1.png"), ANEW, "photos/1.png: the file ends before"),
    "photo damaged": (lambda: damage("photos/1.png"), ANEW, "photos/1.png: the file"),
    "photo no photo": (lambda: put("photos/1.png", "text"), ANEW, "1.png: the file holds no pic"),
    "photo a bomb": (lambda: put("photos/1.png", bomb()), ANEW, "1.png: the file is damaged"),
    "photo a pickle": (
        lambda: put("photos/1.png", pickle.dumps(Touches())), ANEW, "1.png: the file holds no pic"
    ),
    "folder empty": (lambda: os.mkdir("none"), [*ANEW, "images=none"], "no photos in the folder"),
    "a name that is no text": (
        unnameable, ["masks", "images=photos", "out=own", "generator.kind=grid"], "valid UTF-8"
    ),
    "folder missing": (lambda: None, [*ANEW, "images=none"], "there is no folder or manifest none"),
    "list names a missing photo": (
        lambda: put("list.txt", "photos/1.png\nphotos/99.png\nphotos/2.png\nphotos/3.png\n"),
        [*ANEW, "images=list.txt"], "photos/99.png, though list.txt lists it"
    ),
    "list without the column": (
        lambda: put("list.csv", "file\nphotos/1.png\n"), [*ANEW, "images=list.csv"],
        "the manifest list.csv has no column 'path'"
    ),
    "list binary": (
        lambda: put("list.txt", b"\xff\xfe\x00"), [*ANEW, "images=list.txt"],
        "cannot read the manifest list.txt"
    ),
    "tar truncated": (cut_tar, [*ANEW, "images=tars"], "tars/0.tar"),
    "tar compressed": (
        lambda: put("tars/0.tar", b"\x1f\x8b" + bytes(600)), [*ANEW, "images=tars"],
        "tars/0.tar: it is compressed (gzip)"
    ),
    "mask missing": (
        lambda: shutil.copy("photos/1.png", "photos/7.png"), WITH_MASKS, "7.png"
    ),
    "mask of another size": (
        lambda: cv2.imwrite("photos/1.png", noise((64, 40, 3))), WITH_MASKS,
        "the masks of 1.png were made on a photo of"
    ),
    "masks damaged": (damage_shards, WITH_MASKS, "masks/shards/"),
    "index damaged": (lambda: damage("masks/index.arrow"), WITH_MASKS, "masks/index.arrow"),
    "index cut off": (lambda: cut("masks/index.arrow"), WITH_MASKS, "masks/index.arrow is damaged"),
    "header no JSON": (lambda: put("masks/header.json", "{"), WITH_MASKS, "masks"),
    "masks elsewhere": (lambda: None, [*WITH_MASKS, "masks=gone"], "gone"),
    "key unknown": (lambda: None, [*ANEW, "optimiser.lr=1"], "there is no setting 'optimiser"),
    "value of a wrong type": (
        lambda: put("r.yaml", "batch_size: [many]\n"),
        ["pretrain", "r.yaml", "images=photos", "out=new"], "'batch_size' cannot be ['many']"
    ),
    "recipe runs code": (
        lambda: put("r.yaml", HOSTILE_YAML), ["pretrain", "r.yaml", "out=new"],
        "r.yaml is not a YAML recipe"
    ),
    "setting runs code": (
        lambda: None,
        [*ANEW, "method.kind=detcon_s", "masks=!!python/object/apply:builtins.open [trace, w]"],
        "!!python/object/apply:builtins.open [trace, w]"  # a folder's name like any other
    ),

    "recipe binary": (
        lambda: put("r.yaml", bytes(range(256))), ["pretrain", "r.yaml", "out=new"],
        "r.yaml is not a YAML recipe"
    ),
    "recipe of a run damaged": (
        lambda: put("run/recipe.yaml", HOSTILE_YAML), GO_ON, "cannot read run/recipe.yaml"
    ),
    "checkpoint empty": (lambda: put(LAST, ""), GO_ON, f"checkpoint {LAST} is damaged"),
    "checkpoint truncated": (lambda: cut(LAST), GO_ON, f"checkpoint {LAST} is damaged"),
    "checkpoint damaged": (lambda: damage(LAST), GO_ON, f"{LAST}"),
    "checkpoint runs code": (
        lambda: put(LAST, as_checkpoint(Touches())), GO_ON, f"{LAST} holds more than tensors"
    ),
    "backbone garbage": (lambda: put("file", bytes(99)), EXPORT, "file"),
    "backbone runs code": (lambda: put("file", as_checkpoint(Touches())), EXPORT, "file"),
    "weights run code": (
        lambda: put("file.npy", as_npy(Touches())), ["import", "file.npy", "out=o.safetensors"],
        "file.npy"
    ),
    "out a file": (lambda: put("file", "mine"), [*ANEW, "out=file"], "file: it is a file"),
    "out another run": (
        lambda: None, [*GO_ON, "optimizer.lr=0.5"], "run holds a run of another recipe: optimizer"
    ),
    "out no run": (lambda: None, [*ANEW, "out=photos"], "photos exists and holds no run"),
    "masks into a run": (
        lambda: None, ["masks", "images=photos", "out=run"], "run exists and is no mask store"
    ),
}  # fmt: skip

# name: (what is done with a patch of the program, the exit code, words)
MOMENTS = {
    "disk full": (full_disk, 2, f"cannot write checkpoint {LAST}: No space left on device"),
    "loss no number": (loss_without_number, 2, "the loss of step 3 is not finite, on "),
    "SIGTERM": (signalled(signal.SIGTERM), 75, "stopped after step 3 of 4; give the same command"),
    "SIGUSR1": (signalled(signal.SIGUSR1), 75, "stopped after step 3 of 4; give the same command"),
    "Ctrl-C": (signalled(signal.SIGINT), 130, "stopped after step 3 of 4; give the same command"),
}


@pytest.mark.parametrize("name", STATES)
def test_one_sentence_and_nothing_lost(name, here, monkeypatch, capsys):
    prepare, words, sentence = STATES[name]
    prepare()
    there = kept(here)
    code = call(words, monkeypatch)
    said = capsys.readouterr().err
    assert code == 2, said
    [line] = [line for line in said.splitlines() if line.startswith("detcon: ")]
    assert sentence in line and "Traceback" not in said
    assert said.splitlines()[-1] == line, "it is the last that is said"
    assert not Path("trace").exists(), "code of the file was run"
    after = kept(here)
    assert {path: after.get(path) for path in there} == there


@pytest.mark.parametrize("name", MOMENTS)
def test_a_bad_moment_and_the_same_command_again(name, here, monkeypatch, capsys, undisturbed):
    prepare, wanted, sentence = MOMENTS[name]
    with monkeypatch.context() as patch:
        prepare(patch)
        code = call(GO_ON, patch)
    said = capsys.readouterr().err
    assert code == wanted and sentence in said and "Traceback" not in said
    assert call(GO_ON, monkeypatch) == 0
    assert Path("run/backbone.safetensors").read_bytes() == undisturbed


@pytest.fixture(scope="module")
def undisturbed(before, tmp_path_factory):
    folder = tmp_path_factory.mktemp("undisturbed")
    shutil.copytree(before / "photos", folder / "photos")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert call(GO_ON, patch) == 0
    return (folder / "run" / "backbone.safetensors").read_bytes()


def turned():
    picture = Image.fromarray(noise())
    exif = picture.getexif()
    exif[0x0112] = 6
    picture.save("photos/1.jpg", exif=exif)


WELCOME = {
    "grey": lambda: cv2.imwrite("photos/1.png", noise((48, 56))),
    "16 bits": lambda: cv2.imwrite("photos/1.png", noise(kind=np.uint16)),
    "alpha": lambda: cv2.imwrite("photos/1.png", noise((48, 56, 4))),
    "CMYK": lambda: Image.fromarray(noise((48, 56, 4)), "CMYK").save("photos/1.jpg"),
    "turned by EXIF": turned,
    "five pixels wide": lambda: cv2.imwrite("photos/1.png", noise((5, 5, 3))),
    "a loop of links": lambda: os.symlink("..", "photos/loop"),
    "a dangling link": lambda: os.symlink("nowhere", "photos/link"),
}


@pytest.mark.parametrize("name", WELCOME)
def test_what_has_to_work(name, here, monkeypatch, capsys):
    WELCOME[name]()
    words = ["masks", "images=photos", "out=own", "generator.kind=grid", "workers=1"]
    assert call(words, monkeypatch) == 0, capsys.readouterr().err
    words = [*ANEW, "method.kind=detcon_s", "masks=own", "steps=1"]
    assert call(words, monkeypatch) == 0, capsys.readouterr().err


def test_names_in_tars_lead_nowhere(here, monkeypatch, capsys):
    """Members are read in place, never unpacked."""
    outside = {path for path in here.parent.rglob("*") if here not in path.parents}
    tar(members=("../../escaped.png", "/tmp/escaped-detcon.png", "a.png", "b.png"))
    assert call([*ANEW, "images=tars", "steps=1"], monkeypatch) == 0, capsys.readouterr().err
    assert {path for path in here.parent.rglob("*") if here not in path.parents} == outside
    assert not Path("/tmp/escaped-detcon.png").exists()


def test_a_moved_run_goes_on(here, monkeypatch, undisturbed):
    os.rename("run", "moved")
    assert call([*GO_ON, "out=moved"], monkeypatch) == 0
    assert Path("moved/backbone.safetensors").read_bytes() == undisturbed


def test_the_list_is_long_enough():
    assert len(STATES) + len(MOMENTS) >= 24
