from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

from dart_keras.calibration_data import read_arrays
from dart_keras.deployment.artifact import Artifact
from dart_keras.deployment.build import Builder, describe, executable, memory_of
from dart_keras.deployment.errors import ConversionError, InaccurateError
from dart_keras.deployment.post_training.trained_ranges import rows_in_range, with_learned_ranges
from dart_keras.deployment.schemes import SCHEMES, QuantizationScheme
from dart_keras.deployment.tracing.function import in_float32
from dart_keras.deployment.tracing.signature import ModelSignature, model_signature
from dart_keras.deployment.validation.conversion_arguments import (
    check_activation_ranges,
    check_budget,
    check_min_sqnr_db,
)
from dart_keras.deployment.validation.target_check import judge, keras_outputs
from dart_keras.devices import RUNTIMES, Device, find_file_device
from dart_keras.utils.keras_backend import require_tensorflow

# Enough to see the range of every activation; more only makes calibration slower.
_MOST_ROWS = 1024
_COMPARED_ROWS = 64
_RECORDED_ROWS = 4


def convert(
    model: keras.Model,
    target: str = "raspberry-pi",
    *,
    quantization: str = "float32",
    calibration_data: Any = None,
    flash_budget: int | None = None,
    activation_ranges: str = "minmax",
    min_sqnr_db: float | None = None,
) -> Artifact:
    """Turn a Keras model into a `.tflite` file that has run on the runtimes of its target.

    The file takes one row at a time and holds builtin operators only. It is run before it is
    returned, on LiteRT and, for a microcontroller, on TensorFlow Lite Micro's interpreter too,
    and its outputs are compared with the model's. The model is left as it was.

    TT matrices are multiplied in the order that is fastest on the target by an estimate.
    For int8 and int16x8, their cores are rebased to the core basis with the least quantization
    error. (The product of neighbouring cores stays the same with a matrix and its inverse between
    them.)

    Quantized weights have a scale for each channel, or a single one where that costs little. All
    single scales together lower the signal-to-noise ratio of no output by more than 0.5 dB, or
    1.5 dB on a microcontroller, where each scale also takes working memory. One decibel more is
    allowed if the file would otherwise be larger than the sum of 1.25 times its weights, its
    biases and 2 KiB. In int16x8 files for a microcontroller, FULLY_CONNECTED always has a single
    scale and sums of 64 bits: CMSIS-NN, whose kernels most boards use, knows no others.

    Integer inputs, and float inputs that go straight into an embedding, are int32 in the file.
    All other inputs are float32, int8 or int16, as the quantization scheme says.

    Args:
        model: A built Sequential, functional or subclassed model. Of a subclassed model, which
            remembers no dtypes, inputs are integers if `calibration_data` are.
        target: The device's name, a key of `dart_keras.devices.DEVICES`, such as
            `"raspberry-pi"` or `"microcontroller"`.
        quantization: `"float32"`; `"dynamic"`, int8 weights (of matrices with at least 1024
            elements) and float activations, not on a microcontroller; `"int8"`, weights and
            activations, inputs and outputs included; `"int16x8"`, int8 weights and int16
            activations, inputs and outputs included.
        calibration_data: Rows that the model may meet, to find the ranges of the
            activations: one array of shape (rows, *input shape) for each input (in a tuple, or
            in a dict by input name), or an iterable of such batches or of single rows, for
            instance a generator or a `tf.data.Dataset`. At most 1024 rows are used. Needed for
            `"int8"` and `"int16x8"`, but not for a model of `quantize_aware`, which has learned
            its ranges. The outputs are compared on them; without them, on random inputs.
        flash_budget: The most bytes that the file may take. What the smaller file leaves of them
            goes into merging cores, which takes more weights and less time, where a byte saves
            most. None merges cores only where this takes no more weights.
        activation_ranges: How the range of an activation follows from its values on the calibration
            data: `"minmax"`, all of them; `"percentile"`, all but 0.005 % on either side; `"mse"`,
            the range whose rounding and clipping cost the least squared error. For `"int8"` and
            `"int16x8"`, of models that have not learned their ranges.
        min_sqnr_db: The least signal-to-noise ratio that every output must have on the compared
            rows and on the target's own runtime. A file that has less is refused; in place of an
            `"int8"` file comes an `"int16x8"` one, if that has enough.

    Returns:
        The file with what is known about it.

    Raises:
        ValueError: If an argument is not one of the above, the model is not built, or the
            data are missing, empty, not finite or of a wrong shape.
        ConversionError: If the model cannot run on the target, with the operators and the
            layers to blame, if its outputs there are not the model's or too far off, or if no file
            is small enough, with the size of the smallest.
        ImportError: If a package of the extra `deployment` is missing.

    Example:
        >>> import keras, numpy as np
        >>> from dart_keras.deployment import convert
        >>> model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(2)])
        >>> rows = np.random.default_rng(0).normal(size=(32, 8))
        >>> artifact = convert(
        ...     model, target="microcontroller", quantization="int8", calibration_data=rows
        ... )
        >>> artifact.operators
        ['FULLY_CONNECTED']
        >>> artifact.predict(rows, runtime="tflm").shape
        (32, 2)
    """
    device = find_file_device(target, quantization)
    require_tensorflow("conversion")
    flash_budget = check_budget(flash_budget)
    check_min_sqnr_db(min_sqnr_db)
    # Before the work whose result they would run.
    for name in device.runtimes:
        RUNTIMES[name].require()
    signature = model_signature(model)
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
        compared = _evenly_spaced(arrays, _COMPARED_ROWS)

    request = _Request(
        model, device, signature, arrays, compared, flash_budget, activation_ranges, min_sqnr_db
    )
    try:
        return _convert(request, scheme)
    except InaccurateError as error:
        finer = SCHEMES["int16x8"]
        if (
            min_sqnr_db is None
            or scheme != SCHEMES["int8"]
            or finer.name not in device.quantizations
        ):
            raise
        refused = error
    try:
        artifact = _convert(request, finer)
    except ConversionError as error:
        raise ConversionError(
            f"{refused.reason} Neither did quantization={finer.name!r} give a file: {error.reason}",
            error.operators,
            error.layers,
        ) from error
    artifact.report["refused"] = {
        "quantization": scheme.name,
        "runtime": refused.runtime,
        "outputs": refused.outputs,
    }
    return artifact


