import argparse
from functools import partial
from pathlib import Path
from typing import Any

from dart_keras.cli.arguments import (
    ACTIVATION_RANGES,
    add_calibration_data,
    add_model,
    add_target,
    positive,
    positive_number,
)
from dart_keras.cli.file_access import check_inputs, print_written
from dart_keras.cli.model_files import load_model_file, load_rows
from dart_keras.devices import QUANTIZATIONS
from dart_keras.utils.atomic_write import check_writable
from dart_keras.utils.manifest import MANIFEST, unchanged_files


def add_parser(commands: Any) -> None:
    """Add `dart-keras convert`."""
    parser = commands.add_parser(
        "convert",
        help="turn a model into a .tflite file that ran on its target's runtimes",
        description="Turns a model into a .tflite file, runs it on the runtimes of its target, "
        "and writes it with what the target needs beside it.",
    )
    add_model(parser)
    parser.add_argument(
        "--output", metavar="FOLDER", type=Path, required=True, help="where to write the files"
    )
    add_target(parser, "the device that the file is for (default: %(default)s)", "raspberry-pi")
    parser.add_argument("--quantization", choices=QUANTIZATIONS, default="float32")
    add_calibration_data(
        parser,
        "rows to calibrate on (int8 and int16x8 need them, unless the model is "
        "quantization-aware) and to compare on",
    )
    parser.add_argument(
        "--flash-budget",
        metavar="N",
        type=positive,
        help="the most bytes that the file may take; what is left of them makes it faster",
    )
    parser.add_argument(
        "--activation-ranges",
        choices=ACTIVATION_RANGES,
        default="minmax",
        help="how the ranges of the activations follow from the rows (default: %(default)s)",
    )
    parser.add_argument(
        "--min-sqnr-db",
        metavar="DB",
        type=positive_number,
        help="the least signal-to-noise ratio of every output; where int8 has less, the file is "
        "int16x8",
    )
    parser.set_defaults(check=_check, run=partial(_run, parser))


def _check(arguments: argparse.Namespace) -> None:
    check_inputs(arguments.model, arguments.calibration_data)
    check_writable(arguments.output, ["model.tflite"])


def _run(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    from dart_keras.deployment import convert
    from dart_keras.quantization.quantized_models import quantized_layers

    model = load_model_file(arguments.model, arguments.imports, arguments.unsafe)
    calibrated = arguments.quantization in ("int8", "int16x8") and not quantized_layers(model)
    if calibrated and arguments.calibration_data is None:
        parser.error(
            f"--quantization {arguments.quantization} needs --calibration-data to calibrate on"
        )
    artifact = convert(
        model,
        arguments.target,
        quantization=arguments.quantization,
        calibration_data=load_rows(arguments.calibration_data),
        flash_budget=arguments.flash_budget,
        activation_ranges=arguments.activation_ranges,
        min_sqnr_db=arguments.min_sqnr_db,
    )
    artifact.save(arguments.output)
    print(artifact)
    names = [*unchanged_files(arguments.output), MANIFEST]
    print_written(*(arguments.output / name for name in names))
