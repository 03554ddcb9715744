"""Put the help texts of the command line into the pages."""

import contextlib
import io
import os
import re
from typing import Any

_MARK = re.compile(r"<!-- help of dart-keras (\w+) -->")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace `<!-- help of dart-keras COMMAND -->` by what `--help` prints.

    Args:
        markdown: The page.

    Returns:
        The page with the texts.
    """
    return _MARK.sub(lambda match: f"```text\n{_help(match[1])}```", markdown)


def _help(command: str) -> str:
    from dart_keras.cli.main import main

    os.environ["COLUMNS"] = "78"
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        main([command, "--help"])
    return printed.getvalue()