@dataclass(frozen=True)
class _Request:
    """What a file is wanted of, whatever the quantization scheme."""

    model: keras.Model
    device: Device
    signature: ModelSignature
    arrays: list[np.ndarray] | None
    compared: list[np.ndarray]
    flash_budget: int | None
    activation_ranges: str
    min_sqnr_db: float | None


def _convert(request: _Request, scheme: QuantizationScheme) -> Artifact:
    model, device, signature = request.model, request.device, request.signature
    arrays, compared = request.arrays, request.compared
    builder = Builder(
        model, signature, device, scheme, arrays or (), compared, request.activation_ranges
    )
    built = builder.build(request.flash_budget)
    file = executable(built.content, built.exported)
    with in_float32(model):
        expected = keras_outputs(signature, compared)
    runtimes, arena_size = judge(
        file,
        built.named,
        built.exported,
        device,
        scheme,
        compared,
        expected,
        request.min_sqnr_db,
    )
    # The last runtime is the device's own.
    recorded = _evenly_spaced(compared, _RECORDED_ROWS)
    examples = file.record(device.runtimes[-1], recorded, arena_size)
    report = describe(built, file, device, scheme) | {
        "model": model.name,
        "parameters": model.count_params(),
        "flash_budget": request.flash_budget,
        "arena_bytes": arena_size,
        "memory": memory_of(len(built.content), examples, arena_size),
        "activation_ranges": request.activation_ranges if scheme.needs_data else None,
        "calibration_rows": len(arrays[0]) if arrays and scheme.needs_data else 0,
        "compared_rows": len(compared[0]),
        "compared_on": "random inputs" if arrays is None else "calibration data",
        "runtimes": runtimes,
        "min_sqnr_db": request.min_sqnr_db,
        "refused": None,
    }
    return Artifact(
        content=built.content,
        target=device.name,
        quantization=scheme.name,
        weight_scales=built.scaled.kind if built.scaled else None,
        operators=sorted(report["operators"]),
        arena_size=arena_size,
        inputs=list(file.inputs),
        outputs=list(file.outputs),
        report=report,
        examples=examples,
        _reference=built.exported,
        _named=built.named,
    )


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


def _evenly_spaced(arrays: Sequence[np.ndarray], most: int) -> list[np.ndarray]:
    count = len(arrays[0])
    kept = np.linspace(0, count - 1, min(most, count)).astype(int)
    return [array[kept] for array in arrays]
