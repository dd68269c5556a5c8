"""Tests for detcon.masks.store: what goes in comes out, or is refused."""

import json
import os
import pickle
from contextlib import suppress
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from detcon.masks import Masks
from detcon.masks.sources import MCG, Grid
from detcon.masks.store import MaskStore
from detcon.masks.store.header import begin_store, describe, shard_path
from detcon.masks.store.index import key_hash, merge_index
from detcon.masks.store.shard import DamagedShard, ShardRow, StoreError, pack, unpack, write_shard
from detcon.photos import Photos


def same(one, two):
    assert one.size == two.size and np.array_equal(one.patterns, two.patterns)
    for name in ("membership", "scores"):
        a, b = getattr(one, name), getattr(two, name)
        assert (a is None) == (b is None) and (a is None or np.array_equal(a, b))
    return True


def disjoint(labels, size, rng):
    masks = Masks.from_labels(labels, size=size)
    scores = rng.random(masks.num_masks).astype(np.float16).astype(np.float32)
    return replace(masks, scores=scores) if rng.random() < 0.5 else masks


def overlapping(stack, size, rng):
    scores = rng.random(len(stack)).astype(np.float16).astype(np.float32)
    return Masks.from_stack(stack, scores if rng.random() < 0.5 else None, size=size)


shapes = array_shapes(min_dims=2, max_dims=2, max_side=12)
ids = st.integers(-1, 3) | st.sampled_from([126, 254, 255, 256, 32767, 65534, 65535, 65536, 2**31])
masks_of_a_photo = st.tuples(
    shapes.flatmap(lambda shape: arrays(np.int64, shape, elements=ids)).map(
        lambda labels: (disjoint, labels)
    )
    | st.tuples(st.integers(0, 20), shapes)
    .flatmap(lambda both: arrays(bool, (both[0], *both[1])))
    .map(lambda stack: (overlapping, stack)),
    st.tuples(st.integers(1, 5000), st.integers(1, 5000)),
    st.integers(0, 2**31),
).map(lambda drawn: drawn[0][0](drawn[0][1], drawn[1], np.random.default_rng(drawn[2])))


@given(masks_of_a_photo)
@settings(max_examples=300, deadline=None)
def test_masks_come_back_as_they_were(masks):
    entry, frame = pack(masks)
    assert same(unpack(entry, frame), masks) and entry.num_masks == masks.num_masks


@pytest.mark.parametrize(
    "num, bits", [(1, 8), (255, 8), (256, 16), (300, 16), (65535, 16), (65536, 32), (70000, 32)]
)
@pytest.mark.parametrize("void", [False, True])
def test_many_ids_neither_wrap_nor_merge(num, bits, void):
    labels = np.arange(num + void).reshape(1, -1) - void
    entry, frame = pack(Masks.from_labels(labels))
    assert entry.bits == bits and np.array_equal(unpack(entry, frame).labels, labels)


@pytest.mark.parametrize("num", [255, 256, 257, 300])
def test_many_patterns_neither_wrap_nor_merge(num):
    stack = np.eye(num, dtype=bool)[:, None, :]
    entry, frame = pack(Masks.from_stack(stack))
    assert np.array_equal(unpack(entry, frame).stack(), stack)


def test_says_when_an_id_is_too_large():
    with pytest.raises(ValueError, match="must be below 4294967295, got 4294967295; renumber them"):
        pack(Masks.from_labels(np.array([[2**32 - 1]])))


PHOTOS = Photos("photos", "photos", [f"a/{number}.jpg" for number in range(10)])
LOST = "a/7.jpg"


def masks_of(key):
    number = int(key[2:-4])
    return Masks.from_labels(np.arange(-1, 11).reshape(3, 4) * number, size=(30, 40))


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "store"
    header = begin_store(folder, describe(Grid(), PHOTOS, shard_size=4))
    for number in range(3):
        rows = [
            ShardRow(key, reason="torn") if key == LOST else ShardRow(key, *pack(masks_of(key)))
            for key in PHOTOS.part(number * 4, number * 4 + 4)
        ]
        write_shard(shard_path(folder, number), rows, header["fingerprint"])
    assert merge_index(folder, header) == {LOST: "torn"}
    return folder


