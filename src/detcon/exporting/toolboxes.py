"""Files for toolboxes that have a ResNet of their own: transformers, mmseg and mmdet."""

import json
import re
from pathlib import Path

from safetensors.torch import save

from detcon.exporting.packing import pack_state
from detcon.exporting.recipe import ExportFormat
from detcon.models.backbone_file import Backbone, plain_state
from detcon.models.recipe import BASIC, BOTTLENECK, RESNETS

_PART = re.compile(r"layer(\d)\.(\d+)\.(conv|bn|downsample\.)(\d)\.(\w+)")
_STRIDES = {32: ((1, 2, 2, 2), (1, 1, 1, 1)), 16: ((1, 2, 2, 1), (1, 1, 1, 2)),
            8: ((1, 2, 1, 1), (1, 1, 2, 4))}  # fmt: skip
"""By output stride: strides and dilations of the four stages."""


def to_transformers(name: str) -> str:
    """A tensor's name in transformers' `ResNetBackbone`.

    >>> to_transformers("layer1.0.conv2.weight"), to_transformers("bn1.bias")
    ('encoder.stages.0.layers.0.layer.1.convolution.weight', 'embedder.embedder.normalization.bias')
    """
    found = _PART.fullmatch(name)
    if found is None:
        first, entry = name.split(".")
        return f"embedder.embedder.{_kind(first == 'conv1')}.{entry}"
    stage, block, kind, number, entry = found.groups()
    is_shortcut = kind == "downsample."
    place = "shortcut" if is_shortcut else f"layer.{int(number) - 1}"
    convolves = kind == "conv" or (is_shortcut and number == "0")
    return f"encoder.stages.{int(stage) - 1}.layers.{block}.{place}.{_kind(convolves)}.{entry}"


def _kind(convolves: bool) -> str:
    return "convolution" if convolves else "normalization"


def pack_transformers(backbone: Backbone) -> dict[str, bytes]:
    """The files of a folder for `ResNetBackbone.from_pretrained` and `AutoImageProcessor`.

    `AutoBackbone` takes it once it is on the hub; in transformers 5 it takes no local folder.
    """
    recipe, normalisation = backbone.recipe, backbone.normalisation
    depth, width = RESNETS[recipe.name], recipe.width
    deep = depth in BOTTLENECK
    config = {
        "model_type": "resnet",
        "architectures": ["ResNetBackbone"],
        "num_channels": recipe.in_channels,
        "embedding_size": round(64 * width),
        "hidden_sizes": [round((256 if deep else 64) * width) << stage for stage in range(4)],
        "depths": list((BOTTLENECK if deep else BASIC)[depth]),
        "layer_type": "bottleneck" if deep else "basic",
        "hidden_act": "relu",
        "downsample_in_first_stage": False,
        "downsample_in_bottleneck": False,
        "out_features": ["stage4"],
    }
    processor = {
        "image_processor_type": "BitImageProcessor",
        "do_resize": False,
        "do_center_crop": False,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": list(normalisation.mean),
        "image_std": list(normalisation.std),
    }
    state = {to_transformers(name): t for name, t in plain_state(backbone.encoder).items()}
    return {
        "config.json": _json(config),
        "preprocessor_config.json": _json(processor),
        "model.safetensors": save(state, {"format": "pt"}),
    }


def _json(values: dict) -> bytes:
    return (json.dumps(values, indent=1) + "\n").encode()


def pack_openmmlab(backbone: Backbone, to: ExportFormat, out: Path) -> dict[Path, bytes]:
    """The checkpoint, by torchvision's names, and a configuration next to it that uses it."""
    weights = pack_state({"state_dict": plain_state(backbone.encoder)}, out.suffix)
    return {out: weights, out.with_suffix(".py"): _openmmlab_config(backbone, to, out).encode()}


def _openmmlab_config(backbone: Backbone, to: ExportFormat, out: Path) -> str:
    """A configuration that trains all stages and norms, as mmdet's do with such weights."""
    recipe, normalisation = backbone.recipe, backbone.normalisation
    strides, dilations = _STRIDES[recipe.stride]
    dilated = ", contract_dilation=True" if recipe.stride != 32 else ""
    kind, pad = "SegDataPreProcessor", "seg_pad_val=255"
    if to == "mmdet":
        kind, pad = "DetDataPreprocessor", "pad_size_divisor=32"
    rgb = "bgr_to_rgb=True, " if recipe.in_channels == 3 else ""
    mean, std = (
        [round(255 * one, 4) for one in v] for v in (normalisation.mean, normalisation.std)
    )
    return f'''# A backbone from detcon for {to}: merge this into your configuration.
# Where the base has another type of backbone, add _delete_=True to backbone=dict(...).
data_preprocessor = dict(
    type="{kind}",
    mean={mean},
    std={std},
    {rgb}{pad},
)
model = dict(
    data_preprocessor=data_preprocessor,
    backbone=dict(
        type="ResNet",
        depth={RESNETS[recipe.name]},
        in_channels={recipe.in_channels},
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides={strides},
        dilations={dilations}{dilated},
        style="pytorch",
        frozen_stages=-1,
        norm_cfg=dict(type="SyncBN", requires_grad=True),
        norm_eval=False,
        init_cfg=dict(type="Pretrained", checkpoint={str(out)!r}),
    ),
)
'''
