"""Tests for the encoders: equal to torchvision's, and to TensorFlow's padding."""

import pytest
import timm
import torch
import torchvision

from detcon.config import load_recipe, recorded
from detcon.models.backbone_file import load_backbone
from detcon.models.encoders import build_encoder, feature_grid
from detcon.models.recipe import EncoderRecipe
from detcon.models.resnet import ResNet, pad_same
from detcon.models.timm_names import to_timm
from detcon.pretraining.recipe import PretrainRecipe

DEPTHS = {"resnet18": 18, "resnet34": 34, "resnet50": 50, "resnet101": 101, "resnet152": 152}


def torchvision_features(network, x):
    return torch.nn.Sequential(*list(network.children())[:-2])(x)


@pytest.mark.parametrize("name", DEPTHS)
def test_same_names_and_shapes_as_torchvision(name):
    with torch.device("meta"):
        theirs = torchvision.models.get_model(name).state_dict()
        ours = ResNet(DEPTHS[name]).state_dict()
    expected = {n: t.shape for n, t in theirs.items() if not n.startswith("fc.")}
    assert {n: t.shape for n, t in ours.items()} == expected


@pytest.mark.parametrize(
    "name, stride, dilate",
    [("resnet18", 32, None), ("resnet50", 32, None), ("resnet50", 16, [False, False, True])],
)
def test_same_features_as_torchvision(name, stride, dilate):
    theirs = torchvision.models.get_model(name, replace_stride_with_dilation=dilate).eval()
    ours = build_encoder(EncoderRecipe(name=name, stride=stride)).eval()
    state = {n: t for n, t in theirs.state_dict().items() if not n.startswith("fc.")}
    ours.load_state_dict(state)
    x = torch.randn(1, 3, 64, 96)
    torch.testing.assert_close(ours(x), torchvision_features(theirs, x), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("width, millions", [(1.0, 63), (2.0, 250)])
def test_resnet200_has_the_published_size(width, millions):
    """BYOL (arXiv:2006.07733), table 9."""
    with torch.device("meta"):
        network = ResNet(200, width=width)
    assert round(sum(p.numel() for p in network.parameters()) / 1e6) == millions


@pytest.mark.parametrize(
    "recipe, size, grid",
    [
        (EncoderRecipe(name="resnet50"), 224, (7, 7)),
        (EncoderRecipe(name="resnet18", width=0.5, stride=16), 80, (5, 5)),
        (EncoderRecipe(name="resnet18", width=0.25, stride=8), (64, 96), (8, 12)),
        (EncoderRecipe(name="resnet18", width=0.25, stride=16), (81, 95), (6, 6)),
        (EncoderRecipe(name="resnet18", width=0.25, same_padding=True), (97, 65), (4, 3)),
        (EncoderRecipe(name="resnet50", same_padding=True), 224, (7, 7)),
        (EncoderRecipe(name="convnext_atto"), 64, (2, 2)),
        (EncoderRecipe(name="vit_tiny_patch16_224"), (96, 64), (6, 4)),
        (EncoderRecipe(name="swin_tiny_patch4_window7_224"), 96, (3, 3)),
        (EncoderRecipe(name="efficientnet_b0"), 64, (2, 2)),
    ],
    ids=lambda value: getattr(value, "name", str(value)),
)
def test_the_grid_is_known_without_running(recipe, size, grid):
    encoder = build_encoder(recipe)
    assert feature_grid(encoder, size) == grid
    photo = torch.randn(2, 3, *((size, size) if isinstance(size, int) else size))
    assert encoder(photo).shape == (2, encoder.num_channels, *grid)


def test_same_padding_is_even_at_513_and_uneven_at_224():
    """At 32 k + 1 pixels TensorFlow's SAME is the even padding; at 32 k it is shifted."""
    even = build_encoder(EncoderRecipe(name="resnet18", width=0.125)).eval()
    uneven = build_encoder(EncoderRecipe(name="resnet18", width=0.125, same_padding=True)).eval()
    uneven.load_state_dict(even.state_dict())
    for size, equal in ((65, True), (64, False)):
        x = torch.randn(1, 3, size, size)
        assert torch.allclose(even(x), uneven(x), atol=1e-5) == equal


def test_same_padding_puts_the_odd_pixel_behind():
    padded = pad_same(torch.ones(1, 1, 224, 225), 7, 2)
    assert padded.shape[2:] == (224 + 2 + 3, 225 + 3 + 3)
    assert padded[0, 0, 1, 100] == 0 and padded[0, 0, 2, 100] == 1


def test_a_fresh_block_is_the_identity():
    encoder = build_encoder(EncoderRecipe(name="resnet50", width=0.25))
    last = [m for n, m in encoder.named_modules() if n.endswith("bn3")]
    assert len(last) == 16 and all(m.weight.abs().max() == 0 for m in last)
    std = encoder.layer1[0].conv1.weight.std().item()
    assert std == pytest.approx(0.88 / (16**0.5), rel=0.1), "truncated normal, 1/sqrt(fan in)"


def test_residual_branches_start_as_in_the_official_code():
    """Haiku's BlockV1 gives `scale_init=zeros` to the last norm of bottlenecks alone."""
    assert EncoderRecipe(name="resnet50").zero_init and EncoderRecipe().zero_init
    assert not EncoderRecipe(name="resnet18").zero_init
    assert not EncoderRecipe(name="resnet34", zero_init="auto").zero_init
    assert EncoderRecipe(name="resnet34", zero_init=True).zero_init
    assert recorded(EncoderRecipe, {"name": "resnet18"}).zero_init, "before there was a setting"
    for name, starts in (("resnet18", 1), ("resnet50", 0)):
        encoder = build_encoder(EncoderRecipe(name=name, width=0.125))
        assert all(block.last_norm.weight.unique() == starts for block in encoder.layer4)


def test_another_network_starts_in_its_own_way():
    """And not as the default network would, over whose settings it is laid."""

    def zero_init(**settings):
        given = {f"encoder.{name}": value for name, value in settings.items()}
        paths = {"images": "photos", "masks": "masks", "out": "run"}
        return load_recipe(PretrainRecipe, None, paths | given).encoder.zero_init

    assert zero_init() and zero_init(width=0.5) and not zero_init(name="resnet18")
    assert zero_init(name="resnet18", zero_init=True)
    assert not zero_init(name="resnet18", zero_init="auto")


def test_residual_branches_can_start_at_full_scale():
    recipe = EncoderRecipe(name="resnet18", width=0.25, zero_init=False)
    torch.manual_seed(0)
    plain = build_encoder(recipe)
    torch.manual_seed(0)
    other = build_encoder(recipe.model_copy(update={"zero_init": True}))
    last = {f"{n}.weight" for n, _ in plain.named_modules() if n.endswith("bn2")}
    assert len(last) == 8
    for (name, one), two in zip(plain.named_parameters(), other.parameters()):
        torch.testing.assert_close(one, torch.ones_like(one) if name in last else two)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("densenet", "; near: densenet121, "),
        ("dinov2", "; near: vit_base_patch14_dinov2, "),
        ("xyzzy", "; give one of resnet18, .*, or of timm's, as convnext_atto"),
    ],
)
def test_names_that_are_near_are_near(name, said):
    with pytest.raises(ValueError, match=f"no encoder '{name}'{said}"):
        EncoderRecipe(name=name)


