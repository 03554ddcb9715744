import os
import resource
import subprocess
import sys

import numpy as np
import pytest

from tests.corruption import of_two_gibibytes
from tests.tflite.raspberry_pi.conftest import KIT


@pytest.mark.parametrize("content", [b"", b"abc", b"\x00" * 100, b"TFL3" * 2, b"    TFL4" * 9])
def test_other_files_are_refused_at_once(kit, tmp_path, content):
    (tmp_path / "model.tflite").write_bytes(content)
    done = kit("benchmark", tmp_path / "model.tflite")
    assert (done.code, done.out) == (1, "")
    accepted = content[4:8] == b"TFL3"
    start = "Expected a model that the" if accepted else "Expected a .tflite file, with TFL3 in"
    assert done.err.startswith(start)


def test_interpreter_is_ended_after_the_timeout(kit, saved):
    folder, _ = saved("dense")
    done = kit("benchmark", folder / "model.tflite", "--rows", 10**9, "--timeout", 1)
    assert (done.code, done.out) == (1, "")
    assert "within 1 seconds. Received: no answer" in done.err


STARTING = """
import multiprocessing, os, signal, sys

sys.path.insert(0, sys.argv[1])
import worker

def run():
    worker.end_with_parent()
    os.write(os.open(sys.argv[2], os.O_WRONLY), b"running")
    signal.pause()

multiprocessing.get_context("fork").Process(target=run).start()
"""


def test_the_process_ends_with_a_kit_that_is_killed(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    starting = subprocess.Popen([sys.executable, "-c", STARTING, KIT, tmp_path / "pipe"])
    with starting as kit, (tmp_path / "pipe").open("rb", buffering=0) as pipe:
        assert pipe.read(7) == b"running"
        kit.kill()
        # The end of the pipe: the process that held it open has ended.
        assert pipe.read() == b""


def test_error_names_the_signal_that_ended_the_interpreter(clean_python, saved):
    # One second of processor time is enough for all but the interpreter's process.
    limit = (1, resource.getrlimit(resource.RLIMIT_CPU)[1])
    folder, _ = saved("dense")
    done = subprocess.run(
        [clean_python, KIT, "benchmark", folder / "model.tflite", "--rows", str(10**9)],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, limit),
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.endswith("Received: it ended with signal SIGXCPU\n")


def test_error_names_the_missing_package(saved, clean_python, tmp_path):
    folder, _ = saved("dense")
    (tmp_path / "ai_edge_litert.py").write_text("raise ImportError('no such package')")
    done = subprocess.run(
        [clean_python, KIT, "benchmark", folder / "model.tflite"],
        env={"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert done.stderr == "Expected the package ai-edge-litert. Received: no such package\n"


def test_file_that_needs_too_much_memory_is_refused(kit, tmp_path):
    (tmp_path / "model.tflite").write_bytes(of_two_gibibytes())
    np.save(tmp_path / "rows.npy", np.ones((1, 1), "float32"))
    done = kit("run", tmp_path / "model.tflite", tmp_path / "rows.npy", tmp_path / "outputs.npy")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith("Expected ")
    assert not (tmp_path / "outputs.npy").exists()
