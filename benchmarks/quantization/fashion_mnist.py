"""The demo's network on Fashion-MNIST, its ranks truncated during training."""

import keras

import dart_keras as dk
from benchmarks.quantization.study import AWARE, Study
from examples.fashion_mnist import data
from examples.fashion_mnist.experiment import (
    CALIBRATION_ROWS,
    PLANS,
    TT_LEARNING_RATE,
    train,
    tt_model,
)

EPOCHS = 3
LEARNING_RATE = 2e-4
POINTS = {"int8": 0.5, AWARE: 0.1, "int16x8": 0.1}


def study() -> Study:
    images = data.load()
    plan = PLANS["all" if len(images.train_images) == 60_000 else "part"]
    keras.utils.set_random_seed(plan.seed)
    model = tt_model()
    truncation = dk.callbacks.RankDiscretization(dk.budgets.Parameters(plan.parameters))
    train(model, images, plan, TT_LEARNING_RATE, [truncation], 0)

    def train_further(model: keras.Model) -> None:
        steps = EPOCHS * -(-len(images.train_images) // plan.batch)
        model.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps)),
            keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        )
        rows, labels = images.train_images, images.train_labels
        model.fit(rows, labels, batch_size=plan.batch, epochs=EPOCHS, verbose=0)

    return Study(
        f"784-1024-1024-10 on {images.name}",
        model,
        images.train_images[:CALIBRATION_ROWS],
        images.test_images,
        images.test_labels,
        lambda logits, labels: (logits.argmax(-1) == labels).astype("float64"),
        lambda score, reference: 100 * (reference - score),
        "points",
        POINTS,
        train_further,
    )
