from typing import Any

import keras

from dart_keras.deployment.artifact import Artifact
from dart_keras.deployment.build import Builder, describe, executable, memory_of
from dart_keras.deployment.errors import ConversionError, InaccurateError
from dart_keras.deployment.schemes import SCHEMES, QuantizationScheme
from dart_keras.deployment.validation.conversion_request import (
    ConversionRequest,
    conversion_request,
    evenly_spaced,
)
from dart_keras.deployment.validation.precision import imprecision_reason, judge_precision
from dart_keras.deployment.validation.target_check import judge
from dart_keras.model_surgery.finite_weights import bad_weights

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
    and its outputs are compared with the model's. Of a large model, as many rows are compared as
    run in some twenty seconds on each. The model is left as it was.

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
            in a dict by input name), an iterable of such batches or of single rows, for
            instance a generator or a `tf.data.Dataset`, or a function that returns one, such as
            TFLite's `representative_dataset`. At most 1024 rows are used. Needed for
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
            `"int8"` file comes an `"int16x8"` one, if that has enough. None refuses files below
            6 dB and warns of those below 15 dB, with the reason where it is known.

    Returns:
        The file with what is known about it.

    Raises:
        ValueError: If an argument is not one of the above, the model is not built or has weights
            that are NaN, or the data are missing, empty, not finite or of a wrong shape.
        ConversionError: If the model cannot run on the target, with the operators and the
            layers to blame, if its outputs are not finite, with the rows, or on the target not the
            model's or too far off, or if no file is small enough, with the size of the smallest.
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
    request, scheme = conversion_request(
        model,
        target,
        quantization,
        calibration_data,
        flash_budget,
        activation_ranges,
        min_sqnr_db,
    )
    if min_sqnr_db is None:
        artifact = _convert(request, scheme)
        runtime = request.device.runtimes[-1]
        reason = imprecision_reason(
            artifact.inputs, request.arrays, scheme.name, bad_weights(model)
        )
        outputs = artifact.report["runtimes"][runtime]["outputs"]
        judge_precision(outputs, runtime, scheme.name, reason)
        return artifact
    try:
        return _convert(request, scheme)
    except InaccurateError as error:
        finer = SCHEMES["int16x8"]
        if scheme != SCHEMES["int8"] or finer.name not in request.device.quantizations:
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


def convert_unjudged(
    model: keras.Model, target: str, quantization: str, calibration_data: Any
) -> Artifact:
    """Do what `convert` does for a file that is only measured, however imprecise it is.

    Args:
        model: As for `convert`.
        target: As for `convert`.
        quantization: As for `convert`.
        calibration_data: As for `convert`.

    Raises:
        ValueError: As from `convert`.
        ConversionError: As from `convert`; of outputs, if they are weaker than their errors.
    """
    return _convert(*conversion_request(model, target, quantization, calibration_data))


def _convert(request: ConversionRequest, scheme: QuantizationScheme) -> Artifact:
    model, device, signature = request.model, request.device, request.signature
    arrays, compared = request.arrays, request.compared
    builder = Builder(
        model, signature, device, scheme, arrays or (), compared, request.activation_ranges
    )
    built = builder.build(request.flash_budget)
    file = executable(built.content, built.exported)
    runtimes, arena_size = judge(
        file,
        built.named,
        built.exported,
        device,
        scheme,
        compared,
        request.expected,
        request.min_sqnr_db,
    )
    # The last runtime is the device's own.
    recorded = evenly_spaced(compared, _RECORDED_ROWS)
    examples = file.record(device.runtimes[-1], recorded, arena_size)
    report = describe(built, file, device, scheme) | {
        "model": model.name,
        "parameters": model.count_params(),
        "flash_budget": request.flash_budget,
        "arena_bytes": arena_size,
        "memory": memory_of(len(built.content), examples, arena_size),
        "activation_ranges": request.activation_ranges if scheme.needs_data else None,
        "calibration_rows": len(arrays[0]) if arrays and scheme.needs_data else 0,
        "compared_rows": min(result["rows"] for result in runtimes.values()),
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
