"""Arguments shared by several commands."""

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
    as_text: Callable[[dict[str, Any]], str],
) -> argparse.ArgumentParser:
    """Add a command with the shared arguments.

    Args:
        commands: Subparsers to add the command to.
        name: Name of the command.
        summary: One-line description.
        run: Runs the command and returns the report that `--json` prints.
        as_text: Formats the report as text.
    """
    parser: argparse.ArgumentParser = commands.add_parser(name, help=summary, description=summary)
    parser.add_argument("model", metavar="MODEL", type=Path, help=".tflite file")
    parser.add_argument(
        "--threads", metavar="N", type=integer(1), default=1, help="number of threads (1)"
    )
    parser.add_argument(
        "--timeout",
        metavar="SECONDS",
        type=positive_float,
        default=60.0,
        help="time limit of the interpreter (60)",
    )
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run, as_text=as_text)
    return parser


def add_inputs(parser: argparse.ArgumentParser) -> None:
    """Add the argument for the input file."""
    parser.add_argument(
        "inputs",
        metavar="INPUTS",
        type=path_with_suffix(".npy", ".npz"),
        help="rows of real values: a .npy file, or a .npz file with one array per input",
    )


def child(arguments: argparse.Namespace) -> Child:
    """Return the child process for the parsed arguments."""
    return Child(arguments.model, arguments.threads, arguments.timeout)


def integer(least: int) -> Callable[[str], int]:
    """Return an argument type: an integer of at least `least`."""

    def parse(text: str) -> int:
        if not text.isdecimal() or int(text) < least:
            raise argparse.ArgumentTypeError(
                f"Expected an integer of {least} or more. Received: {text}"
            )
        return int(text)

    return parse


def positive_float(text: str) -> float:
    """Parse a positive number."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"Expected a positive number. Received: {text}")
    return value


def path_with_suffix(*suffixes: str) -> Callable[[str], Path]:
    """Return an argument type: a path with one of the suffixes."""

    def parse(text: str) -> Path:
        path = Path(text)
        if path.suffix not in suffixes:
            expected = " or ".join(suffixes)
            raise argparse.ArgumentTypeError(f"Expected a {expected} file. Received: {text}")
        return path

    return parse
