"""Reading the files that the subcommands are given."""

import re
import zipfile
from pathlib import Path
from typing import Any


def load_model_file(path: Path) -> Any:
    """Load a Keras model, not compiled.

    Args:
        path: A `.keras` or `.h5` file.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds no model that Keras's and dart_keras's layers make up.
    """
    import keras

    # Keras calls a file that is no zip file a missing one.
    path.open("rb").close()
    if path.suffix == ".keras" and not zipfile.is_zipfile(path):
        raise ValueError(f"Expected a .keras file, which is a zip file. Received: {path}")
    try:
        return keras.saving.load_model(path, compile=False)
    except Exception as error:
        # What goes wrong in a zip or HDF5 file, or in any layer's config, is of any type. Keras
        # puts whole configs around it, one for each layer that holds another.
        inner = str(error).rpartition("Exception encountered: ")[2]
        reason = re.split("\n| Full object config", inner)[0]
        raise ValueError(f"Cannot load the model {path}: {reason}") from error


def load_rows(path: Path | None) -> Any:
    """Load rows as the functions of dart_keras take them.

    Args:
        path: A `.npy` file of one array, or a `.npz` file of one array or of one for each input by
            its name; None for no rows.

    Returns:
        An array, a dict of arrays, or None.

    Raises:
        OSError: If the file cannot be read.
        ValueError: If it holds something else.
    """
    import numpy as np

    if path is None:
        return None
    try:
        loaded = np.load(path, allow_pickle=False)
        if isinstance(loaded, np.ndarray):
            return loaded
        with loaded:
            arrays = dict(loaded)
    except (ValueError, EOFError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"Expected a {path.suffix} file of arrays of numbers. Received: {path}, which NumPy "
            "cannot read as such"
        ) from error
    # The name of a single array is often the one that NumPy gives, `arr_0`.
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays
