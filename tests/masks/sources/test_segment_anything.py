"""Tests for detcon.masks.sources.segment_anything: true classes, tiny and with random weights."""

import dataclasses
import json
import pickle

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from hypothesis.extra.numpy import arrays

from detcon.config import RecipeError
from detcon.masks import MaskGenerator
from detcon.masks.sources import SegmentAnything
from detcon.masks.sources.segment_anything import choose_masks
from detcon.masks.store import MaskStore
from detcon.masks.store.fill import make_masks
from detcon.masks.store.shard import StoreError
from detcon.photos import open_photos

transformers = pytest.importorskip("transformers")


def save_sam(folder):
    """SAM of one layer for pictures of 64 pixels."""
    vision = transformers.SamVisionConfig(
        hidden_size=16, output_channels=16, num_hidden_layers=1, num_attention_heads=2,
        image_size=64, patch_size=8, mlp_dim=32, window_size=4, global_attn_indexes=[0],
        num_pos_feats=8,
    )  # fmt: skip
    prompts = transformers.SamPromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=8, mask_input_channels=4
    )
    decoder = transformers.SamMaskDecoderConfig(
        hidden_size=16, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2,
        iou_head_hidden_dim=16,
    )  # fmt: skip
    parts = {"vision_config": vision, "prompt_encoder_config": prompts}
    parts["mask_decoder_config"] = decoder
    config = transformers.SamConfig(**{name: part.to_dict() for name, part in parts.items()})
    transformers.SamModel(config).save_pretrained(folder)
    size = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    transformers.SamImageProcessor(**size).save_pretrained(folder)


def save_sam2(folder):
    """SAM 2 of a block a stage, two where the windows end."""
    body = transformers.Sam2HieraDetConfig(
        hidden_size=8, num_attention_heads=1, image_size=[64, 64],
        embed_dim_per_stage=[8, 16, 32, 64], blocks_per_stage=[1, 2, 1, 1],
        num_attention_heads_per_stage=[1, 1, 1, 1], window_size_per_stage=[4, 2, 4, 2],
        global_attention_blocks=[2], window_positional_embedding_background_size=[2, 2],
    )  # fmt: skip
    vision = transformers.Sam2VisionConfig(
        backbone_config=body.to_dict(), backbone_channel_list=[64, 32, 16, 8],
        backbone_feature_sizes=[[16, 16], [8, 8], [4, 4]], fpn_hidden_size=16,
    )  # fmt: skip
    prompts = transformers.Sam2PromptEncoderConfig(
        hidden_size=16, image_size=64, patch_size=16, mask_input_channels=4
    )
    decoder = transformers.Sam2MaskDecoderConfig(
        hidden_size=16, mlp_dim=32, num_hidden_layers=1, num_attention_heads=2,
        iou_head_hidden_dim=16,
    )  # fmt: skip
    parts = {"vision_config": vision, "prompt_encoder_config": prompts}
    parts["mask_decoder_config"] = decoder
    config = transformers.Sam2Config(**{name: part.to_dict() for name, part in parts.items()})
    transformers.Sam2Model(config).save_pretrained(folder)
    sizes = {"size": {"height": 64, "width": 64}, "mask_size": {"height": 16, "width": 16}}
    name = "Sam2ImageProcessor" if transformers.__version__ >= "5" else "Sam2ImageProcessorFast"
    getattr(transformers, name)(**sizes).save_pretrained(folder)


@pytest.fixture(scope="session", params=[save_sam, save_sam2], ids=["sam", "sam2"])
def any_model(request, tmp_path_factory):
    """A model in the format in which they are passed on, with weights that learnt nothing."""
    folder = tmp_path_factory.mktemp("any")
    torch.manual_seed(0)
    request.param(folder)
    return str(folder)


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sam")
    torch.manual_seed(0)
    save_sam(folder)
    return str(folder)


ANY = {"min_rating": 0.0, "min_stability": 0.0, "points": 4}
"""Weights that learnt nothing rate their masks at random."""


