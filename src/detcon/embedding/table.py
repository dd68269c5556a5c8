"""`detcon embed`: writes embeddings into one Parquet file, resumably.

Photos are done in parts, each a file of its own in `OUT.parts/`. When all are there, they become
the row groups of one file. A part is used again if it is of the same settings and photos.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from detcon.config import load_recipe
from detcon.embedding import EmbeddingError
from detcon.embedding.asked import read_asked
from detcon.embedding.recipe import EmbedRecipe
from detcon.embedding.vectors import Embedding, Source, embed_photos, open_source
from detcon.files import copy_again, remove_abandoned, replacing
from detcon.models.backbone_file import plain_state, weights_digest
from detcon.notes import say
from detcon.photos import Photos, check_outside
from detcon.progress import ProgressBar

_ABOUT = b"detcon"
_PART = {"photos": 1024, "regions": 128, "cells": 32}
"""Photos in a part, which is a row group of the file."""


def embed(recipe: str | Path | EmbedRecipe | None = None, /, **overrides: Any) -> Path:
    """Writes a vector for each photo, region or cell into one Parquet file.

    The columns are `key`, `region`, `box` (left, top, right, bottom in pixels) and `vector`
    (float16). Given again, an interrupted command goes on where it stopped. Photos that can't be
    read, or that have no masks, are left out, counted and named.

    Args:
        recipe: A recipe, its YAML file or name, or None for the defaults.
        **overrides: Settings by name: `embed(backbone="b.safetensors", images="photos")`.

    Returns:
        The file.

    Raises:
        ValueError: A backbone, photos or masks that don't fit, or an `out` that holds other
            embeddings; the sentence says which.
    """
    settings = load_recipe(EmbedRecipe, recipe, overrides)
    source, out = open_source(settings), Path(settings.out)
    if settings.near is not None:  # draws a sheet
        check_outside(out, settings.images)
        read_asked(source)
    _check_names(source.photos)
    about = _about(source)
    if out.exists():
        say(_compare(out, about, source))
        return out
    parts = out.with_name(f"{out.name}.parts")
    remove_abandoned(parts)
    size = _PART[settings.of]
    starts = range(0, len(source.photos), size)
    files = []
    with ProgressBar("embedding", len(source.photos), words="photos") as bar:
        for start in starts:
            part = source.photos.part(start, start + size)
            files.append(_make_part(parts / f"{start // size:06d}.parquet", source, part, about))
            bar.advance(len(part))
    skipped = _join(files, out, about)
    for file in parts.glob(f"{'[0-9]' * 6}.parquet"):  # and those of other settings
        file.unlink()
    with suppress(OSError):  # it holds files of others
        parts.rmdir()
    if skipped:
        say(f"left out {len(skipped)} of {len(source.photos)} photos: {'; '.join(skipped[:3])}")
    return out


def _check_names(photos: Photos) -> None:
    """Refuses names that Parquet can't hold."""
    try:
        for key in photos:
            key.encode()
    except UnicodeEncodeError as error:
        raise EmbeddingError(
            f"the name of the photo {os.fsencode(error.object)!r} isn't valid UTF-8, and Parquet "
            f"can't hold it; rename it"
        ) from error


def _about(source: Source) -> dict[str, Any]:
    """What embeddings depend on, besides the photos of a part."""
    recipe, backbone = source.recipe, source.backbone
    masks = None
    if source.store is not None:
        index = (source.store.folder / "index.arrow").read_bytes()
        masks = hashlib.sha256(index).hexdigest()[:12]
    return {
        "of": recipe.of,
        "backbone": backbone.name,
        "weights": weights_digest(plain_state(backbone.encoder)),
        "encoder": backbone.recipe.model_dump(mode="json"),
        "normalisation": backbone.normalisation.model_dump(mode="json"),
        "side": recipe.side,
        "masks": masks,
        **_of_photos(source.photos),
    }


def _of_photos(photos: Photos) -> dict[str, Any]:
    return {"photos": _digest(photos), "marks": photos.digest(), "num_photos": len(photos)}


def _digest(photos: Photos) -> str:
    """Identifies photos by their names and sizes: not by their place."""
    digest = hashlib.sha256()
    if photos.members is not None:
        digest.update(photos.members.size.tobytes())
    for key in photos:
        digest.update(f"{key}\0".encode(errors="surrogateescape"))
        if photos.members is None and (path := photos.path(key)).exists():
            digest.update(f"{path.stat().st_size}\0".encode())
    return digest.hexdigest()[:12]


