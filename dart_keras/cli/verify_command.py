import argparse
import json
from pathlib import Path
from typing import Any

from dart_keras.cli.arguments import add_calibration_data, add_model, positive_number
from dart_keras.cli.model_files import load_model_file, load_rows
from dart_keras.utils.manifest import check_manifest


def add_parser(commands: Any) -> None:
    """Add `dart-keras verify`."""
    parser = commands.add_parser(
        "verify",
        help="run a .tflite file and compare it with the Keras model",
        description="Runs a .tflite file on its target's runtimes, prints how far its outputs are "
        "from the Keras model's, and fails where `convert` would have refused it.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a folder that `convert` wrote, or the .tflite file; one without its report.json "
        "beside it is run on LiteRT alone",
    )
    add_model(parser)
    add_calibration_data(parser, "the rows to compare on", required=True)
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        default=60.0,
        help="the most seconds that each of the runtimes may take (60)",
    )
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from dart_keras.calibration_data import read_arrays
    from dart_keras.deployment.tracing.function import export
    from dart_keras.deployment.tracing.signature import model_signature

    path = arguments.file / "model.tflite" if arguments.file.is_dir() else arguments.file
    content = path.read_bytes()
    check_manifest(path, content)
    model = load_model_file(arguments.model)
    signature = model_signature(model)
    rows = load_rows(arguments.calibration_data)
    structure = signature.structure
    arrays = read_arrays(rows, signature.inputs, structure=structure, name="--calibration-data")
    exported = export(model, signature)
    expected = exported(arrays)
    run_and_compare(path, content, exported, arrays, expected, arguments.timeout)


def run_and_compare(
    path: Path, content: bytes, exported: Any, arrays: Any, expected: Any, timeout: float
) -> None:
    """Run a file, which may be damaged, on its target's runtimes, and print the distances.

    Args:
        path: Where the file is from; beside it may be its report.
        content: The file.
        exported: The Keras model.
        arrays: The rows, one array for each input.
        expected: What the Keras model gives for them.
        timeout: The most seconds that a runtime may take.

    Raises:
        ValueError: If the file cannot be read or run, does not fit the model, or is too far off.
    """
    from dart_keras.deployment.errors import ConversionError
    from dart_keras.deployment.runtimes.tflm import LARGEST_ARENA
    from dart_keras.deployment.runtimes.untrusted_files import open_file
    from dart_keras.deployment.validation.output_errors import check, compare
    from dart_keras.devices import find_file_device
    from dart_keras.utils.output_agreement import in_words

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
        result = file.run(runtime, arrays, LARGEST_ARENA)
        results[runtime] = compare(expected, result.outputs, exported.output_names)
        print(f"{runtime}: {result.microseconds:,.1f} microseconds a row")
        print(*(f"  {in_words(distance)}" for distance in results[runtime]), sep="\n")
    for runtime, distances in results.items():
        check(distances, quantization, runtime)


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
