"""`detcon study ... --report`: a section of Markdown and a figure, from the results alone."""

import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from detcon.files import write_whole
from detcon.results.statistics import Curve, correlation, effects, half_width, paired, sooner
from detcon.study import StudyError
from detcon.study.arranged import Source, StudyPanel, arrange
from detcon.study.cell import Cell
from detcon.study.figures import draw_study
from detcon.study.label_free import orders
from detcon.study.recipe import StudyRecipe
from detcon.study.records import Record
from detcon.train.limit import SECONDS_AN_HOUR

TITLE = "# The paper's claims, measured here\n"
_SAME = 0.9  # correlation of two quantities from which a regression can't tell them apart


def write_report(study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]) -> Path:
    """Writes the study's section into `out`, in the place of an older one, and its figure.

    Sections of other studies and all other text of the file stay as they are.
    """
    if not done:
        raise StudyError(
            f"no cell of the study {study.name} is finished in {study.results_file}; run it "
            f"first: detcon study STUDY.yaml"
        )
    page = Path(study.out)
    picture = page.with_suffix("") / f"{study.name}.svg"
    panels = arrange(study, cells, done)
    write_whole(picture, draw_study(study, panels))
    before = page.read_text("utf-8") if page.is_file() else TITLE
    address = f"{page.stem}/{picture.name}"
    parts = [*_tables(study, panels, address), *_label_free(study, cells, done)]
    section = "\n\n".join([*parts, _footing(cells, done)]) + "\n"
    write_whole(page, _replaced(before, study.name, section, page))
    return page


def _tables(study: StudyRecipe, panels: Sequence[StudyPanel], picture: str) -> list[str]:
    """The paragraphs of a section: claim, figure, tables."""
    metrics = list(dict.fromkeys(panel.metric for panel in panels))
    one = metrics[0] if len(metrics) == 1 else None
    parts = [f"## {study.name.replace('_', ' ').capitalize()}", f"**The paper:** {study.claim}"]
    if study.found:
        parts.append(f"**Found:** {study.found.strip()}")
    parts.append(f"![{study.name}: {one or 'figures'} by {study.figure.x}]({picture})")
    parts.append(
        f"{one or 'Figures'}: the mean ± half of its 95 % interval (Student's t over seeds), and "
        f"each seed."
    )
    for panel in panels:
        heading = panel.title if one else f"{panel.title}, {panel.metric}"
        parts += [f"{heading[:1].upper()}{heading[1:]}:"] if panel.title else []
        if study.figure.lines:
            parts.append(_table(study, panel))
        elif panel.sources.keys() != {str(x) for x in panel.places}:  # their table has its values
            parts.append(_list(study, panel))
        parts += _sooner(study, panel)
        if panel.sources:
            parts.append(_sources(study, panel))
        if study.figure.baseline and study.figure.lines:
            parts.append(_differences(study, panel, study.figure.baseline))
    parts += [*_seconds(panels), *_ranks(panels)]
    if study.differs:
        parts.append(f"**What differs from the paper:** {study.differs.strip()}")
    return parts


def _table(study: StudyRecipe, panel: StudyPanel) -> str:
    rows = [_row(_heading(study), panel.places), "|---" * (len(panel.places) + 1) + "|"]
    for name, line in panel.lines.items():
        texts = [_mean(list(line[x].values())) if x in line else "" for x in panel.places]
        rows.append(_row(name, texts))
    return "\n".join(rows)


def _list(study: StudyRecipe, panel: StudyPanel) -> str:
    """The only line of a panel, a row for each place along x."""
    (line,), over = panel.lines.values(), _over(study, panel)
    columns = [panel.metric, *([f"over {study.figure.baseline}"] if over else [])]
    rows = [
        _row(study.figure.x.rpartition(".")[2], columns),
        "|---" * (len(columns) + 1) + "|",
    ]
    for x, seeds in line.items():
        more = [over.get(str(x), "")] if over else []
        rows.append(_row(str(x), [_mean(list(seeds.values())), *more]))
    return "\n".join(rows)


def _over(study: StudyRecipe, panel: StudyPanel) -> dict[str, str]:
    """The differences of the only line's places from one of them, the baseline, by place."""
    if study.figure.lines or not study.figure.baseline:
        return {}
    (line,) = panel.lines.values()
    places = {str(x): seeds for x, seeds in line.items()}
    against = places.pop(study.figure.baseline, {})
    pairs = {x: paired(seeds, against) for x, seeds in places.items()}
    return {x: _mean(pair, sign="+") for x, pair in pairs.items() if pair}


def _seconds(panels: Sequence[StudyPanel]) -> Iterator[str]:
    """What a pretraining of each line takes, place after place along x; of all panels together."""
    found: dict[str, dict[Any, set[int]]] = {}
    for panel in panels:
        for name, places in panel.seconds.items():
            for x, seconds in places.items():
                found.setdefault(name, {}).setdefault(x, set()).add(round(seconds))
    told = []
    for name, places in found.items():
        each = [" to ".join(map(str, sorted({min(s), max(s)}))) for s in places.values()]
        if {*each} != {"0"}:
            told.append(f"{name}: {', '.join(each if len({*each}) > 1 else each[:1])}")
    if told:
        yield (
            f"Seconds of a pretraining, at the speed of the fastest run of its method, network and "
            f"size of views: {'; '.join(told)}."
        )


