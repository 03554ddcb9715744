"""Kills a process that writes files before each call of the system, and checks what it leaves.

Runs as a program of its own, whose processes are small enough to be forked by the hundred.
"""

import itertools
import os
import shutil
import sys
from pathlib import Path

from dart_keras.utils.atomic_write import write_files
from tests.interrupts import runs_through

OLD = {"a": b"old", "b": b"old", "gone": b"old"}
NEW = {"a": b"new", "b": b"new", "added": b"new"}


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def is_killed(folder, number):
    """Write in a process that is killed at its n-th call; return whether it came so far."""
    child = os.fork()
    if child == 0:
        done = runs_through(
            lambda: write_files(folder, NEW, manifest=True), number, lambda: os._exit(9)
        )
        os._exit(0 if done else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9


def main(root):
    old, new = root / "old", root / "new"
    write_files(old, OLD, manifest=True)
    write_files(new, NEW, manifest=True)
    before, after = contents(old), contents(new)
    whole = 0
    for number in itertools.count(1):
        # In a folder that exists, files may be missing; old and new ones are never mixed.
        folder = root / "existing"
        shutil.copytree(old, folder)
        killed = is_killed(folder, number)
        found = contents(folder)
        assert found.items() <= before.items() or found.items() <= after.items(), (number, found)
        whole += found in (before, after)
        try:
            # What cannot be written undoes what is half done, and changes nothing.
            write_files(folder, {"a": b"other", "no/where": b""})
        except OSError:
            assert contents(folder) in (before, after), (number, contents(folder))
        write_files(folder, NEW, manifest=True)
        assert sorted(path.name for path in folder.iterdir()) == sorted(after), number
        assert contents(folder) == after
        shutil.rmtree(folder)
        # One that does not exist is there as a whole or not at all.
        folder = root / "base" / "made" / "deep"
        folder.parents[1].mkdir()
        killed |= is_killed(folder, number)
        assert not folder.parent.exists() or contents(folder) == after
        write_files(folder, NEW, manifest=True)
        assert contents(folder) == after
        assert [path.name for path in folder.parents[1].iterdir()] == ["made"]
        shutil.rmtree(folder.parents[1])
        if not killed:
            break
    print(number, whole)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
