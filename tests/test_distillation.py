"""Tests of region distillation: what a teacher gives, what it never does, and what is learnt."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import timm
import torch
from safetensors.torch import save_file
from torch.nn.functional import interpolate, normalize

from detcon.config import RecipeError, load_recipe
from detcon.data.cut import draw_cut
from detcon.data.dataset import PhotoViews
from detcon.data.loader import collate
from detcon.data.recipe import ViewsRecipe
from detcon.downstream.transfer import transfer
from detcon.masks.masks import Masks
from detcon.masks.store.fill import make_masks
from detcon.methods.compositions import region_distillation
from detcon.methods.towers import Teacher
from detcon.models.backbone_file import load_backbone, save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.models.sources import BackboneError
from detcon.photos import open_photos
from detcon.pretraining.collapse import collapse_figures
from detcon.pretraining.parts import open_parts
from detcon.pretraining.recipe import PretrainRecipe
from detcon.pretraining.start import open_teacher
from detcon.pretraining.training import pretrain
from detcon.results import RunError
from detcon.results.history import read_history
from detcon.scenes.raycast import render_scene
from detcon.train.steps import Steps

STUDENT = EncoderRecipe(name="resnet18", width=0.125, stride=8)
TEACHER = EncoderRecipe(name="resnet18", width=0.25, stride=8)
NORMALISATION = Normalisation(mean=(0.4, 0.5, 0.6), std=(0.2, 0.2, 0.3))
HEAD = {"hidden": 32, "outputs": 16}
PHOTOS, TRAINED = 64, 32  # as many to judge by: of 8, one counts too much


def write(path, picture):
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Scenes of 40 pixels to learn from, with masks; and the same with labels."""
    folder = tmp_path_factory.mktemp("data")
    for i in range(PHOTOS):
        scene = render_scene(seed=1, index=i, size=40)
        photo = cv2.cvtColor(scene.rgb, cv2.COLOR_RGB2BGR)
        split, name = "train" if i < TRAINED else "val", f"{i:02}.png"
        if i < TRAINED:
            write(folder / "images" / name, photo)
        write(folder / "labelled" / split / "images" / name, photo)
        write(folder / "labelled" / split / "labels" / name, scene.labels)
    generator = {"kind": "felzenszwalb", "scale": 60.0, "min_size": 40}
    make_masks(images=folder / "images", out=folder / "masks", generator=generator, workers=1)
    return folder


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    """Weights whose batch norms have seen something: their statistics aren't fresh."""
    torch.manual_seed(3)
    encoder = build_encoder(TEACHER)
    encoder(torch.randn(4, 3, 40, 40))
    path = tmp_path_factory.mktemp("teacher") / "backbone.safetensors"
    save_backbone(path, encoder, TEACHER, normalisation=NORMALISATION)
    return path


def settings_of(data, out, teacher, **changed):
    return {
        "images": data / "images",
        "masks": data / "masks",
        "out": out,
        "method": {"kind": "region_distillation", "teacher": {"source": str(teacher)}, **HEAD},
        "encoder": STUDENT.model_dump(),
        "views": {"size": 40},
        "optimizer": {"kind": "adamw", "lr": 3e-3},
        "batch_size": 8,
        "steps": 4,
        "workers": 0,
        "loop": {"log_every": 1, "checkpoint_every": 2, "precision": "32"},
    } | changed


def run(*args, **changed):
    return pretrain(None, **settings_of(*args, **changed))


def small_method(size=None, **options):
    torch.manual_seed(0)
    encoder = build_encoder(TEACHER.with_stride(16))
    encoder(torch.randn(4, 3, 40, 40))  # statistics that aren't fresh
    teacher = Teacher(encoder, NORMALISATION, size=size)
    return region_distillation(build_encoder(STUDENT), teacher, **HEAD, **options)


@pytest.fixture
def batch(tmp_path):
    """Two photos with masks that are no multiples of cells, for a 5 x 5 student."""
    rng = np.random.default_rng(0)
    maps = {f"{i}.png": rng.integers(-1, 4, (9, 9)).repeat(5, 0).repeat(5, 1) for i in range(4)}
    for name in maps:
        write(tmp_path / name, rng.integers(0, 256, (45, 45, 3), dtype=np.uint8))
    store = {name: Masks.from_labels(labels) for name, labels in maps.items()}
    views = ViewsRecipe(size=40, colour="none", area=(0.9, 1.0))
    dataset = PhotoViews(
        open_photos(tmp_path), store, views, grid=(5, 5), seed=0, teacher_grid=(3, 3)
    )
    return collate([dataset[0, i] for i in range(4)]), dataset, store