def _compare(out: Path, about: dict[str, Any], source: Source) -> str:
    """Says how a file agrees with what was asked for.

    Raises:
        EmbeddingError: It holds other embeddings.
    """
    way_out = "give another out=, or remove it"
    there, _ = read_about(out)
    same = ("of", "weights", "encoder", "normalisation", "side", "masks")
    if other := [name for name in same if there.get(name) != about[name]]:
        raise EmbeddingError(f"{out} was made with other {' and '.join(other)}; {way_out}")
    if any(there.get(name, about[name]) != about[name] for name in ("photos", "marks")):
        then, now = there["num_photos"], about["num_photos"]
        how = f"{then} then, {now} now" if then != now else "files were renamed or changed"
        raise EmbeddingError(
            f"the photos of {source.recipe.images} have changed since {out} was made: {how}; "
            f"{way_out}"
        )
    if newer := source.photos.newer_than(out.stat().st_mtime):
        num = f"{len(newer)} of {len(source.photos)}"
        return f"{out} is kept, but {num} photos changed since: remove it to embed them again"
    return f"{out} is up to date: the same photos and settings"


def read_about(path: Path) -> tuple[dict[str, Any], pq.ParquetFile]:
    """Opens a file that `embed` wrote, with the settings that it records.

    Raises:
        EmbeddingError: It is damaged, or of another kind.
    """
    try:
        file = pq.ParquetFile(path)
        return json.loads((file.schema_arrow.metadata or {})[_ABOUT]), file
    except (OSError, pa.ArrowInvalid, KeyError, ValueError) as error:
        raise EmbeddingError(
            f"{path} is no file of detcon embed, or damaged; "
            f"{copy_again(path, otherwise='give another out=, or remove it')}"
        ) from error


def _make_part(path: Path, source: Source, photos: Photos, about: dict[str, Any]) -> Path:
    """Writes the embeddings of some photos, unless they are there."""
    of_part = about | _of_photos(photos)
    if path.exists():
        try:
            there, _ = read_about(path)
            same = {name: there.get(name) for name in of_part} == of_part
            if same and not photos.newer_than(path.stat().st_mtime):
                return path
        except EmbeddingError:
            pass  # made again
    source.skipped.clear()
    found = embed_photos(source, photos.keys)
    tables = list(_tables(found, source.backbone.channels))
    of_part["skipped"] = list(source.skipped)
    schema = _schema(source.backbone.channels, of_part)
    with replacing(path) as file:
        pq.write_table(pa.Table.from_batches(tables, schema), file, compression="zstd")
    return path


def _tables(found: Iterator[Embedding], channels: int) -> Iterator[pa.RecordBatch]:
    schema = _schema(channels, {})
    while rows := list(islice(found, 4096)):
        vectors = np.stack([row.vector for row in rows]).astype(np.float16)
        if not np.isfinite(vectors).all():
            bad = rows[int(np.flatnonzero(~np.isfinite(vectors).all(1))[0])]
            raise EmbeddingError(
                f"the features of {bad.key} are not finite in 16 bits; check the backbone's "
                f"weights and its normalisation"
            )
        boxes = np.array([row.box for row in rows], np.float32)
        columns = [
            pa.array([row.key for row in rows]),
            pa.array([row.region for row in rows], pa.int64()),
            pa.FixedSizeListArray.from_arrays(boxes.ravel(), 4),
            pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel()), channels),
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema)


def _schema(channels: int, about: dict[str, Any]) -> pa.Schema:
    return pa.schema(
        {
            "key": pa.string(),
            "region": pa.int64(),
            "box": pa.list_(pa.float32(), 4),
            "vector": pa.list_(pa.float16(), channels),
        },
        {_ABOUT: json.dumps(about).encode()},
    )


def _join(parts: Sequence[Path], out: Path, about: dict[str, Any]) -> list[str]:
    """Writes all parts as row groups of one file; returns why photos were left out."""
    opened = [read_about(part) for part in parts]
    skipped = [reason for there, _ in opened for reason in there["skipped"]]
    num_rows = sum(file.metadata.num_rows for _, file in opened)
    if not num_rows:
        raise EmbeddingError(f"no photo gave an embedding: {'; '.join(skipped[:3])}")
    channels = opened[0][1].schema_arrow.field("vector").type.list_size
    schema = _schema(channels, about | {"skipped": skipped})
    with replacing(out) as file, pq.ParquetWriter(file, schema, compression="zstd") as writer:
        for _, part in opened:
            table = part.read().replace_schema_metadata(schema.metadata)
            if len(table):
                writer.write_table(table, row_group_size=len(table))
    return skipped
