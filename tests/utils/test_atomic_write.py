import pytest

from dart_keras.utils.atomic_write import write_files


def test_folders_are_made_and_files_replaced(tmp_path):
    folder = tmp_path / "a" / "b"
    write_files(folder, {"x": b"old", "y": b"1"})
    (folder / "other").write_bytes(b"kept")
    write_files(folder, {"x": b"new"})
    found = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert found == {"x": b"new", "y": b"1", "other": b"kept"}


def test_a_folder_that_cannot_be_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match=r"Cannot save to the folder.*file/out"):
        write_files(tmp_path / "file" / "out", {"x": b"1"})
    with pytest.raises(OSError, match=r"Cannot save to the folder.*file"):
        write_files(tmp_path / "file", {"x": b"1"})
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_a_failure_half_way_leaves_nothing(tmp_path):
    # No file can be called b, in a folder that does not exist.
    with pytest.raises(OSError, match="Cannot save"):
        write_files(tmp_path / "new" / "deep", {"a": b"1", "no/b": b"2"})
    assert list(tmp_path.iterdir()) == []


def test_a_failure_half_way_keeps_what_was_there(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "c").mkdir()
    with pytest.raises(OSError, match="c is a folder"):
        write_files(tmp_path, {"a": b"new", "b": b"new", "c": b"new"})
    assert (tmp_path / "a").read_bytes() == b"old"
    assert {path.name for path in tmp_path.iterdir()} == {"a", "c"}


@pytest.mark.parametrize(
    ("error", "raised"),
    [
        (OSError(28, "No space left on device"), pytest.raises(OSError, match="No space left")),
        (KeyboardInterrupt(), pytest.raises(KeyboardInterrupt)),
    ],
)
def test_moves_are_undone(tmp_path, monkeypatch, error, raised):
    import os

    for name in ("a", "b"):
        (tmp_path / name).write_bytes(b"old")
    replace = os.replace

    def failing(source, destination):
        if source.name == destination.name == "b":
            raise error
        replace(source, destination)

    monkeypatch.setattr(os, "replace", failing)
    with raised:
        write_files(tmp_path, {"a": b"new", "b": b"new", "c": b"new"})
    found = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert found == {"a": b"old", "b": b"old"}


def test_an_interrupt_leaves_no_folder(tmp_path, monkeypatch):
    import os

    def interrupted(source, destination):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_files(tmp_path / "new" / "deep", {"a": b"1"})
    assert list(tmp_path.iterdir()) == []
