"""Tests for the Mask R-CNN: its parts, its losses, and two ranks as one."""

import functools
import json

import torch
from gloo import run_ranks
from shapes import Shapes
from torch import nn
from torchvision.models.detection import roi_heads

from detcon.data.labelled.crops import LabelledBatch, LabelledCrops
from detcon.data.labelled.examples import Examples
from detcon.data.labelled.window import draw_window
from detcon.downstream.model_file import load_model
from detcon.downstream.tasks.detection import data, task
from detcon.downstream.tasks.detection.data import (
    CropObjects,
    cut_objects,
    join_objects,
    object_split,
)
from detcon.downstream.tasks.detection.detecting import detect
from detcon.downstream.tasks.detection.mask_rcnn import build_detector
from detcon.downstream.tasks.detection.recipe import DetectorRecipe
from detcon.downstream.tasks.detection.scoring import coco_truth, ids_of
from detcon.downstream.transfer import transfer
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation
from detcon.models.sync_norm import synchronise_norms as synchronise_norms
from detcon.results.result import read_result

TINY = {"channels": 16, "hidden": 24, "mask_layers": 1, "anchor": 4.0}
TINY |= {"proposals": 30, "box_batch": 16, "rpn_batch": 32}
STATS = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.25, 0.25, 0.25))
PARTS = {*("loss_objectness", "loss_rpn_box_reg", "loss_classifier", "loss_box_reg", "loss_mask")}


def detector(name="resnet18", width=0.25, **options):
    torch.manual_seed(0)
    recipe = EncoderRecipe(name=name, width=width)
    sizes = DetectorRecipe(**TINY | options)
    return build_detector(build_encoder(recipe), STATS, 2, sizes, size=64)


def test_norms_may_be_in_the_pyramid_alone():
    """As in the Cloud TPU implementation; then the heads' layers have biases."""
    head = detector(norm="pyramid").head
    for part in (head.roi_heads.box_head, head.roi_heads.mask_head):
        layers = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        assert all(layer.bias is not None for layer in layers)
        assert not any(isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d) for m in part.modules())
    assert any(isinstance(m, nn.BatchNorm2d) for m in head.fpn.modules())
    loss, _ = detector(norm="pyramid")(crops())
    assert loss.isfinite()


def crops(num=4, seed=0, masks=True, **options):
    split = object_split(Shapes(num, seed, **options), masks)
    draw = functools.partial(draw_window, size=(64, 64), scale=(0.8, 1.25), flip=0.5, fit=True)
    cut = functools.partial(cut_objects, masks=masks)
    made = LabelledCrops(Examples(split, range(num)), 0, draw, cut, join_objects)
    return made.batch([(0, number) for number in range(num)])


def join(first, second):
    labels = [a + b for a, b in zip(first.labels, second.labels, strict=True)]
    images = torch.cat([first.images, second.images])
    return LabelledBatch(images, CropObjects(*labels), torch.cat([first.index, second.index]))


