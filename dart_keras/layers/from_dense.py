"""Shared parts of the layers' `from_dense`."""

import math
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from dart_keras.layers.padding import pad_matrix
from dart_keras.layers.resizing import Resizing, resize
from dart_keras.tensor_train.ranks import Ranks
from dart_keras.tensor_train.tt_matrix import TTMatrix

if TYPE_CHECKING:
    from dart_keras.layers.tt_layer import TTLayer


def take_matrix(
    layer: "TTLayer", matrix: np.ndarray, ranks: Ranks | None, tolerance: float | None
) -> None:
    """Set the cores of a built layer to the TT-SVD of a dense matrix, padded with zeros."""
    modes = (layer.input_modes, layer.output_modes)
    padded = pad_matrix(matrix, (math.prod(modes[0]), math.prod(modes[1])))
    tt = TTMatrix.from_dense(padded, *modes, ranks, tolerance)
    resize([Resizing(layer, tt.cores)])


def check_embedding(layer: Any) -> None:
    """Raise a ValueError unless the layer is a built `Embedding` with only a table."""
    plain = {"tie_weights": True, "logit_soft_cap": None, "reverse_dtype": None}
    others = [
        f"{name}={value!r}"
        for name, default in plain.items()
        if (value := getattr(layer, name, default)) != default
    ]
    if not isinstance(layer, keras.layers.Embedding) or not layer.built or others:
        raise ValueError(
            "Expected a built `keras.layers.Embedding`, or a `ReversibleEmbedding` with tied "
            "weights and without `logit_soft_cap` and `reverse_dtype`. "
            f"Received: {', '.join([repr(layer), *others])}"
        )
    check_not_quantized(layer)


def check_dense(layer: Any) -> None:
    """Raise a ValueError unless the layer is a built `Dense`."""
    if not isinstance(layer, keras.layers.Dense) or not layer.built:
        raise ValueError(f"Expected a built `keras.layers.Dense`. Received: {layer!r}")
    check_not_quantized(layer)


def check_not_quantized(layer: keras.Layer) -> None:
    """Raise a ValueError if Keras has quantized the layer's weights to codes."""
    if layer.quantization_mode is not None:
        raise ValueError(
            "Expected a layer with float weights. "
            f"Received: {layer!r}, quantized to {layer.quantization_mode!r}"
        )
