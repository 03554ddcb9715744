import argparse
import json
from pathlib import Path
from typing import Any

from dart_keras.cli.arguments import (
    add_calibration_data,
    add_model,
    file_ending,
    finite_number,
    positive_number,
    whole_share,
)
from dart_keras.cli.file_access import check_inputs
from dart_keras.cli.file_comparison import RuntimeOutputs, compare_file
from dart_keras.cli.labels import accuracy, load_labels
from dart_keras.cli.model_files import load_model_file, load_rows
from dart_keras.utils.manifest import check_manifest


def add_parser(commands: Any) -> None:
    """Add `dart-keras verify`."""
    parser = commands.add_parser(
        "verify",
        help="run a .tflite file and compare it with the original Keras model",
        description="Runs a .tflite file on its target's runtimes, prints how far its outputs are "
        "from the Keras model's, and fails where they agree too little. Give the original model, "
        "not the one that `compress` made of it: one that is no good agrees with its own file.",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="a folder that `convert` wrote, or the .tflite file; one without its report.json "
        "beside it is run on LiteRT alone",
    )
    add_model(parser, "the original, from before compression: ")
    add_calibration_data(
        parser, "the rows to compare on; without, random inputs, which say little of real ones"
    )
    parser.add_argument(
        "--min-agreement",
        metavar="SHARE",
        type=whole_share,
        help="the least share of rows with the same argmax, from 0 to 1 (0.9; of outputs that are "
        "no probabilities, that or the ratio is enough, unless you give this)",
    )
    parser.add_argument(
        "--min-sqnr-db",
        metavar="DB",
        type=finite_number,
        help="the least signal-to-noise ratio (15; of probabilities none, unless you give it)",
    )
    parser.add_argument(
        "--labels",
        metavar="LABELS",
        type=file_ending(".npy", ".npz"),
        help="the rows' classes, to measure the accuracy of both: a .npy file, or a .npz file with "
        "one array for each output by its name",
    )
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        default=60.0,
        help="the most seconds that each of the runtimes may take (60); after half of them no "
        "further rows are run",
    )
    parser.set_defaults(check=_check, run=_run)


def _check(arguments: argparse.Namespace) -> None:
    inputs = (arguments.model, arguments.calibration_data, arguments.labels)
    check_inputs(_file(arguments), *inputs)


def _file(arguments: argparse.Namespace) -> Path:
    is_folder = arguments.file.is_dir()
    return arguments.file / "model.tflite" if is_folder else arguments.file


def _run(arguments: argparse.Namespace) -> None:
    from dart_keras.deployment.tracing.function import export
    from dart_keras.deployment.tracing.signature import model_signature

    path = _file(arguments)
    content = path.read_bytes()
    check_manifest(path, content)
    model = load_model_file(arguments.model, arguments.imports, arguments.unsafe)
    signature = model_signature(model)
    arrays, source = _rows(arguments, model, signature)
    # A subclassed model does not remember of which dtypes its inputs are.
    signature = signature.resolved(arrays)
    arrays = [a.astype(spec.dtype) for a, spec in zip(arrays, signature.inputs, strict=True)]
    exported = export(model, signature)
    expected = exported(arrays)
    names = exported.output_names
    labels = {}
    if arguments.labels is not None:
        labels = load_labels(arguments.labels, names, len(arrays[0]))
    results = compare_file(path, content, exported, arrays, expected, arguments.timeout)
    report = _report(arguments, names, labels, expected, results)
    report["rows"] = {"count": len(arrays[0]), "source": source}
    if arguments.json:
        print(json.dumps(report, indent=2))
    else:
        _print(report)
    if report["failures"]:
        raise ValueError(
            f"Expected {path} to do what {arguments.model} does. Received: "
            f"{'; '.join(report['failures'])}. Give a larger budget or a finer quantization, or "
            "other limits: --min-agreement, --min-sqnr-db"
        )


def _rows(arguments: argparse.Namespace, model: Any, signature: Any) -> tuple[list[Any], str]:
    """Return an array for each input, and where the rows are from."""
    from dart_keras.calibration_data import read_arrays
    from dart_keras.deployment.post_training.trained_ranges import rows_in_range
    from dart_keras.quantization.quantized_models import quantized_layers

    if arguments.calibration_data is None:
        known = signature.resolved(None)
        rows = known.random_rows()
        if quantized_layers(model):
            rows = rows_in_range(model, known.inputs, rows)
        return rows, "random inputs"
    rows = load_rows(arguments.calibration_data)
    structure = signature.structure
    arrays = read_arrays(rows, signature.inputs, structure=structure, name="--calibration-data")
    return arrays, str(arguments.calibration_data)


def _report(
    arguments: argparse.Namespace,
    names: Any,
    labels: dict[str, Any],
    expected: list[Any],
    results: dict[str, RuntimeOutputs],
) -> dict[str, Any]:
    """Return all that was found out, as JSON can hold it."""
    from dart_keras.utils.output_agreement import MIN_AGREEMENT, MIN_SQNR_DB, shortfall

    references = dict(zip(names, expected, strict=True))
    limits = {"min_agreement": arguments.min_agreement, "min_sqnr_db": arguments.min_sqnr_db}
    runtimes, failures = {}, []
    for runtime, result in results.items():
        outputs = []
        for distance, output in zip(result.distances, result.outputs, strict=True):
            name = distance["name"]
            if (text := shortfall(distance, **limits)) is not None:
                failures.append(f"{runtime}: {text}")
            if name in labels:
                right = accuracy(output, labels[name][result.rows], references[name][result.rows])
                distance = {**distance, "accuracy": right}
            outputs.append(distance)
        runtimes[runtime] = {
            "microseconds": result.microseconds,
            "rows": len(result.rows),
            "outputs": outputs,
        }
    defaults = {"min_agreement": MIN_AGREEMENT, "min_sqnr_db": MIN_SQNR_DB}
    return {
        "file": str(arguments.file),
        "model": str(arguments.model),
        "limits": {name: defaults[name] if v is None else v for name, v in limits.items()},
        "model_accuracy": {
            name: accuracy(references[name], array, references[name])
            for name, array in labels.items()
        },
        "runtimes": runtimes,
        "failures": failures,
    }


def _print(report: dict[str, Any]) -> None:
    from dart_keras.utils.output_agreement import in_words

    rows = report["rows"]
    hint = "; give real ones by --calibration-data" if rows["source"] == "random inputs" else ""
    print(f"compared with {report['model']} on {rows['count']:,} rows of {rows['source']}{hint}")
    for name, share in report["model_accuracy"].items():
        print(f"  {name}: {share:.1%} right in Keras")
    for runtime, result in report["runtimes"].items():
        part = "" if result["rows"] == rows["count"] else f", {result['rows']:,} rows (--timeout)"
        print(f"{runtime}: {result['microseconds']:,.1f} microseconds a row{part}")
        for output in result["outputs"]:
            right = f", {output['accuracy']:.1%} right" if "accuracy" in output else ""
            print(f"  {in_words(output)}{right}")
