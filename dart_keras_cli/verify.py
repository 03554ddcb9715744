import argparse
import json
from pathlib import Path
from typing import Any

from dart_keras_cli.arguments import add_data, add_model
from dart_keras_cli.files import load_model, load_rows


def add_parser(commands: Any) -> None:
    """Adds `dart-keras verify`."""
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
    add_data(parser, "the rows to compare on", required=True)
    parser.set_defaults(run=_run)


def _run(arguments: argparse.Namespace) -> None:
    from dart_keras.deployment.building import executable
    from dart_keras.deployment.calibration import collect
    from dart_keras.deployment.comparison import check, compare, in_words
    from dart_keras.deployment.export import export
    from dart_keras.deployment.signature import model_signature
    from dart_keras.deployment.target import TARGETS

    path = arguments.file / "model.tflite" if arguments.file.is_dir() else arguments.file
    content = path.read_bytes()
    model = load_model(arguments.model)
    signature = model_signature(model)
    arrays = collect(load_rows(arguments.data), signature.inputs, name="--data")
    exported = export(model, signature)
    _check_fit(path, content, exported)
    file = executable(content, exported)
    expected = exported(arrays)
    quantization = _quantization(content, [*file.inputs, *file.outputs])
    results = {}
    for runtime in TARGETS[_target(path, content)].runtimes:
        result = file.run(runtime, arrays)
        results[runtime] = compare(expected, result.outputs, exported.output_names)
        print(f"{runtime}: {result.microseconds:,.1f} microseconds a row")
        print(*(f"  {in_words(distance)}" for distance in results[runtime]), sep="\n")
    for runtime, distances in results.items():
        check(distances, quantization, runtime)


def _check_fit(path: Path, content: bytes, exported: Any) -> None:
    """Raises a ValueError if this is no file for a model of these inputs and outputs."""
    from dart_keras.deployment.extra import load

    # It looks through the whole file, which the code of the schema would trip over.
    litert = load("ai_edge_litert.interpreter", "ai-edge-litert")
    try:
        interpreter = litert.Interpreter(model_content=content)
    except ValueError as error:
        raise ValueError(f"Expected a .tflite file. Received: {path}: {error}") from error
    wanted = [(1, *spec.shape) for spec in exported.signature.inputs]
    shapes = [tuple(map(int, detail["shape"])) for detail in interpreter.get_input_details()]
    outputs = len(interpreter.get_output_details())
    if (shapes, outputs) != (wanted, len(exported.output_names)):
        raise ValueError(
            f"Expected a file with the inputs {wanted} and {len(exported.output_names)} output(s), "
            f"as the model has. Received: {path} with {shapes} and {outputs}"
        )


def _quantization(content: bytes, interface: list[Any]) -> str:
    from dart_keras.deployment.flatbuffer import ModelFile

    integers = {info.dtype for info in interface if info.scale is not None}
    if integers:
        return "int16x8" if "int16" in integers else "int8"
    return "dynamic" if "int8" in ModelFile(content).weight_bytes else "float32"


def _target(path: Path, content: bytes) -> str:
    report_file = path.with_name("report.json")
    if not report_file.exists():
        return "raspberry-pi"
    try:
        report = json.loads(report_file.read_bytes())
        # The report of another file says nothing of this one.
        return report["target"] if report["file_bytes"] == len(content) else "raspberry-pi"
    except (ValueError, TypeError, KeyError) as error:
        raise ValueError(
            f"Expected a report as `dart-keras convert` writes it. Received: {report_file}"
        ) from error
