"""Artifacts that are saved while something goes wrong."""

import os
from pathlib import Path

import keras

import dart_keras as dk
from benchmarks.field.models import classifier, rows
from benchmarks.field.shell import command
from benchmarks.field.situation import situation


def _artifact(seed):
    keras.utils.set_random_seed(seed)
    return dk.deployment.convert(classifier(8 + 4 * seed), calibration_data=rows(8, 8))


def _content(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.is_file()}


@situation("presses Ctrl-C while an artifact is saved, at every file operation")
def interrupted_save(folder):
    old, new = _artifact(1), _artifact(2)
    old.save(folder / "board")
    before = _content(folder / "board")
    new.save(folder / "other")
    after = _content(folder / "other")
    operations = 0
    for k in range(60):
        target = folder / f"board_{k}"
        old.save(target)
        if not _interrupted(new, target, k):
            break
        operations += 1
        seen = _content(target)
        assert seen in (before, after), f"a mixture at operation {k}"
        left = [p.name for p in folder.iterdir() if p.name.startswith(f".board_{k}")]
        new.save(target)
        assert _content(target) == after
        assert not [p for p in left if (folder / p).exists()], f"left behind: {left}"
    assert operations >= 2


def _interrupted(artifact, target, k):
    """Raise KeyboardInterrupt at the k-th operation; return whether there was one."""
    calls, names = [], ("replace", "rename", "mkdir", "open")
    originals = {name: getattr(os, name) for name in names}

    def stopping(name):
        def call(*arguments, **keywords):
            calls.append(name)
            if len(calls) == k + 1:
                raise KeyboardInterrupt
            return originals[name](*arguments, **keywords)

        return call

    for name in names:
        setattr(os, name, stopping(name))
    try:
        artifact.save(target)
    except KeyboardInterrupt:
        return True
    finally:
        for name in names:
            setattr(os, name, originals[name])
    return False


@situation(
    "mixes the files of two artifacts and verifies them on the board", needs=("ai_edge_litert",)
)
def mixed_folder(folder):
    old, new = _artifact(1), _artifact(2)
    old.save(folder / "board")
    new.save(folder / "other")
    (folder / "board" / "model.tflite").write_bytes(
        (folder / "other" / "model.tflite").read_bytes()
    )
    kit = Path("tflite/raspberry_pi").resolve()
    arguments = ("verify", "board/model.tflite", "--expected", "board/examples.npz")
    ended = command(kit, *arguments, folder=folder)
    assert ended.code != 0, ended.out
