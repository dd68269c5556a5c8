"""Photos to measure on, made here, so that a benchmark runs anywhere."""

from pathlib import Path

import cv2
import numpy as np

HEIGHT, WIDTH = 375, 500  # as ImageNet's are on average


def make_photos(folder: Path, num: int) -> Path:
    """Writes JPEGs with a photograph's spectrum (1/f) and some filled ellipses as objects."""
    folder.mkdir(parents=True, exist_ok=True)
    y, x = np.meshgrid(np.fft.fftfreq(HEIGHT), np.fft.rfftfreq(WIDTH), indexing="ij")
    amplitude = 1 / np.maximum(np.hypot(y, x), 1 / WIDTH)
    for number in range(num):
        rng = np.random.default_rng(number)
        channels = []
        for _ in range(3):
            noise = np.fft.rfft2(rng.standard_normal((HEIGHT, WIDTH)))
            field = np.fft.irfft2(noise * amplitude, (HEIGHT, WIDTH))
            channels.append(128 + 45 * field / field.std())
        photo = np.clip(np.stack(channels, -1), 0, 255).astype(np.uint8)
        for _ in range(6):
            centre = (int(rng.integers(WIDTH)), int(rng.integers(HEIGHT)))
            axes = (int(rng.integers(20, 120)), int(rng.integers(20, 120)))
            colour = rng.integers(256, size=3).tolist()
            drawn = cv2.ellipse(photo.copy(), centre, axes, 0, 0, 360, colour, -1)
            photo = cv2.addWeighted(photo, 0.3, drawn, 0.7, 0)
        cv2.imwrite(str(folder / f"{number:04d}.jpg"), photo, [cv2.IMWRITE_JPEG_QUALITY, 90])
    return folder
