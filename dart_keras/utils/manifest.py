"""The manifest of a folder: which content each file had when all of them were saved together.

It has the form of `sha256sum`, so that `sha256sum -c SHA256SUMS` checks a folder on any computer.
"""

import hashlib
from collections.abc import Mapping
from pathlib import Path

MANIFEST = "SHA256SUMS"


def manifest_of(files: Mapping[str, bytes]) -> bytes:
    """Return the manifest of files.

    Args:
        files: The content of each file by its name.
    """
    return "".join(f"{_digest(content)}  {name}\n" for name, content in files.items()).encode()


def check_manifest(path: Path, content: bytes) -> None:
    """Check that a file is the one that the manifest beside it lists.

    Args:
        path: The file's path. Without a manifest beside it, or where that does not list the file,
            there is nothing to check.
        content: The file's bytes.

    Raises:
        ValueError: If the content is another one.
    """
    listed = _digests(path.parent)
    if listed.get(path.name, digest := _digest(content)) != digest:
        raise ValueError(
            f"Expected {path.name} as {MANIFEST} beside it lists it. Received: another content, so "
            f"that {path.parent} holds files of two saves, or damaged ones. Save the artifact "
            "again, or copy its whole folder."
        )


def unchanged_files(folder: Path) -> list[str]:
    """Return the names of the files that still are what the folder's manifest lists."""
    return [
        name
        for name, digest in _digests(folder).items()
        if (folder / name).is_file() and _digest((folder / name).read_bytes()) == digest
    ]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _digests(folder: Path) -> dict[str, str]:
    try:
        lines = (folder / MANIFEST).read_text(errors="replace").splitlines()
    except FileNotFoundError:
        return {}
    parts = [line.partition("  ") for line in lines]
    # A name leads out of the folder in no manifest that was written here.
    return {name: digest for digest, _, name in parts if name and name == Path(name).name}
