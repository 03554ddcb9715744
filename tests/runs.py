"""Short training runs with a truncation, which must be the same on every backend and strategy.

`python -m tests.runs FOLDER STRATEGY NAME...` runs them in a process of its own. The chief writes
the results to FOLDER/chief.json, another worker to FOLDER/other.json.
"""

import contextlib
import json
import sys
from pathlib import Path

import keras
import numpy as np

from dart_keras.adapters import LoRA, adapt
from dart_keras.budgets import LossIncrease, Parameters, RelativeError
from dart_keras.callbacks import RankDiscretization, RankMonitor, StrengthSchedule
from dart_keras.distribution import is_chief, multi_worker_strategy
from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding
from dart_keras.regularizers import GroupLasso, LogDet, NuclearNorm
from dart_keras.selection import GumbelSoftmax, Threshold

RNG = np.random.default_rng(0)
X = RNG.normal(size=(128, 16)).astype("float32")
Y = (X @ RNG.normal(size=(16, 16)) / 4).astype("float32")
IDS = (RNG.integers(0, 8, (128, 4)) * 5).astype("int32")
CALIBRATION = [(IDS[:64], IDS[:64]), (IDS[64:], IDS[64:])]
EPOCHS = 4


def sequential():
    first = TTDense(16, 8, activation="relu", rank_regularizer=GroupLasso(0.2), name="first")
    # Its last core starts at zero, where the regularizer must have a finite gradient.
    second = TTDense(
        16, 8, core_initializer="zeros", rank_regularizer=NuclearNorm(0.2), name="second"
    )
    return keras.Sequential([keras.Input((16,)), first, second]), X, Y, "mse"


def small():
    layers = (TTDense(16, 2, activation="relu", name="a"), TTDense(16, 2, name="b"))
    return keras.Sequential([keras.Input((16,)), *layers]), X, Y, "mse"


def adapted():
    first = keras.layers.Dense(16, "relu", name="first")
    base = keras.Sequential([keras.Input((16,)), first, keras.layers.Dense(16, name="second")])
    rng = np.random.default_rng(1)  # Backends draw other numbers.
    base.set_weights([rng.normal(size=weight.shape) / 4 for weight in base.weights])
    method = LoRA(rank=4, rank_regularizer=NuclearNorm(0.01))
    return adapt(base, method, ["first"], ["second"]), X, Y, "mse"


def layers_of_text():
    regularizer = LogDet(0.02)  # Shared by all layers.
    return (
        TTEmbedding(40, 16, 8, rank_regularizer=regularizer, name="table"),
        TTEinsumDense("abc,cde->abde", (None, 2, 8), 8, rank_regularizer=regularizer, name="heads"),
        TTEinsumDense("abde,dec->abc", (None, 16), 8, rank_regularizer=regularizer, name="joined"),
    )


def cross_entropy():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def functional():
    table, heads, joined = layers_of_text()
    ids = keras.Input((4,), dtype="int32")
    outputs = table(joined(heads(table(ids))), reverse=True)
    return keras.Model(ids, outputs), IDS, IDS, cross_entropy()


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.table, self.heads, self.joined = layers_of_text()

    def call(self, ids):
        return self.table(self.joined(self.heads(self.table(ids))), reverse=True)


def subclassed():
    return Subclassed(), IDS, IDS, cross_entropy()


