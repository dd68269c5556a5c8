"""Which files are photos, and which files a collection leaves out."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from detcon.notes import counted, note

EXTENSIONS = (
    ".avif", ".bmp", ".gif", ".jfif", ".jp2", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png",
    ".pnm", ".ppm", ".tif", ".tiff", ".webp",
)  # fmt: skip
BAND_EXTENSIONS = (".npy", ".png", ".tif", ".tiff")  # of photos of other than 1 or 3 channels

_NOT_DECODED = (
    ".arw", ".cr2", ".cr3", ".dng", ".heic", ".heif", ".jxl", ".nef", ".orf", ".psd", ".raf",
    ".rw2",
)  # fmt: skip
_OF_LABELS = (
    "annotations", "depth", "gt", "instances", "labels", "masks", "segmentationclass",
    "segmentationobject", "testannot", "trainannot", "valannot",
)  # fmt: skip
_ASK = "by channels= or encoder.in_channels="
_WHY = {
    "not decoded; convert them to JPEG or PNG": _NOT_DECODED,
    f"of 3 channels; ask for these {_ASK}": EXTENSIONS,
    f"of bands; ask for as many as they have {_ASK}": (".npy",),
}
# of Synology, QNAP, Windows, macOS (in archives) and Linux
_SYSTEM = (
    "@eadir", "#recycle", "#snapshot", "@recycle", "@recently-snapshot", "$recycle.bin", "recycler",
    "system volume information", "__macosx", "lost+found",
)  # fmt: skip


def is_system_folder(name: str) -> bool:
    """Whether systems keep thumbnails, deleted files or the like in folders of this name."""
    return name.lower() in _SYSTEM


def has_extension(name: str) -> bool:
    """Whether a name ends as a photo's does, of any number of channels."""
    return name.lower().endswith(EXTENSIONS + BAND_EXTENSIONS)


def tell_label_maps(source: object, keys: Sequence[str]) -> None:
    """Notes how many photos look like label maps: pictures named as photos of another folder."""
    folders = {key.rpartition("/")[0] for key in keys}
    of_labels = {one for one in folders if not {*one.lower().split("/")}.isdisjoint(_OF_LABELS)}
    if not of_labels:
        return
    photos = {_stem(key): key for key in keys if key.rpartition("/")[0] not in of_labels}
    maps = [k for k in keys if k.rpartition("/")[0] in of_labels and _stem(k) in photos]
    if maps:
        place = PurePosixPath(str(source), photos[_stem(maps[0])]).parent
        note(
            f"{source}: {len(maps):,} of {counted(len(keys), 'photo')} look like label maps, by "
            f"their names, the first is {maps[0]}; give the folder of the photos alone, as "
            f"{place}, or a list of them"
        )


def _stem(key: str) -> str:
    return PurePosixPath(key).stem


@dataclass
class Chooser:
    """Tells photos from other files by their names, and counts those left out.

    Attributes:
        extensions: What photos end in.
        kinds: How many photos of each other kind there were.
        hidden: How many hidden photos there were.
        tars: How many tars lie among the photos.
        dangling: How many photos were links of an archive to files that it doesn't hold.
        system: The names of system folders.
        unlisted: The folders that couldn't be listed, each with the reason.
    """

    extensions: tuple[str, ...]
    kinds: Counter[str] = field(default_factory=Counter)
    hidden: int = 0
    tars: int = 0
    dangling: int = 0
    system: set[str] = field(default_factory=set)
    unlisted: list[str] = field(default_factory=list)

    def enters(self, folder: str) -> bool:
        """Whether photos are looked for in a folder of this name."""
        if is_system_folder(folder):
            self.system.add(folder)
        return not (folder.startswith(".") or is_system_folder(folder))

    def takes(self, name: str) -> bool:
        """Whether a file of this name, without folders, is a photo to be used."""
        lower = name.lower()
        if lower.endswith(self.extensions):
            self.hidden += name.startswith(".")
            return not name.startswith(".")
        kind = PurePosixPath(lower).suffix
        self.tars += kind == ".tar"
        if kind in EXTENSIONS + BAND_EXTENSIONS + _NOT_DECODED and not name.startswith("."):
            self.kinds[kind] += 1
        return False

    def takes_path(self, path: str) -> bool:
        """Whether a member of an archive is a photo, as if the archive were unpacked."""
        *folders, name = PurePosixPath(path).parts or ("",)
        return all(self.enters(one) for one in folders if one != "..") and self.takes(name)

    def misses(self, dangling: bool) -> bool:
        """Counts a photo that is a link to nothing."""
        self.dangling += dangling
        return dangling

    def report(self, source: object, num_photos: int) -> None:
        """Notes in one sentence what was left out, if anything was."""
        left_out = []
        for why, kinds in _WHY.items():
            found = [(kind, number) for kind, number in sorted(self.kinds.items()) if kind in kinds]
            if found and not (num_photos and kinds == (".npy",)):  # features, beside photos
                files = ", ".join(counted(number, f"{kind} file") for kind, number in found)
                left_out.append(f"{files} ({why})")
        if self.system:
            left_out.append(f"system folders ({', '.join(sorted(self.system))})")
        if self.hidden:
            left_out.append(counted(self.hidden, "hidden photo"))
        if self.tars and num_photos:
            left_out.append(counted(self.tars, "tar") + " (read from a folder without photos)")
        if self.dangling:
            left_out.append(counted(self.dangling, "link") + " to files that the tar doesn't hold")
        if self.unlisted:
            more = f" and {len(self.unlisted) - 1} more" if len(self.unlisted) > 1 else ""
            left_out.append(f"the folder {self.unlisted[0]}{more}, which can't be listed")
        if left_out:
            note(f"{source}: {counted(num_photos, 'photo')}; left out: {'; '.join(left_out)}")
