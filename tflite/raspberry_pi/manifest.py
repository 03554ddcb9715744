"""The check of files against the `SHA256SUMS` that `artifact.save` wrote beside them."""

import hashlib
from pathlib import Path

from errors import RefusedError


def check_manifest(path: Path) -> None:
    """Raise a RefusedError if the manifest beside a file lists it with another content."""
    manifest = path.with_name("SHA256SUMS")
    if not manifest.exists():
        return
    lines = (line.partition("  ") for line in manifest.read_text(errors="replace").splitlines())
    listed = {name: digest for digest, _, name in lines}
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if listed.get(path.name, digest) != digest:
        raise RefusedError(
            f"Expected {path} as SHA256SUMS beside it lists it. Received: another content, because "
            "the file was damaged on its way or is of another save. Copy the whole folder again"
        )
