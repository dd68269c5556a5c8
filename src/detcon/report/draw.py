"""Drawing on photos: masks, the regions of views, label maps, features. Arrays in, arrays out.

Colours are those of Okabe and Ito (https://jfly.uni-koeln.de/color/), which people with any of
the common colour deficiencies can tell apart. There are seven without black, so neighbours get
different ones, and where a colour must be matched between two pictures a number goes with it.
"""

import base64
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8

from detcon.masks import Masks
from detcon.palette import OKABE_ITO, rgb
from detcon.photos import shown

Colour = tuple[int, int, int]

COLOURS = [rgb(colour) for colour in OKABE_ITO.values()]


def mask_colours(masks: Masks) -> dict[int, Colour]:
    """A colour for each mask; touching masks differ, if each mask is one connected piece.

    Greedy colouring in "smallest last" order (Matula and Beck, 1983): each mask takes the least
    used colour that none of its neighbours has. Six colours suffice for a map without corners.
    Overlapping masks get the colours in turn.
    """
    ids = masks.ids.tolist()
    if masks.membership is not None:
        return {i: COLOURS[i % len(COLOURS)] for i in ids}
    touching = _touching(masks.patterns)
    used = [0] * len(COLOURS)
    chosen: dict[int, int] = {}
    for i in _smallest_last(ids, touching):
        taken = {chosen[j] for j in touching.get(i, ()) if j in chosen}
        free = [c for c in range(len(COLOURS)) if c not in taken] or list(range(len(COLOURS)))
        chosen[i] = min(free, key=lambda c: (used[c], c))
        used[chosen[i]] += 1
    return {i: COLOURS[chosen[i]] for i in ids}


def _smallest_last(ids: list[int], touching: dict[int, set[int]]) -> list[int]:
    """Removes the mask with the fewest neighbours left, again and again; that order, reversed."""
    left = {i: set(touching.get(i, ())) for i in ids}
    order = []
    while left:
        fewest = min(left, key=lambda i: (len(left[i]), i))
        for neighbour in left.pop(fewest):
            if neighbour in left:
                left[neighbour].discard(fewest)
        order.append(fewest)
    return order[::-1]


def _touching(labels: Integer[np.ndarray, "y x"]) -> dict[int, set[int]]:
    """For each id, the ids that it touches at a side or a corner."""
    shifts = [
        (labels[:, :-1], labels[:, 1:]),
        (labels[:-1], labels[1:]),
        (labels[:-1, :-1], labels[1:, 1:]),
        (labels[:-1, 1:], labels[1:, :-1]),
    ]
    pairs = np.concatenate([np.stack([a.ravel(), b.ravel()], 1) for a, b in shifts])
    pairs = np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)
    touching: dict[int, set[int]] = {}
    for one, other in pairs.tolist():
        touching.setdefault(one, set()).add(other)
        touching.setdefault(other, set()).add(one)
    return touching


def scale_to(picture: UInt8[np.ndarray, "y x c"], side: int) -> UInt8[np.ndarray, "Y X 3"]:
    """The picture as RGB, its longest side at `side` pixels so that lines can be drawn finely."""
    height, width = picture.shape[:2]
    scale = side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(shown(picture), size, interpolation=how))


def paint_masks(photo: UInt8[np.ndarray, "y x 3"], masks: Masks) -> UInt8[np.ndarray, "y x 3"]:
    """Paints all masks onto a photo. Pixels without a mask keep their colours."""
    colours = mask_colours(masks)
    return paint_regions(photo, masks.stack(), [colours[i] for i in masks.ids.tolist()], fill=0.45)


def paint_regions(
    picture: UInt8[np.ndarray, "y x 3"],
    regions: Bool[np.ndarray, "r h w"],
    colours: Sequence[Colour],
    *,
    fill: float = 0.25,
    line: int = 2,
) -> UInt8[np.ndarray, "y x 3"]:
    """Fills regions translucently and outlines them, on a wider white line.

    Args:
        regions: At any resolution; stretched over the whole picture.
        colours: One a region. The first regions are drawn last, on top.
        fill: How much of the colour covers the picture, 0 to 1.
        line: Width of the outlines in pixels of the picture.
    """
    size = picture.shape[1::-1]
    large = [_to_size(region, size) for region in regions]
    tinted = picture.astype(np.float32)
    for region, colour in zip(large[::-1], colours[::-1]):
        tinted[region] += fill * (np.array(colour, np.float32) - tinted[region])
    painted = np.ascontiguousarray(tinted.round().astype(np.uint8))
    how = cv2.RETR_CCOMP, cv2.CHAIN_APPROX_NONE
    outlines = [cv2.findContours(region.astype(np.uint8), *how)[0] for region in large]
    for outline in outlines:
        cv2.drawContours(painted, outline, -1, (255, 255, 255), line + 2, cv2.LINE_AA)
    for outline, colour in zip(outlines[::-1], colours[::-1]):
        cv2.drawContours(painted, outline, -1, colour, line, cv2.LINE_AA)
    return painted


