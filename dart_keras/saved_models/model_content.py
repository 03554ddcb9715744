"""What a file or folder is that should hold a model, and why Keras does not read it."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import h5py


def is_saved_model(path: Path) -> bool:
    """Return whether a path is the folder of a TensorFlow SavedModel."""
    return (path / "saved_model.pb").exists()


def check_model_content(path: Path) -> None:
    """Check that an existing path is no other thing that Keras or TensorFlow writes.

    Raises:
        ValueError: If it holds weights without a model, or a computation that is no Keras model.
    """
    if _holds_weights_only(path):
        raise ValueError(
            f"Expected a file of a whole model. Received: {path}, which holds weights only. Build "
            "the model as the program does that wrote it, call "
            f"`model.load_weights({path.name!r})`, and save it with `model.save('model.keras')`"
        )
    if is_saved_model(path) and not (path / "keras_metadata.pb").exists():
        raise ValueError(
            f"Expected a SavedModel that Keras 2 wrote. Received: {path}, which holds computations "
            "as `model.export` and `tf.saved_model.save` write them, without the layers. Save the "
            "Keras model itself, where it was made, with `model.save('model.keras')`"
        )


def _holds_weights_only(path: Path) -> bool:
    if path.is_dir():
        return False
    # Checkpoints of TensorFlow are several files.
    if path.name == "checkpoint" or path.suffix == ".index" or path.suffix.startswith(".data-"):
        return True
    if path.suffix not in (".h5", ".hdf5") or not h5py.is_hdf5(path):
        return False
    with h5py.File(path, "r") as file:
        return "model_config" not in file.attrs


def is_of_keras2(path: Path) -> bool:
    """Return whether a `.keras` or `.h5` file says that Keras 2, or tf-keras, wrote it."""
    version: Any = ""
    if path.is_file() and h5py.is_hdf5(path):
        with h5py.File(path, "r") as file:
            version = file.attrs.get("keras_version", "2")
    elif path.is_file() and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            if "metadata.json" in archive.namelist():
                version = json.loads(archive.read("metadata.json")).get("keras_version", "")
    version = version.decode() if isinstance(version, bytes) else str(version)
    return version.partition(".")[0] in ("1", "2")


def innermost_reason(error: Exception) -> str:
    """Return in one line what Keras says of what it cannot read.

    It puts whole configs around it, one for each layer that holds another.
    """
    inner = str(error).rpartition("Exception encountered: ")[2]
    return re.split("\n| Full object config", inner)[0] or type(error).__name__
