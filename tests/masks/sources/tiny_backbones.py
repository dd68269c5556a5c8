"""Backbones of a few thousand weights that learnt nothing."""

import torch

from detcon.models.backbone_file import save_backbone
from detcon.models.encoders import build_encoder
from detcon.models.recipe import EncoderRecipe, Normalisation

NARROW = EncoderRecipe(name="resnet18", width=0.125)


def save_tiny(path, seed=0):
    torch.manual_seed(seed)
    encoder = build_encoder(NARROW)
    save_backbone(path, encoder, NARROW, normalisation=Normalisation())
    return str(path)
