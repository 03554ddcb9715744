"""The types of arguments that several subcommands take."""

import argparse
import math
from collections.abc import Callable
from pathlib import Path

from dart_keras.devices import DEVICES

# As `dart_keras.deployment` knows them; reading its own list would start TensorFlow.
ACTIVATION_RANGES = ("minmax", "percentile", "mse")


def file_ending(*endings: str) -> Callable[[str], Path]:
    """Return a type for `argparse`: the path of a file whose name ends like this."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in endings:
            expected = " or ".join(endings)
            raise argparse.ArgumentTypeError(f"expected a {expected} file. Received: {text}")
        return path

    return parse


def positive(text: str) -> int:
    """Read a positive integer."""
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"expected a positive integer. Received: {text}")
    return int(text)


def positive_number(text: str) -> float:
    """Read a positive number."""
    return _number(text, "a positive number", lambda value: value > 0)


def share(text: str) -> float:
    """Read a number between 0 and 1."""
    return _number(text, "a number between 0 and 1", lambda value: 0 < value < 1)


def whole_share(text: str) -> float:
    """Read a number from 0 to 1."""
    return _number(text, "a number from 0 to 1", lambda value: 0 <= value <= 1)


def finite_number(text: str) -> float:
    """Read a number that is finite."""
    return _number(text, "a number", lambda value: True)


def _number(text: str, expected: str, fits: Callable[[float], bool]) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (math.isfinite(value) and fits(value)):
        raise argparse.ArgumentTypeError(f"expected {expected}. Received: {text}")
    return value


def model_path(text: str) -> Path:
    """Read the path of a model's file, or of the folder of a SavedModel."""
    path = Path(text)
    return path if path.is_dir() else file_ending(".keras", ".h5", ".hdf5")(text)


def add_model(parser: argparse.ArgumentParser, meaning: str = "") -> None:
    """Add the Keras model, which every subcommand takes, and how it is loaded."""
    parser.add_argument(
        "model",
        metavar="MODEL",
        type=model_path,
        help=f"{meaning}a .keras or .h5 file, or the folder of a SavedModel that Keras 2 wrote",
    )
    parser.add_argument(
        "--import",
        metavar="MODULE",
        dest="imports",
        action="append",
        default=[],
        help="a Python file or module with the model's own layers and functions, which is run "
        "before the model is loaded; may be given several times",
    )
    parser.add_argument(
        "--unsafe",
        action="store_true",
        help="run the Python code of `Lambda` layers in the model; for files that you trust",
    )


def add_target(parser: argparse.ArgumentParser, help: str, default: str | None = None) -> None:
    """Add the device, one of those that run files."""
    devices = [device for device in DEVICES.values() if device.runs_files]
    listed = "; ".join(f"{device.name}, {device.description}" for device in devices)
    parser.add_argument(
        "--target",
        choices=[device.name for device in devices],
        default=default,
        help=f"{help}: {listed}",
    )


def add_calibration_data(
    parser: argparse.ArgumentParser, help: str, required: bool = False
) -> None:
    """Add the file of rows."""
    parser.add_argument(
        "--calibration-data",
        metavar="ROWS",
        type=file_ending(".npy", ".npz"),
        required=required,
        help=f"{help}: a .npy file, or a .npz file with one array for each input by its name",
    )
