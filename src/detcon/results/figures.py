"""How figures are written: each in its own unit, with as many digits as mean something."""

_OWN = {"rms": ("m", 3), "relative": ("", 3), "log10": ("", 4)}
"""Unit and digits of figures whose unit is not that of the main metric."""


def unit_of(figure: str, unit: str) -> str:
    """The unit of a figure of a result.

    Args:
        figure: Its name, as `rms`.
        unit: Of the result's main metric.
    """
    return _OWN[figure][0] if figure in _OWN else unit


def written(value: float, figure: str, unit: str, *, sign: str = "") -> str:
    """A figure as text, without its unit.

    >>> written(0.5731, "rms", "%"), written(0.0587, "log10", "%"), written(81.13, "delta1", "%")
    ('0.573', '0.0587', '81.1')

    Args:
        value: In the unit of the figure.
        figure: Its name.
        unit: Of the result's main metric.
        sign: "+" to write the sign of positive values too.
    """
    digits = _OWN[figure][1] if figure in _OWN else 1 if unit == "%" else 3
    return f"{value:{sign}.{digits}f}"
