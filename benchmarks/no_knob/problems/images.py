"""Fashion-MNIST: all of it for two large hidden layers, a part of it for a small CNN.

Without all of it in the folder of data sets, the included part of it is used.
"""

import os
from functools import partial
from pathlib import Path

import keras

from benchmarks.no_knob.metrics import ACCURACY
from benchmarks.no_knob.problem import Data, Layers, Problem, Rows
from examples.fashion_mnist import data

# The last images of the training set.
_VALIDATION = {"all": 5_000, "part": 2_000}
_PART = 10_000


def _load(most: int | None, folder: Path | None, seed: int) -> Data:
    if folder is not None:
        # Where TensorFlow Datasets looks, as for the example.
        os.environ["TFDS_DATA_DIR"] = str(folder / "tensorflow_datasets")
    images = data.load()
    training = Rows(images.train_images[:most], images.train_labels[:most])
    last = _VALIDATION["part" if most else "all"]
    name = images.name if most is None else f"{len(training):,} images of {images.name}"
    test = Rows(images.test_images, images.test_labels)
    return Data(name, training[:-last], training[-last:], test)


def _build_mlp(layers: Layers) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((784,)),
            layers.make_dense(1024, "hidden_1", "relu"),
            layers.make_dense(1024, "hidden_2", "relu"),
            keras.layers.Dense(10, name="logits"),
        ]
    )


def _build_cnn(layers: Layers) -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Reshape((28, 28, 1)),
            keras.layers.Conv2D(8, 3, 2, "same", activation="relu", name="convolution_1"),
            keras.layers.Conv2D(16, 3, 2, "same", activation="relu", name="convolution_2"),
            keras.layers.Flatten(),
            layers.make_dense(256, "hidden_1", "relu"),
            layers.make_dense(128, "hidden_2", "relu"),
            keras.layers.Dense(10, name="logits"),
        ]
    )


_LOSS = partial(keras.losses.SparseCategoricalCrossentropy, from_logits=True)

FASHION_MNIST = Problem(
    name="fashion_mnist",
    title="Fashion-MNIST, 784-1024-1024-10",
    load=partial(_load, None),
    build=_build_mlp,
    loss=_LOSS,
    metric=ACCURACY,
    epochs=10,
    batch=512,
    dense_rate=1e-3,
    tt_rate=5e-3,
    initial_rank=16,
    # The hidden layers, with their biases, are 50.7 times smaller than dense ones.
    target=34_560,
    strength=0.08,
    weight_decay=0.05,
)
CONVOLUTIONS = Problem(
    name="cnn",
    title="Fashion-MNIST, small CNN",
    load=partial(_load, _PART),
    build=_build_cnn,
    loss=_LOSS,
    metric=ACCURACY,
    epochs=6,
    batch=128,
    dense_rate=3e-3,
    tt_rate=1e-2,
    initial_rank=12,
    target=4_000,
    strength=1.0,
    weight_decay=0.01,
)
