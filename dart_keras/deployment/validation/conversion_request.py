from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import read_arrays
from dart_keras.deployment.post_training.trained_ranges import rows_in_range, with_learned_ranges
from dart_keras.deployment.schemes import SCHEMES, QuantizationScheme
from dart_keras.deployment.tracing.function import in_float32
from dart_keras.deployment.tracing.signature import ModelSignature, model_signature
from dart_keras.deployment.validation.conversion_arguments import (
    check_activation_ranges,
    check_budget,
    check_min_sqnr_db,
)
from dart_keras.deployment.validation.output_errors import check_reference
from dart_keras.deployment.validation.target_check import keras_outputs
from dart_keras.devices import RUNTIMES, Device, find_file_device
from dart_keras.model_surgery.finite_weights import bad_weights, check_no_nans
from dart_keras.utils.keras_backend import require_tensorflow
from dart_keras.utils.output_agreement import output_names, rows_not_finite

# Enough to see the range of every activation; more only makes calibration slower.
_MOST_ROWS = 1024
_COMPARED_ROWS = 64


@dataclass(frozen=True)
class ConversionRequest:
    """What a file is wanted of, whatever the quantization scheme.

    Attributes:
        model: The model.
        device: The target.
        signature: How to call the model.
        arrays: The calibration rows, one array an input; None if there are none.
        compared: The rows on which outputs are compared.
        expected: What the model gives for them.
        flash_budget: As for `convert`.
        activation_ranges: As for `convert`.
        min_sqnr_db: As for `convert`.
    """

    model: keras.Model
    device: Device
    signature: ModelSignature
    arrays: list[np.ndarray] | None
    compared: list[np.ndarray]
    expected: list[np.ndarray]
    flash_budget: int | None
    activation_ranges: str
    min_sqnr_db: float | None


def conversion_request(
    model: keras.Model,
    target: str,
    quantization: str,
    calibration_data: Any,
    flash_budget: int | None = None,
    activation_ranges: str = "minmax",
    min_sqnr_db: float | None = None,
) -> tuple[ConversionRequest, QuantizationScheme]:
    """Check the arguments of `convert`, which has the same, and read the data.

    Raises:
        ValueError: As from `convert`.
        ConversionError: If an output of the model is not finite.
        ImportError: If a package of the extra `deployment` is missing.
    """
    device = find_file_device(target, quantization)
    require_tensorflow("conversion")
    flash_budget = check_budget(flash_budget)
    check_min_sqnr_db(min_sqnr_db)
    # Before the work whose result they would run.
    for name in device.runtimes:
        RUNTIMES[name].require()
    signature = model_signature(model)
    check_no_nans(model)
    scheme = with_learned_ranges(SCHEMES[quantization], model, device.name)
    check_activation_ranges(activation_ranges, scheme)
    arrays = _calibration_rows(calibration_data, signature, scheme)
    signature = signature.resolved(arrays)
    if arrays is None:
        compared = signature.random_rows()
        if scheme.learned:
            compared = rows_in_range(model, signature.inputs, compared)
    else:
        arrays = [a.astype(s.dtype) for a, s in zip(arrays, signature.inputs, strict=True)]
        compared = evenly_spaced(arrays, _COMPARED_ROWS)

    request = ConversionRequest(
        model,
        device,
        signature,
        arrays,
        compared,
        _expected(model, signature, arrays, compared),
        flash_budget,
        activation_ranges,
        min_sqnr_db,
    )
    return request, scheme


def _expected(
    model: keras.Model,
    signature: ModelSignature,
    arrays: Sequence[np.ndarray] | None,
    compared: Sequence[np.ndarray],
) -> list[np.ndarray]:
    """Return what the model gives for the rows that are compared, if that is finite."""
    with in_float32(model):
        expected = keras_outputs(signature, compared)
    advice, numbers = None, None
    if arrays is None:
        advice = "The rows are random inputs: give `calibration_data` that the model may meet."
    else:
        numbers = _places(len(arrays[0]), _COMPARED_ROWS)
    for name, values in zip(output_names(model, len(expected)), expected, strict=True):
        if rows_not_finite(values) is not None and (found := bad_weights(model)):
            advice = f"The model has {'; '.join(map(str, found))}."
        check_reference(values, name, numbers, advice)
    return expected


def _calibration_rows(
    data: Any, signature: ModelSignature, scheme: QuantizationScheme
) -> list[np.ndarray] | None:
    if data is not None:
        structure = signature.structure
        return read_arrays(data, signature.inputs, structure=structure, max_rows=_MOST_ROWS)
    if scheme.needs_data:
        shapes = {spec.name: ("rows", *spec.shape) for spec in signature.inputs}
        raise ValueError(
            f"Expected `calibration_data` of the shapes {shapes}, because "
            f"quantization={scheme.name!r} needs the ranges of the activations. Received: "
            "calibration_data=None"
        )
    return None


def evenly_spaced(arrays: Sequence[np.ndarray], most: int) -> list[np.ndarray]:
    """Return at most so many rows of arrays, the first and the last among them."""
    kept = _places(len(arrays[0]), most)
    return [array[kept] for array in arrays]


def _places(count: int, most: int) -> np.ndarray:
    return np.linspace(0, count - 1, min(most, count)).astype(int)
