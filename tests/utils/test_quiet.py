import logging
import os
import subprocess
import sys
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor

import pytest

from dart_keras.utils.quiet import quiet


def test_stderr_is_back_afterwards_also_after_an_error(capfd):
    def fail():
        with quiet():
            os.write(2, b"hidden")
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    print("seen", file=sys.stderr)
    assert capfd.readouterr().err == "seen\n"


def test_two_threads_one_after_the_other_leave_all_as_it_was():
    def state():
        levels = [logging.getLogger(name).level for name in ("absl", "tensorflow")]
        return os.fstat(2).st_ino, os.fstat(2).st_dev, levels, list(warnings.filters)

    before = state()
    first_is_in, second_is_in = threading.Event(), threading.Event()

    def second():
        first_is_in.wait()
        with quiet():
            second_is_in.set()
            first.join()
            assert state() != before

    def first_in_and_out():
        with quiet():
            first_is_in.set()
            second_is_in.wait()

    first = threading.Thread(target=first_in_and_out)
    with ThreadPoolExecutor() as pool:
        done = pool.submit(second)
        first.start()
        done.result()
    assert state() == before


WITHOUT = """
import os, sys
from dart_keras.utils.progress import _ProgressLines
from dart_keras.utils.quiet import quiet

assert sys.stderr is None
with quiet():
    os.write(2, b"hidden")
bar = _ProgressLines("working", 1)
bar._begin -= 60
bar.update()
try:
    os.fstat(2)
except OSError:
    os.write(1, b"as it was")
"""


@pytest.mark.skipif(os.name != "posix", reason="a shell closes it")
def test_there_may_be_no_standard_error():
    command = ["sh", "-c", 'exec "$0" -c "$1" 2>&-', sys.executable, WITHOUT]
    done = subprocess.run(command, capture_output=True)
    assert (done.returncode, done.stdout) == (0, b"as it was")


@pytest.mark.parametrize("name", ["absl", "tensorflow"])
def test_loggers_are_quiet_where_the_standard_error_is_not_the_processs(name, caplog):
    logger = logging.getLogger(name)
    level = logger.level
    with quiet():
        logger.info("hidden")
        logger.warning("hidden")
        logger.error("seen")
    assert logger.level == level
    assert [record.message for record in caplog.records] in (["seen"], [])
