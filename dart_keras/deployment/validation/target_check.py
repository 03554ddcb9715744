from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import keras
import numpy as np

from dart_keras.deployment.errors import ConversionError
from dart_keras.deployment.post_training.tflite_converter import layers_at
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.runtimes.result import RefusedError, RunResult
from dart_keras.deployment.schemes import QuantizationScheme
from dart_keras.deployment.tracing.function import Exported, errors_of_rows
from dart_keras.deployment.tracing.signature import ModelSignature
from dart_keras.deployment.validation.output_errors import check, compare
from dart_keras.deployment.validation.precision import drowned_inputs
from dart_keras.devices import Device
from dart_keras.layers.planning import device_planning
from dart_keras.utils.progress import progress

_TIMED_RUNS = 50
# For the rows of one runtime. Only large models take longer, and then fewer rows are compared.
ROW_SECONDS = 20.0
_WITHOUT_XNNPACK = "litert-builtin"


def keras_outputs(signature: ModelSignature, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Return what the Keras model gives for rows of its inputs, as the file takes them."""
    # Row by row like the file: a layer may depend on the batch, and a batch may be fixed to 1.
    rows = progress(zip(*arrays, strict=True), "running the Keras model", len(arrays[0]))
    tensors = ([keras.ops.convert_to_tensor(value[None]) for value in row] for row in rows)
    # Layers would measure, or warn of, what this computer takes for one row. What they write is
    # not for the model itself; such a model is refused when it is traced.
    planning = device_planning("cpu", lambda layer, plans: plans[0])
    with errors_of_rows(), planning, keras.StatelessScope():
        outputs = [signature.call(row) for row in tensors]
    return [
        np.concatenate([keras.ops.convert_to_numpy(value) for value in parts])
        for parts in zip(*outputs, strict=True)
    ]


def judge(
    file: Executable,
    named: bytes,
    exported: Exported,
    device: Device,
    scheme: QuantizationScheme,
    arrays: Sequence[np.ndarray],
    expected: Sequence[np.ndarray],
    min_sqnr_db: float | None,
) -> tuple[dict[str, Any], int | None]:
    """Run a file on the runtimes of its target and compare it with Keras.

    Args:
        file: The file.
        named: The same operators, with the names that tell their layers.
        exported: The function that it was made from.
        device: The target.
        scheme: How it was quantized.
        arrays: The rows, one array for each input.
        expected: What Keras gives for them.
        min_sqnr_db: The least signal-to-noise ratio on the target's own runtime; None for any.

    Returns:
        For each runtime what a report tells of it, and the bytes of TFLM's arena.

    Raises:
        ConversionError: If a runtime cannot run the file, or its outputs are too far off.
    """
    report: dict[str, Any] = {}
    arena_size = None
    drowned = drowned_inputs(file.inputs, arrays)
    for runtime in device.runtimes:
        try:
            result = file.run(runtime, arrays, minimum_runs=_TIMED_RUNS, row_seconds=ROW_SECONDS)
        except RefusedError as error:
            raise ConversionError(
                error.reason,
                error.operators,
                layers_at(error.indices, named, exported),
            ) from error
        report[runtime] = _reported(file, result, expected)
        own = runtime == device.runtimes[-1]
        least = min_sqnr_db if own else None
        check(report[runtime]["outputs"], scheme.name, runtime, least, drowned)
        arena_size = arena_size or result.arena_size
    # It is told for comparison, and judges no file.
    with suppress(ConversionError):
        result = file.run(
            _WITHOUT_XNNPACK, arrays, minimum_runs=_TIMED_RUNS, row_seconds=ROW_SECONDS
        )
        report[_WITHOUT_XNNPACK] = _reported(file, result, expected)
    return report, arena_size


def _reported(
    file: Executable, result: RunResult, expected: Sequence[np.ndarray]
) -> dict[str, Any]:
    expected = [values[result.rows] for values in expected]
    compared = compare(expected, result.outputs, [info.name for info in file.outputs])
    return {
        "microseconds": result.microseconds,
        "rows": len(result.rows),
        "outputs": compared,
    }