def test_finds_masks_and_ranks_them(images, any_model):
    photo = open_photos(images).read("05.png")
    generate = SegmentAnything(any_model, min_area=0.0, **ANY)
    assert isinstance(generate, MaskGenerator) and pickle.loads(pickle.dumps(generate)) == generate
    masks = generate(photo)
    assert masks.size == (48, 64) and 1 <= masks.num_masks <= 16
    assert masks.stack().any((1, 2)).all() and (np.diff(masks.scores) <= 0).all()
    again = generate(photo, "a/b.png")
    assert np.array_equal(again.stack(), masks.stack()) and (again.scores == masks.scores).all()
    small = dataclasses.replace(generate, max_side=32)(photo)
    assert small.size == (48, 64) and small.patterns.shape == (24, 32)


def test_a_photo_without_masks_has_one(images, model):
    masks = SegmentAnything(model, points=2)(open_photos(images).read("05.png"))
    assert masks.stack().shape == (1, 48, 64) and masks.stack().all() and masks.scores == [0]


@pytest.mark.parametrize("points", [1, 3, 9])
def test_any_number_of_points_will_do(images, model, points):
    photo = open_photos(images).read("05.png")
    assert SegmentAnything(model, **{**ANY, "points": points})(photo).num_masks >= 1


def slow_choice(stack, scores, num, min_area, max_overlap):
    order = sorted(range(len(stack)), key=lambda i: (-scores[i], i))
    chosen = []
    for i in order:
        area = stack[i].sum()
        fits = area > 0 and area >= min_area * stack[i].size
        for j in chosen:
            either = (stack[i] | stack[j]).sum()
            fits = fits and (stack[i] & stack[j]).sum() <= max_overlap * either
        if fits and len(chosen) < num:
            chosen.append(i)
    return chosen


@given(
    st.integers(0, 6).flatmap(lambda k: st.tuples(arrays(bool, (k, 3, 4)), arrays(
        np.float64, k, elements=st.sampled_from([0.1, 0.5, 0.9])
    ))),
    st.integers(1, 4), st.sampled_from([0.0, 0.25, 0.5]), st.sampled_from([0.0, 0.5, 1.0]),
)  # fmt: skip
@settings(max_examples=80, deadline=None)
def test_the_choice_is_that_of_plain_loops(found, num, min_area, max_overlap):
    stack, scores = found
    chosen = choose_masks(stack, scores, num=num, min_area=min_area, max_overlap=max_overlap)
    assert chosen == slow_choice(stack, scores, num, min_area, max_overlap)


def test_a_store_is_the_same_whatever_the_workers(images, model, tmp_path):
    asked = {"images": images, "generator": {"kind": "sam", "model": model, **ANY, "points": 2}}
    one = make_masks("recipes/masks/sam.yaml", **asked, out=tmp_path / "one", workers=1)
    two = make_masks("recipes/masks/sam.yaml", **asked, out=tmp_path / "two", workers=2)
    name = "shards/00000.masks"
    assert (one / name).read_bytes() == (two / name).read_bytes()
    store = MaskStore(one)
    assert len(store) == 20 and len(store.header["generator"]["digest"]) == 12
    with pytest.raises(ValueError, match=r"has the digest .*, not 123; give another out=, and le"):
        SegmentAnything(model, digest="123").identified()


@pytest.mark.parametrize(
    "asked, kind, sentence",
    [
        ({"min_rating": 2.0}, RecipeError, "min_rating of sam must be from 0 to 1, got 2.0"),
        ({"points": 0}, RecipeError, "points of sam must be at least 1, got 0"),
        ({"model": "/nowhere"}, ValueError, r"^cannot open the model /nowhere for mask generation"),
    ],
)
def test_says_what_is_wrong(images, tmp_path, asked, kind, sentence):
    with pytest.raises(kind, match=sentence):
        make_masks(images=images, out=tmp_path / "o", generator={"kind": "sam", **asked})
    assert not (tmp_path / "o").exists()


def test_says_what_no_model_for_masks_is(images, model, tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit"}))
    with pytest.raises(ValueError, match=r"cannot open the model .* for mask generation"):
        SegmentAnything(str(tmp_path)).identified()
    asked = {"images": images, "out": tmp_path / "o", "workers": 1, "channels": 1}
    with pytest.raises(StoreError, match="SAM takes RGB, but the photo has 1 channels; give chan"):
        make_masks(**asked, generator=SegmentAnything(model))


def test_says_that_transformers_is_missing(model, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "transformers", None)
    with pytest.raises(ValueError, match=r"not installed here: pip install 'detcon\[sam\]'"):
        SegmentAnything(f"{model}/").identified()
