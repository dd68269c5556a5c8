"""What the user's folders held when a cell was made, and whether they hold the same now."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path

from detcon.notes import counted, note
from detcon.photos import open_photos
from detcon.results.inputs import Inventory, photos_inventory, take_inventory, what_changed
from detcon.study import StudyError
from detcon.study.cell import Cell
from detcon.study.places import Places
from detcon.study.recipe import Folder, StudyRecipe
from detcon.study.records import Record


class DataNow:
    """Inventories of a study's folders, each taken once; built-in scenes need none."""

    def __init__(self, study: StudyRecipe, places: Places) -> None:
        self._study, self._places = study, places
        self._labelled, self._photos = cache(self._take_labelled), cache(self._take_photos)

    def of(self, cell: Cell) -> dict[str, tuple[str, Inventory]]:
        """The folders of a cell that are there, by what they are to it: its `data` and `images`.

        Each by the study's name, with what it holds: all files of labelled data, the names and
        marks of the photos of a pretraining.
        """
        settings, found = cell.settings, {}
        if self._is_there(name := settings.transfer.data):
            found["data"] = name, self._labelled(name)
        if settings.pretrain and self._is_there(name := settings.pretrain.images):
            found["images"] = name, self._photos(name, settings.pretrain.encoder.in_channels)
        if settings.supervise and self._is_there(name := settings.supervise.data):
            found["images"] = name, self._labelled(name)
        return found

    def _is_there(self, name: str) -> bool:
        data = self._study.data[name]
        return isinstance(data, Folder) and data.path is not None and Path(data.path).is_dir()

    def _take_labelled(self, name: str) -> Inventory:
        return take_inventory(self._places.data(name), without=Path(self._study.work_folder))

    def _take_photos(self, name: str, channels: int) -> Inventory:
        return photos_inventory(open_photos(self._places.images(name), channels))


def recorded_inputs(study: StudyRecipe, cell: Cell, places: Places) -> dict[str, dict[str, object]]:
    """What the folders of a cell hold, for its result: the same wherever they lie."""
    found = DataNow(study, places).of(cell)
    return {part: asdict(replace(one, newest="")) for part, (_, one) in found.items()}


def check_inputs(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record], places: Places
) -> None:
    """Refuses finished cells that learnt from other data than their names stand for now.

    Results of earlier versions, which recorded none, aren't compared: a sentence counts them.

    Raises:
        StudyError: There are some.
    """
    now, unknown, others = DataNow(study, places), 0, dict[str, list[str]]()
    for cell in cells:
        if cell.fingerprint not in done:
            continue
        there, before = now.of(cell), done[cell.fingerprint].inputs
        unknown += bool(there) and before is None
        for part, (name, inventory) in there.items():
            then = Inventory(**before[part]) if before and part in before else inventory
            if how := what_changed(then, inventory, same_place=False):
                others.setdefault(f"data.{name} holds now ({how})", []).append(cell.name)
    if unknown:
        note(
            f"{study.results_file}: {counted(unknown, 'finished cell')} of an earlier version, "
            f"which recorded nothing of the data, so that it can't be compared with the data now"
        )
    for what, some in others.items():
        raise StudyError(
            f"{counted(len(some), 'finished cell')} of {study.results_file}, {some[0]} first, "
            f"learnt from other data than {what}; give those, or move their lines away to run "
            f"them again, or give another results= and work="
        )
