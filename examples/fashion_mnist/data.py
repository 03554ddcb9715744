"""Fashion-MNIST: the whole data set from TensorFlow Datasets, or else the part included here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

INCLUDED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class FashionMnist:
    """Images as rows of 784 values from 0 to 1, labels as integers from 0 to 9."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(download: bool = False) -> FashionMnist:
    """Load the whole data set from `TFDS_DATA_DIR` or the default folder, or the included part.

    Args:
        download: Whether TensorFlow Datasets may download the data set.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder("fashion_mnist")
    if download:
        builder.download_and_prepare()
    if not builder.is_prepared():
        return _included_part()
    train, test = (
        tfds.as_numpy(builder.as_dataset(split, batch_size=-1, as_supervised=True))
        for split in ("train", "test")
    )
    return FashionMnist("Fashion-MNIST, all of it", *_rows(*train), *_rows(*test))


def _included_part() -> FashionMnist:
    parts = [np.load(path) for path in sorted(INCLUDED.glob("train-*.npz"))]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts])
    test = np.load(INCLUDED / "test.npz")
    return FashionMnist(
        "the included part of Fashion-MNIST",
        *_rows(images, labels),
        *_rows(test["images"], test["labels"]),
    )


def _rows(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images.reshape(len(images), -1).astype("float32") / 255, labels.astype("int32")
