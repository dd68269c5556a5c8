"""Figures without labels of a study's backbones, and how well they order them by transfer."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean

import torch

from detcon.data.recipe import ViewsRecipe
from detcon.downstream.label_free import AGREEMENT, LIDAR, RANKME, LabelFreeFigures
from detcon.masks.store import MaskStore
from detcon.models.backbone_file import load_backbone
from detcon.models.encoders import build_encoder
from detcon.photos import open_photos
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_start
from detcon.results.lines import append_line, read_lines
from detcon.results.statistics import RankCorrelation, rank_correlation
from detcon.study.arranged import panel_title
from detcon.study.cell import Cell, with_weights
from detcon.study.places import Places
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record

NAMES = {AGREEMENT: "neighbours of the start kept", RANKME: "RankMe", LIDAR: "LiDAR"}
ALL = "all panels"

Figures = Mapping[str, float]


def measure_backbone(study: StudyRecipe, cell: Cell, places: Places, backbone: Path) -> None:
    """Appends the figures of a cell's backbone to the study's file, unless they are there.

    All backbones of a study see the same photos, masks and views (those of DetCon-B, at the size
    of the pretraining's), whatever they were trained with.
    """
    wanted, settings = study.label_free, cell.settings.pretrain
    if wanted is None or settings is None or cell.pretraining in read_figures(study):
        return
    made = load_backbone(backbone)
    masks = None if wanted.masks is None else MaskStore(places.masks(wanted.images, wanted.masks))
    figures = LabelFreeFigures(
        wanted,
        made.recipe,
        start=_start(settings, places),
        photos=open_photos(places.images(wanted.images), made.recipe.in_channels),
        masks=masks,
        views=ViewsRecipe(size=settings.views.size),
        normalisation=made.normalisation,
        seed=0,
    )
    row = {"pretraining": cell.pretraining, "sample": _sample(study)}
    append_line(Path(study.label_free_file), row | {"figures": figures.measure(made.encoder)})


def _start(settings: PretrainRecipe, places: Places) -> torch.nn.Module:
    """The encoder that a pretraining began with: its weights, or the fresh ones of its seed."""
    placed = with_weights(
        settings, lambda one: one.model_copy(update={"source": places.weights(one.source)})
    )
    _, start = open_start(placed)
    if start is not None:
        return start.encoder
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)  # as pretraining does
        return build_encoder(settings.encoder, run_own=True)


def _sample(study: StudyRecipe) -> Mapping[str, object]:
    assert study.label_free is not None
    return study.label_free.model_dump(mode="json")


def read_figures(study: StudyRecipe) -> dict[str, Figures]:
    """The figures of a study's backbones on today's sample, by their pretraining."""
    if study.label_free is None:
        return {}
    rows, _ = read_lines(Path(study.label_free_file))
    return {
        row["pretraining"]: row["figures"]
        for row in rows.values()
        if row.get("sample") == _sample(study)
    }


def orders(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]
) -> dict[tuple[str, str], RankCorrelation]:
    """How well each figure orders the backbones by the mean of their transfers, for each panel.

    Backbones that weren't pretrained aren't among them: that a figure tells them from the others
    says nothing of how it orders the others. Nor are those of which a transfer is missing.

    Returns:
        By the name of the figure and the title of the panel; that is `ALL` for all panels
        together, where all are of one task.
    """
    figures, panels = read_figures(study), dict[str, dict[str, list[float]]]()
    measured = [one for one in cells if one.pretraining in figures and one.fingerprint in done]
    tasks = {(str(one.settings.transfer.task), one.settings.transfer.data) for one in measured}
    for cell in measured:
        titles = {panel_title(study, point) for point in cell.points}
        for title in titles | ({ALL} if len(tasks) == 1 and study.figure.panels else set()):
            values = panels.setdefault(title, {}).setdefault(cell.pretraining or "", [])
            values.append(done[cell.fingerprint].value)
    found = {}
    for name, words in NAMES.items():
        for title, values in panels.items():
            most = max(map(len, values.values()))
            pairs = [
                (figures[run][name], fmean(some))
                for run, some in values.items()
                if len(some) == most and name in figures[run]
            ]
            if (one := rank_correlation(pairs)) is not None:
                found[words, title] = one
    return found
