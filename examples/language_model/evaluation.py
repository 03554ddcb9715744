"""How well a model predicts a text."""

from collections.abc import Callable
from typing import Any

import keras
import keras_hub
import numpy as np

from examples.language_model.batches import evaluation_batches

_BATCH = 32
# Words at once, whose logits have to fit into the memory.
_PREDICTED = 500


def perplexity(model: keras.Model, ids: np.ndarray) -> float:
    """The perplexity of a text that is cut into windows, each word being predicted once.

    Args:
        model: From int32 (batch, length) to logits (batch, length, vocabulary).
        ids: The text, a 1-D int32 array.
    """
    metric = keras_hub.metrics.Perplexity(from_logits=True)
    for words, labels in evaluation_batches(ids, model.input_shape[1], _BATCH):
        metric.update_state(labels.numpy(), model.predict_on_batch(words.numpy()))
    return float(metric.result())


def contexts(ids: np.ndarray, length: int, count: int, padding: int) -> tuple[Any, Any]:
    """The words before each of a text's first ones.

    Args:
        ids: The text, a 1-D int32 array.
        length: How many words before each, the text's beginning being padded.
        count: How many first ones; all of the text, if it has fewer.
        padding: The id that stands for what is before the text.

    Returns:
        int32 (count, length), and the words behind them, int32 (count,).
    """
    labels = ids[:count]
    padded = np.concatenate([np.full(length, padding, "int32"), labels])
    windows = np.lib.stride_tricks.sliding_window_view(padded, length)
    return np.ascontiguousarray(windows[: len(labels)]), labels


def next_word_perplexity(
    predict: Callable[[np.ndarray], np.ndarray], windows: np.ndarray, labels: np.ndarray
) -> float:
    """The perplexity of words that are predicted one by one, each from the window before it.

    Args:
        predict: From int32 (batch, length) to logits (batch, vocabulary).
        windows: int32 (count, length).
        labels: The word behind each, int32 (count,).
    """
    metric = keras_hub.metrics.Perplexity(from_logits=True)
    for start in range(0, len(labels), _PREDICTED):
        part = slice(start, start + _PREDICTED)
        metric.update_state(labels[part], predict(windows[part]))
    return float(metric.result())
