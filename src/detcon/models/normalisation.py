"""Normalisation of photos before the encoder."""

from detcon.config import Recipe


class Normalisation(Recipe):
    """Mean and standard deviation of the channels of photos in [0, 1]."""

    mean: tuple[float, ...] = (0.485, 0.456, 0.406)
    std: tuple[float, ...] = (0.229, 0.224, 0.225)

    @classmethod
    def of(cls, channels: int) -> "Normalisation":
        """ImageNet's for RGB; other channels are brought from [0, 1] to [-2, 2]."""
        if channels == 3:
            return cls()
        return cls(mean=(0.5,) * channels, std=(0.25,) * channels)