def test_says_what_it_does_not_know():
    with pytest.raises(ValueError, match="no encoder 'resnet51'; near: resnet50"):
        EncoderRecipe(name="resnet51")
    with pytest.raises(ValueError, match="stride can be 8, 16 or 32, not 7"):
        EncoderRecipe(stride=7)
    with pytest.raises(ValueError, match="stride can be 8, 16 or 32, not 24"):
        EncoderRecipe(name="resnet18").with_stride(24)
    with pytest.raises(ValueError, match="stride can be 8, 16 or 32, not 24"):
        load_backbone("random", encoder=EncoderRecipe(name="resnet18", width=0.125), stride=24)
    with pytest.raises(ValueError, match="'convnext_atto' is no ResNet and takes no"):
        EncoderRecipe(name="convnext_atto", width=2)
    with pytest.raises(
        ValueError, match="no zero_init, which .*; give encoder.zero_init=true in place of that"
    ):
        EncoderRecipe(name="convnext_atto", zero_init=False)


@pytest.mark.parametrize("name", ["test_vit", "vit_tiny_patch16_dinov3_qkvb", "test_convnext"])
def test_the_grid_is_that_of_the_whole_timm_model(name):
    """After its last norm, without class and register tokens."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name=name)).eval()
    any_size = {} if "convnext" in name else {"dynamic_img_size": True}
    whole = timm.create_model(name, num_classes=0, **any_size)
    state = encoder.body.state_dict()
    names = to_timm(state, name)
    assert not whole.load_state_dict({names[n]: t for n, t in state.items()}, strict=False)[1]
    x = torch.randn(2, 3, 64, 96)
    with torch.no_grad():
        features, grid = whole.eval().forward_features(x), encoder(x)
    if hasattr(whole, "num_prefix_tokens"):
        assert whole.num_prefix_tokens == (5 if "dino" in name else 1)
        features = features[:, whole.num_prefix_tokens :].mT.unflatten(2, (4, 6))
    assert torch.equal(grid, features)


@pytest.mark.parametrize("name", ["test_vit", "test_convnext"])
def test_patches_cover_the_whole_photo(name):
    """What is left at the edges isn't dropped: the photo is resized to whole cells."""
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name=name)).eval()
    photo = torch.randn(1, 3, 75, 90)
    fitted = torch.nn.functional.interpolate(
        photo, size=(64 if "conv" in name else 80, 96), mode="bilinear"
    )
    with torch.no_grad():
        grid, changed = encoder(photo), photo.clone()
        changed[..., -1, :] += 1
        assert torch.equal(grid, encoder(fitted)) and grid.shape[2:] == feature_grid(
            encoder, (75, 90)
        )
        assert not torch.equal(encoder(changed)[..., -1, :], grid[..., -1, :])
        assert encoder(photo[..., :5, :7]).shape[2:] == (1, 1), "at least one cell"


