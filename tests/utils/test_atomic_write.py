import itertools
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from dart_keras.utils.atomic_write import check_writable, write_files
from tests.interrupts import runs_through
from tests.utils import killed_writes
from tests.utils.killed_writes import NEW, OLD, contents


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
    ("error", "after"),
    [(OSError(28, "No space left on device"), False), (KeyboardInterrupt(), True)],
)
def test_whatever_is_interrupted_the_folder_is_wholly_old_or_new(tmp_path, error, after):
    def interrupt():
        raise error

    old, new = tmp_path / "old", tmp_path / "new"
    write_files(old, OLD, manifest=True)
    write_files(new, NEW, manifest=True)
    before, written = contents(old), contents(new)
    outcomes = {"existing": set(), "made": set()}
    for number in itertools.count(1):
        base = tmp_path / "base"
        shutil.copytree(old, base / "existing")
        finished = True
        for name in outcomes:
            folder = base / name
            try:
                finished &= runs_through(
                    lambda folder=folder: write_files(folder, NEW, manifest=True),
                    number,
                    interrupt,
                    after=after,
                )
            except (OSError, KeyboardInterrupt):
                finished = False
            found = contents(folder) if folder.exists() else None
            assert found in ((before, written) if name == "existing" else (None, written)), number
            outcomes[name].add(found == written)
            # What the interrupted cleaning up left, the next save removes.
            write_files(folder, NEW, manifest=True)
            assert sorted(path.name for path in folder.iterdir()) == sorted(written)
        assert sorted(path.name for path in base.iterdir()) == ["existing", "made"]
        shutil.rmtree(base)
        if finished:
            break
    assert outcomes == {"existing": {False, True}, "made": {False, True}}


def test_a_killed_process_leaves_no_mixture_and_nothing_for_good(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", killed_writes.__name__, tmp_path], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    tried, whole = map(int, done.stdout.split())
    assert tried > 80
    assert 0 < whole < tried


def test_of_several_that_save_at_once_one_wins(tmp_path):
    contents_of = [{name: bytes([k]) * 1000 for name in "abcdefgh"} for k in range(4)]
    start = threading.Barrier(len(contents_of))

    def save(files, folder):
        start.wait()
        write_files(folder, files, manifest=True)

    for number in range(10):
        folder = tmp_path / str(number) / "deep"
        if number % 2:
            write_files(folder, OLD, manifest=True)
        threads = [threading.Thread(target=save, args=(files, folder)) for files in contents_of]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        found = contents(folder)
        del found["SHA256SUMS"]
        assert found in contents_of
        assert {path.name for path in folder.iterdir()} == {*found, "SHA256SUMS"}
        assert [path.name for path in folder.parent.iterdir()] == ["deep"]


def test_a_folder_that_another_process_made_meanwhile_is_kept(tmp_path, monkeypatch):
    made = tmp_path / "made"
    rename = os.rename

    def late(source, destination):
        made.mkdir()
        (made / "theirs").write_bytes(b"kept")
        monkeypatch.undo()
        rename(source, destination)

    monkeypatch.setattr(os, "rename", late)
    write_files(made, {"ours": b"1"})
    assert contents(made) == {"theirs": b"kept", "ours": b"1"}


def test_a_failed_save_leaves_the_folder_that_another_process_made(tmp_path, monkeypatch):
    def full(path, content):
        (tmp_path / "made").mkdir()
        (tmp_path / "made" / "theirs").mkdir()
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"Cannot save to the folder: No space.*made"):
        write_files(tmp_path / "made", {"ours": b"1"})
    assert [path.name for path in tmp_path.rglob("*")] == ["made", "theirs"]


def test_files_of_the_manifest_before_go_unless_they_were_changed(tmp_path):
    write_files(tmp_path, {"a": b"1", "model.cc": b"1", "edited": b"1"}, manifest=True)
    (tmp_path / "edited").write_bytes(b"by hand")
    (tmp_path / "theirs").write_bytes(b"kept")
    write_files(tmp_path, {"a": b"2"}, manifest=True)
    assert {path.name for path in tmp_path.iterdir()} == {"a", "SHA256SUMS", "edited", "theirs"}


def test_what_cannot_be_written_is_known_before(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    for folder, names, message in (
        (tmp_path / "file", [], "Not a directory"),
        (tmp_path / "file" / "out", [], "Not a directory"),
        (tmp_path, ["x", "folder"], "folder is a folder"),
        (tmp_path, ["x" * 300], "File name too long"),
        (tmp_path / ("x" * 300) / "y", [], "File name too long"),
        ("/proc/none", ["x"], "No such file"),
    ):
        with pytest.raises(OSError, match=f"Cannot save to the folder.*{message}"):
            check_writable(Path(folder), names)
    check_writable(tmp_path / "new" / "deep", ["x"])
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}
