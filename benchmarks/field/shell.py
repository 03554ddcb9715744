"""The command `dart-keras` as a user's shell starts it."""

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

# As the script that pip installs.
MAIN = "import sys; from dart_keras.cli.main import main; sys.exit(main())"


@dataclass(frozen=True)
class Ended:
    """How a command ended.

    Attributes:
        code: Its exit code.
        out: What it printed.
        err: What it said on stderr.
    """

    code: int
    out: str
    err: str


def dart_keras(*arguments: object, folder: Path, **environment: str) -> Ended:
    """Run `dart-keras` in a folder; a traceback is never a right end."""
    return command("-c", MAIN, *arguments, folder=folder, **environment)


def command(*arguments: object, folder: Path, **environment: str) -> Ended:
    """Run Python in a folder, with the packages of this process."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    ended = subprocess.run(
        [sys.executable, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "TF_CPP_MIN_LOG_LEVEL": "3", **environment},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "Traceback" not in ended.stderr, ended.stderr[-2000:]
    return Ended(ended.returncode, ended.stdout, ended.stderr)