def test_targets_are_the_means_over_the_pixels_of_a_mask(batch):
    """Each pixel counts for the cells of the teacher's grid that it lies in."""
    batch, dataset, store = batch
    method = small_method()
    _, seen = method(batch)
    mean, std = (torch.tensor(x).view(3, 1, 1) for x in (NORMALISATION.mean, NORMALISATION.std))
    for view in range(2):
        with torch.no_grad():
            photos = (batch.images[view] / 255 - mean) / std
            features = method.target.encoder(photos)
        assert features.shape[2:] == (3, 3)
        # every pixel cut into 3 x 3 parts, each within one cell
        fine = features.repeat_interleave(40, 2).repeat_interleave(40, 3)
        for i, key in enumerate(dataset.keys):
            cut = draw_cut(dataset.draws(0, i, view), (45, 45), dataset.views)
            labels = torch.from_numpy(cut.labels(store[key].patterns, (45, 45), 40))
            labels = labels.repeat_interleave(3, 0).repeat_interleave(3, 1)
            for region, mask in enumerate(batch.ids[view, i].tolist()):
                expected = fine[i][:, labels == mask].mean(1)
                torch.testing.assert_close(
                    seen.target[view, i, region], expected, atol=1e-5, rtol=0
                )


def test_contrast_is_a_classification_among_the_teacher_s_regions_of_the_view(batch):
    batch, *_ = batch
    loss, seen = small_method(temperature=0.2)(batch)
    expected = 0.0
    for view in range(2):
        query, target = (normalize(x[view].double(), dim=-1) for x in (seen.query, seen.target))
        rows = []
        for i, ids in enumerate(batch.ids[view].tolist()):
            for r, mask in enumerate(ids):
                logits = (query[i, r] * target).sum(-1) / 0.2
                same = torch.zeros_like(logits, dtype=torch.bool)
                same[i] = torch.tensor(ids) == mask
                rows.append(
                    -logits.flatten().log_softmax(0)[same.flatten()].mean() / ids.count(mask)
                )
        expected += torch.stack(rows).mean()
    torch.testing.assert_close(loss.double(), expected, atol=1e-4, rtol=0)


def test_regression_is_the_distance_to_the_teacher_s_region(batch):
    batch, *_ = batch
    loss, seen = small_method(objective="regression")(batch)
    cosine = (normalize(seen.query, dim=-1) * normalize(seen.target, dim=-1)).sum(-1)
    copies = (batch.ids[..., None] == batch.ids[..., None, :]).sum(-1)
    torch.testing.assert_close(loss, sum((2 - 2 * c).div(n).mean() for c, n in zip(cosine, copies)))
    figures = collapse_figures(seen)
    assert figures["without_positive"] == 0, "a region is compared with itself in its own view"


def test_a_teacher_never_changes_and_is_in_no_checkpoint(batch):
    batch, *_ = batch
    method = small_method().train()
    before = {name: tensor.clone() for name, tensor in method.target.encoder.state_dict().items()}
    loss, _ = method(batch)
    loss.backward()
    method.update_target(0.5)
    for name, tensor in method.target.encoder.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert not any(p.requires_grad or p.grad is not None for p in method.target.parameters())
    assert all(p.grad is not None for p in method.parameters() if p.requires_grad)
    state = method.state_dict()
    assert not any(name.startswith("target.") for name in state)
    other = small_method()
    other.target.encoder.conv1.weight.data.zero_()
    other.load_state_dict(state)
    assert torch.equal(other.encoder.conv1.weight, method.encoder.conv1.weight)
    assert other.target.encoder.conv1.weight.abs().max() == 0, "it keeps its own"


def test_a_size_of_its_own_gives_a_finer_grid(batch):
    batch, *_ = batch
    method = small_method(size=80)
    with pytest.raises(
        ValueError, match="gives a grid of 5 x 5 cells, but the masks came on 3 x 3"
    ):
        method(batch)
    photos = torch.randn(2, 3, 40, 40)
    larger = interpolate(photos, (80, 80), mode="bilinear")
    weights = torch.rand(2, 4, 5, 5)
    expected = small_method().target(larger, weights)
    torch.testing.assert_close(method.target(photos, weights), expected)


def test_an_interrupted_run_goes_on_bit_for_bit(data, teacher, tmp_path, monkeypatch):
    whole = run(data, tmp_path / "whole", teacher)
    update = Steps.update

    def stop_at_two(self, batch):
        if self.training.step == 2:
            raise KeyboardInterrupt
        return update(self, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Steps, "update", stop_at_two)
        with pytest.raises(KeyboardInterrupt):
            run(data, tmp_path / "cut", teacher)
    assert run(data, tmp_path / "cut", teacher).read_bytes() == whole.read_bytes()
    notes = load_backbone(whole).notes
    assert notes["teacher"] == str(teacher) and len(notes["teacher_digest"]) == 12


