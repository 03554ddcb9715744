"""Run `.tflite` files on a Raspberry Pi; needs only ai-edge-litert and NumPy."""

import argparse
import json
import sys
from collections.abc import Sequence

import benchmark
import classify
import run
import verify
from errors import RefusedError


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Args:
        argv: Command line arguments; None for those of the process.

    Returns:
        The exit code: 0, or 1 after an error or a difference.

    Raises:
        SystemExit: With code 2 if the command line is wrong, and with 0 after `--help`.
    """
    parser = argparse.ArgumentParser(prog="raspberry_pi", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (classify, run, benchmark, verify):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        report = arguments.run(arguments)
    except RefusedError as error:
        print(error, file=sys.stderr)
        return 1
    except OSError as error:
        print(f"Expected a file to read or write. Received: {error}", file=sys.stderr)
        return 1
    print(json.dumps(report, allow_nan=False) if arguments.json else arguments.as_text(report))
    return 0 if report.get("agrees", True) else 1
