"""Reading the files that the subcommands are given."""

import importlib.util
import inspect
import sys
import warnings
import zipfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any


def load_model_file(path: Path, imports: Sequence[str] = (), unsafe: bool = False) -> Any:
    """Load a Keras model, not compiled.

    Args:
        path: A `.keras` or `.h5` file, or the folder of a SavedModel that Keras 2 wrote.
        imports: Python files and modules that define what the model holds.
        unsafe: Whether to run the code of `Lambda` layers.

    Raises:
        OSError: If the file cannot be read.
        ImportError: If a module to import is missing.
        ValueError: If it holds no model that Keras's and dart_keras's layers, and those of the
            modules, make up.
    """
    from dart_keras import saved_models
    from dart_keras.saved_models.model_content import innermost_reason

    if not path.is_dir():
        # Keras calls a file that is no zip file a missing one.
        path.open("rb").close()
        if path.suffix == ".keras" and not zipfile.is_zipfile(path):
            raise ValueError(f"Expected a .keras file, which is a zip file. Received: {path}")
    custom_objects = import_definitions(imports)
    if unsafe:
        warnings.warn(
            f"--unsafe runs the Python code that is in {path}: use it for files that you trust.",
            stacklevel=2,
        )
    try:
        return saved_models.load_model(
            path, custom_objects=custom_objects, compile=False, safe_mode=not unsafe
        )
    except Exception as error:
        # What goes wrong in a zip or HDF5 file, or in any layer's config, is of any type.
        reason = innermost_reason(error)
        raise ValueError(f"Cannot load the model {path}: {reason}{_advice(reason)}") from error


def import_definitions(names: Sequence[str]) -> dict[str, Any]:
    """Run Python files and modules, and return the classes and functions that they define.

    Keras knows those that are registered, and these as well.

    Args:
        names: Paths of files, and names of modules.

    Returns:
        The classes and functions by their names.

    Raises:
        OSError: If a file cannot be read.
        ImportError: If a module is missing.
        ValueError: If one of them ends in an error.
    """
    found: dict[str, Any] = {}
    for name in names:
        is_file = name.endswith(".py")
        # Where a script would look for its neighbours.
        folder = str(Path(name).resolve().parent if is_file else Path.cwd())
        if folder not in sys.path:
            sys.path.insert(0, folder)
        try:
            module = _run_file(Path(name)) if is_file else importlib.import_module(name)
        except (ImportError, OSError):
            raise
        # It is another's code.
        except Exception as error:
            kind = type(error).__name__
            raise ValueError(f"Cannot import {name}: it ends in a {kind}: {error}") from error
        found |= {
            key: value
            for key, value in vars(module).items()
            if inspect.isclass(value) or inspect.isfunction(value)
        }
    return found


def _run_file(path: Path) -> ModuleType:
    # Not by its name, which may be that of another module.
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    # Keras looks there for classes that are not registered.
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module


def _advice(reason: str) -> str:
    if "Could not locate" in reason or "Unknown layer" in reason:
        return " Give the file that defines it with --import FILE.py."
    if "safe_mode" in reason:
        return " From the shell, this is --unsafe."
    return ""


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
