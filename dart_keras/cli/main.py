import argparse
import os
import sys
import warnings
from collections.abc import Sequence
from typing import Any

from dart_keras._version import __version__
from dart_keras.cli import compress_command, convert_command, inspect_command, verify_command
from dart_keras.utils.backend_errors import reason_of
from dart_keras.utils.quiet import quiet


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `dart-keras`.

    Args:
        argv: What follows the command's name; None for what the shell gave.

    Returns:
        The exit code: 0, or 1 if the operation failed, with the reason on stderr, or 130 if it was
        interrupted.

    Raises:
        SystemExit: With code 2 if the command line is wrong, and with 0 after `--help` and
            `--version`.
    """
    parser = argparse.ArgumentParser(
        prog="dart-keras", description="Makes Keras models small enough for small devices."
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for module in (inspect_command, compress_command, convert_command, verify_command):
        module.add_parser(commands)
    arguments = parser.parse_args(argv)
    try:
        # What can fail early does, before TensorFlow starts, which takes seconds.
        arguments.check(arguments)
        _run(arguments)
    except (ValueError, OSError, ImportError) as error:
        print(f"dart-keras: error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("dart-keras: interrupted", file=sys.stderr)
        return 130
    return 0


def _run(arguments: argparse.Namespace) -> None:
    _start_tensorflow()
    import tensorflow as tf

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            # For those who write the code.
            warnings.simplefilter("ignore", DeprecationWarning)
            arguments.run(arguments)
    except tf.errors.OpError as error:
        raise ValueError(f"The model cannot run on the data: {reason_of(error)}") from error


def _show_warning(message: Warning | str, *_: Any, **__: Any) -> None:
    # Without the place in the code, which says nothing to someone at a shell.
    print(f"dart-keras: warning: {message}", file=sys.stderr)


def _start_tensorflow() -> None:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # As it starts it logs, in C++, whatever the level.
    with quiet():
        # Registers its layers with Keras, too.
        import dart_keras.saved_models  # noqa: F401
