"""A student in training: the step, its rate, its state and what of it is trained."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras
from keras import ops

from dart_keras.compression.calibration.counted_outputs import CountedOutputs
from dart_keras.model_surgery.clone import states_of
from dart_keras.model_surgery.replace import layers_with_paths
from dart_keras.private_apis import flatten_layers, own_weights

# One step of so many belongs to the rise of the rate.
_WARMUP = 10


class Student(keras.Model):
    """A model to be trained as it works in use, without being compiled itself.

    Args:
        inner: The model.
        batch: Inputs of it, whose structure those of each step are given.
        counted: Which of its outputs count.
    """

    def __init__(self, inner: keras.Model, batch: Any, counted: CountedOutputs) -> None:
        super().__init__(name="distilled")
        self.inner = inner
        # Keras must not take hold of the tensors.
        self._packed = partial(keras.tree.pack_sequence_as, keras.tree.map_structure(id, batch))
        self._counted = counted
        self.built = True

    def call(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        """Return the outputs that count, from a flat tuple of inputs."""
        outputs = self._counted(self.inner(self._packed(list(inputs)), training=False))
        return tuple(ops.cast(y, "float32") for y in outputs)


class SameState(keras.callbacks.Callback):
    """Has every step begin from the state that the outputs to be learned began from."""

    def __init__(self, student: keras.Model) -> None:
        super().__init__()
        states = [state for layer in flatten_layers(student) for state in states_of(layer)]
        self._states = [(state, ops.convert_to_numpy(state)) for state in states]

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Put the state back."""
        for state, value in self._states:
            state.assign(value)

    def on_train_end(self, logs: Any = None) -> None:
        """Put the state back."""
        self.on_train_batch_begin(0)


class Rates(keras.callbacks.Callback):
    """A rate that rises for a tenth of the steps, and then falls to zero along a cosine.

    It is set step by step, so that a training with another one need not be compiled again. Training
    ends after the last step.

    Args:
        peak: The largest.
        steps: How many steps there are.
        end: When to stop even before, by `time.monotonic`.
    """

    def __init__(self, peak: float, steps: int, end: float | None) -> None:
        super().__init__()
        warmup = -(-steps // _WARMUP)
        # A moment's estimates are too rough for whole steps at first.
        self._rates = keras.optimizers.schedules.CosineDecay(
            peak / warmup, max(1, steps - warmup), warmup_target=peak, warmup_steps=warmup
        )
        self._done, self._steps = 0, steps
        self._end = math.inf if end is None else end

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Set the rate of the step."""
        # What JAX keeps of it would be put in its place.
        if sync := getattr(self.model, "jax_state_sync", None):
            sync()
        self.model.optimizer.learning_rate = float(self._rates(self._done))

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Stop after the last step, or when the time is up."""
        self._done += 1
        if self._done >= self._steps or time.monotonic() >= self._end:
            self.model.stop_training = True


@contextmanager
def computing_in(model: keras.Model, dtype_policy: str | None) -> Iterator[None]:
    """Have the layers of a model whose variables are float32 compute in another precision.

    Args:
        model: The model.
        dtype_policy: A policy of Keras such as "mixed_bfloat16"; `None` to leave them.
    """
    layers = [
        layer
        for layer in flatten_layers(model)
        if dtype_policy is not None and layer.dtype_policy.name == "float32"
    ]
    before = [layer.dtype_policy for layer in layers]
    try:
        for layer in layers:
            layer.dtype_policy = dtype_policy
        yield
    finally:
        for layer, policy in zip(layers, before, strict=True):
            layer.dtype_policy = policy


@contextmanager
def training_only(layers: Sequence[keras.Layer], model: keras.Model) -> Iterator[None]:
    """Freeze the weights of all other layers of a model.

    Args:
        layers: The layers to be trained.
        model: The model.
    """
    kept = {id(layer) for layer in layers}
    # Not the layers: that would freeze what they hold, and free what was frozen there before.
    frozen = [
        weight
        for _, layer in layers_with_paths(model)
        if id(layer) not in kept
        for weight in own_weights(layer)
        if weight.trainable
    ]
    try:
        for weight in frozen:
            weight.trainable = False
        yield
    finally:
        for weight in frozen:
            weight.trainable = True


@contextmanager
def weights_put_back(model: keras.Model) -> Iterator[None]:
    """Give a model the weights that it had, also where training is interrupted."""
    weights = model.get_weights()
    try:
        yield
    finally:
        model.set_weights(weights)


def replaced_layers(student: keras.Model, original: keras.Model) -> list[keras.Layer]:
    """Return the layers of a student whose weights have other shapes than the original's."""
    shapes = {path: _shapes(layer) for path, layer in layers_with_paths(original)}
    return [
        layer for path, layer in layers_with_paths(student) if shapes.get(path) != _shapes(layer)
    ]


def _shapes(layer: keras.Layer) -> list[Any]:
    return [tuple(weight.shape) for weight in own_weights(layer)]
