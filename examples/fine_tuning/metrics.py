"""Scores of predictions, as GLUE defines them for its tasks."""

import keras
import numpy as np


def accuracy(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Return the share of rows whose largest output is that of the label.

    Args:
        labels: Classes, integers of shape (rows,).
        outputs: Logits of shape (rows, classes).
    """
    return float(np.mean(np.argmax(outputs, axis=-1) == labels))


def f1(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Return the F1 score of class 1; arguments as for `accuracy`."""
    metric = keras.metrics.F1Score(threshold=0.5)
    predicted = np.argmax(outputs, axis=-1)
    metric.update_state(labels[:, None].astype("float32"), predicted[:, None].astype("float32"))
    return float(keras.ops.convert_to_numpy(metric.result())[0])


def matthews(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Return Matthews' correlation of two classes; arguments as for `accuracy`."""
    return _correlation(labels, np.argmax(outputs, axis=-1))


def spearman(labels: np.ndarray, outputs: np.ndarray) -> float:
    """Return Spearman's rank correlation.

    Args:
        labels: Numbers of shape (rows,).
        outputs: Predictions of shape (rows, 1).
    """
    return _correlation(_ranks(labels), _ranks(outputs[:, 0]))


def _correlation(x: np.ndarray, y: np.ndarray) -> float:
    # Usual for predictions that are all the same, of which there is no correlation.
    return float(np.corrcoef(x, y)[0, 1]) if np.std(x) and np.std(y) else 0.0


def _ranks(values: np.ndarray) -> np.ndarray:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    # Equal values share the mean of their ranks.
    return (np.cumsum(counts) - (counts - 1) / 2)[places]
