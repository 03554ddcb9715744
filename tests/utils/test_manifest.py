import shutil
import subprocess

import pytest

from dart_keras.utils.manifest import MANIFEST, check_manifest, manifest_of, unchanged_files

FILES = {"a b.txt": b"1", "model.cc": b"2"}


@pytest.fixture
def folder(tmp_path):
    for name, content in {**FILES, MANIFEST: manifest_of(FILES)}.items():
        (tmp_path / name).write_bytes(content)
    return tmp_path


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="needs sha256sum")
def test_it_has_the_form_of_sha256sum(folder):
    done = subprocess.run(
        ["sha256sum", "-c", MANIFEST], cwd=folder, capture_output=True, text=True, check=True
    )
    assert done.stdout == "a b.txt: OK\nmodel.cc: OK\n"


def test_another_content_is_refused(folder):
    check_manifest(folder / "model.cc", b"2")
    check_manifest(folder / "not listed", b"3")
    with pytest.raises(ValueError, match=r"Expected model\.cc as SHA256SUMS .* files of two saves"):
        check_manifest(folder / "model.cc", b"1")
    (folder / MANIFEST).unlink()
    check_manifest(folder / "model.cc", b"1")


def test_changed_and_foreign_files_are_told_apart(folder):
    assert unchanged_files(folder) == ["a b.txt", "model.cc"]
    (folder / "model.cc").write_bytes(b"edited")
    assert unchanged_files(folder) == ["a b.txt"]
    (folder / "a b.txt").unlink()
    assert unchanged_files(folder) == []
    inner = folder / "inner"
    inner.mkdir()
    (inner / MANIFEST).write_bytes(manifest_of({"../model.cc": b"edited"}) + b"\xff\n")
    assert unchanged_files(inner) == []
