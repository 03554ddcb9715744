"""The arguments that several commands take."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from child import Child


def add_command(
    commands: Any,
    name: str,
    summary: str,
    run: Callable[[argparse.Namespace], dict[str, Any]],
    in_words: Callable[[dict[str, Any]], str],
) -> argparse.ArgumentParser:
    """Adds a command with what every command takes.

    Args:
        commands: Where to add it.
        name: The command's name.
        summary: What it does.
        run: Does it, and returns what `--json` prints.
        in_words: Turns that into text.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("model", metavar="MODEL", type=Path, help="the .tflite file")
    parser.add_argument(
        "--threads", metavar="N", type=integer(1), default=1, help="threads to use (1)"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_number,
        default=60.0,
        help="the most seconds that the interpreter may take (60)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, in_words=in_words)
    return parser


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Adds the file of rows."""
    parser.add_argument(
        "inputs",
        metavar="INPUTS",
        type=ending(".npy", ".npz"),
        help="rows in real values: a .npy file, or a .npz file with an array for each input",
    )


def child(arguments: argparse.Namespace) -> Child:
    """Returns how to run the file that the arguments speak of."""
    return Child(arguments.model, arguments.threads, arguments.timeout)


def integer(least: int) -> Callable[[str], int]:
    """Returns a type: an integer that is not below another one."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"Expected an integer of {least} or more. Received: {text}"
            )
        return int(text)

    return parse


def positive_number(text: str) -> float:
    """Reads a positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"Expected a positive number. Received: {text}")
    return value


def ending(*endings: str) -> Callable[[str], Path]:
    """Returns a type: the path of a file whose name ends like this."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in endings:
            expected = " or ".join(endings)
            raise argparse.ArgumentTypeError(f"Expected a {expected} file. Received: {text}")
        return path

    return parse
