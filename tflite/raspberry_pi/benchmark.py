import argparse
from pathlib import Path
from typing import Any

import numpy as np
from arguments import add_command, child, integer
from arrays import load_arrays, starting_with
from manifest import check_manifest


def add_parser(commands: Any) -> None:
    """Add the command `benchmark`."""
    parser = add_command(
        commands,
        "benchmark",
        "Time a file on the rows of examples.npz beside it, with and without XNNPACK.",
        _run,
        _as_text,
    )
    parser.add_argument(
        "--rows", metavar="N", type=integer(1), default=100, help="number of timed inferences (100)"
    )


def _run(arguments: argparse.Namespace) -> dict[str, Any]:
    recorded = _recorded(arguments.model.with_name("examples.npz"))
    return {
        "file_bytes": arguments.model.stat().st_size,
        "threads": arguments.threads,
        "rows": arguments.rows,
        "recorded_rows": max(map(len, recorded.values()), default=0),
        "with_xnnpack": _figures(arguments, recorded, xnnpack=True),
        "without_xnnpack": _figures(arguments, recorded, xnnpack=False),
    }


def _recorded(examples: Path) -> dict[str, np.ndarray]:
    if not examples.exists():
        return {}
    check_manifest(examples)
    return starting_with("inputs/", load_arrays(examples))


def _figures(
    arguments: argparse.Namespace, recorded: dict[str, np.ndarray], xnnpack: bool
) -> dict[str, Any]:
    answer = child(arguments).benchmark(recorded, arguments.rows, xnnpack)
    seconds = answer["seconds"]
    figures = {
        "load": answer["load"],
        "first": answer["first"],
        "median": np.median(seconds),
        "90th_percentile": np.percentile(seconds, 90),
        "min": min(seconds),
    }
    return {f"{name}_microseconds": 1e6 * float(value) for name, value in figures.items()} | {
        "peak_memory_bytes": answer["peak_memory_bytes"]
    }


def _as_text(report: dict[str, Any]) -> str:
    recorded = report["recorded_rows"]
    rows = f"{recorded} recorded rows" if recorded else "a random row"
    lines = [
        f"{report['file_bytes']:,} bytes, {report['rows']} inferences of {rows}, "
        f"{report['threads']} thread(s)",
        f"{'':29}{'with XNNPACK':>14}{'without':>14}",
    ]
    pairs = zip(report["with_xnnpack"].items(), report["without_xnnpack"].values(), strict=True)
    for (name, having), lacking in pairs:
        lines.append(f"{name.replace('_', ' '):29}{_number(having)}{_number(lacking)}")
    return "\n".join(lines)


def _number(value: float) -> str:
    return f"{value:14,.1f}" if isinstance(value, float) else f"{value:14,}"
