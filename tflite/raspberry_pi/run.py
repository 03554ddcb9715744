import argparse
import statistics
from typing import Any

import numpy as np
from arguments import add_command, add_inputs, child, ending
from arrays import load_arrays
from errors import RefusedError


def add_parser(commands: Any) -> None:
    """Adds `run`."""
    parser = add_command(commands, "run", "Writes the outputs for rows to a file.", _run, _in_words)
    add_inputs(parser)
    parser.add_argument(
        "outputs",
        metavar="OUTPUTS",
        type=ending(".npy", ".npz"),
        help="where to write the outputs in real values: a .npy file for a single one, or a .npz "
        "file of output_0, output_1 and so on",
    )


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    outputs, answer = child(arguments).run(load_arrays(arguments.inputs))
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


def _in_words(report: dict[str, Any]) -> str:
    return f"{report['rows']} rows, median {report['median_microseconds']:.1f} microseconds a row"
