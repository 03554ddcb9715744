"""The files that the subcommands read and write: checked before the work, told of after it."""

from pathlib import Path

from dart_keras.utils.atomic_write import check_writable, write_files


def check_inputs(*paths: Path | None) -> None:
    """Check that files are there, before TensorFlow is started to read them.

    Args:
        *paths: Files or folders; None for those that were not asked for.

    Raises:
        OSError: If one cannot be read.
    """
    for path in paths:
        if path is not None and not path.is_dir():
            path.open("rb").close()


def check_outputs(*paths: Path | None) -> None:
    """Check that files can be written, before the work whose results they hold.

    Args:
        *paths: As for `check_inputs`.

    Raises:
        OSError: If one cannot be written. The error names its folder.
    """
    for path in paths:
        if path is not None:
            check_writable(path.parent, [path.name])


def write(path: Path, content: bytes) -> None:
    """Write a file, or leave the one that is there as it is, and say so."""
    write_files(path.parent, {path.name: content})
    print_written(path)


def print_written(*paths: Path) -> None:
    """Say which files were written, and how large they are."""
    for path in paths:
        print(f"wrote {path} ({path.stat().st_size:,} bytes)")
