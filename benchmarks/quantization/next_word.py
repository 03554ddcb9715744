"""Prediction of the next word: a table of 10,000 words of width 256, tied to the logits."""

from pathlib import Path

import keras
import numpy as np

import dart_keras as dk
from benchmarks.quantization.study import AWARE, Study

CONTEXT = 4
WIDTH = 256
RANK = 16
TRAINING_ROWS = 300_000
EPOCHS = 2
BATCH = 512
LEARNING_RATE = 3e-3
# For training further, with and without rounding.
MORE_ROWS = 100_000
MORE_LEARNING_RATE = 2e-4
CALIBRATION_ROWS = 500
PERCENT = {"int8": 1.0, AWARE: 0.3, "int16x8": 0.1}


def study(folder: Path) -> Study:
    """Return the study of Penn Treebank's words.

    Args:
        folder: Folder with `ptb.train.txt` and `ptb.test.txt`.
    """
    train, test = (_words(folder / f"ptb.{part}.txt") for part in ("train", "test"))
    places = {word: place for place, word in enumerate(sorted(set(train)))}
    rows, labels = _examples(np.array([places[word] for word in train], "int32"))
    test_rows, test_labels = _examples(np.array([places[word] for word in test], "int32"))
    keras.utils.set_random_seed(0)
    model = _model(len(places))
    _fit(model, rows[:TRAINING_ROWS], labels[:TRAINING_ROWS], EPOCHS, LEARNING_RATE)
    more = slice(TRAINING_ROWS, TRAINING_ROWS + MORE_ROWS)
    return Study(
        "Penn Treebank, a table of 10,000 x 256",
        model,
        rows[:: len(rows) // CALIBRATION_ROWS][:CALIBRATION_ROWS],
        test_rows,
        test_labels,
        _cross_entropy,
        lambda score, reference: 100 * float(np.exp(score - reference) - 1),
        "% of perplexity",
        PERCENT,
        lambda model: _fit(model, rows[more], labels[more], 1, MORE_LEARNING_RATE),
    )


def _words(path: Path) -> list[str]:
    return path.read_text().replace("\n", "<eos>").split()


def _examples(words: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the context of each word, and the word itself."""
    windows = np.lib.stride_tricks.sliding_window_view(words, CONTEXT + 1)
    return windows[:, :-1], windows[:, -1]


def _model(vocabulary: int) -> keras.Model:
    inputs = keras.Input((CONTEXT,), dtype="int32")
    table = dk.layers.TTEmbedding(vocabulary, WIDTH, RANK)
    x = keras.layers.Flatten()(table(inputs))
    x = dk.layers.TTDense(WIDTH, RANK, activation="relu")(x)
    return keras.Model(inputs, table(dk.layers.TTDense(WIDTH, RANK)(x), reverse=True))


def _fit(
    model: keras.Model, rows: np.ndarray, labels: np.ndarray, epochs: int, rate: float
) -> None:
    steps = epochs * -(-len(rows) // BATCH)
    model.compile(
        keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    model.fit(rows, labels, batch_size=BATCH, epochs=epochs, verbose=0)


def _cross_entropy(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    logits = logits.astype("float64")
    largest = logits.max(-1, keepdims=True)
    total = np.log(np.exp(logits - largest).sum(-1)) + largest[:, 0]
    return total - np.take_along_axis(logits, labels[:, None], -1)[:, 0]
