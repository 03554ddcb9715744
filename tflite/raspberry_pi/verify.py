import argparse
import math
from pathlib import Path
from typing import Any

import numpy as np
from arguments import add_command, child, integer, positive_float
from arrays import load_arrays, starting_with
from errors import RefusedError
from manifest import check_manifest
from tensors import Tensor


def add_parser(commands: Any) -> None:
    """Add the command `verify`."""
    parser = add_command(
        commands,
        "verify",
        "Compare a file's outputs with recorded ones; the exit code is 1 if they differ.",
        _run,
        _as_text,
    )
    parser.add_argument(
        "--expected",
        metavar="FILE.npz",
        type=Path,
        required=True,
        help="examples.npz of a saved artifact: arrays in the file's own dtypes, inputs/NAME for "
        "each input and outputs/NAME for each output, in the file's order",
    )
    parser.add_argument(
        "--steps",
        metavar="N",
        type=integer(0),
        default=1,
        help="largest error of a quantized output, in steps of its scale (1)",
    )
    parser.add_argument(
        "--tolerance",
        metavar="T",
        type=positive_float,
        default=1e-3,
        help="largest error of a float output, relative to its largest magnitude (0.001)",
    )


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    check_manifest(arguments.expected)
    expected = load_arrays(arguments.expected)
    outputs = starting_with("outputs/", expected)
    received, answer = child(arguments).run(starting_with("inputs/", expected), as_in_file=True)
    if len(outputs) != len(received):
        raise RefusedError(
            f"Expected outputs/NAME for each of {len(received)} outputs. Received: {list(expected)}"
        )
    limits = (arguments.steps, arguments.tolerance)
    tensors = [Tensor(**described) for described in answer["outputs"]]
    results = [
        _compared(name, tensor, want, got, *limits)
        for (name, want), got, tensor in zip(
            outputs.items(), received.values(), tensors, strict=True
        )
    ]
    return {
        "rows": len(answer["seconds"]),
        "agrees": all(result["agrees"] for result in results),
        "outputs": results,
    }


def _compared(
    name: str, tensor: Tensor, want: np.ndarray, got: np.ndarray, steps: int, tolerance: float
) -> dict[str, Any]:
    if (want.shape, want.dtype) != (got.shape, got.dtype):
        raise RefusedError(
            f"Expected outputs/{name} of shape {got.shape} and dtype {got.dtype}, as the model "
            f"gives it. Received: {want.shape} and {want.dtype}"
        )
    signal, other = (tensor.dequantized(array).astype("float64") for array in (want, got))
    if not (np.isfinite(signal).all() and np.isfinite(other).all()):
        raise RefusedError(f"Expected output {name} to be finite. Received: NaN or infinity")
    noise = other - signal
    largest = float(np.max(np.abs(noise), initial=0.0))
    power, error = float(np.mean(signal**2)), float(np.mean(noise**2))
    result = {
        "name": name,
        "largest_difference": largest,
        # None if there is no signal or no noise.
        "signal_to_noise_db": 10 * math.log10(power / error) if power and error else None,
    }
    if want.dtype.kind == "f":
        peak = float(np.max(np.abs(signal), initial=0.0))
        relative = largest / peak if peak else largest
        return result | {"relative_difference": relative, "agrees": relative <= tolerance}
    off = int(np.max(np.abs(want.astype("int64") - got.astype("int64")), initial=0))
    # Integers without a scale are ids, which must be equal.
    return result | {"steps": off, "agrees": off <= (0 if tensor.scale is None else steps)}


def _as_text(report: dict[str, Any]) -> str:
    lines = [f"{report['rows']} rows: {'agree' if report['agrees'] else 'DIFFER'}"]
    for result in report["outputs"]:
        decibels = result["signal_to_noise_db"]
        off = (
            f"{result['steps']} steps"
            if "steps" in result
            else f"relative {result['relative_difference']:.3g}"
        )
        lines.append(
            f"  {result['name']}: largest difference {result['largest_difference']:.3g} ({off})"
            + ("" if decibels is None else f", signal-to-noise {decibels:.1f} dB")
        )
    return "\n".join(lines)