def _ranks(panels: Sequence[StudyPanel]) -> Iterator[str]:
    """In how many directions embeddings vary, place after place along x; of all panels."""
    found: dict[str, dict[Any, list[float]]] = {}
    for panel in panels:
        for name, places in panel.ranks.items():
            for x, seeds in places.items():
                found.setdefault(name, {}).setdefault(x, []).extend(seeds.values())
    along = dict.fromkeys(x for panel in panels for x in panel.places)
    told = []
    for name, of in found.items():
        each = []
        for x in along:
            if x in of:
                ends = dict.fromkeys(f"{rank:.1f}" for rank in (min(of[x]), max(of[x])))
                each.append(f"{x} {' to '.join(ends)}")
        told.append(f"{name}: {', '.join(each)}")
    if told:
        yield (
            f"Directions in which the embeddings vary after pretraining (effective rank, lowest to "
            f"highest run; 1 is collapsed; earlier versions didn't record it): {'; '.join(told)}."
        )


def _sources(study: StudyRecipe, panel: StudyPanel) -> str:
    over = _over(study, panel)
    columns = ["average best overlap with the true ones", "number", "mean area, %", "value"]
    columns += [f"over {study.figure.baseline}"] if over else []
    rows = [_row("masks", columns), "|---|--:|--:|--:" + "|---" * (len(columns) - 3) + "|"]
    for name, source in panel.sources.items():
        number = "" if source.number is None else f"{source.number:.1f}"
        area = "" if source.area is None else f"{100 * source.area:.1f}"
        more = [over.get(name, "")] if over else []
        known = [f"{source.overlap:.3f}", number, area, _mean(source.values)]
        rows.append(_row(name, [*known, *more]))
    sources = list(panel.sources.values())
    found = correlation([(one.overlap, one.values) for one in sources])
    if found is not None:
        rows.append(
            f"\nOver these {len(sources)} sources, overlap and mean go together with r = "
            f"{found[0]:.2f} (95 % interval {found[1]:.2f} to {found[2]:.2f})."
        )
    if not any(one.number is None or one.area is None for one in sources):
        rows += _told_apart(sources)
    return "\n".join(rows)


def _told_apart(sources: Sequence[Source]) -> Iterator[str]:
    """The effect of overlap, number and area, each with the others unchanged."""
    logs = np.log([[max(one.number or 0, 1e-9), max(one.area or 0, 1e-9)] for one in sources])
    values = {
        "overlap": np.array([one.overlap for one in sources]),
        "number (logarithm)": logs[:, 0],
    }
    if not np.ptp(logs, axis=0).all():  # all sources are alike
        return
    together = np.corrcoef(logs.T)[0, 1]
    of_area = (
        f"The more masks, the smaller they are (number and area go together with r = "
        f"{together:.2f}): one effect, said of the number."
    )
    if abs(together) < _SAME:
        values["area (logarithm)"] = logs[:, 1]
        of_area = f"Number and area go together with r = {together:.2f}."
    found = effects(np.stack(list(values.values()), axis=1), [one.values for one in sources])
    if found is None:
        return
    told = (
        f"{name} {one.size:+.1f} ({one.low:+.1f} to {one.high:+.1f})"
        for name, one in zip(values, found)
    )
    yield (
        f"\nIn a linear regression over these sources, one standard deviation more of one of them, "
        f"with the others unchanged, changes the value by: {', '.join(told)}. In brackets the 95 % "
        f"interval, sources and seeds resampled. {of_area}"
    )


def _label_free(
    study: StudyRecipe, cells: Sequence[Cell], done: Mapping[str, Record]
) -> Iterator[str]:
    found = orders(study, cells, done)
    if not found:
        return
    titles = {title for _, title in found} - {""}
    head = [*(["transfer"] if titles else []), "rank correlation", "95 % interval", "backbones"]
    rows = [_row("figure without labels", head), "|---" * (len(head) + 1) + "|"]
    for (name, title), one in found.items():
        spread = f"{one.low:+.2f} to {one.high:+.2f}"
        place = [title] if titles else []
        rows.append(_row(name, [*place, f"{one.rho:+.2f}", spread, one.num]))
    yield (
        "How well figures without labels order the pretrained backbones by their transfer "
        "(Spearman; the interval is over resampled backbones; one that holds 0 orders nothing):\n\n"
        + "\n".join(rows)
    )


def _differences(study: StudyRecipe, panel: StudyPanel, baseline: str) -> str:
    rows = [
        f"Differences from {baseline}, seed by seed:\n",
        _row(_heading(study), panel.places),
        "|---" * (len(panel.places) + 1) + "|",
    ]
    against = panel.lines.get(baseline, {})
    for name, line in panel.lines.items():
        pairs = [paired(line.get(x, {}), against.get(x, {})) for x in panel.places]
        if name != baseline and any(pairs):
            rows.append(_row(name, [_mean(pair, sign="+") if pair else "" for pair in pairs]))
    return "\n".join(rows)


