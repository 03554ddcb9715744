import os
import pickle
import signal
import subprocess
import sys

import pytest

from dart_keras.deployment.runtimes.child_process import ask, reason
from dart_keras.deployment.runtimes.result import RefusedError
from dart_keras.deployment.runtimes.time_limit import TimeLimit

needs_posix = pytest.mark.skipif(os.name != "posix", reason="pipes with names")

# Holds a pipe open for as long as it lives, and holds Python's lock, as TFLM does while it runs.
STUCK = """
import ctypes, os

def answer(content, pipe):
    os.write(os.open(pipe, os.O_WRONLY), b"running")
    if os.fork() == 0:
        ctypes.PyDLL(None).pause()
    ctypes.PyDLL(None).pause()
"""
ASKING = """
import sys
from dart_keras.deployment.runtimes.child_process import ask
from dart_keras.deployment.runtimes.time_limit import TimeLimit

ask(sys.argv[1], {"content": b"", "pipe": sys.argv[2]}, TimeLimit("stuck", 3600))
"""


@pytest.fixture
def stuck(tmp_path):
    """A worker that never answers, and a pipe that it and what it forks hold open."""
    (tmp_path / "stuck.py").write_text(STUCK)
    os.mkfifo(tmp_path / "pipe")
    return str(tmp_path / "stuck.py"), str(tmp_path / "pipe")


def worker(tmp_path, text):
    path = tmp_path / "worker.py"
    path.write_text(text)
    return str(path)


@needs_posix
def test_a_worker_ends_with_a_parent_that_is_killed(stuck):
    asking = subprocess.Popen([sys.executable, "-c", ASKING, *stuck])
    with asking as parent, open(stuck[1], "rb", buffering=0) as pipe:
        assert pipe.read(7) == b"running"
        parent.send_signal(signal.SIGKILL)
        # The end of the pipe: whoever held it has ended.
        assert pipe.read() == b""


@needs_posix
def test_a_worker_whose_time_is_over_ends_with_all_that_it_started(stuck):
    reading = os.open(stuck[1], os.O_RDONLY | os.O_NONBLOCK)
    with pytest.raises(RefusedError, match="Expected stuck to be done"):
        ask(stuck[0], {"content": b"", "pipe": stuck[1]}, TimeLimit("stuck", 2))
    os.set_blocking(reading, True)
    with open(reading, "rb") as pipe:
        assert pipe.read() in (b"running", b"")


def test_an_answer_comes_back_however_large_it_is(tmp_path):
    path = worker(tmp_path, "def answer(content, size):\n    return content * size")
    done = ask(path, {"content": b"ab", "size": 2**20}, TimeLimit("large", 60))
    assert pickle.loads(done.stdout) == b"ab" * 2**20


@needs_posix
def test_a_worker_that_a_signal_ends_says_so(tmp_path):
    path = worker(tmp_path, "import os\ndef answer(content):\n    os.abort()")
    done = ask(path, {"content": b""}, TimeLimit("aborting", 60))
    assert done.returncode
    assert f"its process ended with signal {signal.SIGABRT:d}" in reason(done)
