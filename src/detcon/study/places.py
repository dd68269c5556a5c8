"""Folders of the data and masks of a study on this machine; makes what can be made."""

from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path

from detcon.files import locked
from detcon.masks.quality.overlap import Quality
from detcon.masks.quality.scoring import score_stores
from detcon.masks.quality.truth import open_truth
from detcon.masks.sources import Displaced, FromAnnotations
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.scenes.write import make_scenes
from detcon.study import StudyError
from detcon.study.cell import Cell
from detcon.study.recipe import Folder, StudyRecipe

_SCORED = 200  # photos


def check_folders(study: StudyRecipe, cells: Iterable[Cell]) -> None:
    """Checks that the data and weights that cells need are given, before anything begins."""
    for cell in cells:
        for name in cell.data:
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
        for name in cell.weights:
            if name in study.weights and study.weights[name].path is None:
                raise StudyError(
                    f"the study {study.name} needs {study.weights[name].what}; give its place: "
                    f"weights.{name}=FILE"
                )


def lock_file(study: StudyRecipe, what: str) -> Path:
    """The file whose lock a process holds while it makes something in the study's work folder."""
    return Path(study.work_folder, "locks", what)


class Places:
    """The folders that a study's names stand for; missing ones are made in its work folder.

    Another process that needs the same one waits until it is made.
    """

    def __init__(self, study: StudyRecipe) -> None:
        self._study = study
        self._data: dict[str, Path] = {}
        self._masks: dict[tuple[str, str], Path] = {}
        self._qualities: dict[tuple[str, str], Quality | None] = {}

    def data(self, name: str) -> Path:
        """The labelled folder."""
        if name not in self._data:
            data = self._study.data[name]
            if isinstance(data, Folder):
                self._data[name] = Path(data.path or "")
            else:
                out = Path(self._study.work_folder, "data", name)
                settings = data.model_dump(exclude={"kind"})
                with locked(lock_file(self._study, f"data-{name}")):
                    self._data[name] = make_scenes(out=out, **settings)
        return self._data[name]

    def weights(self, source: str) -> str:
        """The source of weights that a name of the study stands for; others stay as they are."""
        named = self._study.weights.get(source)
        return named.path or source if named else source

    def images(self, name: str) -> Path:
        """The photos to pretrain on: those of `train`, or a folder of nothing but photos."""
        data = self.data(name)
        return data / "train" / "images" if (data / "train" / "images").is_dir() else data

    def masks(self, data: str, source: str) -> Path:
        """The store of a source's masks of the photos."""
        if (data, source) not in self._masks:
            generator = self._study.masks[source]
            if isinstance(generator, FromAnnotations | Displaced):
                place = str(self.data(data) / generator.folder)
                generator = replace(generator, folder=place)
            images = self.images(data)
            with locked(lock_file(self._study, f"masks-{data}-{source}")):
                self._masks[data, source] = make_masks(
                    images=images,
                    out=Path(self._study.work_folder, "masks", data, source),
                    generator={one.name: getattr(generator, one.name) for one in fields(generator)},
                )
        return self._masks[data, source]

    def quality(self, data: str, source: str) -> Quality | None:
        """As `quality_of`, of a source's masks; measured once."""
        if (data, source) not in self._qualities:
            self._qualities[data, source] = self.quality_of(data, self.masks(data, source))
        return self._qualities[data, source]

    def quality_of(self, data: str, store: Path) -> Quality | None:
        """How a store's masks match those that the study calls true, how many and how large.

        On at most 200 photos. None where the study names no true masks for this data.
        """
        if data not in self._study.overlap:
            return None
        truth = open_truth(str(self.masks(data, self._study.overlap[data])))
        (score,) = score_stores([MaskStore(store)], truth, num=_SCORED)
        return score.quality()
