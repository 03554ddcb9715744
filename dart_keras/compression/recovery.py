"""Training a compressed model to do again what the original does."""

import math
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from dart_keras.compression.calibration import BATCH, MOST_ROWS, calibration_batches
from dart_keras.compression.end_errors import are_probabilities, end_error, float_outputs
from dart_keras.compression.inference import infer
from dart_keras.compression.progress import progress_of_training
from dart_keras.tensor_train.modes import is_integer


def recover(
    small: keras.Model,
    original: keras.Model,
    data: Any,
    epochs: int = 3,
    learning_rate: float = 1e-3,
) -> keras.callbacks.History:
    """Train a compressed model on the original one's outputs; no labels are needed.

    The loss is the Kullback-Leibler divergence for outputs that are probabilities and the squared
    error relative to the outputs' variance for others (Hinton, Vinyals and Dean 2015, "Distilling
    the knowledge in a neural network", with all of the outputs as targets). A step is a share of
    the weights that it changes, as their scales differ by thousands where normalizations were taken
    in (You et al. 2020, "Large batch optimization for deep learning: training BERT in 76 minutes",
    LAMB). The share rises over the first tenth of the steps and then falls to zero along a cosine.
    Dropout and the statistics of batch normalization rest. Where the outputs end farther from the
    original's than they began, the weights are put back.

    Args:
        small: The compressed model. Its trainable weights change.
        original: The model that it was made of. It is left as it is.
        data: Inputs that the models take, as for `compress`, but a generator, which cannot be gone
            through twice. All rows are used.
        epochs: How often to go through them.
        learning_rate: The largest share.

    Returns:
        The Keras history of the training.

    Raises:
        ValueError: If `epochs` or `learning_rate` is not positive, the data do not fit, or the
            models do not give outputs of the same shapes, some of them floats.

    Example:
        >>> import dart_keras as dk
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        >>> rows = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
        >>> small, report = dk.compression.compress(model, dk.selection.Budget(1500), rows)
        >>> history = recover(small, model, rows, epochs=1)
        >>> len(history.history["loss"])
        1
    """
    if not is_integer(epochs) or epochs < 1:
        raise ValueError(f"Expected `epochs` to be a positive integer. Received: epochs={epochs!r}")
    if not isinstance(learning_rate, int | float) or not 0 < learning_rate < math.inf:
        raise ValueError(
            "Expected `learning_rate` to be a finite number above 0. "
            f"Received: learning_rate={learning_rate!r}"
        )
    if isinstance(data, Iterator):
        raise ValueError(
            "Expected data that can be gone through more than once, such as arrays or a "
            f"`tf.data.Dataset`. Received: {data!r}"
        )
    batches = calibration_batches(original, data, most_rows=None)
    _check_pair(small, original, batches[0])
    judged = batches[: -(-MOST_ROWS // BATCH)]
    before, weights = end_error(original, small, judged), small.get_weights()
    outputs = [_arrays(infer(original, batch)) for batch in batches]
    targets = [np.concatenate(parts) for parts in zip(*outputs, strict=True)]
    inputs = keras.tree.map_structure(lambda *parts: np.concatenate(parts), *batches)
    distilled = _Distilled(small)
    steps = math.ceil(len(targets[0]) / BATCH) * epochs
    distilled.compile(
        keras.optimizers.Lamb(_rates(learning_rate, steps)), loss=[_loss(y) for y in targets]
    )
    history = distilled.fit(
        inputs,
        targets,
        batch_size=BATCH,
        epochs=epochs,
        callbacks=[progress_of_training("recovering")],
        verbose=0,
    )
    if not end_error(original, small, judged) <= before:
        small.set_weights(weights)
    return history


# The share of the steps in which the rate rises.
_WARMUP = 0.1


class _Distilled(keras.Model):
    """A model to be trained as it works in use, without being compiled itself."""

    def __init__(self, inner: keras.Model) -> None:
        super().__init__(name="distilled")
        self.inner = inner
        self.built = True

    def call(self, inputs: Any) -> Any:
        return float_outputs(self.inner(inputs, training=False))


def _check_pair(small: keras.Model, original: keras.Model, batch: Any) -> None:
    if not isinstance(small, keras.Model) or not small.built:
        raise ValueError(f"Expected `small` to be a built Keras model. Received: {small!r}")
    expected, received = infer(original, batch), infer(small, batch)
    shapes = [[tuple(y.shape) for y in keras.tree.flatten(x)] for x in (expected, received)]
    if shapes[0] != shapes[1]:
        raise ValueError(
            f"Expected `small` to be made of {original.name!r}, with outputs of the shapes "
            f"{shapes[0]} for a batch. Received: {small.name!r} with {shapes[1]}"
        )
    if not float_outputs(expected):
        raise ValueError(
            f"Expected outputs that are floats, which training could change. Received: "
            f"{original.name!r} with {[y.dtype for y in keras.tree.flatten(expected)]}"
        )


def _rates(peak: float, steps: int) -> keras.optimizers.schedules.LearningRateSchedule:
    warmup = math.ceil(_WARMUP * steps)
    # A moment's estimates are too rough for whole steps at first.
    return keras.optimizers.schedules.CosineDecay(
        peak / warmup, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
    )


def _arrays(outputs: Any) -> list[np.ndarray]:
    return [np.asarray(ops.convert_to_numpy(y)) for y in float_outputs(outputs)]


def _loss(targets: np.ndarray) -> keras.losses.Loss:
    if are_probabilities(targets):
        return keras.losses.KLDivergence()
    return _RelativeError(float(np.var(targets)) or 1.0)


class _RelativeError(keras.losses.Loss):
    def __init__(self, variance: float) -> None:
        super().__init__()
        self._variance = variance

    def call(self, y_true: Any, y_pred: Any) -> Any:
        return ops.mean(ops.square(y_pred - y_true), axis=-1) / self._variance
