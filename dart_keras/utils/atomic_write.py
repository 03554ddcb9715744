import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path


def write_files(folder: Path, files: Mapping[str, bytes]) -> None:
    """Write all files into a folder, or none.

    They are written beside their places first, and moved there once all of them are
    complete; files that were there are put back if a move fails or is interrupted.

    Args:
        folder: Made if it does not exist, with its parents.
        files: The content of each file by its name.

    Raises:
        OSError: If the folder cannot be written to. The error names the folder.
    """
    made = next((p for p in [*reversed(folder.parents), folder] if not p.exists()), None)
    staged: Path | None = None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staged = Path(tempfile.mkdtemp(prefix=".dart_keras-", dir=folder))
        for name, content in files.items():
            (staged / name).write_bytes(content)
        _move(staged, folder, list(files))
    except BaseException as error:
        if made is not None:
            shutil.rmtree(made, ignore_errors=True)
        if not isinstance(error, OSError):
            raise
        raise type(error)(
            error.errno, f"Cannot save to the folder: {error.strerror}", str(folder)
        ) from error
    finally:
        if staged is not None:
            shutil.rmtree(staged, ignore_errors=True)


def _move(staged: Path, folder: Path, names: list[str]) -> None:
    # A folder in a file's place would be moved aside like a file, and then be deleted.
    for name in names:
        if (folder / name).is_dir():
            raise IsADirectoryError(21, f"{name} is a folder", str(folder / name))
    try:
        for name in names:
            if (folder / name).exists():
                os.replace(folder / name, staged / f"{name}.before")
            os.replace(staged / name, folder / name)
    except BaseException:
        # Where the files are tells how far it came, also if an interrupt ended it.
        for name in names:
            if not (staged / name).exists():
                (folder / name).unlink()
            if (staged / f"{name}.before").exists():
                os.replace(staged / f"{name}.before", folder / name)
        raise
