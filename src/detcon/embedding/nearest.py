"""The embeddings that are nearest to a photo: a table for the terminal, and a sheet."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from rich.console import Group
from rich.table import Table

from detcon.downstream.pictures import write_png
from detcon.embedding import EmbeddingError
from detcon.embedding.recipe import EmbedRecipe
from detcon.embedding.table import read_about
from detcon.embedding.vectors import Box, open_source
from detcon.models.dense_features import dense_features
from detcon.palette import OKABE_ITO, rgb
from detcon.photos import decode, shown

_TILE = 200  # pixels
_TEXT = 24
_COLUMNS = 5


@dataclass(frozen=True)
class Neighbour:
    """An embedding near to another, with the cosine of the angle between them."""

    similarity: float
    key: str
    region: int
    box: Box


def nearest(path: Path, vector: Float[np.ndarray, " d"], num: int) -> list[Neighbour]:
    """The embeddings of a file that are nearest to a vector by cosine, the nearest first.

    Reads one row group at a time.
    """
    _, file = read_about(path)
    found: list[Neighbour] = []
    unit = vector / max(float(np.linalg.norm(vector)), 1e-12)
    for group in range(file.num_row_groups):
        table = file.read_row_group(group).combine_chunks()
        flat = table["vector"].chunk(0).flatten().to_numpy(zero_copy_only=False)
        vectors = flat.reshape(len(table), -1).astype(np.float32)
        cosine = vectors @ unit / np.maximum(np.linalg.norm(vectors, axis=1), 1e-12)
        for row in np.argsort(-cosine, kind="stable")[:num].tolist():
            one = table.slice(row, 1).to_pylist()[0]
            place = one["key"], one["region"], tuple(one["box"])
            found.append(Neighbour(float(cosine[row]), *place))
        found = sorted(found, key=lambda one: -one.similarity)[:num]
    return found


def summary(settings: EmbedRecipe) -> Group | str:
    """For the terminal: what the file holds; with `near`, the nearest embeddings and a sheet."""
    path = Path(settings.out)
    _, file = read_about(path)
    size = file.schema_arrow.field("vector").type.list_size
    line = f"{file.metadata.num_rows:,} vectors of {settings.of}, {size} numbers each"
    if settings.near is None:
        return line
    source = open_source(settings)
    photo = _read(settings.near, source.backbone.recipe.in_channels)
    vector = dense_features(source.backbone, photo, side=settings.side).mean((1, 2))
    found = nearest(path, vector, settings.num)
    table = Table(box=None, pad_edge=False)
    for name in ("", "cosine", settings.of[:-1], *([] if settings.of == "photos" else ["number"])):
        table.add_column(name, justify="left" if name == settings.of[:-1] else "right")
    for rank, one in enumerate(found, 1):
        number = [] if settings.of == "photos" else [str(one.region)]
        table.add_row(str(rank), f"{one.similarity:.3f}", one.key, *number)
    sheet = path.with_name(f"{path.stem}-near.png")
    write_png(sheet, _sheet(photo, [(one, source.photos.read(one.key)) for one in found]))
    return Group(line, f"nearest to {settings.near}, drawn in {sheet}:", table)


def _read(path: str, channels: int) -> UInt8[np.ndarray, "y x c"]:
    try:
        return decode(Path(path).read_bytes(), path, channels=channels)
    except OSError as error:
        raise EmbeddingError(
            f"cannot read near={path}: {(error.strerror or '').lower()}; give the path of a photo"
        ) from error


def _sheet(
    photo: UInt8[np.ndarray, "_ _ c"], found: list[tuple[Neighbour, UInt8[np.ndarray, "_ _ c"]]]
) -> UInt8[np.ndarray, "_ _ 3"]:
    """The photo, then its neighbours by rank, each with its box and similarity."""
    tiles = [_tile(photo, None, "near")]
    tiles += [
        _tile(picture, one.box, f"{rank}: {one.similarity:.3f}")
        for rank, (one, picture) in enumerate(found, 1)
    ]
    columns = min(_COLUMNS, len(tiles))
    blank = np.full_like(tiles[0], 255)
    tiles += [blank] * (-len(tiles) % columns)
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)


def _tile(
    photo: UInt8[np.ndarray, "y x c"], box: Box | None, text: str
) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = photo.shape[:2]
    scale = (_TILE - 8) / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.ascontiguousarray(cv2.resize(shown(photo), size, interpolation=cv2.INTER_AREA))
    if box is not None:
        left, top, right, bottom = (round(edge * scale) for edge in box)
        cv2.rectangle(small, (left, top), (right - 1, bottom - 1), rgb(OKABE_ITO["vermillion"]), 2)
    tile = np.full((_TILE + _TEXT, _TILE, 3), 255, np.uint8)
    tile[4 : 4 + size[1], 4 : 4 + size[0]] = small
    at = (6, 4 + size[1] + 18)
    cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return tile
