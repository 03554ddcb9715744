"""Compiles emitted files into a library that a test can ask."""

import ctypes
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path

import pytest

FLAGS = ["-std=c++17", "-Wall", "-Wextra", "-Werror", "-fno-exceptions", "-fno-rtti"]

needs_compiler = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")


def load(folder: Path, files: Mapping[str, str | bytes]) -> ctypes.CDLL:
    """Writes the files into a folder, and returns what their `.cc` files compile to."""
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    sources = [name for name in files if name.endswith(".cc")]
    library = folder / "library.so"
    subprocess.run(
        ["g++", *FLAGS, "-shared", "-fPIC", *sources, "-o", library], cwd=folder, check=True
    )
    return ctypes.CDLL(str(library))