def test_a_store_of_an_earlier_revision_is_not_gone_on_with(tmp_path, monkeypatch):
    with monkeypatch.context() as before:
        before.setattr(MCG, "revision", 1)
        header = begin_store(tmp_path / "store", describe(MCG(), PHOTOS, shard_size=4))
        assert "revision" not in header, "stores of before don't name it"
        (tmp_path / "store" / "shards" / "00000.masks").touch()
    said = message(lambda: begin_store(tmp_path / "store", describe(MCG(), PHOTOS, shard_size=4)))
    assert f"made with other parameters: it has revision=1, not revision={MCG.revision};" in said
    header = begin_store(tmp_path / "new", describe(MCG(), PHOTOS, shard_size=4))
    assert begin_store(tmp_path / "new", describe(MCG(), PHOTOS, shard_size=4)) == header


def test_a_store_gives_each_photo_its_own_masks(folder):
    for store in (MaskStore(folder), pickle.loads(pickle.dumps(MaskStore(str(folder))))):
        assert len(store) == 9 and LOST not in store and "a" not in store
        assert store.keys() == list(store) == [key for key in PHOTOS if key != LOST]
        assert all(key in store and same(store[key], masks_of(key)) for key in store)
        assert store.unreadable == {LOST: "torn"}
        assert store.header["generator"] == {"kind": "grid", "rows": 5, "columns": 5}


def test_pickling_takes_the_folder_alone(folder):
    assert len(pickle.dumps(MaskStore(folder))) < 300


def test_keys_with_the_same_hash_are_told_apart(folder, monkeypatch):
    monkeypatch.setattr("detcon.masks.store.index.key_hash", lambda key: 5)
    merge_index(folder, MaskStore(folder).header)
    store = MaskStore(folder)
    assert all(same(store[key], masks_of(key)) for key in store) and LOST not in store


def test_the_hash_of_a_key_is_part_of_the_format():
    """Golden, from hashlib.blake2b(b"a/0.jpg", digest_size=8) read as little-endian."""
    assert key_hash("a/0.jpg") == 0x980BA0477BD2474A


def message(call):
    with pytest.raises(StoreError) as error:
        call()
    assert pickle.loads(pickle.dumps(error.value)).args == error.value.args, "it crosses processes"
    return str(error.value)


def test_says_which_key_has_no_masks(folder):
    store = MaskStore(folder)
    assert message(lambda: store["b/3.jpg"]) == (
        f"the mask store {folder} has no masks for b/3.jpg; did you mean 'a/3.jpg'?"
    )
    assert message(lambda: store["other"]).endswith("make masks of the photos you train on")
    assert message(lambda: store[LOST]).endswith("could not be read when they were made: torn")


def test_says_that_there_is_no_store(tmp_path):
    said = f"there is no mask store {tmp_path}; make one with: detcon masks images=DIR out="
    assert message(lambda: MaskStore(tmp_path)).startswith(said)
    (tmp_path / "file").write_text("")
    assert "there is no mask store" in message(lambda: MaskStore(tmp_path / "file"))
    (tmp_path / "header.json").write_text("[]")
    said = f"header.json is not the header of a mask store; remove {tmp_path}, and make it again"
    assert said in message(lambda: MaskStore(tmp_path))


def test_says_that_a_store_is_not_finished(folder):
    (folder / "index.arrow").unlink()
    shard_path(folder, 1).unlink()
    assert message(lambda: MaskStore(folder)) == (
        f"the mask store {folder} is not finished (2 of 3 shards; missing: 1); run the command "
        f"that makes it again: it continues where it stopped"
    )


def test_names_the_first_of_many_missing_shards(tmp_path):
    begin_store(tmp_path / "s", describe(Grid(), PHOTOS, shard_size=1))
    said = message(lambda: MaskStore(tmp_path / "s"))
    assert "is not finished (0 of 10 shards; missing: 0, 1, 2 and 7 more);" in said


def test_whole_shards_are_enough(folder):
    """Whoever wrote the last one may have died, or not have seen the others' on a shared disk."""
    index = (folder / "index.arrow").read_bytes()
    (folder / "index.arrow").unlink()
    (folder / "unreadable.json").unlink()
    assert len(MaskStore(folder)) == 9 and MaskStore(folder).unreadable == {LOST: "torn"}
    assert (folder / "index.arrow").read_bytes() == index