def number_regions(
    picture: UInt8[np.ndarray, "y x 3"], regions: Bool[np.ndarray, "r h w"], names: Sequence[str]
) -> UInt8[np.ndarray, "y x 3"]:
    """Writes a name into the middle of each region: at the point farthest from its outline."""
    size = picture.shape[1::-1]
    written = picture.copy()
    for region, name in zip(regions, names):
        inside = np.pad(_to_size(region, size), 1).astype(np.uint8)
        if inside.any():
            depth = np.asarray(cv2.distanceTransform(inside, cv2.DIST_L2, 5))[1:-1, 1:-1]
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            _write(written, name, int(column), int(row))
    return written


def frame_cuts(
    photo: UInt8[np.ndarray, "y x 3"], cuts: Sequence[tuple[float, float, float, float]]
) -> UInt8[np.ndarray, "y x 3"]:
    """Draws where views were cut out: numbered frames, the first solid, the others dashed.

    Args:
        cuts: Top, left, bottom and right as shares (0 to 1) of the photo's height and width.
    """
    framed = photo.copy()
    last = np.tile(photo.shape[:2], 2) - 1
    for number, cut in enumerate(cuts, start=1):
        y0, x0, y1, x1 = (np.array(cut) * last).round().astype(int).tolist()
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        for begin, end in zip(corners, [*corners[1:], corners[0]]):
            _frame_side(framed, np.array(begin), np.array(end), dashed=number > 1)
        size = max(photo.shape[:2]) // 24
        corner = (x1 - 2 * size, y1 - size) if number > 1 else (x0 + 2 * size, y0 + size)
        _write(framed, f"view {number}", *corner)
    return framed


def _frame_side(
    picture: UInt8[np.ndarray, "y x 3"],
    begin: Integer[np.ndarray, " 2"],
    end: Integer[np.ndarray, " 2"],
    *,
    dashed: bool,
) -> None:
    length = max(float(np.hypot(*(end - begin))), 1.0)
    starts = np.arange(0, length, 14) if dashed else [0.0]
    pieces = [(s, min(s + 8, length) if dashed else length) for s in starts]
    for colour, width in (((255, 255, 255), 5), ((20, 20, 20), 2)):
        for ends in pieces:
            one, other = ((begin + (end - begin) * e / length).round().astype(int) for e in ends)
            cv2.line(picture, one.tolist(), other.tolist(), colour, width)


def features_as_rgb(
    features: Sequence[Float[np.ndarray, "c _ _"]],
) -> tuple[list[UInt8[np.ndarray, "_ _ 3"]], float]:
    """The first three principal components of several feature maps as red, green and blue.

    The components are fitted jointly over all cells of all maps, so that a colour means the same
    in each. Every component is stretched between its 2nd and 98th percentile; its sign, which is
    arbitrary, is such that its largest weight is positive.

    Returns:
        One picture a map, one pixel a cell, and the share of the variance (0 to 1) that the three
        components hold.
    """
    cells = np.concatenate([f.reshape(len(f), -1).T for f in features]).astype(np.float64)
    mean = cells.mean(0)
    _, strength, directions = np.linalg.svd(cells - mean, full_matrices=False)
    directions = directions[:3]
    largest = np.abs(directions).argmax(1)[:, None]
    directions *= np.sign(np.take_along_axis(directions, largest, 1))
    values = (cells - mean) @ directions.T
    low, high = np.percentile(values, [2, 98], axis=0)
    stretched = np.clip((values - low) / np.maximum(high - low, 1e-12), 0, 1)
    channels = np.zeros((len(cells), 3))
    channels[:, : stretched.shape[1]] = stretched
    total = float((strength**2).sum())
    share = float((strength[:3] ** 2).sum()) / total if total > 0 else 0.0
    ends = np.cumsum([f.shape[1] * f.shape[2] for f in features])[:-1]
    parts = np.split((channels * 255).round().astype(np.uint8), ends)
    return [p.reshape(*f.shape[1:], 3) for p, f in zip(parts, features)], share


def data_uri(picture: UInt8[np.ndarray, "y x 3"], *, photo: bool = True) -> str:
    """The picture as a data URI: JPEG for photos, PNG for flat colours."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 88] if photo else [cv2.IMWRITE_PNG_COMPRESSION, 9]
    _, coded = cv2.imencode(".jpg" if photo else ".png", picture[..., ::-1].copy(), options)
    text = base64.b64encode(coded.tobytes()).decode()
    return f"data:image/{'jpeg' if photo else 'png'};base64,{text}"


def _to_size(region: Bool[np.ndarray, "h w"], size: Sequence[int]) -> Bool[np.ndarray, "y x"]:
    mask = region.astype(np.uint8)
    return np.asarray(cv2.resize(mask, tuple(size), interpolation=cv2.INTER_NEAREST_EXACT)) > 0


def _write(picture: UInt8[np.ndarray, "y x 3"], name: str, column: int, row: int) -> None:
    """Writes dark text on a white plate, centred at a point and moved inside the picture."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, max(picture.shape[:2]) / 760
    (width, height), _ = cv2.getTextSize(name, font, scale, 1)
    left = min(max(5, column - width // 2), max(5, picture.shape[1] - width - 5))
    base = min(max(height + 5, row + height // 2), picture.shape[0] - 5)
    corners = (left - 4, base - height - 4), (left + width + 3, base + 4)
    cv2.rectangle(picture, *corners, (255, 255, 255), cv2.FILLED)
    cv2.rectangle(picture, *corners, (90, 90, 90), 1)
    cv2.putText(picture, name, (left, base), font, scale, (20, 20, 20), 1, cv2.LINE_AA)
