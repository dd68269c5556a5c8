"""The main job in Python, small: scenes, masks, pretraining, few-label segmentation.

python examples/photos_to_segmentation.py
"""

from pathlib import Path

from detcon import make_masks, make_scenes, pretrain, transfer


def main() -> None:
    folder = Path("example-run")
    scenes = make_scenes(out=folder / "scenes", num=80, size=64, workers=1)
    images = scenes / "train" / "images"
    masks = make_masks(
        "recipes/masks/felzenszwalb_small.yaml", images=images, out=folder / "masks", workers=1
    )
    backbone = pretrain(
        "recipes/pretrain/demo_detcon_s.yaml",
        images=images,
        masks=masks,
        out=folder / "detcon_s",
        steps=6,
        batch_size=32,
        workers=0,
    )
    results = transfer(
        "recipes/transfer/folder_linear.yaml",
        data=scenes,
        backbone=backbone,
        out=folder / "transfer",
        labels=20,
        size=64,
    )
    print(f"mean IoU with 20 labels, linear probe on frozen features: {results[0].value:.1f} %")


if __name__ == "__main__":  # workers are processes, which import this file again
    main()
