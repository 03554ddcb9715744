"""Writing files so that a folder is wholly as it was or wholly new, whatever happens meanwhile.

New files are completed in a folder of their own, the *stage*. A folder that does not exist comes
into being by one renaming of the stage. In one that does, the old files are moved into the stage
and then the new ones out of it, so that old and new ones never lie side by side. A journal in the
stage tells whether that has to be undone: at once after an error or interrupt, and by the next
save after the process was killed.
"""

import errno
import json
import os
import shutil
import stat
import uuid
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from types import ModuleType

from dart_keras.utils.manifest import MANIFEST, manifest_of, unchanged_files

fcntl: ModuleType | None
try:
    import fcntl
except ImportError:  # Windows, where two processes must not save to one folder at a time.
    fcntl = None

_STAGE = ".dart_keras-save-"
_JOURNAL = ".journal"


def write_files(folder: Path, files: Mapping[str, bytes], *, manifest: bool = False) -> None:
    """Write all files into a folder, or none.

    Processes and threads that write to the same folder do so one after the other. What a process
    left that was killed while it wrote is undone and removed.

    Args:
        folder: Made if it does not exist, with its parents.
        files: The content of each file by its name.
        manifest: Whether to write a manifest of the files, too, and to take away the files of the
            manifest before that are not written again, unless they were changed since.

    Raises:
        OSError: If the folder cannot be written to. The error names the folder.
    """
    if manifest:
        files = {**files, MANIFEST: manifest_of(files)}
    with _named_errors(folder):
        target = Path(os.path.realpath(folder))
        written = False
        while not written:
            with _locked(target) as (place, is_locked):
                if is_locked:
                    _clear_dead(place)
                if place == target:
                    _replace_files(target, files, unchanged_files(target) if manifest else [])
                    written = True
                else:
                    written = _make_folder(place, target.relative_to(place), files)


def check_writable(folder: Path, names: Iterable[str]) -> None:
    """Check that files can be written into a folder, before the work whose results they hold.

    Args:
        folder: As for `write_files`.
        names: The names of the files.

    Raises:
        OSError: As from `write_files`.
    """
    with _named_errors(folder):
        target = Path(os.path.realpath(folder))
        with _locked(target) as (place, _):
            if place == target:
                _check_names(target, names)
            stage = _new_stage(place)
            os.mkdir(stage)
            os.rmdir(stage)


@contextmanager
def _named_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise type(error)(
            error.errno, f"Cannot save to the folder: {error.strerror}", str(folder)
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[tuple[Path, bool]]:
    """Keep others from saving to the folder, or to its nearest ancestor that exists.

    Yields:
        That folder, and whether it is locked: not every file system has locks.
    """
    place = _nearest(folder)
    while fcntl is not None:
        # The lock ends with the process, however that ends.
        lock = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
        try:
            is_locked = _lock(lock)
            # Meanwhile another process may have made the folder, or removed this one.
            nearest = _nearest(folder)
            if nearest == place and os.path.samestat(os.fstat(lock), os.stat(place)):
                yield place, is_locked
                return
            place = nearest
        finally:
            os.close(lock)
    yield place, False


def _lock(descriptor: int) -> bool:
    assert fcntl is not None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    except OSError as error:
        # Some network file systems have no locks, or none for folders.
        if error.errno not in (errno.ENOLCK, errno.ENOTSUP, errno.EBADF, errno.EINVAL):
            raise
        return False
    return True


def _nearest(folder: Path) -> Path:
    for place in (folder, *folder.parents):
        with suppress(FileNotFoundError):
            os.stat(place)
            return place
    raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(folder))


def _new_stage(place: Path) -> Path:
    return place / f"{_STAGE}{uuid.uuid4().hex}"


def _clear_dead(place: Path) -> None:
    # Who works on a stage holds the lock.
    for stage in place.glob(f"{_STAGE}*"):
        _clear(stage, place)


def _clear(stage: Path, folder: Path) -> None:
    """Undo what the stage's journal tells of, and remove the stage."""
    new, before, journal = stage / "new", stage / "before", stage / _JOURNAL
    if journal.exists():
        # Each step can be done again after an interrupt.
        for name in json.loads(journal.read_bytes()):
            if not (new / name).exists():
                with suppress(FileNotFoundError):
                    os.replace(folder / name, new / name)
        for path in before.iterdir():
            os.replace(path, folder / path.name)
        os.unlink(journal)
    shutil.rmtree(stage, ignore_errors=True)


def _make_folder(place: Path, below: Path, files: Mapping[str, bytes]) -> bool:
    """Make a folder with files in it; return False if another process was faster."""
    stage = _new_stage(place)
    try:
        folder = stage.joinpath(*below.parts[1:])
        os.makedirs(folder)
        for name, content in files.items():
            (folder / name).write_bytes(content)
        try:
            os.rename(stage, place / below.parts[0])
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            return False
        return True
    finally:
        _clear(stage, place)


def _replace_files(folder: Path, files: Mapping[str, bytes], obsolete: Iterable[str]) -> None:
    _check_names(folder, files)
    stage = _new_stage(folder)
    new, before, journal = stage / "new", stage / "before", stage / _JOURNAL
    try:
        os.mkdir(stage)
        os.mkdir(new)
        os.mkdir(before)
        for name, content in files.items():
            (new / name).write_bytes(content)
        (stage / "incomplete").write_text(json.dumps(list(files)))
        os.replace(stage / "incomplete", journal)
        for name in dict.fromkeys([*files, *obsolete]):
            with suppress(FileNotFoundError):
                os.replace(folder / name, before / name)
        for name in files:
            os.replace(new / name, folder / name)
        # With this the save is done.
        os.unlink(journal)
    finally:
        _clear(stage, folder)


def _check_names(folder: Path, names: Iterable[str]) -> None:
    # A folder in a file's place would be moved aside like a file, and then be deleted.
    for name in names:
        with suppress(FileNotFoundError):
            if stat.S_ISDIR(os.lstat(folder / name).st_mode):
                raise IsADirectoryError(errno.EISDIR, f"{name} is a folder", str(folder / name))
