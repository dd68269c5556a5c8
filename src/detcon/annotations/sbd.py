"""The MATLAB files of SBD, the Semantic Boundaries Dataset (Hariharan et al., ICCV 2011)."""

import io
from pathlib import Path

import numpy as np
from jaxtyping import Int32
from scipy.io import loadmat

from detcon.annotations.errors import AnnotationError


def read_sbd(path: Path) -> Int32[np.ndarray, "y x"]:
    """Reads the map of a file of `cls/` (class ids) or `inst/` (instance ids).

    Raises:
        AnnotationError: If there is no such file, or it holds something else.
    """
    try:
        values = loadmat(io.BytesIO(path.read_bytes()), squeeze_me=True, struct_as_record=False)
        truth = next(values[name] for name in ("GTcls", "GTinst") if name in values)
        ids = np.asarray(truth.Segmentation)
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError("no map of ids")
        return ids.astype(np.int32)
    except FileNotFoundError as error:
        raise AnnotationError(f"there is no annotation {path}") from error
    except Exception as error:  # SciPy has no one exception for a damaged file
        raise AnnotationError(
            f"the annotation {path} is no file of SBD that can be read: it should hold "
            f"GTcls.Segmentation or GTinst.Segmentation; copy it again"
        ) from error
