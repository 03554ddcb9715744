"""Small random models with random weights, for `benchmarks.fuzz`."""

from typing import Any

import keras
import numpy as np

from dart_keras.layers import TTDense, TTEinsumDense, TTEmbedding

ACTIVATIONS = (
    *("linear", "relu", "relu6", "leaky_relu", "elu", "selu", "gelu", "silu", "mish"),
    *("tanh", "sigmoid", "hard_sigmoid", "softplus", "softsign", "softmax"),
)
# Shapes of one input row, from the smallest to the largest.
SHAPES = ((7,), (40,), (5, 12), (3, 4, 9), (8, 9, 3), (2, 3, 2, 6))
MAX_ELEMENTS = 1024
ROWS = 32


def random_model(seed: int) -> tuple[keras.Model, np.ndarray]:
    """Return a model of one to four layers, perhaps with an embedding first, and rows for it."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 5))
    if rng.random() < 0.25:
        vocabulary, length = (int(rng.integers(*limits)) for limits in ((2, 3000), (1, 8)))
        inputs = keras.Input((length,), dtype="int32")
        x = _embedding(rng, vocabulary)(inputs)
        count -= 1
        rows = rng.integers(0, vocabulary, (ROWS, length)).astype("int32")
    else:
        inputs = x = keras.Input(SHAPES[rng.integers(len(SHAPES))])
        rows = rng.normal(0, rng.uniform(0.5, 3), (ROWS, *inputs.shape[1:])).astype("float32")
    for _ in range(count):
        x = _layer(rng, x)
    model = keras.Model(inputs, x)
    for variable in model.variables:
        _draw(rng, variable)
    return model, rows


def _embedding(rng: np.random.Generator, vocabulary: int) -> keras.Layer:
    width = int(rng.integers(1, 25))
    if rng.random() < 0.2:
        return keras.layers.Embedding(vocabulary, width)
    return TTEmbedding(vocabulary, width, *_ranks_and_modes(rng, vocabulary, width))


def _layer(rng: np.random.Generator, x: Any) -> Any:
    kinds = [_tt_dense, _tt_dense, _dense, _residual, _gated, _normalized, _activated, _flat]
    if len(x.shape) in (3, 4):
        kinds += [_tt_einsum_dense]
    if len(x.shape) == 4:
        kinds += [_convolved, _convolved, _pooled]
    made = kinds[rng.integers(len(kinds))](rng, x)
    # Skip layers whose output is too large.
    return made if np.prod(made.shape[1:]) <= MAX_ELEMENTS else x


def _tt_dense(rng: np.random.Generator, x: Any, units: int | None = None) -> Any:
    units = units or int(rng.integers(1, 49))
    tt_arguments = _ranks_and_modes(rng, x.shape[-1], units)
    layer = TTDense(
        units, *tt_arguments, activation=_activation(rng), use_bias=bool(rng.random() < 0.8)
    )
    return layer(x)


def _tt_einsum_dense(rng: np.random.Generator, x: Any) -> Any:
    heads, width = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    if len(x.shape) == 3:
        equation, shape, summed, new = "abc,cde->abde", (None, heads, width), x.shape[-1], "de"
    else:
        equation, shape, new = "abcd,cde->abe", (None, width), "e"
        summed, heads = x.shape[-2] * x.shape[-1], 1
    tt_arguments = _ranks_and_modes(rng, summed, heads * width)
    bias_axes = new if rng.random() < 0.8 else None
    return TTEinsumDense(equation, shape, *tt_arguments, _activation(rng), bias_axes)(x)


def _dense(rng: np.random.Generator, x: Any) -> Any:
    return keras.layers.Dense(int(rng.integers(1, 49)), activation=_activation(rng))(x)


def _residual(rng: np.random.Generator, x: Any) -> Any:
    return keras.layers.Add()([x, _tt_dense(rng, x, x.shape[-1])])


def _gated(rng: np.random.Generator, x: Any) -> Any:
    gate = keras.layers.Activation("sigmoid")(_tt_dense(rng, x, x.shape[-1]))
    return keras.layers.Multiply()([x, gate])


def _normalized(rng: np.random.Generator, x: Any) -> Any:
    layers = (keras.layers.LayerNormalization, keras.layers.BatchNormalization)
    return layers[rng.integers(2)]()(x)


def _activated(rng: np.random.Generator, x: Any) -> Any:
    return keras.layers.Activation(_activation(rng))(x)


def _flat(rng: np.random.Generator, x: Any) -> Any:
    return keras.layers.Flatten()(x)


def _convolved(rng: np.random.Generator, x: Any) -> Any:
    return keras.layers.Conv2D(
        int(rng.integers(1, 9)),
        tuple(int(min(size, rng.integers(1, 4))) for size in x.shape[1:3]),
        strides=int(rng.integers(1, 3)),
        padding=("same", "valid")[rng.integers(2)],
        activation=_activation(rng),
    )(x)


def _pooled(rng: np.random.Generator, x: Any) -> Any:
    layers = (
        keras.layers.MaxPooling2D((2, 2), padding="same"),
        keras.layers.AveragePooling2D((2, 2), padding="same"),
        keras.layers.GlobalAveragePooling2D(),
    )
    return layers[rng.integers(3)](x)


def _activation(rng: np.random.Generator) -> str:
    return str(rng.choice(ACTIVATIONS))


def _ranks_and_modes(rng: np.random.Generator, rows: int, columns: int) -> tuple[Any, Any, Any]:
    """Return ranks and modes; one time in four the layer chooses its modes."""
    cores, rank = int(rng.integers(1, 5)), int(rng.integers(1, 9))
    if rng.random() < 0.25:
        return rank, None, None
    return rank, _modes(rng, rows, cores), _modes(rng, columns, cores)


def _modes(rng: np.random.Generator, size: int, cores: int) -> tuple[int, ...]:
    """Return modes of a size, one time in two of a larger one, to which the layer pads."""
    left = size if rng.random() < 0.5 else int(rng.integers(size, 2 * size))
    modes, factor = [1] * cores, 2
    while left > 1:
        if left % factor:
            factor += 1
        else:
            modes[rng.integers(cores)] *= factor
            left //= factor
    return tuple(modes)


def _draw(rng: np.random.Generator, variable: Any) -> None:
    """Draw random values for weights that start as zeros or ones."""
    shape = variable.shape
    if variable.name in ("bias", "beta", "moving_mean"):
        variable.assign(rng.normal(0, 0.3, shape))
    elif variable.name in ("gamma", "moving_variance"):
        variable.assign(rng.uniform(0.5, 1.5, shape))
