"""What the names in a study stand for on this machine: folders, made where that is possible."""

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from detcon.discover.recipe import make_masks
from detcon.masks import FromAnnotations
from detcon.scenes.write import make_scenes
from detcon.study.cell import Cell
from detcon.study.errors import StudyError
from detcon.study.recipe import Folder, StudyRecipe


def check_folders(study: StudyRecipe, cells: Iterable[Cell]) -> None:
    """Complains of folders that cells need and that aren't there, before anything is begun.

    Raises:
        StudyError: One sentence that says which, and what should be in it.
    """
    for cell in cells:
        pretrain, transfer = cell.settings.pretrain, cell.settings.transfer
        for name in {transfer.data, pretrain.images if pretrain else transfer.data}:
            data = study.data[name]
            if not isinstance(data, Folder):
                continue
            if data.path is None:
                raise StudyError(
                    f"the study {study.name} needs {data.what}; give its place: data.{name}=DIR"
                )
            if not Path(data.path).is_dir():
                raise StudyError(
                    f"there is no folder {data.path}, which data.{name} names; the study "
                    f"{study.name} needs {data.what}"
                )


def open_data(study: StudyRecipe, name: str) -> Path:
    """The labelled folder of that name."""
    data = study.data[name]
    if isinstance(data, Folder):
        return Path(data.path or "")
    out = Path(study.work_folder, "data", name)
    return make_scenes(out=out, num=data.num, size=data.size, seed=data.seed)


def open_images(study: StudyRecipe, name: str) -> Path:
    """The photos to pretrain on: those of `train`, or a folder of nothing but photos."""
    data = open_data(study, name)
    return data / "train" / "images" if (data / "train" / "images").is_dir() else data


def open_masks(study: StudyRecipe, data: str, source: str) -> Path:
    """The store of a source's masks of a set's photos, made once in the work folder."""
    generator = study.masks[source]
    if isinstance(generator, FromAnnotations):
        place = str(open_data(study, data) / generator.folder)
        generator = replace(generator, folder=place)
    return make_masks(
        images=open_images(study, data),
        out=Path(study.work_folder, "masks", data, source),
        generator={one.name: getattr(generator, one.name) for one in fields(generator)},
    )
