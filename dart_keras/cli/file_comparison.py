"""Running a `.tflite` file that may be damaged, and comparing it with a Keras model."""

import json
from pathlib import Path
from typing import Any, NamedTuple

from dart_keras.utils.manifest import check_manifest


class RuntimeOutputs(NamedTuple):
    """What a file gave on a runtime.

    Attributes:
        microseconds: The median time of a row.
        rows: Which rows it ran, as many as half of the time was enough for.
        outputs: One array of shape (rows, ...) for each output.
        distances: For each output how far it is from the Keras model's.
    """

    microseconds: float
    rows: Any
    outputs: list[Any]
    distances: list[dict[str, Any]]


def compare_file(
    path: Path, content: bytes, exported: Any, arrays: Any, expected: Any, timeout: float
) -> dict[str, RuntimeOutputs]:
    """Run a file on its target's runtimes.

    Args:
        path: Where the file is from; beside it may be its report.
        content: The file.
        exported: The Keras model.
        arrays: The rows, one array for each input.
        expected: What the Keras model gives for them.
        timeout: The most seconds that a runtime may take.

    Returns:
        By the runtimes' names what the file gave there.

    Raises:
        ValueError: If the file cannot be read or run or does not fit the model, or an output is not
            finite.
    """
    from dart_keras.deployment.errors import ConversionError
    from dart_keras.deployment.runtimes.tflm import LARGEST_ARENA
    from dart_keras.deployment.runtimes.untrusted_files import open_file
    from dart_keras.deployment.validation.output_errors import compare
    from dart_keras.devices import find_file_device

    try:
        file = open_file(content, timeout)
    except ConversionError:
        # It took too long.
        raise
    except ValueError as error:
        raise ValueError(f"Expected a .tflite file. Received: {path}: {error}") from error
    _check_fit(path, file, exported)
    quantization = _quantization(content, [*file.inputs, *file.outputs])
    results = {}
    for runtime in find_file_device(_target(path, content), quantization).runtimes:
        # The smallest arena was found when the file was converted; here it is not asked for.
        result = file.run(runtime, arrays, LARGEST_ARENA, row_seconds=timeout / 2)
        wanted = [values[result.rows] for values in expected]
        distances = compare(wanted, result.outputs, exported.output_names)
        results[runtime] = RuntimeOutputs(
            result.microseconds, result.rows, result.outputs, distances
        )
    return results


def _check_fit(path: Path, file: Any, exported: Any) -> None:
    """Raise a ValueError if this is no file for a model of these inputs and outputs."""
    wanted = [(1, *spec.shape) for spec in exported.signature.inputs]
    shapes = [info.shape for info in file.inputs]
    if (shapes, len(file.outputs)) != (wanted, len(exported.output_names)):
        raise ValueError(
            f"Expected a file with the inputs {wanted} and {len(exported.output_names)} output(s), "
            f"as the model has. Received: {path} with {shapes} and {len(file.outputs)}"
        )


def _quantization(content: bytes, interface: list[Any]) -> str:
    from dart_keras.deployment.flatbuffer.reader import ModelFile

    integers = {info.dtype for info in interface if info.scale is not None}
    if integers:
        return "int16x8" if "int16" in integers else "int8"
    return "dynamic" if "int8" in ModelFile(content).weight_bytes else "float32"


def _target(path: Path, content: bytes) -> str:
    report_file = path.with_name("report.json")
    if not report_file.exists():
        return "raspberry-pi"
    check_manifest(report_file, report_file.read_bytes())
    try:
        report = json.loads(report_file.read_bytes())
        # The report of another file says nothing of this one.
        return report["target"] if report["file_bytes"] == len(content) else "raspberry-pi"
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"Expected a report as `dart-keras convert` writes it. Received: {report_file}"
        ) from error
