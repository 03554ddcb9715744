import argparse
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from dart_keras.cli.arguments import (
    add_calibration_data,
    add_model,
    add_target,
    file_ending,
    positive,
    share,
)
from dart_keras.cli.file_access import check_inputs, check_outputs, write
from dart_keras.cli.model_files import load_model_file, load_rows
from dart_keras.devices import QUANTIZATIONS
from dart_keras.utils.plots import require_matplotlib


def add_parser(commands: Any) -> None:
    """Add `dart-keras compress`."""
    parser = commands.add_parser(
        "compress",
        help="make a trained model smaller, within a budget",
        description="Replaces layers of a trained model by smaller ones, within a budget.",
    )
    add_model(parser)
    parser.add_argument(
        "--output",
        metavar="SMALL.keras",
        type=file_ending(".keras"),
        required=True,
        help="where to write the smaller model",
    )
    budget = parser.add_mutually_exclusive_group(required=True)
    for name, meaning in (
        ("--parameters", "the most parameters that the model may hold"),
        ("--flash-bytes", "the most bytes that the .tflite file may take"),
        ("--multiply-adds", "the most multiply-adds that one row may take"),
        ("--arena-bytes", "the most bytes of working memory that one row may take"),
    ):
        budget.add_argument(name, metavar="N", type=positive, help=meaning)
    budget.add_argument(
        "--tolerance", metavar="T", type=share, help="the relative error allowed in each layer"
    )
    of_file = "of the file that --flash-bytes and --arena-bytes speak of"
    parser.add_argument(
        "--quantization", choices=QUANTIZATIONS, help=f"the quantization {of_file} (int8)"
    )
    add_target(parser, f"the target {of_file} (microcontroller)")
    add_calibration_data(parser, "rows that the model may meet, to keep what it does with them")
    parser.add_argument(
        "--layers",
        metavar="PATTERN",
        nargs="+",
        help='replace these layers only, as "encoder/*"; `dart-keras inspect` lists them',
    )
    parser.add_argument(
        "--keep-outputs",
        metavar="NAME",
        nargs="+",
        help="the model's outputs that matter, for --calibration-data; if not given, all alike",
    )
    parser.add_argument(
        "--recovery-epochs",
        metavar="N",
        type=positive,
        default=0,
        help="how many epochs of training on --calibration-data follow",
    )
    parser.add_argument(
        "--report", metavar="REPORT.json", type=file_ending(".json"), help="write the report here"
    )
    parser.add_argument(
        "--picture", metavar="REPORT.png", type=file_ending(".png"), help="draw the report here"
    )
    parser.set_defaults(check=_check, run=partial(_run, parser))


def _check(arguments: argparse.Namespace) -> None:
    check_inputs(arguments.model, arguments.calibration_data)
    check_outputs(arguments.output, arguments.report, arguments.picture)
    if arguments.picture:
        require_matplotlib()


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    has_file = arguments.flash_bytes or arguments.arena_bytes
    if not has_file and (arguments.quantization or arguments.target):
        parser.error("--quantization and --target go with --flash-bytes or --arena-bytes")
    if arguments.recovery_epochs and arguments.calibration_data is None:
        parser.error("--recovery-epochs needs --calibration-data to train on")
    if arguments.keep_outputs and arguments.calibration_data is None:
        parser.error("--keep-outputs needs --calibration-data to measure them on")
    from dart_keras.compression import compress

    small, report = compress(
        load_model_file(arguments.model, arguments.imports, arguments.unsafe),
        _budget(arguments),
        load_rows(arguments.calibration_data),
        layers=arguments.layers,
        outputs=arguments.keep_outputs,
        recovery_epochs=arguments.recovery_epochs,
    )
    print(report)
    # The model first: it took the longest, whatever comes of the others.
    _write(arguments.output, small.save)
    if arguments.report:
        write(arguments.report, (json.dumps(report.as_dict(), indent=2) + "\n").encode())
    if arguments.picture:
        _write(arguments.picture, report.plot)


def _write(path: Path, make: Callable[[Path], Any]) -> None:
    """Write what `make` writes to a path that it is given, or leave what is there."""
    # Beside its place, because a folder for temporary files may be full.
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.stem}-") as folder:
            made = Path(folder, path.name)
            make(made)
            content = made.read_bytes()
    except OSError as error:
        raise OSError(error.errno, f"Cannot write {path}: {error.strerror or error}") from error
    write(path, content)


def _budget(arguments: argparse.Namespace) -> Any:
    from dart_keras import budgets

    if arguments.tolerance:
        return budgets.RelativeError(arguments.tolerance)
    if arguments.parameters:
        return budgets.Parameters(arguments.parameters)
    if arguments.multiply_adds:
        return budgets.MultiplyAdds(arguments.multiply_adds)
    given = {"quantization": arguments.quantization, "target": arguments.target}
    options = {name: value for name, value in given.items() if value is not None}
    if arguments.flash_bytes:
        return budgets.FlashBytes(arguments.flash_bytes, **options)
    return budgets.ArenaBytes(arguments.arena_bytes, **options)
