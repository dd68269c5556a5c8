"""The smallest transfer that learns something."""

SMALL_TASK = {
    "kind": "segmentation",
    "crop": 32,
    "scale": [0.8, 1.25],
    "batch_size": 8,
    "head_channels": 16,
    "dilation": 1,
    "optimizer": {"kind": "adamw", "lr": 1e-2},
}
SMALL = {
    "backbone": "random",
    "encoder": {"name": "resnet18", "width": 0.25, "zero_init": True},  # the rates are for it
    "stride": 8,
    "task": SMALL_TASK,
    "loop": {"precision": "32", "accelerator": "cpu"},
}
