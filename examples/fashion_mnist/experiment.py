"""Train a dense network and its TT equivalent, truncate the ranks, convert and measure both."""

import time
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import dart_keras as dk
from examples.fashion_mnist.data import FashionMnist

CALIBRATION_ROWS = 500
# Peak learning rates. A TT model needs a larger one than its dense equivalent.
DENSE_LEARNING_RATE = 1e-3
TT_LEARNING_RATE = 5e-3
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Plan:
    """Training settings.

    Attributes:
        epochs: Number of epochs, for both models.
        batch: Rows a step.
        parameters: How many the cores of all TT layers may have together.
        seed: Random seed of initial weights and shuffling.
    """

    epochs: int
    batch: int
    parameters: int = 30_000
    seed: int = 0


PLANS = {
    "all": Plan(epochs=12, batch=512),
    # A quarter of the images, and more epochs with half as many steps.
    "part": Plan(epochs=14, batch=256),
}


@dataclass(frozen=True)
class Row:
    """A row of the table; `bytes` is the size of the weights or of the file."""

    name: str
    parameters: int
    bytes: int
    arena: int | None
    microseconds: float
    accuracy: float


@dataclass(frozen=True)
class Outcome:
    """Models, measurements and converted files of an experiment."""

    rows: list[Row]
    dense: keras.Model
    model: keras.Model
    cut: dict[str, Any]
    history: dict[str, list[float]]
    monitor: dk.callbacks.RankMonitor
    artifacts: dict[str, dk.deployment.Artifact]


def dense_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((784,)),
            keras.layers.Dense(1024, activation="relu", name="hidden_1"),
            keras.layers.Dense(1024, activation="relu", name="hidden_2"),
            keras.layers.Dense(10, name="logits"),
        ],
        name="dense",
    )


def tt_model() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input((784,)),
            dk.layers.TTDense(1024, activation="relu", name="hidden_1"),
            dk.layers.TTDense(1024, activation="relu", name="hidden_2"),
            keras.layers.Dense(10, name="logits"),
        ],
        name="tt",
    )


def train(
    model: keras.Model,
    data: FashionMnist,
    plan: Plan,
    learning_rate: float,
    callbacks: list[Any],
    verbose: Any,
) -> dict[str, list[float]]:
    """Train once with AdamW and a cosine schedule over the whole run."""
    steps = plan.epochs * -(-len(data.train_images) // plan.batch)
    model.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(learning_rate, steps), WEIGHT_DECAY
        ),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model.fit(
        data.train_images,
        data.train_labels,
        batch_size=plan.batch,
        epochs=plan.epochs,
        validation_data=(data.test_images, data.test_labels),
        callbacks=callbacks,
        verbose=verbose,
    ).history


def run(data: FashionMnist, plan: Plan, verbose: Any = "auto") -> Outcome:
    """Train both models, convert the truncated one for both targets, and measure."""
    keras.utils.set_random_seed(plan.seed)
    dense = dense_model()
    dense_history = train(dense, data, plan, DENSE_LEARNING_RATE, [], verbose)
    rows = [
        _keras_row("dense, Keras", dense, dense.count_params(), dense_history["val_accuracy"][-1])
    ]

    keras.utils.set_random_seed(plan.seed)
    model = tt_model()
    microseconds_before = _microseconds(model)
    discretization = dk.callbacks.RankDiscretization(dk.budgets.Parameters(plan.parameters))
    monitor = dk.callbacks.RankMonitor()
    history = train(model, data, plan, TT_LEARNING_RATE, [discretization, monitor], verbose)
    [cut] = discretization.cuts
    before = cut["parameters_before"]
    rows += [
        Row(
            "TT before truncation, Keras",
            before,
            4 * before,
            None,
            microseconds_before,
            history["val_accuracy"][cut["epoch"] - 1],
        ),
        _keras_row(
            "TT after truncation, Keras",
            model,
            model.count_params(),
            history["val_accuracy"][-1],
        ),
    ]
    calibration = data.train_images[:CALIBRATION_ROWS]
    artifacts = {}
    for target, runtime in (("raspberry-pi", "litert"), ("microcontroller", "tflm")):
        artifact = dk.deployment.convert(
            model, target=target, quantization="int8", calibration_data=calibration
        )
        artifacts[target] = artifact
        logits = artifact.predict(data.test_images, runtime=runtime)
        rows.append(
            Row(
                {"litert": "TT, LiteRT int8", "tflm": "TT, TFLM int8"}[runtime],
                model.count_params(),
                artifact.size,
                artifact.arena_size,
                artifact.report["runtimes"][runtime]["microseconds"],
                _accuracy(logits, data.test_labels),
            )
        )
    return Outcome(rows, dense, model, cut, history, monitor, artifacts)


def _keras_row(name: str, model: keras.Model, parameters: int, accuracy: float) -> Row:
    return Row(name, parameters, 4 * parameters, None, _microseconds(model), accuracy)


def _accuracy(logits: np.ndarray, labels: np.ndarray) -> float:
    return float(np.mean(np.argmax(logits, axis=-1) == labels))


def _microseconds(model: keras.Model, repetitions: int = 300) -> float:
    """Return the median time of one inference of one row, compiled by TensorFlow."""
    infer = tf.function(lambda x: model(x, training=False))
    x = tf.zeros((1, *model.input_shape[1:]))
    times = []
    for _ in range(repetitions):
        start = time.perf_counter()
        infer(x).numpy()
        times.append(time.perf_counter() - start)
    return 1e6 * float(np.median(times))
