"""NYU-Depth v2 in its three forms: one MATLAB file, HDF5 frames, or photos with PNGs."""

from pathlib import Path

from detcon.formats.errors import AnnotationError
from detcon.formats.folder.depth import DepthFiles, open_depth_folder
from detcon.formats.format import Format
from detcon.formats.nyu.frames import DepthFrames
from detcon.formats.nyu.layout import NyuLayout
from detcon.formats.nyu.mat import LABELED, NYU_FROM, NyuMat, open_nyu_mat


def open_nyu(
    data: str | Path, split: str, *, unit: float = 0.001
) -> NyuMat | DepthFrames | DepthFiles:
    """Opens NYU-Depth v2, in any of its forms.

    Args:
        data: The folder; or the labelled `.mat`, with `splits.mat` in the same folder.
        split: train or val; of the labelled part val is what its authors call test.
        unit: How many metres a step of a depth PNG is.

    Raises:
        AnnotationError: A part is missing or damaged.
        PhotosError: There are no photos.
    """
    root = Path(data)
    mat = root if root.suffix == ".mat" else root / LABELED
    if mat.is_file():
        return open_nyu_mat(mat, split)
    folder = root / split
    if (folder / "images").is_dir():
        return open_depth_folder(root, split, unit=unit)
    keys = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.h5"))
    if not keys:
        raise AnnotationError(
            f"there is no NYU-Depth v2 in {root}: looked for {LABELED}, {split}/**/*.h5 and "
            f"{split}/images; {NYU_FROM}"
        )
    return DepthFrames(folder, keys)


FORMAT = Format(depth=open_nyu, layout=NyuLayout)