def test_another_teacher_under_the_same_path_is_noticed(data, teacher, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(teacher.read_bytes())
    run(data, tmp_path / "run", copy, steps=1)
    save_backbone(copy, build_encoder(TEACHER), TEACHER, normalisation=NORMALISATION)
    with pytest.raises(RunError, match=r"method\.teacher\.digest is \w+ there and \w+ now"):
        run(data, tmp_path / "run", copy, steps=1)
    method = {"kind": "region_distillation", "teacher": {"source": str(copy), "digest": "abc"}}
    with pytest.raises(RecipeError, match=r"digest \w+, not abc: .* leave method\.teacher\.digest"):
        run(data, tmp_path / "other", copy, method=method)


def test_a_finished_run_does_without_its_teacher(data, teacher, tmp_path):
    copy = tmp_path / "copy.safetensors"
    copy.write_bytes(teacher.read_bytes())
    backbone = run(data, tmp_path / "run", copy, steps=1)
    copy.unlink()
    assert run(data, tmp_path / "run", copy, steps=1) == backbone
    with pytest.raises(RunError, match="steps is 1 there and 2 now"):
        run(data, tmp_path / "run", copy, steps=2)
    with pytest.raises(BackboneError, match="there is no backbone"):
        run(data, tmp_path / "other", copy, steps=1)


def test_from_itself_it_starts_with_the_teacher_s_features(data, teacher, tmp_path):
    backbone = run(data, tmp_path / "run", teacher, weights=str(teacher), steps=0)
    start, own = load_backbone(teacher), load_backbone(backbone)
    assert torch.equal(own.encoder.conv1.weight, start.encoder.conv1.weight)
    assert own.notes["weights"] == own.notes["teacher"] == str(teacher)
    learnt = load_backbone(run(data, tmp_path / "learnt", teacher, weights=str(teacher), steps=1))
    assert not torch.equal(learnt.encoder.conv1.weight, start.encoder.conv1.weight)


def parts_of(data, tmp_path, teacher, **changed):
    given = settings_of(data, tmp_path / "run", teacher, **changed)
    settings, taught_by = open_teacher(load_recipe(PretrainRecipe, None, given))
    return open_parts(settings, tmp_path, open_photos(data / "images"), None, taught_by)


def test_a_transformer_s_checkpoint_teaches_a_resnet(data, tmp_path):
    torch.manual_seed(1)
    name = "test_vit"
    save_file(timm.create_model(name, num_classes=3).state_dict(), tmp_path / "vit.safetensors")
    source = {"source": str(tmp_path / "vit.safetensors"), "encoder": {"name": name}, "size": 48}
    method = {"kind": "region_distillation", "teacher": source, **HEAD}
    parts = parts_of(data, tmp_path, None, method=method, encoder={"name": "resnet18", "stride": 8})
    assert (parts.grid, parts.teacher_grid) == ((5, 5), (3, 3))
    loss, seen = parts.method(next(parts.batches(0)))
    assert (
        torch.isfinite(loss) and seen.target.shape[-1] == parts.method.target.encoder.num_channels
    )
    source["size"] = None  # views of 40 pixels are seen at 48, too: whole patches
    assert parts_of(data, tmp_path, None, method=method).teacher_grid == (3, 3)


def test_discovered_masks_are_the_student_s(data, teacher, tmp_path):
    changed = {"masks": None, "discovery": {"every": 2, "num": 4, "side": 40}}
    parts = parts_of(data, tmp_path, teacher, **changed)
    assert parts.discoverer.encoder is parts.method.encoder
    run(data, tmp_path / "run", teacher, **changed)
    assert read_history(tmp_path / "run").rows[-1]["step"] == 4


def test_what_can_t_teach_gets_a_sentence(data, teacher, tmp_path):
    kind = {"kind": "region_distillation"}
    with pytest.raises(RecipeError, match=r"method\.teacher"):
        run(data, tmp_path / "a", teacher, method=kind)
    with pytest.raises(RecipeError, match="method.teacher=random knows nothing"):
        run(data, tmp_path / "a", "random")
    bands = {"encoder": {**STUDENT.model_dump(), "in_channels": 5}}
    with pytest.raises(RecipeError, match="takes photos of 3 channels, but these have 5; give a"):
        run(data, tmp_path / "a", teacher, **bands)
    assert not (tmp_path / "a").exists()


def test_a_student_learns_what_its_teacher_knows(data, tmp_path):
    """By a linear probe, from branches at scale 0: untrained features are poor there.

    From branches at scale 1 neither a teacher this small nor its student is better than untrained.
    """
    student = STUDENT.model_copy(update={"zero_init": True})
    known = {"method": {"kind": "detcon_s", **HEAD}, "encoder": TEACHER.model_dump(), "steps": 30}
    backbone = run(data, tmp_path / "teacher", "", **known)
    learnt = run(data, tmp_path / "student", backbone, encoder=student.model_dump(), steps=50)

    def probe(backbone):
        (result,) = transfer(
            None, task="linear_segmentation", data=data / "labelled", backbone=str(backbone),
            encoder=student, size=40, out=tmp_path / f"probe-{backbone.parent.name}", workers=0,
            loop={"precision": "32"},
        )  # fmt: skip
        return result.value

    start, after = probe(Path("random")), probe(learnt)
    assert after > start + 4, "13.4, then 20.0 to 21.4 with three seeds, and teachers 21.5 to 22.0"
