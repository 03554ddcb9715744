"""How well a model predicts a text."""

import keras
import keras_hub
import numpy as np

from examples.language_model.batches import evaluation_batches

_BATCH = 32


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
