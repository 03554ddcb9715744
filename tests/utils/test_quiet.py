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