def test_says_that_a_store_is_of_a_later_format(folder):
    header = json.loads((folder / "header.json").read_text()) | {"format": 2, "package": "9.9"}
    (folder / "header.json").write_text(json.dumps(header))
    assert message(lambda: MaskStore(folder)) == (
        f"the mask store {folder} has format 2, and this detcon reads up to format 1; upgrade "
        f"detcon (the store was made with 9.9)"
    )


def test_says_that_the_index_is_damaged(folder):
    (folder / "index.arrow").write_bytes(b"no index")
    said = f"the index {folder}/index.arrow is damaged; delete this file and run the command"
    assert message(lambda: MaskStore(folder)).startswith(said)


@pytest.mark.parametrize("place", [0, 100, -100, -10])
def test_a_damaged_shard_is_named(folder, place):
    path = shard_path(folder, 1)
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    said = message(lambda: merge_index(folder, MaskStore(folder).header))
    assert said.startswith(f"the shard {path} is damaged (its ")
    assert said.endswith(
        "; run the command that made the store again with --check: only this shard's photos are "
        "done again"
    )


def test_damage_is_noticed_when_masks_are_read(folder):
    path = shard_path(folder, 1)
    path.write_bytes(b"\0" * os.path.getsize(path))
    store = MaskStore(folder)
    said = message(lambda: store["a/5.jpg"])
    assert said.startswith(f"the shard {path} is damaged (at a/5.jpg: the checksum does not match)")
    assert same(store["a/0.jpg"], masks_of("a/0.jpg")), "the others are not concerned"
    path.unlink()
    assert message(lambda: store["a/5.jpg"]).startswith(f"the shard {path} is missing; run the")


def test_a_shard_of_another_store_is_refused(folder):
    write_shard(shard_path(folder, 1), [ShardRow("b.jpg", reason="x")], owner="another")
    with pytest.raises(
        DamagedShard, match=r"00001\.masks is damaged \(it belongs to another store"
    ):
        merge_index(folder, MaskStore(folder).header)


def test_a_shard_under_anothers_name_is_noticed(folder):
    shard_path(folder, 0).write_bytes(shard_path(folder, 1).read_bytes())
    said = message(lambda: merge_index(folder, MaskStore(folder).header))
    assert said.startswith(f"the shards of the mask store {folder} hold other photos than its head")


@given(st.data())
@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_a_damaged_index_gives_the_masks_or_a_sentence(folder, data):
    path = folder / "index.arrow"
    whole = path.read_bytes()
    damaged = bytearray(whole)
    for _ in range(data.draw(st.integers(0, 3))):
        damaged[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    # replaced and not written over: the memory map of a store that is open must stay as it is
    path.with_name("new").write_bytes(damaged[: data.draw(st.integers(0, len(whole)) | st.none())])
    path.with_name("new").replace(path)
    try:
        with suppress(StoreError):
            store = MaskStore(folder)
            for key in PHOTOS:
                with suppress(StoreError):
                    assert store[key].patterns.size
    finally:
        path.with_name("new").write_bytes(whole)
        path.with_name("new").replace(path)


def test_an_index_of_other_columns_is_damaged(folder):
    table = pa.table({"hash": pa.array([1], pa.uint64())})
    with pa.ipc.new_file(str(folder / "index.arrow"), table.schema) as file:
        file.write_table(table)
    assert "index.arrow is damaged; delete this file and run" in message(lambda: MaskStore(folder))


def test_says_that_a_store_holds_no_masks(tmp_path):
    photos = Photos("photos", "photos", ["a.jpg"])
    header = begin_store(tmp_path / "s", describe(Grid(), photos, shard_size=4))
    write_shard(
        shard_path(tmp_path / "s", 0), [ShardRow("a.jpg", reason="x")], header["fingerprint"]
    )
    said = message(lambda: MaskStore(tmp_path / "s"))
    assert said == f"the mask store {tmp_path}/s holds no masks; none of its photos was read"


def test_missing_photos_are_found_all_at_once(folder):
    store = MaskStore(folder)
    asked = [*store.keys(), "none.png", "", *store.keys()[::-1], "a/other.png"]
    assert store.missing(asked) == [key for key in asked if key not in store]
    assert store.missing([]) == [] and len(store.missing(asked)) == 3