def test_drop_path_is_timms_alone():
    """It skips blocks while the network learns, and adds no weights."""
    torch.manual_seed(0)
    plain = build_encoder(EncoderRecipe(name="test_vit"))
    torch.manual_seed(0)
    encoder = build_encoder(EncoderRecipe(name="test_vit", drop_path=0.5))
    photo = torch.randn(4, 3, 32, 32)
    assert encoder.state_dict().keys() == plain.state_dict().keys()
    assert not torch.equal(encoder(photo), encoder(photo))
    assert torch.equal(encoder.eval()(photo), plain.eval()(photo))
    for name in ("resnet18", "mine:trunk"):
        with pytest.raises(ValueError, match=f"applies to timm models alone, not to '{name}'"):
            build_encoder(EncoderRecipe(name=name, drop_path=0.1), run_own=True)
    with pytest.raises(ValueError, match="'dla46_c' has no drop path; leave drop_path out"):
        build_encoder(EncoderRecipe(name="dla46_c", drop_path=0.1))


def test_says_which_photos_do_not_fit():
    encoder = build_encoder(EncoderRecipe(name="test_vit_relpos"))
    with pytest.raises(
        ValueError, match="90 x 90 pixels don't fit 'test_vit_relpos': give 160 x 1"
    ):
        feature_grid(encoder, 90)
    assert feature_grid(encoder, 160) == (10, 10)
