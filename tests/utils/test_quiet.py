import logging
import os
import sys

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
