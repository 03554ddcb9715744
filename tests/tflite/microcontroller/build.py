"""Build the application with a saved model for the host."""

import re
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from dart_keras.deployment import Examples, TensorInfo
from dart_keras.deployment.c_source import files

HERE = Path(__file__).parent
APPLICATION = HERE.parents[2] / "tflite" / "microcontroller"
SOURCES = APPLICATION / "src"
FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"]

# Sources that do not need TensorFlow Lite Micro's headers.
WITHOUT_TFLM = [path for path in sorted(SOURCES.glob("*.cc")) if path.name != "runner.cc"]

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def build(folder: Path, sources: Sequence[Path], name: str, *flags: str) -> Path:
    """Compile sources with the model of a folder, into a file of that folder."""
    models = sorted(folder.glob("*.cc"))
    includes = [f"-I{SOURCES}", f"-I{folder}"]
    output = folder / name
    command = ["g++", *FLAGS, *includes, *flags, *sources, *models, "-o", output]
    subprocess.run(command, check=True)
    return output


def write_examples(folder: Path, inputs: list[np.ndarray], outputs: list[np.ndarray]) -> None:
    """Write the sources of a made-up model with these example rows."""
    infos = [[_info(array) for array in arrays] for arrays in (inputs, outputs)]
    emitted = files(b"model", 16, ["ADD"], *infos, Examples(inputs, outputs))
    for name, content in emitted.items():
        (folder / name).write_bytes(content)


def code_of_readme(index: int) -> str:
    """Return a C++ block of the application's README."""
    return re.findall(r"```cpp\n(.*?)```", (APPLICATION / "README.md").read_text(), re.DOTALL)[
        index
    ]


def _info(array: np.ndarray) -> TensorInfo:
    quantized = array.dtype in ("int8", "int16")
    scale, zero_point = (0.5, 3) if quantized else (None, None)
    return TensorInfo("x", (1, *array.shape[1:]), str(array.dtype), scale, zero_point)
