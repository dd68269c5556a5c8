"""The embeddings that are nearest to a photo or a region: a table, and a sheet."""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8
from rich.console import Group
from rich.table import Table

from detcon.downstream.pictures import write_png
from detcon.embedding.asked import listed, read_asked
from detcon.embedding.recipe import EmbedRecipe
from detcon.embedding.table import read_about
from detcon.embedding.vectors import Box, Source, embed_photos, open_source
from detcon.models.dense_features import dense_features
from detcon.palette import OKABE_ITO, rgb
from detcon.photos import shown

_TILE = 200  # pixels
_TEXT = 24
_COLUMNS = 5
_MARK = rgb(OKABE_ITO["vermillion"])


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
    asked, vector, ways = _query(source)
    found = nearest(path, vector, settings.num)
    table = Table(box=None, pad_edge=False)
    number = {"photos": [], "regions": ["region"], "cells": ["cell"]}[settings.of]
    for name in ("", "cosine", "photo", *number):
        table.add_column(name, justify="left" if name == "photo" else "right")
    for rank, one in enumerate(found, 1):
        table.add_row(
            str(rank), f"{one.similarity:.3f}", one.key, *[str(one.region)][: len(number)]
        )
    tiles = [_tile(asked, "near")]
    for rank, one in enumerate(found, 1):
        marked = _marked(source, one.key, one.region, one.box)
        tiles.append(_tile(marked, f"{rank}: {one.similarity:.3f}"))
    sheet = path.with_name(f"{path.stem}-near.png")
    write_png(sheet, _sheet(tiles))
    what = (
        settings.near if settings.region is None else f"region {settings.region} of {settings.near}"
    )
    return Group(line, f"nearest to {what}, drawn in {sheet}:", table, *ways)


def _query(
    source: Source,
) -> tuple[UInt8[np.ndarray, "y x 3"], Float[np.ndarray, " d"], list[str]]:
    """A photo as it is drawn, the vector of it or of its region, and what else may be asked."""
    recipe = source.recipe
    key, photo, regions = read_asked(source)
    if key and recipe.region is not None:
        found = embed_photos(source, [key])
        chosen = next(one for one in found if one.region == recipe.region)
        return _marked(source, key, chosen.region, chosen.box), chosen.vector, []
    vector = dense_features(source.backbone, photo, side=recipe.side).mean((1, 2))
    ways = [f"to look for a region of it: {listed(regions)}"] if regions else []
    return _bounded(photo), vector, ways


def _marked(source: Source, key: str, region: int, box: Box) -> UInt8[np.ndarray, "h w 3"]:
    """A photo of the collection, as small as it is drawn: a region outlined, a cell framed."""
    photo = source.photos.read(key)
    small = _bounded(photo)
    if source.recipe.of == "regions" and source.store is not None:
        masks = source.store[key]
        mask = masks.stack()[masks.ids.tolist().index(region)].astype(np.uint8)
        mask = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        outlines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(small, outlines, -1, _MARK, 2)
    else:
        scale = small.shape[1] / photo.shape[1]
        left, top, right, bottom = (round(edge * scale) for edge in box)
        cv2.rectangle(small, (left, top), (right - 1, bottom - 1), _MARK, 2)
    return small


def _bounded(photo: UInt8[np.ndarray, "y x c"]) -> UInt8[np.ndarray, "h w 3"]:
    """A photo shrunk or enlarged to the size of a tile."""
    height, width = photo.shape[:2]
    scale = (_TILE - 8) / max(height, width)
    size = max(1, round(width * scale)), max(1, round(height * scale))
    return np.ascontiguousarray(cv2.resize(shown(photo), size, interpolation=cv2.INTER_AREA))


def _tile(small: UInt8[np.ndarray, "h w 3"], text: str) -> UInt8[np.ndarray, "_ _ 3"]:
    height, width = small.shape[:2]
    tile = np.full((_TILE + _TEXT, _TILE, 3), 255, np.uint8)
    tile[4 : 4 + height, 4 : 4 + width] = small
    at = (6, 4 + height + 18)
    cv2.putText(tile, text, at, cv2.FONT_HERSHEY_SIMPLEX, 0.5, (30, 30, 30), 1, cv2.LINE_AA)
    return tile


def _sheet(tiles: list[UInt8[np.ndarray, "y x 3"]]) -> UInt8[np.ndarray, "_ _ 3"]:
    """Tiles in rows."""
    columns = min(_COLUMNS, len(tiles))
    blank = np.full_like(tiles[0], 255)
    tiles = [*tiles, *[blank] * (-len(tiles) % columns)]
    rows = [np.hstack(tiles[start : start + columns]) for start in range(0, len(tiles), columns)]
    return np.vstack(rows)
