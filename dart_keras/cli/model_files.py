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
        path: A `.npy` file of one array, or a `.npz` file of an array for each input by its name; a
            single array may be called `arr_0`, as NumPy calls it. None for no rows.

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
    # NumPy gives this name to an array that has none.
    return arrays["arr_0"] if list(arrays) == ["arr_0"] else arrays
