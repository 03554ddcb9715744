import argparse
import statistics
import tempfile
from typing import Any

import numpy as np
from arguments import add_command, add_inputs, child, path_with_suffix
from arrays import load_arrays
from errors import RefusedError


def add_parser(commands: Any) -> None:
    """Add the command `run`."""
    parser = add_command(commands, "run", "Write the outputs for rows to a file.", _run, _as_text)
    add_inputs(parser)
    parser.add_argument(
        "outputs",
        metavar="OUTPUTS",
        type=path_with_suffix(".npy", ".npz"),
        help="file for the outputs as real values: .npy for a single output, or .npz with "
        "output_0, output_1 and so on",
    )


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    inputs = load_arrays(arguments.inputs)
    # What would fail after the work fails now.
    if arguments.outputs.is_dir():
        raise RefusedError(
            f"Expected a file for the outputs. Received: {arguments.outputs}, a folder"
        )
    with tempfile.TemporaryFile(dir=arguments.outputs.parent):
        pass
    outputs, answer = child(arguments).run(inputs)
    if arguments.outputs.suffix == ".npz":
        np.savez(arguments.outputs, **outputs)
    elif len(outputs) == 1:
        np.save(arguments.outputs, *outputs.values())
    else:
        raise RefusedError(
            f"Expected a .npz file for {len(outputs)} outputs. Received: {arguments.outputs}"
        )
    return {
        "outputs": {name: list(array.shape) for name, array in outputs.items()},
        "rows": len(answer["seconds"]),
        "median_microseconds": 1e6 * statistics.median(answer["seconds"]),
    }


def _as_text(report: dict[str, Any]) -> str:
    return f"{report['rows']} rows, median {report['median_microseconds']:.1f} microseconds a row"
