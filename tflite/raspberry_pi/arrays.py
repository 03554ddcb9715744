"""Readers of the user's `.npy`, `.npz` and text files."""

import zipfile
import zlib
from pathlib import Path

import numpy as np
from errors import RefusedError


def load_arrays(path: Path) -> dict[str, np.ndarray]:
    """Load the one array of a `.npy` file as `arr_0`, or all arrays of a `.npz` file by name."""
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return {"arr_0": loaded}
        with loaded:
            return dict(loaded)
    except (ValueError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, MemoryError) as error:
        raise RefusedError(
            f"Expected a .npy or .npz file of numbers. Received: {path}: {error}"
        ) from error


def starting_with(start: str, arrays: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Return the arrays whose names have a start, by the rest of their names."""
    return {
        name.removeprefix(start): array for name, array in arrays.items() if name.startswith(start)
    }


def load_labels(path: Path) -> list[str]:
    """Load a text file with one label per line."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except UnicodeDecodeError as error:
        raise RefusedError(f"Expected a text file in UTF-8. Received: {path}: {error}") from error
