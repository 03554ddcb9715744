"""Small crops of the photographs that Python packages ship."""

from pathlib import Path

import numpy as np
from keras import ops

# Shortest side of a crop before downscaling, in pixels.
SHORTEST_SIDE = 48


def photographs() -> list[np.ndarray]:
    """Return the colour photographs of scikit-image, scikit-learn and matplotlib, as bytes."""
    import matplotlib
    from matplotlib.image import pil_to_array
    from PIL import Image
    from skimage import data
    from sklearn.datasets import load_sample_images

    portrait = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    return [
        data.astronaut(),
        data.coffee(),
        data.chelsea(),
        data.rocket(),
        data.stereo_motorcycle()[0],
        *load_sample_images().images,
        pil_to_array(Image.open(portrait)),
    ]


def crops(count: int, side: int, seed: int = 0) -> np.ndarray:
    """Return random square crops of all sizes, mirrored, with changed light and colours.

    Args:
        count: Number of crops.
        side: Pixels along a side.
        seed: Random seed.

    Returns:
        Float32 array of shape (count, side, side, 3), whole numbers from 0 to 255.
    """
    rng = np.random.default_rng(seed)
    sources = photographs()
    return np.stack([_crop(sources[rng.integers(len(sources))], side, rng) for _ in range(count)])


def _crop(photograph: np.ndarray, side: int, rng: np.random.Generator) -> np.ndarray:
    height, width, _ = photograph.shape
    size = int(np.exp(rng.uniform(np.log(SHORTEST_SIDE), np.log(min(height, width)))))
    top, left = rng.integers(height - size + 1), rng.integers(width - size + 1)
    square = photograph[top : top + size, left : left + size].astype("float32")
    if rng.random() < 0.5:
        square = square[:, ::-1]
    small = ops.convert_to_numpy(ops.image.resize(square, (side, side), antialias=True))
    if rng.random() < 0.3:
        small = small[..., rng.permutation(3)]
    mean = small.mean((0, 1))
    contrast = np.exp(0.3 * rng.normal())
    light = 25 * rng.normal() + 12 * rng.normal(size=3)
    lit = (small - mean) * contrast + mean + light
    return np.clip(np.round(lit), 0, 255).astype("float32")
