"""Training a compressed model to do again what the original does."""

import math
import time
from typing import Any

import keras

from dart_keras.compression.calibration.batches import BATCH, CalibrationBatches
from dart_keras.compression.calibration.counted_outputs import CountedOutputs, OutputChoice
from dart_keras.compression.distillation.trainer import Distillation
from dart_keras.utils.argument_checks import is_integer, is_number
from dart_keras.utils.random_state import keeping_random_state


@keeping_random_state()
def recover(
    small: keras.Model,
    original: keras.Model,
    calibration_data: Any,
    epochs: int = 3,
    learning_rate: float | None = None,
    batch_size: int = BATCH,
    *,
    minutes: float | None = None,
    outputs: OutputChoice | None = None,
    replaced_only: bool = False,
    dtype_policy: str | None = None,
) -> keras.callbacks.History:
    """Train a compressed model on the original one's outputs; no labels are needed.

    The loss is the Kullback-Leibler divergence for outputs that are probabilities, at temperatures
    of 1 and of 4 (Hinton, Vinyals and Dean 2015, "Distilling the knowledge in a neural network",
    section 2), and the squared error relative to the outputs' variance for others. A step's
    size is relative to the weights that it changes, whose scales differ by thousands where
    normalizations were folded in (You et al. 2020, "Large batch optimization for deep learning:
    training BERT in 76 minutes", LAMB). The relative step size rises over the first tenth of the
    steps and then falls to zero along a cosine. Dropout is off, and the statistics of batch
    normalization are frozen. What a mask says is padding does not count, and sentences are trained
    on with others of about the same length. If the outputs end farther from the original's than
    they began, the weights are restored.

    Args:
        small: The compressed model. Its trainable weights change.
        original: The model that it was made of. It is left as it is.
        calibration_data: Inputs that the models take, as for `compress`. All rows are used, or the
            first 65,536 of data that do not tell that they end.
        epochs: How often to go through them.
        learning_rate: The peak relative step size. `None` for the one of 0.0003, 0.001, 0.003 and
            0.01 with which a fifth of the training comes closest.
        batch_size: Rows of a step, unless the original is bound to a number.
        minutes: How long it may take, all in all, in place of `epochs`. The number of steps then
            depends on how fast the machine is.
        outputs: Which outputs are to be learned, as for `compress`. For a language model that gives
            logits `keras.ops.softmax` makes probabilities of them, which are what matters.
        replaced_only: Whether only layers are trained that compression has made smaller, and all
            others rest, which takes less memory (WeLore, arXiv:2407.11239, section 4).
        dtype_policy: In which layers whose weights are float32 compute, such as "mixed_bfloat16"
            where the processor is faster with it. Weights and losses stay float32.

    Returns:
        The Keras history of the training.

    Raises:
        TypeError: If `outputs` is none of what it may be.
        ValueError: If a number is not positive, the data do not fit, the models do not give outputs
            of the same shapes, some of them floats, there are too few minutes for a step, there is
            no smaller layer to train, or Keras knows no such `dtype_policy`.

    Example:
        >>> import dart_keras as dk, numpy as np
        >>> model = keras.Sequential([keras.Input((64,)), keras.layers.Dense(64)])
        >>> rows = np.random.default_rng(0).normal(size=(256, 64)).astype("float32")
        >>> small, report = dk.compression.compress(model, dk.budgets.Parameters(1500), rows)
        >>> history = recover(small, model, rows, epochs=1)
        >>> len(history.history["loss"])
        1
    """
    for name, value in (
        ("epochs", epochs),
        ("batch_size", batch_size),
    ):
        if not is_integer(value) or value < 1:
            raise ValueError(
                f"Expected `{name}` to be a positive integer. Received: {name}={value!r}"
            )
    for name, number in (("learning_rate", learning_rate), ("minutes", minutes)):
        if number is not None and not (is_number(number) and 0 < number < math.inf):
            raise ValueError(
                f"Expected `{name}` to be a finite number above 0, or `None`. "
                f"Received: {name}={number!r}"
            )
    if dtype_policy is not None:
        # Keras says which ones there are.
        keras.dtype_policies.get(dtype_policy)
    # First, so that reading the data and running the original counts, too.
    begun = time.monotonic()
    data = CalibrationBatches(original, calibration_data, every_row=True)
    distillation = Distillation(
        original,
        data,
        epochs,
        batch_size,
        counted=CountedOutputs(original, outputs),
        end=None if minutes is None else begun + 60 * minutes,
        replaced_only=replaced_only,
        dtype_policy=dtype_policy,
    )
    distillation.check(small)
    if learning_rate is None:
        learning_rate = distillation.best_rate(small)
    return distillation.train(small, learning_rate)
