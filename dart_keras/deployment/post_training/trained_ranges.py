from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import InputSpec
from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.flatbuffer.serialization import load_schema, operator_name, pack
from dart_keras.deployment.post_training.tflite_converter import layers_at
from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.deployment.tracing.function import Exported
from dart_keras.quantization.quantized_layer import range_of_input
from dart_keras.quantization.quantized_models import quantized_layers

# Ids are split into digits in float32, because a microcontroller's interpreter divides no integers.
_SPLITTING_IDS = ("CAST", "FLOOR_DIV", "FLOOR_MOD")


def with_learned_ranges(
    scheme: QuantizationScheme, model: keras.Model, target: str
) -> QuantizationScheme:
    """Return the scheme for a model that may be quantization-aware.

    Args:
        scheme: How to quantize.
        model: The model.
        target: The device's name.

    Raises:
        ValueError: If the model has learned something else than the scheme and the target need, or
            nothing yet.
    """
    layers = quantized_layers(model)
    if not layers:
        return scheme
    if scheme.name != "int8":
        raise ValueError(
            "Expected quantization='int8' for a model of `quantize_aware`. "
            f"Received: quantization={scheme.name!r}"
        )
    targets = {layer.target for layer in layers if hasattr(layer, "target")}
    if targets - {target}:
        raise ValueError(
            f"Expected the target that the model was made quantization-aware for, {targets}. "
            f"Received: target={target!r}"
        )
    unknown = [x.name for x in layers if not all(q.is_learned for q in x.quantizers)]
    if unknown:
        raise ValueError(
            "Expected ranges that training has found: call `fit` on the quantization-aware model "
            f"first. Received: no ranges in {', '.join(unknown)}"
        )
    return scheme.with_learned_ranges()


def rows_in_range(
    model: keras.Model, specs: Sequence[InputSpec], rows: Sequence[np.ndarray]
) -> list[np.ndarray]:
    """Move random inputs of floats into the ranges that a model has learned.

    Args:
        model: A quantization-aware model.
        specs: Its inputs.
        rows: For each input normal floats, or ids.
    """
    layers = {layer.name: layer for layer in quantized_layers(model)}
    moved = []
    for tensor, spec, array in zip(model.inputs, specs, rows, strict=True):
        # None for ids, and where the model has been put into another one.
        reader = layers.get(range_of_input(tensor))
        if spec.dtype == "float32" and reader is not None:
            low, high = reader.quantizers[0].range
            array = np.clip((low + high) / 2 + array * (high - low) / 4, low, high)
        moved.append(array.astype(spec.dtype))
    return moved


def check_integers(model: Any, exported: Exported) -> None:
    """Raise a ConversionError if an operator of a `ModelT` works with floats.

    The converter leaves those in float whose ranges are not all known.
    """
    floats, [main, *_] = load_schema().TensorType.FLOAT32, model.subgraphs
    places = [
        place
        for place, operator in enumerate(main.operators)
        if operator_name(model, operator) not in _SPLITTING_IDS
        and any(
            main.tensors[index].type == floats
            for index in (*operator.inputs, *operator.outputs)
            if index >= 0
        )
    ]
    if places:
        raise ConversionError(
            "Expected learned ranges for all activations: use layers that `quantize_aware` covers, "
            "or convert the original model with `calibration_data`. Received: operators left in "
            "float.",
            [operator_name(model, main.operators[place]) for place in places],
            layers_at(places, pack(model), exported),
        )
