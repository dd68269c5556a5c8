"""Which wheels `on_gpu.py` needs that this machine lacks, and how large they are.

python benchmarks/wheels.py

Sizes are in MB, for Python 3.11 on x86-64 Linux; torch and its own are not in it.
"""

from importlib.util import find_spec

SIZES = {
    "cv2": ("opencv-python-headless", 61.2),
    "llvmlite": ("llvmlite", 59.7),
    "pyarrow": ("pyarrow", 55.0),
    "numpy": ("numpy", 16.9),
    "PIL": ("pillow", 7.1),
    "tensorboard": ("tensorboard", 5.5),
    "numba": ("numba", 3.8),
    "pydantic": ("pydantic", 2.8),
    "beartype": ("beartype", 1.6),
    "rich": ("rich", 1.7),
    "hypothesis": ("hypothesis", 1.2),
    "yaml": ("PyYAML", 0.8),
    "safetensors": ("safetensors", 0.5),
    "pycocotools": ("pycocotools", 0.5),
    "pytest": ("pytest", 0.5),
    "simplejpeg": ("simplejpeg", 0.4),
    "tifffile": ("tifffile", 0.2),
    "jaxtyping": ("jaxtyping", 0.1),
    "braceexpand": ("braceexpand", 0.1),
    "defusedxml": ("defusedxml", 0.1),
}
"""By the name that is imported: the wheel, and its size with the small ones that it needs."""

IN_IMAGES = {"cv2", "llvmlite", "numba", "pyarrow", "numpy", "PIL", "tensorboard"}
"""What images for data science with PyTorch bring along."""


def missing() -> dict[str, float]:
    """The wheels that aren't here."""
    return dict(wheel for name, wheel in SIZES.items() if find_spec(name) is None)


if __name__ == "__main__":
    lacking = missing()
    print(f"{sum(lacking.values()):.0f} MB: {' '.join(lacking) or 'nothing is missing'}")
    whole = sum(size for _, size in SIZES.values())
    rest = sum(size for name, (_, size) in SIZES.items() if name not in IN_IMAGES)
    print(f"{whole:.0f} MB on a machine with torch alone, {rest:.0f} MB in an image that has")
    print(f"{', '.join(SIZES[name][0] for name in SIZES if name in IN_IMAGES)} too")
