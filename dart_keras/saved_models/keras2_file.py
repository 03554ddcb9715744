"""Files of Keras 2 that Keras 3 reads once their config is put right."""

import json
import shutil
import tempfile
import zipfile
from pathlib import Path
from typing import Any

import h5py
import keras

from dart_keras.saved_models.keras2_config import keras3_config
from dart_keras.saved_models.model_content import innermost_reason

_CONFIG = "config.json"


def load_fixed(path: Path, custom_objects: dict[str, Any] | None, safe_mode: bool) -> keras.Model:
    """Load a file of Keras 2 with a config that Keras 3 reads.

    Args:
        path: A `.keras` or `.h5` file.
        custom_objects: As for `dart_keras.load_model`.
        safe_mode: As for `dart_keras.load_model`.

    Returns:
        The model, not compiled.

    Raises:
        ValueError: If Keras 3 cannot read it all the same.
    """
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, path.name)
        (_write_h5 if h5py.is_hdf5(path) else _write_archive)(path, copy, safe_mode)
        try:
            return keras.saving.load_model(
                copy, custom_objects=custom_objects, compile=False, safe_mode=safe_mode
            )
        # Of any type, as in `load_model`.
        except Exception as error:
            raise ValueError(innermost_reason(error)) from error


def _write_h5(path: Path, copy: Path, safe_mode: bool) -> None:
    shutil.copyfile(path, copy)
    copy.chmod(0o600)
    with h5py.File(copy, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(keras3_config(config, safe_mode))


def _write_archive(path: Path, copy: Path, safe_mode: bool) -> None:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name == _CONFIG:
                content = json.dumps(keras3_config(json.loads(content), safe_mode)).encode()
            new.writestr(name, content)