def _sooner(study: StudyRecipe, panel: StudyPanel) -> Iterator[str]:
    for first, second in study.figure.sooner if len(panel.places) > 1 else ():
        if not {first, second} <= panel.lines.keys():
            continue
        found = sooner(*(_curve(panel, name) for name in (first, second)))
        if found is None:
            yield (
                f"No factor between {first} and {second}: from its first budget on, one is above "
                f"all that the other reaches."
            )
            continue
        floors = panel.lines.get(study.figure.floor or "", {}).values()
        floor = fmean([value for seeds in floors for value in seeds.values()] or [-math.inf])
        if found.level <= floor:
            yield (
                f"No factor between {first} and {second}: the most that both reach, "
                f"{found.level:.1f}, is no more than {study.figure.floor} has without any "
                f"pretraining, {floor:.1f}."
            )
            continue
        seeds = {seed for name in (first, second) for s in panel.lines[name].values() for seed in s}
        spread = (
            f"95 % interval {found.low:.1f} to {found.high:.1f}, seeds resampled; both cross a "
            f"level in {100 * found.crossing:.0f} % of the draws"
            if len(seeds) > 1
            else "one seed, and so no interval"
        )
        yield (
            f"For {found.level:.1f}, the most that both reach, **{second} needs "
            f"{found.factor:.1f} times the {study.figure.x} of {first}** ({spread})."
        )
        timed = sooner(*(_curve(panel, name, in_seconds=True) for name in (first, second)))
        if timed is not None:
            yield (
                f"In seconds of pretraining, at the speed of each one's fastest run, that is a "
                f"factor of {timed.factor:.1f}"
                + (f" ({timed.low:.1f} to {timed.high:.1f})." if len(seeds) > 1 else ".")
            )


def _curve(panel: StudyPanel, name: str, *, in_seconds: bool = False) -> Curve:
    """The values of a line's seeds by its place along x, or by the seconds there."""
    seconds = panel.seconds[name]
    return {
        seconds[x] if in_seconds else x: list(seeds.values())
        for x, seeds in panel.lines[name].items()
    }


def _footing(cells: Sequence[Cell], done: Mapping[str, Record]) -> str:
    records = [done[cell.fingerprint] for cell in cells if cell.fingerprint in done]
    runs = {cell.pretraining: done[cell.fingerprint] for cell in cells if cell.fingerprint in done}
    seconds = sum(record.seconds["pretrain"] for record in runs.values())
    seconds += sum(record.seconds["transfer"] for record in records)
    machines = sorted(
        {f"{one.machine['cpu']}, threads: {one.machine['threads']}" for one in records}
    )
    torch = sorted({str(one.versions.get("torch")) for one in records})
    missing = f" ({len(cells) - len(records)} are missing)" if len(records) < len(cells) else ""
    commands = "\n".join(sorted({_whole(record.command) for record in records}))
    mixed = (
        " The processors round otherwise: on another one a pretraining of the same seed is another "
        "draw, so that differences between methods hold within one alone."
    )
    return (
        f"{len(records)} of {len(cells)} cells{missing}, {seconds / SECONDS_AN_HOUR:.1f} hours; "
        f"{'; '.join(machines)}; torch {', '.join(torch)}."
        f"{mixed if len({one.machine['cpu'] for one in records}) > 1 else ''}"
        f"\n\n```\n{commands}\n```"
    )


def _whole(command: str) -> str:
    """The command for all cells, without what chose some of them for one process."""
    chosen = ("exclude=", "shard=", "hours=")
    return shlex.join(part for part in shlex.split(command) if not part.startswith(chosen))


def _mean(values: Sequence[float], sign: str = "") -> str:
    width, written = half_width(values), f"{fmean(values):{sign}.1f}"
    spread = "" if width is None else f" ± {width:.1f}"
    return f"{written}{spread} ({', '.join(f'{value:{sign}.1f}' for value in values)})"


def _heading(study: StudyRecipe) -> str:
    return (study.figure.lines or "").rpartition(".")[2]


def _row(name: str, cells: Sequence[object]) -> str:
    return f"| {' | '.join([name, *map(str, cells)])} |"


def _replaced(page: str, name: str, section: str, path: Path) -> str:
    """The page with the section between the marks of this study, at the end if it has none."""
    begin, end = f"<!-- study {name} -->\n", f"<!-- end of study {name} -->\n"
    head, found, rest = page.partition(begin)
    if not found:
        return f"{page.rstrip()}\n\n{begin}{section}{end}"
    _, found, tail = rest.partition(end)
    if not found:
        raise StudyError(
            f"{path} has the mark '{begin.strip()}' without '{end.strip()}' below it; put it back, "
            f"or remove the mark for a new section at the end"
        )
    return f"{head}{begin}{section}{end}{tail}"
