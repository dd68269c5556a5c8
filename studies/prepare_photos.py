"""Prepare the data of the photos_*.yaml studies: folders of links to photos that you bring.

    python studies/prepare_photos.py data/

`data/` holds `camvid/train`, `imagenette160/train` and `rooms128`; what is missing is left out.
Their splits are written beside them, or into `--out FOLDER`. Nothing is copied.

- `camvid_streets`: CamVid's training photos alone, to choose settings on. Val has the last third of
  each of its three sequences in order of name (121 photos), train the rest (246).
- `imagenette_labelled`: the photos of Imagenette's training part; every fifth of a class is val,
  from the first on. `imagenette_labelled_fifth`: the same from the fifth on, by which
  studies/photos_efficiency.yaml is judged, whose results are older than this script.
- `rooms`: 441 rendered rooms split by scene: 117 scenes are train (351 photos), 30 val (90).
"""

import argparse
from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("data", type=Path, help="holds camvid, imagenette160 and rooms128")
    parser.add_argument("--out", type=Path, help="where the splits are written (default: there)")
    arguments = parser.parse_args()
    data, out = arguments.data.resolve(), arguments.out or arguments.data
    splits = {"camvid": camvid_streets, "imagenette160": imagenette_labelled, "rooms128": rooms}
    for source, prepare in splits.items():
        if (data / source).is_dir():
            prepare(data / source, out)
        else:
            print(f"no {data / source}: left out")


def camvid_streets(source: Path, out: Path) -> None:
    sequences = defaultdict(list)
    for photo in sorted((source / "train" / "images").iterdir()):
        sequences[photo.name[:6]].append(photo)  # 0001TP_006690.jpg: the sequence is 0001TP
    for photos in sequences.values():
        last_third = len(photos) - len(photos) // 3
        for split, part in (("train", photos[:last_third]), ("val", photos[last_third:])):
            link(part, out / "camvid_streets" / split / "images")
            labels = [source / "train" / "labels" / f"{photo.stem}.png" for photo in part]
            link(labels, out / "camvid_streets" / split / "labels")


def imagenette_labelled(source: Path, out: Path) -> None:
    for folder in sorted((source / "train").iterdir()):
        photos = sorted(folder.iterdir())
        for name, first in (("imagenette_labelled", 0), ("imagenette_labelled_fifth", 4)):
            link(photos[first::5], out / name / "val" / folder.name)
            kept_for_training = [photo for i, photo in enumerate(photos) if i % 5 != first]
            link(kept_for_training, out / name / "train" / folder.name)


def rooms(source: Path, out: Path) -> None:
    # 01000_2_rgb.png: scene 01000, view 2
    scenes = sorted({path.name[:5] for path in source.glob("*_rgb.png")})
    for split, part in (("train", scenes[:117]), ("val", scenes[117:])):
        for kind, folder in (("rgb", "images"), ("depth", "depth")):
            for scene in part:
                views = source.glob(f"{scene}_*_{kind}.png")
                link(views, out / "rooms" / split / folder, drop=f"_{kind}")


def link(files: Iterable[Path], folder: Path, drop: str = "") -> None:
    """Link `files` into `folder` under their names, without `drop`."""
    folder.mkdir(parents=True, exist_ok=True)
    for file in files:
        target = folder / (file.name.replace(drop, "") if drop else file.name)
        if not target.is_symlink():
            target.symlink_to(file)


if __name__ == "__main__":
    main()
