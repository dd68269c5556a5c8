"""Functions and classes of the user's own, found by their names."""

from importlib import import_module
from operator import attrgetter
from typing import Any


def find_named(address: str, setting: str) -> Any:
    """Imports what "package.module:name" names.

    Args:
        address: The value of the setting.
        setting: The setting's name, for messages.

    Raises:
        ValueError: It names nothing, or what it names can't be imported.
    """
    module, colon, name = address.partition(":")
    if not (module and colon and name):
        raise ValueError(
            f"{setting}={address} doesn't name a function; write package.module:name, as in "
            f"skimage.segmentation:quickshift"
        )
    try:
        return attrgetter(name)(import_module(module))
    except ModuleNotFoundError as error:
        reason = f"{error}; if it is a file of your own, put its folder into PYTHONPATH"
    except AttributeError as error:
        reason = f"{error}; check the name"
    except Exception as error:
        reason = f"{type(error).__name__}: {error} (--debug shows where)"
    raise ValueError(f"cannot import {setting}={address}: {reason}")
