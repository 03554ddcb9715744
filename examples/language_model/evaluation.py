"""Perplexity of a model on a text."""

from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np

from examples.language_model.batches import evaluation_batches

_BATCH = 32
# Words per prediction; their logits have to fit into memory.
_PREDICTED = 500


def perplexity(model: keras.Model, ids: np.ndarray) -> float:
    """Return the perplexity of a text in windows, each word predicted once.

    Args:
        model: From int32 (batch, length) to logits (batch, length, vocabulary).
        ids: The text, int32 of shape (words,).
    """
    metric = keras_hub.metrics.Perplexity(from_logits=True)
    for words, labels in evaluation_batches(ids, model.input_shape[1], _BATCH):
        metric.update_state(labels.numpy(), model.predict_on_batch(words.numpy()))
    return float(metric.result())


def contexts(ids: np.ndarray, length: int, count: int, padding: int) -> tuple[Any, Any]:
    """Return the context of each of a text's first words.

    Args:
        ids: The text, int32 of shape (words,).
        length: Number of words in a context; the beginning of the text is padded.
        count: Number of words, or more for the whole text.
        padding: Id of the padding before the text.

    Returns:
        The contexts, int32 of shape (count, length), and the words after them, int32 of shape
        (count,).
    """
    labels = ids[:count]
    padded = np.concatenate([np.full(length, padding, "int32"), labels])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)
    return np.ascontiguousarray(windows[: len(labels)]), labels


def next_word_perplexity(
    predict: Callable[[np.ndarray], np.ndarray], windows: np.ndarray, labels: np.ndarray
) -> float:
    """Return the perplexity of words that are predicted one by one from the window before each.

    Args:
        predict: From int32 (batch, length) to logits (batch, vocabulary).
        windows: Windows, int32 of shape (count, length).
        labels: The word after each window, int32 of shape (count,).
    """
    metric = keras_hub.metrics.Perplexity(from_logits=True)
    for start in range(0, len(labels), _PREDICTED):
        part = slice(start, start + _PREDICTED)
        metric.update_state(labels[part], predict(windows[part]))
    return float(metric.result())
