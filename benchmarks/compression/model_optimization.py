"""Int8 files of tensorflow-model-optimization: pruning, clustering, quantization-aware training.

The toolkit needs Keras 2 in place of Keras 3, so `run` starts a process of its own.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import environment
from examples.fashion_mnist import data

EPOCHS = 3
SPARSITIES = (0.8, 0.9, 0.95, 0.98, 0.99)
CLUSTERS = (32, 8, 4, 2)
# Learning rates and batch sizes of the toolkit's guides.
PRUNING = {"learning_rate": 1e-3, "batch": 128}
CLUSTERING = {"learning_rate": 1e-5, "batch": 500}
# A tenth of the guide's rate, at which trained networks lose accuracy.
QUANTIZATION_AWARE = {"learning_rate": 1e-4, "batch": 500}
REPRESENTATIVE_ROWS = 1000


def run(weights: list[np.ndarray], methods: dict[str, tuple[float, ...]]) -> dict[Any, bytes]:
    """Make int8 files of a trained network in another process.

    Args:
        weights: Kernels and biases of the dense network.
        methods: Values by method: final sparsities for "pruning", numbers of clusters for
            "clustering", numbers of epochs for "quantization-aware".

    Returns:
        The content of a `.tflite` file by method and value.
    """
    with tempfile.TemporaryDirectory() as folder:
        np.savez(Path(folder) / "weights.npz", *weights)
        files = {}
        for method, values in methods.items():
            for value in values:
                subprocess.run(
                    [sys.executable, "-m", __spec__.name, folder, method, str(value)],
                    env=os.environ | {"TF_USE_LEGACY_KERAS": "1"},
                    check=True,
                )
                files[method, value] = (Path(folder) / f"{method}_{value}.tflite").read_bytes()
    return files


def network(weights: list[np.ndarray]) -> Any:
    """Return the example's dense network in Keras 2."""
    import tf_keras

    model = tf_keras.Sequential(
        [
            tf_keras.layers.Dense(1024, activation="relu", input_shape=(784,)),
            tf_keras.layers.Dense(1024, activation="relu"),
            tf_keras.layers.Dense(10),
        ]
    )
    model.set_weights(weights)
    return model


def pruned(model: Any, images: data.FashionMnist, sparsity: float) -> Any:
    """Train further while a polynomial schedule sets the smallest weights to zero."""
    from tensorflow_model_optimization.sparsity import keras as sparsity_tools

    steps = EPOCHS * -(-len(images.train_images) // PRUNING["batch"])
    schedule = sparsity_tools.PolynomialDecay(0.5, sparsity, 0, steps)
    model = sparsity_tools.prune_low_magnitude(model, schedule)
    fit(model, images, **PRUNING, callbacks=[sparsity_tools.UpdatePruningStep()])
    return sparsity_tools.strip_pruning(model)


def clustered(model: Any, images: data.FashionMnist, clusters: int) -> Any:
    """Train further with each layer's weights tied to a few values."""
    from tensorflow_model_optimization.clustering import keras as clustering_tools

    start = clustering_tools.CentroidInitialization.KMEANS_PLUS_PLUS
    model = clustering_tools.cluster_weights(model, clusters, start)
    fit(model, images, **CLUSTERING)
    return clustering_tools.strip_clustering(model)


def quantization_aware(model: Any, images: data.FashionMnist, epochs: int) -> Any:
    """Train further with weights and activations rounded as in the int8 file."""
    from tensorflow_model_optimization.quantization import keras as quantization_tools

    model = quantization_tools.quantize_model(model)
    fit(model, images, **QUANTIZATION_AWARE, epochs=epochs)
    return model


def fit(
    model: Any,
    images: data.FashionMnist,
    learning_rate: float,
    batch: int,
    callbacks: Any = (),
    epochs: int = EPOCHS,
) -> None:
    """Train with labels, as the toolkit's guides do."""
    import tf_keras

    model.compile(
        tf_keras.optimizers.Adam(learning_rate),
        tf_keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(
        images.train_images,
        images.train_labels,
        batch_size=batch,
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
    )


def int8_file(model: Any, rows: np.ndarray | None) -> bytes:
    """Convert with full integer quantization; `rows` calibrate the ranges, if given."""
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if rows is not None:
        converter.representative_dataset = lambda: ([row[None]] for row in rows)
        converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    return converter.convert()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("method", choices=("pruning", "clustering", "quantization-aware"))
    parser.add_argument("value")
    arguments = parser.parse_args()
    environment.prepare()
    images = data.load()
    weights = list(np.load(arguments.folder / "weights.npz").values())
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    model = network(weights)
    rows = images.train_images[:REPRESENTATIVE_ROWS]
    if arguments.method == "pruning":
        model = pruned(model, images, float(arguments.value))
    elif arguments.method == "clustering":
        model = clustered(model, images, int(arguments.value))
    else:
        # The model has learned its ranges.
        model, rows = quantization_aware(model, images, int(arguments.value)), None
    content = int8_file(model, rows)
    (arguments.folder / f"{arguments.method}_{arguments.value}.tflite").write_bytes(content)


if __name__ == "__main__":
    main()