def test_the_defaults_are_those_of_the_cloud_tpu_heads():
    head = build_detector(
        build_encoder(EncoderRecipe(name="resnet18", width=0.125)),
        STATS,
        80,
        DetectorRecipe(),
        size=1024,
    ).head
    anchors = head.rpn.anchor_generator
    assert anchors.sizes == ((32,), (64,), (128,), (256,), (512,))
    assert set(anchors.aspect_ratios) == {(0.5, 1.0, 2.0)}
    assert (head.rpn._pre_nms_top_n["training"], head.rpn._post_nms_top_n["training"]) == (
        2000,
        1000,
    )
    assert (head.rpn.nms_thresh, head.rpn.fg_bg_sampler.batch_size_per_image) == (0.7, 256)
    sampler = head.roi_heads.fg_bg_sampler
    assert (sampler.batch_size_per_image, sampler.positive_fraction) == (512, 0.25)
    linear = [layer for layer in head.roi_heads.box_head if isinstance(layer, nn.Linear)]
    assert [layer.weight.shape for layer in linear] == [(1024, 256 * 49), (1024, 1024)]
    assert head.roi_heads.mask_predictor.mask_fcn_logits.out_channels == 81
    for part in (head.fpn, head.roi_heads.box_head, head.roi_heads.mask_head):
        layers = [m for m in part.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
        norms = [m for m in part.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
        assert len(norms) == len(layers) and all(layer.bias is None for layer in layers)
    assert all(parameter.requires_grad for parameter in head.parameters())


def test_masks_are_28_pixels_and_every_weight_learns():
    network = detector()
    loss, parts = network(crops())
    assert set(parts) == PARTS
    torch.testing.assert_close(loss, sum(parts.values()))
    loss.backward()
    idle = [name for name, p in network.named_parameters() if p.grad is None]
    assert not idle
    (first, *_) = network.eval().find(crops().images)
    assert first["masks"].shape[1:] == (1, 28, 28) and first["labels"].min() >= 1


def test_boxes_alone():
    network = detector(masks=False)
    loss, parts = network(crops(has_masks=False, masks=False))
    assert set(parts) == PARTS - {"loss_mask"} and loss.isfinite()
    (found,) = detect(network.eval(), [Shapes(1, 0).photo("000.png")])
    assert found.objects.segments == () and len(found) == len(found.objects)


def test_photos_without_objects_are_learnt_as_background():
    network = detector()
    for batch in (crops(most=0, least=0), join(crops(2), crops(2, most=0, least=0))):
        loss, _ = network(batch)
        loss.backward()
        assert loss.isfinite() and all(p.grad.isfinite().all() for p in network.parameters())
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert all(norm.running_var.isfinite().all() for norm in norms)


def test_bfloat16_decides_about_boxes_in_float32():
    network = detector()
    seen = []
    network.head.rpn.anchor_generator.register_forward_hook(lambda m, i, out: seen.append(out[0]))
    torch.manual_seed(1)
    exact, _ = network(crops())
    torch.manual_seed(1)
    with torch.autocast("cpu", torch.bfloat16):
        half, parts = network(crops())
    assert {part.dtype for part in (half, *parts.values(), *seen)} == {torch.float32}
    torch.testing.assert_close(half, exact, rtol=0.1, atol=0)
    half.backward()


def test_recomputing_gives_the_same_gradients():
    plain, sparing = detector(), detector()
    sparing.encoder.recompute_activations()
    for network in (plain, sparing):
        torch.manual_seed(1)
        network(crops())[0].backward()
    for one, other in zip(plain.parameters(), sparing.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)
    torch.testing.assert_close(plain.encoder.bn1.running_var, sparing.encoder.bn1.running_var)


def test_small_photos_in_a_corner_are_found_where_they_are():
    """A photo's detections are in its own pixels, within its edges, whatever its shape."""
    network = detector(least_score=0.0, detections=10).eval()
    for size in ((64, 64), (20, 50), (200, 90)):
        whole = Shapes(1, 0, (200, 200)).photo("000.png")
        (found,) = detect(network, [whole[: size[0], : size[1]]])
        boxes = found.objects.boxes
        assert found.objects.size == size and 0 < len(found) <= 10
        assert (boxes >= 0).all() and (boxes[:, 2:] <= [size[1], size[0]]).all()
        assert found.objects.masks().shape == (len(found), *size)


SCRIPT = """
import pathlib, sys, torch
import test_detector as t
from detcon.train.replica import open_replica
replica = open_replica("32", "cpu")
rank = replica.rank
network = t.synchronise_norms(t.detector().double(), "cpu")
seen, loss = t.pass_through(replica.joined(network), network, t.shares()[rank])
found = {"seen": seen, "loss": loss}
found |= {"gradients": t.gradients(network), "statistics": t.statistics(network)}
folder = pathlib.Path(sys.argv[1])
torch.save(found, folder / f"{rank}.pt")
t.run_whole(folder / "run")
"""


def run_whole(folder):
    """A transfer of two steps."""
    data.open_objects = task.open_objects = lambda root, format, split, **_: Shapes(
        5, split == "val"
    )
    transfer(
        "recipes/transfer/coco_mask_rcnn_tiny.yaml",
        **{"backbone": "random", "data": "shapes", "format": "coco", "out": str(folder)},
        **{"task.steps": 2},
    )


def shares():
    """Two ranks' batches: of another number of objects, and of photos."""
    return crops(3, seed=1), crops(2, seed=2, most=1)


def pass_through(forward, network, batch):
    """The levels and the loss of a batch, if random choices take what comes first."""
    seen = {}
    network.head.fpn.register_forward_hook(lambda m, i, out: seen.update(out))
    torch.randperm = lambda num, device=None: torch.arange(num, device=device)
    loss, _ = forward(batch)
    loss.backward()
    return {name: level.detach() for name, level in seen.items()}, loss.detach()


def gradients(network):
    return {name: p.grad for name, p in network.named_parameters()}


def statistics(network):
    return {name: value for name, value in network.state_dict().items() if "running" in name}


def by_rank(loss, place, sizes):
    """A loss of torchvision's over the joined batch, as the mean of what each rank would say.

    Its argument number `place` has an entry for each photo, with as many rows as that photo has.
    """

    def mean(*parts):
        begin, values = 0, []
        for size in sizes:
            values.append(loss(*rows(parts, parts[place], slice(begin, begin + size))))
            begin += size
        first, second = values
        if isinstance(first, tuple):
            return tuple((a + b) / 2 for a, b in zip(first, second, strict=True))
        return (first + second) / 2

    return mean


def rows(parts, counted, photos):
    """The rows of tensors that belong to some photos; `counted` has as many for each photo."""
    counts = [len(one) for one in counted]
    span = slice(sum(counts[: photos.start]), sum(counts[: photos.stop]))
    return [part[span] if isinstance(part, torch.Tensor) else part[photos] for part in parts]


def test_two_ranks_are_the_joined_batch(tmp_path, monkeypatch):
    """Levels, running statistics, the loss and its gradients, in float64; then a whole run."""
    said = run_ranks(SCRIPT, tmp_path)
    assert "AP mask" in said[0] and "AP mask" not in said[1]
    result = read_result(tmp_path / "run" / "seed0")
    truth = json.loads((tmp_path / "run" / "seed0" / "truth.json").read_text())
    val = Shapes(5, 1)
    whole = coco_truth([val.objects(key) for key in val.keys], val.names, ids_of(None, range(5), 2))
    assert truth == json.loads(json.dumps(whole)) and result.value >= 0
    assert len(load_model(tmp_path / "run" / "seed0").names) == 2
    ranks = [torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1)]
    sizes = [len(share.images) for share in shares()]
    network = detector().double()
    rpn, batch = network.head.rpn, join(*shares())
    monkeypatch.setattr(torch, "randperm", torch.randperm)  # put back at the end
    monkeypatch.setattr(rpn, "compute_loss", by_rank(rpn.compute_loss, 2, sizes))
    for name, place in (("fastrcnn_loss", 2), ("maskrcnn_loss", 1)):
        monkeypatch.setattr(roi_heads, name, by_rank(getattr(roi_heads, name), place, sizes))
    seen, loss = pass_through(network, network, batch)
    for name, level in seen.items():
        torch.testing.assert_close(torch.cat([one["seen"][name] for one in ranks]), level)
    first, second = (one["loss"] for one in ranks)
    torch.testing.assert_close((first + second) / 2, loss)
    assert abs(first - second) > 1e-3
    for kind, whole in (("gradients", gradients(network)), ("statistics", statistics(network))):
        for one in ranks:
            for name, value in whole.items():
                torch.testing.assert_close(one[kind][name], value, msg=name)