# By name: functions that make the model, its optimizer, and the callback that truncates.
RUNS = {
    "threshold": (
        functional,
        lambda: keras.optimizers.AdamW(0.01, weight_decay=0.01),
        lambda: RankDiscretization(
            Threshold(0.3), when="converged", patience=1, tolerance=0.5, epoch=3
        ),
    ),
    "energy": (
        sequential,
        lambda: keras.optimizers.RMSprop(0.005, momentum=0.5, centered=True),
        lambda: RankDiscretization(RelativeError(0.2), epoch=2),
    ),
    "budget": (
        subclassed,
        lambda: keras.optimizers.Adam(0.01, gradient_accumulation_steps=2),
        lambda: RankDiscretization(Parameters(500), epoch=2),
    ),
    "calibrated": (
        functional,
        lambda: keras.optimizers.Adam(0.01),
        lambda: RankDiscretization(Parameters(500), epoch=2, calibration_data=CALIBRATION),
    ),
    # Its layers are drawn again with larger ranks, and then truncated.
    "size": (
        small,
        lambda: keras.optimizers.Adam(0.01),
        lambda: RankDiscretization(Parameters(150)),
    ),
    # Its ranks grow after an epoch.
    "loss": (
        small,
        lambda: keras.optimizers.Adam(0.01),
        lambda: RankDiscretization(LossIncrease(0.01)),
    ),
    "adapters": (
        adapted,
        lambda: keras.optimizers.Adam(0.01),
        lambda: RankDiscretization(Parameters(64), epoch=2),
    ),
    "gumbel": (
        sequential,
        lambda: keras.optimizers.Adam(0.05),
        lambda: RankDiscretization(GumbelSoftmax(1e-3, seed=1), epoch=2),
    ),
}


class PowerCut(Exception):  # noqa: N818
    """Ends a run early."""


def run(name, strategy=None, backup=None, stop=None):
    """Train a model and return its results.

    Args:
        name: Name of the run.
        strategy: A `tf.distribute` strategy.
        backup: A folder to back up to, and to resume from.
        stop: Epoch before which to raise a `PowerCut`.
    """
    make, optimizer, cut = RUNS[name]
    keras.utils.set_random_seed(0)
    with contextlib.nullcontext() if strategy is None else strategy.scope():
        model, x, y, loss = make()
        model.compile(optimizer(), loss)

    def cut_power(epoch, logs):
        if epoch == stop:
            raise PowerCut

    def shorten(batch, logs):
        # In the middle of an epoch, through the layers, because JAX trains copies of the model.
        if make is subclassed and layers[-1].ranks[1] == 8:
            layers[-1].truncate(7)

    layers = list(model.layers)
    callbacks = [
        cut(),
        keras.callbacks.LambdaCallback(on_train_batch_end=shorten),
        RankMonitor(),
        StrengthSchedule(lambda epoch: [0.5, 1.0, 1.5, 2.0][epoch]),
        keras.callbacks.LambdaCallback(on_epoch_begin=cut_power),
    ]
    if backup is not None:
        # Only the chief writes the backup; other workers read it.
        when = "epoch" if is_chief(strategy) else sys.maxsize
        callbacks.append(
            keras.callbacks.BackupAndRestore(backup, save_freq=when, delete_checkpoint=False)
        )
    history = model.fit(
        x,
        y,
        batch_size=32,
        epochs=EPOCHS,
        shuffle=False,
        verbose=0,
        callbacks=callbacks,
        validation_data=(x, y) if name == "loss" else None,
    )
    if backup is not None and is_chief(strategy):
        model.save(Path(backup, "model.keras"))
    return {
        "epochs": history.epoch,
        "logs": history.history,
        "loss": model.evaluate(x, y, verbose=0),
        "prediction": model.predict(x, batch_size=32, verbose=0).tolist(),
        "losses_left": len(model.losses),
        "iterations": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
    }


def run_in_two_parts(name, strategy, backup, stop):
    """Stop a run before an epoch, resume it by another model, and return the second results."""
    try:
        run(name, strategy, backup, stop)
    except PowerCut:
        return run(name, strategy, backup)
    raise AssertionError(f"{name} was not stopped before epoch {stop}")


def strategy_called(name):
    if name == "multi_worker":
        return multi_worker_strategy()
    if name == "mirrored":
        import tensorflow as tf

        halves = [tf.config.LogicalDeviceConfiguration()] * 2
        [cpu] = tf.config.list_physical_devices("CPU")
        tf.config.set_logical_device_configuration(cpu, halves)
        return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    return None


def main(folder, strategy_name, *names):
    strategy = strategy_called(strategy_name)
    seen = {
        # One of them is stopped after its truncation.
        name: run_in_two_parts(name, strategy, Path(folder, name), 3)
        if name == "threshold"
        else run(name, strategy)
        for name in names
    }
    process = "chief" if is_chief(strategy) else "other"
    Path(folder, f"{process}.json").write_text(json.dumps(seen))


if __name__ == "__main__":
    main(*sys.argv[1:])
