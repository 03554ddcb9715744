"""Several sizes from one training: nested ranks, and an ordinary training that is cut at its end.

A TT network learns Fashion-MNIST, the included part unless all of it is there. Prints JSON with the
test accuracy at several sizes, none trained again: `python -m benchmarks.nested_ranks [--seeds 0]`.
"""

import argparse
import json
import os
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np

import dart_keras as dk
from dart_keras.selection.budget_selection import selection_for
from dart_keras.selection.smaller_copies import LayerRanks, sliced_copy, truncated_copy
from examples.fashion_mnist import data

SIZES = (1000, 2000, 4000, 8000, 16_000)
RANK = 24
BATCH = 128
CALIBRATION_BATCHES = 30
EPOCHS = 8
RATE = 5e-3


class SharePerLayer(dk.callbacks.NestedRanks):
    """Nested ranks with a share drawn for each layer, in place of one for all."""

    def on_train_begin(self, logs: Any = None) -> None:
        for i, layer in enumerate(self.model.layers):
            generator = keras.random.SeedGenerator(1000 * (i + 1) + (self.seed or 0))
            layer.rank_gates.seed_generator.state.assign(generator.state)


def train(images: data.FashionMnist, seed: int, *callbacks: Any, epochs: int = EPOCHS) -> Any:
    """Return a trained network of two TT layers."""
    keras.utils.set_random_seed(seed)
    model = keras.Sequential(
        [
            keras.Input((images.train_images.shape[1],)),
            dk.layers.TTDense(256, RANK, activation="relu"),
            dk.layers.TTDense(10, RANK),
        ]
    )
    steps = epochs * -(-len(images.train_images) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(RATE, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    x, y = images.train_images, images.train_labels
    model.fit(x, y, BATCH, epochs, verbose=0, callbacks=list(callbacks))
    return model


def accuracies(images: data.FashionMnist, seed: int, **settings: Any) -> dict[str, list[float]]:
    """Return for each way the test accuracies in percent, at all sizes and at full ranks."""

    def accuracy(model: Any) -> float:
        outputs = model.predict(images.test_images, batch_size=500, verbose=0)
        return round(100 * float(np.mean(np.argmax(outputs, axis=1) == images.test_labels)), 2)

    batches = [
        (images.train_images[i : i + BATCH], images.train_labels[i : i + BATCH])
        for i in range(0, CALIBRATION_BATCHES * BATCH, BATCH)
    ]

    def by_loss(model: Any, size: int) -> LayerRanks:
        return selection_for(dk.budgets.Parameters(size)).select(model, model.layers, batches)

    def nested_rows(name: str, nested: dk.callbacks.NestedRanks) -> dict[str, list[float]]:
        model = train(images, seed, nested, **settings)
        taken = [nested.model_at(dk.budgets.Parameters(size)) for size in SIZES]
        ranks = [by_loss(model, size) for size in SIZES]
        layers = model.layers
        return {
            f"{name}, model_at": [*map(accuracy, taken), accuracy(model)],
            f"{name}, first slices by the loss": [
                accuracy(sliced_copy(model, layers, own)) for own in ranks
            ],
            f"{name}, rounded": [accuracy(truncated_copy(model, layers, own)) for own in ranks],
        }

    model = train(images, seed, **settings)
    cut = [truncated_copy(model, model.layers, by_loss(model, size)) for size in SIZES]
    return {
        "ordinary, rounded": [*map(accuracy, cut), accuracy(model)],
        **nested_rows("nested", dk.callbacks.NestedRanks(seed)),
        **nested_rows("nested with a share for each layer", SharePerLayer(seed)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    images = data.load()
    found = [accuracies(images, seed) for seed in parser.parse_args().seeds]
    table = {
        name: {
            "mean": np.mean([rows[name] for rows in found], axis=0).round(2).tolist(),
            "lowest": np.min([rows[name] for rows in found], axis=0).tolist(),
            "highest": np.max([rows[name] for rows in found], axis=0).tolist(),
        }
        for name in found[0]
    }
    print(
        json.dumps(
            {"data": images.name, "parameters": [*SIZES, "all"], "accuracy": table, "runs": found},
            indent=2,
        )
    )


if __name__ == "__main__":
    main()
