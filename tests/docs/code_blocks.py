"""Run the code blocks of Markdown pages as tests: one namespace and one folder a page."""

import contextlib
import doctest
import io
import os
import re
import shlex
import tempfile
from pathlib import Path
from typing import Any

from sybil import Example, Sybil
from sybil.evaluators.doctest import NUMBER
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser, SkipParser

ROOT = Path(__file__).parents[2]
_FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
_COMMAND = "$ dart-keras "


def run_console(example: Example) -> str | None:
    """Run the `$ dart-keras` commands of a console block and compare what they print.

    Args:
        example: The block. What follows a command, if anything does, is what it must print; `...`
            stands for any text.

    Returns:
        What went wrong, None if nothing did.
    """
    from dart_keras.cli.main import main

    text = example.parsed.replace("\\\n", "")
    for block in re.split(r"^(?=\$ )", text, flags=re.MULTILINE)[1:]:
        command, _, expected = block.partition("\n")
        if not command.startswith(_COMMAND):
            return (
                "Expected a command `$ dart-keras ...`, or before the block a comment "
                f'<!-- skip: next "why it cannot run" -->. Received: {command}'
            )
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            code = main(shlex.split(command.removeprefix(_COMMAND)))
        printed = printed.getvalue()
        if code:
            return f"Expected exit code 0 of {command}. Received: {code}, {printed}"
        if expected and not doctest.OutputChecker().check_output(expected, printed, _FLAGS):
            return f"Expected of {command}:\n{expected}\nReceived:\n{printed}"
    return None


def _enter_folder(namespace: dict[str, Any]) -> None:
    import keras

    keras.utils.set_random_seed(0)
    folder = contextlib.ExitStack()
    path = folder.enter_context(tempfile.TemporaryDirectory())
    # As in a checkout, whose data pages may read.
    Path(path, "examples").symlink_to(ROOT / "examples")
    folder.enter_context(contextlib.chdir(path))
    namespace["_folder"] = folder


def _leave_folder(namespace: dict[str, Any]) -> None:
    namespace.pop("_folder").close()
    namespace.clear()


# Pages draw pictures; no window may open.
os.environ.setdefault("MPLBACKEND", "agg")

pytest_collect_file = Sybil(
    path=str(ROOT),
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=_FLAGS | NUMBER),
        CodeBlockParser("console", run_console),
        SkipParser(),
    ],
    patterns=["*.md"],
    setup=_enter_folder,
    teardown=_leave_folder,
).pytest()
