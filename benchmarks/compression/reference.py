"""The reference models and `.tflite` files of MLPerf Tiny, read from `--data-dir`."""

import argparse
import sys
from pathlib import Path

import keras

from dart_keras.deployment.build import executable
from dart_keras.deployment.runtimes.executable import Executable
from dart_keras.deployment.tracing.function import export
from dart_keras.deployment.tracing.signature import model_signature


def folder(description: str | None, *files: str) -> Path:
    """Return the folder of the command line, or exit if these files are not in it."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument(
        "--data-dir",
        type=Path,
        required=True,
        help="a folder with these files of MLPerf Tiny's repository: " + ", ".join(files),
    )
    found: Path = parser.parse_args().data_dir
    missing = [name for name in files if not (found / name).is_file()]
    if missing:
        sys.exit(f"Expected {', '.join(missing)} of MLPerf Tiny in --data-dir. Received: {found}")
    return found


def load(path: Path) -> keras.Model:
    """Load a trained model without compiling it."""
    return keras.models.load_model(path, compile=False)


def load_file(path: Path, model: keras.Model) -> Executable:
    """Load a `.tflite` file that another converter made of the model."""
    return executable(path.read_bytes(), export(model, model_signature(model)))
