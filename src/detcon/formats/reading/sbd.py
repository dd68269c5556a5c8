"""The MATLAB files of SBD, the Semantic Boundaries Dataset (Hariharan et al., ICCV 2011)."""

from pathlib import Path

import numpy as np
from jaxtyping import Int32

from detcon.formats.errors import AnnotationError
from detcon.formats.reading.mat_file import read_mat


def read_sbd(path: Path) -> Int32[np.ndarray, "y x"]:
    """Reads the map of a file of `cls/` (class ids) or `inst/` (instance ids).

    Raises:
        AnnotationError: If there is no such file, or it holds something else.
    """
    try:
        values = read_mat(path.read_bytes())
        (truth,) = values.get("GTcls") or values["GTinst"]
        ids = np.asarray(truth["Segmentation"])
        if ids.ndim != 2 or ids.dtype.kind not in "iu":
            raise ValueError("no map of ids")
        return ids.astype(np.int32)
    except FileNotFoundError as error:
        raise AnnotationError(f"there is no annotation {path}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise AnnotationError(
            f"the annotation {path} is no file of SBD that can be read: it should hold "
            f"GTcls.Segmentation or GTinst.Segmentation; copy it again"
        ) from error
