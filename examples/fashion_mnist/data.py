"""Fashion-MNIST: the whole set where TensorFlow Datasets has it, else the part shipped here."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

SHIPPED = Path(__file__).parent / "data"


@dataclass(frozen=True)
class FashionMnist:
    """Images as rows of 784 numbers between 0 and 1, labels as integers from 0 to 9."""

    name: str
    train_images: np.ndarray
    train_labels: np.ndarray
    test_images: np.ndarray
    test_labels: np.ndarray


def load(download: bool = False) -> FashionMnist:
    """The whole set from `TFDS_DATA_DIR` or the default folder, or the part shipped here.

    Args:
        download: Whether TensorFlow Datasets may download the set.
    """
    import tensorflow_datasets as tfds

    builder = tfds.builder("fashion_mnist")
    if download:
        builder.download_and_prepare()
    if not builder.is_prepared():
        return _shipped()
    train, test = (
        tfds.as_numpy(builder.as_dataset(split, batch_size=-1, as_supervised=True))
        for split in ("train", "test")
    )
    return FashionMnist("Fashion-MNIST, all of it", *_rows(*train), *_rows(*test))


def _shipped() -> FashionMnist:
    parts = [np.load(path) for path in sorted(SHIPPED.glob("train-*.npz"))]
    images = np.concatenate([part["images"] for part in parts])
    labels = np.concatenate([part["labels"] for part in parts])
    test = np.load(SHIPPED / "test.npz")
    return FashionMnist(
        "the part of Fashion-MNIST that is shipped",
        *_rows(images, labels),
        *_rows(test["images"], test["labels"]),
    )


def _rows(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images.reshape(len(images), -1).astype("float32") / 255, labels.astype("int32")
